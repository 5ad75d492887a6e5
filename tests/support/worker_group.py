"""A `Supervisor` whose workers are no processes: each does what its `Behaviour` says, on a clock that takes no time.

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
from proxy.app.workers.supervision import WorkerEnd, WorkerHealth, WorkerPhase
from proxy.app.workers.supervisor import Supervisor
from proxy.events import Event
from proxy.observability.number_memory import NumberMemories
from tests.support.tokens import JumpingLoop

NEVER = float("inf")


@dataclass(frozen=True)
class Behaviour:
    """Seconds: a process is there `begun` after it was asked for, and from then on counts when it `serves`, `ends` by
    itself, and turns its event loop for the last time (`stands_still`). `applies`, `drains` and `cuts` tell how long it
    takes to do what it is told; to drain, for the second time. `cut` is what it says to have cut, `in_flight` what it
    serves."""

    begun: float = 0.0
    serves: float = 0.1
    ends: float = NEVER
    stands_still: float = NEVER
    applies: float = 0.1
    drains: float = 0.1
    cuts: float = 0.1
    cut: int = 0
    in_flight: int = 0


class Process:
    """Replaces `WorkerProcess`. `group` is set on a class of its own."""

    group: FakeWorkerGroup

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
        self.group.asked_for.append((number, time.monotonic()))
        self.behaviour = self.group.behaviour()

    async def begin(self, *_: Any) -> None:
        await asyncio.sleep(self.behaviour.begun)
        self.began, self.pid = time.monotonic(), 100 + len(self.group.begun)
        self.group.begun.append(self)
        self._later(self.behaviour.ends, self.over.set)

    def _later(self, seconds: float, step: Callable[..., None], *values: Any) -> None:
        if seconds < NEVER:
            self._loop.call_later(seconds, step, *values)

    def send_packed(self, data: bytes) -> None:
        for message in FrameReader().feed(data):
            self.said.append(message["kind"])
            match message["kind"]:
                case "serve":
                    self._later(self.behaviour.serves, self.say, {"kind": "serving"})
                case "apply":
                    told = {"kind": "applied", "generation": message["generation"]}
                    begins = max(self.began + self.behaviour.serves - time.monotonic(), 0.0)
                    self._later(begins + self.behaviour.applies, self.say, told)
                case "drain":
                    again = self.said.count("drain") > 1
                    self._later(self.behaviour.cuts if again else self.behaviour.drains, self._drained)

    def say(self, message: Any) -> None:
        if not self.over.is_set():
            self._heard(self, message)

    def _drained(self) -> None:
        self.say({"kind": "drained", "cut": self.behaviour.cut})
        self.over.set()

    def serves(self) -> None:
        self.phase, self.since = WorkerPhase.SERVING, time.monotonic()

    @property
    def unfinished(self) -> int:
        return self.behaviour.in_flight if self.over.is_set() else 0

    @property
    def served(self) -> float:
        return time.monotonic() - self.since if self.phase is WorkerPhase.SERVING else 0.0

    @property
    def health(self) -> WorkerHealth:
        return WorkerHealth(self.phase, self.since, min(time.monotonic(), self.began + self.behaviour.stands_still))

    @property
    def in_flight(self) -> int:
        return self.behaviour.in_flight

    def kill(self, why: WorkerEnd | None = None) -> None:
        self.killed_for = self.killed_for or why
        if self.pid:
            self.by_signal = True
            self.over.set()

    async def ended(self) -> str:
        await self.over.wait()
        return "signal SIGKILL" if self.by_signal else "exit code 0"


class FakeHub:
    """Welcomes with the word to serve alone."""

    def __init__(self) -> None:
        self.pools: dict[int, Any] = {}

    async def asked(self, message: Any) -> Any: ...

    def look(self) -> None: ...

    def lost(self, number: int) -> None: ...

    async def tell_all(self, accounts: Any) -> None: ...

    def welcome(self, number: int, config: Any) -> Iterator[bytes]:
        yield pack("serve")

    def reload(self, config: Any, generation: int) -> Iterator[bytes]:
        yield pack("apply", generation=generation)


class Memories(NumberMemories):
    def begin(self, key: int, reader: Any) -> None: ...


class FakeWorkerGroup:
    """A supervisor of so many `workers`; the processes that it begins have these behaviours, one after another, and the
    last of them for good. `told` is what was told, with the seconds since the start."""

    def __init__(self, workers: int, *behaviours: Behaviour) -> None:
        self._behaviours = list(behaviours or [Behaviour()])
        self.asked_for: list[tuple[int, float]] = []
        self.begun: list[Process] = []
        self.told: list[tuple[float, Event]] = []
        self.tell: Callable[[Event], None] = lambda event: None
        self.forgotten: list[int] = []
        drain = SimpleNamespace(delay=1.0, timeout=10.0)
        self.config: Any = SimpleNamespace(workers=workers, drain=drain, accounts={})
        counts: Any = SimpleNamespace(forget=self.forgotten.append, close=lambda: None, descriptor=-1)
        self.supervisor = Supervisor(
            cast(Any, FakeHub()), Memories(), counts, lambda: self.config, (self, lambda line: None)
        )
        self.began = time.monotonic()

    def behaviour(self) -> Behaviour:
        return self._behaviours.pop(0) if len(self._behaviours) > 1 else self._behaviours[0]

    def observe(self, event: Event) -> None:
        self.told.append((round(time.monotonic() - self.began, 2), event))
        self.tell(event)

    def of(self, kind: type[Event]) -> list[Any]:
        """The events of a kind, each with its time."""
        return [(at, event) for at, event in self.told if isinstance(event, kind)]

    @property
    def living(self) -> list[Process]:
        return [process for process in self.begun if not process.over.is_set()]


def with_worker_group(
    monkeypatch: pytest.MonkeyPatch,
    test: Callable[[FakeWorkerGroup], Coroutine[Any, Any, None]],
    workers: int,
    *behaviours: Behaviour,
) -> FakeWorkerGroup:
    """Run a test on such a supervisor, which is stopped behind it."""

    async def run() -> FakeWorkerGroup:
        for clock in ("monotonic", "time"):
            monkeypatch.setattr(time, clock, asyncio.get_running_loop().time)
        group = FakeWorkerGroup(workers, *behaviours)
        monkeypatch.setattr(module, "WorkerProcess", type("Process", (Process,), {"group": group}))
        try:
            await test(group)
        finally:
            await group.supervisor.stop()
        return group

    with asyncio.Runner(loop_factory=JumpingLoop) as runner:
        return runner.run(run())
