"""Where a request of an MCP session goes: where the session began, or nowhere."""

from __future__ import annotations

from typing import Any

import pytest

from proxy.app.rules import make_routing_table
from proxy.errors import AccountRequired, ConflictingAdsAccount, MalformedRequest, NotPermitted, SessionElsewhere
from proxy.mcp.sessions import sent_session_id
from proxy.routing.mcp_session import FixedAccount, McpSession, stated_account
from proxy.routing.route import Route, route
from proxy.routing.table import ClientScope
from tests.support.deciding import Listed, config, fields, request, summary

DIRECTORY = Listed(
    owners={
        "11": (("acme", "eu"),),
        "22": (("zeta", "eu"),),
        "33": (("acme", "na"), ("acme", "eu"), ("zeta", "eu")),
    },
    ads_accounts={
        "amzn1.a": (("acme", "eu"), ("acme", "fe")),
        "amzn1.z": (("zeta", "eu"),),
        "m-acme": (("acme", "eu"),),
        "m-zeta": (("zeta", "eu"),),
    },
)
TABLE = make_routing_table(
    config(
        {"acme": {"region": "na"}, "zeta": {"region": "eu"}},
        routes={"brand-eu": {"account": "acme", "region": "eu"}, "brand": {"account": "acme"}},
    ),
    DIRECTORY,
)
SESSION = McpSession("agent", "acme", "eu")


def led(target: bytes, session: McpSession | None = SESSION, bound: str = "", **sent: Any) -> Route:
    """Where a message goes that belongs to this session."""
    asked = summary(request(b"POST", target, fields(**sent)), TABLE.operations)
    return route(asked, TABLE, ClientScope(bound), session)


@pytest.mark.parametrize(
    ("target", "sent"),
    [
        (b"/mcp", {}),
        (b"/mcp/lite", {}),
        (b"/eu/mcp", {}),
        (b"/@acme/mcp", {}),
        (b"/@acme/eu/mcp", {}),
        (b"/@brand-eu/mcp", {}),
        (b"/@brand/mcp", {}),
        (b"/mcp", {"account": "acme"}),
        (b"/mcp", {"region": "eu"}),
        (b"/mcp", {"scopes": (b"11",)}),
        (b"/mcp", {"scopes": (b"33",)}),
        (b"/mcp", {"scopes": (b"unknown",)}),
        (b"/mcp", {"lines": (b"Amazon-Ads-AccountID: amzn1.a",)}),
        (b"/mcp", {"bound": "acme"}),
    ],
)
def test_a_session_stays_where_it_began(target: bytes, sent: dict[str, Any]) -> None:
    """What the request leaves open is the session's, before the lists of Amazon and the account's home decide it."""
    found = led(target, **sent)
    assert (found.account, found.region) == ("acme", "eu")


@pytest.mark.parametrize(
    ("target", "sent"),
    [
        (b"/na/mcp", {}),
        (b"/@zeta/mcp", {}),
        (b"/@acme/fe/mcp", {}),
        (b"/mcp", {"account": "zeta"}),
        (b"/mcp", {"region": "na"}),
        (b"/mcp", {"bound": "zeta"}),
        (b"/mcp", {"scopes": (b"22",)}),
        (b"/mcp", {"lines": (b"Amazon-Ads-AccountID: amzn1.z",)}),
        (b"/mcp", {"host": "advertising-api-fe.amazon.com"}),
    ],
)
def test_a_session_is_sent_nowhere_else(target: bytes, sent: dict[str, Any]) -> None:
    """Whatever would lead it to another account or region is 404, upon which clients begin a new session."""
    with pytest.raises(SessionElsewhere, match="begin a new session") as refused:
        led(target, **sent)
    assert refused.value.status == 404


def test_a_session_of_an_account_that_is_gone_is_over() -> None:
    """Requests of the session go to no other account instead."""
    with pytest.raises(SessionElsewhere):
        led(b"/mcp", McpSession("agent", "gone", "na"))


@pytest.mark.parametrize(
    ("lines", "account"),
    [
        ((b"Amazon-Ads-Manager-AccountID: m-zeta",), "zeta"),
        ((b"Amazon-Ads-Manager-Account-ID: m-acme",), "acme"),
        ((b"Amazon-Ads-Manager-AccountID: m-acme", b"Amazon-Ads-AccountID: amzn1.z"), "zeta"),
        ((b"Amazon-Ads-Manager-AccountID: m-acme", b"Amazon-Advertising-API-Scope: 11"), "acme"),
    ],
)
def test_a_manager_leads_to_an_account_at_the_mcp_endpoint(lines: tuple[bytes, ...], account: str) -> None:
    """The manager chooses as a Scope and an ads account do in FIXED mode; the more exact value decides."""
    assert led(b"/mcp", None, lines=lines).account == account


def test_a_manager_that_contradicts_the_scope_is_refused() -> None:
    """Both must lead to one account; a manager at other paths leads nowhere, and neither do two of them."""
    with pytest.raises(ConflictingAdsAccount):
        led(b"/mcp", None, scopes=(b"22",), lines=(b"Amazon-Ads-Manager-AccountID: m-acme",))
    for target, lines in (
        (b"/adsApi/v1/query/campaigns", (b"Amazon-Ads-Manager-AccountID: m-acme",)),
        (b"/mcp", (b"Amazon-Ads-Manager-AccountID: m-acme", b"Amazon-Ads-Manager-AccountID: m-zeta")),
        (b"/mcp", (b"Amazon-Ads-Manager-AccountID:",)),
    ):
        with pytest.raises(AccountRequired):
            led(target, None, lines=lines)


@pytest.mark.parametrize(
    ("lines", "found"),
    [
        ((), b""),
        ((b"Mcp-Session-Id: s1",), b"s1"),
        ((b"mcp_session_id: s1",), b"s1"),
        ((b"Mcp-Session-Id: s1", b"MCP-Session-ID: s1"), b"s1"),
    ],
)
def test_the_session_of_a_request_is_in_its_header(lines: tuple[bytes, ...], found: bytes) -> None:
    """In any spelling."""
    assert sent_session_id(fields(*lines)) == found


def test_two_sessions_in_one_request_are_refused() -> None:
    """Servers may differ in which session they take."""
    with pytest.raises(MalformedRequest, match="more than once"):
        sent_session_id(fields(b"Mcp-Session-Id: s1", b"Mcp_Session_Id: s2"))


@pytest.mark.parametrize("sent", [(), (b"Mcp-Session-Id: ",)])
@pytest.mark.parametrize("event", [b"Last-Event-ID: 7", b"last_event_id: 7", b"Last-Event-ID:"])
def test_no_stream_is_resumed_without_a_session(event: bytes, sent: tuple[bytes, ...]) -> None:
    """An event's id alone could be that of anybody's stream."""
    with pytest.raises(NotPermitted) as caught:
        sent_session_id(fields(event, *sent))
    assert "send Last-Event-ID with its Mcp-Session-Id" in caught.value.detail
    assert sent_session_id(fields(event, b"Mcp-Session-Id: x")) == b"x"


MODE = b"Amazon-Ads-AI-Account-Selection-Mode: "


@pytest.mark.parametrize(
    ("lines", "profile", "ads_account", "stated"),
    [
        ((MODE + b"FIXED",), b"1", b"", FixedAccount(b"1")),
        ((MODE + b"fixed",), b"", b"a", FixedAccount(b"", b"a")),
        ((MODE + b"FIXED",), b"1", b"a", None),
        ((MODE + b"FIXED",), b"", b"", None),
        ((MODE + b"DYNAMIC",), b"1", b"", None),
        ((), b"1", b"", None),
        ((MODE + b"FIXED", MODE + b"DYNAMIC"), b"1", b"", None),
        ((MODE + b"FIXED", b"Amazon-Ads-Manager-AccountID: m"), b"1", b"", None),
    ],
)
def test_a_client_states_one_advertiser_in_fixed_mode_alone(
    lines: tuple[bytes, ...], profile: bytes, ads_account: bytes, stated: FixedAccount | None
) -> None:
    """In every other mode, and with several names, tools may work for another one."""
    assert stated_account(fields(*lines), profile, ads_account) == stated
