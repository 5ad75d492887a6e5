"""Facts cannot be changed by those who hear of them, and all hear them in one order."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from proxy import events

KINDS = [
    kind
    for kind in vars(events).values()
    if isinstance(kind, type) and issubclass(kind, events.Event) and kind is not events.Event
]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_a_fact_is_frozen_and_says_what_it_is(kind: type[events.Event]) -> None:
    """An observer that wrote into one would change what the next one hears."""
    assert dataclasses.is_dataclass(kind)
    fact: Any = object.__new__(kind)
    with pytest.raises(dataclasses.FrozenInstanceError):
        fact.name = "another"
    assert not hasattr(kind, "__dict__") or "__slots__" in vars(kind)


def test_observers_hear_each_fact_in_the_order_they_were_given() -> None:
    """Metrics before logs, as they were put."""
    heard: list[tuple[str, events.Event]] = []

    class Listener:
        def __init__(self, name: str) -> None:
            self.name = name

        def observe(self, event: events.Event) -> None:
            heard.append((self.name, event))

    both = events.Observers([Listener("first"), Listener("second")])
    started = events.RequestStarted()
    both.observe(started)
    assert heard == [("first", started), ("second", started)]
