"""A connection to Amazon is taken when there is something to send on it, and by turns."""

from __future__ import annotations

import pytest

from tests.support.proxy_bench import Running
from tests.support.wire import GET, HELLO, answering

POST = b"POST /v2/campaigns HTTP/1.1\r\nHost: 127.0.0.1\r\n"


@pytest.mark.parametrize(
    ("first", "rest"),
    [
        (b"Content-Length: 5\r\n\r\nabcd", b"e"),
        (b"Content-Length: 5\r\n\r\n", b"abcde"),
        (b"Transfer-Encoding: chunked\r\n\r\n5\r\nabcde\r\n", b"0\r\n\r\n"),
    ],
)
async def test_slow_uploads_take_no_connection(first: bytes, rest: bytes, running: Running) -> None:
    """Ten of them are on their way while others are served on the only connection; then they go out whole."""
    async with running(answering(HELLO), pool_limit=1) as bench:
        slow = [await bench.tool(POST, first) for _ in range(10)]
        await bench.settled(lambda: bench.accounting.in_flight == 10)
        assert (await bench.ask()).body == b"hello"
        (wire,) = bench.upstream.wires
        assert b"POST" not in wire.received
        for each in slow:
            each.send(rest)
        for each in slow:
            assert (await each.answer()).body == b"hello"
        assert wire.received.count(b"POST /v2/campaigns") == 10


async def test_a_large_body_takes_a_connection_once_its_first_part_is_here(running: Running) -> None:
    """As much as may be kept is read first; what follows is streamed."""
    async with running(answering(HELLO), replay_bytes=4) as bench:
        tool = await bench.tool(POST, b"Content-Length: 8\r\n\r\nabc")
        assert (await bench.ask()).body == b"hello"
        tool.send(b"d")
        await bench.settled(lambda: bytes(bench.upstream.wires[0].received).endswith(b"abcd"))
        tool.send(b"efgh")
        assert (await tool.answer()).body == b"hello"


async def test_who_waits_for_a_100_is_led_to_amazon_at_once(running: Running) -> None:
    """It sends nothing before Amazon was asked (RFC 9110, 10.1.1)."""
    async with running(answering(HELLO)) as bench:
        await bench.tool(POST, b"Expect: 100-continue\r\nContent-Length: 5\r\n\r\n")
        await bench.settled(lambda: bool(bench.upstream.wires) and b"Expect" in bench.upstream.wires[0].received)


async def test_a_tool_that_leaves_in_its_upload_is_told_of_nowhere(running: Running) -> None:
    """Amazon hears nothing of it, and the account of it is kept."""
    async with running(answering(HELLO)) as bench:
        tool = await bench.tool(POST, b"Content-Length: 5\r\n\r\nabc")
        await bench.settled(lambda: bench.accounting.in_flight == 1)
        tool.abort()
        assert (await bench.events.last()).fault == "client-gone"
        assert not bench.upstream.wires
        assert (await bench.ask(GET)).body == b"hello"
