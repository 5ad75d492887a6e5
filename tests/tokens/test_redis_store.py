"""The store in a real Redis and a real Valkey: entries, conflicts, news, and the errors' texts."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from proxy.errors import StateError, StateFileDamaged, StateUnavailable
from proxy.secret import Secret
from proxy.tokens import redis_store
from proxy.tokens.opening import open_store, rotate_keys
from proxy.tokens.redis_store import RedisStore
from proxy.tokens.store import StoreChange, StoredSource, StoredToken, digest
from tests.support.patience import PATIENCE
from tests.support.redis_server import KEY, RedisServer, redis_server, relay_to

ENTRY = StoredToken(Secret("Atzr|refresh-token"), StoredSource.ROTATED, "f" * 64, 12.5)


@pytest.fixture
async def stores(server: RedisServer) -> AsyncIterator[tuple[RedisStore, RedisStore]]:
    """The stores of two replicas."""
    opened = open_redis(server.url), open_redis(server.url)
    yield opened
    for store in opened:
        await store.close()


def open_redis(url: str, *keys: str) -> RedisStore:
    store = open_store(url, tuple(Secret(key) for key in keys or (KEY,)))
    assert isinstance(store, RedisStore)
    return store


def signed_in_at(moment: float, token: str, consented_at: float | None = None) -> StoredToken:
    return StoredToken(Secret(token), StoredSource.SIGN_IN, "", moment, consented_at or moment)


async def next_change(changes: AsyncIterator[StoreChange]) -> StoreChange:
    return await asyncio.wait_for(anext(changes), PATIENCE)


async def test_what_one_wrote_the_other_reads(stores: tuple[RedisStore, RedisStore]) -> None:
    """Entries come back whole, and those of other accounts are not mixed up with them."""
    one, other = stores
    await one.write("acme", ENTRY)
    await one.write("Acme", signed_in_at(3.0, "Atzr|other"))
    assert await other.read("acme") == ENTRY
    assert await other.read("Acme") == signed_in_at(3.0, "Atzr|other")
    assert await other.read("nobody") is None


async def test_news_comes_although_the_clock_of_the_store_could_not_be_read(
    stores: tuple[RedisStore, RedisStore], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The clock is read again, not skipped."""
    one, other = stores
    await one.fleet.share({"a": 1})
    read_clock, working = other.fleet._now, iter((True, False))

    async def read_clock_or_fail() -> int:
        if next(working, True):
            return await read_clock()
        raise StateUnavailable("The store did not answer.")

    monkeypatch.setattr(other.fleet, "_now", read_clock_or_fail)
    monkeypatch.setattr(redis_store, "_PAUSE", 0)
    assert (await asyncio.wait_for(anext(other.fleet.heard()), PATIENCE))[1] == {"a": 1}


async def test_documents_are_kept(stores: tuple[RedisStore, RedisStore]) -> None:
    """By name, and one that is not there, or cannot be read, is None."""
    one, other = stores
    await one.write_document("profiles", {"a": [1, None]})
    assert await other.read_document("profiles") == {"a": [1, None]}
    assert await other.read_document("consents") is None


async def test_a_required_document_is_never_taken_for_lost(
    stores: tuple[RedisStore, RedisStore], server: RedisServer
) -> None:
    """None says that it was never written: a damaged one, and a server that is away, are failures."""
    one, other = stores
    await one.write_document("freezes", {"a": 1})
    assert await other.require_document("freezes") == {"a": 1}
    assert await other.require_document("consents") is None
    key = one._key("document", digest("freezes"))
    server.client.set(key, b"damaged")
    assert await other.read_document("freezes") is None
    with pytest.raises(StateFileDamaged):
        await other.require_document("freezes")
    other._connection.note(StateUnavailable("away"))
    with pytest.raises(StateUnavailable):
        await other.require_document("freezes")


async def test_nothing_readable_is_on_the_server(stores: tuple[RedisStore, RedisStore], server: RedisServer) -> None:
    """Neither token nor account name is readable, in keys or values."""
    await stores[0].write("acme-account", ENTRY)
    await stores[0].write_document("profiles", {"secret-name": 1})
    dump = repr([(key, server.client.type(key), server.client.dump(key)) for key in server.client.keys("*")])
    assert not any(word in dump for word in ("Atzr", "acme-account", "secret-name", b"Atzr".hex()))


async def test_a_newer_consent_wins_over_a_rotation_of_the_one_before(stores: tuple[RedisStore, RedisStore]) -> None:
    """A replica that has not heard of a sign-in yet does not take it back, however late it writes."""
    one, other = stores
    await one.write("acme", signed_in_at(100.0, "Atzr|first"))
    assert await other.read("acme") == signed_in_at(100.0, "Atzr|first")
    await one.write("acme", signed_in_at(200.0, "Atzr|second"))
    await other.write("acme", StoredToken(Secret("Atzr|rotated"), StoredSource.ROTATED, "", 300.0, 100.0))
    assert await one.read("acme") == signed_in_at(200.0, "Atzr|second")


async def test_who_lost_is_told_to_read_again(stores: tuple[RedisStore, RedisStore]) -> None:
    """The loser's own news say that anything may have changed."""
    one, other = stores
    await one.write("acme", signed_in_at(100.0, "Atzr|first"))
    await other.read("acme")
    changes = other.changes()
    assert await next_change(changes) == StoreChange()
    await one.write("acme", signed_in_at(200.0, "Atzr|second"))
    assert await next_change(changes) == StoreChange(account="acme")
    await other.write("acme", signed_in_at(50.0, "Atzr|late"))
    assert await next_change(changes) == StoreChange()


async def test_who_has_seen_what_is_there_may_replace_it(stores: tuple[RedisStore, RedisStore]) -> None:
    """Whatever the clocks of the two say: a sign-in right after the other's counts."""
    one, other = stores
    await one.write("acme", signed_in_at(200.0, "Atzr|first"))
    await other.read("acme")
    await other.write("acme", signed_in_at(190.0, "Atzr|second"))
    assert await one.read("acme") == signed_in_at(190.0, "Atzr|second")


async def test_an_emptied_server_gets_the_newest_back(
    stores: tuple[RedisStore, RedisStore], server: RedisServer
) -> None:
    """Whichever replica writes first what it knows."""
    one, other = stores
    old, new = signed_in_at(100.0, "Atzr|old"), StoredToken(Secret("Atzr|new"), StoredSource.ROTATED, "", 300.0, 100.0)
    await one.write("acme", old)
    await other.read("acme")
    await other.write("acme", new)
    server.client.flushall()
    await one.write("acme", old)
    await other.write("acme", new)
    assert await one.read("acme") == new


async def test_a_change_is_told_with_its_name(stores: tuple[RedisStore, RedisStore]) -> None:
    """News come for known accounts, and for documents."""
    one, other = stores
    await other.read("acme")
    changes = other.changes()
    assert await next_change(changes) == StoreChange()
    await one.write("stranger", ENTRY)
    await one.write("acme", ENTRY)
    await one.write_document("consents", {})
    assert await next_change(changes) == StoreChange(account="acme")
    assert await next_change(changes) == StoreChange(document="consents")


async def test_what_was_written_while_nobody_listened_is_noticed(tmp_path: Path) -> None:
    """After a server's end, anything may have changed."""
    with redis_server(tmp_path) as server:
        store = open_redis(server.url)
        changes = store.changes()
        assert await next_change(changes) == StoreChange()
        waiting = asyncio.ensure_future(next_change(changes))
        await asyncio.to_thread(server.restart)
        assert await waiting == StoreChange()
        await store.close()


async def test_bytes_of_another_account_are_not_taken(
    stores: tuple[RedisStore, RedisStore], server: RedisServer
) -> None:
    """An attacker with access to the server copied one account's entry over another's."""
    one, other = stores
    await one.write("acme", ENTRY)
    await one.write("other", signed_in_at(3.0, "Atzr|other"))
    keys = server.client.keys("*account:*")
    for key in keys:
        content = server.client.hget(key, "content")
        for target in keys:
            server.client.hset(target, "content", content)
        with pytest.raises(StateFileDamaged, match="belongs to another"):
            await other.read("acme")
            await other.read("other")


async def test_a_damaged_entry_is_kept_next_to_its_replacement(
    stores: tuple[RedisStore, RedisStore], server: RedisServer
) -> None:
    """The damaged entry may be readable with a key that is missing now."""
    one, other = stores
    await one.write("acme", ENTRY)
    key = server.client.keys("*account:*")[0]
    server.client.hset(key, "content", "damaged")
    with pytest.raises(StateFileDamaged, match="damaged or encrypted with another key"):
        await other.read("acme")
    await other.write("acme", ENTRY)
    assert server.client.hget(key, "aside") == b"damaged"
    assert await one.read("acme") == ENTRY


async def test_a_newer_login_under_a_key_that_is_missing_here_stays(
    stores: tuple[RedisStore, RedisStore], server: RedisServer
) -> None:
    """While keys change over the fleet, a replica that cannot read an entry does not write an older one over it."""
    one, _ = stores
    await one.write("acme", signed_in_at(100.0, "Atzr|old"))
    ahead = open_redis(server.url, "the key that comes next", KEY)
    await ahead.write("acme", signed_in_at(200.0, "Atzr|new"))
    with pytest.raises(StateFileDamaged):
        await one.read("acme")
    await one.write("acme", signed_in_at(100.0, "Atzr|old"))
    assert await ahead.read("acme") == signed_in_at(200.0, "Atzr|new")
    await ahead.close()


async def test_keys_rotate(stores: tuple[RedisStore, RedisStore], server: RedisServer) -> None:
    """Afterwards everything is readable with the new key alone, and unreadable entries are unchanged."""
    one, _ = stores
    for number in range(3):
        await one.write(f"account-{number}", ENTRY)
    await one.write_document("profiles", {"a": 1})
    server.client.hset("{ads-proxy}:account:0", "content", "damaged")
    new = "the key that comes next"
    assert await asyncio.to_thread(rotate_keys, Secret(server.url), (Secret(new), Secret(KEY))) == 4
    rotated = open_redis(server.url, new)
    assert [await rotated.read(f"account-{number}") for number in range(3)] == [ENTRY] * 3
    assert await rotated.read_document("profiles") == {"a": 1}
    assert server.client.hget("{ads-proxy}:account:0", "content") == b"damaged"
    await rotated.close()


async def test_another_key_is_refused(stores: tuple[RedisStore, RedisStore], server: RedisServer) -> None:
    """Nothing is read or written with it; a list of keys that has the right one reads everything."""
    await stores[0].write("acme", ENTRY)
    stranger, rotating = open_redis(server.url, "another key of the state"), open_redis(server.url, "new" * 9, KEY)
    with pytest.raises(StateError, match="encrypted with another key") as caught:
        await stranger.read("acme")
    assert not isinstance(caught.value, StateUnavailable)
    with pytest.raises(StateError, match="encrypted with another key"):
        await stranger.write("acme", ENTRY)
    assert await rotating.read("acme") == ENTRY
    for store in (stranger, rotating):
        await store.close()


async def test_a_wrong_password_is_named_and_not_shown(tmp_path: Path) -> None:
    """A wrong password is no passing trouble."""
    with redis_server(tmp_path, password="the-right-one") as server:
        for user in (":wrong-canary@", "user-canary:wrong-canary@", ""):
            store = open_redis(f"redis://{user}127.0.0.1:{server.port}/0")
            with pytest.raises(StateError, match="refused the user or the password") as caught:
                await store.read("acme")
            assert not isinstance(caught.value, StateUnavailable)
            assert "canary" not in f"{caught.value} {store!r}"
            await store.close()


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (("CONFIG", "SET", "maxmemory", "1"), "is full: raise its maxmemory"),
        (("REPLICAOF", "127.0.0.1", "1"), "is a read-only replica"),
    ],
)
async def test_passing_trouble_has_its_words(tmp_path: Path, command: tuple[str, ...], words: str) -> None:
    """A server that is full, or read-only."""
    with redis_server(tmp_path) as server:
        store = open_redis(server.url)
        await store.write("acme", ENTRY)
        server.client.execute_command(*command)
        with pytest.raises(StateUnavailable, match=words):
            await store.write("acme", signed_in_at(99.0, "Atzr|next"))
        await store.close()


@pytest.mark.integration  # waits as long as the program does
async def test_a_server_that_hangs_is_given_up(tmp_path: Path) -> None:
    """No request waits longer than two seconds for it."""
    with redis_server(tmp_path) as server:
        store = open_redis(server.url)
        await store.write("acme", ENTRY)
        server.process.signal(signal.SIGSTOP)
        with pytest.raises(StateUnavailable, match="did not answer within 2 s"):
            await store.read("acme")
        server.process.signal(signal.SIGCONT)
        await store.close()


@pytest.mark.integration  # waits as long as the program does
async def test_a_server_that_is_away_is_not_asked_twice(tmp_path: Path) -> None:
    """Until a probe finds the server in order, all commands learn at once that it is in trouble."""
    with redis_server(tmp_path) as server, relay_to(server.port) as relay:
        store = open_redis(f"redis://127.0.0.1:{relay.port}/0")
        await store.write("acme", ENTRY)
        relay.swallows = True
        with pytest.raises(StateUnavailable, match="did not answer"):
            await store.read("acme")
        relay.swallows = False
        with pytest.raises(StateUnavailable, match="did not answer"):
            await store.read("acme")
        assert await store.read_document("profiles") is None
        await store.close()


@pytest.mark.parametrize(
    ("bad", "words"),
    [
        ("redis://", "is not a Redis address"),
        ("redis+cluster://a,b/1", "has a database, but a cluster has only 0"),
        ("redis://h/0?ssl_ca_certs=/x", "accepts only ssl_ca_certs"),
        ("rediss://h/0?ssl_cert_reqs=none", "accepts only ssl_ca_certs"),
    ],
)
def test_addresses_that_name_no_store_are_refused(bad: str, words: str) -> None:
    """Each has its sentence."""
    with pytest.raises(StateError, match=words):
        open_store(bad, Secret(KEY))


def test_a_key_is_needed() -> None:
    """Nothing is kept unencrypted on a server."""
    with pytest.raises(StateError, match=r"state\.key is not set"):
        open_store("redis://127.0.0.1/0")
