"""A body is never read as a request, whatever response it was sent behind and however it arrives.

Each body here is made of requests that the proxy would serve, so that whatever is taken for one reaches Amazon.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from proxy.access.client_keys import ClientKey
from proxy.access.clients import Budgets, Clients
from proxy.access.paths import PathPattern
from proxy.access.placeholders import Placeholders
from proxy.access.policy import Policy
from tests.fuzz.differences import connections_in_use, repeated_decisions
from tests.support.independent_readers import read_answers
from tests.support.memory_bench import MemoryBench

KEY = b"a-key-of-16-bytes-or-more"
HOST = b"Host: 127.0.0.1\r\n"
KEYED = HOST + b"X-Ads-Proxy-Key: " + KEY + b"\r\n"
SCOPE = b"Amazon-Advertising-API-Scope: %d\r\n"
HIDDEN = b"GET /v2/hidden HTTP/1.1\r\n" + KEYED + b"\r\n"
"""The request that a body holds: one that the proxy has served before, byte for byte."""
FOLLOWING = b"GET /v2/following HTTP/1.1\r\n" + KEYED + b"\r\n"
LIMIT = 2 * len(HIDDEN)
OKS = [b"200"] * 4


@pytest.fixture(autouse=True, scope="module")
def ages_stand_still() -> Iterator[None]:
    """No connection to Amazon grows old, so that a request always finds one."""
    with connections_in_use():
        yield


@dataclass(frozen=True, slots=True)
class Answered:
    """A request with a body, and the status of its response. `early`: Amazon responds before it has the body."""

    name: str
    status: int
    line: bytes
    lines: bytes
    early: bool = False


KEEPING = [
    Answered("no key", 401, b"POST /v2/x", HOST),
    Answered("an unknown key", 401, b"POST /v2/x", HOST + b"X-Ads-Proxy-Key: unknown\r\n"),
    Answered("another origin", 403, b"POST /v2/x", KEYED + b"Origin: https://example.com\r\n"),
    Answered("a forbidden path", 403, b"POST /sp/campaigns", KEYED),
    Answered("an unknown account", 404, b"POST /@nobody/v2/x", KEYED),
    Answered("a path that is never forwarded", 404, b"POST /auth/other", KEYED),
    Answered("an unknown host", 421, b"POST /v2/x", b"Host: example.com\r\n"),
    Answered("two Scopes", 400, b"POST /v2/x", KEYED + b"".join(SCOPE % number for number in (1, 2))),
    Answered("an exhausted budget", 429, b"POST /v2/x", HOST + b"X-Ads-Proxy-Key: spent\r\n"),
    Answered("a forbidden body", 400, b"POST /mcp", HOST + b"X-Ads-Proxy-Key: agent\r\n"),
    Answered("an unknown expectation", 417, b"POST /v2/x", KEYED + b"Expect: something\r\n"),
    Answered("the local token endpoint", 401, b"POST /auth/o2/token", HOST),
    Answered("the local token endpoint, by another method", 405, b"GET /auth/o2/token", HOST),
    Answered("an unknown method", 501, b"BREW /v2/x", KEYED),
    Answered("an early response", 200, b"POST /v2/x", KEYED, early=True),
    Answered("a usual response", 200, b"POST /v2/x", KEYED),
]
EXPECTING = Answered("a body that waits to be asked for", 401, b"POST /v2/x", HOST + b"Expect: 100-continue\r\n")


def clients() -> Clients:
    """One client whose key opens one folder, one whose messages are judged, and one with a budget of one request."""
    client, agent, spent = ((ClientKey(hashlib.sha256(key).hexdigest()),) for key in (KEY, b"agent", b"spent"))
    policies = [
        Policy("tool", client, paths=(PathPattern.read("/v2/*"),)),
        Policy("agent", agent, mcp_tools=(PathPattern.read("query_*"),)),
        Policy("spent", spent, requests_per_minute=1),
    ]
    return Clients(policies, Placeholders(b"key"), Budgets())


def counted(case: Answered, body: bytes) -> bytes:
    """The head of this request, with the size of its body."""
    return case.line + b" HTTP/1.1\r\n" + case.lines + b"Content-Length: %d\r\n\r\n" % len(body)


class Bench(MemoryBench):
    """The proxy with `clients`, cold or warm: a warm one has served the hidden request, and a connection to Amazon is
    ready for it."""

    def __init__(self, **changed: Any) -> None:
        super().__init__(clients=clients(), **changed)

    async def prepare(self, *, warm: bool) -> None:
        if warm:
            await self.serve_hidden()
        client = self.client()
        client.send(HIDDEN.replace(KEY, b"spent"))
        await self.rest(client)
        client.leave()
        await self.rest(client)
        self.messages.clear()

    async def serve_hidden(self) -> None:
        with repeated_decisions() as repeated:
            client = self.client()
            for _ in range(4):
                client.send(HIDDEN)
                await self.rest(client)
        assert [
            answer.first[0] for answer in read_answers(bytes(client.pipe.written), False, [b"GET"] * 4).final
        ] == OKS
        assert repeated == [False, True, True]  # the fourth is admitted by its bytes
        client.leave()
        await self.rest(client)

    async def converse(self, case: Answered, *pieces: bytes) -> None:
        """Send a request in these pieces, each once the one before it was dealt with, and then a further request.

        There is one response to each, unless the first one ends the connection, and nothing else.
        """
        client = self.client()
        self.answers_early = case.early
        for piece in pieces:
            client.send(piece)
            await self.rest(client)
        self.answers_early = False
        client.send(FOLLOWING)
        await self.rest(client)
        method = case.line.split(b" ")[0]
        answers = read_answers(bytes(client.pipe.written), client.pipe.ended, [method, *[b"GET"] * 4])
        assert answers.final, pieces
        found = [int(answer.first[0]) for answer in answers.final]
        closed = b"close" in answers.final[0].values(b"connection")
        assert (found, answers.trouble) == ([case.status] if closed else [case.status, 200], ""), pieces
        assert closed or not client.pipe.ended
        reached = [message.first[1] for message in self.messages]
        assert b"/v2/hidden" not in reached, pieces
        self.messages.clear()
        client.leave()  # what comes of it is seen with the next request, or by `stop`


@pytest.mark.long
@pytest.mark.parametrize("warm", [True, False], ids=["warm", "cold"])
@pytest.mark.parametrize("case", KEEPING, ids=lambda case: case.name)
async def test_a_body_in_two_reads_is_never_read_as_a_request(case: Answered, warm: bool) -> None:
    """Wherever it is split, also between the two requests that it holds."""
    bench = Bench(replay_bytes=16 if case.early else 1000)
    await bench.prepare(warm=warm)
    body = HIDDEN + HIDDEN
    whole = counted(case, body) + body
    for at in range(len(whole) - len(body), len(whole)):
        await bench.converse(case, whole[:at], whole[at:])
    await bench.stop()


@pytest.mark.parametrize("warm", [True, False], ids=["warm", "cold"])
@pytest.mark.parametrize("case", KEEPING, ids=lambda case: case.name)
async def test_a_body_in_many_reads_is_never_read_as_a_request(case: Answered, warm: bool) -> None:
    """One request in each read, or one byte."""
    bench = Bench(replay_bytes=16 if case.early else 1000)
    await bench.prepare(warm=warm)
    body = HIDDEN * 3
    await bench.converse(case, counted(case, body), HIDDEN, HIDDEN, HIDDEN)
    single = [body[at : at + 1] for at in range(len(body))]
    await bench.converse(case, counted(case, body), *single)
    await bench.stop()


@pytest.mark.parametrize("warm", [True, False], ids=["warm", "cold"])
@pytest.mark.parametrize("case", [*KEEPING, EXPECTING], ids=lambda case: case.name)
async def test_a_chunked_body_is_never_read_as_a_request(case: Answered, warm: bool) -> None:
    """The chunks of a body with an unknown end are not read as requests either."""
    bench = Bench(replay_bytes=16 if case.early else 1000)
    await bench.prepare(warm=warm)
    head = case.line + b" HTTP/1.1\r\n" + case.lines + b"Transfer-Encoding: chunked\r\n\r\n"
    size = b"%x\r\n" % len(HIDDEN)
    await bench.converse(case, head, size, HIDDEN, b"\r\n" + size, HIDDEN, b"\r\n0\r\n\r\n")
    await bench.stop()


@pytest.mark.parametrize("warm", [True, False], ids=["warm", "cold"])
@pytest.mark.parametrize("framing", [b"Content-Length: %d" % (4 * len(HIDDEN)), b"Transfer-Encoding: chunked"])
async def test_a_body_that_is_too_large_is_never_read_as_a_request(framing: bytes, warm: bool) -> None:
    """What follows a 413 is not read at all, whether the head or the body exceeded the limit."""
    bench = Bench(max_body_bytes=LIMIT)
    await bench.prepare(warm=warm)
    case = Answered("too large", 413, b"POST /v2/x", KEYED)
    head = b"POST /v2/x HTTP/1.1\r\n" + KEYED + framing + b"\r\n\r\n"
    size = b"%x\r\n" % (4 * len(HIDDEN)) if b"chunked" in framing else b""
    await bench.converse(case, head + size, HIDDEN, HIDDEN, HIDDEN, HIDDEN)
    await bench.stop()
