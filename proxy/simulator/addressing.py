"""Which advertiser a request is for: Scope and account id by the rule of the operation, and the client's own. Pure.

The three texts on Scope are Amazon's, from its page on errors. What Amazon says of a foreign account id is not known:
those words are ours, and the same for an account of another region as for an unknown one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from proxy.simulator.answers import Refusal
from proxy.simulator.checks import SCOPE, Head
from proxy.simulator.operations import ACCOUNT_HEADER

if TYPE_CHECKING:
    from proxy.simulator.operations import Operation
    from proxy.simulator.state import SimulatorState

NO_SCOPE = "Scope header is missing"
NO_SUCH_SCOPE = "No matching advertiser found for scope"
NO_RIGHTS = "Not authorized to access scope {}"
NO_SUCH_ACCOUNT = "Not authorized to access account {}"

ACCOUNT_HEADERS = ("amazon-ads-accountid", "amazon-ads-account-id")
AMC_ACCOUNT = "ENTITYSANDBOX"
"""The one account of Amazon Marketing Cloud, which `/amc/*` takes in addition to ads accounts."""

SCOPE_TAKEN_ANYWAY = (
    "/sb/targets",
    "/sb/negativeTargets",
    "/adsApi/v1/commitments/dsp",
    "/adsApi/v1/retrieve/commitments/dsp",
    "/adsApi/v1/retrieve/commitmentSpends/dsp",
    "/adsApi/v1/query/linearTvDayparts",
    "/adsApi/v1/query/publishers",
)
"""Paths whose specification has no Scope although Amazon's own Postman collections send one."""

SCOPE_IGNORED = "/v2/profiles"
"""Amazon is believed to ignore a Scope here, whatever it holds (docs/development/amazon.md, Scope)."""


@dataclass(frozen=True, slots=True)
class Addressed:
    """What a request says of its advertiser, and who says it. An empty header is none."""

    region: str
    path: str
    user: str
    operation: Operation | None
    scope: str | None
    account: str | None
    account_header: str | None

    @classmethod
    def read(cls, head: Head, region: str, path: str, who: tuple[str, Operation | None]) -> Addressed:
        """Read the addressing from a request's head; `who` is the token's user and the operation."""
        user, operation = who
        sent = next((name for name in ACCOUNT_HEADERS if head.first(name)), None)
        account = head.first(sent) if sent else None
        return cls(region, path, user, operation, head.first(SCOPE) or None, account, sent)


def check_scope(state: SimulatorState, asked: Addressed) -> Refusal | None:
    """The Scope header by the operation's rule, and whether the user may use that profile here."""
    rule = asked.operation.scope if asked.operation else "optional"
    if asked.path.startswith(SCOPE_IGNORED):
        return None
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


def check_account(state: SimulatorState, asked: Addressed) -> Refusal | None:
    """The account id by the operation's rule and in its spelling, and whether the user may use that account here."""
    rule = asked.operation.account if asked.operation else "optional"
    spelled = asked.operation.account_header if asked.operation else ACCOUNT_HEADER
    if asked.account is None:
        if rule == "required":
            return Refusal(400, "account-missing", "BAD_REQUEST", f"{spelled} is missing")
        if rule == "either" and asked.scope is None:
            return Refusal(401, "advertiser-missing", "UNAUTHORIZED", f"neither Scope nor {spelled} is here", NO_SCOPE)
        return None
    if rule == "never":
        return Refusal(400, "account-unwanted", "BAD_REQUEST", f"this operation takes no {asked.account_header}")
    if asked.operation and asked.account_header != spelled.lower():
        return Refusal(400, "account-unwanted", "BAD_REQUEST", f"this operation spells it {spelled}")
    if asked.path.startswith("/amc/") and asked.account == AMC_ACCOUNT:
        return None
    return judge_account(state, asked.region, asked.user, asked.account)


def judge_account(state: SimulatorState, region: str, user: str, account_id: str) -> Refusal | None:
    """Why a user may not use an ads account, or a DSP advertiser, in a region."""
    words = NO_SUCH_ACCOUNT.format(account_id)
    account = state.ads_accounts.named(account_id)
    if account is None:
        return Refusal(403, "account-unknown", "FORBIDDEN", f"there is no ads account {account_id}", words)
    if user not in account.users:
        return Refusal(403, "account-forbidden", "FORBIDDEN", f"ads account {account_id} is not {user}'s", words)
    homes = state.ads_accounts.regions_of(account_id)
    if region not in homes:
        reason = f"ads account {account_id} is not of this region but of {' and '.join(homes) or 'none'}"
        return Refusal(403, "account-other-region", "FORBIDDEN", reason, words)
    return None
