"""The order of the end: how draining waits, and for what, on a program that only pretends."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, cast

import pytest

from proxy.app.process import StopSignals, connections_within
from proxy.app.program import Program
from proxy.app.run import drain
from proxy.downstream.ports import Availability
from proxy.events import DrainStarted, Event, ServerStopped


@dataclass
class Pretended:
    """What `drain` needs of a program. `states` are what it finds, look by look: requests in flight, bytes unsent."""

    states: list[tuple[int, bool]]
    delay: float = 0.0
    timeout: float = 30.0
    told: list[str] = field(default_factory=list)
    looks: int = 0
    found: list[Availability] = field(default_factory=list)
    meanwhile: Callable[[int], None] = lambda _look: None

    @property
    def config(self) -> Any:
        return SimpleNamespace(drain=SimpleNamespace(delay=self.delay, timeout=self.timeout))

    @property
    def forwarder(self) -> Any:
        return self

    @property
    def accounting(self) -> Any:
        return self

    @property
    def tools(self) -> Any:
        return self

    @property
    def observers(self) -> Any:
        return self

    availability = Availability.SERVING
    workers = None

    @property
    def in_flight(self) -> int:
        if "closed" in self.told:
            self.found.append(self.availability)
            self.looks += 1
            self.meanwhile(self.looks)
        return self.states[min(self.looks, len(self.states) - 1)][0]

    @property
    def unsent(self) -> bool:
        return self.states[min(self.looks, len(self.states) - 1)][1]

    @property
    def acceptors(self) -> list[Any]:
        return [self]

    def close(self) -> None:
        """Of the listener."""
        self.told.append("closed")

    def wind_down(self) -> None:
        """Of the connections, none of which is a stream."""

    def close_idle(self) -> None:
        if self.availability is Availability.CLOSING:
            self.told.append("refusing")

    def end_all(self) -> int:
        return self.in_flight

    def observe(self, event: Event) -> None:
        cut = f" {event.cut}" if isinstance(event, ServerStopped) else ""
        self.told.append(f"{type(event).__name__}{cut}")


async def drained(program: Pretended, at_once: asyncio.Event | None = None) -> list[str]:
    async with asyncio.timeout(5):
        await drain(cast(Program, program), at_once or asyncio.Event())
    return program.told


async def test_the_order_is_tell_close_wait_stop() -> None:
    """Unready first, then closed, then patience until nothing runs."""
    program = Pretended([(2, False), (2, False), (1, False), (0, False)])
    assert await drained(program) == [DrainStarted.__name__, "closed", "refusing", "ServerStopped 0"]
    assert program.found == [Availability.DRAINING] * 3 + [Availability.CLOSING] * 2
    assert program.looks >= 3


async def test_an_answer_that_a_tool_has_not_taken_yet_is_waited_for() -> None:
    """Nothing is in flight any more, but bytes of an answer are still here."""
    program = Pretended([(0, True), (0, True), (0, True), (0, True), (0, False)])
    assert (await drained(program))[-1] == "ServerStopped 0"
    assert program.looks >= 4


async def test_the_time_limit_ends_the_waiting() -> None:
    """What still runs then is cut, and counted."""
    assert (await drained(Pretended([(3, False)], timeout=0.05)))[-1] == "ServerStopped 3"


async def test_hurry_ends_delay_and_waiting() -> None:
    """A second signal is not kept waiting, neither by the delay nor by requests."""
    at_once = asyncio.Event()
    at_once.set()
    assert await drained(Pretended([(1, False)], delay=60), at_once) == [
        "DrainStarted", "closed", "refusing", "ServerStopped 1",
    ]  # fmt: skip
    later = asyncio.Event()
    program = Pretended([(1, False)], meanwhile=lambda look: later.set() if look == 3 else None)
    assert (await drained(program, later))[-1] == "ServerStopped 1"


def test_the_first_signal_asks_and_the_second_hurries() -> None:
    """A third ends the process where it stands."""
    ended: list[int] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("os._exit", ended.append)
        signals = StopSignals()
        signals.note()
        assert (signals.stop.is_set(), signals.stop_at_once.is_set()) == (True, False)
        signals.note()
        assert (signals.stop_at_once.is_set(), ended) == (True, [])
        signals.note()
        assert ended == [1]


@pytest.mark.parametrize(
    ("open_files", "connections"), [(0, 0), (64, 1), (256, 64), (1024, 448), (20128, 10000), (1048576, 524224)]
)
def test_half_of_the_open_files_are_for_tools(open_files: int, connections: int) -> None:
    """Each connection of a tool may need one to Amazon; some are set aside; no limit is no limit."""
    assert connections_within(open_files) == connections
