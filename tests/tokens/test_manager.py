"""The token manager on virtual time: refreshing ahead, single flight, trouble, refusals."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Awaitable, Callable
from datetime import date

import pytest

from proxy import errors
from proxy.events import CredentialStateChanged, DefectMet, RefreshFailed, TokenRefreshed
from proxy.secret import Secret
from proxy.tokens.consent import DAY, Consent, start_of
from proxy.tokens.lwa import AppCredentials
from proxy.tokens.manager import describe_problem
from proxy.tokens.token_rejections import TokenUse
from proxy.tokens.token_request_queue import AT_ONCE
from proxy.tokens.token_response import Grant
from proxy.tokens.values import AccessToken, CredentialFailure, TokenSettings
from tests.support.tokens import EPOCH, RunningManager, ScriptedLogin, grant, source, virtual_time

USE = TokenUse("reporting", "1")
FOREIGN = TokenUse("other", "999")


async def never() -> Grant:
    await asyncio.sleep(1e6)
    raise AssertionError("no test waits so long")


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
async def test_what_a_request_waits_for_comes_before_what_is_wanted_in_the_background() -> None:
    """At a start with many accounts, all of which are to be listed."""
    names = [f"account-{number}" for number in range(40)]
    async with RunningManager() as running:
        await running.manager.start([source(name, refresh=name) for name in names])
        wanted = [asyncio.create_task(running.manager.get(name, hastens=False)) for name in names]
        await asyncio.sleep(0.05)
        await running.manager.get(names[-1])
        await asyncio.gather(*wanted)
        assert [sent for _, sent in running.login.asked].index(names[-1]) == AT_ONCE


@virtual_time
async def test_requests_that_keep_coming_keep_the_attempts_near() -> None:
    """Never more than five seconds lie between two attempts while requests wait; without them, attempts move apart
    again."""
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
    """Where every response takes twenty seconds, a token still comes: attempts become more patient."""

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
    """A good refresh token survives an odd `invalid_grant`; the cached access token goes on serving meanwhile."""
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
    """An unexpected exception is reported, and the next attempt follows."""
    async with RunningManager(ScriptedLogin(ZeroDivisionError("secret words"))) as running:
        await running.manager.start([source()])
        await asyncio.sleep(2)
        assert running.state() == "valid"
        defect = running.events.of(DefectMet)[0]
        assert "ZeroDivisionError" in defect.traceback
        assert "secret words" not in defect.traceback


GIVEN = start_of(date(2026, 7, 1))
END = start_of(date(2027, 7, 1))
REVOKED = CredentialFailure("invalid_grant", True, "It was revoked.", "Sign in again.", END)
ENDLESS, DATED = Consent(), Consent(GIVEN)
AWAY = CredentialFailure("network", False, "No route.", "Look at the network.", END)


@pytest.mark.parametrize(
    ("failure", "consent", "now", "said"),
    [
        (REVOKED, ENDLESS, GIVEN, "The account acme gets no more tokens: It was revoked. Sign in again."),
        (AWAY, ENDLESS, GIVEN, ""),
        (None, ENDLESS, GIVEN, ""),
        (None, DATED, END - DAY, ""),
        (AWAY, DATED, END, "The consent of 2026-07-01 expired on 2027-07-01. The advertiser"),
        (REVOKED, DATED, END, "The account acme gets no more tokens"),
    ],
)
def test_what_a_person_must_fix_is_told(
    failure: CredentialFailure | None, consent: Consent, now: float, said: str
) -> None:
    """The notices are for a lasting refusal, and for an expired consent even without requests since; passing trouble
    causes none."""
    told = describe_problem("acme", failure, consent, now)
    assert told.startswith(said) if said else told == ""
    assert "ACCOUNT" not in told
