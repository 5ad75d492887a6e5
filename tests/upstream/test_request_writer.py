"""How much of an upload is put off while an answer that came early is looked for."""

from __future__ import annotations

import asyncio
import socket
from typing import Any, cast

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


class EncryptingTransport:
    """As a transport of TLS shows itself, over a real socket; what is handed to it stands in `written`."""

    def __init__(self, plain: socket.socket) -> None:
        self._about = {"socket": plain, "ssl_object": object()}
        self.written: list[bytes] = []

    def get_extra_info(self, name: str) -> Any:
        return self._about.get(name)

    def get_write_buffer_size(self) -> int:
        return 0

    def is_closing(self) -> bool:
        return False

    def write(self, data: bytes) -> None:
        self.written.append(data)


@pytest.mark.parametrize(("answers", "turns"), [(False, 1), (True, 2)])
async def test_through_tls_the_event_loop_reads_before_a_piece_is_written(answers: bool, turns: int) -> None:
    """Always once, and twice where something came: a write that fails is the end of what was not read."""
    ours, peer = socket.socketpair()
    with ours, peer:
        transport = EncryptingTransport(ours)
        writer = RequestWriter(cast(asyncio.Transport, transport), asyncio.get_running_loop())
        writer.begin([b"head"])
        writer.more([PIECE], reading=True)
        if answers:
            peer.send(b"HTTP/1.1 413")
        for _ in range(turns):
            assert transport.written == [b"head"]
            assert not writer.complete
            await asyncio.sleep(0)
        assert transport.written == [b"head", PIECE]


async def test_through_tls_nothing_more_is_written_once_the_answer_was_read() -> None:
    """What was put off is dropped with the rest."""
    ours, peer = socket.socketpair()
    with ours, peer:
        transport = EncryptingTransport(ours)
        writer = RequestWriter(cast(asyncio.Transport, transport), asyncio.get_running_loop())
        writer.begin([b"head"])
        writer.more([PIECE], reading=True)
        writer.refuse()
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert transport.written == [b"head"]
