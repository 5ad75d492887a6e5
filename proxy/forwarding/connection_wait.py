"""The wait of one request for a connection, in its client's turn: no task, no future and no timer of its own.

The pool gives the connection, or the leave to make one; the sweep over all deadlines ends a wait that takes too long.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from proxy.forwarding.decision import tell_held_back
from proxy.net.deadlines import NEVER

if TYPE_CHECKING:
    from proxy.errors import Refused
    from proxy.events import Observer
    from proxy.forwarding.decision import RequestContext
    from proxy.tokens.values import AccessToken
    from proxy.upstream.connection import UpstreamConnection


class WaitOwner(Protocol):
    """Whose request waits. Each method ends the wait."""

    def connection_given(self, token: AccessToken, connection: UpstreamConnection) -> None: ...

    def place_given(self, token: AccessToken) -> None:
        """No connection is free, but one may be made with `ConnectionWait.dial`."""

    def wait_failed(self, error: Refused) -> None:
        """No connection became free in time."""

    def defect(self, error: BaseException) -> None: ...


class ConnectionWait:
    """See the module's docstring. Implements the pool's `Waiting`, and `Timed`. It begins when it is made.

    `token` is the one that the request is sent with.
    """

    fresh = gone = False
    __slots__ = ("_has_place", "_owner", "_patience", "_pool", "client", "deadline", "family", "token")

    def __init__(self, owner: WaitOwner, context: RequestContext, token: AccessToken, observer: Observer) -> None:
        pool = self._pool = context.pool
        self._owner = owner
        self._patience = context.rules.timeouts.response
        self._has_place = False
        self.client, self.family, self.token = context.client, context.family, token
        self.deadline = pool.loop.time() + self._patience
        tell_held_back(pool, self.family, observer)
        pool.deadlines.add(self)
        pool.join(self)

    def __repr__(self) -> str:
        return f"<ConnectionWait of {self.client or 'nobody'} for {self.family}>"

    def give(self, connection: UpstreamConnection | None) -> None:
        """Its turn has come. A defect of this request must not reach the one that released the connection."""
        self._end()
        self._has_place = connection is None
        try:
            if connection is None:
                self._owner.place_given(self.token)
            else:
                self._owner.connection_given(self.token, connection)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is told, and the client gets an answer
            if connection is not None:
                connection.close()
            self._owner.defect(error)

    async def dial(self) -> UpstreamConnection:
        """Make the connection for which there is a place. Raises `Refused` where that fails."""
        self._has_place = False
        return await self._pool.dial(self.family)

    def expire(self, now: float) -> None:
        self.leave()
        self._owner.wait_failed(self._pool.none_became_free(self.family, self._patience))

    def leave(self) -> None:
        """Wait no longer, and return a place that was not used yet."""
        self._end()
        self._pool.leave(self)
        if self._has_place:
            self._has_place = False
            self._pool.decline(self.family)

    def _end(self) -> None:
        self.deadline = NEVER  # a sweep that is under way may still look at it
        self._pool.deadlines.discard(self)
