"""What the program keeps in the state store, and shares with other replicas where the store is theirs, too: counts of
days, freezes, approvals, observations, invitations, and which order made which report. Opened once.
"""

from __future__ import annotations

import time
from collections import Counter
from typing import TYPE_CHECKING

from proxy.app.fleet import FleetMember
from proxy.app.rules import approval_terms, approval_versions, report_rules, spend_limits
from proxy.app.sources import shared_settings
from proxy.config import environment
from proxy.events import AdsAccountsListed, OrdersPaced, ProfilesListed, StateStoreChanged
from proxy.profiles.reach import ADS_ACCOUNT
from proxy.reports.stored import StoredReports
from proxy.spend.approval_keeper import ApprovalKeeper
from proxy.spend.freezes import FreezeKeeper, Freezes
from proxy.spend.ledger import StoreLedger
from proxy.tokens.invitation import InvitationLedger
from proxy.tokens.opening import open_store
from proxy.tokens.store import StoreHealth

if TYPE_CHECKING:
    from contextlib import AsyncExitStack

    from proxy.access.clients import Budgets
    from proxy.app.spend_observations import KeptObservations
    from proxy.config import Config
    from proxy.events import Observer
    from proxy.profiles.directory import ProfileDirectory
    from proxy.reports.sharing import SharedReports
    from proxy.tokens.store import StoreChange
    from proxy.upstream.throttles import Throttles


class StoredParts:
    """Made within the event loop, which opens the store; each `start_...` reads what it has. What is opened is closed
    by `opened`, in reverse. Raises `StartupError`."""

    def __init__(
        self, config: Config, throttles: Throttles, budgets: Budgets, observer: Observer, opened: AsyncExitStack
    ) -> None:
        self._opened, self._observer = opened, observer
        store = self.store = open_store(config.state.url, config.state.key, shared_settings(config, environment()))
        opened.push_async_callback(store.close)
        self.fleet: FleetMember | None = None
        if store.fleet is not None:
            self.fleet = FleetMember(store.fleet, throttles, budgets, observer)
            opened.push_async_callback(self.fleet.stop)
            self.fleet.start()
        self.ledger = StoreLedger(store.counts)
        if self.fleet is None:  # a member of a fleet tells itself how the store is
            self.ledger.told = lambda problem: observer.observe(StateStoreChanged(bool(problem), problem, 1))
        opened.push_async_callback(self.ledger.stop)
        self.invitations = InvitationLedger(store, time.time)
        self.invitations.begin()
        opened.push_async_callback(self.invitations.stop)
        self.in_force = Freezes()
        self.freezes = FreezeKeeper(self.in_force, store, observer)
        self.approvals = ApprovalKeeper(store, self.in_force, observer)

    def __repr__(self) -> str:
        return f"<StoredParts: {self.store!r}, {self.fleet!r}>"

    @property
    def health(self) -> StoreHealth:
        """How a store that replicas share is."""
        return self.fleet.health if self.fleet is not None else StoreHealth()

    async def start_spend(self, config: Config, observations: KeptObservations) -> None:
        """What is frozen, approved, and observed of judged writes, as the store has it."""
        self._opened.push_async_callback(self.freezes.stop)
        await self.freezes.start()
        self.follow(config)
        self._opened.push_async_callback(self.approvals.stop)
        await self.approvals.start()
        self._opened.push_async_callback(observations.stop)
        await observations.begin(self.store)

    async def start_reports(self, config: Config, reports: SharedReports) -> None:
        """What the store and the fleet know of reports that are not finished yet."""
        reports.queues.paced = lambda limit, interval, slower: self._observer.observe(
            OrdersPaced(limit.account, limit.region, interval, slower)
        )
        if self.fleet is not None:
            self.fleet.share_reports(reports)
        stored = StoredReports(self.store, reports.reports, time.time)
        if report_rules(config) is not None:
            await stored.load()
        self._opened.push_async_callback(stored.stop)
        stored.begin()

    def follow(self, config: Config) -> None:
        """Approvals are for the limits of this configuration from now on."""
        self.approvals.follow(approval_terms(config), approval_versions(spend_limits(config)))

    def changed(self, change: StoreChange) -> None:
        """The store changed, or lost something."""
        self.freezes.store_changed(change)
        self.approvals.store_changed(change)


def measure_stored_lists(directory: ProfileDirectory, metrics: Observer) -> None:
    """What the state store knew is in use as if it had just been listed, but it is no news for the log."""
    counts = Counter((account, region) for account, region, _ in directory.snapshot())
    for (account, region), count in counts.items():
        metrics.observe(ProfilesListed(account, region, count))
    ads_accounts = Counter(known.account for known in directory.ads_accounts() if known.kind == ADS_ACCOUNT)
    for account, count in ads_accounts.items():
        metrics.observe(AdsAccountsListed(account, "", count, count))
