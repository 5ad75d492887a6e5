"""One worker as its supervisor has it: the process, the channel to it, its numbers, and what it writes."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import signal
import socket
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Final

import proxy
from proxy.app.workers.channel import Channel, Descriptors
from proxy.app.workers.supervision import Vitals, WorkerEnd, WorkerPhase
from proxy.observability.number_memory import BEAT, CONNECTIONS, IN_FLIGHT, NumberReader, make_memory_file

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from proxy.app.workers.channel import Message


_CODE: Final = (
    "import gc, sys; gc.disable(); sys.path.append(sys.argv.pop(1)); "
    "from proxy.app.workers.__main__ import main; main()"
)
"""Where the program lies is looked at last, and the directory that it was started in not at all. What a start makes is
kept: a worker looks for garbage from when it serves."""
_LAST_WORDS: Final = 1.0
"""Seconds that what a dead worker still said may take to be read."""


class WorkerProcess:
    """Begun with `begin`. `heard` and `asked` get what it says. `pid` is 0 before there is a process,
    `failure` what it said that it cannot go on for, `unfinished` how many requests it had under way when it ended."""

    def __init__(
        self,
        number: int,
        heard: Callable[[WorkerProcess, Message], None],
        asked: Callable[[Message], Awaitable[Message]],
        put: Callable[[bytes], None],
    ) -> None:
        self.number, self.pid = number, 0
        self.phase, self.since = WorkerPhase.STARTING, time.monotonic()
        self.killed_for: WorkerEnd | None = None
        self.failure = ""
        self.applied = 0
        self.cut: int | None = None
        self.unfinished = 0
        self._heard, self._asked, self._put = heard, asked, put
        self._silent = asyncio.Event()

    def __repr__(self) -> str:
        return f"<WorkerProcess {self.number}: {self.phase}>"

    async def begin(self, listening: tuple[int, ...], counts: int, workers: int) -> None:
        """Start the process. Raises `OSError`."""
        with ExitStack() as lent, ExitStack() as kept:
            ours, theirs = socket.socketpair()
            kept.callback(ours.close)
            lent.callback(theirs.close)
            numbers = make_memory_file()
            lent.callback(os.close, numbers)
            reading, writing = os.pipe()
            kept.callback(os.close, reading)
            lent.callback(os.close, writing)
            widen(reading)
            given = Descriptors(theirs.fileno(), numbers, counts, workers, listening)
            root = str(Path(proxy.__file__).parents[1])
            self.numbers = NumberReader(numbers)
            kept.callback(self.numbers.close)
            self._process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-P", "-c", _CODE, root, *given.arguments()),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=writing,
                pass_fds=given.inherited(),
            )
            self.pid = self._process.pid
            kept.pop_all()
        self._pipe = LogPipe(reading, self._put)
        self.channel = Channel(ours, lambda message: self._heard(self, message), self._asked, self._silent.set)

    def serves(self) -> None:
        self.phase, self.since = WorkerPhase.SERVING, time.monotonic()

    @property
    def served(self) -> float:
        """For how many seconds, by now."""
        return time.monotonic() - self.since if self.phase is WorkerPhase.SERVING else 0.0

    @property
    def vitals(self) -> Vitals:
        return Vitals(self.phase, self.since, self.numbers.header[BEAT])

    @property
    def in_flight(self) -> int:
        return int(self.numbers.header[IN_FLIGHT])

    @property
    def connections(self) -> int:
        return int(self.numbers.header[CONNECTIONS])

    def kill(self, why: WorkerEnd | None = None) -> None:
        """At once, also where it is stopped."""
        self.killed_for = self.killed_for or why
        if not self.pid:
            return
        with contextlib.suppress(ProcessLookupError):
            self._process.send_signal(signal.SIGKILL)

    async def ended(self) -> str:
        """Wait for its end, and for what it said last; gives why and how it ended."""
        code = await self._process.wait()
        self.unfinished = self.in_flight
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_LAST_WORDS):
                await self._silent.wait()
        self.channel.close()
        self._pipe.close()
        return f"{self.failure}; {how_it_ended(code)}" if self.failure else how_it_ended(code)


def how_it_ended(code: int) -> str:
    """A process, in words: by its exit code, or by a signal, which may have no name. Pure."""
    if code >= 0:
        return f"exit code {code}"
    named = -code in set(signal.Signals)
    return f"signal {signal.Signals(-code).name if named else -code}"


# --- What a worker writes, on its way to the program's one output ----------------------------------------

_PIPE_BYTES: Final = 1 << 20
"""What a batch of a busy worker's lines takes, and what Linux allows to anybody. In a pipe of the usual 64 KiB, worker
and supervisor wake each other ten times for one batch."""
_READ_INTO: Final = bytearray(_PIPE_BYTES)
"""One for all pipes, as what was read is copied out at once. Read into memory of its own, a batch costs more in pages
that the system gives and takes back than in all else."""
_LONGEST: Final = 1 << 20


def widen(descriptor: int) -> None:
    """Have a pipe hold more, where the system can do that and allows it."""
    if hasattr(fcntl, "F_SETPIPE_SZ"):
        with contextlib.suppress(OSError):
            fcntl.fcntl(descriptor, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)


def whole_lines(waiting: bytes, data: bytes) -> tuple[bytes, bytes]:
    """The lines that have their end, as one text, and what waits for it: nothing, where that is too long. Pure."""
    both = waiting + data
    end = both.rfind(b"\n") + 1
    rest = both[end:]
    return both[:end], rest if len(rest) <= _LONGEST else b""


def behind_dropped(data: bytes) -> tuple[bool, bytes]:
    """Whether a line whose beginning was dropped goes on behind this, and what is of the next ones. Pure."""
    _, ended, behind = data.partition(b"\n")
    return not ended, behind


class LogPipe:
    """Reads a pipe until its end, and hands on what came."""

    def __init__(self, descriptor: int, put: Callable[[bytes], None]) -> None:
        os.set_blocking(descriptor, False)
        self._descriptor, self._put = descriptor, put
        self._waiting = b""
        self._drops = False
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(descriptor, self._read)

    def __repr__(self) -> str:
        return f"<LogPipe: {'open' if self._descriptor >= 0 else 'closed'}, {len(self._waiting)} bytes waiting>"

    def _read(self) -> None:
        try:
            data = bytes(memoryview(_READ_INTO)[: os.readv(self._descriptor, [_READ_INTO])])
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            data = b""
        if not data:
            self.close()
            return
        if self._drops:
            self._drops, data = behind_dropped(data)
        lines, self._waiting = whole_lines(self._waiting, data)
        if data and not data.endswith(b"\n") and not self._waiting:
            self._drops = True
        if lines:
            self._put(lines)

    def close(self) -> None:
        if self._descriptor >= 0:
            self._loop.remove_reader(self._descriptor)
            os.close(self._descriptor)
            self._descriptor = -1
