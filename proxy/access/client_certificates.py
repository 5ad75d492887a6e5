"""Clients' certificates: what of one identifies a client, and as what a request brings it.

TLS has verified a certificate before it is read here: that an authority of `tls.client_ca` signed it, and that its
client has the private key. A connection has one certificate, so it is read once.
"""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime

from proxy.errors import CertificateRejected
from proxy.value_classes import dataclass

NO_AUTHORITIES: frozenset[str] = frozenset()
_SPIFFE = "spiffe://"
_MAX_NAMES = 100
"""Bytes of a certificate: each is kept as long as the proxy remembers the certificate."""
_SHOWN = 3
_MAX_SHOWN = 100


@dataclass(frozen=True, slots=True)
class PeerCertificate:
    """The certificate of a connection. `names` are those that may identify a client, in the form of the configuration.
    `fault` says why none of them counts, empty where they do. `ends_at` is wall-clock time, 0 if it cannot be read.
    `authorities` are the digests of the certificates of `tls.client_ca` when it was verified."""

    fingerprint: str
    names: tuple[str, ...]
    ends_at: float
    authorities: frozenset[str]
    fault: str = ""

    @property
    def shown(self) -> str:
        """The names, for the client to which the certificate belongs."""
        if not self.names:
            return "no URI and no DNS name"
        names = (name if len(name) <= _MAX_SHOWN else f"{name[:_MAX_SHOWN]}..." for name in self.names[:_SHOWN])
        return ", ".join(repr(name)[1:-1] for name in names) + (" and others" if len(self.names) > _SHOWN else "")


class CertificateKey(bytes):
    """A certificate in the place of a key. It has a line break, so that no client can send it; equal ones are of one
    certificate, verified by the same authorities."""

    certificate: PeerCertificate

    @classmethod
    def of(cls, certificate: PeerCertificate) -> CertificateKey:
        trusted = hashlib.sha256("\n".join(sorted(certificate.authorities)).encode()).hexdigest()
        key = cls(f"\n{certificate.fingerprint} {trusted}".encode())
        key.certificate = certificate
        return key

    def __repr__(self) -> str:
        return f"<CertificateKey {self.certificate.fingerprint[:12]}>"


def read_certificate(der: bytes, authorities: frozenset[str]) -> PeerCertificate:
    """A verified certificate. One that cannot be read, or that is no workload's (X509-SVID, 2 to 5), has a fault."""
    from cryptography import x509  # most programs have no clients with certificates

    fingerprint, ends_at = hashlib.sha256(der).hexdigest(), 0.0
    try:
        certificate = x509.load_der_x509_certificate(der)
        ends_at = certificate.not_valid_after_utc.timestamp()
        extensions = certificate.extensions
        found = [each.value for each in extensions if isinstance(each.value, x509.SubjectAlternativeName)]
        uris = [uri for value in found for uri in value.get_values_for_type(x509.UniformResourceIdentifier)]
        names = [f"dns:{name}" for value in found for name in value.get_values_for_type(x509.DNSName)]
        signs = any(_signs(each.value) for each in extensions)
    except Exception:  # noqa: BLE001 - a form that the library does not know identifies nobody, whatever it raises
        return PeerCertificate(fingerprint, (), ends_at, authorities, "it cannot be read")
    fault = ""
    if len(uris) + len(names) > _MAX_NAMES:
        uris, names, fault = [], [], f"it has more than {_MAX_NAMES} names"
    elif len(uris) > 1:
        fault = "it has several URIs as Subject Alternative Name, and a workload's has one (SPIFFE)"
    elif any(uri.startswith("dns:") for uri in uris):
        fault = "it has a URI that begins with dns:, as DNS names do in the configuration"
    elif signs and any(uri.startswith(_SPIFFE) for uri in uris):
        fault = "it may sign other certificates, and a workload's may not (SPIFFE)"
    return PeerCertificate(fingerprint, (*uris, *names), ends_at, authorities, fault)


def _signs(extension: object) -> bool:
    """Whether an extension permits to sign certificates."""
    from cryptography import x509

    if isinstance(extension, x509.BasicConstraints):
        return extension.ca
    return isinstance(extension, x509.KeyUsage) and (extension.key_cert_sign or extension.crl_sign)


def check_certificate(certificate: PeerCertificate, authorities: frozenset[str], now: float) -> None:
    """Raise `CertificateRejected` for a certificate that has expired since the connection was opened, or one of whose
    authorities is no longer trusted. Which of them signed it is not known, so that all must be."""
    if not certificate.authorities <= authorities:
        raise CertificateRejected(
            "The authorities that the proxy trusts have changed since this connection was opened. Connect again.",
            close=True,
        )
    if not certificate.ends_at:
        raise CertificateRejected("The client certificate cannot be read. Connect with another one.", close=True)
    if now >= certificate.ends_at:
        ended = datetime.fromtimestamp(certificate.ends_at, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
        raise CertificateRejected(
            f"The client certificate of this connection expired at {ended}. Connect again with a newer one.", close=True
        )
