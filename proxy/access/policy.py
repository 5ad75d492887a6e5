"""What a client may do: one decision on one request, which names the rule that decided. Pure.

`evaluate_policy` is asked for each request of a client with a policy, and by `ads-proxy check --as`. Who the client is
is for `clients`; paths are read by `paths`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from proxy.access.paths import PathPattern, unambiguous_path
from proxy.errors import NotPermitted, Refused
from proxy.routing.scope import NAMES_ACCOUNT, goes_without_scope, names_account_in_path
from proxy.routing.target import TargetKind

if TYPE_CHECKING:
    from proxy.http1.message import Request
    from proxy.routing.route import Route

OVERRIDES = frozenset(
    b"x-http-method-override x-http-method x-method-override x-original-url x-original-uri x-rewrite-url".split()
)
"""Headers that some servers take for another method or path than the request line's."""


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
class Verdict:
    """`rule` is the key of the client's configuration that decided, empty where none limits it.

    `refusal` is None where the request is allowed.
    """

    rule: str
    reason: str
    refusal: Refused | None = None


def evaluate_policy(policy: Policy, request: Request, chosen: Route) -> Verdict:
    """Whether a client may send this request where it was routed to, and which rule says so."""
    method = request.method
    if policy.paths is not None or policy.profiles is not None:
        try:
            path = unambiguous_path(chosen.path)
        except Refused as refused:
            return Verdict("profiles" if policy.paths is None else "paths", refused.detail, refused)
    if not OVERRIDES.isdisjoint(request.fields.noticed) and (
        rule := _limit_of(policy, ("methods", "paths", "profiles"))
    ):
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
        return _evaluate_profile(policy, request, chosen)
    return Verdict(_limit_of(policy, ("paths", "methods", "accounts")), f"Client {policy.name} may send this request.")


def _limit_of(policy: Policy, rules: tuple[str, ...]) -> str:
    """The first of these rules that the policy has, empty for none."""
    return next((rule for rule in rules if getattr(policy, rule) is not None), "")


def _evaluate_profile(policy: Policy, request: Request, chosen: Route) -> Verdict:
    """A client that may use some profiles only may not reach others by a way that Scope does not govern.

    Such ways are open where `paths` names them; a foreign Scope is refused even there.
    """
    assert policy.profiles is not None
    unnamed = policy.paths is None
    open_path = "an operator can name its path in `paths`"
    governed = chosen.endpoint is TargetKind.API and not goes_without_scope(request.method, chosen.path)
    if unnamed and chosen.endpoint is TargetKind.MCP:
        return _forbid(
            "profiles", f"Client {policy.name} may use some profiles only, and MCP reaches all; {open_path}."
        )
    if unnamed and not governed:
        return _forbid("profiles", f"Client {policy.name} may use some profiles only; this has no Scope; {open_path}.")
    if unnamed and (not NAMES_ACCOUNT.isdisjoint(request.fields.noticed) or names_account_in_path(chosen.path)):
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
