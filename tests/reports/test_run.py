"""A run against scripted answers, on a clock that moves when something sleeps."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import pytest

from proxy.reports.amazon import DownloadFailed
from proxy.reports.answers import Answer, AnswerKind
from proxy.reports.converter import ConversionFailed
from proxy.reports.journal import OrderState, OrderStep, RunJournal, RunPlan
from proxy.reports.plan import NamedReport
from proxy.reports.run import ATTEMPTS, MOMENT, PATIENCE, ReportRun, RunClock, RunParts, errors_of, next_poll
from proxy.reports.store import ReportFolderError, RunProgress
from proxy.reports.templates import PlannedOrder, Version1Template
from tests.reports.reporting import US, make_report

ORDER = PlannedOrder("11", "na", "2026-10-01", "2026-10-31")
EARLIER = PlannedOrder("11", "na", "2026-09-01", "2026-09-30")
ORDERED = Answer(AnswerKind.ORDERED, "id-1")
PENDING = Answer(AnswerKind.PENDING, words="Amazon's report is PENDING.")
DONE = Answer(AnswerKind.COMPLETED, urls=("https://s3/rows",))
AGAIN = Answer(AnswerKind.AGAIN, words="Amazon answered 500.")
REJECTED = Answer(AnswerKind.REJECTED, words="Amazon failed.")
THROTTLED = Answer(AnswerKind.THROTTLED, words="Amazon answered 429.", retry_after=7.0)
UNAUTHORIZED = Answer(AnswerKind.UNAUTHORIZED, words="Amazon answered 401.")


@dataclass
class Script:
    """Answers in turn, the last one for ever; and what was asked."""

    orders: list[Answer] = field(default_factory=lambda: [ORDERED])
    polls: list[Answer] = field(default_factory=lambda: [DONE])
    downloads: list[Exception | None] = field(default_factory=lambda: [None])
    conversions: list[Exception | None] = field(default_factory=lambda: [None])
    asked: list[str] = field(default_factory=list)

    def _next(self, what: str, answers: list[Any]) -> Any:
        self.asked.append(what)
        return answers.pop(0) if len(answers) > 1 else answers[0]

    async def order(self, _report: NamedReport, _order: PlannedOrder) -> Answer:
        return cast(Answer, self._next("order", self.orders))

    async def poll(self, _report: NamedReport, _order: PlannedOrder, report_id: str) -> Answer:
        return cast(Answer, self._next(f"poll {report_id}", self.polls))

    async def download(self, _account: str, _order: PlannedOrder, _url: str, target: Path, _limit: int) -> None:
        if error := self._next("download", self.downloads):
            raise error
        target.write_bytes(b"rows")

    async def run(self, task: Mapping[str, Any]) -> Mapping[str, Any]:
        if error := self._next("convert", self.conversions):
            raise error
        assert [Path(source).read_bytes() for source in task["sources"]] == [b"rows"] * len(task["sources"])
        Path(task["target"]).write_bytes(b"lines")
        return {"rows": 3}


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    async def sleep(self, seconds: float) -> None:
        self.now += seconds
        await asyncio.sleep(0)


@dataclass
class Running:
    """A run, its clock and its script."""

    run: ReportRun
    clock: Clock
    script: Script
    journal: RunJournal
    folder: Path

    @property
    def state(self) -> OrderState:
        return self.journal.state(ORDER)


def begin(
    folder: Path,
    script: Script,
    *orders: PlannedOrder,
    journal: RunJournal | None = None,
    report: NamedReport | None = None,
) -> Running:
    (folder / "parts").mkdir(exist_ok=True)
    clock = Clock()
    plan = RunPlan("r1", clock.now, "digest", ("",), (US,), orders or (ORDER,), ("11",))
    journal = journal or RunJournal.begin(folder, plan)
    script_ = cast(Any, script)
    parts = RunParts(script_, script_, RunClock(lambda: clock.now, clock.sleep), 60.0)
    return Running(
        ReportRun(report or make_report(), journal, folder, parts, lambda: None), clock, script, journal, folder
    )


@pytest.fixture
def journals() -> Iterator[list[RunJournal]]:
    opened: list[RunJournal] = []
    yield opened
    for journal in opened:
        journal.close()


async def finished(folder: Path, **answers: Any) -> Running:
    """A run of one order, to its end."""
    running = begin(folder, Script(**answers))
    await running.run.obtain()
    running.journal.close()
    return running


async def test_an_order_brings_its_rows(tmp_path: Path) -> None:
    """It is polled after an interval, and nothing is left but the rows."""
    running = await finished(tmp_path, polls=[PENDING, DONE])
    assert running.script.asked == ["order", "poll id-1", "poll id-1", "download", "convert"]
    part = "11.r1.2026-10-01.jsonl.gz"
    assert running.state == OrderState(OrderStep.KEPT, "id-1", 1000.0, 0, 3, part)
    assert [path.name for path in (tmp_path / "parts").iterdir()] == [part]
    assert running.clock.now == 1000.0 + 60.0 + 60.0


@pytest.mark.parametrize(("elapsed", "wait"), [(0, 60), (899, 60), (900, 120), (3599, 120), (3600, 300), (9999, 300)])
def test_old_reports_are_polled_less_often(elapsed: float, wait: float) -> None:
    assert next_poll(elapsed, 60.0) == wait


async def test_an_order_that_was_asked_for_is_not_noted_twice(tmp_path: Path) -> None:
    running = await finished(tmp_path, orders=[AGAIN, AGAIN, ORDERED])
    steps = (tmp_path / "run").read_text().count('"asked"')
    assert (steps, running.state.step) == (1, OrderStep.KEPT)


@pytest.mark.parametrize(
    ("answers", "words"),
    [
        ({"orders": [Answer(AnswerKind.REFUSED, words="Amazon answered 400: x.")]}, "Amazon answered 400: x."),
        ({"orders": [AGAIN]}, "Amazon took longer than 8 hours. Amazon answered 500."),
        ({"orders": [UNAUTHORIZED]}, "Amazon answered 401."),
        ({"polls": [UNAUTHORIZED]}, "Amazon answered 401."),
        ({"polls": [PENDING]}, "Amazon took longer than 8 hours. Amazon's report is PENDING."),
        ({"polls": [REJECTED]}, "Amazon failed."),
        ({"downloads": [DownloadFailed("Cut.")]}, "Cut."),
        ({"conversions": [ConversionFailed("Damaged.", damaged=True)]}, "Damaged."),
        ({"conversions": [ConversionFailed("The disk is full.")]}, "The disk is full."),
        ({"downloads": [OSError(28, "No space left on device")]}, "The rows were not kept: No space left on device."),
    ],
)
async def test_an_order_is_given_up_with_its_reason(tmp_path: Path, answers: dict[str, Any], words: str) -> None:
    """Nothing of it is left on the disk."""
    running = await finished(tmp_path, **answers)
    assert (running.state.step, running.state.error) == (OrderStep.FAILED, words)
    assert errors_of(running.journal) == {"11": words}
    assert list((tmp_path / "parts").iterdir()) == []


async def test_a_report_may_be_in_several_files(tmp_path: Path) -> None:
    """All are there before any is read. If one does not come, all are fetched again, from other addresses."""
    several = Answer(AnswerKind.COMPLETED, urls=tuple(f"https://s3/{number}" for number in range(3)))
    downloads: list[Exception | None] = [None, DownloadFailed("Cut."), None]
    running = await finished(tmp_path, polls=[several], downloads=downloads)
    assert running.script.asked == ["order", "poll id-1", *["download"] * 3, "poll id-1", *["download"] * 3, "convert"]
    assert running.state.step is OrderStep.KEPT
    assert [path.name for path in (tmp_path / "parts").iterdir()] == [running.state.part]


async def test_a_run_ends_while_the_files_of_a_report_break_off(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As at a reload or a stop: one file did not come, and another one is still being written."""
    several = Answer(AnswerKind.COMPLETED, urls=("https://s3/broken", "https://s3/slow"))
    running, writing, written = begin(tmp_path, Script(polls=[several])), asyncio.Event(), asyncio.Event()

    async def download(_account: str, _order: PlannedOrder, url: str, _target: Path, _limit: int) -> None:
        if url.endswith("broken"):
            raise DownloadFailed("Cut.")
        try:
            await asyncio.Event().wait()
        finally:
            writing.set()
            await written.wait()

    monkeypatch.setattr(running.script, "download", download)
    obtaining = asyncio.create_task(running.run.obtain())
    await writing.wait()
    obtaining.cancel()
    await asyncio.sleep(0)
    written.set()
    await asyncio.wait((obtaining,))
    running.journal.close()
    assert obtaining.cancelled()
    assert running.state.step is OrderStep.ORDERED


async def test_an_order_that_cannot_be_written_is_given_up(tmp_path: Path) -> None:
    """Amazon is not asked."""
    report = make_report(template=Version1Template({"query": {"fields": ["date.value"]}}))
    running = begin(tmp_path, Script(), report=report)
    await running.run.obtain()
    running.journal.close()
    assert running.script.asked == []
    assert running.state.error.startswith("Amazon lists no ads account")


async def test_an_order_is_given_up_no_sooner_than_that(tmp_path: Path) -> None:
    running = await finished(tmp_path, polls=[PENDING])
    assert PATIENCE <= running.clock.now - 1000.0 < PATIENCE + 600


async def test_a_report_that_amazon_failed_to_make_is_ordered_once_more(tmp_path: Path) -> None:
    """Not at once."""
    running = await finished(tmp_path, orders=[ORDERED, Answer(AnswerKind.ORDERED, "id-2")], polls=[REJECTED, DONE])
    assert running.script.asked == ["order", "poll id-1", "order", "poll id-2", "download", "convert"]
    assert (running.state.step, running.state.rejections) == (OrderStep.KEPT, 1)
    assert running.clock.now >= 1000.0 + 3 * 60.0


async def test_an_expired_address_is_asked_for_anew(tmp_path: Path) -> None:
    running = await finished(tmp_path, downloads=[DownloadFailed("Expired."), None])
    assert running.script.asked == ["order", "poll id-1", "download", "poll id-1", "download", "convert"]


async def test_rows_that_stay_damaged_are_ordered_once_more(tmp_path: Path) -> None:
    damaged: list[Exception | None] = [ConversionFailed("Damaged.", damaged=True)] * ATTEMPTS
    running = await finished(tmp_path, conversions=[*damaged, None])
    assert running.script.asked.count("order") == 2
    assert running.state.step is OrderStep.KEPT


async def test_polls_that_fail_wait_longer_each_time(tmp_path: Path) -> None:
    running = await finished(tmp_path, polls=[AGAIN, AGAIN, AGAIN, DONE])
    assert running.clock.now == 1000.0 + 60.0 + 60.0 + 120.0 + 240.0


async def test_a_retry_after_is_waited_for(tmp_path: Path) -> None:
    running = await finished(tmp_path, polls=[Answer(AnswerKind.THROTTLED, retry_after=500.0), DONE])
    assert running.clock.now == 1000.0 + 60.0 + 500.0


async def test_a_retry_after_is_waited_for_no_longer_than_the_run(tmp_path: Path) -> None:
    """The next run of the report cannot begin before."""
    running = await finished(tmp_path, polls=[Answer(AnswerKind.THROTTLED, words="429.", retry_after=900_000.0)])
    assert running.state.error == "Amazon took longer than 8 hours. 429."
    assert running.clock.now - 1000.0 < PATIENCE + 600


async def test_a_throttled_order_waits_for_its_next_turn(tmp_path: Path) -> None:
    """In the core, which knows when that is: neither an interval nor the Retry-After is waited for here."""
    running = await finished(tmp_path, orders=[THROTTLED, THROTTLED, ORDERED])
    assert running.script.asked[:3] == ["order"] * 3
    assert running.clock.now == 1000.0 + 2 * MOMENT + 60.0


async def test_throttled_orders_are_given_up_with_the_run(tmp_path: Path) -> None:
    running = await finished(tmp_path, orders=[THROTTLED])
    assert running.state.error == "Amazon took longer than 8 hours. Amazon answered 429."


async def test_an_order_waits_for_its_turn_no_longer_than_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next run of the report cannot begin before."""

    async def wait(_report: NamedReport, _order: PlannedOrder) -> Answer:
        running.clock.now += PATIENCE
        await asyncio.Event().wait()
        return ORDERED

    running = begin(tmp_path, Script())
    running.clock.now += PATIENCE - 0.001
    monkeypatch.setattr(running.script, "order", wait)
    await running.run.obtain()
    running.journal.close()
    assert (running.state.step, running.state.error) == (
        OrderStep.FAILED,
        "Amazon did not take the order within 8 hours.",
    )


async def test_a_resumed_run_asks_for_what_is_missing(tmp_path: Path, journals: list[RunJournal]) -> None:
    """An id that is known is polled, and not ordered again."""
    first = begin(tmp_path, Script(), ORDER, EARLIER)
    first.journal.note(ORDER, OrderStep.ASKED)
    first.journal.note(ORDER, OrderStep.ORDERED, id="id-7", at=1000.0)
    first.journal.note(EARLIER, OrderStep.ASKED)
    first.journal.note(EARLIER, OrderStep.KEPT, rows=2, part="kept")
    first.journal.close()
    journal = RunJournal.resume(tmp_path)
    assert journal is not None
    journals.append(journal)
    again = begin(tmp_path, Script(), journal=journal)
    await again.run.obtain()
    assert again.script.asked == ["poll id-7", "download", "convert"]
    assert again.run.progress == RunProgress(2, 1, 2)


async def test_what_a_run_waits_for(tmp_path: Path) -> None:
    running = begin(tmp_path, Script(polls=[AGAIN]), ORDER, EARLIER)
    assert running.run.waits_for == "Waits for Amazon to take 2 of 2 orders."
    assert repr(running.run) == "<ReportRun of sp-daily: <RunJournal of r1: 0 of 2 orders are over>>"
    for order in (ORDER, EARLIER):
        running.journal.note(order, OrderStep.ORDERED, id="id", at=0.0)
    assert running.run.waits_for == "Waits for 2 of 2 reports of Amazon's."
    await running.run.obtain()
    assert running.run.waits_for == "Waits for 0 of 2 reports of Amazon's. Amazon answered 500."
    running.journal.close()


async def test_a_run_does_not_wait_for_what_it_gave_up(tmp_path: Path) -> None:
    running = begin(tmp_path, Script(), ORDER, EARLIER)
    running.journal.note(ORDER, OrderStep.FAILED, error="Amazon answered 400.")
    assert running.run.waits_for == "Waits for Amazon to take 1 of 2 orders."
    running.journal.note(EARLIER, OrderStep.ORDERED, id="id", at=0.0)
    assert running.run.waits_for == "Waits for 1 of 2 reports of Amazon's."
    running.journal.close()


async def test_a_journal_that_cannot_be_written_ends_the_run(tmp_path: Path) -> None:
    running = begin(tmp_path, Script(), ORDER, EARLIER)
    running.journal.close()
    with pytest.raises(ReportFolderError, match="cannot be written"):
        await running.run.obtain()
    assert running.script.asked == []


@pytest.mark.parametrize(
    "answers",
    [
        {"polls": [AGAIN, AGAIN, UNAUTHORIZED, DONE]},
        {"orders": [AGAIN, AGAIN, UNAUTHORIZED, ORDERED]},
        {"polls": [UNAUTHORIZED, PENDING, UNAUTHORIZED, PENDING, UNAUTHORIZED, DONE]},
    ],
    ids=["poll", "order", "pending-between"],
)
async def test_a_401_is_believed_to_pass_whatever_failed_before(tmp_path: Path, answers: dict[str, Any]) -> None:
    """Each kind of failure is counted by itself, and from the last answer on that was none."""
    running = await finished(tmp_path, **answers)
    assert running.state.step is OrderStep.KEPT


async def test_failed_polls_are_no_attempts_to_fetch_rows(tmp_path: Path) -> None:
    """The report is not made again after one address that expired."""
    downloads: list[Exception | None] = [DownloadFailed("Expired."), None]
    running = await finished(tmp_path, polls=[AGAIN, AGAIN, DONE], downloads=downloads)
    assert running.script.asked.count("order") == 1
    assert running.state.rejections == 0


async def test_waits_begin_anew_after_an_answer(tmp_path: Path) -> None:
    running = await finished(tmp_path, polls=[AGAIN, AGAIN, PENDING, AGAIN, DONE])
    assert running.clock.now == 1000.0 + 60.0 + 60.0 + 120.0 + 60.0 + 60.0
