"""A `Supervisor` whose workers are no processes: each does what its `Manner` says, on a clock that takes no time.

Nothing is asserted here.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any, cast

import pytest

from proxy.app.workers import supervisor as module
from proxy.app.workers.channel import FrameReader, pack
from proxy.app.workers.supervision import Vitals, WorkerEnd, WorkerPhase
from proxy.app.workers.supervisor import Supervisor
from proxy.events import Event
from proxy.observability.number_memory import NumberMemories
from tests.support.tokens import JumpingLoop

NEVER = float("inf")


@dataclass(frozen=True)
class Manner:
    """Seconds: a process is there `begun` after it was asked for, and from then on counts when it `serves`, `ends` by
    itself, and turns its event loop for the last time (`stands_still`). `applies` and `drains` tell how long it takes
    to do what it is told. `cut` is what it says to have cut, `in_flight` what it serves."""

    begun: float = 0.0
    serves: float = 0.1
    ends: float = NEVER
    stands_still: float = NEVER
    applies: float = 0.1
    drains: float = 0.1
    cut: int = 0
    in_flight: int = 0


class Process:
    """Stands in for `WorkerProcess`. `crew` is given by a class of its own."""

    crew: Crew

    def __init__(self, number: int, heard: Callable[[Any, Any], None], *_: Any) -> None:
        self.number, self.pid, self.numbers, self.channel = number, 0, None, self
        self.phase, self.since = WorkerPhase.STARTING, time.monotonic()
        self.killed_for: WorkerEnd | None = None
        self.applied, self.connections = 0, 0
        self.cut: int | None = None
        self.said: list[str] = []
        self.over = asyncio.Event()
        self.by_signal = False
        self._heard = heard
        self._loop = asyncio.get_running_loop()
        self.crew.asked_for.append((number, time.monotonic()))
        self.manner = self.crew.manner()

    async def begin(self, *_: Any) -> None:
        await asyncio.sleep(self.manner.begun)
        self.began, self.pid = time.monotonic(), 100 + len(self.crew.begun)
        self.crew.begun.append(self)
        self._later(self.manner.ends, self.over.set)

    def _later(self, seconds: float, step: Callable[..., None], *values: Any) -> None:
        if seconds < NEVER:
            self._loop.call_later(seconds, step, *values)

    def send_packed(self, data: bytes) -> None:
        for message in FrameReader().feed(data):
            self.said.append(message["kind"])
            match message["kind"]:
                case "serve":
                    self._later(self.manner.serves, self.say, {"kind": "serving"})
                case "apply":
                    told = {"kind": "applied", "generation": message["generation"]}
                    begins = max(self.began + self.manner.serves - time.monotonic(), 0.0)
                    self._later(begins + self.manner.applies, self.say, told)
                case "drain":
                    self._later(self.manner.drains, self._drained)

    def say(self, message: Any) -> None:
        if not self.over.is_set():
            self._heard(self, message)

    def _drained(self) -> None:
        self.say({"kind": "drained", "cut": self.manner.cut})
        self.over.set()

    def serves(self) -> None:
        self.phase, self.since = WorkerPhase.SERVING, time.monotonic()

    @property
    def unfinished(self) -> int:
        return self.manner.in_flight if self.over.is_set() else 0

    @property
    def served(self) -> float:
        return time.monotonic() - self.since if self.phase is WorkerPhase.SERVING else 0.0

    @property
    def vitals(self) -> Vitals:
        return Vitals(self.phase, self.since, min(time.monotonic(), self.began + self.manner.stands_still))

    @property
    def in_flight(self) -> int:
        return self.manner.in_flight

    def kill(self, why: WorkerEnd | None = None) -> None:
        self.killed_for = self.killed_for or why
        if self.pid:
            self.by_signal = True
            self.over.set()

    async def ended(self) -> str:
        await self.over.wait()
        return "signal SIGKILL" if self.by_signal else "exit code 0"


class Desk:
    """Welcomes with the word to serve alone."""

    def __init__(self) -> None:
        self.pools: dict[int, Any] = {}

    async def asked(self, message: Any) -> Any: ...

    def look(self) -> None: ...

    def tell_all(self, accounts: Any) -> None: ...

    def welcome(self, number: int, config: Any) -> Iterator[bytes]:
        yield pack("serve")

    def reload(self, config: Any, generation: int) -> bytes:
        return pack("apply", generation=generation)


class Memories(NumberMemories):
    def begin(self, key: int, reader: Any) -> None: ...


class Crew:
    """A supervisor of so many `workers`; the processes that it begins have these manners, one after another, and the
    last of them for good. `told` is what was told, with the seconds since the start."""

    def __init__(self, workers: int, *manners: Manner) -> None:
        self._manners = list(manners or [Manner()])
        self.asked_for: list[tuple[int, float]] = []
        self.begun: list[Process] = []
        self.told: list[tuple[float, Event]] = []
        self.tell: Callable[[Event], None] = lambda event: None
        self.forgotten: list[int] = []
        drain = SimpleNamespace(delay=1.0, timeout=10.0)
        self.config: Any = SimpleNamespace(workers=workers, drain=drain, accounts={})
        counts: Any = SimpleNamespace(forget=self.forgotten.append, close=lambda: None, descriptor=-1)
        self.supervisor = Supervisor(
            cast(Any, Desk()), Memories(), counts, lambda: self.config, (self, lambda line: None)
        )
        self.began = time.monotonic()

    def manner(self) -> Manner:
        return self._manners.pop(0) if len(self._manners) > 1 else self._manners[0]

    def observe(self, event: Event) -> None:
        self.told.append((round(time.monotonic() - self.began, 2), event))
        self.tell(event)

    def of(self, kind: type[Event]) -> list[Any]:
        """The events of a kind, each with its time."""
        return [(at, event) for at, event in self.told if isinstance(event, kind)]

    @property
    def living(self) -> list[Process]:
        return [process for process in self.begun if not process.over.is_set()]


def with_crew(
    monkeypatch: pytest.MonkeyPatch, test: Callable[[Crew], Coroutine[Any, Any, None]], workers: int, *manners: Manner
) -> Crew:
    """Run a test on such a supervisor, which is stopped behind it."""

    async def run() -> Crew:
        monkeypatch.setattr(time, "monotonic", asyncio.get_running_loop().time)
        crew = Crew(workers, *manners)
        monkeypatch.setattr(module, "WorkerProcess", type("Process", (Process,), {"crew": crew}))
        try:
            await test(crew)
        finally:
            await crew.supervisor.stop()
        return crew

    with asyncio.Runner(loop_factory=JumpingLoop) as runner:
        return runner.run(run())
