"""Programs as processes of their own: starting and ending them, what they print, and asking them over HTTP.

Nothing is asserted about behaviour here.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import json
import os
import re
import resource
import secrets
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from tests.support.patience import PATIENCE
from tests.support.programs import ROOT
from tests.support.ready_program import Interpreter, ReadyChild

FREE_PORTS = range(12_000, 32_000)
OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))
"""Made once: from Python 3.12 on each one reads the system's certificates, which takes seven milliseconds."""
_END_WITH_PARENT = 1
_C = ctypes.CDLL(None)


@dataclass
class Output:
    """A process's standard output, read by a thread so that it never fills up."""

    stream: IO[str]
    lines: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._entries: list[dict[str, Any]] = []
        self._entries_of = 0
        self._parsing = threading.Lock()
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()

    def _read(self) -> None:
        with contextlib.suppress(ValueError):
            self.lines.extend(iter(self.stream.readline, ""))

    def entries(self) -> list[dict[str, Any]]:
        """The JSON objects among the lines. Each line is parsed once: tests ask again and again until one comes."""
        with self._parsing:
            new = self.lines[self._entries_of :]
            self._entries_of += len(new)
            for line in new:
                with contextlib.suppress(json.JSONDecodeError):
                    value = json.loads(line)
                    if isinstance(value, dict):
                        self._entries.append(value)
            return list(self._entries)

    def wait_for(self, wanted: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """The first JSON line that is wanted."""

        def look() -> dict[str, Any] | None:
            ended = not self.reader.is_alive()
            found = next(filter(wanted, self.entries()), None)
            assert found or not ended, f"the program ended: {''.join(self.lines[-20:])}"
            return found

        found: dict[str, Any] = until(look, lambda: "".join(self.lines[-20:]))
        return found


def until(
    found: Callable[[], Any],
    say: Callable[[], object] = lambda: "nothing came",
    patience: float = PATIENCE,
    between: float = 0.05,
) -> Any:
    """What `found` gives once it gives something. A question that takes long, as podman's do, is asked less often."""
    pause = threading.Event()
    end = time.monotonic() + patience
    while True:
        asked = time.monotonic()
        value = found()
        if value:
            return value
        now = time.monotonic()
        if now > end:
            raise AssertionError(f"waited {patience} s without success: {say()}")
        pause.wait(min(max(between, 2 * (now - asked)), 1))


class Process:
    """A child whose output is read as it comes; ended by its pid."""

    child: subprocess.Popen[str] | ReadyChild

    def __init__(self, *command: str | Path, open_files: int | None = None, **environment: str) -> None:
        def prepare() -> None:
            if sys.platform == "linux":
                _C.prctl(_END_WITH_PARENT, signal.SIGKILL)  # a run that is cut short leaves nothing behind
            if open_files is not None:
                resource.setrlimit(resource.RLIMIT_NOFILE, (open_files, open_files))

        child = subprocess.Popen(
            [str(part) for part in command],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            cwd=ROOT,
            env=_inherited() | environment,
            preexec_fn=prepare,  # noqa: PLW1509 - it only calls the system
        )
        assert child.stdout is not None
        self.child, self.output = child, Output(child.stdout)

    def first(self, wanted: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """The first JSON line that is wanted; without one, the process is ended."""
        try:
            return self.output.wait_for(wanted)
        except BaseException:
            self.end()
            raise

    @property
    def pid(self) -> int:
        return self.child.pid

    @property
    def text(self) -> str:
        """The whole output so far."""
        return "".join(self.output.lines)

    def signal(self, number: int) -> None:
        self.child.send_signal(number)

    def wait(self, patience: float = PATIENCE) -> int:
        """Wait until the process ends by itself; returns its exit code."""
        code = self.child.wait(patience)
        self.output.reader.join(PATIENCE)
        return code

    def end(self) -> None:
        """SIGTERM, or worse if that does not help."""
        if self.child.poll() is None:
            self.child.terminate()
            try:
                self.child.wait(15)
            except subprocess.TimeoutExpired:
                self.child.kill()
                self.child.wait()
        self.output.reader.join(5)
        self.output.stream.close()

    @property
    def resident_kib(self) -> int:
        """How much memory it holds."""
        status = Path(f"/proc/{self.pid}/status").read_text()
        return int(re.findall(r"VmRSS:\s+(\d+)", status)[0])


class ReadyProcess(Process):
    """`python -u -m MODULE ARGUMENTS`, for a module of ours, without the second that its start takes."""

    def __init__(
        self,
        module: str,
        *arguments: str | Path,
        open_files: int | None = None,
        **environment: str,
    ) -> None:
        given = [str(each) for each in arguments]
        child = ReadyChild(module, given, _inherited() | environment, open_files)
        self.child, self.output = child, Output(child.stdout)


class ReadyScript(Process):
    """`PYTHON SCRIPT ARGUMENTS`, for an interpreter that has imported what the script needs."""

    def __init__(self, python: Interpreter, script: Path, *arguments: str, **environment: str) -> None:
        child = ReadyChild(str(script), [*arguments], _inherited() | environment, interpreter=python)
        self.child, self.output = child, Output(child.stdout)


def _inherited() -> dict[str, str]:
    """This machine's environment, without settings of the program."""
    ours = ("ADS_PROXY_", "AMAZON_ADS_")
    return {name: value for name, value in os.environ.items() if not name.startswith(ours)}


@contextlib.contextmanager
def started(*command: str | Path, **environment: str) -> Iterator[Output]:
    """What a process prints; it is ended at the end."""
    process = Process(*command, open_files=None, **environment)
    try:
        yield process.output
    finally:
        process.end()


@contextlib.contextmanager
def started_script(python: Interpreter, script: Path, *arguments: str, **environment: str) -> Iterator[Output]:
    """What a script prints; it is ended at the end."""
    process = ReadyScript(python, script, *arguments, **environment)
    try:
        yield process.output
    finally:
        process.end()


def fetch(
    url: str, data: bytes | None = None, headers: dict[str, str] | None = None, method: str | None = None
) -> tuple[int, bytes]:
    """Status and body, whatever the status. Without a method: GET, or POST with data."""
    request = urllib.request.Request(url, data, headers or {}, method=method)
    try:
        with OPENER.open(request, timeout=PATIENCE) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read()


@contextlib.contextmanager
def taking_turns(lock: Path) -> Iterator[None]:
    """A lock that one user of this file has at a time, over all processes."""
    lock.parent.mkdir(parents=True, exist_ok=True)
    with lock.open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        yield


def free_port() -> int:
    """A free port of 127.0.0.1, for a server that is about to listen there.

    The port is below the range that systems choose from by themselves. On Linux it belongs to this process until the
    process ends: a unique name in the system keeps all other runs of tests from it.
    """
    while True:
        port = secrets.choice(FREE_PORTS)
        with socket.socket() as probe, socket.socket(socket.AF_UNIX) as name, contextlib.suppress(OSError):
            if sys.platform == "linux":
                name.bind(f"\0port {port} of the tests")
            probe.bind(("127.0.0.1", port))
            name.detach()  # it stays open
            return port
