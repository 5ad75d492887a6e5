"""Who calls. Pure but for the memory of verified credentials and of spent budgets.

Keys are kept and compared as SHA-256, in constant time. What a client may do is decided by `policy`.
"""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from cachetools import FIFOCache

from proxy.access.placeholders import ACCESS, REFRESH, Placeholders
from proxy.access.policy import Policy, Verdict, evaluate_body, evaluate_request, evaluate_route
from proxy.errors import BudgetSpent, ClientUnknown, PlaceholderRejected
from proxy.routing.operations import PUBLISHED
from proxy.routing.table import CallerScope
from proxy.token_bucket import TokenBucket

if TYPE_CHECKING:
    from collections.abc import Iterable

    from proxy.http1.message import Request
    from proxy.http1.request_fields import RequestFields
    from proxy.routing.operations import Operations
    from proxy.routing.route import Route
    from proxy.routing.target import Destination

AUTHORIZATION = b"authorization"
PROXY_KEY = b"x-ads-proxy-key"

_MAX_REMEMBERED = 1024
_MAX_REMEMBERED_BYTES = 1024
_GET_A_KEY = (
    "Send the key that `ads-proxy keys new NAME` printed, as X-Ads-Proxy-Key: KEY or Authorization: Bearer KEY."
)
_ASK_AGAIN = "Get a new one from /auth/o2/token."
_UNLIMITED = Verdict("", "There is no policy.")


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks. `policy` is None where no clients are configured; `has_key` tells that a client proved to be itself."""

    name: str
    policy: Policy | None
    scope: CallerScope
    has_key: bool


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


class Clients:
    """Everybody who may call; swapped whole by a reload."""

    def __init__(self, policies: Iterable[Policy], placeholders: Placeholders, budgets: Budgets) -> None:
        self._policies = {policy.name: policy for policy in policies}
        self._placeholders = placeholders
        self._budgets = budgets
        self._known: FIFOCache[tuple[bytes, bytes], tuple[Caller, float]] = FIFOCache(maxsize=_MAX_REMEMBERED)
        self.nobody = Caller("" if self._policies else "anonymous", None, CallerScope(), has_key=False)

    @property
    def exist(self) -> bool:
        """Whether any client is configured: callers need a key then."""
        return bool(self._policies)

    # --- who

    def identify(self, fields: RequestFields, now: float) -> Caller:
        """Name the caller; `now` is wall-clock time. Raises `ClientUnknown` or `PlaceholderRejected`.

        Without clients everybody is trusted: only placeholders of our own are read, for what they are bound to.
        """
        if not self._policies and AUTHORIZATION not in fields.named:
            return self.nobody
        authorization, key = fields.value(AUTHORIZATION), fields.value(PROXY_KEY)
        if not self._policies and ACCESS not in authorization:
            return self.nobody
        known = self._known.get((authorization, key))
        if known is not None and now < known[1]:
            return known[0]
        caller, expires = self._verify(authorization, key, now)
        if len(authorization) + len(key) <= _MAX_REMEMBERED_BYTES:
            self._known[authorization, key] = (caller, expires)
        return caller

    def _verify(self, authorization: bytes, key: bytes, now: float) -> tuple[Caller, float]:
        credential = _credential(authorization)
        if not self._policies and not credential.startswith(ACCESS):
            return self.nobody, float("inf")
        keyed = self._of_key(key) if self._policies and key else None
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
            return Caller("anonymous", None, CallerScope(bound), has_key=False)
        profiles = frozenset(map(bytes.decode, policy.own.profiles)) if policy.limited_by else None
        return Caller(policy.name, policy, CallerScope(bound, policy.accounts, profiles), has_key=True)

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

    def screen(
        self, caller: Caller, request: Request, destination: Destination, operations: Operations = PUBLISHED
    ) -> Verdict:
        """Raise what forbids the request wherever it would go, if anything does; else what `permit` goes on from.

        Asked before routing, so that what routing knows of others is told to nobody who may not ask for it.
        """
        policy = caller.policy
        if policy is None:
            return _UNLIMITED
        verdict = evaluate_request(policy, request, destination, operations)
        if verdict.refusal is not None:
            raise verdict.refusal
        return verdict

    def permit(self, caller: Caller, screened: Verdict, chosen: Route, now: float, in_flight: int = 0) -> None:
        """Raise what forbids the route, if anything does; `now` is of a clock that never runs backwards.

        `in_flight` counts the client's requests that are under way.
        Only a request that is otherwise permitted is taken off the budget.
        """
        policy = caller.policy
        if policy is None:
            return
        verdict = evaluate_route(policy, replace(screened, needs="") if screened.by_body else screened, chosen)
        if verdict.refusal is not None:
            raise verdict.refusal
        if policy.max_in_flight is not None and in_flight >= policy.max_in_flight:
            raise BudgetSpent(
                f"Client {policy.name} may have {policy.max_in_flight} requests under way at once "
                "(max_in_flight); wait for one of them to end.",
                retry_after=1,
            )
        if policy.requests_per_minute is not None:
            wait = self._budgets.spend(policy.name, policy.requests_per_minute, now)
            if wait:
                limit = policy.requests_per_minute
                raise BudgetSpent(f"Client {policy.name} may send {limit} requests a minute.", retry_after=wait)

    def permit_body(self, caller: Caller, fields: RequestFields, body: bytes) -> None:
        """Raise what forbids a request with this body, where the screening left that open: `Verdict.by_body`."""
        verdict = evaluate_body(caller.policy, fields, body) if caller.policy is not None else _UNLIMITED
        if verdict.refusal is not None:
            raise verdict.refusal

    def impersonate(self, name: str) -> Caller | None:
        """The caller that a client would be with its key, for `ads-proxy check --as`; None where there is none."""
        policy = self._policies.get(name)
        return self._caller(policy, "") if policy is not None else None

    def names(self) -> tuple[str, ...]:
        return tuple(sorted(self._policies))

    def __repr__(self) -> str:
        return f"Clients({', '.join(self.names())})"


def _credential(authorization: bytes) -> bytes:
    """The credential of `Bearer X`, or all of it."""
    scheme, separator, rest = authorization.partition(b" ")
    return rest.strip() if separator and scheme.lower() == b"bearer" else authorization
