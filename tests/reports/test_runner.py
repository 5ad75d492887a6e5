"""The runner on a clock of the test: when it runs, what it keeps, and what it does without a list or a disk."""

from __future__ import annotations

import asyncio
import fcntl
import gzip
import json
import shutil
import threading
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import time
from pathlib import Path
from typing import Any, cast

import pytest

from proxy.events import Event, ReportRunFinished, ReportRunStarted
from proxy.reports import conversion
from proxy.reports.answers import Answer, AnswerKind
from proxy.reports.converter import ConversionFailed
from proxy.reports.plan import NamedReport, ProfileAccount, ReportProfile
from proxy.reports.run import RunClock, RunParts
from proxy.reports.runner import LOOK, LeaseFormat, ListedProfiles, ReportRunner, RunnerParts
from proxy.reports.store import Form, ReportFolder, ReportFolderError, Result, RunnerStatus, RunResult, State
from proxy.reports.templates import PlannedOrder, Version1Template
from proxy.tokens.leases import LeaseRequest, LocalLease, LocalLeases, Urgency
from tests.reports.reporting import DE, JP, US, make_report, moment
from tests.support.patience import PATIENCE

DAY = 86_400.0


@dataclass
class Amazon:
    """Makes every report at once, with a row for each; refuses those of `refused` profiles."""

    refused: set[str] = field(default_factory=set)
    ordered: list[PlannedOrder] = field(default_factory=list)

    async def order(self, _report: NamedReport, order: PlannedOrder) -> Answer:
        self.ordered.append(order)
        if order.profile in self.refused:
            return Answer(AnswerKind.REFUSED, words="Amazon answered 400.")
        return Answer(AnswerKind.ORDERED, order.key)

    async def poll(self, _report: NamedReport, _order: PlannedOrder, report_id: str) -> Answer:
        return Answer(AnswerKind.COMPLETED, urls=(f"https://s3/{report_id}",))

    async def download(self, _account: str, _order: PlannedOrder, url: str, target: Path, _limit: int) -> None:
        rows = [{"date": url[-10:], "campaignId": len(self.ordered), "cost": 1.5}]
        target.write_bytes(gzip.compress(json.dumps(rows).encode()))

    async def run(self, task: Mapping[str, Any]) -> Mapping[str, Any]:
        """As the converter, in this process."""
        told = conversion.run(task)
        if "problem" in told:
            raise ConversionFailed(told["words"], damaged=told["problem"] == "damaged")
        return told


class Observed:
    def __init__(self) -> None:
        self.events: list[Event] = []

    def observe(self, event: Event) -> None:
        self.events.append(event)

    @property
    def finished(self) -> list[ReportRunFinished]:
        return [event for event in self.events if isinstance(event, ReportRunFinished)]


@dataclass
class Bench:
    """A runner whose clock moves an hour in a thousandth of a second."""

    folder: ReportFolder
    amazon: Amazon = field(default_factory=Amazon)
    observed: Observed = field(default_factory=Observed)
    listed: ListedProfiles = field(default_factory=lambda: ListedProfiles((US, DE)))
    accounts: Mapping[str, ProfileAccount] | None = None
    now: float = 1_790_000_000.0
    ticks: float = 1.0
    leases: Any = field(default_factory=LocalLeases)

    async def sleep(self, seconds: float) -> None:
        self.now += seconds * self.ticks
        await asyncio.sleep(0.001)

    def parts(self, **changes: Any) -> RunnerParts:
        amazon = cast(Any, self.amazon)
        run = RunParts(amazon, amazon, RunClock(lambda: self.now, self.sleep), 60.0)
        parts = RunnerParts(
            run, self.folder, self.leases, lambda _: self.listed, lambda _: self.accounts, self.observed
        )
        return replace(parts, **changes)

    @asynccontextmanager
    async def running(self, report: NamedReport | None = None, **changes: Any) -> AsyncIterator[ReportRunner]:
        runner, report = ReportRunner(), report or make_report(every=3600.0)
        await runner.reconfigure({report.name: report}, self.parts(**changes))
        try:
            yield runner
        finally:
            await runner.stop()

    async def until(self, found: Any) -> Any:
        async with asyncio.timeout(PATIENCE):
            while not (value := found()):
                await asyncio.sleep(0.002)
        return value

    async def runs(self, count: int) -> list[ReportRunFinished]:
        await self.until(lambda: len(self.observed.finished) >= count)
        return self.observed.finished


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(ReportFolder(tmp_path / "reports"))


async def test_runs_follow_each_other_at_the_interval(bench: Bench) -> None:
    bench.ticks = 60.0
    began = bench.now
    async with bench.running():
        await bench.runs(3)
    assert bench.now - began >= 2 * 3600
    assert [event.result for event in bench.observed.finished][:3] == [RunResult.SUCCESS] * 3
    started = [event for event in bench.observed.events if isinstance(event, ReportRunStarted)]
    assert 3 * 2 <= len(bench.amazon.ordered) <= len(started) * 2  # the next one may have begun meanwhile
    assert (started[0].profiles, started[0].orders, started[0].account) == (2, 2, "main")


async def test_a_status_says_when_the_next_run_is(bench: Bench) -> None:
    async with bench.running():
        await bench.runs(1)
        status = await bench.until(lambda: (s := bench.folder.status("sp-daily")) and s.next_run and s)
    assert (status.state, status.history[0].rows) == (State.IDLE, 2)
    assert 3600 - 200 < status.next_run - status.history[0].ended_at <= 3600


async def test_a_run_waits_for_the_list_of_profiles(bench: Bench) -> None:
    """An incomplete first list would make an incomplete result."""
    bench.listed = ListedProfiles((US,), ready=False)
    async with bench.running():
        status = await bench.until(lambda: bench.folder.status("sp-daily"))
        assert status.waits_for == "Waits for the list of profiles of the account main."
        assert bench.amazon.ordered == []
        bench.listed = ListedProfiles((US, DE))
        await bench.runs(1)


async def test_a_run_of_version_1_waits_for_the_list_of_ads_accounts(bench: Bench) -> None:
    """Each order names the profile's; a profile without one keeps the others from nothing."""
    report = make_report(template=Version1Template({"query": {"fields": ["date", "campaignId"]}}))
    async with bench.running(report):
        status = await bench.until(lambda: bench.folder.status("sp-daily"))
        assert status.waits_for == "Waits for the list of ads accounts of the account main."
        bench.accounts = {"22": ProfileAccount("amzn1.x", "DE")}
        (run,) = (await bench.runs(1))[:1]
    assert [(order.profile, order.ads_account, order.country) for order in bench.amazon.ordered] == [
        ("22", "amzn1.x", "DE")
    ]
    assert run.result is RunResult.PARTIAL
    assert run.errors == (
        "Profile 11: Amazon lists no ads account with this profile, or one with several in its country; "
        "version 1 needs one.",
    )


async def test_an_account_without_such_profiles_is_told(bench: Bench) -> None:
    async with bench.running(make_report(profiles=("99",))):
        status = await bench.until(lambda: bench.folder.status("sp-daily"))
    assert status.waits_for == "The account main has none of the profiles that the report covers."


async def test_a_profile_that_is_named_twice_has_its_rows_once(bench: Bench) -> None:
    async with bench.running(make_report(profiles=("11", "22", "11"))):
        run = (await bench.runs(1))[0]
    assert sorted(order.profile for order in bench.amazon.ordered) == ["11", "22"]
    assert run.rows == 2


async def test_rows_of_a_region_that_cannot_be_listed_are_kept(bench: Bench) -> None:
    """They are not dropped without a word."""
    async with bench.running():
        await bench.runs(1)
        bench.listed = ListedProfiles((US,), unlisted=("eu",))
        bench.folder.ask_for_run("sp-daily")
        first, second = (await bench.runs(2))[:2]
    assert (first.result, second.result, second.rows) == ("success", "partial", 2)
    assert second.errors == ("Profile 22: Amazon does not list it for this account now.",)
    result = bench.folder.result("sp-daily")
    assert result is not None
    assert result.stale == ("22",)


@pytest.mark.parametrize("change", [{"profiles": ("11",)}, {"region": "na"}], ids=["profiles", "region"])
async def test_rows_that_a_report_no_longer_covers_go(bench: Bench, change: dict[str, Any]) -> None:
    """Also while their region cannot be listed."""
    async with bench.running():
        await bench.runs(1)
    bench.listed = ListedProfiles((US,), unlisted=("eu",))
    bench.folder.ask_for_run("sp-daily")
    async with bench.running(make_report(**change)):
        run = (await bench.runs(2))[1]
    result = bench.folder.result("sp-daily")
    assert result is not None
    assert (run.result, [profile.id for profile in result.profiles]) == (RunResult.SUCCESS, ["11"])


async def test_a_run_covers_what_is_listed_when_it_is_asked_for(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """The list changes, and a run is asked for, while the runner looks whether one is."""
    is_asked_for = ReportFolder.run_is_asked_for

    def ask(folder: ReportFolder, name: str) -> bool:
        if len(bench.observed.finished) == 1 and bench.listed.profiles != (US, JP):
            bench.listed = ListedProfiles((US, JP))
            folder.ask_for_run(name)
        return is_asked_for(folder, name)

    monkeypatch.setattr(ReportFolder, "run_is_asked_for", ask)
    async with bench.running():
        await bench.runs(2)
    result = bench.folder.result("sp-daily")
    assert result is not None
    assert [profile.id for profile in result.profiles] == ["11", "33"]


async def test_a_run_that_is_asked_for_when_another_begins_follows_it(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The one that begins is of the profiles of one time zone alone."""
    is_asked_for, due_at = ReportFolder.run_is_asked_for, moment("2026-09-22T04:00:00")
    asked: list[str] = []

    def look(folder: ReportFolder, name: str) -> bool:
        """Of the first look behind the first run, the moment is read already: the next one finds a run due."""
        found = is_asked_for(folder, name)
        if bench.now >= due_at and not asked:
            asked.append(name)
            folder.ask_for_run(name)
        if bench.observed.finished:
            bench.now = max(bench.now, due_at)
        return found

    monkeypatch.setattr(ReportFolder, "run_is_asked_for", look)
    async with bench.running(make_report(at=time(6))):
        await bench.runs(3)
    ordered = [order.profile for order in bench.amazon.ordered]
    assert [sorted(run) for run in (ordered[:2], ordered[2:3], ordered[3:])] == [["11", "22"], ["22"], ["11", "22"]]


async def test_a_profile_that_the_account_lost_goes(bench: Bench) -> None:
    async with bench.running():
        await bench.runs(1)
        bench.listed = ListedProfiles((US, JP))
        bench.folder.ask_for_run("sp-daily")
        await bench.runs(2)
    result = bench.folder.result("sp-daily")
    assert result is not None
    assert ([profile.id for profile in result.profiles], result.stale) == (["11", "33"], ())


async def test_rows_of_another_login_go_at_once(bench: Bench) -> None:
    """The account has none of their profiles any more, in no region. The new login's rows come without waiting."""
    async with bench.running():
        await bench.runs(1)
        bench.amazon.refused, before = {"33"}, bench.folder.result("sp-daily")
        bench.listed = ListedProfiles((JP,), unlisted=("eu",))
        since = bench.now
        await bench.until(lambda: bench.now > since + 10)
        assert bench.folder.result("sp-daily") == before is not None
        bench.listed = ListedProfiles((JP,))
        await bench.runs(2)
        assert bench.folder.result("sp-daily") is None
        assert not list((bench.folder.path("sp-daily") / "parts").iterdir())
        bench.amazon.refused = set()
        bench.folder.ask_for_run("sp-daily")
        await bench.runs(3)
    result = bench.folder.result("sp-daily")
    assert result is not None
    assert [profile.id for profile in result.profiles] == ["33"]


async def test_rows_that_are_gone_are_ordered_again_at_once(bench: Bench) -> None:
    """Also those of profiles that are not due; one whose order fails then keeps the others from nothing."""
    async with bench.running():
        await bench.runs(1)
    began = bench.now
    for part in (bench.folder.path("sp-daily") / "parts").iterdir():
        part.unlink()
    bench.amazon.refused = {"22"}
    async with bench.running():
        run = (await bench.runs(2))[1]
    assert (run.result, run.rows) == (RunResult.PARTIAL, 1)
    assert bench.now - began < 3600


async def test_a_first_run_that_failed_is_tried_again_after_a_quarter_of_an_hour(bench: Bench) -> None:
    bench.amazon.refused, bench.ticks = {"11", "22"}, 30.0
    async with bench.running():
        await bench.runs(1)
        bench.amazon.refused = set()
        failed, worked = (await bench.runs(2))[:2]
        status = await bench.until(lambda: (s := bench.folder.status("sp-daily")) and len(s.history) > 1 and s)
    assert (failed.result, worked.result) == ("failure", "success")
    assert failed.errors == ("2 profiles 11, 22: Amazon answered 400.",)
    second, first = status.history[-2:]
    assert 900 <= second.began_at - first.ended_at < 3600


async def test_results_beyond_the_limit_are_not_published(bench: Bench) -> None:
    """What was there before stays, marked."""
    async with bench.running():
        await bench.runs(1)
    before = bench.folder.result("sp-daily")
    parts = bench.parts()
    bench.folder.ask_for_run("sp-daily")
    async with bench.running(run=replace(parts.run, max_bytes=1000)):
        await bench.runs(2)
    after = bench.folder.result("sp-daily")
    told = bench.observed.finished[-1]
    assert told.result == "failure"
    assert told.errors[-1].startswith("The results would have more than 1000 bytes; raise reports.keep.max_bytes")
    assert before is not None
    assert after is not None
    assert (after.run, after.rows, after.stale) == (before.run, 2, ("11", "22"))
    opened = bench.folder.open("sp-daily", next(iter(after.files)))
    assert opened is not None
    opened.file.close()


async def test_a_result_without_a_newer_one_is_removed_in_the_end(bench: Bench) -> None:
    """With the rows that it was made of."""
    async with bench.running():
        await bench.runs(1)
        bench.amazon.refused = {"11", "22"}
        bench.now += 31 * DAY
        await bench.until(lambda: bench.folder.result("sp-daily") is None)
        await bench.until(lambda: not list((bench.folder.path("sp-daily") / "parts").iterdir()))


async def test_a_result_is_removed_in_the_end_also_between_runs_that_fail_slowly(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As after a consent was revoked: each run takes all of its time, and then the next one is due at once."""
    async with bench.running(keep_days=1):
        await bench.runs(1)
        monkeypatch.setattr(bench.amazon, "order", _without_token)
        bench.ticks = 20.0
        await bench.runs(5)
        assert bench.folder.result("sp-daily") is None


async def _without_token(*_: object) -> Answer:
    return Answer(AnswerKind.AGAIN, words="There is no usable access token.")


async def test_a_folder_that_cannot_be_used_is_told_once(bench: Bench) -> None:
    """And is used once it can be."""
    bench.folder.directory.write_text("a file")
    async with bench.running():
        await bench.runs(1)
        since = bench.now
        await bench.until(lambda: bench.now > since + 300)
        assert len(bench.observed.finished) == 1
        assert "reports.keep.dir" in bench.observed.finished[0].errors[0]
        bench.folder.directory.unlink()
        assert (await bench.runs(2))[-1].result == "success"


async def test_a_disk_that_stays_full_is_told_once(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """The folder and its lock can be used."""
    with monkeypatch.context() as full:
        full.setattr(ReportFolder, "tell", _has_no_space)
        bench.listed = ListedProfiles(ready=False)
        async with bench.running():
            await bench.runs(1)
            since = bench.now
            await bench.until(lambda: bench.now > since + 300)
            assert [event.errors for event in bench.observed.finished] == [("No space left on device.",)]
            full.undo()
            await bench.until(lambda: bench.folder.status("sp-daily"))


def _has_no_space(*_: object) -> None:
    raise ReportFolderError("No space left on device.")


async def test_a_report_without_an_entry_is_removed(bench: Bench) -> None:
    async with bench.running() as runner:
        await bench.runs(1)
        await runner.reconfigure({}, bench.parts())
        assert bench.folder.names() == ()
        assert repr(runner) == "<ReportRunner of 0 reports>"


async def test_a_report_without_an_entry_is_removed_once_no_program_runs_it(bench: Bench) -> None:
    """As after a rolling update, whose last old replica ends after the new ones began."""
    bench.leases = Lending()  # the first one never gives up the folder to ask again for the lease
    looking, second, parts = asyncio.Event(), ReportRunner(), bench.parts()
    clock = RunClock(lambda: bench.now, lambda _: looking.wait())
    try:
        async with bench.running():
            await bench.runs(1)
            await second.reconfigure({}, replace(parts, run=replace(parts.run, clock=clock)))
            assert bench.folder.names() == ("sp-daily",)
        looking.set()
        await bench.until(lambda: bench.folder.names() == ())
    finally:
        await second.stop()


async def test_a_report_that_is_configured_again_is_not_removed(bench: Bench) -> None:
    """A reload ends what the one before would have removed later."""
    bench.leases = Lending()  # the first one never gives up the folder to ask again for the lease
    second = ReportRunner()
    try:
        async with bench.running():
            await bench.runs(1)
            await second.reconfigure({}, bench.parts())
            removing = second._removing
            await second.reconfigure({"sp-daily": make_report()}, bench.parts())
        assert removing is not None
        assert removing.cancelled()
    finally:
        await second.stop()


async def test_what_did_not_change_goes_on(bench: Bench) -> None:
    """A reload interrupts no run."""
    report, parts = make_report(every=3600.0), bench.parts()
    runner = ReportRunner()
    try:
        await runner.reconfigure({"sp-daily": report}, parts)
        tasks = [task for _, task in runner._keepers.values()]
        await runner.reconfigure({"sp-daily": make_report(every=3600.0)}, parts)
        assert [task for _, task in runner._keepers.values()] == tasks
        await runner.reconfigure({"sp-daily": make_report(every=60.0)}, parts)
        assert [task for _, task in runner._keepers.values()] != tasks
    finally:
        await runner.stop()


class Lending(LocalLeases[None]):
    """Gives one lease after another, which the test takes back. A `fence` is of a store that replicas share."""

    def __init__(self, fence: int = 1) -> None:
        self.lent: list[LocalLease[None]] = []
        self.fence = fence
        self.free = asyncio.Event()
        self.free.set()

    @asynccontextmanager
    async def lease(self, request: LeaseRequest, urgency: Urgency) -> AsyncIterator[LocalLease[None]]:
        await self.free.wait()
        self.lent.append(LocalLease(fence=self.fence))
        yield self.lent[-1]


async def test_who_loses_the_lease_stops_and_continues_with_the_next(bench: Bench) -> None:
    bench.leases = leases = Lending()
    async with bench.running():
        await bench.runs(1)
        leases.free.clear()
        leases.lent[0].lost.set()
        await bench.until(lambda: not _is_locked(bench))
        bench.folder.ask_for_run("sp-daily")
        leases.free.set()
        await bench.runs(2)
    assert len(leases.lent) >= 2


async def test_a_result_that_is_being_published_is_whole_before_another_run_begins(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A reload changes the report meanwhile: what it had is read until the new run ends."""
    publishing, goes_on, publish = threading.Event(), threading.Event(), ReportFolder.publish

    def slowly(folder: ReportFolder, result: Result) -> None:
        publishing.set()
        assert goes_on.wait(PATIENCE)
        publish(folder, result)

    monkeypatch.setattr(ReportFolder, "publish", slowly)
    async with bench.running() as runner:
        await bench.until(publishing.is_set)
        bench.listed = ListedProfiles(ready=False)
        reload = asyncio.create_task(runner.reconfigure({"sp-daily": make_report(days=3)}, bench.parts()))
        for _ in range(100):  # a reload that does not wait takes a few turns of threads
            await asyncio.to_thread(int)
        is_waiting = not reload.done()
        goes_on.set()
        await reload
        assert is_waiting
        await bench.until(lambda: (said := bench.folder.status("sp-daily")) and "list of profiles" in said.waits_for)
        opened = bench.folder.open("sp-daily", Form.CSV)
    assert opened is not None
    opened.file.close()


@pytest.mark.parametrize(("fence", "leases"), [(0, 4), (1, 1)])
async def test_who_runs_a_report_without_the_store_asks_again_for_the_lease(
    bench: Bench, fence: int, leases: int
) -> None:
    """When the store was away, each replica began to run the report. Not during a run, and not with a lease of it."""
    bench.leases = lending = Lending(fence)
    bench.ticks, began = 10.0, bench.now
    async with bench.running():
        await bench.until(lambda: len(lending.lent) == leases and bench.now > began + 3 * LOOK)
        assert bench.now < began + 6 * LOOK  # a run of two orders takes one or two of these
    assert len(lending.lent) == leases
    assert len(bench.amazon.ordered) == 2


@pytest.mark.parametrize("fence", [0, 1])
async def test_a_folder_that_was_removed_is_made_again_before_anything_is_ordered(
    bench: Bench, fence: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And locked again. Rows that no folder takes would be ordered again and again."""
    bench.leases, removed = Lending(fence), list[RunnerStatus]()

    async def sleep(seconds: float) -> None:
        """Of who runs the report: no thread of it writes anything then."""
        status = bench.folder.status("sp-daily")
        if status is not None and status.next_run and not removed:
            shutil.rmtree(bench.folder.directory)
            removed.append(status)
        await Bench.sleep(bench, seconds)

    monkeypatch.setattr(bench, "sleep", sleep)
    async with bench.running():
        await bench.runs(2)
        assert _is_locked(bench)
        assert len(bench.leases.lent) == 2
    assert removed
    assert [(run.result, run.rows) for run in bench.observed.finished[:2]] == [(RunResult.SUCCESS, 2)] * 2
    assert bench.folder.account("sp-daily") == "main"
    assert len(bench.amazon.ordered) == 4


@pytest.mark.parametrize("others", [{"sp-daily": make_report(account="other")}, {}], ids=["account", "removed"])
async def test_a_program_with_another_configuration_leaves_a_report_that_is_run(
    bench: Bench, others: dict[str, NamedReport], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As during a rolling update: no data of one account comes into the folder of the other's. Then it takes over."""
    held, second = asyncio.Event(), ReportRunner()
    monkeypatch.setattr(bench.amazon, "poll", _after(held, bench.amazon.poll))
    try:
        async with bench.running() as first:
            await bench.until(lambda: len(bench.amazon.ordered) == 2)
            parts = bench.parts()
            clock = parts.run.clock if others else RunClock(lambda: bench.now)  # what removes the report moves no time
            await second.reconfigure(others, replace(parts, run=replace(parts.run, clock=clock)))
            since = bench.now  # the second one looks again each second
            await bench.until(lambda: not others or bench.now > since + 10)
            assert (bench.folder.account("sp-daily"), len(bench.amazon.ordered)) == ("main", 2)
            held.set()
            await bench.runs(1)
            result = bench.folder.result("sp-daily")
            assert (result.account if result is not None else "", len(bench.amazon.ordered)) == ("main", 2)
            bench.listed = ListedProfiles(ready=False)
            await first.stop()
            if others:
                await bench.until(lambda: bench.folder.account("sp-daily") == "other")
                await bench.until(lambda: bench.folder.status("sp-daily"))
                assert bench.folder.result("sp-daily") is None
                assert not list(bench.folder.path("sp-daily").glob("parts/*"))
    finally:
        await second.stop()


def _after(event: asyncio.Event, poll: Any) -> Any:
    """Polls that are answered once the event happens."""

    async def wait(*asked: Any) -> Answer:
        await event.wait()
        answer: Answer = await poll(*asked)
        return answer

    return wait


def _is_locked(bench: Bench) -> bool:
    with (bench.folder.path("sp-daily") / "lock").open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return True
    return False


def test_profiles_are_values() -> None:
    assert ReportProfile("1", "na") == ReportProfile("1", "na")
    assert LeaseFormat().news(LeaseRequest("main", "sp-daily", "", "", 0)) == ("named-report", "sp-daily")
