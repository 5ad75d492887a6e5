"""The certificate that the tools' listener shows: read once, tried, and used from memory from then on."""

from __future__ import annotations

import ssl
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from proxy.errors import ListenError
from proxy.net.pem_file import as_file
from proxy.secret import Secret

if TYPE_CHECKING:
    from proxy.config import TlsSection


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
                f"tls: the certificate and key cannot be used ({error}); look at tls.cert and tls.key."
            ) from error
        return found

    def context(self) -> ssl.SSLContext:
        """The tools' listener's TLS. A reload has another certificate shown by the same context."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.set_alpn_protocols(["http/1.1"])
        self.show(context)
        return context

    def show(self, context: ssl.SSLContext) -> None:
        """Handshakes of this context show it from now on."""
        with as_file(self.chain) as chain, as_file(self.key.reveal().encode("latin-1")) as key:
            context.load_cert_chain(chain, key, password=lambda: "")

    @property
    def ends_at(self) -> float:
        """When the certificate itself ends, as Unix time: the first of the chain."""
        from cryptography import x509  # seldom wanted: most have no TLS of their own

        [own, *_] = x509.load_pem_x509_certificates(self.chain)
        return own.not_valid_after_utc.timestamp()
