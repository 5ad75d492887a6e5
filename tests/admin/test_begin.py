"""A sign-in begins on a person's own step; where another site may have led there, a page asks first."""

from __future__ import annotations

import re
from urllib.parse import parse_qs, urlsplit

import pytest

from proxy.admin.guard import is_own_step
from proxy.admin.sign_in import PendingSignIns
from proxy.admin.view import AccessRules
from tests.admin.fixtures import KEY, FakeProgram, Knocker, administer

HTML = {"Accept": "text/html,application/xhtml+xml"}
NAVIGATION = {**HTML, "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}
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


def own_origin(knocker: Knocker) -> dict[str, str]:
    return {"Origin": f"http://127.0.0.1:{knocker.port}"}


async def test_a_link_on_another_site_leads_to_a_question() -> None:
    """The page names the account, and nothing has begun: no state, no cookie, no way to Amazon's page."""
    async with administer(FakeProgram()) as knocker, knocker.ask("/login/acme", headers=ELSEWHERE) as answer:
        page = await answer.text()
        assert (answer.status, "Set-Cookie" in answer.headers) == (200, False)
    assert "<strong>acme</strong>" in page
    assert "amazon.test" not in page
    assert 'action="/login/acme/begin"' in page


@pytest.mark.parametrize("headers", [{**HTML, "Sec-Fetch-Site": "none"}, {**HTML, "Sec-Fetch-Site": "same-origin"}])
async def test_ones_own_step_leads_to_amazon(headers: dict[str, str]) -> None:
    """The typed address and the console's link begin at once."""
    async with administer(FakeProgram()) as knocker, knocker.ask("/login/acme", headers=headers) as answer:
        assert (answer.status, urlsplit(answer.headers["Location"]).netloc) == (302, "amazon.test")
        assert "Set-Cookie" in answer.headers


async def test_the_pages_button_begins() -> None:
    """Its answer is a page that goes on by itself, since a form may lead to this listener alone; the state works."""
    program = FakeProgram()
    async with administer(program) as knocker:
        async with knocker.ask("/login/acme/begin", "POST", own_origin(knocker), {}) as answer:
            page = await answer.text()
            cookie = answer.headers["Set-Cookie"].split(";")[0]
            assert answer.status == 200
        found = re.search(r'http-equiv="refresh" content="0; url=([^"]+)"', page)
        assert found is not None
        assert f'href="{found[1]}"' in page
        state = parse_qs(urlsplit(found[1].replace("&amp;", "&")).query)["state"][0]
        assert await knocker.status(f"/login/callback?code=c&state={state}", headers={"Cookie": cookie}) == 200
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
    async with administer(FakeProgram()) as knocker:
        async with knocker.ask("/login/acme/begin", "POST", headers, {}) as answer:
            assert (answer.status, "Set-Cookie" in answer.headers) == (403, False)
        assert await knocker.status("/login/acme/begin") == 405


async def test_the_question_follows_the_key_form() -> None:
    """Who came by another site's link and shows the key is asked all the same."""
    program = FakeProgram(rules=AccessRules(KEY, True, "127.0.0.1"))
    async with administer(program) as knocker:
        async with knocker.ask("/login/acme", headers=ELSEWHERE) as answer:
            assert 'name="next" value="/login/acme?ask"' in await answer.text()
        form = {"key": KEY.reveal(), "next": "/login/acme?ask"}
        async with knocker.ask("/console/session", "POST", own_origin(knocker), form) as answer:
            assert answer.headers["Location"] == "/login/acme?ask"
            cookie = {"Cookie": answer.headers["Set-Cookie"].split(";")[0]}
        headers = {**NAVIGATION, **cookie, "Sec-Fetch-Site": "same-origin"}
        async with knocker.ask("/login/acme?ask", headers=headers) as answer:
            assert "<strong>acme</strong>" in await answer.text()
        assert await knocker.status("/login/acme/begin", "POST", own_origin(knocker)) == 401


@pytest.mark.parametrize(("site", "begins"), [("none", True), ("cross-site", False)])
async def test_the_step_is_known_at_the_redirect_addresss_host(site: str, begins: bool) -> None:
    """Moved from 127.0.0.1 to localhost the browser calls it cross-site: a ticket tells whose step it was."""
    program = FakeProgram(redirect_uri="http://localhost:8081/login/callback")
    async with administer(program) as knocker:
        async with knocker.ask("/login/acme", headers={**NAVIGATION, "Sec-Fetch-Site": site}) as answer:
            ticket = answer.headers["Location"].partition("?")[2]
        for expected in (302 if begins else 200, 200):
            async with knocker.ask(f"/login/acme?{ticket}", headers=ELSEWHERE) as answer:
                assert (answer.status, "Set-Cookie" in answer.headers) == (expected, expected == 302)


@pytest.mark.parametrize("ticket", ["1", "", "made-up"])
async def test_a_ticket_cannot_be_made_up(ticket: str) -> None:
    """An address that only looks as if somebody had been moved leads to the question."""
    headers = {**NAVIGATION, "Sec-Fetch-Site": "none"}
    async with administer(FakeProgram()) as knocker, knocker.ask(f"/login/acme?at={ticket}", headers=headers) as answer:
        assert (answer.status, "Set-Cookie" in answer.headers) == (200, False)


def test_a_ticket_is_for_one_account_for_a_minute_and_once() -> None:
    """Later, again, or for another account it is worth nothing."""
    now = [0.0]
    pending = PendingSignIns(clock=lambda: now[0])
    assert pending.redeem(pending.ticket("acme"), "acme")
    used = pending.ticket("acme")
    assert not pending.redeem(used, "other")
    assert not pending.redeem(used, "acme")
    late = pending.ticket("acme")
    now[0] = 61.0
    assert not pending.redeem(late, "acme")
