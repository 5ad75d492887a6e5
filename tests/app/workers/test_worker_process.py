"""A worker's process that cannot be begun leaves nothing behind in its supervisor."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import fcntl
import os
import socket
from pathlib import Path
from typing import Any

import pytest

from proxy.app.workers import worker_process
from proxy.app.workers.worker_process import LogPipe, WorkerProcess, how_it_ended, whole_lines, widen

FILES = Path("/proc/self/fd")


async def answer(message: dict[str, Any]) -> dict[str, Any]:
    return message


@pytest.mark.skipif(not FILES.is_dir(), reason="this system does not show open files")
@pytest.mark.parametrize(
    ("module", "name"),
    [
        (socket, "socketpair"),
        (worker_process, "make_memory_file"),
        (os, "pipe"),
        (worker_process, "NumberReader"),
        (asyncio, "create_subprocess_exec"),
    ],
)
async def test_a_start_that_fails_leaves_no_file_open(module: Any, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whichever step finds that the limit of open files is reached, the attempts that follow have what there was."""

    def fail(*_: Any, **__: Any) -> None:
        raise OSError(errno.EMFILE, "Too many open files")

    worker = WorkerProcess(0, lambda *_: None, answer, lambda _: None)
    monkeypatch.setattr(module, name, fail)
    before = sorted(FILES.iterdir())
    with pytest.raises(OSError, match="Too many open files"):
        await worker.begin((), 0, 2)
    assert sorted(FILES.iterdir()) == before


@pytest.mark.parametrize(
    ("code", "said"), [(0, "exit code 0"), (1, "exit code 1"), (-9, "signal SIGKILL"), (-35, "signal 35")]
)
def test_an_end_is_told_in_words(code: int, said: str) -> None:
    """Also by a signal that has no name."""
    assert how_it_ended(code) == said


@pytest.mark.parametrize(
    ("waiting", "data", "lines", "rest"),
    [
        (b"", b"one\ntwo\n", b"one\ntwo\n", b""),
        (b"o", b"ne\ntw", b"one\n", b"tw"),
        (b"o", b"n", b"", b"on"),
        (b"", b"x" * 2_000_000, b"", b""),
    ],
)
def test_lines_are_handed_on_once_they_are_whole(waiting: bytes, data: bytes, lines: bytes, rest: bytes) -> None:
    """What has no end yet waits for it; what never gets one is dropped."""
    assert whole_lines(waiting, data) == (lines, rest)


@pytest.mark.usefixtures("every_loop")
async def test_the_half_line_of_a_killed_worker_is_dropped() -> None:
    """Whole lines come out in their order, and the pipe ends with its writer."""
    reading, writing = os.pipe()
    put: list[bytes] = []
    pipe = LogPipe(reading, put.append)
    os.write(writing, b'{"a":1}\n{"b"')
    os.write(writing, b':2}\n{"c')
    os.close(writing)
    async with asyncio.timeout(10):
        while "closed" not in repr(pipe):
            await asyncio.sleep(0)
    assert b"".join(put) == b'{"a":1}\n{"b":2}\n'


@pytest.mark.usefixtures("every_loop")
async def test_a_line_that_is_too_long_is_dropped_to_its_end() -> None:
    """Its tail is not taken for a line of its own, and the lines around it come out."""
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    put: list[bytes] = []
    pipe = LogPipe(reading, put.append)
    said = b'{"a":1}\n' + b"x" * 3_000_000 + b'tail\n{"b":2}\n' + b"y" * 2_000_000 + b"\n" + b'{"c":3}\n'
    async with asyncio.timeout(10):
        while said:
            with contextlib.suppress(BlockingIOError):
                said = said[os.write(writing, said) :]
            await asyncio.sleep(0)
        os.close(writing)
        while "closed" not in repr(pipe):
            await asyncio.sleep(0)
    assert b"".join(put) == b'{"a":1}\n{"b":2}\n{"c":3}\n'


def test_a_wider_pipe_takes_a_whole_batch_at_once() -> None:
    """Nobody needs to read meanwhile, so writer and reader are woken once."""
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    widen(reading)
    if hasattr(fcntl, "F_GETPIPE_SZ"):
        assert os.write(writing, b"x" * 600_000) == 600_000
    os.close(reading)
    os.close(writing)


def test_what_is_no_pipe_stays_as_it_is() -> None:
    """A system that cannot widen pipes, or does not allow it, is no reason to serve nobody."""
    descriptor = os.open(os.devnull, os.O_RDONLY)
    widen(descriptor)
    os.close(descriptor)
