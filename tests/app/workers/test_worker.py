"""A worker that cannot go on says so to its supervisor, and nothing anywhere else."""

from __future__ import annotations

import asyncio
import os
import socket

import pytest

from proxy.app.workers import worker as module
from proxy.app.workers.descriptors import Descriptors
from proxy.app.workers.frames import FrameReader, pack
from proxy.app.workers.worker import Worker
from proxy.observability.number_memory import make_memory_file


async def test_what_a_worker_cannot_begin_with_is_told(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """The reason and the trace leave before it ends; no traceback stands between the lines of the log."""
    ended = asyncio.Event()
    monkeypatch.setattr(module, "end_where_it_is", ended.set)
    ours, theirs = socket.socketpair()
    numbers = make_memory_file()
    worker = Worker(Descriptors(theirs.detach(), numbers, numbers, 1, ()))
    try:
        ours.sendall(pack("begin", number=0))
        async with asyncio.timeout(20):
            await ended.wait()
        [told] = FrameReader().feed(ours.recv(1 << 16, socket.MSG_DONTWAIT))
    finally:
        worker.close()
        ours.close()
        os.close(numbers)
    assert (told["kind"], told["at"], told["reason"]) == ("failed", "begin", "KeyError, told as a defect")
    assert told["trace"].endswith("KeyError: 'config'\n")
    assert capfd.readouterr() == ("", "")
