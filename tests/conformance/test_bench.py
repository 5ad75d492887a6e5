"""The upstream of the conformance cases leaves nothing open."""

from __future__ import annotations

import asyncio
import contextlib
import socket

import pytest

from tests.conformance.bench import Board, Upstream


@pytest.mark.parametrize("turns", range(5))
async def test_a_connection_that_comes_as_it_stops_is_closed(turns: int) -> None:
    """However far asyncio has come with accepting it."""
    upstream = Upstream(Board(5))
    upstream.begin(())
    port = await upstream.start()
    with socket.create_connection(("127.0.0.1", port)) as client:
        for _ in range(turns):
            await asyncio.sleep(0)
        await upstream.stop()
        client.settimeout(5)
        with contextlib.suppress(ConnectionResetError):
            assert client.recv(1) == b""
