"""What the admin listener asks of the program: values to show, and the few things it may do.

Only shapes live here. The composition root implements them; nothing here holds a secret but the key to this listener
and what a sign-in needs.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from proxy.tokens.store import StoreHealth

if TYPE_CHECKING:
    from collections.abc import Mapping

    from proxy.access.client_keys import KnownKey
    from proxy.config import Account
    from proxy.observability.audit_stream import AuditCounts
    from proxy.profiles.index import ListingFailure
    from proxy.profiles.reach import MergedAdsAccount
    from proxy.profiles.replacement import GrantedProfiles, ReachedProfile
    from proxy.reports.overview import ReportOverview
    from proxy.reports.pace import PaceStatus
    from proxy.secret import Secret
    from proxy.tokens.invitation import Invitation
    from proxy.tokens.token_response import Grant
    from proxy.tokens.values import CredentialStatus


@dataclass(frozen=True, slots=True)
class AccessRules:
    """Who may use the admin listener. They may change with each reload."""

    key: Secret | None
    open_metrics: bool
    listen_host: str
    allowed_hosts: tuple[str, ...] = ()


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
class WorkerView:
    """One of several workers. `state` is `starting`, `serving` or `waiting`, `since` in wall-clock time; `pid` is 0
    while it has no process, and `restarts` how often another process took its place."""

    number: int
    pid: int
    state: str
    since: float
    restarts: int


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
    workers: tuple[WorkerView, ...] = ()
    """None where one process serves alone."""


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


class AdminView(Protocol):
    """The program, as the admin listener sees it."""

    def started(self) -> bool:
        """Both listeners are open."""

    def ready(self) -> bool:
        """Some account has been able to serve."""

    def draining(self) -> bool: ...

    def access(self) -> AccessRules: ...

    def program(self) -> ProgramView: ...

    def accounts(self) -> tuple[str, ...]:
        """The names of all."""

    def account(self, name: str) -> Account | None:
        """As it is configured."""

    def credential(self, account: str) -> CredentialStatus | None: ...

    def profiles(self, account: str) -> tuple[ReachedProfile, ...]: ...

    def profile_counts(self, account: str) -> Mapping[str, int]:
        """How many profiles are listed for an account, by region; where there are none, it is missing."""

    def ads_accounts(self, account: str) -> tuple[MergedAdsAccount, ...]: ...

    def ads_account_counts(self, account: str) -> Mapping[str, int]:
        """How many ads accounts are listed for an account, by region; what was not read yet is missing."""

    def listing_failures(self, account: str) -> tuple[ListingFailure, ...]:
        """Every region whose last listing failed."""

    def client_keys(self) -> tuple[KnownKey, ...]:
        """Every client's keys, in the order of the configuration."""

    def throttles(self) -> tuple[ThrottleView, ...]:
        """What Amazon is known to limit, so many at most; those to be waited for longest come first."""

    def throttled_orders(self) -> tuple[PaceStatus, ...]:
        """Where orders for reports wait for their turn, by account and region."""

    def audit_records(self) -> tuple[Mapping[str, Any], ...] | None:
        """The last records of the audit stream since the start, the oldest first; None if there is no stream."""

    async def named_reports(self) -> tuple[ReportOverview, ...]:
        """What becomes of each named report, by name."""

    async def run_report(self, name: str) -> None:
        """Has a run of a configured report begin within seconds. Raises `reports.store.ReportFolderError`."""

    async def open_invitations(self) -> tuple[Invitation, ...]:
        """Unused links that are still valid. Raises `errors.StateError`."""

    async def invite(self, account: str) -> tuple[str, float]:
        """A link that asks the advertiser for consent, and when it ends. Raises `errors.StateError`."""

    async def refresh_now(self, account: str) -> None:
        """Raises `errors.TokenFailure`."""

    def sign_in_source(self, account: str) -> SignInSource | None: ...

    async def exchange(self, source: SignInSource, code: Secret, code_verifier: Secret) -> Grant:
        """Raises `errors.TokenFailure`."""

    async def profiles_of(self, source: SignInSource, grant: Grant) -> GrantedProfiles:
        """What an account would reach with a grant, in every region; the grant is not put in force."""

    async def adopt(self, account: str, grant: Grant) -> None:
        """Keeps the refresh token and uses the access token at once."""

    async def list_profiles(self, account: str) -> tuple[ReachedProfile, ...]:
        """Lists again, in every region; raises `errors.AdsProxyError`."""
