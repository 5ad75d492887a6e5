"""Which report each order made, and who asks Amazon for what several clients want at one time.

Keys are digests: what they are made of, and the requests to Amazon, are for `reports.shared_report`. Each claim has a
ticket of its own. Moments are wall-clock time.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Final, NamedTuple

from cachetools import LRUCache

from proxy.reports.orders import ReportStatus, answer_of
from proxy.reports.pace import OrderQueues
from proxy.reports.polls import read_moment
from proxy.value_classes import dataclass

if TYPE_CHECKING:
    from collections.abc import Callable

    from proxy.reports.orders import Report
    from proxy.reports.pace import OrderLimit, QueuedOrder
    from proxy.reports.polls import PollAnswer

MAX_REPORTS: Final = 2048
MAX_POLLS: Final = 1024
MAX_AGE: Final = 86400.0
"""Seconds after its order in which a report is used again, at most."""
LEAST_CHECK: Final = 30.0
"""Seconds for which an unfinished report is used again without a look at it, at least."""


@dataclass(frozen=True, slots=True)
class ReportRules:
    """What requests for reports share. `reuse_for` and `poll_interval` are in seconds.

    `adopts` tells that an order gets the report that a 425 names, if it has the same data. An order waits for its turn
    for `patience` seconds, None for as long as any response may take.
    """

    reuses: bool
    reuse_for: float
    paces: bool
    poll_interval: float
    adopts: bool
    patience: float | None = None


# --- Reports that orders made ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class MadeReport:
    """A report that an order made. `key` is that of its polls, `status` and `text` are the answer that an identical
    order gets. It was last `seen_at` that moment; `completed_at` is None until it is known to be complete."""

    key: str
    id: str
    status: int
    text: str
    made_at: float
    seen_at: float
    completed_at: float | None = None

    def is_reusable(self, reuse_for: float, now: float) -> bool:
        """Whether an identical order may get it now."""
        if not 0 <= now - self.made_at < MAX_AGE:
            return False
        return self.completed_at is None or 0 <= now - self.completed_at < reuse_for

    def needs_look(self, poll_interval: float, now: float) -> bool:
        """Whether it may have failed, or have been complete for long, since it was last seen."""
        return self.completed_at is None and now - self.seen_at >= max(poll_interval, LEAST_CHECK)


def see(made: MadeReport, report: Report, now: float, *, shows_answer: bool) -> MadeReport | None:
    """What is known of a report after Amazon showed it; None if it failed. `shows_answer` tells that its answer is
    the report itself, as in version 3."""
    if report.status is ReportStatus.FAILED:
        return None
    completed_at = made.completed_at
    if report.status is ReportStatus.COMPLETED and completed_at is None:
        written = read_moment(report.content.get("generatedAt", report.content.get("completedDateTime")))
        completed_at = now if written is None else min(max(written, made.seen_at), now)
    text = answer_of(report).decode() if shows_answer else made.text
    return replace(made, text=text, seen_at=now, completed_at=completed_at)


class KnownReports:
    """The reports that orders made, in bounded memory. `changed` is called when others are unfinished."""

    def __init__(self) -> None:
        self._made: LRUCache[str, MadeReport] = LRUCache(MAX_REPORTS)
        self._orders: LRUCache[str, str] = LRUCache(MAX_REPORTS)
        self.changed: Callable[[], None] = lambda: None

    def __repr__(self) -> str:
        return f"<KnownReports: {len(self._made)} of {len(self._orders)} orders>"

    def of_order(self, order: str) -> MadeReport | None:
        """The report that an order made."""
        key = self._orders.get(order)
        return None if key is None else self._made.get(key)

    def find(self, key: str) -> MadeReport | None:
        """The report of this key."""
        found: MadeReport | None = self._made.get(key)
        return found

    def put(self, made: MadeReport, order: str = "") -> None:
        """Remember it, and that this order made it."""
        before = self._made.get(made.key)
        self._made[made.key] = made
        if order:
            self._orders[order] = made.key
        if order or before is None or before.completed_at != made.completed_at:
            self.changed()

    def forget(self, key: str) -> None:
        """A report failed, or is gone."""
        if self._made.pop(key, None) is not None:
            self.changed()

    def known(self, now: float) -> list[tuple[str, MadeReport]]:
        """Every order with its report, if that is unfinished."""
        found = ((order, self._made.get(key)) for order, key in self._orders.items())
        return [
            (order, made)
            for order, made in found
            if made is not None and made.completed_at is None and made.is_reusable(0.0, now)
        ]


# --- Who asks Amazon ---------------------------------------------------------------------------------------------


class Claims:
    """Who asks Amazon for what several want: one for each key, and the others wait."""

    def __init__(self) -> None:
        self._claimed: dict[str, tuple[str, asyncio.Future[None]]] = {}
        self._watched: dict[str, set[asyncio.Future[None]]] = {}

    def __repr__(self) -> str:
        return f"<Claims: {len(self._claimed)}>"

    def is_free(self, key: str) -> bool:
        return key not in self._claimed

    def take(self, key: str, ticket: str) -> bool:
        """Claim a key: True if it was free. It has to be released."""
        if key in self._claimed:
            return False
        self._claimed[key] = ticket, asyncio.get_running_loop().create_future()
        self.tell(key)
        return True

    def tell(self, key: str) -> None:
        """Wake up those who watch a key."""
        for watching in self._watched.get(key, ()):
            if not watching.done():
                watching.set_result(None)

    async def watch(self, key: str) -> None:
        """Wait until the key is claimed, or something else becomes known of it."""
        watching = asyncio.get_running_loop().create_future()
        self._watched.setdefault(key, set()).add(watching)
        try:
            await watching
        finally:
            self._watched[key].discard(watching)
            if not self._watched[key]:
                del self._watched[key]

    async def wait(self, key: str) -> None:
        """Wait until the one who asks has released the key."""
        await asyncio.shield(self._claimed[key][1])

    def release(self, key: str, ticket: str) -> None:
        """End a claim: the result is known. For a ticket without the claim, nothing happens."""
        held = self._claimed.get(key)
        if held is not None and held[0] == ticket:
            del self._claimed[key]
            held[1].set_result(None)


class OrderClaim(NamedTuple):
    """What to do with an order: give its client `made`; or, if it is `granted`, look at `made` if there is one, or send
    the order, whose turn it is. A granted one ends with `settle_order`."""

    made: MadeReport | None
    granted: bool


class PollClaim(NamedTuple):
    """What to do with a poll: give its client the `answer`; without one, send it, and settle it with `settle_poll` if
    it is `granted`."""

    answer: PollAnswer | None
    granted: bool


class SharedReports:
    """What requests for reports share. `wall` is the clock of all moments."""

    def __init__(self, wall: Callable[[], float] = time.time) -> None:
        self.wall = wall
        self._rules: ReportRules | None = None
        self.reports = KnownReports()
        self.queues = OrderQueues()
        self._polls: LRUCache[str, PollAnswer] = LRUCache(MAX_POLLS)
        self._claims = Claims()
        self.made: Callable[[str, MadeReport], None] = lambda order, made: None
        """Called with each report that an order made here."""
        self.gone: Callable[[str], None] = lambda report: None
        """Called with the key of each report that was deleted, or that Amazon does not know any more."""

    def __repr__(self) -> str:
        return f"<SharedReports: {self.reports!r}, {len(self._polls)} polls, {self._claims!r}>"

    def apply(self, rules: ReportRules | None) -> None:
        """Take the rules of a configuration; None without a section about reports."""
        self._rules = rules

    # --- orders

    async def claim_order(
        self, order: str, ticket: str, queued: QueuedOrder | None = None, unfit: str = ""
    ) -> OrderClaim:
        """Wait until it is known what became of an identical order under way, or until it is this one's turn; then see
        `OrderClaim`. `unfit` is the id of a report that it cannot use. Raises `Throttled` as `wait_for_turn` does.

        No order waits for another client's place: of identical ones, the first whose turn it is gets the claim.
        """
        has_turn = queued is None
        while True:
            made, needs_look = self._usable(order, unfit)
            if has_turn and queued is not None and (made is not None or not self._claims.is_free(order)):
                self.queues.give_back(queued.limit)
                has_turn = False
            if made is not None and not needs_look:
                return OrderClaim(made, granted=False)
            if not self._claims.is_free(order):
                await self._claims.wait(order)
            elif made is None and not has_turn and queued is not None:
                has_turn = await self._gets_turn(queued, order)
            else:
                self._claims.take(order, ticket)
                return OrderClaim(made, granted=True)

    def _usable(self, order: str, unfit: str) -> tuple[MadeReport | None, bool]:
        """The report that an order may get, and whether that needs a look first."""
        made, now, rules = self.reports.of_order(order), self.wall(), self._rules
        if rules is None or made is None or made.id == unfit or not made.is_reusable(rules.reuse_for, now):
            return None, False
        return made, made.needs_look(rules.poll_interval, now)

    async def _gets_turn(self, queued: QueuedOrder, order: str) -> bool:
        """Wait for an order's turn; False once another client sends an identical one."""
        loop = asyncio.get_running_loop()
        waiting = loop.create_task(self.queues.wait(*queued))
        watching = loop.create_task(self._claims.watch(order))
        try:
            await asyncio.wait((waiting, watching), return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError:
            if waiting.done() and waiting.exception() is None:
                self.queues.give_back(queued.limit)
            raise
        finally:
            waiting.cancel()  # it gives back a turn that it just got, and nothing is awaited after one
            watching.cancel()
        if not waiting.done():
            return False
        waiting.result()
        return True

    def settle_order(self, order: str, ticket: str, made: MadeReport | None) -> None:
        """What became of a granted order: the report that it made, None if it is not known to have made one."""
        if made is not None:
            self.reports.put(made, order)
            self.made(order, made)
            self._claims.tell(order)
        self._claims.release(order, ticket)

    # --- polls

    async def claim_poll(self, report: str, ticket: str) -> PollClaim:
        """Wait until a poll of the same report that is under way is over; then see `PollClaim`."""
        key = _poll(report)
        while True:
            answer: PollAnswer | None = self._polls.get(report)
            interval = self._rules.poll_interval if self._rules is not None else 0.0
            if answer is not None and answer.is_fresh(self.wall(), interval):
                return PollClaim(answer, granted=False)
            if self._claims.take(key, ticket):
                return PollClaim(None, granted=True)
            await self._claims.wait(key)

    def settle_poll(self, report: str, ticket: str, answer: PollAnswer | None) -> None:
        """What a granted poll brought that others may get."""
        if answer is not None:
            self._polls[report] = answer.after(self._polls.get(report))
        self._claims.release(_poll(report), ticket)

    def saw(self, report: str, shown: Report, *, shows_answer: bool) -> None:
        """Amazon showed a report."""
        made = self.reports.find(report)
        if made is not None:
            newer = see(made, shown, self.wall(), shows_answer=shows_answer)
            if newer is None:
                self.reports.forget(report)
            else:
                self.reports.put(newer)

    def forget(self, report: str) -> None:
        """A report was deleted, or Amazon does not know it any more."""
        self.hear_gone(report)
        self.gone(report)

    def hear_gone(self, report: str) -> None:
        """Another replica found that a report is gone."""
        self.reports.forget(report)
        self._polls.pop(report, None)

    # --- pace

    async def wait_for_turn(self, queued: QueuedOrder) -> None:
        """See `OrderQueues.wait`."""
        await self.queues.wait(*queued)

    def give_back(self, limit: OrderLimit, left_at: float) -> None:
        """See `OrderQueues.give_back`."""
        self.queues.give_back(limit, left_at)

    def throttled(self, limit: OrderLimit, sent_at: float, retry_after: float | None) -> None:
        """See `OrderQueues.throttled`."""
        self.queues.throttled(limit, sent_at, retry_after)

    def taken(self, limit: OrderLimit, sent_at: float) -> None:
        """See `OrderQueues.taken`."""
        self.queues.taken(limit, sent_at)


def _poll(report: str) -> str:
    """The key of a claim to poll a report; that of an order is never the same."""
    return f"poll {report}"
