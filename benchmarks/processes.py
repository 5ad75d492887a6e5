"""Programs under measurement: started on one core, waited for, measured and stopped by their process ids.

CPU is user and system time of the whole process tree, in seconds, from the kernel's per-process clock: what
`/proc/PID/stat` tells in ticks of 10 ms, in nanoseconds.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

WORKER_CORE = 0
"""The worker under measurement is alone here."""
LOAD_CORE = 1
"""Load and upstream share this one."""
CACHE = Path(__file__).resolve().parent.parent / ".cache" / "benchmarks"
"""What is built or installed for the benchmark alone."""
_STOP_WITHIN = 10.0


class BenchmarkError(Exception):
    """The benchmark cannot go on; the text says why and what to do."""


@dataclass(frozen=True, slots=True)
class Memory:
    """Bytes of a process tree: resident, and proportional (pages that are shared count in part)."""

    rss: int
    pss: int


class Process:
    """A program on one core, with its output in a file; `stop` ends it and whatever it started."""

    def __init__(
        self, command: Sequence[str], log: Path, *, core: int = WORKER_CORE, env: Mapping[str, str] | None = None
    ) -> None:
        self.command = tuple(command)
        self.log = log
        self.started_at = time.monotonic()
        with log.open("ab") as output:
            self._child = subprocess.Popen(
                ["taskset", "-c", str(core), *command],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env={**os.environ, **(env or {})},
                cwd=log.parent,
                start_new_session=True,
            )

    def __repr__(self) -> str:
        return f"<Process {self.command[0]} pid={self.pid}>"

    @property
    def pid(self) -> int:
        return self._child.pid

    def pids(self) -> tuple[int, ...]:
        """The process and all that descend from it."""
        found = [self.pid]
        for pid in found:
            found.extend(_children(pid))
        return tuple(found)

    def cpu(self) -> float:
        """Seconds of user and system time so far."""
        return sum(time.clock_gettime(_process_clock(pid)) for pid in self.pids())

    def use(self, cores: set[int]) -> None:
        """Let it, and all that descend from it, run on these from now on, with each of their threads."""
        for pid in self.pids():
            for task in Path(f"/proc/{pid}/task").iterdir():
                os.sched_setaffinity(int(task.name), cores)

    def own_cpu(self) -> float:
        """The CPU time of the process alone, without its descendants."""
        return time.clock_gettime(_process_clock(self.pid))

    def memory(self) -> Memory:
        """What it takes now."""
        texts = [Path(f"/proc/{pid}/smaps_rollup").read_text() for pid in self.pids()]
        return Memory(sum(_kilobytes("Rss", text) for text in texts), sum(_kilobytes("Pss", text) for text in texts))

    def wait_ready(self, port: int, path: str = "/v2/profiles", headers: str = "", within: float = 20.0) -> float:
        """Wait until a request is answered 200; seconds since the start."""
        request = f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n{headers}\r\n".encode()
        while time.monotonic() - self.started_at < within:
            if self._child.poll() is not None:
                raise BenchmarkError(f"{self.command[0]} ended with {self._child.returncode}:\n{self.last_words()}")
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1) as client:
                client.sendall(request)
                if client.recv(64).startswith(b"HTTP/1.1 200"):
                    return time.monotonic() - self.started_at
            time.sleep(0.002)
        raise BenchmarkError(f"{self.command[0]} answers nothing on port {port}:\n{self.last_words()}")

    def last_words(self) -> str:
        """The end of what it wrote."""
        with self.log.open("rb") as log:
            log.seek(max(0, self.log.stat().st_size - 2000))
            return log.read().decode(errors="replace")

    def empty_log(self) -> None:
        """Drop what it wrote so far; every program here appends to its log."""
        os.truncate(self.log, 0)

    def stop(self) -> None:
        """End it: SIGTERM to the process, SIGKILL to its whole session where that does not help."""
        self._child.terminate()
        try:
            self._child.wait(_STOP_WITHIN)
        except subprocess.TimeoutExpired:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.pid, signal.SIGKILL)
            self._child.wait(_STOP_WITHIN)


def _children(pid: int) -> list[int]:
    found: list[int] = []
    with contextlib.suppress(OSError):
        for children in Path(f"/proc/{pid}/task").glob("*/children"):
            found.extend(map(int, children.read_text().split()))
    return found


def end_what_is_left() -> None:
    """End the children of this process that are left: a signal may come while one is being started."""
    for pid in _children(os.getpid()):
        with contextlib.suppress(ProcessLookupError, ChildProcessError):
            if os.getpgid(pid) == pid:
                os.killpg(pid, signal.SIGKILL)
            else:
                os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)


def _process_clock(pid: int) -> int:
    """Linux's clock of another process, as clock_getcpuclockid(3) makes it."""
    return (~pid << 3) | 2


def _kilobytes(name: str, text: str) -> int:
    found = re.search(rf"^{name}:\s+(\d+) kB", text, re.MULTILINE)
    return int(found[1]) * 1024 if found else 0


@contextlib.contextmanager
def stopped_at_end(process: Process) -> Iterator[Process]:
    """The process, until the block ends."""
    try:
        yield process
    finally:
        process.stop()


def free_port() -> int:
    """A port of 127.0.0.1 that nothing listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def program(name: str) -> str | None:
    """Where a program is, looked for in the system's folders too."""
    return shutil.which(name) or shutil.which(name, path="/usr/sbin:/usr/local/sbin:/usr/local/bin:/usr/bin:/bin")


def required(name: str, package: str) -> str:
    """The path of a program; a missing one is an error that names its package."""
    found = program(name)
    if found is None:
        raise BenchmarkError(f"the benchmark needs {name}: apt-get install {package}")
    return found
