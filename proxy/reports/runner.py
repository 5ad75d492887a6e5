"""Runs all named reports: each on its schedule, or on request, by one program at a time.

A report is run by the program that has its lease, and the lock of its folder: a replica without a shared store works by
the lock alone. What others see of it is in its folder. Nothing here is on a request's path.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import secrets
from dataclasses import field, replace
from typing import TYPE_CHECKING, Any, Final

from proxy.events import ReportRunFinished, ReportRunStarted
from proxy.reports.converter import ConversionFailed
from proxy.reports.disk import finish
from proxy.reports.journal import (
    KeptProfile,
    KeptRows,
    RunJournal,
    RunPlan,
    read_kept,
    remove_parts,
    write_kept,
)
from proxy.reports.outcome import describe_errors, make_result, mark_stale, parts_of, result_of_run, settle
from proxy.reports.plan import plan_orders, select_profiles
from proxy.reports.run import PATIENCE, ReportRun, errors_of
from proxy.reports.schedule import due_groups, group_of, groups_of, next_of_all
from proxy.reports.store import (
    HISTORY,
    PARTS,
    RESULTS,
    Form,
    ReportFolderError,
    Run,
    RunnerStatus,
    RunResult,
    State,
    locked,
)
from proxy.tokens.leases import LeaseRequest, Urgency
from proxy.tokens.state_directory import reason
from proxy.value_classes import dataclass

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from pathlib import Path

    from proxy.events import Observer
    from proxy.reports.plan import NamedReport, ProfileAccount, ReportProfile
    from proxy.reports.run import RunParts
    from proxy.reports.store import ReportFolder
    from proxy.tokens.leases import Lease, Leases

TICK: Final = 1.0
"""Seconds between two looks at whether a run is due, or asked for."""
REPAIR: Final = 30.0
"""Seconds until a folder that cannot be used is tried again."""
LOOK: Final = 600.0
"""Seconds between two looks at whether the result is too old, whether another replica runs the report, and what is left
of reports that are not configured any more."""
_DAY: Final = 86_400.0


@dataclass(frozen=True, slots=True)
class ListedProfiles:
    """What is known of an account's profiles. `unlisted` are the regions that could not be listed at all; `ready` is
    false while the first lists are on their way."""

    profiles: tuple[ReportProfile, ...] = ()
    unlisted: tuple[str, ...] = ()
    ready: bool = True


@dataclass(frozen=True, slots=True)
class RunnerParts:
    """What the runner works with. `profiles` tells what is known of an account; `ads_accounts` which ads account each
    of its profiles belongs to, None while the first lists are on their way; `keep_days` is how long a result stays
    without a newer one."""

    run: RunParts
    folder: ReportFolder
    leases: Leases[None]
    profiles: Callable[[str], ListedProfiles]
    ads_accounts: Callable[[str], Mapping[str, ProfileAccount] | None]
    observer: Observer
    keep_days: int = 30


class LeaseFormat:
    """Implements `tokens.leases.SharedFormat`: who has such a lease runs a report. Nothing is shared by it."""

    kind: Final = "named-report"
    longest: Final = float("inf")

    def news(self, request: LeaseRequest) -> tuple[str, str]:
        return self.kind, request.url

    def is_long(self, value: None) -> bool:
        return False

    def write(self, request: LeaseRequest, value: None) -> tuple[bytes, float]:
        return json.dumps(None).encode(), 1.0

    def read(self, request: LeaseRequest, content: bytes, left: float) -> None:
        """There is none."""


class ReportRunner:
    """`start`, `reconfigure` and `stop` are called one after another."""

    def __init__(self) -> None:
        self._keepers: dict[str, tuple[Any, asyncio.Task[None]]] = {}
        self._removing: asyncio.Task[None] | None = None

    def __repr__(self) -> str:
        return f"<ReportRunner of {len(self._keepers)} reports>"

    async def reconfigure(self, reports: Mapping[str, NamedReport], parts: RunnerParts) -> None:
        """Follow a configuration: what did not change goes on. What is kept of reports that it lacks is removed, where
        another program runs one, once that has ended."""
        wanted = {name: (report, parts) for name, report in reports.items()}
        gone = [name for name, (known, _) in self._keepers.items() if wanted.get(name) != known]
        await self._end(gone)
        if not await finish(_remove_others, parts.folder, frozenset(reports)):
            self._removing = asyncio.create_task(_remove_later(parts, frozenset(reports)), name="remove named reports")
        for name, known in wanted.items():
            if name not in self._keepers:
                task = asyncio.create_task(ReportKeeper(*known).keep(), name=f"named report {name}")
                self._keepers[name] = known, task

    async def stop(self) -> None:
        """Leave runs as they are: the next program continues them."""
        await self._end(tuple(self._keepers))

    async def _end(self, names: Iterable[str]) -> None:
        tasks = [self._keepers.pop(name)[1] for name in names]
        if self._removing is not None:
            tasks.append(self._removing)
            self._removing = None
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)


def _remove_others(folder: ReportFolder, names: frozenset[str]) -> bool:
    """Remove what is kept of reports with other names, and that no other program runs; whether nothing is left."""
    with contextlib.suppress(ReportFolderError):
        folder.remove_others(names)
    return names.issuperset(folder.names())


async def _remove_later(parts: RunnerParts, names: frozenset[str]) -> None:
    """Until nothing is left."""
    is_left = True
    while is_left:
        await parts.run.clock.sleep(LOOK)
        is_left = not await finish(_remove_others, parts.folder, names)


@dataclass(slots=True)
class ReportKeeper:
    """Runs one report, for ever."""

    report: NamedReport
    parts: RunnerParts
    _kept: KeptRows = field(default_factory=KeptRows)
    _told: RunnerStatus | None = None
    _history: tuple[Run, ...] = ()
    _problem: str = ""
    _looked_at: float = 0.0

    async def keep(self) -> None:
        """Until cancelled."""
        while True:
            try:
                await self._keep_while_leased()
            except ReportFolderError as error:
                self._note_problem(str(error))
            except OSError as error:
                self._note_problem(f"Results cannot be kept: {error.filename or 'the disk'}: {reason(error)}.")
            except Exception as error:  # noqa: BLE001 - whatever it is, the report is tried again
                self._problem = str(error)
                told = {"message": f"named report {self.report.name}", "exception": error}
                asyncio.get_running_loop().call_exception_handler(told)
            await self.parts.run.clock.sleep(REPAIR if self._problem else TICK)

    def _note_problem(self, words: str) -> None:
        """A folder that cannot be used is told once, until a run ends or is waited for as planned."""
        if words != self._problem:
            self._problem = words
            self.parts.observer.observe(
                ReportRunFinished(self.report.name, RunResult.FAILURE, 0, 0.0, (words,), self.report.account)
            )

    async def _keep_while_leased(self) -> None:
        """Run the report while no other program does. Raises `ReportFolderError`."""
        name, account = self.report.name, self.report.account
        request = LeaseRequest(account, name, "", "", 0)
        async with self.parts.leases.lease(request, Urgency.PLANNED) as lease:
            folder = await finish(self.parts.folder.ensure, name)
            with locked(folder) as is_locked:
                if is_locked:
                    await finish(self.parts.folder.adopt, name, account)
                    await self._work_until_lost(folder, lease)

    async def _work_until_lost(self, folder: Path, lease: Lease[None]) -> None:
        work = asyncio.create_task(self._work(folder, alone=not lease.fence))
        lost = asyncio.create_task(lease.lost.wait())
        try:
            await asyncio.wait((work, lost), return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (work, lost):
                task.cancel()
            await asyncio.wait((work, lost))
        if not work.cancelled():
            work.result()

    # --- while the report is ours

    async def _work(self, folder: Path, *, alone: bool) -> None:
        """Until it is cancelled, or the folder and its lock were removed; `alone`, without a store that replicas share,
        until it is time to ask whether that is back, and not during a run."""
        clock = self.parts.run.clock
        began = clock.now()
        await finish(self._begin, folder)
        journal = await finish(self._resumable, folder)
        while await finish((folder / PARTS).is_dir):
            if journal is None:
                if clock.now() - self._looked_at >= LOOK:
                    self._looked_at = clock.now()
                    await finish(self._drop_old, folder)
                journal = await self._begin_run(folder)
            if journal is not None:
                await self._run(folder, journal)
            self._problem = ""
            if alone and clock.now() - began >= LOOK:
                return
            if journal is None:
                await clock.sleep(TICK)
            journal = None

    def _begin(self, folder: Path) -> None:
        status = self.parts.folder.status(self.report.name)
        self._history = status.history if status is not None else ()
        self._kept, self._told = read_kept(folder), None
        self.parts.folder.sweep(self.report.name)

    def _resumable(self, folder: Path) -> RunJournal | None:
        """The run that was cut off, if it is still worth to be continued. Otherwise its rows are removed."""
        journal = RunJournal.resume(folder)
        if journal is not None:
            is_young = self.parts.run.clock.now() - journal.plan.began_at < 2 * PATIENCE
            if journal.plan.digest == self.report.digest and is_young:
                kept = (journal.state(order).part for order in journal.plan.orders)
                remove_parts(folder, (*parts_of(self._kept), *kept))
                return journal
            journal.end()
        remove_parts(folder, parts_of(self._kept))
        return None

    def _drop_old(self, folder: Path) -> None:
        """Remove a result that no newer one replaced for too long."""
        result = self.parts.folder.result(self.report.name)
        if result is not None and self.parts.run.clock.now() - result.completed_at > self.parts.keep_days * _DAY:
            self._drop(folder)

    def _drop(self, folder: Path) -> None:
        self.parts.folder.drop_result(self.report.name)
        self._kept = replace(self._kept, profiles={})
        write_kept(folder, self._kept)

    async def _begin_run(self, folder: Path) -> RunJournal | None:
        """A new run if one is due or asked for; otherwise what it waits for is told."""
        report, now, store = self.report, self.parts.run.clock.now(), self.parts.folder
        asked = await finish(store.run_is_asked_for, report.name)
        listed = self.parts.profiles(report.account)  # no older than what was asked for
        selected = select_profiles(report, listed.profiles)
        if listed.ready and not listed.unlisted and self._kept.is_of_others(selected[0]):
            await finish(self._drop, folder)
        has_result = await finish(store.version, report.name) is not None
        groups = groups_of(report, selected[0])
        due = due_groups(report, groups, self._kept.ran, now, has_result=has_result)
        if not listed.ready or not groups:
            await self._tell_idle(None, self._why_no_profiles(listed))
            return None
        if not (due or asked):
            await self._tell_idle(next_of_all(report, groups, self._kept.ran, now, has_result=has_result))
            return None
        accounts = self.parts.ads_accounts(report.account) if report.template.needs_ads_accounts else {}
        if accounts is None:
            await self._tell_idle(None, f"Waits for the list of ads accounts of the account {report.account}.")
            return None
        plan = self._plan(groups if asked else due, selected, listed.unlisted, accounts)
        journal = await finish(RunJournal.begin, folder, plan)
        if asked:  # one that came since is for the next run: this one has other profiles, or an older list
            await finish(store.take_request, report.name)
        return journal

    def _why_no_profiles(self, listed: ListedProfiles) -> str:
        if not listed.ready:
            return f"Waits for the list of profiles of the account {self.report.account}."
        return f"The account {self.report.account} has none of the profiles that the report covers."

    def _plan(
        self,
        groups: tuple[str, ...],
        selected: tuple[tuple[ReportProfile, ...], tuple[str, ...]],
        unlisted: tuple[str, ...],
        accounts: Mapping[str, ProfileAccount],
    ) -> RunPlan:
        """The orders of a new run. Rows of regions that cannot be listed now are kept."""
        report, now, (chosen, missing) = self.report, self.parts.run.clock.now(), selected
        unseen = [kept.profile for kept in self._kept.profiles.values() if kept.profile.region in unlisted]
        known = {profile.id for profile in chosen}
        hidden = (profile.id for profile in select_profiles(report, unseen)[0] if profile.id not in known)
        due = tuple(profile for profile in chosen if group_of(report, profile) in groups)
        return RunPlan(
            run=f"{int(now)}-{secrets.token_hex(4)}",
            began_at=now,
            digest=report.digest,
            groups=groups,
            profiles=due,
            orders=tuple(order for each in due for order in plan_orders(report, each, now, accounts.get(each.id))),
            covered=tuple(profile.id for profile in chosen),
            missing=tuple(dict.fromkeys((*missing, *hidden))),
        )

    # --- a run

    async def _run(self, folder: Path, journal: RunJournal) -> None:
        """From wherever it is to its end."""
        plan = journal.plan
        self.parts.observer.observe(
            ReportRunStarted(self.report.name, len(plan.profiles), len(plan.orders), self.report.account)
        )
        changed = asyncio.Event()
        run = ReportRun(self.report, journal, folder, self.parts.run, changed.set)
        telling = asyncio.create_task(self._tell_progress(run, changed))
        try:
            await run.obtain()
        finally:
            telling.cancel()
            await asyncio.wait((telling,))
            journal.close()
        await self._finish(folder, journal)

    async def _tell_progress(self, run: ReportRun, changed: asyncio.Event) -> None:
        """At once, and then at most once in a tick."""
        while True:
            changed.clear()
            plan = run.journal.plan
            with contextlib.suppress(ReportFolderError):
                await self._tell(State.RUNNING, run.waits_for, began_at=plan.began_at, progress=run.progress)
            await changed.wait()
            await asyncio.sleep(TICK)

    async def _finish(self, folder: Path, journal: RunJournal) -> None:
        """Publish what a run brought, and remember it. Whatever of this was done before a crash is done again."""
        plan, clock = journal.plan, self.parts.run.clock
        settled = settle(plan, journal.state, self._kept, clock.now())
        errors = describe_errors(errors_of(journal))
        result, rows = result_of_run(plan, settled), 0
        if result is not RunResult.FAILURE:
            try:
                rows = await self._publish(folder, plan, settled)
            except ConversionFailed as error:
                result, errors = RunResult.FAILURE, (*errors, str(error))
                settled = self._without(plan, settled)
        if result is RunResult.FAILURE:
            await finish(self._mark, settled)
        await finish(write_kept, folder, settled)
        self._kept = settled
        ended = Run(plan.run, plan.began_at, clock.now(), result, rows, errors)
        self._history = (ended, *(run for run in self._history if run.run != plan.run))[:HISTORY]
        await self._tell(State.IDLE)
        await finish(journal.end)
        seconds = ended.ended_at - ended.began_at
        self.parts.observer.observe(
            ReportRunFinished(self.report.name, result, rows, seconds, errors, self.report.account)
        )

    def _without(self, plan: RunPlan, settled: KeptRows) -> KeptRows:
        """What is kept after a run that could not be published: what was kept before, as stale."""
        before = self._kept.profiles
        profiles = {
            name: replace(before.get(name, KeptProfile(kept.profile)), stale=True)
            for name, kept in settled.profiles.items()
        }
        return replace(settled, profiles=profiles)

    async def _publish(self, folder: Path, plan: RunPlan, settled: KeptRows) -> int:
        """Make one table of all rows; returns their number. Raises `ConversionFailed`."""
        store, limit = self.parts.folder, self.parts.run.max_bytes
        name = f"{plan.run}-{secrets.token_hex(4)}"
        files = {form: folder / RESULTS / f"{name}.{form}.gz" for form in Form}
        try:
            told = await self.parts.run.converter.run(
                {
                    "do": "merge",
                    "parts": [str(folder / PARTS / part) for part in parts_of(settled)],
                    "limit": limit,
                    "columns": self.report.columns,
                    **{str(form): str(path) for form, path in files.items()},
                }
            )
            await finish(self._check_size, settled, files.values())
        except BaseException:
            for path in files.values():
                path.unlink(missing_ok=True)
            raise
        result = make_result(self.report, plan.run, settled, told, self.parts.run.clock.now())
        await finish(store.publish, result)
        return result.rows

    def _check_size(self, settled: KeptRows, files: Iterable[Path]) -> None:
        """Raise `ConversionFailed` if all results together are too large once these files replace the report's."""
        limit, folder = self.parts.run.max_bytes, self.parts.folder.path(self.report.name)
        stay = {*parts_of(settled), *(path.name for path in files)}
        within = [*(folder / PARTS).iterdir(), *(folder / RESULTS).iterdir()]
        leaving = sum(path.stat().st_size for path in within if path.name not in stay)
        if limit and self.parts.folder.size() - leaving > limit:
            raise ConversionFailed(
                f"The results would have more than {limit} bytes; raise reports.keep.max_bytes, or order less."
            )

    def _mark(self, settled: KeptRows) -> None:
        """The result before stays, with the profiles marked that have no new rows."""
        before = self.parts.folder.result(self.report.name)
        if before is not None and (marked := mark_stale(before, settled)) != before:
            self.parts.folder.publish(marked)

    # --- telling

    async def _tell_idle(self, next_run: float | None, waits_for: str = "") -> None:
        await self._tell(State.IDLE, waits_for, next_run=next_run)

    async def _tell(self, state: State, waits_for: str = "", **said: Any) -> None:
        """Write the status, if it is another one."""
        status = RunnerStatus(self.report.name, state, 0.0, waits_for, history=self._history, **said)
        if status != self._told:
            told = replace(status, updated_at=self.parts.run.clock.now())
            await finish(self.parts.folder.tell, told)
            self._told = status
