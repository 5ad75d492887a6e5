"""The pace of failed writes: one a second for the whole store, and all as soon as one succeeds."""

from __future__ import annotations

import asyncio

from proxy.errors import StateError
from proxy.secret import Secret
from proxy.tokens.refresh_token import RefreshTokenKeeper, WriteRetries
from proxy.tokens.store import MemoryStore, StoredToken, signed_in
from proxy.tokens.values import Timing
from tests.support.events import EventRecorder
from tests.support.tokens import BrokenStore, RunningManager, ScriptedLogin, grant, source, virtual_time


async def waits(retries: WriteRetries, name: str, done: list[str]) -> None:
    await retries.wait(name)
    done.append(name)


@virtual_time
async def test_one_is_tried_each_second() -> None:
    """In the order in which their writes failed."""
    retries, done = WriteRetries(), list[str]()
    async with asyncio.TaskGroup() as tasks:
        for name in ("a", "b", "c"):
            tasks.create_task(waits(retries, name, done))
        await asyncio.sleep(1.1)
        assert done == ["a"]
        await asyncio.sleep(1)
        assert done == ["a", "b"]
        await asyncio.sleep(1)
    assert done == ["a", "b", "c"]


@virtual_time
async def test_a_success_releases_all() -> None:
    """The waiting requests go on at once, and the timer that runs meanwhile finds none."""
    retries, done = WriteRetries(), list[str]()
    async with asyncio.TaskGroup() as tasks:
        for name in ("a", "b"):
            tasks.create_task(waits(retries, name, done))
        await asyncio.sleep(0)
        retries.release_all()
    assert done == ["a", "b"]
    await asyncio.sleep(2)
    assert repr(retries) == "<WriteRetries: 0 waiting>"


class RefusingStore(BrokenStore):
    """Takes no entry of one account, whatever else it takes."""

    def __init__(self) -> None:
        super().__init__()
        self.refused = 0

    async def write(self, account: str, entry: StoredToken) -> None:
        if account == "refused":
            self.refused += 1
            raise StateError("The file is read-only.")
        await super().write(account, entry)


@virtual_time
async def test_an_account_that_cannot_be_written_holds_up_no_other() -> None:
    """A store that works again takes all others within a second, and the one is tried again."""
    store = RefusingStore()
    login = ScriptedLogin(grant("a", refresh="refresh-1"), grant("b", refresh="refresh-2"), grant("c", refresh="r-3"))
    async with RunningManager(login, store) as running:
        await running.manager.start([source("refused"), source("one"), source("two")])
        await asyncio.sleep(100)
        store.broken, before = False, store.refused
        await asyncio.sleep(2.1)
        statuses = running.manager.statuses()
        assert [status.account for status in statuses if status.unpersisted] == ["refused"]
        await asyncio.sleep(10)
        assert store.refused >= before + 10


class HangingStore(RefusingStore):
    """Remembers what it is to write, and refuses it when `refuses` is set."""

    def __init__(self) -> None:
        super().__init__()
        self.tried: list[str] = []
        self.refuses = asyncio.Event()

    async def write(self, account: str, entry: StoredToken) -> None:
        self.tried.append(entry.refresh_token.reveal())
        await self.refuses.wait()
        await super().write(account, entry)


@virtual_time
async def test_a_newer_token_does_not_wait_for_the_failed_write_of_an_older_one() -> None:
    """The newer token waits neither between two attempts nor during one: only an attempt leads to a copy on this
    machine."""
    store, timing = HangingStore(), Timing()
    keeper = RefreshTokenKeeper("refused", store, EventRecorder(), timing, WriteRetries())
    keeper.sign_in(Secret("first"))
    await asyncio.sleep(0.01)
    keeper.rotate(Secret("second"))
    await asyncio.sleep(0.01)
    assert store.tried == ["first"]
    store.refuses.set()
    await asyncio.sleep(0.01)
    assert store.tried == ["first", "second"]
    keeper.rotate(Secret("third"))
    await asyncio.sleep(0.01)
    assert store.tried == ["first", "second", "third"]
    await keeper.close(0)


@virtual_time
async def test_a_newer_sign_in_of_another_process_replaces_one_that_cannot_be_written() -> None:
    """The newer sign-in is in force at once, and nothing is written over it."""
    store, timing = RefusingStore(), Timing()
    store.broken = False
    keeper = RefreshTokenKeeper("refused", store, EventRecorder(), timing, WriteRetries())
    keeper.sign_in(Secret("ours"))
    await asyncio.sleep(0.01)
    newer = signed_in(Secret("theirs"), None, timing.wall() + 60)
    await MemoryStore.write(store, "refused", newer)
    assert await keeper.reread() is newer.source
    assert (keeper.refresh_token, keeper.stored) == (newer.refresh_token, newer)
    refused = store.refused
    await asyncio.sleep(5)
    assert store.refused == refused
    await keeper.close(0)
