"""A head that was admitted comes again byte for byte: it is neither read nor decided, unless something of it may have
changed."""

from __future__ import annotations

import hashlib
import time
from dataclasses import replace
from typing import Any

import pytest

from proxy.access.client_keys import ClientKey
from proxy.access.clients import Budgets, Clients
from proxy.access.placeholders import Placeholders
from proxy.access.policy import Policy
from proxy.app.internal_client import ResponseInMemory
from proxy.downstream.ports import Availability
from proxy.forwarding import admissions
from proxy.forwarding.decisions import Decisions
from proxy.http1.message import Request
from tests.support.memory_bench import End, MemoryBench
from tests.support.warm_and_cold import KEY, KEYED, ChangingDirectory
from tests.support.wire import GET

pytestmark = pytest.mark.usefixtures("still_ages")
WRITE = GET.replace(b"GET /v2/profiles", b"DELETE /sp/campaigns/1")
LISTING = b"POST /sp/campaigns/list HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 2\r\n\r\n{}"


@pytest.fixture
def looked_up(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """The paths of the requests whose decision was looked up, as they are."""
    paths: list[bytes] = []
    find = Decisions.find

    def noting(self: Decisions, request: Request) -> Any:
        paths.append(request.target.path)
        return find(self, request)

    monkeypatch.setattr(Decisions, "find", noting)
    return paths


def keyed(**changed: Any) -> Clients:
    """One client, whose policy has these members."""
    key = ClientKey(hashlib.sha256(KEY).hexdigest(), changed.pop("ends_at", None))
    return Clients((Policy("reader", (key,), **changed),), Placeholders(b"key"), Budgets())


async def sent(bench: MemoryBench, client: End, *requests: bytes) -> None:
    """Send them one after the other."""
    for request in requests:
        client.send(request)
        await bench.rest(client)


async def test_the_fourth_of_equal_heads_is_not_looked_up(looked_up: list[bytes]) -> None:
    """The first is decided, the second is like it, and the third comes again and is remembered."""
    bench = MemoryBench()
    await sent(bench, bench.client(), *[GET] * 5)
    assert len(looked_up) == 3
    assert [message.first for message in bench.messages] == [(b"GET", b"/v2/profiles")] * 5
    assert len({event.request_id for event in bench.events.finished}) == 5


async def test_a_head_is_the_same_however_it_comes(looked_up: list[bytes]) -> None:
    """Split, behind another one in one read, with a body in the same read, and on another connection."""
    bench = MemoryBench()
    client = bench.client()
    await sent(bench, client, *[GET] * 3, *[LISTING] * 3)
    looked_up.clear()
    await sent(bench, client, GET[:9], GET[9:], GET + GET + LISTING, LISTING[:-2], b"{}")
    await sent(bench, bench.client(), GET)
    assert not looked_up
    assert [bytes(message.body) for message in bench.messages[-3:]] == [b"{}", b"{}", b""]


@pytest.mark.parametrize("number", range(len(GET)))
async def test_a_head_with_another_byte_is_looked_up(looked_up: list[bytes], number: int) -> None:
    """Wherever the byte is; or it is refused."""
    bench = MemoryBench()
    await sent(bench, bench.client(), *[GET] * 3)
    looked_up.clear()
    changed = GET[:number] + bytes([GET[number] ^ 1]) + GET[number + 1 :]
    client = bench.client()
    await sent(bench, client, changed)
    answered = client.pipe.written.startswith((b"HTTP/1.1 4", b"HTTP/1.1 5"))
    assert looked_up or answered or not client.pipe.written


async def test_new_rules_forget_what_was_admitted(looked_up: list[bytes]) -> None:
    """A reload is followed by the next request."""
    bench = MemoryBench()
    client = bench.client()
    await sent(bench, client, *[GET] * 3)
    bench.apply(replace(bench.rules, response_lines=b"X-New: 1\r\n"))
    bench.reach()
    client.pipe.written.clear()
    await sent(bench, client, GET)
    assert len(looked_up) == 4
    assert b"X-New: 1" in client.pipe.written


async def test_new_lists_forget_what_was_admitted(looked_up: list[bytes]) -> None:
    """A profile may belong to another account by now."""
    bench = MemoryBench()
    directory = ChangingDirectory()
    bench.apply(replace(bench.rules, table=replace(bench.rules.table, directory=directory)))
    bench.reach()
    client = bench.client()
    await sent(bench, client, *[GET] * 3)
    directory.change()
    await sent(bench, client, GET)
    assert len(looked_up) == 4


async def test_a_key_that_has_ended_admits_nothing() -> None:
    """A request with it is refused from the moment of its end on, although it was admitted before."""
    now = time.time()
    bench = MemoryBench(clients=keyed(ends_at=now + 60))
    client = bench.client()
    await sent(bench, client, *[KEYED] * 3)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(time, "time", lambda: now + 61)
        client.pipe.written.clear()
        await sent(bench, client, KEYED)
    assert client.pipe.written.startswith(b"HTTP/1.1 401")


async def test_each_use_of_a_key_is_noted() -> None:
    """An operator sees when a key was used last."""
    known = keyed()
    bench = MemoryBench(clients=known)
    client = bench.client()
    await sent(bench, client, *[KEYED] * 3)
    before = known.known_keys()[0].last_used
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(time, "time", lambda: (before or 0.0) + 100)
        await sent(bench, client, KEYED)
    assert known.known_keys()[0].last_used == (before or 0.0) + 100


async def test_another_token_leaves_with_the_same_head() -> None:
    """The head that leaves is rendered for each token."""
    bench = MemoryBench()
    client = bench.client()
    await sent(bench, client, *[GET] * 3)
    bench.tokens.rotate()
    await sent(bench, client, GET)
    assert [bench.messages[at].values(b"authorization") for at in (0, -1)] == [[b"Bearer Atza|0"], [b"Bearer Atza|1"]]


async def test_a_budget_counts_each_request_that_is_admitted_again() -> None:
    """What is beyond it is refused, and told with its client, account and operation as the first of them is."""
    bench = MemoryBench(clients=keyed(requests_per_minute=5))
    client = bench.client()
    await sent(bench, client, *[KEYED] * 7)
    events = bench.events.finished
    assert [event.status for event in events] == [200] * 5 + [429] * 2
    assert {(event.client, event.operation) for event in events} == {("reader", "listProfiles")}


async def test_a_request_beyond_those_in_flight_is_refused_although_it_was_admitted() -> None:
    """One that is under way counts; with it over, the next is served."""
    bench = MemoryBench(clients=keyed(max_in_flight=1))
    first, second = bench.client(), bench.client()
    await sent(bench, first, *[KEYED] * 4)
    answer, bench.answer = bench.answer, lambda message: []
    await sent(bench, first, KEYED)
    await sent(bench, second, KEYED)
    assert second.pipe.written.startswith(b"HTTP/1.1 429 ")
    first.leave()
    await bench.rest()
    bench.answer = answer
    await sent(bench, second, KEYED)
    assert bench.events.finished[-1].status == 200


async def test_a_write_that_cannot_be_recorded_is_refused_although_it_was_admitted() -> None:
    """The audit is asked about each write, and about no read."""
    bench = MemoryBench()
    client = bench.client()
    await sent(bench, client, *[WRITE] * 4, *[GET] * 4)
    bench.accounting.write_gate.takes_writes = lambda: False
    client.pipe.written.clear()
    await sent(bench, client, WRITE, GET)
    assert client.pipe.written.startswith(b"HTTP/1.1 503 ")
    assert client.pipe.written.count(b"HTTP/1.1 200 OK") == 1
    assert bench.messages[-1].first[0] == b"GET"


async def test_a_proxy_that_stops_admits_nothing() -> None:
    """What still comes is told to come again."""
    bench = MemoryBench()
    client = bench.client()
    await sent(bench, client, *[GET] * 3)
    bench.forwarder.availability = Availability.CLOSING
    client.pipe.written.clear()
    await sent(bench, client, GET)
    assert client.pipe.written.startswith(b"HTTP/1.1 503")


async def test_what_is_remembered_has_a_bound() -> None:
    """A stream of heads that come again is forgotten now and then, and each is answered."""
    bench = MemoryBench()
    client = bench.client()
    for number in range(admissions.MAX_ADMISSIONS + 10):
        await sent(bench, client, *[GET.replace(b"profiles", b"profiles?x=%d" % number)] * 3)
    kept = bench.forwarder.admissions._kept
    assert 0 < len(kept) <= admissions.MAX_ADMISSIONS
    assert kept.bytes <= kept.max_bytes


async def test_a_refused_request_keeps_its_own_id() -> None:
    """Also where its body is refused before its budget and rights are asked, after a reload that lowers a limit."""
    bench = MemoryBench()
    named = LISTING.replace(
        b"Content-Length: 2\r\n\r\n{}", b"X-Request-Id: mine-1\r\nContent-Length: 20\r\n\r\n" + b" " * 20
    )
    earlier = [bench.client() for _ in range(4)]
    limits = replace(bench.rules.connection_limits, max_body_bytes=10)
    bench.apply(replace(bench.rules, connection_limits=limits))
    bench.reach()
    for client in earlier:  # these have the limits of before
        await sent(bench, client, named)
    await sent(bench, bench.client(), named)
    assert [(event.status, event.request_id) for event in bench.events.finished] == [(200, "mine-1")] * 4 + [
        (413, "mine-1")
    ]


async def test_a_request_of_the_program_itself_leaves_no_admission() -> None:
    """Such a request has no head of a client's, and so nothing to remember it by."""
    bench = MemoryBench()
    head = GET.replace(b"\r\n\r\n", b"\r\nContent-Length: 0\r\n\r\n")
    for _ in range(4):
        request = bench.forwarder.reader.read(head, lambda: "id")
        port = ResponseInMemory()
        port.hand_over(bench.forwarder.accept(request, port), [], None)
        await bench.rest()
    assert not bench.forwarder.admissions._kept
