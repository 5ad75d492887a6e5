"""Connections that break, fall silent or are answered early: what a client sees on the wire."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from proxy.simulator import Fault, Match
from proxy.simulator.control import FaultUnclear, parse_fault
from tests.simulator.conftest import Tool

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def open_with(tool: Tool, fault: Fault, *lines: str, method: str = "GET", body: bytes = b"") -> Streams:
    """A connection whose first request meets the fault."""
    tool.simulator.state.add_fault(fault, times=1)
    await tool.sign_in()
    reader, writer = await tool.connect()
    writer.write(tool.head(method, "/v2/profiles", *lines) + body)
    return reader, writer


async def is_served(tool: Tool, streams: Streams) -> bool:
    """Whether a further request on the connection is answered."""
    reader, writer = streams
    writer.write(tool.head("GET", "/sim/bytes/1?length=1"))
    return (await reader.readuntil(b"\r\n\r\n\x00")).startswith(b"HTTP/1.1 200 ")


async def serves_new_ones(tool: Tool) -> bool:
    """Whether a new connection is served."""
    streams = await tool.connect()
    served = await is_served(tool, streams)
    streams[1].close()
    return served


async def is_silent(tool: Tool, streams: Streams) -> bool:
    """Whether the connection says nothing, although the simulator still serves others, and is not at its end."""
    reading = asyncio.ensure_future(streams[0].read(1))
    for _ in range(20):
        await tool.control("GET", "/counts")
    silent = not reading.done()
    reading.cancel()
    await asyncio.gather(reading, return_exceptions=True)
    return silent


@pytest.mark.parametrize("after", [0, 1, 20])
async def test_head_can_break_off(tool: Tool, after: int) -> None:
    """The connection ends after so many bytes of the head."""
    reader, writer = await open_with(tool, Fault(abort="mid_head", abort_after=after))
    answer = await reader.read()
    assert answer == b"HTTP/1.1 200 OK\r\nContent-Type"[:after]
    writer.close()


async def test_reset_can_come_in_the_head(tool: Tool) -> None:
    """With `reset`, what ends in the middle of the head ends by RST."""
    reader, writer = await open_with(tool, Fault(abort="mid_head", abort_after=9, reset=True))
    with pytest.raises(ConnectionResetError):
        await reader.readexactly(10)
    writer.close()


async def test_reset_can_follow_a_whole_answer(tool: Tool) -> None:
    """The answer is whole; then the connection is reset."""
    reader, writer = await open_with(tool, Fault(status=200, body=b"abc", abort="after_answer", reset=True))
    assert (await reader.readuntil(b"abc")).startswith(b"HTTP/1.1 200 ")
    with pytest.raises(ConnectionResetError):
        await reader.readexactly(1)
    writer.close()


@pytest.mark.parametrize(
    ("fault", "heard"),
    [
        (Fault(hang="before_head"), b""),
        (Fault(hang="mid_head", abort_after=8), b"HTTP/1.1"),
        (Fault(raw=b"HTTP/1.1 2", hang="before_head"), b"HTTP/1.1 2"),
    ],
)
async def test_answer_can_stop_without_a_word(tool: Tool, fault: Fault, heard: bytes) -> None:
    """What was written was written; nothing follows, and the connection stays."""
    streams = await open_with(tool, fault)
    assert await streams[0].readexactly(len(heard)) == heard
    assert await is_silent(tool, streams)
    streams[1].close()


async def test_body_can_stop_without_a_word(tool: Tool) -> None:
    """So many bytes of the body come and no more."""
    streams = await open_with(tool, Fault(status=200, body=b"abcdef", hang="mid_body", abort_after=4))
    assert (await streams[0].readuntil(b"abcd")).startswith(b"HTTP/1.1 200 ")
    assert await is_silent(tool, streams)
    streams[1].close()


async def test_connection_can_die_after_an_answer(tool: Tool) -> None:
    """After a good answer the connection looks alive, and takes a request that nobody answers."""
    streams = await open_with(tool, Fault(status=200, body=b"abc", hang="after_answer"))
    await streams[0].readuntil(b"abc")
    streams[1].write(tool.head("GET", "/sim/bytes/1"))
    assert await is_silent(tool, streams)
    assert tool.simulator.state.counts()["paths"].get("GET /sim/bytes/1") is None
    streams[1].close()


async def test_head_can_come_slowly(tool: Tool) -> None:
    """Piece by piece, the whole answer arrives, counted, and the connection ends."""
    fault = Fault(status=418, body=b"abc", head_interval=0.001, piece_bytes=7)
    reader, writer = await open_with(tool, fault)
    assert len(await reader.read(7)) == 7
    answer = await reader.read()
    assert answer.endswith(b"Content-Length: 3\r\nConnection: close\r\n\r\nabc")
    writer.close()


@pytest.mark.parametrize(("method", "status"), [("HEAD", 200), ("GET", 204), ("GET", 304), ("GET", 200)])
async def test_bytes_can_follow_an_answer(tool: Tool, method: str, status: int) -> None:
    """Bytes that belong to no answer come behind one, also where an answer has no body."""
    fault = Fault(status=status, body=b"", extra=b"HTTP/1.1 200 Sneaked\r\n")
    reader, writer = await open_with(tool, fault, method=method)
    head = await reader.readuntil(b"\r\n\r\n")
    assert head.startswith(f"HTTP/1.1 {status} ".encode())
    assert await reader.readuntil(b"\r\n") == b"HTTP/1.1 200 Sneaked\r\n"
    writer.close()


async def test_early_answer_comes_in_the_middle_of_an_upload(tool: Tool) -> None:
    """The answer waits for the first bytes of the body, and comes without the others."""
    fault = Fault(status=413, body=b"no", early=True, early_after=3)
    streams = await open_with(tool, fault, "Content-Length: 1000000", method="POST", body=b"ab")
    assert await is_silent(tool, streams)
    streams[1].write(b"c")
    assert (await streams[0].readuntil(b"\r\n\r\nno")).startswith(b"HTTP/1.1 413 ")
    streams[1].close()


async def test_rest_of_an_early_answered_body_is_read(tool: Tool) -> None:
    """Once the rest has come, the connection serves the next request."""
    fault = Fault(status=429, body=b"no", early=True)
    streams = await open_with(tool, fault, "Content-Length: 100000", method="POST")
    await streams[0].readuntil(b"\r\n\r\nno")
    streams[1].write(b"x" * 100_000)
    assert await is_served(tool, streams)
    assert tool.simulator.state.requests[-2].body_bytes == 100_000
    streams[1].close()


async def test_rest_of_an_early_answered_body_may_be_ignored(tool: Tool) -> None:
    """Nobody reads it, and nobody answers what comes after it."""
    fault = Fault(status=429, body=b"no", early=True, rest="ignore")
    streams = await open_with(tool, fault, "Content-Length: 10", method="POST")
    await streams[0].readuntil(b"\r\n\r\nno")
    streams[1].write(b"x" * 10 + tool.head("GET", "/sim/bytes/1"))
    assert await is_silent(tool, streams)
    streams[1].close()


async def test_connection_of_an_early_answer_may_be_closed(tool: Tool) -> None:
    """The answer arrives although its connection ends while the body is still on its way."""
    fault = Fault(status=413, body=b"no", early=True, rest="close")
    reader, writer = await open_with(tool, fault, "Content-Length: 1000000", method="POST")
    assert (await reader.read()).endswith(b"\r\n\r\nno")
    writer.close()


async def test_open_connections_can_be_reset(tool: Tool) -> None:
    """With `reset` true, idle connections end by RST."""
    await tool.sign_in()
    reader, writer = await tool.connect()
    assert await is_served(tool, (reader, writer))
    assert (await tool.control("POST", "/connections/close", {"reset": True})).json()["closed"] >= 1
    with pytest.raises(ConnectionResetError):
        await reader.readexactly(1)
    writer.close()


async def test_open_connections_can_fall_silent_all_at_once(tool: Tool) -> None:
    """A frozen connection takes a request and says nothing until it is thawed; a new one is served meanwhile."""
    await tool.sign_in()
    old = await tool.connect()
    assert await is_served(tool, old)
    frozen = (await tool.control("POST", "/connections/freeze")).json()["frozen"]
    old[1].write(tool.head("GET", "/sim/bytes/2?length=1"))
    assert await is_silent(tool, old)
    assert await serves_new_ones(tool)
    assert (await tool.control("POST", "/connections/thaw")).json() == {"thawed": frozen}
    assert (await old[0].readuntil(b"\r\n\r\n\x00\x01")).startswith(b"HTTP/1.1 200 ")
    old[1].close()


async def test_ports_can_be_closed_for_a_while(tool: Tool) -> None:
    """New connections to a region are refused, those that are open go on; then the port is the same as before."""
    await tool.sign_in()
    old = await tool.connect()
    assert await is_served(tool, old)
    for _ in range(2):
        await tool.control("POST", "/listeners", {"region": "na", "listening": False})
    with pytest.raises(OSError, match="onnect"):
        await tool.connect()
    assert await is_served(tool, old)
    await tool.control("POST", "/listeners", {"listening": True})
    assert await serves_new_ones(tool)
    old[1].close()


@pytest.mark.parametrize("given", [{"listening": 1}, {"region": "us", "listening": True}, {}])
async def test_port_without_sense_is_refused(tool: Tool, given: dict[str, Any]) -> None:
    """A region that there is not, and no word on what to do, are 400."""
    assert (await tool.control("POST", "/listeners", given)).status == 400


async def test_token_requests_meet_the_same_faults(tool: Tool) -> None:
    """Login with Amazon can fall silent too; its clients are seen to leave."""
    tool.simulator.state.add_fault(Fault(hang="before_head"), Match(target="lwa"), times=1)
    reader, writer = await tool.connect()
    writer.write(f"POST /auth/o2/token HTTP/1.1\r\nHost: {tool.host}\r\nContent-Length: 0\r\n\r\n".encode())
    assert await is_silent(tool, (reader, writer))
    writer.close()
    while not tool.simulator.state.counts()["disconnects"]:
        await tool.control("GET", "/counts")


@pytest.mark.parametrize("name", ["abort", "hang", "rest", "framing"])
def test_word_that_there_is_not_is_refused(name: str) -> None:
    """A misspelt point or way is an error that names those that there are."""
    with pytest.raises(FaultUnclear, match=f"{name} is one of"):
        parse_fault({name: "mid_haed"})
