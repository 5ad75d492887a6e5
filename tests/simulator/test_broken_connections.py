"""Connections that break, fall silent or are answered early: what a client sees on the wire."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from proxy.simulator import Fault, Match
from proxy.simulator.control import ControlRefused, parse_fault
from tests.simulator.conftest import SimulatorClient

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def open_with(
    client: SimulatorClient, fault: Fault, *lines: str, method: str = "GET", body: bytes = b""
) -> Streams:
    """A connection whose first request meets the fault."""
    client.simulator.state.add_fault(fault, times=1)
    await client.sign_in()
    reader, writer = await client.connect()
    writer.write(client.head(method, "/v2/profiles", *lines) + body)
    return reader, writer


async def is_served(client: SimulatorClient, streams: Streams) -> bool:
    """Whether a further request on the connection is answered."""
    reader, writer = streams
    writer.write(client.head("GET", "/sim/bytes/1?length=1"))
    return (await reader.readuntil(b"\r\n\r\n\x00")).startswith(b"HTTP/1.1 200 ")


async def serves_new_ones(client: SimulatorClient) -> bool:
    """Whether a new connection is served."""
    streams = await client.connect()
    served = await is_served(client, streams)
    streams[1].close()
    return served


async def is_silent(client: SimulatorClient, streams: Streams) -> bool:
    """Whether the connection says nothing, although the simulator still serves others, and is not at its end."""
    reading = asyncio.ensure_future(streams[0].read(1))
    for _ in range(20):
        await client.control("GET", "/counts")
    silent = not reading.done()
    reading.cancel()
    await asyncio.gather(reading, return_exceptions=True)
    return silent


@pytest.mark.parametrize("after", [0, 1, 20])
async def test_head_can_break_off(client: SimulatorClient, after: int) -> None:
    """The connection ends after so many bytes of the head."""
    reader, writer = await open_with(client, Fault(abort="mid_head", abort_after=after))
    answer = await reader.read()
    assert answer == b"HTTP/1.1 200 OK\r\nContent-Type"[:after]
    writer.close()


async def test_reset_can_come_in_the_head(client: SimulatorClient) -> None:
    """With `reset`, what ends in the middle of the head ends by RST."""
    reader, writer = await open_with(client, Fault(abort="mid_head", abort_after=9, reset=True))
    with pytest.raises(ConnectionResetError):
        await reader.readexactly(10)
    writer.close()


async def test_reset_can_follow_a_whole_answer(client: SimulatorClient) -> None:
    """The answer is whole; then the connection is reset."""
    reader, writer = await open_with(client, Fault(status=200, body=b"abc", abort="after_answer", reset=True))
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
async def test_answer_can_stop_without_a_word(client: SimulatorClient, fault: Fault, heard: bytes) -> None:
    """What was written was written; nothing follows, and the connection stays."""
    streams = await open_with(client, fault)
    assert await streams[0].readexactly(len(heard)) == heard
    assert await is_silent(client, streams)
    streams[1].close()


async def test_body_can_stop_without_a_word(client: SimulatorClient) -> None:
    """A fixed number of the body's bytes comes and no more."""
    streams = await open_with(client, Fault(status=200, body=b"abcdef", hang="mid_body", abort_after=4))
    assert (await streams[0].readuntil(b"abcd")).startswith(b"HTTP/1.1 200 ")
    assert await is_silent(client, streams)
    streams[1].close()


async def test_connection_can_die_after_an_answer(client: SimulatorClient) -> None:
    """After a good response the connection looks alive, and takes a request that gets no answer."""
    streams = await open_with(client, Fault(status=200, body=b"abc", hang="after_answer"))
    await streams[0].readuntil(b"abc")
    streams[1].write(client.head("GET", "/sim/bytes/1"))
    assert await is_silent(client, streams)
    assert client.simulator.state.counts()["paths"].get("GET /sim/bytes/1") is None
    streams[1].close()


async def test_head_can_come_slowly(client: SimulatorClient) -> None:
    """Piece by piece, the whole answer arrives, counted, and the connection ends."""
    fault = Fault(status=418, body=b"abc", head_interval=0.001, piece_bytes=7)
    reader, writer = await open_with(client, fault)
    assert len(await reader.read(7)) == 7
    answer = await reader.read()
    assert answer.endswith(b"Content-Length: 3\r\nConnection: close\r\n\r\nabc")
    writer.close()


@pytest.mark.parametrize(("method", "status"), [("HEAD", 200), ("GET", 204), ("GET", 304), ("GET", 200)])
async def test_bytes_can_follow_an_answer(client: SimulatorClient, method: str, status: int) -> None:
    """Bytes that belong to no answer come behind one, also where an answer has no body."""
    fault = Fault(status=status, body=b"", extra=b"HTTP/1.1 200 Sneaked\r\n")
    reader, writer = await open_with(client, fault, method=method)
    head = await reader.readuntil(b"\r\n\r\n")
    assert head.startswith(f"HTTP/1.1 {status} ".encode())
    assert await reader.readuntil(b"\r\n") == b"HTTP/1.1 200 Sneaked\r\n"
    writer.close()


async def test_early_answer_comes_in_the_middle_of_an_upload(client: SimulatorClient) -> None:
    """The answer waits for the first bytes of the body, and comes without the others."""
    fault = Fault(status=413, body=b"no", early=True, early_after=3)
    streams = await open_with(client, fault, "Content-Length: 1000000", method="POST", body=b"ab")
    assert await is_silent(client, streams)
    streams[1].write(b"c")
    assert (await streams[0].readuntil(b"\r\n\r\nno")).startswith(b"HTTP/1.1 413 ")
    streams[1].close()


async def test_rest_of_an_early_answered_body_is_read(client: SimulatorClient) -> None:
    """The connection serves the next request once the rest has come."""
    fault = Fault(status=429, body=b"no", early=True)
    streams = await open_with(client, fault, "Content-Length: 100000", method="POST")
    await streams[0].readuntil(b"\r\n\r\nno")
    streams[1].write(b"x" * 100_000)
    assert await is_served(client, streams)
    assert client.simulator.state.requests[-2].body_bytes == 100_000
    streams[1].close()


async def test_rest_of_an_early_answered_body_may_be_ignored(client: SimulatorClient) -> None:
    """The rest is not read, and what comes after it gets no answer."""
    fault = Fault(status=429, body=b"no", early=True, rest="ignore")
    streams = await open_with(client, fault, "Content-Length: 10", method="POST")
    await streams[0].readuntil(b"\r\n\r\nno")
    streams[1].write(b"x" * 10 + client.head("GET", "/sim/bytes/1"))
    assert await is_silent(client, streams)
    streams[1].close()


async def test_connection_of_an_early_answer_may_be_closed(client: SimulatorClient) -> None:
    """The answer arrives although its connection ends while the body is still on its way."""
    fault = Fault(status=413, body=b"no", early=True, rest="close")
    reader, writer = await open_with(client, fault, "Content-Length: 1000000", method="POST")
    assert (await reader.read()).endswith(b"\r\n\r\nno")
    writer.close()


async def test_open_connections_can_be_reset(client: SimulatorClient) -> None:
    """With `reset` true, idle connections end by RST."""
    await client.sign_in()
    reader, writer = await client.connect()
    assert await is_served(client, (reader, writer))
    assert (await client.control("POST", "/connections/close", {"reset": True})).json()["closed"] >= 1
    with pytest.raises(ConnectionResetError):
        await reader.readexactly(1)
    writer.close()


async def test_open_connections_can_fall_silent_all_at_once(client: SimulatorClient) -> None:
    """A frozen connection takes a request and says nothing until it is thawed; a new one is served meanwhile."""
    await client.sign_in()
    old = await client.connect()
    assert await is_served(client, old)
    frozen = (await client.control("POST", "/connections/freeze")).json()["frozen"]
    old[1].write(client.head("GET", "/sim/bytes/2?length=1"))
    assert await is_silent(client, old)
    assert await serves_new_ones(client)
    assert (await client.control("POST", "/connections/thaw")).json() == {"thawed": frozen}
    assert (await old[0].readuntil(b"\r\n\r\n\x00\x01")).startswith(b"HTTP/1.1 200 ")
    old[1].close()


async def test_ports_can_be_closed_for_a_while(client: SimulatorClient) -> None:
    """New connections to a region are refused, those that are open go on; then the port is the same as before."""
    await client.sign_in()
    old = await client.connect()
    assert await is_served(client, old)
    for _ in range(2):
        await client.control("POST", "/listeners", {"region": "na", "listening": False})
    with pytest.raises(OSError, match="onnect"):
        await client.connect()
    assert await is_served(client, old)
    await client.control("POST", "/listeners", {"listening": True})
    assert await serves_new_ones(client)
    old[1].close()


@pytest.mark.parametrize("given", [{"listening": 1}, {"region": "us", "listening": True}, {}])
async def test_port_without_sense_is_refused(client: SimulatorClient, given: dict[str, Any]) -> None:
    """A region that there is not, and no word on what to do, are 400."""
    assert (await client.control("POST", "/listeners", given)).status == 400


async def test_token_requests_meet_the_same_faults(client: SimulatorClient) -> None:
    """Login with Amazon can fall silent too; its clients are seen to leave."""
    client.simulator.state.add_fault(Fault(hang="before_head"), Match(target="lwa"), times=1)
    reader, writer = await client.connect()
    writer.write(f"POST /auth/o2/token HTTP/1.1\r\nHost: {client.host}\r\nContent-Length: 0\r\n\r\n".encode())
    assert await is_silent(client, (reader, writer))
    writer.close()
    while not client.simulator.state.counts()["disconnects"]:
        await client.control("GET", "/counts")


@pytest.mark.parametrize("name", ["abort", "hang", "rest", "framing"])
def test_word_that_there_is_not_is_refused(name: str) -> None:
    """A misspelt point or way is an error that names those that there are."""
    with pytest.raises(ControlRefused, match=f"{name} is one of"):
        parse_fault({name: "mid_haed"})
