"""Approvals in the state store: asked, decided, used once, given back, ended by themselves, and safe while the store is
away."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from proxy.errors import LedgerUnavailable, StateError, StateFileDamaged, StateUnavailable, UnknownApproval
from proxy.events import (
    ApprovalDecided,
    ApprovalEnded,
    ApprovalRequested,
    ApprovalsCounted,
    ApprovalState,
    Event,
    SpendRule,
    SpendViolation,
)
from proxy.spend.approval_keeper import DOCUMENT, LOOK_SECONDS, RETRY_SECONDS, ApprovalKeeper
from proxy.spend.approvals import (
    FROZEN,
    KEPT_SECONDS,
    LIMITS_CHANGED,
    Approval,
    ApprovalOver,
    ApprovalTerms,
    WriteToApprove,
)
from proxy.spend.freezes import FreezeEntry, Freezes
from proxy.spend.ledger import PATIENCE
from proxy.tokens.store import MemoryStore, StoreChange
from tests.support.tokens import EPOCH, virtual_time

TERMS = ApprovalTerms(valid_for=600, pending_for=1800, max_pending=3)
OVER = (
    SpendViolation(SpendRule.BUDGET, "[0].budget", "500", "EUR", "180"),
    SpendViolation(SpendRule.BUDGET, "[1].budget", "500", "EUR", "180"),
    SpendViolation(SpendRule.STATES, "[0].state", "ENABLED", "", "paused"),
)
WRITE = WriteToApprove("agent", "d1", "v1", "POST /sp/campaigns", "/sp/campaigns", "acme", "eu", "123", OVER)
PENDING, APPROVED, DENIED, EXPIRED, USED, VOID = ApprovalState


class Documents(MemoryStore):
    """While `away`, it fails: after the change, where `changes_first`. While `open` is clear, it hangs."""

    def __init__(self) -> None:
        super().__init__()
        self.away: StateError | None = None
        self.changes_first = False
        self.open = asyncio.Event()
        self.open.set()
        self.asked: list[str] = []

    async def change_document(self, name: str, change: Callable[[object | None], object]) -> None:
        self.asked.append(name)
        await self.open.wait()
        if self.away is None or self.changes_first:
            await super().change_document(name, change)
        if self.away is not None:
            raise self.away

    async def require_document(self, name: str) -> object | None:
        await self.open.wait()
        if self.away is not None:
            raise self.away
        return await self.read_document(name)

    def snapshot(self) -> dict[str, str]:
        return dict(self._documents)

    def roll_back(self, snapshot: dict[str, str]) -> None:
        self._documents = dict(snapshot)


class Bench:
    """A store, and a keeper on virtual time that notes what it observes. `jump` moves the wall clock alone."""

    def __init__(self, store: Documents | None = None, freezes: Freezes | None = None) -> None:
        self.store, self.freezes = store or Documents(), freezes or Freezes()
        self.events: list[Event] = []
        self.jump = 0.0
        self.keeper = ApprovalKeeper(self.store, self.freezes, self, self.wall)
        self.keeper.follow(TERMS, {"agent": "v1", "other": "w1"})

    def observe(self, event: Event) -> None:
        self.events.append(event)

    def wall(self) -> float:
        return EPOCH + asyncio.get_running_loop().time() + self.jump

    async def __aenter__(self) -> Bench:
        await self.keeper.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.keeper.stop()

    def told(self) -> list[tuple[str, str]]:
        """What was reported of approvals since the last call."""
        found = []
        for event in self.events:
            match event:
                case ApprovalRequested():
                    found.append((event.id, "pending"))
                case ApprovalDecided() | ApprovalEnded():
                    found.append((event.id, event.state.value))
        self.events.clear()
        return found

    async def ask(self, write: WriteToApprove = WRITE) -> Approval:
        approval = await self.keeper.ask(write)
        assert approval is not None
        return approval

    async def approved(self, write: WriteToApprove = WRITE) -> str:
        approval = await self.ask(write)
        await self.keeper.decide(approval.id, APPROVED, "anna")
        return approval.id

    async def state(self, identifier: str, client: str = "agent") -> ApprovalState | None:
        approval = await self.keeper.get(client, identifier)
        return None if approval is None else approval.state


@virtual_time
async def test_a_write_is_asked_for_approved_and_used_once() -> None:
    """Each step is reported once, with what it is about."""
    async with Bench() as bench:
        assert (await bench.keeper.find("agent", "d1")).approval is None
        asked = await bench.ask()
        assert (await bench.ask()).id == asked.id
        assert (await bench.keeper.find("agent", "d1")).approval == asked
        assert not await bench.keeper.use("agent", asked.id)
        decided = await bench.keeper.decide(asked.id, APPROVED, " anna\n", "")
        assert (decided.state, decided.by, decided.expires_at) == (APPROVED, "anna", decided.decided_at + 600)  # type: ignore[operator]  # it was decided
        assert await bench.keeper.use("agent", asked.id)
        assert not await bench.keeper.use("agent", asked.id)
        assert (await bench.keeper.find("agent", "d1")).approval is None
        told = [event for event in bench.events if not isinstance(event, ApprovalsCounted)]
        of = asked.id, "agent", "POST /sp/campaigns"
        assert told == [
            ApprovalRequested(*of, ("budget", "states"), asked.expires_at),
            ApprovalDecided(*of, APPROVED, "anna", ""),
            ApprovalEnded(*of, USED),
        ]
        assert repr(bench.keeper) == "<ApprovalKeeper of 2 clients, 1 approvals>"


@virtual_time
async def test_one_of_many_uses_passes() -> None:
    """A hundred at once."""
    async with Bench() as bench:
        identifier = await bench.approved()
        used = await asyncio.gather(*(bench.keeper.use("agent", identifier) for _ in range(100)))
        assert sum(used) == 1
        assert len({approval.id for approval in await asyncio.gather(*(bench.ask() for _ in range(100)))}) == 1


@virtual_time
async def test_what_is_given_back_can_be_used_again() -> None:
    """Once, and only by whom it was used; it is no news."""
    async with Bench() as bench:
        identifier = await bench.approved()
        assert await bench.keeper.use("agent", identifier)
        bench.told()
        bench.keeper.give_back("agent", identifier)
        bench.keeper.give_back("agent", identifier)
        bench.keeper.give_back("agent", "another")
        await asyncio.sleep(1)
        assert bench.told() == []
        assert await bench.state(identifier) is APPROVED
        assert await bench.keeper.use("agent", identifier)
        assert await bench.state(identifier) is USED


@virtual_time
async def test_what_another_program_used_is_not_given_back() -> None:
    """A mark tells whose use it was."""
    async with Bench() as one, Bench(one.store) as two:
        identifier = await one.approved()
        assert await one.keeper.use("agent", identifier)
        one.keeper.give_back("agent", identifier)
        await asyncio.sleep(1)
        assert await two.keeper.use("agent", identifier)
        one.keeper.give_back("agent", identifier)
        await asyncio.sleep(1)
        assert await one.state(identifier) is USED
        assert not await one.keeper.use("agent", identifier)


@virtual_time
async def test_two_programs_tell_each_change_once() -> None:
    """Whoever made it. Both know all of it."""
    async with Bench() as one, Bench(one.store) as two:
        asked = await one.ask()
        assert (await two.ask()).id == asked.id
        await two.keeper.decide(asked.id, APPROVED, "anna")
        uses = [each.keeper.use("agent", asked.id) for each in (one, two) for _ in range(10)]
        assert sum(await asyncio.gather(*uses)) == 1
        assert sorted(one.told() + two.told()) == sorted((asked.id, state) for state in ("pending", "approved", "used"))
        assert await one.state(asked.id) is await two.state(asked.id) is USED


@pytest.mark.parametrize("changes_first", [True, False])
@virtual_time
async def test_a_use_without_an_answer_sends_nothing(*, changes_first: bool) -> None:
    """If the store made it nevertheless, the approval comes back, and passes one write."""
    async with Bench() as bench:
        identifier = await bench.approved()
        bench.store.away, bench.store.changes_first = StateUnavailable("away"), changes_first
        with pytest.raises(LedgerUnavailable) as caught:
            await bench.keeper.use("agent", identifier)
        assert (caught.value.status, caught.value.retry_after) == (503, 1.0)
        bench.store.away = None
        await asyncio.sleep(RETRY_SECONDS + 1)
        assert await bench.state(identifier) is APPROVED
        assert sum([await bench.keeper.use("agent", identifier) for _ in range(3)]) == 1


@virtual_time
async def test_a_cancelled_use_is_given_back() -> None:
    """The client disconnected while the store was asked."""
    async with Bench() as bench:
        identifier = await bench.approved()
        bench.store.open.clear()
        using = asyncio.create_task(bench.keeper.use("agent", identifier))
        await asyncio.sleep(0.1)
        using.cancel()
        await asyncio.wait((using,))
        bench.store.open.set()
        await asyncio.sleep(1)
        assert await bench.keeper.use("agent", identifier)


@virtual_time
async def test_a_question_without_an_answer_is_asked_once() -> None:
    """Sent again, the write gets the same id, and the question is reported then, once."""
    async with Bench() as bench:
        bench.store.away, bench.store.changes_first = StateUnavailable("away"), True
        with pytest.raises(LedgerUnavailable):
            await bench.keeper.ask(WRITE)
        assert bench.told() == []
        bench.store.away = None
        asked = await bench.ask()
        assert (await bench.ask()).id == asked.id
        await asyncio.sleep(LOOK_SECONDS)
        assert bench.told() == [(asked.id, "pending")]


@virtual_time
async def test_a_decision_without_an_answer_is_reported_when_it_is_known() -> None:
    """The approver is told that it is not certain."""
    async with Bench() as bench:
        asked = await bench.ask()
        bench.told()
        bench.store.away, bench.store.changes_first = StateUnavailable("away"), True
        with pytest.raises(LedgerUnavailable):
            await bench.keeper.decide(asked.id, DENIED, "anna", "No.")
        bench.store.changes_first = False
        bench.store.away = None
        await asyncio.sleep(LOOK_SECONDS + RETRY_SECONDS)
        assert bench.told() == [(asked.id, "denied")]


@virtual_time
async def test_a_store_that_hangs_is_waited_for_a_while() -> None:
    """All of the waiting writes are refused at the same moment, and a question that nobody waits for is not asked."""
    async with Bench() as bench:
        identifier = await bench.approved()
        bench.store.open.clear()
        began = asyncio.get_running_loop().time()
        keeper = bench.keeper
        calls = [
            *(keeper.use("agent", identifier) for _ in range(20)),
            keeper.find("agent", "d1"),
            keeper.ask(WRITE._replace(digest="d2")),
            keeper.void("agent", identifier, "Changed."),
            keeper.get("agent", identifier),
            keeper.decide(identifier, DENIED, "anna"),
            keeper.list(),
        ]
        outcomes = await asyncio.gather(*calls, return_exceptions=True)
        assert all(isinstance(outcome, LedgerUnavailable) for outcome in outcomes)
        assert asyncio.get_running_loop().time() - began == pytest.approx(PATIENCE)
        bench.store.open.set()
        await asyncio.sleep(RETRY_SECONDS + 1)
        assert [each.state for each in await keeper.list(ended=True)] == [APPROVED]


@virtual_time
async def test_a_change_that_nobody_waits_for_is_not_made() -> None:
    """A thread of the store may begin it long after."""
    late: list[Callable[[object | None], object]] = []

    class Slow(Documents):
        async def change_document(self, name: str, change: Callable[[object | None], object]) -> None:
            late.append(change)
            await super().change_document(name, change)

    async with Bench(Slow()) as bench:
        identifier = await bench.approved()
        bench.store.open.clear()
        with pytest.raises(LedgerUnavailable):
            await bench.keeper.use("agent", identifier)
        document = await bench.store.read_document(f"{DOCUMENT}:agent")
        assert late[-1](document) is document
        bench.store.open.set()


@virtual_time
async def test_while_the_store_is_away_nothing_is_used() -> None:
    """From the start on; it begins by itself when the store answers."""
    first = Bench()
    async with first:
        identifier = await first.approved()
    first.store.away = StateUnavailable("away")
    async with Bench(first.store) as bench:
        for _ in range(3):
            with pytest.raises(LedgerUnavailable):
                await bench.keeper.use("agent", identifier)
        first.store.away = None
        assert await bench.keeper.use("agent", identifier)


@virtual_time
async def test_a_store_in_trouble_is_not_asked_all_the_time() -> None:
    """At most once a second, whatever happens meanwhile; also before the program has begun."""
    store = Documents()
    store.away, store.changes_first = StateUnavailable("away"), True

    async def require_document(name: str) -> object | None:
        return await store.read_document(name)

    store.require_document = require_document  # type: ignore[method-assign]  # reading works
    async with Bench(store) as bench:
        for _ in range(100):
            await asyncio.sleep(0.1)
            bench.keeper.store_changed(StoreChange())
        assert 2 <= len(store.asked) <= 12


@virtual_time
async def test_while_freezes_are_unknown_nothing_is_used_and_nothing_ends() -> None:
    """The store may be asked later."""
    async with Bench() as bench:
        identifier = await bench.approved()
        bench.freezes.set_unknown("The store is away.")
        with pytest.raises(LedgerUnavailable):
            await bench.keeper.use("agent", identifier)
        bench.freezes.set_unknown("")
        await asyncio.sleep(1)
        assert await bench.keeper.use("agent", identifier)


@virtual_time
async def test_a_store_that_may_lack_what_others_used_passes_nothing() -> None:
    """Until they have told it; everything else goes on."""
    async with Bench() as bench:
        identifier = await bench.approved()
        bench.store.unsettled = 6.0
        with pytest.raises(LedgerUnavailable, match="lost data") as caught:
            await bench.keeper.use("agent", identifier)
        assert caught.value.retry_after == 6.0
        assert await bench.state(identifier) is APPROVED
        bench.store.unsettled = 0.0
        assert await bench.keeper.use("agent", identifier)


@virtual_time
async def test_a_store_that_loses_data_while_it_is_asked_passes_nothing() -> None:
    """The server that kept the use may be one that lacks what others used. The approval comes back."""
    async with Bench() as bench:
        identifier = await bench.approved()
        bench.store.open.clear()
        using = asyncio.ensure_future(bench.keeper.use("agent", identifier))
        await asyncio.sleep(0.1)
        bench.store.unsettled = 6.0
        bench.store.open.set()
        with pytest.raises(LedgerUnavailable, match="lost data"):
            await using
        await asyncio.sleep(1)
        assert await bench.state(identifier) is APPROVED
        bench.store.unsettled = 0.0
        assert await bench.keeper.use("agent", identifier)


@virtual_time
async def test_expiry_is_told_when_it_is_due() -> None:
    """Nobody has to ask. A denial is remembered for as long as an approval is valid."""
    async with Bench() as bench:
        pending, approved = await bench.ask(), await bench.approved(WRITE._replace(digest="d2"))
        denied = await bench.ask(WRITE._replace(digest="d3"))
        await bench.keeper.decide(denied.id, DENIED, "anna", "No.")
        bench.told()
        await asyncio.sleep(TERMS.valid_for - 1)
        assert bench.told() == []
        assert (await bench.keeper.find("agent", "d3")).approval is not None
        await asyncio.sleep(1.1)
        assert bench.told() == [(approved, "expired")]
        assert (await bench.keeper.find("agent", "d3")).approval is None
        assert await bench.state(denied.id) is DENIED
        await asyncio.sleep(TERMS.pending_for - TERMS.valid_for)
        assert bench.told() == [(pending.id, "expired")]


@virtual_time
async def test_a_clock_that_jumps_expires_soon() -> None:
    """The wall clock is looked at every minute, and with every question."""
    async with Bench() as bench:
        identifier = await bench.approved()
        bench.told()
        bench.jump = 601
        assert not await bench.keeper.use("agent", identifier)
        other = await bench.approved(WRITE._replace(digest="d2"))
        bench.told()
        bench.jump = 1300
        await asyncio.sleep(LOOK_SECONDS + 0.1)
        assert bench.told() == [(other, "expired")]


@pytest.mark.parametrize("client", ["agent", None])
@virtual_time
async def test_a_freeze_ends_what_was_asked_before(client: str | None) -> None:
    """Soon, and for good: what is asked after it ended stays. Other clients' approvals stay with a freeze of one."""
    async with Bench() as bench:
        pending, approved = await bench.ask(), await bench.approved(WRITE._replace(digest="d2"))
        other = await bench.approved(WRITE._replace(client="other", limits="w1"))
        bench.told()
        bench.freezes.change(client, FreezeEntry(True, "ann", "", 5.0))
        bench.freezes.change(client, FreezeEntry(False, "ann", "", 6.0))
        assert not await bench.keeper.use("agent", approved)
        await asyncio.sleep(0.1)
        ended = {(pending.id, "void"), (approved, "void"), *([] if client else [(other, "void")])}
        assert set(bench.told()) == ended
        void = await bench.keeper.get("agent", approved)
        assert void is not None
        assert void.because == FROZEN
        assert await bench.keeper.use("agent", await bench.approved())


@virtual_time
async def test_while_writes_are_frozen_every_question_is_void() -> None:
    """The gate asks none; one that was on its way meanwhile ends at once."""
    async with Bench() as bench:
        bench.freezes.change("agent", FreezeEntry(True, "ann", "", 5.0))
        asked = await bench.ask()
        await asyncio.sleep(0)
        assert await bench.state(asked.id) is VOID


@virtual_time
async def test_other_limits_end_what_was_asked_before() -> None:
    """At once, also if they are what they were before anything is asked of the store; other clients' stay."""
    async with Bench() as bench:
        approved = await bench.approved()
        other = await bench.approved(WRITE._replace(client="other", limits="w1"))
        bench.told()
        bench.keeper.follow(TERMS, {"agent": "v2", "other": "w1"})
        bench.keeper.follow(TERMS, {"agent": "v1", "other": "w1"})
        assert not await bench.keeper.use("agent", approved)
        assert bench.told() == [(approved, "void")]
        void = await bench.keeper.get("agent", approved)
        assert void is not None
        assert void.because == LIMITS_CHANGED
        assert await bench.keeper.use("agent", await bench.approved())
        assert await bench.keeper.use("other", other)


@virtual_time
async def test_replicas_with_different_limits_end_each_others_approvals() -> None:
    """A rolling update may change the limits: each has only what was asked under its own."""
    old = Bench()
    new = Bench(old.store)
    new.keeper.follow(TERMS, {"agent": "v2", "other": "w1"})
    async with old:
        approved, other = await old.approved(), await old.approved(WRITE._replace(client="other", limits="w1"))
        async with new:
            assert await new.state(approved) is VOID
            newer = await new.approved(WRITE._replace(limits="v2"))
            assert await old.state(newer) is VOID
            assert await old.keeper.use("other", other)


@pytest.mark.parametrize("between", [{"agent": "v2"}, {}, {"other": "w1"}])
@virtual_time
async def test_limits_that_were_others_while_the_program_ran_otherwise(between: dict[str, str]) -> None:
    """A run with other limits, or none, ends what was approved before."""
    first = Bench()
    async with first:
        approved = await first.approved()
    second = Bench(first.store)
    second.keeper.follow(TERMS, between)
    async with second:
        await asyncio.sleep(0.1)
    async with Bench(first.store) as third:
        assert not await third.keeper.use("agent", approved)
        assert await third.state(approved) is VOID


@virtual_time
async def test_a_restart_ends_nothing() -> None:
    """What was used stays used; what expired meanwhile is told."""
    first = Bench()
    async with first:
        one, two = await first.approved(), await first.approved(WRITE._replace(digest="d2"))
        three = await first.ask(WRITE._replace(digest="d3"))
        await first.keeper.use("agent", two)
    second = Bench(first.store)
    async with second:
        assert second.told() == []
        assert await second.keeper.use("agent", one)
        assert not await second.keeper.use("agent", two)
        assert (await second.ask(WRITE._replace(digest="d3"))).id == three.id
    third = Bench(first.store)
    third.jump = TERMS.pending_for
    async with third:
        assert third.told() == [(three.id, "expired")]


@virtual_time
async def test_limits_of_another_version_are_not_asked_under() -> None:
    """A worker may still have the last configuration."""
    async with Bench() as bench:
        for write in (WRITE._replace(limits="v0"), WRITE._replace(client="unknown")):
            with pytest.raises(LedgerUnavailable, match="being changed"):
                await bench.keeper.ask(write)
        assert await bench.keeper.list(ended=True) == []


@pytest.mark.parametrize("end", ["used", "denied", "void", "expired"])
@virtual_time
async def test_a_store_that_lost_its_last_moments_brings_nothing_back(end: str) -> None:
    """Whoever saw how an approval ended puts that back, for all; it is no news."""
    async with Bench() as one, Bench(one.store) as two:
        identifier = await one.approved()
        snapshot = one.store.snapshot()
        match end:
            case "used":
                assert await one.keeper.use("agent", identifier)
            case "denied":
                await one.keeper.decide(identifier, DENIED, "ben", "No.")
            case "void":
                await one.keeper.void("agent", identifier, "Changed.")
            case _:
                one.jump = 600
                await one.state(identifier)
                one.jump = 0
        one.told()
        one.store.roll_back(snapshot)
        assert not await one.keeper.use("agent", identifier)
        one.store.roll_back(snapshot)
        one.keeper.store_changed(StoreChange())
        await asyncio.sleep(0.1)
        assert await two.state(identifier) is ApprovalState(end)
        assert not await two.keeper.use("agent", identifier)
        assert one.told() == []


@virtual_time
async def test_a_flushed_store_has_no_approvals() -> None:
    """The write has to be asked for again, and gets another id."""
    async with Bench() as bench:
        identifier = await bench.approved()
        bench.store.roll_back({})
        assert not await bench.keeper.use("agent", identifier)
        assert await bench.state(identifier) is None
        assert (await bench.ask()).id != identifier


@pytest.mark.parametrize("damage", [[], {"form": 1, "approvals": [{}]}, {"form": 2, "approvals": []}])
@virtual_time
async def test_a_damaged_document_gives_way(damage: object) -> None:
    """Without its approvals, the client has to ask again."""
    async with Bench() as bench:
        identifier = await bench.approved()
        await bench.store.write_document(f"{DOCUMENT}:agent", damage)
        assert not await bench.keeper.use("agent", identifier)
        assert await bench.keeper.use("agent", await bench.approved())


@virtual_time
async def test_documents_that_the_store_cannot_read_give_way() -> None:
    """The document of the limits in force is damaged, too: then everything ends."""
    first = Bench()
    async with first:
        identifier = await first.approved()
    damages: list[object] = [[], {"form": 1}, {"form": 2, "limits": {}}]
    for damage in damages:
        await first.store.write_document(DOCUMENT, damage)
        async with Bench(first.store) as bench:
            assert not await bench.keeper.use("agent", identifier)
            identifier = await bench.approved()

    class Damaged(Documents):
        async def change_document(self, name: str, change: Callable[[object | None], object]) -> None:
            if name not in self.written:
                raise StateFileDamaged("It is damaged.")
            await super().change_document(name, change)

        async def require_document(self, name: str) -> object | None:
            raise StateFileDamaged("It is damaged.")

        async def write_document(self, name: str, data: object) -> None:
            self.written.add(name)
            await super().write_document(name, data)

        def __init__(self) -> None:
            super().__init__()
            self.written: set[str] = set()

    async with Bench(Damaged()) as bench:
        assert await bench.keeper.use("agent", await bench.approved())


@virtual_time
async def test_the_queue_has_the_approvals_of_all_clients() -> None:
    """The oldest first; what ended only if that is asked for."""
    async with Bench() as bench:
        one = await bench.ask(WRITE._replace(client="other", limits="w1"))
        await asyncio.sleep(1)
        two, three = await bench.ask(), await bench.ask(WRITE._replace(digest="d2"))
        await bench.keeper.decide(two.id, DENIED, "anna")
        await bench.keeper.decide(three.id, APPROVED, "anna")
        assert [each.id for each in await bench.keeper.list()] == [one.id, three.id]
        assert [each.id for each in await bench.keeper.list(ended=True)] == [one.id, two.id, three.id]


@virtual_time
async def test_what_has_ended_cannot_be_decided() -> None:
    """The approver gets its state; an unknown id is unknown. An approved one can be denied until it is used."""
    async with Bench() as bench:
        identifier = await bench.approved()
        again = await bench.keeper.decide(identifier, APPROVED, "ben")
        assert again.by == "anna"
        denied = await bench.keeper.decide(identifier, DENIED, "ben", "Not today.")
        assert (denied.by, denied.because) == ("ben", "Not today.")
        for state in (APPROVED, DENIED):
            with pytest.raises(ApprovalOver) as caught:
                await bench.keeper.decide(identifier, state, "anna")
            assert caught.value.approval == denied
            with pytest.raises(UnknownApproval):
                await bench.keeper.decide("0" * 20, state, "anna")
        bench.told()
        late = await bench.ask(WRITE._replace(digest="d2"))
        bench.jump = TERMS.pending_for
        with pytest.raises(ApprovalOver) as caught:
            await bench.keeper.decide(late.id, APPROVED, "anna")
        assert caught.value.approval.state is EXPIRED
        assert bench.told() == [(late.id, "pending"), (late.id, "expired")]


@virtual_time
async def test_no_more_are_pending_than_may_be() -> None:
    """For each client by itself; the store keeps the others."""
    async with Bench() as bench:
        for number in range(3):
            assert not (await bench.keeper.find("agent", "d9")).is_full
            await bench.ask(WRITE._replace(digest=f"d{number}"))
        assert (await bench.keeper.find("agent", "d9")).is_full
        assert await bench.keeper.ask(WRITE._replace(digest="d9")) is None
        assert (await bench.keeper.find("agent", "d1")).approval is not None
        await bench.ask(WRITE._replace(client="other", limits="w1"))


@virtual_time
async def test_approvals_are_counted_after_each_change_and_each_minute() -> None:
    """Every client, in every state: numbers go back to zero."""
    async with Bench() as bench:

        def counts() -> list[object]:
            return [each.counts for each in bench.events if isinstance(each, ApprovalsCounted)]

        await bench.ask()
        [counted] = counts()
        assert isinstance(counted, tuple)
        assert [(client, number) for client, state, number in counted if state is PENDING] == [
            ("agent", 1),
            ("other", 0),
        ]
        assert len(counted) == 2 * len(ApprovalState)
        bench.events.clear()
        await bench.state("nothing")
        assert counts() == []
        await asyncio.sleep(LOOK_SECONDS + 0.1)
        assert counts() == [counted]


@virtual_time
async def test_what_is_remembered_of_ended_approvals_is_bounded() -> None:
    """After a week, no store brings them back."""
    async with Bench() as bench:
        identifier = await bench.approved()
        assert await bench.keeper.use("agent", identifier)
        assert list(bench.keeper._seen) == list(bench.keeper._uses) == [identifier]
        bench.jump = KEPT_SECONDS
        await asyncio.sleep(2 * LOOK_SECONDS)
        assert not bench.keeper._seen
        assert not bench.keeper._uses
        assert await bench.state(identifier) is None


@virtual_time
async def test_what_is_to_be_given_back_at_the_end_is_given_back() -> None:
    """If the store answers; else it stays used."""
    first = Bench()
    async with first:
        identifier = await first.approved()
        await first.keeper.use("agent", identifier)
        first.keeper.give_back("agent", identifier)
    async with Bench(first.store) as second:
        assert await second.keeper.use("agent", identifier)
        second.keeper.give_back("agent", identifier)
        second.store.away = StateUnavailable("away")
    second.store.away = None
    async with Bench(first.store) as third:
        assert await third.state(identifier) is USED
