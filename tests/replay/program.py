"""The program with a calendar that the player moves: `program.py FILE KIND arguments`, where FILE holds the seconds to
add.

The session begins on the same day each time. Only the time of day is moved, by which keys and placeholders expire;
timers go by another clock. The kind of program is `usual`, `warm` or `cold`. What warm and cold ones do does not depend
on how busy the machine is, nor on how many requests came before: ids have one length, and nothing is sent twice because
an answer is late. A cold one remembers nothing of requests: it takes its rules anew before whatever a client sends, and
looks nothing up in a cache.
"""

from __future__ import annotations

import mmap
import runpy
import struct
import sys
import time
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any
from unittest.mock import patch

FIRST_MOMENT = 1795608000.0
"""2026-11-25, noon UTC."""


def follow(path: str) -> None:
    """Have this process follow the calendar."""
    with Path(path).open("r+b") as file:
        added = mmap.mmap(file.fileno(), 8)
    real, began = time.time, time.time()
    time.time = lambda: real() - began + FIRST_MOMENT + struct.unpack("d", added[:8])[0]


def lengthen_ids() -> None:
    """Have the ids of requests differ in nothing but their digits."""
    from proxy.forwarding.forwarder import Forwarder

    make = Forwarder.__init__

    def made(self: Any, *parts: Any) -> None:
        make(self, *parts)
        self._serial = count(1 << 28)

    forwarder: Any = Forwarder
    forwarder.__init__ = made


def hedge_nothing() -> None:
    """Have this process wait for late answers."""
    from proxy.forwarding import replays

    vars(replays)["hedge_delay"] = lambda rest, recent: None


def forget() -> None:
    """Have this process remember nothing of requests. What Amazon said of its limits is no memory of requests."""
    from proxy.bounded_cache import BoundedCache
    from proxy.downstream.connection import ClientConnection
    from proxy.upstream.throttles import Throttles

    received = ClientConnection.data_received

    def received_cold(self: Any, data: bytes) -> None:
        forwarder = self._service
        with patch.object(Throttles, "forget", lambda _: None):
            forwarder.apply(replace(forwarder.rules))
        forwarder.rules.clients._verified.clear()
        received(self, data)

    cache: Any = BoundedCache
    cache.get = lambda self, key, default=None: default
    connection: Any = ClientConnection
    connection.data_received = received_cold


def prepare(path: str, kind: str) -> None:
    """Make this process such a program, before anything of it is imported."""
    follow(path)
    if kind != "usual":
        lengthen_ids()
        hedge_nothing()
    if kind == "cold":
        forget()


def main() -> None:
    path, kind = sys.argv.pop(1), sys.argv.pop(1)
    prepare(path, kind)
    sys.argv[0] = "ads-proxy"
    runpy.run_module("proxy", run_name="__main__")


if __name__ == "__main__":
    main()
