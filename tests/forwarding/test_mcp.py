"""Requests to the hosted MCP endpoint, which says some things in its own way."""

from __future__ import annotations

import json

import pytest

from tests.support.proxy_bench import Running
from tests.support.wire import GET, HELLO, Wire, answering

INITIALIZE = b'{"jsonrpc":"2.0","id":1,"method":"initialize"}'
CALL = b"POST /mcp HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: %d\r\n\r\n%b" % (len(INITIALIZE), INITIALIZE)
EVENTS = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Length: 8\r\n\r\ndata: x\n"
IS_OVER = b'{"jsonrpc":"2.0","id":1,"error":{"code":-32000,"message":"client initialization failed"}}'


def refusal(status: int, body: bytes, kind: bytes = b"application/json") -> bytes:
    """A whole response."""
    head = b"HTTP/1.1 %d X\r\nContent-Type: %b\r\nContent-Length: %d\r\n\r\n"
    return head % (status, kind, len(body)) + body


REFUSALS = [
    refusal(400, b"no authorization", b"text/plain"),
    refusal(400, IS_OVER),
    refusal(401, IS_OVER),
    refusal(403, b'{"message":"client initialization failed"}'),
    refusal(200, IS_OVER),
]


@pytest.mark.parametrize("refused", REFUSALS)
async def test_a_refused_token_is_renewed_and_the_call_sent_again(refused: bytes, running: Running) -> None:
    """However the endpoint says it: the tool hears nothing of it, and any call may go, as nothing was done."""
    seen: list[bytes] = []

    async def script(wire: Wire) -> None:
        while True:
            head, payload = await wire.request()
            seen.append(payload)
            wire.send(refused if b"Atza|0" in head else EVENTS)

    async with running(script) as bench:
        got = await bench.ask(CALL)
        assert (got.status, got.body) == (200, b"data: x\n")
        assert seen == [INITIALIZE, INITIALIZE]
        assert bench.tokens.renewals == 1
        assert bench.events.replays == [("unauthorized", "recovered")]


@pytest.mark.parametrize("refused", REFUSALS)
async def test_the_second_refusal_is_the_tools(refused: bytes, running: Running) -> None:
    """Byte for byte, after one renewal and one replay."""
    async with running(answering(refused)) as bench:
        got = await bench.ask(CALL)
        assert b"%d" % got.status in refused and refused.endswith(got.body)
        assert bench.tokens.renewals == 1
        assert (await bench.events.last()).attempts == 2


@pytest.mark.parametrize(
    "other",
    [
        refusal(400, b'{"jsonrpc":"2.0","id":1,"error":{"code":-32602,"message":"Unknown tool"}}'),
        refusal(200, b'{"jsonrpc":"2.0","id":1,"result":{"text":"no authorization"}}'),
        refusal(504, b'{"message":"Endpoint request timed out"}'),
        refusal(404, b'{"error":{"message":"Session not found"}}'),
    ],
)
async def test_everything_else_passes_as_it_is(other: bytes, running: Running) -> None:
    """A 504 after 30 seconds, the error of a call, and what a call returned, whatever words it holds."""
    async with running(answering(other)) as bench:
        got = await bench.ask(CALL)
        assert b"%d" % got.status in other and other.endswith(got.body)
        assert bench.tokens.renewals == 0
        assert (await bench.events.last()).attempts == 1
        assert bench.events.replays == []


async def test_a_long_answer_is_held_back_as_far_as_it_could_say_so(running: Running) -> None:
    """Its beginning is no error, so all of it passes."""
    body = b'{"jsonrpc":"2.0","id":1,"result":"' + b"x" * 10_000 + b'"}'
    chunked = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
    async with running(answering(chunked + b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body))) as bench:
        assert (await bench.ask(CALL)).body == body
        assert bench.tokens.renewals == 0


async def test_the_same_words_of_the_ads_api_mean_nothing(running: Running) -> None:
    """Only the MCP endpoint is known to say so."""
    async with running(answering(REFUSALS[0])) as bench:
        assert (await bench.ask(GET)).status == 400
        assert bench.tokens.renewals == 0


async def test_a_refused_call_is_a_503_while_login_is_away(running: Running) -> None:
    """It was not carried out, so it may be sent again, too."""
    async with running(answering(REFUSALS[0])) as bench:
        bench.tokens.away = True
        got = await bench.ask(CALL)
        said = json.loads(got.body)
        assert (got.status, said["retryable"]) == (503, True)
        assert "may have been carried out" not in said["detail"]


async def test_a_renewal_that_does_not_convince_delivers_the_answer(running: Running) -> None:
    """Whole, and the connection serves the next request."""
    async with running(answering(REFUSALS[1], HELLO)) as bench:
        bench.tokens.fruitless = True
        tool = await bench.tool(CALL)
        got = await tool.answer()
        assert (got.status, got.body) == (400, IS_OVER)
        tool.send(GET)
        assert (await tool.answer()).body == b"hello"
