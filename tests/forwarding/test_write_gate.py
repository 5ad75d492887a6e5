"""Frozen writes are refused before anything of them leaves, wherever on their way they are; reads go on."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from proxy.errors import Frozen
from proxy.events import SpendJudgement, SpendMode, SpendVerdict
from proxy.forwarding.write_gate import WriteGate
from tests.audit.test_writes_recorded import (
    CHUNKED,
    LISTING,
    OVERRIDING,
    UNKNOWN,
    UNKNOWN_POST,
    UPDATE,
    UPDATE_TOOL,
    FullStream,
    call,
    mcp,
)
from tests.support.proxy_bench import ProxyBench, Running
from tests.support.wire import GET, HELLO, Wire, answering

if TYPE_CHECKING:
    from proxy.forwarding.decision import RequestContext


class FrozenProxy:
    """What freezes all writes, until it does not."""

    def __init__(self, bench: ProxyBench, *, frozen: bool = True) -> None:
        self.frozen = frozen
        self.asked: list[str] = []
        bench.accounting.write_gate.frozen = self.refusal

    def refusal(self, client: str) -> Frozen | None:
        self.asked.append(client)
        return Frozen("All writes are frozen.") if self.frozen else None


def test_a_gate_tells_whether_it_is_open() -> None:
    """For somebody who debugs."""
    gate = WriteGate()
    assert repr(gate) == "<WriteGate open>"
    gate.takes_writes = lambda: False
    assert repr(gate) == "<WriteGate closed>"


@pytest.mark.parametrize("request_", [UPDATE, CHUNKED, UNKNOWN_POST])
async def test_a_frozen_write_is_refused(running: Running, request_: bytes) -> None:
    """403, not to be repeated, with nothing of it at Amazon; its account says that it was frozen."""
    async with running(answering(HELLO)) as bench:
        FrozenProxy(bench)
        answer = await bench.ask(request_)
        said = json.loads(answer.body)
        assert (answer.status, said["type"]) == (403, "urn:ads-proxy:error:frozen")
        assert (said["retryable"], said["detail"]) == (False, "All writes are frozen.")
        assert bench.upstream.wires == []
        event = await bench.events.last()
        assert (event.refusal, event.attempts) == ("frozen", 0)
        assert event.spend == SpendJudgement(SpendMode.ENFORCE, SpendVerdict.FROZEN)


@pytest.mark.parametrize("request_", [GET, LISTING, UNKNOWN])
async def test_reads_are_not_frozen(running: Running, request_: bytes) -> None:
    """Whatever is frozen. A GET of an unknown operation is one (RFC 9110, 9.2.1)."""
    async with running(answering(HELLO)) as bench:
        proxy = FrozenProxy(bench)
        assert (await bench.ask(request_)).status == 200
        assert proxy.asked == []


@pytest.mark.parametrize("name", OVERRIDING)
async def test_a_request_that_may_mean_another_method_or_path_is_frozen(running: Running, name: str) -> None:
    """Such a request may be a write behind Amazon's first server."""
    async with running(answering(HELLO)) as bench:
        FrozenProxy(bench)
        assert (await bench.ask(OVERRIDING[name])).status == 403
        assert bench.upstream.wires == []


async def test_what_is_frozen_is_said_before_what_cannot_be_recorded(running: Running) -> None:
    """Nobody is told to try again what is frozen."""
    async with running(answering(HELLO)) as bench:
        FrozenProxy(bench)
        FullStream(bench)
        assert (await bench.ask(UPDATE)).status == 403


async def test_a_remembered_write_is_frozen(running: Running) -> None:
    """Byte for byte the same as one that passed, on a connection that is kept; and it passes again later."""
    async with running(answering(*[HELLO] * 9)) as bench:
        proxy = FrozenProxy(bench, frozen=False)
        client = await bench.client()
        statuses = []
        for frozen in (False, False, False, True, False):
            proxy.frozen = frozen
            client.send(UPDATE)
            statuses.append((await client.answer()).status)
        assert statuses == [200, 200, 200, 403, 200]
        (wire,) = bench.upstream.wires
        assert bytes(wire.received).count(b"PUT ") == 4


class AuditFile:
    """What puts writes on record, while it can: their paths, and how much Amazon had received by then."""

    def __init__(self, bench: ProxyBench) -> None:
        self.takes, self.begun = True, list[tuple[str, int]]()
        self.bench = bench
        bench.accounting.write_gate.begins = self.begin

    def begin(self, context: RequestContext) -> bool:
        received = sum(len(wire.received) for wire in self.bench.upstream.wires)
        self.begun += [(context.path, received)] if self.takes else []
        return self.takes


@pytest.mark.parametrize("request_", [UPDATE, CHUNKED, UNKNOWN_POST])
async def test_a_write_is_on_record_before_it_leaves(running: Running, request_: bytes) -> None:
    """Once each, on a new connection and on a warm one; a read is not."""
    async with running(answering(*[HELLO] * 9)) as bench:
        file, client = AuditFile(bench), await bench.client()
        for _ in range(3):
            client.send(request_)
            assert (await client.answer()).status == 200
        client.send(GET)
        assert (await client.answer()).status == 200
        (wire,) = bench.upstream.wires
        size = bytes(wire.received).index(b"GET ") // 3
        assert [received for _, received in file.begun] == [0, size, 2 * size]


async def test_a_write_that_cannot_be_on_record_does_not_leave(running: Running) -> None:
    """503, to be sent again, and its connection serves the next request."""
    async with running(answering(*[HELLO] * 9)) as bench:
        file, client = AuditFile(bench), await bench.client()
        statuses = []
        for takes in (False, True, True, False, True):
            file.takes = takes
            client.send(UPDATE)
            statuses.append((answer := await client.answer()).status)
            if not takes:
                assert json.loads(answer.body)["type"] == "urn:ads-proxy:error:write-not-recorded"
                client = await bench.client()
        assert statuses == [503, 200, 200, 503, 200]
        (wire,) = bench.upstream.wires
        assert bytes(wire.received).count(b"PUT ") == 3


async def test_a_write_that_waits_for_a_connection_is_frozen(running: Running) -> None:
    """The write came before the freeze, and does not leave in its turn."""
    asked: list[bytes] = []

    async def script(wire: Wire) -> None:
        while True:
            head, _ = await wire.request()
            asked.append(head)
            if len(asked) == 4:
                await bench.settled(lambda: proxy.frozen)
            wire.send(HELLO)

    async with running(script, pool_limit=1) as bench:
        proxy = FrozenProxy(bench, frozen=False)
        first, second = await bench.client(), await bench.client()
        for _ in range(3):
            second.send(UPDATE)
            assert (await second.answer()).status == 200
        first.send(GET)
        await bench.settled(lambda: len(asked) == 4)
        second.send(UPDATE)
        await bench.settled(lambda: bench.accounting.in_flight == 2)
        proxy.frozen = True
        assert (await first.answer()).status == 200
        assert (await second.answer()).status == 403
        assert len(asked) == 4
        await bench.events.last(5)
        (event,) = (event for event in bench.events.finished if event.refusal)
        assert (event.refusal, event.spend) == ("frozen", SpendJudgement(SpendMode.ENFORCE, SpendVerdict.FROZEN))


async def test_a_write_whose_body_comes_late_is_frozen(running: Running) -> None:
    """The freeze came between the head and the end of the body."""
    async with running(answering(HELLO)) as bench:
        proxy = FrozenProxy(bench, frozen=False)
        client = await bench.client(UPDATE[:-1])
        await bench.settled(lambda: bench.accounting.in_flight == 1)
        proxy.frozen = True
        client.send(UPDATE[-1:])
        assert (await client.answer()).status == 403
        assert bench.upstream.wires == []


async def test_a_write_that_waits_for_a_token_is_frozen(running: Running) -> None:
    """The freeze came while the account had no token."""
    async with running(answering(HELLO)) as bench:
        proxy = FrozenProxy(bench, frozen=False)
        bench.tokens.cold = True
        bench.tokens.gate.clear()
        client = await bench.client(UPDATE)
        await bench.settled(lambda: bench.accounting.in_flight == 1)
        proxy.frozen = True
        bench.tokens.gate.set()
        assert (await client.answer()).status == 403
        assert bench.upstream.wires == []


async def test_a_message_that_was_not_read_before_is_frozen_in_its_own_form(running: Running) -> None:
    """The freeze came while the message came: the gate of the core stops it, as an error of JSON-RPC."""
    async with running(answering(HELLO)) as bench:
        FrozenProxy(bench)
        answer = await bench.ask(mcp(call(UPDATE_TOOL)))
        assert (answer.status, json.loads(answer.body)["type"]) == (403, "urn:ads-proxy:error:frozen")
        assert bench.upstream.wires == []
