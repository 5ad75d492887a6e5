"""Whose writes are frozen: in a process, in the state store, and between replicas that share one."""

from __future__ import annotations

from typing import Any

import pytest

from proxy.errors import FreezesUnknown, Frozen, StateError, StateFileDamaged, StateUnavailable
from proxy.events import Event, WritesFrozen, WritesUnfrozen
from proxy.spend.freezes import DOCUMENT, MAX_TEXT, FreezeEntry, FreezeKeeper, Freezes, clean, read_document
from proxy.tokens.store import MemoryStore, StoreChange
from tests.support.patience import settled

NOW = 1_800_000_000.0


def frozen(at: float = NOW, because: str = "") -> FreezeEntry:
    return FreezeEntry(True, "ann@desk", because, at)


def unfrozen(at: float = NOW) -> FreezeEntry:
    return FreezeEntry(False, "bob@desk", "", at)


def state(freezes: Freezes, *clients: str) -> list[bool]:
    return [freezes.is_frozen(client) for client in clients]


def test_nothing_is_frozen_at_first() -> None:
    """No client, and nobody either."""
    assert state(Freezes(), "agent", "") == [False, False]


def test_a_client_is_frozen_alone() -> None:
    """The others write on, also those without a key."""
    freezes = Freezes()
    freezes.change("agent", frozen())
    assert state(freezes, "agent", "other", "") == [True, False, False]
    assert repr(freezes) == "<Freezes: 1 in force>"


def test_all_are_frozen() -> None:
    """Whoever it is; a freeze of its own outlasts the one of all."""
    freezes = Freezes()
    freezes.change("agent", frozen())
    freezes.change(None, frozen())
    assert state(freezes, "agent", "other", "") == [True, True, True]
    assert [freeze.client for freeze in freezes.in_force()] == [None, "agent"]
    freezes.change(None, unfrozen(NOW + 1))
    assert state(freezes, "agent", "other", "") == [True, False, False]
    freezes.change("agent", unfrozen(NOW + 1))
    assert freezes.in_force() == ()


@pytest.mark.parametrize(
    ("client", "because", "detail"),
    [
        ("agent", "It raises bids.", "All writes of client agent are frozen (It raises bids)."),
        ("agent", "", "All writes of client agent are frozen."),
        (None, "", "All writes through this proxy are frozen."),
    ],
)
def test_a_client_is_told_why(client: str | None, because: str, detail: str) -> None:
    """Not by whom; that nothing was sent, that reads go on, and whom to ask."""
    freezes = Freezes()
    freezes.change(client, frozen(because=because))
    refusal = freezes.refusal("agent")
    assert isinstance(refusal, Frozen)
    assert refusal.detail == f"{detail} Nothing was sent, and reads go on. Ask the operator to unfreeze them."
    assert (refusal.status, refusal.slug, refusal.retryable) == (403, "frozen", False)


def test_what_is_not_known_is_not_sent() -> None:
    """With a status that says to try again; a person who unfreezes all has decided."""
    freezes = Freezes()
    freezes.set_unknown("the store is away.")
    refusal = freezes.refusal("agent")
    assert isinstance(refusal, FreezesUnknown)
    assert (refusal.status, refusal.retryable, refusal.retry_after) == (503, True, 5.0)
    assert "the store is away." in refusal.detail
    freezes.change("agent", unfrozen())
    assert freezes.is_frozen("agent")
    freezes.change(None, unfrozen())
    assert not freezes.is_frozen("agent")


def test_a_change_is_later_than_the_one_before_it() -> None:
    """Also where the clock was set back."""
    freezes = Freezes()
    freezes.change("agent", frozen(NOW))
    freezes.change("agent", unfrozen(NOW - 3600))
    other = Freezes()
    other.change("agent", frozen(NOW))
    assert other.merge(read_document(freezes.to_document())) == ("agent",)
    assert not other.is_frozen("agent")


def test_of_two_replicas_the_later_change_counts() -> None:
    """In whatever order they are heard; of two at the same moment, the freeze."""
    changes: dict[str | None, FreezeEntry] = {
        "a": frozen(NOW),
        "b": unfrozen(NOW),
        "c": frozen(NOW + 1),
        "d": unfrozen(NOW),
    }
    others: dict[str | None, FreezeEntry] = {
        "a": unfrozen(NOW + 1),
        "b": frozen(NOW),
        "c": unfrozen(NOW),
        "d": unfrozen(NOW),
    }
    for first, second in ((changes, others), (others, changes)):
        freezes = Freezes()
        freezes.merge(first)
        freezes.merge(second)
        assert state(freezes, "a", "b", "c", "d") == [False, True, True, False]
        assert not freezes.is_later_than({**changes, "a": others["a"], "b": others["b"]})
        assert freezes.is_later_than(changes)


def test_listeners_hear_of_what_is_new() -> None:
    """Not of what was known."""
    freezes, heard = Freezes(), []
    freezes.listeners.append(lambda: heard.append(freezes.is_frozen("agent")))
    freezes.change("agent", frozen())
    freezes.merge({"agent": frozen()})
    freezes.set_unknown("")
    freezes.merge({"agent": unfrozen(NOW + 1)})
    assert heard == [True, False]


@pytest.mark.parametrize(
    "document",
    [
        [],
        "x",
        {},
        {"all": None},
        {"clients": {}},
        {"clients": [], "all": None},
        {"clients": {"a": None}, "all": None},
        {"clients": {"a": {"frozen": True, "by": "", "because": "", "at": "soon"}}, "all": None},
        {"clients": {}, "all": {"frozen": True}},
    ],
)
def test_what_is_no_document_is_refused(document: object) -> None:
    """Such an entry may be of a version to come: nothing of it is guessed."""
    with pytest.raises(ValueError, match="unknown form"):
        read_document(document)


def test_words_of_people_are_one_line() -> None:
    """Reasons have printable characters, and are not endless."""
    assert clean("  It\nraises\tbids \x1b[31m ") == "It raises bids ?[31m"
    assert clean("x" * (MAX_TEXT + 1)) == "x" * MAX_TEXT


# --- the keeper ----------------------------------------------------------------------------------------------


class Store(MemoryStore):
    """A store in memory that may be away, and whose document may be damaged."""

    def __init__(self) -> None:
        super().__init__()
        self.away = False
        self.damaged = False
        self.writes = 0

    async def require_document(self, name: str) -> object | None:
        if self.away:
            raise StateUnavailable("The store is away.")
        if self.damaged:
            raise StateFileDamaged("The document is damaged.")
        return await self.read_document(name)

    async def write_document(self, name: str, data: object) -> None:
        if self.away:
            raise StateUnavailable("The store is away.")
        self.damaged = False
        self.writes += 1
        await super().write_document(name, data)


class Replica:
    """A program's keeper, with what it told."""

    def __init__(self, store: Any, now: float = NOW) -> None:
        self.now = now
        self.events: list[Event] = []
        self.freezes = Freezes()
        self.keeper = FreezeKeeper(self.freezes, store, self, lambda: self.now)

    def observe(self, event: Event) -> None:
        self.events.append(event)

    async def __aenter__(self) -> Replica:
        await self.keeper.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.keeper.stop()


async def test_a_freeze_outlasts_the_program() -> None:
    """With who, why and when; the next one tells that it was frozen before."""
    store = Store()
    async with Replica(store) as first:
        await first.keeper.freeze("agent", "ann@desk", "It raises\nbids")
        assert (first.keeper.unkept, repr(first.keeper)) == ("", "<FreezeKeeper of <Freezes: 1 in force>>")
    assert first.events == [WritesFrozen("agent", "ann@desk", "It raises bids")]
    async with Replica(store) as second:
        assert second.freezes.in_force() == first.freezes.in_force()
        assert second.events == [WritesFrozen("agent", "ann@desk", "It raises bids", heard=True)]
        await second.keeper.unfreeze("agent", "bob@desk", "")
    async with Replica(store) as third:
        assert (third.freezes.in_force(), third.events) == ((), [])
    assert second.events[1:] == [WritesUnfrozen("agent", "bob@desk", "")]


async def test_replicas_hear_of_each_other() -> None:
    """The document is read as soon as the store tells that it changed, and of no other document."""
    store = Store()
    async with Replica(store) as first, Replica(store) as second:
        await first.keeper.freeze(None, "ann@desk", "")
        second.keeper.store_changed(StoreChange(account="acme"))
        second.keeper.store_changed(StoreChange(document="consents"))
        assert not second.keeper._wanted.is_set()
        second.keeper.store_changed(StoreChange(document=DOCUMENT))
        await settled(lambda: second.freezes.is_frozen("agent"))
        await second.keeper.unfreeze(None, "bob@desk", "")
        first.keeper.store_changed(StoreChange())
        await settled(lambda: not first.freezes.is_frozen("agent"))
    assert first.events[-1] == WritesUnfrozen("", "bob@desk", "", heard=True)


async def test_a_change_that_another_replica_overwrote_is_written_again() -> None:
    """Both read the document before either wrote: each writes what it lacks when it hears of the other."""
    store = Store()
    async with Replica(store) as first, Replica(store) as second:
        await first.keeper.freeze("a", "ann@desk", "")
        lost = Freezes()
        lost.change("b", frozen())
        second.freezes.merge(read_document(lost.to_document()))
        await store.write_document(DOCUMENT, lost.to_document())
        first.keeper.store_changed(StoreChange(document=DOCUMENT))
        await settled(lambda: store.writes == 3)
        second.keeper.store_changed(StoreChange(document=DOCUMENT))
        await settled(lambda: second.freezes.is_frozen("a"))
        assert state(first.freezes, "a", "b") == [True, True]


async def test_a_freeze_that_cannot_be_kept_holds_here() -> None:
    """The failure is told, and the freeze is written once the store is back."""
    store = Store()
    async with Replica(store) as replica:
        store.away = True
        await replica.keeper.freeze("agent", "ann@desk", "")
        assert replica.freezes.is_frozen("agent")
        assert replica.keeper.unkept == "The store is away."
        assert repr(replica.keeper).endswith(", not kept>")
        store.away = False
        replica.keeper.store_changed(StoreChange())
        await settled(lambda: not replica.keeper.unkept)
    async with Replica(store) as after:
        assert after.freezes.is_frozen("agent")


async def test_a_store_that_is_away_later_is_nothing_to_report() -> None:
    """Everything that holds here is kept there."""
    store = Store()
    async with Replica(store) as replica:
        await replica.keeper.freeze("agent", "ann@desk", "")
        store.away = True
        replica.keeper.store_changed(StoreChange())
        await settled(lambda: replica.keeper._behind)
        assert (replica.keeper.unkept, replica.freezes.is_frozen("agent")) == ("", True)


async def test_no_write_leaves_before_the_store_could_be_read() -> None:
    """The store was away at the start: what is frozen holds again once it is back, and the others write."""
    store = Store()
    async with Replica(store) as before:
        await before.keeper.freeze("agent", "ann@desk", "Bids")
    store.away = True
    async with Replica(store) as replica:
        assert state(replica.freezes, "agent", "other") == [True, True]
        assert isinstance(replica.freezes.refusal("other"), FreezesUnknown)
        store.away = False
        replica.keeper.store_changed(StoreChange())
        await settled(lambda: not replica.freezes.is_frozen("other"))
        assert isinstance(replica.freezes.refusal("agent"), Frozen)
    assert [type(event) for event in replica.events] == [WritesFrozen, WritesUnfrozen, WritesFrozen]
    assert all(event.heard for event in replica.events if isinstance(event, WritesFrozen | WritesUnfrozen))


async def test_a_person_may_let_writes_pass_without_the_store() -> None:
    """What was frozen before holds again once the store is back, unless it was unfrozen meanwhile."""
    store = Store()
    async with Replica(store) as before:
        await before.keeper.freeze("agent", "ann@desk", "")
        await before.keeper.freeze(None, "ann@desk", "")
    store.away = True
    async with Replica(store, NOW + 60) as replica:
        await replica.keeper.unfreeze(None, "bob@desk", "The store is lost")
        assert (state(replica.freezes, "agent", "other"), replica.keeper.unkept) == ([False] * 2, "The store is away.")
        store.away = False
        replica.keeper.store_changed(StoreChange())
        await settled(lambda: not replica.keeper.unkept)
        assert state(replica.freezes, "agent", "other") == [True, False]


@pytest.mark.parametrize("damage", ["sealed", "form"])
async def test_a_damaged_document_freezes_until_a_person_decides(damage: str) -> None:
    """A damaged document is replaced then."""
    store = Store()
    store.damaged = damage == "sealed"
    await MemoryStore.write_document(store, DOCUMENT, ["another", "form"])
    async with Replica(store) as replica:
        assert isinstance(replica.freezes.refusal("agent"), FreezesUnknown)
        await replica.keeper.freeze("agent", "ann@desk", "")
        assert isinstance(replica.freezes.refusal("other"), FreezesUnknown)
        assert replica.keeper.unkept
        await replica.keeper.unfreeze(None, "ann@desk", "")
        assert (state(replica.freezes, "agent", "other"), replica.keeper.unkept) == ([True, False], "")
    async with Replica(store) as after:
        assert state(after.freezes, "agent", "other") == [True, False]


async def test_any_trouble_of_the_store_is_no_end_of_the_start() -> None:
    """The document may be under another key: tokens have their own rules about that."""

    class Broken(Store):
        async def require_document(self, name: str) -> object | None:
            raise StateError("Encrypted with another key.")

    async with Replica(Broken()) as replica:
        assert isinstance(replica.freezes.refusal(""), FreezesUnknown)
