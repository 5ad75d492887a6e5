"""Health, metrics and status as a machine meets them, and the guards in front of everything."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from html import escape
from typing import cast

import pytest
from aiohttp import web

from proxy import errors
from proxy.access.client_keys import ClientKey, KnownKey
from proxy.admin.guard import KeyChecker
from proxy.admin.listener import AdminListener, ConnectionLimiter, may_be_check, readable_without_host
from proxy.admin.status import account_status
from proxy.admin.view import AccessRules
from proxy.events import DefectMet
from proxy.profiles.index import ListingFailure
from tests.admin.fixtures import FAILURE, KEY, FakeProgram, administer, credential
from tests.support.patience import PATIENCE, settled

KEYED = AccessRules(KEY, True, "127.0.0.1")
HEALTH = ("/livez", "/healthz", "/liveness", "/readyz", "/readiness", "/startup")


@pytest.mark.parametrize(
    ("started", "ready", "draining", "expected"),
    [
        (True, True, False, (200, 200, 200)),
        (False, False, False, (200, 503, 503)),
        (True, False, False, (200, 503, 200)),
        (True, True, True, (200, 503, 200)),
    ],
)
async def test_health_tells_what_orchestrators_ask(
    started: bool, ready: bool, draining: bool, expected: tuple[int, int, int]
) -> None:
    """Alive while the loop answers, ready once an account served and not while draining, started with its listeners."""
    program = FakeProgram(is_started=started, is_ready=ready, is_draining=draining)
    async with administer(program) as admin:
        live = {await admin.status(path) for path in ("/livez", "/healthz", "/liveness")}
        usable = {await admin.status(path) for path in ("/readyz", "/readiness")}
        assert (live, usable, await admin.status("/startup")) == ({expected[0]}, {expected[1]}, expected[2])


@pytest.mark.parametrize(
    ("draining", "served", "why"),
    [
        (True, False, "draining\n"),
        (False, False, "no account has been able to serve yet\n"),
        (False, True, "the first lists of profiles are not read yet\n"),
    ],
)
async def test_who_is_not_ready_says_why(draining: bool, served: bool, why: str) -> None:
    """In words for the operator."""
    program = FakeProgram(is_ready=False, is_draining=draining, was_serving=served)
    async with administer(program) as admin, admin.ask("/readyz") as answer:
        assert (answer.status, await answer.text()) == (503, why)


async def test_metrics_are_served_in_both_formats() -> None:
    """A scrape gets text, or OpenMetrics where it asks."""
    async with administer(FakeProgram()) as admin:
        async with admin.ask("/metrics") as answer:
            assert answer.headers["Content-Type"].startswith("text/plain; version=0.0.4")
            assert "ads_proxy_build_info{" in await answer.text()
        async with admin.ask("/metrics", headers={"Accept": "application/openmetrics-text; version=1.0.0"}) as answer:
            assert answer.headers["Content-Type"].startswith("application/openmetrics-text; version=1.0.0")


async def test_status_says_which_keys_end_when_and_which_are_used() -> None:
    """The status names a key by the beginning of its digest, and marks one without an expiry or without a use."""
    program = FakeProgram(
        keys=(
            KnownKey("reporting", ClientKey("abcdefabcdef", 1_700_000_000.0, "old pod"), 1_699_999_999.0),
            KnownKey("reporting", ClientKey("012345012345"), None),
        )
    )
    async with administer(program) as admin, admin.ask("/status") as answer:
        old, new = json.loads(await answer.text())["client_keys"]
    assert old == {
        "client": "reporting",
        "id": "abcdefabcdef",
        "note": "old pod",
        "ends_at": "2023-11-14T22:13:20Z",
        "ended": True,
        "last_used": "2023-11-14T22:13:19Z",
    }
    assert (new["ends_at"], new["ended"], new["last_used"]) == (None, False, None)


async def test_status_says_how_each_account_is() -> None:
    """`/status` holds state, words, times and advice of each account, profiles, and configuration problems."""
    program = FakeProgram(
        statuses=(
            credential("acme", "degraded", last_failure=FAILURE, advice="Check the network."),
            credential("new", "pending", has_refresh_token=False, expires_at=None, last_success=None),
        ),
        problems=("accounts.acme.region: is not one of na, eu, fe",),
        unlisted=(ListingFailure("acme", "fe", "Amazon refuses (403)", 1_700_000_000.0),),
    )
    async with administer(program) as admin, admin.ask("/status") as answer:
        status = json.loads(await answer.text())
    acme, new = status["accounts"]
    assert (acme["state"], acme["serving"], acme["title"]) == ("degraded", True, "Working, renewal failing")
    assert acme["last_failure"]["at"] == "2023-11-14T22:13:20Z"
    assert acme["expires_in"] == pytest.approx(1800, abs=5)
    assert acme["profiles"] == {"na": 1, "eu": 1}
    assert (new["title"], new["expires_at"], new["serving"]) == ("Not connected", None, False)
    assert [profile["id"] for profile in status["profiles"]] == ["111", "222"]
    assert (acme["ads_accounts"], new["ads_accounts"]) == ({"na": 1, "eu": 1}, {})
    (ads_account,) = status["ads_accounts"]
    assert (ads_account["id"], ads_account["account"], ads_account["regions"]) == ("amzn1.a", "acme", ["eu", "na"])
    assert acme["listing_failures"] == [
        {"region": "fe", "detail": "Amazon refuses (403)", "at": "2023-11-14T22:13:20Z"}
    ]
    assert new["listing_failures"] == []
    assert status["config"]["problems"] == list(program.problems)
    assert status["version"] == "1.2.3"


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"state": "pending", "has_refresh_token": False, "advice": "Sign in: x"}, "Press Connect, run"),
        ({"state": "revoked", "advice": "Sign in again."}, "Press Reconnect and sign in"),
        ({"state": "degraded", "advice": "Check the network."}, "Check the network."),
        ({"state": "valid"}, ""),
    ],
)
async def test_the_console_advises_by_its_buttons(changes: dict[str, object], said: str) -> None:
    """Who has the page before them is told what to press; `/status` says it for those who have not."""
    program = FakeProgram(statuses=(credential("acme", **changes),))  # type: ignore[arg-type]  # each of its own type
    async with administer(program) as admin:
        async with admin.ask("/console/state") as answer:
            assert json.loads(await answer.text())["accounts"][0]["advice"].startswith(said)
        async with admin.ask("/status") as answer:
            assert json.loads(await answer.text())["accounts"][0]["advice"] == changes.get("advice", "")


@pytest.mark.parametrize(("left", "serving"), [(60.0, True), (-1.0, False)])
def test_a_revoked_account_serves_until_its_token_ends(left: float, serving: bool) -> None:
    """The state says what is wrong, and whether requests are still served is told apart from it."""
    told = account_status(credential("acme", "revoked", expires_at=1000.0 + left), None, {}, 1000.0)
    assert told["serving"] is serving
    assert ("served until the present token expires" in told["explanation"]) is serving


def test_an_account_whose_token_amazon_refuses_does_not_serve() -> None:
    """Whether the access token has expired or not."""
    told = account_status(credential("acme", "revoked", expires_at=1060.0, refused=True), None, {}, 1000.0)
    assert not told["serving"]
    assert "requests get 503" in told["explanation"]


async def test_unknown_pages_and_methods_are_problem_documents() -> None:
    """404 and 405 speak RFC 9457, and 405 names what is allowed."""
    async with administer(FakeProgram()) as admin:
        async with admin.ask("/nothing") as answer:
            assert (answer.status, answer.content_type) == (404, "application/problem+json")
            assert json.loads(await answer.text())["type"].endswith("no-such-page")
        async with admin.ask("/livez", "POST") as answer:
            assert (answer.status, answer.headers["Allow"]) == (405, "GET, HEAD")
        assert await admin.status("/console/static/..%2fview.py") == 404
        assert await admin.status("/console/static/console.css") == 200


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("127.0.0.1:8081", 200),
        ("localhost", 200),
        ("LOCALHOST.:99", 200),
        ("[::1]:8081", 200),
        ("10.1.2.3", 200),
        ("admin.corp", 200),
        ("Admin.Corp:80", 200),
        ("evil.example", 421),
        ("127.0.0.1.evil.example", 421),
        ("localhost.evil.example", 421),
        ("", 421),
        ("localhost:port", 421),
        ("a@localhost", 421),
    ],
)
async def test_only_hosts_of_ours_are_answered(host: str, status: int) -> None:
    """A rebinding name gets 421; addresses, localhost and allowed names pass."""
    program = FakeProgram(rules=AccessRules(None, True, "127.0.0.1", ("admin.corp",)))
    async with administer(program) as admin:
        assert await admin.status("/status", headers={"Host": host}) == status


ODD_HOSTS = (
    b"",
    b"Host: evil.example\r\n",
    b"Host: \r\n",
    b"Host: 127.0.0.1:port\r\n",
    b"Host: a@b, c\r\n",
    b"Host: \xff\xfe\r\n",
    b"Host: [::1\r\n",
)
"""Host fields: none, and those that load balancers and attackers send."""


async def answer_to(port: int, head: bytes) -> bytes:
    """Everything that comes back for a head, until the end."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(head)
    async with asyncio.timeout(PATIENCE):
        answer = await reader.read()
    writer.close()
    await writer.wait_closed()
    return answer


@pytest.mark.parametrize("host", ODD_HOSTS)
@pytest.mark.parametrize("version", [b"1.0", b"1.1"])
@pytest.mark.parametrize("method", [b"GET", b"HEAD"])
async def test_health_is_answered_whatever_the_host(host: bytes, version: bytes, method: bytes) -> None:
    """Load balancers send none, or one of their own; everything else keeps its check, with a key and without."""
    program = FakeProgram()
    refused = b"400" if (version, host) == (b"1.1", b"") else b"421"
    async with administer(program) as admin:
        for path in (*HEALTH, "/status", "/metrics", "/", "/login/acme", "/livez/", "/nothing"):
            head = b"%b %b HTTP/%b\r\n%bConnection: close\r\n\r\n" % (method, path.encode(), version, host)
            status = (await answer_to(admin.port, head)).split(b" ", 2)[1]
            assert (path, status) == (path, b"200" if path in HEALTH else refused)
    assert program.seen == []


@pytest.mark.parametrize(
    "pieces",
    [
        (b"GET /livez?from=lb HTTP/1.1\r\n\r\n",),
        (b"GET /livez HTTP/1.1\r\nUser-Agent: Host: x\r\nConnection: keep-alive\r\n\r\n",),
        (b"GET", b" /readyz HT", b"TP/1.1\r\n", b"Accept: */*\r\n\r", b"\n"),
    ],
)
async def test_a_check_without_host_ends_its_connection(pieces: tuple[bytes, ...]) -> None:
    """In however many pieces it comes; the next check opens another connection."""
    async with administer(FakeProgram()) as admin:
        reader, writer = await asyncio.open_connection("127.0.0.1", admin.port)
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(0)
        answer = await end_of(reader)
        writer.close()
        await writer.wait_closed()
    assert answer.split(b"\r\n")[0].split(b" ")[1] == b"200"
    assert answer.count(b"HTTP/1.") == 1


@pytest.mark.parametrize(
    ("data", "read"),
    [
        (b"GET /livez HTTP/1.1\r\n\r\n", b"GET /livez HTTP/1.0\r\n\r\n"),
        (b"HEAD /startup?a=b HTTP/1.1\r\nA: b\r\n\r\n", b"HEAD /startup?a=b HTTP/1.0\r\nA: b\r\n\r\n"),
        (b"GET /livez HTTP/1.1\r\nX-Host: a\r\n\r\nhost: b", b"GET /livez HTTP/1.0\r\nX-Host: a\r\n\r\nhost: b"),
        (b"GET /livez HTTP/1.1\r\nA: b\r\nhOST : c\r\n\r\n", None),
        (b"GET /livez HTTP/1.1\r\nA: b\r\n", None),
        (b"GET /livez HTTP/1.1 \r\n\r\n", None),
        (b"GET /livez/ HTTP/1.1\r\n\r\n", None),
        (b"GET /status HTTP/1.1\r\n\r\n", None),
        (b"GET /livez /status HTTP/1.1\r\n\r\n", None),
        (b"POST /livez HTTP/1.1\r\n\r\n", None),
        (b" GET /livez HTTP/1.1\r\n\r\n", None),
        (b"GET /livez HTTP/1.0\r\n\r\n", None),
    ],
)
def test_only_a_health_check_may_leave_its_host_out(data: bytes, read: bytes | None) -> None:
    """Nothing else of what a connection begins with is changed, and the length never is."""
    assert readable_without_host(data) == (data if read is None else read)


@pytest.mark.parametrize(
    ("beginning", "may"),
    [
        (b"", True),
        (b"GET", True),
        (b"HEAD /read", True),
        (b"GET /livez HTTP/1.1\r\nA: b\r\n", True),
        (b"GET /livez" + b"a" * 5000, False),
        (b"GET /status", False),
        (b"POST", False),
        (b"\r\nGET", False),
    ],
)
def test_only_what_may_be_a_check_is_held_back(beginning: bytes, may: bool) -> None:
    """A check is held back until its head is whole or too long; all other bytes go on as they come."""
    assert may_be_check(beginning) is may


CROSS = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "cors", "Sec-Fetch-Dest": "empty"}
NAVIGATION = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}


@pytest.mark.parametrize(
    ("method", "path", "headers", "status"),
    [
        ("GET", "/status", {"Origin": "http://evil.example"}, 403),
        ("GET", "/status", {"Origin": "null"}, 403),
        ("GET", "/status", CROSS, 403),
        ("GET", "/status", {**CROSS, "Sec-Fetch-Site": "same-site"}, 403),
        ("GET", "/status", {"Sec-Fetch-Site": "same-origin"}, 200),
        ("GET", "/", NAVIGATION, 200),
        ("GET", "/", {**NAVIGATION, "Sec-Fetch-Dest": "iframe"}, 403),
        ("POST", "/console/accounts/acme/refresh", {"X-Ads-Proxy-Console": "1"}, 200),
        ("POST", "/console/accounts/acme/refresh", {}, 403),
        ("POST", "/console/accounts/acme/refresh", {"Content-Type": "application/x-www-form-urlencoded"}, 403),
        ("POST", "/console/accounts/acme/refresh", {**NAVIGATION, "X-Ads-Proxy-Console": "1"}, 403),
        ("POST", "/console/accounts/acme/refresh", {"X-Ads-Proxy-Console": "1", "Origin": "http://127.0.0.1:1"}, 403),
        ("POST", "/console/accounts/nobody/refresh", {"X-Ads-Proxy-Console": "1"}, 404),
    ],
)
async def test_other_sites_pages_cannot_use_the_listener(
    method: str, path: str, headers: dict[str, str], status: int
) -> None:
    """Cross-site reads by script and every cross-site change are refused; plain navigation works."""
    program = FakeProgram()
    async with administer(program) as admin:
        assert await admin.status(path, method, headers) == status
    assert program.refreshed == (["acme"] if (method, status) == ("POST", 200) else [])


async def test_a_cross_origin_form_cannot_change_anything() -> None:
    """A form of another site has no proof header, and its Origin gives it away."""
    program = FakeProgram()
    headers = {"Origin": "http://evil.example"}
    async with administer(program) as admin:
        for path in ("/console/session", "/login/acme", "/console/session/end"):
            async with admin.ask(path, "POST", headers, form={"key": "x"}) as answer:
                assert answer.status == 403


async def test_every_answer_carries_the_security_headers() -> None:
    """Page, JSON and refusal alike forbid inline script, framing and sniffing, and none has a CORS header."""
    async with administer(FakeProgram()) as admin:
        for path in ("/", "/status", "/nothing", "/console/static/console.js"):
            async with admin.ask(path) as answer:
                policy = answer.headers["Content-Security-Policy"]
                assert "default-src 'none'" in policy
                assert "unsafe" not in policy
                assert answer.headers["X-Frame-Options"] == "DENY"
                assert not [name for name in answer.headers if name.lower().startswith("access-control")]


@pytest.mark.parametrize("path", ["/", "/status", "/console/state", "/console/profiles", "/login/acme", "/nothing"])
async def test_with_a_key_everything_of_worth_needs_it(path: str) -> None:
    """Without the key 401, with it in either header it passes, with a wrong one 401."""
    program = FakeProgram(rules=KEYED)
    async with administer(program) as admin:
        assert await admin.status(path) == 401
        assert await admin.status(path, headers={"X-Ads-Proxy-Key": "wrong"}) == 401
        passed = {
            await admin.status(path, headers={"Authorization": f"Bearer {KEY.reveal()}"}),
            await admin.status(path, headers={"X-Ads-Proxy-Key": KEY.reveal()}),
        }
        assert passed == {404 if path == "/nothing" else 302 if path == "/login/acme" else 200}


async def test_health_never_needs_the_key_and_metrics_only_when_closed() -> None:
    """Probes need no key; `/metrics` needs it only with `open_metrics: false`; the callback rests on its state."""
    program = FakeProgram(rules=KEYED)
    async with administer(program) as admin:
        assert {await admin.status(path) for path in (*HEALTH, "/metrics")} == {200}
        assert await admin.status("/login/callback") == 400
        program.rules = AccessRules(KEY, False, "127.0.0.1")
        assert await admin.status("/metrics") == 401
        assert await admin.status("/metrics", headers={"Authorization": f"Bearer {KEY.reveal()}"}) == 200


async def test_a_person_signs_in_to_the_console_with_the_key() -> None:
    """A browser gets the form, a wrong key the form again, the right one a strict cookie that opens the console."""
    program = FakeProgram(rules=KEYED)
    browser = {"Accept": "text/html", "Sec-Fetch-Site": "none"}
    async with administer(program) as admin:
        async with admin.ask("/login/acme", headers=browser) as answer:
            assert answer.status == 401
            assert 'name="next" value="/login/acme"' in await answer.text()
        async with admin.ask("/console/session", "POST", browser, {"key": "wrong"}) as answer:
            assert (answer.status, "Set-Cookie" in answer.headers) == (401, False)
        form = {"key": KEY.reveal(), "next": "/status"}
        async with admin.ask("/console/session", "POST", browser, form) as answer:
            assert (answer.status, answer.headers["Location"]) == (303, "/status")
            cookie = answer.headers["Set-Cookie"]
        assert {"HttpOnly", "SameSite=Strict", "Path=/"} <= {part.strip() for part in cookie.split(";")}
        assert KEY.reveal() not in cookie
        session = {"Cookie": cookie.split(";")[0]}
        assert await admin.status("/status", headers=session) == 200
        program.rules = AccessRules(type(KEY)("another-key-entirely"), True, "127.0.0.1")
        assert await admin.status("/status", headers=session) == 401
        program.rules = KEYED
        ending = {**session, "X-Ads-Proxy-Console": "1"}
        assert await admin.status("/console/session/end", "POST", ending) == 303
        assert await admin.status("/status", headers=session) == 401


async def test_the_key_form_leads_to_what_was_asked_for() -> None:
    """With its query: without it, the answer would be to another question."""
    target = "/console/requests?status=failed&client=a%20b"
    async with administer(FakeProgram(rules=KEYED)) as admin:
        async with admin.ask(target, headers={"Accept": "text/html"}) as answer:
            assert f'name="next" value="{escape(target)}"' in await answer.text()
        form = {"key": KEY.reveal(), "next": target}
        async with admin.ask("/console/session", "POST", None, form) as answer:
            assert answer.headers["Location"] == target


@pytest.mark.parametrize("target", ["//evil.example", "https://evil.example", "/\\evil", "/a\r\nX: y", ""])
async def test_the_key_form_never_leads_elsewhere(target: str) -> None:
    """An address of another site in the form is replaced by the console."""
    form = {"key": KEY.reveal(), "next": target}
    async with (
        administer(FakeProgram(rules=KEYED)) as admin,
        admin.ask("/console/session", "POST", None, form) as answer,
    ):
        assert answer.headers["Location"] == "/"


async def test_guessing_is_slowed_down() -> None:
    """After ten wrong keys an address waits a minute, even with the right one; sessions and health go on."""
    async with administer(FakeProgram(rules=KEYED)) as admin:
        async with admin.ask("/console/session", "POST", None, {"key": KEY.reveal()}) as answer:
            session = {"Cookie": answer.headers["Set-Cookie"].split(";")[0]}
        for _ in range(10):
            assert await admin.status("/status", headers={"X-Ads-Proxy-Key": "wrong"}) == 401
        async with admin.ask("/status", headers={"X-Ads-Proxy-Key": KEY.reveal()}) as answer:
            assert (answer.status, answer.headers["Retry-After"]) == (429, "60")
        async with admin.ask("/console/session", "POST", None, {"key": KEY.reveal()}) as answer:
            assert answer.status == 429
        assert await admin.status("/status", headers=session) == 200
        assert await admin.status("/livez") == 200


def test_what_is_logged_of_the_keys_says_how_many_use_them() -> None:
    """The text holds neither the admin key, nor a session's token, nor a wrong key."""
    keys = KeyChecker()
    token = keys.open_session(KEY)
    assert not keys.fits("canary-guess", KEY, "10.0.0.1")
    assert repr(keys) == "<KeyChecker 1 sessions, 1 addresses that failed>"
    assert keys.in_session(token, KEY)


async def test_a_failed_refresh_says_what_to_do() -> None:
    """The refresh button's failure is a problem document with the operator's advice."""
    program = FakeProgram(refresh_failure=errors.RefreshTokenRevoked("The token was revoked."))
    headers = {"X-Ads-Proxy-Console": "1"}
    async with (
        administer(program) as admin,
        admin.ask("/console/accounts/acme/refresh", "POST", headers) as answer,
    ):
        assert answer.status == 502
        assert "sign in again" in json.loads(await answer.text())["detail"]


async def test_a_defect_is_told_to_observers_and_not_to_the_caller() -> None:
    """An unexpected exception is a 500 without its text, and a DefectMet event with its traceback."""
    program = FakeProgram(refresh_failure=ValueError("canary"))  # type: ignore[arg-type]  # a defect
    headers = {"X-Ads-Proxy-Console": "1"}
    async with (
        administer(program) as admin,
        admin.ask("/console/accounts/acme/refresh", "POST", headers) as answer,
    ):
        assert answer.status == 500
        assert "canary" not in await answer.text()
    (defect,) = program.seen
    assert isinstance(defect, DefectMet)
    assert "canary" in defect.traceback


@pytest.mark.parametrize("path", ["/livez", "/status", "/nowhere"])
@pytest.mark.parametrize("expectation", [b"\x80", b"200-ok", b"100-continue, \xff"])
async def test_an_expectation_that_cannot_be_met_is_refused(path: str, expectation: bytes) -> None:
    """417 on every path, whatever bytes the value has, with the usual headers; the program reports no defect."""
    program = FakeProgram()
    async with administer(program) as admin:
        reader, writer = await asyncio.open_connection("127.0.0.1", admin.port)
        writer.write(b"GET %b HTTP/1.1\r\nHost: localhost\r\nExpect: %b\r\n\r\n" % (path.encode(), expectation))
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        writer.close()
        await writer.wait_closed()
    assert head.startswith("HTTP/1.1 417 ")
    assert "application/problem+json" in head and "nosniff" in head
    assert program.seen == []


async def test_a_client_that_expects_100_continue_is_told_to_go_on() -> None:
    """The interim response comes first, then the answer."""
    async with administer(FakeProgram()) as admin:
        reader, writer = await asyncio.open_connection("127.0.0.1", admin.port)
        writer.write(b"GET /livez HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\n\r\n")
        assert await reader.readline() == b"HTTP/1.1 100 Continue\r\n"
        assert await reader.readline() == b"\r\n"
        assert (await reader.readline()).startswith(b"HTTP/1.1 200 ")
        writer.close()
        await writer.wait_closed()


@pytest.mark.parametrize("charset", ["utf-7", "unicode_escape"])
async def test_forms_with_half_a_character_are_refused(charset: str) -> None:
    """Some charsets decode to what no text holds: the form is at fault, not the proxy."""
    program = FakeProgram(rules=AccessRules(KEY, True, "127.0.0.1"))
    body = "key=\ud800".encode(charset)
    content = {"Content-Type": f"application/x-www-form-urlencoded; charset={charset}"}
    async with administer(program) as admin:
        url = f"http://127.0.0.1:{admin.port}/console/session"
        async with admin.session.post(url, data=body, headers=content) as answer:
            assert answer.status == 400
    assert not any(isinstance(event, DefectMet) for event in program.seen)


async def test_large_forms_are_refused() -> None:
    """The listener reads no more than it needs."""
    form = {"key": "x" * 100_000}
    async with administer(FakeProgram()) as admin, admin.ask("/console/session", "POST", None, form) as answer:
        assert answer.status == 413


@pytest.mark.parametrize(
    "target",
    [
        "/console/static/../../status",
        "/console/static/..%2f..%2fstatus",
        "/console/static/%2e%2e/%2e%2e/status",
        "//status",
        "/livez/../status",
        "/livez%2f..%2fstatus",
        "/livez?/../status",
        "http://evil.example/status",
        "/status;/console/static/",
        "/%73tatus",
        "/console/session/../../status",
        "/login/callback/../../status",
    ],
)
async def test_no_spelling_of_a_path_goes_around_the_key(target: str) -> None:
    """Dot segments, encodings and odd targets, byte for byte, never show `/status` to who has no key."""
    program = FakeProgram(rules=KEYED)
    async with administer(program) as admin:
        reader, writer = await asyncio.open_connection("127.0.0.1", admin.port)
        writer.write(f"GET {target} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n".encode())
        answer = await reader.read()
        writer.close()
        await writer.wait_closed()
    assert b'"accounts"' not in answer
    assert answer.split(b" ", 2)[1] in {b"400", b"401", b"404"} or target.startswith("/livez?")


class Echo(asyncio.Protocol):
    """Gives back what comes."""

    def __init__(self) -> None:
        self.transport: asyncio.Transport | None = None
        self.paused = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        assert self.transport is not None
        self.transport.write(data)


@asynccontextmanager
async def limited(
    max_connections: int = 10, head_timeout: float = 30.0
) -> AsyncIterator[tuple[ConnectionLimiter, int]]:
    """A limiter in front of an echo, and its port."""
    limiter = ConnectionLimiter(cast(Callable[[], web.RequestHandler], Echo), max_connections, head_timeout)
    server = await asyncio.get_running_loop().create_server(limiter.protocol, "127.0.0.1", 0)
    try:
        yield limiter, server.sockets[0].getsockname()[1]
    finally:
        server.close()
        await server.wait_closed()


async def end_of(reader: asyncio.StreamReader) -> bytes:
    """What comes until the end, also where that is a reset."""
    try:
        return await asyncio.wait_for(reader.read(), PATIENCE)
    except ConnectionResetError:
        return b"reset"


async def test_who_asks_in_time_is_let_through_unchanged() -> None:
    """Bytes pass both ways, and the end of one side reaches the other."""
    async with limited() as (limiter, port):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        timers = []
        for piece in (b"GET / HTTP/1.1\r\n", b"Host: x\r", b"\n\r", b"\nbody"):
            writer.write(piece)
            assert await reader.readexactly(len(piece)) == piece
            (connection,) = limiter.connections
            timers.append(connection._timer)
        assert [timer is not None and timer.cancelled() for timer in timers] == [True, True, True, False]
        writer.close()
        await settled(lambda: not limiter.connections)


async def test_half_a_head_is_not_waited_for() -> None:
    """After the time is over the connection ends, whatever trickles in."""
    async with limited(head_timeout=0.1) as (_, port):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET / HTTP/1.1\r\nX: ")
        assert await end_of(reader) in (b"GET / HTTP/1.1\r\nX: ", b"reset")
        writer.close()


async def test_a_newcomer_takes_the_place_of_the_oldest() -> None:
    """With two places, the third comer ends the first, and is served."""
    async with limited(max_connections=2) as (limiter, port):
        comers = [await asyncio.open_connection("127.0.0.1", port) for _ in range(3)]
        assert await end_of(comers[0][0]) in (b"", b"reset")
        for reader, writer in comers[1:]:
            writer.write(b"hello")
            assert await reader.readexactly(5) == b"hello"
        assert len(limiter.connections) == 2
        for _, writer in comers:
            writer.close()
        for reader, _ in comers[1:]:
            await end_of(reader)


async def test_the_listener_limits_its_connections_and_releases_them() -> None:
    """All connections go through the limiter, and after the stop no request is served."""
    listener = AdminListener(web.Application())
    assert repr(listener) == "<AdminListener not started>"
    bound = socket.create_server(("127.0.0.1", 0))
    port = bound.getsockname()[1]
    await listener.start([bound])
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    assert (await reader.readline()).startswith(b"HTTP/1.1 404")
    assert repr(listener) == "<AdminListener <ConnectionLimiter 1 of 128 connections>>"
    await listener.stop()
    await end_of(reader)
    writer.close()
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection("127.0.0.1", port)


@asynccontextmanager
async def half_answering(go: asyncio.Event) -> AsyncIterator[tuple[ConnectionLimiter, int]]:
    """A listener that sends the second half of each response when it may, its limiter, and its port."""

    async def answer(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(b"half")
        await go.wait()
        await response.write(b" and half")
        return response

    async def repeat(request: web.Request) -> web.StreamResponse:
        return web.Response(body=await request.read())

    application = web.Application()
    application.router.add_get("/", answer)
    application.router.add_post("/", repeat)
    listener, bound = AdminListener(application), socket.create_server(("127.0.0.1", 0))
    await listener.start([bound])
    assert listener._limiter is not None
    try:
        yield listener._limiter, bound.getsockname()[1]
    finally:
        go.set()
        await listener.stop()


async def test_an_old_connection_ends_behind_its_response() -> None:
    """The connection does not end in the middle, and the next request gets none."""
    go = asyncio.Event()
    async with half_answering(go) as (limiter, port):
        limiter.max_age = 0.0
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        await reader.readuntil(b"half")
        await settled(lambda: not any(connection._ending is None for connection in limiter.connections))
        writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        go.set()
        assert await reader.readuntil(b"\r\n0\r\n\r\n") == b"\r\n9\r\n and half\r\n0\r\n\r\n"
        assert await end_of(reader) in (b"", b"reset")
        writer.close()


async def half_asked(
    limiter: ConnectionLimiter, port: int, patience: float = 10.0
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A connection that became old while the body of its request was under way."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nhalf")
    await settled(lambda: limiter._requests)
    (connection,) = limiter.connections
    assert connection._timer is not None
    connection._timer.cancel()
    limiter.head_timeout = patience
    connection.retire()
    return reader, writer


async def test_an_old_connection_waits_for_the_body_of_its_request() -> None:
    """The connection waits for the response too, but for no further request."""
    async with half_answering(asyncio.Event()) as (limiter, port):
        reader, writer = await half_asked(limiter, port)
        writer.write(b" and 1")
        assert (await reader.readuntil(b"half and 1")).startswith(b"HTTP/1.1 200 OK")
        (connection,) = limiter.connections
        connection.retire(is_late=True)
        assert await end_of(reader) in (b"", b"reset")
        writer.close()


async def test_an_old_connection_does_not_wait_long_for_a_body() -> None:
    """The connection ends ten seconds later: nothing of the request can be answered without its body."""
    async with half_answering(asyncio.Event()) as (limiter, port):
        reader, writer = await half_asked(limiter, port, 0.0)
        assert await end_of(reader) in (b"", b"reset")
        assert not limiter.connections
        writer.close()


async def test_an_old_connection_without_a_request_ends_at_once() -> None:
    """The client connects again by itself."""
    go = asyncio.Event()
    go.set()
    async with half_answering(go) as (limiter, port):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        await reader.readuntil(b"\r\n0\r\n\r\n")
        (connection,) = limiter.connections
        assert connection._timer is not None
        connection._timer.cancel()
        connection.retire()
        assert await end_of(reader) in (b"", b"reset")
        writer.close()


async def test_what_is_logged_of_a_limiter_and_a_connection_says_how_they_are() -> None:
    """How many there are, and whether one has asked: never what it asked."""
    async with limited(max_connections=2) as (limiter, port):
        assert repr(limiter) == "<ConnectionLimiter 0 of 2 connections>"
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET /canary HTTP/1.1\r\nHost: x\r\n\r")
        await reader.readexactly(5)
        (connection,) = limiter.connections
        assert repr(connection) == "<LimitedConnection without a whole head>"
        writer.write(b"\n")
        await reader.readuntil(b"\r\n\r\n")
        assert repr(connection) == "<LimitedConnection with a whole head>"
        assert repr(limiter) == "<ConnectionLimiter 1 of 2 connections>"
        writer.close()
