"""What keeps the workers goes on, whatever beginning one of them met."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import fcntl
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from proxy.app.workers import supervisor
from proxy.app.workers import supervisor as module
from proxy.app.workers.channel import pack
from proxy.app.workers.shared_counts import SharedCounts
from proxy.app.workers.supervision import HANG_SECONDS, START_SECONDS, WorkerEnd, WorkerHealth, WorkerPhase
from proxy.app.workers.supervisor import (
    LOOKS_UNTIL_ELSEWHERE,
    ListeningSockets,
    LogPipe,
    Supervisor,
    WorkerProcess,
    WorkerWatch,
    how_it_ended,
    whole_lines,
    widen,
)
from proxy.events import DefectMet, Event, WorkerLost
from proxy.observability.number_memory import NumberMemories
from tests.support.patience import PATIENCE, settled
from tests.support.tokens import virtual_time

PID = 4711


class Process:
    """Replaces `WorkerProcess`: `begin` raises what `errors` holds first; a killed one has ended."""

    errors: list[Exception]
    all: list[Process]

    def __init__(self, number: int, *_: Any) -> None:
        self.number, self.pid, self.served, self.killed_for = number, 0, 0.0, None
        self.phase, self.numbers, self.channel = WorkerPhase.STARTING, None, self
        self.said: list[bytes] = []
        self.unfinished, self.cut = 0, None
        self.over = asyncio.Event()
        self.all.append(self)

    async def begin(self, *_: Any) -> None:
        if self.errors:
            raise self.errors.pop(0)
        self.pid = PID

    def send_packed(self, data: bytes) -> None:
        self.said.append(data)
        self.phase = WorkerPhase.SERVING

    def kill(self) -> None:
        self.over.set()

    async def ended(self) -> str:
        await self.over.wait()
        return "signal SIGKILL"


class FakeHub:
    """Welcomes with one message; `errors` are raised first."""

    def __init__(self, *errors: Exception) -> None:
        self.pools: dict[int, Any] = {}
        self._errors = list(errors)

    async def asked(self, message: Any) -> Any: ...

    def look(self) -> None: ...

    def lost(self, number: int) -> None:
        self.pools.pop(number, None)

    def welcome(self, number: int, config: Any) -> Iterator[bytes]:
        if self._errors:
            raise self._errors.pop(0)
        yield b"begin"


class SentMessages:
    """What was told, up to the end of a worker."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.lost = asyncio.Event()

    def observe(self, event: Event) -> None:
        self.events.append(event)
        if isinstance(event, WorkerLost):
            self.lost.set()


class Memories(NumberMemories):
    def begin(self, key: int, reader: Any) -> None: ...


async def kept(monkeypatch: pytest.MonkeyPatch, hub: FakeHub, *errors: Exception) -> tuple[list[Event], list[Process]]:
    """The events until one worker serves, and all processes begun."""
    monkeypatch.setattr(Process, "errors", list(errors), raising=False)
    monkeypatch.setattr(Process, "all", [], raising=False)
    monkeypatch.setattr(module, "WorkerProcess", Process)
    told = SentMessages()
    shared: Any = SimpleNamespace(forget=lambda _: None, close=lambda: None, descriptor=-1)
    config: Any = SimpleNamespace(workers=1)
    supervisor = Supervisor(cast(Any, hub), Memories(), shared, lambda: config, (told, lambda _: None))
    async with asyncio.timeout(PATIENCE):
        await supervisor.start([])
        assert repr(supervisor) == "<Supervisor of 1 workers, 1 serving>"
        await supervisor.stop()
    return told.events, Process.all


async def test_a_worker_that_cannot_be_begun_is_an_end_like_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """An unexpected error causes the reason, the defect once, and another worker of that number."""
    events, processes = await kept(monkeypatch, FakeHub(), RuntimeError("no such thing"))
    defect, lost = events
    assert isinstance(defect, DefectMet)
    assert defect.where == "worker 0"
    assert defect.traceback.endswith("RuntimeError: no such thing\n")
    assert lost == WorkerLost(0, 0, "crashed", "it could not be kept: RuntimeError, told as a defect", 0.0)
    assert [process.said for process in processes] == [[], [b"begin"]]


async def test_a_system_without_room_is_no_defect(monkeypatch: pytest.MonkeyPatch) -> None:
    """Too many open files, for instance, is a reported reason, and the worker is tried again."""
    events, processes = await kept(monkeypatch, FakeHub(), OSError("no room"))
    assert events == [WorkerLost(0, 0, "crashed", "no room", 0.0)]
    assert len(processes) == 2


async def test_a_worker_that_cannot_be_welcomed_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    """The worker's process runs already: it is killed, not left to itself, and another one begins."""
    events, processes = await kept(monkeypatch, FakeHub(KeyError("acme")))
    defect, lost = events
    assert isinstance(defect, DefectMet)
    assert lost == WorkerLost(0, PID, "crashed", "it could not be kept: KeyError, told as a defect", 0.0)
    assert [process.over.is_set() for process in processes] == [True, True]
    assert [process.said for process in processes] == [[], [b"begin"]]


class CarelessHub(FakeHub):
    """Says too little for a worker to begin with."""

    def welcome(self, number: int, config: Any) -> Iterator[bytes]:
        yield pack("begin", number=number)


async def test_a_worker_that_cannot_begin_says_why(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """A real process: its reason is in the line of its end, its trace is a defect, and nothing else is written."""
    monkeypatch.setattr(module, "wait_before", lambda _: 60.0)
    told, counts = SentMessages(), SharedCounts.make(1)
    config: Any = SimpleNamespace(workers=1)
    supervisor = Supervisor(cast(Any, CarelessHub()), NumberMemories(), counts, lambda: config, (told, lambda _: None))
    starting = asyncio.create_task(supervisor.start([]))
    try:
        async with asyncio.timeout(50):
            await told.lost.wait()
    finally:
        starting.cancel()
        await supervisor.stop()
    defect, lost = told.events
    assert isinstance(defect, DefectMet)
    assert defect.traceback.endswith("KeyError: 'config'\n")
    assert isinstance(lost, WorkerLost)
    assert (lost.reason, lost.detail) == ("crashed", "at 'begin': KeyError, told as a defect; exit code 1")
    assert capfd.readouterr() == ("", "")


class SilentHub(FakeHub):
    """Leaves a worker waiting for its beginning."""

    def welcome(self, number: int, config: Any) -> Iterator[bytes]:
        yield from ()


async def test_a_worker_that_does_not_serve_yet_is_ended_by_a_stop() -> None:
    """A real process: it is gone, its memory is given back, and the reason for the stop is not lost in a traceback."""
    told, counts = SentMessages(), SharedCounts.make(1)
    config: Any = SimpleNamespace(workers=1)
    supervisor = Supervisor(cast(Any, SilentHub()), NumberMemories(), counts, lambda: config, (told, lambda _: None))
    starting = asyncio.create_task(supervisor.start([]))
    try:
        await settled(lambda: supervisor.states()[0].pid)
        pid = supervisor.states()[0].pid
    finally:
        starting.cancel()
        await supervisor.stop()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    assert supervisor.states()[0].pid == 0


def test_signals_are_ignored_before_a_worker_imports_anything(tmp_path: Path) -> None:
    """At Ctrl-C they all begin, for seconds: none ends with a traceback, or as one that crashed."""
    package = tmp_path / "proxy" / "app" / "workers"
    package.mkdir(parents=True)
    (tmp_path / "proxy" / "__init__.py").write_text(
        "import signal\nprint([signal.getsignal(each) is signal.SIG_IGN for each in (2, 15, 1)])\n"
    )
    (package / "__main__.py").write_text("def main(): print('began')\n")
    command = sys.executable, "-S", "-P", "-c", supervisor._CODE, str(tmp_path)
    said = subprocess.run(command, env={}, capture_output=True, check=True, text=True)
    assert said.stdout.splitlines() == ["[True, True, True]", "began"]


NOW = 1000.0


class Watched:
    """Replaces a `WorkerProcess`. With an `error` its vitals cannot be read."""

    def __init__(self, number: int, beat: float, phase: WorkerPhase = WorkerPhase.SERVING) -> None:
        self.number, self._health = number, WorkerHealth(phase, NOW, beat)
        self.error = ""
        self.killed_for: WorkerEnd | None = None

    @property
    def health(self) -> WorkerHealth:
        if self.error:
            raise ValueError(self.error)
        return self._health

    def kill(self, why: WorkerEnd) -> None:
        self.killed_for = why


class Bench:
    """A watch over these, at a time that is given."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *workers: Any) -> None:
        self.now, self.told, self.elsewhere = NOW, list[Event](), 0
        self.error = ""
        monkeypatch.setattr(time, "monotonic", lambda: NOW)
        self.watch = WorkerWatch(lambda: workers, self._look_elsewhere, self.told.append)

    def look(self, times: int = 1) -> None:
        for _ in range(times):
            self.now += 0.5
            self.watch.look(self.now)

    def _look_elsewhere(self) -> None:
        self.elsewhere += 1
        if self.error:
            raise KeyError(self.error)


def test_one_that_hangs_is_ended_and_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    """By its last beat, or by how long it has been starting."""
    well, still = Watched(0, NOW + HANG_SECONDS), Watched(1, NOW)
    starting = Watched(2, 0.0, WorkerPhase.STARTING)
    bench = Bench(monkeypatch, well, still, starting)
    bench.look(10)
    assert [each.killed_for for each in (well, still, starting)] == [None, None, None]
    bench.look()
    assert [each.killed_for for each in (well, still, starting)] == [None, WorkerEnd.HUNG, None]
    bench.look(int(START_SECONDS / 0.5))
    assert starting.killed_for is WorkerEnd.NOT_READY
    assert bench.told == []


def test_a_look_that_fails_is_told_once_and_keeps_nobody_from_being_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    """The next worker is judged, the next look is taken, and a new failure is reported again."""
    broken, still = Watched(0, NOW), Watched(1, NOW)
    broken.error = "no such number"
    bench = Bench(monkeypatch, broken, still)
    bench.look(20)
    assert still.killed_for is WorkerEnd.HUNG
    [told] = bench.told
    assert isinstance(told, DefectMet)
    assert told.where == "watch of worker 0"
    assert told.traceback.endswith("ValueError: no such number\n")
    assert repr(bench.watch) == "<WorkerWatch: 20 looks, 1 of them fail>"
    broken.error = ""
    bench.look()
    assert (broken.killed_for, repr(bench.watch)) == (WorkerEnd.HUNG, "<WorkerWatch: 21 looks, 0 of them fail>")
    broken.error = "no such number"
    bench.look()
    assert len(bench.told) == 2


def test_what_no_event_tells_is_looked_at_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where that fails it is told, and tried again."""
    bench = Bench(monkeypatch)
    bench.error = "acme"
    bench.look(LOOKS_UNTIL_ELSEWHERE - 1)
    assert bench.elsewhere == 0
    bench.look(LOOKS_UNTIL_ELSEWHERE + 1)
    assert bench.elsewhere == 2
    assert [(type(told), getattr(told, "where", "")) for told in bench.told] == [(DefectMet, "watch of lists")]


@virtual_time
async def test_it_looks_twice_a_second_until_it_is_ended() -> None:
    """Each look on the clock that beats are told on."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(time, "monotonic", asyncio.get_running_loop().time)
        watch = WorkerWatch(lambda: (), lambda: None, lambda event: None)
        running = asyncio.create_task(watch.run())
        await asyncio.sleep(60.25)
        running.cancel()
    assert repr(watch) == "<WorkerWatch: 120 looks, 0 of them fail>"


FILES = Path("/proc/self/fd")


async def answer(message: dict[str, Any]) -> dict[str, Any]:
    return message


@pytest.mark.skipif(not FILES.is_dir(), reason="this system does not show open files")
@pytest.mark.parametrize(
    ("module", "name"),
    [
        (socket, "socketpair"),
        (supervisor, "make_memory_file"),
        (os, "pipe"),
        (supervisor, "NumberReader"),
        (asyncio, "create_subprocess_exec"),
    ],
)
async def test_a_start_that_fails_leaves_no_file_open(module: Any, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whichever step finds that the limit of open files is reached, the attempts that follow have what there was."""

    def fail(*_: Any, **__: Any) -> None:
        raise OSError(errno.EMFILE, "Too many open files")

    worker = WorkerProcess(0, lambda *_: None, answer, lambda _: None)
    monkeypatch.setattr(module, name, fail)
    before = sorted(FILES.iterdir())
    with pytest.raises(OSError, match="Too many open files"):
        await worker.begin(ListeningSockets(), 0, 2)
    assert sorted(FILES.iterdir()) == before


@pytest.mark.parametrize(
    ("code", "said"), [(0, "exit code 0"), (1, "exit code 1"), (-9, "signal SIGKILL"), (-35, "signal 35")]
)
def test_an_end_is_told_in_words(code: int, said: str) -> None:
    """A signal without a name has words as well."""
    assert how_it_ended(code) == said


@pytest.mark.parametrize(
    ("waiting", "data", "lines", "rest"),
    [
        (b"", b"one\ntwo\n", b"one\ntwo\n", b""),
        (b"o", b"ne\ntw", b"one\n", b"tw"),
        (b"o", b"n", b"", b"on"),
        (b"", b"x" * 2_000_000, b"", b""),
    ],
)
def test_lines_are_handed_on_once_they_are_whole(waiting: bytes, data: bytes, lines: bytes, rest: bytes) -> None:
    """What has no end yet waits for it; what never gets one is dropped."""
    assert whole_lines(waiting, data) == (lines, rest)


@pytest.mark.usefixtures("every_loop")
async def test_the_half_line_of_a_killed_worker_is_dropped() -> None:
    """Whole lines come out in their order, and the pipe ends with its writer."""
    reading, writing = os.pipe()
    put: list[bytes] = []
    pipe = LogPipe(reading, put.append)
    os.write(writing, b'{"a":1}\n{"b"')
    os.write(writing, b':2}\n{"c')
    os.close(writing)
    await settled(lambda: "closed" in repr(pipe))
    assert b"".join(put) == b'{"a":1}\n{"b":2}\n'


@pytest.mark.usefixtures("every_loop")
async def test_a_line_that_is_too_long_is_dropped_to_its_end() -> None:
    """The tail is not taken for a line of its own, and the lines around it come out."""
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    put: list[bytes] = []
    pipe = LogPipe(reading, put.append)
    said = b'{"a":1}\n' + b"x" * 3_000_000 + b'tail\n{"b":2}\n' + b"y" * 2_000_000 + b"\n" + b'{"c":3}\n'
    async with asyncio.timeout(PATIENCE):
        while said:
            with contextlib.suppress(BlockingIOError):
                said = said[os.write(writing, said) :]
            await asyncio.sleep(0)
        os.close(writing)
        while "closed" not in repr(pipe):
            await asyncio.sleep(0)
    assert b"".join(put) == b'{"a":1}\n{"b":2}\n{"c":3}\n'


def test_a_wider_pipe_takes_a_whole_batch_at_once() -> None:
    """No read is needed meanwhile, so writer and reader are woken once."""
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    widen(reading)
    if hasattr(fcntl, "F_GETPIPE_SZ"):
        assert os.write(writing, b"x" * 600_000) == 600_000
    os.close(reading)
    os.close(writing)


def test_what_is_no_pipe_stays_as_it_is() -> None:
    """A system that cannot widen pipes, or does not allow it, is no reason to stop serving."""
    descriptor = os.open(os.devnull, os.O_RDONLY)
    widen(descriptor)
    os.close(descriptor)
