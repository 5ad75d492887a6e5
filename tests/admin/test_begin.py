"""A sign-in begins on a person's own step; where another site may have led there, a page asks first."""

from __future__ import annotations

import re
from html import unescape
from urllib.parse import parse_qs, urlsplit

import aiohttp
import pytest

from proxy.admin.guard import is_own_step
from proxy.admin.sign_in import Move, PendingSignIns
from proxy.admin.view import AccessRules
from proxy.secret import Secret
from tests.admin.fixtures import KEY, AdminClient, FakeProgram, administer, credential

HTML = {"Accept": "text/html,application/xhtml+xml"}
NAVIGATION = {**HTML, "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}
KEYED = AccessRules(KEY, True, "127.0.0.1")
ELSEWHERE = {**NAVIGATION, "Sec-Fetch-Site": "cross-site"}


@pytest.mark.parametrize(
    ("headers", "own"),
    [
        ({}, True),
        ({"Accept": "*/*"}, True),
        ({**HTML, "Sec-Fetch-Site": "none"}, True),
        ({**HTML, "Sec-Fetch-Site": "same-origin"}, True),
        ({**HTML, "Sec-Fetch-Site": "same-site"}, False),
        ({**HTML, "Sec-Fetch-Site": "cross-site"}, False),
        ({"Sec-Fetch-Site": "cross-site"}, False),
        ({"Sec-Fetch-Site": "unheard-of"}, False),
        ({"Sec-Fetch-Site": "cross-site", "Referer": "http://10.0.0.1:8081/"}, False),
        (HTML, False),
        ({**HTML, "Referer": "http://10.0.0.1:8081/"}, True),
        ({**HTML, "Referer": "https://10.0.0.1:8081/login/x"}, True),
        ({**HTML, "Referer": "http://10.0.0.1:9000/"}, False),
        ({**HTML, "Referer": "http://evil.test/http://10.0.0.1:8081/"}, False),
        ({"Referer": "http://evil.test/"}, False),
        ({**HTML, "Referer": "http://["}, False),
        ({**HTML, "Referer": ""}, False),
    ],
)
def test_whose_step_it_is(headers: dict[str, str], own: bool) -> None:
    """What the browser says of the navigation decides; where it says nothing, a page of ours as Referer."""
    assert is_own_step({"Host": "10.0.0.1:8081", **headers}) is own


def own_origin(admin: AdminClient) -> dict[str, str]:
    return {"Origin": f"http://127.0.0.1:{admin.port}"}


async def leads_on_to(answer: aiohttp.ClientResponse) -> str:
    """Where a page goes on to by itself; its button leads there too."""
    page = await answer.text()
    found = re.search(r'http-equiv="refresh" content="0; url=([^"]+)"', page)
    assert (answer.status, "Location" in answer.headers) == (200, False)
    assert found is not None
    assert f'href="{found[1]}"' in page
    return unescape(found[1])


async def test_a_link_on_another_site_leads_to_a_question() -> None:
    """The page names the account, and nothing has begun: no state, no cookie, no way to Amazon's page."""
    async with administer(FakeProgram()) as admin, admin.ask("/login/acme", headers=ELSEWHERE) as answer:
        page = await answer.text()
        assert (answer.status, "Set-Cookie" in answer.headers) == (200, False)
    assert "<strong>acme</strong>" in page
    assert "amazon.test" not in page
    assert 'action="/login/acme/begin"' in page


@pytest.mark.parametrize("headers", [{**HTML, "Sec-Fetch-Site": "none"}, {**HTML, "Sec-Fetch-Site": "same-origin"}])
async def test_ones_own_step_leads_to_amazon(headers: dict[str, str]) -> None:
    """The typed address and the console's link begin at once."""
    async with administer(FakeProgram()) as admin, admin.ask("/login/acme", headers=headers) as answer:
        assert (answer.status, urlsplit(answer.headers["Location"]).netloc) == (302, "amazon.test")
        assert "Set-Cookie" in answer.headers


async def test_the_pages_button_begins() -> None:
    """The response is a page that goes on by itself, since a form may lead to this listener alone; the state works."""
    program = FakeProgram()
    async with administer(program) as admin:
        async with admin.ask("/login/acme/begin", "POST", own_origin(admin), {}) as answer:
            cookie = answer.headers["Set-Cookie"].split(";")[0]
            state = parse_qs(urlsplit(await leads_on_to(answer)).query)["state"][0]
        assert await admin.status(f"/login/callback?code=c&state={state}", headers={"Cookie": cookie}) == 200
    assert program.codes == ["c"]


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Origin": "null"},
        {"Origin": "http://evil.test"},
        {"Origin": "http://127.0.0.1"},
        {"Sec-Fetch-Site": "same-origin"},
        {"X-Ads-Proxy-Console": "1"},
    ],
)
async def test_only_a_form_of_ours_presses_the_button(headers: dict[str, str]) -> None:
    """Without the listener's own Origin nothing begins."""
    async with administer(FakeProgram()) as admin:
        async with admin.ask("/login/acme/begin", "POST", headers, {}) as answer:
            assert (answer.status, "Set-Cookie" in answer.headers) == (403, False)
        assert await admin.status("/login/acme/begin") == 405


async def test_the_question_follows_the_key_form() -> None:
    """A person who came by another site's link and enters the key still gets the question."""
    program = FakeProgram(rules=KEYED)
    async with administer(program) as admin:
        async with admin.ask("/login/acme", headers=ELSEWHERE) as answer:
            assert 'name="next" value="/login/acme?ask"' in await answer.text()
        form = {"key": KEY.reveal(), "next": "/login/acme?ask"}
        async with admin.ask("/console/session", "POST", own_origin(admin), form) as answer:
            assert await leads_on_to(answer) == "/login/acme?ask"
            cookie = {"Cookie": answer.headers["Set-Cookie"].split(";")[0]}
        headers = {**NAVIGATION, **cookie, "Sec-Fetch-Site": "same-origin"}
        async with admin.ask("/login/acme?ask", headers=headers) as answer:
            assert "<strong>acme</strong>" in await answer.text()
        assert await admin.status("/login/acme/begin", "POST", own_origin(admin)) == 401


@pytest.mark.parametrize(("site", "begins"), [("none", True), ("cross-site", False)])
async def test_the_step_is_known_at_the_redirect_addresss_host(site: str, begins: bool) -> None:
    """Moved from 127.0.0.1 to localhost the browser calls it cross-site: a ticket tells whose step it was."""
    program = FakeProgram(redirect_uri="http://localhost:8081/login/callback")
    async with administer(program) as admin:
        async with admin.ask("/login/acme", headers={**NAVIGATION, "Sec-Fetch-Site": site}) as answer:
            ticket = answer.headers["Location"].partition("?")[2]
        for expected in (302 if begins else 200, 200):
            async with admin.ask(f"/login/acme?{ticket}", headers=ELSEWHERE) as answer:
                assert (answer.status, "Set-Cookie" in answer.headers) == (expected, expected == 302)


@pytest.mark.parametrize("ticket", ["1", "", "made-up"])
async def test_a_ticket_cannot_be_made_up(ticket: str) -> None:
    """An address that only looks like the next step leads to the question."""
    headers = {**NAVIGATION, "Sec-Fetch-Site": "none"}
    async with administer(FakeProgram()) as admin, admin.ask(f"/login/acme?at={ticket}", headers=headers) as answer:
        assert (answer.status, "Set-Cookie" in answer.headers) == (200, False)


def test_a_ticket_is_for_one_account_for_a_minute_and_once() -> None:
    """Later, again, or for another account it is worth nothing."""
    now = [0.0]
    pending, move = PendingSignIns(clock=lambda: now[0]), Move("acme", own_step=True, session="canary")
    assert "canary" not in repr(move)
    assert pending.take_move(pending.ticket(move), "acme") is move
    used = pending.ticket(move)
    assert pending.take_move(used, "other") is None
    assert pending.take_move(used, "acme") is None
    late = pending.ticket(move)
    assert pending.find_move(late, "acme") is move
    now[0] = 61.0
    assert pending.find_move(late, "acme") is None


async def signed_in(admin: AdminClient) -> dict[str, str]:
    """The cookie of a session of the console."""
    async with admin.ask("/console/session", "POST", own_origin(admin), {"key": KEY.reveal()}) as answer:
        return {"Cookie": answer.headers["Set-Cookie"].split(";")[0]}


async def moved(admin: AdminClient, cookie: dict[str, str], site: str = "same-origin") -> str:
    """The path that a browser with this session is moved to, at the redirect address's host."""
    headers = {**NAVIGATION, **cookie, "Sec-Fetch-Site": site}
    async with admin.ask("/login/acme", headers=headers) as answer:
        url = urlsplit(answer.headers["Location"])
        assert (answer.status, url.netloc) == (302, "localhost:8081")
    return f"{url.path}?{url.query}"


async def test_the_session_goes_along_to_the_redirect_addresss_host() -> None:
    """The sign-in begins there without the key, once, and the console is open there, as long as the key is the same."""
    program = FakeProgram(rules=KEYED, redirect_uri="http://localhost:8081/login/callback")
    async with administer(program) as admin:
        cookie = await signed_in(admin)
        path = await moved(admin, cookie)
        async with admin.ask(path, headers=ELSEWHERE) as answer:
            assert (answer.status, urlsplit(answer.headers["Location"]).netloc) == (302, "amazon.test")
            cookies = answer.headers.getall("Set-Cookie")
        (session,) = [each for each in cookies if each.startswith("ads_proxy_console=")]
        assert {"HttpOnly", "SameSite=Strict", "Path=/"} <= {part.strip() for part in session.split(";")}
        assert await admin.status("/status", headers={"Cookie": session.split(";")[0]}) == 200
        assert await admin.status(path, headers=ELSEWHERE) == 401
        path = await moved(admin, cookie)
        program.rules = AccessRules(Secret("another-key-entirely"), True, "127.0.0.1")
        assert await admin.status(path, headers=ELSEWHERE) == 401


async def test_a_session_that_goes_along_answers_no_question() -> None:
    """The question about the step's origin is still put."""
    program = FakeProgram(rules=KEYED, redirect_uri="http://localhost:8081/login/callback")
    async with administer(program) as admin:
        path = await moved(admin, await signed_in(admin), "cross-site")
        async with admin.ask(path, headers=ELSEWHERE) as answer:
            assert "<strong>acme</strong>" in await answer.text()
            assert answer.status == 200


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/status"),
        ("GET", "/console/state"),
        ("POST", "/login/acme"),
        ("POST", "/login/acme/begin"),
        ("POST", "/console/accounts/acme/refresh"),
        ("GET", "/login/other"),
    ],
)
async def test_a_ticket_opens_nothing_but_its_sign_in(method: str, path: str) -> None:
    """The ticket has the session's rights only at the sign-in to which the person was moved."""
    program = FakeProgram(
        rules=KEYED,
        statuses=(credential(), credential("other")),
        redirect_uri="http://localhost:8081/login/callback",
    )
    async with administer(program) as admin:
        ticket = (await moved(admin, await signed_in(admin))).partition("?")[2]
        headers = {**own_origin(admin), "X-Ads-Proxy-Console": "1"}
        assert await admin.status(f"{path}?{ticket}", method, headers) == 401
    assert program.refreshed == []
