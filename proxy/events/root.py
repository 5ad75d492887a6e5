"""What every fact is, and who may hear of it: those who act tell, those who observe (logs, metrics) listen."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterable


@dataclass(frozen=True, slots=True)
class Event:
    """The root of all facts."""


class Observer(Protocol):
    """Hears every event, on the event loop, in order; it must neither block nor raise."""

    def observe(self, event: Event) -> None: ...


class Observers:
    """Hands each event to several observers, in the order they were given."""

    __slots__ = ("_all",)

    def __init__(self, observers: Iterable[Observer]) -> None:
        self._all = tuple(observers)

    def observe(self, event: Event) -> None:
        for observer in self._all:
            observer.observe(event)
