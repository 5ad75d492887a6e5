"""What was decided about one request line holds for all of its kind: as if each of them had been decided anew."""

from __future__ import annotations

import asyncio
import re
import time
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from proxy.access.paths import PathPattern
from proxy.forwarding import decisions
from proxy.forwarding.decisions import Decisions
from proxy.forwarding.line_kinds import LineReading, line_kind, read_of_lines
from proxy.http1.sightings import Sightings
from proxy.http1.target import parse_target
from proxy.routing.operations import Effect, Operations, parse_operations
from tests.forwarding.quick.test_exchange import HELLO
from tests.forwarding.quick.test_recognition import KEYED, ask, clients
from tests.forwarding.test_decisions import routed
from tests.support.memory_bench import MemoryBench
from tests.support.proxy_bench import Running
from tests.support.wire import GET, answering

__all__ = ["routed"]

Line = tuple[str, list[str], str]
Made = tuple[list[Any], bytes, list[Any]]
"""What left for Amazon, what came back to the tool, and what was told of each request."""
COLUMNS = "method\tpath\tname\tscope\taccount_id\taccount_header\teffect\n"
SEGMENTS = ("sd", "campaigns", "sp", "v2", "reports", "%d", "%d", "%d", "%d7", "%%31", "", "..", "auth", "a.b")
PATHS = st.sampled_from((["sd", "%d"], ["v2", "%d", "a"])) | st.lists(st.sampled_from(SEGMENTS), min_size=1, max_size=4)
METHODS = st.sampled_from(("GET", "GET", "GET", "POST", "HEAD", "DELETE", "OPTIONS"))
LINES = st.tuples(
    st.sampled_from(("", "", "", "/@default", "/eu", "/@default/na", "/@7", "http://127.0.0.1")),
    PATHS,
    st.sampled_from(("", "", "?a=%d", "?x-http-method-override=PUT", "?path=/%d", "?")),
)
"""Prefix, segments and query: each `%d` is another number in each request."""
SECTIONS = st.sampled_from((b"", b"X-Filler: a\r\n", b"Amazon-Advertising-API-Scope: 5\r\n", b"X-Ads-Account: no\r\n"))
POLICIES: tuple[dict[str, Any] | None, ...] = (
    None,
    {"methods": frozenset((b"GET", b"POST"))},
    {"paths": (PathPattern.read("/sd/*"), PathPattern.read("/v2/7/*"))},
    {"paths": (PathPattern.read("/sd/*"), PathPattern.read("/v2/*"))},
    {"access": Effect.READ},
    {"profiles": frozenset((b"5",)), "unscoped_paths": frozenset((b"/sd/7",))},
    {"requests_per_minute": 5},
)
ANSWERS = (
    HELLO,
    HELLO,
    b"HTTP/1.1 404 Not Found\r\nContent-Length: 4\r\nx-amz-rid: A\r\n\r\nnone",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
    b"HTTP/1.1 307 Temporary Redirect\r\nLocation: http://api.test:81/x\r\nContent-Length: 0\r\n\r\n",
    b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n",
)


def heads(line: Line, section: bytes, lines: list[tuple[str, int]]) -> list[bytes]:
    """Requests that differ in methods and numbers only."""
    prefix, segments, query = line
    text = f" {prefix}/{'/'.join(segments)}{query} HTTP/1.1\r\nHost: 127.0.0.1\r\n"
    key = KEYED[KEYED.index(b"Authorization") : -2]
    places = text.replace("%%", "").count("%d")
    filled = (f"{method}{text % ((number,) * places)}".encode() for method, number in lines)
    return [head + section + key + b"\r\n" for head in filled]


async def sent(requests: list[bytes], answer: bytes, policy: dict[str, Any] | None) -> Made:
    """All of them on one connection after another, as each of them may be its last."""
    changed = {} if policy is None else {"clients": clients(**policy)}
    bench = MemoryBench(fast_path=False, **changed)
    names = iter(range(10_000))
    bench.forwarder.new_request_id = lambda: f"id-{next(names)}"  # type: ignore[method-assign]  # one of ours
    bench.answer = lambda message: [answer]
    written = b""
    for data in requests:
        tool = bench.tool()
        tool.send(data)
        await bench.rest(tool)
        written += bytes(tool.pipe.written) + b"|"
        tool.leave()
    await bench.rest()
    told = [replace(event, duration=0.0, upstream=0.0, overhead=0.0) for event in bench.events.finished]
    await bench.stop()
    return bench.messages, re.sub(rb"Date: [^\r]*", b"", written), told


@settings(max_examples=100, deadline=None)
@given(
    st.lists(
        st.tuples(LINES, SECTIONS, st.lists(st.tuples(METHODS, st.sampled_from((7, 0, 12))), min_size=3, max_size=7)),
        min_size=1,
        max_size=2,
    ),
    st.sampled_from(POLICIES),
    st.sampled_from(ANSWERS),
)
@example([(("", ["v2", "%d", "a"], ""), b"", [("GET", 7), ("GET", 7), ("GET", 12)])], POLICIES[2], HELLO)
@example([(("/@default", ["sd"], "?a=%d"), b"", [("GET", 7), ("POST", 7), ("GET", 12), ("HEAD", 7)])], None, HELLO)
def test_nothing_tells_what_is_known_from_what_is_decided_anew(
    groups: list[tuple[Line, bytes, list[tuple[str, int]]]],
    policy: dict[str, Any] | None,
    answer: bytes,
) -> None:
    """Neither Amazon nor the tool nor who reads the log, whatever the client may do and whatever comes back."""
    requests = [head for group in groups for head in heads(*group)]
    known = asyncio.run(sent(requests, answer, policy))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Decisions, "find", lambda self, request: None)
        assert asyncio.run(sent(requests, answer, policy)) == known


async def test_what_differs_in_numbers_is_decided_twice(running: Running, routed: list[object]) -> None:
    """Then its kind is known; and a query makes no difference where nobody reads it."""
    async with running(answering(HELLO), fast_path=False) as bench:
        tool = await bench.tool()
        for number in range(6):
            assert await ask(tool, GET.replace(b"/v2/profiles", b"/v2/campaigns/%d?a=%d" % (number, number))) == [200]
        assert len(routed) == 2
        assert {event.path for event in bench.events.finished} == {f"/v2/campaigns/{number}" for number in range(6)}


async def test_numbers_are_read_where_a_policy_tells_them_apart(running: Running, routed: list[object]) -> None:
    """And so are queries, where a policy looks at requests."""
    known = clients(paths=(PathPattern.read("/v2/7"), PathPattern.read("/sd/*")))
    async with running(answering(HELLO), fast_path=False, clients=known) as bench:
        tool = await bench.tool()
        assert await ask(tool, KEYED.replace(b"/v2/profiles", b"/v2/7"), 3) == [200] * 3
        assert await ask(tool, KEYED.replace(b"/v2/profiles", b"/v2/8"), 3) == [403] * 3
        assert await ask(tool, KEYED.replace(b"/v2/profiles", b"/sd/a?b=1"), 3) == [200] * 3
        chosen = len(routed)
        assert await ask(tool, KEYED.replace(b"/v2/profiles", b"/sd/a?x-http-method-override=PUT")) == [403]
        await ask(tool, KEYED.replace(b"/v2/profiles", b"/sd/a?b=2"))
        assert len(routed) == chosen + 1


async def test_a_key_that_has_ended_ends_what_is_known_of_kinds(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As it ends what is known of heads."""
    now = time.time()
    async with running(answering(HELLO), fast_path=False, clients=clients(ends_at=now + 1000)) as bench:
        tool = await bench.tool()
        for number in range(4):
            assert await ask(tool, KEYED.replace(b"/v2/profiles", b"/sd/%d" % number)) == [200]
        monkeypatch.setattr(time, "time", lambda: now + 2000)
        assert await ask(tool, KEYED.replace(b"/v2/profiles", b"/sd/9")) == [401]


async def test_little_memory_costs_time_and_nothing_else(running: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is full is forgotten."""
    monkeypatch.setattr(decisions, "MAX_KEPT", 2)
    async with running(answering(HELLO), fast_path=False) as bench:
        tool = await bench.tool()
        for number in range(24):
            data = GET.replace(b"/v2/profiles", b"/v2/%s/%d" % ((b"a", b"b", b"c", b"d")[number % 4], number))
            assert await ask(tool, data) == [200]
        kept = bench.forwarder._decisions
        assert sum(len(section.examples) for section in kept._sections.values()) <= 2


@pytest.mark.parametrize(
    ("policy", "row", "reading"),
    [
        (None, "/v2/{id}", LineReading(numbers=False, queries=False)),
        (None, "/v2/7", LineReading(numbers=True, queries=False)),
        ({"methods": frozenset((b"GET",))}, "/v2/{id}", LineReading(numbers=False, queries=True)),
        ({"paths": (PathPattern.read("/a/7"),)}, "/v2/{id}", LineReading(numbers=True, queries=True)),
        ({"accounts": frozenset(("a",))}, "/v2/7", LineReading(numbers=True, queries=False)),
    ],
)
async def test_what_is_read_of_lines_is_what_a_table_or_a_policy_reads(
    policy: dict[str, Any] | None, row: str, reading: LineReading
) -> None:
    """A row that holds a number tells numbers apart for everybody, a path of a policy for its client."""
    bench = MemoryBench(**({} if policy is None else {"clients": clients(**policy)}))
    operations = Operations(parse_operations(f"{COLUMNS}GET\t{row}\tx\tnever\tnever\t-\tread\n"))
    rules = replace(bench.rules, table=replace(bench.rules.table, operations=operations))
    caller = rules.clients.impersonate("reader") or rules.clients.nobody
    assert read_of_lines(caller, rules) == reading
    await bench.stop()


@pytest.mark.parametrize(
    ("reading", "kind"),
    [
        (LineReading(numbers=False, queries=False), b"GET /a/0"),
        (LineReading(numbers=True, queries=False), b"GET /a/12"),
        (LineReading(numbers=False, queries=True), b"GET /a/0?b=1"),
        (LineReading(numbers=True, queries=True), b"GET /a/12?b=1"),
    ],
)
def test_a_kind_is_what_is_read(reading: LineReading, kind: bytes) -> None:
    """Method and path always."""
    assert line_kind(b"GET", parse_target(b"/a/12?b=1"), reading) == kind


def test_what_was_seen_is_known_again() -> None:
    """Until something else took its place."""
    seen = Sightings()
    assert [seen.came_before(data) for data in (b"a", b"a", b"b", b"a")][:3] == [False, True, False]
    assert repr(seen) == "<Sightings of 2>"


async def test_what_is_known_shows_nothing_of_a_request() -> None:
    """Neither targets nor tokens."""
    bench = MemoryBench(fast_path=False)
    tool = bench.tool()
    for number in range(3):
        tool.send(GET.replace(b"profiles", b"campaigns/%d" % number))
        await bench.rest(tool)
    section = next(iter(bench.forwarder._decisions._sections.values()))
    example = next(iter(section.examples.values()))
    found = bench.forwarder._decisions.find(example.request)
    assert repr(section) == "<DecidedSection with 1 kinds of lines>"
    assert repr(example.prepared) == "<Prepared for 1 statuses>"
    assert repr(found).endswith(": <Decision: anonymous to default in na>>")
    await bench.stop(tool)
