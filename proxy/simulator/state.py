"""All that a running simulator remembers, and what tests may do to it. The control API does the same by HTTP."""

from __future__ import annotations

import dataclasses
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any, Protocol

from proxy.simulator.ads_accounts import AdsAccountBook, settle
from proxy.simulator.campaigns import ObjectStore
from proxy.simulator.credentials import App, Credentials
from proxy.simulator.faults import Fault, FaultBook, Match, Planned, end
from proxy.simulator.ledger import Ledger, RefusalRecord, RequestRecord
from proxy.simulator.limits import Limits
from proxy.simulator.operations import load_operations
from proxy.simulator.profiles import Profile, ProfileBook
from proxy.simulator.reports import ReportStore
from proxy.simulator.settings import SimulatorSettings, problem_with
from proxy.simulator.spending import SpendRecord

if TYPE_CHECKING:
    import asyncio

    from aiohttp import web


class SettingUnknown(ValueError):
    """A setting that does not exist, cannot be changed at run time, or cannot have that value."""


class ListenerControl(Protocol):
    """The owner of the ports; set while the simulator runs."""

    async def listen(self, name: str, listening: bool) -> None:
        """Opens or closes a listener; what is connected stays."""
        ...


class SimulatorState:
    """One simulator's memory; `reset` brings back the state of the start, but for its addresses."""

    def __init__(self, settings: SimulatorSettings) -> None:
        self.initial = settings
        self.operations = load_operations()
        self.servers: list[web.Server] = []
        self.frozen: list[asyncio.Transport] = []
        self.listener_control: ListenerControl | None = None
        self.s3_key = b"pretend-s3-signing-key"
        self.reset()

    def reset(self) -> None:
        """Everything as at the start: credentials, profiles, no faults, no counts, no tokens."""
        self.settings = self.initial
        self.advanced = 0.0
        self.credentials = Credentials(self.settings, self.now, self.today)
        self.profiles = ProfileBook(self.settings.profiles_per_region, self.settings.hidden_profiles_per_region)
        self.ads_accounts = AdsAccountBook()
        settle(self.ads_accounts, self.profiles, "default", self.settings.ads_accounts_per_login)
        self.ledger = Ledger(self.settings.requests_kept)
        self.faults = FaultBook()
        self.limits = Limits()
        self.reports = ReportStore(self.now, self.today)
        self.objects = ObjectStore(self.profiles.currency)
        self.spending = SpendRecord(self.profiles)
        self.sessions: dict[str, tuple[str, str, frozenset[str]]] = {}

    def now(self) -> float:
        """The simulator's time in seconds, which `advance` moves on."""
        return self.initial.clock() + self.advanced

    def today(self) -> float:
        """The simulator's date in seconds since 1970, which `advance` moves on too."""
        return self.initial.calendar() + self.advanced

    def date(self) -> date:
        """The simulator's day, in UTC."""
        return datetime.fromtimestamp(self.today(), UTC).date()

    def advance(self, seconds: float) -> None:
        """Time passes: tokens, codes, presigned URLs and consents grow old."""
        self.advanced += seconds

    def change(self, **settings: Any) -> None:
        """Changes settings at run time (those of `CHANGEABLE`)."""
        for name, value in settings.items():
            problem = problem_with(name, value)
            if problem is not None:
                raise SettingUnknown(problem)
        self.settings = dataclasses.replace(self.settings, **settings)
        self.credentials.settings = self.settings

    @property
    def app(self) -> App:
        """The app whose credentials hold from the start."""
        return self.credentials.apps[self.initial.client_id]

    @property
    def requests(self) -> list[RequestRecord]:
        """The newest requests, oldest first."""
        return list(self.ledger.requests)

    @property
    def refusals(self) -> list[RefusalRecord]:
        """The newest refusals, oldest first."""
        return list(self.ledger.refusals)

    def counts(self) -> dict[str, Any]:
        """Counts by kind, path and status."""
        return {**self.ledger.counts(), "limited": self.limits.counts()}

    def spend(self, last: int | None = None) -> dict[str, Any]:
        """What the day would have cost, and the `last` writes that succeeded (None: all)."""
        return self.spending.as_json(self.objects, self.today(), last)

    def add_fault(self, fault: Fault, match: Match | None = None, times: int | None = None) -> Planned:
        """Plans trouble for the next `times` matching requests (None: for all). Without a match: any API request."""
        return self.faults.add(match or Match(), fault, times)

    def revoke(self, refresh_token: str | None = None, *, access_tokens: bool = False) -> int:
        """Revokes one refresh token, or all of them."""
        return self.credentials.revoke(refresh_token, access_tokens=access_tokens)

    def restore(self) -> int:
        """Revoked refresh tokens are good again."""
        return self.credentials.restore()

    def set_client_secret(self, secret: str, client_id: str | None = None, *, keep_old: bool = False) -> None:
        """Changes an app's secret: who still has the old one is told `invalid_client`, unless it is kept."""
        app = self.credentials.apps[client_id or self.initial.client_id]
        app.older_secrets = (app.client_secret, *app.older_secrets) if keep_old else ()
        app.client_secret = secret

    def retire_secrets(self, client_id: str | None = None) -> int:
        """Ends the secrets of an app that were kept after a change. Returns how many there were."""
        app = self.credentials.apps[client_id or self.initial.client_id]
        retired, app.older_secrets = len(app.older_secrets), ()
        return retired

    def add_profile(self, region: str, profile_id: str | None = None, user: str = "default") -> Profile:
        """Adds a profile to a region, or opens one to a further user."""
        return self.profiles.add(region, profile_id, user)

    def add_user(self, user: str, profiles_per_region: int = 1, client_id: str | None = None) -> str:
        """A further user with profiles and ads accounts. Returns a refresh token of that user for the app."""
        for region in self.profiles.by_region:
            for _ in range(profiles_per_region):
                self.profiles.add(region, user=user)
        settle(self.ads_accounts, self.profiles, user, self.settings.ads_accounts_per_login)
        return self.credentials.add_grant(client_id or self.initial.client_id, user).token

    @property
    def connections(self) -> list[asyncio.Transport]:
        """Every connection to the API that is open."""
        handlers = [handler for server in self.servers for handler in server.connections]
        return [handler.transport for handler in handlers if handler.transport is not None]

    def close_connections(self, *, reset: bool = False) -> int:
        """Closes every connection to the API at once, as an idle limit would. Returns how many there were."""
        open_ones = self.connections
        for transport in open_ones:
            end(transport, reset=reset)
        return len(open_ones)

    def freeze_connections(self) -> int:
        """Stop reading the open connections to the API, as if the other end had vanished."""
        self.frozen = [transport for transport in self.connections if transport.is_reading()]
        for transport in self.frozen:
            transport.pause_reading()
        return len(self.frozen)

    def thaw_connections(self) -> int:
        """What was frozen is read again, if it is still there."""
        thawed = [transport for transport in self.frozen if not transport.is_closing()]
        self.frozen = []
        for transport in thawed:
            transport.resume_reading()
        return len(thawed)
