"""The token manager on virtual time: refreshing ahead, single flight, trouble, refusals, 401s, suspension."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Awaitable, Callable
from dataclasses import replace

import pytest

from proxy import errors
from proxy.events import (
    CredentialStateChanged,
    DefectMet,
    RefreshFailed,
    SignInNeeded,
    TokenRefreshed,
)
from proxy.secret import Secret
from proxy.tokens.lwa import AppCredentials
from proxy.tokens.manager import AccessToken, TokenSettings
from proxy.tokens.suspicion import TokenUse
from proxy.tokens.token_response import Grant
from tests.support.tokens import EPOCH, RunningManager, ScriptedLogin, grant, source, virtual_time

USE = TokenUse("reporting", "1")
FOREIGN = TokenUse("other", "999")


async def never() -> Grant:
    await asyncio.sleep(1e6)
    raise AssertionError("nobody waits so long")


def slowly(seconds: float, answer: Grant) -> Callable[[], Awaitable[Grant]]:
    async def answer_late() -> Grant:
        await asyncio.sleep(seconds)
        return answer

    return answer_late


async def gather_tokens(running: RunningManager, count: int) -> list[AccessToken]:
    return list(await asyncio.gather(*(running.manager.get("acme") for _ in range(count))))


@virtual_time
async def test_a_token_is_obtained_at_start_without_being_asked_for() -> None:
    """The first token is there before the first request, and the hot path finds it."""
    async with RunningManager() as running:
        await running.manager.start([source()])
        assert running.manager.current("acme") is None
        assert running.state() == "pending"
        await asyncio.sleep(1)
        token = running.manager.current("acme")
        assert token is not None
        assert (token.value.reveal(), token.generation) == ("access-1", 1)
        assert running.state() == "valid"


@virtual_time
async def test_a_cold_burst_makes_one_request() -> None:
    """Fifty requests that find no token share one token request."""
    async with RunningManager() as running:
        await running.manager.start([source()])
        tokens = await gather_tokens(running, 50)
        assert len(running.login.asked) == 1
        assert {token.value.reveal() for token in tokens} == {"access-1"}


@virtual_time
async def test_tokens_are_renewed_ahead_of_expiry_for_ever() -> None:
    """A token is renewed `refresh_ahead` before its end; there is never a moment without one."""
    async with RunningManager() as running:
        await running.manager.start([source()])
        await running.manager.get("acme")
        for _ in range(10_000):
            await asyncio.sleep(7)
            assert running.manager.current("acme") is not None
        gaps = [later - earlier for earlier, later in zip(running.login.times, running.login.times[1:], strict=False)]
        assert set(map(round, gaps)) == {3300}


@virtual_time
async def test_five_second_tokens_make_one_request_each() -> None:
    """With tokens of five seconds, a minute has no gap and about one request per token."""
    async with RunningManager(ScriptedLogin(expires_in=5.0)) as running:
        await running.manager.start([source()])
        await running.manager.get("acme")
        for _ in range(600):
            await asyncio.sleep(0.1)
            assert running.manager.current("acme") is not None
        assert len(running.login.asked) <= 60 / 3.5 + 1


@virtual_time
async def test_an_asker_that_leaves_does_not_end_the_refresh() -> None:
    """The refresh is detached from the request that asked."""
    async with RunningManager() as running:
        await running.manager.start([source()])
        asker = asyncio.create_task(running.manager.get("acme"))
        await asyncio.sleep(0.05)
        asker.cancel()
        await asyncio.sleep(0.2)
        assert asker.cancelled()
        assert running.manager.current("acme") is not None
        assert len(running.login.asked) == 1


@virtual_time
async def test_a_token_serves_to_its_real_end_whatever_happens() -> None:
    """Passing trouble: degraded with the old token, then expired with none, then valid again by itself."""
    trouble = [errors.TokenServerError("Login with Amazon answered 503.") for _ in range(200)]
    async with RunningManager(ScriptedLogin(grant("first"), *trouble)) as running:
        await running.manager.start([source()])
        await running.manager.get("acme")
        began = running.login.times[0]
        await asyncio.sleep(3310)
        assert running.state() == "degraded"
        token = running.manager.current("acme")
        assert token is not None
        assert token.expires_at == pytest.approx(began + 3600)
        await asyncio.sleep(token.expires_at - running.clock() - 0.001)
        assert running.manager.current("acme") is not None
        await asyncio.sleep(0.002)
        assert running.manager.current("acme") is None
        assert running.state() == "expired"
        with pytest.raises(errors.NoUsableToken, match="answered 503"):
            await running.manager.get("acme")
        running.login.script.clear()
        await asyncio.sleep(31)
        assert running.state() == "valid"
        changes = [(event.old, event.new) for event in running.events.of(CredentialStateChanged)]
        assert changes == [
            ("pending", "pending"),
            ("pending", "valid"),
            ("valid", "degraded"),
            ("degraded", "expired"),
            ("expired", "valid"),
        ]


@virtual_time
async def test_failures_back_off_and_are_told() -> None:
    """Attempts move apart, up to half a minute, and each is an event that says what comes next."""
    trouble = [errors.TokenNetworkError("No connection.") for _ in range(12)]
    async with RunningManager(ScriptedLogin(*trouble)) as running:
        await running.manager.start([source()])
        await asyncio.sleep(150)
        told = running.events.of(RefreshFailed)
        assert [event.retry_in for event in told[:8]] == [0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 15.0, 15.0]
        assert {event.reason for event in told} == {"network"}
        assert {event.token_expires_at for event in told} == {None}
        gaps = [later - earlier for earlier, later in zip(running.login.times, running.login.times[1:], strict=False)]
        assert gaps[:4] == pytest.approx([0.35, 0.6, 1.1, 2.1])


@virtual_time
async def test_retry_after_is_waited_for() -> None:
    """A throttled token request waits as long as it was told to; a request is told so at once."""
    async with RunningManager(ScriptedLogin(errors.TokenThrottled("Asked to wait.", retry_after=40.0))) as running:
        await running.manager.start([source()])
        await asyncio.sleep(1)
        before = running.clock()
        with pytest.raises(errors.NoUsableToken) as refused:
            await running.manager.get("acme")
        assert running.clock() == before
        assert refused.value.retry_after == pytest.approx(39.1)
        assert refused.value.retryable is True
        await asyncio.sleep(38)
        assert len(running.login.asked) == 1
        await asyncio.sleep(2)
        assert running.state() == "valid"


@virtual_time
async def test_a_request_waits_through_a_short_backoff() -> None:
    """A request that can be served by the next attempt is, without an attempt of its own."""
    async with RunningManager(ScriptedLogin(errors.TokenServerError("500"), errors.TokenServerError("500"))) as running:
        await running.manager.start([source()])
        token = await running.manager.get("acme")
        assert token.value.reveal() == "access-3"
        assert len(running.login.asked) == 3


@virtual_time
async def test_while_requests_wait_the_backoff_is_short() -> None:
    """After long trouble a request that comes is served within seconds of its end, and without a failure in between."""
    trouble = [errors.TokenNetworkError("No connection.") for _ in range(8)]
    async with RunningManager(ScriptedLogin(*trouble)) as running:
        await running.manager.start([source()])
        while len(running.login.asked) < 8:
            await asyncio.sleep(0.1)
        await asyncio.sleep(0.2)
        assert running.login.script == []
        before = running.clock()
        await running.manager.get("acme")
        assert running.clock() - before <= 5.1


@virtual_time
async def test_requests_that_keep_coming_keep_the_attempts_near() -> None:
    """Never more than five seconds lie between two attempts while somebody waits; alone they move apart again."""
    trouble = [errors.TokenNetworkError("No connection.") for _ in range(100)]
    async with RunningManager(ScriptedLogin(*trouble)) as running:
        running.chance = 1.0
        await running.manager.start([source()])
        while running.clock() < 1100:
            with pytest.raises(errors.NoUsableToken):
                await running.manager.get("acme")
        times = running.login.times
        gaps = [later - earlier for earlier, later in itertools.pairwise(times)]
        assert max(gaps) == pytest.approx(5.1)
        assert max(event.retry_in for event in running.events.of(RefreshFailed)) == 5.0
        count = len(times)
        await asyncio.sleep(100)
        assert len(times) - count <= 5


@virtual_time
async def test_a_request_waits_no_longer_than_it_may() -> None:
    """`request_wait` bounds the wait; the refresh goes on for the next request."""
    late = slowly(15, grant("late"))
    patient = TokenSettings(request_wait=10, refresh_timeout=30)
    async with RunningManager(ScriptedLogin(late), settings=patient) as running:
        await running.manager.start([source()])
        before = running.clock()
        with pytest.raises(errors.NoUsableToken) as refused:
            await running.manager.get("acme")
        assert running.clock() - before == pytest.approx(10, abs=0.01)
        assert refused.value.retry_after is not None
        assert (await running.manager.get("acme")).value.reveal() == "late"


@virtual_time
async def test_one_token_request_is_bounded_in_time() -> None:
    """A token request that never ends is given up after eight seconds, and another one follows."""
    async with RunningManager(ScriptedLogin(never)) as running:
        await running.manager.start([source()])
        await asyncio.sleep(7.9)
        assert not running.events.of(RefreshFailed)
        await asyncio.sleep(1)
        assert [event.reason for event in running.events.of(RefreshFailed)] == ["timeout"]
        assert running.state() == "valid"


@virtual_time
async def test_a_request_is_served_though_the_first_token_request_hangs() -> None:
    """A cold start through a connection that died without a word costs a request seconds, and no error."""
    async with RunningManager(ScriptedLogin(never)) as running:
        await running.manager.start([source()])
        before = running.clock()
        assert (await running.manager.get("acme")).value.reveal() == "access-2"
        assert running.clock() - before < 9


@virtual_time
async def test_an_endpoint_that_is_slow_for_all_gets_its_time() -> None:
    """Where every answer takes twenty seconds, a token comes all the same: attempts become more patient."""

    class Slow(ScriptedLogin):
        async def refresh(self, token_url: str, credentials: AppCredentials, refresh_token: Secret) -> Grant:
            granted = await super().refresh(token_url, credentials, refresh_token)
            await asyncio.sleep(20)
            return granted

    async with RunningManager(Slow()) as running:
        await running.manager.start([source()])
        await asyncio.sleep(60)
        assert running.state() == "valid"
        assert [event.reason for event in running.events.of(RefreshFailed)] == ["timeout"] * 3
        gaps = [later - earlier for earlier, later in zip(running.login.times, running.login.times[1:], strict=False)]
        assert gaps == pytest.approx([8.25, 8.5, 17.0])


@virtual_time
async def test_expiry_counts_from_the_sending() -> None:
    """A slow answer does not lengthen the token's life."""
    patient = TokenSettings(request_wait=60, refresh_timeout=30)
    async with RunningManager(ScriptedLogin(slowly(20, grant("late"))), settings=patient) as running:
        await running.manager.start([source()])
        token = await running.manager.get("acme")
        assert token.expires_at == running.login.times[0] + 3600
        told = running.events.of(TokenRefreshed)[0]
        assert (told.trigger, round(told.duration, 2)) == ("start", 20.1)
        assert told.expires_at == pytest.approx(EPOCH + token.expires_at)


@virtual_time
async def test_a_revoked_account_fails_alone_and_at_once() -> None:
    """`invalid_grant`: requests are told at once what to do; the other account goes on."""

    class OneRevoked(ScriptedLogin):
        async def refresh(self, token_url: str, credentials: object, refresh_token: Secret) -> Grant:
            if refresh_token.reveal() == "bad":
                self.asked.append((asyncio.get_running_loop().time(), "bad"))
                raise errors.RefreshTokenRevoked("The refresh token was refused.")
            return grant("good")

    async with RunningManager(OneRevoked()) as running:
        await running.manager.start([source("dead", "bad"), source("alive", "good")])
        await asyncio.sleep(1)
        assert (running.state("dead"), running.state("alive")) == ("revoked", "valid")
        before = running.clock()
        with pytest.raises(errors.NoUsableToken, match="ads-proxy login dead") as refused:
            await running.manager.get("dead")
        assert refused.value.retryable is False
        assert running.clock() == before
        assert (await running.manager.get("alive")).value.reveal() == "good"
        await asyncio.sleep(3600)
        assert 10 <= len(running.login.asked) <= 20


@virtual_time
async def test_a_refused_refresh_token_is_kept_and_recovers() -> None:
    """A good refresh token survives an odd `invalid_grant`; the access token in hand goes on serving meanwhile."""
    async with RunningManager(ScriptedLogin(grant("first"), errors.RefreshTokenRevoked("odd"))) as running:
        await running.manager.start([source()])
        await asyncio.sleep(3310)
        assert running.state() == "revoked"
        assert (await running.manager.get("acme")).value.reveal() == "first"
        await asyncio.sleep(60)
        assert running.state() == "valid"
        assert [sent for _, sent in running.login.asked] == ["refresh-0"] * 3


@virtual_time
@pytest.mark.parametrize("failure", [errors.AppMisconfigured, errors.TokenRequestRejected])
async def test_a_wrong_application_is_misconfigured(failure: type[errors.TokenFailure]) -> None:
    """`invalid_client` and its like have their own state and advice."""
    async with RunningManager(ScriptedLogin(failure("Refused."))) as running:
        await running.manager.start([source()])
        await asyncio.sleep(1)
        status = running.manager.statuses()[0]
        assert (status.state, status.advice) == ("misconfigured", failure.advice)
        assert status.last_failure is not None
        assert status.last_failure.permanent
        with pytest.raises(errors.NoUsableToken, match="Refused"):
            await running.manager.get("acme")


@virtual_time
async def test_a_defect_does_not_stop_refreshing() -> None:
    """An exception that nobody expected is reported, and the next attempt follows."""
    async with RunningManager(ScriptedLogin(ZeroDivisionError("secret words"))) as running:
        await running.manager.start([source()])
        await asyncio.sleep(2)
        assert running.state() == "valid"
        defect = running.events.of(DefectMet)[0]
        assert "ZeroDivisionError" in defect.traceback
        assert "secret words" not in defect.traceback


@virtual_time
async def test_a_burst_of_401s_makes_one_refresh() -> None:
    """Fifty rejections of one generation share one token request and get the same new token."""
    async with RunningManager() as running:
        await running.manager.start([source()])
        old = await running.manager.get("acme")
        answers = await asyncio.gather(*(running.manager.renewed(old, USE) for _ in range(50)))
        assert len(running.login.asked) == 2
        assert {answer.generation for answer in answers if answer is not None} == {2}
        assert None not in answers
        assert running.events.of(TokenRefreshed)[1].trigger == "unauthorized"


@virtual_time
async def test_a_late_401_gets_the_token_in_hand() -> None:
    """A rejection of an older generation costs no token request."""
    async with RunningManager() as running:
        await running.manager.start([source()])
        old = await running.manager.get("acme")
        await running.manager.renewed(old, USE)
        again = await running.manager.renewed(old, USE)
        assert again is running.manager.current("acme")
        assert len(running.login.asked) == 2


@virtual_time
async def test_a_tool_with_a_foreign_scope_does_not_hammer() -> None:
    """A 401 for each generation is damped after five refreshes, and one each half minute follows."""
    async with RunningManager() as running:
        await running.manager.start([source()])
        token: AccessToken | None = await running.manager.get("acme")
        for _ in range(100):
            current = running.manager.current("acme")
            assert current is not None
            token = await running.manager.renewed(current, USE)
        assert token is None
        assert len(running.login.asked) == 6
        await asyncio.sleep(300)
        assert running.state() == "valid"
        for _ in range(100):
            current = running.manager.current("acme")
            assert current is not None
            await running.manager.renewed(current, USE)
        assert len(running.login.asked) == 11


async def hammer(running: RunningManager, use: TokenUse, times: int) -> None:
    """So many 401s, each for the token in hand."""
    for _ in range(times):
        current = running.manager.current("acme")
        assert current is not None
        await running.manager.renewed(current, use)


@virtual_time
@pytest.mark.parametrize("accepted", [True, False])
async def test_a_foreign_scope_costs_the_others_nothing(accepted: bool) -> None:
    """It spent its own allowance; when the token dies, whoever was accepted, or comes as a second one, asks at once."""
    async with RunningManager() as running:
        await running.manager.start([source()])
        token = await running.manager.get("acme")
        for _ in range(20):
            await hammer(running, FOREIGN, 5)
            if accepted:
                running.manager.accepted(token, USE)
        asked = len(running.login.asked)
        before, dead = running.clock(), running.manager.current("acme")
        assert dead is not None
        assert await running.manager.renewed(dead, FOREIGN) is None
        new = await running.manager.renewed(dead, USE)
        assert new is not None
        assert new.generation == dead.generation + 1
        assert len(running.login.asked) == asked + 1
        assert running.clock() - before == pytest.approx(0.1)


@virtual_time
async def test_many_foreign_scopes_are_bounded_together() -> None:
    """One that tries a thousand names spends what strangers share, and no more."""
    async with RunningManager() as running:
        await running.manager.start([source()])
        await running.manager.get("acme")
        for number in range(1000):
            await hammer(running, TokenUse("other", str(number)), 1)
        assert len(running.login.asked) <= 1 + 5 + 5


@virtual_time
@pytest.mark.parametrize("accepted", [True, False])
async def test_one_that_was_accepted_asks_at_once_though_strangers_spent_all(accepted: bool) -> None:
    """It has nothing to do with what they share; one that never was has to wait for it."""
    async with RunningManager() as running:
        await running.manager.start([source()])
        token = await running.manager.get("acme")
        for number in range(100):
            await hammer(running, TokenUse("other", str(number)), 1)
        if accepted:
            running.manager.accepted(token, USE)
        dead = running.manager.current("acme")
        assert dead is not None
        new = await running.manager.renewed(dead, USE)
        assert (new is not None and new.generation == dead.generation + 1) is accepted


@virtual_time
async def test_one_that_works_and_fails_in_turn_is_bounded_too() -> None:
    """What was accepted before is believed as often as its own allowance lasts."""
    async with RunningManager() as running:
        await running.manager.start([source()])
        token = await running.manager.get("acme")
        running.manager.accepted(token, USE)
        await hammer(running, USE, 100)
        assert len(running.login.asked) == 1 + 5
        await hammer(running, FOREIGN, 1)
        assert len(running.login.asked) == 1 + 6


@virtual_time
async def test_what_is_accepted_is_of_interest_for_a_while_after_a_401() -> None:
    """Then it is not told any longer, which spares every request the telling."""
    async with RunningManager() as running:
        await running.manager.start([source()])
        token = await running.manager.get("acme")
        await running.manager.renewed(token, USE)
        assert running.manager.watchful
        running.manager.accepted(token, USE)
        assert running.manager.watchful
        await asyncio.sleep(901)
        running.manager.accepted(token, USE)
        assert not running.manager.watchful


@virtual_time
async def test_a_foreign_scope_keeps_its_401_while_login_is_away() -> None:
    """It is not told to come back for a token: the one in hand is good for others."""
    trouble = errors.TokenThrottled("wait", retry_after=60.0)
    login = ScriptedLogin(*(grant(str(number)) for number in range(6)), trouble)
    async with RunningManager(login) as running:
        await running.manager.start([source()])
        await running.manager.get("acme")
        await hammer(running, FOREIGN, 20)
        dead = running.manager.current("acme")
        assert dead is not None
        with pytest.raises(errors.NoUsableToken):
            await running.manager.renewed(dead, USE)
        assert await running.manager.renewed(dead, FOREIGN) is None


@virtual_time
async def test_a_401_amid_trouble_waits_for_the_next_attempt() -> None:
    """A dead token is replaced by the retry that comes in time, without requests of its own."""
    login = ScriptedLogin(grant("dead"), errors.TokenServerError("500"), errors.TokenServerError("500"))
    async with RunningManager(login) as running:
        await running.manager.start([source()])
        old = await running.manager.get("acme")
        answers = await asyncio.gather(*(running.manager.renewed(old, USE) for _ in range(5)))
        assert {answer.value.reveal() for answer in answers if answer is not None} == {"access-4"}
        assert len(running.login.asked) == 4


@virtual_time
async def test_a_401_gets_none_where_no_token_comes() -> None:
    """Neither a refused credential, nor a far retry, nor an account that left makes a request wait."""
    login = ScriptedLogin(grant("a"), errors.TokenThrottled("wait", retry_after=60.0), errors.RefreshTokenRevoked("x"))
    async with RunningManager(login) as running:
        await running.manager.start([source()])
        old = await running.manager.get("acme")
        with pytest.raises(errors.NoUsableToken) as away:
            await running.manager.renewed(old, USE)
        assert away.value.retryable
        assert away.value.retry_after == pytest.approx(60, abs=1)
        await asyncio.sleep(61)
        assert running.state() == "revoked"
        assert running.manager.current("acme") == old
        before = running.clock()
        assert await running.manager.renewed(old, USE) is None
        await running.manager.reconfigure([])
        assert await running.manager.renewed(old, USE) is None
        assert running.clock() == before


@virtual_time
async def test_a_401_waits_no_longer_than_it_may() -> None:
    """A refresh that hangs costs a rejected request `request_wait` and no more."""
    async with RunningManager(ScriptedLogin(grant("a"), never), settings=TokenSettings(refresh_timeout=30)) as running:
        await running.manager.start([source()])
        old = await running.manager.get("acme")
        before = running.clock()
        with pytest.raises(errors.NoUsableToken):
            await running.manager.renewed(old, USE)
        assert running.clock() - before == pytest.approx(10, abs=0.01)


@virtual_time
async def test_a_suspended_machine_never_serves_an_expired_token() -> None:
    """After a suspension the token is known to be old at once, and a request gets a new one."""
    async with RunningManager() as running:
        await running.manager.start([source()])
        await running.manager.get("acme")
        await asyncio.sleep(60)
        running.suspended = 8 * 3600
        assert running.manager.current("acme") is None
        token = await running.manager.get("acme")
        assert (token.generation, len(running.login.asked)) == (2, 2)
        assert running.events.of(TokenRefreshed)[1].trigger == "expired"


@virtual_time
async def test_a_suspended_machine_renews_by_itself_within_half_a_minute() -> None:
    """No sleep is trusted for longer than half a minute."""
    async with RunningManager() as running:
        await running.manager.start([source()])
        await asyncio.sleep(60)
        running.suspended = 3400
        await asyncio.sleep(31)
        assert len(running.login.asked) == 2


@virtual_time
async def test_an_account_without_refresh_token_says_so_at_once() -> None:
    """Pending until somebody signs in; nothing is asked of Amazon."""
    async with RunningManager() as running:
        await running.manager.start([source(refresh=None)])
        with pytest.raises(errors.NoUsableToken, match="ads-proxy login acme") as refused:
            await running.manager.get("acme")
        assert refused.value.retryable is False
        with pytest.raises(errors.RefreshTokenMissing):
            await running.manager.refresh_now("acme")
        await asyncio.sleep(1000)
        assert running.login.asked == []
        status = running.manager.statuses()[0]
        assert (status.state, status.has_refresh_token, status.refresh_token_source) == ("pending", False, "")
        assert status.next_refresh_at is None
        assert [event.account for event in running.events.of(SignInNeeded)] == ["acme"]


@virtual_time
async def test_a_missing_refresh_token_is_told_once_with_where_to_sign_in() -> None:
    """At start, or when it leaves the configuration; an account that has one says nothing."""
    page = "http://127.0.0.1:8081/login/acme"
    absent, present = (replace(source(refresh=refresh), sign_in_url=page) for refresh in (None, "refresh-0"))
    async with RunningManager() as running:
        await running.manager.start([absent, source("other")])
        told = f"Sign in: {page} or `ads-proxy login acme`; or configure a refresh token."
        assert running.events.of(SignInNeeded) == [SignInNeeded("acme", told)]
        await running.manager.reconfigure([present, source("other")])
        await running.manager.get("acme")
        await running.manager.reconfigure([absent, source("other", secret="another")])
        assert running.events.of(SignInNeeded) == [SignInNeeded("acme", told)] * 2


@virtual_time
async def test_the_operator_can_refresh_at_once() -> None:
    """The button makes a request, and tells how it failed."""
    async with RunningManager(ScriptedLogin(grant("a"), grant("b"), errors.TokenServerError("503"))) as running:
        await running.manager.start([source()])
        await running.manager.get("acme")
        await running.manager.refresh_now("acme")
        assert (await running.manager.get("acme")).value.reveal() == "b"
        with pytest.raises(errors.TokenServerError):
            await running.manager.refresh_now("acme")
        assert running.state() == "degraded"


@virtual_time
async def test_unknown_accounts_are_named() -> None:
    """Asking for an account that does not exist is an error that names those that do."""
    async with RunningManager() as running:
        await running.manager.start([source()])
        assert running.manager.current("other") is None
        with pytest.raises(errors.NoUsableToken, match="not configured"):
            await running.manager.get("other")
        with pytest.raises(errors.UnknownAccount, match="acme"):
            await running.manager.refresh_now("other")


@virtual_time
async def test_nothing_that_is_shown_holds_a_secret() -> None:
    """Statuses, events and representations carry no token and no secret."""
    login = ScriptedLogin(grant("CANARY-access", 5.0, "CANARY-rotated"))
    async with RunningManager(login) as running:
        await running.manager.start([source(refresh="CANARY-refresh", secret="CANARY-secret")])
        token = await running.manager.get("acme")
        manager = running.manager
        shown = [manager, token, manager.statuses(), running.events.events, source(refresh="CANARY-refresh")]
        shown += [*manager._credentials.values(), *(held._keeper for held in manager._credentials.values())]
        assert "CANARY" not in repr(shown)


@virtual_time
async def test_what_lives_long_says_what_it_is() -> None:
    """As a log or a debugger shows it."""
    async with RunningManager(ScriptedLogin(grant("a", refresh="refresh-1"))) as running:
        await running.manager.start([source(), source("new", refresh=None)])
        await running.manager.get("acme")
        assert repr(running.manager) == "<TokenManager of 2 accounts>"
        assert repr(running.store) == "<MemoryStore of 1 accounts>"
        credentials = running.manager._credentials
        assert repr(credentials["acme"]) == "<Credential acme: valid, generation 1>"
        assert repr(credentials["new"]) == "<Credential new: pending, generation 0>"
        assert repr(credentials["acme"]._keeper) == "<RefreshTokenKeeper of acme: store refresh token>"
        assert repr(credentials["new"]._keeper) == "<RefreshTokenKeeper of new: no refresh token>"
