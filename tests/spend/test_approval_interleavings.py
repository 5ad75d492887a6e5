"""No interleaving of questions, decisions, writes, reloads, freezes, restarts, clocks and faults of the store lets a
write pass without exactly one approval of exactly that write."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Callable
from typing import NamedTuple

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from proxy.errors import LedgerUnavailable, StateUnavailable, UnknownApproval
from proxy.events import ApprovalState, Event, SpendRule, SpendViolation
from proxy.spend.approval_keeper import RETRY_SECONDS, ApprovalKeeper
from proxy.spend.approvals import Approval, ApprovalOver, ApprovalTerms, WriteToApprove
from proxy.spend.freezes import FreezeEntry, Freezes
from proxy.spend.ledger import PATIENCE
from proxy.tokens.redis_counts import SETTLING
from proxy.tokens.store import StoreChange
from tests.fuzz.depth import LONG
from tests.support.tokens import EPOCH, JumpingLoop

TERMS = ApprovalTerms(valid_for=300.0, pending_for=900.0, max_pending=3)
VALUES = ("500", "600")
VERSIONS = ("v1", "v2", "")
"""The limits of the client: two, and none."""
FAULTS = ("none", "away", "answer lost", "late")
MEANWHILE = (
    *("send", "disconnect", "approve", "deny", "void", "loosen, wait and tighten", "restart", "kill", "restart twice"),
    *("use and lose", "save", "lose", "flush", "wait", "wait long", "mend"),
)
SUDDENLY = (
    *("loosen and tighten", "other limits", "freeze", "freeze and unfreeze", "freeze and unfreeze all"),
    *("hear of freezes", "the clock jumps", "the clock is set back", "the clock is set far back"),
    *("a limit is reached", "a limit is free again"),
)
BUDGET = SpendViolation(SpendRule.BUDGET, "campaigns[0].budget.budget", "500", "EUR", "180")
"""What every write is over."""
REACHED = (
    SpendViolation(SpendRule.HOURS, "", "2027-01-15 18:00", "", "mon-fri 08:00-17:00"),
    SpendViolation(SpendRule.NEW_PER_DAY, "", "11", "", "10"),
)
"""What writes are over at times."""
FAR_BACK = 3600.0
"""Seconds by which the clock is set back: more than it jumps forward in a step."""
Sudden = tuple[str, int]
"""What happens, and to which replica."""


class Documents:
    """What both replicas share."""

    def __init__(self) -> None:
        self.texts: dict[str, str] = {}
        self.links: list[Link] = []
        self.unsettled_until = 0.0

    def write(self, name: str, data: object) -> None:
        self.texts[name] = json.dumps(data)
        for link in self.links:
            link.told(StoreChange(document=name))


class Link:
    """One replica's way to the documents. `fault` says what happens to its changes."""

    def __init__(self, documents: Documents) -> None:
        self._documents, self.fault = documents, "none"
        self._late: list[asyncio.Task[None]] = []
        self.told: Callable[[StoreChange], None] = lambda change: None
        documents.links.append(self)

    @property
    def unsettled(self) -> float:
        return max(0.0, self._documents.unsettled_until - asyncio.get_running_loop().time())

    async def require_document(self, name: str) -> object | None:
        await self._pass()
        return self._read(name)

    async def write_document(self, name: str, data: object) -> None:
        await self._pass()
        self._documents.write(name, data)
        self._lose()

    async def change_document(self, name: str, change: Callable[[object | None], object]) -> None:
        if self.fault == "late":
            self._late.append(asyncio.create_task(self._change_late(name, change)))  # as a thread does that hangs
            await asyncio.sleep(PATIENCE + 1)
        await self._pass()
        await self._change(name, change)
        self._lose()

    async def _change_late(self, name: str, change: Callable[[object | None], object]) -> None:
        await asyncio.sleep(PATIENCE + 0.5)
        await self._change(name, change)

    async def _change(self, name: str, change: Callable[[object | None], object]) -> None:
        while True:
            text, document = self._documents.texts.get(name), self._read(name)
            anew = change(document)
            await asyncio.sleep(0)
            if anew is document:
                return
            if self._documents.texts.get(name) == text:
                self._documents.write(name, anew)
                return

    def _read(self, name: str) -> object | None:
        document: object = json.loads(self._documents.texts.get(name, "null"))
        return document

    async def _pass(self) -> None:
        await asyncio.sleep(0)
        if self.fault == "away":
            raise StateUnavailable("The store is away.")

    def _lose(self) -> None:
        if self.fault == "answer lost":
            raise StateUnavailable("The store did not answer.")


class Since(NamedTuple):
    """What a replica has been through: how often its limits changed, and the freezes that it knows."""

    reloads: int
    freezes: frozenset[int]


class Replica:
    """A program. `version` is that of the limits in force, empty for none."""

    def __init__(self, documents: Documents, wall: Callable[[], float]) -> None:
        self.link, self.freezes, self._wall = Link(documents), Freezes(), wall
        self.version, self.reloads, self.known = "v1", 0, frozenset[int]()
        self._make()

    def _make(self) -> None:
        self.started_at = asyncio.get_running_loop().time()
        self.keeper = ApprovalKeeper(self.link, self.freezes, self, self._wall)
        self.link.told = self.keeper.store_changed
        self.follow()

    def observe(self, event: Event) -> None:
        """What is reported is tested elsewhere."""

    @property
    def since(self) -> Since:
        return Since(self.reloads, self.known)

    @property
    def has_caught_up(self) -> bool:
        keeper = self.keeper
        return keeper._is_begun and keeper._kept_versions == keeper._versions and not keeper._to_look_at

    def follow(self) -> None:
        self.keeper.follow(TERMS, {"agent": self.version} if self.version else {})

    def reload(self, version: str) -> None:
        self.reloads += version != self.version
        self.version = version
        self.follow()

    async def restart(self, version: str, *, is_killed: bool) -> None:
        following = self.keeper._following
        assert following is not None
        if is_killed:
            following.cancel()
            await asyncio.wait((following,))
            self.freezes.listeners.clear()
        else:
            await self.keeper.stop()
        self.reloads += version != self.version
        self.version = version
        self._make()
        await self.keeper.start()


class Step(NamedTuple):
    """One write: which replicas ask, decide and send, and what happens before it is sent, and between finding its
    approval and using it."""

    numbers: tuple[int, int, int]
    value: str
    version: str
    meanwhile: list[Sudden]
    between: Sudden | None


REPLICA = st.integers(0, 1)
STEPS = st.builds(
    Step,
    st.tuples(REPLICA, REPLICA, REPLICA),
    st.sampled_from(VALUES),
    st.sampled_from(("v1", "v2")),
    st.lists(st.tuples(st.sampled_from((*MEANWHILE, *SUDDENLY, *FAULTS)), REPLICA), max_size=3),
    st.none() | st.tuples(st.sampled_from(SUDDENLY), REPLICA),
)
LONGER = st.lists(STEPS, min_size=4, max_size=16)


class Interleavings:
    """Two replicas. A write leaves if its use of an approval succeeds, and for each the approval
    is looked at: who gave it, for what, and what has happened since."""

    def __init__(self) -> None:
        self.jump = 0.0
        self.reached = set[int]()
        self.documents = Documents()
        self.replicas = [Replica(self.documents, self.wall) for _ in range(2)]
        self.snapshot: tuple[float, dict[str, str]] = (0.0, {})
        self.asked: dict[str, tuple[str, dict[int, Since], frozenset[int]]] = {}
        """For each id the digest that was asked for, what the replicas had been through, and the freezes that its
        replica knew."""
        self.approved: dict[str, float] = {}
        """The moment of the decision, by id, kept or not: its answer may have been lost."""
        self.over: set[str] = set()
        """What was denied or void for certain."""
        self.left: set[str] = set()
        self.freezes = self.left_turns = 0

    async def run(self, steps: list[Step]) -> None:
        for replica in self.replicas:
            await replica.keeper.start()
        for step in steps:
            await self.ask_approve_and_send(step)
        await self._mend()
        await self._pass_one()

    def wall(self) -> float:
        return EPOCH + asyncio.get_running_loop().time() + self.jump

    # --- what clients do

    async def _send(self, number: int, value: str, *, leaves: bool = True, between: Sudden | None = None) -> None:
        """A write, as the gate has it: what it changes is read `between` finding an approval and using it."""
        replica = self.replicas[number]
        approvals, version = replica.keeper, replica.version
        if not version or replica.freezes.is_frozen("agent"):
            return
        violations = BUDGET, *(REACHED[place] for place in sorted(self.reached))
        write = WriteToApprove(
            "agent", f"{value} {version}", version, "POST /sp/campaigns", "/sp/campaigns", "a", "eu", "1", violations
        )
        with contextlib.suppress(LedgerUnavailable):
            found = await approvals.find("agent", write.digest)
            if found.approval is None or found.approval.is_too_narrow(violations):
                await self._ask(number, write)
            elif found.approval.state is ApprovalState.APPROVED:
                if between is not None:
                    self._let_happen_at_once(between)
                await self._use(number, found.approval, write, leaves=leaves)

    async def _ask(self, number: int, write: WriteToApprove) -> None:
        replica = self.replicas[number]
        through = {place: each.since for place, each in enumerate(self.replicas)}
        asked = await replica.keeper.ask(write)
        if asked is not None:
            assert asked.write.digest == write.digest
            assert set(write.violations) <= set(asked.write.violations), "it shows less than the write violates"
            self.asked.setdefault(asked.id, (write.digest, through, replica.known))

    async def _use(self, number: int, approval: Approval, write: WriteToApprove, *, leaves: bool) -> None:
        replica, over = self.replicas[number], set(self.over)
        now, through = self.wall(), replica.since
        if not await replica.keeper.use("agent", approval.id):
            return
        if not leaves:
            replica.keeper.give_back("agent", approval.id)
            return
        assert approval.id not in self.left, "two writes passed with one approval"
        self.left.add(approval.id)
        assert approval.id in self.approved, "no approver said yes"
        assert approval.id not in over, "it had been denied or was void"
        assert now < self.approved[approval.id] + TERMS.valid_for, "it had expired"
        assert now > self.approved[approval.id] - FAR_BACK + 600.0, "it had been approved later, by a clock set back"
        assert approval.write.digest == write.digest, "another write passed"
        assert set(write.violations) <= set(approval.write.violations), "the approver saw fewer violations"
        if approval.id in self.asked:  # else the answer to the question was lost
            asked, before, known = self.asked[approval.id]
            assert asked == write.digest
            # Freezes are numbered as they happen: one before the last that was known was over when this was asked for.
            assert max(through.freezes, default=0) <= max(known, default=0), "a freeze came between"
            assert through.reloads == before[number].reloads, "the limits were others meanwhile"

    async def _send_many(self, value: str, between: Sudden | None = None) -> None:
        each = (self._send(at % 2, value, leaves=at % 4 > 0, between=between) for at in range(8))
        await asyncio.gather(*each)

    async def _disconnect(self, number: int, value: str) -> None:
        """The client leaves while its write waits."""
        sending = asyncio.create_task(self._send(number, value))
        for _ in range(self.left_turns):
            await asyncio.sleep(0)
        self.left_turns = (self.left_turns + 1) % 12
        sending.cancel()
        await asyncio.wait((sending,))
        if not sending.cancelled():
            sending.result()

    # --- what approvers do

    async def _decide(self, number: int, place: int, state: ApprovalState) -> None:
        with contextlib.suppress(LedgerUnavailable, ApprovalOver, UnknownApproval, IndexError):
            approval = (await self.replicas[number].keeper.list())[place]
            if state is ApprovalState.APPROVED and approval.state is ApprovalState.PENDING:
                self.approved[approval.id] = self.wall() + 2 * PATIENCE  # while it is decided, time may pass
            await self.replicas[number].keeper.decide(approval.id, state, "anna")
            if state is ApprovalState.DENIED:
                self.over.add(approval.id)

    async def _void(self, number: int) -> None:
        with contextlib.suppress(LedgerUnavailable, IndexError):
            approval = (await self.replicas[number].keeper.list())[0]
            await self.replicas[number].keeper.void("agent", approval.id, "Changed.")
            if approval.state is ApprovalState.APPROVED:
                self.over.add(approval.id)

    # --- all of them, and operators, the store and clocks

    async def ask_approve_and_send(self, step: Step) -> None:
        """A write is asked for and approved while nothing is in its way; then anything happens, and it is sent."""
        asking, deciding, sending = step.numbers
        self._clear_the_way(step.version)
        await self._send(asking, step.value, leaves=False)
        for place in range(3):
            await self._decide(deciding, place, ApprovalState.APPROVED)
        for event in step.meanwhile:
            await self._let_happen(*event)
        await self._send(sending, step.value, between=step.between)
        await self._send_many(step.value)

    def _clear_the_way(self, version: str) -> None:
        for number, replica in enumerate(self.replicas):
            replica.link.fault = "none"
            for client in (None, "agent"):
                if replica.freezes.knows("agent") or replica.freezes.in_force():
                    self._freeze(number, client, begins=False)
            replica.reload(version)
        self._hear_of_freezes()

    async def _let_happen(self, name: str, number: int) -> None:
        replica = self.replicas[number]
        match name:
            case "send":
                await self._send_many(VALUES[number])
            case "disconnect":
                await self._disconnect(number, VALUES[number])
            case "approve":
                await self._decide(number, 0, ApprovalState.APPROVED)
            case "deny":
                await self._decide(number, 0, ApprovalState.DENIED)
            case "void":
                await self._void(number)
            case "loosen, wait and tighten":
                version = replica.version
                replica.reload("")
                await asyncio.sleep(1.0)
                replica.reload(version)
            case "restart" | "kill":
                await self._restart(number, replica.version, is_killed=name == "kill")
            case "restart twice":
                for version in ("", replica.version):
                    await self._restart(number, version, is_killed=False)
            case "use and lose":
                await self._use_and_lose(number)
            case "save":
                self.snapshot = asyncio.get_running_loop().time(), dict(self.documents.texts)
            case "lose":
                await self._lose(*self.snapshot)
            case "flush":
                self._replace({})
            case "wait" | "wait long":
                await asyncio.sleep(7.0 if name == "wait" else 310.0)
            case "mend":
                await self._mend()
            case fault if fault in FAULTS:
                replica.link.fault = fault
            case _:
                self._let_happen_at_once((name, number))

    def _let_happen_at_once(self, sudden: Sudden) -> None:
        name, number = sudden
        replica = self.replicas[number]
        match name:
            case "loosen and tighten":
                for version in ("", "v2" if replica.version == "v1" else "v1", replica.version):
                    replica.reload(version)
            case "other limits":
                for each in self.replicas:
                    each.reload("v2" if each.version == "v1" else "v1")
            case "freeze":
                self._freeze(number, None, begins=True)
            case "freeze and unfreeze" | "freeze and unfreeze all":
                for begins in (True, False):
                    self._freeze(number, "agent" if name == "freeze and unfreeze" else None, begins=begins)
            case "hear of freezes":
                self._hear_of_freezes()
            case "the clock jumps":
                self.jump += 320.0
            case "a limit is reached":
                self.reached.add(number)
            case "a limit is free again":
                self.reached.discard(number)
            case "the clock is set far back":
                self.jump -= FAR_BACK
            case _:
                self.jump -= 20.0

    def _freeze(self, number: int, client: str | None, *, begins: bool) -> None:
        self.freezes += 1
        replica = self.replicas[number]
        replica.known |= {self.freezes}
        replica.freezes.change(client, FreezeEntry(begins, "ann", "", float(self.freezes)))

    def _hear_of_freezes(self) -> None:
        one, two = self.replicas
        one.freezes.merge(two.freezes._entries)
        two.freezes.merge(one.freezes._entries)
        one.known = two.known = one.known | two.known

    async def _restart(self, number: int, version: str, *, is_killed: bool) -> None:
        """With other limits only if the store knows which were in force."""
        replica = self.replicas[number]
        if replica.link.unsettled:
            return  # what it alone knows would be lost for good
        await asyncio.sleep(1.0)
        await replica.restart(version if replica.has_caught_up else replica.version, is_killed=is_killed)

    async def _mend(self) -> None:
        for replica in self.replicas:
            replica.link.fault = "none"
        await asyncio.sleep(2 * (PATIENCE + RETRY_SECONDS))

    async def _lose(self, saved_at: float, texts: dict[str, str]) -> None:
        """The store has an earlier state. The replicas know what they saw, and notice the loss before anything else;
        one of them has run all the time."""
        await self._mend()
        if any(replica.started_at <= saved_at for replica in self.replicas):
            self._replace(texts)

    async def _use_and_lose(self, number: int) -> None:
        """One replica uses what the other one does not see, and the store forgets that."""
        used, other = self.replicas[number], self.replicas[1 - number]
        await self._mend()
        texts, other.link.fault = dict(self.documents.texts), "away"
        await asyncio.gather(*(self._send(number, value) for value in VALUES))
        other.link.fault = used.link.fault = "none"
        self._replace(texts)
        for value in VALUES:
            await self._send(1 - number, value)
        await asyncio.sleep(SETTLING + 0.5)

    def _replace(self, texts: dict[str, str]) -> None:
        self.documents.texts = dict(texts)
        self.documents.unsettled_until = asyncio.get_running_loop().time() + SETTLING
        for replica in self.replicas:
            replica.link.told(StoreChange())

    # --- and everything still works

    async def _pass_one(self) -> None:
        """A write that is asked for and approved passes once."""
        self._clear_the_way("v1")
        await asyncio.sleep(TERMS.pending_for + 600 + SETTLING)
        before = len(self.left)
        await self._send(0, "700")
        [approval] = await self.replicas[1].keeper.list()
        self.approved[approval.id] = self.wall()
        await self.replicas[1].keeper.decide(approval.id, ApprovalState.APPROVED, "anna")
        await asyncio.gather(*(self._send(at % 2, "700") for at in range(8)))
        assert len(self.left) == before + 1
        for replica in self.replicas:
            await replica.keeper.stop()


def run_steps(steps: list[Step]) -> None:
    async def run() -> None:
        await Interleavings().run(steps)

    with asyncio.Runner(loop_factory=JumpingLoop) as runner:
        runner.run(run())


@settings(max_examples=20, deadline=None)
@given(st.lists(STEPS, min_size=4, max_size=8))
@example([Step((0, 0, 1), "500", "v1", [("the clock is set far back", 0)], None)])
@example([Step((0, 0, 1), "500", "v1", [("a limit is reached", 0)], None)])
@example([*[Step((0, 0, 0), "500", "v1", [], None)] * 3, Step((0, 0, 1), "600", "v1", [("use and lose", 0)], None)])
def test_no_interleaving_lets_an_unapproved_write_pass(steps: list[Step]) -> None:
    """Whatever happens, and in whatever order."""
    run_steps(steps)


@pytest.mark.long
@settings(max_examples=100, deadline=None)
@given(LONGER)
def test_no_longer_interleaving_lets_an_unapproved_write_pass(steps: list[Step]) -> None:
    """The same, with longer examples."""
    run_steps(steps)


@pytest.mark.fuzz
@settings(LONG, max_examples=1000)
@given(LONGER)
def test_no_interleaving_of_many_lets_an_unapproved_write_pass(steps: list[Step]) -> None:
    """The same, with many more examples, which are others each time."""
    run_steps(steps)
