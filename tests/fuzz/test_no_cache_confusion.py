"""No request is served with what the proxy remembers of another one that differs from it in one thing.

Two requests that differ in exactly one thing are sent to a warm proxy, the first one again in between and at the end.
Each response, the bytes to Amazon and the line in the access log must be those of a cold proxy. Sessions of MCP are
forgotten in between: a request without an account goes to that of its session (docs/reference/routing.md).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import pytest
from hypothesis import assume, event, given, settings
from hypothesis import strategies as st

from proxy.http1.framing import whole_chunks
from tests.fuzz.depth import BRIEF, at_length, run
from tests.fuzz.differences import Bench, World, cold, connections_in_use, repeated_decisions
from tests.fuzz.repeated_requests import KEYS, METHODS, WORDS

Lines = tuple[tuple[bytes, bytes], ...]
EACH = settings(BRIEF, max_examples=8)
CALL = b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"%b","arguments":{}}}'
BODIES = (
    b"{}",
    b'{"a":1}',
    b"GET /v2/profiles HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
    CALL % b"query_x",
    CALL % b"drop_x",
    CALL.replace(b"{}", b'{"profileId":"1"}') % b"query_x",
    CALL.replace(b"{}", b'{"profileId":"2"}') % b"query_x",
)
PREFIXES = (b"", b"/@other", b"/@default", b"/@route", b"/@nobody", b"/eu", b"/na", b"/@other/eu", b"/@default/na")
PATHS = (
    *(b"/v2/profiles", b"/v2/profiles/1", b"/v2/campaigns/7", b"/v2/campaigns/7/extended", b"/sp/campaigns/list"),
    *(b"/sp/campaigns", b"/v2/hsa/campaigns", b"/reporting/reports", b"/reporting/reports/7", b"/v2/snapshots/7"),
    *(
        b"/adsAccounts/list",
        b"/mcp",
        b"/auth/o2/token",
        b"/auth/x",
        b"/v2/x%2fy",
        b"/new/7",
        *(b"/v2/" + w for w in WORDS),
    ),
)
QUERIES = (
    b"",
    b"?",
    b"?a=1",
    b"?a=2",
    b"?profileId=1",
    b"?profileId=2",
    b"?accountId=a.1",
    b"?accountId=a.2",
    b"?a=%61",
)
VALUES: dict[bytes, tuple[bytes, ...]] = {
    b"Amazon-Advertising-API-Scope": (b"1", b"2", b"3", b"9", b"", b"x"),
    b"Amazon-Ads-AccountId": (b"a.1", b"a.2", b"A.1"),
    b"X-Ads-Account": (b"default", b"other", b"route", b"nobody", b"Default"),
    b"X-Ads-Region": (b"na", b"eu", b"fe", b"xx"),
    b"X-HTTP-Method-Override": (b"DELETE", b"GET"),
    b"X-Request-Id": (b"mine-1", b"mine-2"),
    b"Accept": (b"*/*", b"application/json", b"text/event-stream"),
    b"Content-Type": (b"application/json", b"application/x-www-form-urlencoded"),
    b"User-Agent": (b"a", b"b"),
    b"Origin": (b"null", b"http://127.0.0.1"),
    b"Connection": (b"keep-alive", b"close", b"accept"),
    b"Cookie": (b"c=1", b"c=2"),
    b"Mcp-Session-Id": (b"s1", b"s2"),
    b"Amazon-Ads-AI-Account-Selection-Mode": (b"FIXED", b"DYNAMIC"),
}
HOSTS = (b"127.0.0.1", b"localhost", b"elsewhere")


@dataclass(frozen=True)
class Sent:
    """A request in its parts. `lines` are its headers, without its client's key and what frames its body."""

    method: bytes
    prefix: bytes
    path: bytes
    query: bytes
    minor: int
    client: bytes
    key_line: bytes
    lines: Lines
    body: bytes
    chunked: bool

    @property
    def data(self) -> bytes:
        lines = list(self.lines)
        if self.client:
            lines.append((self.key_line, self.client))
        if self.chunked:
            lines.append((b"Transfer-Encoding: ", b"chunked"))
        elif self.body or self.method in (b"POST", b"PUT", b"PATCH"):
            lines.append((b"Content-Length: ", b"%d" % len(self.body)))
        line = b"%b %b%b%b HTTP/1.%d\r\n" % (self.method, self.prefix, self.path, self.query, self.minor)
        body = whole_chunks(self.body) if self.chunked else self.body
        return line + b"".join(name + value + b"\r\n" for name, value in lines) + b"\r\n" + body


Change = Callable[[Sent, st.DataObject], Sent]


_OF_NAME = {
    name: st.sampled_from([(name + b": ", value) for value in values]) for name, values in sorted(VALUES.items())
}
LINES = st.tuples(
    st.sampled_from((*HOSTS[:1] * 8, *HOSTS)).map(lambda host: (b"Host: ", host)),
    st.sampled_from(((b"X-Ads-Account: ", b"default"), (b"Amazon-Advertising-API-Scope: ", b"1"))),
    st.lists(st.sampled_from(list(_OF_NAME)).flatmap(_OF_NAME.__getitem__), max_size=3, unique_by=lambda line: line[0]),
).map(lambda found: (found[0], found[1], *(line for line in found[2] if line[0] != found[1][0])))
"""A Host, and up to four of the other headers."""


@st.composite
def requests(draw: st.DrawFn) -> Sent:
    """A request that is served as a rule."""
    method = draw(st.sampled_from(METHODS))
    bodiless = method in (b"GET", b"HEAD")
    return Sent(
        method,
        draw(st.sampled_from((b"", b"", b"", *PREFIXES))),
        draw(st.sampled_from(PATHS)),
        draw(st.sampled_from((b"", b"", *QUERIES))),
        draw(st.sampled_from((1, 1, 1, 1, 0))),
        draw(st.sampled_from((KEYS["writer"], *KEYS.values()))),
        draw(st.sampled_from((b"X-Ads-Proxy-Key: ", b"Authorization: Bearer "))),
        draw(LINES),
        b"" if bodiless else draw(st.sampled_from(BODIES)),
        not bodiless and draw(st.booleans()),
    )


# --- what two requests may differ in


def other(data: st.DataObject, values: tuple[bytes, ...], value: bytes) -> bytes:
    """One of the values that is not this one."""
    return data.draw(st.sampled_from([each for each in values if each != value]))


def change_line(sent: Sent, data: st.DataObject, change: Callable[[bytes, bytes], Lines]) -> Sent:
    """With one header line exchanged for others."""
    at = data.draw(st.integers(0, len(sent.lines) - 1))
    return replace(sent, lines=(*sent.lines[:at], *change(*sent.lines[at]), *sent.lines[at + 1 :]))


def change_value(sent: Sent, data: st.DataObject, name: bytes) -> Sent:
    """With another value of this header, or without it, or with it if it has none."""
    line = name + b": "
    before = [value for each, value in sent.lines if each == line]
    choices = [(), *(((line, value),) for value in VALUES[name])]
    added = data.draw(st.sampled_from([each for each in choices if each != tuple((line, value) for value in before)]))
    return replace(sent, lines=(*(each for each in sent.lines if each[0] != line), *added))


def swap_lines(sent: Sent, data: st.DataObject) -> Sent:
    moved = list(sent.lines)
    at = data.draw(st.integers(1, len(moved) - 1))
    moved[at - 1], moved[at] = moved[at], moved[at - 1]
    return replace(sent, lines=tuple(moved))


def change_number(sent: Sent, data: st.DataObject) -> Sent:
    assume(b"7" in sent.path or b"1" in sent.path)
    number = data.draw(st.sampled_from((b"8", b"77", b"07", b"-7", b"7a", b"123456789012345678901234567890")))
    return replace(sent, path=sent.path.replace(b"7", number).replace(b"1", number))


def encode_byte(sent: Sent, data: st.DataObject) -> Sent:
    at = data.draw(st.integers(1, len(sent.path) - 1))
    form = data.draw(st.sampled_from((b"%%%02x", b"%%%02X", b"%%25%02x")))
    return replace(sent, path=sent.path[:at] + form % sent.path[at] + sent.path[at + 1 :])


def insert(piece: bytes) -> Change:
    """With this piece at some place of the path."""

    def change(sent: Sent, data: st.DataObject) -> Sent:
        places = [at for at in range(len(sent.path)) if sent.path[at : at + 1] == b"/"]
        at = data.draw(st.sampled_from(places))
        return replace(sent, path=sent.path[:at] + piece + sent.path[at:])

    return change


def repeat_line(sent: Sent, data: st.DataObject) -> Sent:
    return change_line(sent, data, lambda name, value: ((name, value), (name, value)))


def contradict_line(sent: Sent, data: st.DataObject) -> Sent:
    return change_line(sent, data, lambda name, value: ((name, value), (name, b"1" if value != b"1" else b"2")))


def pad_value(sent: Sent, data: st.DataObject) -> Sent:
    ends = data.draw(st.sampled_from(((b" ", b""), (b"", b" "), (b"\t", b""), (b"", b"\t "))))
    return change_line(sent, data, lambda name, value: ((name, ends[0] + value + ends[1]),))


def change_case(sent: Sent, data: st.DataObject) -> Sent:
    form = data.draw(st.sampled_from((bytes.lower, bytes.upper, bytes.swapcase)))
    return change_line(sent, data, lambda name, value: ((form(name), value),))


def change_value_case(sent: Sent, data: st.DataObject) -> Sent:
    return change_line(sent, data, lambda name, value: ((name, value.swapcase()),))


CHANGES: dict[str, Change] = {
    "client": lambda sent, data: replace(
        sent, client=other(data, (*KEYS.values(), b"", b"unknown", b"key-of-Writer"), sent.client)
    ),
    "header of the key": lambda sent, data: replace(
        sent,
        key_line=other(
            data, (b"X-Ads-Proxy-Key: ", b"Authorization: Bearer ", b"Authorization: Basic "), sent.key_line
        ),
    ),
    "case of a header name": change_case,
    "case of a header value": change_value_case,
    "order of headers": swap_lines,
    "repeated header": repeat_line,
    "contradicting header": contradict_line,
    "whitespace of a header value": pad_value,
    "host": lambda sent, data: replace(
        sent, lines=((b"Host: ", other(data, HOSTS, sent.lines[0][1])), *sent.lines[1:])
    ),
    "prefix": lambda sent, data: replace(sent, prefix=other(data, PREFIXES, sent.prefix)),
    "path": lambda sent, data: replace(sent, path=other(data, PATHS, sent.path)),
    "number in the path": change_number,
    "percent-encoding": encode_byte,
    "trailing slash": lambda sent, data: replace(sent, path=sent.path + b"/"),
    "double slash": insert(b"/"),
    "dot segment": insert(b"/."),
    "backslash": insert(b"\\"),
    "query": lambda sent, data: replace(sent, query=other(data, QUERIES, sent.query)),
    "method": lambda sent, data: replace(sent, method=other(data, (*METHODS, b"get"), sent.method)),
    "HTTP version": lambda sent, data: replace(sent, minor=1 - sent.minor),
    "body": lambda sent, data: replace(sent, body=other(data, (b"", *BODIES), sent.body)),
    "framing of the body": lambda sent, data: replace(sent, chunked=not sent.chunked),
    **{name.decode(): partial(change_value, name=name) for name in VALUES},
}
USUAL = Sent(
    b"GET",
    b"",
    b"/v2/campaigns/7",
    b"",
    1,
    KEYS["writer"],
    b"X-Ads-Proxy-Key: ",
    ((b"Host: ", b"127.0.0.1"), (b"X-Ads-Account: ", b"default")),
    b"",
    False,
)
PREFIXED = replace(USUAL, lines=USUAL.lines[:1])
UNLISTED = replace(USUAL, client=KEYS["reader"], path=b"/v2/new/7")
"""A request whose operation is in no table."""
PAIRS = {
    "method": (UNLISTED, replace(UNLISTED, method=b"DELETE")),
    "headers": (USUAL, replace(USUAL, lines=(*USUAL.lines, (b"Accept: ", b"*/*")))),
    "client": (USUAL, replace(USUAL, client=KEYS["viewer"])),
    "endpoint": (USUAL, replace(USUAL, path=b"/mcp")),
    "account": (replace(PREFIXED, prefix=b"/@default"), replace(PREFIXED, prefix=b"/@other")),
    "region": (replace(PREFIXED, prefix=b"/@default/na"), replace(PREFIXED, prefix=b"/@default/eu")),
    "operation": (replace(PREFIXED, prefix=b"/@route"), replace(PREFIXED, prefix=b"/@route", path=b"/v2/profiles")),
    "path": (replace(USUAL, client=KEYS["narrow"]), replace(USUAL, client=KEYS["narrow"], path=b"/v2/campaigns/8")),
    "query": (
        replace(USUAL, client=KEYS["narrow"], query=b"?a=1"),
        replace(USUAL, client=KEYS["narrow"], query=b"?_method=DELETE"),
    ),
    "authority": (USUAL, replace(USUAL, prefix=b"http://elsewhere")),
}
"""A pair for each part of what decisions are remembered by."""


def check(first: Sent, second: Sent) -> int:
    """Assert that a warm proxy serves the pair as cold ones do. Returns how many decisions it repeated."""
    repeats = 0

    async def whole() -> None:
        nonlocal repeats
        world = World()
        expected = {each.data: await cold(each.data, world) for each in (first, second)}
        bench = Bench(world)
        client = bench.client()
        with repeated_decisions() as repeated:
            for data in (first.data, second.data, first.data, first.data, second.data):
                bench.forget_sessions()
                found = await bench.serve(client, data)
                assert found == expected[data], f"{data!r} after {first.data!r} and {second.data!r}"
                client = bench.client() if found.ended else client
        repeats = sum(repeated)
        await bench.end(client)

    with connections_in_use():
        run(whole)
    return repeats


@pytest.mark.parametrize("part", PAIRS)
def test_each_part_of_a_request_that_a_decision_reads_is_told_apart(part: str) -> None:
    """One pair for each part, in both orders."""
    first, second = PAIRS[part]
    assert check(first, second) > 0
    assert check(second, first) > 0


def test_requests_of_one_session_are_served_apart() -> None:
    """The second one chooses no account, and is refused although the proxy served its session in the first one's."""
    in_session = replace(USUAL, path=b"/mcp", lines=(*USUAL.lines, (b"Mcp-Session-Id: ", b"s1")))
    check(in_session, replace(in_session, lines=(in_session.lines[0], in_session.lines[2])))


@pytest.mark.long
@pytest.mark.parametrize("kind", CHANGES)
def test_requests_that_differ_in_one_thing_are_served_apart(kind: str) -> None:
    """For a few pairs of each kind, of which some repeat a decision."""
    repeats = 0

    @EACH
    @given(requests(), st.data())
    def try_pairs(first: Sent, data: st.DataObject) -> None:
        nonlocal repeats
        repeats += check(first, CHANGES[kind](first, data))

    try_pairs()
    assert repeats > 0


@at_length
@given(requests(), st.sampled_from(sorted(CHANGES)), st.data())
def test_requests_that_differ_in_one_thing_are_served_apart_at_length(
    first: Sent, kind: str, data: st.DataObject
) -> None:
    """For many random pairs."""
    event(kind)
    check(first, CHANGES[kind](first, data))
