"""Keeps so many workers serving: starts them, notices who has ended or stands still, replaces them, and ends them.

What they are given is for `desk`, when one is given up for `supervision`. The sockets that tools connect to are the
supervisor's, which accepts nothing itself: a connection that waits when a worker dies is another one's.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
import traceback
from functools import partial
from typing import TYPE_CHECKING, Final

from proxy.app.draining import wait
from proxy.app.workers.channel import pack
from proxy.app.workers.supervision import (
    LOOK_SECONDS,
    WorkerEnd,
    WorkerPhase,
    WorkerState,
    failures_after,
    judge,
    wait_before,
)
from proxy.app.workers.worker_process import WorkerProcess
from proxy.errors import StartupError
from proxy.events import DefectMet, WorkerLost, WorkerStarted

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Iterable

    from proxy.app.workers.channel import Message
    from proxy.app.workers.desk import Desk
    from proxy.app.workers.shared_counts import SharedCounts
    from proxy.config import Config
    from proxy.events import Event, Observer
    from proxy.observability.number_memory import NumberMemories


_BEGIN_SECONDS: Final = 60.0
_APPLY_SECONDS: Final = 10.0
_END_SECONDS: Final = 5.0
"""What a worker may take beyond the drain's own times."""
_POLL: Final = 0.02


class Supervisor:
    """`config` gives the configuration in force, `put` takes lines for the program's output."""

    def __init__(
        self,
        desk: Desk,
        memories: NumberMemories,
        counts: SharedCounts,
        config: Callable[[], Config],
        telling: tuple[Observer, Callable[[bytes], None]],
    ) -> None:
        self._desk, self._memories, self._config = desk, memories, config
        self._counts = counts
        self._observer, self._put = telling
        self._count = config().workers
        self._living: dict[int, WorkerProcess] = {}
        self._restarts = [0] * self._count
        self._lost_at = [time.monotonic()] * self._count
        self._listening: list[socket.socket] = []
        self._keepers: list[asyncio.Task[None]] = []
        self._generation = 0
        self._ending = asyncio.Event()
        desk.workers = self

    def __repr__(self) -> str:
        return f"<Supervisor of {self._count} workers, {self.serving} serving>"

    # --- what there is

    @property
    def serving(self) -> int:
        return sum(worker.phase is WorkerPhase.SERVING for worker in self._living.values())

    @property
    def in_flight(self) -> int:
        return sum(worker.in_flight for worker in self._living.values())

    @property
    def connections(self) -> int:
        """Of tools."""
        return sum(worker.connections for worker in self._living.values())

    @property
    def pools(self) -> dict[str, int]:
        """`HOST:PORT` -> connections of all workers to it."""
        sizes: dict[str, int] = {}
        for number in self._living:
            for host, size in self._desk.pools.get(number, {}).items():
                sizes[host] = sizes.get(host, 0) + size
        return sizes

    def phases(self) -> dict[str, int]:
        """How many are in which phase."""
        found = dict.fromkeys(map(str, WorkerPhase), 0)
        for worker in self._living.values():
            found[worker.phase] += 1
        found[WorkerPhase.WAITING] = self._count - len(self._living)
        return found

    def states(self) -> tuple[WorkerState, ...]:
        """Each as it is now."""
        now = time.monotonic()
        return tuple(self._state(number, now) for number in range(self._count))

    def _state(self, number: int, now: float) -> WorkerState:
        worker, restarts = self._living.get(number), self._restarts[number]
        if worker is None:
            return WorkerState(number, 0, WorkerPhase.WAITING, now - self._lost_at[number], restarts)
        return WorkerState(number, worker.pid, worker.phase, now - worker.since, restarts)

    # --- start and stop

    async def start(self, listening: list[socket.socket]) -> None:
        """Returns when all serve. Raises `StartupError` where they do not."""
        self._listening = listening
        loop = asyncio.get_running_loop()
        self._keepers = [loop.create_task(self._keep(number)) for number in range(self._count)]
        self._keepers.append(loop.create_task(WorkerWatch(self._watched, self._desk.look, self._tell).run()))
        end = loop.time() + _BEGIN_SECONDS
        while self.serving < self._count:
            if loop.time() > end:
                raise StartupError(
                    f"workers: {self.serving} of {self._count} began to serve within {_BEGIN_SECONDS:.0f} seconds; "
                    "look at the lines before this one, or set fewer `workers`."
                )
            await asyncio.sleep(_POLL)

    async def stop(self) -> None:
        """Whoever still runs is killed."""
        self._ending.set()
        for keeper in self._keepers:
            keeper.cancel()
        for worker in tuple(self._living.values()):
            worker.kill()
            await worker.ended()
        self._counts.close()

    async def drain(self, at_once: asyncio.Event) -> int:
        """All end as one process does; gives how many requests were cut."""
        self._ending.set()
        for bound in self._listening:
            bound.close()
        self.send_all(pack("drain"))
        settings, loop = self._config().drain, asyncio.get_running_loop()
        until = loop.time() + settings.delay + settings.timeout + _END_SECONDS
        ending = tuple(self._living.values())
        while self._living and loop.time() < until and not at_once.is_set():
            await wait(at_once, _POLL)
        cut = sum(worker.unfinished if worker.cut is None else worker.cut for worker in ending)
        return cut + sum(worker.in_flight for worker in self._living.values())

    # --- reload

    async def apply(self, config: Config) -> None:
        """Put a configuration in force everywhere; who does not take it in time is replaced by one that has it.

        A worker that still starts takes it before it serves, or right after.
        """
        self._generation += 1
        self.send_all(self._desk.reload(config, self._generation))
        self._desk.tell_all(config.accounts)
        end = time.monotonic() + _APPLY_SECONDS
        while late := [worker for worker in self._living.values() if self._is_behind(worker)]:
            if time.monotonic() > end:
                for worker in late:
                    worker.kill(WorkerEnd.HUNG)
                return
            await asyncio.sleep(_POLL)

    def _is_behind(self, worker: WorkerProcess) -> bool:
        return worker.phase is WorkerPhase.SERVING and worker.applied < self._generation

    def send_all(self, packed: bytes, but: int | None = None) -> None:
        """To every worker, but for the one of this number."""
        for number, worker in self._living.items():
            if number != but:
                worker.channel.send_packed(packed)

    # --- one worker after another

    async def _keep(self, number: int) -> None:
        """As long as the program runs, there is a worker of this number."""
        failures = 0
        while not self._ending.is_set():
            worker = WorkerProcess(number, self._heard, self._desk.asked, self._put)
            try:
                try:
                    await self._run(worker)
                    detail = await worker.ended()
                finally:
                    self._forget(worker)
            except Exception as error:  # noqa: BLE001 - whatever it is, this number goes on with another worker
                detail = await self._give_up(worker, error)
            if self._ending.is_set():
                break
            failures = failures_after(failures, worker.served)
            retry_in = wait_before(failures)
            self._restarts[number] += 1
            self._lost_at[number] = time.monotonic()
            reason = worker.killed_for or WorkerEnd.CRASHED
            self._tell(WorkerLost(number, worker.pid, reason, detail, retry_in, worker.unfinished))
            await wait(self._ending, retry_in)

    async def _give_up(self, worker: WorkerProcess, error: Exception) -> str:
        """End what could not be begun whole, or kept; gives why. That the system has no room is no defect."""
        worker.kill()
        with contextlib.suppress(Exception):
            await worker.ended()
        if isinstance(error, OSError):
            return str(error)
        self._tell(DefectMet(f"worker {worker.number}", "".join(traceback.format_exception(error))))
        return f"it could not be kept: {type(error).__name__}, told as a defect"

    async def _run(self, worker: WorkerProcess) -> None:
        descriptors = tuple(bound.fileno() for bound in self._listening)
        await worker.begin(descriptors, self._counts.descriptor, self._count)
        if self._ending.is_set():  # meanwhile: it was not among those that were told to end
            worker.kill()
            return
        worker.applied = self._generation
        self._memories.begin(id(worker), worker.numbers)
        self._living[worker.number] = worker
        for packed in self._desk.welcome(worker.number, self._config()):
            worker.channel.send_packed(packed)

    def _forget(self, worker: WorkerProcess) -> None:
        if self._living.get(worker.number) is worker:
            del self._living[worker.number]
        self._desk.pools.pop(worker.number, None)
        self._counts.forget(worker.number)
        self._memories.end(id(worker))

    def _heard(self, worker: WorkerProcess, message: Message) -> None:
        match message["kind"]:
            case "serving":
                worker.serves()
                self._tell(WorkerStarted(worker.number, worker.pid))
            case "applied":
                worker.applied = message["generation"]
            case "drained":
                worker.cut = message["cut"]
            case "failed":
                worker.failure = f"at '{message['at']}': {message['reason']}"
                if message["trace"]:
                    self._tell(DefectMet(f"worker {worker.number}", message["trace"]))
            case _:
                self._desk.heard(worker.number, message)

    def _watched(self) -> tuple[WorkerProcess, ...]:
        return () if self._ending.is_set() else tuple(self._living.values())

    def _tell(self, event: Event) -> None:
        """Who hears it may fail, and nobody is kept less for it."""
        try:
            self._observer.observe(event)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is the event loop's to tell
            context = {"message": "an event of the workers could not be told", "exception": error}
            asyncio.get_running_loop().call_exception_handler(context)


# --- Looks again and again whether a worker stands still, and ends one that does; its keeper sees to -----

LOOKS_UNTIL_ELSEWHERE: Final = 4


class WorkerWatch:
    """`workers` gives those to look at, `look_elsewhere` is called now and then, `tell` gets the defects."""

    def __init__(
        self,
        workers: Callable[[], Iterable[WorkerProcess]],
        look_elsewhere: Callable[[], None],
        tell: Callable[[Event], None],
    ) -> None:
        self._workers, self._look_elsewhere, self._tell = workers, look_elsewhere, tell
        self._looked_at, self._looks = time.monotonic(), 0
        self._met: dict[str, str] = {}

    def __repr__(self) -> str:
        return f"<WorkerWatch: {self._looks} looks, {len(self._met)} of them fail>"

    async def run(self) -> None:
        """Until it is cancelled."""
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            self.look(time.monotonic())

    def look(self, now: float) -> None:
        looked_at, self._looked_at = self._looked_at, now
        self._looks += 1
        for worker in tuple(self._workers()):
            self._try(f"watch of worker {worker.number}", partial(_judge, worker, now, looked_at))
        if self._looks % LOOKS_UNTIL_ELSEWHERE == 0:
            self._try("watch of lists", self._look_elsewhere)

    def _try(self, where: str, step: Callable[[], None]) -> None:
        try:
            step()
        except Exception as error:  # noqa: BLE001 - whatever it is, the next look is taken
            trace = "".join(traceback.format_exception(error))
            if self._met.get(where) != trace:
                self._met[where] = trace
                self._tell(DefectMet(where, trace))
        else:
            self._met.pop(where, None)


def _judge(worker: WorkerProcess, now: float, looked_at: float) -> None:
    why = judge(worker.vitals, now, looked_at)
    if why is not None:
        worker.kill(why)
