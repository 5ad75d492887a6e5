"""How much of an upload is put off while an answer that came early is looked for."""

from __future__ import annotations

import asyncio
import socket

import pytest

from proxy.upstream.request_writer import RequestWriter

PIECE = b"b" * 40_000


async def test_what_is_put_off_leaves_at_once_when_it_grows() -> None:
    """Within one turn of the event loop, in which one upload may be read many times, no more than 64 KiB is held."""
    loop = asyncio.get_running_loop()
    ours, peer = socket.socketpair()
    ours.setblocking(False)
    peer.setblocking(False)
    transport, _ = await loop.create_connection(asyncio.Protocol, sock=ours)
    transport.pause_reading()
    peer.send(b"HTTP/1.1 413")
    writer = RequestWriter(transport, loop)
    writer.more([PIECE], reading=True)
    with pytest.raises(BlockingIOError):
        peer.recv(1)
    writer.more([PIECE], reading=True)
    assert peer.recv(100_000) == PIECE + PIECE
    transport.abort()
    peer.close()
