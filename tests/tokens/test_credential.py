"""Probes of refresh tokens, in one program and in a fleet, and 401s that a newer access token does not cure."""

from __future__ import annotations

import asyncio

import pytest

from proxy import errors
from proxy.events import AccessTokenRefused, CredentialStateChanged, RefreshFailed, TokenRefreshed
from proxy.tokens.credential import NEVER, probe_after_failure, probe_at, probe_when_busy
from proxy.tokens.token_rejections import TokenUse
from proxy.tokens.values import TokenSettings
from tests.support.fleet import Fleet, Replica
from tests.support.redis_server import RedisServer, one_engine
from tests.support.tokens import Answer, RunningManager, ScriptedLogin, grant, source, virtual_time

kept_server = one_engine


INTERVAL = 900.0
ONE, OTHER = TokenUse("client", "profile-1"), TokenUse("client", "profile-2")
DEAD = errors.RefreshTokenRevoked("The refresh token is revoked.")


def probing(*script: Answer) -> RunningManager:
    return RunningManager(ScriptedLogin(*script), settings=TokenSettings(probe_interval=INTERVAL))


@pytest.mark.parametrize(
    ("found", "wanted"),
    [
        (probe_at(1000.0, 900.0, 0.0), 1900.0),
        (probe_at(1000.0, 900.0, 1.0), 1720.0),
        (probe_at(1000.0, 0.0, 0.5), NEVER),
        (probe_after_failure(1000.0, 900.0, None, 0.0), 1300.0),
        (probe_after_failure(1000.0, 900.0, 400.0, 1.0), 1400.0),
        (probe_when_busy(1000.0, 0.5), 1015.0),
    ],
)
def test_the_moments_of_probes(found: float, wanted: float) -> None:
    """Jitter makes a first probe earlier only; a longer Retry-After is kept."""
    assert found == wanted


@virtual_time
async def test_a_revocation_is_known_within_the_interval() -> None:
    """All observers learn of it, and the access token serves until it expires."""
    async with probing(grant("a"), DEAD) as running:
        await running.manager.start([source()])
        token = await running.manager.get("acme")
        await asyncio.sleep(INTERVAL + 1)
        assert running.events.of(CredentialStateChanged)[-1].new == "revoked"
        assert await running.manager.get("acme") is token
        status = running.manager.statuses()[0]
        assert (status.state, status.refused, status.last_failure is not None) == ("revoked", False, True)


@virtual_time
async def test_a_probe_that_succeeds_renews_the_token() -> None:
    """With its own reason, and the next one follows after another interval."""
    async with probing() as running:
        await running.manager.start([source()])
        await asyncio.sleep(2 * INTERVAL + 1)
        assert [event.trigger for event in running.events.of(TokenRefreshed)] == ["start", "probe", "probe"]
        assert running.state() == "valid"


@virtual_time
async def test_passing_trouble_of_a_probe_changes_nothing() -> None:
    """The failure is counted, and the next probe comes after a third of the interval."""
    async with probing(grant("a"), errors.TokenServerError("503")) as running:
        await running.manager.start([source()])
        await asyncio.sleep(INTERVAL + 1)
        assert running.state() == "valid"
        assert running.manager.statuses()[0].last_failure is None
        (failed,) = running.events.of(RefreshFailed)
        assert (failed.reason, failed.retry_in) == ("server_error", INTERVAL / 3)
        await asyncio.sleep(INTERVAL / 3)
        assert [event.trigger for event in running.events.of(TokenRefreshed)] == ["start", "probe"]


@virtual_time
async def test_without_an_interval_nobody_probes() -> None:
    """The token is renewed ahead of its expiry, and not before."""
    async with RunningManager() as running:
        await running.manager.start([source()])
        await asyncio.sleep(3000)
        assert len(running.login.asked) == 1


@virtual_time
async def test_a_probe_gives_way_to_other_token_requests() -> None:
    """While the endpoint is busy it waits, and does not queue."""
    async with probing() as running:
        await running.manager.start([source()])
        await running.manager.get("acme")
        request_queue = running.manager._dependencies.request_queue.at(source().token_url)
        request_queue._free = 0
        await asyncio.sleep(INTERVAL + 60)
        assert len(running.login.asked) == 1
        request_queue._free = 1
        await asyncio.sleep(20)
        assert len(running.login.asked) == 2


@virtual_time
async def test_a_fleet_probes_as_one(server: RedisServer) -> None:
    """Three replicas make as many token requests in an hour as one: five at the soonest."""
    fleet = Fleet(server, 0, 3600.0)
    for _ in range(3):
        replica = Replica(server, fleet.login, TokenSettings(probe_interval=INTERVAL))
        fleet.replicas.append(replica)
    await fleet.start(block=4.0)
    await asyncio.sleep(3600)
    assert 4 <= fleet.mints <= 6
    assert len(set(fleet.tokens())) == 1
    await fleet.stop()


@virtual_time
async def test_what_one_of_a_fleet_finds_all_of_it_report(server: RedisServer) -> None:
    """Within the interval, each replica knows of the revocation."""
    fleet = Fleet(server, 0, 3600.0)
    for _ in range(3):
        fleet.replicas.append(Replica(server, fleet.login, TokenSettings(probe_interval=INTERVAL)))
    await fleet.start(block=4.0)
    await asyncio.sleep(60)
    fleet.login.script = [DEAD] * 100
    await asyncio.sleep(INTERVAL)
    assert [replica.state() for replica in fleet.replicas] == ["revoked"] * 3
    await fleet.stop()


async def refused(running: RunningManager, use: TokenUse) -> errors.NoUsableToken:
    token = running.manager.current("acme")
    assert token is not None
    with pytest.raises(errors.NoUsableToken) as caught:
        await running.manager.renewed(token, use)
    return caught.value


@virtual_time
async def test_a_401_that_no_token_cures_is_a_refusal_with_the_reason() -> None:
    """At once, also for the first request; the account no longer counts as serving."""
    async with RunningManager(ScriptedLogin(grant("a"), DEAD)) as running:
        await running.manager.start([source()])
        await running.manager.get("acme")
        failure = await refused(running, ONE)
        assert "The refresh token is revoked." in str(failure)
        assert not failure.retryable
        assert running.manager.statuses()[0].refused
        assert running.events.of(AccessTokenRefused) == [AccessTokenRefused("acme", str(DEAD))]


@virtual_time
async def test_the_second_use_that_is_refused_ends_the_token() -> None:
    """The token is certainly dead: no request gets it any more, and the proxy asks Amazon nothing with it."""
    async with RunningManager(ScriptedLogin(grant("a"), DEAD)) as running:
        await running.manager.start([source()])
        await running.manager.get("acme")
        await refused(running, ONE)
        await refused(running, ONE)
        assert running.manager.current("acme") is not None
        await refused(running, OTHER)
        assert running.manager.current("acme") is None
        with pytest.raises(errors.NoUsableToken, match="is revoked"):
            await running.manager.get("acme")


@virtual_time
async def test_a_use_that_was_accepted_before_ends_the_token_at_once() -> None:
    """The use's 401 is not about the profile."""
    async with RunningManager(ScriptedLogin(grant("a"), DEAD)) as running:
        await running.manager.start([source()])
        running.manager.accepted(await running.manager.get("acme"), ONE)
        await refused(running, ONE)
        assert running.manager.current("acme") is None


@virtual_time
async def test_a_token_that_still_works_for_others_stays() -> None:
    """A wrong profile's 401 takes the last token from no other request."""
    async with RunningManager(ScriptedLogin(grant("a"), DEAD)) as running:
        await running.manager.start([source()])
        token = await running.manager.get("acme")
        await refused(running, ONE)
        running.manager.accepted(token, TokenUse("client", "profile-3"))
        assert not running.manager.statuses()[0].refused
        await refused(running, OTHER)
        assert running.manager.current("acme") is token


@virtual_time
async def test_a_sign_in_ends_the_refusal() -> None:
    """The new access token is in use at once."""
    async with RunningManager(ScriptedLogin(grant("a"), DEAD)) as running:
        await running.manager.start([source()])
        await running.manager.get("acme")
        await refused(running, ONE)
        await running.manager.adopt("acme", grant("signed", refresh="refresh-s"))
        status = running.manager.statuses()[0]
        assert (status.state, status.refused) == ("valid", False)
