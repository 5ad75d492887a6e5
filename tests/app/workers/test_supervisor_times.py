"""What keeps the workers, through everything that they may do and everything that it may be told meanwhile.

The clock is the test's: half a minute takes no time, and the seconds that are asserted are exact.
"""

from __future__ import annotations

import asyncio
import time
from itertools import pairwise

import pytest

from proxy.app.workers.supervision import WorkerEnd
from proxy.errors import StartupError
from proxy.events import DefectMet, Event, WorkerLost, WorkerStarted
from tests.support.worker_group import NEVER, Behaviour, FakeWorkerGroup, with_worker_group

WELL = Behaviour()


def losses(group: FakeWorkerGroup) -> list[tuple[float, int, str, str, float]]:
    """When which worker was lost, why, how it ended, and in how many seconds there is another."""
    return [(at, lost.number, lost.reason, lost.detail, lost.retry_in) for at, lost in group.of(WorkerLost)]


def test_all_serve_when_it_has_started(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each is told once, and none is there any more when it is stopped."""

    async def start(group: FakeWorkerGroup) -> None:
        await group.supervisor.start([])
        assert repr(group.supervisor) == "<Supervisor of 3 workers, 3 serving>"
        assert group.supervisor.phases() == {"starting": 0, "serving": 3, "waiting": 0}

    group = with_worker_group(monkeypatch, start, 3)
    started = [event for _, event in group.of(WorkerStarted)]
    assert sorted(started, key=lambda event: event.number) == [WorkerStarted(n, 100 + n) for n in range(3)]
    assert group.living == []


def test_one_after_another_that_ends_at_once_is_replaced_less_and_less_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """At once the first time, then after twice as long each, up to five seconds; one that served ends the row."""
    soon, served = Behaviour(ends=0.2), Behaviour(ends=2.1)

    async def keep(group: FakeWorkerGroup) -> None:
        await group.supervisor.start([])
        await asyncio.sleep(60)

    group = with_worker_group(monkeypatch, keep, 1, *[soon] * 8, served, soon, WELL)
    waits = [retry_in for *_, retry_in in losses(group)]
    assert waits == [0.0, 0.25, 0.5, 1.0, 2.0, 4.0, 5.0, 5.0, 0.0, 0.0]
    asked = [at for _, at in group.asked_for]
    between = [round(after - before, 2) for before, after in pairwise(asked)]
    assert between == [round(wait + lived, 2) for wait, lived in zip(waits, [0.2] * 8 + [2.1, 0.2], strict=True)]
    assert len(group.forgotten) == 11


def test_what_each_does_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    """Since when, as which process, and how often another took its place; also of one that waits for its turn."""

    def shown(group: FakeWorkerGroup) -> list[tuple[int, int, str, float, int]]:
        states = group.supervisor.states()
        now = time.time()
        return [(each.number, each.pid, each.state, round(now - each.since, 2), each.restarts) for each in states]

    async def look(group: FakeWorkerGroup) -> None:
        starting = asyncio.create_task(group.supervisor.start([]))
        await asyncio.sleep(0.5)
        assert shown(group) == [(0, 100, "serving", 0.4, 0), (1, 102, "starting", 0.3, 1)]
        await asyncio.sleep(2.1)
        assert shown(group) == [(0, 100, "serving", 2.5, 0), (1, 0, "waiting", 0.1, 2)]
        await starting
        await asyncio.sleep(10)
        (_, _, _, first, _), (_, _, _, second, _) = shown(group)
        assert first - second == pytest.approx(2.75)
        assert [each[:3] + each[4:] for each in shown(group)] == [(0, 100, "serving", 0), (1, 103, "serving", 2)]

    with_worker_group(monkeypatch, look, 2, WELL, Behaviour(ends=0.2), Behaviour(serves=NEVER, ends=2.3), WELL)


def test_one_that_never_begins_to_serve_is_ended_and_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    """After two minutes; the start waits for its successor, and the other one serves all along."""

    async def start(group: FakeWorkerGroup) -> None:
        await group.supervisor.start([])
        assert 120 < time.monotonic() - group.began < 121

    group = with_worker_group(monkeypatch, start, 2, Behaviour(serves=NEVER), WELL)
    assert losses(group) == [(120.5, 0, WorkerEnd.NOT_READY, "signal SIGKILL", 0.0)]
    assert [event.number for _, event in group.of(WorkerStarted)] == [1, 0]


def test_a_start_at_which_none_begins_to_serve_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    """The start fails after four minutes, with advice; a worker that still starts is ended."""

    async def start(group: FakeWorkerGroup) -> None:
        with pytest.raises(StartupError, match=r"^workers: 1 of 2 began to serve within 240 seconds; .*`workers`\.$"):
            await group.supervisor.start([])

    group = with_worker_group(monkeypatch, start, 2, WELL, Behaviour(serves=NEVER))
    assert group.living == []


def test_one_that_hangs_is_replaced_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """The worker may hang for five seconds, and is replaced within half a second; no other worker is touched."""

    async def wait(group: FakeWorkerGroup) -> None:
        await group.supervisor.start([])
        await asyncio.sleep(30)
        assert group.supervisor.serving == 2

    group = with_worker_group(monkeypatch, wait, 2, Behaviour(stands_still=10.0), WELL)
    assert losses(group) == [(15.5, 0, WorkerEnd.HUNG, "signal SIGKILL", 0.0)]
    assert [number for number, _ in group.asked_for] == [0, 1, 0]


def test_one_that_ends_during_its_start_is_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    """The worker had reported nothing yet; the start waits for the next."""

    async def start(group: FakeWorkerGroup) -> None:
        await group.supervisor.start([])
        assert group.supervisor.serving == 1

    group = with_worker_group(monkeypatch, start, 1, Behaviour(serves=5.0, ends=3.0), WELL)
    assert losses(group) == [(3.0, 0, WorkerEnd.CRASHED, "exit code 0", 0.0)]


def test_one_that_cannot_take_a_reload_is_replaced_by_one_that_has_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """The others have taken it long since, and go on; the reload is done when the late worker is given up."""

    async def reload(group: FakeWorkerGroup) -> None:
        await group.supervisor.start([])
        began = time.monotonic()
        await group.supervisor.apply(group.config)
        assert 30 < time.monotonic() - began < 30.1
        await asyncio.sleep(1)
        assert [process.applied for process in group.living] == [1, 1]
        assert [process.said for process in group.living] == [["serve", "apply"], ["serve"]]

    group = with_worker_group(monkeypatch, reload, 2, Behaviour(applies=NEVER), WELL)
    assert [loss[1:] for loss in losses(group)] == [(0, WorkerEnd.HUNG, "signal SIGKILL", 0.0)]


def test_a_reload_waits_for_nobody_that_does_not_serve(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that starts meanwhile is told, and takes it when it can."""

    async def reload(group: FakeWorkerGroup) -> None:
        await group.supervisor.start([])
        await asyncio.sleep(2)
        assert group.supervisor.phases() == {"starting": 1, "serving": 1, "waiting": 0}
        began = time.monotonic()
        await group.supervisor.apply(group.config)
        assert time.monotonic() - began < 0.2
        assert [process.said for process in group.living] == [["serve", "apply"]] * 2

    with_worker_group(monkeypatch, reload, 2, Behaviour(ends=1.5), WELL, Behaviour(serves=20.0))


def test_who_drains_is_not_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    """All are told at once; what each had to cut is added up, also of one that takes longer than it may. That one is
    killed, and reported with the requests that have no record."""

    async def drain(group: FakeWorkerGroup) -> None:
        await group.supervisor.start([])
        began = time.monotonic()
        assert await group.supervisor.drain(asyncio.Event()) == 2 + 7
        assert 15.99 < time.monotonic() - began < 16.1

    group = with_worker_group(monkeypatch, drain, 2, Behaviour(cut=2, drains=3.0), Behaviour(in_flight=7, drains=NEVER))
    assert len(group.asked_for) == 2
    assert [lost for _, lost in group.of(WorkerLost)] == [WorkerLost(1, 101, "hung", "signal SIGKILL", 0.0, 7)]
    assert group.living == []


def test_the_requests_of_a_worker_that_dies_during_a_drain_count_as_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    """The worker did not report what it had to cut: its requests are missing, and that is reported when it dies."""

    async def drain(group: FakeWorkerGroup) -> None:
        await group.supervisor.start([])
        assert await group.supervisor.drain(asyncio.Event()) == 2 + 4

    group = with_worker_group(
        monkeypatch, drain, 2, Behaviour(cut=2, drains=3.0), Behaviour(in_flight=4, ends=5.0, drains=NEVER)
    )
    assert group.of(WorkerLost) == [(5.0, WorkerLost(1, 101, "crashed", "exit code 0", 0.0, 4))]
    assert len(group.asked_for) == 2


def test_at_the_second_signal_workers_cut_what_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Workers end by themselves, so that clients get a response and requests their records. Thousands take a while."""

    async def drain(group: FakeWorkerGroup) -> None:
        await group.supervisor.start([])
        began, at_once = time.monotonic(), asyncio.Event()
        asyncio.get_running_loop().call_later(2.0, at_once.set)
        assert await group.supervisor.drain(at_once) == 2
        assert 3.49 < time.monotonic() - began < 3.6

    group = with_worker_group(monkeypatch, drain, 1, Behaviour(in_flight=3, drains=NEVER, cuts=1.5, cut=2))
    assert [(process.said, process.by_signal) for process in group.begun] == [(["serve", "drain", "drain"], False)]


def test_the_second_signal_waits_three_seconds_for_a_worker_that_hangs(monkeypatch: pytest.MonkeyPatch) -> None:
    """What still runs counts as cut, and its worker is killed."""

    async def drain(group: FakeWorkerGroup) -> None:
        await group.supervisor.start([])
        began, at_once = time.monotonic(), asyncio.Event()
        asyncio.get_running_loop().call_later(2.0, at_once.set)
        assert await group.supervisor.drain(at_once) == 3
        assert 4.99 < time.monotonic() - began < 5.1

    group = with_worker_group(monkeypatch, drain, 1, Behaviour(in_flight=3, drains=NEVER, cuts=NEVER))
    assert [process.by_signal for process in group.begun] == [True]


def test_one_that_is_being_started_is_ended_by_a_drain(monkeypatch: pytest.MonkeyPatch) -> None:
    """The drain does not wait for the worker, it never serves, and none comes after it."""

    async def drain(group: FakeWorkerGroup) -> None:
        await group.supervisor.start([])
        await asyncio.sleep(2)
        began = time.monotonic()
        assert await group.supervisor.drain(asyncio.Event()) == 0
        assert time.monotonic() - began < 0.2
        await asyncio.sleep(60)
        assert [process.said for process in group.begun] == [["serve"], ["serve", "drain"], []]
        assert group.living == []

    group = with_worker_group(monkeypatch, drain, 2, Behaviour(ends=1.5), WELL, Behaviour(begun=5.0))
    assert len(group.asked_for) == 3


def test_a_stop_during_a_start_leaves_no_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    """One serves, one begins, and one waits for its turn: none of them is there a minute later."""

    async def stop(group: FakeWorkerGroup) -> None:
        starting = asyncio.create_task(group.supervisor.start([]))
        await asyncio.sleep(1.25)
        starting.cancel()
        await group.supervisor.stop()
        begun = len(group.begun)
        await asyncio.sleep(60)
        assert (group.living, len(group.begun)) == ([], begun)
        group.supervisor.stop = _done  # type: ignore[method-assign]  # it is stopped already

    group = with_worker_group(monkeypatch, stop, 3, WELL, Behaviour(begun=5.0), Behaviour(ends=0.1))
    assert {number for number, _ in group.asked_for} == {0, 1, 2}


async def _done() -> None: ...


def test_who_cannot_hear_of_an_end_hinders_no_replacement(monkeypatch: pytest.MonkeyPatch) -> None:
    """An observer fails: the event loop is told, and the next worker begins."""
    met: list[str] = []

    def fail(event: Event) -> None:
        if isinstance(event, WorkerLost):
            raise RuntimeError("full")

    async def keep(group: FakeWorkerGroup) -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, context: met.append(repr(context["exception"])))
        group.tell = fail
        await group.supervisor.start([])
        await asyncio.sleep(10)
        assert group.supervisor.serving == 1

    group = with_worker_group(monkeypatch, keep, 1, Behaviour(ends=2.0), WELL)
    assert (met, group.of(DefectMet)) == (["RuntimeError('full')"], [])
