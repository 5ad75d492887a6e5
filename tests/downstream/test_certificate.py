"""The certificate of the tools' listener, as it is read and used."""

from __future__ import annotations

from pathlib import Path

import pytest
from cryptography import x509

from proxy.config.model.sections import TlsSection
from proxy.downstream.certificate import ServerCertificate
from proxy.errors import ListenError
from tests.support.certificates import Authority


def test_the_end_of_a_certificate_is_that_of_the_first_in_its_file(tmp_path: Path) -> None:
    """A chain follows it, whose ends are others."""
    authority = Authority(tmp_path)
    authority.context("127.0.0.1")
    pair = tmp_path / "127.0.0.1.pem"
    own = x509.load_pem_x509_certificate(pair.read_bytes())
    pair.write_bytes(pair.read_bytes() + authority.ca_file.read_bytes())
    assert ServerCertificate.read(TlsSection(cert=pair, key=pair)).ends_at == own.not_valid_after_utc.timestamp()


def test_a_key_of_another_certificate_is_told_without_it(tmp_path: Path) -> None:
    """The error names the keys of the configuration; neither it nor the value shows what the files hold."""
    authority = Authority(tmp_path)
    for name in ("127.0.0.1", "127.0.0.2"):
        authority.context(name)
    one, other = tmp_path / "127.0.0.1.pem", tmp_path / "127.0.0.2.pem"
    with pytest.raises(ListenError, match=r"look at tls\.cert and tls\.key") as caught:
        ServerCertificate.read(TlsSection(cert=authority.ca_file, key=other))
    secret = one.read_text().splitlines()[1]
    assert secret not in str(caught.value)
    assert repr(ServerCertificate.read(TlsSection(cert=one, key=one))) == "ServerCertificate(key=***)"
