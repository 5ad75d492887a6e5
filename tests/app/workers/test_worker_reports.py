"""Reports that the clients of several workers share, over real channels."""

from __future__ import annotations

import asyncio
import socket
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest

from proxy.app.workers.channel import Channel, Message
from proxy.app.workers.worker_reports import REPORT, WorkerReports, WorkersReports
from proxy.errors import Throttled
from proxy.reports import pace
from proxy.reports.orders import Report, ReportStatus
from proxy.reports.pace import OrderLimit, QueuedOrder
from proxy.reports.polls import PollAnswer
from proxy.reports.sharing import MadeReport, OrderClaim, PollClaim, ReportRules, SharedReports
from tests.support.patience import PATIENCE, settled

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

pytestmark = pytest.mark.usefixtures("every_loop")

NOW = 1_800_000_000.0
MADE = MadeReport("key", "report-1", 200, "{}", NOW, NOW)
ANSWER = PollAnswer(200, "application/json", "{}", NOW, 0.0, NOW)
LIMIT = OrderLimit("acme", "app", "na")


class Office:
    """The supervisor's memory, and as many workers as are asked for."""

    def __init__(self) -> None:
        self.shared = SharedReports(lambda: NOW)
        self.shared.apply(ReportRules(reuses=True, reuse_for=900.0, paces=True, poll_interval=60.0, adopts=True))
        self.supervisor = WorkersReports(self.shared)
        self.channels: list[Channel] = []

    def worker(self, number: int) -> WorkerReports:
        ours, theirs = socket.socketpair()
        self.channels.append(Channel(ours, self._hear, self._answer, lambda: self.supervisor.lost(number)))
        self.channels.append(Channel(theirs, lambda message: None, self._answer, lambda: None))
        reports = WorkerReports(self.channels[-1])
        reports.number = number
        return reports

    def _hear(self, message: Message) -> None:
        assert message["kind"] == REPORT
        self.supervisor.heard(message)

    async def _answer(self, message: Message) -> Message:
        assert message["question"] == REPORT
        return await self.supervisor.asked(message)

    async def waiting(self, number: int) -> None:
        """Until so many questions wait for an answer."""
        await settled(lambda: len(self.supervisor._answering) == number)


@asynccontextmanager
async def office() -> AsyncIterator[Office]:
    found = Office()
    try:
        async with asyncio.timeout(PATIENCE):
            yield found
    finally:
        for channel in found.channels:
            channel.close()


async def test_an_order_of_one_worker_answers_those_of_another() -> None:
    """The other workers wait for its report."""
    async with office() as bench:
        one, other = bench.worker(1), bench.worker(2)
        assert await one.claim_order("order", "a") == OrderClaim(None, granted=True)
        waiting = asyncio.create_task(other.claim_order("order", "a"))
        await bench.waiting(1)
        one.settle_order("order", "a", MADE)
        assert await waiting == OrderClaim(MADE, granted=False)


async def test_a_poll_of_one_worker_answers_those_of_another() -> None:
    """The poll's result counts for orders."""
    async with office() as bench:
        one, other = bench.worker(1), bench.worker(2)
        one.settle_order("order", "a", MADE)
        assert await one.claim_poll("key", "a") == PollClaim(None, granted=True)
        one.settle_poll("key", "a", ANSWER)
        one.saw("key", Report("report-1", ReportStatus.COMPLETED, {"x": 1}, ("soon",)), shows_answer=True)
        await one.claim_order("another", "b")
        assert await other.claim_poll("key", "b") == PollClaim(ANSWER, granted=False)
        made = (await other.claim_order("order", "b")).made
        assert made is not None
        assert (made.text, made.completed_at) == ('{"x":1}', NOW)


async def test_a_client_that_leaves_while_it_waits_holds_nobody_up() -> None:
    """The client's question is given up, and a turn that it gets meanwhile is free."""
    async with office() as bench:
        one, other = bench.worker(1), bench.worker(2)
        await one.claim_order("order", "a")
        leaving = asyncio.create_task(other.claim_order("order", "a"))
        await bench.waiting(1)
        leaving.cancel()
        await bench.waiting(0)
        one.settle_order("order", "a", None)
        granted = asyncio.create_task(other.claim_order("order", "c"))
        await asyncio.sleep(0)
        granted.cancel()
        assert await one.claim_order("order", "d") == OrderClaim(None, granted=True)


async def test_a_client_that_leaves_before_its_question_is_read_holds_nobody_up() -> None:
    """The supervisor reads both messages at once, as after a moment in which it did something else."""
    async with office() as bench:
        one, other = bench.worker(1), bench.worker(2)
        for asking in (other.claim_order("order", "a"), other.claim_poll("key", "b")):
            asking.send(None)
            with pytest.raises(asyncio.CancelledError):
                asking.throw(asyncio.CancelledError())
        for _ in range(10):
            await asyncio.sleep(0)
        assert await one.claim_order("order", "c") == OrderClaim(None, granted=True)
        assert await one.claim_poll("key", "d") == PollClaim(None, granted=True)


async def test_what_a_dead_worker_claimed_is_free() -> None:
    """An order that it sent gets a 425 if it is sent again."""
    async with office() as bench:
        one, other = bench.worker(1), bench.worker(2)
        await one.claim_order("order", "a")
        await one.claim_poll("key", "a")
        bench.channels[1].close()
        assert await other.claim_order("order", "a") == OrderClaim(None, granted=True)
        assert (await other.claim_poll("key", "a")).granted


async def test_a_deleted_report_is_forgotten_everywhere() -> None:
    """By whichever worker it was deleted."""
    async with office() as bench:
        one, other = bench.worker(1), bench.worker(2)
        one.settle_order("order", "a", MADE)
        assert not (await one.claim_order("order", "b")).granted
        other.forget("key")
        assert (await other.claim_order("order", "c")).granted


async def test_orders_of_all_workers_wait_in_one_queue() -> None:
    """One that would wait too long is refused, and one that leaves loses its place."""
    async with office() as bench:
        one, other = bench.worker(1), bench.worker(2)
        clock = asyncio.get_running_loop().time
        now = clock()
        one.throttled(LIMIT, now, 600.0)
        await one.claim_order("order", "a")
        with pytest.raises(Throttled) as caught:
            await other.wait_for_turn(QueuedOrder(LIMIT, "client", ("", ""), 60.0))
        assert int(600.0 - (clock() - now)) <= (caught.value.retry_after or 0.0) <= 600.0
        with pytest.raises(Throttled):
            await other.claim_order("third", "c", QueuedOrder(LIMIT, "client", ("", ""), 60.0))
        leaving = asyncio.create_task(other.wait_for_turn(QueuedOrder(LIMIT, "client", ("2026-11-07", ""), 700.0)))
        await bench.waiting(1)
        assert bench.shared.queues.snapshot()[0].waiting == 1
        leaving.cancel()
        await bench.waiting(0)
        assert bench.shared.queues.snapshot()[0].waiting == 0
        other.taken(LIMIT, clock())  # it left after the pace became slower
        await other.claim_order("another", "b")
        assert bench.shared.queues.snapshot()[0].interval == pytest.approx(1.94)
        await other.wait_for_turn(QueuedOrder(LIMIT._replace(region="eu"), "client", ("", ""), 0.0))


async def test_a_turn_that_one_worker_gives_back_is_anothers(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The first worker's order does not leave."""
    monkeypatch.setattr(pace, "FIRST_INTERVAL", 600.0)
    async with office() as bench:
        one, other = bench.worker(1), bench.worker(2)
        one.throttled(LIMIT, asyncio.get_running_loop().time(), None)
        waiting = asyncio.create_task(other.wait_for_turn(QueuedOrder(LIMIT, "client", ("", ""), 700.0)))
        await bench.waiting(1)
        one.give_back(LIMIT, asyncio.get_running_loop().time())
        await waiting


@pytest.mark.parametrize("shared", [True, False])
async def test_a_turn_whose_client_leaves_before_its_worker_reads_of_it_is_anothers(
    monkeypatch: pytest.MonkeyPatch, *, shared: bool
) -> None:
    """The supervisor has answered its question already."""
    monkeypatch.setattr(pace, "FIRST_INTERVAL", 600.0)
    queued = QueuedOrder(LIMIT, "client", ("", ""), 700.0)
    async with office() as bench:
        one, other = bench.worker(1), bench.worker(2)
        one.throttled(LIMIT, asyncio.get_running_loop().time(), None)
        asking = other.claim_order("order", "a", queued) if shared else other.wait_for_turn(queued)
        asking.send(None)
        await bench.waiting(1)
        bench.shared.queues.give_back(LIMIT)
        await bench.waiting(0)
        with pytest.raises(asyncio.CancelledError):
            asking.throw(asyncio.CancelledError())
        await one.wait_for_turn(queued)


async def test_of_identical_orders_of_two_workers_the_first_whose_turn_it_is_is_sent(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The other client gets its report; one that disconnects loses its place."""
    monkeypatch.setattr(pace, "FIRST_INTERVAL", 600.0)
    newest, middle, oldest = (QueuedOrder(LIMIT, "a", (f"2026-11-0{day}", ""), 700.0) for day in (9, 8, 7))
    async with office() as bench:
        one, other = bench.worker(1), bench.worker(2)
        one.throttled(LIMIT, asyncio.get_running_loop().time(), None)
        busy = asyncio.create_task(one.claim_order("busy", "a", newest))
        await bench.waiting(1)
        far = asyncio.create_task(one.claim_order("order", "b", oldest))
        await bench.waiting(2)
        leaving = asyncio.create_task(one.claim_order("leaves", "c", middle))
        await bench.waiting(3)
        leaving.cancel()
        await bench.waiting(2)
        near = asyncio.create_task(other.claim_order("order", "a", oldest._replace(client="b")))
        await bench.waiting(3)
        one.give_back(LIMIT, asyncio.get_running_loop().time())  # so that the next turn comes now
        await busy
        one.give_back(LIMIT, asyncio.get_running_loop().time())
        assert await near == OrderClaim(None, granted=True)
        assert not far.done()
        other.settle_order("order", "a", MADE)
        assert await far == OrderClaim(MADE, granted=False)


async def test_without_a_supervisor_nothing_is_shared() -> None:
    """Requests pass as if there were no section about reports."""
    async with office() as bench:
        one = bench.worker(1)
        bench.channels[1].close()
        assert await one.claim_order("order", "a") == OrderClaim(None, granted=False)
        assert await one.claim_poll("key", "a") == PollClaim(None, granted=False)
        await one.wait_for_turn(QueuedOrder(LIMIT, "client", ("", ""), 60.0))
