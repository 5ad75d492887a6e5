"""The files of authorities for clients: what is in them, who may read them, and that they replace each other whole."""

from __future__ import annotations

import re
import ssl
import time
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import pkcs12

from proxy.commands.client_variables import JAVA_PASSWORD, TRUST_VARIABLES
from proxy.commands.trust_files import php_settings, write_trust_files
from proxy.errors import StartupError
from proxy.intercept.authority import Authority
from tests.support.certificates import Authority as CompanyAuthority

AUTHORITY = Authority.temporary(time.time())
OURS = AUTHORITY.pem


def certificates(file: Path) -> list[bytes]:
    """Every certificate in a file, as DER. OpenSSL reads it, too."""
    text = file.read_text()
    blocks = re.findall(r"-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----", text, re.DOTALL)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(file)
    found = [ssl.PEM_cert_to_DER_cert(block) for block in blocks]
    assert {*context.get_ca_certs(binary_form=True)} <= {*found}
    return found


def der(pem: bytes) -> bytes:
    return ssl.PEM_cert_to_DER_cert(pem.decode())


@pytest.fixture
def company(tmp_path: Path) -> Path:
    """A company's authority, in a file that has its private key, and a remark."""
    folder = tmp_path / "company"
    folder.mkdir()
    authority = CompanyAuthority(folder)
    authority.context("127.0.0.1")
    key = (folder / "127.0.0.1.pem").read_text().partition("-----BEGIN CERTIFICATE")[0]
    file = folder / "company.crt"
    file.write_text(f"Our company\n{key}{authority.ca_file.read_text().replace(chr(10), chr(13) + chr(10))}")
    for each in (authority.ca_file, folder / "127.0.0.1.pem"):
        each.unlink()
    return file


def test_the_bundle_has_every_authority_once(tmp_path: Path, company: Path) -> None:
    """The system's, the company's, ours; no private key, and nothing else of the company's file."""
    plain = write_trust_files(tmp_path, AUTHORITY, {})
    system = certificates(plain.bundle)
    assert system.count(der(OURS)) == 1
    with_company = write_trust_files(
        tmp_path, AUTHORITY, {"SSL_CERT_FILE": str(company), "AWS_CA_BUNDLE": str(company)}
    )
    found = certificates(with_company.bundle)
    pem = company.read_text().partition("-----BEGIN CERT")
    assert sorted(found) == sorted([*system, der(f"{pem[1]}{pem[2]}".encode())])
    text = with_company.bundle.read_text()
    assert "PRIVATE KEY" not in text
    assert "Our company" not in text


@pytest.mark.filterwarnings("ignore:Parsed a serial number")  # of some systems' authorities
def test_java_gets_the_root_that_is_made_for_it(tmp_path: Path) -> None:
    """And not the authority's certificate, also where the environment names a file with it."""
    (tmp_path / "ours.pem").write_bytes(OURS)
    files = write_trust_files(tmp_path, AUTHORITY, {"SSL_CERT_FILE": str(tmp_path / "ours.pem")})
    store = pkcs12.load_pkcs12(files.java_store.read_bytes(), JAVA_PASSWORD.encode())
    found = [each.certificate for each in store.additional_certs]
    [java_root] = x509.load_pem_x509_certificates(AUTHORITY.java_roots)
    assert found.count(java_root) == 1
    assert x509.load_pem_x509_certificate(OURS) not in found


@pytest.mark.parametrize("variable", TRUST_VARIABLES)
def test_each_variable_may_name_a_file_or_a_folder(tmp_path: Path, company: Path, variable: str) -> None:
    """Requests takes folders as well."""
    (company.parent / "folder").mkdir()
    for named in (company, company.parent):
        files = write_trust_files(tmp_path, AUTHORITY, {variable: str(named)})
        assert len(certificates(files.bundle)) == 1 + len(
            certificates(write_trust_files(tmp_path, AUTHORITY, {}).bundle)
        )


def test_everybody_may_read_the_files(tmp_path: Path) -> None:
    """Certificates are public; the files are whole at each moment."""
    files = write_trust_files(tmp_path, AUTHORITY, {})
    with files.bundle.open("rb") as opened:
        before = files.bundle.stat().st_ino
        write_trust_files(tmp_path, Authority.temporary(time.time()), {})
        assert files.bundle.stat().st_ino != before
        assert OURS in opened.read()
    written = [files.bundle, files.java_store, files.wgetrc, files.php_settings]
    assert {path.stat().st_mode & 0o777 for path in written} == {0o644}
    assert files.php_settings.parent.stat().st_mode & 0o777 == 0o755
    assert sorted(path for path in tmp_path.rglob("*") if path.is_file()) == sorted(written)


def test_the_bundle_of_an_earlier_call_is_not_read_again(
    tmp_path: Path, company: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A shell with the variables names it; an authority that is gone stays out."""
    files = write_trust_files(tmp_path, AUTHORITY, {"SSL_CERT_FILE": str(company)})
    newer = Authority.temporary(time.time())
    for variable in TRUST_VARIABLES:
        monkeypatch.setenv(variable, str(files.bundle))
    again = write_trust_files(tmp_path, newer, dict.fromkeys(TRUST_VARIABLES, str(files.bundle)))
    found = certificates(again.bundle)
    assert der(newer.pem) in found
    assert der(OURS) not in found


def test_wget_keeps_the_settings_of_the_system(tmp_path: Path) -> None:
    """All but its file of authorities. Settings of an earlier call are not read again."""
    system = tmp_path / "system"
    system.write_text("# Ours.\ntimeout = 9\nca_certificate = /old.pem\nCA-Certificate=/old.pem\n")
    (tmp_path / "here").mkdir()
    files = write_trust_files(tmp_path / "here", AUTHORITY, {"SYSTEM_WGETRC": str(system)})
    assert files.wgetrc.read_text() == f"# Ours.\ntimeout = 9\nca_certificate = {files.bundle}\n"
    write_trust_files(tmp_path / "here", AUTHORITY, {"SYSTEM_WGETRC": str(files.wgetrc)})
    again = files.wgetrc.read_text()
    assert "timeout = 9" not in again
    assert again.count("ca_certificate = ") == again.count(str(files.bundle)) == 1
    write_trust_files(tmp_path / "here", AUTHORITY, {"SYSTEM_WGETRC": "/gone"})
    assert files.wgetrc.read_text() == f"ca_certificate = {files.bundle}\n"


@pytest.mark.parametrize(("folder", "mark"), [("/a b", "'"), ("/${x}", "'"), ("/it's", '"')])
def test_php_reads_a_path_as_it_is(folder: str, mark: str) -> None:
    """Between single quotes nothing is replaced."""
    path = Path(folder, "bundle.pem")
    assert php_settings(path) == f"curl.cainfo = {mark}{path}{mark}\nopenssl.cafile = {mark}{path}{mark}\n"


def test_a_file_in_the_place_of_a_folder_is_an_error(tmp_path: Path) -> None:
    """The message names it."""
    (tmp_path / "php.d").touch()
    with pytest.raises(StartupError, match=re.escape(f"{tmp_path}/php.d")):
        write_trust_files(tmp_path, AUTHORITY, {})


def test_a_file_that_cannot_be_read_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The rest is written all the same."""
    files = write_trust_files(tmp_path, AUTHORITY, {"REQUESTS_CA_BUNDLE": str(tmp_path / "gone.pem")})
    assert der(OURS) in certificates(files.bundle)
    told = capsys.readouterr().err
    assert told == (
        f"ads-proxy: {tmp_path}/gone.pem: No such file or directory; a variable names it as a file of authorities\n"
    )


def test_a_folder_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    """The message names the file and the reason, and nothing is left half written."""
    (tmp_path / "bundle.pem").mkdir()
    with pytest.raises(StartupError, match=re.escape(f"{tmp_path}/bundle.pem: Is a directory")):
        write_trust_files(tmp_path, AUTHORITY, {})
    assert [*tmp_path.iterdir()] == [tmp_path / "bundle.pem"]
    with pytest.raises(StartupError, match="No such file or directory"):
        write_trust_files(tmp_path / "gone", AUTHORITY, {})
