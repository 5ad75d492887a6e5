"""What a request waits for before it leaves: the wait ends once, ready or failed, and its owner hears which."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from time import time

import pytest

from proxy.errors import NotPermitted, Refused
from proxy.forwarding.attempt import Attempt
from proxy.forwarding.decision import RequestContext
from proxy.forwarding.departure import Departure
from proxy.forwarding.replays import Replays
from proxy.forwarding.throttled import throttle_key
from proxy.tokens.values import AccessToken
from proxy.upstream.connection import UpstreamConnection
from tests.support.memory_bench import End, MemoryBench
from tests.support.wire import GET

WRITE = GET.replace(b"GET /v2/profiles", b"DELETE /sp/campaigns/1")
PATIENCE = 60.0
"""Seconds that a request waits for a connection: `response_timeout` of the rules."""


class Owner:
    """Implements `DepartureOwner` for one request: keeps how its waits ended."""

    known_body: bytes | None = b""

    def __init__(self, bench: MemoryBench, request: bytes) -> None:
        read = bench.forwarder.reader.read(request, lambda: "id")
        admission = bench.forwarder._decisions.find(read)
        assert admission is not None
        context = self.context = RequestContext(admission, read.id, 0.0)
        self.replays = Replays(context, bench.events)
        self.left: list[tuple[AccessToken, UpstreamConnection]] = []
        self.refused: list[str] = []
        self.defects: list[BaseException] = []
        self.departure = Departure(self, context, bench._path.dependencies)

    def departs(self, token: AccessToken, connection: UpstreamConnection) -> None:
        self.left.append((token, connection))

    def refuse(self, error: Refused) -> None:
        self.refused.append(error.slug)

    def keeps(self, attempt: Attempt) -> None:
        raise AssertionError("no response is held")

    def drops(self, attempt: Attempt) -> None:
        raise AssertionError("no response is held")

    def defect(self, error: BaseException) -> None:
        self.defects.append(error)

    @property
    def ended(self) -> int:
        """How often a wait ended."""
        return len(self.left) + len(self.refused) + len(self.defects)


@asynccontextmanager
async def decided(*requests: bytes, idle: int = 1, **changed: float) -> AsyncIterator[tuple[MemoryBench, list[Owner]]]:
    """The bench, with a decision about each of these requests, so many idle connections, and owners of such requests
    that have not left."""
    bench = MemoryBench(**changed)
    client: End = bench.client()
    for request in dict.fromkeys(requests):
        client.send(request)
        await bench.rest(client)
    owners = [Owner(bench, request) for request in requests]
    pool = owners[0].context.pool
    if not idle:
        for upstream in bench.upstreams:
            upstream.leave()
        await bench.rest(client)
    assert pool.sizes == (idle, idle)
    yield bench, owners
    for owner in owners:
        for _, connection in owner.left:
            pool.give_back(connection)
    await bench.stop(client)


async def test_a_request_with_a_token_and_a_connection_leaves_at_once() -> None:
    """Without a task, and without a word to its owner."""
    async with decided(GET) as (bench, [owner]):
        ready = owner.departure.leave()
        assert ready is not None
        assert ready[0] is bench.tokens.current("default")
        assert (owner.ended, owner.departure.throttled) == (0, None)
        assert repr(owner.departure) == "<Departure of id: not waiting>"
        owner.left.append(ready)


async def test_a_wait_for_a_token_ends_ready() -> None:
    """With the token that came, and the connection that is idle."""
    async with decided(GET) as (bench, [owner]):
        bench.tokens.cold = True
        bench.tokens.gate.clear()
        assert owner.departure.leave() is None
        await bench.rest()
        assert (owner.ended, repr(owner.departure)) == (0, "<Departure of id: in a task>")
        bench.tokens.gate.set()
        await bench.rest()
        assert (owner.ended, len(owner.left)) == (1, 1)


async def test_a_connection_that_is_not_there_is_made() -> None:
    """While there is room for one."""
    async with decided(GET, idle=0) as (bench, [owner]):
        assert owner.departure.leave() is None
        await bench.rest()
        assert (owner.ended, len(owner.left), owner.context.pool.sizes) == (1, 1, (1, 0))


async def test_a_stopped_wait_ends_without_a_word() -> None:
    """Its request is over."""
    async with decided(GET) as (bench, [owner]):
        bench.tokens.cold = True
        bench.tokens.gate.clear()
        assert owner.departure.leave() is None
        await bench.rest()
        owner.departure.stop()
        bench.tokens.gate.set()
        await bench.rest()
        assert (owner.ended, owner.context.pool.sizes) == (0, (1, 1))


async def test_rights_that_end_during_a_wait_end_it() -> None:
    """The rules are others now; the connection goes back to the pool."""
    async with decided(GET) as (bench, [owner]):
        rights = bench._path.dependencies.rights
        bench.tokens.cold = True
        bench.tokens.gate.clear()
        assert owner.departure.leave() is None

        def forbid(context: RequestContext, body: bytes | None) -> None:
            assert (context, body) == (owner.context, b"")
            raise NotPermitted("Not any more.")

        rights.rules = replace(rights.rules)
        rights.ask_again = forbid  # type: ignore[assignment]  # it gives no client
        bench.tokens.gate.set()
        await bench.rest()
        assert (owner.left, owner.refused, owner.context.pool.sizes) == ([], ["not-permitted"], (1, 1))


async def test_a_key_that_has_expired_forbids_the_request_at_once() -> None:
    """Before anything is waited for."""
    async with decided(GET) as (bench, [owner]):
        identity = replace(owner.context.decision.identity, valid_until=time() - 1)
        owner.context.decision = replace(owner.context.decision, identity=identity)

        def forbid(context: RequestContext, body: bytes | None) -> None:
            raise NotPermitted("Not any more.")

        bench._path.dependencies.rights.ask_again = forbid  # type: ignore[assignment]  # it gives no client
        with pytest.raises(NotPermitted):
            owner.departure.leave()


async def test_a_pause_that_begins_during_a_wait_refuses_a_request_without_patience() -> None:
    """Amazon asked for a longer one than `retry_wait`."""
    async with decided(GET, retry_wait=0.0) as (bench, [owner]):
        bench.tokens.cold = True
        bench.tokens.gate.clear()
        assert owner.departure.leave() is None
        token = bench.tokens._token
        bench._path.dependencies.throttles.note(
            throttle_key(owner.context, token.client_id), asyncio.get_running_loop(), 600.0
        )
        bench.tokens.gate.set()
        await bench.rest()
        assert (owner.left, owner.refused, owner.context.pool.sizes) == ([], ["throttled"], (1, 1))


async def test_a_write_without_a_record_is_refused() -> None:
    """Although its token and its connection are there; a read leaves."""
    async with decided(WRITE, GET) as (bench, [write, read]):
        bench.accounting.write_gate.takes_writes = lambda: False
        assert write.departure.leave() is None
        await bench.rest()
        assert (write.left, write.refused) == ([], ["write-not-recorded"])
        ready = read.departure.leave()
        assert ready is not None
        read.left.append(ready)


async def test_a_request_waits_in_its_turn_while_others_have_the_connections() -> None:
    """The first in turn gets the very connection that becomes free, without a task."""
    async with decided(GET, GET, pool_limit=1) as (_, [first, second]):
        ready = first.departure.leave()
        assert ready is not None
        assert second.departure.leave() is None
        assert repr(second.departure) == "<Departure of id: in turn>"
        second.context.pool.release(ready[1])
        assert second.left == [ready]
        assert (second.ended, repr(second.departure)) == (1, "<Departure of id: not waiting>")


async def test_a_turn_that_comes_too_late_is_a_refusal() -> None:
    """No connection became free within `response_timeout`."""
    async with decided(GET, GET, pool_limit=1) as (bench, [first, second]):
        ready = first.departure.leave()
        assert ready is not None
        assert second.departure.leave() is None
        bench.deadlines.sweep(asyncio.get_running_loop().time() + PATIENCE + 1)
        assert (second.left, second.refused) == ([], ["upstream-timeout"])
        first.context.pool.release(ready[1])
        assert second.ended == 1


@pytest.mark.parametrize("refused", [[], ["write-not-recorded"]], ids=["stopped", "unrecorded"])
async def test_a_turn_that_is_given_up_leaves_the_connection_to_the_next(refused: list[str]) -> None:
    """Because its request is over, or because its record could not be kept any more."""
    async with decided(WRITE, WRITE, WRITE, pool_limit=1) as (bench, [first, second, third]):
        ready = first.departure.leave()
        assert ready is not None
        assert (second.departure.leave(), third.departure.leave()) == (None, None)
        if refused:
            takes = iter([False])
            bench.accounting.write_gate.takes_writes = lambda: next(takes, True)
        else:
            second.departure.stop()
        first.context.pool.release(ready[1])
        assert (second.left, second.refused) == ([], refused)
        assert third.left == [ready]
