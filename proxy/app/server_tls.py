"""What of TLS is in force: the certificate for clients, the authorities that Amazon's must come from, and the proxy's
own authority for interception.

Both are what was read when it was found in order, and stay so whatever becomes of the files, until a reload finds
others in order. Another process of the program is given them as a document, which holds the private key: it goes
through a socket, never into a file.
"""

from __future__ import annotations

import hashlib
import ssl
from dataclasses import field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from proxy.errors import ConfigurationError, ListenError
from proxy.intercept.authority import Authority
from proxy.net.dialing import client_context
from proxy.net.pem import as_file
from proxy.secret import Secret
from proxy.value_classes import dataclass

if TYPE_CHECKING:
    from proxy.config import Config, TlsSection


class ServerTls:
    """`context` is the clients' listener's, None where it has no TLS; it stays the same from the beginning on. So does
    `authority`, None without interception."""

    def __init__(self) -> None:
        self.authority: Authority | None = None
        self.authorities = Authorities()
        self.context: ssl.SSLContext | None = None
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

    def show(self, certificate: ServerCertificate) -> None:
        """Present a certificate to clients that connect from now on. One context would keep a certificate of each kind
        of key (RSA, ECDSA), and let the client choose."""
        context = certificate.context()
        if self.context is None:
            self.context = context
        else:
            self.context.sni_callback = partial(_answer_with, context)
        self.certificate = certificate

    # --- for other processes of the program

    def to_document(self) -> dict[str, Any]:
        """What JSON holds: PEM with a character for each byte."""
        shown, trusted, own = self.certificate, self.authorities.pem, self.authority
        return {
            "certificate": [shown.chain.decode("latin-1"), shown.key.reveal()] if shown is not None else None,
            "authorities": trusted.decode("latin-1") if trusted is not None else None,
            "authority": [str(own.folder), own.content.reveal()] if own is not None else None,
        }

    def take(self, document: dict[str, Any]) -> None:
        """Put in force what `to_document` wrote."""
        trusted = document["authorities"]
        self.authorities.take(trusted.encode("latin-1") if trusted is not None else None)
        if document["certificate"] is not None:
            chain, key = document["certificate"]
            self.show(ServerCertificate(chain.encode("latin-1"), Secret(key)))
        if document["authority"] is not None and self.authority is None:
            folder, content = document["authority"]
            self.authority = Authority.of(Path(folder), Secret(content))


def _answer_with(context: ssl.SSLContext, tls: ssl.SSLSocket | ssl.SSLObject, *_named: object) -> None:
    """Shows the certificate of this context in a handshake that began with another one."""
    tls.context = context


# --- The certificate that the clients' listener shows ------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ServerCertificate:
    """A chain and its private key, both PEM; each byte of the key's file is one character."""

    chain: bytes = field(repr=False)
    key: Secret

    @classmethod
    def read(cls, tls: TlsSection) -> ServerCertificate:
        """The files as they are now. Raises `ListenError` where they cannot be used."""
        try:
            found = cls(Path(tls.cert).read_bytes(), Secret(Path(tls.key).read_bytes().decode("latin-1")))
            found.context()
        except (OSError, ssl.SSLError) as error:
            raise ListenError(
                f"tls: the certificate and key cannot be used ({error}); correct tls.cert and tls.key."
            ) from error
        return found

    def context(self) -> ssl.SSLContext:
        """The clients' listener's TLS, with this certificate."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.set_alpn_protocols(["http/1.1"])
        with as_file(self.chain) as chain, as_file(self.key.reveal().encode("latin-1")) as key:
            context.load_cert_chain(chain, key, password=lambda: "")
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
