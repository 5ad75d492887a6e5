"""A running program follows the files of `accounts_from`: new, changed, deleted, and broken ones."""

from __future__ import annotations

import signal
import subprocess
from pathlib import Path

import pytest
import yaml

from tests.support.patience import PATIENCE
from tests.support.programs import require_program
from tests.support.running import Serving, SimulatedAmazon, serving

pytestmark = pytest.mark.integration


def put(folder: Path, name: str, amazon: SimulatedAmazon, *accounts: str) -> Path:
    """A file with accounts of logins of their own."""
    logins = {each: amazon.control("users", {"user": each})["refresh_token"] for each in accounts}
    entries = {each: amazon.account(refresh_token=token) for each, token in logins.items()}
    return write(folder, name, yaml.safe_dump({"accounts": entries}))


def write(folder: Path, name: str, text: str) -> Path:
    """A file of accounts, written in one step: one that is half written is one more change."""
    (folder / "accounts.d").mkdir(exist_ok=True)
    whole = folder / f"{name}.new"
    whole.write_text(text)
    return whole.replace(folder / "accounts.d" / name)


def until_served(running: Serving, account: str, status: int = 200) -> None:
    running.until(lambda: running.get(f"/@{account}/v2/profiles")[0] == status)


def test_files_of_accounts_come_change_and_go(amazon: SimulatedAmazon, tmp_path: Path) -> None:
    """Each without a restart."""
    put(tmp_path, "a.yaml", amazon, "acme")
    configuration = amazon.configuration(accounts={}, accounts_from=["accounts.d/*.yaml"])
    with serving(tmp_path, configuration) as running:
        running.until_ready()
        until_served(running, "acme")
        second = put(tmp_path, "b.yaml", amazon, "globex")
        until_served(running, "globex")
        put(tmp_path, "b.yaml", amazon, "initech")
        until_served(running, "initech")
        until_served(running, "globex", 404)
        second.unlink()
        until_served(running, "initech", 404)
        until_served(running, "acme")
        assert running.account("acme")["generation"] == 1


def test_a_broken_file_is_reported_by_name_and_leaves_the_others_in_force(
    amazon: SimulatedAmazon, tmp_path: Path
) -> None:
    """The file's last good accounts serve, a change of another file takes effect, and metrics, log and status report
    the broken one."""
    put(tmp_path, "a.yaml", amazon, "acme")
    broken = put(tmp_path, "b.yaml", amazon, "globex")
    configuration = amazon.configuration(accounts={}, accounts_from=["accounts.d/*.yaml"])
    with serving(tmp_path, configuration) as running:
        until_served(running, "globex")
        write(tmp_path, "b.yaml", "accounts: [")
        running.until(lambda: running.metric("config_last_reload_successful") == 0)
        (told,) = running.told("config_reloaded", success=False)
        assert told["problems"] == [f"{broken}: line 1, column 12: is not YAML"]
        assert running.status()["config"]["problems"] == told["problems"]
        assert running.metric("config_reloads_total", result="failure") == 1
        put(tmp_path, "a.yaml", amazon, "acme", "hooli")
        until_served(running, "hooli")
        assert running.get("/@globex/v2/profiles")[0] == 200
        put(tmp_path, "b.yaml", amazon, "globex")
        running.until(lambda: running.metric("config_last_reload_successful") == 1)
        assert running.status()["config"]["problems"] == []


def test_sighup_reads_the_files_of_accounts_too(amazon: SimulatedAmazon, tmp_path: Path) -> None:
    """At once, and it is counted although nothing changed."""
    put(tmp_path, "a.yaml", amazon, "acme")
    with serving(tmp_path, amazon.configuration(accounts={}, accounts_from=["accounts.d/*.yaml"])) as running:
        until_served(running, "acme")
        running.process.signal(signal.SIGHUP)
        running.told("config_reloaded", success=True)


def test_a_start_with_a_broken_file_ends_with_its_name(amazon: SimulatedAmazon, tmp_path: Path) -> None:
    """Exit code 2, as for every mistake of a configuration, from `serve` and from `check`."""
    put(tmp_path, "a.yaml", amazon, "acme")
    broken = write(tmp_path, "b.yaml", "accounts: {globex: {client_id: x}}")
    path = tmp_path / "proxy.yaml"
    path.write_text(yaml.safe_dump(amazon.configuration(accounts={}, accounts_from=["accounts.d/*.yaml"])))
    for command in (["serve"], ["check", "--offline"]):
        arguments = [require_program("ads-proxy"), *command, "--config", str(path)]
        ended = subprocess.run(arguments, check=False, capture_output=True, text=True, timeout=PATIENCE)
        assert ended.returncode == 2
        assert f"{broken}: accounts.globex.client_secret: is missing; add it (line 1)" in ended.stderr
