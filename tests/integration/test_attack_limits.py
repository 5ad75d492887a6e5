"""A limited client tries to reach what is not its own: by paths, names of accounts and spellings, and by asking."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import pytest

from tests.integration.attacking import (
    CLIENTS,
    FIRST,
    FOREIGN,
    OWN,
    SCOPE,
    SECOND,
    VENDOR,
    Asked,
    Attacker,
    key,
    request,
    values,
)
from tests.integration.rig import rig

pytestmark = pytest.mark.integration
LIST, REPORTS, STREAMS = "/sp/campaigns/list", "/reporting/reports", "/dsp/streams/subscriptions"
MINE, THEIRS = f"Amazon-Ads-AccountId: {OWN}", f"Amazon-Ads-AccountId: {FOREIGN}"


@pytest.fixture(scope="module")
def attacker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Attacker]:
    with rig(tmp_path_factory.mktemp("limits"), clients=CLIENTS) as running:
        yield Attacker(running)
        assert not [line for line in running.log.lines if "defect_met" in line]


@pytest.mark.parametrize(
    ("client", "method", "path", "lines"),
    [
        ("wide", "POST", LIST, (SCOPE, *VENDOR)),
        ("opened", "GET", "/v2/profiles", ()),
        ("opened", "POST", LIST, (SCOPE, *VENDOR)),
        ("accounted", "POST", REPORTS, (MINE,)),
        ("mixed", "POST", REPORTS, (MINE,)),
        ("mixed", "POST", LIST, (SCOPE, MINE, *VENDOR)),
        ("looker", "POST", LIST, (SCOPE, *VENDOR)),
        ("looker", "GET", "/v2/profiles", (THEIRS,)),
        ("reporter", "POST", REPORTS, (SCOPE,)),
    ],
)
def test_each_client_is_served_within_its_limits(
    attacker: Attacker, client: str, method: str, path: str, lines: tuple[str, ...]
) -> None:
    """The attacks below would prove nothing otherwise: the request reaches Amazon's side."""
    asked = attacker.ask(client, method, path, *lines, body=b"{}" if method == "POST" else b"")
    assert not asked.slug
    assert len(asked.seen) == 1
    assert MINE not in lines or values(asked.seen[0], "Amazon-Ads-AccountId") == [OWN]


def refused(asked: Asked, *statuses: int) -> None:
    """The proxy itself said no, and nothing reached Amazon."""
    assert asked.status in (statuses or (403,)), asked
    assert asked.slug and not asked.seen


@pytest.mark.parametrize(
    ("method", "path"),
    [
        *(("GET", path) for path in ("/v2/profiles", "/v2/profiles/1", "/managerAccounts", "/testAccounts", "/MCP")),
        *(("POST", path) for path in ("/adsAccounts/list", "/mcp/x", "/mcp?x", "/adsApi/v1/create/reports")),
        *(
            ("GET", path)
            for path in ("/amc/instances", "/amc/accounts", "/AMC/instances", "/accounts/E1/dsp/amazonAdTag")
        ),
        *(("GET", path) for path in ("/unheard/1", "/unheard/users", "/V2/profiles", "/adsApi/v1/unheard")),
        *(("GET", path) for path in ("/dsp/advertisers/1", "/")),
        *(("DELETE", path) for path in (LIST, "/v2/profiles", "/unheard")),
    ],
)
@pytest.mark.parametrize("client", ["wide", "opened", "mixed"])
def test_what_no_scope_governs_is_not_reached(attacker: Attacker, client: str, method: str, path: str) -> None:
    """Neither a pattern that names every path nor a permitted Scope opens it; only the one named path is open."""
    if (client, path) == ("opened", "/v2/profiles"):
        return  # named for every method; `methods` would narrow it
    refused(attacker.ask(client, method, path, SCOPE))


JSON = "Content-Type: application/json"
ORDER = {"accessRequestedAccounts": [{"advertiserAccountId": OWN}], "reports": []}


@pytest.mark.parametrize("client", ["accounted", "mixed"])
def test_an_order_for_reports_names_ones_own_accounts_alone(attacker: Attacker, client: str) -> None:
    """The body is read: the client's own account passes as it was written; a foreign one, next to it or hidden, never
    leaves."""
    path, own = "/adsApi/v1/create/reports", json.dumps(ORDER).encode()
    asked = attacker.ask(client, "POST", path, JSON, body=own)
    assert not asked.slug and len(asked.seen) == 1
    foreign = own.replace(OWN.encode(), FOREIGN.encode())
    both = own.replace(b"}]", b'}, {"advertiserAccountId": "%b"}]' % FOREIGN.encode())
    twice = own[:-1] + b", " + foreign[1:]
    for body in (foreign, both, twice, b"\xef\xbb\xbf" + own, own.decode().encode("utf-16"), gzip.compress(own), b""):
        refused(attacker.ask(client, "POST", path, JSON, body=body))
    refused(attacker.ask(client, "POST", path, body=own))
    refused(attacker.ask(client, "POST", path, JSON, "Content-Encoding: gzip", body=gzip.compress(own)))
    refused(attacker.ask(client, "POST", path, JSON, body=own + b" " * 300_000), 413)
    refused(attacker.ask("wide", "POST", path, JSON, SCOPE, body=own))


@pytest.mark.parametrize("client", ["wide", "opened"])
@pytest.mark.parametrize(
    "line",
    [
        *("Amazon-Ads-AccountId: x", "Amazon-Ads-Account-ID: x", "Amazon-Ads-Manager-AccountId: x", "AdvertiserId: x"),
        *("advertiser_id: x", "Amazon-Advertising-API-EntityId: x", "Amazon-Advertising-AccountId: x"),
        *("Amazon-Advertising-API-Manager-Account: x", "Amazon-Advertising-API-MarketplaceId: x"),
        *("Amazon-Marketing-Cloud-Audience-InstanceId: x", "X-New-AccountIds: x", f"Profile.Id: {SECOND}"),
        f"X-Profile-Id: {FIRST},{SECOND}",
    ],
)
def test_no_header_names_another_account(attacker: Attacker, client: str, line: str) -> None:
    """The headers are those of the specifications, similar ones and lists of them; with a permitted Scope, and on a
    named path."""
    refused(attacker.ask(client, "POST", LIST, SCOPE, line, *VENDOR, body=b"{}"))
    refused(attacker.ask(client, "GET", "/v2/profiles", line))


@pytest.mark.parametrize(
    "query",
    [
        *("advertiserId=1", "accountId=1", "ADVERTISERIDS=1", "a=b&profileId=2", "profileId=", "%61ccount%49d=1"),
        *("advertiserId=1&advertiserId=", "x;entityId=1", "filter%5Bprofile.id%5D=1", "%2561ccountId=1"),
        *("a=1%26accountId=1", f"profileId={FIRST},{SECOND}", f"profileId={FIRST}%2C{SECOND}", "marketplaceId=A"),
    ],
)
@pytest.mark.parametrize("client", ["profiled", "wide"])
def test_no_query_names_another_account(attacker: Attacker, client: str, query: str) -> None:
    """The parameters are known and similar ones, encoded once and twice, repeated, in lists; an empty value names no
    account."""
    asked = attacker.ask(client, "POST", f"{LIST}?{query}", SCOPE, *VENDOR, body=b"{}")
    if query == "profileId=":
        assert len(asked.seen) == 1
    else:
        refused(asked)


@pytest.mark.parametrize(
    "path",
    [
        *(
            "/v2/%2570rofiles",
            "/sp/campaigns/%2e%2e/x",
            "/sp//campaigns/list",
            "//sp/campaigns/list",
            "/sp/campaigns/list/",
        ),
        *("/sp/%20campaigns/list", "/sp/.campaigns/list", "/sp/campaigns;x/list", "/sp/campaigns%3bx/list"),
        *("/sp/campaigns/list%00", "/sp/campaigns/l%c3%acst", "/sp/campaigns/list%E2%80%8B", "/sp%5ccampaigns/list"),
        *(
            "/sp%2fcampaigns/list",
            "/sp/campaigns/list%3fx",
            "/sp/campaigns/list%23",
            "/sp/campaigns/list%",
            "/%25u002e",
        ),
        *("/sp/campaigns/list.", "/sp/campaigns/list%20", "/sp/campaigns/%252561", "/@acme//sp/campaigns/list"),
    ],
)
@pytest.mark.parametrize("client", ["profiled", "wide", "accounted", "looker"])
def test_a_path_has_one_reading_or_none(attacker: Attacker, client: str, path: str) -> None:
    """What a second decoder could read differently is 400."""
    lines = (MINE,) if client == "accounted" else (SCOPE,)
    asked = attacker.ask(client, "POST", path, *lines, *VENDOR, body=b"{}")
    refused(asked, 400)
    assert asked.slug == "unacceptable-path"


@pytest.mark.parametrize("path", ["/v2/%70rofiles", "/v2/profile", "/v2/profiles/1", "/V2/profiles", "/v2/profiles/"])
def test_a_named_path_opens_itself_alone(attacker: Attacker, path: str) -> None:
    """Letter by letter, and with no Scope but a permitted one."""
    refused(attacker.ask("opened", "GET", path), 400, 403)
    refused(attacker.ask("opened", "GET", "/v2/profiles", f"Amazon-Advertising-API-Scope: {SECOND}"))


@pytest.mark.parametrize(
    ("method", "path", "lines"),
    [
        ("POST", REPORTS, ()),
        ("POST", REPORTS, (THEIRS,)),
        ("POST", REPORTS, (MINE, THEIRS)),
        ("POST", REPORTS, (f"{MINE},{FOREIGN}",)),
        ("POST", REPORTS, (f"{MINE} {FOREIGN}",)),
        ("POST", REPORTS, (MINE, SCOPE)),
        ("POST", REPORTS, ("Amazon-Ads-AccountId:",)),
        ("POST", REPORTS, (MINE, "Connection: Amazon-Ads-AccountId")),
        ("POST", REPORTS, (f"Amazon_Ads_AccountId: {OWN}",)),
        ("POST", REPORTS, (f"Amazon-Ads-Account-ID: {OWN}",)),
        ("GET", STREAMS, (MINE,)),
        ("POST", LIST, (MINE,)),
        ("POST", LIST, (SCOPE,)),
        ("GET", "/v2/profiles", (MINE,)),
        ("POST", "/unheard", (MINE,)),
        ("GET", "/unheard", (THEIRS,)),
        ("GET", "/unheard", (MINE, MINE)),
        ("POST", "/mcp", (MINE, SCOPE)),
        ("GET", "/accounts/E1/dsp/amazonAdTag", (MINE,)),
        ("GET", "/amc/reporting/i/schedules", (MINE,)),
    ],
)
def test_a_client_of_some_account_ids_reaches_no_others(
    attacker: Attacker, method: str, path: str, lines: tuple[str, ...]
) -> None:
    """The request passes with one permitted account id, in the operation's spelling and unchanged, and without a
    Scope."""
    refused(attacker.ask("accounted", method, path, *lines))


@pytest.mark.parametrize(
    ("lines", "path"),
    [
        ((SCOPE, THEIRS), REPORTS),
        ((f"Amazon-Advertising-API-Scope: {SECOND}", MINE), REPORTS),
        ((f"Amazon-Advertising-API-Scope: {SECOND}",), LIST),
        ((SCOPE, "AdvertiserId: 1"), LIST),
    ],
)
def test_with_both_lists_each_that_is_sent_is_on_its_own(attacker: Attacker, lines: tuple[str, ...], path: str) -> None:
    """A permitted one of one kind takes no foreign one of the other along."""
    refused(attacker.ask("mixed", "POST", path, *lines, *VENDOR, body=b"{}"))


@pytest.mark.parametrize(
    ("method", "path", "lines"),
    [
        ("POST", "/sp/campaigns", ()),
        ("DELETE", LIST, ()),
        ("PUT", "/sp/campaigns", ()),
        ("OPTIONS", LIST, ()),
        ("POST", "/unheard", ()),
        ("POST", "/adsApi/v1/Query/unheardThings", ()),
        ("GET", "/unheard", ("X-HTTP-Method-Override: DELETE",)),
        ("POST", REPORTS, ()),
        ("PUT", "/mcp", ()),
        ("POST", "/mcp/x", ()),
        ("POST", "/amc/audiences/query", ()),
        ("POST", LIST, ("X-HTTP-Method-Override: DELETE",)),
        ("POST", LIST, ("X-Amz-Target: Service.DeleteCampaigns",)),
        ("POST", f"{LIST}?_method=DELETE", ()),
    ],
)
def test_a_reading_client_changes_nothing(attacker: Attacker, method: str, path: str, lines: tuple[str, ...]) -> None:
    """The refused requests do more than read, are unknown, or ask for another method; at MCP in its own words."""
    for client in ("looker",) if path == REPORTS else ("looker", "reporter"):
        asked = attacker.ask(client, method, path, SCOPE, *lines)
        if path == "/mcp" and asked.status == 400:
            assert json.loads(asked.body)["error"]["code"] and not asked.seen
        else:
            refused(asked)


@pytest.mark.parametrize(("method", "path"), [("GET", "/unheard"), ("POST", "/adsApi/v1/query/unheardThings")])
def test_a_reading_client_reads_what_nobody_has_heard_of(attacker: Attacker, method: str, path: str) -> None:
    """By its method, or by the scheme of the unified API, it changes nothing; Amazon answers whether it is there. What
    has a body may name another account in it."""
    for client in ("looker", "reporter"):
        asked = attacker.ask(client, method, path, SCOPE)
        assert not asked.slug and len(asked.seen) == 1
    asked = attacker.ask("accounted", method, path, MINE)
    assert len(asked.seen) == (method == "GET"), asked


CALL = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "campaign_management-update_campaign"}}


@pytest.mark.parametrize("client", ["looker", "reporter"])
@pytest.mark.parametrize("path", ["/mcp", "/mcp/lite", "/na/mcp"])
@pytest.mark.parametrize(
    ("content", "status"),
    [
        (CALL, 200),
        ([CALL], 200),
        ({**CALL, "params": {"name": "amazon_ads_mcp-invoke_tool", "arguments": {"name": "x-update_campaign"}}}, 200),
        ({**CALL, "params": {"name": "nobody_knows"}}, 200),
        ({name: value for name, value in CALL.items() if name != "id"}, 403),
        ({**CALL, "Method": "ping"}, 400),
        ("", 400),
    ],
)
def test_a_reading_client_changes_nothing_by_mcp(
    attacker: Attacker, client: str, path: str, content: Any, status: int
) -> None:
    """A forbidden call gets a tool's result that failed, an unclear one an error, and nothing reaches Amazon."""
    body = json.dumps(content).encode() if content else b""
    asked = attacker.ask(client, "POST", path, "Content-Type: application/json", body=body)
    assert (asked.status, asked.seen) == (status, [])
    said = json.loads(asked.body)
    answers = said if isinstance(said, list) else [said]
    assert [each.get("result", {}).get("isError", False) for each in answers] == [status == 200]
    assert ["error" in each for each in answers] == [status != 200]


# --- what is not the client's


@pytest.fixture(scope="module")
def neighbour(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Attacker]:
    """Clients next to an account and a route that are not theirs."""
    clients = [
        {**next(client for client in CLIENTS if client["name"] == name), **limits}
        for name, limits in (
            ("free", {"accounts": ["acme"]}),
            ("profiled", {}),
            ("accounted", {}),
        )
    ]
    folder = tmp_path_factory.mktemp("neighbour")
    routes = {"branda": {"account": "globex", "region": "eu", "profile": SECOND}, "brandb": {"account": "globex"}}
    with rig(folder, beside=("globex",), clients=clients, routes=routes) as running:
        yield Attacker(running)


NAMES = ("globex", "branda", "brandb", "nosuch")
"""An account, two routes, and nothing: all of one length, so that whole answers can be compared."""


def answer(asked: Asked, name: str) -> bytes:
    """All of an answer but the hour and the name that was asked for."""
    lines = [line for line in asked.head.split(b"\r\n") if not line.startswith(b"Date:")]
    return b"\n".join((*lines, asked.body)).replace(name.encode(), b"NAME")


@pytest.mark.parametrize(
    ("target", "lines"),
    [
        ("/@NAME/v2/profiles", ()),
        ("/%40NAME/v2/profiles", ()),
        ("/@NAME/fe/v2/profiles", ()),
        ("/@NAME/sp/campaigns/list", ()),
        ("/@NAME/mcp", ()),
        ("/@NAME/auth/x", ()),
        ("/@NAME/../x", ()),
        ("/@NAME/v2/profiles", ("X-Ads-Account: acme", "X-Ads-Region: xx")),
        ("/v2/profiles", ("X-Ads-Account: NAME",)),
        ("/@acme/v2/profiles", ("X-Ads-Account: NAME",)),
        ("/@NAME/v2/profiles", (SCOPE,)),
    ],
)
def test_a_name_that_is_not_the_clients_is_answered_as_one_that_is_not_there(
    neighbour: Attacker, target: str, lines: tuple[str, ...]
) -> None:
    """Account, route and nothing at all, byte for byte but for the name."""
    answers = set()
    for name in NAMES:
        sent = [line.replace("NAME", name) for line in lines]
        asked = neighbour.ask("free", "GET", target.replace("NAME", name), "X-Request-Id: one", *sent)
        assert (asked.slug != "", asked.seen) == (True, [])
        answers.add(answer(asked, name))
    assert len(answers) == 1
    assert b"globex" not in answers.pop().replace(b"acme", b"")


@pytest.mark.parametrize("client", ["profiled", "accounted"])
def test_a_route_to_another_profile_is_answered_as_one_that_is_not_there(neighbour: Attacker, client: str) -> None:
    """A client of some profiles or account ids learns of no route to others."""
    answers = set()
    for name in ("branda", "nosuch"):
        lines = ("X-Request-Id: one", *((MINE,) if client == "accounted" else (SCOPE,)))
        asked = neighbour.ask(client, "POST", f"/@{name}{REPORTS}", *lines)
        refused(asked)
        answers.add(answer(asked, name))
    assert len(answers) == 1


@pytest.mark.parametrize(
    ("target", "granted"),
    [("/auth/o2/token", "NAME"), ("/@NAME/auth/o2/token", "acme"), ("/@NAME/eu/auth/o2/token", "x")],
)
def test_the_token_endpoint_tells_no_names_either(neighbour: Attacker, target: str, granted: str) -> None:
    """One OAuth error for an account, a route and nothing."""
    answers = set()
    for name in NAMES:
        form = f"grant_type=refresh_token&refresh_token={granted}&client_id=free&client_secret={quote(key('free'))}"
        lines = ("Content-Type: application/x-www-form-urlencoded", "X-Request-Id: one")
        body = form.replace("NAME", name).encode()
        asked = neighbour.send(request("POST", target.replace("NAME", name), *lines, body=body))
        assert json.loads(asked.body)["error"] in ("invalid_grant", "invalid_request")
        answers.add(answer(asked, name))
    assert len(answers) == 1


@pytest.mark.parametrize(
    ("client", "line", "names"),
    [
        ("profiled", "Amazon-Advertising-API-Scope: NAME", (SECOND, "1110000000000003", "9990000000000009")),
        ("accounted", "Amazon-Advertising-API-Scope: NAME", (FIRST, SECOND, "9990000000000009")),
        ("accounted", "Amazon-Ads-AccountId: NAME", ("amzn1.a", "amzn1.b")),
    ],
)
def test_a_profile_that_is_not_the_clients_is_answered_as_one_that_is_not_there(
    neighbour: Attacker, client: str, line: str, names: tuple[str, ...]
) -> None:
    """The response reveals nothing that routing knows of the profile, whichever account lists it."""
    answers = set()
    for name in names:
        asked = neighbour.ask(client, "POST", REPORTS, "X-Request-Id: one", line.replace("NAME", name))
        refused(asked)
        answers.add(answer(asked, name))
    assert len(answers) == 1
