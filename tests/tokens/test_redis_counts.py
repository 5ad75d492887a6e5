"""The counts of a fleet in a real Redis or Valkey, on virtual time: limits, losses, and all interleavings of steps."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from proxy.errors import StateError, StateUnavailable
from proxy.secret import Secret
from proxy.tokens.day_counts import MOST, CountAnswer, CountedDay, CountRequest, CountsUnsettled
from proxy.tokens.redis_counts import GATHERING, SETTLING, RedisCounts
from proxy.tokens.redis_store import RedisStore
from proxy.tokens.sealing import make_cipher
from proxy.tokens.store import StoreChange
from tests.fuzz.depth import LONG
from tests.support.fleet import VirtualConnection
from tests.support.redis_server import KEY, RedisServer
from tests.support.tokens import EPOCH, JumpingLoop, virtual_time

DAY = CountedDay("agent", "2023-11-14")
"""The date of `EPOCH`, in UTC."""
OTHER = CountedDay("other", "2023-11-14")


class Connection(VirtualConnection):
    """Runs a script and loses its answer where `loses`; where `holds`, the script waits on its way until `arrive`."""

    loses = holds = False

    def __init__(self, server: RedisServer) -> None:
        super().__init__(server)
        self.held: list[tuple[Any, ...]] = []

    async def run(self, script: str, keys: tuple[str, ...], *arguments: str | bytes | float) -> Any:
        if self.holds:
            self.held.append((script, keys, *arguments))
            raise StateUnavailable("The state store did not answer within 2 s.")
        answer = await super().run(script, keys, *arguments)
        if self.loses:
            raise StateUnavailable("The state store did not answer within 2 s.")
        return answer

    async def arrive(self) -> None:
        """What was held is run now."""
        held, self.held, self.holds = self.held, [], False
        for words in held:
            await super().run(*words)


class Replica:
    """The counts of one replica, which has joined."""

    def __init__(self, server: RedisServer) -> None:
        self.connection = Connection(server)
        loop = asyncio.get_running_loop()
        self.counts = RedisCounts(self.connection, make_cipher([Secret(KEY)]), lambda: EPOCH + loop.time())

    async def take(self, amount: int, limit: int | None = None, key: CountedDay = DAY) -> CountAnswer | StateError:
        limits = {} if limit is None else {"created": limit}
        (answer,) = await self.counts.take([CountRequest(key, {"created": amount}, limits)])
        return answer

    async def join(self, *others: Replica) -> None:
        """Its first pulse, and the roll call with which it comes; all others hear of it."""
        await self.connection.pulse()
        await self.counts.restore()
        await self.is_heard(*others)

    async def returns(self, *others: Replica) -> None:
        """What `RedisStore.changes` does after trouble with the store; the others hear of it."""
        await self.counts.restore()
        await self.is_heard(*others)

    async def is_heard(self, *others: Replica) -> None:
        for fields in (fields for _, fields in self.connection._server.client.xrange("{ads-proxy}:news")):
            for each in others:
                await each.counts.hear(fields[b"name"].decode())

    async def total(self, key: CountedDay = DAY) -> int:
        return (await self.counts.totals()).get(key, {}).get("created", 0)


async def replicas(server: RedisServer, number: int = 2) -> list[Replica]:
    """Replicas on a server that has counted for long enough."""
    found = [Replica(server) for _ in range(number)]
    for each in found:
        await each.join(*found)
    await asyncio.sleep(SETTLING + 0.01)
    await pulses(found)
    return found


async def pulses(replicas: Sequence[Replica]) -> None:
    """All have felt each other's pulse."""
    for each in (*replicas, *replicas):
        await each.connection.pulse()


def granted(before: int) -> CountAnswer:
    return CountAnswer(True, {"created": before} if before else {})


def refused(before: int) -> CountAnswer:
    return CountAnswer(False, {"created": before})


@virtual_time
async def test_a_limit_is_the_fleets(server: RedisServer) -> None:
    """Replicas see what others took and gave back, within one step too, and each day and name for itself."""
    one, other = await replicas(server)
    assert await one.take(2, 3) == granted(0)
    assert await other.take(2, 3) == refused(2)
    assert await other.take(1, 3) == granted(2)
    assert await one.take(1, 3, OTHER) == granted(0)
    both = [CountRequest(key, {"created": 1}, {"created": 3}) for key in (OTHER, DAY, OTHER, OTHER)]
    assert await other.counts.take(both) == [granted(1), refused(3), granted(2), refused(3)]
    assert await one.take(-1) == granted(3)
    assert await other.take(1, 3) == granted(2)
    assert await one.counts.totals() == {DAY: {"created": 3}, OTHER: {"created": 3}}


@virtual_time
async def test_units_are_counted_apart_and_exactly(server: RedisServer) -> None:
    """All of a request fits, or nothing of it is counted; whole numbers are exact up to the largest."""
    one, other = await replicas(server)
    limits = {"created": 5, "USD": MOST - 1, "EUR": -1}
    request = CountRequest(DAY, {"created": 1, "USD": MOST - 2}, {unit: limits[unit] for unit in ("created", "USD")})
    (answer,) = await one.counts.take([request])
    assert isinstance(answer, CountAnswer)
    assert answer.granted
    for change in ({"created": 1, "USD": 2}, {"created": 5}, {"created": 1, "EUR": 1}, {"USD": MOST}):
        (answer,) = await other.counts.take([CountRequest(DAY, change, {unit: limits[unit] for unit in change})])
        assert answer == CountAnswer(False, {"created": 1, "USD": MOST - 2})
    (answer,) = await other.counts.take([CountRequest(DAY, {"USD": 1}, {"USD": MOST - 1})])
    assert answer == CountAnswer(True, {"created": 1, "USD": MOST - 2})
    await other.counts.take([CountRequest(DAY, {"USD": MOST}, {})])
    assert (await one.counts.totals())[DAY]["USD"] >= MOST


@virtual_time
async def test_a_lost_answer_is_mended_by_the_next_step(server: RedisServer) -> None:
    """What the server counted for an answer that nobody got is no more counted then."""
    one, other = await replicas(server)
    await one.take(1, 5)
    one.connection.loses = True
    assert isinstance(await one.take(3, 5), StateUnavailable)
    assert await other.take(2, 5) == refused(4)
    one.connection.loses = False
    assert await one.take(0) == granted(1)
    assert await other.take(2, 5) == granted(1)


@virtual_time
async def test_a_step_that_arrives_late_does_nothing(server: RedisServer) -> None:
    """A late step would put the replica's share as it was before."""
    one, other = await replicas(server)
    one.connection.holds = True
    assert isinstance(await one.take(1, 9), StateUnavailable)
    one.connection.holds = False
    held, one.connection.held = one.connection.held, []
    await one.take(5, 9)
    one.connection.held = held
    await one.connection.arrive()
    assert await other.total() == 5
    assert await other.take(5, 9) == refused(5)


@virtual_time
async def test_a_step_that_was_sent_twice_is_an_error(server: RedisServer) -> None:
    """Its second answer tells nothing, and the next step mends the count."""
    (one,) = await replicas(server, 1)
    await one.take(2, 5)
    one.connection.loses = True
    await one.take(1, 5)
    one.connection.loses, one.counts._steps = False, one.counts._steps - 1
    assert "twice" in str(await one.take(1, 5))
    assert await one.take(3, 5) == granted(2)


@virtual_time
async def test_an_emptied_server_opens_no_limit(server: RedisServer) -> None:
    """Nothing with a limit is granted until the replicas have had time to tell their shares again."""
    one, other = await replicas(server)
    await one.take(3, 5)
    server.client.flushall()
    waits = await other.take(3, 5)
    assert isinstance(waits, CountsUnsettled)
    assert waits.seconds == GATHERING
    assert await other.take(1) == granted(0)  # without a limit
    await asyncio.sleep(SETTLING - 1)
    assert isinstance(await other.take(3, 5), CountsUnsettled)  # `one` has not answered
    await other.is_heard(one)
    assert await other.take(2, 5) == refused(4)
    assert await other.take(1, 5) == granted(4)


@virtual_time
async def test_after_trouble_a_replica_grants_as_soon_as_all_have_told_their_shares(server: RedisServer) -> None:
    """That is half a second later at the earliest, and the count is exact by then, also on a server that is empty."""
    for spoil in (lambda: None, server.client.flushall):
        server.client.flushall()
        one, other = await replicas(server)
        assert await one.take(3, 5) == granted(0)
        assert await other.take(1, 5) == granted(3)
        spoil()
        await one.returns(other)
        assert isinstance(await one.take(1, 5), CountsUnsettled)
        await asyncio.sleep(GATHERING + 0.01)
        assert await one.take(2, 5) == refused(4)
        assert await one.take(1, 5) == granted(4)
        assert await one.take(1, 5) == refused(5)


@virtual_time
async def test_the_only_replica_waits_for_nobody(server: RedisServer) -> None:
    """After each trouble it grants after half a second, however often the server loses its data."""
    (one,) = await replicas(server, 1)
    for taken in range(3):
        assert await one.take(1, 5) == granted(taken)
        server.client.flushall()
        await one.returns()
        await asyncio.sleep(GATHERING + 0.01)
        assert await one.take(5, 5) == refused(taken + 1)


@virtual_time
async def test_a_replica_that_does_not_answer_is_waited_for(server: RedisServer) -> None:
    """It may be alive and cut off, so the wait is as long as it takes until it notices by itself."""
    one, other = await replicas(server)
    await other.take(3, 5)
    server.client.flushall()
    await one.returns()
    await asyncio.sleep(SETTLING - 0.1)
    await one.connection.pulse()
    assert isinstance(await one.take(3, 5), CountsUnsettled)
    await other.returns(one)
    await asyncio.sleep(GATHERING + 0.11)
    assert await one.take(3, 5) == refused(3)


@virtual_time
async def test_trouble_amid_a_roll_call_forgets_nobody(server: RedisServer) -> None:
    """The second loss of data makes the server forget who was there; the replica that calls again does not."""
    one, other = await replicas(server)
    await other.take(3, 5)
    for number in (1, 2):
        server.client.flushall()
        for _ in range(number):
            await one.connection.pulse()
        await one.returns()
    await asyncio.sleep(GATHERING + 0.01)
    assert isinstance(await one.take(3, 5), CountsUnsettled)
    await one.is_heard(other)
    assert await one.take(3, 5) == refused(3)


@virtual_time
async def test_a_replica_of_a_version_without_roll_calls_is_waited_for(server: RedisServer) -> None:
    """It counts among the replicas, but its id is not known."""
    (one,) = await replicas(server, 1)
    now = int((EPOCH + asyncio.get_running_loop().time()) * 1000)
    server.client.zadd("{ads-proxy}:replicas", {"older": now})
    await one.connection.pulse()
    await one.returns()
    await asyncio.sleep(GATHERING + 0.01)
    assert isinstance(await one.take(1, 5), CountsUnsettled)
    await asyncio.sleep(SETTLING)
    assert await one.take(1, 5) == granted(0)


@virtual_time
async def test_who_comes_after_a_loss_waits_for_those_it_cannot_know(server: RedisServer) -> None:
    """A new replica on a server that has just lost its data knows nobody, and calls no roll for itself."""
    (one,) = await replicas(server, 1)
    await one.take(3, 5)
    server.client.flushall()
    late = Replica(server)
    await late.join()
    await asyncio.sleep(GATHERING + 0.01)
    waits = await late.take(3, 5)
    assert isinstance(waits, CountsUnsettled)
    assert waits.seconds > GATHERING
    await late.returns()
    await asyncio.sleep(GATHERING + 0.01)
    assert isinstance(await late.take(3, 5), CountsUnsettled)
    await one.returns(late)
    await asyncio.sleep(SETTLING + 0.01)
    assert await late.take(3, 5) == refused(3)


@virtual_time
async def test_a_server_with_older_data_opens_no_limit(server: RedisServer) -> None:
    """The replica whose count is an older one there notices, and all wait."""
    one, other = await replicas(server)
    await one.take(1, 5)
    old = {key: server.client.dump(key) for key in server.client.keys("*")}
    await one.take(3, 5)
    await other.take(0)
    for key, content in old.items():
        server.client.restore(key, 0, content, replace=True)
    assert isinstance(await one.take(1, 5), CountsUnsettled)
    assert isinstance(await other.take(1, 5), CountsUnsettled)
    await one.is_heard(one, other)
    await asyncio.sleep(GATHERING + 0.01)
    assert await other.take(2, 5) == refused(4)


@virtual_time
async def test_a_server_whose_clock_was_set_back_waits_no_longer(server: RedisServer) -> None:
    """The wait begins anew, and does not last until the time of before is reached again."""
    (one,) = await replicas(server, 1)
    server.client.hset("{ads-proxy}:counting", "since", int((EPOCH + 10**6) * 1000))
    assert isinstance(await one.take(1, 5), CountsUnsettled)
    await asyncio.sleep(SETTLING + 0.01)
    assert await one.take(1, 5) == granted(0)


@virtual_time
async def test_what_has_no_limit_is_counted_after_trouble(server: RedisServer) -> None:
    """Nothing has to be known about others for that."""
    (one,) = await replicas(server, 1)
    one.counts.doubt()
    assert isinstance(await one.take(1, 5), CountsUnsettled)
    assert await one.take(1) == granted(0)


@virtual_time
async def test_a_store_tells_its_shares_again_by_itself(server: RedisServer) -> None:
    """`changes` notices within a second that the server lost its data."""
    loop = asyncio.get_running_loop()
    connection = VirtualConnection(server)
    store = RedisStore(connection, (Secret(KEY),))
    store.counts = RedisCounts(connection, store.cipher, lambda: EPOCH + loop.time())
    changes = store.changes()
    assert await anext(changes) == StoreChange()
    await asyncio.sleep(SETTLING + 0.01)
    (answer,) = await store.counts.take([CountRequest(DAY, {"created": 2}, {"created": 2})])
    assert answer == granted(0)
    server.client.flushall()
    lost = loop.time()
    assert await anext(changes) == StoreChange()
    assert loop.time() - lost < SETTLING
    assert await store.counts.totals() == {DAY: {"created": 2}}
    await store.close()


@virtual_time
async def test_old_days_are_forgotten(server: RedisServer) -> None:
    """First by the replicas, and later by the server."""
    (one,) = await replicas(server, 1)
    await one.take(1)
    (name,) = server.client.keys("*counts:*")
    life = server.client.ttl(name)
    assert 3 * 86400 < life <= 4 * 86400
    await asyncio.sleep(3 * 86400)
    await one.take(1, key=OTHER)
    assert "2 days" not in repr(one.counts)
    assert list(one.counts._shares) == [OTHER]


@virtual_time
async def test_nothing_readable_is_on_the_server(server: RedisServer) -> None:
    """Names are read by replicas with the key alone, and a hash under another's name is ignored."""
    one, other = await replicas(server)
    await one.take(1, key=CountedDay("secret-client", DAY.day))
    (name,) = server.client.keys("*counts:*")
    assert b"secret" not in name + b"".join(server.client.hgetall(name).values())
    server.client.copy(name, name + b"0")
    assert await other.counts.totals() == {CountedDay("secret-client", DAY.day): {"created": 1}}
    stranger = RedisCounts(other.connection, make_cipher([Secret("another-key-of-the-state")]))
    assert await stranger.totals() == {}


class Interleavings(RuleBasedStateMachine):
    """Three replicas that take and give back within a limit, while answers get lost, steps arrive late, replicas are
    killed and the server is emptied. `sure` is what replicas were told that they have: it must never exceed the limit.
    """

    server: RedisServer
    LIMIT = 6

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner(loop_factory=JumpingLoop)
        self.server.client.flushall()
        self.replicas = self.runner.run(replicas(self.server, 3))
        self.sure = {id(each): 0 for each in self.replicas}
        self.dead = 0
        """What killed replicas had, as far as the server was not emptied since."""
        self.emptied = False

    def teardown(self) -> None:
        self.runner.close()

    @rule(number=st.integers(0, 2), amount=st.integers(1, 4))
    def take(self, number: int, amount: int) -> None:
        replica = self.replicas[number]
        answer = self.runner.run(replica.take(amount, self.LIMIT))
        if isinstance(answer, CountAnswer) and answer.granted:
            self.sure[id(replica)] += amount

    @rule(number=st.integers(0, 2), amount=st.integers(1, 4))
    def give_back(self, number: int, amount: int) -> None:
        replica = self.replicas[number]
        back = min(amount, self.sure[id(replica)])
        if isinstance(self.runner.run(replica.take(-back)), CountAnswer):
            self.sure[id(replica)] -= back

    @rule(number=st.integers(0, 2), amount=st.integers(1, 4))
    def lose_an_answer(self, number: int, amount: int) -> None:
        connection = self.replicas[number].connection
        connection.loses = True
        self.runner.run(self.replicas[number].take(amount, self.LIMIT))
        connection.loses = False

    @rule(number=st.integers(0, 2), amount=st.integers(-2, 4))
    def hold_a_step(self, number: int, amount: int) -> None:
        connection = self.replicas[number].connection
        connection.holds = True
        self.runner.run(self.replicas[number].take(amount, self.LIMIT))
        connection.holds = False

    @rule(number=st.integers(0, 2))
    def let_steps_arrive(self, number: int) -> None:
        if not self.emptied:
            self.runner.run(self.replicas[number].connection.arrive())

    @rule(number=st.integers(0, 2))
    def kill(self, number: int) -> None:
        dead = self.replicas[number]
        if self.emptied:
            return  # it would be lost for good
        self.dead += self.sure[id(dead)]
        self.replicas[number] = self.runner.run(self._join())
        self.sure[id(self.replicas[number])] = 0
        del self.sure[id(dead)]

    async def _join(self) -> Replica:
        joined = Replica(self.server)
        await joined.join(*self.replicas)
        return joined

    @rule()
    def empty_the_server(self) -> None:
        self.server.client.flushall()
        self.dead, self.emptied = 0, True
        for each in self.replicas:
            each.connection.held.clear()

    @rule()
    def notice_and_wait(self) -> None:
        """The replica restores its share as `RedisStore.changes` does: within the wait after a loss."""
        for each in self.replicas:
            self.runner.run(each.counts.restore())
        self.runner.run(asyncio.sleep(SETTLING))
        self.runner.run(pulses(self.replicas))
        self.emptied = False

    @rule(number=st.integers(0, 2), others=st.booleans())
    def return_and_gather(self, number: int, others: bool) -> None:
        """One replica had trouble, and the others hear its call, or do not."""
        self.runner.run(self.replicas[number].returns(*(self.replicas if others else ())))
        self.runner.run(asyncio.sleep(GATHERING))
        self.runner.run(pulses(self.replicas))

    @rule(number=st.integers(0, 2))
    def notice(self, number: int) -> None:
        self.runner.run(self.replicas[number].counts.restore())

    @invariant()
    def no_limit_is_exceeded(self) -> None:
        assert sum(self.sure.values()) + self.dead <= self.LIMIT

    @invariant()
    def nothing_that_somebody_has_is_missing(self) -> None:
        if not self.emptied:
            assert self.runner.run(self.replicas[0].total()) >= sum(self.sure.values()) + self.dead


def test_no_interleaving_exceeds_a_limit(server: RedisServer) -> None:
    """Whatever gets lost, what replicas were granted is within the limit, and the server knows of all of it."""
    machine = type("TestedInterleavings", (Interleavings,), {"server": server})
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=40,
            stateful_step_count=25,
            deadline=None,
            suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
        ),
    )


@pytest.mark.fuzz
def test_no_interleaving_of_many_exceeds_a_limit(server: RedisServer) -> None:
    """The same, with more and longer examples, which are others each time."""
    machine = type("TestedInterleavings", (Interleavings,), {"server": server})
    run_state_machine_as_test(machine, settings=settings(LONG, max_examples=150, stateful_step_count=40))
