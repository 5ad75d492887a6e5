"""Members of a fleet before a real Redis, on virtual time: pauses, budgets, and how the store is."""

from __future__ import annotations

import asyncio

from cryptography.fernet import MultiFernet

from proxy.access.clients import Budgets
from proxy.app.fleet import FleetMember, read_pause, read_token_rate
from proxy.errors import StateUnavailable
from proxy.events import AccountRemoved, StateStoreChanged, TokenUnpersisted
from proxy.reports.sharing import MadeReport, SharedReports
from proxy.secret import Secret
from proxy.tokens.redis_store import RedisFleet
from proxy.tokens.sealing import make_cipher
from proxy.tokens.token_request_queue import TokenRequestQueue
from proxy.upstream.throttles import ThrottleKey, Throttles
from tests.support.events import EventRecorder
from tests.support.fleet import VirtualConnection
from tests.support.redis_server import KEY, RedisServer, one_engine
from tests.support.tokens import virtual_time

kept_server = one_engine

LIMIT = ThrottleKey("GET /sp/campaigns", "profile 1", "na", "amzn1.client")
OTHER = ThrottleKey("GET /sb/campaigns", "profile 1", "na", "amzn1.client")


class Member:
    """What one replica knows, and its part in the fleet."""

    def __init__(self, server: RedisServer, cipher: MultiFernet | None = None) -> None:
        self.connection = VirtualConnection(server)
        self.throttles, self.budgets, self.events = Throttles(), Budgets(), EventRecorder()
        self.fleet = RedisFleet(self.connection, cipher or make_cipher([Secret(KEY)]))
        clock = asyncio.get_running_loop().time
        self.member = FleetMember(self.fleet, self.throttles, self.budgets, self.events, clock)

    def wait(self, key: ThrottleKey = LIMIT) -> float:
        """For how long a request would be held back."""
        now = asyncio.get_running_loop().time()
        throttle = self.throttles.find(key, now)
        return throttle.closed_until - now if throttle is not None else 0.0

    def spend(self, per_minute: int, wanted: int) -> int:
        """How many of so many requests a client may send now."""
        now = asyncio.get_running_loop().time()
        return sum(self.budgets.spend("client", per_minute, now) == 0 for _ in range(wanted))


@virtual_time
async def test_a_pause_is_for_all_replicas(server: RedisServer) -> None:
    """What Amazon asked one to wait for holds the others back, too, for what is left of it, and nothing else."""
    one, other = Member(server), Member(server)
    for each in (one, other):
        each.member.start()
    loop = asyncio.get_running_loop()
    one.throttles.note(LIMIT, loop, 30.0)
    await asyncio.sleep(1)
    assert 28 < other.wait() <= 30
    assert other.wait(OTHER) == 0
    late = Member(server)
    late.member.start()
    await asyncio.sleep(1)
    assert 27 < late.wait() <= 30
    for each in (one, other, late):
        await each.member.stop()


@virtual_time
async def test_a_longer_pause_wins(server: RedisServer) -> None:
    """Another replica's pause prolongs one's own."""
    one, other = Member(server), Member(server)
    for each in (one, other):
        each.member.start()
    loop = asyncio.get_running_loop()
    other.throttles.note(LIMIT, loop, 5.0)
    await asyncio.sleep(1)
    one.throttles.note(LIMIT, loop, 60.0)
    await asyncio.sleep(1)
    assert other.wait() > 50
    for each in (one, other):
        await each.member.stop()


@virtual_time
async def test_what_a_stranger_tells_is_not_heard(server: RedisServer) -> None:
    """The message is encrypted with another key, or is none that a replica sends."""
    member, stranger = Member(server), Member(server, make_cipher([Secret("another key of the state")]))
    member.member.start()
    await stranger.fleet.share({"pause": list(LIMIT), "seconds": 30})
    await Member(server).fleet.share({"pause": ["too", "short"], "seconds": 30})
    await Member(server).fleet.share({"pause": list(OTHER), "seconds": "long"})
    server.client.xadd("{ads-proxy}:told", {"other": "field"})
    await asyncio.sleep(1)
    assert repr(member.throttles) == "<Throttles: 0 remembered>"
    await Member(server).fleet.share({"pause": list(LIMIT), "seconds": 30})
    await asyncio.sleep(1)
    assert member.wait() > 20
    await member.member.stop()


@virtual_time
async def test_a_budget_is_the_fleets(server: RedisServer) -> None:
    """What one lets through comes off what the other may, and over minutes the sum is the budget's."""
    members = [Member(server) for _ in range(3)]
    for each in members:
        each.member.start()
    assert members[0].spend(60, 60) == 60
    await asyncio.sleep(1)
    assert members[1].spend(60, 1) == 1  # it has not asked yet, and is told so now
    await asyncio.sleep(1)
    sent = 61
    for _ in range(600):
        sent += sum(each.spend(60, 5) for each in members)
        await asyncio.sleep(0.5)
    assert 60 + 295 < sent < 60 + 305 + 10
    for each in members:
        await each.member.stop()


@virtual_time
async def test_without_the_store_each_has_the_budget_for_itself(server: RedisServer) -> None:
    """No request is refused because other replicas cannot be heard."""
    members = [Member(server) for _ in range(2)]
    for each in members:
        each.member.start()
        each.connection.cut = True
    await asyncio.sleep(1)
    assert [each.spend(60, 100) for each in members] == [60, 60]
    await asyncio.sleep(10)
    assert [each.spend(60, 100) for each in members] == [10, 10]
    for each in members:
        await each.member.stop()


@virtual_time
async def test_trouble_and_its_end_are_told(server: RedisServer) -> None:
    """Each is reported once, with its reason, and so is a change of the number of replicas."""
    member = Member(server)
    member.member.start()
    await member.connection.pulse()
    member.connection.note(StateUnavailable("It is full."))
    member.connection.note(StateUnavailable("It is away."))
    assert member.fleet.health.problem == "It is away."
    member.connection.note(None)
    member.connection.count(3)
    assert member.events.of(StateStoreChanged) == [
        StateStoreChanged(True, "It is full.", 1),
        StateStoreChanged(False, "", 1),
        StateStoreChanged(False, "", 3),
    ]
    await member.member.stop()


@virtual_time
async def test_a_store_that_lacks_a_token_is_still_in_trouble(server: RedisServer) -> None:
    """The end is reported when the store has the refresh tokens of all accounts, and not when it answers again."""
    member = Member(server)
    member.member.start()
    member.connection.note(StateUnavailable("It is away."))
    for account in ("acme", "beta", "removed"):
        member.member.observe(TokenUnpersisted(account, True, "It is away."))
    member.connection.note(None)
    member.member.observe(AccountRemoved("removed"))
    assert "lacks 2 refresh tokens that this replica still has to write: acme, beta." in member.member.health.problem
    member.member.observe(TokenUnpersisted("acme", False, ""))
    assert "lacks 1 refresh token that" in member.member.health.problem
    member.member.observe(TokenUnpersisted("beta", False, ""))
    assert [event.degraded for event in member.events.of(StateStoreChanged)] == [True, True, False]
    await member.member.stop()


@virtual_time
async def test_the_pace_of_token_requests_is_for_all_replicas(server: RedisServer) -> None:
    """What one replica learns from a refusal holds for the others, and for one that starts soon after."""
    members, request_queue = [Member(server) for _ in range(3)], [TokenRequestQueue() for _ in range(3)]
    for member, own in zip(members[:2], request_queue, strict=False):
        member.member.share_token_rate(own)
        member.member.start()
    loop = asyncio.get_running_loop()
    for account in ("acme", "zeta"):
        request_queue[0].at("http://lwa").rate_limit.refused(account, loop.time(), loop.time(), 30.0)
    await asyncio.sleep(1)
    members[2].member.share_token_rate(request_queue[2])
    members[2].member.start()
    await asyncio.sleep(1)
    for each in request_queue:
        token_rate = each.at("http://lwa").rate_limit
        assert token_rate.rate == 0.5
        assert 27 < token_rate.wait(loop.time()) <= 30
    for member in members:
        await member.member.stop()
        await member.connection.close()


def test_a_pace_of_an_hour_ago_or_in_another_form_is_none() -> None:
    """The old pace says nothing about now."""
    told = {"token_pace": "http://lwa", "rate": 4, "seconds": 2}
    assert read_token_rate(told, 1.5) == ("http://lwa", 4.0, 0.5)
    assert read_token_rate(told, 60.0) == ("http://lwa", 4.0, 0.0)
    for other, ago in ((told, 61.0), ({**told, "rate": 0}, 0.0), ({**told, "rate": "4"}, 0.0), ({"pause": []}, 0.0)):
        assert read_token_rate(other, ago) is None


@virtual_time
async def test_a_report_that_one_replica_ordered_is_known_to_the_others(server: RedisServer) -> None:
    """The others know it until one of them hears that it is gone."""
    members, known = [Member(server), Member(server)], [SharedReports(lambda: 1000.0), SharedReports(lambda: 1000.0)]
    for member, reports in zip(members, known, strict=True):
        member.member.share_reports(reports)
        member.member.start()
    made = MadeReport("key", "report-1", 200, "{}", 1000.0, 1000.0)
    known[0].settle_order("order", "ticket", made)
    await asyncio.sleep(1)
    assert known[1].reports.of_order("order") == made
    known[1].forget("key")
    await asyncio.sleep(1)
    assert known[0].reports.of_order("order") is None
    for member in members:
        await member.member.stop()


def test_what_is_left_of_a_pause_holds_back() -> None:
    """A pause that is over is none."""
    assert read_pause({"pause": list(LIMIT), "seconds": 30}, 10.0) == (LIMIT, 20.0)
    assert read_pause({"pause": list(LIMIT), "seconds": 30}, 30.0) is None
