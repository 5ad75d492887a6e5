"""Sampled call stacks: functions' shares of the time, and the frames of a flame graph. Pure."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

Stacks = Counter[tuple[str, ...]]
"""Functions from the outermost to the innermost -> samples."""
EVENT_LOOP, ELSEWHERE = "event loop", "Python and libraries"
"""Rooms that are no folder of the program."""


@dataclass(frozen=True, slots=True)
class Share:
    """A function's part of all samples: by itself, and with all that it called."""

    function: str
    own: float
    total: float


@dataclass(frozen=True, slots=True)
class Frame:
    """A box of a flame graph. `start` and `width` are parts of all samples, `depth` counts from the outermost, 0."""

    function: str
    depth: int
    start: float
    width: float


@dataclass(slots=True)
class _Call:
    """Where a function was called from one place: its samples, and the calls that it made."""

    samples: int = 0
    calls: dict[str, _Call] = field(default_factory=dict)

    def at_least(self, samples: float) -> dict[str, _Call]:
        return {name: call for name, call in sorted(self.calls.items()) if call.samples >= samples}


def read(folded: Iterable[str]) -> Stacks:
    """From lines of `outermost;...;innermost COUNT`; whatever the line within a function, it is one function."""
    found: Stacks = Counter()
    for line in folded:
        stack, _, count = line.rpartition(" ")
        frames = stack.split(";")
        found[tuple(f"{frame.rpartition(':')[0]})" if ":" in frame else frame for frame in frames)] += int(count)
    return found


def shares(stacks: Stacks) -> list[Share]:
    """What took the most by itself first; a function that calls itself is counted once."""
    own: Counter[str] = Counter()
    total: Counter[str] = Counter()
    for functions, count in stacks.items():
        own[functions[-1]] += count
        total.update(dict.fromkeys(functions, count))
    everything = stacks.total() or 1
    return [Share(name, own[name] / everything, total[name] / everything) for name, _ in own.most_common()]


def room(function: str) -> str | None:
    """The folder of the program that a function lives in, or the event loop; None for Python's own and libraries."""
    if found := re.search(r"\((proxy(?:/.+)?)/[^/]+\.py\)", function):
        return found[1]
    return EVENT_LOOP if "(asyncio/" in function or "(uvloop" in function else None


def rooms(stacks: Stacks) -> dict[str, float]:
    """Each room's part of all samples, the greatest first; what it calls of Python and libraries is its own."""
    found: Counter[str] = Counter()
    for functions, count in stacks.items():
        found[next(filter(None, map(room, reversed(functions))), ELSEWHERE)] += count
    return {name: count / stacks.total() for name, count in found.most_common()}


def frames(stacks: Stacks, least: float) -> list[Frame]:
    """Calls from one place as one frame, in order of name; a part below `least` of all is left out.

    So is what only leads to the first fork or end of a thread: what started the program says nothing of its time.
    """
    everything = stacks.total()
    root = _Call()
    for functions, count in stacks.items():
        call = root
        for function in functions:
            call = call.calls.setdefault(function, _Call())
            call.samples += count
    found: list[Frame] = []
    start = 0
    for name, call in root.at_least(least * everything).items():
        _place(*_forking(name, call, least * everything), (0, start), (least, everything), found)
        start += call.samples
    return found


def _forking(name: str, call: _Call, samples: float) -> tuple[str, _Call]:
    """The first frame that calls several, or takes time by itself."""
    within = call.at_least(samples)
    while len(within) == 1:
        [(inner, called)] = within.items()
        if call.samples - called.samples >= samples:
            break
        name, call = inner, called
        within = call.at_least(samples)
    return name, call


def _place(name: str, call: _Call, at: tuple[int, int], of: tuple[float, int], found: list[Frame]) -> None:
    depth, start = at
    least, everything = of
    found.append(Frame(name, depth, start / everything, call.samples / everything))
    for inner, called in call.at_least(least * everything).items():
        _place(inner, called, (depth + 1, start), of, found)
        start += called.samples
