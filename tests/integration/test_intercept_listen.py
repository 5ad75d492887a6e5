"""Clients that ignore HTTPS_PROXY: Amazon's names lead them to a TLS listener of the proxy, with real curl."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import socket
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from proxy.intercept.hosts import AMAZON_HOSTS
from tests.support.patience import PATIENCE
from tests.support.programs import ROOT, require_program
from tests.support.running import Serving, SimulatedAmazon, serving

pytestmark = pytest.mark.integration

NA, EU, LOGIN = "advertising-api.amazon.com", "advertising-api-eu.amazon.com", "api.amazon.com"
KEY = "a-key-of-its-own-for-the-agent"


def configuration(amazon: SimulatedAmazon, folder: Path, **changes: Any) -> dict[str, Any]:
    """A configuration with the listener, at any port."""
    section = {"enabled": True, "ca_dir": str(folder / "ca"), "listen": "127.0.0.1:0"}
    return amazon.configuration(intercept=section, **changes)


def curl(running: Serving, folder: Path, url: str, *options: str) -> tuple[int, bytes]:
    """The status that curl gets at one of Amazon's addresses, 0 for none, and the body. Its name leads here."""
    listener = running.started["intercept_listen"]
    trusted = ("--cacert", str(folder / "ca" / "ca.pem"), "--connect-to", f"::{listener}")
    told = ("--silent", "--max-time", str(PATIENCE), "--write-out", "\n%{http_code}")
    found = subprocess.run(
        [require_program("curl"), *trusted, *told, *options, url], capture_output=True, check=False, timeout=PATIENCE
    )
    body, _, status = found.stdout.rpartition(b"\n")
    return int(status), body


def test_curl_logs_in_lists_and_is_told_apart_by_name(amazon: SimulatedAmazon, tmp_path: Path) -> None:
    """Unchanged addresses: the login ends here, each region's host leads to its region, and other names fail."""
    with serving(tmp_path, configuration(amazon, tmp_path)) as running:
        running.until_listed()
        form = "grant_type=refresh_token&client_id=x&client_secret=y&refresh_token=acme"
        status, body = curl(running, tmp_path, f"https://{LOGIN}/auth/o2/token", "--data", form)
        assert status == 200
        token = f"Authorization: Bearer {json.loads(body)['access_token']}"
        for host in (NA, EU):
            listed = running.get(f"/{'na' if host == NA else 'eu'}/v2/profiles")
            status, body = curl(running, tmp_path, f"https://{host}/v2/profiles", "--header", token)
            assert (status, json.loads(body)) == (listed[0], json.loads(listed[1]))
        assert curl(running, tmp_path, "https://example.com/")[0] == 0
        assert curl(running, tmp_path, f"https://{NA}/v2/profiles", "--header", f"Host: {EU}")[0] == 421
        assert running.metric("intercept_authority_expiry_timestamp_seconds") > 2e9
        [loaded] = running.told("authority_loaded")
        assert loaded["file"] == str(tmp_path / "ca" / "ca.pem")


def test_each_request_needs_a_key_where_clients_are_configured(amazon: SimulatedAmazon, tmp_path: Path) -> None:
    """Names in a hosts file identify nobody."""
    clients = [{"name": "agent", "keys": [{"sha256": hashlib.sha256(KEY.encode()).hexdigest()}]}]
    with serving(tmp_path, configuration(amazon, tmp_path, clients=clients)) as running:
        running.until_ready()
        assert curl(running, tmp_path, f"https://{NA}/v2/profiles")[0] == 401
        keyed = ("--header", f"X-Ads-Proxy-Key: {KEY}")
        assert curl(running, tmp_path, f"https://{NA}/v2/profiles", *keyed)[0] == 200
        form = f"grant_type=refresh_token&client_id=agent&client_secret={KEY}&refresh_token=acme"
        login = json.loads(curl(running, tmp_path, f"https://{LOGIN}/auth/o2/token", "--data", form)[1])
        placeholder = ("--header", f"Authorization: Bearer {login['access_token']}")
        assert curl(running, tmp_path, f"https://{NA}/v2/profiles", *placeholder)[0] == 200


def test_it_drains_with_the_listener_for_clients(amazon: SimulatedAmazon, tmp_path: Path) -> None:
    """What runs gets its answer, and nothing new is accepted."""
    with serving(tmp_path, configuration(amazon, tmp_path)) as running:
        running.until_ready()
        amazon.fault({"delay": 3.0}, path="/sim/slow")
        slow = subprocess.Popen(
            [
                *(require_program("curl"), "--silent", "--write-out", "%{http_code}", "--output", os.devnull),
                *("--cacert", tmp_path / "ca" / "ca.pem", "--connect-to", f"::{running.started['intercept_listen']}"),
                f"https://{NA}/sim/slow",
            ],
            stdout=subprocess.PIPE,
        )
        running.until(lambda: running.status()["connections"]["in_flight"] == 1)
        assert running.stop()[0] == 0
        assert slow.communicate(timeout=PATIENCE)[0] == b"200"
        with pytest.raises(ConnectionRefusedError):
            host, _, port = running.started["intercept_listen"].rpartition(":")
            socket.create_connection((host, int(port)))


def test_one_command_can_have_a_hosts_file_of_its_own(tmp_path: Path) -> None:
    """The command of docs/how-to/clients/by-name.md works for any user who may make a namespace."""
    if subprocess.run(["unshare", "--user", "--mount", "true"], capture_output=True, check=False).returncode != 0:
        pytest.skip("this user may make no namespaces")
    page = (ROOT / "docs" / "how-to" / "clients" / "by-name.md").read_text(encoding="utf-8")
    [_, block] = page.split("### For one command\n\n")
    written = textwrap.dedent(block.partition("\n\n")[0]).replace("COMMAND", f"getent hosts {LOGIN}")
    before = Path("/etc/hosts").read_bytes()
    found = subprocess.run(["sh", "-ec", written], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert found.stdout.split() == ["127.0.0.1", LOGIN], found.stderr
    assert Path("/etc/hosts").read_bytes() == before


def _may_mount() -> bool:
    if os.geteuid() != 0 or shutil.which("unshare") is None:
        return False
    return subprocess.run(["unshare", "--mount", "true"], capture_output=True, check=False).returncode == 0


@pytest.fixture
def with_names(tmp_path: Path) -> Iterator[tuple[str | Path, ...]]:
    """What a command begins with in whose hosts file Amazon's names lead to this machine."""
    if not _may_mount():
        pytest.skip("only root can give a process another hosts file")
    file = tmp_path / "hosts"
    file.write_text("".join(f"127.0.0.1 {host}\n" for host in ("localhost", *AMAZON_HOSTS)))
    yield ("unshare", "--mount", "sh", "-c", f'mount --bind {file} /etc/hosts && exec "$@"', "sh")


def test_names_that_lead_the_proxy_to_itself_are_reported(
    amazon: SimulatedAmazon, tmp_path: Path, with_names: tuple[str | Path, ...]
) -> None:
    """Instead of requests without end: in the response, and by `check` before the program runs."""
    wanted = configuration(amazon, tmp_path)
    wanted["regions"]["na"]["api_url"] = f"https://{NA}"
    with serving(tmp_path, wanted, prefix=with_names) as running:
        running.told("credential_state_changed", new="valid")
        status, body = curl(running, tmp_path, f"https://{NA}/v2/campaigns")
        problem = json.loads(body)
        assert (status, problem["type"].rpartition(":")[2]) == (502, "upstream-name-unresolved")
        assert problem["detail"].startswith(f"The name {NA} leads back to the proxy, by a hosts file or an alias")
        checked = subprocess.run(
            [*with_names, sys.executable, "-m", "proxy", "check", "--config", running.path],
            capture_output=True,
            text=True,
            check=False,
            timeout=PATIENCE,
        )
        assert f"the name {NA} leads back to the proxy" in checked.stderr
        assert checked.returncode == 1
