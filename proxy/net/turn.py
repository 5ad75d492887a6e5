"""The turn of the event loop that runs now: from its beginning it is counted what the proxy spends on a request.

Each callback of the event loop that brings news of a request notes its beginning: a read, the end of a connection, a
timer. What comes after a wait in a task has no turn of its own, and is counted from where the wait ended.
"""

from __future__ import annotations


class LoopTurn:
    """`began` is a moment of `perf_counter`."""

    __slots__ = ("began",)

    def __init__(self) -> None:
        self.began = 0.0

    def __repr__(self) -> str:
        return f"<LoopTurn since {self.began}>"


TURN = LoopTurn()
"""The turn of the one event loop of this process."""
