"""A request's body as it leaves, held for sending it again as long as it is small. Nothing is sent here."""

from __future__ import annotations

from typing import TYPE_CHECKING

from proxy.forwarding.injection import REQUEST_FIELDS
from proxy.http1.framing import LAST_CHUNK, Buffer, chunk
from proxy.http1.request_fields import NO_FIELDS, passing_trailers

if TYPE_CHECKING:
    from proxy.http1.request_fields import RequestFields


class ReplayBuffer:
    """What came of a body so far, framed for Amazon.

    While `replayable`, `data` holds all of it. `size` is the payload's, in bytes; `complete` tells that its end came.
    However many pieces a body came in, it is kept in one: a piece of one byte takes one byte.
    """

    __slots__ = ("_chunked", "_expects_continue", "_first", "_max_bytes", "_more", "complete", "replayable", "size")

    def __init__(self, fields: RequestFields, max_bytes: int) -> None:
        self._chunked = fields.chunked
        self._expects_continue = fields.expects_continue
        self._max_bytes = max_bytes
        self._first: list[Buffer] = []
        self._more = bytearray()
        self.size = 0
        self.replayable = True
        self.complete = not fields.chunked and not fields.content_length

    @property
    def data(self) -> list[Buffer]:
        """All that is kept. It is a copy where it came in pieces: what is on its way out does not change."""
        return [*self._first, bytes(self._more)] if self._more else self._first

    @property
    def sendable(self) -> bool:
        """Enough is here to take a connection for it: all of a small body, or as much of a large one as may be held.

        Who waits for a 100 sends nothing before Amazon was asked.
        """
        return self.complete or self.full or self._expects_continue

    @property
    def full(self) -> bool:
        """The buffer holds as much as it may: no more should be read before what is here has been sent."""
        return self.size >= self._max_bytes

    def add(self, pieces: list[Buffer], *, sent: bool) -> list[Buffer]:
        """Frame the next pieces; they are kept, unless they are too many and `sent` tells that all before have left."""
        self.size += sum(map(len, pieces))
        framed = chunk(pieces) if self._chunked else pieces
        self._keep(framed, sent=sent)
        return framed

    def end(self, trailers: bytes, *, sent: bool) -> list[Buffer]:
        """The end of the body, framed: nothing where a length says it."""
        self.complete = True
        if not self._chunked:
            return []
        framed: list[Buffer] = [b"0\r\n%b\r\n" % passing_trailers(trailers, REQUEST_FIELDS) if trailers else LAST_CHUNK]
        self._keep(framed, sent=sent)
        return framed

    def forget_if_large(self) -> None:
        """All that is here has been sent: a large body is not kept any longer."""
        if self.size > self._max_bytes:
            self.forget()

    def forget(self) -> None:
        """The request will not be sent again."""
        self.replayable = False
        self._first, self._more = [], bytearray()

    def _keep(self, framed: list[Buffer], *, sent: bool) -> None:
        if not self.replayable:
            return
        if sent and self.size > self._max_bytes:
            self.forget()
        elif self._first:
            for piece in framed:
                self._more += piece
        else:
            self._first = [*map(bytes, framed)]


class NoBody(ReplayBuffer):
    """The body of every request without one: nothing of it changes."""

    __slots__ = ()

    def __init__(self) -> None:
        super().__init__(NO_FIELDS, 0)

    def forget(self) -> None:
        """There is nothing to forget, and it can be sent again."""


NO_BODY = NoBody()
