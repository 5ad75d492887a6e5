"""A worker that cannot go on says so to its supervisor, and nothing anywhere else."""

from __future__ import annotations

import asyncio
import gc
import os
import socket
from typing import Any

import pytest

from proxy.app.tls_in_force import TlsInForce
from proxy.app.wiring import share_of
from proxy.app.workers import worker as module
from proxy.app.workers.descriptors import Descriptors
from proxy.app.workers.frames import FrameReader, pack
from proxy.app.workers.shared_counts import SharedCounts
from proxy.app.workers.worker import Worker
from proxy.config import load
from proxy.config.passing import to_document
from proxy.events import Event, NumbersOverflowed, Observers
from proxy.observability.number_memory import BEAT, NumberReader, make_memory_file

VARIABLES = {
    "AMAZON_ADS_CLIENT_ID": "amzn1.application-oa2-client.x",
    "AMAZON_ADS_CLIENT_SECRET": "canary-secret-of-some-length",
    "ADS_PROXY_STATE__URL": "memory:",
}


class Told:
    """What the worker told."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    def observe(self, event: Event) -> None:
        self.events.append(event)


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


async def test_numbers_without_a_place_are_told_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker whose memory has no room for a series says so at the next turn, and not again."""
    monkeypatch.setattr("proxy.observability.number_memory.NAMES_BYTES", 60)
    monkeypatch.setattr(module, "BEAT_SECONDS", 0.0)
    monkeypatch.setattr(gc, "freeze", lambda: None)
    told = Told()
    numbers, counts = make_memory_file(), SharedCounts.make(4)
    ours, theirs = socket.socketpair()
    worker = Worker(Descriptors(theirs.detach(), numbers, counts.descriptor, 4, ()))
    seen = NumberReader(numbers)
    config = to_document(share_of(load(None, VARIABLES)))
    manner: dict[str, Any] = {
        "form": "json",
        "level": "error",
        "demo": False,
        "open_files": 0,
        "audited": False,
        "slots": {},
        "tls": TlsInForce().to_document(),
    }
    try:
        ours.sendall(pack("begin", number=3, config=config, **manner))
        async with asyncio.timeout(20):
            while not hasattr(worker, "forwarder"):
                await asyncio.sleep(0)
            worker.observers = Observers((told,))
            ours.sendall(pack("serve"))
            for _ in range(3):
                beat = seen.header[BEAT]
                while seen.header[BEAT] == beat:
                    await asyncio.sleep(0)
        assert told.events == [NumbersOverflowed(3)]
    finally:
        worker.close()
        ours.close()
        os.close(numbers)
        counts.close()
