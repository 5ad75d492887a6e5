"""What happened, as frozen facts, and who may hear of it. Never a secret, never a path with its query.

Times are in seconds, sizes in bytes, timestamps in seconds since the epoch. Nothing else of ours is imported.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol

from proxy.value_classes import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterable


# --- What every fact is, and who may hear of it ----------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Event:
    """The root of all facts."""


class Observer(Protocol):
    """Hears every event, on the event loop, in order; it must neither block nor raise."""

    def observe(self, event: Event) -> None: ...


class Observers:
    """Hands each event to several observers, in the order they were given."""

    __slots__ = ("_all",)

    def __init__(self, observers: Iterable[Observer]) -> None:
        self._all = tuple(observers)

    def observe(self, event: Event) -> None:
        for observer in self._all:
            observer.observe(event)


# --- What happened to accounts ---------------------------------------------------------------------------


class CredentialState(StrEnum):
    """`pending`: no token yet. `valid`. `degraded`: a working token, but renewing it fails. `expired`: no token.
    `revoked`: a person must sign in. `misconfigured`: the application is wrong. The last two may still hold a
    token that works."""

    PENDING = "pending"
    VALID = "valid"
    DEGRADED = "degraded"
    EXPIRED = "expired"
    REVOKED = "revoked"
    MISCONFIGURED = "misconfigured"


NEEDS_OPERATOR: Final = frozenset({CredentialState.REVOKED, CredentialState.MISCONFIGURED})
"""States that only a person ends. Until then waiting is of no use."""


class RefreshCause(StrEnum):
    """Why an access token was asked for."""

    START = "start"
    AHEAD = "ahead"
    """Renewed before it ends."""
    EXPIRED = "expired"
    UNAUTHORIZED = "unauthorized"
    """Amazon answered 401."""
    RETRY = "retry"
    """The attempt before failed."""
    PROBE = "probe"
    """A renewal that finds out whether the refresh token still works."""
    OPERATOR = "operator"
    SIGN_IN = "sign-in"
    SHARED = "shared"
    """Another replica of the fleet asked for it."""
    CREDENTIALS_CHANGED = "credentials-changed"


@dataclass(frozen=True, slots=True)
class TokenRefreshed(Event):
    """A new access token is in use. `expires_at` is wall-clock time."""

    account: str
    generation: int
    duration: float
    expires_at: float
    trigger: RefreshCause


@dataclass(frozen=True, slots=True)
class TokenTakenOver(Event):
    """An access token that another replica got is in use here. `expires_at` and `asked_at`, when that one asked for it,
    are wall-clock time."""

    account: str
    generation: int
    expires_at: float
    asked_at: float


@dataclass(frozen=True, slots=True)
class RefreshFailed(Event):
    """A token request failed. `reason` is the metric's label; `retry_in` is when it is tried again."""

    account: str
    reason: str
    permanent: bool
    detail: str
    advice: str
    duration: float
    retry_in: float
    token_expires_at: float | None
    """Wall-clock end of the token still in use, or None."""


@dataclass(frozen=True, slots=True)
class CredentialStateChanged(Event):
    """`old` and `new` are of `CredentialState`."""

    account: str
    old: str
    new: str


@dataclass(frozen=True, slots=True)
class SignInNeeded(Event):
    """An account has no refresh token, at start or from now on: nothing is asked of Amazon until a person signs in."""

    account: str
    advice: str


@dataclass(frozen=True, slots=True)
class ConsentRecorded(Event):
    """What is known of an account's consent, at start and whenever it changes.

    `given_on` is a day (ISO 8601), empty where it is not known; `origin` is `sign-in`, `configuration` or empty;
    `ends_at` is None where the consent has no end, or its day is not known.
    """

    account: str
    given_on: str
    origin: str
    ends_at: float | None


@dataclass(frozen=True, slots=True)
class ConsentEnding(Event):
    """An account's consent expires within so many days: 30, 7 or 1, each reported once."""

    account: str
    ends_at: float
    days: int
    advice: str


@dataclass(frozen=True, slots=True)
class ConsentEnded(Event):
    """An account's consent is over by its age: its refresh token brings no more access tokens."""

    account: str
    ends_at: float
    advice: str


@dataclass(frozen=True, slots=True)
class InvitationMade(Event):
    """A user of the console made a link that asks for an account's consent. `expires_at` is wall-clock time."""

    account: str
    invitation: str
    expires_at: float


@dataclass(frozen=True, slots=True)
class InvitationUsed(Event):
    """An invited person gave the consent, and it is in force; the link is worth nothing from now on."""

    account: str
    invitation: str


@dataclass(frozen=True, slots=True)
class RefreshTokenReplaced(Event):
    """Another refresh token is in use. `source`: `rotated`, `sign-in`, `configuration`."""

    account: str
    source: str


@dataclass(frozen=True, slots=True)
class AccessTokenRefused(Event):
    """Amazon answers 401 to the cached access token, and refuses to issue another: the account no longer serves."""

    account: str
    detail: str


@dataclass(frozen=True, slots=True)
class OlderRefreshTokenUsed(Event):
    """Amazon refuses the newer of two configured refresh tokens, and takes the older one."""

    account: str


@dataclass(frozen=True, slots=True)
class TokenUnpersisted(Event):
    """A rotated refresh token is in memory only (`unpersisted`), or its write held at last (`not unpersisted`)."""

    account: str
    unpersisted: bool
    detail: str


@dataclass(frozen=True, slots=True)
class RefreshTokenLost(Event):
    """The program stops, or the account is removed, and its newest refresh token could not be written: `detail` says
    why not. The one before may be worth nothing any more."""

    account: str
    detail: str
    advice: str


@dataclass(frozen=True, slots=True)
class StoredTokenDamaged(Event):
    """What the store holds of an account cannot be used, is gone, or is older than what it held. `restored`: it is
    written again from memory; otherwise the account has the configured refresh token, or none."""

    account: str
    restored: bool
    detail: str


@dataclass(frozen=True, slots=True)
class AccountRemoved(Event):
    """An account left the configuration, and its last token request is over."""

    account: str


@dataclass(frozen=True, slots=True)
class ProfilesListed(Event):
    """`taken_over`: another replica of the fleet asked Amazon, and this one was handed the list."""

    account: str
    region: str
    count: int
    taken_over: bool = False


@dataclass(frozen=True, slots=True)
class SharedListDamaged(Event):
    """A list that replicas share cannot be read, or is another's. The next listing takes its place."""

    account: str
    url: str


@dataclass(frozen=True, slots=True)
class ProfilesFailed(Event):
    """Listing the profiles failed; what was known stays in use."""

    account: str
    region: str
    detail: str
    retry_in: float


@dataclass(frozen=True, slots=True)
class AdsAccountsListed(Event):
    """`count` ads accounts are listed in this region; `total` are known of the account, each once. `taken_over` as of
    profiles."""

    account: str
    region: str
    count: int
    total: int
    taken_over: bool = False


@dataclass(frozen=True, slots=True)
class AdsAccountsFailed(Event):
    """Listing ads accounts failed; the known ones stay in use."""

    account: str
    region: str
    detail: str
    retry_in: float


@dataclass(frozen=True, slots=True)
class DefaultProfileChanged(Event):
    """`default_profile: first` now means another profile than before."""

    account: str
    region: str
    old: str
    new: str


# --- What happened to the program itself, and to those who sign in ---------------------------------------


@dataclass(frozen=True, slots=True)
class ServerStarted(Event):
    version: str
    listen: str
    admin_listen: str
    accounts: tuple[str, ...]
    notes: tuple[str, ...]
    """Sentences worth saying at start: state is kept in memory only, TLS is off beyond loopback, ..."""
    intercept_listen: str = ""
    """The address for clients that reach the proxy by Amazon's names."""


@dataclass(frozen=True, slots=True)
class StateStoreChanged(Event):
    """The store that a fleet shares is in trouble (`degraded`; `detail` says why), or in order again, or more or fewer
    replicas share it than before. Of a store that is not shared, whether it can count what clients spend."""

    degraded: bool
    detail: str
    replicas: int


@dataclass(frozen=True, slots=True)
class TraceDeliveryChanged(Event):
    """The receiver of traces takes none (`failing`; `detail` says why), so that spans are lost, or takes them again."""

    failing: bool
    detail: str


@dataclass(frozen=True, slots=True)
class DrainStarted(Event):
    in_flight: int
    delay: float
    timeout: float


@dataclass(frozen=True, slots=True)
class ServerStopped(Event):
    """`cut` requests were still running when the drain's time was over."""

    cut: int


@dataclass(frozen=True, slots=True)
class CertificateLoaded(Event):
    """The client listener shows this certificate from now on; `ends_at` is wall-clock time."""

    ends_at: float


@dataclass(frozen=True, slots=True)
class AuthorityLoaded(Event):
    """Clients that use Amazon's own addresses must trust the certificates in `file`; the oldest ends at `ends_at`,
    which is wall-clock time. `note` says what clients need now, or what is wrong; empty for nothing."""

    ends_at: float
    file: str
    note: str = ""


@dataclass(frozen=True, slots=True)
class ConfigReloaded(Event):
    """`problems` is empty on success. `needs_restart` names keys that changed and wait for a restart."""

    success: bool
    problems: tuple[str, ...]
    changed: tuple[str, ...]
    needs_restart: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class SecretCommandRan(Event):
    """A command that prints a secret ran. `keys` name it; `problem` is empty if its output can be used, `stderr` is the
    end of what it complained of, without secrets. `recovered` tells that the run before had a problem."""

    program: str
    keys: tuple[str, ...]
    problem: str
    stderr: str
    seconds: float
    recovered: bool = False


class SignInOutcome(StrEnum):
    """How a sign-in ended, or why it has not yet."""

    CONNECTED = "connected"
    DENIED = "denied"
    STATE_UNKNOWN = "state-unknown"
    CODE_REJECTED = "code-rejected"
    FAILED = "failed"
    CONFIRMATION_NEEDED = "confirmation-needed"
    """The sign-in would replace a working login, and some profiles would be lost."""
    REFUSED = "refused"
    """The sign-in would replace a working login, and all of its profiles would be lost."""


@dataclass(frozen=True, slots=True)
class SignInFinished(Event):
    account: str
    outcome: SignInOutcome
    detail: str


@dataclass(frozen=True, slots=True)
class DefectMet(Event):
    """An unexpected exception: `where` names the place, `traceback` is redacted text."""

    where: str
    traceback: str


@dataclass(frozen=True, slots=True)
class ReportFileUnreadable(Event):
    """The result of a named report could not be read for a client; `detail` says which file, and why."""

    report: str
    detail: str


# --- Requests of clients ------------------------------------------------------------------

UNKNOWN = "unknown"
"""The operation of a request that Amazon's specifications do not have."""
_CHANGES = frozenset({"write", UNKNOWN})
"""Classes of operations that count as changes: what no specification knows may be one."""


def may_change(operation_class: str) -> bool:
    """Whether a request of an operation of this class may change something at Amazon."""
    return operation_class in _CHANGES


class Fault(StrEnum):
    """How an exchange broke."""

    CLIENT_GONE = "client-gone"
    CLIENT_STALLED = "client-stalled"
    """The client stopped reading its response."""
    UPSTREAM_DIED = "upstream-died"
    UPSTREAM_TIMEOUT = "upstream-timeout"
    """Nothing more came of the answer."""


class RefusalCause(StrEnum):
    """Why Amazon refused a request, where that is known (docs/development/amazon.md, Unauthorized)."""

    SCOPE_MISSING = "scope-missing"
    """The operation needs a profile, and the request named none."""
    NOT_LISTED = "not-listed"
    """The profile or ads account belongs to another login, or to none."""
    NO_RIGHTS = "no-rights"
    """The profile is the login's, without rights."""
    LOGIN_OVER = "login-over"
    """The consent is over or revoked, or the application is wrong."""
    APPLICATION = "application-not-approved"
    PATH = "path-unknown"
    PROGRAM = "program-not-open"
    """The advertiser has no access to this kind of advertising."""
    ADVERTISER = "advertiser-unknown"
    ENTITY_MISSING = "entity-missing"


@dataclass(frozen=True, slots=True)
class TraceSpan:
    """What a piece of work is called in a trace (W3C Trace Context): `parent_id` is 0 where it begins the trace, and
    `sampled` tells whether anybody is to keep it."""

    trace_id: int
    span_id: int
    parent_id: int = 0
    sampled: bool = True


class Outcome(StrEnum):
    """What the response to a write says of it."""

    SUCCESS = "success"
    PARTIAL = "partial"
    """Some items of it failed, or parts of some."""
    FAILURE = "failure"
    UNKNOWN = "unknown"
    """The response was cut, or says nothing that can be read."""


class ItemCounts(NamedTuple):
    """How many items of a write succeeded, and how many failed."""

    succeeded: int
    failed: int

    @property
    def members(self) -> dict[str, int]:
        """The members that the log and the audit stream write."""
        return {"succeeded": self.succeeded, "failed": self.failed}


class WriteOutcome(NamedTuple):
    """The outcome of a write. `items` is there if the response has a result for each item."""

    outcome: Outcome
    items: ItemCounts | None = None


class SpendMode(StrEnum):
    """What happens to a write that is judged otherwise than `within`."""

    ENFORCE = "enforce"
    """The write is refused."""
    OBSERVE = "observe"
    """The write goes on, and the verdict is recorded."""


class SpendVerdict(StrEnum):
    """What the limits of a client say of a write (docs/explanation/spend-limits.md)."""

    WITHIN = "within"
    OVER = "over"
    UNREADABLE = "unreadable"
    """What the write would spend cannot be read."""
    FROZEN = "frozen"
    """All writes of the client are frozen, whatever they spend."""
    APPROVED = "approved"
    """Over a limit, and a person approved exactly this write."""


class SpendRule(StrEnum):
    """The rules of a client's `spend`, named as their keys."""

    BUDGET = "budget"
    BID = "bid"
    BID_ADJUSTMENT = "bid_adjustment"
    STATES = "states"
    HOURS = "hours"
    NEW_PER_DAY = "new_per_day"
    BUDGET_PER_DAY = "budget_per_day"


class SpendViolation(NamedTuple):
    """A rule that a write is over. `path` is that of the member, such as `campaigns[0].budget.budget`, empty where the
    rule is about the whole write. `value` and `limit` are texts, amounts in plain decimal notation. `limit` is None if
    there is none for the `currency`, which is empty for what is no amount."""

    rule: SpendRule
    path: str
    value: str
    currency: str
    limit: str | None

    @property
    def members(self) -> dict[str, str | None]:
        """The members that answers, the log and the audit stream write."""
        return self._asdict()


class SpendAmount(NamedTuple):
    """The largest value of a write that a rule is about, whether over its limit or not; texts as in a violation."""

    rule: SpendRule
    currency: str
    value: str


class ApprovalState(StrEnum):
    """What became of a question whether a write may be sent (docs/explanation/approvals.md)."""

    PENDING = "pending"
    APPROVED = "approved"
    """The next identical write may be sent, once."""
    DENIED = "denied"
    EXPIRED = "expired"
    """No approver decided in time, or its client did not send the approved write in time."""
    USED = "used"
    """The approved write was sent."""
    VOID = "void"
    """The limits, a freeze or the objects themselves have changed since."""


class ValueChange(NamedTuple):
    """What a write does to one member of an object. `object` is `KIND/ID`, empty for an object without an id yet.
    `member` is its path within the object, such as `budget.budget`. `before` and `after` are JSON texts; `before` is
    None where it is not known, and empty where the object has no such member."""

    object: str
    member: str
    before: str | None
    after: str

    @property
    def members(self) -> dict[str, str | None]:
        """The members that answers, the admin listener and the audit stream write."""
        return self._asdict()


class UsedApproval(NamedTuple):
    """The approval that a write has asked for or has used. `approver` is who decided, empty before a decision.
    `changes` are those of an approved write."""

    id: str
    approver: str = ""
    changes: tuple[ValueChange, ...] = ()


class SpendJudgement(NamedTuple):
    """What the limits of its client say of a write. `unread` says what made it unreadable: each a sentence without a
    value of the body. `unknown` are the names behind it, such as `field campaigns[].cap` or `tool x`, to be counted.
    `largest` has one amount for each rule and currency that the write has amounts of: by these an owner sets limits.
    `approval` is there where an approver was asked."""

    mode: SpendMode
    verdict: SpendVerdict
    violations: tuple[SpendViolation, ...] = ()
    unread: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()
    largest: tuple[SpendAmount, ...] = ()
    approval: UsedApproval | None = None

    def members(self, most: int) -> dict[str, object]:
        """The members that the log and the audit stream write: of violations and of sentences the first `most`, and how
        many further ones are left out."""
        further = max(0, len(self.violations) - most), max(0, len(self.unread) - most)
        found: dict[str, object] = {
            "mode": self.mode.value,
            "verdict": self.verdict.value,
            "violations": [each.members for each in self.violations[:most]],
            "further_violations": further[0],
            "unread": list(self.unread[:most]),
            "further_unread": further[1],
        }
        if self.approval is not None:
            identifier, approver, changes = self.approval
            found |= {"approval": identifier, "approver": approver, "changes": [each.members for each in changes]}
        return {name: value for name, value in found.items() if value or name == "violations"}


class MemberValue(NamedTuple):
    """The value that a write set. `object` is `KIND/ID`, empty for an object without an id yet."""

    object: str
    member: str
    value: str


class ChangedObjects(NamedTuple):
    """What a write names and sets: objects as `KIND/ID`, the names of members, and the values that are to be recorded;
    and how many further ones of each are left out. `unread` names the bodies, `request` or `response`, that could not
    be read, or that different readers understand differently."""

    objects: tuple[str, ...] = ()
    further: int = 0
    members: tuple[str, ...] = ()
    values: tuple[MemberValue, ...] = ()
    unread: tuple[str, ...] = ()
    further_members: int = 0
    further_values: int = 0


class RequestKind(NamedTuple):
    """What requests that were decided alike share, as the log and the metrics name it. Empty where it is not known.

    `method` is a known one or `other`; `operation` is Amazon's name or `unknown`; `operation_class` is `read`,
    `report`, `write` or `unknown`. `subject` is the `sub` of the client's JWT. `ends` is the day on which
    Amazon will end what they use, or `announced`.
    """

    client: str = ""
    account: str = ""
    region: str = ""
    profile: str = ""
    ads_account: str = ""
    method: str = "other"
    operation: str = UNKNOWN
    operation_class: str = UNKNOWN
    subject: str = ""
    ends: str = ""


def declines_stream(method: str, operation_class: str, status: int, operation: str = UNKNOWN) -> bool:
    """Whether an MCP server says that it has no event stream (GET), or lets no client end a session (DELETE).

    Clients ask for both in passing, and go on without. Only there, a request without an operation is known to read.
    Without `operation`, a GET of the table of operations that Amazon answers 405 looks alike.
    """
    return status == 405 and operation_class == "read" and method in ("GET", "DELETE") and operation == UNKNOWN


@dataclass(frozen=True, slots=True)
class RequestFinished(Event):
    """One request of a client is over: answered whole, cut off, or refused by the proxy itself.

    `method` is a known method or `other`. `path` has no query. `account`, `region`, `client` are empty where the
    request ended before they were known (`client` is `anonymous` where no clients are configured). `profile` and
    `ads_account` are those that were sent to Amazon, or that a refused request named. `operation` is Amazon's name for
    it, or `unknown`; `operation_class` is `read`, `report`, `write` or `unknown`. `status` is what the tool was
    answered, 0 if it left before; an answer that was cut keeps the status that was sent. `upstream_status` is Amazon's
    last, 0 for none. `refusal` is the slug of the proxy's own answer, else empty; `detail` says why, or why Amazon
    refused, where that is known; `fault` says how a started answer broke: a word of `Fault`, or the slug of the error
    that could no longer be told; or empty. `cause` is a word of `RefusalCause` where Amazon refused for a known reason.
    `duration` from the head's last byte to the answer's last; `upstream` is the part of it spent waiting for Amazon;
    `overhead` the rest: what the proxy itself added (parsing, deciding, relaying), waiting for a token not included.
    `mcp_tools` are the tools that a request to the MCP endpoint calls, as its body names them. `span` is set
    with traces on. `write` is what the response to a write says; None for reads, and for what was not sent to Amazon.
    `changes` is what it names and sets, if that is recorded. `spend` is what the limits of its client say of it, if
    they were asked. `subject` is the `sub` of the JWT that it came with, empty without one. `retry_after` are the
    seconds that the client was told to wait, None for nothing. `address` is where a request of an unknown client came
    from: the peer of its socket, empty where there is none. `unverified_subject` is the `sub` of a JWT that was not
    accepted.
    `ends` is the day on which Amazon will end what it uses, or `announced`; empty where it announced no end.
    """

    request_id: str
    client: str
    account: str
    region: str
    method: str
    path: str
    status: int
    amazon_request_id: str
    bytes_in: int
    bytes_out: int
    duration: float
    upstream: float
    overhead: float
    attempts: int
    refusal: str
    detail: str
    fault: str
    profile: str = ""
    ads_account: str = ""
    operation: str = UNKNOWN
    operation_class: str = UNKNOWN
    user_agent: str = ""
    upstream_status: int = 0
    cause: str = ""
    mcp_tools: tuple[str, ...] = ()
    span: TraceSpan | None = None
    write: WriteOutcome | None = None
    changes: ChangedObjects | None = None
    spend: SpendJudgement | None = None
    subject: str = ""
    retry_after: int | None = None
    address: str = ""
    unverified_subject: str = ""
    ends: str = ""

    @property
    def outcome(self) -> str:
        """What became of a write; empty for anything else."""
        return self.write.outcome.value if self.write is not None else ""

    @property
    def items(self) -> ItemCounts | None:
        """How many items of a write succeeded and failed, if its response tells."""
        return self.write.items if self.write is not None else None

    @property
    def kind(self) -> RequestKind:
        """What it shares with others."""
        whose = self.client, self.account, self.region, self.profile, self.ads_account
        return RequestKind(*whose, self.method, self.operation, self.operation_class, self.subject, self.ends)


@dataclass(frozen=True, slots=True)
class RequestStarted(Event):
    """A request's head is complete; exactly one `RequestFinished` follows."""


@dataclass(frozen=True, slots=True)
class AttemptEnded(Event):
    """One try of a request at Amazon is over, its `RequestFinished` still to come; only for tracing.

    `number` counts the tries from 1. `host` is `HOST:PORT`. `status` is that of its response, 0 for none; `fault` says
    why there is none, or why it is not whole: a word of `Fault`, the slug of an error, or `abandoned`.
    """

    span: TraceSpan
    number: int
    host: str
    client: str
    account: str
    method: str
    path: str
    operation: str
    status: int
    fault: str
    duration: float


@dataclass(frozen=True, slots=True)
class Replayed(Event):
    """A request was sent a second time. `reason`: `unauthorized`, `connection` or `throttled`; `outcome`:
    `recovered` (the second answer is no such failure), `failed`, or `impossible` (not sent again: a write that may have
    left, a body too large, no time or budget left, no new token)."""

    request_id: str
    reason: str
    outcome: str


@dataclass(frozen=True, slots=True)
class FamilyHeldBack(Event):
    """A request waits although its host has connections left: `held` of the `limit` serve its family of operations,
    and the rest is for others. `first`: no other request of this family waits yet. `host` is `HOST:PORT`."""

    host: str
    family: str
    held: int
    limit: int
    first: bool


@dataclass(frozen=True, slots=True)
class OrdersPaced(Event):
    """Orders for reports of an account leave `interval` seconds apart in a region, as Amazon throttles them; 0 once
    they leave freely again. `slower`: Amazon refused one."""

    account: str
    region: str
    interval: float
    slower: bool


@dataclass(frozen=True, slots=True)
class AmazonThrottled(Event):
    """Amazon answered 429 to an operation of this family."""

    account: str
    region: str
    retry_after: float | None
    family: str = ""


@dataclass(frozen=True, slots=True)
class ToolHintsContradicted(Event):
    """Tools of the MCP endpoint that only read by their names, and that a list did not call read-only, for the first
    time. They count as writes from now on; at most 20 are named."""

    account: str
    region: str
    tools: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class HostRefused(Event):
    """A client asked for a tunnel to a host that is none of Amazon's, for the first time; `detail` says what to do.
    Clients themselves often show nothing but the status."""

    client: str
    host: str
    detail: str


@dataclass(frozen=True, slots=True)
class AuthorityDistrusted(Event):
    """A client ended the handshake in a tunnel to a host of Amazon's, because it does not trust the proxy's authority;
    `detail` says what to do."""

    client: str
    host: str
    detail: str


@dataclass(frozen=True, slots=True)
class CounterRaised(Event):
    """Something happened that is counted and not logged. `metric` is a counter that `observability/metrics.py`
    declares, without its prefix, and `labels` are the values of its labels."""

    metric: str
    labels: tuple[str, ...] = ()
    amount: int = 1


# --- Named reports ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ReportRunStarted(Event):
    """A run of a named report begins, or continues after a restart."""

    report: str
    profiles: int
    orders: int
    account: str


@dataclass(frozen=True, slots=True)
class ReportRunFinished(Event):
    """A run of a named report ended. `result` is `success`, `partial` or `failure`; each of `errors` is a sentence."""

    report: str
    result: str
    rows: int
    seconds: float
    errors: tuple[str, ...]
    account: str


# --- What became of telling people -----------------------------------------------------------------------


class NoticeKind(StrEnum):
    """What it is about."""

    SIGN_IN_NEEDED = "sign-in-needed"
    ACCOUNT_REVOKED = "account-revoked"
    CONSENT_ENDING = "consent-ending"
    CONSENT_ENDED = "consent-ended"
    WRITES_FROZEN = "writes-frozen"
    WRITES_UNFROZEN = "writes-unfrozen"
    APPROVAL_REQUESTED = "approval_requested"
    APPROVAL_DECIDED = "approval_decided"
    APPROVAL_EXPIRED = "approval_expired"
    """An approval ended without its write: it expired or is void."""
    TEST = "test"
    """A test of the channel."""


class NoticeOutcome(StrEnum):
    """How far the telling got."""

    SENT = "sent"
    DELAYED = "delayed"
    """The attempt to send it failed, and is repeated."""
    LOST = "lost"
    """The notice was given up."""


@dataclass(frozen=True, slots=True)
class NoticeTold(Event):
    """A notice was sent, failed for the first time, or was given up. `way` is `webhook` or `command`."""

    kind: NoticeKind
    account: str
    way: str
    outcome: NoticeOutcome
    detail: str = ""


# --- Events of the audit stream, and those that are recorded alone -------------------------------------------


@dataclass(frozen=True, slots=True)
class AdminSignedIn(Event):
    """The console was opened with the admin key, or without one if none is needed; `address` is the client's."""

    address: str


@dataclass(frozen=True, slots=True)
class WritesFrozen(Event):
    """All writes of a client, or of all clients if `client` is empty, are stopped. `by` is who did it. `heard` tells
    that the state store has it: it was done elsewhere, or before the start."""

    client: str
    by: str
    because: str
    heard: bool = False


@dataclass(frozen=True, slots=True)
class WritesUnfrozen(Event):
    """A freeze has ended; the fields are those of `WritesFrozen`."""

    client: str
    by: str
    because: str
    heard: bool = False


@dataclass(frozen=True, slots=True)
class ApprovalRequested(Event):
    """A person is asked whether a write of a client may be sent. `operation` is its name; `rules` are those that it is
    over."""

    id: str
    client: str
    operation: str
    rules: tuple[str, ...]
    expires_at: float


@dataclass(frozen=True, slots=True)
class ApprovalDecided(Event):
    """An approver has approved or denied a write."""

    id: str
    client: str
    operation: str
    state: ApprovalState
    approver: str
    because: str


@dataclass(frozen=True, slots=True)
class ApprovalEnded(Event):
    """An approval is over without a decision: `expired` or `void`, or `used` by its write."""

    id: str
    client: str
    operation: str
    state: ApprovalState
    because: str = ""


@dataclass(frozen=True, slots=True)
class ApprovalsCounted(Event):
    """How many approvals of each client are in each state, as far as they are kept."""

    counts: tuple[tuple[str, ApprovalState, int], ...]


@dataclass(frozen=True, slots=True)
class AdminRefused(Event):
    """A request to the admin listener had a wrong key."""

    address: str
    path: str


@dataclass(frozen=True, slots=True)
class ApproverRefused(Event):
    """A request to the admin listener had a key that is none of an approver's. `client` is whose key it was, empty for
    an unknown one."""

    address: str
    path: str
    client: str


class KeyChange(StrEnum):
    """What became of a client's key."""

    ADDED = "added"
    REMOVED = "removed"
    ENDED = "ended"
    """Its end came."""
    CHANGED = "changed"
    """Its end or its note is another."""


@dataclass(frozen=True, slots=True)
class ProviderKeysRead(Event):
    """The keys of an identity provider were read: for the first time, after a failure, or others than before.
    `left_out` has a clause about each key that cannot be used."""

    provider: str
    keys: int
    left_out: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ProviderKeysFailed(Event):
    """The keys of an identity provider cannot be read, for another reason than before; `keys` are those still in
    use."""

    provider: str
    detail: str
    keys: int


@dataclass(frozen=True, slots=True)
class ClientKeyChanged(Event):
    """A client's key began, ended or changed. `key` is the beginning of its digest; `ends_at` wall-clock time."""

    client: str
    key: str
    change: KeyChange
    note: str
    ends_at: float | None


@dataclass(frozen=True, slots=True)
class ClientKeysInForce(Event):
    """The keys that there are at the start: `client id`, the id being the beginning of the digest."""

    keys: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class AuditFailed(Event):
    """The audit stream cannot be written; so many records wait. Traffic goes on."""

    detail: str
    waiting: int


@dataclass(frozen=True, slots=True)
class AuditRecovered(Event):
    """The audit stream is written again; so many records are lost."""

    lost: int


@dataclass(frozen=True, slots=True)
class AuditOpened(Event):
    """The audit stream begins after this line: number and digest. `trouble` is what was found amiss, else empty."""

    sequence: int
    digest: str
    trouble: str
