"""Uploads that run on while their answer and a reset come: how many of the answers reach the client.

    .venv/bin/python -m tests.support.early_answers --uploads 900 --loop uvloop --tls

The peer is a process of its own, as only then a reset comes at any moment of a write. What is right is for docs and
tests to say.
"""

from __future__ import annotations

import argparse
import asyncio
import multiprocessing
import random
import socket
import ssl
import struct
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from multiprocessing.synchronize import Event
from pathlib import Path

import uvloop

from tests.support.certificates import Authority
from tests.support.proxy_bench import ProxyBench, started
from tests.support.rules import rules_for
from tests.support.wire import RawUpstream, Wire

SIZE = 3_000_000
_READ_BEFORE = 600_000
_AT_ONCE = 6
_STARTED_WITHIN = 60.0
_PIECES = (3_000, 60_000)
_STATUS = 429
_ANSWER = b"HTTP/1.1 429 Slow Down\r\nContent-Length: 2\r\n\r\nno"


def _answer(accepted: socket.socket, context: ssl.SSLContext | None, read_before: int) -> None:
    """Answer a request of which so many bytes of the body were read, and reset."""
    accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    with suppress(OSError), context.wrap_socket(accepted, server_side=True) if context else accepted as connection:
        seen = b""
        while b"\r\n\r\n" not in seen:
            seen += connection.recv(4096)
        while read_before > 0:
            read_before -= len(connection.recv(16384))
        connection.sendall(_ANSWER)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 1))


def _serve(listener: socket.socket, certificate: Path | None, ready: Event) -> None:
    context = None
    if certificate is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
    ready.set()
    while True:
        accepted, _ = listener.accept()
        read_before = random.randrange(_READ_BEFORE)
        threading.Thread(target=_answer, args=(accepted, context, read_before), daemon=True).start()


@contextmanager
def answering_peer(certificate: Path | None) -> Iterator[int]:
    """A process that answers and resets on this port; with a certificate (and its key), through TLS."""
    with socket.create_server(("127.0.0.1", 0), backlog=200) as listener:
        spawning = multiprocessing.get_context("spawn")
        ready = spawning.Event()
        peer = spawning.Process(target=_serve, args=(listener, certificate, ready), daemon=True)
        peer.start()
        try:
            assert ready.wait(_STARTED_WITHIN)
            yield listener.getsockname()[1]
        finally:
            peer.terminate()
            peer.join()


async def _upload(bench: ProxyBench) -> bool:
    """Whether the peer's answer came."""
    client = await bench.client(b"POST /x HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: %d\r\n\r\n" % SIZE)
    piece = bytes(random.choice(_PIECES))
    for _ in range(SIZE // len(piece)):
        client.send(piece)
        await asyncio.sleep(0)
        if client.received:
            break
    answer = await client.answer()
    client.abort()
    return answer.status == _STATUS


async def lost_of(uploads: int, url: str, ca_file: Path | None) -> int:
    """How many answers of so many uploads, six at once, did not come."""

    async def nobody(_wire: Wire) -> None:
        """The bench's own upstream is not asked."""

    rules = rules_for(url, replay_bytes=10, ca_file=str(ca_file) if ca_file else None)
    left = uploads

    async def upload_on(bench: ProxyBench) -> int:
        nonlocal left
        lost = 0
        while left > 0:
            left -= 1
            lost += not await _upload(bench)
        return lost

    async with started(ProxyBench(RawUpstream(nobody), rules)) as bench:
        return sum(await asyncio.gather(*(upload_on(bench) for _ in range(_AT_ONCE))))


def main() -> None:
    """Count, and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--uploads", type=int, default=900)
    parser.add_argument("--loop", choices=("uvloop", "asyncio"), default="uvloop")
    parser.add_argument("--tls", action="store_true", help="through TLS")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        authority = Authority(Path(directory))
        authority.context("localhost")
        with answering_peer(Path(directory) / "localhost.pem" if given.tls else None) as port:
            url = f"https://localhost:{port}" if given.tls else f"http://127.0.0.1:{port}"
            run = uvloop.run if given.loop == "uvloop" else asyncio.run
            lost = run(lost_of(given.uploads, url, authority.ca_file if given.tls else None))
    print(f"{given.loop}, {'TLS' if given.tls else 'plain TCP'}: {lost} of {given.uploads} answers lost")


if __name__ == "__main__":
    main()
