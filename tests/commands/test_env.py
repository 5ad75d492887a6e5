"""`env`: the variables for a shell, and what keeps them from being printed."""

from __future__ import annotations

import hashlib
import subprocess
import time
from pathlib import Path

import pytest
import yaml

from proxy.commands.env import authority_folder, export_lines, find_placement, notes_on, read_authority, read_key
from proxy.config import load
from proxy.errors import ConfigurationError, StartupError
from proxy.intercept.authority import Authority
from tests.support.certificates import Authority as CompanyAuthority
from tests.support.ready_program import run_ready

KEY = "a-key-of-this-client"
ACCOUNT = {"client_id": "amzn1.application-oa2-client.x", "client_secret": "s" * 20, "refresh_token": "Atzr|x"}
CLIENT = {"name": "team.eu", "key_sha256": hashlib.sha256(KEY.encode()).hexdigest()}


def written(folder: Path, **changes: object) -> Path:
    """A configuration with interception, next to the authority that the program made."""
    Authority.open(folder / "ca", time.time())
    file = folder / "proxy.yaml"
    intercept = {"enabled": True, "ca_dir": "ca"}
    file.write_text(yaml.safe_dump({"accounts": {"acme": ACCOUNT}, "intercept": intercept, **changes}))
    return file


def evaluated(printed: str, environ: dict[str, str]) -> dict[str, str]:
    """The variables of a shell after `eval "$(ads-proxy env)"`."""
    result = subprocess.run(
        ["sh", "-c", 'eval "$1"; env -0', "sh", printed], env=environ, capture_output=True, text=True, check=True
    )
    return dict(line.split("=", 1) for line in result.stdout.split("\0") if line)


def test_a_shell_gets_the_variables(tmp_path: Path) -> None:
    """Addresses, proxy and authorities; a second call in that shell prints the same."""
    config = written(tmp_path, listen="0.0.0.0:8123", clients=[CLIENT])
    key_file = tmp_path / "team.key"
    key_file.write_text(f"{KEY}\n")
    asked = ("env", "--config", str(config), "--client", "team.eu", "--key-file", str(key_file))
    first = run_ready(tmp_path, asked, {"NO_PROXY": "internal"})
    assert (first.returncode, first.stderr) == (0, "")
    found = evaluated(first.stdout, {"NO_PROXY": "internal"})
    assert found["HTTPS_PROXY"] == found["https_proxy"] == f"http://team.eu:{KEY}@127.0.0.1:8123"
    assert found["NO_PROXY"] == "internal,127.0.0.1,localhost,::1"
    assert found["AMAZON_ADS_API_URL"] == "http://127.0.0.1:8123"
    assert (found["AMAZON_AD_API_CLIENT_ID"], found["AMAZON_AD_API_CLIENT_SECRET"]) == ("team.eu", KEY)
    assert found["SSL_CERT_FILE"] == str(tmp_path / "ca" / "bundle.pem")
    assert (tmp_path / "ca" / "ca.pem").read_text() in Path(found["SSL_CERT_FILE"]).read_text()
    assert str(tmp_path / "ca" / "truststore.p12") in found["JAVA_TOOL_OPTIONS"]
    again = run_ready(tmp_path, asked, {name: value for name, value in found.items() if name not in ("PWD", "_")})
    assert (again.returncode, again.stdout, again.stderr) == (0, first.stdout, "")


def test_no_variable_is_one_that_the_proxy_reads_as_an_account(tmp_path: Path) -> None:
    """Commands of the proxy in that shell would take it for a second account."""
    printed = run_ready(tmp_path, ("env", "--config", str(written(tmp_path))), {}).stdout
    names = [line.removeprefix("export ").partition("=")[0] for line in printed.splitlines()]
    assert "AMAZON_AD_API_CLIENT_ID" in names
    assert not [name for name in names if name.startswith(("AMAZON_ADS_CLIENT_", "AMAZON_ADS_REFRESH_", "ADS_PROXY_"))]


def test_the_files_go_where_they_are_asked_to(tmp_path: Path) -> None:
    """For a shell of another user, or a volume."""
    (tmp_path / "shared").mkdir()
    printed = run_ready(tmp_path, ("env", "--config", str(written(tmp_path)), "--dir", "shared"), {}).stdout
    assert evaluated(printed, {})["SSL_CERT_FILE"] == str(tmp_path / "shared" / "bundle.pem")
    assert sorted(path.name for path in (tmp_path / "shared").iterdir()) == [
        "bundle.pem",
        "php.d",
        "truststore.p12",
        "wgetrc",
    ]
    assert sorted(path.name for path in (tmp_path / "ca").iterdir() if path.suffix) == ["ca.key", "ca.pem"]


def test_what_the_environment_loses_is_told(tmp_path: Path) -> None:
    """On standard error, so that a shell does not evaluate it; and what the proxy will ask for."""
    config = written(tmp_path, clients=[CLIENT])
    result = run_ready(tmp_path, ("env", "--config", str(config)), {"HTTPS_PROXY": "http://u:canary@proxy.corp:3128"})
    asks, loses = result.stderr.splitlines()
    assert asks == "ads-proxy: env: the proxy asks its clients for a key; add --client NAME and --key-file FILE."
    assert loses.startswith("ads-proxy: env: HTTPS_PROXY named another proxy")
    assert "canary" not in result.stdout + result.stderr
    assert evaluated(result.stdout, {})["HTTPS_PROXY"] == "http://127.0.0.1:8080"


@pytest.mark.parametrize("value", ["plain", "it's", '$HOME `x` \\ "y"', "a\nb", "'", ""])
def test_a_shell_reads_every_value_as_it_is(value: str) -> None:
    """Between single quotes nothing is replaced."""
    (line,) = export_lines({"SOME": value})
    assert line.startswith("export SOME='")
    assert evaluated(line, {})["SOME"] == value


@pytest.mark.parametrize(
    ("client", "key", "listen", "problem"),
    [
        ("team", KEY, "127.0.0.1:1", "--client: unknown client; did you mean 'team.eu'?"),
        ("team.eu", "another", "127.0.0.1:1", "--key-file: holds no key of client team.eu; see `ads-proxy keys list`"),
        ("", "", "127.0.0.1:0", "listen: the system chose the port; add --listen HOST:PORT"),
    ],
)
def test_what_cannot_lead_to_the_proxy_is_an_error(client: str, key: str, listen: str, problem: str) -> None:
    """The line says what to do."""
    environ = {"ADS_PROXY_LISTEN": listen, "ADS_PROXY_CLIENTS": yaml.safe_dump([CLIENT]), "HOME": "/home/me"}
    config = load(None, {**environ, "ADS_PROXY_ACCOUNTS": yaml.safe_dump({"acme": ACCOUNT})})
    with pytest.raises(ConfigurationError) as caught:
        find_placement(config, "", client, key)
    assert caught.value.problems == (problem,)


@pytest.mark.parametrize(
    ("client", "file", "problem"),
    [
        ("x", None, "--client: the proxy identifies a client by its key; add --key-file FILE"),
        ("", "key", "--key-file: whose key is it? Add --client NAME"),
        ("x", "gone", "--key-file: gone: No such file or directory"),
        ("x", "binary", "--key-file: binary: is not a text in UTF-8"),
    ],
)
def test_a_client_has_a_key(
    client: str, file: str | None, problem: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One without the other, or a file of no use, is an error."""
    monkeypatch.chdir(tmp_path)
    Path("key").write_text(KEY)
    Path("binary").write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigurationError) as caught:
        read_key(client, Path(file) if file else None)
    assert caught.value.problems == (problem,)
    assert read_key("x", Path("key")) == KEY
    assert read_key("", None) == ""


def test_clients_that_cannot_use_tls_to_a_proxy_are_told(tmp_path: Path) -> None:
    """Where the listener has TLS; one with plain HTTP suits all."""
    CompanyAuthority(tmp_path).context("127.0.0.1")
    pem = str(tmp_path / "127.0.0.1.pem")
    environ = {"ADS_PROXY_ACCOUNTS": yaml.safe_dump({"acme": ACCOUNT}), "HOME": "/home/me"}
    assert notes_on(load(None, environ), "") == []
    (note,) = notes_on(load(None, {**environ, "ADS_PROXY_TLS": yaml.safe_dump({"cert": pem, "key": pem})}), "")
    assert note.startswith("the client listener has TLS")


def test_interception_has_to_be_on() -> None:
    """The line says what to add."""
    with pytest.raises(ConfigurationError, match=r"add `intercept: \{enabled: true\}` to the configuration"):
        authority_folder(load(None, {"ADS_PROXY_ACCOUNTS": yaml.safe_dump({"acme": ACCOUNT})}))


def test_the_proxy_makes_the_authority(tmp_path: Path) -> None:
    """Nothing is written before its first start."""
    config = written(tmp_path, intercept={"enabled": True, "ca_dir": "other"})
    result = run_ready(tmp_path, ("env", "--config", str(config)), {})
    assert (result.returncode, result.stdout) == (1, "false\n")
    problem = f"env: {tmp_path}/other/ca.pem is missing; start or restart the proxy, which makes it"
    assert result.stderr == f"ads-proxy: {problem}\n"
    assert not (tmp_path / "other").exists()


def test_a_script_stops_where_there_are_no_variables(tmp_path: Path) -> None:
    """The script would call Amazon without the proxy otherwise."""
    printed = run_ready(tmp_path, ("env", "--config", str(tmp_path / "missing.yaml")), {}).stdout
    script = ["sh", "-c", 'set -e; eval "$1"; echo went on', "sh", printed]
    assert subprocess.run(script, capture_output=True, text=True, check=False).stdout == ""


def test_another_user_cannot_read_the_authority(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The line says whose files they are. A user that may read everything finds a file instead of the folder."""
    (tmp_path / "ca").touch()
    with pytest.raises(StartupError, match=f"env: {tmp_path}/ca/ca.pem: Not a directory; run this as the proxy's user"):
        read_authority(tmp_path / "ca")
