"""Answers reach the client as Amazon sent them, framed as the client's version of HTTP has it."""

from __future__ import annotations

import json
from dataclasses import replace
from email.utils import parsedate_to_datetime
from typing import Any

import pytest

from proxy.access.mcp_tools import ToolRules
from proxy.access.paths import PathPattern
from proxy.forwarding import relay
from proxy.forwarding.relay import ToolListFilter
from proxy.routing.operations import PUBLISHED, Effect
from tests.support.proxy_bench import Running
from tests.support.wire import GET, HELLO, Script, Wire, answering

OLD_GET = GET.replace(b"HTTP/1.1", b"HTTP/1.0")


def closing(answer: bytes) -> Script:
    """A script that answers once and ends the connection."""

    async def script(wire: Wire) -> None:
        await wire.request()
        wire.send(answer)
        wire.finish()
        await wire.end()

    return script


async def test_status_reason_and_fields_pass_byte_for_byte(running: Running) -> None:
    """Odd reasons, repetition in another case and bytes that are not UTF-8 stay; ours are added behind."""
    answer = b"HTTP/1.1 299 Fine \xe9\r\nx-amz-rid: r1\r\nSet-Cookie: a\r\nset-cookie: b\r\nX:\xff\r\nDate: d\r\n"
    answer += b"Content-Length: 0\r\n\r\n"
    async with running(answering(answer)) as bench:
        got = await bench.ask(GET.replace(b"\r\n\r\n", b"\r\nX-Request-Id: mine\r\n\r\n"))
        assert got.head == (
            b"HTTP/1.1 299 Fine \xe9\r\nx-amz-rid: r1\r\nSet-Cookie: a\r\nset-cookie: b\r\nX: \xff\r\n"
            b"Date: d\r\nContent-Length: 0\r\nX-Request-Id: mine\r\n"
        )
        assert (await bench.events.last()).amazon_request_id == "r1"


async def test_hop_by_hop_fields_of_an_answer_do_not_pass(running: Running) -> None:
    """Nor what its Connection lists, nor a Proxy-Status or an X-Request-Id of others."""
    answer = (
        b"HTTP/1.1 200 OK\r\nConnection: keep-alive, X-Hop\r\nX-Hop: 1\r\nKeep-Alive: timeout=5\r\nUpgrade: h2c\r\n"
        b"Proxy-Status: other\r\nX-Request-Id: theirs\r\nContent-Length: 0\r\n\r\n"
    )
    async with running(answering(answer)) as bench:
        got = await bench.ask()
        for name in (b"connection", b"x-hop", b"keep-alive", b"upgrade", b"proxy-status"):
            assert got.value(name) is None
        assert got.value(b"x-request-id") != b"theirs"


async def test_a_gzipped_body_is_not_touched(running: Running) -> None:
    """Neither its bytes nor the field that names the coding."""
    body = bytes(range(256)) * 3
    answer = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)
    async with running(answering(answer)) as bench:
        got = await bench.ask()
        assert got.body == body
        assert got.value(b"content-encoding") == b"gzip"


async def test_a_redirect_is_handed_on(running: Running) -> None:
    """It is the client's to follow: nothing else is asked of anybody."""
    answer = b"HTTP/1.1 307 Temporary Redirect\r\nLocation: https://s3.example/x?sig=%2F\r\nContent-Length: 0\r\n\r\n"
    async with running(answering(answer)) as bench:
        got = await bench.ask()
        assert (got.status, got.value(b"location")) == (307, b"https://s3.example/x?sig=%2F")
        assert len(bench.upstream.wires) == 1


async def test_a_chunked_answer_keeps_its_trailers(running: Running) -> None:
    """Payload and trailers pass; what frames does not pass among trailers, nor do chunk extensions."""
    answer = (
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: T\r\n\r\n"
        b"3;x=y\r\nabc\r\n2\r\nde\r\n0\r\nT: v\r\nContent-Length: 9\r\n\r\n"
    )
    async with running(answering(answer)) as bench:
        got = await bench.ask()
        assert (got.body, got.trailers) == (b"abcde", ((b"T", b"v"),))
        assert got.value(b"trailer") == b"T"


async def test_a_chunked_answer_to_http_1_0_ends_with_the_connection(running: Running) -> None:
    """HTTP/1.0 knows neither chunks nor trailers."""
    answer = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nT: v\r\n\r\n"
    async with running(answering(answer)) as bench:
        got = await bench.ask(OLD_GET.replace(b"\r\n\r\n", b"\r\nConnection: keep-alive\r\n\r\n"))
        assert got.body == b"abc"
        assert got.value(b"transfer-encoding") is None
        assert got.value(b"connection") == b"close"


@pytest.mark.parametrize(("request_", "chunked"), [(GET, True), (OLD_GET, False)])
async def test_an_answer_that_ends_with_its_connection(request_: bytes, chunked: bool, running: Running) -> None:
    """It becomes chunked for HTTP/1.1, whose connection stays, and ends the connection for HTTP/1.0."""
    async with running(closing(b"HTTP/1.1 200 OK\r\nX: y\r\n\r\nabcd")) as bench:
        client = await bench.client(request_)
        got = await client.answer()
        assert got.body == b"abcd"
        assert (got.value(b"transfer-encoding") == b"chunked") is chunked
        assert (got.value(b"connection") == b"close") is not chunked
        if chunked:
            client.send(request_)
            assert (await client.answer()).body == b"abcd"
        assert not client.reset


@pytest.mark.parametrize(
    ("method", "answer"),
    [
        (b"HEAD", b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"),
        (b"HEAD", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"),
        (b"HEAD", b"HTTP/1.1 200 OK\r\n\r\n"),
        (b"GET", b"HTTP/1.1 204 No Content\r\n\r\n"),
        (b"GET", b"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n"),
    ],
)
async def test_answers_without_body_end_with_their_head(method: bytes, answer: bytes, running: Running) -> None:
    """HEAD, 204 and 304: the next request is served on the same connection of the client, on another one of
    Amazon's."""
    async with running(answering(answer)) as bench:
        client = await bench.client(GET.replace(b"GET", method))
        first = await client.answer(to_head=method == b"HEAD")
        client.send(GET.replace(b"GET", method))
        second = await client.answer(to_head=method == b"HEAD")
        assert first.status == second.status
        assert first.value(b"content-length") == (b"5" if b"Length" in answer else None)
        assert first.value(b"transfer-encoding") is None
        assert (len(bench.clients), len(bench.upstream.wires)) == (1, 2)


async def test_a_204_has_no_length(running: Running) -> None:
    """A Content-Length there would have some clients wait for a body (RFC 9110, 8.6)."""
    async with running(answering(b"HTTP/1.1 204 No Content\r\nA: b\r\nContent-Length: 5\r\nC: d\r\n\r\n")) as bench:
        got = await bench.ask()
        assert got.head.startswith(b"HTTP/1.1 204 No Content\r\nA: b\r\nC: d\r\n")
        assert got.value(b"content-length") is None


async def test_interim_answers_pass_to_http_1_1(running: Running) -> None:
    """100 and 103 come before the answer, in their order and with their fields; a length there does not pass."""
    interim = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\nContent-Length: 3\r\n\r\n"
    async with running(answering(interim + HELLO)) as bench:
        client = await bench.client(GET)
        assert (await client.head()) == b"HTTP/1.1 100 Continue\r\n"
        assert (await client.head()) == b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n"
        assert (await client.answer()).body == b"hello"


async def test_interim_answers_do_not_pass_to_http_1_0(running: Running) -> None:
    """It does not know them (RFC 9110, 15.2)."""
    async with running(answering(b"HTTP/1.1 103 Early Hints\r\n\r\n" + HELLO)) as bench:
        assert (await bench.ask(OLD_GET)).status == 200


@pytest.mark.parametrize("framing", [b"Content-Length: 9\r\n", b"Transfer-Encoding: chunked\r\n", b""])
async def test_an_answer_cut_off_is_seen_to_be_broken(framing: bytes, running: Running) -> None:
    """Amazon's connection breaks in the middle: the client sees no whole message, whatever its framing."""
    body = b"4\r\nabcd\r\n" if b"chunked" in framing else b"abcd"

    async def script(wire: Wire) -> None:
        await wire.request()
        wire.send(b"HTTP/1.1 200 OK\r\n" + framing + b"\r\n" + body)
        await bench.clients[0].until(lambda: b"abcd" in bench.clients[0].received)
        wire.drop()

    async with running(script) as bench:
        client = await bench.client(GET)
        await client.until(lambda: client.ended)
        assert b"abcd" in client.received
        assert b"\r\n0\r\n" not in client.received
        assert (await bench.events.last()).fault == "upstream-died"


async def test_a_close_delimited_answer_that_breaks_is_reset_for_http_1_0(running: Running) -> None:
    """Where the end of the connection is the end of the answer, only a reset says that there was no end."""

    async def script(wire: Wire) -> None:
        await wire.request()
        wire.send(b"HTTP/1.1 200 OK\r\n\r\nabcd")
        await bench.clients[0].until(lambda: b"abcd" in bench.clients[0].received)
        wire.drop()

    async with running(script) as bench:
        client = await bench.client(OLD_GET)
        await client.until(lambda: client.lost)
        assert client.reset


async def test_a_location_at_the_api_host_comes_home(running: Running) -> None:
    """In the header and in a report's JSON, whose length follows; a string of the same name further in stays."""

    async def script(wire: Wire) -> None:
        at = b"http://127.0.0.1:%d" % bench.upstream.port
        body = b'{"location": "%b/v2/x", "deeper": {"location": "%b/y"}}' % (at, at)
        for _ in range(2):
            await wire.request()
            wire.send(
                b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nLocation: %b/z\r\nContent-Length: %d\r\n\r\n%b"
                % (at, len(body), body)
            )

    async with running(script, scheme=b"http") as bench:
        head = b"GET /na/v2/reports/1 HTTP/1.1\r\nHost: localhost:8080\r\n\r\n"
        got = await bench.ask(head)
        at = b"http://127.0.0.1:%d" % bench.upstream.port
        assert got.value(b"location") == b"http://localhost:8080/na/z"
        assert got.body == b'{"location": "http://localhost:8080/na/v2/x", "deeper": {"location": "%b/y"}}' % at
        bench.apply(rewrite_locations=False)
        untouched = await bench.ask(head)
        assert untouched.value(b"location") == at + b"/z"
        assert at + b"/v2/x" in untouched.body


@pytest.mark.parametrize("framing", ["chunked", "close"])
async def test_a_report_of_unknown_length_comes_home_too(framing: str, running: Running) -> None:
    """Chunked or ended by the connection, it is gathered, changed and sent as one chunk."""

    async def script(wire: Wire) -> None:
        await wire.request()
        body = b'{"location": "http://127.0.0.1:%d/v2/x"}' % bench.upstream.port
        head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
        if framing == "chunked":
            wire.send(head, b"Transfer-Encoding: chunked\r\n\r\n%x\r\n%b\r\n0\r\n\r\n" % (len(body), body))
        else:
            wire.send(head, b"\r\n", body)
        wire.finish()

    async with running(script) as bench:
        got = await bench.ask(b"GET /v2/reports/1 HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert got.body == b'{"location": "http://localhost/v2/x"}'


async def test_a_report_that_is_too_long_passes_as_it_is(running: Running) -> None:
    """It is gathered up to a bound, then streamed."""
    piece = b'{"location": "http://127.0.0.1:%d/v2/x", "rows": "' + b"x" * (1 << 20) + b'"}'

    async def script(wire: Wire) -> None:
        await wire.request()
        body = piece % bench.upstream.port
        wire.send(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n")
        wire.send(b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body))

    async with running(script) as bench:
        got = await bench.ask(b"GET /v2/reports/1 HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert got.body == piece % bench.upstream.port


async def test_a_report_that_breaks_off_while_it_is_gathered_is_a_502(running: Running) -> None:
    """No byte of it has gone to the client, so the client is told what happened."""

    async def script(wire: Wire) -> None:
        await wire.request()
        wire.send(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 99\r\n\r\n{")
        wire.finish()

    async with running(script) as bench:
        got = await bench.ask(b"GET /v2/reports/1 HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert got.status == 502
        assert b"upstream-closed" in got.body


async def test_an_answer_without_a_date_gets_one(running: Running) -> None:
    """Whoever forwards it and has a clock adds it (RFC 9110, 6.6.1)."""
    async with running(answering(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")) as bench:
        date = (await bench.ask()).value(b"date")
        assert date is not None
        assert parsedate_to_datetime(date.decode()).tzinfo is not None


RULES = ToolRules("agent", Effect.WRITE, (PathPattern.read("good*"),), PUBLISHED)
TOOLS = [{"name": "good-1", "x": 1}, {"name": "bad"}, {"name": "good-2"}]
LISTED = {"jsonrpc": "2.0", "id": 1, "result": {"tools": TOOLS, "nextCursor": "c"}}
SHOWN = {"jsonrpc": "2.0", "id": 1, "result": {"tools": [TOOLS[0], TOOLS[2]], "nextCursor": "c"}}
OTHER = b'{"jsonrpc": "2.0",  "id":1,"result":{"x":"tools", "y":[1,2]}}'


def body(
    content: bytes, pieces: int = 0, *, events: bool = False, readable: bool = True, rules: ToolRules = RULES
) -> bytes:
    """What passes of it, fed in pieces of so many bytes."""
    made = ToolListFilter(rules, readable=readable, events=events)
    size = pieces or max(1, len(content))
    passed = b"".join(made.feed(content[at : at + size]) for at in range(0, len(content), size))
    return passed + made.finish()


def dumped(content: Any) -> bytes:
    return json.dumps(content).encode()


@pytest.mark.parametrize("pieces", [0, 1, 7])
def test_a_body_with_a_list_shows_what_may_be_called(pieces: int) -> None:
    """Alone, or among several messages; the rest of it stays."""
    assert json.loads(body(dumped(LISTED), pieces)) == SHOWN
    assert json.loads(body(dumped([LISTED, {"id": 2}]), pieces)) == [SHOWN, {"id": 2}]
    assert json.loads(body(dumped(LISTED).replace(b'"tools"', b'"t\\u006fols"'), pieces)) == SHOWN


@pytest.mark.parametrize("events", [False, True])
def test_a_list_without_a_tool_for_the_client_says_why(events: bool) -> None:
    """An empty list would look like a server without clients."""
    listed = dumped({"jsonrpc": "2.0", "id": 7, "result": {"tools": [{"name": "bad"}, {"name": "worse"}]}})
    passed = body(b"data: " + listed + b"\n\n" if events else listed, events=events)
    said = json.loads(passed.strip().removeprefix(b"data: "))
    assert (said["id"], "result" in said) == (7, False)
    assert said["error"]["message"].startswith("Client agent may call none of the 2 tools here, because of its `acc")


@pytest.mark.parametrize(
    ("result", "paging"),
    [
        ({"tools": []}, False),
        ({"tools": [{"name": "bad"}]}, True),
        ({"tools": [{"name": "bad"}], "nextCursor": "c"}, False),
    ],
)
def test_a_page_without_a_tool_for_the_client_is_empty(result: dict[str, Any], paging: bool) -> None:
    """Where other pages may have some, or Amazon lists none, there is nothing to complain of."""
    said = json.loads(body(dumped({"id": 7, "result": result}), rules=replace(RULES, paging=paging)))
    assert said["result"] == {**result, "tools": []}


@pytest.mark.parametrize(
    "content",
    [
        b"",
        OTHER,
        dumped(SHOWN),
        b"not JSON at all",
        b'{"error":{"message":"x"}}',
        b'{"result":{"tools":"all"}}',
        b"[1]",
    ],
)
def test_what_lists_nothing_else_passes_byte_for_byte(content: bytes) -> None:
    """Whatever its blanks."""
    assert body(content, 3) == content


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
@pytest.mark.parametrize("pieces", [0, 1, 5])
def test_events_pass_each_as_it_ends(end: bytes, pieces: int) -> None:
    """With any line end; what is not changed is not touched."""
    first, last = b": hello" + end * 2, b"event: message" + end + b"data: " + OTHER + end * 2
    listing = b"id: 7" + end + b"event: message" + end + b"data: " + dumped(LISTED) + end * 2
    passed = body(first + listing + last, pieces, events=True)
    assert passed.startswith(first)
    assert passed.endswith(last)
    changed = passed[len(first) : -len(last)].strip().split(b"\n")
    assert changed[:2] == [b"id: 7", b"event: message"]
    assert json.loads(changed[2].removeprefix(b"data: ")) == SHOWN


def test_an_event_is_not_held_back() -> None:
    """It passes with the bytes that end it, before another comes."""
    made = ToolListFilter(RULES, readable=True, events=True)
    assert made.feed(b"data: 1\n") == b""
    assert made.feed(b"\n") == b"data: 1\n\n"
    assert made.feed(b"data: 2\r\n\r\ndata: 3") == b"data: 2\r\n\r\n"
    assert repr(made) == "<ToolListFilter of events: 7 bytes waiting>"
    assert made.finish() == b"data: 3"


def test_data_of_several_lines_is_one_message() -> None:
    """As its reader joins them; a mark of byte order before it is none of it."""
    lines = json.dumps(LISTED, indent=1).encode().split(b"\n")
    event = b"\xef\xbb\xbf" + b"".join(b"data:%b\n" % line for line in lines) + b"\n"
    passed = body(event, 11, events=True)
    assert json.loads(passed.strip().removeprefix(b"data: ")) == SHOWN


def test_an_event_that_nothing_ends_is_not_shown_whole() -> None:
    """Some readers take it all the same."""
    assert b"bad" not in body(b"data: " + dumped(LISTED), events=True)


@pytest.mark.parametrize("events", [True, False])
def test_what_cannot_be_read_does_not_pass(events: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """A compressed answer, one that is too long, one that is no JSON and may list clients."""
    compressed = body(b"\x1f\x8b tools bad", 4, events=events, readable=False)
    assert b"could not be read" in compressed and compressed.count(b"jsonrpc") == 1
    torn = b'{"result":{"tools":[{"name":"bad"}]}'
    assert b"bad" not in body(b"data: " + torn + b"\n\n" if events else torn, events=events)
    monkeypatch.setattr(relay, "MAX_MESSAGE", 20)
    long = body(b"data: " + dumped(LISTED), 5, events=events)
    assert b"could not be read" in long and b"bad" not in long
