"""What most tests of commands start is like the program that a user starts."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.patience import PATIENCE
from tests.support.processes import ReadyProcess
from tests.support.ready_program import ROOT, ready, run, run_ready

pytestmark = pytest.mark.integration


def start(folder: Path, command: list[str], **environ: str) -> subprocess.Popen[bytes]:
    """With an environment and streams of its own."""
    needed = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "HOME": str(folder), "COLUMNS": "200"}
    pipe = subprocess.PIPE
    return subprocess.Popen(command, cwd=folder, env={**needed, **environ}, stdin=pipe, stdout=pipe, stderr=pipe)


@pytest.mark.parametrize(
    ("arguments", "typed", "code"),
    [
        ("--help", b"", 0),
        ("keys list", b"", 2),
        ("check --config proxy.yaml", b"", 2),
        ("logs", b'{"event": "server_started", "level": "info"}\n', 0),
    ],
)
def test_both_say_the_same(tmp_path: Path, arguments: str, typed: bytes, code: int) -> None:
    """Byte by byte, of the same arguments, environment, folder and input; the exit code, too."""
    (tmp_path / "proxy.yaml").write_text("listen: ${HERE}")
    ends = []
    for command in ([sys.executable, "-m", "proxy"], ready()):
        process = start(tmp_path, [*command, *arguments.split()], HERE="nowhere")
        ends.append((*process.communicate(typed, timeout=PATIENCE), process.returncode))
    assert ends[0] == ends[1]
    assert ends[0][2] == code


def test_without_a_process_in_between_it_says_the_same(tmp_path: Path) -> None:
    """Standard output and error, and the exit code."""
    for arguments in (["version"], ["check", "--config", "none"]):
        through = run(tmp_path, ready(*arguments), {})
        directly = run_ready(tmp_path, arguments, {})
        assert (directly.stdout, directly.stderr) == (through.stdout, through.stderr)
        assert directly.returncode == through.returncode


def test_a_test_that_stops_waiting_ends_the_program(tmp_path: Path) -> None:
    """No program is left behind by a test that gave it up: its end of the streams is closed."""
    process = start(tmp_path, ready("logs"))
    assert process.stdout is not None
    process.send_signal(signal.SIGKILL)
    assert process.stdout.read() == b""
    process.communicate()


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 0), (signal.SIGKILL, -signal.SIGKILL)])
def test_a_server_is_signalled_and_waited_for_as_a_child(number: int, code: int) -> None:
    """The server gets the signal itself, and its exit code is as in `subprocess`."""
    server = ReadyProcess("proxy.simulator", "--base-port", "0")
    try:
        server.first(lambda line: "control_url" in line)
        assert server.child.poll() is None
        assert Path(f"/proc/{server.pid}").exists()
        server.signal(number)
        assert server.wait() == code
        assert not Path(f"/proc/{server.pid}").exists()
    finally:
        server.end()
