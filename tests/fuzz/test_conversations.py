"""A client, the proxy and Amazon talk, leave and fail in any order: no request is lost, mixed up or left hanging."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from tests.fuzz.depth import BRIEF_STEPS, LONG_STEPS
from tests.support.http_reader import read_conversation
from tests.support.independent_readers import Message
from tests.support.memory_bench import End, MemoryBench, MemoryUpstream
from tests.support.rules import changed_rules

BODIES = (b"", b"x", b"abc" * 50, b"y" * 5000)
ANSWERS = (
    b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%b\r\n0\r\n\r\n",
    b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 201 Made\r\nContent-Length: %d\r\n\r\n%b",
    b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%bHTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n999999",
    b"HTTP/1.1 401 No\r\nContent-Length: %d\r\n\r\n%b",
    b"HTTP/1.1 429 Wait\r\nRetry-After: 1\r\nContent-Length: %d\r\n\r\n%b",
    b"HTTP/1.1 500 Oh\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%b",
)


class Conversation(RuleBasedStateMachine):
    """Two clients with keep-alive connections. Each request says its number, and each answer repeats it."""

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.waiting: list[tuple[MemoryUpstream, Message]] = []
        self.number = 0
        self.meant: dict[bytes, bytes] = {}
        self.asked: list[list[int]] = []
        self.clients: list[End] = []
        self.bench: MemoryBench
        self.run(self.begin())

    def run(self, work: Coroutine[Any, Any, None]) -> None:
        self.runner.run(asyncio.wait_for(work, 20))

    def happen(self, *things: Callable[[], object]) -> None:
        """Let these happen one after another, and everything that follows from them."""

        async def whole() -> None:
            for thing in things:
                thing()
            await self.bench.rest(*self.clients)

        self.run(whole())

    async def begin(self) -> None:
        self.bench = MemoryBench(replay_bytes=1000, pool_limit=2, max_pipelined_bytes=2000)
        self.bench.answer = self.note
        for _ in range(2):
            self.connect()

    def note(self, message: Message) -> list[bytes | None]:
        """A whole request arrived at Amazon's side: a later rule answers it."""
        assert message.body == self.meant[message.first[1]]
        upstream = next(one for one in self.bench.upstreams if self.bench.messages and one.reader.latest is message)
        self.waiting.append((upstream, message))
        return []

    def connect(self) -> None:
        self.clients.append(self.bench.client())
        self.asked.append([])

    # --- what may happen

    @rule(which=st.integers(0, 1), body=st.sampled_from(BODIES), coded=st.booleans(), cut=st.integers(1, 200))
    def a_tool_asks(self, which: int, body: bytes, coded: bool, cut: int) -> None:
        """A whole request, in two pieces, perhaps behind others that are not answered yet."""
        self.number += 1
        self.meant[b"/q/%d" % self.number] = body
        framing = b"Transfer-Encoding: chunked" if coded else b"Content-Length: %d" % len(body)
        if coded:
            body = (b"%x\r\n%b\r\n" % (len(body), body) if body else b"") + b"0\r\n\r\n"
        whole = b"POST /q/%d HTTP/1.1\r\nHost: 127.0.0.1\r\n%b\r\n\r\n%b" % (self.number, framing, body)
        self.asked[-1 - which].append(self.number)
        self.happen(lambda: self.clients[-1 - which].send(whole[:cut], whole[cut:]))

    @precondition(lambda self: self.waiting)
    @rule(kind=st.sampled_from(ANSWERS), cut=st.integers(1, 60))
    def amazon_answers(self, kind: bytes, cut: int) -> None:
        """The oldest request that waits, with its own number as the body."""
        upstream, message = self.waiting.pop(0)
        body = message.first[1].rpartition(b"/")[2]
        answer = kind % (len(body), body)
        self.happen(lambda: upstream.send(answer[:cut], answer[cut:]))

    @precondition(lambda self: self.waiting)
    @rule(
        part=st.sampled_from((b"", b"HTTP/1.1 2", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nab", b"junk\r\n\r\n"))
    )
    def amazon_breaks(self, part: bytes) -> None:
        """Something, and then the connection ends."""
        upstream, _ = self.waiting.pop(0)
        self.happen(lambda: upstream.send(part), upstream.leave)

    @rule(which=st.integers(0, 1))
    def a_tool_leaves(self, which: int) -> None:
        """In the middle of whatever is going on; another one comes."""
        self.happen(self.clients[-1 - which].leave)
        del self.clients[-1 - which], self.asked[-1 - which]
        self.happen(self.connect)

    @rule(limit=st.integers(1, 3))
    def the_configuration_changes(self, limit: int) -> None:
        """A reload, with or without another pool limit; connections and requests live on."""
        rules = changed_rules(self.bench.rules, {"pool_limit": limit})
        self.happen(lambda: self.bench.apply(rules), self.bench.reach)

    @rule(seconds=st.sampled_from((1.0, 20.0, 70.0)))
    def time_passes(self, seconds: float) -> None:
        """Whatever is due by then comes due."""
        now = self.runner.get_loop().time() + seconds
        self.happen(lambda: self.bench.deadlines.sweep(now))

    # --- what always holds

    @invariant()
    def no_defect(self) -> None:
        assert not self.bench.events.defects, self.bench.events.defects[0]
        for upstream in self.bench.upstreams:
            assert not upstream.reader.trouble, upstream.reader.trouble

    @invariant()
    def answers_belong_to_their_requests(self) -> None:
        """What a client reads is, in order, about what it asked: Amazon's own answers repeat its numbers."""
        for client, asked in zip(self.clients, self.asked, strict=True):
            read = read_conversation(bytes(client.pipe.written), frozenset(), client.pipe.ended)
            assert not read.fault
            whole = [answer.body.content for answer in read.answers if answer.body.complete]
            numbers = [int(body) for body in whole if body.isdigit()]
            left = iter(asked)
            assert all(number in left for number in numbers), (numbers, asked)

    @invariant()
    def in_flight_is_what_is_in_flight(self) -> None:
        assert self.bench.accounting.in_flight == self.bench.events.started - len(self.bench.events.finished)
        assert 0 <= self.bench.accounting.in_flight <= len(self.clients)

    def teardown(self) -> None:
        try:
            self.run(self.bench.stop(*self.clients))
        finally:
            self.runner.close()


class _Brief(Conversation):
    """A slice for every run."""


class _Long(Conversation):
    """Many for `make fuzz`."""


TestConversations = pytest.mark.long(_Brief.TestCase)
TestConversations.settings = BRIEF_STEPS
TestConversationsAtLength = pytest.mark.fuzz(_Long.TestCase)
TestConversationsAtLength.settings = LONG_STEPS
