"""What a worker inherits: open descriptors, as its command line names them. Pure."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Descriptors:
    """`channel` leads to the supervisor, `numbers` is the memory of metrics, `budgets` that of clients' budgets for so
    many `workers`, and tools connect to the `listening` ones."""

    channel: int
    numbers: int
    budgets: int
    workers: int
    listening: tuple[int, ...]

    def arguments(self) -> tuple[str, ...]:
        """For a command line."""
        return tuple(map(str, (self.channel, self.numbers, self.budgets, self.workers, *self.listening)))

    def inherited(self) -> tuple[int, ...]:
        """All that the child must have."""
        return (self.channel, self.numbers, self.budgets, *self.listening)

    @classmethod
    def read(cls, arguments: list[str]) -> Descriptors:
        """What `arguments` wrote."""
        channel, numbers, budgets, workers, *listening = map(int, arguments)
        return cls(channel, numbers, budgets, workers, tuple(listening))
