"""A browser that signs in: where it is sent, what brings it back, and every way in which that fails."""

from __future__ import annotations

from urllib.parse import parse_qs, urlsplit

import pytest

from proxy import errors
from proxy.admin.pages import ReplacementConfirmation
from proxy.admin.sign_in import PendingSignIns, SignInFlow, cookie_name, landing_parameters, right_host
from proxy.admin.view import SignInSource
from proxy.events import SignInFinished
from proxy.profiles.replacement import GrantedProfiles
from proxy.secret import Secret
from proxy.tokens.lwa import code_challenge
from proxy.tokens.token_response import Grant
from tests.admin.fixtures import AdminClient, FakeProgram, administer

SOURCE = SignInSource(
    "acme",
    "client-1",
    Secret("s"),
    "https://a.test/oa",
    "https://a.test/t",
    ("one", "two"),
    "http://localhost:8081/login/callback",
)


def ended(program: FakeProgram) -> SignInFinished:
    (event,) = program.seen
    assert isinstance(event, SignInFinished)
    return event


async def begin(admin: AdminClient, path: str = "/login/acme") -> tuple[str, dict[str, str]]:
    """The state and the cookie header that a browser has after it was sent to Amazon."""
    async with admin.ask(path) as answer:
        cookie = answer.headers["Set-Cookie"]
        state = parse_qs(urlsplit(answer.headers["Location"]).query)["state"][0]
    assert {"HttpOnly", "SameSite=Lax", "Path=/login"} <= {part.strip() for part in cookie.split(";")}
    return state, {"Cookie": cookie.split(";")[0]}


async def test_the_browser_is_sent_to_amazons_page() -> None:
    """The redirect holds client id, scope, redirect address, `code` and a long random state."""
    async with administer(FakeProgram()) as admin, admin.ask("/login/acme") as answer:
        assert answer.status == 302
        url = urlsplit(answer.headers["Location"])
    query = {name: values[0] for name, values in parse_qs(url.query).items()}
    assert f"{url.scheme}://{url.netloc}{url.path}" == "https://amazon.test/ap/oa"
    assert len(query.pop("state")) >= 43
    assert len(query.pop("code_challenge")) == 43
    assert query == {
        "client_id": "client-1",
        "scope": "advertising::campaign_management",
        "response_type": "code",
        "redirect_uri": "http://127.0.0.1/login/callback",
        "code_challenge_method": "S256",
    }


async def test_the_code_is_exchanged_with_the_verifier_of_its_own_challenge() -> None:
    """Each sign-in has another one (RFC 7636), and it is not in the address."""
    program, shown = FakeProgram(), []
    async with administer(program) as admin:
        for _ in range(2):
            async with admin.ask("/login/acme") as answer:
                url = answer.headers["Location"]
                cookie = {"Cookie": answer.headers["Set-Cookie"].split(";")[0]}
            query = parse_qs(urlsplit(url).query)
            shown.append(query["code_challenge"][0])
            assert await admin.status(f"/login/callback?code=c&state={query['state'][0]}", headers=cookie) == 200
            assert program.verifiers[-1] not in url
    assert [code_challenge(verifier) for verifier in program.verifiers] == shown
    assert len(set(shown)) == 2


async def test_an_allowed_sign_in_connects_the_account() -> None:
    """The code is exchanged, the grant adopted, the profiles shown, and the event told, and nothing secret shown."""
    program = FakeProgram()
    async with administer(program) as admin:
        state, cookie = await begin(admin)
        async with admin.ask(f"/login/callback?code=THECODE&state={state}", headers=cookie) as answer:
            page = await answer.text()
            assert answer.status == 200
            assert "Max-Age=0" in answer.headers["Set-Cookie"]
    assert (program.codes, program.adopted) == (["THECODE"], ["acme"])
    assert "acme is connected" in page
    assert "Acme Schuhe" in page
    assert not [secret for secret in ("THECODE", "canary", state) if secret in page]
    assert (ended(program).account, ended(program).outcome) == ("acme", "connected")


async def test_a_state_works_once() -> None:
    """The same landing address again is refused and exchanges nothing."""
    program = FakeProgram()
    async with administer(program) as admin:
        state, cookie = await begin(admin)
        path = f"/login/callback?code=c&state={state}"
        assert await admin.status(path, headers=cookie) == 200
        assert await admin.status(path, headers=cookie) == 400
    assert program.codes == ["c"]


@pytest.mark.parametrize("case", ["no cookie", "wrong cookie", "wrong state", "no state"])
async def test_only_the_browser_that_began_can_finish(case: str) -> None:
    """A state without its cookie, or a made-up one, ends in a page with the reason, and the sign-in stays valid."""
    program = FakeProgram()
    async with administer(program) as admin:
        state, cookie = await begin(admin)
        headers = {"no cookie": {}, "wrong cookie": {"Cookie": f"{cookie_name(state)}=x"}}.get(case, cookie)
        query = {"wrong state": "code=c&state=made-up", "no state": "code=c"}.get(case, f"code=c&state={state}")
        async with admin.ask(f"/login/callback?{query}", headers=headers) as answer:
            assert answer.status == 400
            assert "press Connect again" in await answer.text()
        assert (ended(program).outcome, program.codes) == ("state-unknown", [])
        assert await admin.status(f"/login/callback?code=c&state={state}", headers=cookie) == 200


@pytest.mark.parametrize(
    ("query", "failure", "outcome", "status", "said"),
    [
        ("error=access_denied", None, "denied", 403, "press Allow"),
        ("error=invalid_scope&error_description=%3Cb%3Eunknown", None, "failed", 400, "&lt;b&gt;unknown"),
        ("", None, "code-rejected", 400, "neither a code nor an error"),
        ("code=c", errors.RefreshTokenRevoked("The code expired."), "code-rejected", 400, "sign in again"),
        ("code=c", errors.AppMisconfigured("invalid_client"), "failed", 502, "Compare client_id and client_secret"),
        ("code=c", errors.TokenTimeout("No answer."), "failed", 502, "No answer."),
        ("code=c", errors.StateError("The disk is full."), "failed", 502, "The disk is full."),
    ],
)
async def test_every_failure_has_its_page_and_event(
    query: str, failure: errors.AdsProxyError | None, outcome: str, status: int, said: str
) -> None:
    """Denied, refused, expired, broken: each page says what to do and the event says what it was."""
    program = FakeProgram(exchange_failure=failure)
    async with administer(program) as admin:
        state, cookie = await begin(admin)
        async with admin.ask(f"/login/callback?state={state}&{query}", headers=cookie) as answer:
            assert answer.status == status
            assert said in await answer.text()
    assert (ended(program).outcome, program.adopted) == (outcome, [])


@pytest.mark.parametrize(
    ("program", "said"),
    [
        (FakeProgram(listing_failure=errors.UpstreamUnreachable("No route.")), "could not be listed yet"),
        (FakeProgram(known_profiles=()), "sees no advertising profile"),
    ],
)
async def test_connected_without_profiles_is_still_connected(program: FakeProgram, said: str) -> None:
    """The token is kept whatever the profile lists say, and the page says what is missing."""
    async with administer(program) as admin:
        state, cookie = await begin(admin)
        async with admin.ask(f"/login/callback?code=c&state={state}", headers=cookie) as answer:
            assert (answer.status, said in await answer.text()) == (200, True)
    assert program.adopted == ["acme"]


async def test_two_tabs_do_not_disturb_each_other() -> None:
    """Two sign-ins in one browser both finish."""
    program = FakeProgram()
    async with administer(program) as admin:
        first, cookie1 = await begin(admin)
        second, cookie2 = await begin(admin)
        both = {"Cookie": f"{cookie1['Cookie']}; {cookie2['Cookie']}"}
        for state in (first, second):
            assert await admin.status(f"/login/callback?code={state}&state={state}", headers=both) == 200
    assert program.codes == [first, second]


async def test_a_person_elsewhere_is_moved_to_the_redirect_host_once() -> None:
    """Who comes by 127.0.0.1 while the callback is at localhost begins at localhost, where the cookie will be met."""
    program = FakeProgram(redirect_uri="http://localhost:8081/login/callback")
    async with administer(program) as admin:
        async with admin.ask("/login/acme") as answer:
            place, _, ticket = answer.headers["Location"].partition("?")
            assert place == "http://localhost:8081/login/acme"
            assert "Set-Cookie" not in answer.headers
        await begin(admin, f"/login/acme?{ticket}")
    assert right_host(SOURCE, "localhost:9", False) is None


async def test_a_redirect_address_elsewhere_is_pasted() -> None:
    """With `https://amazon.com` as redirect address a page asks for the landing address, and finishes with it."""
    program = FakeProgram(redirect_uri="https://amazon.com")
    async with administer(program) as admin:
        async with admin.ask("/login/acme") as answer:
            page = await answer.text()
            cookie = {"Cookie": answer.headers["Set-Cookie"].split(";")[0]}
        assert "https://amazon.test/ap/oa?client_id=client-1" in page
        state = page.split('name="state" value="')[1].split('"')[0]
        form = {"state": state, "landing": f" https://amazon.com/?code=PASTED&scope=x&state={state} "}
        async with admin.ask("/login/acme", "POST", cookie, form) as answer:
            assert answer.status == 200
    assert program.codes == ["PASTED"]


async def test_an_unknown_account_is_named_with_the_choices() -> None:
    """`/login/typo` says which accounts there are."""
    async with administer(FakeProgram()) as admin, admin.ask("/login/typo") as answer:
        assert answer.status == 404
        assert "the accounts are: acme" in await answer.text()


def test_a_sign_in_is_forgotten_after_ten_minutes() -> None:
    """A state dies by time, and old ones give way to new ones beyond the bound."""
    now = [0.0]
    pending = PendingSignIns(clock=lambda: now[0])
    begun = pending.begin(SOURCE)
    now[0] = 601.0
    assert pending.take(begun.state, {begun.cookie_name: begun.cookie_value}) is None
    first = pending.begin(SOURCE)
    for _ in range(256):
        pending.begin(SOURCE)
    assert pending.take(first.state, {first.cookie_name: first.cookie_value}) is None


def test_what_is_logged_of_a_sign_in_brings_nobody_back() -> None:
    """Neither the state nor the cookie that belongs to it is in any of the texts."""
    tokens = iter(("canary-state", "canary-cookie", "canary-verifier"))
    pending = PendingSignIns(token=lambda: next(tokens))
    program = FakeProgram()
    flow = SignInFlow(program, program, pending)
    assert repr(flow) == "<SignInFlow <PendingSignIns 0>>"
    begun = flow.begin(SOURCE)
    assert repr(flow) == "<SignInFlow <PendingSignIns 1>>"
    assert repr(begun) == f"BegunSignIn(cookie_name={begun.cookie_name!r})"
    kept = pending.take(begun.state, {begun.cookie_name: begun.cookie_value})
    assert "canary" not in f"{kept!r}{begun!r}"
    assert kept is not None


async def test_a_token_ages_while_a_person_confirms_the_new_login() -> None:
    """Amazon counts its life from the request for it, not from the click on the button."""
    ages, now = list[float](), [1000.0]

    class Adopting(FakeProgram):
        async def adopt(self, account: str, grant: Grant) -> None:
            ages.append(grant.took)

    program = Adopting(granted=GrantedProfiles())
    flow = SignInFlow(program, program, PendingSignIns(), lambda: now[0])
    source = program.sign_in_source("acme")
    assert source is not None
    begun = flow.begin(source)
    cookies = {begun.cookie_name: begun.cookie_value}
    held = await flow.finish({"state": begun.state, "code": "ANcode"}, cookies)
    assert isinstance(held, ReplacementConfirmation)
    now[0] += 500.0
    await flow.replace(begun.state, "acme", cookies)
    assert ages == [500.0]


@pytest.mark.parametrize(
    ("landing", "expected"),
    [
        ("ANcode", {"code": "ANcode"}),
        ("https://amazon.com/?code=a%7Cb&state=s", {"code": "a|b", "state": "s"}),
        ("?code=a&code=b", {"code": "a"}),
        ("code=a&state=s", {"code": "a", "state": "s"}),
        ("https://amazon.com/?error=access_denied", {"error": "access_denied"}),
        ("  ", {}),
    ],
)
def test_pasted_text_is_understood(landing: str, expected: dict[str, str]) -> None:
    """A whole address, its query or the bare code: each is understood."""
    assert landing_parameters(landing) == expected
