"""Suggested commands carry the options of the command that runs, so that they can be typed as they stand."""

from __future__ import annotations

import pytest

from proxy import advice
from proxy.commands.cli import find_commands, load_command


@pytest.fixture(autouse=True)
def fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    """No option is in use."""
    monkeypatch.setattr("proxy.advice.options_in_use", {})


def saying(text: str, **options: str) -> str:
    """The text as a command with these options says it."""
    advice.options_in_use.update({f"--{name.replace('_', '-')}": path for name, path in options.items()})
    return advice.with_options_in_use(text)


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
    """The command carries only files of the command line: the environment's are in force for the next command too."""
    assert saying("ads-proxy check") == "ads-proxy check"
    shown = saying("ads-proxy check", config="my config.yaml", env_file=".env")
    assert shown == "ads-proxy check --config 'my config.yaml' --env-file .env"


def test_commands_without_a_configuration_are_known() -> None:
    """The commands with --config are the ones that the command line declares so."""
    loaded = {name: load_command(name) for name in find_commands()}
    single = {name: command for name, command in loaded.items() if not hasattr(command, "commands")}
    declaring = {name for name, command in single.items() if any("--config" in each.opts for each in command.params)}
    assert {name for name in single if "--config" in saying(f"ads-proxy {name}", config="my.yaml")} == declaring
