"""The walk of one plain GET through the rooms and modules: `python -m tests.support.walk` prints that of a repeated
request and how many Python calls a request takes; with `--new` the walk of one that is decided for the first time.

A step is a call from one room into another. It goes down, as imports do, or turns back up: a lower room tells a higher
one something through what that one gave it. Returning from a call is no step. A module belongs to the walk if one of
its functions is called.

Calls are counted with metrics and a log, and without anybody who hears of every request: as in the running program.
They are those of functions of proxy/, the generated ones too. Comprehensions are no calls, as in newer interpreters.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from itertools import pairwise
from types import FrameType
from typing import Any
from unittest.mock import patch

from proxy.access.client_keys import ClientKey
from proxy.access.clients import Budgets, Clients
from proxy.access.paths import PathPattern
from proxy.access.placeholders import Placeholders
from proxy.access.policy import Policy
from proxy.net import deadlines
from tests.support.accounted_bench import AccountedBench
from tests.support.memory_bench import MemoryBench
from tests.support.modules import LAYERS
from tests.support.programs import ROOT
from tests.support.wire import GET

PAGE = ROOT / "docs" / "development" / "architecture.md"
KINDS = {
    "a repeated request": (False, False),
    "a new target": (True, False),
    "a repeated request with a key": (False, True),
    "a new target with a key": (True, True),
}
"""Kinds of GET requests, by their names on the page: whether the target is new, of a known operation; and whether a key
and a policy of paths decide about it."""
_PACKAGE = f"{ROOT / 'proxy'}/"
_GENERATED = "<string>"
_KEY = b"key-of-reader"
_TARGET = b"/sd/campaigns/%d"


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
    """The steps in their order; for each module, in the order of their first calls, the functions that were called in
    it; and all calls by module and function."""

    steps: list[Step] = field(default_factory=list)
    modules: dict[str, set[str]] = field(default_factory=dict)
    calls: list[str] = field(default_factory=list)


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


def _of_the_program(frame: FrameType) -> str:
    """The module of proxy/ that a function is in, `_GENERATED` where a module calls what was generated for it, or
    nothing."""
    path = frame.f_code.co_filename
    if path == _GENERATED:
        return path if frame.f_back is not None and _of_the_program(frame.f_back) else ""
    return path.removeprefix(_PACKAGE) if path.startswith(_PACKAGE) else ""


@contextmanager
def recorded() -> Iterator[Walk]:
    """The walk of what is called meanwhile."""
    walk = Walk()

    def note(frame: FrameType, event: str, _: Any) -> None:
        if event != "call" or not (ours := _of_the_program(frame)):
            return
        function = frame.f_code.co_qualname
        if not function.endswith("comp>"):
            walk.calls.append(f"{ours} {function}")
        if ours == _GENERATED:
            return
        walk.modules.setdefault(ours, set()).add(function)
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
    """
    return await _walk(MemoryBench, [GET] * 3, GET.replace(b"/profiles", b"/stores") if new else GET)


async def _walk(make_bench: Callable[[], MemoryBench], before: list[bytes], last: bytes) -> Walk:
    """The walk of the last of these requests on one connection.

    The sweep for deadlines comes by the clock and is no step of a request: it stays out of the time of the walk. So
    does a new second, whose Date line is made once.
    """
    now = time.time()
    with patch.object(deadlines, "INTERVAL", 3600.0), patch.object(time, "time", lambda: now):
        bench = make_bench()
        client = bench.client()
        for request in before:
            client.send(request)
            await bench.rest(client)
        with recorded() as walk:
            client.send(last)
            await bench.rest(client)
        await bench.stop(client)
    return walk


def _readers() -> Clients:
    """One client with a key, which may read some paths. Like all that are configured, it may have so much in flight."""
    keys = (ClientKey(hashlib.sha256(_KEY).hexdigest()),)
    paths = (PathPattern.read("/sd/*"),)
    policy = Policy("reader", keys, methods=frozenset((b"GET",)), paths=paths, max_in_flight=64)
    return Clients((policy,), Placeholders(b"key"), Budgets())


async def calls_of_a_get(*, new: bool, keyed: bool) -> list[str]:
    """The Python calls of a GET of this kind, after others of its operation."""
    get = GET.replace(b"/v2/profiles", _TARGET)
    if keyed:
        get = get[:-2] + b"Authorization: Bearer " + _KEY + b"\r\n\r\n"
    before = [get % number for number in (1, 2, 2, 2)]
    make_bench = partial(AccountedBench, clients=_readers()) if keyed else AccountedBench
    return (await _walk(make_bench, before, get % (3 if new else 2))).calls


async def numbers_of_calls() -> dict[str, int]:
    """How many Python calls each of `KINDS` takes."""
    return {kind: len(await calls_of_a_get(new=new, keyed=keyed)) for kind, (new, keyed) in KINDS.items()}


def documented_calls() -> dict[str, int]:
    """What the page says about that."""
    rows = re.findall(r"^\| (.+?) \| ([0-9]+) \|$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    return {kind: int(number) for kind, number in rows}


async def _print(*, new: bool) -> None:
    walk = await walk_of_a_get(new=new)
    for step in walk.steps:
        caller, room = step.rooms
        print(f"{'^' if step.turns_back else ' '} {caller:>13} -> {room:<16} {step.function}")
    print(f"\n{len(walk.modules)} modules:")
    for module, functions in walk.modules.items():
        print(f"  {module:<32} {', '.join(sorted(functions))}")
    print("\nPython calls of:")
    documented = documented_calls()
    for kind, number in (await numbers_of_calls()).items():
        print(f"  {kind:<32} {number:>4} (documented: {documented[kind]})")


if __name__ == "__main__":
    asyncio.run(_print(new="--new" in sys.argv))
