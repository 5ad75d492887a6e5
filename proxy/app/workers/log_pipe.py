"""What a worker writes, on its way to the program's one output: whole lines, whoever else writes there.

A line that a killed worker did not end is dropped, and so is one of more than a megabyte, to its end.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

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
