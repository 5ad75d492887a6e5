"""The ledger over a store: what is granted, given back, kept when unknown, and refused while the store is away."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.errors import LedgerUnavailable, StateError, StateUnavailable
from proxy.spend.judge import DayUse, Reservation
from proxy.spend.ledger import PATIENCE, RETRY, DayKey, StoreLedger
from proxy.spend.limits import SpendLimits
from proxy.tokens.day_counts import CountAnswer, CountedDay, CountRequest, CountsUnsettled, DocumentCounts
from proxy.tokens.store import MemoryStore
from tests.support.tokens import EPOCH, JumpingLoop, virtual_time

KEY = DayKey("agent", "2023-11-14")
LIMITS = SpendLimits(new_per_day=3, budget_per_day={"USD": Decimal("10.50"), "JPY": Decimal(9)})
ONE = Reservation(1, ())


def usd(amount: str, created: int = 0) -> Reservation:
    return Reservation(created, (("USD", Decimal(amount)),))


class Counts:
    """The counts of a store in memory. While `away`, it fails: after it has counted, where `counts_first`. While `open`
    is clear, it hangs."""

    def __init__(self) -> None:
        self.documents = DocumentCounts(MemoryStore(), lambda: EPOCH)
        self.steps: list[int] = []
        self.away: StateError | None = None
        self.counts_first = False
        self.open = asyncio.Event()
        self.open.set()

    async def take(self, requests: Sequence[CountRequest]) -> list[CountAnswer | StateError]:
        self.steps.append(len(requests))
        await self.open.wait()
        if self.away is None:
            return await self.documents.take(requests)
        if self.counts_first:
            own = self.documents._own
            await self.documents.take(requests)
            self.documents._own = own
        return [self.away for _ in requests]

    async def totals(self) -> dict[CountedDay, dict[str, int]]:
        if self.away is not None:
            raise self.away
        await self.open.wait()
        return await self.documents.totals()


class Bench:
    """A ledger and its counts."""

    def __init__(self) -> None:
        self.counts = Counts()
        self.ledger = StoreLedger(self.counts)

    async def grants(self, wanted: Reservation, limits: SpendLimits | None = LIMITS) -> bool:
        return (await self.ledger.reserve(KEY, wanted, limits))[0]

    async def use(self) -> DayUse:
        return await self.ledger.look(KEY)


@virtual_time
async def test_all_of_a_write_fits_or_nothing_of_it_is_counted() -> None:
    """The objects and each currency, and the answer has the use before it."""
    bench = Bench()
    assert await bench.ledger.reserve(KEY, usd("10", 2), LIMITS) == (True, DayUse())
    before = DayUse(2, {"USD": Decimal(10)})
    assert await bench.ledger.reserve(KEY, usd("0.51", 1), LIMITS) == (False, before)
    assert await bench.ledger.reserve(KEY, usd("0.5", 2), LIMITS) == (False, before)
    assert await bench.ledger.reserve(KEY, usd("0.5", 1), LIMITS) == (True, before)
    assert await bench.use() == DayUse(3, {"USD": Decimal("10.5")})
    assert await bench.ledger.days() == {KEY: DayUse(3, {"USD": Decimal("10.5")})}


@virtual_time
async def test_a_currency_without_a_limit_does_not_fit() -> None:
    """Nor does a text that is no currency; a rule that is not configured limits nothing."""
    bench = Bench()
    for currency in ("EUR", "usd", "US", "X=1 USD", ""):
        assert not await bench.grants(Reservation(0, ((currency, Decimal("0.01")),)))
        assert await bench.grants(Reservation(0, ((currency, Decimal(0)),)))
    assert await bench.use() == DayUse()
    assert await bench.grants(Reservation(1000, ()), SpendLimits(budget_per_day={}))
    assert await bench.grants(usd("1000"), SpendLimits(new_per_day=0))
    assert await bench.grants(Reservation(0, (("X=1 USD", Decimal(2)),)), None)
    assert await bench.use() == DayUse(1000, {"USD": Decimal(1000), "???": Decimal(2)})


@pytest.mark.parametrize(
    ("amount", "limit", "fits"),
    [
        ("0.0000001", "0", False),
        ("0.0000011", "0.0000019", False),
        ("0.000001", "0.0000019", True),
        ("9.00000000000000000000000000000000001", "9", False),
        ("1E-1999999", "0", False),
        ("1E+1999999", "8999999999", False),
        ("9000000000", "1E+1999999", False),
        ("8999999999.999999", "1E+1999999", True),
        ("1E+9", "1000000000.0", True),
        ("Infinity", "9", False),
    ],
)
@virtual_time
async def test_amounts_are_rounded_up_and_limits_down(amount: str, limit: str, fits: bool) -> None:
    """No number of digits and no exponent gets past a limit."""
    assert await Bench().grants(usd(amount), SpendLimits(budget_per_day={"USD": Decimal(limit)})) is fits


@virtual_time
async def test_what_is_given_back_can_be_taken_again() -> None:
    """A part of a write, too, and never more than was taken."""
    bench = Bench()
    await bench.grants(usd("10.5", 3))
    bench.ledger.release(KEY, usd("4", 2))
    assert await bench.use() == DayUse(1, {"USD": Decimal("6.5")})
    assert await bench.grants(usd("4", 2))
    bench.ledger.release(KEY, usd("1000", 1000))
    assert await bench.use() == DayUse()


@virtual_time
async def test_writes_that_wait_share_one_step_of_the_store() -> None:
    """The first goes alone, all that come meanwhile go together, and no more are granted than fit."""
    bench = Bench()
    granted = await asyncio.gather(*(bench.grants(ONE) for _ in range(200)))
    assert sum(granted) == 3
    assert bench.counts.steps == [200]
    bench.counts.open.clear()
    asking = [asyncio.ensure_future(bench.grants(ONE, None)) for _ in range(3)]
    await asyncio.sleep(0.1)
    asking += [asyncio.ensure_future(bench.grants(ONE, None)) for _ in range(50)]
    await asyncio.sleep(0.1)
    bench.counts.open.set()
    await asyncio.gather(*asking)
    assert bench.counts.steps[1:] == [3, 50]


@virtual_time
async def test_observed_writes_are_counted_beyond_any_limit() -> None:
    """Writes under `enforce` see them."""
    bench = Bench()
    for _ in range(5):
        assert await bench.grants(ONE, None)
    assert not await bench.grants(ONE)


@virtual_time
async def test_while_the_store_is_away_nothing_is_granted() -> None:
    """The answer says when to try again. Afterwards nothing is counted of what was refused, also where the store had
    counted it."""
    bench = Bench()
    await bench.grants(ONE)
    bench.counts.away, bench.counts.counts_first = StateUnavailable("The store at redis://10.0.0.7 is away."), True
    for call in (bench.grants(ONE), bench.grants(ONE, None), bench.use(), bench.ledger.days()):
        with pytest.raises(LedgerUnavailable, match="cannot count") as caught:
            await call
        assert caught.value.retry_after == RETRY
        assert "10.0.0.7" not in caught.value.detail
    bench.counts.away = None
    await asyncio.sleep(RETRY)
    assert await bench.counts.totals() == {CountedDay(*KEY): {"created": 1}}


@virtual_time
async def test_trouble_with_the_store_is_told_once() -> None:
    """The sentence of the store, and nothing when it counts again."""
    bench = Bench()
    told: list[str] = []
    bench.ledger.told = told.append
    await bench.grants(ONE)
    assert told == []
    bench.counts.away = StateError("The disk is full.")
    bench.ledger.release(KEY, ONE)
    await asyncio.sleep(3 * RETRY)
    assert told == ["The disk is full."]
    bench.counts.away = None
    await asyncio.sleep(RETRY)
    assert told == ["The disk is full.", ""]


@virtual_time
async def test_while_the_store_settles_a_write_is_told_for_how_long() -> None:
    """The store has lost its data."""
    bench = Bench()
    bench.counts.away = CountsUnsettled(4.5)
    with pytest.raises(LedgerUnavailable) as caught:
        await bench.grants(ONE)
    assert caught.value.retry_after == 4.5


@virtual_time
async def test_what_failed_is_given_back_when_the_store_returns() -> None:
    """The release is tried once a second, and with the next write; days do not mix."""
    bench = Bench()
    other = DayKey("other", KEY.day)
    await bench.grants(Reservation(3, ()))
    await bench.ledger.reserve(other, ONE, None)
    bench.counts.away = StateUnavailable("away")
    for key in (KEY, KEY, other):
        bench.ledger.release(key, ONE)
    await asyncio.sleep(10 * RETRY)
    assert len(bench.counts.steps) <= 14
    bench.counts.away = None
    await asyncio.sleep(RETRY)
    assert await bench.ledger.days() == {KEY: DayUse(1), other: DayUse(0)}


@virtual_time
async def test_a_slow_store_holds_no_write_for_long() -> None:
    """After a while it is refused, and what the store grants later is given back."""
    bench = Bench()
    loop = asyncio.get_running_loop()
    bench.counts.open.clear()
    began = loop.time()
    with pytest.raises(LedgerUnavailable):
        await bench.grants(ONE)
    assert loop.time() - began == pytest.approx(PATIENCE)
    with pytest.raises(LedgerUnavailable):
        await bench.ledger.days()
    bench.counts.open.set()
    await asyncio.sleep(RETRY)
    assert await bench.use() == DayUse()


@virtual_time
async def test_a_write_whose_client_leaves_gives_back() -> None:
    """While the store decides, and in the moment in which its answer has come."""
    bench = Bench()
    await bench.grants(ONE)
    bench.counts.open.clear()
    leaving = asyncio.ensure_future(bench.grants(ONE))
    await asyncio.sleep(0.1)
    leaving.cancel()
    bench.counts.open.set()
    await asyncio.wait((leaving,))
    assert await bench.use() == DayUse(1)
    take = bench.counts.take

    async def take_and_leave(requests: Sequence[CountRequest]) -> list[CountAnswer | StateError]:
        bench.counts.take = take  # type: ignore[method-assign]  # what the test holds
        answers = await take(requests)
        asyncio.get_running_loop().call_soon(leaving.cancel)
        return answers

    bench.counts.take = take_and_leave  # type: ignore[method-assign]  # what the test holds
    leaving = asyncio.ensure_future(bench.grants(ONE))
    await asyncio.wait((leaving,))
    assert leaving.cancelled()
    assert await bench.use() == DayUse(1)


@virtual_time
async def test_a_defect_of_the_counts_grants_nothing() -> None:
    """Requests that wait are refused, the event loop reports it, and the next write is counted."""
    bench = Bench()
    take, met = bench.counts.take, []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: met.append(context["exception"]))

    async def fail(requests: Sequence[CountRequest]) -> list[CountAnswer | StateError]:
        bench.counts.take = take  # type: ignore[method-assign]  # what the test holds
        raise RuntimeError("a defect")

    bench.counts.take = fail  # type: ignore[method-assign]  # what the test holds
    with pytest.raises(LedgerUnavailable):
        await bench.grants(ONE)
    assert await bench.grants(ONE)


@virtual_time
async def test_the_end_waits_for_what_is_to_be_given_back() -> None:
    """But not for a store that is away."""
    bench = Bench()
    await bench.ledger.stop()
    await bench.grants(ONE)
    bench.ledger.release(KEY, ONE)
    await bench.ledger.stop()
    assert await bench.counts.totals() == {CountedDay(*KEY): {"created": 0}}
    bench.counts.away = StateUnavailable("away")
    bench.ledger.release(KEY, ONE)
    await bench.ledger.stop()
    assert "1 days to give back" in repr(bench.ledger)


CALLS = st.lists(
    st.tuples(st.sampled_from(("take", "fail", "lose", "leave", "away", "back", "crash")), st.integers(1, 3)),
    max_size=30,
)


@settings(deadline=None)
@given(calls=CALLS)
def test_no_order_of_calls_exceeds_a_limit(calls: list[tuple[str, int]]) -> None:
    """Writes that succeed, fail, whose end is unknown and whose client leaves, a store that goes and comes, and
    programs that crash: what left and did not fail is never more than the limit, and the ledger knows of all of it."""

    async def run() -> None:
        bench, spent = Bench(), 0
        limits = SpendLimits(new_per_day=6)
        for what, number in calls:
            wanted = Reservation(number, ())
            if what in ("away", "back"):
                bench.counts.away = StateUnavailable("away") if what == "away" else None
                bench.counts.counts_first = number == 1
            elif what == "crash":
                documents = DocumentCounts(bench.counts.documents._documents, lambda: EPOCH)
                bench.counts.documents, bench.ledger = documents, StoreLedger(bench.counts)
            elif what == "leave":
                leaving = asyncio.ensure_future(bench.grants(wanted, limits))
                for _ in range(number):
                    await asyncio.sleep(0)
                if not leaving.cancel() and leaving.exception() is None and leaving.result():
                    spent += number
                await asyncio.wait((leaving,))
            else:
                try:
                    granted = await bench.grants(wanted, limits)
                except LedgerUnavailable:
                    granted = False
                if granted and what == "fail":
                    bench.ledger.release(KEY, wanted)
                elif granted:
                    spent += number
            assert spent <= 6
        bench.counts.away = None
        await asyncio.sleep(2 * RETRY)
        total = (await bench.counts.totals()).get(CountedDay(*KEY), {}).get("created", 0)
        assert total >= spent
        if not any(what == "crash" for what, _ in calls):
            assert total == spent

    with asyncio.Runner(loop_factory=JumpingLoop) as runner:
        runner.run(run())
