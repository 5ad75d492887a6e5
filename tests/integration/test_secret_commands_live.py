"""A running program takes secrets from commands: a new one takes effect, one that fails or hangs changes nothing."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support.patience import PATIENCE
from tests.support.processes import until
from tests.support.ready_program import run_ready
from tests.support.running import Load, Serving, SimulatedAmazon, replace_file, serving

pytestmark = pytest.mark.integration

SCRIPT = """#!/bin/sh
echo "$PPID $$" >> runs
[ -e hang ] && exec sleep 1000
[ -e fail ] && { echo "permission denied for $(cat token)" >&2; exit 2; }
cat token
"""


class Vault:
    """A program that prints a refresh token, in a folder whose files say what it does."""

    def __init__(self, folder: Path, token: str) -> None:
        self.folder = folder
        (folder / "get-token").write_text(SCRIPT)
        (folder / "get-token").chmod(0o700)
        self.keep(token)

    def keep(self, token: str) -> None:
        replace_file(self.folder / "token", f"{token}\n")

    def now(self, does: str) -> None:
        (self.folder / does).write_text("")

    def no_more(self, does: str) -> None:
        (self.folder / does).unlink()

    def runs(self) -> list[tuple[int, int]]:
        """The parent and the process of each run."""
        file = self.folder / "runs"
        lines = file.read_text().splitlines() if file.exists() else []
        return [(int(parent), int(process)) for parent, process in map(str.split, lines)]


@pytest.fixture
def vault(amazon: SimulatedAmazon, tmp_path: Path) -> Vault:
    return Vault(tmp_path, amazon.facts["refresh_token"])


def configuration(amazon: SimulatedAmazon, every: object = None, **changes: Any) -> dict[str, Any]:
    source = {"command": ["./get-token"], **({"every": every} if every else {})}
    return amazon.configuration(accounts={"acme": amazon.account(refresh_token=source)}, **changes)


def of_another_user(amazon: SimulatedAmazon) -> str:
    token: str = amazon.control("users", {"user": "second"})["refresh_token"]
    return token


def problems(running: Serving) -> list[str]:
    found: list[str] = running.status()["config"]["problems"]
    return found


def is_gone(pid: int) -> bool:
    return not Path(f"/proc/{pid}").exists()


def test_a_new_output_is_used_without_a_restart_or_a_failed_request(
    amazon: SimulatedAmazon, tmp_path: Path, vault: Vault
) -> None:
    """At its interval, under load."""
    with serving(tmp_path, configuration(amazon, "1s")) as running:
        running.until_ready()
        generation = running.account()["generation"]
        with Load(running) as load:
            running.until(lambda: load.total)
            vault.keep(of_another_user(amazon))
            running.until(lambda: running.account()["generation"] > generation)
        assert (set(load.statuses), load.failures) == ({200}, [])
        assert running.told("config_reloaded", success=True)[0]["changed"] == ["accounts"]
        assert {parent for parent, _ in vault.runs()} == {running.process.pid}
        assert running.metric("secret_command_runs_total", result="success") >= 2


def test_a_reload_runs_the_command_and_a_failure_keeps_the_last_value(
    amazon: SimulatedAmazon, tmp_path: Path, vault: Vault
) -> None:
    """Log and `/status` tell it without the secret that the command complained of, until the command works again."""
    with serving(tmp_path, configuration(amazon)) as running:
        running.until_ready()
        assert len(vault.runs()) == 1
        vault.now("fail")
        running.process.signal(signal.SIGHUP)
        running.until(lambda: problems(running))
        (problem,) = problems(running)
        assert problem == (
            "accounts.acme.refresh_token: the command ./get-token ended with exit code 2; it wrote: "
            '"permission denied for ***"; the last value stays in use'
        )
        (line,) = running.told("secret_command_ran")
        assert line["level"] == "error"
        assert (line["program"], line["keys"]) == ("./get-token", ["accounts.acme.refresh_token"])
        assert line["stderr"] == "permission denied for ***"
        assert running.get("/v2/profiles")[0] == 200
        assert running.metric("secret_command_runs_total", result="failure") == 1
        vault.no_more("fail")
        running.process.signal(signal.SIGHUP)
        running.until(lambda: not problems(running))
        assert running.told("secret_command_ran", 2)[1]["recovered"] is True
        assert amazon.facts["refresh_token"] not in "".join(running.process.output.lines)


def test_a_command_that_hangs_delays_neither_requests_nor_other_changes_nor_the_end(
    amazon: SimulatedAmazon, tmp_path: Path, vault: Vault
) -> None:
    """A changed file takes effect meanwhile, and SIGTERM kills the command."""
    with serving(tmp_path, configuration(amazon)) as running:
        running.until_ready()
        vault.now("hang")
        running.process.signal(signal.SIGHUP)
        running.until(lambda: len(vault.runs()) == 2)
        _, hanging = vault.runs()[1]
        routes = {"brand": {"account": "acme"}}
        running.write(configuration(amazon, routes=routes))
        running.until(lambda: running.get("/@brand/v2/profiles")[0] == 200)
        assert not is_gone(hanging)
        assert problems(running) == []
        assert running.stop()[0] == 0
        until(lambda: is_gone(hanging))


def test_a_command_that_is_added_and_fails_leaves_the_configuration_as_it_was(
    amazon: SimulatedAmazon, tmp_path: Path, vault: Vault
) -> None:
    """The reload fails, and the command runs again by itself at its interval, not at each look at the files."""
    with serving(tmp_path, amazon.configuration()) as running:
        running.until_ready()
        vault.now("fail")
        running.write(configuration(amazon, "2s"))
        running.until(lambda: problems(running))
        expected = "accounts.acme.refresh_token: the command ./get-token ended with exit code 2"
        assert problems(running)[0].startswith(expected)
        assert running.get("/v2/profiles")[0] == 200
        vault.no_more("fail")
        running.until(lambda: not problems(running))
        running.told("config_reloaded", success=True)


def test_no_process_stays(amazon: SimulatedAmazon, tmp_path: Path, vault: Vault) -> None:
    """After many runs the program has no child that ended."""
    with serving(tmp_path, configuration(amazon, 1)) as running:
        running.until_ready()
        running.until(lambda: len(vault.runs()) >= 4)
        children = Path(f"/proc/{running.process.pid}/task/{running.process.pid}/children").read_text().split()
        states = [Path(f"/proc/{child}/stat") for child in children]
        assert [state for state in states if state.exists() and ") Z " in state.read_text()] == []


def test_a_failure_at_the_start_ends_the_program(tmp_path: Path) -> None:
    """`serve` and `check` exit with code 2, and say the key, the command, its exit code and what it complained of."""
    vault = Vault(tmp_path, "Atzr|canary")
    vault.now("fail")
    account = {"client_id": "x", "client_secret": "y", "refresh_token": {"command": ["./get-token"]}}
    (tmp_path / "proxy.yaml").write_text(json.dumps({"accounts": {"acme": account}}))
    for command in (["serve"], ["check", "--offline"]):
        ended = run_ready(tmp_path, [*command, "--config", "proxy.yaml"], {})
        assert ended.returncode == 2
        assert ended.stderr.splitlines() == [
            "ads-proxy: accounts.acme.refresh_token: the command ./get-token ended with exit code 2; it wrote: "
            '"permission denied for ***" (line 1)'
        ]


def test_a_signal_during_the_start_ends_the_command(tmp_path: Path) -> None:
    """Before the program serves, it has nothing else to end."""
    vault = Vault(tmp_path, "Atzr|canary")
    vault.now("hang")
    account = {"client_id": "x", "client_secret": "y", "refresh_token": {"command": ["./get-token"]}}
    (tmp_path / "proxy.yaml").write_text(json.dumps({"accounts": {"acme": account}}))
    command = [sys.executable, "-m", "proxy", "serve", "--config", str(tmp_path / "proxy.yaml")]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        until(vault.runs)
        process.send_signal(signal.SIGTERM)
        assert process.wait(PATIENCE) == -signal.SIGTERM
    (parent, hanging), *_ = vault.runs()
    assert parent == process.pid
    until(lambda: is_gone(hanging))
