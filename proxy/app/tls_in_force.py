"""What of TLS is in force: the certificate for tools, and the authorities that Amazon's must come from.

Both are what was read when it was found in order, and stay so whatever becomes of the files, until a reload finds
others in order. Another process of the program is given them as a document, which holds the private key: it goes
through a socket, never into a file.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from proxy.downstream.certificate import ServerCertificate
from proxy.net.trust_store import Authorities
from proxy.secret import Secret

if TYPE_CHECKING:
    import ssl

    from proxy.config import Config


class TlsInForce:
    """`context` is the tools' listener's, None where it has no TLS; it stays the same from the beginning on."""

    def __init__(self) -> None:
        self.authorities = Authorities()
        self.context: ssl.SSLContext | None = None
        self.certificate: ServerCertificate | None = None

    def __repr__(self) -> str:
        return f"<TlsInForce: {'a' if self.certificate else 'no'} certificate, {self.authorities!r}>"

    def begin(self, config: Config) -> None:
        """Raises `StartupError` where a file cannot be used."""
        if config.tls:
            self.show(ServerCertificate.read(config.tls))
        self.authorities.follow(config.upstream.ca_file)

    def reread(self, config: Config) -> ServerCertificate | None:
        """Put the authorities in force; gives the certificate, which `show` does. Raises `StartupError`, and changes
        nothing, where a file cannot be used."""
        certificate = ServerCertificate.read(config.tls) if config.tls and self.context is not None else None
        self.authorities.follow(config.upstream.ca_file)
        return certificate

    def show(self, certificate: ServerCertificate) -> None:
        """To tools that connect from now on."""
        if self.context is None:
            self.context = certificate.context()
        else:
            certificate.show(self.context)
        self.certificate = certificate

    # --- for other processes of the program

    def to_document(self) -> dict[str, Any]:
        """What JSON holds: PEM with a character for each byte."""
        shown, trusted = self.certificate, self.authorities.pem
        return {
            "certificate": [shown.chain.decode("latin-1"), shown.key.reveal()] if shown is not None else None,
            "authorities": trusted.decode("latin-1") if trusted is not None else None,
        }

    def take(self, document: dict[str, Any]) -> None:
        """Put in force what `to_document` wrote."""
        trusted = document["authorities"]
        self.authorities.take(trusted.encode("latin-1") if trusted is not None else None)
        if document["certificate"] is not None:
            chain, key = document["certificate"]
            self.show(ServerCertificate(chain.encode("latin-1"), Secret(key)))
