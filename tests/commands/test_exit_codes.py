"""The exit codes of docs/reference/cli.md, by processes; those of `run` are tried in
tests/integration/test_run_command.py."""

from __future__ import annotations

import re
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.commands.test_cli import ROOT
from tests.support.processes import free_port
from tests.support.ready_program import run, run_ready

pytestmark = pytest.mark.integration

PAGE = (ROOT / "docs" / "reference" / "cli.md").read_text(encoding="utf-8")
OF_RUN = ("126", "127", "137")


FROM_THE_START = ("version", "healthcheck", "check")
"""Commands that are run from the interpreter's start on, as a user has it: one for each code."""


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        ("version", 0),
        ("keys new reporting", 0),
        ("healthcheck", 1),
        ("status", 1),
        ("logs none", 1),
        ("check", 2),
        ("check --nonsense", 2),
        ("nonsense", 2),
        ("serve --config none", 2),
        ("run", 2),
        ("init --no-ask", 2),
    ],
)
def test_a_command_ends_as_the_table_says(tmp_path: Path, arguments: str, code: int) -> None:
    """The code is 0 for success, 1 for a problem that the command found, 2 for a mistake on the command line."""
    environ = {"COLUMNS": "200", "ADS_PROXY_ADMIN_LISTEN": f"127.0.0.1:{free_port()}"}
    if arguments in FROM_THE_START:
        result = run(tmp_path, [sys.executable, "-m", "proxy", *arguments.split()], environ)
    else:
        result = run_ready(tmp_path, arguments.split(), environ)
    assert result.returncode == code
    assert "Traceback" not in result.stderr


def test_ctrl_c_is_130(tmp_path: Path) -> None:
    """Where a command is broken off that would have gone on."""
    script = "import threading, os, signal; from proxy.commands import wait; "
    script += "signal.signal(signal.SIGINT, signal.default_int_handler); "  # a background job of a shell ignores it
    script += "wait.INTERVAL = 0.01; real = wait._ask\n"
    script += "def ask(*given):\n    os.kill(os.getpid(), signal.SIGINT)\n    return real(*given)\n"
    script += "wait._ask = ask; import sys; sys.argv = ['ads-proxy', 'wait', '--admin-listen', '127.0.0.1:9']\n"
    script += "from proxy.commands.cli import main; main()"
    ended = run(tmp_path, [sys.executable, "-c", script], {"COLUMNS": "200"})
    assert (ended.returncode, ended.stdout) == (128 + signal.SIGINT, "")
    assert "Traceback" not in ended.stderr


def test_every_code_of_the_table_is_tried() -> None:
    """Here, or with `run`."""
    rows = re.findall(r"^\| ([0-9]+|any other) \|", PAGE, re.MULTILINE)
    assert rows == ["0", "1", "2", "126", "127", "130", "any other"]
    elsewhere = (ROOT / "tests" / "integration" / "test_run_command.py").read_text(encoding="utf-8")
    assert [code for code in OF_RUN if code not in elsewhere] == []


def test_a_closed_standard_input_is_an_empty_one(tmp_path: Path) -> None:
    """A supervisor may start a command without any: it asks nothing, and says which options it needs."""
    command = f"{shlex.quote(sys.executable)} -m proxy init {shlex.quote(str(tmp_path / 'new'))} <&-"
    ended = subprocess.run(["/bin/sh", "-c", command], capture_output=True, text=True, check=False)
    assert ended.returncode == 2
    assert ended.stderr.startswith("ads-proxy: --client-id and --client-secret-file: missing, and there is no terminal")
