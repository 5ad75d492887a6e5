"""What the clients of several workers spend, counted in the supervisor's one ledger, over real channels."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from decimal import Decimal
from typing import TYPE_CHECKING
from unittest.mock import patch

import pytest

from proxy.app.workers.worker_spend import SPEND, WorkerLedger, WorkersLedger
from proxy.errors import LedgerUnavailable
from proxy.spend.judge import DayUse, Reservation
from proxy.spend.ledger import DayKey, StoreLedger
from proxy.spend.limits import SpendLimits
from proxy.tokens.store import MemoryStore
from tests.support.patience import settled
from tests.support.worker_channels import WorkerChannels, worker_channels

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
        self.channels = WorkerChannels(self.supervisor, SPEND)

    def worker(self) -> WorkerLedger:
        return WorkerLedger(self.channels.new())


@asynccontextmanager
async def office() -> AsyncIterator[Office]:
    found = Office()
    try:
        async with worker_channels(found.supervisor, SPEND) as found.channels:
            yield found
    finally:
        with patch("proxy.spend.ledger.PATIENCE", 0.01):  # what could not be given back would be tried for seconds
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
        bench.channels.ends[0].close()
        bench.channels.ends[1].close()
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


async def test_trouble_with_the_store_reaches_the_client_of_a_worker() -> None:
    """The detail, and when to try again."""
    async with office() as bench:
        one = bench.worker()
        await bench.store.write_document("spent", "damaged")
        for call in (one.reserve(KEY, TWO, LIMITS), one.look(KEY), one.days()):
            with pytest.raises(LedgerUnavailable, match="cannot count") as caught:
                await call
            assert caught.value.retry_after == 1.0


async def test_without_the_supervisor_nothing_is_counted() -> None:
    """No write with a limit leaves, and giving back raises nothing."""
    async with office() as bench:
        one = bench.worker()
        bench.channels.ends[0].close()
        with pytest.raises(LedgerUnavailable, match="lost its supervisor"):
            await one.reserve(KEY, TWO, LIMITS)
        one.release(KEY, TWO)
        with pytest.raises(LedgerUnavailable, match="lost its supervisor"):
            await one.look(KEY)
