"""The one observer of the tests: it keeps every event, and wakes who waits for one."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TypeVar

from proxy.events import DefectMet, Event, Replayed, RequestFinished, RequestStarted
from tests.support.patience import PATIENCE

E = TypeVar("E", bound=Event)


class EventRecorder:
    """Keeps the events in their order."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self._changed = asyncio.Event()

    def observe(self, event: Event) -> None:
        self.events.append(event)
        self._changed.set()

    def of(self, kind: type[E]) -> list[E]:
        """The events of one type."""
        return [event for event in self.events if isinstance(event, kind)]

    @property
    def finished(self) -> list[RequestFinished]:
        return self.of(RequestFinished)

    @property
    def replays(self) -> list[tuple[str, str]]:
        return [(event.reason, event.outcome) for event in self.of(Replayed)]

    @property
    def started(self) -> int:
        return len(self.of(RequestStarted))

    @property
    def defects(self) -> list[str]:
        return [event.traceback for event in self.of(DefectMet)]

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(PATIENCE):
            while not condition():
                self._changed.clear()
                await self._changed.wait()

    async def last(self, number: int = 1) -> RequestFinished:
        """The account of the request that was finished as the `number`th."""
        await self.until(lambda: len(self.finished) >= number)
        return self.finished[number - 1]
