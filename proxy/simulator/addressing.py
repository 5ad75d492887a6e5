"""Which advertiser a request is for: whether its Scope is as the operation wants it and the caller may use it. Pure.

The three texts on Scope are Amazon's, from its page on errors.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from proxy.simulator.checks import SCOPE, Head, Refusal

if TYPE_CHECKING:
    from proxy.simulator.operations import Operation
    from proxy.simulator.state import SimulatorState

NO_SCOPE = "Scope header is missing"
NO_SUCH_SCOPE = "No matching advertiser found for scope"
NO_RIGHTS = "Not authorized to access scope {}"

SCOPE_TAKEN_ANYWAY = ("/sb/targets", "/sb/negativeTargets")
"""Paths whose specification has no Scope although Amazon's own Postman collection sends one."""


@dataclass(frozen=True, slots=True)
class Addressed:
    """What a request says of its advertiser, and who says it. An empty header is none."""

    region: str
    path: str
    user: str
    operation: Operation | None
    scope: str | None
    account: str | None

    @classmethod
    def read(cls, head: Head, region: str, path: str, who: tuple[str, Operation | None]) -> Addressed:
        """From a request's head; `who` is the token's user and the operation."""
        user, operation = who
        return cls(region, path, user, operation, head.first(SCOPE) or None, head.first("amazon-ads-accountid") or None)


def check_scope(state: SimulatorState, asked: Addressed) -> Refusal | None:
    """The Scope header by the operation's rule, and whether the user may use that profile here."""
    rule = asked.operation.scope if asked.operation else "optional"
    if asked.scope is None:
        if rule != "required":
            return None
        return Refusal(401, "scope-missing", "UNAUTHORIZED", "Amazon-Advertising-API-Scope is missing", NO_SCOPE)
    if rule == "never" and not asked.path.startswith(SCOPE_TAKEN_ANYWAY):
        return Refusal(
            400, "scope-unwanted", "INVALID_ARGUMENT", "this operation takes no Amazon-Advertising-API-Scope"
        )
    if asked.path.rstrip("/") == "/reporting/reports" and asked.account is not None:
        return Refusal(400, "scope-and-account", "INVALID_ARGUMENT", "either Scope or Amazon-Ads-AccountId, not both")
    return judge_profile(state, asked.region, asked.user, asked.scope)


def judge_profile(state: SimulatorState, region: str, user: str, scope: str) -> Refusal | None:
    """Why a user may not use a profile in a region. A host knows the profiles of its own region and no others."""
    if state.profiles.find(region, scope, user) is not None:
        return None
    home = state.profiles.region_of(scope)
    if home == region:
        reason = f"profile {scope} is not {user}'s"
        return Refusal(401, "scope-forbidden", "UNAUTHORIZED", reason, NO_RIGHTS.format(scope))
    if home is not None:
        reason = f"profile {scope} is not of this region but of {home}"
        return Refusal(401, "scope-other-region", "UNAUTHORIZED", reason, NO_SUCH_SCOPE)
    return Refusal(401, "scope-unknown", "UNAUTHORIZED", f"there is no profile {scope}", NO_SUCH_SCOPE)
