"""What of TLS is in force: the certificate for clients, the authorities that Amazon's must come from, and the proxy's
own authority for interception.

All are what was read when it was found in order, and stay so whatever becomes of the files, until a reload finds
others in order.
"""

from __future__ import annotations

import hashlib
import ssl
from dataclasses import field
from pathlib import Path
from typing import TYPE_CHECKING

from proxy.access.client_certificates import NO_AUTHORITIES
from proxy.errors import ConfigurationError, ListenError
from proxy.intercept.authority import Authority
from proxy.net.dialing import client_context
from proxy.net.pem import as_file
from proxy.secret import Secret
from proxy.value_classes import dataclass

if TYPE_CHECKING:
    import asyncio

    from proxy.config import Config, TlsSection


class ServerTls:
    """`context` is that of the clients' listener for connections that begin now, None where it has no TLS. `authority`
    is None without interception; it stays the same from the beginning on."""

    def __init__(self) -> None:
        self.authority: Authority | None = None
        self.authorities = Authorities()
        self.context: ListenerContext | None = None
        self.certificate: ServerCertificate | None = None

    def __repr__(self) -> str:
        return f"<ServerTls: {'a' if self.certificate else 'no'} certificate, {self.authorities!r}>"

    def begin(self, config: Config) -> None:
        """Raises `StartupError` where a file cannot be used."""
        if config.tls:
            self.show(ServerCertificate.read(config.tls))
        self.authorities.follow(config.upstream.ca_file)

    def open_authority(self, config: Config, now: float) -> None:
        """Open the authority for interception, or make it, unless there is one. Raises `StartupError`."""
        if not config.intercept.enabled or self.authority is not None:
            return
        if config.authority_folder is None:
            raise ConfigurationError(("intercept.ca_dir: is missing; name a directory for the authority",))
        self.authority = Authority.open(config.authority_folder, now)

    def reread(self, config: Config) -> ServerCertificate | None:
        """Put the authorities in force; gives the certificate, which `show` does. Raises `StartupError`, and changes
        nothing, where a file cannot be used."""
        certificate = ServerCertificate.read(config.tls) if config.tls and self.context is not None else None
        self.authorities.follow(config.upstream.ca_file)
        return certificate

    def show(self, certificate: ServerCertificate) -> bool:
        """Present a certificate to clients that connect from now on, and demand theirs by it. Tells whether connections
        that are open may stay.

        Each has a context of its own. One context would keep a certificate of each kind of key (RSA, ECDSA), and let
        the client choose; and sessions that were begun with removed authorities could be resumed.
        """
        before = self.trusted_clients
        if self.certificate != certificate:
            self.context = certificate.context()
        self.certificate = certificate
        return self.trusted_clients.admits(before)

    # --- what is demanded of clients

    @property
    def trusted_clients(self) -> TrustedClients:
        """By what certificates of clients are verified."""
        return self.certificate.clients if self.certificate is not None else NO_CERTIFICATES

    def authorities_of(self, transport: asyncio.BaseTransport) -> frozenset[str] | None:
        """Implements `TrustOfClients`."""
        context = transport.get_extra_info("sslcontext")
        begun = context.clients if isinstance(context, ListenerContext) else NO_CERTIFICATES
        return begun.digests if self.trusted_clients.admits(begun) else None


# --- By whom certificates of clients must be signed --------------------------------------------------------


@dataclass(frozen=True, slots=True)
class TrustedClients:
    """The authorities of clients, as PEM, empty where clients are not asked for certificates. `digests` are those of
    the certificates in it."""

    pem: bytes = field(default=b"", repr=False)
    required: bool = False
    digests: frozenset[str] = NO_AUTHORITIES

    @classmethod
    def of(cls, pem: bytes, required: bool) -> TrustedClients:
        """Raises `ValueError` where there is no certificate."""
        if not pem:
            return NO_CERTIFICATES
        from cryptography import x509  # seldom wanted: most know clients by keys
        from cryptography.hazmat.primitives.serialization import Encoding

        found = (each.public_bytes(Encoding.DER) for each in x509.load_pem_x509_certificates(pem))
        return cls(pem, required, frozenset(hashlib.sha256(der).hexdigest() for der in found))

    def admits(self, before: TrustedClients) -> bool:
        """Whether a connection that was opened by those before meets these as well. Which authority signed its
        certificate is not known, so all of them must still be trusted."""
        return before.digests <= self.digests and (before.required or not self.required)


NO_CERTIFICATES = TrustedClients()


class ListenerContext(ssl.SSLContext):
    """The TLS of a listener, with what it demands of clients."""

    clients: TrustedClients = NO_CERTIFICATES

    def demand(self, clients: TrustedClients) -> None:
        """Ask each client for a certificate by these authorities.

        No session is resumed with TLS 1.3, as a certificate is verified in full handshakes alone. OpenSSL resumes those
        of TLS 1.2 nevertheless, as long as this context is in use; the end of the certificate holds there, too.
        """
        self.clients = clients
        with as_file(clients.pem) as file:
            self.load_verify_locations(file)
        self.verify_mode = ssl.CERT_REQUIRED if clients.required else ssl.CERT_OPTIONAL
        self.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN  # an intermediate authority is trusted for itself
        self.options |= ssl.OP_NO_TICKET | ssl.OP_NO_RENEGOTIATION
        self.num_tickets = 0


# --- The certificate that the clients' listener shows ------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ServerCertificate:
    """A chain and its private key, both PEM; each byte of the key's file is one character."""

    chain: bytes = field(repr=False)
    key: Secret
    clients: TrustedClients = NO_CERTIFICATES

    @classmethod
    def read(cls, tls: TlsSection) -> ServerCertificate:
        """The files as they are now. Raises `ListenError` where they cannot be used."""
        try:
            chain, key = Path(tls.cert).read_bytes(), Secret(Path(tls.key).read_bytes().decode("latin-1"))
            cls(chain, key).context()
        except (OSError, ssl.SSLError) as error:
            raise ListenError(
                f"tls: the certificate and key cannot be used ({error}); correct tls.cert and tls.key."
            ) from error
        if tls.client_ca is None:
            return cls(chain, key)
        try:
            found = cls(chain, key, TrustedClients.of(Path(tls.client_ca).read_bytes(), tls.client_auth != "optional"))
            found.context()
        except (OSError, ValueError) as error:  # an SSLError is an OSError
            raise ListenError(
                f"tls.client_ca: the file cannot be used ({error}); name a PEM file with the certificates of the "
                "authorities that sign clients' certificates."
            ) from error
        return found

    def context(self) -> ListenerContext:
        """The clients' listener's TLS, with this certificate."""
        context = ListenerContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.set_alpn_protocols(["http/1.1"])
        with as_file(self.chain) as chain, as_file(self.key.reveal().encode("latin-1")) as key:
            context.load_cert_chain(chain, key, password=lambda: "")
        if self.clients.pem:
            context.demand(self.clients)
        return context

    @property
    def ends_at(self) -> float:
        """When the certificate itself ends, as Unix time: the first of the chain."""
        from cryptography import x509  # seldom wanted: most have no TLS of their own

        [own, *_] = x509.load_pem_x509_certificates(self.chain)
        return own.not_valid_after_utc.timestamp()


# --- Whom the proxy believes when it asks Amazon ---------------------------------------------------------


class Authorities:
    """The context of the configuration in force; `pem` is the file's content, None without a file, and `digest` that of
    it, empty then."""

    def __init__(self) -> None:
        self.context: ssl.SSLContext | None = None
        self.pem: bytes | None = None
        self.digest = ""

    def __repr__(self) -> str:
        return f"<Authorities: {self.digest[:8] or 'the system'}>"

    def follow(self, file: Path | None) -> None:
        """Take the file as it is now. Raises `ConfigurationError`, and changes nothing, where it cannot be used."""
        try:
            self.take(file.read_bytes() if file is not None else None)
        except (OSError, ssl.SSLError) as error:
            reason = error.reason if isinstance(error, ssl.SSLError) else error.strerror
            problem = f"upstream.ca_file: the file cannot be used ({reason}); name a PEM file with certificates"
            raise ConfigurationError((problem,)) from error

    def take(self, pem: bytes | None) -> None:
        """Believe these. Raises `OSError` or `ssl.SSLError`, and changes nothing, where they cannot be used."""
        context, digest = None, hashlib.sha256(pem).hexdigest() if pem is not None else ""
        if digest == self.digest:
            return
        if pem is not None:
            with as_file(pem) as path:
                context = client_context(path)
        self.context, self.pem, self.digest = context, pem, digest
