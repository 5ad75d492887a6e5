"""Answers reach the client as Amazon sent them, framed as the client's version of HTTP has it."""

from __future__ import annotations

from email.utils import parsedate_to_datetime

import pytest

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

    async with running(script) as bench:
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


def ending(target: bytes, *lines: bytes) -> bytes:
    head = (b"POST %b HTTP/1.1" % target, b"Host: 127.0.0.1", b"Content-Length: 2", *lines)
    return b"\r\n".join(head) + b"\r\n\r\n{}"


@pytest.mark.parametrize(
    ("sent", "deprecation", "sunset"),
    [
        (ending(b"/v2/sp/targets/bidRecommendations"), b"@1723680000", b"Thu, 15 May 2025 00:00:00 GMT"),
        (
            ending(
                b"/sp/targets/bid/recommendations", b"Accept: application/vnd.spthemebasedbidrecommendation.v3+json"
            ),
            None,
            b"Thu, 15 May 2025 00:00:00 GMT",
        ),
        (
            ending(
                b"/sp/targets/bid/recommendations", b"Accept: application/vnd.spthemebasedbidrecommendation.v4+json"
            ),
            None,
            None,
        ),
        (ending(b"/sp/targets/list"), None, None),
    ],
)
async def test_an_announced_end_is_told(
    sent: bytes, deprecation: bytes | None, sunset: bytes | None, running: Running
) -> None:
    """By two fields next to what Amazon sent, and only where a day is known; the connection stays."""
    async with running(answering(HELLO, HELLO)) as bench:
        client = await bench.client()
        for _ in range(2):
            client.send(sent)
            got = await client.answer()
            assert (got.status, got.body) == (200, b"hello")
            assert (got.value(b"deprecation"), got.value(b"sunset")) == (deprecation, sunset)
        event = await bench.events.last()
        assert event.ends == ("" if sunset is None else "2025-05-15")


async def test_amazon_s_own_words_about_an_end_win(running: Running) -> None:
    """Its fields pass as they came, and none is told twice."""
    answer = b"HTTP/1.1 200 OK\r\nsunset: Fri, 01 Jan 2027 00:00:00 GMT\r\nContent-Length: 0\r\n\r\n"
    async with running(answering(answer)) as bench:
        got = await bench.ask(ending(b"/v2/sp/targets/bidRecommendations"))
        assert got.head.lower().count(b"sunset:") == 1
        assert got.value(b"sunset") == b"Fri, 01 Jan 2027 00:00:00 GMT"
        assert got.value(b"deprecation") == b"@1723680000"
