"""How much of an upload is put off while an answer that came early is looked for."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path

import pytest

from proxy.upstream.request_writer import RequestWriter
from tests.support.certificates import Authority
from tests.support.tls_peer import answer_and_reset, blocking_peer

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


@pytest.mark.usefixtures("every_loop")
async def test_a_request_whose_write_failed_is_refused_and_never_complete(tmp_path: Path) -> None:
    """Through TLS, too, where the failure is met below: its connection is not used again."""
    async with blocking_peer(Authority(tmp_path)) as (peer, spoken):
        writer = RequestWriter(spoken.transport, asyncio.get_running_loop())
        answer_and_reset(peer)
        writer.begin([b"head"])
        writer.begin([b"head", b"body"])
        writer.end()
        assert writer.refused
        assert not writer.complete
        await spoken.until(lambda: "lost" in spoken.told)
        assert spoken.received == b"413"
        assert writer.unread() == b""
