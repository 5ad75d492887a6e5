"""What the clients of several workers spend, counted in the supervisor's one ledger, over real channels."""

from __future__ import annotations

import asyncio
import gc
import socket
from contextlib import asynccontextmanager
from decimal import Decimal
from typing import TYPE_CHECKING

import pytest

from proxy.app.workers.channel import Channel, Message
from proxy.app.workers.worker_spend import SPEND, WorkerLedger, WorkersLedger
from proxy.errors import LedgerUnavailable
from proxy.spend.judge import DayUse, Reservation
from proxy.spend.ledger import DayKey, StoreLedger
from proxy.spend.limits import SpendLimits
from proxy.tokens.store import MemoryStore
from tests.support.patience import PATIENCE, settled

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from proxy.errors import StateError
    from proxy.tokens.day_counts import CountAnswer, CountRequest

pytestmark = pytest.mark.usefixtures("every_loop")

KEY = DayKey("agent", "2099-01-15")
LIMITS = SpendLimits(new_per_day=5, budget_per_day={"USD": Decimal("0.5")})
TWO = Reservation(2, (("USD", Decimal("0.1")),))


class HeldStore(MemoryStore):
    """Answers each count when it is `open`."""

    def __init__(self) -> None:
        super().__init__()
        self.open = asyncio.Event()
        self.open.set()
        self.asked = 0
        counts = self.counts.take

        async def take(requests: Sequence[CountRequest]) -> list[CountAnswer | StateError]:
            self.asked += 1
            await self.open.wait()
            return await counts(requests)

        self.counts.take = take  # type: ignore[method-assign]  # what the test holds


class Office:
    """The supervisor's ledger, and as many workers as are asked for."""

    def __init__(self) -> None:
        self.store = HeldStore()
        self.ledger = StoreLedger(self.store.counts)
        self.supervisor = WorkersLedger(self.ledger)
        self.channels: list[Channel] = []

    def worker(self) -> WorkerLedger:
        ours, theirs = socket.socketpair()
        self.channels.append(Channel(ours, self._hear, self._answer, lambda: None))
        self.channels.append(Channel(theirs, lambda message: None, self._answer, lambda: None))
        return WorkerLedger(self.channels[-1])

    def _hear(self, message: Message) -> None:
        assert message["kind"] == SPEND
        self.supervisor.heard(message)

    async def _answer(self, message: Message) -> Message:
        assert message["question"] == SPEND
        return await self.supervisor.asked(message)


@asynccontextmanager
async def office() -> AsyncIterator[Office]:
    found = Office()
    try:
        async with asyncio.timeout(PATIENCE):
            yield found
    finally:
        for channel in found.channels:
            channel.close()
        await found.ledger.stop()


async def test_a_limit_is_that_of_all_workers() -> None:
    """What one takes and gives back counts for the others, exactly."""
    async with office() as bench:
        one, other = bench.worker(), bench.worker()
        assert await one.reserve(KEY, TWO, LIMITS) == (True, DayUse())
        assert await other.reserve(KEY, TWO, LIMITS) == (True, DayUse(2, {"USD": Decimal("0.1")}))
        assert await one.reserve(KEY, TWO, LIMITS) == (False, DayUse(4, {"USD": Decimal("0.2")}))
        assert await one.reserve(KEY, TWO, None) == (True, DayUse(4, {"USD": Decimal("0.2")}))
        other.release(KEY, TWO)
        other.release(KEY, TWO)
        assert await other.look(KEY) == DayUse(2, {"USD": Decimal("0.1")})
        assert await one.days() == {KEY: DayUse(2, {"USD": Decimal("0.1")})}


async def test_a_rule_that_is_not_configured_limits_nothing() -> None:
    """Each of the two rules is told by itself."""
    async with office() as bench:
        one = bench.worker()
        many = Reservation(1000, ())
        assert (await one.reserve(KEY, many, SpendLimits(budget_per_day={"USD": Decimal(1)})))[0]
        assert not (await one.reserve(KEY, many, SpendLimits(new_per_day=1000)))[0]


async def test_what_a_worker_reserved_outlives_it() -> None:
    """Its write may have left."""
    async with office() as bench:
        one, other = bench.worker(), bench.worker()
        await one.reserve(KEY, TWO, LIMITS)
        bench.channels[0].close()
        bench.channels[1].close()
        assert await other.look(KEY) == DayUse(2, {"USD": Decimal("0.1")})


async def test_what_is_granted_after_the_client_left_is_given_back() -> None:
    """The supervisor was asked already, so that its answer is waited for."""
    async with office() as bench:
        one = bench.worker()
        bench.store.open.clear()
        leaving = asyncio.create_task(one.reserve(KEY, TWO, LIMITS))
        await settled(lambda: bench.store.asked)
        leaving.cancel()
        await asyncio.wait((leaving,))
        bench.store.open.set()
        while await one.look(KEY) != DayUse():
            await asyncio.sleep(0)


async def test_a_client_that_left_is_no_defect() -> None:
    """Whatever it waited for, and although the store fails then."""
    async with office() as bench:
        one, met = bench.worker(), list[object]()
        asyncio.get_running_loop().set_exception_handler(lambda _, context: met.append(context))
        await bench.store.write_document("spent", "damaged")
        bench.store.open.clear()
        leaving = [asyncio.create_task(call) for call in (one.reserve(KEY, TWO, LIMITS), one.look(KEY))]
        await settled(lambda: bench.store.asked)
        for call in leaving:
            call.cancel()
        await asyncio.wait(leaving)
        bench.store.open.set()
        with pytest.raises(LedgerUnavailable):
            await one.look(KEY)
        gc.collect()
        assert met == []


async def test_trouble_with_the_store_reaches_the_client_of_a_worker() -> None:
    """The detail, and when to try again."""
    async with office() as bench:
        one = bench.worker()
        await bench.store.write_document("spent", "damaged")
        for call in (one.reserve(KEY, TWO, LIMITS), one.look(KEY), one.days()):
            with pytest.raises(LedgerUnavailable, match="cannot count") as caught:
                await call
            assert caught.value.retry_after == 1.0


async def test_a_supervisor_that_hangs_grants_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """The write is refused after a while, and what is granted later is given back."""
    monkeypatch.setattr("proxy.app.workers.worker_spend.PATIENCE", -1.0)
    async with office() as bench:
        one = bench.worker()
        bench.store.open.clear()
        for call in (one.reserve(KEY, TWO, LIMITS), one.look(KEY)):
            with pytest.raises(LedgerUnavailable, match="does not answer"):
                await call
        bench.store.open.set()
        monkeypatch.undo()
        while await one.look(KEY) != DayUse():
            await asyncio.sleep(0)
        assert bench.store.asked > 1


async def test_without_the_supervisor_nothing_is_counted() -> None:
    """No write with a limit leaves, and giving back raises nothing."""
    async with office() as bench:
        one = bench.worker()
        bench.channels[0].close()
        with pytest.raises(LedgerUnavailable, match="lost its supervisor"):
            await one.reserve(KEY, TWO, LIMITS)
        one.release(KEY, TWO)
        with pytest.raises(LedgerUnavailable, match="lost its supervisor"):
            await one.look(KEY)


async def test_a_defect_of_the_supervisor_grants_nothing() -> None:
    """Such a response is no answer."""
    async with office() as bench:
        one = bench.worker()
        met: list[object] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, context: met.append(context["exception"]))
        bench.supervisor._ledger = None  # type: ignore[assignment]  # a supervisor without one
        with pytest.raises(LedgerUnavailable, match="defect"):
            await one.reserve(KEY, TWO, LIMITS)
        assert met
