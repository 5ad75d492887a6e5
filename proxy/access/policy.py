"""What a client may do: decisions on one request, each of which names the rule that decided. Pure.

`evaluate_request` is asked before the request is routed, with what it says itself, so that routing tells a client
nothing of what is not its own; `evaluate_route` afterwards, with what was chosen. Both are asked for each request of a
client with a policy, and by `ads-proxy check --as`. `clients` identifies the client; `paths` reads paths.

A client with `profiles` or `account_ids` is limited: it reaches what its Scope or its account id governs, as the table
of operations has it, and nothing else (docs/reference/permissions.md, Limited clients).
"""

from __future__ import annotations

import re
from dataclasses import replace
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, NamedTuple

from proxy.access.client_keys import ClientKey, stand_for_certificate
from proxy.access.json_body import find_odd_form
from proxy.access.own_accounts import OwnAccounts, check_count, find_foreign_name, sent_account_ids
from proxy.access.paths import PathPattern, unambiguous_path
from proxy.errors import NotPermitted, Refused, TooManyParameters, UnacceptablePath
from proxy.events import UNKNOWN
from proxy.routing.ads_account import SCOPE, any_names_account, names_account, sent_ads_account, sent_scope
from proxy.routing.mcp_session import (
    ACCOUNT_HEADER,
    FIXED,
    FixedAccount,
    McpSession,
    elsewhere,
)
from proxy.routing.operations import (
    PUBLISHED,
    Access,
    AccountRule,
    Administered,
    Effect,
    Operation,
    Operations,
    ScopeRule,
    may_administer,
)
from proxy.routing.overrides import PUNCTUATION
from proxy.routing.target import TargetKind
from proxy.strict_json import AlikeNames, TooCostly
from proxy.value_classes import dataclass

if TYPE_CHECKING:
    from proxy.access.identity_providers import TokenRule
    from proxy.http1.request_fields import RequestFields
    from proxy.routing.route import Route
    from proxy.routing.target import Destination, RequestSummary
    from proxy.strict_json import JsonBody


# --- The body of an order for reports of the unified API, where a limited client sends it ----------------

ORDER_OF_REPORTS = "/adsApi/v1/create/reports"
_MAX_ACCOUNTS_NAMED, _REPORTS, _ID = "accessRequestedAccounts", "reports", "advertiserAccountId"


def find_flaw(own: frozenset[bytes], fields: RequestFields, body: JsonBody) -> str:
    """Why such an order may not pass, empty where every account that it names is one of `own`.

    The answer is the same whether another account exists or not.
    """
    flaw = find_odd_form(fields)
    if flaw:
        return flaw
    try:
        order = body.read(strictly=True)
    except (TooCostly, AlikeNames) as error:
        return str(error)
    except (ValueError, RecursionError) as error:
        return f"the body is not plain JSON in UTF-8, or has a name twice ({type(error).__name__.strip('_')})"
    if not isinstance(order, dict) or not order.keys() <= {_MAX_ACCOUNTS_NAMED, _REPORTS}:
        return f"the body is no object of {_MAX_ACCOUNTS_NAMED} and {_REPORTS} alone"
    accounts = order.get(_MAX_ACCOUNTS_NAMED)
    if not isinstance(accounts, list) or not accounts:
        return f"the body has no accounts: {_MAX_ACCOUNTS_NAMED} is a list of them"
    if not all(_is_own(entry, own) for entry in accounts) or _names_accounts(order.get(_REPORTS)):
        return f"the body names another account than its own: {_MAX_ACCOUNTS_NAMED} may hold an {_ID} of its own only"
    return ""


def _is_own(entry: object, own: frozenset[bytes]) -> bool:
    if not isinstance(entry, dict) or entry.keys() != {_ID}:
        return False
    identifier = entry[_ID]
    return isinstance(identifier, str) and identifier.encode("utf-8", "surrogatepass") in own


def _names_accounts(value: object) -> bool:
    """Whether a name anywhere within names an account: none has a place there. However deep, it needs no stack."""
    names: set[str] = set()
    waiting = [value]
    while waiting:
        found = waiting.pop()
        if isinstance(found, dict):
            names.update(found)
            found = found.values()
        elif not isinstance(found, list):
            continue
        waiting += [each for each in found if isinstance(each, dict | list)]
    return any_names_account(name.encode() for name in names)


# --- What a client may do --------------------------------------------------------------------------------

_MCP_METHODS = frozenset((b"POST", b"GET", b"DELETE"))
_NONE: frozenset[bytes] = frozenset()
_FORWARDED_FOR_NOBODY = frozenset((TargetKind.SIGN_IN, TargetKind.LOGIN, TargetKind.APPROVALS))
_ACCOUNTS = b"accounts"
_UNIFIED = b"/adsapi/"
"""Where the unified API begins, in lower case."""
ACCOUNT_HEADER_OF_READS = "Amazon-Ads-AccountId"
"""The account header of reads that the table lacks."""
_AMC = b"amc"
_MAX_REMEMBERED = 2048
"""Operations: more than any table of them has."""
_REPORTS_OF_BODIES = frozenset(f"/adsApi/v1/{verb}/reports" for verb in ("create", "retrieve", "delete"))


@dataclass(frozen=True)
class Policy:
    """What one client may do; None permits everything. `access` permits what does no more than this. `limits_spend`
    tells that limits on spending are enforced: these are for others, but its paths must have one reading. The client
    has `keys`, or JWTs that fit `token_rule`, or both."""

    name: str
    keys: tuple[ClientKey, ...]
    accounts: frozenset[str] | None = None
    profiles: frozenset[bytes] | None = None
    account_ids: frozenset[bytes] | None = None
    unscoped_paths: frozenset[bytes] = frozenset()
    methods: frozenset[bytes] | None = None
    paths: tuple[PathPattern, ...] | None = None
    access: Access = Access.ADMIN
    mcp_tools: tuple[PathPattern, ...] | None = None
    reports: tuple[PathPattern, ...] | None = None
    requests_per_minute: int | None = None
    max_in_flight: int | None = None
    limits_spend: bool = False
    san: str = ""
    """The name in its certificate, in the form of the configuration; empty for a client without one."""
    token_rule: TokenRule | None = None

    @cached_property
    def certificate(self) -> ClientKey | None:
        """What stands for its certificate where a key of it is asked for."""
        return stand_for_certificate(self.san) if self.san else None

    @cached_property
    def credentials(self) -> tuple[ClientKey, ...]:
        """Its keys, and what stands for its certificate and for the rule of its tokens."""
        further = () if self.certificate is None else (self.certificate,)
        return (*self.keys, *further, *(() if self.token_rule is None else (ClientKey(self.token_rule.digest),)))

    @cached_property
    def limited_by(self) -> str:
        """The key that makes this a limited client, empty for one that is none."""
        return "profiles" if self.profiles is not None else "account_ids" if self.account_ids is not None else ""

    @cached_property
    def checks_paths(self) -> str:
        """The key for whose sake each path is checked, empty where none is."""
        if self.paths is not None:
            return "paths"
        limit = "access" if self.access is not Access.ADMIN else "spend" if self.limits_spend else ""
        return self.limited_by or limit

    @cached_property
    def checks_requests(self) -> str:
        """The key for whose sake a request is looked at before it is routed, empty where none is."""
        if self.methods is not None:
            return "methods"
        return self.checks_paths or ("mcp_tools" if self.mcp_tools is not None else "")

    @cached_property
    def checks_tools(self) -> str:
        """The key for whose sake the tools are looked at that are called by MCP, empty where they are not."""
        return "mcp_tools" if self.mcp_tools is not None else "access" if self.access is not Access.ADMIN else ""

    @cached_property
    def has_budget(self) -> bool:
        """Whether it can be that nothing is left."""
        return self.requests_per_minute is not None or self.max_in_flight is not None

    @cached_property
    def own(self) -> OwnAccounts:
        return OwnAccounts(self.profiles or _NONE, self.account_ids or _NONE)

    def names_path(self, path: bytes) -> bool:
        """Whether one of `paths` matches."""
        for pattern in self.paths or ():
            if pattern.matches(path):
                return True
        return self.paths is None

    def reads_report(self, name: str, account: str) -> bool:
        """Whether the client may read a named report of this account, with all its profiles."""
        if self.accounts is not None and account not in self.accounts:
            return False
        if self.reports is None:
            return not self.limited_by
        return any(pattern.matches(name.encode()) for pattern in self.reports)

    @cached_property
    def with_account_id(self) -> Verdict:
        """The verdict on a request that one of the client's account ids governs."""
        return _permit(self, "account_ids")

    @cached_property
    def with_profile(self) -> Verdict:
        """The verdict on a request that one of the client's profiles governs."""
        needs = f"Client {self.name} must choose one of its profiles: send Amazon-Advertising-API-Scope."
        return Verdict("profiles", f"Client {self.name} may send this request with this profile.", None, needs, True)

    @cached_property
    def by_body(self) -> Verdict:
        """The verdict on an order for reports, whose body names the accounts."""
        needs = (
            f"Client {self.name} may order reports of its own ads accounts, and reports of the unified API name their "
            "accounts in the body, which only a running proxy reads."
        )
        return Verdict("account_ids", f"Client {self.name} may order reports of its own.", None, needs, by_body=True)

    @cached_property
    def leave(self) -> Verdict:
        """The verdict on a request that nothing forbids, for a client that is not limited."""
        limits = {
            "paths": self.paths is not None,
            "access": self.access is not Access.ADMIN,
            "methods": self.methods is not None,
            "accounts": self.accounts is not None,
        }
        return _permit(self, next((key for key, is_set in limits.items() if is_set), ""))


class Verdict(NamedTuple):
    """What a policy decides about a request. Where equal verdicts allow requests, these are treated alike.

    `rule` is the key of the client's configuration that decided, empty where none limits it. `refusal` is None where
    the request is allowed. `needs` is not empty where it is allowed with a default of the client's own only, which
    routing has yet to choose, and says what to send instead: a default account id will do, and a profile where
    `takes_profile`. `by_body` tells that its body can take the place of these: it has to be checked before anything is
    sent. `is_fixed` tells that `fix_account` has to choose the advertiser for it.
    """

    rule: str
    reason: str
    refusal: Refused | None = None
    needs: str = ""
    takes_profile: bool = False
    by_body: bool = False
    is_fixed: bool = False

    @property
    def with_body(self) -> Verdict:
        """The same where the body is checked, if it can take the place of what the request needs."""
        return self._replace(needs="") if self.by_body else self


def evaluate_request(policy: Policy, asked: RequestSummary, destination: Destination) -> Verdict:
    """Whether a client may send this request at all, wherever it is routed to, and which rule decided it.

    Path and query are read here alone: what they decide is in the verdict.
    """
    if not policy.checks_requests or asked.kind in _FORWARDED_FOR_NOBODY:
        return policy.leave
    path = destination.path
    try:
        if policy.checks_paths:
            path = unambiguous_path(path, destination.segments, policy.unscoped_paths)
        if destination.query:
            check_count(destination.query)
        if asked.overrides and policy.checks_requests != "spend":
            return _forbid(
                policy.checks_requests,
                f"Client {policy.name} is limited, and a header or parameter of the request could ask for something "
                "else than its method and path; send it without X-HTTP-Method-Override, X-Original-URL and their like.",
            )
        if policy.methods is not None and asked.method not in policy.methods:
            shown = asked.method.decode("latin-1")[:32]
            return _forbid("methods", f"Client {policy.name} may not use the method {shown}.")
        if policy.paths is not None and not policy.names_path(path):
            reason = f"Client {policy.name} may not use this path: no pattern of its `paths` matches it."
            return _forbid("paths", reason)
        return _evaluate_operation(policy, asked, destination)
    except (UnacceptablePath, TooManyParameters) as refused:
        return Verdict(policy.checks_paths or policy.checks_requests, refused.detail, refused)


def _evaluate_operation(policy: Policy, asked: RequestSummary, destination: Destination) -> Verdict:
    """What the table of operations says of it: what it does, and what governs it."""
    api = asked.api
    if api is not None and api.takes_messages:
        return _evaluate_mcp(policy, asked, destination)
    if policy.access is Access.ADMIN and not policy.limited_by:
        return policy.leave
    effect = _effect_of(asked)
    administers = effect is Effect.WRITE and _administers(asked)
    if not policy.access.permits(effect, administers=administers):
        too_much = _too_much(asked.operation, administers=administers)
        return _forbid("access", f"Client {policy.name} has `access: {policy.access}`, and {too_much}.")
    if not policy.limited_by or asked.kind is TargetKind.REPORTS:
        return policy.leave
    return _evaluate_limits(policy, asked, destination)


def _effect_of(asked: RequestSummary) -> Effect:
    """What it does at Amazon; a write where nothing proves that it does less."""
    return Effect.WRITE if asked.effect == UNKNOWN else Effect(asked.effect)


def _administers(asked: RequestSummary) -> bool:
    """Whether a write administers something; where the table lacks it, the words of its path decide."""
    if asked.operation is None:
        return may_administer(b"/".join(asked.segments).decode("latin-1"))
    return asked.operation.administers is not Administered.NOTHING


def _too_much(operation: Operation | None, *, administers: bool) -> str:
    """Why `access` forbids an operation."""
    if administers:
        what = (
            "may administer users, accounts or billing" if operation is None else f"administers {operation.administers}"
        )
        return f"this operation {what}, which needs `access: admin`"
    if operation is None:
        return (
            "this method and path are not in Amazon's specifications, and so count as a write. Check the path. If it "
            "is right, an operator can allow it: add it to `operations` with `effect: read`, or set `access: write`"
        )
    return (
        "this operation makes reports" if operation.effect is Effect.REPORT else "this operation may change something"
    )


def _evaluate_mcp(policy: Policy, asked: RequestSummary, destination: Destination) -> Verdict:
    """A request to the MCP endpoint: for whom a limited client's is, and whether each call has to be judged."""
    verdict = _evaluate_limits(policy, asked, destination) if policy.limited_by else policy.leave
    if verdict.refusal is not None or not (policy.checks_tools or verdict.is_fixed):
        return verdict
    rule = policy.checks_tools or verdict.rule
    if asked.method not in _MCP_METHODS:
        return _forbid(rule, f"Client {policy.name} may send POST, GET and DELETE to the MCP endpoint.")
    reason = f"Client {policy.name} may call the tools that it is permitted; which one it is, a running proxy reads."
    return Verdict(rule, reason, by_body=True, is_fixed=verdict.is_fixed)


# --- limited clients ----------------------------------------------------------------------------------------


def _evaluate_limits(policy: Policy, asked: RequestSummary, destination: Destination) -> Verdict:
    """A limited client may name only its own accounts, and reaches what one of them governs."""
    fields, operation = asked.fields, asked.operation
    foreign = find_foreign_name(policy.own, fields, destination.query)
    if foreign:
        reason = f"Client {policy.name} may name only its own accounts, but the {foreign} names another."
        return _forbid(policy.limited_by, reason)
    for scope in fields.values(SCOPE):
        if scope and scope not in policy.own.profiles:
            return _foreign_profile(policy, scope)
    if destination.path in policy.unscoped_paths:
        return _permit(policy, "unscoped_paths")
    if policy.account_ids is not None and operation is not None and operation.template == ORDER_OF_REPORTS:
        return policy.by_body
    if asked.api is not None and asked.api.has_sessions:
        return _evaluate_fixed(policy, fields, destination.query)
    ungoverned = _why_unknown_ungoverned(asked) if operation is None else _why_ungoverned(operation)
    if ungoverned:
        open_path = "an operator can name its path in `unscoped_paths`"
        return _forbid(policy.limited_by, f"Client {policy.name} is limited, and {ungoverned}; {open_path}.")
    return _evaluate_governed(policy, fields, operation or _stand_in(asked))


def _foreign_profile(policy: Policy, scope: bytes) -> Verdict:
    shown = scope.decode("latin-1")[:32]
    if policy.profiles is None:
        return _forbid("account_ids", f"Client {policy.name} has no profiles and may send no Scope: {shown}.")
    return _forbid("profiles", f"Client {policy.name} may not use profile {shown}.")


def _why_unknown_ungoverned(asked: RequestSummary) -> str:
    """Why neither Scope nor account id governs a request that the table lacks, empty where one can.

    One that reads is governed by the client's own Scope or account id, which Amazon checks, as long as its path has
    nothing that could name another account, or a list of accounts.
    """
    unknown = "this method and path are not in Amazon's specifications, and"
    if asked.effect != Effect.READ:
        return f"{unknown} so the accounts that they reach are unknown"
    if asked.method not in _BODILESS:
        return f"{unknown} its body may name another account"
    segments = tuple(segment.lower() for segment in asked.segments)
    if _paths().find(b"ANY", segments) is not None:
        return "Amazon's specifications have no such method of this path"
    if not _WORDS.fullmatch(asked.unknown_path):
        return f"{unknown} the path has a part that may name an account"
    if _ABOVE_ACCOUNTS.search(asked.unknown_path) or not _ungoverned_words().isdisjoint(segments):
        return f"{unknown} the path has a word that may stand for other accounts"
    return ""


_BODILESS = frozenset((b"GET", b"HEAD"))
"""Methods of reads that say all in their heads."""
_WORDS = re.compile(rb"(?:/(?:[A-Za-z]{2,40}|v[0-9]))+")
"""A path of words and a version, none of which can be an identifier."""
_ABOVE_ACCOUNTS = re.compile(
    rb"account|advertiser|profile|manager|entit|instance|seller|vendor|brand|agenc|partner|amc|mcp|adm/"
    rb"|user|member|invit|role|permission|bill|invoice|pay|terms|token|agreement|report"
    rb"|organi[sz]ation|compan|business|merchant|tenant|customer|client|owner|team|contact|login|credential|whoami",
    re.IGNORECASE,
)
"""What a path holds that may list accounts, or may be one of those that Amazon does not choose by Scope."""


@lru_cache(maxsize=1)
def _paths() -> Operations:
    """The paths of the table in lower case, each with one method."""
    return Operations(replace(row, method="ANY", template=row.template.lower()) for row in PUBLISHED)


@lru_cache(maxsize=1)
def _ungoverned_words() -> frozenset[bytes]:
    """The words of paths, in lower case, that no operation has which a Scope or an account id governs: a newer path
    with one of them is probably not governed either."""
    words: dict[bool, set[bytes]] = {True: set(), False: set()}
    for row in PUBLISHED:
        words[bool(_why_ungoverned(row))].update(segment.lower() for segment in row.segments)
    return frozenset(words[True] - words[False])


def _stand_in(asked: RequestSummary) -> Operation:
    """What governs a read that the table lacks: on the unified API the account id alone, elsewhere the Scope, too."""
    unified = asked.unknown_path.lower().startswith(_UNIFIED)
    scope = ScopeRule.NEVER if unified else ScopeRule.OPTIONAL
    return Operation("GET", "/", "", scope, AccountRule.OPTIONAL, ACCOUNT_HEADER_OF_READS, Effect.READ)


@lru_cache(maxsize=_MAX_REMEMBERED)
def _why_ungoverned(operation: Operation) -> str:
    """Why neither Scope nor account id governs an operation, empty where one can."""
    if operation.template in _REPORTS_OF_BODIES:
        if operation.template == ORDER_OF_REPORTS:
            return "reports of the unified API name their accounts in the body, and this client has no account ids"
        return "the account of a report of the unified API is unknown"
    if operation.segments[0] == _AMC:
        return "Amazon Marketing Cloud has accounts of its own"
    if operation.segments[0] == _ACCOUNTS or _names_account_in_path(operation):
        return "the path names an account"
    if operation.scope is ScopeRule.UNKNOWN:
        return "no specification says by what this operation chooses its account"
    if operation.scope is ScopeRule.NEVER and operation.account is AccountRule.NEVER:
        return "this operation takes neither Scope nor account id"
    return ""


def _names_account_in_path(operation: Operation) -> bool:
    """Whether the path itself says whose data is meant: `/dsp/advertisers/{advertiserId}`."""
    return any(names_account(placeholder.encode()) for placeholder in operation.placeholders)


def _evaluate_governed(policy: Policy, fields: RequestFields, operation: Operation) -> Verdict:
    """One of the client's own profiles or account ids is there, of a kind that the operation takes."""
    takes_scope = policy.profiles is not None and operation.scope is not ScopeRule.NEVER
    if policy.account_ids is not None and operation.account is not AccountRule.NEVER:
        sent = sent_account_ids(fields.passing, operation.account_header)
        if len(sent) == 1 and sent[0] in policy.account_ids:
            return policy.with_account_id
        if not takes_scope:
            needs = f"Client {policy.name} must choose one of its account ids: send {operation.account_header}, once."
            if any(sent):
                return _forbid("account_ids", needs)
            return Verdict("account_ids", policy.with_account_id.reason, None, needs)
    elif not takes_scope:
        lacking = "a Scope" if policy.profiles is None else "an account id"
        return _forbid(
            policy.limited_by,
            f"Client {policy.name} is limited, and this operation needs {lacking}, which the client does not have; "
            "an operator can name its path in `unscoped_paths`.",
        )
    return policy.with_profile


def evaluate_body(policy: Policy, fields: RequestFields, body: JsonBody) -> Verdict:
    """Whether a client may order the reports that a whole body asks for; asked where the verdict is `by_body`."""
    flaw = find_flaw(policy.account_ids or _NONE, fields, body)
    return _forbid("account_ids", f"Client {policy.name} is limited, and {flaw}.") if flaw else policy.by_body


def evaluate_run(policy: Policy) -> Verdict:
    """Whether a client may ask for a run of a named report."""
    if policy.access.permits(Effect.REPORT):
        return policy.leave
    reason = f"Client {policy.name} has `access: {policy.access}`, and `refresh=1` orders reports; leave it out."
    return _forbid("access", reason)


# --- the one advertiser of a limited client's MCP session --------------------------------------------------

_NOBODY = FixedAccount()
_MODE = b"accountselectionmode"
_MAX_CHOICES = 20


def names_mode(name: bytes) -> bool:
    """Whether a header of this name may choose how the MCP endpoint finds an account."""
    return _MODE in name.lower().translate(None, PUNCTUATION)


def _evaluate_fixed(policy: Policy, fields: RequestFields, query: bytes) -> Verdict:
    """All MCP tools work for one advertiser of the client's own, and nothing in the request contradicts."""
    rule = policy.limited_by
    if any(value not in (b"", FIXED) for name, value in fields.every if names_mode(name)):
        return _forbid(rule, f"Client {policy.name} is limited, and the account selection mode of MCP is FIXED for it.")
    if query:
        return _forbid(rule, f"Client {policy.name} is limited, and sends no query to the MCP endpoint.")
    if any(fields.values(SCOPE)) and sent_ads_account(fields):
        choice = f"Amazon-Advertising-API-Scope or {ACCOUNT_HEADER.decode()}"
        return _forbid(rule, f"Client {policy.name} uses MCP for one profile or ads account: send {choice}, not both.")
    return Verdict(rule, f"Client {policy.name} may use MCP for a profile or ads account of its own.", is_fixed=True)


def find_named_account(fields: RequestFields, route_profile: str) -> FixedAccount:
    """The advertiser that a request names: by its headers, else by its route, whose profile may be empty."""
    scope = sent_scope(fields)
    ads_account = b"" if scope else sent_ads_account(fields)
    return FixedAccount(scope or (b"" if ads_account else route_profile.encode("latin-1")), ads_account)


def fix_account(policy: Policy, named: FixedAccount, session: McpSession | None) -> FixedAccount:
    """The advertiser of a request whose verdict `is_fixed`: its session's, else the `named` one, else the only one of
    the client.

    Raises `SessionElsewhere` for a session that is for another one, and `NotPermitted` where several are left.
    """
    own = policy.own
    if session is not None:
        fixed = session.fixed
        if fixed is None or not (fixed.profile in own.profiles or fixed.ads_account in own.account_ids):
            raise elsewhere()
        if named not in (_NOBODY, fixed):
            raise elsewhere()
        return fixed
    if named != _NOBODY:
        return named
    if len(own.profiles) + len(own.account_ids) == 1:
        return FixedAccount(next(iter(own.profiles), b""), next(iter(own.account_ids), b""))
    raise _refusal(policy.limited_by, _needs_choice(policy))


def _needs_choice(policy: Policy) -> str:
    headers = {b"Amazon-Advertising-API-Scope": policy.own.profiles, ACCOUNT_HEADER: policy.own.account_ids}
    lines = [f"{header.decode()}: {_choices(own)}" for header, own in headers.items() if own]
    return f"Client {policy.name} uses MCP for one profile or ads account at a time: send {'; or '.join(lines)}."


def _choices(own: frozenset[bytes]) -> str:
    shown = [each.decode("latin-1") for each in sorted(own)]
    return " or ".join(shown[:_MAX_CHOICES]) + (" or another" if len(shown) > _MAX_CHOICES else "")


# --- after routing ------------------------------------------------------------------------------------------


def evaluate_route(policy: Policy, before: Verdict, chosen: Route) -> Verdict:
    """Whether a client may send a request where it was routed to; `before` is what was said of it until then."""
    if before.refusal is not None:
        return before
    if policy.accounts is not None and chosen.account not in policy.accounts:
        return _forbid("accounts", f"Client {policy.name} may not use account {chosen.account}.")
    if policy.limited_by:
        if chosen.profile and chosen.profile not in policy.own.profiles:
            return _forbid(
                policy.limited_by,
                f"Client {policy.name} may not use the default profile of its route or account.",
            )
        default = chosen.ads_account if chosen.ads_account_header else b""
        if default and default not in policy.own.account_ids:
            reason = f"Client {policy.name} may not use the default ads account of its account."
            return _forbid(policy.limited_by, reason)
        if before.needs and not default and not (before.takes_profile and chosen.profile):
            return _forbid(before.rule, before.needs)
    return before


def _permit(policy: Policy, rule: str) -> Verdict:
    return Verdict(rule, f"Client {policy.name} may send this request.")


def _forbid(rule: str, reason: str) -> Verdict:
    return Verdict(rule, reason, _refusal(rule, reason))


def _refusal(rule: str, reason: str) -> NotPermitted:
    return NotPermitted(f"{reason} (Rule: {rule}.)")
