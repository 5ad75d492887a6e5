"""Runs the named reports of the configuration in force."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from proxy.app.report_orders import make_named_reports
from proxy.reports.converter import Converter
from proxy.reports.plan import ReportProfile, find_accounts
from proxy.reports.run import RunClock, RunParts
from proxy.reports.runner import LeaseFormat, ListedProfiles, ReportRunner, RunnerParts
from proxy.reports.schedule import interval_of
from proxy.reports.store import ReportFolder

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from proxy.config import Config
    from proxy.config.model.reports import ReportsSection
    from proxy.events import Observer
    from proxy.profiles.directory import ProfileDirectory
    from proxy.profiles.listing import ProfileSource
    from proxy.profiles.reach import AdsAccount
    from proxy.reports.amazon import ReportApi
    from proxy.reports.plan import ProfileAccount
    from proxy.tokens.store import Store

    SourceOf = Callable[[str], ProfileSource | None]
    """Tells where an account's regions are asked; None for an account that is not configured."""

DEFAULT_POLL_INTERVAL: Final = 60.0
"""Seconds between two polls of a report where `reports.poll_interval` is 0: clients' polls are not shared then."""
LOOK_SECONDS: Final = 10.0
"""Between two looks at whether a newer result is there."""


class NamedReportService:
    """Runs the named reports of the configuration in force. Made once, where there are some."""

    def __init__(
        self,
        make_api: Callable[[SourceOf], ReportApi],
        directory: ProfileDirectory,
        store: Store,
        observer: Observer,
    ) -> None:
        self._sources: dict[str, ProfileSource] = {}
        self._api = make_api(self._source)
        self._directory, self._observer = directory, observer
        self._leases = store.leases_for(LeaseFormat())
        self._converter = Converter()
        self._runner = ReportRunner()
        self._folder: ReportFolder | None = None
        self._parts: RunnerParts | None = None
        self._intervals: dict[str, float] = {}
        self._numbers: dict[str, tuple[tuple[int, int], float, int]] = {}
        self._looking: asyncio.Task[None] | None = None

    def __repr__(self) -> str:
        return f"<NamedReportService: {self._runner!r}>"

    async def apply(self, config: Config, sources: tuple[ProfileSource, ...]) -> None:
        """Follow a configuration. Raises `ConfigurationError`."""
        self._sources = {source.account: source for source in sources}
        section = config.reports
        reports = make_named_reports(section) if section is not None else {}
        self._parts = parts = self._parts_of(section) if section is not None else self._parts
        if parts is None:
            return
        self._folder = parts.folder
        self._intervals = {name: interval_of(report) for name, report in reports.items()}
        await self._runner.reconfigure(reports, parts)
        if self._looking is None:
            self._looking = asyncio.create_task(self._look_at_results(), name="look at results of named reports")

    async def stop(self) -> None:
        """Leave runs as they are, for the next program."""
        self._intervals = {}
        if self._looking is not None:
            self._looking.cancel()
            self._looking = None
        await self._runner.stop()

    def results(self) -> Mapping[str, tuple[float, int, float]]:
        """When each newest result was completed, its rows, and the seconds between two runs: from whichever program, as
        last seen on the disk."""
        intervals = self._intervals
        return {name: (at, rows, intervals[name]) for name, (_, at, rows) in self._numbers.items() if name in intervals}

    async def _look_at_results(self) -> None:
        while True:
            if self._folder is not None:
                self._numbers = await asyncio.to_thread(self._read_numbers, self._folder)
            await asyncio.sleep(LOOK_SECONDS)

    def _read_numbers(self, folder: ReportFolder) -> dict[str, tuple[tuple[int, int], float, int]]:
        found = {}
        for name in tuple(self._intervals):
            version, known = folder.version(name), self._numbers.get(name)
            if version is not None and known is not None and known[0] == version:
                found[name] = known
            elif version is not None and (result := folder.result(name)) is not None:
                found[name] = version, result.completed_at, result.rows
        return found

    def _source(self, account: str) -> ProfileSource | None:
        return self._sources.get(account)

    def _parts_of(self, section: ReportsSection) -> RunnerParts:
        """The parts of a runner: the previous ones where nothing changed, so that no run is interrupted."""
        interval = section.poll_interval or DEFAULT_POLL_INTERVAL
        run = RunParts(self._api, self._converter, RunClock(), interval, section.keep.max_bytes)
        return RunnerParts(
            run=run,
            folder=ReportFolder(section.keep.dir),
            leases=self._leases,
            profiles=self._profiles,
            ads_accounts=self._ads_accounts,
            observer=self._observer,
            keep_days=section.keep.days,
        )

    def _ads_accounts(self, account: str) -> Mapping[str, ProfileAccount] | None:
        """The ads account of each profile, once each region was asked for them, or could not be."""
        source, complete = self._sources.get(account), True
        found: list[AdsAccount] = []
        for region in source.api_urls if source is not None else ():
            reading = self._directory.reading(account, region)
            if reading is None and not self._directory.is_failing(account, region):
                return None
            complete = complete and reading is not None
            found += reading.ads_accounts if reading is not None else ()
        return find_accounts(found, complete=complete)

    def _profiles(self, account: str) -> ListedProfiles:
        """What the directory knows of an account."""
        source = self._sources.get(account)
        if source is None:
            return ListedProfiles()
        found, unlisted, ready = list[ReportProfile](), list[str](), True
        for region in source.api_urls:
            listing = self._directory.listing(account, region)
            if listing is None:
                unlisted.append(region)
                ready = ready and self._directory.failure(account, region) is not None
                continue
            found += [ReportProfile.from_listing(profile, region) for profile in listing.profiles]
        return ListedProfiles(tuple(found), tuple(unlisted), ready)
