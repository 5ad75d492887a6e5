"""Files of authorities for clients: the system's with the proxy's own behind, as PEM and as a trust store for Java.

A file that a client trusts takes the place of the system's authorities, so it needs those as well: clients also call
others than Amazon. The system's are those that OpenSSL trusts by default, so a company's own in `SSL_CERT_FILE` or
`SSL_CERT_DIR` are among them.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import itertools
import os
import re
import ssl
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

from proxy.config import environment

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from cryptography import x509

    from proxy.intercept.authority import Authority

_CERTIFICATE = re.compile(rb"-----BEGIN CERTIFICATE-----([A-Za-z0-9+/=\s]+)-----END CERTIFICATE-----")
_FOUND_BY_OPENSSL = re.compile(r"[0-9a-f]{8}\.[0-9]+")
"""The names of files in a directory of authorities: a hash of the subject and a number."""
_KNOWN_FILES = tuple(
    map(
        Path,
        (
            *("/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/ca-bundle.pem"),
            *("/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem", "/etc/ssl/cert.pem"),
        ),
    )
)
"""Where Debian, Fedora, SUSE, RHEL, and Alpine or macOS keep their authorities. A Python that was built elsewhere looks
for them in places that do not exist."""


def bundle(authority_pem: bytes, further: Iterable[bytes] = (), replaced: Path | None = None) -> bytes:
    """The system's authorities, those in `further` files, and behind them the proxy's own; each once. Without any
    others, the proxy's alone. `replaced` is the file that the result goes to."""
    return b"".join(map(_to_pem, dict.fromkeys(_ders((*system_authorities(replaced), *further, authority_pem)))))


def system_authorities(replaced: Path | None = None) -> tuple[bytes, ...]:
    """The contents of the files that OpenSSL trusts by default, else of the first of the known files; there may be
    none. SSL_CERT_FILE does not count if it names the `replaced` file, an earlier bundle: what that once held would
    stay for ever."""
    paths = ssl.get_default_verify_paths()  # `cafile` is that of SSL_CERT_FILE, else the built-in one; None if missing
    is_earlier = replaced is not None and paths.cafile == str(replaced)
    file = paths.openssl_cafile if is_earlier else paths.cafile
    directories = environment().get(paths.openssl_capath_env) or paths.openssl_capath  # several, as in PATH
    files = [Path(file)] if file else []
    files += itertools.chain(*(_list(Path(each)) for each in directories.split(os.pathsep) if each))
    found = tuple(filter(None, map(_read, files)))
    return found or tuple(itertools.islice(filter(None, map(_read, _KNOWN_FILES)), 1))


def java_trust_store(bundle_pem: bytes, authority: Authority, password: str) -> bytes:
    """A bundle as PKCS12, which Java reads since 8u301. The roots for Java take the place of the authority's own
    certificates. A certificate that cannot be read is left out."""
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.serialization import pkcs12

    not_for_java = {*_ders((authority.pem,))}
    trusted = [each for each in _ders((bundle_pem, authority.java_roots)) if each not in not_for_java]
    entries = [
        pkcs12.PKCS12Certificate(certificate, b"authority-%d" % number)
        for number, certificate in enumerate(filter(None, map(_parse, trusted)), start=1)
    ]
    return pkcs12.serialize_java_truststore(entries, serialization.BestAvailableEncryption(password.encode("utf-8")))


def _list(directory: Path) -> list[Path]:
    """The files that OpenSSL finds in a directory of authorities."""
    with contextlib.suppress(OSError):
        return sorted(each for each in directory.iterdir() if _FOUND_BY_OPENSSL.fullmatch(each.name))
    return []


def _read(file: Path) -> bytes:
    """Its certificates; nothing of a file that cannot be read, as OpenSSL passes over it too."""
    with contextlib.suppress(OSError):
        content = file.read_bytes()
        return content if _CERTIFICATE.search(content) else b""
    return b""


def _ders(contents: Iterable[bytes]) -> Iterator[bytes]:
    for content in contents:
        for found in _CERTIFICATE.finditer(content):
            with contextlib.suppress(binascii.Error):
                yield base64.b64decode(b"".join(found[1].split()), validate=True)


def _to_pem(der: bytes) -> bytes:
    return ssl.DER_cert_to_PEM_cert(der).encode("ascii")


def _parse(der: bytes) -> x509.Certificate | None:
    """Some systems have authorities with odd dates or numbers, about which the library warns."""
    from cryptography import x509

    with contextlib.suppress(ValueError), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return x509.load_der_x509_certificate(der)
    return None
