"""A request whose Scope or ads account is in no list waits for the first lists, over real sockets."""

from __future__ import annotations

import asyncio
import hashlib
from contextlib import AbstractAsyncContextManager
from typing import Any

import pytest

from proxy.access.client_keys import ClientKey
from proxy.access.clients import Budgets, Clients
from proxy.access.placeholders import Placeholders
from proxy.access.policy import Policy
from proxy.app.rules import make_routing_table
from proxy.downstream.ports import Availability
from proxy.errors import NoUsableToken
from proxy.events import DefectMet
from proxy.profiles.first_lists import AwaitedId, FirstLists
from tests.support.deciding import Listed, config
from tests.support.proxy_bench import ProxyBench, Running
from tests.support.wire import HELLO, Script, Wire, answering

KEY = b"correct horse battery staple"
GET = b"GET /v2/campaigns HTTP/1.1\r\nHost: 127.0.0.1\r\n%b\r\n"
SCOPED = GET % b"Amazon-Advertising-API-Scope: 21\r\n"
POST = b"POST /sp/campaigns/list HTTP/1.1\r\nHost: 127.0.0.1\r\nAmazon-Advertising-API-Scope: 21\r\n%b\r\n"


class ReadingLists(Listed):
    """A directory whose first lists come when the test says so; `waiting` are the accounts of each wait."""

    def __init__(self, *accounts: str, **known: Any) -> None:
        super().__init__(**known)
        self.awaited = set(accounts)
        self.waiting: list[tuple[str, ...]] = []
        self.read = asyncio.Event()

    @property
    def settled(self) -> bool:
        return not self.awaited

    def first_lists(self, account: str) -> FirstLists:
        return FirstLists.AWAITED if account in self.awaited else FirstLists.SETTLED

    async def wait_for_first_lists(self, awaited: AwaitedId) -> None:
        self.waiting.append(awaited.accounts)
        await self.read.wait()

    def take(self, *owners: tuple[str, str]) -> None:
        """The lists are there: the profile 21 and the ads account `amzn1.a` have these owners."""
        self._owners, self._ads_accounts = ({"21": owners}, {"amzn1.a": owners}) if owners else ({}, {})
        self.version += 1
        self.awaited.clear()
        self.read.set()

    def give_up(self) -> None:
        """The wait is over, and the lists are not there."""
        self.read.set()


def opened(
    running: Running, lists: ReadingLists, script: Script, *accounts: str, **changed: Any
) -> AbstractAsyncContextManager[ProxyBench]:
    """The proxy with these accounts, whose home is North America."""
    table = make_routing_table(config({name: {} for name in accounts or ("acme",)}), lists)
    return running(script, table=table, **changed)


async def held(bench: ProxyBench, lists: ReadingLists, count: int = 1) -> None:
    """So many requests wait, and nothing of them is at Amazon."""
    await bench.settled(lambda: len(lists.waiting) == count)
    assert not any(wire.received for wire in bench.upstream.wires)


def everywhere(bench: ProxyBench) -> None:
    """Both regions are at the test's upstream; the account of a request says which it went to."""
    url = f"http://127.0.0.1:{bench.upstream.port}"
    bench.apply(api_urls={"na": url, "eu": url})


@pytest.mark.parametrize(
    "header", [b"Amazon-Advertising-API-Scope: 21\r\n", b"Amazon-Ads-AccountId: amzn1.a\r\n"], ids=["scope", "id"]
)
async def test_an_unlisted_id_waits_and_goes_to_the_region_of_the_list(header: bytes, running: Running) -> None:
    """Later ones go there at once, and the wait is not counted as the proxy's own time."""
    lists = ReadingLists("acme")
    async with opened(running, lists, answering(HELLO)) as bench:
        everywhere(bench)
        client = await bench.client(GET % header)
        await held(bench, lists)
        assert bench.accounting.in_flight == 1
        lists.take(("acme", "eu"))
        assert (await client.answer()).body == b"hello"
        assert (await bench.ask(GET % header)).status == 200
        first, second = await bench.events.last(1), await bench.events.last(2)
        assert (first.region, second.region, lists.waiting) == ("eu", "eu", [("acme",)])
        assert first.overhead < first.duration


async def test_without_a_list_the_home_region_is_taken(running: Running) -> None:
    """And forgotten when the list comes: what was decided without it does not stay."""
    lists = ReadingLists("acme")
    async with opened(running, lists, answering(HELLO)) as bench:
        everywhere(bench)
        client = await bench.client(SCOPED)
        await held(bench, lists)
        lists.give_up()
        assert (await client.answer()).status == 200
        lists.take(("acme", "eu"))
        assert (await bench.ask(SCOPED)).status == 200
        assert [event.region for event in bench.events.finished] == ["na", "eu"]


@pytest.mark.parametrize(
    "request_",
    [
        GET % b"",
        GET % b"Amazon-Advertising-API-Scope: 11\r\n",
        GET % b"Amazon-Advertising-API-Scope: 11\r\nAmazon-Ads-AccountId: amzn1.a\r\n",
        GET % b"Amazon-Advertising-API-Scope: 21\r\nX-Ads-Region: eu\r\n",
        SCOPED.replace(b"GET /v2", b"GET /eu/v2"),
        SCOPED.replace(b"127.0.0.1", b"advertising-api-eu.amazon.com"),
    ],
    ids=["no id", "listed", "listed scope", "region header", "region prefix", "api host"],
)
async def test_a_request_that_no_list_can_lead_elsewhere_waits_for_none(request_: bytes, running: Running) -> None:
    """However long the lists take."""
    lists = ReadingLists("acme", owners={"11": (("acme", "na"),)})
    async with opened(running, lists, answering(HELLO)) as bench:
        everywhere(bench)
        assert (await bench.ask(request_)).status == 200
        assert lists.waiting == []


async def test_a_default_profile_is_waited_for_too(running: Running) -> None:
    """The default profile is in another region than the account's home, as the list says."""
    lists = ReadingLists("acme")
    table = make_routing_table(config({"acme": {"default_profile": "21"}}), lists)
    async with running(answering(HELLO), table=table) as bench:
        everywhere(bench)
        client = await bench.client(GET % b"")
        await held(bench, lists)
        lists.take(("acme", "eu"))
        assert (await client.answer()).status == 200
        assert (await bench.events.last()).region == "eu"


@pytest.mark.parametrize("selected", [b"", b"X-Ads-Account: zeta\r\n"])
async def test_of_several_accounts_the_list_chooses_one(selected: bytes, running: Running) -> None:
    """All lists may have the profile, unless the request names an account; one that another account lists is as good as
    unlisted then."""
    lists = ReadingLists("acme", "zeta", owners={"21": (("acme", "na"),)} if selected else {})
    async with opened(running, lists, answering(HELLO), "acme", "zeta", "third") as bench:
        everywhere(bench)
        client = await bench.client(SCOPED.replace(b"\r\n\r\n", b"\r\n" + selected + b"\r\n"))
        await held(bench, lists)
        assert lists.waiting == [("zeta",) if selected else ("acme", "zeta")]
        lists.take(("zeta", "eu"))
        assert (await client.answer()).status == 200
        finished = await bench.events.last()
        assert (finished.account, finished.region) == ("zeta", "eu")


async def test_of_several_accounts_without_a_list_one_must_be_named(running: Running) -> None:
    """Asked for after the wait, on a connection that stays; a request that names no id is told at once."""
    lists = ReadingLists("acme", "zeta")
    async with opened(running, lists, answering(HELLO), "acme", "zeta") as bench:
        assert (await bench.ask(GET % b"")).status == 400
        client = await bench.client(SCOPED)
        await held(bench, lists)
        lists.take()
        refused = await client.answer()
        assert (refused.status, b"There are several accounts" in refused.body) == (400, True)
        assert not bench.upstream.wires
        client.send(SCOPED)
        assert (await client.answer()).status == 400
        accounts = [(event.refusal, event.profile, event.status) for event in bench.events.finished[1:]]
        assert accounts == 2 * [("account-required", "21", 400)]
        assert bench.events.finished[1].duration > 0


@pytest.mark.parametrize("chunked", [False, True])
@pytest.mark.parametrize("late", [0, 5, 100_000], ids=["whole", "in two pieces", "large"])
async def test_the_body_arrives_whole(chunked: bool, late: int, running: Running) -> None:
    """What came before the wait was over, and what came behind it; more than is kept stays in the socket."""
    bodies: list[bytes] = []

    async def script(wire: Wire) -> None:
        while True:
            bodies.append((await wire.request())[1])
            wire.send(HELLO)

    payload = bytes(range(256)) * (4000 if late > 100 else 1)
    framing = b"Transfer-Encoding: chunked\r\n" if chunked else b"Content-Length: %d\r\n" % len(payload)
    body = b"%x\r\n%b\r\n0\r\n\r\n" % (len(payload), payload) if chunked else payload
    lists = ReadingLists("acme")
    async with opened(running, lists, script, replay_bytes=65536) as bench:
        everywhere(bench)
        client = await bench.client(POST % framing, body[: len(body) - late])
        await held(bench, lists)
        lists.take(("acme", "eu"))
        client.send(body[len(body) - late :] if late else b"")
        assert (await client.answer()).status == 200
        client.send(POST % framing, body)
        assert (await client.answer()).status == 200
        assert bodies == [payload, payload]
        assert [event.bytes_in for event in bench.events.finished] == [len(payload)] * 2


async def test_no_more_of_a_body_is_kept_than_otherwise(running: Running) -> None:
    """The client's socket is read no further."""
    lists = ReadingLists("acme")
    async with opened(running, lists, answering(HELLO), replay_bytes=4096) as bench:
        client = await bench.client(POST % b"Content-Length: 9000000\r\n", bytes(8192))
        await held(bench, lists)
        client.send(bytes(9_000_000 - 8192))
        await bench.settled(lambda: client.transport.get_write_buffer_size() > 0)
        lists.take(("acme", "na"))
        assert (await client.answer()).status == 200
        assert (await bench.events.last()).bytes_in == 9_000_000


async def test_a_body_is_asked_for_after_the_wait(running: Running) -> None:
    """By Amazon: a client that expects a 100 sends it then."""

    async def script(wire: Wire) -> None:
        head = await wire.head()
        wire.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        assert await wire.body(head) == (b"{}", ())
        wire.send(HELLO)

    lists = ReadingLists("acme")
    async with opened(running, lists, script) as bench:
        client = await bench.client(POST % b"Expect: 100-continue\r\nContent-Length: 2\r\n")
        await held(bench, lists)
        assert not client.received
        lists.take(("acme", "na"))
        assert (await client.answer()).status == 100
        client.send(b"{}")
        assert (await client.answer()).status == 200


async def test_pipelined_requests_are_answered_in_their_order(running: Running) -> None:
    """Requests behind one that waits wait, too."""
    lists = ReadingLists("acme")
    async with opened(running, lists, answering(HELLO, HELLO.replace(b"hello", b"world"))) as bench:
        everywhere(bench)
        client = await bench.client(SCOPED, GET % b"")
        await held(bench, lists)
        lists.take(("acme", "eu"))
        assert [(await client.answer()).body for _ in range(2)] == [b"hello", b"world"]
        assert [event.region for event in bench.events.finished] == ["eu", "na"]


@pytest.mark.parametrize("body", [b"", b"Content-Length: 10\r\n"])
async def test_a_client_that_leaves_during_the_wait_is_accounted_for(body: bytes, running: Running) -> None:
    """Nothing of its request is sent, then or later."""
    lists = ReadingLists("acme")
    async with opened(running, lists, answering(HELLO)) as bench:
        client = await bench.client(POST % body)
        await held(bench, lists)
        client.close()
        finished = await bench.events.last()
        assert (finished.fault, finished.status, finished.profile) == ("client-gone", 0, "21")
        lists.take(("acme", "na"))
        await bench.settled(lambda: not bench.server.connections)
        assert not bench.upstream.wires
        assert (bench.accounting.in_flight, bench.accounting.client_cell("anonymous").value) == (0, 0)


async def test_a_drain_serves_who_waits(running: Running) -> None:
    """A request that waits is served, as each that was admitted before; its connection ends behind the answer."""
    lists = ReadingLists("acme")
    async with opened(running, lists, answering(HELLO)) as bench:
        client = await bench.client(SCOPED)
        await held(bench, lists)
        bench.forwarder.availability = Availability.CLOSING
        bench.server.close_idle()
        lists.take(("acme", "na"))
        answer = await client.answer()
        assert (answer.status, answer.value(b"connection")) == (200, b"close")
        assert await client.end() == b""


async def test_the_end_of_the_program_answers_who_waits(running: Running) -> None:
    """With 503: nothing was sent."""
    lists = ReadingLists("acme")
    async with opened(running, lists, answering(HELLO)) as bench:
        client = await bench.client(SCOPED)
        await held(bench, lists)
        assert bench.server.end_all() == 1
        answer = await client.answer()
        assert (answer.status, b"draining" in answer.body) == (503, True)
        assert (await bench.events.last()).refusal == "draining"


async def test_a_malformed_body_ends_the_wait(running: Running) -> None:
    """The client hears of it at once, and the connection ends."""
    lists = ReadingLists("acme")
    async with opened(running, lists, answering(HELLO)) as bench:
        client = await bench.client(POST % b"Transfer-Encoding: chunked\r\n")
        await held(bench, lists)
        client.send(b"no size\r\n")
        assert (await client.answer()).status == 400
        assert await client.end() == b""
        lists.take(("acme", "na"))
        assert not bench.upstream.wires


def keyed(**changed: Any) -> Clients:
    """One client with a key, and these limits."""
    policy = Policy("reporting", (ClientKey(hashlib.sha256(KEY).hexdigest()),), **changed)
    return Clients([policy], Placeholders(b"key"), Budgets())


WITH_KEY = SCOPED.replace(b"\r\n\r\n", b"\r\nX-Ads-Proxy-Key: " + KEY + b"\r\n\r\n")


async def test_who_waits_is_in_flight_and_is_charged_once(running: Running) -> None:
    """A client with room for one request gets 429 for the second, and one of its two a minute stays."""
    lists = ReadingLists("acme")
    clients = keyed(max_in_flight=1, requests_per_minute=3)
    async with opened(running, lists, answering(HELLO), clients=clients) as bench:
        client = await bench.client(WITH_KEY)
        await held(bench, lists)
        refused = await bench.ask(WITH_KEY)
        assert (refused.status, b"max_in_flight" in refused.body) == (429, True)
        lists.take(("acme", "na"))
        assert (await client.answer()).status == 200
        assert (await bench.ask(WITH_KEY)).status == 200
        spent = await bench.ask(WITH_KEY)
        assert (spent.status, b"requests a minute" in spent.body) == (429, True)
        assert bench.accounting.client_cell("reporting").value == 0


async def test_a_key_that_is_removed_during_the_wait_is_refused(running: Running) -> None:
    """A request is decided by the rules in force after the wait."""
    lists = ReadingLists("acme")
    async with opened(running, lists, answering(HELLO), clients=keyed()) as bench:
        client = await bench.client(WITH_KEY)
        await held(bench, lists)
        other = Clients([Policy("other", (ClientKey("0" * 64),))], Placeholders(b"key"), Budgets())
        bench.apply(clients=other)
        lists.take(("acme", "na"))
        assert (await client.answer()).status == 401
        assert not bench.upstream.wires


async def test_the_token_comes_before_the_lists(running: Running) -> None:
    """Without one there is no list; where none comes, the client is told so as at any other time."""
    lists = ReadingLists("acme")
    async with opened(running, lists, answering(HELLO)) as bench:
        bench.tokens.cold = True
        bench.tokens.gate.clear()
        client = await bench.client(SCOPED)
        await bench.settled(lambda: bench.accounting.in_flight == 1)
        assert lists.waiting == []
        bench.tokens.gate.set()
        await held(bench, lists)
        lists.take(("acme", "na"))
        bench.tokens.cold = False
        assert (await client.answer()).status == 200


async def test_without_a_token_the_client_is_told_so(running: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    """With 503 and the account, and the connection stays."""
    lists = ReadingLists("acme")

    async def get(account: str) -> None:
        raise NoUsableToken(f"{account} has to sign in.", retry_after=60, retryable=False)

    async with opened(running, lists, answering(HELLO)) as bench:
        monkeypatch.setattr(bench.tokens, "get", get)
        client = await bench.client(SCOPED)
        answer = await client.answer()
        assert (answer.status, answer.value(b"retry-after"), answer.value(b"connection")) == (503, b"60", None)
        finished = await bench.events.last()
        assert (finished.refusal, finished.account, finished.profile) == ("no-usable-token", "acme", "21")


async def test_a_defect_during_the_wait_is_answered_and_told(running: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    """The client does not wait for ever."""
    lists = ReadingLists("acme")

    async def fail(accounts: object) -> None:
        raise KeyError("a defect")

    async with opened(running, lists, answering(HELLO)) as bench:
        monkeypatch.setattr(lists, "wait_for_first_lists", fail)
        assert (await bench.ask(SCOPED)).status == 500
        assert len(bench.events.defects) == 1
        bench.events.events = [event for event in bench.events.events if not isinstance(event, DefectMet)]
