"""Where log lines go: batches, written by a thread, so that a slow or broken output never holds up a request.

Lines are kept in order and bounded in memory; what cannot be written is counted, and said once writing works again.
Nothing is formatted here but that one line.
"""

from __future__ import annotations

import atexit
import contextlib
import io
import os
import select
import threading
from typing import TYPE_CHECKING, Final, TextIO

if TYPE_CHECKING:
    from collections.abc import Callable

BATCH_SECONDS: Final = 0.1
BATCH_LINES: Final = 1024
"""The number of waiting lines that are written without waiting for more. The thread is woken for each batch, which
costs as much as forming a hundred lines."""
MAX_CHARACTERS: Final = 8_388_608
"""Lines beyond this much waiting text are lost: the reader of our output has stopped reading."""
_LONGEST: Final = 4096


class Sink:
    """Takes whole lines (with their line end) and writes them within 100 ms, at once where asked.

    `say_lost` makes the line that tells how many lines were lost. To `put` lines takes no lock: one step of the
    interpreter appends them, one copies what waits, one takes off what was copied.
    """

    def __init__(self, stream: TextIO | None, say_lost: Callable[[int], str]) -> None:
        self._stream = stream
        self._say_lost = say_lost
        self._lock = threading.Lock()
        self._lines: list[str] = []
        self._look_at = BATCH_LINES
        self._awake = False
        self._lost = 0
        self._closing = False
        self._something = threading.Event()
        self._urgent = threading.Event()
        self._idle = threading.Condition(self._lock)
        self._busy = False
        self.torn = False
        self._thread: threading.Thread | None = None

    def __repr__(self) -> str:
        return f"<Sink: {sum(map(len, self._lines[:]))} characters waiting, {self._lost} lines lost>"

    @property
    def lost(self) -> int:
        return self._lost

    def put(self, line: str) -> None:
        lines = self._lines
        if len(lines) >= self._look_at and not self._has_room():
            return
        lines.append(line)
        if not self._awake:
            self._wake()

    def put_all(self, new: list[str]) -> None:
        """Put lines that belong behind each other."""
        lines = self._lines
        if len(lines) + len(new) > self._look_at:
            for line in new:
                self.put(line)
            return
        lines += new
        if not self._awake:
            self._wake()

    def put_now(self, line: str) -> None:
        """Put a line that is written without waiting for more lines to come."""
        self.put(line)
        self._urgent.set()

    def flush(self, timeout: float = 1.0) -> bool:
        """Waits until all is written (or lost); tells whether that was so in time."""
        self._urgent.set()
        with self._idle:
            return self._idle.wait_for(lambda: not self._lines and not self._busy, timeout)

    def close(self, timeout: float = 1.0) -> None:
        """Writes what is left, waiting no longer than `timeout`. Later lines start a new queue."""
        if self._thread is None:
            return
        atexit.unregister(self.close)
        self._closing = True
        self._urgent.set()
        self._something.set()
        self._thread.join(timeout)
        self._thread = None
        self._closing = self._awake = False

    def _has_room(self) -> bool:
        """Many lines are waiting: hurry the writer, and count one more as lost where they are too many."""
        self._urgent.set()
        with self._lock:
            room = MAX_CHARACTERS - sum(map(len, self._lines))
            if room < 0:
                self._lost += 1
                return False
            self._look_at = len(self._lines) + max(1, room // _LONGEST)
            return True

    def _wake(self) -> None:
        with self._lock:
            self._awake = True
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="log", daemon=True)
                self._thread.start()
                atexit.register(self.close)
        self._something.set()

    def _run(self) -> None:
        while not self._closing:
            self._something.wait()
            self._urgent.wait(BATCH_SECONDS)
            self._urgent.clear()
            self._something.clear()
            self._write_batch()
            self._awake = False
            if self._lines:  # it was added before the adder could see that no writer runs
                self._something.set()
        self._write_batch()

    def _write_batch(self) -> None:
        with self._lock:
            lines = self._lines[:]
            del self._lines[: len(lines)]
            self._look_at = BATCH_LINES
            self._busy = bool(lines)
            lost = self._lost
        if not lines:
            return
        written = self._write([self._say_lost(lost), *lines] if lost else lines)
        with self._idle:
            self._busy = False
            self._lost = self._lost - lost if written else self._lost + len(lines)
            self._idle.notify_all()

    def _write(self, lines: list[str]) -> bool:
        """False where the output is closed, broken or full."""
        if self._stream is None:
            return False
        try:
            descriptor = self._descriptor()
            if descriptor is None:
                self._stream.write("".join(lines))
                self._stream.flush()
            else:
                self._write_all(descriptor, "".join(lines).encode("utf-8", "backslashreplace"))
        except (OSError, ValueError):
            return False
        return True

    def _descriptor(self) -> int | None:
        with contextlib.suppress(io.UnsupportedOperation, AttributeError):
            return self._stream.fileno() if self._stream is not None else None
        return None

    def _write_all(self, descriptor: int, text: bytes) -> None:
        """Writes all, also where the output was made non-blocking by who shares it. A torn line gets its end first."""
        left = memoryview(b"\n" + text if self.torn else text)
        while left:
            try:
                count = os.write(descriptor, left)
            except BlockingIOError:
                select.select([], [descriptor], [], 1.0)
                continue
            self.torn = count > 0 and left[count - 1] != ord("\n")
            left = left[count:]
