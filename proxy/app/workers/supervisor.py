"""Keeps so many workers serving: starts them, notices those that ended or hang, replaces them, and ends them.

What they are given is for `hub`, when one is given up for `supervision`. The sockets that clients connect to are the
supervisor's, which accepts nothing itself: a connection that waits when a worker dies is another one's.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import signal
import socket
import sys
import time
import traceback
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

import proxy
from proxy.admin.view import WorkerView
from proxy.app.draining import wait
from proxy.app.workers.channel import Channel, Descriptors, pack
from proxy.app.workers.supervision import (
    LOOK_SECONDS,
    WorkerEnd,
    WorkerHealth,
    WorkerPhase,
    assess,
    failures_after,
    wait_before,
)
from proxy.errors import StartupError
from proxy.events import DefectMet, WorkerLost, WorkerStarted
from proxy.observability.number_memory import BEAT, CONNECTIONS, IN_FLIGHT, NumberReader, make_memory_file
from proxy.value_classes import dataclass

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Sequence

    from proxy.app.workers.channel import Message
    from proxy.app.workers.shared_counts import SharedCounts
    from proxy.app.workers.supervisor_hub import SupervisorHub
    from proxy.config import Config
    from proxy.events import Event, Observer
    from proxy.observability.number_memory import NumberMemories


_BEGIN_SECONDS: Final = 240.0
_APPLY_SECONDS: Final = 30.0
_END_SECONDS: Final = 5.0
"""What a worker may take beyond the drain's own times."""
_CUT_SECONDS: Final = 3.0
"""What a worker may take to cut its requests once the program is to stop at once: thousands take more than one."""
_POLL: Final = 0.02


@dataclass(frozen=True, slots=True)
class ListeningSockets:
    """What workers accept from: connections of clients, and of those that have Amazon's names."""

    clients: Sequence[socket.socket] = ()
    named: Sequence[socket.socket] = ()

    def close(self) -> None:
        for bound in (*self.clients, *self.named):
            bound.close()


class Supervisor:
    """`config` gives the configuration in force, `put` takes lines for the program's output."""

    def __init__(
        self,
        hub: SupervisorHub,
        memories: NumberMemories,
        counts: SharedCounts,
        config: Callable[[], Config],
        telling: tuple[Observer, Callable[[bytes], None]],
    ) -> None:
        self._hub, self._memories, self._config = hub, memories, config
        self._counts = counts
        self._observer, self._put = telling
        self._count = config().workers
        self._living: dict[int, WorkerProcess] = {}
        self._restarts = [0] * self._count
        self._lost_at = [time.monotonic()] * self._count
        self._sockets = ListeningSockets()
        self._keepers: list[asyncio.Task[None]] = []
        self._watch: asyncio.Task[None] | None = None
        self._generation = 0
        self._ending = asyncio.Event()
        hub.workers = self

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
        """How many connections clients have, over all workers."""
        return sum(worker.connections for worker in self._living.values())

    @property
    def pools(self) -> dict[str, int]:
        """`HOST:PORT` -> connections of all workers to it."""
        sizes: dict[str, int] = {}
        for number in self._living:
            for host, size in self._hub.pools.get(number, {}).items():
                sizes[host] = sizes.get(host, 0) + size
        return sizes

    def phases(self) -> dict[str, int]:
        """How many are in which phase."""
        found = dict.fromkeys(map(str, WorkerPhase), 0)
        for worker in self._living.values():
            found[worker.phase] += 1
        found[WorkerPhase.WAITING] = self._count - len(self._living)
        return found

    def states(self) -> tuple[WorkerView, ...]:
        """Each as it is now."""
        began = time.time() - time.monotonic()
        return tuple(self._state(number, began) for number in range(self._count))

    def _state(self, number: int, began: float) -> WorkerView:
        """`began` is the zero of the monotonic clock, as wall-clock time."""
        worker, restarts = self._living.get(number), self._restarts[number]
        if worker is None:
            return WorkerView(number, 0, WorkerPhase.WAITING, began + self._lost_at[number], restarts)
        return WorkerView(number, worker.pid, worker.phase, began + worker.since, restarts)

    # --- start and stop

    async def start(self, clients: Sequence[socket.socket], named: Sequence[socket.socket] = ()) -> None:
        """Returns when all serve. Raises `StartupError` where they do not."""
        self._sockets = ListeningSockets(clients, named)
        loop = asyncio.get_running_loop()
        self._keepers = [loop.create_task(self._keep(number)) for number in range(self._count)]
        self._watch = loop.create_task(WorkerWatch(self._watched, self._hub.look, self._tell).run())
        end = loop.time() + _BEGIN_SECONDS
        while self.serving < self._count:
            if loop.time() > end:
                raise StartupError(
                    f"workers: {self.serving} of {self._count} began to serve within {_BEGIN_SECONDS:.0f} seconds; "
                    "look at the lines before this one, or set fewer `workers`."
                )
            await asyncio.sleep(_POLL)

    async def stop(self) -> None:
        """Kill those that still run, and wait until each is gone and forgotten."""
        self._ending.set()
        if self._watch is not None:
            self._watch.cancel()
        for worker in self._living.values():
            worker.kill()
        await asyncio.gather(*self._keepers)
        self._counts.close()

    async def drain(self, at_once: asyncio.Event) -> int:
        """All end as one process does; gives how many requests were cut."""
        self._ending.set()
        self._sockets.close()
        self.send_all(pack("drain"))
        settings, loop = self._config().drain, asyncio.get_running_loop()
        until = loop.time() + settings.delay + settings.timeout + _END_SECONDS
        ending = tuple(self._living.values())
        while self._living and loop.time() < until and not at_once.is_set():
            await wait(at_once, _POLL)
        if at_once.is_set():
            self.send_all(pack("drain"))  # the second time, they cut what still runs, and hand over its records
            await asyncio.wait(self._keepers, timeout=_CUT_SECONDS)
        cut = sum(worker.unfinished if worker.cut is None else worker.cut for worker in ending)
        cut += sum(worker.in_flight for worker in self._living.values() if worker.cut is None)
        for worker in self._living.values():
            worker.kill(WorkerEnd.HUNG)
        return cut

    # --- reload

    async def apply(self, config: Config) -> None:
        """Put a configuration in force everywhere; who does not take it in time is replaced by one that has it.

        A worker that still starts takes it before it serves, or right after.
        """
        self._generation += 1
        for packed in self._hub.reload(config, self._generation):
            self.send_all(packed)
        await self._hub.tell_all(config.accounts)
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
        """Send a message to every worker except the one of this number."""
        for number, worker in self._living.items():
            if number != but:
                worker.channel.send_packed(packed)

    # --- one worker after another

    async def _keep(self, number: int) -> None:
        """Keep a worker of this number running as long as the program runs."""
        failures = 0
        while not self._ending.is_set():
            worker = WorkerProcess(number, self._heard, self._hub.asked, self._put)
            try:
                try:
                    await self._run(worker)
                    detail = await worker.ended()
                finally:
                    self._forget(worker)
            except Exception as error:  # noqa: BLE001 - whatever it is, this number goes on with another worker
                detail = await self._give_up(worker, error)
            if self._ending.is_set() and (worker.cut is not None or not worker.unfinished):
                break  # nothing is without a record
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
        await worker.begin(self._sockets, self._counts.descriptor, self._count)
        if self._ending.is_set():  # meanwhile: it was not among those that were told to end
            worker.kill()
            return
        worker.applied = self._generation
        self._memories.begin(id(worker), worker.numbers)
        self._living[worker.number] = worker
        for packed in self._hub.welcome(worker.number, self._config()):
            worker.channel.send_packed(packed)

    def _forget(self, worker: WorkerProcess) -> None:
        if self._living.get(worker.number) is worker:
            del self._living[worker.number]
        self._hub.lost(worker.number)
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
                self._hub.heard(worker.number, message)

    def _watched(self) -> tuple[WorkerProcess, ...]:
        return () if self._ending.is_set() else tuple(self._living.values())

    def _tell(self, event: Event) -> None:
        """An observer may fail without an effect on the workers."""
        try:
            self._observer.observe(event)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is the event loop's to tell
            context = {"message": "an event of the workers could not be told", "exception": error}
            asyncio.get_running_loop().call_exception_handler(context)


# --- The watch for workers that hang --------------------------------------------------------------------------

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
        """Watch the workers until cancelled."""
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            self.look(time.monotonic())

    def look(self, now: float) -> None:
        looked_at, self._looked_at = self._looked_at, now
        self._looks += 1
        for worker in tuple(self._workers()):
            self._try(f"watch of worker {worker.number}", partial(_assess, worker, now, looked_at))
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


def _assess(worker: WorkerProcess, now: float, looked_at: float) -> None:
    why = assess(worker.health, now, looked_at)
    if why is not None:
        worker.kill(why)


# --- The process of one worker --------------------------------------------------------------------------------

_CODE: Final = (
    "import gc, signal, sys; gc.disable(); "
    "[signal.signal(each, signal.SIG_IGN) for each in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)]; "
    "sys.path.append(sys.argv.pop(1)); from proxy.app.workers.__main__ import main; main()"
)
"""Where the program lies is looked at last, and the directory that it was started in not at all. What a start makes is
kept: a worker looks for garbage from when it serves. Signals are the supervisor's, also while a worker begins: those
that a terminal or a service manager sends to all processes are not listened to."""
_LAST_WORDS: Final = 1.0
"""Seconds that what a dead worker still said may take to be read."""


class WorkerProcess:
    """Begun with `begin`. `heard` and `asked` get what it says. `pid` is 0 before there is a process,
    `failure` what it said that it cannot go on for, `unfinished` how many requests it had under way when it ended."""

    def __init__(
        self,
        number: int,
        heard: Callable[[WorkerProcess, Message], None],
        asked: Callable[[Message], Awaitable[Message]],
        put: Callable[[bytes], None],
    ) -> None:
        self.number, self.pid = number, 0
        self.phase, self.since = WorkerPhase.STARTING, time.monotonic()
        self.killed_for: WorkerEnd | None = None
        self.failure = ""
        self.applied = 0
        self.cut: int | None = None
        self.unfinished = 0
        self._heard, self._asked, self._put = heard, asked, put
        self._silent = asyncio.Event()

    def __repr__(self) -> str:
        return f"<WorkerProcess {self.number}: {self.phase}>"

    async def begin(self, sockets: ListeningSockets, counts: int, workers: int) -> None:
        """Start the process. Raises `OSError`."""
        with ExitStack() as lent, ExitStack() as kept:
            ours, theirs = socket.socketpair()
            kept.callback(ours.close)
            lent.callback(theirs.close)
            numbers = make_memory_file()
            lent.callback(os.close, numbers)
            reading, writing = os.pipe()
            kept.callback(os.close, reading)
            lent.callback(os.close, writing)
            widen(reading)
            listening, named = (tuple(each.fileno() for each in kind) for kind in (sockets.clients, sockets.named))
            given = Descriptors(theirs.fileno(), numbers, counts, workers, listening, named)
            root = str(Path(proxy.__file__).parents[1])
            self.numbers = NumberReader(numbers)
            kept.callback(self.numbers.close)
            self._process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-P", "-c", _CODE, root, *given.arguments()),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=writing,
                pass_fds=given.inherited(),
            )
            self.pid = self._process.pid
            kept.pop_all()
        self._pipe = LogPipe(reading, self._put)
        self.channel = Channel(ours, lambda message: self._heard(self, message), self._asked, self._silent.set)

    def serves(self) -> None:
        self.phase, self.since = WorkerPhase.SERVING, time.monotonic()

    @property
    def served(self) -> float:
        """Seconds that the worker has served so far."""
        return time.monotonic() - self.since if self.phase is WorkerPhase.SERVING else 0.0

    @property
    def health(self) -> WorkerHealth:
        return WorkerHealth(self.phase, self.since, self.numbers.header[BEAT])

    @property
    def in_flight(self) -> int:
        return int(self.numbers.header[IN_FLIGHT])

    @property
    def connections(self) -> int:
        return int(self.numbers.header[CONNECTIONS])

    def kill(self, why: WorkerEnd | None = None) -> None:
        """Kill the process at once, also a stopped one."""
        self.killed_for = self.killed_for or why
        if not self.pid:
            return
        with contextlib.suppress(ProcessLookupError):
            self._process.send_signal(signal.SIGKILL)

    async def ended(self) -> str:
        """Wait for its end, and for what it said last; gives why and how it ended."""
        code = await self._process.wait()
        self.unfinished = self.in_flight
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_LAST_WORDS):
                await self._silent.wait()
        self.channel.close()
        self._pipe.close()
        return f"{self.failure}; {how_it_ended(code)}" if self.failure else how_it_ended(code)


def how_it_ended(code: int) -> str:
    """A process, in words: by its exit code, or by a signal, which may have no name. Pure."""
    if code >= 0:
        return f"exit code {code}"
    named = -code in set(signal.Signals)
    return f"signal {signal.Signals(-code).name if named else -code}"


# --- A worker's log lines on the way to the program's output --------------------------------------------------

_PIPE_BYTES: Final = 1 << 20
"""What a batch of a busy worker's lines takes, and what Linux allows to anybody. In a pipe of the usual 64 KiB, worker
and supervisor wake each other ten times for one batch."""
_READ_INTO: Final = bytearray(_PIPE_BYTES)
"""One for all pipes, as what was read is copied out at once. Read into memory of its own, a batch costs more in pages
that the system gives and takes back than in all else."""
_LONGEST: Final = 1 << 20


def widen(descriptor: int) -> None:
    """Have a pipe hold more, where the system can do that and allows it."""
    if hasattr(fcntl, "F_SETPIPE_SZ"):
        with contextlib.suppress(OSError):
            fcntl.fcntl(descriptor, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)


def whole_lines(waiting: bytes, data: bytes) -> tuple[bytes, bytes]:
    """The lines that have their end, as one text, and what waits for it: nothing, where that is too long. Pure."""
    both = waiting + data
    end = both.rfind(b"\n") + 1
    rest = both[end:]
    return both[:end], rest if len(rest) <= _LONGEST else b""


def behind_dropped(data: bytes) -> tuple[bool, bytes]:
    """Whether a line whose beginning was dropped goes on behind this, and what is of the next ones. Pure."""
    _, ended, behind = data.partition(b"\n")
    return not ended, behind


class LogPipe:
    """Reads a pipe until its end, and passes on what came."""

    def __init__(self, descriptor: int, put: Callable[[bytes], None]) -> None:
        os.set_blocking(descriptor, False)
        self._descriptor, self._put = descriptor, put
        self._waiting = b""
        self._drops = False
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(descriptor, self._read)

    def __repr__(self) -> str:
        return f"<LogPipe: {'open' if self._descriptor >= 0 else 'closed'}, {len(self._waiting)} bytes waiting>"

    def _read(self) -> None:
        try:
            data = bytes(memoryview(_READ_INTO)[: os.readv(self._descriptor, [_READ_INTO])])
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            data = b""
        if not data:
            self.close()
            return
        if self._drops:
            self._drops, data = behind_dropped(data)
        lines, self._waiting = whole_lines(self._waiting, data)
        if data and not data.endswith(b"\n") and not self._waiting:
            self._drops = True
        if lines:
            self._put(lines)

    def close(self) -> None:
        if self._descriptor >= 0:
            self._loop.remove_reader(self._descriptor)
            os.close(self._descriptor)
            self._descriptor = -1
