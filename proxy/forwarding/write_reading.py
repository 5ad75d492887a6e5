"""What is read of a write beside it, once it is over: the response, for the outcome that it tells.

The response has left by then, as it came. A large one is read in a thread, so that the event loop goes on meanwhile;
the account of the request waits for that. What a response says is for `write_outcome`.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from proxy.forwarding.body_copy import decode_body
from proxy.forwarding.request_body import LARGE
from proxy.forwarding.write_outcome import UNKNOWN, judge_outcome

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from proxy.events import WriteOutcome
    from proxy.http1.message import Response

MAX_JUDGED: Final = 1 << 20
"""Bytes of a response to a write that are read, before and after its decoding."""
MAX_WAITING: Final = 64
"""Large responses that wait for the thread, of up to a megabyte each; nobody reads those beyond."""
WRITE_READER: Final = ThreadPoolExecutor(1, "write-outcomes")


@dataclass(frozen=True, slots=True)
class WriteBodies:
    """What came back for a write. `body` is None if it was too large to be kept."""

    response: Response
    body: bytes | None

    def read(self) -> WriteOutcome:
        """What it says. Takes long for a large body, and may run in a thread."""
        fields = self.response.fields
        body = None if self.body is None else decode_body(self.body, fields.content_encoding, MAX_JUDGED)
        return judge_outcome(self.response.status, fields.content_type, body)

    @property
    def is_large(self) -> bool:
        """Whether reading takes longer than the way to the thread: a small one that is compressed may."""
        body = self.body or b""
        return len(body) >= LARGE or (bool(body) and self.response.fields.content_encoding not in (b"", b"identity"))


class WriteReader:
    """One per process: reads the bodies of writes, the large ones in the thread. `defect` is told what went wrong in
    reading, which costs no request its account."""

    def __init__(self, defect: Callable[[str, BaseException], None]) -> None:
        self._defect = defect
        self._waiting = 0

    def __repr__(self) -> str:
        return f"<WriteReader: {self._waiting} waiting>"

    def read(self, bodies: WriteBodies, loop: asyncio.AbstractEventLoop, then: Callable[[WriteOutcome], None]) -> None:
        """Call `then` with the outcome: now, or when the thread has read the bodies."""
        if not bodies.is_large:
            then(self._read_now(bodies))
        elif self._waiting >= MAX_WAITING:
            then(UNKNOWN)
        else:
            self._waiting += 1
            reading = loop.run_in_executor(WRITE_READER, bodies.read)
            reading.add_done_callback(lambda reading: self._was_read(reading, then))

    def _read_now(self, bodies: WriteBodies) -> WriteOutcome:
        try:
            return bodies.read()
        except Exception as error:  # noqa: BLE001 - as the docstring says
            self._defect("write-outcome", error)
            return UNKNOWN

    def _was_read(self, reading: asyncio.Future[WriteOutcome], then: Callable[[WriteOutcome], None]) -> None:
        self._waiting -= 1
        error = None if reading.cancelled() else reading.exception()
        if error is not None:
            self._defect("write-outcome", error)
        then(UNKNOWN if reading.cancelled() or error is not None else reading.result())
