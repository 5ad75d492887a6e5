"""`/sim/*`: endpoints that Amazon does not have, for tests of streams, sizes and times. They need the usual headers."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl

from proxy.simulator.answers import Answer, error_answer, json_answer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from aiohttp import web

PERIOD = 251
BLOCK = bytes(range(PERIOD)) * 261
"""Byte number i of a generated body is i modulo 251, a prime: a lost or repeated block is seen at once."""

BYTES = (("Content-Type", "application/octet-stream"),)


async def generated(total: int, block: int = 65_536, interval: float = 0.0) -> AsyncIterator[bytes]:
    """`total` bytes of the pattern, in blocks, with a pause after each but the last."""
    written = 0
    while written < total:
        size = min(block, total - written)
        start = written % PERIOD
        yield (BLOCK * (size // len(BLOCK) + 2))[start : start + size]
        written += size
        if interval and written < total:
            await asyncio.sleep(interval)


async def events(count: int, interval: float) -> AsyncIterator[bytes]:
    """Server-sent events, numbered from 1."""
    for number in range(1, count + 1):
        if number > 1 and interval:
            await asyncio.sleep(interval)
        yield f'id: {number}\ndata: {{"number": {number}}}\n\n'.encode()


async def echoed(request: web.BaseRequest) -> AsyncIterator[bytes]:
    """The request's body, as it arrives."""
    async for piece in request.content.iter_any():
        yield piece


async def play(request: web.BaseRequest, path: str, query: str) -> Answer:
    """The answer of one of the endpoints; numbers come from the path and the query."""
    given = dict(parse_qsl(query))
    name, _, rest = path.removeprefix("/sim/").partition("/")
    try:
        number = int(rest) if rest else 0
        interval = float(given.get("interval", 0))
        pieces, size = int(given.get("pieces", 1)), int(given.get("size", 1024))
        head = float(given.get("head", 0))
        count = int(given.get("events", 10))
    except ValueError:
        return error_answer(400, "INVALID_ARGUMENT", "a number in the path or query is none")
    if name == "bytes":
        return Answer(200, BYTES, stream=generated(number), length=number if "length" in given else None)
    if name == "echo":
        media_type = request.headers.get("Content-Type", "application/octet-stream")
        counted = request.content_length if "length" in given else None
        return Answer(200, (("Content-Type", media_type),), stream=echoed(request), length=counted)
    if name == "slow":
        await asyncio.sleep(head)
        length = pieces * size if "length" in given else None
        return Answer(200, BYTES, stream=generated(pieces * size, size, interval), length=length)
    if name == "events":
        headers = (("Content-Type", "text/event-stream"), ("Cache-Control", "no-store"))
        return Answer(200, headers, stream=events(count, interval))
    if name == "status" and 200 <= number <= 599:
        return json_answer({"code": str(number), "details": "as you wished"}, number)
    return error_answer(404, "NOT_FOUND", "there are /sim/bytes/N, echo, slow, events and status/N")
