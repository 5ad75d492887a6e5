"""How the program keeps what it observed of judged writes: over a restart, without a store, and with other replicas."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from proxy.app.spend_observations import KeptObservations, SpendObserver
from proxy.errors import StateError
from proxy.events import RequestStarted, SpendJudgement, SpendMode, SpendVerdict
from proxy.spend.observations import ObservedWrite, judged_write
from proxy.tokens.store import MemoryStore
from tests.observability.test_metrics import finished
from tests.support.patience import settled

NOW = 1_800_000_000.0
OVER = SpendJudgement(SpendMode.OBSERVE, SpendVerdict.OVER)
WITHIN = SpendJudgement(SpendMode.ENFORCE, SpendVerdict.WITHIN)
DOCUMENT = "spend-observations"


def write(client: str = "agent") -> ObservedWrite:
    return judged_write(finished(client=client), OVER, NOW)


class Store(MemoryStore):
    """A store that replicas share. While it is `away`, nothing is read or written; `before_write` is called before each
    write, and with `fails_late` what is written is reported as failed."""

    def __init__(self) -> None:
        super().__init__()
        self.away = self.fails_late = False
        self.before_write: Callable[[], Awaitable[None]] | None = None
        self.attempts = self.reads = 0

    async def read_document(self, name: str) -> object | None:
        self.reads += 1
        return None if self.away else await super().read_document(name)

    async def write_document(self, name: str, data: object) -> None:
        hook, self.before_write = self.before_write, None
        if hook is not None:
            await hook()
        self.attempts += 1
        if self.away:
            raise StateError("The store is away.")
        await super().write_document(name, data)
        if self.fails_late:
            raise StateError("The answer did not come.")


class Replica:
    """A program that keeps its observations in this store, and writes them when it is told to `save`."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self._turn = asyncio.Event()
        self.kept = KeptObservations(lambda: NOW, self._pause)

    async def _pause(self, _: float) -> None:
        await self._turn.wait()
        self._turn.clear()

    async def save(self) -> None:
        before = self.store.attempts
        self._turn.set()
        await settled(lambda: self.store.attempts > before)

    async def check(self) -> None:
        """Let it look whether its last write is still there."""
        before = self.store.reads
        self._turn.set()
        await settled(lambda: self.store.reads > before)

    @property
    def count(self) -> int:
        """The judged writes that it knows of."""
        tally = self.kept.all().clients().get("agent")
        return tally.judged.total() if tally is not None else 0


Begin = Callable[[Store], Awaitable[Replica]]


@pytest.fixture
async def begin() -> AsyncIterator[Begin]:
    """Begins replicas, and stops them at the end."""
    begun: list[Replica] = []

    async def make(store: Store) -> Replica:
        replica = Replica(store)
        await replica.kept.begin(store)
        begun.append(replica)
        return replica

    yield make
    for replica in begun:
        await replica.kept.stop()


def test_judged_writes_alone_are_observed() -> None:
    """Other events, and requests that were not judged, are not."""
    taken: list[ObservedWrite] = []
    observer = SpendObserver(taken.append, lambda *_: None, lambda: NOW)
    for event in (finished(), RequestStarted(), finished(client="agent", spend=OVER)):
        observer.observe(event)
    assert taken == [write()]


async def test_writes_that_are_noted_without_an_event_are_kept_the_same(begin: Begin) -> None:
    """They are counted by their client, and saved."""
    store = Store()
    first = await begin(store)
    observer = SpendObserver(first.kept.note, first.kept.note_within, lambda: NOW)
    observer.note_judged(finished(client="agent").kind, "/x", WITHIN)
    assert first.count == 1
    await first.save()
    assert (await begin(store)).count == 1


async def test_numbers_survive_a_restart(begin: Begin) -> None:
    """What was not written yet is written at the stop."""
    store = Store()
    first = await begin(store)
    first.kept.note(write())
    await first.save()
    first.kept.note(write())
    await first.kept.stop()
    second = await begin(store)
    assert second.count == 2
    assert len(second.kept.all().held_back()) == 2


async def test_many_writes_are_kept_at_once(begin: Begin) -> None:
    """Until the next turn they are known, and not yet in the store."""
    store = Store()
    replica = await begin(store)
    for _ in range(5):
        replica.kept.note(write())
    assert (replica.count, store.attempts) == (5, 0)
    await replica.save()
    assert (replica.count, store.attempts) == (5, 1)


async def test_replicas_show_each_other_s_numbers(begin: Begin) -> None:
    """Each after it looks; nothing is counted twice, however often each writes."""
    store = Store()
    one, other = await begin(store), await begin(store)
    for replica in (one, other, one, one, other):
        replica.kept.note(write())
        await replica.save()
    await one.kept.look()
    assert (one.count, other.count) == (5, 5)
    assert (await begin(store)).count == 5


async def test_two_writes_at_the_same_moment_lose_nothing(begin: Begin) -> None:
    """The one that was replaced is added again with the next."""
    store = Store()
    one, other = await begin(store), await begin(store)
    one.kept.note(write())
    other.kept.note(write())

    async def overtake() -> None:
        await one.save()

    store.before_write = overtake
    await other.save()
    assert (await begin(store)).count == 1
    one.kept.note(write())
    await one.save()
    assert (await begin(store)).count == 3
    assert one.count == 3


async def test_a_write_that_was_lost_is_done_again_without_another(begin: Begin) -> None:
    """At the next look, also if nothing more is judged; a write that is still there is not done again."""
    store = Store()
    one, other = await begin(store), await begin(store)
    one.kept.note(write())
    other.kept.note(write())
    store.before_write = one.save
    await other.save()
    assert (await begin(store)).count == 1
    await one.check()
    assert (await begin(store)).count == 2
    before = store.attempts
    await other.check()
    assert store.attempts == before


@pytest.mark.parametrize("fault", ["away", "fails_late"])
async def test_a_store_that_fails_costs_no_number(begin: Begin, fault: str) -> None:
    """Whether it wrote or not before it failed, each write is counted once."""
    store = Store()
    replica = await begin(store)
    replica.kept.note(write())
    await replica.save()
    setattr(store, fault, True)
    replica.kept.note(write())
    await replica.save()
    assert replica.count == 2
    setattr(store, fault, False)
    await replica.check()
    replica.kept.note(write())
    await replica.save()
    assert replica.count == 3
    assert (await begin(store)).count == 3


async def test_a_damaged_document_is_replaced_by_what_is_known(begin: Begin) -> None:
    """The numbers of this program stay."""
    store = Store()
    replica = await begin(store)
    replica.kept.note(write())
    await replica.save()
    await store.write_document(DOCUMENT, ["no observations"])
    replica.kept.note(write())
    await replica.save()
    assert (await begin(store)).count == 2
