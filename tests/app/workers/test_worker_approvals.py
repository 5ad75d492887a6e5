"""The approvals for the clients of several workers, kept by the supervisor, over real channels."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest

from proxy.app.workers.worker_approvals import APPROVAL, WorkerApprovals, WorkersApprovals
from proxy.errors import LedgerUnavailable, StateUnavailable
from proxy.events import ApprovalState, Event, SpendRule, SpendViolation, ValueChange
from proxy.spend.approval_keeper import ApprovalKeeper
from proxy.spend.approvals import ApprovalTerms, WriteToApprove
from proxy.spend.freezes import Freezes
from proxy.tokens.store import MemoryStore
from tests.support.patience import settled
from tests.support.worker_channels import WorkerChannels, worker_channels

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

pytestmark = pytest.mark.usefixtures("every_loop")

WRITE = WriteToApprove(
    "agent",
    "d1",
    "v1",
    "MCP create",
    "create",
    "acme",
    "eu",
    "123",
    (SpendViolation(SpendRule.BID, "[0].bid", "9", "EUR", None),),
    (ValueChange("keyword/1", "bid", None, "9"),),
    3,
)


class HeldStore(MemoryStore):
    """Changes a document when it is `open`; while `is_away`, it fails."""

    def __init__(self) -> None:
        super().__init__()
        self.open = asyncio.Event()
        self.open.set()
        self.asked = 0
        self.is_away = False

    async def change_document(self, name: str, change: Callable[[object | None], object]) -> None:
        self.asked += 1
        await self.open.wait()
        if self.is_away:
            raise StateUnavailable("The store is away.")
        await super().change_document(name, change)


class Office:
    """The supervisor's approvals, and as many workers as are asked for."""

    def __init__(self) -> None:
        self.store = HeldStore()
        self.keeper = ApprovalKeeper(self.store, Freezes(), self)
        self.keeper.follow(ApprovalTerms(max_pending=1), {"agent": "v1"})
        self.supervisor = WorkersApprovals(self.keeper)
        self.channels = WorkerChannels(self.supervisor, APPROVAL)

    def observe(self, event: Event) -> None:
        """Nobody looks at it here."""

    def worker(self) -> WorkerApprovals:
        return WorkerApprovals(self.channels.new())

    async def approved(self) -> str:
        approval = await self.keeper.ask(WRITE)
        assert approval is not None
        await self.keeper.decide(approval.id, ApprovalState.APPROVED, "anna")
        return approval.id

    async def is_approved(self, identifier: str) -> bool:
        approval = await self.keeper.get("agent", identifier)
        return approval is not None and approval.state is ApprovalState.APPROVED


@asynccontextmanager
async def office() -> AsyncIterator[Office]:
    found = Office()
    await found.keeper.start()
    try:
        async with worker_channels(found.supervisor, APPROVAL) as found.channels:
            yield found
    finally:
        await found.keeper.stop()


async def test_all_workers_have_the_same_approvals() -> None:
    """What one asks, the other finds, with all of its values."""
    async with office() as bench:
        one, other = bench.worker(), bench.worker()
        assert await one.find("agent", "d1") == (None, False)
        asked = await one.ask(WRITE)
        assert asked is not None
        assert asked.write == WRITE
        assert await other.find("agent", "d1") == (asked, True)
        assert await other.ask(WRITE._replace(digest="d2")) is None
        assert await other.get("agent", asked.id) == asked
        assert await other.get("agent", "0") is None
        await bench.keeper.decide(asked.id, ApprovalState.APPROVED, "anna")
        await other.void("agent", asked.id, "Changed.")
        ended = await one.get("agent", asked.id)
        assert ended is not None
        assert (ended.state, ended.because) == (ApprovalState.VOID, "Changed.")


async def test_one_write_of_all_workers_passes() -> None:
    """However many come at once."""
    async with office() as bench:
        workers = bench.worker(), bench.worker()
        identifier = await bench.approved()
        used = await asyncio.gather(*(each.use("agent", identifier) for each in workers for _ in range(50)))
        assert sum(used) == 1


async def test_what_a_worker_gives_back_another_can_use() -> None:
    """Nothing of its write was sent."""
    async with office() as bench:
        one, other = bench.worker(), bench.worker()
        identifier = await bench.approved()
        assert await one.use("agent", identifier)
        one.give_back("agent", identifier)
        while not await other.use("agent", identifier):
            await asyncio.sleep(0)
        assert not await one.use("agent", identifier)


async def test_what_a_killed_worker_used_stays_used() -> None:
    """Its write may have left."""
    async with office() as bench:
        one, other = bench.worker(), bench.worker()
        identifier = await bench.approved()
        assert await one.use("agent", identifier)
        bench.channels.ends[0].close()
        bench.channels.ends[1].close()
        assert not await other.use("agent", identifier)


async def test_what_is_used_after_the_client_left_is_given_back() -> None:
    """The supervisor was asked already, so that its answer is waited for."""
    async with office() as bench:
        one = bench.worker()
        identifier = await bench.approved()
        bench.store.open.clear()
        asked = bench.store.asked
        leaving = asyncio.create_task(one.use("agent", identifier))
        await settled(lambda: bench.store.asked > asked)
        leaving.cancel()
        await asyncio.wait((leaving,))
        bench.store.open.set()
        while not await one.use("agent", identifier):
            await asyncio.sleep(0)


async def test_trouble_with_the_store_reaches_the_client_of_a_worker() -> None:
    """The detail, and when to try again."""
    async with office() as bench:
        one = bench.worker()
        identifier = await bench.approved()
        bench.store.is_away = True
        for call in (
            one.find("agent", "d1"),
            one.ask(WRITE),
            one.use("agent", identifier),
            one.void("agent", identifier, "Changed."),
            one.get("agent", identifier),
        ):
            with pytest.raises(LedgerUnavailable, match="cannot tell or keep") as caught:
                await call
            assert caught.value.retry_after == 1.0


async def test_without_the_supervisor_nothing_passes() -> None:
    """Giving back raises nothing."""
    async with office() as bench:
        one = bench.worker()
        identifier = await bench.approved()
        bench.channels.ends[0].close()
        with pytest.raises(LedgerUnavailable, match="lost its supervisor"):
            await one.use("agent", identifier)
        one.give_back("agent", identifier)
        with pytest.raises(LedgerUnavailable, match="lost its supervisor"):
            await one.find("agent", "d1")
        assert await bench.is_approved(identifier)
