"""How the refresh token in force changes by a sign-in, by another process, and by a store that loses or damages it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

import pytest

from proxy import errors
from proxy.events import (
    RefreshFailed,
    StoredTokenDamaged,
    TokenRefreshed,
)
from proxy.secret import Secret
from proxy.tokens.store import (
    MemoryStore,
    StoreChange,
    StoredSource,
    StoredToken,
    rotated,
    signed_in,
)
from proxy.tokens.token_response import Grant
from tests.support.tokens import BrokenStore, RunningManager, ScriptedLogin, grant, source, virtual_time


@virtual_time
async def test_a_sign_in_serves_at_once_and_is_kept() -> None:
    """After a sign-in both tokens are in use without another request; its life counts from its own sending."""
    store = MemoryStore()
    async with RunningManager(store=store) as running:
        await running.manager.start([source(refresh=None)])
        await running.manager.adopt("acme", Grant(Secret("signed"), Secret("refresh-s"), 3600.0, "c", took=2.0))
        token = running.manager.current("acme")
        assert token is not None
        assert (token.value.reveal(), token.expires_at) == ("signed", running.clock() + 3598.0)
        assert token.client_id == "c"
        status = running.manager.statuses()[0]
        assert (status.state, status.refresh_token_source) == ("valid", "sign-in")
        kept = await store.read("acme")
        assert kept is not None
        assert (kept.refresh_token.reveal(), kept.source) == ("refresh-s", StoredSource.SIGN_IN)
        assert running.login.asked == []
        await asyncio.sleep(3300)
        assert [sent for _, sent in running.login.asked] == ["refresh-s"]


@virtual_time
async def test_a_token_dead_on_arrival_leaves_its_refresh_token() -> None:
    """What came back with it is used from then on and kept; the attempt counts as malformed and is made again."""
    store = MemoryStore()
    login = ScriptedLogin(grant("dead", 0.0, refresh="refresh-1"), grant("dead", -1.0))
    async with RunningManager(login, store) as running:
        await running.manager.start([source()])
        token = await running.manager.get("acme")
        assert token.value.reveal() == "access-3"
        assert [sent for _, sent in running.login.asked] == ["refresh-0", "refresh-1", "refresh-1"]
        assert [event.reason for event in running.events.of(RefreshFailed)] == ["malformed", "malformed"]
        kept = await store.read("acme")
        assert kept is not None
        assert kept.refresh_token.reveal() == "refresh-1"


@virtual_time
async def test_a_sign_in_whose_access_token_is_dead_asks_for_another() -> None:
    """The proxy asks at once, with the refresh token that the person brought; the cached token serves meanwhile."""
    async with RunningManager() as running:
        await running.manager.start([source()])
        before = await running.manager.get("acme")
        await running.manager.adopt("acme", grant("dead", 0.0, refresh="refresh-s"))
        assert running.manager.current("acme") is before
        await asyncio.sleep(0.2)
        token = running.manager.current("acme")
        assert token is not None
        assert token.value.reveal() == "access-2"
        assert running.login.asked[-1][1] == "refresh-s"
        assert running.events.of(TokenRefreshed)[-1].trigger == "sign-in"


@virtual_time
async def test_a_sign_in_beats_a_refresh_under_way() -> None:
    """The answer for the token that was replaced is dropped."""
    async with RunningManager(ScriptedLogin(grant("stale", refresh="stale-refresh"))) as running:
        await running.manager.start([source()])
        await asyncio.sleep(0.05)
        await running.manager.adopt("acme", grant("signed", refresh="refresh-s"))
        await asyncio.sleep(1)
        token = running.manager.current("acme")
        assert token is not None
        assert token.value.reveal() == "signed"
        await running.manager.refresh_now("acme")
        assert running.login.asked[-1][1] == "refresh-s"


@virtual_time
async def test_a_sign_in_on_a_full_disk_serves_and_says_so() -> None:
    """The person is not made to wait for the disk for long."""
    async with RunningManager(store=BrokenStore()) as running:
        await running.manager.start([source(refresh=None)])
        before = running.clock()
        await running.manager.adopt("acme", grant("signed", refresh="refresh-s"))
        assert running.clock() - before == pytest.approx(5.0)
        assert running.manager.current("acme") is not None
        assert running.manager.statuses()[0].unpersisted


@virtual_time
async def test_a_sign_in_in_another_process_is_noticed_at_once() -> None:
    """A terminal's sign-in revives a revoked account, and the configured token of the day loses."""
    store = MemoryStore()
    async with RunningManager(ScriptedLogin(errors.RefreshTokenRevoked("dead")), store) as running:
        await running.manager.start([source()])
        await asyncio.sleep(1)
        assert running.state() == "revoked"
        await store.write("acme", signed_in(Secret("from-terminal"), Secret("refresh-0"), 5.0))
        await asyncio.sleep(1)
        assert running.state() == "valid"
        assert running.login.asked[-1][1] == "from-terminal"


class TellingStore(MemoryStore):
    """Tells the changes that are put into `told`, and notes which entries are read."""

    def __init__(self) -> None:
        super().__init__()
        self.told: asyncio.Queue[StoreChange] = asyncio.Queue()
        self.asked: list[str] = []

    async def read(self, account: str) -> StoredToken | None:
        self.asked.append(account)
        return await super().read(account)

    async def changes(self) -> AsyncIterator[StoreChange]:
        while True:
            yield await self.told.get()


@virtual_time
@pytest.mark.parametrize(
    ("change", "read"),
    [
        (StoreChange(account="globex"), ["globex"]),
        (StoreChange(account="unknown"), []),
        (StoreChange(document="profiles"), []),
        (StoreChange(), ["acme", "globex"]),
    ],
)
async def test_what_changed_is_read_and_nothing_else(change: StoreChange, read: list[str]) -> None:
    """With ten thousand accounts a change of one of them costs as much as with two. Others hear of each change, too."""
    store = TellingStore()
    heard: list[StoreChange] = []
    async with RunningManager(store=store) as running:
        running.manager.store_changed = heard.append
        await running.manager.start([source("acme"), source("globex")])
        store.asked.clear()
        store.told.put_nowait(change)
        await asyncio.sleep(1)
        assert (store.asked, heard) == (read, [change])


@virtual_time
async def test_an_account_that_leaves_while_others_are_read_is_not_read() -> None:
    """The account is gone, and news of it must not bring it back."""

    class Slow(TellingStore):
        async def read(self, account: str) -> StoredToken | None:
            await asyncio.sleep(1)
            return await super().read(account)

    store = Slow()
    async with RunningManager(store=store) as running:
        await running.manager.start([source("acme"), source("globex")])
        store.asked.clear()
        store.told.put_nowait(StoreChange())
        await asyncio.sleep(0.5)
        await running.manager.reconfigure([source("acme")])
        await asyncio.sleep(5)
        assert store.asked == ["acme"]


@virtual_time
async def test_two_processes_on_one_store_do_not_chase_each_other() -> None:
    """A token that another process rotated is put in force without a request; none causes the next."""
    store = MemoryStore()
    async with RunningManager(store=store) as running:
        await running.manager.start([source()])
        await running.manager.get("acme")
        await store.write("acme", rotated(Secret("theirs"), Secret("refresh-0"), 5.0))
        await asyncio.sleep(10)
        assert len(running.login.asked) == 1
        await running.manager.refresh_now("acme")
        assert running.login.asked[-1][1] == "theirs"


@virtual_time
async def test_another_process_s_rotation_ends_our_trouble() -> None:
    """Where ours was refused, theirs is tried at once."""
    store = MemoryStore()
    async with RunningManager(ScriptedLogin(errors.RefreshTokenRevoked("rotated away")), store) as running:
        await running.manager.start([source()])
        await asyncio.sleep(1)
        await store.write("acme", rotated(Secret("theirs"), Secret("refresh-0"), 5.0))
        await asyncio.sleep(1)
        assert running.state() == "valid"


@virtual_time
async def test_an_entry_for_another_configured_token_waits_for_it() -> None:
    """A sign-in made for a configuration that this process has not read yet counts once it has."""
    store = MemoryStore()
    async with RunningManager(store=store) as running:
        await running.manager.start([source(refresh="token-a")])
        await running.manager.get("acme")
        await store.write("acme", signed_in(Secret("from-terminal"), Secret("token-b"), 5.0))
        await asyncio.sleep(1)
        assert len(running.login.asked) == 1
        await running.manager.reconfigure([source(refresh="token-b")])
        await asyncio.sleep(1)
        assert running.login.asked[-1][1] == "from-terminal"


class LosingStore(MemoryStore):
    """What it has of an account can be lost, or damaged."""

    def __init__(self) -> None:
        super().__init__()
        self.damaged: set[str] = set()

    def lose(self, account: str) -> None:
        self._entries.pop(account, None)
        self._changed.set()

    def damage(self, account: str) -> None:
        self.damaged.add(account)
        self._changed.set()

    async def read(self, account: str) -> StoredToken | None:
        if account in self.damaged:
            raise errors.StateFileDamaged("The file is damaged.")
        return await super().read(account)

    async def write(self, account: str, entry: StoredToken) -> None:
        self.damaged.discard(account)
        await super().write(account, entry)


@virtual_time
@pytest.mark.parametrize("how", [LosingStore.lose, LosingStore.damage])
async def test_what_the_store_lost_is_written_again(how: Callable[[LosingStore, str], None]) -> None:
    """Damaged or gone while the program runs, the token in force is back before a restart needs it."""
    store = LosingStore()
    async with RunningManager(ScriptedLogin(grant("a", refresh="refresh-1")), store) as running:
        await running.manager.start([source(), source("configured")])
        await running.manager.get("acme")
        await asyncio.sleep(1)
        kept = await store.read("acme")
        assert kept is not None
        how(store, "acme")
        await asyncio.sleep(1)
        assert await store.read("acme") == kept
        assert [event.restored for event in running.events.of(StoredTokenDamaged)] == [True]
        assert await store.read("configured") is None
        assert len(running.login.asked) == 2


@virtual_time
async def test_a_store_that_cannot_be_read_while_running_is_no_news() -> None:
    """A disk that is away for a moment neither changes the token in force nor makes a write."""

    class Away(LosingStore):
        away = False

        async def read(self, account: str) -> StoredToken | None:
            if self.away:
                raise errors.StateError("The disk is away.")
            return await super().read(account)

    store = Away()
    async with RunningManager(store=store) as running:
        await running.manager.start([source()])
        await running.manager.adopt("acme", grant("signed", refresh="refresh-s"))
        store.away = True
        store.lose("acme")
        await asyncio.sleep(1)
        assert running.events.of(StoredTokenDamaged) == []
        await running.manager.reconfigure([source(refresh="another")])
        await running.manager.reconfigure([source()])
        await running.manager.refresh_now("acme")
        assert running.login.asked[-1][1] == "refresh-s"


@virtual_time
async def test_a_damaged_entry_leaves_the_configured_token() -> None:
    """At a start or a reload its account is served with the configured token, and the operator is told."""
    store = LosingStore()
    store.damage("acme")
    async with RunningManager(store=store) as running:
        await running.manager.start([source(), source("other")])
        await running.manager.get("acme")
        await running.manager.get("other")
        told = StoredTokenDamaged("acme", False, "The file is damaged.")
        assert running.events.of(StoredTokenDamaged) == [told]


@virtual_time
async def test_a_reload_that_finds_the_store_damaged_goes_on_with_what_is_in_memory() -> None:
    """A configured token that changes back and forth does not lose a sign-in to a damaged file."""
    store = LosingStore()
    async with RunningManager(store=store) as running:
        await running.manager.start([source(refresh="a")])
        await running.manager.adopt("acme", grant("signed", refresh="refresh-s"))
        store.damaged.add("acme")
        for configured, used in (("b", "b"), ("a", "refresh-s")):
            await running.manager.reconfigure([source(refresh=configured)])
            await running.manager.refresh_now("acme")
            assert running.login.asked[-1][1] == used


@virtual_time
async def test_a_store_that_cannot_be_read_refuses_a_new_account_alone() -> None:
    """A reload that adds an account whose stored token is damaged changes nothing."""

    class Damaged(MemoryStore):
        async def read(self, account: str) -> StoredToken | None:
            if account == "damaged":
                raise errors.StateError("The state file is damaged.")
            return await super().read(account)

    async with RunningManager(store=Damaged()) as running:
        await running.manager.start([source()])
        token = await running.manager.get("acme")
        with pytest.raises(errors.StateError):
            await running.manager.reconfigure([source("damaged")])
        assert running.manager.current("acme") is token
