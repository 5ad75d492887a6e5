"""A client with a key tries to get further than its configuration lets it; Amazon's side is asked what it saw."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Iterator
from urllib.parse import quote

import pytest

from tests.integration.attacking import CLIENTS, FIRST, SCOPE, SECOND, VENDOR, Attacker, exchange, key, request, values
from tests.integration.rig import rig
from tests.support.processes import fetch, until

pytestmark = pytest.mark.integration
LIST = "/sp/campaigns/list"


@pytest.fixture(scope="module")
def attacker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Attacker]:
    with rig(tmp_path_factory.mktemp("attack"), clients=CLIENTS) as running:
        yield Attacker(running)
        assert not [line for line in running.log.lines if "defect_met" in line]


def test_the_limited_client_is_served_within_its_limits(attacker: Attacker) -> None:
    """The attacks below would prove nothing otherwise."""
    asked = attacker.ask("profiled", "POST", LIST, SCOPE, *VENDOR, body=b"{}")
    assert asked.status == 200
    assert values(asked.seen[0], "Amazon-Advertising-API-Scope") == [FIRST]
    assert attacker.ask("reader", "GET", "/reporting/reports").seen


@pytest.mark.parametrize(
    "lines",
    [
        (f"Amazon-Advertising-API-Scope: {SECOND}",),
        (SCOPE, f"Amazon-Advertising-API-Scope: {SECOND}"),
        (f"{SCOPE},{SECOND}",),
        (f"{SCOPE} {SECOND}",),
        (SCOPE, "Amazon-Ads-AccountId: x"),
        (SCOPE, "amazon_ads_accountid: x"),
        (SCOPE, "Amazon-Ads-Manager-Account-ID: x", "Connection: Amazon-Ads-Manager-Account-ID"),
        (SCOPE, "Amazon_Advertising-API_EntityId: x"),
        (SCOPE, "X-HTTP-Method-Override: GET"),
        (SCOPE, "X_Original_URL: /v2/profiles"),
    ],
)
def test_no_header_leads_to_another_profile(attacker: Attacker, lines: tuple[str, ...]) -> None:
    """A second Scope, a list, other account headers in any spelling, headers that stand for the request line."""
    asked = attacker.ask("profiled", "POST", LIST, *lines, *VENDOR, body=b"{}")
    assert asked.status in (400, 403)
    assert not asked.seen


@pytest.mark.parametrize(
    "lines",
    [
        (SCOPE, f"Amazon_Advertising_API_Scope: {SECOND}"),
        (f"AMAZON_ADVERTISING_API_SCOPE: {SECOND}",),
        (SCOPE, "Connection: Amazon-Advertising-API-Scope, Authorization, Host"),
        (SCOPE, "Authorization_: x", "Amazon_Ads_ClientId: x"),
    ],
)
def test_odd_spellings_of_injected_headers_are_dropped(attacker: Attacker, lines: tuple[str, ...]) -> None:
    """What arrives is the one permitted profile, the one token and the one client id."""
    asked = attacker.ask("profiled", "POST", LIST, *lines, *VENDOR, body=b"{}")
    names = [name.lower().replace("_", "-") for name, _ in asked.seen[0]["headers"]]
    assert asked.status == 200
    assert values(asked.seen[0], "Amazon-Advertising-API-Scope") == [FIRST]
    assert [names.count(name) for name in ("authorization", "amazon-ads-clientid", "host")] == [1, 1, 1]
    assert SECOND not in json.dumps(asked.seen[0]["headers"])


@pytest.mark.parametrize(
    "path",
    [
        *("/v2/profiles", "/v2/profiles/", "/V2/Profiles", "//v2/profiles", "/v2/%70rofiles", "/v2/profiles;x=1"),
        *(
            "/v2/profiles.json",
            "/v2/profiles%20",
            "/v2/profiles%3f",
            "/v2/profiles%23",
            "/v4/profiles",
            "/v2/x/../profiles",
        ),
        *(
            "/v2/./profiles",
            "/v2%2fprofiles",
            "/v2/profiles%00",
            "/v2\\profiles",
            "/eu/v2/profiles",
            "/@acme/v2/profiles",
        ),
        *("/MCP", "/mcp/", "/mcp/x", "/mcp%2flite", "/", "/accounts/1/dsp/x", "/Accounts/1/dsp/x", "/managerAccounts."),
    ],
)
def test_no_path_leads_around_the_list_of_profiles(attacker: Attacker, path: str) -> None:
    """Operations that take no Scope stay shut in every spelling."""
    asked = attacker.ask("profiled", "GET", path, SCOPE)
    assert asked.status in (400, 403)
    assert not asked.seen


@pytest.mark.parametrize(
    "path",
    [
        *("/auth/o2/x", "/AUTH/x", "/auth%2fo2", "/%61uth/x", "/./auth/x", "/x/../auth", "/auth;x/y", "/auth%00/x"),
        *("/auth%3f", "/ap/oa", "/ap.", "//auth/x", "/@acme/auth/x", "/\\auth", "/%2e%2e/ap/oa", "/%252561uth/x"),
    ],
)
def test_sign_in_paths_are_never_forwarded(attacker: Attacker, path: str) -> None:
    """Even a client without limits gets a refusal."""
    asked = attacker.ask("free", "GET", path)
    assert asked.slug == "never-forwarded"
    assert not asked.seen


@pytest.mark.parametrize(
    "path",
    [
        *("/reporting/../v2/profiles", "/reporting/%2e%2e/v2/profiles", "/reporting/..;/v2", "/reporting/..%3b/v2"),
        *("/reporting/%c0%ae%c0%ae/x", "/reporting/%u002e", "/reporting/..%5cx", "/reporting/%252e%252e/x"),
        *("/v2/profiles?/reporting/x", "/v2/profiles%3f/reporting/", "/Reporting/x", "//reporting/x", "/v2/profiles"),
    ],
)
def test_no_path_leads_around_paths(attacker: Attacker, path: str) -> None:
    """Dot segments, codes, queries and case."""
    asked = attacker.ask("reader", "GET", path)
    assert asked.status in (400, 403)
    assert not asked.seen


@pytest.mark.parametrize(
    ("method", "lines", "status"),
    [
        ("POST", (), 403),
        ("get", (), 501),
        ("HEAD", (), 403),
        ("GET", ("X-HTTP-Method-Override: DELETE",), 403),
        ("GET", ("X-Method_Override: DELETE",), 403),
        ("TRACE", (), 405),
        ("CONNECT", (), 405),
    ],
)
def test_no_method_leads_around_methods(attacker: Attacker, method: str, lines: tuple[str, ...], status: int) -> None:
    """Case, HEAD, override headers."""
    asked = attacker.ask("reader", method, "/reporting/reports", *lines)
    assert asked.status == status
    assert not asked.seen


def test_trailers_carry_nothing_that_a_header_may_not(attacker: Attacker) -> None:
    """Scope, Authorization and account names behind a chunked body are dropped, a checksum passes."""
    smuggled = f"{SCOPE}\r\nAuthorization: x\r\namazon_ads_accountid: {SECOND}\r\nX-Original-URL: /\r\n"
    smuggled += f"AdvertiserId: {SECOND}\r\nX_Advertiser-Ids: {SECOND}\r\n"
    data = request("POST", LIST, f"X-Ads-Proxy-Key: {key('profiled')}", SCOPE, *VENDOR, "Transfer-Encoding: chunked")
    asked = attacker.send(data + b"2\r\n{}\r\n0\r\n" + smuggled.encode() + b"X-Sum: 1\r\n\r\n")
    assert asked.status == 200
    assert SECOND not in json.dumps(asked.seen)
    assert "x-original-url" not in json.dumps(asked.seen).lower()


@pytest.mark.parametrize(
    ("target", "host", "status"),
    [
        ("http://evil.test/v2/profiles", "evil.test", 421),
        ("http://169.254.169.254/latest/meta-data", "169.254.169.254", 421),
        ("http://advertising-api.amazon.com/v2/profiles", "127.0.0.1", 400),
        ("http://x@advertising-api.amazon.com/v2/profiles", "advertising-api.amazon.com", 400),
        ("https://advertising-api.amazon.com/v2/profiles", "advertising-api.amazon.com", 400),
        ("/v2/profiles", "\xff", 400),
        ("/na/v2/reports/1", 'a b"c', 400),
        ("*", "127.0.0.1", 405),
    ],
)
def test_a_key_makes_no_general_proxy(attacker: Attacker, target: str, host: str, status: int) -> None:
    """Absolute targets elsewhere, two hosts in one request, and what is no host at all."""
    asked = attacker.ask("free", "GET", target, host=host)
    assert asked.status == status
    assert not asked.seen


@pytest.mark.parametrize(
    "lines", [("Upgrade: h2c", "HTTP2-Settings: AAA"), ("Upgrade: websocket", "Sec-WebSocket-Key: x")]
)
def test_upgrades_are_not_passed_on(attacker: Attacker, lines: tuple[str, ...]) -> None:
    """The request is an ordinary one at Amazon's side."""
    asked = attacker.ask("free", "GET", "/v2/profiles", "Connection: Upgrade, HTTP2-Settings", *lines)
    assert asked.status == 200
    assert not values(asked.seen[0], "Upgrade") + values(asked.seen[0], "HTTP2-Settings")


def test_a_budget_is_one_budget_however_the_key_is_shown(attacker: Attacker) -> None:
    """Three ways to show a key and a placeholder spend the same five requests, and those that come back with time."""
    form = f"grant_type=refresh_token&refresh_token=acme&client_id=budgeted&client_secret={key('budgeted')}".encode()
    kind = {"Content-Type": "application/x-www-form-urlencoded"}
    token = json.loads(fetch(f"{attacker.running.proxy_url}/auth/o2/token", form, kind)[1])["access_token"]
    ways = (
        f"Authorization: Bearer {key('budgeted')}",
        f"Authorization: {key('budgeted')}",
        f"X-Ads-Proxy-Key: {key('budgeted')}",
        f"Authorization: Bearer {token}",
    )
    statuses: list[int] = []
    began = time.monotonic()
    while 429 not in statuses and len(statuses) < 20:
        statuses.append(attacker.send(request("GET", "/v2/profiles", ways[len(statuses) % 4])).status)
    regained = (time.monotonic() - began) * 5 / 60
    assert statuses[:5] == [200] * 5
    assert statuses.count(200) <= 5 + regained


def test_placeholders_cannot_be_forged_or_lent(attacker: Attacker) -> None:
    """Another holder, another lifetime, no signature or another key with it: each gets 401."""
    form = f"grant_type=refresh_token&refresh_token=acme&client_id=profiled&client_secret={key('profiled')}".encode()
    kind = {"Content-Type": "application/x-www-form-urlencoded"}
    token = json.loads(fetch(f"{attacker.running.proxy_url}/auth/o2/token", form, kind)[1])["access_token"]
    signature = token.rpartition(".")[2]
    other = base64.urlsafe_b64encode(json.dumps(["free", "acme", 2**40]).encode()).decode().rstrip("=")
    forgeries = [token[:-1], f"{token}=", f"Atza|ap1.{other}.{signature}", f"Atza|ap1.{other}.", f"Atza|ap1.{other}"]
    for forgery in (*forgeries, token.replace("Atza", "Atzr"), token.replace("ap1", "ap2"), token.lower()):
        asked = attacker.send(request("GET", LIST, f"Authorization: Bearer {forgery}"))
        assert (asked.status, asked.seen) == (401, [])
    asked = attacker.ask("free", "GET", LIST, f"Authorization: Bearer {token}")
    assert (asked.status, asked.seen) == (401, [])


@pytest.mark.parametrize(
    ("form", "error"),
    [
        ("grant_type=refresh_token&refresh_token=acme&client_id=free&client_secret=wrong", "invalid_client"),
        ("grant_type=refresh_token&refresh_token=acme&client_id=free&client_secret=", "invalid_client"),
        ("grant_type=refresh_token&refresh_token=acme&client_id=profiled&client_secret=KEY", "invalid_client"),
        ("grant_type=refresh_token&refresh_token=x&client_id=free&client_secret=KEY", "invalid_grant"),
        (
            "grant_type=refresh_token&refresh_token=a&refresh_token=acme&client_id=free&client_secret=KEY",
            "invalid_request",
        ),
        ("grant_type=client_credentials&client_id=free&client_secret=wrong", "invalid_client"),
        ("grant_type=client_credentials&client_id=profiled&client_secret=KEY", "invalid_client"),
    ],
)
def test_the_local_token_endpoint_gives_nothing_to_strangers(attacker: Attacker, form: str, error: str) -> None:
    """Wrong keys, other clients' keys, names that are none."""
    body = form.replace("KEY", quote(key("free"))).encode()
    kind = {"Content-Type": "application/x-www-form-urlencoded"}
    _, answer = fetch(f"{attacker.running.proxy_url}/auth/o2/token", body, kind)
    assert json.loads(answer)["error"] == error


def test_a_key_in_the_address_is_no_key(attacker: Attacker) -> None:
    """Addresses end in logs and histories."""
    asked = attacker.send(request("GET", f"/v2/profiles?X-Ads-Proxy-Key={key('free')}&access_token={key('free')}"))
    assert (asked.status, asked.seen) == (401, [])


def test_strangers_make_no_new_metrics(attacker: Attacker) -> None:
    """No label takes what a request says: five hundred odd requests leave as many series as the first."""
    odd = [
        request(f"M{number}", f"/p{number}", f"X-Ads-Account: a{number}", f"X-Request-Id: r{number}")
        for number in range(250)
    ]
    odd += [
        request("GET", f"/@n{number}/p", f"X-Ads-Proxy-Key: {key('free')}", host=f"h{number}") for number in range(250)
    ]
    found = []
    for some in (odd[::250], odd):
        wanted = requests_counted(attacker) + len(some)
        for data in some:
            exchange(attacker.running.proxy_url, data)
        until_counted(attacker, wanted)
        found.append(series(attacker).keys())
    assert found[0] == found[1]


def series(attacker: Attacker) -> dict[str, float]:
    """What the metrics say now."""
    text = attacker.running.admin_get("/metrics")[1].decode()
    pairs = (line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))
    return {name: float(value) for name, value in pairs}


def requests_counted(attacker: Attacker) -> float:
    """How many requests of clients the metrics have: each is counted once its answer is out."""
    return sum(value for name, value in series(attacker).items() if name.startswith("ads_proxy_requests_total"))


def until_counted(attacker: Attacker, wanted: float) -> None:
    until(lambda: requests_counted(attacker) == wanted)
