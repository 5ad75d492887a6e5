"""A proxy that has served many requests serves the next one as a proxy that has served none.

The same conversation runs with a warm proxy and with a cold one: the bytes to Amazon, the bytes to the client, the
events, the access log and the metrics are compared (tests/support/warm_and_cold.py).
"""

from __future__ import annotations

import asyncio
import re
from dataclasses import replace
from itertools import count
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from proxy.access.paths import PathPattern
from proxy.forwarding.forwarder import Forwarder
from proxy.http1.framing import whole_chunks
from proxy.routing.operations import Access
from tests.support.memory_bench import MemoryBench
from tests.support.proxy_bench import Running
from tests.support.warm_and_cold import KEY, KEYS, SCOPED, Ask, Change, Step, clients, compared
from tests.support.wire import HELLO

pytestmark = pytest.mark.usefixtures("still_ages")
UNHURRIED = settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])

LINES = (
    b"GET /v2/profiles HTTP/1.1",
    b"GET /v2/profiles?a=b HTTP/1.1",
    b"GET /v2/%s-1 HTTP/1.1",
    b"POST /sp/campaigns/list HTTP/1.1",
    b"PUT /sp/campaigns HTTP/1.1",
    b"DELETE /v2/x/1 HTTP/1.1",
    b"HEAD /v2/profiles HTTP/1.1",
    b"GET /@other/eu/v2/profiles HTTP/1.1",
    b"GET /@route/v2/profiles HTTP/1.1",
    b"GET /v2/reports/1 HTTP/1.1",
    b"GET /auth/x HTTP/1.1",
    b"GET /v2/a%2fb HTTP/1.1",
)
WORDS = (
    *(b"missing", b"odd", b"undated", b"varied", b"created", b"nothing", b"see", b"busy", b"broken", b"malformed"),
    *(b"chunked", b"interim", b"parts", b"split", b"more", b"close", b"ending", b"cut", b"die", b"death", b"denied"),
    b"large",
)
SECTIONS = (
    b"Host: 127.0.0.1\r\nUser-Agent: a\r\nAccept: */*\r\n",
    b"Host: 127.0.0.1\r\nUser-Agent: a\r\nAmazon-Advertising-API-Scope: 1\r\n",
    b"Host: 127.0.0.1\r\nUser-Agent: b\r\nAmazon-Advertising-API-Scope: 2\r\n",
    b"Host: 127.0.0.1\r\nAmazon-Advertising-API-Scope: 3\r\nX-Request-Id: mine\r\n",
    b"Host: 127.0.0.1\r\nX-Ads-Account: other\r\nAmazon-Ads-AccountId: a.1\r\n",
    b"Host: localhost\r\nX-Ads-Account: default\r\nConnection: keep-alive\r\nCookie: c=1\r\n",
    b"Host: elsewhere\r\n",
    b"Host: 127.0.0.1\r\nOrigin: null\r\n",
    b"Host: 127.0.0.1\r\nX-Ads-Account: default\r\nConnection: close\r\n",
    b"Host: 127.0.0.1\r\nX-Ads-Account:  default\r\nX_Odd: 1\r\n",
    b"Host: 127.0.0.1\r\nX-Ads-Account: default\r\nTransfer-Encoding: chunked\r\n",
)
USUAL = LINES[0] + b"\r\n" + SECTIONS[1] + b"\r\n"


def request(line: bytes, section: bytes, body: bytes = b"") -> bytes:
    """The bytes of one; a method with a body says its length, unless it comes in chunks."""
    if b"chunked" in section:
        return line + b"\r\n" + section + b"\r\n" + whole_chunks(body)
    length = b"Content-Length: %d\r\n" % len(body) if line[:3] in (b"POS", b"PUT") else b""
    return line + b"\r\n" + section + length + b"\r\n" + (body if length else b"")


REQUESTS = st.builds(
    lambda line, word, section, body: request(line.replace(b"%s", word) if b"%s" in line else line, section, body),
    st.one_of(st.just(LINES[2]), st.sampled_from(LINES)),
    st.sampled_from(WORDS),
    st.one_of(st.just(SECTIONS[1]), st.sampled_from(SECTIONS)),
    st.sampled_from((b"", b'{"a":1}', b"x" * 5000, b"ends\r\n\r\n")),
)
ASKS = st.builds(
    lambda data, cut: Ask((data,) if not cut else (data[:cut], data[cut:])),
    REQUESTS,
    st.one_of(st.just(0), st.integers(1, 60)),
)
AGAIN = st.tuples(ASKS, st.integers(1, 4)).map(lambda pair: [pair[0]] * pair[1])
CHANGES = st.sampled_from(("reload", "rotate", "profiles", "drop", "leave")).map(lambda what: [Change(what)])
CONVERSATIONS = st.lists(st.one_of(AGAIN, AGAIN, CHANGES), max_size=10).map(
    lambda parts: [step for part in parts for step in part]
)


@pytest.mark.long
@settings(UNHURRIED, max_examples=40)
@given(CONVERSATIONS)
async def test_nothing_differs(running: Running, steps: list[Step]) -> None:
    """Whatever clients send, Amazon answers, and happens in between."""
    await compared(running, steps)


@pytest.mark.long
@settings(UNHURRIED, max_examples=20)
@given(CONVERSATIONS, st.sampled_from(sorted(KEYS)))
async def test_nothing_differs_with_keys(running: Running, steps: list[Step], name: str) -> None:
    """With clients, budgets and policies too."""
    line = b"\r\nAuthorization: Bearer " + KEYS[name] + b"\r\n"
    keyed: list[Step] = [
        Ask(tuple(piece.replace(b"\r\n", line, 1) for piece in step.pieces)) if isinstance(step, Ask) else step
        for step in steps
    ]
    await compared(running, keyed, keyed=True)


@pytest.mark.parametrize("word", WORDS)
async def test_an_unusual_response_among_usual_ones_is_the_same(running: Running, word: bytes) -> None:
    """It is passed on as a cold proxy passes it on, and so are those after it."""
    odd = request(LINES[2] % word, SECTIONS[1])
    await compared(running, [Ask((USUAL,))] * 4 + [Ask((odd,))] * 3 + [Ask((USUAL,))] * 2)


@pytest.mark.parametrize("change", ["reload", "rotate", "profiles", "drop", "leave"])
async def test_a_change_between_two_requests_holds_for_the_next(running: Running, change: str) -> None:
    """A decision that was made before it is not used after it."""
    await compared(running, [*[Ask((USUAL,))] * 4, Change(change), *[Ask((USUAL,))] * 4])


async def test_new_paths_behind_a_prefix_are_sent_without_it(running: Running) -> None:
    """The decision is remembered, the target is each request's own."""
    steps: list[Step] = [
        Ask((request(b"GET /@other/eu/v2/%d/x%b HTTP/1.1" % (number, query), SECTIONS[0]),))
        for number in range(6)
        for query in (b"", b"?a=b")
    ]
    sent = (await compared(running, steps)).sent
    assert [message.split(b" ")[1] for message in sent] == [
        b"/v2/%d/x%b" % (number, query) for number in range(6) for query in (b"", b"?a=b")
    ]


async def test_new_numbers_go_as_they_came_whatever_else_holds_numbers(running: Running) -> None:
    """In the middle of a path, in a query, or so long that the target is refused."""
    targets = (
        b"/v2/%d",
        b"/v2/%d/x/%d",
        b"/v2/%d?next=/v2/%d",
        b"/v2/%d/?a=/1/",
        b"/v2/%dx/%d",
        b"/v2/" + b"9" * 9000,
    )
    await compared(
        running,
        [
            Ask((request(b"GET " + target.replace(b"%d", b"%d" % number) + b" HTTP/1.1", SECTIONS[1]),))
            for number in (0, 1, 12, 123, 123, 7, 12)
            for target in targets
        ],
    )


@pytest.mark.parametrize("method", [b"GET", b"POST", b"DELETE"])
async def test_bodies_behind_one_head_differ(running: Running, method: bytes) -> None:
    """Each has as many bytes as its head says."""
    head = SCOPED.replace(b"GET /v2/profiles", method + b" /sp/campaigns").replace(b": 77", b": 1")[:-2]
    bodies = (b"a", b"b", b"c", b"", b"dd", b"", b"ee", b"f")
    steps: list[Step] = [Ask((head + b"Content-Length: %d\r\n\r\n" % len(body) + body,)) for body in bodies * 3]
    sent = (await compared(running, steps)).sent
    assert tuple(message.partition(b"\r\n\r\n")[2] for message in sent) == bodies * 3


# --- without sockets: every byte that leaves on either side

CHUNKED = b"POST /sp/campaigns/list HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: chunked\r\n\r\n"
CHUNKED_ANSWER = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nTransfer-Encoding: chunked\r\nx-amz-rid: R1\r\n\r\n"
BODIES = (
    *(b"0\r\n\r\n", b"5\r\nhello\r\n0\r\n\r\n", b"3;a=b\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n"),
    *(b"00A\r\n0123456789\r\n0\r\n\r\n", b"5\r\nhello\r\n0\r\nX-T: 1\r\n\r\n", b"5\r\nhello\r\n0;x\r\n\r\n"),
    *(b"5\r\nhello\r\n", b"6\r\nhello\r\n0\r\n\r\n", b"5\r\nhello\r\n0\r\n\r\n0\r\n\r\n"),
    *(b"5\nhello\r\n0\r\n\r\n", b"x\r\n0\r\n\r\n", b"1\r\na\r\n" * 600 + b"0\r\n\r\n"),
    *(b"2000\r\n" + b"y" * 8192 + b"\r\n0\r\n\r\n", b"3000\r\n" + b"y" * 12288 + b"\r\n0\r\n\r\n"),
)
PARTS = st.lists(st.sampled_from((b"5", b"\r\n", b"hello", b"0", b";")), max_size=9)
BYTES = st.sampled_from(BODIES) | PARTS.map(b"".join)
CUTS = st.sampled_from((0, 0, 0, -1, -3, -5, 20))
SEGMENTS = ("sd", "campaigns", "sp", "v2", "reports", "%d", "%d", "%d", "%d7", "%%31", "", "..", "auth", "a.b")
KNOWN_PATHS = (["sd", "%d"], ["v2", "%d", "a"], ["v2", "profiles", "%d"], ["v2", "profiles"])
PATHS = st.sampled_from(KNOWN_PATHS) | st.lists(st.sampled_from(SEGMENTS), min_size=1, max_size=4)
VERBS = st.sampled_from(("GET", "GET", "GET", "POST", "HEAD", "DELETE", "OPTIONS"))
TARGETS = st.tuples(
    st.sampled_from(("", "", "", "/@default", "/eu", "/@default/na", "/@7", "http://127.0.0.1")),
    PATHS,
    st.sampled_from(("", "", "?a=%d", "?x-http-method-override=PUT", "?path=/%d", "?")),
)
"""Prefix, segments and query: each `%d` is another number in each request."""
OVERRIDES = ("?a=%d", "?x-http-method-override=PUT")
FILLERS = st.sampled_from((b"", b"X-Filler: a\r\n", b"Amazon-Advertising-API-Scope: 5\r\n", b"X-Ads-Account: no\r\n"))
POLICIES: tuple[dict[str, Any] | None, ...] = (
    None,
    {"methods": frozenset((b"GET", b"POST"))},
    {"paths": (PathPattern.read("/sd/*"), PathPattern.read("/v2/7/*"), PathPattern.read("/v2/profiles/7"))},
    {"paths": (PathPattern.read("/sd/*"), PathPattern.read("/v2/*"))},
    {"access": Access.READ},
    {"profiles": frozenset((b"5",)), "unscoped_paths": frozenset((b"/sd/7",))},
    {"requests_per_minute": 5},
)
RESPONSES = (
    HELLO,
    HELLO,
    b"HTTP/1.1 404 Not Found\r\nContent-Length: 4\r\nx-amz-rid: A\r\n\r\nnone",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
    b"HTTP/1.1 307 Temporary Redirect\r\nLocation: http://api.test:81/x\r\nContent-Length: 0\r\n\r\n",
    b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n",
)

Target = tuple[str, list[str], str]
Exchanges = list[tuple[list[bytes], list[bytes]]]
"""The pieces of each request, and those of the response to it."""


async def seen(exchanges: Exchanges, *, cold: bool, **changed: Any) -> tuple[Any, ...]:
    """Each request on a connection of its own: the bytes that left on either side, and the events."""
    bench = MemoryBench(**changed)
    numbers, to_clients = count(), b""
    bench.forwarder.new_request_id = lambda: f"id-{next(numbers)}"  # type: ignore[method-assign]  # of this one object
    for request_, response in exchanges:
        if cold:
            forget(bench.forwarder)
            bench.reach()
        bench.answer = lambda message: [*response]  # noqa: B023 - asked in this turn
        client = bench.client()
        client.send(*request_)
        await bench.rest(client)
        to_clients += re.sub(rb"Date: [^\r]*", b"", bytes(client.pipe.written)) + b"|"
        client.leave()
        await bench.rest()
    events = [replace(event, duration=0.0, upstream=0.0, overhead=0.0) for event in bench.events.finished]
    to_amazon = [bytes(upstream.pipe.written) for upstream in bench.upstreams]
    bench.pools.close()
    bench.deadlines.stop()
    assert not bench.events.defects
    assert bench.accounting.in_flight == 0
    return to_clients, to_amazon, events


def forget(forwarder: Forwarder) -> None:
    """Take the same rules anew."""
    forwarder.apply(forwarder.rules)


def compare(exchanges: Exchanges, **changed: Any) -> None:
    """Run them warm and cold."""
    warm = asyncio.run(seen(exchanges, cold=False, **changed))
    assert asyncio.run(seen(exchanges, cold=True, **changed)) == warm


def heads(line: Target, section: bytes, lines: list[tuple[str, int]]) -> list[bytes]:
    """Requests that differ in methods and numbers only."""
    prefix, segments, query = line
    text = f" {prefix}/{'/'.join(segments)}{query} HTTP/1.1\r\nHost: 127.0.0.1\r\n"
    key = b"Authorization: Bearer " + KEY + b"\r\n"
    places = text.replace("%%", "").count("%d")
    filled = (f"{method}{text % ((number,) * places)}".encode() for method, number in lines)
    return [head + section + key + b"\r\n" for head in filled]


@pytest.mark.long
@settings(max_examples=100, deadline=None)
@given(
    st.lists(
        st.tuples(TARGETS, FILLERS, st.lists(st.tuples(VERBS, st.sampled_from((7, 0, 12))), min_size=3, max_size=7)),
        min_size=1,
        max_size=2,
    ),
    st.sampled_from(POLICIES),
    st.sampled_from(RESPONSES),
)
@example([(("", ["v2", "%d", "a"], ""), b"", [("GET", 7), ("GET", 7), ("GET", 12)])], POLICIES[2], HELLO)
@example([(("", ["v2", "profiles", "%d"], ""), b"", [("GET", 7), ("GET", 7), ("GET", 12)])], POLICIES[2], HELLO)
@example([(("", ["v2", "profiles"], query), b"", [("GET", 7)] * 3) for query in OVERRIDES], POLICIES[1], HELLO)
@example([(("/@default", ["sd"], "?a=%d"), b"", [("GET", 7), ("POST", 7), ("GET", 12), ("HEAD", 7)])], None, HELLO)
def test_what_was_decided_holds_for_what_no_decision_reads(
    groups: list[tuple[Target, bytes, list[tuple[str, int]]]], policy: dict[str, Any] | None, response: bytes
) -> None:
    """Requests that differ in method, numbers and query, under each kind of policy: none is served by another's."""
    exchanges: Exchanges = [([head], [response]) for group in groups for head in heads(*group)]
    worlds: list[dict[str, Any]] = [{} if policy is None else {"clients": clients(**policy)} for _ in range(2)]
    warm = asyncio.run(seen(exchanges, cold=False, **worlds[0]))
    assert asyncio.run(seen(exchanges, cold=True, **worlds[1])) == warm


def cut(data: bytes, at: int) -> list[bytes]:
    """In one piece, or in two."""
    return [data] if not at else [data[:at], data[at:]]


@pytest.mark.long
@settings(max_examples=80, deadline=None)
@given(st.lists(st.tuples(BYTES, CUTS, BYTES, CUTS), min_size=1, max_size=4), st.sampled_from((0, 0, 7)))
@example([(BODIES[1], 0, BODIES[2], 0), (BODIES[2], 0, BODIES[0], 0), (BODIES[13], 0, BODIES[13], 0)], 0)
@example([(BODIES[1], 0, BODIES[1], 0), (BODIES[11], 0, BODIES[4], 0), (BODIES[8], 0, BODIES[8], 0)], 0)
@example([(BODIES[1], 0, BODIES[1], 0), (BODIES[3], 0, BODIES[1], 0)], 7)
@example([(BODIES[1], 0, BODIES[1], 0), (BODIES[1], 0, BODIES[10], 0)], 0)
def test_no_byte_of_a_chunked_body_differs(turns: list[tuple[bytes, int, bytes, int]], limit: int) -> None:
    """Whatever comes as chunks in either direction, and in however many reads; each is sent four times."""
    compare(
        [
            (cut(CHUNKED + body, at), cut(CHUNKED_ANSWER + answer, broken))
            for body, at, answer, broken in turns
            for _ in range(4)
        ],
        max_body_bytes=limit,
    )
