"""The walk of one plain GET through the rooms and modules: `python -m tests.support.walk` prints that of a repeated
request, with `--new` that of one that is decided for the first time.

A step is a call from one room into another. It goes down, as imports do, or turns back up: a lower room tells a higher
one something through what that one gave it. Returning from a call is no step. A module belongs to the walk if one of
its functions is called.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from types import FrameType
from typing import Any
from unittest.mock import patch

from proxy.net import deadlines
from tests.support.memory_bench import MemoryBench
from tests.support.modules import LAYERS
from tests.support.programs import ROOT
from tests.support.wire import GET

_PACKAGE = f"{ROOT / 'proxy'}/"


@dataclass(frozen=True, slots=True)
class Step:
    """A call from a room into another: the rooms of its chain of calls, outermost first, and what is called."""

    chain: tuple[str, ...]
    function: str

    @property
    def rooms(self) -> tuple[str, str]:
        """From where, and into which; the event loop is `loop`."""
        return (self.chain[-2] if len(self.chain) > 1 else "loop", self.chain[-1])

    @property
    def turns(self) -> int:
        """How often its chain turns back."""
        return sum(_goes_up(*pair) for pair in pairwise(self.chain))

    @property
    def turns_back(self) -> bool:
        """Whether this call does."""
        return len(self.chain) > 1 and _goes_up(*self.rooms)


@dataclass(frozen=True, slots=True)
class Walk:
    """The steps in their order, and for each module, in the order of their first calls, the functions that were called
    in it."""

    steps: list[Step] = field(default_factory=list)
    modules: dict[str, set[str]] = field(default_factory=dict)


def _goes_up(caller: str, room: str) -> bool:
    return LAYERS.index(room) < LAYERS.index(caller)


def _chain(frame: FrameType | None) -> tuple[str, ...]:
    """The rooms of the calls that led here, each once where it calls itself."""
    rooms: list[str] = []
    while frame is not None:
        path = frame.f_code.co_filename
        room = path.removeprefix(_PACKAGE).split("/")[0] if path.startswith(_PACKAGE) else ""
        if room and room not in rooms[-1:]:
            rooms.append(room)
        frame = frame.f_back
    return tuple(reversed(rooms))


@contextmanager
def recorded() -> Iterator[Walk]:
    """The walk of what is called meanwhile."""
    walk = Walk()

    def note(frame: FrameType, event: str, _: Any) -> None:
        if event == "call" and frame.f_code.co_filename.startswith(_PACKAGE):
            function = frame.f_code.co_qualname
            walk.modules.setdefault(frame.f_code.co_filename.removeprefix(_PACKAGE), set()).add(function)
            chain = _chain(frame)
            if chain != _chain(frame.f_back):
                walk.steps.append(Step(chain, function))

    before = sys.getprofile()
    sys.setprofile(note)
    try:
        yield walk
    finally:
        sys.setprofile(before)


async def walk_of_a_get(*, new: bool = False) -> Walk:
    """The walk of a later request on a connection, when a token and a connection to Amazon are cached.

    The same request came before, and its decision is remembered. If `new`, its path differs and it is decided now.
    The sweep for deadlines comes by the clock and is no step of a request: it stays out of the time of the walk. So
    does a new second, whose Date line is made once.
    """
    now = time.time()
    with patch.object(deadlines, "INTERVAL", 3600.0), patch.object(time, "time", lambda: now):
        bench = MemoryBench()
        client = bench.client()
        for _ in range(3):
            client.send(GET)
            await bench.rest(client)
        with recorded() as walk:
            client.send(GET.replace(b"/profiles", b"/stores") if new else GET)
            await bench.rest(client)
        await bench.stop(client)
    return walk


if __name__ == "__main__":
    taken = asyncio.run(walk_of_a_get(new="--new" in sys.argv))
    for step in taken.steps:
        caller, room = step.rooms
        print(f"{'^' if step.turns_back else ' '} {caller:>13} -> {room:<16} {step.function}")
    print(f"\n{len(taken.modules)} modules:")
    for module, functions in taken.modules.items():
        print(f"  {module:<32} {', '.join(sorted(functions))}")
