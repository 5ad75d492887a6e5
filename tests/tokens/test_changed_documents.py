"""Documents that several change at the same time, in each kind of store: nobody overwrites what somebody else made."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from proxy.config.model.redis_address import parse_redis_address
from proxy.errors import StateError, StateFileDamaged, StateUnavailable
from proxy.secret import Secret
from proxy.tokens import redis_scripts, redis_store
from proxy.tokens.file_store import FileStore
from proxy.tokens.redis_connection import NEWS, RedisConnection
from proxy.tokens.redis_counts import SETTLING
from proxy.tokens.redis_store import RedisStore
from proxy.tokens.sealing import digest
from proxy.tokens.store import MemoryStore, Store, StoreChange
from tests.support.patience import PATIENCE
from tests.support.redis_server import KEY, RedisServer, redis_server

pytestmark = pytest.mark.usefixtures("every_loop")

STORES = ("memory", "file", "redis")


def open_redis(server: RedisServer) -> RedisStore:
    return RedisStore(RedisConnection(parse_redis_address(server.url)), (Secret(KEY),))


@contextlib.asynccontextmanager
async def opened(kind: str, server: RedisServer, directory: Path) -> AsyncIterator[tuple[Store, ...]]:
    """Two of a kind that share what they keep; the one of a program's memory alone."""
    stores: tuple[Store, ...] = (MemoryStore(),)
    if kind == "file":
        stores = tuple(FileStore.open(str(directory), (Secret(KEY),)) for _ in range(2))
    if kind == "redis":
        stores = open_redis(server), open_redis(server)
    try:
        yield stores
    finally:
        for store in stores:
            await store.close()


def add_one(document: Any) -> object:
    return {"count": 1 if document is None else document["count"] + 1}


@pytest.mark.parametrize("kind", STORES)
async def test_no_change_is_lost(kind: str, server: RedisServer, tmp_path: Path) -> None:
    """However many are made at once, by both."""
    async with opened(kind, server, tmp_path) as stores:
        await asyncio.gather(*(store.change_document("d", add_one) for store in stores for _ in range(20)))
        assert await stores[0].require_document("d") == {"count": 20 * len(stores)}


@pytest.mark.parametrize("kind", STORES)
async def test_the_same_object_is_not_written(kind: str, server: RedisServer, tmp_path: Path) -> None:
    """A look is no change; one that fails changes nothing and its error is the caller's."""
    async with opened(kind, server, tmp_path) as stores:
        seen: list[object] = []

        def look(document: object | None) -> object:
            seen.append(document)
            return document

        def fail(document: object | None) -> object:
            raise ValueError("No.")

        await stores[0].change_document("d", look)
        assert await stores[0].require_document("d") is None
        await stores[0].change_document("d", add_one)
        await stores[-1].change_document("d", look)
        with pytest.raises(ValueError, match="No"):
            await stores[-1].change_document("d", fail)
        assert seen == [None, {"count": 1}]
        assert await stores[0].require_document("d") == {"count": 1}
        assert stores[0].unsettled == 0.0


@pytest.mark.parametrize("kind", STORES)
async def test_an_unchanged_document_is_decoded_once(kind: str, server: RedisServer, tmp_path: Path) -> None:
    """A large one takes long, and most are looked at far more often than they change."""
    async with opened(kind, server, tmp_path) as stores:
        seen: list[object] = []

        def look(document: object | None) -> object:
            seen.append(document)
            return document

        await stores[-1].change_document("d", add_one)
        for _ in range(2):
            await stores[0].change_document("d", look)
        assert seen[0] is seen[1]
        await stores[-1].change_document("d", add_one)
        await stores[0].change_document("d", look)
        await stores[0].change_document("other", look)
        assert seen[1:] == [{"count": 1}, {"count": 2}, None]


async def test_who_is_overtaken_begins_again(server: RedisServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """With what the other made of it; who always is gives up."""
    one, other = open_redis(server), open_redis(server)
    seen: list[object] = []

    async def overtake() -> None:
        await other.write_document("d", {"count": 10 * len(seen)})

    def change(document: object | None) -> object:
        seen.append(document)
        return add_one(document)

    run = one._connection.run

    async def run_late(script: str, *words: Any) -> Any:
        if script is redis_scripts.CHANGE_DOCUMENT and len(seen) < stop:
            await overtake()
        return await run(script, *words)

    monkeypatch.setattr(one._connection, "run", run_late)
    try:
        stop = 3
        await one.change_document("d", change)
        assert seen == [None, {"count": 10}, {"count": 20}]
        assert await other.require_document("d") == {"count": 21}
        stop = 1000
        with pytest.raises(StateUnavailable, match="all the time"):
            await one.change_document("d", change)
        assert len(seen) == 3 + redis_store._CHANGES
    finally:
        await one.close()
        await other.close()


async def test_a_change_that_is_sent_twice_is_made_once(server: RedisServer) -> None:
    """redis-py sends a command again whose connection broke; others hear of the change."""
    store = open_redis(server)
    try:
        await store.write_document("d", {"count": 1})
        key = f"document:{digest('d')}"
        read = server.client.get(store._connection.key(key))
        for _ in range(2):
            assert await store._connection.run(redis_scripts.CHANGE_DOCUMENT, (key, NEWS), "d", read, b"other") == 1
        assert await store._connection.run(redis_scripts.CHANGE_DOCUMENT, (key, NEWS), "d", read, b"third") == 0
        assert await store._connection.run(redis_scripts.CHANGE_DOCUMENT, (key, NEWS), "d", b"", b"third") == 0
        assert server.client.get(store._connection.key(key)) == b"other"
        assert server.client.xlen(store._connection.key(NEWS)) == 2
    finally:
        await store.close()


async def test_others_hear_of_a_change(server: RedisServer) -> None:
    """By the name of the document."""
    one, other = open_redis(server), open_redis(server)
    heard = other.changes()
    try:
        assert await asyncio.wait_for(anext(heard), PATIENCE) == StoreChange()
        await one.change_document("d", add_one)
        assert await asyncio.wait_for(anext(heard), PATIENCE) == StoreChange(document="d")
    finally:
        await heard.aclose()  # type: ignore[attr-defined]  # it is a generator
        await one.close()
        await other.close()


@pytest.mark.parametrize("damage", ["damaged", "other document"])
async def test_a_document_that_cannot_be_read_is_left_as_it_is(
    damage: str, server: RedisServer, tmp_path: Path
) -> None:
    """So is one that was another's."""
    store, files = open_redis(server), FileStore.open(str(tmp_path), (Secret(KEY),))
    try:
        for each in (store, files):
            await each.write_document("e", {"count": 5})
        moved = server.client.get(store._key("document", digest("e"))) if damage != "damaged" else b"damaged"
        server.client.set(store._key("document", digest("d")), moved)
        content = (tmp_path / f"document-{digest('e')}").read_bytes() if damage != "damaged" else b"damaged"
        (tmp_path / f"document-{digest('d')}").write_bytes(content)
        for each in (store, files):
            with pytest.raises(StateFileDamaged):
                await each.change_document("d", add_one)
        assert server.client.get(store._key("document", digest("d"))) == moved
        assert (tmp_path / f"document-{digest('d')}").read_bytes() == content
    finally:
        await store.close()


async def test_a_server_without_an_answer_may_have_made_the_change(
    server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The caller gets an error, and finds out later."""
    store = open_redis(server)
    run = store._connection.run

    async def lose(script: str, *words: Any) -> Any:
        await run(script, *words)
        raise StateUnavailable("The store did not answer.")

    monkeypatch.setattr(store._connection, "run", lose)
    try:
        store._checked = True
        with pytest.raises(StateError):
            await store.change_document("d", add_one)
        assert await store.require_document("d") == {"count": 1}
    finally:
        await store.close()


@pytest.mark.integration
async def test_after_a_loss_others_have_to_tell_what_they_know(tmp_path: Path) -> None:
    """For as long as counts wait. At the first connection, nobody has."""
    with redis_server(tmp_path) as server:
        store = open_redis(server)
        heard = store.changes()
        try:
            await asyncio.wait_for(anext(heard), PATIENCE)
            assert store.unsettled == 0.0
            server.restart()
            await asyncio.wait_for(anext(heard), PATIENCE)
            assert 0.0 < store.unsettled <= SETTLING
        finally:
            await heard.aclose()  # type: ignore[attr-defined]  # it is a generator
            await store.close()


async def test_while_a_server_is_looked_at_again_nothing_is_settled(server: RedisServer) -> None:
    """The store answers already, but what was lost is not known yet."""
    store = open_redis(server)
    restore, seen = store.counts.restore, list[float]()

    async def look_and_restore() -> None:
        seen.append(store.unsettled)
        await restore()

    store.counts.restore = look_and_restore  # type: ignore[method-assign]  # what the test looks at
    heard = store.changes()
    try:
        await asyncio.wait_for(anext(heard), PATIENCE)
        assert seen == [SETTLING]
        assert store.unsettled == 0.0
    finally:
        await heard.aclose()  # type: ignore[attr-defined]  # it is a generator
        await store.close()
