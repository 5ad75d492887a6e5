"""One try of a request at Amazon: a connection, the token it carried, and what came back. Decides nothing.

It is the `ResponseSink` of its connection. What it hears goes on to its owner, or is held back while the owner decides
whether to try again. Its state tells how far the try got: what may be sent again is read off it.
"""

from __future__ import annotations

import asyncio
from enum import StrEnum
from typing import TYPE_CHECKING, Protocol

from proxy.forwarding.retry import Progress

if TYPE_CHECKING:
    from collections.abc import Callable

    from proxy.errors import Refused
    from proxy.http1.framing import Buffer
    from proxy.http1.message import Response
    from proxy.tokens.values import AccessToken
    from proxy.upstream.connection import UpstreamConnection
    from proxy.upstream.hedging import HedgedConnection


class AttemptState(StrEnum):
    """How far a try got."""

    SENT = "sent"
    """The head has been written; no final response has begun."""
    ANSWERED = "answered"
    """A final response's head is here."""
    ENDED = "ended"
    """The response was complete."""
    FAILED = "failed"
    """The connection broke, or was too slow."""
    ABANDONED = "abandoned"
    """The response is no longer wanted."""


_LIVE = (AttemptState.SENT, AttemptState.ANSWERED)


class AttemptOwner(Protocol):
    """Who made the try and hears of it."""

    def attempt_interim(self, response: Response) -> None: ...

    def attempt_answered(self, response: Response) -> None: ...

    def attempt_data(self, pieces: list[Buffer]) -> None: ...

    def attempt_ended(self, trailers: bytes) -> None: ...

    def attempt_failed(self, error: Refused) -> None: ...

    def attempt_writable(self, writable: bool) -> None: ...

    def defect(self, error: BaseException) -> None: ...

    def flush(self) -> None: ...


class Attempt:
    """One try of a request at Amazon. `number` counts the tries of a request, from 1.

    `refused` tells that Amazon refused the token, whatever the status.
    `whole` tells that all of the request was written.
    While `held`, what comes of the response is kept in `pieces`, `trailers` (None until its end) and `error`.
    `on_end` is called as the try ends, before the owner hears of it, with the error if the connection failed.
    """

    state = AttemptState.SENT
    held = refused = whole = False
    response: Response | None = None
    pieces: list[Buffer]
    trailers: bytes | None = None
    error: Refused | None = None
    on_end: Callable[[Attempt, Refused | None], None] | None = None
    _enough = 0
    _more: asyncio.Future[None] | None = None

    def __init__(
        self,
        owner: AttemptOwner,
        number: int,
        token: AccessToken,
        connection: UpstreamConnection | HedgedConnection,
    ) -> None:
        self._owner = owner
        self._connection = connection
        self.number = number
        self.token = token
        self._unsent = connection.lost

    def __repr__(self) -> str:
        held = ", held" if self.held else ""
        return f"<Attempt {self.number}: {self.state}{held}>"

    # --- what the owner does

    @property
    def live(self) -> bool:
        """The connection is this attempt's."""
        return self.state in _LIVE

    @property
    def writable(self) -> bool:
        """Amazon takes more of the request."""
        return self._connection.writable

    @property
    def progress(self) -> Progress:
        """How far the request got."""
        if self.response is not None:
            return Progress.REFUSED if self.refused or self.response.status == 401 else Progress.ANSWERING
        if self._unsent:
            return Progress.UNSENT
        if self._connection.head_began:
            return Progress.ANSWERING
        return Progress.WHOLE if self.whole else Progress.PARTLY

    def send_body(self, data: list[Buffer]) -> None:
        """Write more of the body."""
        self._connection.send_body(data)

    def request_sent(self) -> None:
        """The whole request has been written."""
        self.whole = True
        self._connection.request_sent()

    def hold(self) -> None:
        """Keep the response back."""
        self.held = True
        self.pieces = []

    async def gather(self, size: int, seconds: float) -> bytes:
        """The held body's first `size` bytes, or what of them came within so many seconds. Then no more is read."""
        if not self._has(size):
            self._enough, self._more = size, asyncio.get_running_loop().create_future()
            await asyncio.wait({self._more}, timeout=seconds)
            self._more = None
        self.pause()
        return b"".join(self.pieces)[:size]

    def _has(self, size: int) -> bool:
        return self.trailers is not None or self.error is not None or sum(map(len, self.pieces)) >= size

    def _wake_gatherer(self) -> None:
        if self._more is not None and not self._more.done() and self._has(self._enough):
            self._more.set_result(None)

    def pause(self) -> None:
        """Read no more of the response for now."""
        if self.live:
            self._connection.pause()

    def resume(self) -> None:
        """Go on reading the response."""
        if self.live:
            self._connection.resume()

    @property
    def status(self) -> int:
        """The status of the response, 0 while there is none."""
        return self.response.status if self.response is not None else 0

    def abandon(self) -> None:
        """Release the connection; no further call follows."""
        if self.live:
            self._end(AttemptState.ABANDONED)
            self._connection.abandon()

    def _end(self, state: AttemptState, error: Refused | None = None) -> None:
        self.state = state
        if self.on_end is not None:
            self.on_end(self, error)

    # --- ResponseSink

    def interim(self, response: Response) -> None:
        self._owner.attempt_interim(response)

    def response_began(self, response: Response) -> None:
        self.state = AttemptState.ANSWERED
        self.response = response
        self._owner.attempt_answered(response)

    def response_data(self, pieces: list[Buffer]) -> None:
        if self.held:
            self.pieces += pieces
            self._wake_gatherer()
        else:
            self._owner.attempt_data(pieces)

    def response_ended(self, trailers: bytes) -> None:
        self._end(AttemptState.ENDED)
        if self.held:
            self.trailers = trailers
            self._wake_gatherer()
        else:
            self._owner.attempt_ended(trailers)

    def upstream_failed(self, error: Refused) -> None:
        self._end(AttemptState.FAILED, error)
        if self.held:
            self.error = error
            self._wake_gatherer()
        else:
            self._owner.attempt_failed(error)

    def upstream_writable(self, writable: bool) -> None:
        self._owner.attempt_writable(writable)

    def defect(self, error: Exception) -> None:
        self._end(AttemptState.FAILED)
        self._owner.defect(error)

    def flush(self) -> None:
        if self.state is not AttemptState.ENDED:
            self._owner.flush()
