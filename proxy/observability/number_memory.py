"""Numbers in memory that two processes share: one counts, the other reads them, even after the first was killed.

A block is a run of doubles under a name and labels. Its name is in the memory before its numbers are used, so that a
reader finds every number that was ever counted. What the numbers mean is for `request_metrics` and `metrics`.
"""

from __future__ import annotations

import json
import mmap
import os
import tempfile
from array import array
from operator import add
from struct import Struct
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from proxy.observability.instruments import Buckets, Cell

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from proxy.observability.instruments import Labels

NAMES_BYTES: Final = 16 << 20
NUMBERS_BYTES: Final = 48 << 20
"""The system gives pages as they are written: a worker with a hundred series has a few of them."""
_WIDTH: Final = 8
_USED: Final = 0
BEAT: Final = 1
"""When the counting process last turned its event loop, on the clock that does not stop for a suspended process."""
IN_FLIGHT: Final = 2
CONNECTIONS: Final = 3
_HEADER: Final = 8
"""Doubles before the names."""
_NAMES_AT: Final = _HEADER * _WIDTH

_COMPARED: Final = 64
"""Blocks that are compared with one look at them all, and singly where one of them changed."""

Key = tuple[str, "Labels"]
"""The name and the labels of a block."""
Numbers = tuple[float, ...]
NO_MOMENTS: Final[Mapping[str, int]] = MappingProxyType({})


def make_memory_file() -> int:
    """A descriptor of memory that a child can be given; it has no name anywhere."""
    if hasattr(os, "memfd_create"):
        descriptor = os.memfd_create("ads-proxy-numbers", os.MFD_CLOEXEC)
    else:
        with tempfile.TemporaryFile() as file:
            descriptor = os.dup(file.fileno())
    os.ftruncate(descriptor, _NAMES_AT + NAMES_BYTES + NUMBERS_BYTES)
    return descriptor


class _Mapped:
    """The memory as each side sees it."""

    def __init__(self, descriptor: int) -> None:
        self._memory = mmap.mmap(descriptor, _NAMES_AT + NAMES_BYTES + NUMBERS_BYTES)
        with memoryview(self._memory) as whole:
            self.header = whole[:_NAMES_AT].cast("d")
            self._names = whole[_NAMES_AT : _NAMES_AT + NAMES_BYTES]
            self._numbers = whole[_NAMES_AT + NAMES_BYTES :].cast("d")


class NumberMemory(_Mapped):
    """The side that counts. `block` gives the numbers of a name and labels, zero at first."""

    def __init__(self, descriptor: int) -> None:
        super().__init__(descriptor)
        self._next = 0
        self._blocks: dict[tuple[str, Labels], memoryview[float]] = {}
        self.overflowed = 0
        self._told = False

    def __repr__(self) -> str:
        return f"<NumberMemory: {len(self._blocks)} blocks, {self.overflowed} without a place>"

    def block(self, name: str, labels: Labels, width: int) -> memoryview[float]:
        """A block of `width` numbers for a series, the same at each call. If the memory is full, the block is private
        and not shown."""
        found = self._blocks.get((name, labels))
        if found is None:
            found = self._blocks[name, labels] = self._make(name, labels, width)
        return found

    def overflow_is_news(self) -> bool:
        """Whether something found no place; yes the first time only, for who tells it."""
        told, self._told = self._told, self.overflowed > 0
        return self._told and not told

    def find(self, name: str, labels: Labels) -> memoryview[float] | None:
        """The block of numbers for a series, if `block` was called for it before."""
        return self._blocks.get((name, labels))

    def _make(self, name: str, labels: Labels, width: int) -> memoryview[float]:
        start, used = self._next, int(self.header[_USED])
        line = json.dumps([name, labels, start, width], separators=(",", ":")).encode() + b"\n"
        if used + len(line) > NAMES_BYTES or (start + width) * _WIDTH > NUMBERS_BYTES:
            self.overflowed += 1
            return memoryview(array("d", bytes(width * _WIDTH)))
        self._names[used : used + len(line)] = line
        self.header[_USED] = used + len(line)
        self._next = start + width
        return self._numbers[start : start + width]


class NumberReader(_Mapped):
    """The side that reads, whether or not the other one lives."""

    def __init__(self, descriptor: int) -> None:
        super().__init__(descriptor)
        self._read = 0
        self._places: dict[Key, tuple[int, int]] = {}
        """Where the numbers of each block are, in bytes from the first; in this order."""
        self._seen = b""
        """The numbers as they were at the last look."""

    def close(self) -> None:
        """Give the memory back; there is nothing to be read any more."""
        for view in (self.header, self._names, self._numbers):
            view.release()
        self._memory.close()

    def __repr__(self) -> str:
        return f"<NumberReader: {len(self._places)} blocks>"

    def changed(self) -> Iterator[Key]:
        """The blocks whose numbers are others than at the last look. It costs what changed: the memory is copied and
        compared as a whole."""
        new = self._read_names()
        before, self._seen = self._seen, self._copy()
        yield from new
        blocks = tuple(self._places.items())[: len(self._places) - len(new)]
        for first in range(0, len(blocks), _COMPARED):
            some = blocks[first : first + _COMPARED]
            begin, end = some[0][1][0], some[-1][1][1]
            if self._seen[begin:end] != before[begin:end]:
                yield from (key for key, (at, to) in some if self._seen[at:to] != before[at:to])

    def blocks(self) -> Iterable[Key]:
        """The blocks found at the last look."""
        return self._places

    def numbers(self, key: Key) -> Numbers:
        """A block as it was at the last look; nothing, if there was none."""
        at, to = self._places.get(key, (0, 0))
        return tuple(memoryview(self._seen)[at:to].cast("d"))

    def _read_names(self) -> list[Key]:
        """The names of the blocks that were added since the last look."""
        used, new = int(self.header[_USED]), []
        for line in bytes(self._names[self._read : used]).splitlines():
            name, labels, start, width = json.loads(line)
            key = name, tuple(labels)
            self._places[key] = start * _WIDTH, (start + width) * _WIDTH
            new.append(key)
        self._read = used
        return new

    def _copy(self) -> bytes:
        """The numbers of all blocks that are known."""
        _, end = next(reversed(self._places.values()), (0, 0))
        return bytes(self._numbers[: end // _WIDTH])


def add_up(parts: Sequence[Numbers], moment: int | None = None) -> Numbers:
    """Blocks of one name and labels, number by number; of the one at `moment` the latest. Pure."""
    numbers = [*parts[0]]
    for part in parts[1:]:
        numbers = [*map(add, numbers, part)]
    if moment is not None:
        numbers[moment] = max(part[moment] for part in parts)
    return tuple(numbers)


class NumberMemories:
    """What all counted: those that count now, and those that have ended, whose numbers stay.

    `moments` tells which number of a name's blocks is a moment, of which the latest counts.
    """

    def __init__(self, moments: Mapping[str, int] = NO_MOMENTS) -> None:
        self._moments = moments
        self._readers: dict[int, NumberReader] = {}
        self._ended: dict[Key, Numbers] = {}
        self._moved: dict[Key, None] = {}
        """What changed in those that have ended, after the last look."""

    def __repr__(self) -> str:
        return f"<NumberMemories: {len(self._readers)} being counted in, {len(self._ended)} ended>"

    def begin(self, key: int, reader: NumberReader) -> None:
        self._readers[key] = reader

    def end(self, key: int) -> None:
        """The memory is no longer counted in: its numbers are kept, and it is released."""
        reader = self._readers.pop(key, None)
        if reader is not None:
            self._moved |= dict.fromkeys(reader.changed())
            for block in reader.blocks():
                self._ended[block] = self._added(block, (reader,))
            reader.close()

    def changes(self) -> Iterator[tuple[str, Labels, Numbers]]:
        """The blocks that changed since the last time, as they are now in all memories together."""
        changed, self._moved = self._moved, {}
        for reader in self._readers.values():
            changed |= dict.fromkeys(reader.changed())
        for key in changed:
            yield *key, self._added(key, self._readers.values())

    def _added(self, key: Key, readers: Iterable[NumberReader]) -> Numbers:
        parts = [self._ended.get(key, ()), *(reader.numbers(key) for reader in readers)]
        return add_up([numbers for numbers in parts if numbers], self._moments.get(key[0]))


# --- counting there -----------------------------------------------------------------------------------------


class SharedCell(Cell):
    """A cell whose number is in such a memory."""

    __slots__ = ("_numbers",)

    def __init__(self, numbers: memoryview[float]) -> None:
        self._numbers = numbers

    @property
    def value(self) -> int:
        return self._numbers[0]  # type: ignore[return-value]  # a whole number, as a double

    @value.setter
    def value(self, value: float) -> None:
        self._numbers[0] = value


class SharedBuckets(Buckets):
    """One series of a histogram, and in such a memory the sum, then the counts, as they were written last."""

    __slots__ = ("_numbers", "_pack")

    def __init__(self, bounds: tuple[float, ...], numbers: memoryview[float]) -> None:
        super().__init__(bounds)
        self._numbers = numbers
        self._pack = Struct(f"{len(numbers)}d").pack_into

    def write(self) -> None:
        """Show what was added."""
        self._pack(self._numbers, 0, self.total, *self.counts)


class SharedValues(dict["Labels", float]):
    """The numbers of a counter in such a memory, by labels, as far as `Table` asks for them."""

    def __init__(self, memory: NumberMemory, name: str) -> None:
        super().__init__()
        self._memory, self._name = memory, name

    def get(self, labels: Labels, default: float = 0.0) -> float:  # type: ignore[override]  # a number, never None
        found = self._memory.find(self._name, labels)
        return found[0] if found is not None else default

    def __setitem__(self, labels: Labels, value: float) -> None:
        """A zero needs no block: readers assume it."""
        if value or self._memory.find(self._name, labels) is not None:
            self._memory.block(self._name, labels, 1)[0] = value


def buckets_of(bounds: tuple[float, ...], numbers: Numbers) -> Buckets:
    """The series that such a block holds."""
    buckets = Buckets(bounds)
    buckets.total, buckets.counts = numbers[0], [int(count) for count in numbers[1:]]
    return buckets
