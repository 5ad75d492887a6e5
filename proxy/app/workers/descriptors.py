"""What a worker inherits: open descriptors, as its command line names them. Pure."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Descriptors:
    """`channel` leads to the supervisor, `numbers` is the memory of metrics, `counts` that of what so many `workers`
    count together, and tools connect to the `listening` ones."""

    channel: int
    numbers: int
    counts: int
    workers: int
    listening: tuple[int, ...]

    def arguments(self) -> tuple[str, ...]:
        """For a command line."""
        return tuple(map(str, (self.channel, self.numbers, self.counts, self.workers, *self.listening)))

    def inherited(self) -> tuple[int, ...]:
        """All that the child must have."""
        return (self.channel, self.numbers, self.counts, *self.listening)

    @classmethod
    def read(cls, arguments: list[str]) -> Descriptors:
        """What `arguments` wrote."""
        channel, numbers, counts, workers, *listening = map(int, arguments)
        return cls(channel, numbers, counts, workers, tuple(listening))
