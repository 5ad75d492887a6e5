"""Everything of `proxy.tokens` together in real time: sockets, a disk, and a second process that signs in."""

from __future__ import annotations

import asyncio
import shutil
import sys
from pathlib import Path
from urllib.parse import parse_qs

import aiohttp
import pytest
from aiohttp import web

from proxy.events import StoredTokenDamaged, TokenRefreshed
from proxy.secret import Secret
from proxy.tokens import manager as managing
from proxy.tokens.lwa import LoginWithAmazon
from proxy.tokens.manager import TokenManager
from proxy.tokens.opening import open_store
from proxy.tokens.values import TokenSettings, TokenSource
from tests.support.events import EventRecorder
from tests.support.tokens import ScriptedLogin, grant

SIGN_IN = """
import asyncio, sys, time
from proxy.secret import Secret
from proxy.tokens.opening import open_store
from proxy.tokens.store import signed_in
store = open_store(sys.argv[1], Secret("0123456789abcdef"))
asyncio.run(store.write("acme", signed_in(Secret("from-terminal"), None, time.time())))
"""


async def test_a_terminal_sign_in_reaches_a_running_server(tmp_path: Path) -> None:
    """Another process writes the store; the running one serves with it within moments, and again after a restart."""
    asked: list[str] = []

    async def token_endpoint(request: web.BaseRequest) -> web.StreamResponse:
        asked.append(parse_qs(await request.text())["refresh_token"][0])
        return web.json_response({"access_token": f"Atza|{len(asked)}", "expires_in": 3600, "refresh_token": "rotated"})

    runner = web.ServerRunner(web.Server(token_endpoint), shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    source = TokenSource("acme", f"http://127.0.0.1:{runner.addresses[0][1]}/", "client", Secret("secret"), None)
    url = f"file:{tmp_path / 'state'}"

    async with aiohttp.ClientSession(trust_env=False) as session:
        for round_number in (1, 2):
            store = open_store(url, Secret("0123456789abcdef"))
            events = EventRecorder()
            manager = TokenManager(LoginWithAmazon(session), store, events, TokenSettings())
            await manager.start([source])
            if round_number == 1:
                terminal = await asyncio.create_subprocess_exec(sys.executable, "-c", SIGN_IN, url)
                assert await terminal.wait() == 0
            await events.until(lambda events=events: bool(events.of(TokenRefreshed)))  # type: ignore[misc]  # not inferred: it has a default
            token = manager.current("acme")
            assert token is not None
            assert token.value.reveal() == f"Atza|{round_number}"
            await manager.stop()
            await store.close()
    await runner.cleanup()
    assert asked == ["from-terminal", "rotated"]


async def test_a_state_directory_taken_away_is_back_before_a_restart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is asked or rotated meanwhile: the running program notices by itself, and writes what it holds."""
    monkeypatch.setattr(managing, "WATCH_PAUSE", 0.01)
    url, key = f"file:{tmp_path / 'state'}", Secret("0123456789abcdef")
    store, events = open_store(url, key), EventRecorder()
    manager = TokenManager(ScriptedLogin(), store, events, TokenSettings())
    await manager.start([TokenSource("acme", "http://lwa.test/", "c", Secret("secret"), None)])
    await manager.adopt("acme", grant("signed", refresh="refresh-s"))
    shutil.rmtree(tmp_path / "state", ignore_errors=True)  # a document may be written meanwhile
    await events.until(lambda: bool(events.of(StoredTokenDamaged)))
    await manager.stop()
    kept = await open_store(url, key).read("acme")
    assert kept is not None
    assert kept.refresh_token == Secret("refresh-s")
