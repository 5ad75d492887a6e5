"""`ca` prints what clients must trust, and nothing else, on standard output."""

from __future__ import annotations

from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes

from proxy.commands.ca import print_authority
from proxy.intercept.authority import RENEW_BEFORE, Authority
from tests.support.certificates import Authority as OtherAuthority
from tests.support.ready_program import run_ready

NOW = 1_800_000_000.0


def test_it_makes_the_authority_and_prints_its_certificate(tmp_path: Path) -> None:
    """No account is needed, so a client's container can make the bundle."""
    first = run_ready(tmp_path, ("ca",), {"ADS_PROXY_INTERCEPT__CA_DIR": "authority"})
    assert first.returncode == 0
    assert first.stdout == (tmp_path / "authority" / "ca.pem").read_text(encoding="ascii")
    assert "An authority has been made" in first.stderr
    again = run_ready(tmp_path, ("ca",), {"ADS_PROXY_INTERCEPT__CA_DIR": "authority"})
    assert (again.stdout, again.stderr) == (first.stdout, first.stderr.partition("\n")[2])


@pytest.mark.parametrize(
    ("text", "folder"),
    [
        ("intercept: {ca_dir: own}\nclients: [{name: '', oops: 1}]", "below/own"),
        ("state: {url: 'file:kept'}\nintercept: {enabled: true}", "below/kept/ca"),
        ("intercept: {enabled: true}", "home/.local/state/ads-proxy/ca"),
    ],
)
def test_it_finds_the_directory_whatever_else_is_configured(text: str, folder: str, tmp_path: Path) -> None:
    """Paths start at the configuration file; problems of other sections do not matter."""
    (tmp_path / "below").mkdir()
    (tmp_path / "below" / "proxy.yaml").write_text(text, encoding="utf-8")
    done = run_ready(tmp_path, ("ca", "--config", "below/proxy.yaml"), {"HOME": str(tmp_path / "home")})
    assert done.stdout == (tmp_path / folder / "ca.pem").read_text(encoding="ascii")


def test_a_directory_that_is_no_path_is_refused(tmp_path: Path) -> None:
    """Answer as the server would."""
    (tmp_path / "proxy.yaml").write_text("intercept: {ca_dir: [1]}", encoding="utf-8")
    done = run_ready(tmp_path, ("ca", "--config", "proxy.yaml"), {})
    assert (done.returncode, done.stdout) == (2, "")
    assert "intercept.ca_dir: must be the path of a directory" in done.stderr


def test_it_tells_fingerprint_and_expiry(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The certificates of both while a new one takes over, the newer one first."""
    folder = tmp_path / "ca"
    Authority.open(folder, NOW)
    assert print_authority(folder, False, NOW + 3650 * 86400 - RENEW_BEFORE) == 0
    printed, told = capsys.readouterr()
    found = x509.load_pem_x509_certificates(printed.encode("ascii"))
    assert len(found) == 2
    lines = told.splitlines()
    assert "has been renewed" in lines[0]
    for line, certificate in zip(lines[1:], found, strict=True):
        digits = certificate.fingerprint(hashes.SHA256()).hex(":").upper()
        assert line == f"SHA-256 {digits}, expires on {certificate.not_valid_after_utc:%Y-%m-%d}"
    assert found[0].not_valid_after_utc > found[1].not_valid_after_utc


def test_the_bundle_begins_with_the_systems_authorities(tmp_path: Path) -> None:
    """A company's own are among them."""
    company = OtherAuthority(tmp_path).ca_file
    environ = {"ADS_PROXY_STATE__URL": "file:state", "SSL_CERT_FILE": str(company), "SSL_CERT_DIR": str(tmp_path)}
    printed = run_ready(tmp_path, ("ca", "--bundle"), environ)
    ours = (tmp_path / "state" / "ca" / "ca.pem").read_text(encoding="ascii")
    assert printed.stdout == company.read_text(encoding="ascii") + ours


def test_a_system_without_authorities_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The clients' file would then have the proxy's own alone."""
    monkeypatch.setattr("proxy.intercept.bundle.system_authorities", lambda *_: ())
    assert print_authority(tmp_path / "ca", True, NOW) == 0
    assert "this system has no authorities" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("environ", "problem", "code"),
    [
        ({"ADS_PROXY_STATE__URL": "memory:"}, "intercept.ca_dir: is missing; name a directory", 2),
        ({"ADS_PROXY_CONFIG": "gone.yaml"}, "ADS_PROXY_CONFIG", 2),
        (
            {"ADS_PROXY_INTERCEPT__CA_DIR": "/proc/none"},
            "the authority in /proc/none can neither be read nor made: No such file",
            1,
        ),
    ],
)
def test_without_a_directory_it_says_what_to_do(
    environ: dict[str, str], problem: str, code: int, tmp_path: Path
) -> None:
    """Nothing is printed that could be mistaken for a certificate."""
    done = run_ready(tmp_path, ("ca",), environ)
    assert (done.returncode, done.stdout) == (code, "")
    assert problem in done.stderr
