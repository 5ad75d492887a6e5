"""The running program as the admin listener sees it: values to show, and the few things that a person may do there.

Nothing shown here holds a secret but the key to this listener and what a sign-in needs.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import field
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import urlsplit

from proxy.access.approvers import Approvers
from proxy.admin.cached_result import CachedResult
from proxy.downstream.ports import Availability
from proxy.errors import StateError
from proxy.events import InvitationMade
from proxy.profiles.listing import Endpoint, ProfilesUnavailable, list_profiles
from proxy.profiles.replacement import GrantedProfiles, ReachedProfile
from proxy.regions import REGION_NAMES
from proxy.reports.overview import look_at_all
from proxy.tokens.invitation import InvitationState, link, signing_key, state_of
from proxy.tokens.lwa import USER_SCOPE, AppCredentials
from proxy.tokens.store import StoreHealth
from proxy.value_classes import dataclass

if TYPE_CHECKING:
    import ssl
    from collections.abc import Iterator, Mapping

    from proxy.access.client_keys import KnownKey
    from proxy.audit.stream import AuditCounts, AuditStream
    from proxy.config import Account, Config
    from proxy.events import ApprovalState, Observer
    from proxy.forwarding.forwarder import Forwarder
    from proxy.net.session import HttpSession
    from proxy.profiles.directory import ProfileDirectory
    from proxy.profiles.index import ListingFailure
    from proxy.profiles.listing import Profile
    from proxy.profiles.reach import MergedAdsAccount
    from proxy.reports.overview import NamedReports, ReportOverview
    from proxy.reports.pace import PaceStatus
    from proxy.reports.sharing import SharedReports
    from proxy.secret import Secret
    from proxy.spend.approval_keeper import ApprovalKeeper
    from proxy.spend.approvals import Approval
    from proxy.spend.freezes import Freeze, FreezeKeeper
    from proxy.spend.overview import SpendOverview
    from proxy.tokens.invitation import Invitation, InvitationLedger
    from proxy.tokens.lwa import LoginWithAmazon
    from proxy.tokens.manager import TokenManager
    from proxy.tokens.token_response import Grant
    from proxy.tokens.values import CredentialStatus
    from proxy.upstream.throttles import Throttles


@dataclass(frozen=True, slots=True)
class AccessRules:
    """Who may use the admin listener. They may change with each reload."""

    key: Secret | None
    open_metrics: bool
    listen_host: str
    allowed_hosts: tuple[str, ...] = ()
    approvers: Approvers = Approvers()
    """Who decides about writes over a limit."""
    admin_approves: bool = False
    """Whether the admin key decides, too."""


@dataclass(frozen=True, slots=True)
class ThrottleView:
    """A present rate limit of Amazon's: for a family of operations for one advertiser, in one region, for one
    application.

    `wait` is in seconds, 0 once requests may leave again.
    """

    accounts: tuple[str, ...]
    region: str
    family: str
    advertiser: str
    wait: float


@dataclass(frozen=True, slots=True)
class ProgramView:
    """The program itself. `proxy_url` is the base URL for clients; `started_at` is wall-clock time."""

    version: str
    started_at: float
    proxy_url: str
    demo: bool = False
    invites: bool = False
    """Whether links can be made that ask for consent."""
    keyed: bool = False
    """Whether clients need a key."""
    config_problems: tuple[str, ...] = ()
    needs_restart: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    audit: AuditCounts | None = None
    state: str = "memory"
    """Where tokens are kept: `memory`, `file` or `redis`."""
    store: StoreHealth = field(default_factory=StoreHealth)
    connections: Mapping[str, int] = field(default_factory=dict)
    freezes: tuple[Freeze, ...] = ()
    """Whose writes are frozen."""
    freeze_problem: str = ""
    """Why the state store lacks a freeze or its end, or why it is not known what is frozen."""


@dataclass(frozen=True, slots=True)
class SignInSource:
    """What a sign-in must know of an account."""

    account: str
    client_id: str
    client_secret: Secret
    auth_grant_url: str
    token_url: str
    scopes: tuple[str, ...]
    redirect_uri: str
    older_secret: Secret | None = None


class RunningProgram(Protocol):
    """The parts of the program that the view reads. They are read each time: a reload replaces half of them."""

    @property
    def config(self) -> Config: ...
    @property
    def started(self) -> bool: ...
    @property
    def can_serve(self) -> bool: ...
    def shown(self) -> ProgramView: ...
    @property
    def audit(self) -> AuditStream | None: ...
    @property
    def tokens(self) -> TokenManager: ...
    @property
    def directory(self) -> ProfileDirectory: ...
    @property
    def lwa(self) -> LoginWithAmazon: ...
    @property
    def session(self) -> HttpSession: ...
    @property
    def trusted(self) -> ssl.SSLContext | None: ...
    @property
    def forwarder(self) -> Forwarder: ...
    @property
    def throttles(self) -> Throttles: ...

    @property
    def reports(self) -> SharedReports: ...
    @property
    def report_results(self) -> NamedReports | None: ...
    @property
    def invitations(self) -> InvitationLedger: ...
    @property
    def freezes(self) -> FreezeKeeper: ...
    @property
    def observers(self) -> Observer: ...
    @property
    def approvals(self) -> ApprovalKeeper: ...
    @property
    def approvers(self) -> Approvers: ...
    async def spend_overview(self) -> SpendOverview: ...


MAX_THROTTLES = 200
"""The most throttles shown: the longest waits."""
INVITATION_SECONDS = 7 * 86400.0


class AdminView:
    """The program, as the admin listener sees it."""

    def __init__(self, program: RunningProgram) -> None:
        self._program = program
        self._was_ready = False
        self._spend = CachedResult(program.spend_overview)

    def __repr__(self) -> str:
        return f"<AdminView of {self._program!r}>"

    def started(self) -> bool:
        """Whether both listeners are open."""
        return self._program.started

    def ready(self) -> bool:
        """Whether the program is ready. It becomes ready, for good, once an account has been able to serve and the
        first lists of profiles were read. Only draining takes that back."""
        if not self._was_ready:
            self._was_ready = self._program.can_serve
        return self._was_ready

    def has_served(self) -> bool:
        """Whether any account has been able to serve."""
        return self._program.tokens.has_served

    def draining(self) -> bool:
        return self._program.forwarder.availability is not Availability.SERVING

    def access(self) -> AccessRules:
        config = self._program.config
        opened_at = urlsplit(config.admin.url or "").hostname
        return AccessRules(
            config.admin.key,
            config.admin.open_metrics,
            config.admin_listen.host,
            (*config.allowed_hosts, *filter(None, (opened_at,))),
            self._program.approvers,
            config.approvals.admin,
        )

    def program(self) -> ProgramView:
        return self._program.shown()

    def accounts(self) -> tuple[str, ...]:
        """The names of all."""
        return self._program.tokens.accounts()

    def account(self, name: str) -> Account | None:
        """The account's section of the configuration."""
        return self._program.config.accounts.get(name)

    def credential(self, account: str) -> CredentialStatus | None:
        return self._program.tokens.status(account)

    def profiles(self, account: str) -> tuple[ReachedProfile, ...]:
        listings = self._listings(account)
        return tuple(ReachedProfile.of(account, region, each) for region, listed in listings for each in listed)

    def profile_counts(self, account: str) -> Mapping[str, int]:
        """How many profiles are listed for an account, by region; where there are none, it is missing."""
        return {region: len(listed) for region, listed in self._listings(account) if listed}

    def _listings(self, account: str) -> Iterator[tuple[str, tuple[Profile, ...]]]:
        """What is known of an account, by region."""
        for region in REGION_NAMES:
            listing = self._program.directory.listing(account, region)
            yield region, listing.profiles if listing is not None else ()

    def ads_accounts(self, account: str) -> tuple[MergedAdsAccount, ...]:
        return self._program.directory.ads_accounts(account)

    def ads_account_counts(self, account: str) -> Mapping[str, int]:
        """How many ads accounts are listed for an account, by region; what was not read yet is missing."""
        return self._program.directory.ads_account_counts(account)

    def listing_failures(self, account: str) -> tuple[ListingFailure, ...]:
        """Every region whose last listing failed."""
        found = (self._program.directory.failure(account, region) for region in REGION_NAMES)
        return tuple(failure for failure in found if failure is not None)

    def unlisted_accounts(self) -> frozenset[str]:
        """The accounts with a region whose last listing failed."""
        return frozenset(failure.account for failure in self._program.directory.failures())

    def client_keys(self) -> tuple[KnownKey, ...]:
        """Every client's keys, in the order of the configuration."""
        return self._program.forwarder.rules.clients.known_keys()

    def throttles(self) -> tuple[ThrottleView, ...]:
        """What Amazon is known to limit, so many at most; those to be waited for longest come first."""
        config, now = self._program.config, asyncio.get_running_loop().time()
        limits = sorted(self._program.throttles.snapshot(now), key=lambda limit: -limit.wait)[:MAX_THROTTLES]
        applications: dict[str, list[str]] = {key.client_id: [] for key, _ in limits}
        for name, account in config.accounts.items() if limits else ():
            if account.client_id in applications:
                applications[account.client_id].append(name)
        return tuple(
            ThrottleView(
                tuple(applications[key.client_id]),
                key.region,
                key.family,
                key.advertiser,
                wait,
            )
            for key, wait in limits
        )

    def throttled_orders(self) -> tuple[PaceStatus, ...]:
        """Where orders for reports wait for their turn, by account and region."""
        return tuple(sorted(self._program.reports.queues.snapshot(), key=lambda status: status.limit))

    def audit_records(self) -> tuple[Mapping[str, Any], ...] | None:
        """The last records of the audit stream since the start, the oldest first; None if there is no stream."""
        return None if self._program.audit is None else self._program.audit.recent()

    async def named_reports(self) -> tuple[ReportOverview, ...]:
        """What becomes of each named report, by name."""
        reports = self._program.report_results
        if reports is None or not reports.accounts:
            return ()
        return await asyncio.to_thread(look_at_all, reports, reports.accounts, time.time())

    async def run_report(self, name: str) -> None:
        """Has a run of a configured report begin within seconds. Raises `reports.store.ReportFolderError`."""
        reports = self._program.report_results
        assert reports is not None
        await asyncio.to_thread(reports.folder.ask_for_run, name)

    async def open_invitations(self) -> tuple[Invitation, ...]:
        """Unused links that are still valid. Raises `errors.StateError`."""
        now = time.time()
        known = await self._program.invitations.all()
        return tuple(each for each in known if state_of(each, now) is InvitationState.OPEN)

    async def invite(self, account: str) -> tuple[str, float]:
        """A link that asks the advertiser for consent, and when it ends. Raises `errors.StateError`."""
        invites, key = self._program.config.invites, signing_key(self._program.config.accounts[account].secrets[0])
        if invites.url is None:
            raise StateError(
                "invites.url: is not set; set it, and invites.listen for a listener of its own; restart the proxy."
            )
        sender = invites.sender or urlsplit(invites.url).hostname or ""
        made = await self._program.invitations.make(account, INVITATION_SECONDS, sender)
        self._program.observers.observe(InvitationMade(account, made.id, made.expires_at))
        return link(invites.url, made, key), made.expires_at

    async def spend(self) -> SpendOverview:
        """Limits, days and judged writes of all clients."""
        return await self._spend.get()

    def clients(self) -> tuple[str, ...]:
        """The names of all configured clients."""
        return tuple(client.name for client in self._program.config.clients)

    async def freeze(self, client: str | None, by: str, because: str) -> ProgramView:
        """Stop the writes of a client, or of all clients. Returns the program as it is then."""
        await self._program.freezes.freeze(client, by, because)
        return self.program()

    async def unfreeze(self, client: str | None, by: str, because: str) -> ProgramView:
        """End the freeze of a client, or that of all clients. Returns the program as it is then."""
        await self._program.freezes.unfreeze(client, by, because)
        return self.program()

    def asks_approvers(self) -> bool:
        """Whether some client's writes over a limit wait for an approver."""
        return any(each.spend is not None and each.spend.beyond == "approve" for each in self._program.config.clients)

    async def approvals(self, *, ended: bool) -> list[Approval]:
        """The approvals that are pending or approved, or all, the oldest first. Raises `errors.LedgerUnavailable`."""
        return await self._program.approvals.list(ended=ended)

    async def decide(self, identifier: str, state: ApprovalState, by: str, because: str) -> Approval:
        """Approve or deny, as `ApprovalKeeper.decide` does."""
        return await self._program.approvals.decide(identifier, state, by, because)

    async def refresh_now(self, account: str) -> None:
        """Raises `errors.TokenFailure`."""
        await self._program.tokens.refresh_now(account)

    def sign_in_source(self, account: str) -> SignInSource | None:
        config = self._program.config
        found = config.accounts.get(account)
        if found is None:
            return None
        region = config.regions[found.region]
        return SignInSource(
            account=account,
            client_id=found.client_id,
            client_secret=found.secrets[0],
            older_secret=found.secrets[1],
            auth_grant_url=region.auth_grant_url,
            token_url=region.token_url,
            scopes=found.scopes,
            redirect_uri=found.redirect_uri,
        )

    async def exchange(self, source: SignInSource, code: Secret, code_verifier: Secret) -> Grant:
        """Raises `errors.TokenFailure`."""
        credentials = AppCredentials(source.client_id, source.client_secret, source.older_secret)
        lwa = self._program.lwa
        return await lwa.exchange(source.token_url, credentials, code, source.redirect_uri, code_verifier)

    async def profiles_of(self, source: SignInSource, grant: Grant) -> GrantedProfiles:
        """What an account would reach with a grant, in every region; the grant is not put in force."""
        config = self._program.config
        listed = await asyncio.gather(*(self._list(source, region, grant) for region in config.regions))
        found = [profile for listing in listed if not isinstance(listing, ProfilesUnavailable) for profile in listing]
        unlisted = {
            region: listing.detail
            for region, listing in zip(config.regions, listed, strict=True)
            if isinstance(listing, ProfilesUnavailable)
        }
        return GrantedProfiles(tuple(found), unlisted, await self._is_other_user(source, grant))

    async def _is_other_user(self, source: SignInSource, grant: Grant) -> bool | None:
        """Whether Login with Amazon calls the users of both logins otherwise; None if it does not answer for both."""
        present = self._program.tokens.current(source.account)
        if present is None or USER_SCOPE not in source.scopes:
            return None
        lwa = self._program.lwa
        users = await asyncio.gather(
            *(lwa.user_id(source.token_url, token) for token in (present.value, grant.access_token))
        )
        return users[0] != users[1] if all(users) else None

    async def _list(
        self, source: SignInSource, region: str, grant: Grant
    ) -> tuple[ReachedProfile, ...] | ProfilesUnavailable:
        program = self._program
        endpoint = Endpoint(
            program.config.regions[region].api_url,
            source.client_id,
            proxy=program.config.upstream.proxy,
            ssl_context=program.trusted,
        )
        try:
            profiles = await list_profiles(program.session, endpoint, grant.access_token)
        except ProfilesUnavailable as failure:
            return failure
        return tuple(ReachedProfile.of(source.account, region, profile) for profile in profiles)

    async def adopt(self, account: str, grant: Grant) -> None:
        """Keeps the refresh token and uses the access token at once."""
        await self._program.tokens.adopt(account, grant)

    async def list_profiles(self, account: str) -> tuple[ReachedProfile, ...]:
        """Lists again, in every region; raises `errors.AdsProxyError`."""
        return tuple(ReachedProfile.of(*listed) for listed in await self._program.directory.ensure_listed(account))
