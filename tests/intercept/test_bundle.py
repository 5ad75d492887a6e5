"""A client's file of authorities has those that the system trusts, and the proxy's own."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import pkcs12

from proxy.intercept import bundle as bundles
from proxy.intercept.authority import Authority
from proxy.intercept.bundle import bundle, java_trust_store, system_authorities
from tests.support.certificates import Authority as OtherAuthority

NOW = 1_800_000_000.0


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority.open(tmp_path / "ca", NOW)


@pytest.fixture
def ours(authority: Authority) -> bytes:
    return authority.pem


@pytest.fixture
def company(tmp_path: Path) -> bytes:
    """Another authority's certificate."""
    return OtherAuthority(tmp_path).ca_file.read_bytes()


@pytest.fixture(autouse=True)
def bare_system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The system has no authorities, as an image without ca-certificates."""
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("SSL_CERT_DIR", str(tmp_path / "none"))
    monkeypatch.setattr(bundles, "_KNOWN_FILES", ())


def certificates(pem: bytes) -> list[x509.Certificate]:
    return x509.load_pem_x509_certificates(pem)


def test_without_a_systems_authorities_the_proxys_own_is_alone(ours: bytes) -> None:
    """The authority may still be used for Amazon's hosts."""
    assert system_authorities() == ()
    assert bundle(ours) == ours


def test_a_companys_own_authority_is_in_the_bundle(
    ours: bytes, company: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SSL_CERT_FILE names a file of authorities, with whatever text is between them."""
    file = tmp_path / "company.pem"
    file.write_bytes(b"# Company Root\nsubject=...\n" + company.replace(b"\n", b"\r\n"))
    monkeypatch.setenv("SSL_CERT_FILE", str(file))
    assert certificates(bundle(ours)) == [*certificates(company), *certificates(ours)]


@pytest.mark.parametrize("directories", ["{}", "/none:{}", "{}:"])
def test_a_directory_of_authorities_counts_as_openssl_reads_it(
    directories: str, ours: bytes, company: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The names of its files are hashes; others are passed over."""
    directory = tmp_path / "certs"
    directory.mkdir()
    (directory / "0a1b2c3d.0").write_bytes(company)
    (directory / "README").write_bytes(ours)
    monkeypatch.setenv("SSL_CERT_DIR", directories.format(directory))
    assert system_authorities() == (company,)
    assert bundle(ours) == company + ours


def test_each_authority_is_there_once(ours: bytes, company: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """A bundle that was made before can be the file that SSL_CERT_FILE names."""
    monkeypatch.setattr(bundles, "system_authorities", lambda _: (company + ours, company))
    assert bundle(ours) == company + ours


def test_further_files_come_before_the_proxys_own(ours: bytes, company: bytes, tmp_path: Path) -> None:
    """Whatever else is in them stays out."""
    key = (tmp_path / "ca" / "ca.key").read_bytes().split(b"-----BEGIN CERTIFICATE")[0]
    assert bundle(ours, (b"Our company\n" + company + key, company)) == company + ours


def test_an_earlier_bundle_is_no_file_of_the_systems(
    ours: bytes, company: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SSL_CERT_FILE names it in a shell that has the variables; what was in it alone does not stay."""
    earlier, directory = tmp_path / "bundle.pem", tmp_path / "certs"
    earlier.write_bytes(Authority.temporary(NOW).pem)
    directory.mkdir()
    (directory / "0a1b2c3d.0").write_bytes(company)
    monkeypatch.setenv("SSL_CERT_FILE", str(earlier))
    monkeypatch.setenv("SSL_CERT_DIR", str(directory))
    monkeypatch.setattr(ssl, "get_default_verify_paths", partial(_without_built_in, ssl.get_default_verify_paths))
    assert bundle(ours) == earlier.read_bytes() + company + ours
    assert bundle(ours, replaced=earlier) == company + ours


def _without_built_in(find: Callable[[], ssl.DefaultVerifyPaths]) -> ssl.DefaultVerifyPaths:
    """The paths of OpenSSL on a system without its usual file."""
    return find()._replace(openssl_cafile="/nowhere/cert.pem")


def test_a_python_that_was_built_elsewhere_finds_the_systems_file(
    ours: bytes, company: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first of the usual places that has certificates is taken."""
    (tmp_path / "empty.pem").touch()
    (tmp_path / "first.pem").write_bytes(company)
    places = tuple(tmp_path / f"{name}.pem" for name in ("missing", "empty", "first", "ca/ca"))
    monkeypatch.setattr(bundles, "_KNOWN_FILES", places)
    assert bundle(ours) == company + ours


def test_damaged_certificates_and_private_keys_are_left_out(
    ours: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A client's library would refuse the whole file."""
    file = tmp_path / "odd.pem"
    key = (tmp_path / "ca" / "ca.key").read_bytes().split(b"-----BEGIN CERTIFICATE")[0]
    file.write_bytes(b"-----BEGIN CERTIFICATE-----\nabc\n-----END CERTIFICATE-----\n" + key)
    monkeypatch.setenv("SSL_CERT_FILE", str(file))
    assert bundle(ours) == ours


def test_the_bundle_is_a_file_that_openssl_loads(ours: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the authorities of the machine that runs this test, where it has any."""
    monkeypatch.undo()
    found = bundle(ours)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(cadata=found.decode("ascii"))
    assert len(context.get_ca_certs()) == found.count(b"BEGIN CERTIFICATE")


def test_the_store_for_java_has_the_same_authorities(authority: Authority, company: bytes) -> None:
    """Each under a name of its own; the root for Java takes the place of ours. What cannot be read is left out."""
    unreadable = ssl.DER_cert_to_PEM_cert(b"no certificate").encode("ascii")
    written = java_trust_store(authority.pem + unreadable + company, authority, "changeit")
    store = pkcs12.load_pkcs12(written, b"changeit")
    assert [each.certificate for each in store.additional_certs] == certificates(company + authority.java_roots)
    assert len({each.friendly_name for each in store.additional_certs}) == 2
