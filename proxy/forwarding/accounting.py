"""The account of each request: what it cost, the one `RequestFinished` that reports it, and the number in flight."""

from __future__ import annotations

import traceback
from functools import partial
from time import perf_counter
from typing import TYPE_CHECKING, Any, Final

from proxy.events import DefectMet, Fault, RequestStarted
from proxy.forwarding.request_stats import RequestStats
from proxy.forwarding.write_gate import WriteGate
from proxy.net.deadlines import NEVER
from proxy.net.turn import TURN
from proxy.observability.instruments import Cell
from proxy.observability.journal import Journal
from proxy.routing.request_kind import kind_of_route

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Iterable

    from proxy.errors import Refused
    from proxy.events import Observer, RequestFinished, RequestKind
    from proxy.forwarding.attempt import Attempt
    from proxy.forwarding.decision import RequestContext
    from proxy.forwarding.sockets import End, Reading, Tap
    from proxy.forwarding.tracing import Tracing
    from proxy.http1.message import Request
    from proxy.net.deadlines import Deadlines
    from proxy.observability.journal import JournalEntry

MAX_PATH = 512
_STARTED = RequestStarted()


def kind_of(context: RequestContext) -> RequestKind:
    """The kind of a request that was decided."""
    decision = context.decision
    subject = decision.identity.subject
    return kind_of_route(decision.client, decision.asked, decision.route, context.effect, subject)


RECORD_WITHIN: Final = 0.75
"""Seconds that an account waits for threads that read bodies; deadlines are kept to within another quarter. A crash
costs no older record of a write that was answered, however many bodies are to be read."""


class LateAccount:
    """The account of a request that is over, while a thread reads a body of it. Implements `Timed`.

    `give` is called once: when the `reading` has ended, or at the deadline, at which it is cancelled.
    """

    __slots__ = ("_deadlines", "_give", "_reading", "deadline")

    def __init__(
        self, reading: asyncio.Future[Any], deadlines: Deadlines, deadline: float, give: Callable[[LateAccount], None]
    ) -> None:
        self.deadline = deadline
        self._deadlines = deadlines
        self._reading = reading
        self._give = give
        deadlines.add(self)
        reading.add_done_callback(self._was_read)

    def __repr__(self) -> str:
        return f"<LateAccount until {self.deadline}>"

    def expire(self, now: float) -> None:
        """Give the account without what was not read."""
        self._reading.cancel()
        self._was_read(self._reading)

    def _was_read(self, _reading: asyncio.Future[Any]) -> None:
        if self.deadline != NEVER:
            self.deadline = NEVER  # a sweep that is under way may still look at it
            self._deadlines.discard(self)
            self._give(self)


def _leave(in_flight: Cell, _reading: object) -> None:
    in_flight.value -= 1


class Accounting:
    """Tells what begins and what ends, and counts what runs. Without a `journal` the observer hears of every request,
    also of those that a journal's entry notes. Without `tracing` no request has a span."""

    def __init__(self, observer: Observer, journal: Journal | None = None, tracing: Tracing | None = None) -> None:
        self.observer = observer
        self.write_gate = WriteGate()
        self.tracing = tracing
        self.journal = journal if journal is not None else Journal(listeners=(observer,))
        self.flight = self.journal.in_flight
        self._of_client: dict[str, Cell] = {}
        self.record_within = RECORD_WITHIN
        self._late: set[LateAccount] = set()

    def __repr__(self) -> str:
        return f"<Accounting: {self.in_flight} requests in flight>"

    @property
    def in_flight(self) -> int:
        """How many requests are being served."""
        return self.flight.value

    def client_cell(self, client: str) -> Cell:
        """Where a client's requests are counted while they are under way; there are no more clients than were ever
        configured."""
        found = self._of_client.get(client)
        if found is None:
            found = self._of_client[client] = Cell()
        return found

    def started(self, in_flight: Cell | None = None) -> None:
        """A request begins; one that goes to Amazon counts among those of its client that are `in_flight`."""
        self.flight.value += 1
        if in_flight is not None:
            in_flight.value += 1
        if self.journal.listeners:
            self.tell_started()

    def hold(self, in_flight: Cell) -> None:
        """A request waits before it is decided whether to serve it; it counts as if it were served."""
        self.flight.value += 1
        in_flight.value += 1

    def begin(self, request: Request, began: float) -> RequestStats:
        """What is to be filled while a request runs, which began at this moment of `perf_counter`."""
        stats = RequestStats(request, began)
        if self.tracing is not None:
            stats.span = self.tracing.begin(request.fields)
        return stats

    def trace(self, attempt: Attempt, context: RequestContext) -> bytes:
        """Have the end of a try told that is sent now, where its request has a span; gives the lines that it carries
        for it."""
        span, tracing = context.stats.span, self.tracing
        return tracing.follow(span, attempt, context) if span is not None and tracing is not None else b""

    def tell_started(self) -> None:
        """To those who hear of every request."""
        for listener in self.journal.listeners:
            listener.observe(_STARTED)

    def ended(self, in_flight: Cell | None = None) -> None:
        """A request is over. `in_flight` is what it was started with."""
        self.flight.value -= 1
        if in_flight is not None:
            in_flight.value -= 1

    def finished(self, event: RequestFinished, in_flight: Cell | None = None) -> None:
        """A request ended with this event; `in_flight` is what it was started with."""
        self.ended(in_flight)
        self.observer.observe(event)

    def tell_taps(self, taps: Iterable[Tap], end: End, stats: RequestStats) -> None:
        """Tell taps how a request ended. A defect in one of them costs no request its account."""
        for tap in taps:
            try:
                if (reading := tap.ended(end)) is not None:
                    stats.readings += (reading,)
            except Exception as error:  # noqa: BLE001 - as the docstring says
                self.defect("tap", error)

    def exchanged(self, stats: RequestStats, status: int, context: RequestContext, now: float) -> None:
        """A request that was decided is over: give its account, when what threads read for it is there. One that ended
        well makes no event."""
        readings = stats.readings if stats.fault else ()
        unbounded = next((reading for reading in readings if not reading.is_bounded), None)
        if unbounded is not None:  # or a client that always leaves could have any number of bodies read
            unbounded.result.add_done_callback(partial(_leave, context.decision.in_flight))
        else:
            context.decision.in_flight.value -= 1  # not with its account, which may wait for a thread
        self._give(stats, status, context, now)

    def _give(self, stats: RequestStats, status: int, context: RequestContext, now: float) -> None:
        while stats.readings:
            reading, *others = stats.readings
            stats.readings = tuple(others)
            if not reading.result.done():
                self._wait_for(reading, stats, context, lambda: self._give(stats, status, context, now))
                return
            self._settle(reading)
        if stats.ended_well(status):
            self._pass_on(stats, status, context, now)
            return
        self.flight.value -= 1
        self.observer.observe(stats.finished(status, kind_of(context), context.path, now))
        stats.refusal = None  # its traceback leads back to the exchange, and would keep it for the garbage collector

    def _settle(self, reading: Reading) -> None:
        """Take what was read. A defect in it costs no request its account."""
        try:
            reading.settle()
        except Exception as error:  # noqa: BLE001 - as the docstring says
            self.defect("reading", error)

    def _wait_for(
        self, reading: Reading, stats: RequestStats, context: RequestContext, then: Callable[[], None]
    ) -> None:
        """Go on once a thread has read what is to be said of a request, or when its account is due. While a write
        waits for that, the gate counts its record."""
        is_write, pool = context.is_write, context.pool
        stats.due = min(stats.due, pool.loop.time() + self.record_within)

        def give(late: LateAccount) -> None:
            self._late.discard(late)
            self.write_gate.unrecorded -= is_write
            self._settle(reading)
            then()

        self.write_gate.unrecorded += is_write
        self._late.add(LateAccount(reading.result, pool.deadlines, stats.due, give))

    def give_late(self) -> None:
        """Give all accounts that wait for threads: the process ends."""
        while self._late:
            next(iter(self._late)).expire(0.0)

    def passed_on(
        self, context: RequestContext, status: int, amazon_request_id: str, bytes_in: int, bytes_out: int
    ) -> None:
        """A request is over that was sent in one step: in this turn of the event loop Amazon's response went to the
        client whole, and nothing else is to be said of it."""
        now = perf_counter()
        decision, admission = context.decision, context.admission
        duration, overhead = now - context.began, context.overhead + now - TURN.began
        upstream = min(duration - overhead, now - context.sent_at)
        decision.in_flight.value -= 1
        self.flight.value -= 1
        self.journal.add(
            (
                decision.entries.get(status) or self._entry(context, status),
                context.request_id,
                amazon_request_id,
                admission.path,
                admission.fields.user_agent,
                bytes_in,
                bytes_out,
                duration,
                upstream,
                overhead,
                1,
                None,
                None,
            )
        )

    def _entry(self, context: RequestContext, status: int) -> JournalEntry:
        """Where requests are noted that were decided alike and ended with this status."""
        entries = context.decision.entries
        entry = entries.get(status)
        if entry is None:
            entry = entries[status] = self.journal.entry(kind_of(context), status)
        return entry

    def _pass_on(self, stats: RequestStats, status: int, context: RequestContext, now: float) -> None:
        stats.measure(now)
        self.flight.value -= 1
        self.journal.add(
            (
                self._entry(context, status),
                stats.request_id,
                stats.amazon_request_id,
                context.path,
                stats.user_agent,
                stats.bytes_in,
                stats.bytes_out,
                stats.duration,
                stats.upstream,
                stats.overhead,
                stats.attempts,
                stats.write,
                stats.judged,
            )
        )

    def refused(self, stats: RequestStats, error: Refused, kind: RequestKind, waited: float = 0.0) -> None:
        """A request was answered before anybody served it, after so many seconds."""
        stats.refusal = error
        self._unserved(stats, error.status, kind, waited)

    def left(self, request: Request, kind: RequestKind, waited: float) -> None:
        """A client left before anybody served its request, after so many seconds."""
        stats = self.begin(request, 0.0)
        stats.fault = Fault.CLIENT_GONE
        self._unserved(stats, 0, kind, waited)

    def _unserved(self, stats: RequestStats, status: int, kind: RequestKind, waited: float) -> None:
        path = stats.request.target.shown
        self.started()
        self.finished(stats.finished(status, kind, path.decode("latin-1")[:MAX_PATH], waited))

    def defect(self, where: str, error: BaseException) -> None:
        self.observer.observe(DefectMet(where, "".join(traceback.format_exception(error))))
