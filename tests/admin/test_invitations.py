"""An invited advertiser's way: the link, the page, Amazon, and what came of it; and all that leads nowhere."""

from __future__ import annotations

import re
import socket
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from urllib.parse import parse_qs, urlsplit

import aiohttp
import pytest

from proxy import errors
from proxy.admin.application import make_admin
from proxy.admin.history import RequestHistory
from proxy.admin.invitations import MAX_PER_LINK, InvitationHandlers, make_invitations
from proxy.admin.listener import AdminListener
from proxy.admin.sign_in import MAX_PENDING
from proxy.admin.view import AccessRules
from proxy.events import InvitationUsed, SignInFinished
from proxy.observability.metrics import Metrics
from proxy.profiles.replacement import GrantedProfiles, ReachedProfile
from proxy.secret import Secret
from proxy.tokens.invitation import Invitation, InvitationLedger, link, sign, signing_key
from proxy.tokens.store import MemoryStore
from tests.admin.fixtures import AdminClient, FakeProgram, administer

KEY = signing_key(Secret("canary-secret"))


class Invited:
    """The listener for invitations in front of a program, and a link to it."""

    def __init__(self, admin: AdminClient, ledger: InvitationLedger, url: str) -> None:
        self.admin, self.ledger, self.url = admin, ledger, url

    async def invitation(self, account: str = "acme", seconds: float = 3600.0) -> tuple[Invitation, str]:
        made = await self.ledger.make(account, seconds, "Example <Ltd>")
        return made, link(self.url, made, KEY).removeprefix(self.url)

    async def begin(self, path: str) -> tuple[str, dict[str, str]]:
        """Presses the page's button: the state, and the cookie that came with it."""
        async with self.admin.ask(f"{path}/begin", "POST", {"Origin": self.url}) as answer:
            assert answer.status == 200
            page = (await answer.text()).replace("&amp;", "&")
            cookie = answer.headers["Set-Cookie"].split(";")[0]
        url = re.search(r'href="(https://amazon.test/ap/oa[^"]*)"', page)
        assert url is not None
        query = parse_qs(urlsplit(url[1]).query)
        assert query["redirect_uri"] == [f"{self.url}/invite/callback"]
        return query["state"][0], {"Cookie": cookie}

    async def follow(self, path: str, query: str = "code=c") -> tuple[int, str]:
        """From the link to the page at the end."""
        state, cookie = await self.begin(path)
        async with self.admin.ask(f"/invite/callback?{query}&state={state}", headers=cookie) as answer:
            return answer.status, await answer.text()


@asynccontextmanager
async def inviting(program: FakeProgram) -> AsyncIterator[Invited]:
    bound = socket.create_server(("127.0.0.1", 0))
    port = bound.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    ledger = InvitationLedger(MemoryStore(), time.time)
    listener = AdminListener(make_invitations(InvitationHandlers(program, ledger, program, url)))
    await listener.start([bound])
    metrics = Metrics("1.2.3")
    try:
        async with aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as session:
            yield Invited(AdminClient(session, port, RequestHistory(metrics), metrics), ledger, url)
    finally:
        await listener.stop()


@asynccontextmanager
async def inviting_by_prefix(program: FakeProgram) -> AsyncIterator[Invited]:
    """The invitation pages below `/invite/` of the admin listener, which has a key."""
    program.rules = AccessRules(Secret("an-admin-key-of-some-length"), False, "127.0.0.1")
    bound = socket.create_server(("127.0.0.1", 0))
    port = bound.getsockname()[1]
    ledger = InvitationLedger(MemoryStore(), time.time)
    metrics = Metrics("1.2.3")
    history = RequestHistory(metrics)
    invited = InvitationHandlers(program, ledger, program, "http://consent.test")
    listener = AdminListener(make_admin(program, metrics, history, program, invited))
    await listener.start([bound])
    try:
        async with aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as session:
            session.headers["Host"] = "consent.test"
            yield Invited(AdminClient(session, port, history, metrics), ledger, "http://consent.test")
    finally:
        await listener.stop()


async def test_the_page_says_what_is_asked_for_and_by_whom() -> None:
    """Looking at it does not use it up; there is no way from it to anything but Amazon."""
    async with inviting(FakeProgram()) as invited:
        _, path = await invited.invitation()
        for _ in range(2):
            async with invited.admin.ask(path) as answer:
                page = await answer.text()
                assert answer.status == 200
                assert "script" not in answer.headers["Content-Security-Policy"].replace("script-src 'self'", "")
    assert "Example &lt;Ltd&gt;" in page
    assert "manage advertising campaigns" in page
    assert set(re.findall(r'(?:href|action)="([^"]*)"', page)) == {"/invite/static/console.css", f"{path}/begin"}


async def test_an_invited_persons_consent_is_in_force_and_the_link_is_used() -> None:
    """Done, told, and the link does nothing more."""
    program = FakeProgram(statuses=(), known_profiles=())
    async with inviting(program) as invited:
        made, path = await invited.invitation()
        status, page = await invited.follow(path)
        assert (status, "<h1>Done</h1>" in page) == (200, True)
        assert set(re.findall(r'href="([^"]*)"', page)) == {"/invite/static/console.css"}
        async with invited.admin.ask(path) as answer:
            assert (answer.status, "used already" in await answer.text()) == (410, True)
        async with invited.admin.ask(f"{path}/begin", "POST", {"Origin": invited.url}) as answer:
            assert answer.status == 410
    assert program.adopted == ["acme"]
    assert InvitationUsed("acme", made.id) in program.seen
    assert [event.outcome for event in program.seen if isinstance(event, SignInFinished)] == ["connected"]


async def test_one_link_cannot_push_out_the_sign_ins_of_another() -> None:
    """A link's button, pressed as often as there is room for sign-ins, replaces its own."""
    async with inviting(FakeProgram(statuses=(), known_profiles=())) as invited:
        _, path = await invited.invitation()
        state, cookie = await invited.begin(path)
        _, flooding = await invited.invitation("globex")
        for _ in range(MAX_PENDING + 1):
            await invited.begin(flooding)
        async with invited.admin.ask(f"/invite/callback?code=c&state={state}", headers=cookie) as answer:
            assert answer.status == 200
        assert (await invited.follow(flooding))[0] == 200


async def test_a_sign_in_whose_link_is_no_longer_known_is_not_finished(monkeypatch: pytest.MonkeyPatch) -> None:
    """Many others began and ended meanwhile: the link could be used again, and might have been revoked."""
    monkeypatch.setattr("proxy.admin.invitations.MAX_PENDING", 8)
    program = FakeProgram(statuses=(), known_profiles=())
    async with inviting(program) as invited:
        _, path = await invited.invitation()
        state, cookie = await invited.begin(path)
        for _ in range(8):
            assert (await invited.follow((await invited.invitation("globex"))[1]))[0] == 200
        async with invited.admin.ask(f"/invite/callback?code=c&state={state}", headers=cookie) as answer:
            assert (answer.status, "Open your link again" in await answer.text()) == (400, True)
        assert "acme" not in program.adopted
        assert (await invited.follow(path))[0] == 200


async def test_the_last_sign_ins_of_a_link_are_the_ones_that_count() -> None:
    """A person who presses the button again goes on with that sign-in; the first of too many is forgotten."""
    async with inviting(FakeProgram(statuses=(), known_profiles=())) as invited:
        _, path = await invited.invitation()
        begun = [await invited.begin(path) for _ in range(MAX_PER_LINK + 1)]
        for (state, cookie), status in ((begun[0], 400), (begun[1], 200)):
            async with invited.admin.ask(f"/invite/callback?code=c&state={state}", headers=cookie) as answer:
                assert answer.status == status


@pytest.mark.parametrize(
    ("query", "failure", "status", "said"),
    [
        ("error=access_denied", None, 403, "Access was not allowed"),
        ("error=invalid_scope&error_description=Bad", None, 400, "That did not work"),
        ("code=c", errors.RefreshTokenRevoked("canary-detail"), 400, "That did not work"),
        ("code=c", errors.TokenTimeout("canary-detail"), 502, "That did not work"),
    ],
)
async def test_what_went_wrong_leaves_the_link_open(
    query: str, failure: errors.TokenFailure | None, status: int, said: str
) -> None:
    """The person reads what is theirs to know, and may try again."""
    program = FakeProgram(exchange_failure=failure)
    async with inviting(program) as invited:
        _, path = await invited.invitation()
        answered, page = await invited.follow(path, query)
        assert (answered, said in page, f'href="{path}"' in page) == (status, True, True)
        assert "canary" not in page
        assert await invited.admin.status(path) == 200
    assert program.adopted == []


async def test_another_persons_login_is_not_taken() -> None:
    """An invitation never takes the place of a login that works by one that reaches less."""
    program = FakeProgram(granted=GrantedProfiles((ReachedProfile("9", "acme", "na", "Other", "US", "seller"),)))
    async with inviting(program) as invited:
        _, path = await invited.invitation()
        status, page = await invited.follow(path)
        assert (status, "This is another login" in page) == (409, True)
        assert await invited.admin.status(path) == 200
    assert program.adopted == []
    assert "refused" in [event.outcome for event in program.seen if isinstance(event, SignInFinished)]


async def test_a_link_that_ended_says_why() -> None:
    """Revoked, expired, forgotten, forged."""
    async with inviting(FakeProgram()) as invited:
        made, revoked = await invited.invitation()
        await invited.ledger.revoke(made.id)
        _, old = await invited.invitation(seconds=0.0)
        forgotten = f"/invite/{sign(replace(made, id='never-made'), KEY)}"
        forged = f"/invite/{sign(made, b'another key')}"
        expected = {
            revoked: "was revoked",
            old: "has expired",
            forgotten: "Unknown link",
            forged: "Unknown link",
            "/": "Unknown link",
        }
        for path, words in expected.items():
            async with invited.admin.ask(path) as answer:
                assert (answer.status in (404, 410), words in await answer.text()) == (True, True), words


async def test_a_link_that_is_revoked_during_a_sign_in_does_nothing() -> None:
    """The way back finds it taken back, and no code is exchanged."""
    program = FakeProgram()
    async with inviting(program) as invited:
        made, path = await invited.invitation()
        state, cookie = await invited.begin(path)
        await invited.ledger.revoke(made.id)
        async with invited.admin.ask(f"/invite/callback?code=c&state={state}", headers=cookie) as answer:
            assert (answer.status, "was revoked" in await answer.text()) == (410, True)
    assert program.codes == []


async def test_only_the_browser_that_began_can_finish() -> None:
    """A callback without its cookie, or with an unknown state, is refused."""
    program = FakeProgram()
    async with inviting(program) as invited:
        _, path = await invited.invitation()
        state, _ = await invited.begin(path)
        for query in (f"state={state}", "state=x", ""):
            async with invited.admin.ask(f"/invite/callback?code=c&{query}") as answer:
                assert (answer.status, "not known" in await answer.text()) == (400, True)
    assert program.codes == []


@pytest.mark.parametrize(
    ("method", "headers"),
    [
        ("POST", {}),
        ("POST", {"Origin": "https://evil.test"}),
        ("GET", {"Host": "rebound.test"}),
        ("GET", {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors", "Sec-Fetch-Dest": "image"}),
    ],
)
@pytest.mark.parametrize("at", ["a listener of its own", "a prefix"])
async def test_other_sites_cannot_use_a_link(at: str, method: str, headers: dict[str, str]) -> None:
    """The button's form, the name, and what a browser says of a step are checked, wherever the pages are."""
    async with (inviting_by_prefix if at == "a prefix" else inviting)(FakeProgram()) as invited:
        _, path = await invited.invitation()
        target = f"{path}/begin" if method == "POST" else path
        assert await invited.admin.status(target, method, headers) in (403, 421)


@pytest.mark.parametrize(
    "path", ["/", "/status", "/metrics", "/console/state", "/login/acme", "/login/callback", "/livez", "/invite/x/y"]
)
async def test_nothing_of_the_console_is_there(path: str) -> None:
    """Whatever the admin listener has, this one has not."""
    async with inviting(FakeProgram()) as invited:
        assert await invited.admin.status(path) == 404


async def test_the_console_makes_a_link() -> None:
    """A button that shows it, or why there is none."""
    program = FakeProgram()
    proof = {"X-Ads-Proxy-Console": "1"}
    async with administer(program) as admin:
        async with admin.ask("/console/accounts/acme/invite", "POST", proof) as answer:
            made = await answer.json()
        assert made["link"] == "https://consent.test/invite/acme"
        assert made["expires_at"] == "2027-01-15T08:00:00Z"
        program.invite_failure = errors.StateError("There is no listener for invitations.")
        async with admin.ask("/console/accounts/acme/invite", "POST", proof) as answer:
            assert (answer.status, (await answer.json())["detail"]) == (502, "There is no listener for invitations.")
        assert await admin.status("/console/accounts/acme/invite", "POST") == 403


# --- by a path prefix of the admin listener


async def test_the_prefix_alone_is_open_under_the_outer_name() -> None:
    """The whole way without the admin key; the link is used then."""
    program = FakeProgram(statuses=(), known_profiles=())
    async with inviting_by_prefix(program) as invited:
        made, path = await invited.invitation()
        status, page = await invited.follow(path)
        assert (status, "<h1>Done</h1>" in page) == (200, True)
        async with invited.admin.ask(path) as answer:
            assert (answer.status, "used already" in await answer.text()) == (410, True)
        assert await invited.admin.status("/invite/static/console.css") == 200
    assert program.adopted == ["acme"]
    assert InvitationUsed("acme", made.id) in program.seen


@pytest.mark.parametrize("path", ["/", "/status", "/metrics", "/console/state", "/login/acme", "/livez", "/invited"])
async def test_nothing_else_of_the_admin_listener_is(path: str) -> None:
    """Under the outer name it is not even served, except health; under its own name it wants its key as ever."""
    async with inviting_by_prefix(FakeProgram()) as invited:
        assert await invited.admin.status(path) == (200 if path == "/livez" else 421)
        own = {"Host": "127.0.0.1"}
        assert await invited.admin.status(path, headers=own) == (200 if path == "/livez" else 401)


@pytest.mark.parametrize("path", ["/invite", "/invite/", "/invite/x/y", "/invite/nobodys", "/invite/../status"])
async def test_what_is_no_link_leads_nowhere(path: str) -> None:
    """The response is a page with the reason, and no problem document of the console's."""
    async with inviting_by_prefix(FakeProgram()) as invited, invited.admin.ask(path) as answer:
        text = await answer.text()
        assert (answer.status, "Unknown link" in text) == ((404, True) if ".." not in path else (421, False))


async def test_without_invitations_the_prefix_is_as_every_path() -> None:
    """The prefix needs the key, and there is nothing behind it."""
    program = FakeProgram(rules=AccessRules(Secret("an-admin-key-of-some-length"), False, "127.0.0.1"))
    async with administer(program) as admin:
        assert await admin.status("/invite/x") == 401
        key = {"X-Ads-Proxy-Key": "an-admin-key-of-some-length"}
        assert await admin.status("/invite/x", headers=key) == 404
