"""One run of a named report: its orders at Amazon, until the rows of each are on disk or it is given up.

Each step is noted in the journal before the next, so that a run that was cut off continues. An order of which it is not
certain that nothing came is sent again: Amazon answers 425 while it makes the first one, and the core then answers with
that one. In version 1, of which no such answer is known, it may make a second one then, whose rows are not fetched.
Orders wait in the core for their turn while Amazon throttles them.
What becomes of the rows is for `outcome` and `runner`.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from typing import TYPE_CHECKING, Any, Final

from proxy.backoff import backoff
from proxy.errors import AdsProxyError
from proxy.reports.amazon import DownloadFailed
from proxy.reports.answers import Answer, AnswerKind
from proxy.reports.converter import ConversionFailed
from proxy.reports.disk import finish
from proxy.reports.journal import OrderState, OrderStep
from proxy.reports.store import PARTS, RunProgress
from proxy.tokens import state_directory
from proxy.value_classes import dataclass

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping
    from pathlib import Path

    from proxy.reports.amazon import ReportApi
    from proxy.reports.converter import Converter
    from proxy.reports.journal import RunJournal
    from proxy.reports.plan import NamedReport
    from proxy.reports.templates import PlannedOrder

FILES_AT_ONCE: Final = 8
"""Files of one report that are fetched at a time."""
MAX_OPEN: Final = 32
"""Orders of one run that are at Amazon at a time."""
PATIENCE: Final = 8 * 3600.0
"""Seconds after the beginning of a run in which it begins to give orders up: Amazon takes up to three hours, and
throttles for longer."""
REJECTIONS: Final = 2
"""So often Amazon may fail to make a report whose rows come whole."""
ATTEMPTS: Final = 3
"""So often rows are fetched, or a 401 is believed to pass."""
MOMENT: Final = 1.0
"""Seconds before an order that Amazon throttled waits for its next turn. It does not come sooner: orders that are
throttled are at least two seconds apart."""
SLOWEST: Final = 15
"""The most poll intervals between two attempts."""
_SLOWER_AFTER: Final = (900.0, 3600.0)
_SLOWER: Final = (2, 5)


class GivenUp(AdsProxyError):
    """An order brings no rows in this run. The text is a sentence for people."""


@dataclass(frozen=True, slots=True)
class RunClock:
    """Wall-clock seconds, and a way to let them pass."""

    now: Callable[[], float] = time.time
    sleep: Callable[[float], Awaitable[Any]] = asyncio.sleep


@dataclass(frozen=True, slots=True)
class RunParts:
    """What a run works with. `poll_interval` is in seconds, `max_bytes` the size of all results, 0 for any."""

    api: ReportApi
    converter: Converter
    clock: RunClock
    poll_interval: float
    max_bytes: int = 0


def next_poll(elapsed: float, interval: float) -> float:
    """Seconds between two polls of a report that was ordered so long ago. Pure."""
    factors = (1, *_SLOWER)
    return interval * factors[sum(elapsed >= after for after in _SLOWER_AFTER)]


class ReportRun:
    """`folder` is the report's. `changed` is called after each step."""

    def __init__(
        self, report: NamedReport, journal: RunJournal, folder: Path, parts: RunParts, changed: Callable[[], None]
    ) -> None:
        self._report, self.journal, self._folder, self._parts, self._changed = report, journal, folder, parts, changed
        self._failures: dict[str, Counter[AnswerKind]] = {}
        self._words = ""

    def __repr__(self) -> str:
        return f"<ReportRun of {self._report.name}: {self.journal!r}>"

    @property
    def progress(self) -> RunProgress:
        states = [self.journal.state(order) for order in self.journal.plan.orders]
        kept = sum(state.step is OrderStep.KEPT for state in states)
        return RunProgress(len(states), sum(bool(state.report_id) for state in states), kept)

    @property
    def waits_for(self) -> str:
        """A sentence about what is not here yet."""
        every = [self.journal.state(order) for order in self.journal.plan.orders]
        waiting = [state for state in every if not state.is_over]
        not_taken = sum(not state.report_id for state in waiting)
        told = f" {self._words}" if self._words else ""
        if not_taken:
            return f"Waits for Amazon to take {not_taken} of {len(every)} orders.{told}"
        return f"Waits for {len(waiting)} of {len(every)} reports of Amazon's.{told}"

    async def obtain(self) -> None:
        """Return when every order is over. Raises `ReportFolderError` if that cannot be noted."""
        waiting = iter(self.journal.plan.orders)

        async def take_next() -> None:
            for order in waiting:
                await self._obtain(order)

        try:
            async with asyncio.TaskGroup() as tasks:
                for _ in range(min(MAX_OPEN, len(self.journal.plan.orders))):
                    tasks.create_task(take_next())
        except BaseExceptionGroup as group:
            raise group.exceptions[0] from None

    async def _obtain(self, order: PlannedOrder) -> None:
        try:
            while not (state := self.journal.state(order)).is_over:
                await (self._receive(order, state) if state.report_id else self._order(order, state))
        except GivenUp as error:
            await self._note(order, OrderStep.FAILED, error=str(error))

    async def _note(self, order: PlannedOrder, step: OrderStep, **said: Any) -> None:
        """Write a step down before the next."""
        await finish(self.journal.note, order, step, **said)
        self._failures.pop(order.key, None)
        self._changed()

    # --- ordering

    async def _order(self, order: PlannedOrder, state: OrderState) -> None:
        """Send an order once, when it is its turn, and wait as long as the answer says."""
        if fault := self._report.template.find_fault(order):
            raise GivenUp(fault)
        if state.step is not OrderStep.ASKED:
            await self._note(order, OrderStep.ASKED)
            if state.step is OrderStep.REJECTED:
                await self._parts.clock.sleep(self._parts.poll_interval)
        try:
            async with asyncio.timeout(self._patience):
                answer = await self._parts.api.order(self._report, order)
        except TimeoutError:
            raise GivenUp(f"Amazon did not take the order within {PATIENCE / 3600:g} hours.") from None
        if answer.kind is AnswerKind.ORDERED:
            await self._note(order, OrderStep.ORDERED, id=answer.value, at=self._parts.clock.now())
        elif answer.kind is AnswerKind.THROTTLED:
            self._tell(answer)
            self._check_patience(answer)
            await self._parts.clock.sleep(MOMENT)
        else:
            await self._wait_after(order, answer)

    # --- receiving

    async def _receive(self, order: PlannedOrder, state: OrderState) -> None:
        """Poll a report once, when it is time, and fetch its rows if it is done."""
        clock, interval = self._parts.clock, self._parts.poll_interval
        await clock.sleep(max(0.0, min(interval, state.at + interval - clock.now())))
        answer = await self._parts.api.poll(self._report, order, state.report_id)
        if answer.kind is AnswerKind.COMPLETED:
            await self._fetch(order, answer.urls)
        elif answer.kind is AnswerKind.REJECTED:
            await self._reject(order, answer.words)
        elif answer.kind is AnswerKind.PENDING:
            self._failures.pop(order.key, None)
            self._tell(answer)
            self._check_patience(answer)
            await clock.sleep(next_poll(clock.now() - state.at, interval))
        else:
            await self._wait_after(order, answer)

    async def _fetch(self, order: PlannedOrder, urls: tuple[str, ...]) -> None:
        """Get the rows of a report onto the disk. What came damaged is fetched again later, from another address."""
        name = f"{order.profile}.{self.journal.plan.run}.{order.first_day}.jsonl.gz"
        target = self._folder / PARTS / name
        sources = [target.with_suffix(f".{number}.amazon") for number in range(len(urls))]
        profile = next(each for each in self.journal.plan.profiles if each.id == order.profile)
        try:
            await self._download(order, urls, sources)
            told = await self._parts.converter.run(
                {
                    "do": "convert",
                    "sources": list(map(str, sources)),
                    "target": str(target),
                    "limit": self._parts.max_bytes,
                    "first": [profile.id, profile.country, profile.currency],
                    "columns": self._report.columns,
                }
            )
        except DownloadFailed as error:
            await self._fetch_again(order, str(error))
        except ConversionFailed as error:
            if not error.damaged:
                raise GivenUp(str(error)) from None
            await self._fetch_again(order, str(error))
        except OSError as error:
            raise GivenUp(f"The rows were not kept: {state_directory.reason(error)}.") from None
        else:
            await self._note(order, OrderStep.KEPT, rows=told["rows"], part=name)
        finally:
            for source in sources:
                source.unlink(missing_ok=True)

    async def _download(self, order: PlannedOrder, urls: tuple[str, ...], targets: list[Path]) -> None:
        """Get the files of a report, several at a time: their addresses may end within minutes. Raises what the first
        failure is."""
        slots = asyncio.Semaphore(FILES_AT_ONCE)

        async def get(url: str, target: Path) -> None:
            async with slots:
                await self._parts.api.download(self._report.account, order, url, target, self._parts.max_bytes)

        downloads = [asyncio.create_task(get(url, target)) for url, target in zip(urls, targets, strict=True)]
        try:
            await asyncio.gather(*downloads)  # a TaskGroup that met a failure is not cancelled before Python 3.13
        finally:
            for download in downloads:
                download.cancel()
            await asyncio.gather(*downloads, return_exceptions=True)

    async def _fetch_again(self, order: PlannedOrder, words: str) -> None:
        """Rows that never come whole are as good as none: the report is ordered again."""
        self._words = words
        if self._fail(order, AnswerKind.COMPLETED) >= ATTEMPTS:
            await self._reject(order, words)
        await self._parts.clock.sleep(self._parts.poll_interval)

    async def _reject(self, order: PlannedOrder, words: str) -> None:
        """Have a report made again. Raises `GivenUp` if it was already."""
        await self._note(order, OrderStep.REJECTED, error=words)
        if self.journal.state(order).rejections >= REJECTIONS:
            raise GivenUp(words)

    # --- waiting

    async def _wait_after(self, order: PlannedOrder, answer: Answer) -> None:
        """After an answer that says nothing certain. Raises `GivenUp` if waiting does not help."""
        self._tell(answer)
        failures, interval = self._fail(order, answer.kind), self._parts.poll_interval
        if answer.kind is AnswerKind.REFUSED or (answer.kind is AnswerKind.UNAUTHORIZED and failures >= ATTEMPTS):
            raise GivenUp(answer.words)
        self._check_patience(answer)
        wait = backoff(failures, first=interval, limit=SLOWEST * interval)
        await self._parts.clock.sleep(max(wait, min(answer.retry_after or 0.0, self._patience)))

    def _fail(self, order: PlannedOrder, kind: AnswerKind) -> int:
        """The number of failures after such an answer since the order's last step or success, this one included."""
        failures = self._failures.setdefault(order.key, Counter())
        failures[kind] += 1
        return failures[kind]

    def _tell(self, answer: Answer) -> None:
        self._words = answer.words
        self._changed()

    @property
    def _patience(self) -> float:
        """Seconds that are left."""
        return max(0.0, self.journal.plan.began_at + PATIENCE - self._parts.clock.now())

    def _check_patience(self, answer: Answer) -> None:
        if self._patience <= 0.0:
            raise GivenUp(f"Amazon took longer than {PATIENCE / 3600:g} hours. {answer.words}")


def errors_of(journal: RunJournal) -> Mapping[str, str]:
    """Why profiles have no new rows, by id."""
    found: dict[str, str] = dict.fromkeys(journal.plan.missing, "Amazon does not list it for this account now.")
    for order in journal.plan.orders:
        state = journal.state(order)
        if state.step is OrderStep.FAILED:
            found.setdefault(order.profile, state.error)
    return found
