"""Two configured refresh tokens while one takes the other's place: the newer first, the older while it still works."""

from __future__ import annotations

from dataclasses import replace

import pytest

from proxy import errors
from proxy.events import OlderRefreshTokenUsed, RefreshFailed, RefreshTokenReplaced
from proxy.secret import Secret
from tests.support.tokens import RunningManager, ScriptedLogin, grant, source, virtual_time

BOTH = replace(source(refresh="newer"), older_refresh_token=Secret("older"))
REVOKED = errors.RefreshTokenRevoked("invalid_grant")


def sent(running: RunningManager) -> list[str]:
    return [refresh_token for _, refresh_token in running.login.asked]


@virtual_time
async def test_the_newer_is_used_alone_where_it_works() -> None:
    """The older is not asked with at all."""
    async with RunningManager() as running:
        await running.manager.start([BOTH])
        await running.manager.get("acme")
        assert (sent(running), running.events.of(OlderRefreshTokenUsed)) == (["newer"], [])


@virtual_time
async def test_the_older_serves_where_the_newer_is_refused() -> None:
    """At each renewal the newer is tried first: when it works, the older is heard of no more."""
    async with RunningManager(ScriptedLogin(REVOKED, grant("a"), REVOKED, grant("b"), grant("c"))) as running:
        await running.manager.start([BOTH])
        assert (await running.manager.get("acme")).value == Secret("a")
        assert running.state() == "valid"
        await running.manager.refresh_now("acme")
        await running.manager.refresh_now("acme")
        assert sent(running) == ["newer", "older", "newer", "older", "newer"]
        assert len(running.events.of(OlderRefreshTokenUsed)) == 2
        assert (await running.manager.get("acme")).value == Secret("c")


@pytest.mark.parametrize(("returned", "replaced"), [("older", 0), ("rotated", 1)])
@virtual_time
async def test_the_older_given_back_does_not_take_the_newers_place(returned: str, replaced: int) -> None:
    """A token that Amazon returned instead does: the older may be worth nothing any more."""
    async with RunningManager(ScriptedLogin(REVOKED, grant("a", refresh=returned))) as running:
        await running.manager.start([BOTH])
        await running.manager.get("acme")
        assert len(running.events.of(RefreshTokenReplaced)) == replaced
        await running.manager.refresh_now("acme")
        assert sent(running)[2] == ("rotated" if replaced else "newer")


@virtual_time
async def test_both_refused_is_revoked() -> None:
    """The newer one's refusal is what people read."""
    older = errors.RefreshTokenRevoked("the older one's")
    async with RunningManager(ScriptedLogin(REVOKED, older)) as running:
        await running.manager.start([BOTH])
        with pytest.raises(errors.NoUsableToken):
            await running.manager.get("acme")
        assert running.state() == "revoked"
        assert [event.detail for event in running.events.of(RefreshFailed)] == ["invalid_grant"]


@virtual_time
async def test_passing_trouble_with_the_older_revokes_nothing() -> None:
    """A network that fails between the two is tried again."""
    async with RunningManager(ScriptedLogin(REVOKED, errors.TokenNetworkError("no route"))) as running:
        await running.manager.start([BOTH])
        await running.manager.get("acme")
        assert sent(running)[:2] == ["newer", "older"]
        assert running.state() == "valid"


@virtual_time
async def test_other_trouble_does_not_ask_with_the_older() -> None:
    """Only a refused refresh token is a reason to ask with the older one."""
    async with RunningManager(ScriptedLogin(errors.TokenNetworkError("no route"))) as running:
        await running.manager.start([BOTH])
        await running.manager.get("acme")
        assert set(sent(running)) == {"newer"}


@virtual_time
async def test_a_login_that_is_in_force_instead_has_no_older_one() -> None:
    """What a person signed in with since is another login than both."""
    async with RunningManager() as running:
        await running.manager.start([BOTH])
        await running.manager.adopt("acme", grant("a", refresh="signed-in"))
        running.login.script = [REVOKED]
        with pytest.raises(errors.RefreshTokenRevoked):
            await running.manager.refresh_now("acme")
        assert sent(running)[-1] == "signed-in"
