"""A replica's part in a fleet: what Amazon asked it to wait for, the pace of token requests, what its clients spent,
and how the shared store is.

Nothing here is on a request's path: what happened is told a moment later, and what others tell is put in force when it
comes. Without the store each replica goes by what it knows itself.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from typing import TYPE_CHECKING, Any, Final

from proxy.events import AccountRemoved, StateStoreChanged, TokenUnpersisted
from proxy.reports.sharing import SharedReports
from proxy.reports.stored import read_made, write_made
from proxy.tokens.store import StoreHealth
from proxy.upstream.throttles import ThrottleKey

if TYPE_CHECKING:
    from collections.abc import Callable

    from proxy.access.clients import Budgets, BudgetUsage
    from proxy.events import Event, Observer
    from proxy.tokens.store import Fleet
    from proxy.tokens.token_request_queue import TokenRequestQueue
    from proxy.upstream.throttles import Throttles

MAX_NAMED: Final = 3
"""Accounts that a sentence names."""
SETTLE_EVERY: Final = 0.25
"""Seconds between two settlements of what clients spent."""
_TOKEN_RATE_SECONDS: Final = 60.0
"""Seconds for which another replica's pace of token requests is a good start."""


class FleetMember:
    """Made with what this replica knows; `start` joins, `stop` leaves. `clock` is the one that budgets go by."""

    def __init__(
        self,
        fleet: Fleet,
        throttles: Throttles,
        budgets: Budgets,
        observer: Observer,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._clock = clock
        self._fleet, self._throttles, self._budgets, self._observer = fleet, throttles, budgets, observer
        self._id = secrets.token_hex(8)
        self._unwritten: set[str] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._request_queue: TokenRequestQueue | None = None
        self._reports = SharedReports()

    def __repr__(self) -> str:
        return f"<FleetMember {self._id}: {self._fleet!r}>"

    def start(self) -> None:
        """Needs the event loop. The store need not be there."""
        self._fleet.follow(self._tell_health)
        self._throttles.paused = self._announce_pause
        for work in (self._hear(), self._settle()):
            self._begin(work)

    async def stop(self) -> None:
        for task in tuple(self._tasks):
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)

    def _begin(self, work: Any) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    @property
    def health(self) -> StoreHealth:
        """The store is in trouble until it has every refresh token that only this replica's memory holds."""
        health = self._fleet.health
        if health.problem or not self._unwritten:
            return health
        few = sorted(self._unwritten)[:MAX_NAMED]
        names = ", ".join(few) + (", ..." if len(self._unwritten) > len(few) else "")
        count = f"{len(self._unwritten)} refresh token{'s' if len(self._unwritten) > 1 else ''}"
        return StoreHealth(
            f"The state store lacks {count} that this replica still has to write: {names}.", health.replicas
        )

    def observe(self, event: Event) -> None:
        """Which accounts' refresh tokens only the memory holds."""
        before = bool(self._unwritten)
        if isinstance(event, TokenUnpersisted) and event.unpersisted:
            self._unwritten.add(event.account)
        elif isinstance(event, TokenUnpersisted | AccountRemoved):
            self._unwritten.discard(event.account)
        if bool(self._unwritten) != before and not self._fleet.health.problem:
            self._tell_health()

    def _tell_health(self) -> None:
        health = self.health
        self._observer.observe(StateStoreChanged(bool(health.problem), health.problem, health.replicas))

    # --- reports

    def share_reports(self, reports: SharedReports) -> None:
        """Tell the others which orders made which reports, and take what they tell."""
        self._reports = reports
        reports.made = lambda order, made: self._begin(
            self._fleet.share({"by": self._id, "report": write_made(order, made)})
        )
        reports.gone = lambda report: self._begin(self._fleet.share({"by": self._id, "report_gone": report}))

    def _hear_report(self, told: dict[str, Any]) -> None:
        made, gone = read_made(told.get("report")), told.get("report_gone")
        if made is not None:
            self._reports.reports.put(made[1], made[0])
        if isinstance(gone, str):
            self._reports.hear_gone(gone)

    # --- pauses, and the pace of token requests

    def share_token_rate(self, request_queue: TokenRequestQueue) -> None:
        """Tell the others what pace these find, and let them go by what the others find."""
        self._request_queue = request_queue
        request_queue.rate_lowered = self._announce_rate

    def _announce_rate(self, token_url: str, rate: float, pause: float) -> None:
        self._begin(self._fleet.share({"by": self._id, "token_pace": token_url, "rate": rate, "seconds": pause}))

    def _announce_pause(self, key: ThrottleKey, seconds: float) -> None:
        self._begin(self._fleet.share({"by": self._id, "pause": list(key), "seconds": seconds}))

    async def _hear(self) -> None:
        async for ago, told in self._fleet.heard():
            if told.get("by") == self._id:
                continue
            pause = read_pause(told, ago)
            if pause is not None:
                self._throttles.pause(*pause, asyncio.get_running_loop())
            token_rate = read_token_rate(told, ago)
            if token_rate is not None and self._request_queue is not None:
                self._request_queue.hear(*token_rate)
            self._hear_report(told)

    # --- budgets

    async def _settle(self) -> None:
        while True:
            await asyncio.sleep(SETTLE_EVERY)
            await asyncio.gather(*map(self._settle_one, self._budgets.take_spendings()))

    async def _settle_one(self, spent: BudgetUsage) -> None:
        left = await self._fleet.settle(spent.name, spent.capacity, spent.interval, spent.count)
        if left is not None:
            self._budgets.settle(spent.name, left, self._clock())


def read_pause(told: dict[str, Any], ago: float) -> tuple[ThrottleKey, float] | None:
    """The limited operations, and for how many more seconds; None for a pause that is over, or for other news."""
    key, seconds = told.get("pause"), told.get("seconds")
    if not isinstance(key, list) or not isinstance(seconds, int | float) or seconds <= ago:
        return None
    try:
        return ThrottleKey(*map(str, key)), seconds - ago
    except TypeError:  # another version's form
        return None


def read_token_rate(told: dict[str, Any], ago: float) -> tuple[str, float, float] | None:
    """A token endpoint, requests a second, and for how many more seconds it is not to be asked; None for what is old,
    or says something else."""
    token_url, rate, seconds = told.get("token_pace"), told.get("rate"), told.get("seconds")
    if not (isinstance(token_url, str) and isinstance(rate, int | float) and isinstance(seconds, int | float)):
        return None
    return (token_url, float(rate), max(seconds - ago, 0.0)) if ago <= _TOKEN_RATE_SECONDS and rate > 0 else None
