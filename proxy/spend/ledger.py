"""What each client has spent of a day's limits, counted by all processes of the program together.

A write takes what it may spend before it leaves (`Ledger.reserve`), and gives back what did not happen
(`Ledger.release`). What is unknown, as after a lost connection or a killed process, stays counted until the day ends.
The state store has the counts (`proxy/tokens/day_counts.py`). Amounts are counted in millionths of a currency: what is
taken is rounded up, limits and what is given back are rounded down.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol

from proxy.errors import LedgerUnavailable, StateError
from proxy.spend.judge import DayUse
from proxy.tokens.day_counts import MOST, CountAnswer, CountedDay, CountRequest, CountsUnsettled

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from proxy.spend.judge import Reservation
    from proxy.spend.limits import SpendLimits
    from proxy.tokens.day_counts import DayCounts

PATIENCE: Final = 5.0
"""Seconds that a write waits until it is counted."""
RETRY: Final = 1.0
"""Seconds between two attempts to give back while the store is away, and after which a write is to be sent again."""
_CREATED: Final = "created"
_MILLIONTH: Final = Decimal("0.000001")
_NO_CURRENCY: Final = "???"
"""What amounts are counted under whose currency is no three letters."""


class DayKey(NamedTuple):
    """What is counted together: the writes of a client on a calendar date. `day` is an ISO date."""

    client: str
    day: str


class Ledger(Protocol):
    """What the clients' writes take of their days."""

    async def reserve(self, key: DayKey, wanted: Reservation, limits: SpendLimits | None) -> tuple[bool, DayUse]:
        """Count what a write may spend if all of it fits within the limits; without limits, count it always.

        Returns whether it was counted, and the use of the day before it. Raises `LedgerUnavailable`. If this is
        cancelled, nothing stays counted.
        """

    async def look(self, key: DayKey) -> DayUse:
        """The use of a day. Raises `LedgerUnavailable`."""

    def release(self, key: DayKey, back: Reservation) -> None:
        """Give back what did not happen. Never raises; tries again while it can."""

    async def days(self) -> Mapping[DayKey, DayUse]:
        """The use of all days that the store still has. Raises `LedgerUnavailable`."""


class StoreLedger:
    """Implements `Ledger` with the counts of the state store. All requests that wait at one time share one step of the
    store."""

    def __init__(self, counts: DayCounts) -> None:
        self._counts = counts
        self._waiting: list[_WaitingRequest] = []
        self._back: dict[CountedDay, dict[str, int]] = {}
        """What is to be given back; nothing for a day about which the store may know more than this ledger."""
        self._arrived = asyncio.Event()
        self._working: asyncio.Task[None] | None = None
        self._problem = ""
        self.told: Callable[[str], None] = lambda problem: None
        """Called with what hinders the store from counting, and with nothing when it counts again."""

    def __repr__(self) -> str:
        return f"<StoreLedger: {len(self._waiting)} waiting, {len(self._back)} days to give back>"

    async def reserve(self, key: DayKey, wanted: Reservation, limits: SpendLimits | None) -> tuple[bool, DayUse]:
        change = _amounts(wanted, ROUND_CEILING)
        answer = await self._ask(CountRequest(CountedDay(*key), change, _limits(change, limits)))
        return answer.granted, _use(answer.before)

    async def look(self, key: DayKey) -> DayUse:
        return _use((await self._ask(CountRequest(CountedDay(*key), {}, {}))).before)

    def release(self, key: DayKey, back: Reservation) -> None:
        self._give_back(CountedDay(*key), _amounts(back, ROUND_FLOOR))
        self._work()

    async def days(self) -> Mapping[DayKey, DayUse]:
        try:
            async with asyncio.timeout(PATIENCE):
                totals = await self._counts.totals()
        except (StateError, TimeoutError) as error:
            raise _unavailable(error) from error
        return {DayKey(*key): _use(total) for key, total in totals.items()}

    async def stop(self) -> None:
        """Give back what is to be given back, if the store takes it soon."""
        if self._working is not None:
            await asyncio.wait((self._working,), timeout=PATIENCE)
            self._working.cancel()

    async def _ask(self, request: CountRequest) -> CountAnswer:
        waiting = _WaitingRequest(request, asyncio.get_running_loop().create_future())
        self._waiting.append(waiting)
        self._work()
        try:
            async with asyncio.timeout(PATIENCE):
                return await waiting.answer
        except StateError as error:
            raise _unavailable(error) from error
        except (TimeoutError, asyncio.CancelledError) as error:
            # The answer may have come in the moment in which the wait ended.
            if waiting.was_granted:
                self._give_back(request.key, request.change)
                self._work()
            if isinstance(error, TimeoutError):
                raise _unavailable(error) from error
            raise

    def _give_back(self, key: CountedDay, change: Mapping[str, int]) -> None:
        back = self._back.setdefault(key, {})
        for unit, amount in change.items():
            back[unit] = back.get(unit, 0) + amount

    def _work(self) -> None:
        self._arrived.set()
        if self._working is None or self._working.done():
            self._working = asyncio.create_task(self._keep_working(), name="count what is spent")

    async def _keep_working(self) -> None:
        while self._waiting or self._back:
            if not await self._step():
                self._arrived.clear()
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(RETRY):
                        await self._arrived.wait()

    async def _step(self) -> bool:
        """Give back, then decide about all requests that wait now. Returns whether the store could do all of it."""
        back, self._back = self._back, {}
        waiting, self._waiting = self._waiting, []
        requests = [
            CountRequest(key, {unit: -amount for unit, amount in given.items()}, {}) for key, given in back.items()
        ]
        try:
            answers = await self._counts.take([*requests, *(each.request for each in waiting)])
        except BaseException:
            for each in waiting:
                each.end(StateError("The counts have a defect."))
            raise
        for (key, given), answer in zip(back.items(), answers, strict=False):
            if isinstance(answer, StateError):
                self._give_back(key, given)
        for each, answer in zip(waiting, answers[len(back) :], strict=True):
            if isinstance(answer, StateError):
                self._give_back(each.request.key, {})
            elif each.answer.done() and answer.granted:
                self._give_back(each.request.key, each.request.change)
            each.end(answer)
        problem = next((str(answer) for answer in answers if isinstance(answer, StateError)), "")
        if problem != self._problem:
            self._problem = problem
            self.told(problem)
        return not problem


class _WaitingRequest(NamedTuple):
    """A request and the future of its answer, which is cancelled if the write waits no more."""

    request: CountRequest
    answer: asyncio.Future[CountAnswer]

    @property
    def was_granted(self) -> bool:
        answer = self.answer
        return answer.done() and not answer.cancelled() and answer.exception() is None and answer.result().granted

    def end(self, answer: CountAnswer | StateError) -> None:
        if self.answer.done():
            return
        if isinstance(answer, StateError):
            self.answer.set_exception(answer)
        else:
            self.answer.set_result(answer)


def _unavailable(error: Exception) -> LedgerUnavailable:
    wait = error.seconds if isinstance(error, CountsUnsettled) else RETRY
    return LedgerUnavailable(
        "The state store cannot count now what this write would spend, and it is not sent without that. Send the "
        "request again later.",
        retry_after=wait,
    )


# --- Amounts as whole numbers --------------------------------------------------------------------------------


def _amounts(reservation: Reservation, rounding: str) -> dict[str, int]:
    """What a write takes, by unit: the objects that it creates, and millionths of each currency."""
    amounts = {_CREATED: min(reservation.created, MOST)} if reservation.created else {}
    for currency, amount in reservation.budgets:
        unit = _unit(currency)
        amounts[unit] = min(MOST, amounts.get(unit, 0) + _millionths(amount, rounding))
    return amounts


def _limits(change: Mapping[str, int], limits: SpendLimits | None) -> dict[str, int]:
    """The limits of the units that a write takes. Nothing fits within that of a currency without one, and no limit
    holds an amount that is too large to be counted."""
    found: dict[str, int] = {}
    if limits is None:
        return found
    for unit in (unit for unit, amount in change.items() if amount > 0):
        if unit != _CREATED and limits.budget_per_day is not None:
            limit = limits.budget_per_day.get(unit)
            found[unit] = -1 if limit is None else min(MOST - 1, _millionths(limit, ROUND_FLOOR))
        elif unit == _CREATED and limits.new_per_day is not None:
            found[unit] = min(MOST - 1, limits.new_per_day)
    return found


def _millionths(amount: Decimal, rounding: str) -> int:
    """An amount in millionths; at most `MOST`. Works for any number of digits and any exponent."""
    if not amount.is_finite() or amount.adjusted() > 12:
        return MOST if amount > 0 else 0
    return max(0, min(MOST, int(amount.quantize(_MILLIONTH, rounding).scaleb(6))))


def _unit(currency: str) -> str:
    return currency if re.fullmatch("[A-Za-z]{3}", currency) else _NO_CURRENCY


def _use(amounts: Mapping[str, int]) -> DayUse:
    budgets = {unit: Decimal(amount) / 1_000_000 for unit, amount in amounts.items() if unit != _CREATED and amount}
    return DayUse(amounts.get(_CREATED, 0), budgets)


class AbsentLedger:
    """Implements `Ledger` where there is none: nothing that has to be counted may leave."""

    def __repr__(self) -> str:
        return "<AbsentLedger>"

    async def reserve(self, key: DayKey, wanted: Reservation, limits: SpendLimits | None) -> tuple[bool, DayUse]:
        return False, await self.look(key)

    async def look(self, key: DayKey) -> DayUse:
        raise LedgerUnavailable("This process has no ledger of what a day spends.")

    def release(self, key: DayKey, back: Reservation) -> None:
        """There is nothing to give back."""

    async def days(self) -> Mapping[DayKey, DayUse]:
        return {}
