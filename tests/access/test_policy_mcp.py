"""For which one account a limited client uses MCP, and what of a request could choose another."""

from __future__ import annotations

from typing import Any

import pytest

from proxy.access.policy import find_named_account, fix_account
from proxy.errors import ConflictingAdsAccount, ConflictingScope, NotPermitted, SessionElsewhere
from proxy.routing.mcp_session import FixedAccount, McpSession
from tests.access.test_policy import OTHER, OWN, account, decided, policy
from tests.support.deciding import fields

ONE: dict[str, Any] = {"profiles": ("123",)}
ONE_ID: dict[str, Any] = {"account_ids": (OWN,)}
SEVERAL: dict[str, Any] = {"profiles": ("123", "124"), "account_ids": (OWN,)}
MODE = b"Amazon-Ads-AI-Account-Selection-Mode: "


def fixed(
    limits: dict[str, Any], *lines: bytes, scope: bytes = b"", route: str = "", session: McpSession | None = None
) -> tuple[bytes, bytes]:
    """The profile and the ads account that tools work for; `route` is the profile of the request's route."""
    named = find_named_account(fields(*lines, scopes=(scope,) if scope else ()), route)
    found = fix_account(policy(**limits), named, session)
    return found.profile, found.ads_account


@pytest.mark.parametrize("path", [b"/mcp", b"/mcp/lite", b"/na/mcp"])
@pytest.mark.parametrize("method", [b"POST", b"GET", b"DELETE"])
@pytest.mark.parametrize("limits", [ONE, ONE_ID, SEVERAL])
def test_a_limited_client_reaches_mcp_for_one_account(limits: dict[str, Any], method: bytes, path: bytes) -> None:
    """Each message is read before it is sent."""
    verdict = decided(limits, method, path)
    assert (verdict.refusal, verdict.is_fixed, verdict.by_body) == (None, True, True)
    assert verdict.rule in limits


def test_an_open_path_is_open_for_every_account() -> None:
    """`unscoped_paths` names it exactly; the other one stays fixed."""
    limits = {**ONE, "unscoped_paths": ("/mcp",)}
    assert not decided(limits, b"POST", b"/mcp").is_fixed
    assert decided(limits, b"POST", b"/mcp/lite").is_fixed
    assert not decided({"access": "read"}, b"POST", b"/mcp").is_fixed


@pytest.mark.parametrize(
    ("lines", "scope"),
    [
        ((MODE + b"DYNAMIC",), b""),
        ((MODE + b"fixed",), b""),
        ((MODE + b"FIXED, DYNAMIC",), b""),
        ((MODE + b"FIXED", MODE + b"DYNAMIC"), b""),
        ((MODE.replace(b"-", b"_") + b"DYNAMIC",), b""),
        ((b"amazon-ads-account-selection-mode: DYNAMIC",), b""),
        ((b"Amazon-Ads-Manager-AccountID: m",), b""),
        ((b"Amazon-Ads-Manager-Account-ID: m",), b""),
        ((b"amazon_ads_manager_accountid: m",), b""),
        ((b"Amazon-Ads-Manager-AccountID: " + OWN.encode(),), b""),
        ((account(OTHER),), b""),
        ((account(OTHER, "Amazon-Ads-AccountID"),), b""),
        ((account(OTHER, "Amazon-Ads-Account-ID"),), b""),
        ((account(OTHER, "amazon_ads_accountid"),), b""),
        ((account(OTHER, "Mcp-Param-AdvertiserAccountId"),), b""),
        ((b"Mcp-Param-ProfileId: 999",), b""),
        ((), b"999"),
        ((account(OWN),), b"123"),
        ((account(OWN),), b"999"),
    ],
)
def test_no_header_chooses_another_account(lines: tuple[bytes, ...], scope: bytes) -> None:
    """Another mode, a manager, what is not the client's, and two at once: 403."""
    verdict = decided(SEVERAL, b"POST", b"/mcp", *lines, scope=scope)
    assert isinstance(verdict.refusal, NotPermitted)
    assert verdict.rule in SEVERAL


@pytest.mark.parametrize("lines", [(), (MODE + b"FIXED",), (MODE,), (account(""),), (account(OWN),)])
def test_what_says_the_same_is_taken(lines: tuple[bytes, ...]) -> None:
    """FIXED itself, and empty headers, which count as absent."""
    assert decided(SEVERAL, b"POST", b"/mcp", *lines).is_fixed


@pytest.mark.parametrize("target", [b"/mcp?profileId=123", b"/mcp?sessionId=x", b"/mcp/lite?x"])
def test_no_query_is_sent(target: bytes) -> None:
    """The endpoint knows none, so that what one would mean is not known either."""
    assert isinstance(decided(ONE, b"POST", target).refusal, NotPermitted)


@pytest.mark.parametrize("scopes", [(b"123", b"124"), (b"123,124",), (b"", b"124", b"123")])
def test_two_profiles_are_no_choice(scopes: tuple[bytes, ...]) -> None:
    """Two Scopes are refused, as for every other request: none of them is the first."""
    with pytest.raises(ConflictingScope):
        find_named_account(fields(scopes=scopes), "")


def test_a_profile_may_be_named_twice() -> None:
    """A profile that is named twice is one choice."""
    assert find_named_account(fields(scopes=(b"123", b"", b"123")), "124") == FixedAccount(b"123")


def test_two_ads_accounts_are_no_choice() -> None:
    """The request is refused, as every other request with two is."""
    with pytest.raises(ConflictingAdsAccount):
        decided({"account_ids": (OWN, "77"), **ONE}, b"POST", b"/mcp", account(f"{OWN},77"), scope=b"123")


@pytest.mark.parametrize("method", [b"PUT", b"PATCH", b"HEAD", b"OPTIONS"])
def test_other_methods_are_not_mcps(method: bytes) -> None:
    """403."""
    assert isinstance(decided(ONE, method, b"/mcp").refusal, NotPermitted)


@pytest.mark.parametrize(
    ("limits", "lines", "scope", "route", "chosen"),
    [
        (ONE, (), b"", "", (b"123", b"")),
        (ONE_ID, (), b"", "", (b"", OWN.encode())),
        (SEVERAL, (), b"124", "", (b"124", b"")),
        (SEVERAL, (account(OWN),), b"", "", (b"", OWN.encode())),
        (SEVERAL, (account(OWN, "Amazon-Ads-Account-ID"),), b"", "", (b"", OWN.encode())),
        (SEVERAL, (), b"", "124", (b"124", b"")),
        (SEVERAL, (account(""),), b"", "124", (b"124", b"")),
        (SEVERAL, (), b"123", "124", (b"123", b"")),
        (SEVERAL, (account(OWN),), b"", "124", (b"", OWN.encode())),
    ],
)
def test_the_named_account_else_that_of_the_route_else_the_only_one(
    limits: dict[str, Any], lines: tuple[bytes, ...], scope: bytes, route: str, chosen: tuple[bytes, bytes]
) -> None:
    """Exactly one of profile and ads account."""
    assert fixed(limits, *lines, scope=scope, route=route) == chosen


@pytest.mark.parametrize(
    ("limits", "told"),
    [
        ({"profiles": ("123", "124")}, "send Amazon-Advertising-API-Scope: 123 or 124."),
        ({"account_ids": (OWN, "77")}, f"send Amazon-Ads-AccountID: 77 or {OWN}."),
        (SEVERAL, f"send Amazon-Advertising-API-Scope: 123 or 124; or Amazon-Ads-AccountID: {OWN}."),
        ({"profiles": tuple(map(str, range(100, 130)))}, "119 or another."),
    ],
)
def test_several_accounts_want_a_choice(limits: dict[str, Any], told: str) -> None:
    """The refusal says what to send."""
    with pytest.raises(NotPermitted) as caught:
        fixed(limits)
    assert told in caught.value.detail


SESSION = McpSession("agent", "acme", "na", FixedAccount(profile=b"124"))


def test_a_session_keeps_its_account() -> None:
    """Named again or not."""
    assert fixed(SEVERAL, session=SESSION) == (b"124", b"")
    assert fixed(SEVERAL, scope=b"124", session=SESSION) == (b"124", b"")
    assert fixed(SEVERAL, route="124", session=SESSION) == (b"124", b"")


@pytest.mark.parametrize(
    ("limits", "lines", "scope", "route", "session"),
    [
        (SEVERAL, (), b"123", "", SESSION),
        (SEVERAL, (), b"123", "124", SESSION),
        (SEVERAL, (), b"", "123", SESSION),
        (SEVERAL, (account(OWN),), b"", "", SESSION),
        (ONE, (), b"", "", SESSION),
        (ONE_ID, (), b"", "", SESSION),
        (SEVERAL, (), b"", "", McpSession("agent", "acme", "na")),
        (ONE, (), b"", "", McpSession("agent", "acme", "na", FixedAccount(ads_account=b"123"))),
    ],
)
def test_a_session_of_another_account_is_unknown(
    limits: dict[str, Any], lines: tuple[bytes, ...], scope: bytes, route: str, session: McpSession
) -> None:
    """The session's account differs from that of the request or its route, or is no longer the client's."""
    with pytest.raises(SessionElsewhere):
        fixed(limits, *lines, scope=scope, route=route, session=session)
