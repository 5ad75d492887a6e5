"""Why Amazon refused a request, if known: a sentence for the operator. Pure.

The client gets Amazon's answer as it is; this is for log and console. The texts of Amazon's are those of
docs/development/amazon.md, Unauthorized.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from proxy.events import RefusalCause
from proxy.tokens.token_refusals import FOREIGN_SCOPE, NO_SCOPE
from proxy.value_classes import dataclass

if TYPE_CHECKING:
    from proxy.routing.route import Route
    from proxy.routing.table import Directory

EXPLAINED = frozenset((400, 401, 403))
"""The statuses of answers that are looked into."""
_RIGHTS = (401, 403)
_BY_TEXT: tuple[tuple[int, bytes, RefusalCause, str], ...] = (
    (
        401,
        b"authentication failed",
        RefusalCause.APPLICATION,
        "The application is not approved for the Amazon Ads API: apply for access with the "
        "application of the account's client_id.",
    ),
    (
        403,
        b"missing equal-sign",
        RefusalCause.PATH,
        "Amazon's gateway does not know this path: compare method and path with Amazon's documentation.",
    ),
    (
        403,
        b"is not authorized for",
        RefusalCause.PROGRAM,
        "The advertiser has no access to this kind of advertising; another profile may.",
    ),
    (
        400,
        b"invalid advertiser or marketplace id",
        RefusalCause.ADVERTISER,
        "The advertiser or marketplace of the request does not belong to this login in this region.",
    ),
    (
        400,
        b"entityid provided is null",
        RefusalCause.ENTITY_MISSING,
        "Amazon Marketing Cloud needs the headers Amazon-Advertising-API-AdvertiserId (an entity's id) and "
        "Amazon-Advertising-API-MarketplaceId.",
    ),
)


@dataclass(frozen=True, slots=True)
class AmazonRefusal:
    """An error of Amazon's, and for whom it was asked.

    `text` is the beginning of its body, in lower case. `problem` says what is wrong with the account's login, empty
    where nothing is.
    """

    status: int
    text: bytes
    route: Route
    problem: str


@dataclass(frozen=True, slots=True)
class Explanation:
    """Why Amazon refused: a word for counting, and one or two sentences."""

    cause: RefusalCause
    sentence: str


def explain(refusal: AmazonRefusal, directory: Directory) -> Explanation | None:
    """None where nothing is known."""
    if refusal.status == 401 and NO_SCOPE in refusal.text:
        return Explanation(
            RefusalCause.SCOPE_MISSING,
            "The request has no profile, and this operation needs one: send "
            "Amazon-Advertising-API-Scope, or set default_profile "
            f"of the account {refusal.route.account}.",
        )
    if refusal.status in _RIGHTS and refusal.problem:
        return Explanation(RefusalCause.LOGIN_OVER, refusal.problem)
    for status, words, cause, sentence in _BY_TEXT:
        if refusal.status == status and words in refusal.text:
            return Explanation(cause, sentence)
    if refusal.status not in _RIGHTS:
        return None
    elsewhere = _explain_by_ids(refusal.route, directory)
    return Explanation(RefusalCause.NOT_LISTED, elsewhere) if elsewhere else _explain_rights(refusal)


def _explain_by_ids(route: Route, directory: Directory) -> str:
    """A profile or an ads account that is not this login's, as far as its lists are known."""
    if directory.first(route.account, route.region) is None:
        return ""
    if route.profile:
        profile = route.profile.decode("latin-1")
        return _elsewhere(f"Profile {profile:.32}", directory.owners(profile), route)
    if route.ads_account:
        ads_account = route.ads_account.decode("latin-1")
        return _elsewhere(f"The ads account {ads_account:.80}", directory.ads_account_owners(ads_account), route)
    return ""


def _elsewhere(what: str, owners: tuple[tuple[str, str], ...], route: Route) -> str:
    """Where it is listed, if not by the account and in the region that were asked."""
    if (route.account, route.region) in owners:
        return ""
    asked = f"the account {route.account} in {route.region}"
    if not owners:
        return f"{what} is not in the lists of any login here; the request went to {asked}."
    places = ", ".join(f"{account} in {region}" for account, region in owners[:3])
    return f"{what} belongs to {places}, but the request went to {asked}: choose account and region, or neither."


def _explain_rights(refusal: AmazonRefusal) -> Explanation | None:
    """It is this login's, as far as is known, and Amazon says that it is not."""
    if refusal.status == 401 and refusal.route.api.takes_messages:
        return Explanation(
            RefusalCause.APPLICATION,
            "Amazon's MCP endpoint does not accept this login's access tokens, not even a new one: check that the "
            f"application of the account {refusal.route.account} is approved for the Amazon Ads API. The client itself "
            "must not sign in at Amazon's authorization server (lwa.amazon.com).",
        )
    if refusal.status != 401 or not any(words in refusal.text for words in FOREIGN_SCOPE):
        return None
    return Explanation(
        RefusalCause.NO_RIGHTS,
        f"The login of {refusal.route.account} has no rights on this profile, or they were withdrawn: the advertiser "
        "must give its user access to it.",
    )
