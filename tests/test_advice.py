"""Suggested commands can be pasted: they name the program by what works, with the options of the command that runs."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from proxy import advice
from proxy.commands.cli import find_commands, load_command


@pytest.fixture(autouse=True)
def fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    """No option is in use, and nothing is known of the program."""
    monkeypatch.setattr("proxy.advice.options_in_use", {})
    advice.program.cache_clear()


def saying(text: str, **options: str) -> str:
    """The text as a command with these options says it."""
    advice.options_in_use.update({f"--{name.replace('_', '-')}": path for name, path in options.items()})
    return advice.ready_to_paste(text)


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
        ("ads-proxy check: all is well", "ads-proxy check: all is well"),
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


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A program in `.venv/bin` of the current folder, which is not on PATH."""
    script = tmp_path / "a clone" / ".venv" / "bin" / "ads-proxy"
    script.parent.mkdir(parents=True)
    script.write_text("#!/bin/sh\n")
    script.chmod(0o755)
    monkeypatch.chdir(tmp_path / "a clone")
    monkeypatch.setenv("PATH", str(tmp_path))
    return script


@pytest.mark.parametrize(
    ("folder", "started", "shown"),
    [
        (".", ".venv/bin/ads-proxy", ".venv/bin/ads-proxy"),
        (".", "{script}", ".venv/bin/ads-proxy"),
        (".venv/bin", "./ads-proxy", "./ads-proxy"),
        ("..", "a clone/.venv/bin/ads-proxy", "'a clone/.venv/bin/ads-proxy'"),
        (".venv/lib", "../bin/ads-proxy", "'{script}'"),
        (".", "proxy/__main__.py", "ads-proxy"),
        (".", "gone/ads-proxy", "ads-proxy"),
    ],
)
def test_a_program_that_is_not_on_path_is_named_by_a_path(
    folder: str, started: str, shown: str, installed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that leads to it from the current folder, in words that a shell takes as they stand."""
    Path(".venv/lib").mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.setattr("sys.argv", [started.format(script=installed), "serve"])
    shown = shown.format(script=installed)
    said = saying("run `ads-proxy check`, or `ads-proxy nothing`", config="my.yaml")
    assert said == f"run `{shown} check --config my.yaml`, or `ads-proxy nothing`"
    assert advice.with_program("Example: ads-proxy check --offline") == f"Example: {shown} check --offline"


def test_a_program_on_path_is_named_by_its_name(
    installed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A link there leads to it too. Another program of this name is not meant."""
    monkeypatch.setattr("sys.argv", [str(installed)])
    other = tmp_path / "ads-proxy"
    other.write_text("#!/bin/sh\n")
    other.chmod(0o755)
    assert saying("`ads-proxy check`") == "`.venv/bin/ads-proxy check`"
    advice.program.cache_clear()
    other.unlink()
    other.symlink_to(installed)
    assert saying("`ads-proxy check`") == "`ads-proxy check`"


def test_what_the_installed_program_suggests_works_when_it_is_pasted(tmp_path: Path) -> None:
    """In its help, and in an error: with the program in no folder of PATH."""
    script = Path(sys.executable).parent / "ads-proxy"
    environ = {"PATH": "/usr/bin:/bin", "HOME": str(tmp_path)}

    def run(*words: str) -> str:
        done = subprocess.run(words, cwd=tmp_path, env=environ, capture_output=True, text=True, check=False)
        return done.stdout + done.stderr

    assert f"try `{script} demo`" in run(str(script), "check")
    helped = run(str(script), "keys", "--help").replace("│", "").split()
    command = helped[helped.index("Example:") + 1 : helped.index("reporting") + 1]
    assert "adsproxy_" in run(*command)
