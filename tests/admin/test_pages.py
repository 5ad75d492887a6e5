"""A new login next to a working one: the profiles that would be lost decide whether it is put in force, asked about, or
refused."""

from __future__ import annotations

import pytest

from proxy import errors
from proxy.admin.pages import ReplacementConfirmation, prose
from proxy.events import SignInFinished
from proxy.profiles.replacement import Comparison, GrantedProfiles, ReachedProfile, Replacement, compare
from tests.admin.fixtures import AdminClient, FakeProgram, administer, credential
from tests.admin.test_sign_in import begin


def profile(number: int, region: str = "na", name: str = "") -> ReachedProfile:
    return ReachedProfile(str(number), "acme", region, name or f"Brand {number}", "US", "seller")


ONE, TWO, ABROAD = profile(1), profile(2), profile(3, "eu", "Marke <3>")


@pytest.mark.parametrize(
    ("known", "granted", "decision", "lost", "uncertain"),
    [
        ((ONE, TWO), GrantedProfiles((ONE, TWO)), Replacement.AT_ONCE, (), ()),
        ((ONE, TWO), GrantedProfiles((TWO, ONE, ABROAD)), Replacement.AT_ONCE, (), ()),
        ((), GrantedProfiles(), Replacement.AT_ONCE, (), ()),
        ((ONE, TWO), GrantedProfiles((ONE,)), Replacement.ASK, (TWO,), ()),
        ((ONE, TWO), GrantedProfiles((ABROAD,)), Replacement.INSIST, (ONE, TWO), ()),
        ((ONE, TWO), GrantedProfiles(), Replacement.INSIST, (ONE, TWO), ()),
        ((ONE,), GrantedProfiles((profile(1, "eu"),)), Replacement.INSIST, (ONE,), ()),
        ((ONE, ABROAD), GrantedProfiles((ONE,), {"eu": "503"}), Replacement.ASK, (), ("eu",)),
        ((ONE, ABROAD), GrantedProfiles((TWO,), {"eu": "503"}), Replacement.INSIST, (ONE,), ("eu",)),
        ((ONE,), GrantedProfiles((), {"na": "503"}), Replacement.ASK, (), ("na",)),
        ((ONE,), GrantedProfiles((ONE,), {"fe": "503"}), Replacement.AT_ONCE, (), ()),
    ],
)
def test_what_is_lost_decides(
    known: tuple[ReachedProfile, ...],
    granted: GrantedProfiles,
    decision: Replacement,
    lost: tuple[ReachedProfile, ...],
    uncertain: tuple[str, ...],
) -> None:
    """A loss of nothing puts it in force at once; some or an unknown loss is a question; a loss of everything is a
    refusal that a person can override."""
    gained = tuple(profile for profile in granted.profiles if profile not in known)
    assert compare(known, granted) == Comparison(decision, len(known), len(granted.profiles), lost, uncertain, gained)


@pytest.mark.parametrize(
    ("text", "page"),
    [
        ("Run `ads-proxy login acme`.", "Run <code>ads-proxy login acme</code>."),
        ("`a`, `b`", "<code>a</code>, <code>b</code>"),
        ('`<b>` & "c"', "<code>&lt;b&gt;</code> &amp; &quot;c&quot;"),
        ("a lone ` stays", "a lone ` stays"),
    ],
)
def test_commands_and_keys_in_a_sentence_are_set_as_code(text: str, page: str) -> None:
    """No page shows the backticks of a message, and everything of it is escaped."""
    assert prose(text) == page


async def test_the_page_of_a_failed_sign_in_shows_no_backtick() -> None:
    """What came from Login with Amazon's refusal, and the advice."""
    failure = errors.AppMisconfigured("The `client_secret` is wrong.")
    async with administer(FakeProgram(exchange_failure=failure)) as admin:
        status, page, _ = await land(admin)
    assert (status, "`" in page) == (502, False)
    assert "The <code>client_secret</code> is wrong." in page


def own_origin(admin: AdminClient) -> dict[str, str]:
    return {"Origin": f"http://127.0.0.1:{admin.port}"}


def outcomes(program: FakeProgram) -> list[str]:
    return [event.outcome for event in program.seen if isinstance(event, SignInFinished)]


async def land(admin: AdminClient) -> tuple[int, str, dict[str, str]]:
    """A sign-in up to its landing: the answer, and what the page's form sends."""
    state, cookie = await begin(admin)
    async with admin.ask(f"/login/callback?code=c&state={state}", headers=cookie) as answer:
        kept = "Set-Cookie" not in answer.headers
        page = await answer.text()
        assert kept == (f'name="state" value="{state}"' in page)
        return answer.status, page, {"state": state, **cookie}


async def press(admin: AdminClient, landed: dict[str, str], insisted: str = "") -> tuple[int, str]:
    """The page's button."""
    headers = {**own_origin(admin), "Cookie": landed.get("Cookie", "")}
    form = {"state": landed["state"], "insisted": insisted}
    async with admin.ask("/login/acme/replace", "POST", headers, form) as answer:
        return answer.status, await answer.text()


@pytest.mark.parametrize(
    "program",
    [
        FakeProgram(granted=GrantedProfiles((profile(111), profile(222, "eu"), ONE))),
        FakeProgram(granted=GrantedProfiles(), statuses=(credential(state="revoked"),)),
        FakeProgram(granted=GrantedProfiles(), statuses=(credential(state="pending"),)),
        FakeProgram(granted=GrantedProfiles(), known_profiles=()),
        FakeProgram(granted=GrantedProfiles((ONE,)), known_profiles=(ReachedProfile("9", "other", "na", "", "", ""),)),
    ],
    ids=["nothing lost", "revoked", "pending", "nothing known", "another account's profiles"],
)
async def test_where_nothing_is_lost_nothing_is_asked(program: FakeProgram) -> None:
    """The same profiles or more, or no working login to lose, connect at once."""
    async with administer(program) as admin:
        status, _, _ = await land(admin)
    assert (status, program.adopted, outcomes(program)) == (200, ["acme"], ["connected"])


@pytest.mark.parametrize(
    ("program", "told"),
    [
        (FakeProgram(granted=GrantedProfiles((profile(111), profile(222, "eu"), ONE))), True),
        (FakeProgram(granted=GrantedProfiles((ONE,)), statuses=(credential(state="revoked"),)), True),
        (FakeProgram(granted=GrantedProfiles((profile(111), profile(222, "eu")))), False),
        (FakeProgram(granted=GrantedProfiles((ONE,)), known_profiles=()), False),
    ],
    ids=["other profiles", "other profiles than a revoked login", "the same profiles", "nothing known"],
)
async def test_subscriptions_of_the_earlier_consent_are_mentioned(program: FakeProgram, told: bool) -> None:
    """On the page and in the event, if the consent may be another person's."""
    async with administer(program) as admin:
        _, page, _ = await land(admin)
    assert program.adopted == ["acme"]
    (event,) = [event for event in program.seen if isinstance(event, SignInFinished)]
    assert ("Marketing Stream subscriptions" in page, "Marketing Stream subscriptions" in event.detail) == (told, told)


@pytest.mark.parametrize("state", ["valid", "degraded"])
async def test_losing_some_profiles_takes_a_word(state: str) -> None:
    """The page lists what is lost; nothing has changed until its button is pressed, which works once."""
    program = FakeProgram(granted=GrantedProfiles((profile(111),)), statuses=(credential(state=state),))
    async with administer(program) as admin:
        status, page, landed = await land(admin)
        assert (status, program.adopted) == (409, [])
        assert "Replace the login of acme?" in page
        assert "lacks 1 of the 2" in page
        assert "Acme Schuhe" in page
        assert "Acme Shoes" not in page
        assert "Marketing Stream subscriptions" in page
        assert (await press(admin, landed))[0] == 200
        assert (await press(admin, landed))[0] == 400
    assert (program.adopted, outcomes(program)) == (["acme"], ["confirmation-needed", "connected", "state-unknown"])


async def test_another_persons_login_is_refused_unless_insisted() -> None:
    """Without a profile in common only the account's name, typed, puts the login in force; a wrong name asks again."""
    program = FakeProgram(granted=GrantedProfiles((ABROAD,)))
    async with administer(program) as admin:
        status, page, landed = await land(admin)
        assert status == 409
        assert "none of the 2 that clients use now" in page
        for typed in ("", "other"):
            status, page = await press(admin, landed, typed)
            assert (status, "not the name of the account" in page) == (409, typed == "other")
        assert program.adopted == []
        assert (await press(admin, landed, " acme "))[0] == 200
    assert (program.adopted, outcomes(program)) == (["acme"], ["refused", "connected"])


async def test_what_cannot_be_compared_is_asked_about() -> None:
    """A region that does not list for the new login: the page says which."""
    program = FakeProgram(granted=GrantedProfiles((profile(111),), {"eu": "Amazon refuses (503)"}))
    async with administer(program) as admin:
        status, page, _ = await land(admin)
    assert (status, program.adopted) == (409, [])
    assert "What it reaches in eu could not be listed" in page


@pytest.mark.parametrize("case", ["no cookie", "other cookie", "other state", "no origin"])
async def test_only_the_browser_that_began_can_replace(case: str) -> None:
    """The question is bound to its browser as the sign-in was, and to a form of ours."""
    program = FakeProgram(granted=GrantedProfiles((profile(111),)))
    async with administer(program) as admin:
        _, _, landed = await land(admin)
        wrong = {
            "no cookie": {"state": landed["state"]},
            "other cookie": {**landed, "Cookie": landed["Cookie"] + "x"},
            "other state": {**landed, "state": "x"},
        }.get(case)
        if wrong is None:
            headers = {"Cookie": landed["Cookie"]}
            async with admin.ask("/login/acme/replace", "POST", headers, {"state": landed["state"]}) as answer:
                assert answer.status == 403
        else:
            assert (await press(admin, wrong))[0] == 400
        assert program.adopted == []
        assert (await press(admin, landed))[0] == 200


async def test_a_question_cannot_be_answered_by_another_landing() -> None:
    """The state of an open question is none of a sign-in any more."""
    program = FakeProgram(granted=GrantedProfiles((profile(111),)))
    async with administer(program) as admin:
        _, _, landed = await land(admin)
        path = f"/login/callback?code=other&state={landed['state']}"
        assert await admin.status(path, headers={"Cookie": landed["Cookie"]}) == 400
    assert (program.codes, program.adopted) == (["c"], [])


async def test_a_reload_meanwhile_ends_the_question() -> None:
    """A grant for another application than the configured one is not put in force."""
    program = FakeProgram(granted=GrantedProfiles((profile(111),)))
    async with administer(program) as admin:
        _, _, landed = await land(admin)
        program.redirect_uri = "http://127.0.0.1:1/login/callback"
        assert (await press(admin, landed))[0] == 400
    assert program.adopted == []


async def test_a_login_that_cannot_be_kept_says_so_after_the_question_too() -> None:
    """The disk is full: the page is the one of any sign-in that failed."""

    class Full(FakeProgram):
        async def adopt(self, account: str, grant: object) -> None:
            raise errors.StateError("The disk is full.")

    program = Full(granted=GrantedProfiles((profile(111),)))
    async with administer(program) as admin:
        _, _, landed = await land(admin)
        status, page = await press(admin, landed)
    assert (status, "The disk is full." in page) == (502, True)


def test_what_is_logged_of_a_question_answers_it_for_nobody() -> None:
    """The state is not in it."""
    assert "canary" not in repr(ReplacementConfirmation("acme", "canary", Comparison(Replacement.ASK)))
