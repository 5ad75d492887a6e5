"""The console's pages about approvals: signing in as an approver, and the buttons, over real sockets."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, field, replace

import pytest

from proxy import errors
from proxy.access.approvers import Approver, Approvers
from proxy.access.client_keys import ClientKey
from proxy.admin.approval_console import MAX_SESSIONS, ApproverSessions
from proxy.admin.guard import MAX_FAILURES, SESSION_SECONDS
from proxy.admin.view import AccessRules
from proxy.events import ApprovalState, ApproverRefused
from proxy.secret import Secret
from proxy.spend.approvals import ApprovalBook
from tests.admin.fixtures import KEY, AdminClient, FakeProgram, administer
from tests.admin.test_approval_pages import PENDING

ANN, BOB, OLD = "the-key-of-ann", "the-key-of-bob", "a-key-that-has-expired"
PAGE = {"Accept": "text/html"}


def key(text: str, ends_at: float | None = None) -> ClientKey:
    return ClientKey(hashlib.sha256(text.encode()).hexdigest(), ends_at)


APPROVERS = Approvers((Approver("ann", (key(ANN), key(OLD, 1.0))), Approver("bob", (key(BOB),))))


def program(*, admin_key: Secret | None = None, admin_approves: bool = False) -> FakeProgram:
    """A program in which a write waits for a decision."""
    rules = AccessRules(admin_key, True, "127.0.0.1", (), APPROVERS, admin_approves)
    return FakeProgram(rules=rules, book=ApprovalBook((PENDING,)))


@dataclass
class Browser:
    """A person with a browser: it keeps cookies, and names the origin of the forms that it posts."""

    admin: AdminClient
    cookies: dict[str, str] = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.origin = {"Origin": f"http://127.0.0.1:{self.admin.port}"}

    async def get(self, path: str, **headers: str) -> tuple[int, str]:
        status, text, _ = await self._ask(path, "GET", headers, None)
        return status, text

    async def post(self, path: str, form: dict[str, str], **headers: str) -> tuple[int, str, str]:
        """Status, text, and where it leads."""
        return await self._ask(path, "POST", {**self.origin, **headers}, form)

    async def sign_in(self, approver_key: str, target: str = "/approvals") -> tuple[int, str, str]:
        return await self.post("/approvals/session", {"key": approver_key, "next": target})

    async def _ask(
        self, path: str, method: str, headers: dict[str, str], form: dict[str, str] | None
    ) -> tuple[int, str, str]:
        kept = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        sent = {**PAGE, **self.headers, **({"Cookie": kept} if kept else {}), **headers}
        async with self.admin.ask(path, method, sent, form) as answer:
            for name, cookie in answer.cookies.items():
                self.cookies[name] = cookie.value
            self.last_cookies = answer.cookies
            return answer.status, await answer.text(), answer.headers.get("Location", "")


def state_of(found: FakeProgram) -> tuple[str, str, str]:
    (approval,) = found.book.approvals
    return approval.state, approval.by, approval.because


async def test_an_approver_signs_in_and_approves() -> None:
    """The session's cookie stays with this browser and these pages; the page shows who is signed in, and the result."""
    found = program()
    async with administer(found) as admin:
        browser = Browser(admin)
        status, text = await browser.get("/approvals")
        assert (status, "PUT /sp/campaigns" in text, "/approve" in text) == (200, True, False)
        assert (await browser.sign_in(ANN, "/approvals/a1b2"))[::2] == (303, "/approvals/a1b2")
        cookie = browser.last_cookies["ads_proxy_approver"]
        assert (cookie["httponly"], cookie["samesite"], cookie["path"]) == (True, "Strict", "/approvals")
        assert int(cookie["max-age"]) == SESSION_SECONDS
        status, text = await browser.get("/approvals/a1b2")
        assert "Signed in as approver <bdi>ann</bdi>" in text
        assert (await browser.post("/approvals/a1b2/approve", {}))[::2] == (303, "/approvals?decided=a1b2")
        assert state_of(found) == ("approved", "ann", "")
        assert "PUT /sp/campaigns" not in (await browser.get("/approvals?client=other"))[1]
        status, text = await browser.get("/approvals?decided=a1b2")
        assert re.search(r'role="status"><bdi>ann</bdi> approved', text)


async def test_an_approver_denies_with_a_reason() -> None:
    """The client gets the reason."""
    found = program()
    async with administer(found) as admin:
        browser = Browser(admin)
        await browser.sign_in(BOB)
        assert (await browser.post("/approvals/a1b2/deny", {"because": "Too much for Ümläut"}))[0] == 303
        assert state_of(found) == ("denied", "bob", "Too much for Ümläut")


@pytest.mark.parametrize("path", ["/approvals", "/approvals/a1b2", "/approvals/session", "/approvals/a1b2/approve"])
async def test_an_admin_key_or_an_approver_opens_the_pages(path: str) -> None:
    """A browser without either gets the form for the approver's key, a program a problem document."""
    found = program(admin_key=KEY)
    async with administer(found) as admin:
        browser = Browser(admin)
        status, text = await browser.get(path)
        assert "PUT /sp/campaigns" not in text
        if path in ("/approvals", "/approvals/a1b2"):
            assert (status, f'name="next" value="{path}"' in text) == (401, True)
            async with admin.ask(path) as answer:
                assert (answer.status, answer.content_type) == (401, "application/problem+json")
            by_admin = {"Authorization": f"Bearer {KEY.reveal()}"}
            async with admin.ask(path, headers={**PAGE, **by_admin}) as answer:
                text = await answer.text()
                assert (answer.status, "PUT /sp/campaigns" in text, "/deny" in text) == (200, True, False)
            assert (await browser.sign_in(ANN, path))[::2] == (303, path)
            assert (await browser.get(path))[0] == 200
            assert (await browser.get("/status"))[0] == 401
            assert (await browser.get("/console/state"))[0] == 401


@pytest.mark.parametrize("verb", ["approve", "deny"])
async def test_only_an_approver_decides(verb: str) -> None:
    """Neither the admin key, nor a key that is none or has expired, nor a request without any, nor a stolen token."""
    found = program(admin_key=KEY)
    by_admin = {"Authorization": f"Bearer {KEY.reveal()}"}
    async with administer(found) as admin:
        browser = Browser(admin)
        for wrong in ("no-key", OLD, KEY.reveal(), "", "ann"):
            status, text, _ = await browser.sign_in(wrong)
            assert (status, "No approver has this key" in text) == (401, True)
        assert browser.cookies == {}
        assert len([event for event in found.seen if isinstance(event, ApproverRefused)]) == 5
        path = f"/approvals/a1b2/{verb}"
        status, text, _ = await browser.post(path, {})
        assert (status, "Nothing was decided" in text) == (401, True)
        status, text, _ = await browser.post(path, {}, **by_admin)
        assert (status, "Nothing was decided" in text) == (401, True)
        browser.cookies["ads_proxy_approver"] = "made-up"
        assert (await browser.post(path, {}, **by_admin))[0] == 401
        assert state_of(found) == ("pending", "", "")


async def test_without_an_admin_key_a_press_without_a_session_decides_nothing() -> None:
    """On loopback everyone may look, and nobody decides without an approver's key."""
    found = program()
    async with administer(found) as admin:
        status, text, _ = await Browser(admin).post("/approvals/a1b2/approve", {})
        assert (status, "Nothing was decided" in text) == (401, True)
        assert state_of(found) == ("pending", "", "")


async def test_the_admin_key_decides_where_that_is_configured() -> None:
    """In the name of `admin`; an approver who is signed in decides in their own."""
    by_admin = {"Authorization": f"Bearer {KEY.reveal()}"}
    for signed_in, name in ((False, "admin"), (True, "ann")):
        found = program(admin_key=KEY, admin_approves=True)
        async with administer(found) as admin:
            browser = Browser(admin, headers=by_admin)
            if signed_in:
                await browser.sign_in(ANN)
            assert "/approvals/a1b2/approve" in (await browser.get("/approvals"))[1]
            assert (await browser.post("/approvals/a1b2/approve", {}))[0] == 303
            assert state_of(found) == ("approved", name, "")


async def test_nothing_is_decided_by_following_a_link() -> None:
    """Previews of messages do; another site's page cannot press a button, and neither can one that names no origin."""
    found = program()
    async with administer(found) as admin:
        browser = Browser(admin)
        await browser.sign_in(ANN)
        for path in ("/approvals/a1b2/approve", "/approvals/a1b2/deny", "/approvals/session", "/approvals/session/end"):
            assert (await browser.get(path))[0] in (404, 405)
        await browser.get("/approvals/a1b2?approve=1&decision=approve")
        for headers in ({"Origin": "http://evil.test"}, {"Origin": "null"}, {"Origin": ""}):
            assert (await browser.post("/approvals/a1b2/approve", {}, **headers))[0] == 403
            assert (await browser.post("/approvals/session/end", {}, **headers))[0] == 403
            assert (await browser.post("/approvals/session", {"key": ANN}, **headers))[0] == 403
        browser.origin = {}
        assert (await browser.post("/approvals/a1b2/approve", {}))[0] == 403
        assert (await browser.post("/approvals/a1b2/approve", {}, **{"X-Ads-Proxy-Console": "1"}))[0] == 403
        assert state_of(found) == ("pending", "", "")


async def test_a_press_that_comes_too_late_says_what_happened() -> None:
    """Someone else has decided, it has ended, or it is gone."""
    past = replace(PENDING, state=ApprovalState.DENIED, by="bob", because="Too much.", ended_at=1_800_000_000.0)
    approved = replace(PENDING, state=ApprovalState.APPROVED, by="bob", decided_at=1_800_000_000.0)
    void = replace(past, state=ApprovalState.VOID, by="", because="The limits have changed.")
    for book, path, status, words in (
        ((past,), "a1b2/approve", 409, "denied"),
        ((approved,), "a1b2/approve", 409, "<bdi>bob</bdi> approved"),
        ((void,), "a1b2/deny", 409, "became void"),
        ((), "a1b2/approve", 404, "Unknown approval"),
        ((approved,), "a1b2/deny", 303, ""),
    ):
        found = program()
        found.book = ApprovalBook(book)
        async with administer(found) as admin:
            browser = Browser(admin)
            await browser.sign_in(ANN)
            answered, text, _ = await browser.post(f"/approvals/{path}", {})
            assert (answered, words in text) == (status, True)
            assert ("Your decision changed nothing." in text) is (status == 409)


async def test_an_approver_who_presses_twice_is_told_the_same() -> None:
    """The second press of one button is no surprise."""
    found = program()
    async with administer(found) as admin:
        browser = Browser(admin)
        await browser.sign_in(ANN)
        answers = [(await browser.post("/approvals/a1b2/approve", {}))[::2] for _ in range(2)]
        assert answers == [(303, "/approvals?decided=a1b2")] * 2


async def test_a_session_ends_with_its_key_and_by_signing_out() -> None:
    """A removed key, an expired one, and the button; other browsers stay signed in."""
    found = program()
    async with administer(found) as admin:
        first, second = Browser(admin), Browser(admin)
        for browser in (first, second):
            await browser.sign_in(ANN)
        token = first.cookies["ads_proxy_approver"]
        assert (await first.post("/approvals/session/end", {}))[::2] == (303, "/approvals")
        first.cookies["ads_proxy_approver"] = token
        assert "Signed in" not in (await first.get("/approvals"))[1]
        assert "Signed in" in (await second.get("/approvals"))[1]
        found.rules = replace(found.rules, approvers=Approvers((Approver("ann", (key(ANN, 1.0),)),)))
        assert "Signed in" not in (await second.get("/approvals"))[1]
        assert (await second.post("/approvals/a1b2/approve", {}))[0] == 401
        found.rules = replace(found.rules, approvers=Approvers())
        assert "No approver is configured" in (await second.get("/approvals"))[1]


async def test_the_form_leads_to_these_pages_alone() -> None:
    """Whatever the posted form says."""
    async with administer(program()) as admin:
        for target in ("https://evil.test/", "//evil.test", "/status", "/approvalsx", "/approvals\r\nX: 1", ""):
            assert (await Browser(admin).sign_in(ANN, target))[::2] == (303, "/approvals")


async def test_who_guesses_keys_is_slowed_down() -> None:
    """Together with those who guess the admin key."""
    async with administer(program()) as admin:
        browser = Browser(admin)
        answers = [(await browser.sign_in(f"guess-{number}"))[0] for number in range(MAX_FAILURES + 1)]
        assert answers == [401] * MAX_FAILURES + [429]
        assert (await browser.sign_in(ANN))[0] == 429


async def test_a_link_in_a_message_reaches_a_session() -> None:
    """A browser keeps the cookie to itself when another site leads here, so the page has it come once more."""
    for found in (program(), program(admin_key=KEY)):
        async with administer(found) as admin:
            browser = Browser(admin)
            arrival = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}
            status, text = await browser.get("/approvals/a1b2?x=1", **arrival)
            assert (status, 'content="0; url=/approvals/a1b2?x=1"' in text) == (200, True)
            status, text = await browser.get("/approvals/a1b2", **{**arrival, "Sec-Fetch-Site": "same-origin"})
            assert ("http-equiv" in text, 'name="key"' in text) == (False, True)


async def test_a_store_that_is_away_is_told() -> None:
    """Nothing is decided then; the page says when to try again."""
    found = program()
    async with administer(found) as admin:
        browser = Browser(admin)
        await browser.sign_in(ANN)
        found.approval_failure = errors.LedgerUnavailable("The state store is away.", retry_after=5.0)
        for path in ("/approvals", "/approvals/a1b2"):
            status, text = await browser.get(path, **{"Sec-Fetch-Mode": "navigate"})
            assert (status, "The state store is away." in text) == (503, True)
        assert (await browser.post("/approvals/a1b2/approve", {}))[0] == 503
        assert state_of(found) == ("pending", "", "")


async def test_no_secret_is_shown() -> None:
    """The proxy's own secrets are masked in a client's texts, and no page has a key or a token."""
    found = program()
    write = PENDING.write._replace(target="/sp?token=Atza|IwEBIJ-this-is-shaped-like-a-token-of-amazons-own")
    found.book = ApprovalBook((replace(PENDING, write=write),))
    async with administer(found) as admin:
        browser = Browser(admin)
        await browser.sign_in(ANN)
        _, text = await browser.get("/approvals")
        assert "Atza|" not in text
        assert ANN not in text
        assert browser.cookies["ads_proxy_approver"] not in text


def test_sessions_are_bounded_and_end() -> None:
    """In number, and after as long as the console's; tokens and keys are kept as digests."""
    now = [0.0]
    sessions = ApproverSessions(lambda: now[0])
    tokens = [sessions.open(ANN) for _ in range(MAX_SESSIONS + 1)]
    assert [bool(sessions.digest(token)) for token in (tokens[0], tokens[-1])] == [False, True]
    assert sessions.digest(tokens[-1]) == hashlib.sha256(ANN.encode()).hexdigest()
    assert repr(sessions) == f"<ApproverSessions: {MAX_SESSIONS}>"
    now[0] = SESSION_SECONDS + 1.0
    assert sessions.digest(tokens[-1]) == ""


@pytest.mark.parametrize(("asks", "expected"), [(False, None), (True, {"pending": 1, "approved": 0, "problem": ""})])
async def test_the_first_page_counts_what_waits(asks: bool, expected: dict[str, object] | None) -> None:
    """Where some client's writes need approvals."""
    found = program()
    found.does_ask_approvers = asks
    async with administer(found) as admin, admin.ask("/console/state") as answer:
        assert (await answer.json())["approvals"] == expected


async def test_the_first_page_goes_on_while_the_store_is_away() -> None:
    """The status says that what waits is not known."""
    found = program()
    found.does_ask_approvers = True
    found.approval_failure = errors.LedgerUnavailable("The state store is away.")
    async with administer(found) as admin, admin.ask("/console/state") as answer:
        assert (await answer.json())["approvals"]["problem"] == "The state store is away."
