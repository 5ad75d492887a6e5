"""The token manager on virtual time: 401s, suspended machines, and what an operator asks for."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from proxy import errors
from proxy.events import (
    SignInNeeded,
    TokenRefreshed,
)
from proxy.tokens.token_rejections import TokenUse
from proxy.tokens.values import AccessToken, TokenSettings
from tests.support.tokens import RunningManager, ScriptedLogin, grant, source, virtual_time
from tests.tokens.test_manager import FOREIGN, USE, never


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
    """Report so many 401s, each for the cached token."""
    for _ in range(times):
        current = running.manager.current("acme")
        assert current is not None
        await running.manager.renewed(current, use)


@virtual_time
@pytest.mark.parametrize("accepted", [True, False])
async def test_a_foreign_scope_costs_the_others_nothing(accepted: bool) -> None:
    """The foreign Scope spent its own allowance; when the token dies, an accepted client, or a second new one, asks at
    once."""
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
    """The accepted client does not share the strangers' allowance; one that was never accepted waits for it."""
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
    """Later requests report no acceptance any more, which spares them the work."""
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
    """The client is not told to come back for a token: the cached one is good for others."""
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
async def test_a_401_during_trouble_waits_for_the_next_attempt() -> None:
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
    """Neither a refused credential, nor a far retry, nor an account that left makes a request wait.

    The refused credential is a 503 with its reason, because no other token can cure the 401.
    """
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
        with pytest.raises(errors.NoUsableToken) as refused:
            await running.manager.renewed(old, USE)
        assert not refused.value.retryable
        await running.manager.reconfigure([])
        assert await running.manager.renewed(old, USE) is None
        assert running.clock() == before


@virtual_time
async def test_a_401_is_told_when_the_next_attempt_is() -> None:
    """The seconds that are left of the pause which Login with Amazon asked for."""
    login = ScriptedLogin(grant("a"), errors.TokenThrottled("wait", retry_after=60.0))
    async with RunningManager(login) as running:
        await running.manager.start([source()])
        old = await running.manager.get("acme")
        for left in (60, 40):
            with pytest.raises(errors.NoUsableToken) as away:
                await running.manager.renewed(old, USE)
            assert away.value.retry_after == pytest.approx(left, abs=1)
            await asyncio.sleep(20)


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
    """The account is pending until a person signs in, and the proxy asks Amazon nothing for it."""
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
        told = f"Sign in: {page} or `ads-proxy login acme`, or configure a refresh token."
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
    """The `repr` of long-lived objects says what they are, for a log or a debugger."""
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
