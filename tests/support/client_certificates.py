"""Authorities of clients' certificates, what they sign, and clients that show it.

The certificates have the shapes that SPIFFE (X509-SVID) and cert-manager give theirs. Nothing is asserted here.
"""

from __future__ import annotations

import datetime
import http.client
import json
import ssl
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from tests.support.patience import PATIENCE

_PEM = serialization.Encoding.PEM
_DAY = 86400.0


def general_name(san: str) -> x509.GeneralName:
    """A name in the form of the configuration: `dns:NAME`, or a URI; `uri:` begins a URI that looks like the former."""
    if san.startswith("dns:"):
        return x509.DNSName(san[4:])
    return x509.UniformResourceIdentifier(san.removeprefix("uri:"))


@dataclass
class Issuer:
    """An authority, whose certificate is in `file`. With an `above` it is an intermediate one."""

    folder: Path
    name: str = "clients"
    above: Issuer | None = None
    key: ec.EllipticCurvePrivateKey = field(default_factory=lambda: ec.generate_private_key(ec.SECP256R1()))

    def __post_init__(self) -> None:
        signer = self.above or self
        builder = self._builder(self.name, self.key, signer.name, _DAY)
        builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        self.certificate = builder.sign(signer.key, hashes.SHA256())
        self.file = self.folder / f"{self.name}-ca.pem"
        self.file.write_bytes(self.certificate.public_bytes(_PEM))

    def issue(
        self,
        *sans: str,
        seconds: float = _DAY,
        signs: bool = False,
        server: bool = False,
        chain: tuple[Issuer, ...] = (),
        odd_names: bytes = b"",
    ) -> Path:
        """A PEM file with a new key and a certificate of these names, which lasts so long, then the `chain`. It is one
        for clients, if not for a `server`. `odd_names` are the content of an extension instead of names."""
        key = ec.generate_private_key(ec.SECP256R1())
        builder = self._builder("client", key, self.name, seconds)
        if sans:
            names = x509.SubjectAlternativeName(map(general_name, sans))
            builder = builder.add_extension(names, critical=False)
        if odd_names:
            odd = x509.UnrecognizedExtension(x509.SubjectAlternativeName.oid, odd_names)
            builder = builder.add_extension(odd, critical=False)
        builder = builder.add_extension(x509.BasicConstraints(ca=signs, path_length=None), critical=True)
        usage = x509.ExtendedKeyUsage((ExtendedKeyUsageOID.SERVER_AUTH if server else ExtendedKeyUsageOID.CLIENT_AUTH,))
        certificate = builder.add_extension(usage, critical=False).sign(self.key, hashes.SHA256())
        file = self.folder / f"{certificate.serial_number}.pem"
        private = key.private_bytes(_PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        others = (each.certificate.public_bytes(_PEM) for each in chain)
        file.write_bytes(b"".join((private, certificate.public_bytes(_PEM), *others)))
        return file

    def _builder(
        self, subject: str, key: ec.EllipticCurvePrivateKey, issuer: str, seconds: float
    ) -> x509.CertificateBuilder:
        now = datetime.datetime.now(datetime.UTC)
        return (
            x509.CertificateBuilder()
            .subject_name(_name(subject))
            .issuer_name(_name(issuer))
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(days=2))
            .not_valid_after(now + datetime.timedelta(seconds=seconds))
        )


def _name(common: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)])


def der_of(file: Path) -> bytes:
    """The first certificate of a file."""
    return x509.load_pem_x509_certificate(file.read_bytes()).public_bytes(serialization.Encoding.DER)


def client_context(server_ca: Path, file: Path | None = None, *, tls_1_2: bool = False) -> ssl.SSLContext:
    """A client that trusts this server, and shows the certificate of a file of `issue`."""
    context = ssl.create_default_context(cafile=server_ca)
    if file is not None:
        context.load_cert_chain(file)
    if tls_1_2:
        context.maximum_version = ssl.TLSVersion.TLSv1_2
    return context


class CertifiedClient:
    """One kept connection of a client with a certificate, or without one."""

    def __init__(self, netloc: str, context: ssl.SSLContext) -> None:
        self._connection = http.client.HTTPSConnection(netloc, context=context, timeout=PATIENCE)
        self._connection.connect()
        self._connection.auto_open = 0

    def __enter__(self) -> CertifiedClient:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    @property
    def tls(self) -> ssl.SSLSocket:
        assert isinstance(self._connection.sock, ssl.SSLSocket)
        return self._connection.sock

    @property
    def is_open(self) -> bool:
        """Whether the last answer left the connection open."""
        return self._connection.sock is not None

    def ask(self, path: str = "/v2/profiles", **headers: str) -> tuple[int, dict[str, Any]]:
        """Status and problem document of a GET; the document is empty for an answer of Amazon's."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        self._connection.request("GET", path, headers=named)
        answer = self._connection.getresponse()
        body = answer.read()
        is_problem = answer.headers.get_content_type() == "application/problem+json"
        return answer.status, json.loads(body) if is_problem else {}


def ask_once(netloc: str, context: ssl.SSLContext, **headers: str) -> tuple[int, str]:
    """Status and slug of the answer to one GET on a connection of its own; status 0 where TLS or the connection
    failed."""
    try:
        with CertifiedClient(netloc, context) as client:
            status, problem = client.ask(**headers)
    except (OSError, http.client.HTTPException):
        return 0, ""
    return status, str(problem.get("type", "")).rpartition(":")[2]
