"""What a request waits for before it leaves: a token, the end of a pause, a connection. It ends ready, or failed.

A request whose token and connection are there leaves at once. Otherwise one `Departure` waits for all of it: in a task
for a token and for pauses that Amazon asked for, and in its client's turn for a connection while others have them all.
After a wait its rights, the pauses and the write gate are looked at again, as each may have changed meanwhile.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Protocol

from proxy.errors import NoUsableToken, Refused
from proxy.forwarding.decision import tell_held_back
from proxy.forwarding.throttled import ThrottledRequest
from proxy.forwarding.unauthorized import renew_after_refusal
from proxy.net.deadlines import NEVER

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from proxy.events import Observer
    from proxy.forwarding.attempt import Attempt
    from proxy.forwarding.decision import RequestContext
    from proxy.forwarding.dependencies import Dependencies
    from proxy.forwarding.replays import Replays
    from proxy.tokens.values import AccessToken
    from proxy.upstream.connection import UpstreamConnection


class DepartureOwner(Protocol):
    """Whose request waits. After a wait exactly one of the first two methods is called; `keeps` if a response is held
    meanwhile, and is the best one after all. `drops` comes before such a response gives way to another attempt."""

    def departs(self, token: AccessToken, connection: UpstreamConnection) -> None:
        """The request may leave now, with this token and on this connection."""

    def refuse(self, error: Refused) -> None:
        """The request will not leave: what it waited for will not come, or it may not be sent any more."""

    def keeps(self, attempt: Attempt) -> None: ...

    def drops(self, attempt: Attempt) -> None: ...

    def defect(self, error: BaseException) -> None: ...

    @property
    def replays(self) -> Replays: ...

    @property
    def known_body(self) -> bytes | None:
        """The body, if it was read before the request leaves, or if there is none."""
        ...


class Departure:
    """The one wait of a request. `throttled` is what it has to do with a limit of Amazon's, None for nothing."""

    throttled: ThrottledRequest | None = None
    _task: asyncio.Task[None] | None = None
    _turn: ConnectionWait | None = None

    def __init__(self, owner: DepartureOwner, context: RequestContext, dependencies: Dependencies) -> None:
        self._owner, self._context, self._dependencies = owner, context, dependencies

    def __repr__(self) -> str:
        waits = "in turn" if self._turn is not None else "in a task" if self._task is not None else "not waiting"
        return f"<Departure of {self._context.request.id}: {waits}>"

    def leave(self) -> tuple[AccessToken, UpstreamConnection] | None:
        """The token and the connection to leave with; None if one of them has to be waited for, which begins with this
        call. Raises the `Refused` that forbids the request."""
        context, dependencies = self._context, self._dependencies
        dependencies.rights.check(context, self._owner.known_body)
        token = dependencies.tokens.current(context.route.account)
        if token is not None and dependencies.throttles.active:
            patience = context.rules.retry_wait
            token = token if self.limit.may_leave(token, patience) else None
        if token is not None and not self._is_stopped():
            connection = context.pool.take(context.family)
            if connection is not None:
                return token, connection
            if context.pool.is_full(context.family):
                self._queue(token)
                return None
        self.wait(token)
        return None

    def wait(self, token: AccessToken | None = None, *, fresh: bool = False) -> None:
        """Wait in a task: for a token where there is none yet, and for a connection, which is a new one if `fresh`."""
        self.spawn(self._obtain(token, fresh=fresh))

    def renew(self, attempt: Attempt) -> None:
        """Amazon may have refused the token of the attempt, whose response is held: wait for a newer one."""
        self.spawn(self._renew(attempt))

    def pause(self, attempt: Attempt, seconds: float) -> None:
        """Amazon asked for a pause with a response that is held: wait for its end."""
        attempt.pause()
        self.spawn(self._pause(attempt, seconds))

    def spawn(self, work: Coroutine[None, None, None]) -> None:
        """Have a task do the one thing that the request waits for."""
        self._task = self._context.pool.loop.create_task(work)
        self._task.add_done_callback(self._task_done)

    def stop(self) -> None:
        """Wait no longer."""
        task, self._task = self._task, None
        if task is not None and task is not asyncio.current_task():
            task.cancel()
        if self._turn is not None:
            self._turn.leave()
            self._turn = None

    @property
    def limit(self) -> ThrottledRequest:
        """What the request has to do with a limit of Amazon's, from now on."""
        loop = self._context.pool.loop
        self.throttled = self.throttled or ThrottledRequest(self._context, self._dependencies, loop)
        return self.throttled

    async def _renew(self, attempt: Attempt) -> None:
        owner, tokens, now = self._owner, self._dependencies.tokens, self._context.pool.loop.time()
        try:
            renewed = await renew_after_refusal(attempt, tokens, self._context, owner.replays, now)
        except NoUsableToken as error:
            attempt.abandon()
            self._fail(error)
            return
        if renewed is None:
            self._context.stats.resume()
            owner.keeps(attempt)
            return
        owner.drops(attempt)
        await self._obtain(renewed)

    async def _pause(self, attempt: Attempt, seconds: float) -> None:
        await self._owner.replays.pause(seconds)
        self._owner.drops(attempt)
        await self._obtain(None)

    async def _obtain(self, token: AccessToken | None, *, fresh: bool = False) -> None:
        context, dependencies = self._context, self._dependencies
        try:
            if token is None:
                token = await dependencies.tokens.get(context.route.account)
                if dependencies.throttles.active:
                    await self.limit.wait(token, self._owner.replays)
            if not fresh and not self._is_stopped() and context.pool.is_full(context.family):
                self._queue(token)
                return
            connection = await acquire_connection(context, dependencies, fresh=fresh)
        except Refused as error:
            self._fail(error)
        else:
            self._depart(token, connection, context.pool.release)

    def _depart(
        self, token: AccessToken, connection: UpstreamConnection, release: Callable[[UpstreamConnection], None]
    ) -> None:
        """End the wait, or go on with it if Amazon asked for a pause meanwhile."""
        try:
            self._dependencies.rights.check(self._context, self._owner.known_body)
        except Refused as error:
            release(connection)
            self._fail(error)
            return
        if self._dependencies.throttles.active and self.limit.is_paused(token):
            release(connection)
            self.wait()
            return
        self._owner.departs(token, connection)

    def _fail(self, error: Refused) -> None:
        """Refuse the request: its wait failed."""
        self._context.stats.resume()
        self._owner.refuse(error)

    def _is_stopped(self) -> bool:
        """Whether the request is a write that must not leave now: frozen, or without an audit record."""
        return self._dependencies.accounting.write_gate.stops(self._context)

    def _task_done(self, task: asyncio.Task[None]) -> None:
        if task is self._task:
            self._task = None
        if not task.cancelled() and (error := task.exception()) is not None:
            self._owner.defect(error)

    # --- TurnOwner: while others have the connections

    def _queue(self, token: AccessToken) -> None:
        self._turn = ConnectionWait(self, self._context, token, self._dependencies.accounting.observer)

    def connection_given(self, token: AccessToken, connection: UpstreamConnection) -> None:
        self._turn = None
        pool = self._context.pool
        try:
            self._dependencies.accounting.write_gate.check(self._context)
        except Refused as error:
            pool.give_back(connection)  # the pool gives it to the next
            self._fail(error)
        else:
            self._depart(token, connection, pool.give_back)

    def slot_granted(self, token: AccessToken) -> None:
        self.spawn(self._dial(token))

    async def _dial(self, token: AccessToken) -> None:
        turn, self._turn = self._turn, None
        assert turn is not None
        try:
            connection = await turn.dial()
            _check_late(self._context, self._dependencies, connection)
        except Refused as error:
            self._fail(error)
        else:
            self._depart(token, connection, self._context.pool.release)

    def turn_failed(self, error: Refused) -> None:
        self._turn = None
        self._fail(error)

    def defect(self, error: BaseException) -> None:
        self._owner.defect(error)


async def acquire_connection(context: RequestContext, dependencies: Dependencies, *, fresh: bool) -> UpstreamConnection:
    """A connection for a request, when its client's turn has come. Raises `Refused` where there is none in time, and
    where the request must not leave."""
    accounting, pool, family = dependencies.accounting, context.pool, context.family
    accounting.write_gate.check(context)
    tell_held_back(pool, family, accounting.observer)
    patience = context.rules.timeouts.response
    connection = await pool.acquire(fresh=fresh, patience=patience, client=context.client, family=family)
    _check_late(context, dependencies, connection)
    return connection


def _check_late(context: RequestContext, dependencies: Dependencies, connection: UpstreamConnection) -> None:
    """Raise what forbids the request to leave after a wait, if anything does, and release the connection."""
    try:
        dependencies.accounting.write_gate.check(context)
    except Refused:
        context.pool.release(connection)
        raise


# --- The wait of one request for a connection, in its client's turn --------------------------------------


class TurnOwner(Protocol):
    """Whose request waits for its turn. Each method ends the wait."""

    def connection_given(self, token: AccessToken, connection: UpstreamConnection) -> None: ...

    def slot_granted(self, token: AccessToken) -> None:
        """No connection is free, but one may be made with `ConnectionWait.dial`."""

    def turn_failed(self, error: Refused) -> None:
        """No connection became free in time."""

    def defect(self, error: BaseException) -> None: ...


class ConnectionWait:
    """A request's place among those that wait for a connection. Implements the pool's `ConnectionWaiter`, and `Timed`.
    It begins when it is made; `token` is the one that the request is sent with."""

    fresh = gone = False
    __slots__ = ("_has_slot", "_owner", "_patience", "_pool", "client", "deadline", "family", "token")

    def __init__(self, owner: TurnOwner, context: RequestContext, token: AccessToken, observer: Observer) -> None:
        pool = self._pool = context.pool
        self._owner = owner
        self._patience = context.rules.timeouts.response
        self._has_slot = False
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
        self._has_slot = connection is None
        try:
            if connection is None:
                self._owner.slot_granted(self.token)
            else:
                self._owner.connection_given(self.token, connection)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is told, and the client gets an answer
            if connection is not None:
                connection.close()
            self._owner.defect(error)

    async def dial(self) -> UpstreamConnection:
        """Make the connection for which there is a place. Raises `Refused` where that fails."""
        self._has_slot = False
        return await self._pool.dial(self.family)

    def expire(self, now: float) -> None:
        self.leave()
        self._owner.turn_failed(self._pool.none_became_free(self.family, self._patience))

    def leave(self) -> None:
        """Wait no longer, and return a place that was not used yet."""
        self._end()
        self._pool.leave(self)
        if self._has_slot:
            self._has_slot = False
            self._pool.decline(self.family)

    def _end(self) -> None:
        self.deadline = NEVER  # a sweep that is under way may still look at it
        self._pool.deadlines.discard(self)
