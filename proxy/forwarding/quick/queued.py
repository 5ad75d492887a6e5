"""A request that was recognised, and waits for its connection: a quick exchange from the moment that one is given.

Whatever else happens meanwhile turns it into the ordinary exchange that it would have been: waiting, or begun anew
where there is room for one more connection, or the one that is given may have died.
"""

from __future__ import annotations

from time import perf_counter
from typing import TYPE_CHECKING

from proxy.forwarding.decision import tell_held_back
from proxy.forwarding.quick.continuation import Continuation
from proxy.forwarding.quick.exchange import QuickExchange
from proxy.forwarding.quick.outcome import QuickOutcome
from proxy.upstream.doubted import RESTED

if TYPE_CHECKING:
    from proxy.upstream.connection import UpstreamConnection


class QueuedExchange(QuickExchange):
    """See the module's docstring. Implements the pool's `Waiting`, and `Timed`. `waited` is in seconds."""

    fresh = gone = False
    begins_anew = True
    __slots__ = ("_queues", "_resumed", "deadline", "waited")
    _resumed: Continuation | None

    def wait(self) -> None:
        """Join those who wait at the pool."""
        context, pool = self._context, self._lane.pool
        self._queues, self._resumed = True, None
        self.waited = perf_counter()
        self.deadline = pool.loop.time() + context.timeouts.response
        tell_held_back(pool, self.family, context.dependencies.accounting.observer)
        pool.deadlines.add(self)
        pool.join(self)

    # --- as one who waits

    @property
    def client(self) -> str:
        return self._lane.caller.name

    @property
    def family(self) -> str:
        return self._lane.family

    def give(self, connection: UpstreamConnection | None) -> None:
        """Its turn has come; without a connection there is room for one."""
        self._queues = False
        self.waited = perf_counter() - self.waited
        pool = self._lane.pool
        pool.deadlines.discard(self)
        stopped = self._context.dependencies.accounting.write_gate.stops(is_write=self._lane.is_write)
        if connection is not None and not stopped and connection.was_used_within(RESTED):
            try:
                self.send(connection)
            except Exception as error:  # noqa: BLE001 - it is told, and nothing of it is whose turn it was before
                connection.close()
                self.defect(error)
            return
        if connection is not None and stopped:
            pool.loop.call_soon(pool.release, connection)  # for the next in line; this one is refused
        elif connection is not None:
            pool.give_back(connection)
        resumed = self._resumed = self._ordinary_unsent()
        resumed.begin_late()

    def expire(self, now: float) -> None:
        """No connection became free in time."""
        pool, patience = self._lane.pool, self._context.timeouts.response
        self._leave().wait_failed(pool.none_became_free(self.family, patience))

    # --- anything else

    def _leave(self) -> Continuation:
        """The exchange that it would have been, waiting; nobody waits any longer."""
        self._queues = False
        pool = self._lane.pool
        pool.deadlines.discard(self)
        pool.leave(self)
        resumed = self._resumed = self._ordinary_unsent()
        resumed.stay_waiting()
        return resumed

    def _ordinary_unsent(self) -> Continuation:
        quick, data, body_at = self._context, self._data, self._body_at
        quick.count(QuickOutcome.CONNECTION)
        context = quick.ordinary(self._lane, data[: body_at - 2], self.request_id)
        exchange = Continuation(quick.dependencies, self._client, context)
        exchange.take_unsent(data[body_at:])
        return exchange

    @property
    def _exchange(self) -> Continuation:
        if self._resumed is not None:
            return self._resumed
        return self._leave() if self._queues else super()._exchange

    # --- RequestHandler

    @property
    def paced(self) -> bool:
        return self._resumed.paced if self._resumed is not None else super().paced

    @property
    def endless(self) -> bool:
        return self._resumed.endless if self._resumed is not None else super().endless

    def client_writable(self, writable: bool) -> None:
        if not self._queues:
            super().client_writable(writable)
