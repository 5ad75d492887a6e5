"""Whole token managers that share a real Redis, on virtual time: who mints, who hears, and who goes on alone."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import replace

import pytest

from proxy.errors import (
    AppMisconfigured,
    NoUsableToken,
    RefreshTokenRevoked,
    TokenFailure,
    TokenNetworkError,
    TokenServerError,
)
from proxy.events import RefreshFailed, TokenRefreshed, TokenTakenOver
from proxy.secret import Secret
from proxy.tokens.consent import CUT_OFF, Consent, ConsentLedger, start_of
from proxy.tokens.token_rejections import TokenUse
from tests.support.events import EventRecorder
from tests.support.fleet import LIFE, Fleet, Replica, hanging
from tests.support.redis_server import RedisServer, one_engine
from tests.support.tokens import ScriptedLogin, grant, source, virtual_time

kept_server = one_engine


@virtual_time
async def test_replicas_mint_as_one(server: RedisServer) -> None:
    """Three replicas with two accounts make two mints in the life of a token."""
    fleet = Fleet(server)
    await fleet.start(source(), source("other", "refresh-other"))
    await asyncio.sleep(30)
    assert fleet.mints == 2
    assert len(set(fleet.tokens())) == len(set(fleet.tokens("other"))) == 1
    assert not set(fleet.tokens()) & set(fleet.tokens("other"))
    await asyncio.sleep(LIFE)
    assert fleet.mints == 4
    assert len(set(fleet.tokens())) == 1
    await fleet.stop()


@virtual_time
async def test_what_another_was_granted_is_told_as_such(server: RedisServer) -> None:
    """Another replica's token counts as no token request, and expires when it expires for the others."""
    fleet = Fleet(server, 2)
    await fleet.start()
    await asyncio.sleep(5)
    counts = [
        (len(replica.events.of(TokenRefreshed)), len(replica.events.of(TokenTakenOver))) for replica in fleet.replicas
    ]
    assert sorted(counts) == [(0, 1), (1, 0)]
    ends = {replica.manager.statuses()[0].expires_at for replica in fleet.replicas}
    assert max(map(float, filter(None, ends))) - min(map(float, filter(None, ends))) < 0.01
    await fleet.stop()


@virtual_time
async def test_a_new_replica_takes_what_is_there(server: RedisServer) -> None:
    """The new replica serves at once, without asking Amazon, renews with the others, and reports how old the last
    success is."""
    fleet = Fleet(server, 1)
    await fleet.start()
    await asyncio.sleep(60)
    fleet.replicas.append(fleet.make())
    await fleet.replicas[1].manager.start((source(),))
    await fleet.replicas[1].manager.get("acme")
    assert fleet.mints == 1
    assert len(set(fleet.tokens())) == 1
    asked = [replica.manager.statuses()[0].last_success or 0.0 for replica in fleet.replicas]
    assert asked[1] == pytest.approx(asked[0], abs=1.0)
    assert fleet.replicas[1].events.of(TokenTakenOver)[0].asked_at == asked[1]
    await asyncio.sleep(LIFE - 60)
    assert fleet.mints == 2
    await fleet.stop()


@virtual_time
async def test_a_sign_in_at_one_is_in_force_at_all(server: RedisServer) -> None:
    """Within a second, and with the access token that it brought."""
    fleet = Fleet(server)
    await fleet.start(source(refresh=None))
    await asyncio.sleep(5)
    assert fleet.tokens() == ["", "", ""]
    await fleet.replicas[0].manager.adopt("acme", grant("signed-in", refresh="Atzr|new"))
    await asyncio.sleep(1)
    assert fleet.tokens() == ["signed-in"] * 3
    assert fleet.mints == 0
    await fleet.stop()


@virtual_time
async def test_a_rotated_refresh_token_is_used_by_all(server: RedisServer) -> None:
    """The replica that renews next asks with the newest refresh token."""
    fleet = Fleet(server)
    fleet.login.script = [grant("first", LIFE, "refresh-1"), grant("second", LIFE, "refresh-2")]
    await fleet.start()
    await asyncio.sleep(2 * LIFE)
    assert [token for _, token in fleet.login.asked] == ["refresh-0", "refresh-1", "refresh-2"]
    await fleet.stop()


@virtual_time
async def test_a_401_everywhere_makes_one_mint(server: RedisServer) -> None:
    """Each replica is told by Amazon that the token is dead; all of them serve the one that follows."""
    fleet = Fleet(server)
    await fleet.start()
    await asyncio.sleep(5)
    use = TokenUse("client", "profile")
    dead = [replica.manager.current("acme") for replica in fleet.replicas]
    renewals = [
        replica.manager.renewed(token, use) for replica, token in zip(fleet.replicas, dead, strict=True) if token
    ]
    renewed = await asyncio.gather(*renewals)
    assert fleet.mints == 2
    assert {token.value.reveal() for token in renewed if token} == {"access-2"}
    await fleet.stop()


@virtual_time
async def test_a_holder_that_dies_holds_nobody_up_for_long(server: RedisServer) -> None:
    """After four seconds another one asks."""
    fleet = Fleet(server)
    fleet.login.script = [hanging(60, grant("never"))]
    await fleet.replicas[0].manager.start((source(),))
    await asyncio.sleep(0.5)
    for replica in fleet.replicas[1:]:
        await replica.manager.start((source(),))
    await fleet.replicas.pop(0).kill()
    await asyncio.gather(*(replica.manager.get("acme") for replica in fleet.replicas))
    assert fleet.mints == 2
    assert fleet.login.times[1] - fleet.login.times[0] < 6
    await fleet.stop()


@virtual_time
async def test_a_slow_token_request_keeps_its_lease(server: RedisServer) -> None:
    """No other replica asks meanwhile."""
    fleet = Fleet(server)
    fleet.login.script = [hanging(7.5, grant("slow"))]
    await fleet.start()
    await asyncio.sleep(9)
    assert fleet.tokens() == ["slow"] * 3
    assert fleet.mints == 1
    await fleet.stop()


@virtual_time
async def test_a_failure_lets_the_next_one_ask(server: RedisServer) -> None:
    """A replica that cannot reach Login with Amazon keeps no other from it."""
    fleet = Fleet(server)
    fleet.login.script = [TokenServerError("503")]
    await fleet.start()
    await asyncio.sleep(1)
    assert fleet.mints == 2
    assert fleet.tokens() == ["access-2"] * 3
    await fleet.stop()


@virtual_time
async def test_amazon_down_is_asked_at_the_pace_of_one(server: RedisServer) -> None:
    """Ten minutes of 503: one replica, or five, ask six times at first, then each 15 to 30 s; all serve after it."""
    for replicas in (1, 5):
        fleet = Fleet(server, replicas)
        fleet.login.outage = (0, 600)
        await fleet.start(block=4.0)
        await asyncio.sleep(600)
        assert 600 / 30 <= fleet.mints <= 600 / 15 + 6
        await asyncio.sleep(31)
        assert len(set(fleet.tokens())) == 1
        assert fleet.tokens()[0]
        await fleet.stop()


@virtual_time
async def test_requests_that_wait_hasten_the_fleet_as_one(server: RedisServer) -> None:
    """Clients ask at all five of them while Amazon is down: an attempt each two and a half to five seconds."""
    fleet = Fleet(server, 5)
    fleet.login.outage = (0, 300)
    await fleet.start()
    await asyncio.sleep(120)
    before = fleet.mints

    async def ask(replica: Replica) -> None:
        for _ in range(12):
            with contextlib.suppress(NoUsableToken):
                await replica.manager.get("acme")
            await asyncio.sleep(1)

    await asyncio.gather(*(ask(replica) for replica in fleet.replicas))
    seconds = asyncio.get_running_loop().time() - fleet.login.began - 120
    assert seconds / 5.5 <= fleet.mints - before <= seconds / 2.5 + 2
    await fleet.stop()


@virtual_time
async def test_one_without_a_way_to_amazon_keeps_none_from_it(server: RedisServer) -> None:
    """The cut-off replica fails each time, and leaves the next attempt to the others; only it is called degraded."""
    fleet = Fleet(server, 2)
    cut_off = Replica(server, ScriptedLogin(*[TokenNetworkError("no way")] * 1000))
    fleet.replicas.insert(0, cut_off)
    await fleet.start(block=4.0)
    await asyncio.sleep(2)
    assert len(set(fleet.tokens())) == 1
    assert fleet.tokens()[0]
    await asyncio.sleep(6 * LIFE)
    assert len(set(fleet.tokens())) == 1
    assert fleet.tokens()[0]
    assert cut_off.events.of(RefreshFailed)
    for replica in fleet.replicas[1:]:
        assert not replica.events.of(RefreshFailed)
        assert replica.state() == "valid"
    await fleet.stop()


@pytest.mark.parametrize(
    ("refusal", "state"),
    [(RefreshTokenRevoked("no"), "revoked"), (AppMisconfigured("no"), "misconfigured")],
    ids=["grant", "application"],
)
@virtual_time
async def test_what_amazon_refuses_one_is_asked_by_no_other(
    server: RedisServer, refusal: TokenFailure, state: str
) -> None:
    """All say what is wrong, and ask half a minute later, one of them."""
    fleet = Fleet(server, 4)
    fleet.login.script = [refusal, refusal]
    await fleet.start()
    await asyncio.sleep(25)
    assert fleet.mints == 1
    assert {replica.state() for replica in fleet.replicas} == {state}
    assert sum(len(replica.events.of(RefreshFailed)) for replica in fleet.replicas) == 1
    advice = {replica.manager.statuses()[0].advice for replica in fleet.replicas}
    assert len(advice) == 1
    await asyncio.sleep(20)
    assert fleet.mints == 2
    await fleet.stop()


@virtual_time
async def test_a_person_ends_a_refusal_at_once(server: RedisServer) -> None:
    """A sign-in, and before it the operator's button, wait for no pause of the fleet."""
    fleet = Fleet(server, 3)
    fleet.login.script = [RefreshTokenRevoked("no"), RefreshTokenRevoked("still no")]
    await fleet.start()
    await asyncio.sleep(5)
    with pytest.raises(RefreshTokenRevoked, match="still no"):
        await fleet.replicas[2].manager.refresh_now("acme")
    assert fleet.mints == 2
    await fleet.replicas[1].manager.adopt("acme", grant("signed-in", refresh="Atzr|new"))
    await asyncio.sleep(1)
    assert fleet.tokens() == ["signed-in"] * 3
    assert {replica.state() for replica in fleet.replicas} == {"valid"}
    await fleet.stop()


@virtual_time
async def test_another_secret_is_tried_at_once(server: RedisServer) -> None:
    """The pause is for replicas that would send the refused credentials; one with a corrected configuration would
    not."""
    fleet = Fleet(server, 2)
    fleet.login.script = [AppMisconfigured("no")]
    await fleet.start()
    await asyncio.sleep(5)
    await fleet.replicas[0].manager.reconfigure((replace(source(), client_secret=Secret("mended")),))
    await asyncio.sleep(1)
    assert fleet.replicas[0].serves()
    assert fleet.mints == 2
    await fleet.stop()


@virtual_time
async def test_without_the_store_each_goes_on_alone_and_then_together_again(server: RedisServer) -> None:
    """No replica is without a token meanwhile, and all share the first renewal after it."""
    fleet = Fleet(server)
    await fleet.start()
    await asyncio.sleep(5)
    for replica in fleet.replicas:
        replica.connection.cut = True
    await asyncio.sleep(LIFE)
    assert fleet.mints == 4
    assert len(set(fleet.tokens())) == 3
    server.client.flushall()
    for replica in fleet.replicas:
        replica.connection.cut = False
    await asyncio.sleep(LIFE)
    assert fleet.mints == 5
    assert len(set(fleet.tokens())) == 1
    await fleet.stop()


@virtual_time
async def test_a_store_that_comes_late_is_taken_up(server: RedisServer) -> None:
    """An account that only the store knows is served as soon as it is there."""
    fleet = Fleet(server, 1)
    await fleet.start(source(refresh=None))
    await fleet.replicas[0].manager.adopt("acme", grant("signed-in", refresh="Atzr|new"))
    late = fleet.make()
    late.connection.cut = True
    await late.manager.start((source(refresh=None),))
    await asyncio.sleep(60)
    assert late.serves() == ""
    late.connection.cut = False
    await asyncio.sleep(2)
    assert late.serves() == "signed-in"
    await late.manager.stop()
    await fleet.stop()


@virtual_time
async def test_replicas_keep_each_others_records_of_consents(server: RedisServer) -> None:
    """Each adds to what the other wrote, and an account that left here is not brought back from the store."""
    fleet = Fleet(server, 2)
    now = start_of(CUT_OFF)
    one, other = (ConsentLedger(replica.store, replica.events, lambda: now) for replica in fleet.replicas)
    one.consent("acme", Secret("a"), None, None)
    await one.save()
    other.consent("second", Secret("b"), None, None)
    await other.save()
    await one.hear()
    assert repr(one) == "<ConsentLedger of 2 accounts>"
    other.look({"acme": Consent()})
    await other.save()
    late = ConsentLedger(fleet.make().store, EventRecorder(), lambda: now)
    await late.load()
    assert repr(late) == "<ConsentLedger of 1 accounts>"


@virtual_time
async def test_another_application_of_the_same_name_is_another_matter(server: RedisServer) -> None:
    """While a change of the configuration rolls over the fleet, no token goes with a client id that it is not for."""
    fleet = Fleet(server, 2)
    await fleet.replicas[0].manager.start((source(client="old"),))
    await fleet.replicas[1].manager.start((source(client="new"),))
    await asyncio.sleep(5)
    assert fleet.mints == 2
    found = [replica.manager.current("acme") for replica in fleet.replicas]
    assert [token.client_id for token in found if token is not None] == ["old", "new"]
    await fleet.stop()


@virtual_time
async def test_what_lies_under_anothers_name_is_not_served(server: RedisServer) -> None:
    """An attacker with access to the server copies one account's token over the other's: the proxy requests a new
    one."""
    fleet = Fleet(server, 1)
    await fleet.start(source(), source("other", "refresh-other"))
    await asyncio.sleep(5)
    keys = server.client.keys("*lease:*")
    contents = [server.client.hgetall(key) for key in keys]
    for key, content in zip(keys, reversed(contents), strict=True):
        server.client.hset(key, mapping=content)
    late = fleet.make()
    await late.manager.start((source(), source("other", "refresh-other")))
    await asyncio.sleep(5)
    assert fleet.mints == 4
    assert {late.serves(), late.serves("other")} == {"access-3", "access-4"}
    await late.manager.stop()
    await fleet.stop()
