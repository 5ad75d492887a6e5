"""Changes in a directory are told as the system tells them, without a second library for event loops."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import aclosing
from pathlib import Path

import pytest
from watchfiles import Change

from proxy.directory_watch import WatchSettings, changes_in
from tests.support.programs import ROOT


async def after_one(folder: Path, watched: AsyncIterator[int]) -> int:
    """The number of changes reported for a file that is written until one is."""
    found = asyncio.ensure_future(anext(watched))
    number = 0
    while not found.done():
        number += 1
        (folder / "file").write_text(str(number))
        await asyncio.wait({found}, timeout=0.02)
    return found.result()


async def test_a_change_is_told(tmp_path: Path) -> None:
    """By a group of at least one."""
    async with aclosing(changes_in([tmp_path], WatchSettings(step=10))) as watched:
        assert await after_one(tmp_path, watched) >= 1


async def test_what_does_not_count_is_not_told(tmp_path: Path) -> None:
    """A group in which nothing is left is none; silence is told where it was asked for."""

    def counts(_change: Change, path: str) -> bool:
        return path.endswith("other")

    settings = WatchSettings(step=10, group=20, silence=200, counts=counts)
    async with aclosing(changes_in([tmp_path], settings)) as watched:
        (tmp_path / "file").write_text("x")
        assert await anext(watched) == 0


async def test_it_ends_when_it_is_told_to(tmp_path: Path) -> None:
    """Though nothing changed."""
    stop = asyncio.Event()
    stop.set()
    assert [count async for count in changes_in([tmp_path], WatchSettings(step=10), stop)] == []


async def test_a_directory_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    """The watching code decides what to do without the directory."""
    with pytest.raises(OSError, match="No such file"):
        await anext(changes_in([tmp_path / "gone"], WatchSettings(step=10)))


def test_no_second_library_for_event_loops_is_loaded(tmp_path: Path) -> None:
    """The library that watches would load one when it is asked to wait in an event loop."""
    code = f"""
import asyncio, pathlib, sys
sys.path.insert(0, {str(ROOT)!r})
from proxy.directory_watch import WatchSettings, changes_in
async def main():
    return await anext(changes_in([pathlib.Path({str(tmp_path)!r})], WatchSettings(10, silence=20)))
print(asyncio.run(main()), "anyio._core" in sys.modules)
"""
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert ended.stdout == "0 False\n"
