"""A session for what asks, and a profile directory that runs; both end behind each test."""

from __future__ import annotations

from collections.abc import AsyncIterator

import aiohttp
import pytest
from aiohttp import web

from tests.support.listings import RunningDirectory


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as opened:
        yield opened


@pytest.fixture
async def running(session: aiohttp.ClientSession) -> AsyncIterator[RunningDirectory]:
    made: list[RunningDirectory] = []

    async def handle(request: web.BaseRequest) -> web.StreamResponse:
        return await made[0].answer(request)

    runner = web.ServerRunner(web.Server(handle), shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    made.append(RunningDirectory(session, f"http://127.0.0.1:{runner.addresses[0][1]}"))
    yield made[0]
    await made[0].directory.stop()
    await runner.cleanup()
