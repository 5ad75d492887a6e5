"""A request that gates read before anything of it leaves: orders of limited clients, and gates of the tests' own."""

from __future__ import annotations

import asyncio
import hashlib
import json
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from proxy.access.client_keys import ClientKey
from proxy.access.clients import Budgets, ClientIdentity, Clients
from proxy.access.placeholders import Placeholders
from proxy.access.policy import Policy
from proxy.body_reader import READER, SHORT, SHORT_READER
from proxy.forwarding.exchange import Exchange
from proxy.forwarding.gated_request import GatedRequest
from proxy.http1.request_fields import RequestFields
from proxy.reports.sharing import ReportRules
from proxy.strict_json import JsonBody
from tests.support.capabilities import Noted, NotingGate, NotingTap, Plugged, plug
from tests.support.memory_bench import MemoryBench
from tests.support.patience import PATIENCE
from tests.support.proxy_bench import ProxyBench, Running
from tests.support.wire import GET, HELLO, UNAUTHORIZED, Wire, answering

KEY = b"a key of a limited client"
HEAD = (
    b"POST /adsApi/v1/create/reports HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
    b"X-Ads-Proxy-Key: %b\r\n" % KEY
)
MINE = b'{"accessRequestedAccounts":[{"advertiserAccountId":"amzn1.own"}],"reports":[{"format":"CSV"}]}'
FOREIGN = MINE.replace(b"own", b"other")


def clients(**limits: Any) -> Clients:
    """One client of one ads account."""
    digest = hashlib.sha256(KEY).hexdigest()
    policy = Policy("tool", (ClientKey(digest),), account_ids=frozenset({b"amzn1.own"}), **limits)
    return Clients([policy], Placeholders(b"key"), Budgets())


def counted(body: bytes, *lines: bytes) -> bytes:
    return HEAD + b"".join(lines) + b"Content-Length: %d\r\n\r\n" % len(body) + body


def chunked(*pieces: bytes, trailers: bytes = b"") -> bytes:
    chunks = b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces)
    return HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + chunks + b"0\r\n" + trailers + b"\r\n"


def exchange(bench: ProxyBench) -> Exchange:
    """The handler of the only client."""
    handler = bench.connection()._handler
    assert isinstance(handler, Exchange)
    return handler


def nothing_left(bench: ProxyBench) -> bool:
    return all(b"create/reports" not in bytes(wire.received) for wire in bench.upstream.wires)


@pytest.mark.parametrize(
    "sent",
    [counted(MINE), chunked(MINE), chunked(MINE[:5], MINE[5:60], MINE[60:], trailers=b"X-After: 1\r\n")],
    ids=["counted", "chunked", "pieces"],
)
@pytest.mark.parametrize("size", [1, 7, 10_000])
async def test_an_order_for_ones_own_accounts_leaves_as_it_was_judged(sent: bytes, size: int, running: Running) -> None:
    """Whole, whatever pieces it came in, without its trailers, which nobody judged; and the next request is served."""
    bodies: list[bytes] = []

    async def script(wire: Wire) -> None:
        while True:
            _, body = await wire.request()
            bodies.append(body)
            assert b"X-After" not in bytes(wire.received)
            wire.send(HELLO)

    async with running(script, clients=clients()) as bench:
        client = await bench.client()
        for at in range(0, len(sent), size):
            client.send(sent[at : at + size])
            if size > 1 or at % 50 == 0:
                await asyncio.sleep(0)
        assert (await client.answer()).body == b"hello"
        client.send(sent)
        assert (await client.answer()).body == b"hello"
        assert bodies == [MINE, MINE]
        event = await bench.events.last()
        assert (event.client, event.status, event.refusal, event.attempts) == ("tool", 200, "", 1)


@pytest.mark.parametrize("sent", [counted(FOREIGN), chunked(FOREIGN[:20], FOREIGN[20:]), counted(b""), chunked()])
async def test_what_is_not_the_clients_never_leaves(sent: bytes, running: Running) -> None:
    """One 403, with the rule; the connection stays, and its next request is judged anew."""
    async with running(answering(HELLO), clients=clients()) as bench:
        client = await bench.client(sent)
        got = await client.answer()
        said = json.loads(got.body)
        assert (got.status, said["type"]) == (403, "urn:ads-proxy:error:not-permitted")
        assert "(Rule: account_ids.)" in said["detail"]
        assert nothing_left(bench)
        event = await bench.events.last()
        assert (event.client, event.account, event.status, event.attempts) == ("tool", "default", 403, 0)
        assert event.refusal == "not-permitted"
        client.send(counted(MINE))
        assert (await client.answer()).body == b"hello"


async def test_a_foreign_account_is_told_from_no_other(running: Running) -> None:
    """Byte for byte, but for the request's id and the time."""
    async with running(answering(HELLO), clients=clients()) as bench:
        answers = [json.loads((await bench.ask(counted(MINE.replace(b"own", name)))).body) for name in (b"x", b"other")]
        for answer in answers:
            del answer["request_id"]
        assert answers[0] == answers[1]


@pytest.mark.parametrize("framing", ["declared", "counted", "chunked"])
async def test_a_body_that_is_too_large_to_be_read_is_413(framing: str, running: Running) -> None:
    """As soon as that is known, and nothing of it leaves."""
    large = MINE + b" " * 2000
    sent = {
        "declared": counted(large)[:-1500],
        "counted": counted(large),
        "chunked": HEAD + b"Transfer-Encoding: chunked\r\n\r\n800\r\n" + large[:1900],
    }[framing]
    async with running(answering(HELLO), clients=clients(), replay_bytes=1024) as bench:
        got = await bench.ask(sent)
        assert (got.status, json.loads(got.body)["type"]) == (413, "urn:ads-proxy:error:content-too-large")
        assert "limits.replay_bytes" in json.loads(got.body)["detail"]
        assert nothing_left(bench)


async def test_a_body_that_is_waited_for_is_asked_for(running: Running) -> None:
    """Expect: 100-continue is answered here, as nothing is at Amazon yet; its own 100 is dropped."""
    async with running(answering(b"HTTP/1.1 100 Continue\r\n\r\n" + HELLO), clients=clients()) as bench:
        client = await bench.client(HEAD + b"Expect: 100-continue\r\nContent-Length: %d\r\n\r\n" % len(MINE))
        await client.until(lambda: bytes(client.received) == b"HTTP/1.1 100 Continue\r\n\r\n")
        assert isinstance(bench.connection()._handler, GatedRequest)
        del client.received[:]
        client.send(MINE)
        assert (await client.answer()).body == b"hello"


# --- large bodies, which a thread reads


LARGE = b" " * 50_000


async def test_a_large_order_is_judged_as_a_small_one(running: Running) -> None:
    """The client's own leaves as it came, a foreign one never; the connection serves both."""
    async with running(answering(HELLO), clients=clients()) as bench:
        client = await bench.client(counted(FOREIGN + LARGE))
        assert (await client.answer()).status == 403
        assert nothing_left(bench)
        client.send(counted(MINE + LARGE))
        assert (await client.answer()).body == b"hello"
        assert bytes(bench.upstream.wires[0].received).endswith(MINE + LARGE)


class HeldCheck:
    """The judging of bodies, which waits in its thread until the test lets it go on; with a defect, if there is one."""

    def __init__(self) -> None:
        self.begun, self.go = threading.Event(), threading.Event()
        self.defect: Exception | None = None

    def __call__(self, known: Clients, identity: ClientIdentity, fields: RequestFields, body: JsonBody) -> None:
        self.begun.set()
        self.go.wait(PATIENCE)
        if self.defect is not None:
            raise self.defect
        _permit_body(known, identity, fields, body)


_permit_body = Clients.permit_body


@asynccontextmanager
async def being_checked(running: Running) -> AsyncIterator[tuple[ProxyBench, Wire, HeldCheck]]:
    """The bench and the client of a large order that is judged in the thread until the test lets it go on."""
    held = HeldCheck()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Clients, "permit_body", lambda *given: held(*given))  # noqa: PLW0108 - a method, which an object is not
        try:
            async with running(answering(HELLO), clients=clients()) as bench:
                client = await bench.client(counted(MINE + LARGE))
                await bench.settled(held.begun.is_set)
                yield bench, client, held
        finally:
            held.go.set()


async def test_a_client_that_disconnects_while_its_order_is_judged_is_counted(running: Running) -> None:
    """Nothing of the order is sent afterwards."""
    async with being_checked(running) as (bench, client, held):
        client.abort()
        assert (await bench.events.last()).fault == "client-gone"
        held.go.set()
        await asyncio.get_running_loop().run_in_executor(SHORT_READER._thread, str)
        assert (await bench.ask(GET.replace(b"\r\n\r\n", b"\r\nX-Ads-Proxy-Key: " + KEY + b"\r\n\r\n"))).status
        assert nothing_left(bench)


async def test_a_short_body_waits_for_no_long_one(running: Running) -> None:
    """Not even for that of its own client: each kind has a thread."""
    go = threading.Event()
    short, long = counted(MINE + LARGE), counted(MINE + b" " * (8 * SHORT + 8))
    busy = READER.submit("another", go.wait, PATIENCE)
    try:
        async with running(answering(HELLO), clients=clients()) as bench:
            waiting = await bench.client(long)
            await bench.settled(lambda: busy.running() and "1 clients" in repr(READER))
            assert (await bench.ask(short)).body == b"hello"
            assert not busy.done() and "1 clients" in repr(READER)
            go.set()
            assert (await waiting.answer()).body == b"hello"
    finally:
        go.set()


async def test_nothing_is_judged_for_a_client_that_has_left(running: Running) -> None:
    """Its order waited for its turn."""
    go = threading.Event()
    busy = SHORT_READER.submit("another", go.wait, PATIENCE)
    try:
        async with running(answering(HELLO), clients=clients()) as bench:
            client = await bench.client(counted(MINE + LARGE))
            await bench.settled(lambda: busy.running() and "1 clients" in repr(SHORT_READER))
            client.abort()
            assert (await bench.events.last()).fault == "client-gone"
            with pytest.MonkeyPatch.context() as patch:
                judged: list[object] = []
                patch.setattr(Clients, "permit_body", lambda *given: judged.append(given))
                go.set()
                await asyncio.get_running_loop().run_in_executor(SHORT_READER._thread, str)
            assert judged == []
    finally:
        go.set()


async def test_a_defect_in_judging_a_large_order_is_a_500(running: Running) -> None:
    """It is met in the thread, and reported; the client gets a response."""
    async with being_checked(running) as (bench, client, held):
        held.defect = ZeroDivisionError()
        held.go.set()
        assert (await client.answer()).status == 500
        assert [text.count("ZeroDivisionError") > 0 for text in bench.events.defects] == [True]
        bench.events.events = [event for event in bench.events.events if type(event).__name__ != "DefectMet"]


async def test_a_tool_that_leaves_before_the_end_is_counted(running: Running) -> None:
    """Nothing of its order is at Amazon."""
    async with running(answering(HELLO), clients=clients()) as bench:
        client = await bench.client(counted(MINE)[:-3])
        await bench.settled(lambda: bench.accounting.in_flight == 1)
        assert bench.accounting.client_cell("tool").value == 1
        client.abort()
        event = await bench.events.last()
        assert (event.status, event.fault, event.client) == (0, "client-gone", "tool")
        assert (bench.accounting.in_flight, bench.accounting.client_cell("tool").value) == (0, 0)
        assert nothing_left(bench)


async def test_a_body_that_stops_coming_is_408(running: Running) -> None:
    """As everywhere."""
    async with running(answering(HELLO), clients=clients()) as bench:
        client = await bench.client(counted(MINE)[:-3])
        await bench.settled(lambda: bench.accounting.in_flight == 1)
        bench.sweep(100.0)
        assert (await client.answer()).status == 408
        assert nothing_left(bench)


async def test_a_judged_order_is_replayed_as_every_request(running: Running) -> None:
    """After a 401 with a newer token, and the client may leave meanwhile."""
    async with running(answering(UNAUTHORIZED, HELLO), clients=clients()) as bench:
        assert (await bench.ask(counted(MINE))).body == b"hello"
        assert bench.tokens.renewals == 1


@asynccontextmanager
async def order_under_way(running: Running) -> AsyncIterator[tuple[ProxyBench, Wire]]:
    """The bench and the client of an order that has gone to Amazon, whole, and is not answered until the end."""
    go = asyncio.Event()

    async def script(wire: Wire) -> None:
        await wire.request()
        await go.wait()

    async with running(script, clients=clients()) as bench:
        client = await bench.client(counted(MINE))
        await bench.settled(lambda: bool(bench.upstream.wires) and MINE in bytes(bench.upstream.wires[0].received))
        yield bench, client
        go.set()


async def test_a_tool_that_leaves_an_order_under_way_is_noticed(running: Running) -> None:
    """The exchange behind the judging hears of it."""
    async with order_under_way(running) as (bench, client):
        assert ": sent, " in repr(exchange(bench))
        client.abort()
        assert (await bench.events.last()).fault == "client-gone"


async def test_the_end_of_the_program_reaches_an_order_under_way(running: Running) -> None:
    """It is answered 503 as every other request that is cut."""
    async with order_under_way(running) as (bench, client):
        bench.connection().end()
        assert (await client.answer()).status == 503


async def test_others_orders_are_not_read(running: Running) -> None:
    """Who is not limited sends what it likes, in any form."""
    async with running(answering(HELLO)) as bench:
        assert (await bench.ask(counted(b"\xff whatever"))).body == b"hello"
        assert MINE not in bytes(bench.upstream.wires[0].received)
        assert (await bench.ask(GET)).body == b"hello"


@pytest.mark.parametrize("verb", [b"retrieve", b"delete"])
async def test_reports_by_their_ids_stay_closed(verb: bytes, running: Running) -> None:
    """Nothing says whose they are."""
    async with running(answering(HELLO), clients=clients()) as bench:
        got = await bench.ask(counted(b'{"reportIds":["1"]}').replace(b"create", verb))
        assert got.status == 403
        assert "the account of a report" in json.loads(got.body)["detail"]


# --- gates of the tests' own: what becomes of their request in each state

PLAIN = b"POST /v2/x HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: %d\r\n\r\n"


async def test_a_client_that_leaves_during_a_gates_wait_ends_it(running: Running) -> None:
    """The gate hears of it by the end of its wait and of its tap; nothing leaves."""
    noted: Noted = []
    async with running(answering(HELLO)) as bench:
        go = asyncio.get_running_loop().create_future()
        plug(bench, Plugged(gates=(NotingGate(noted, go=go, tap=NotingTap(noted)),)))
        client = await bench.client(PLAIN % 3 + b"abc")
        await bench.settled(lambda: ("gate", "wait") in noted)
        client.abort()
        event = await bench.events.last()
        assert (event.status, event.fault, event.bytes_in) == (0, "client-gone", 3)
        await bench.settled(go.cancelled)
        assert noted[-1] == ("tap", "ended", None, None, None, False)
        assert not bench.upstream.wires


async def test_the_end_of_the_program_ends_a_gates_wait(running: Running) -> None:
    """The client is told, as of every other request that is cut."""
    noted: Noted = []
    async with running(answering(HELLO)) as bench:
        go = asyncio.get_running_loop().create_future()
        plug(bench, Plugged(gates=(NotingGate(noted, go=go),)))
        client = await bench.client(PLAIN % 3 + b"abc")
        await bench.settled(lambda: ("gate", "wait") in noted)
        bench.connection().end()
        assert (await client.answer()).status == 503
        assert go.cancelled()
        assert not bench.upstream.wires


@pytest.mark.parametrize("where", ["read", "read in a thread", "wait"])
async def test_a_defect_of_a_gate_is_a_500(where: str, running: Running) -> None:
    """The defect is reported once, and nothing of the request leaves."""
    async with running(answering(HELLO)) as bench:
        go = asyncio.get_running_loop().create_future()
        gate = NotingGate([], go=go) if where == "wait" else NotingGate([], refusal=ZeroDivisionError())
        plug(bench, Plugged(gates=(gate,)))
        body = LARGE if "thread" in where else b"abc"
        client = await bench.client(PLAIN % len(body) + body)
        if where == "wait":
            go.set_exception(ZeroDivisionError())
        assert (await client.answer()).status == 500
        assert ["ZeroDivisionError" in text for text in bench.events.defects] == [True]
        assert (await bench.events.last()).refusal == "internal-error"
        assert not bench.upstream.wires
        bench.events.events = [event for event in bench.events.events if type(event).__name__ != "DefectMet"]


async def test_a_client_that_does_not_take_the_100_is_stalled(running: Running) -> None:
    """The account names the stalled client, and the connection ends: nothing else was sent."""
    async with running(answering(HELLO)) as bench:
        plug(bench, Plugged(gates=(NotingGate([]),)))
        client = await bench.client(PLAIN.replace(b"Host", b"Expect: 100-continue\r\nHost") % 3)
        await client.until(lambda: b"100 Continue" in client.received)
        handler = bench.connection()._handler
        assert isinstance(handler, GatedRequest)
        handler.time_out()
        event = await bench.events.last()
        assert (event.status, event.fault, event.attempts) == (0, "client-stalled", 0)
        await client.until(lambda: client.lost)


@pytest.mark.parametrize("how", ["at once", "after a thread", "after a wait"])
async def test_a_defect_in_handing_over_is_a_500(how: str, running: Running) -> None:
    """Nobody else could answer: the exchange was not made."""

    def fail(_context: object) -> NotingTap:
        raise ZeroDivisionError

    async with running(answering(HELLO)) as bench:
        go = asyncio.get_running_loop().create_future()
        go.set_result(None)
        plug(bench, Plugged(gates=(NotingGate([], go=go if "wait" in how else None),), taps=(fail,)))
        body = LARGE if "thread" in how else b"abc"
        assert (await bench.ask(PLAIN % len(body) + body)).status == 500
        assert ["ZeroDivisionError" in text for text in bench.events.defects] == [True]
        assert (await bench.events.last()).refusal == "internal-error"
        bench.events.events = [event for event in bench.events.events if type(event).__name__ != "DefectMet"]


@pytest.mark.parametrize("framing", ["counted", "chunked"])
@pytest.mark.parametrize("unread", [(True, True), (True, False)], ids=["all", "not all"])
async def test_a_body_that_is_too_large_passes_unread_if_all_gates_permit_it(
    unread: tuple[bool, bool], framing: str, running: Running
) -> None:
    """In its turn, and as it came. One gate that has to read it is enough for a 413."""
    noted: Noted = []
    body = b"x" * 5000
    sent = PLAIN % len(body) + body
    if framing == "chunked":
        sent = (
            PLAIN[: PLAIN.index(b"Content")] + b"Transfer-Encoding: chunked\r\n\r\n1388\r\n" + body + b"\r\n0\r\n\r\n"
        )
    async with running(answering(HELLO), replay_bytes=1024) as bench:
        go = asyncio.get_running_loop().create_future()
        waiting = NotingGate(noted, go=go, may_pass_unread=unread[0])
        plug(bench, Plugged(gates=(waiting, NotingGate(noted, "second", may_pass_unread=unread[1]))))
        client = await bench.client(sent)
        if all(unread):
            await bench.settled(lambda: ("gate", "wait") in noted)
            assert not bench.upstream.wires
            go.set_result(None)
            assert (await client.answer()).body == b"hello"
            assert bytes(bench.upstream.wires[0].received).count(b"x") >= len(body)
            assert noted == [("gate", "wait")]
        else:
            assert (await client.answer()).status == 413
            assert (noted, bench.upstream.wires) == ([], [])


async def test_a_request_without_a_body_is_never_too_large(running: Running) -> None:
    """No body is kept where `replay_bytes` is 0, and none is needed here."""
    noted: Noted = []
    async with running(answering(HELLO), replay_bytes=0) as bench:
        plug(bench, Plugged(gates=(NotingGate(noted),)))
        assert (await bench.ask(GET)).body == b"hello"


# --- what a client sent ahead ------------------------------------------------------------------------------

RULES = ReportRules(reuses=True, reuse_for=900.0, paces=True, poll_interval=60.0, adopts=True)


def poll(number: int) -> bytes:
    """A request that a gate looks at: it asks how far a report is."""
    return b"GET /reporting/reports/%d HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n" % number


async def test_a_request_that_goes_on_lets_nothing_more_in() -> None:
    """What the client sent ahead is used first: else each request would let a whole read come on top of it."""
    bench = MemoryBench(reports=RULES)
    client = bench.client()
    client.send(b"".join(map(poll, range(4000))))
    for answered in range(3):
        while not (bench.upstreams and bench.upstreams[0].pending):
            await asyncio.sleep(0)
        assert client.pipe.paused
        bench.upstreams[0].push()
        assert client.pipe.written.count(b"HTTP/1.1 200 OK") == answered + 1
    await bench.stop(client)
