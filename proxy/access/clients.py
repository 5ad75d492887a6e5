"""Who calls, and what they may do. Pure but for the memory of verified credentials and of spent budgets.

Keys are kept and compared as SHA-256, in constant time. What a client may do is decided by `judge`, which names the
rule that decided; `permit` raises it, and `ads-proxy check --as` prints it. Paths are judged by `paths`.
"""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from cachetools import FIFOCache

from proxy.access.paths import PathPattern, judged_path
from proxy.access.placeholders import ACCESS, REFRESH, Placeholders
from proxy.errors import BudgetSpent, ClientUnknown, NotPermitted, PlaceholderRejected, Refused
from proxy.routing.route import Standing
from proxy.routing.scope import goes_without_scope, names_account_in_path
from proxy.token_bucket import TokenBucket

if TYPE_CHECKING:
    from collections.abc import Iterable

    from proxy.config import Client, Config
    from proxy.http1.headers import Facts
    from proxy.routing.route import Route

_REMEMBERED = 1024
_LONGEST_REMEMBERED = 1024
_GET_A_KEY = (
    "Send the key that `ads-proxy keys new NAME` printed, as X-Ads-Proxy-Key: KEY or Authorization: Bearer KEY."
)
_ASK_AGAIN = "Get a new one from /auth/o2/token."


@dataclass(frozen=True, slots=True)
class Policy:
    """What one client may do; None permits everything."""

    name: str
    key_digest: str
    accounts: frozenset[str] | None = None
    profiles: frozenset[bytes] | None = None
    methods: frozenset[bytes] | None = None
    paths: tuple[PathPattern, ...] | None = None
    requests_per_minute: int | None = None


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks. `policy` is None where no clients are configured; `has_key` tells that a client proved to be itself."""

    name: str
    policy: Policy | None
    standing: Standing
    has_key: bool


@dataclass(frozen=True, slots=True)
class Verdict:
    """`rule` is the key of the client's configuration that decided, empty where none limits it.

    `refusal` is None where the request is allowed.
    """

    rule: str
    reason: str
    refusal: Refused | None = None


@dataclass(slots=True)
class Budgets:
    """What is left of each client's budget; outlives a reload. One token bucket per client that has a budget."""

    _buckets: dict[str, TokenBucket] = field(default_factory=dict)

    def spend(self, name: str, per_minute: int, now: float) -> float:
        """Take one request off. Returns 0, or the seconds until there is one to take. `now` never runs backwards."""
        bucket = self._buckets.get(name)
        if bucket is None:
            bucket = TokenBucket.full(per_minute, 60 / per_minute, now)
        elif bucket.capacity != per_minute:
            bucket = replace(bucket, capacity=per_minute, interval=60 / per_minute)
        left_over = bucket.take(now)
        if left_over is None:
            return bucket.wait(now)
        self._buckets[name] = left_over
        return 0.0


def build_policy(client: Client) -> Policy:
    """A client of the configuration, ready to be asked."""
    return Policy(
        name=client.name,
        key_digest=client.key_sha256.lower(),
        accounts=None if client.accounts is None else frozenset(client.accounts),
        profiles=None if client.profiles is None else frozenset(profile.encode() for profile in client.profiles),
        methods=None if client.methods is None else frozenset(method.encode() for method in client.methods),
        paths=None if client.paths is None else tuple(PathPattern.read(pattern) for pattern in client.paths),
        requests_per_minute=client.requests_per_minute,
    )


def build_clients(config: Config, key: bytes, budgets: Budgets) -> Clients:
    """The clients of a configuration. `key` signs placeholders and outlives restarts; `budgets` outlive reloads."""
    return Clients((build_policy(client) for client in config.clients), Placeholders(key), budgets)


class Clients:
    """Everybody who may call. Made by `build_clients`, swapped whole by a reload."""

    def __init__(self, policies: Iterable[Policy], placeholders: Placeholders, budgets: Budgets) -> None:
        self._policies = {policy.name: policy for policy in policies}
        self._placeholders = placeholders
        self._budgets = budgets
        self._known: FIFOCache[tuple[bytes, bytes], tuple[Caller, float]] = FIFOCache(maxsize=_REMEMBERED)
        self.nobody = Caller("" if self._policies else "anonymous", None, Standing(), has_key=False)

    @property
    def exist(self) -> bool:
        """Whether any client is configured: callers need a key then."""
        return bool(self._policies)

    # --- who

    def identify(self, facts: Facts, now: float) -> Caller:
        """Name the caller; `now` is wall-clock time. Raises `ClientUnknown` or `PlaceholderRejected`.

        Without clients everybody is trusted: only placeholders of our own are read, for what they are bound to.
        """
        if not self._policies and ACCESS not in facts.authorization:
            return self.nobody
        known = self._known.get((facts.authorization, facts.proxy_key))
        if known is not None and now < known[1]:
            return known[0]
        caller, expires = self._verify(facts, now)
        if len(facts.authorization) + len(facts.proxy_key) <= _LONGEST_REMEMBERED:
            self._known[facts.authorization, facts.proxy_key] = (caller, expires)
        return caller

    def _verify(self, facts: Facts, now: float) -> tuple[Caller, float]:
        credential = _credential(facts.authorization)
        if not self._policies and not credential.startswith(ACCESS):
            return self.nobody, float("inf")
        keyed = self._of_key(facts.proxy_key) if self._policies and facts.proxy_key else None
        if credential.startswith(ACCESS):
            return self._of_placeholder(credential, keyed, now)
        if keyed is None:
            keyed = self._of_key(credential)
        return self._caller(keyed, ""), float("inf")

    def _of_key(self, key: bytes) -> Policy:
        """The client that has this key. Every digest is compared, so that time tells nothing."""
        digest = hashlib.sha256(key).hexdigest()
        found = None
        for policy in self._policies.values():
            if hmac.compare_digest(digest, policy.key_digest):
                found = policy
        if found is None or not key:
            raise ClientUnknown(f"{'No client has this key' if key else 'A key is needed here'}. {_GET_A_KEY}")
        return found

    def _of_placeholder(self, text: bytes, keyed: Policy | None, now: float) -> tuple[Caller, float]:
        found = self._placeholders.read(ACCESS, text, self._digest_of)
        if found is None:
            raise PlaceholderRejected(
                f"The access token is not one of this proxy's, or its client is gone. {_ASK_AGAIN}"
            )
        if found.expires <= now:
            raise PlaceholderRejected(f"The access token has expired. {_ASK_AGAIN}")
        if keyed is not None and keyed.name != found.client:
            raise PlaceholderRejected(
                "The access token and X-Ads-Proxy-Key belong to different clients; send one of them."
            )
        return self._caller(self._policies.get(found.client), found.bound), found.expires

    def _digest_of(self, name: str) -> str | None:
        """A client's key digest; that of nobody is empty, while nobody is asked for a key."""
        if not self._policies:
            return None if name else ""
        policy = self._policies.get(name)
        return policy.key_digest if policy is not None else None

    def _caller(self, policy: Policy | None, bound: str) -> Caller:
        if policy is None:
            return Caller("anonymous", None, Standing(bound), has_key=False)
        return Caller(policy.name, policy, Standing(bound, policy.accounts), has_key=True)

    # --- what the token endpoint asks

    def authenticate(self, name: str, secret: str) -> Caller | None:
        """The client of this name with this key; None for another key or name. Everybody, where none is configured."""
        if not self._policies:
            return self._caller(None, "")
        digest = hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()
        policy = self._policies.get(name)
        genuine = hmac.compare_digest(digest, policy.key_digest if policy is not None else "0" * 64)
        return self._caller(policy, "") if policy is not None and genuine else None

    def issue(self, caller: Caller, bound: str, now: float) -> tuple[str, str]:
        """An access and a refresh placeholder."""
        name, digest = (caller.policy.name, caller.policy.key_digest) if caller.policy is not None else ("", "")
        access = self._placeholders.issue_access(name, digest, bound, now)
        return access, self._placeholders.issue_refresh(name, digest, bound)

    def read_refresh(self, caller: Caller, text: str) -> str | None:
        """What a refresh placeholder of this caller is bound to; None for any other text."""
        found = self._placeholders.read(REFRESH, text.encode("utf-8", "surrogatepass"), self._digest_of)
        holder = caller.policy.name if caller.policy is not None else ""
        return found.bound if found is not None and found.client == holder else None

    # --- what they may do

    def permit(self, caller: Caller, method: bytes, chosen: Route, facts: Facts, now: float) -> None:
        """Raise what forbids the request, if anything does; `now` is of a clock that never runs backwards.

        Only a request that is otherwise permitted is taken off the budget.
        """
        policy = caller.policy
        if policy is None:
            return
        verdict = judge(policy, method, chosen, facts)
        if verdict.refusal is not None:
            raise verdict.refusal
        if policy.requests_per_minute is not None:
            wait = self._budgets.spend(policy.name, policy.requests_per_minute, now)
            if wait:
                most = policy.requests_per_minute
                raise BudgetSpent(f"Client {policy.name} may send {most} requests a minute.", retry_after=wait)

    def impersonate(self, name: str) -> Caller | None:
        """The caller that a client would be with its key, for `ads-proxy check --as`; None where there is none."""
        policy = self._policies.get(name)
        return self._caller(policy, "") if policy is not None else None

    def names(self) -> tuple[str, ...]:
        return tuple(sorted(self._policies))

    def __repr__(self) -> str:
        return f"Clients({', '.join(self.names())})"


def judge(policy: Policy, method: bytes, chosen: Route, facts: Facts) -> Verdict:
    """Whether a client may send this request, and which rule says so."""
    if policy.paths is not None or policy.profiles is not None:
        try:
            path = judged_path(chosen.path)
        except Refused as refused:
            return Verdict("profiles" if policy.paths is None else "paths", refused.detail, refused)
    if facts.overrides and (rule := _limit_of(policy, ("methods", "paths", "profiles"))):
        return _forbid(
            rule,
            f"Client {policy.name} is limited, and a header of the request could ask for something "
            "else than its method and path; send it without X-HTTP-Method-Override, X-Original-URL and their like.",
        )
    if policy.accounts is not None and chosen.account not in policy.accounts:
        return _forbid("accounts", f"Client {policy.name} may not use account {chosen.account}.")
    if policy.methods is not None and method not in policy.methods:
        return _forbid("methods", f"Client {policy.name} may not use the method {method.decode('latin-1')[:32]}.")
    if policy.paths is not None and not any(pattern.matches(path) for pattern in policy.paths):
        return _forbid("paths", f"Client {policy.name} may not use this path: no pattern of its `paths` matches it.")
    if policy.profiles is not None:
        return _judge_profile(policy, method, chosen, facts)
    return Verdict(_limit_of(policy, ("paths", "methods", "accounts")), f"Client {policy.name} may send this request.")


def _limit_of(policy: Policy, rules: tuple[str, ...]) -> str:
    """The first of these rules that the policy has, empty for none."""
    return next((rule for rule in rules if getattr(policy, rule) is not None), "")


def _judge_profile(policy: Policy, method: bytes, chosen: Route, facts: Facts) -> Verdict:
    """A client that may use some profiles only may not reach others by a way that Scope does not govern.

    Such ways are open where `paths` names them; a foreign Scope is refused even there.
    """
    assert policy.profiles is not None
    unnamed = policy.paths is None
    open_path = "an operator can name its path in `paths`"
    governed = chosen.endpoint == "api" and not goes_without_scope(method, chosen.path)
    if unnamed and chosen.endpoint == "mcp":
        return _forbid(
            "profiles", f"Client {policy.name} may use some profiles only, and MCP reaches all; {open_path}."
        )
    if unnamed and not governed:
        return _forbid("profiles", f"Client {policy.name} may use some profiles only; this has no Scope; {open_path}.")
    if unnamed and (facts.names_account or names_account_in_path(chosen.path)):
        return _forbid("profiles", f"Client {policy.name} may not name accounts beside its profiles; {open_path}.")
    if not chosen.profile:
        if governed:
            how = "send Amazon-Advertising-API-Scope"
            return _forbid("profiles", f"Client {policy.name} must choose one of its profiles: {how}.")
        return Verdict("paths", f"Client {policy.name} may send this request: its `paths` name the path.")
    if chosen.profile not in policy.profiles:
        shown = chosen.profile.decode("latin-1")[:32]
        return _forbid("profiles", f"Client {policy.name} may not use profile {shown}.")
    return Verdict("profiles", f"Client {policy.name} may send this request with this profile.")


def _forbid(rule: str, reason: str) -> Verdict:
    return Verdict(rule, reason, NotPermitted(f"{reason} (Rule: {rule}.)"))


def _credential(authorization: bytes) -> bytes:
    """The credential of `Bearer X`, or all of it."""
    scheme, separator, rest = authorization.partition(b" ")
    return rest.strip() if separator and scheme.lower() == b"bearer" else authorization
