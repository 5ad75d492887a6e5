"""An event loop whose clock moves only when there is nothing to do, and then right to the next timer.

Minutes of waiting take no time, and happen in the same order each time. It is for what waits for timers and events
alone, not for the network.
"""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Coroutine
from typing import Any, TypeVar

Result = TypeVar("Result")


class _NoWaiting(selectors.SelectSelector):
    """Says how long it would have waited, and does not."""

    def __init__(self) -> None:
        super().__init__()
        self.waited = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if not ready:
            if timeout is None:
                raise RuntimeError("everything waits for what nobody will do")
            self.waited += max(timeout, 0.0)
        return ready


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """Begins at 1,000 seconds."""

    def __init__(self) -> None:
        self._no_waiting = _NoWaiting()
        super().__init__(self._no_waiting)

    def time(self) -> float:
        return 1000.0 + self._no_waiting.waited


def run_at_once(main: Coroutine[Any, Any, Result]) -> Result:
    """Run it to its end on such a loop."""
    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        return runner.run(main)
