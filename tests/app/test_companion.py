"""The command that runs with the program, where a signal meets its start. Most of it is tried by `integration`."""

from __future__ import annotations

import asyncio
import os
import signal
from types import SimpleNamespace
from typing import Any, cast

import pytest

from proxy.app.companion import Companion
from proxy.app.program import Program

PROGRAM = cast(
    "Program",
    SimpleNamespace(can_serve=True, config=SimpleNamespace(tls=None), listening=SimpleNamespace(reachable="")),
)
"""A program that can serve."""
start = asyncio.create_subprocess_exec


@pytest.mark.parametrize(("script", "code"), [("exit 5", 5), ("exec sleep 600", 128 + signal.SIGTERM)])
async def test_a_signal_while_the_command_starts(monkeypatch: pytest.MonkeyPatch, script: str, code: int) -> None:
    """It is passed on, unless the command has ended by then."""

    async def start_slowly(*command: Any, **options: Any) -> asyncio.subprocess.Process:
        process = await start(*command, **options)
        os.kill(os.getpid(), signal.SIGTERM)
        if code == 5:
            await process.wait()
        for _ in range(9):
            await asyncio.sleep(0)  # the loop reads the signal
        return process

    monkeypatch.setattr(asyncio, "create_subprocess_exec", start_slowly)
    companion = Companion(["sh", "-c", script], lambda _: os.environ, 60)
    companion.install()
    assert await companion.run(PROGRAM) == code
