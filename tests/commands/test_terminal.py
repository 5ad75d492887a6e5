"""What commands say beside their answer: the commands that they suggest can be typed as they stand."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from proxy.commands import terminal
from proxy.commands.cli import find_commands, load_command
from proxy.commands.status import print_status
from proxy.config import Address
from tests.admin.fixtures import FAILURE, FakeProgram, administer, credential
from tests.commands.test_cli import run


@pytest.fixture(autouse=True)
def fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    """No option is in use."""
    monkeypatch.setattr("proxy.commands.terminal.options_in_use", {})


def saying(text: str, **options: str) -> str:
    """The text as a command with these options says it."""
    terminal.options_in_use.update({f"--{name.replace('_', '-')}": path for name, path in options.items()})
    return terminal.with_options_in_use(text)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("run `ads-proxy login main`, or", "run `ads-proxy login main --config my.yaml`, or"),
        ("ads-proxy keys expire reporting", "ads-proxy keys expire reporting --config my.yaml"),
        ("first:\n  ads-proxy check\nthen", "first:\n  ads-proxy check --config my.yaml\nthen"),
        ("`ads-proxy login a` or `ads-proxy invite a`", "`ads-proxy login a --config my.yaml` or `ads-proxy invite a"),
        ("try `ads-proxy demo`", "try `ads-proxy demo`"),
        ("`ads-proxy serve --config other.yaml`", "`ads-proxy serve --config other.yaml`"),
        ("`ads-proxy run -- python a.py`", "`ads-proxy run --config my.yaml -- python a.py`"),
        ("the log of ads-proxy says more", "the log of ads-proxy says more"),
        ("ads-proxy: accounts: missing", "ads-proxy: accounts: missing"),
    ],
)
def test_a_suggested_command_carries_the_configuration_in_use(text: str, shown: str) -> None:
    """Wherever it stands; other mentions of the program stay as they are."""
    assert saying(text, config="my.yaml").startswith(shown)


def test_every_file_in_use_is_carried_and_quoted() -> None:
    """Of the command line only: what the environment names is in force for the next command too."""
    assert saying("ads-proxy check") == "ads-proxy check"
    shown = saying("ads-proxy check", config="my config.yaml", env_file=".env")
    assert shown == "ads-proxy check --config 'my config.yaml' --env-file .env"


def test_commands_without_a_configuration_are_known() -> None:
    """Those that the command line declares with --config."""
    loaded = {name: load_command(name) for name in find_commands()}
    single = {name: command for name, command in loaded.items() if not hasattr(command, "commands")}
    declaring = {name for name, command in single.items() if any("--config" in each.opts for each in command.params)}
    assert {name for name in single if "--config" in saying(f"ads-proxy {name}", config="my.yaml")} == declaring


def test_keys_and_check_say_what_to_type(tmp_path: Path) -> None:
    """By the real commands."""
    (tmp_path / "my.yaml").write_text(
        "accounts: {main: {client_id: x, client_secret: s}}\n"
        f"clients: [{{name: reporting, key_sha256: {'ab' * 32}}}]\n"
        "regions: {na: {token_url: 'http://127.0.0.1:1/auth/o2/token'}}\n"
        f"state: {{url: 'file:{tmp_path}/state'}}\n"
    )
    made = run(tmp_path, "keys", "new", "reporting", "--config", "my.yaml")
    assert made.stderr.endswith("\nads-proxy keys expire reporting abababababab --config my.yaml\n")
    checked = run(tmp_path, "check", "--config", "my.yaml")
    assert "Sign in: `ads-proxy login main --config my.yaml`." in checked.stderr


async def test_status_says_what_to_type(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """The running program does not know where its configuration is for the person who asks; the command does."""
    monkeypatch.setitem(terminal.options_in_use, "--config", "my.yaml")
    status = credential("acme", "revoked", expires_at=None, last_failure=FAILURE, advice="Run `ads-proxy login acme`.")
    async with administer(FakeProgram(statuses=(status,))) as knocker:
        address = Address("127.0.0.1", knocker.port)
        await asyncio.to_thread(print_status, address, None, as_json=False)
    assert "`ads-proxy login acme --config my.yaml`" in capsys.readouterr().out


def test_problems_are_told_without_keys_of_clients(capsys: pytest.CaptureFixture[str]) -> None:
    """Whoever wrote one in the wrong place may show the line to others."""
    terminal.complain("--admin: adsproxy_SECRETSECRET is no address\nclients: incomplete")
    assert capsys.readouterr().err == "ads-proxy: --admin: adsproxy_*** is no address\nads-proxy: clients: incomplete\n"
