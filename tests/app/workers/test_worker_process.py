"""A worker's process that cannot be begun leaves nothing behind in its supervisor."""

from __future__ import annotations

import asyncio
import errno
import os
import socket
from pathlib import Path
from typing import Any

import pytest

from proxy.app.workers import worker_process
from proxy.app.workers.worker_process import WorkerProcess, how_it_ended

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
