"""A flood of requests that each come a few times, and of responses that are all new, leaves the program small.

What a process takes is measured from outside, as the system counts it: the sizes by which caches count what they hold
are estimates, and a part of the heap that was freed is not always given back.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import re
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from tests.support.patience import PATIENCE
from tests.support.processes import free_port
from tests.support.running import Serving, serving
from tests.support.wire import LINUX

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(not LINUX, reason="only Linux shows what a process takes"),
]
GROWTH = 30 << 20
"""The most bytes that a flood may leave."""
SIZES = (100, 700, 1_500, 2_500, 3_500, 3_800, 7_500, 15_000)
"""Bytes in addition to those of an ordinary request: most may be remembered, the last two may not."""
REQUESTS = 1_200
"""Of each kind: more than any cache has entries for."""
TIMES = 4
"""How often each request comes: looked at, noted, remembered, and served by what is remembered."""
CONNECTIONS = 8
LIMIT = 1 << 20
KEY = b"a-key-for-a-flood"
EMPTY = {b"/v2/profiles": [], b"/adsAccounts/list": {"adsAccounts": []}}


def filled(number: int) -> bytes:
    """A text of one of the sizes, unlike all others from its first byte on."""
    return (b"%d-" % number).ljust(SIZES[number % len(SIZES)], b"x")


def request(line: bytes, *fields: bytes, body: bytes = b"") -> bytes:
    """One that Amazon's part in this test knows as a client's."""
    if body:
        fields += (b"Content-Type: application/json", b"Content-Length: %d" % len(body))
    begin = line + b" HTTP/1.1", b"Host: 127.0.0.1", b"X-Ads-Account: acme", b"X-Ads-Proxy-Key: " + KEY, b"X-Flood: 1"
    return b"\r\n".join((*begin, *fields, b"", body))


GET = b"GET /v2/profiles"
KINDS: dict[str, Callable[[int], bytes]] = {
    "targets": lambda n: request(b"GET /sp/campaigns/" + filled(n)[:8_000]),
    "queries": lambda n: request(GET + b"?q=" + filled(n)[:8_000]),
    "fields": lambda n: request(GET, b"X-Filler: " + filled(n)),
    "names": lambda n: request(GET, *(b"X-%d-%d: 1" % (n, at) for at in range(SIZES[n % len(SIZES)] // 100))),
    "agents": lambda n: request(GET, b"User-Agent: " + filled(n)),
    "scopes": lambda n: request(GET, b"Amazon-Advertising-API-Scope: " + filled(n)),
    "writes": lambda n: request(b"PUT /sp/campaigns", b"X-Filler: " + filled(n), body=b'{"name":"%b"}' % filled(n)),
}


def responses() -> Iterator[bytes]:
    """Responses whose heads are all new, of each size: values, names and reasons differ."""
    for number in count():
        text = filled(number)
        line = (b"X-Filler: " + text, b"X-%b: 1" % text[:200], b"ETag: " + text[:300])[number % 3]
        reason = b"Reason %d" % number if number % 7 == 0 else b"OK"
        head = b"HTTP/1.1 200 %b\r\n%b\r\nx-amz-rid: R%d\r\nContent-Length: 2\r\n\r\n{}"
        yield head % (reason, line, number)


def whole(content: object) -> bytes:
    body = json.dumps(content).encode()
    return b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)


@asynccontextmanager
async def amazon() -> AsyncIterator[int]:
    """A server that gives tokens, empty lists, and to clients' requests one new response after the other. At the end
    it waits for the program to close its connections."""
    new = responses()
    token = {"access_token": "Atza|x", "refresh_token": "Atzr|x", "token_type": "bearer", "expires_in": 3600}

    connections: set[Any] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connections.add(asyncio.current_task())
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = re.search(rb"\r\nContent-Length: ([0-9]+)", head, re.IGNORECASE)
                await reader.readexactly(int(length[1]) if length else 0)
                target = head.split(b" ", 2)[1].split(b"?")[0]
                by_itself = token if target == b"/auth/o2/token" else EMPTY.get(target, {})
                writer.write(next(new) if b"\r\nX-Flood" in head else whole(by_itself))
        except asyncio.IncompleteReadError:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, limit=LIMIT)
    async with server:
        yield server.sockets[0].getsockname()[1]
        await asyncio.wait_for(asyncio.gather(*connections), PATIENCE)


def configuration(port: int, folder: Path, *, keyed: bool) -> dict[str, Any]:
    url = f"http://127.0.0.1:{port}"
    clients = [{"name": "all", "keys": [{"sha256": hashlib.sha256(KEY).hexdigest()}]}]
    return {
        "listen": "127.0.0.1:0",
        "admin_listen": f"127.0.0.1:{free_port()}",
        "regions": {"na": {"api_url": url, "token_url": f"{url}/auth/o2/token", "mcp_url": f"{url}/mcp"}},
        "accounts": {"acme": {"client_id": "amzn1.x", "client_secret": "s", "refresh_token": "Atzr|x", "region": "na"}},
        **({"clients": clients} if keyed else {}),
        "state": {"url": "memory:"},
        "log": {"format": "json", "level": "info", "access": True},
        "audit": {"file": str(folder / "audit.jsonl")},
    }


async def flood(running: Serving, requests: Iterator[bytes]) -> None:
    """Send these on a few connections, on each one after the other; all are served."""
    host, _, port = running.netloc.rpartition(":")

    async def send() -> None:
        reader, writer = await asyncio.open_connection(host, int(port), limit=LIMIT)
        for each in requests:
            writer.write(each)
            head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), PATIENCE)
            assert head.startswith(b"HTTP/1.1 200 "), (each[:200], head[:200])
            await reader.readexactly(2)
        writer.close()

    await asyncio.gather(*(send() for _ in range(CONNECTIONS)))


def several(kind: Callable[[int], bytes], requests: int, begin: int = 0) -> Iterator[bytes]:
    """So many requests of a kind, each a few times in a row of its own."""
    for first in range(begin, begin + requests, 50):
        for _ in range(TIMES):
            yield from (kind(number) for number in range(first, min(first + 50, begin + requests)))


def resident(running: Serving) -> int:
    """The bytes of memory that the program takes."""
    pages = Path(f"/proc/{running.process.pid}/statm").read_text(encoding="ascii").split()[1]
    return int(pages) * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.parametrize(
    "keyed",
    [
        pytest.param(True, id="clients with keys"),
        pytest.param(False, id="trusted clients", marks=pytest.mark.fuzz),  # they use a part of the same memories
    ],
)
async def test_a_flood_leaves_the_program_small(tmp_path: Path, keyed: bool) -> None:
    """Whatever part of requests and responses is new, and of whatever size."""
    async with amazon() as port:
        with serving(tmp_path, configuration(port, tmp_path, keyed=keyed)) as running:
            for kind in KINDS.values():
                await flood(running, several(kind, 50, REQUESTS))
            before, grown = resident(running), {}
            for name, kind in KINDS.items():
                await flood(running, several(kind, REQUESTS))
                grown[name] = resident(running) - before
            assert max(grown.values()) < GROWTH, grown
