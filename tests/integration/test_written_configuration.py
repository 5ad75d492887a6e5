"""Commands that change the configuration of a running proxy: what they write is in force after the next reload."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.commands.test_cli import run
from tests.support.running import Serving, SimulatedAmazon, serving, simulated_amazon

pytestmark = pytest.mark.integration

KEY = "adsproxy_a-key-of-some-length"
CLIENT = {"name": "tool", "key_sha256": hashlib.sha256(KEY.encode()).hexdigest()}


@pytest.fixture(scope="module")
def amazon() -> Iterator[SimulatedAmazon]:
    with simulated_amazon() as started:
        yield started


def status(running: Serving, key: str, path: str = "/v2/profiles") -> int:
    return running.get(path, {"X-Ads-Proxy-Key": key})[0]


def change(folder: Path, *command: str) -> str:
    """Run a command that changes the file; what it prints."""
    ended = run(folder, *command, "--config", "proxy.yaml")
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


def test_clients_and_keys_are_in_force_as_they_are_written(amazon: SimulatedAmazon, tmp_path: Path) -> None:
    """The commands write a new client with its rights, a second key next to the first, and the removal of a client; the
    program is not restarted."""
    with serving(tmp_path, amazon.configuration(clients=[CLIENT])) as running:
        running.until_ready()
        path = tmp_path / "proxy.yaml"
        path.write_text("# Mine.\n" + path.read_text())
        made = yaml.safe_load(change(tmp_path, "client", "add", "shop", "--method", "GET", "--path", "/v2/*"))
        running.until(lambda: status(running, made["key"]) == 200)
        assert status(running, made["key"], "/sp/campaigns") == 403
        second = yaml.safe_load(change(tmp_path, "keys", "new", "tool", "--note", "second"))
        running.until(lambda: status(running, second["key"]) == 200)
        assert status(running, KEY) == 200
        change(tmp_path, "client", "remove", "shop")
        running.until(lambda: status(running, made["key"]) == 401)
        assert (status(running, KEY), status(running, second["key"])) == (200, 200)
        assert path.read_text().startswith("# Mine.\n")
        assert running.events("config_reloaded", success=False) == []


def test_a_report_is_ordered_once_it_is_written(amazon: SimulatedAmazon, tmp_path: Path) -> None:
    """The first run begins at once, and clients find the report."""
    with serving(tmp_path, amazon.configuration(clients=[CLIENT])) as running:
        running.until_ready()
        change(tmp_path, "report", "add", "spCampaigns", "--days", "2", "--keep-dir", "kept")
        running.told("report_run_started", report="sp-campaigns")
        listed = json.loads(running.get("/-/reports", {"X-Ads-Proxy-Key": KEY})[1])["reports"]
        assert [(each["name"], each["account"]) for each in listed] == [("sp-campaigns", "acme")]


def test_changed_limits_and_expired_keys_are_in_force(amazon: SimulatedAmazon, tmp_path: Path) -> None:
    """A client gets less and more by command, and its key expires; the program is not restarted."""
    with serving(tmp_path, amazon.configuration(clients=[CLIENT])) as running:
        running.until_ready()
        change(tmp_path, "client", "edit", "tool", "--path", "/sp/*")
        running.until(lambda: status(running, KEY) == 403)
        change(tmp_path, "client", "allow", "tool", "--path", "/v2/*")
        running.until(lambda: status(running, KEY) == 200)
        change(tmp_path, "keys", "expire", "tool")
        running.until(lambda: status(running, KEY) == 401)
        assert running.events("config_reloaded", success=False) == []
