"""What a conformance case is: bytes to send, bytes to answer with, and the outcomes that are right. Data only.

`allowed` holds every outcome that the RFC permits; it is what any proxy is scored by. `promised` is what this project
promises beyond it. A case without `allowed` exists for the promise alone ("strict") and is not scored for others.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

from tests.support.http_reader import Request


class Reach(IntEnum):
    """How far a refused request may have come on the upstream side."""

    NOTHING = 0
    PART = 1
    WHOLE = 2


@dataclass(frozen=True, slots=True)
class UntilClientSaw:
    """Wait until the client has received these bytes."""

    marker: bytes


@dataclass(frozen=True, slots=True)
class UntilUpstreamSaw:
    """Wait until the upstream has received these bytes."""

    marker: bytes


@dataclass(frozen=True, slots=True)
class HalfClose:
    """End the sending direction (FIN) and go on reading."""


@dataclass(frozen=True, slots=True)
class Reset:
    """Drop the connection at once (RST)."""


Step = bytes | UntilClientSaw | UntilUpstreamSaw | HalfClose | Reset
Pairs = tuple[tuple[bytes, bytes], ...]


@dataclass(frozen=True, slots=True)
class Reply:
    """The upstream's scripted answer to one request; `early` sends it as soon as the head is there."""

    steps: tuple[Step, ...]
    early: bool = False


@dataclass(frozen=True, slots=True)
class RequestLooks:
    """Properties of a forwarded request; None means that any value will do."""

    method: bytes | None = None
    target: bytes | None = None
    version: bytes | None = None
    body: bytes | None = None
    framing: str | None = None
    has: Pairs = ()
    lacks: tuple[bytes, ...] = ()
    raw: tuple[bytes, ...] = ()
    not_raw: tuple[bytes, ...] = ()
    trailers: Pairs | None = None


@dataclass(frozen=True, slots=True)
class AnswerLooks:
    """Properties of an answer as the client got it; None means that any value will do."""

    status: int | None = 200
    body: bytes | None = None
    framing: tuple[str, ...] = ()
    version: bytes | None = None
    interim: tuple[int, ...] | None = None
    has: Pairs = ()
    names: tuple[bytes, ...] = ()
    lacks: tuple[bytes, ...] = ()
    raw: tuple[bytes, ...] = ()


@dataclass(frozen=True, slots=True)
class Refused:
    """The proxy itself answers with one of these statuses (after `after` relayed answers).

    `silent`: closing without a word is as good. `closes`: the connection must end. `names`: fields it must have.
    """

    statuses: tuple[int, ...]
    silent: bool = False
    reach: Reach = Reach.NOTHING
    after: int = 0
    closes: bool = True
    names: tuple[bytes, ...] = ()


@dataclass(frozen=True, slots=True)
class Relayed:
    """Exactly these requests reach the upstream, and exactly these answers the client, each whole.

    `part`: the upstream may have got a part of one more (the answer came before the body was there).
    """

    requests: tuple[RequestLooks, ...] = (RequestLooks(),)
    answers: tuple[AnswerLooks, ...] = (AnswerLooks(),)
    closes: bool = False
    part: bool = False


@dataclass(frozen=True, slots=True)
class Broken:
    """The client got an answer that cannot be taken for whole, and the connection ended."""

    status: int = 200


Outcome = Refused | Relayed | Broken

PLAIN_REPLY = Reply((b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-Upstream: yes\r\n\r\nok",))


@dataclass(frozen=True, slots=True)
class Case:
    """One case. `answers`: how many final answers the client waits for before the sentinel request."""

    id: str
    rfc: str
    why: str
    send: tuple[Step, ...]
    allowed: tuple[Outcome, ...] = ()
    promised: tuple[Outcome, ...] = ()
    replies: tuple[Reply, ...] = (PLAIN_REPLY,)
    answers: int = 1
    heads: frozenset[int] = frozenset()

    @property
    def strict(self) -> bool:
        """Whether the case rests on this project's promise alone."""
        return not self.allowed


@dataclass(frozen=True, slots=True)
class Stream:
    """What the upstream recorded of one connection: whole requests are kept apart."""

    leftover: bytes
    fault: str


@dataclass(frozen=True, slots=True)
class Observation:
    """What happened on the wire in one case."""

    received: bytes
    ended: bool
    reset: bool
    timed_out: bool
    sentinel_sent: bool
    requests: tuple[Request, ...]
    streams: tuple[Stream, ...]
