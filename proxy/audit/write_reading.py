"""What is read of a write once it is over: its outcome, and what it changed if that is to be recorded.

The bodies have left by then, as they came. Costly ones are read in a thread, by turns of clients, so that the event
loop goes on meanwhile; the account of the request waits for that, within a bound. What bodies say is for
`write_outcome` and `changed_objects`.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Final, NamedTuple

from proxy.audit.changed_objects import find_changes, read_path
from proxy.audit.write_outcome import FAILURE, UNKNOWN, judge_outcome
from proxy.body_reader import BodyReader
from proxy.events import ChangedObjects, WriteOutcome
from proxy.http1.body_copy import decode_body
from proxy.strict_json import MAX_COST, JsonBody
from proxy.unchanging import unchanging
from proxy.value_classes import dataclass

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from proxy.audit.changed_objects import WrittenPath
    from proxy.forwarding.decision import RequestContext
    from proxy.http1.message import Response

MAX_JUDGED: Final = 1 << 20
"""Bytes of a response to a write that are read, before and after its decoding."""
MAX_COST_JUDGED: Final = 2 * MAX_COST
"""The largest `cost_of` a response to a write that is read: that of a thousand campaigns with all their members costs
200,000."""
MAX_WAITING: Final = 64 << 20
"""Bytes that writes with costly bodies take while they wait for the thread. Those of one client take no more than they
leave free, so that others find room; those beyond are not read."""
_EACH: Final = 8192
"""Bytes that a waiting write takes next to its bodies."""
JUDGED_AT_ONCE: Final = 4096
"""The `cost_of` a response up to which the event loop reads its outcome: less than a millisecond of work."""
READ_AT_ONCE: Final = 1024
"""The `cost_of` each body up to which the event loop reads what a write changed, too: about a millisecond of work."""
_PLAIN: Final = (b"", b"identity")
WRITE_READER: Final = BodyReader("write-outcomes")


class WriteReading(NamedTuple):
    """What was read of a write. `changes` are None where they are not recorded."""

    outcome: WriteOutcome
    changes: ChangedObjects | None = None


@dataclass(frozen=True, slots=True)
class WriteRequest:
    """What a write asked for: `recorded` are the members whose values are recorded, `body` is None if it was too large
    to be kept."""

    path: WrittenPath
    body: bytes | None
    content_encoding: bytes
    recorded: frozenset[str]


@unchanging
class WriteBodies:
    """What came back for a write, and what it asked for if that is read too. `response` is None if it did not come, or
    not whole, unless it is a stream that may hold the answer; `body` also if it was too large to be kept."""

    response: Response | None
    body: bytes | None
    request: WriteRequest | None = None

    def read(self) -> WriteReading:
        """What they say. Takes long for costly bodies, and may run in a thread."""
        response, request = self.response, self.request
        outcome, content_type, body = UNKNOWN, b"", None
        if response is not None:
            content_type = response.fields.content_type
            if self.body is not None:
                body = _decoded(self.body, response.fields.content_encoding, MAX_COST_JUDGED)
            outcome = judge_outcome(response.status, content_type, body)
        if request is None:
            return WriteReading(outcome)
        asked = None if request.body is None else _decoded(request.body, request.content_encoding, MAX_COST)
        results = body if response is not None and response.status < 400 else b""
        return WriteReading(outcome, find_changes(request.path, asked, (content_type, results), request.recorded))

    @property
    def unread(self) -> WriteReading:
        """What is known of them without reading."""
        outcome = FAILURE if self.response is not None and self.response.status >= 400 else UNKNOWN
        return WriteReading(outcome, None if self.request is None else ChangedObjects(unread=("request", "response")))

    @property
    def size(self) -> int:
        """Bytes that they take while they wait."""
        asked = self.request.body if self.request is not None else None
        return _EACH + len(self.body or b"") + len(asked or b"")

    @property
    def is_costly(self) -> bool:
        """Whether reading takes longer than the way to the thread: a small body that is compressed may."""
        response, request = self.response, self.request
        limit = JUDGED_AT_ONCE if request is None else READ_AT_ONCE
        if _is_costly(self.body, response.fields.content_encoding if response is not None else b"", limit):
            return True
        return request is not None and _is_costly(request.body, request.content_encoding, limit)


def _decoded(body: bytes, coding: bytes, max_cost: int) -> bytes | None:
    """A body without its coding; None if it cannot be decoded, or would keep the thread from other clients' bodies."""
    found = decode_body(body, coding, MAX_JUDGED)
    return None if found is None or JsonBody(found).costs_more_than(max_cost) else found


def _is_costly(body: bytes | None, coding: bytes, limit: int) -> bool:
    if not body:
        return False
    return coding not in _PLAIN or JsonBody(body).costs_more_than(limit)


def written_request(context: RequestContext, body: bytes | None, recorded: frozenset[str]) -> WriteRequest:
    """What a write asked for; `body` is None if it was too large to be kept. `recorded` are the members whose values
    are recorded."""
    operation, fields = context.route.operation, context.request.fields
    template = operation.template if operation is not None else ""
    path = read_path(template, context.destination.segments, takes_messages=context.api.takes_messages)
    coding = next((value for name, value in fields.every if name == b"content-encoding"), b"")
    return WriteRequest(path, body, coding, recorded)


class WriteReader:
    """One per process: reads the bodies of writes, the costly ones in the thread. Those that wait for it take `waiting`
    bytes. `defect` is told what went wrong in reading, which costs no request its account."""

    def __init__(self, defect: Callable[[str, BaseException], None]) -> None:
        self._defect = defect
        self.waiting = 0
        self._waiting_of: Counter[str] = Counter()

    def __repr__(self) -> str:
        return f"<WriteReader: {self.waiting} bytes waiting>"

    def read(
        self, bodies: WriteBodies, client: str, loop: asyncio.AbstractEventLoop
    ) -> WriteReading | asyncio.Future[WriteReading]:
        """What they say: at once, or when the thread has read them, for `result_of`."""
        if not bodies.is_costly:
            try:
                return bodies.read()
            except Exception as error:  # noqa: BLE001 - as the docstring says
                self._defect("write-outcome", error)
                return bodies.unread
        size = bodies.size
        if self._waiting_of[client] + size > MAX_WAITING - self.waiting:
            return bodies.unread
        self._count(client, size)
        reading = WRITE_READER.read(loop, client, bodies.read)
        reading.add_done_callback(lambda _: self._count(client, -size))
        return reading

    def _count(self, client: str, more: int) -> None:
        self.waiting += more
        self._waiting_of[client] += more

    def result_of(self, reading: asyncio.Future[WriteReading], bodies: WriteBodies) -> WriteReading:
        """What was read of them; what is known without reading if that was cancelled, or failed."""
        if reading.cancelled():
            return bodies.unread
        error = reading.exception()
        if error is not None:
            self._defect("write-outcome", error)
            return bodies.unread
        return reading.result()
