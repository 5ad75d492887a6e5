"""Copies of refresh tokens on this machine, for the time while a shared store takes none."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from proxy.config.model.redis_address import parse_redis_address
from proxy.errors import StateError, StateUnavailable
from proxy.secret import Secret
from proxy.tokens import state_directory
from proxy.tokens.opening import SharedSettings, SpillDirectory, open_store
from proxy.tokens.redis_store import RedisStore
from proxy.tokens.refresh_token import RefreshTokenKeeper, WriteRetries
from proxy.tokens.sealing import make_cipher
from proxy.tokens.spill import PATIENCE, Spill
from proxy.tokens.store import StoredSource, StoredToken, fingerprint, outranks, rotated
from proxy.tokens.values import Timing
from tests.support.events import EventRecorder
from tests.support.processes import free_port
from tests.support.redis_server import KEY, RedisServer

OLD, NEW = Secret("Atzr|canary-old"), Secret("Atzr|canary-new")
STORE = "redis://store/0"


def entry(token: Secret, saved_at: float, before: Secret | None = None) -> StoredToken:
    return rotated(token, None, saved_at, before=before)


def open_spill(directory: Path, store: str = STORE, key: str = KEY) -> Spill:
    return Spill.open(str(directory), make_cipher((Secret(key),)), store)


async def fail(spill: Spill, account: str, kept: StoredToken) -> str:
    """Makes a copy, as a failed write does, and gives the sentence that is told."""
    with pytest.raises(StateUnavailable) as failure:
        async with spill.guarding(account, kept):
            raise StateUnavailable("The store is away.")
    return str(failure.value)


@pytest.mark.parametrize(
    ("one", "other", "wins"),
    [
        (entry(NEW, 5.0, OLD), entry(OLD, 9.0), True),
        (entry(OLD, 9.0), entry(NEW, 5.0, OLD), False),
        (entry(NEW, 9.0), entry(OLD, 5.0), True),
        (entry(NEW, 5.0), entry(OLD, 9.0), False),
        (entry(NEW, 9.0), StoredToken(OLD, StoredSource.SIGN_IN, "", 5.0, 5.0), False),
        (StoredToken(NEW, StoredSource.SIGN_IN, "", 5.0, 5.0), entry(OLD, 9.0), True),
        (entry(NEW, 5.0), entry(NEW, 5.0), False),
    ],
)
def test_a_successor_wins_and_then_the_newer_consent_and_then_the_later_one(
    one: StoredToken, other: StoredToken, wins: bool
) -> None:
    """A token that replaced another one does so whatever the clocks of two machines say."""
    assert outranks(one, other) is wins


async def test_a_failed_write_leaves_a_copy_for_the_next_start(tmp_path: Path) -> None:
    """The error says where the copy is; its content is unreadable, and no other user can open it."""
    kept = entry(NEW, 5.0, OLD)
    told = await fail(open_spill(tmp_path / "spill"), "acme", kept)
    assert told == f"The store is away. A copy is in {tmp_path / 'spill'}."
    (path,) = (tmp_path / "spill").glob("spilled-*")
    assert path.stat().st_mode & 0o777 == 0o600
    assert b"canary" not in path.read_bytes()
    assert open_spill(tmp_path / "spill").copy_of("acme") == kept


async def test_a_copy_is_made_while_a_write_hangs(tmp_path: Path) -> None:
    """A process killed while the store hangs leaves the copy; a write that succeeds removes it."""
    spill = open_spill(tmp_path)
    async with spill.guarding("acme", entry(NEW, 5.0)):
        async with asyncio.timeout(120):
            while spill.copy_of("acme") is None:
                await asyncio.sleep(PATIENCE / 5)
        assert open_spill(tmp_path).copy_of("acme") == entry(NEW, 5.0)
    assert open_spill(tmp_path).copy_of("acme") is None


async def test_a_write_that_succeeds_makes_no_copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is written to the disk while the store works, not even for a moment."""
    spill, written = open_spill(tmp_path), list[Path]()
    monkeypatch.setattr(state_directory, "replace", lambda path, content: written.append(path))
    async with spill.guarding("acme", entry(NEW, 5.0)):
        pass
    assert written == []


async def test_programs_with_other_stores_share_a_directory(tmp_path: Path) -> None:
    """Each finds only the copies of its own store."""
    await fail(open_spill(tmp_path), "acme", entry(NEW, 5.0))
    assert open_spill(tmp_path, "redis://elsewhere/0").copy_of("acme") is None
    assert open_spill(tmp_path).copy_of("acme") is not None


async def test_a_newer_copy_of_another_process_stays(tmp_path: Path) -> None:
    """Two replicas may use one directory: neither replaces nor removes what is newer than its own."""
    one, other = open_spill(tmp_path), open_spill(tmp_path)
    await fail(one, "acme", entry(NEW, 5.0, OLD))
    await fail(other, "acme", entry(OLD, 9.0))
    assert open_spill(tmp_path).copy_of("acme") == entry(NEW, 5.0, OLD)
    await other.remove("acme", entry(OLD, 9.0))
    assert open_spill(tmp_path).copy_of("acme") == entry(NEW, 5.0, OLD)


async def test_copies_under_another_key_are_counted_and_left(tmp_path: Path) -> None:
    """A note at start counts them."""
    await fail(open_spill(tmp_path), "acme", entry(NEW, 5.0))
    spill = open_spill(tmp_path, key="another key of sixteen bytes")
    assert spill.copy_of("acme") is None
    assert "1 copies" in spill.notes[0]
    assert "state.key" in spill.notes[0]
    assert open_spill(tmp_path).copy_of("acme") is not None


async def test_a_full_disk_is_named(tmp_path: Path) -> None:
    """The write's own error comes first."""
    spill = open_spill(tmp_path / "spill")
    (tmp_path / "spill").rename(tmp_path / "gone")
    told = await fail(spill, "acme", entry(NEW, 5.0))
    assert told.startswith("The store is away. No copy could be made: The state directory")


def redis_at(url: str, directory: Path) -> RedisStore:
    store = open_store(url, Secret(KEY), SharedSettings(16, SpillDirectory(str(directory), required=True)))
    assert isinstance(store, RedisStore)
    return store


async def write_without_store(url: str, directory: Path, kept: StoredToken) -> None:
    """Write as a replica that is cut off and then killed."""
    address = str(parse_redis_address(url))
    await fail(open_spill(directory, address), "acme", kept)


async def test_what_a_start_finds_is_older_than_what_the_store_has(server: RedisServer, tmp_path: Path) -> None:
    """A stale copy is removed, and nothing is written."""
    store = redis_at(server.url, tmp_path)
    await write_without_store(server.url, tmp_path, entry(OLD, 9.0))
    await store.write("acme", entry(NEW, 5.0, OLD))
    again = redis_at(server.url, tmp_path)
    assert await again.unwritten("acme") is None
    assert open_spill(tmp_path, str(parse_redis_address(server.url))).copy_of("acme") is None
    for each in (store, again):
        await each.close()


async def test_a_start_without_the_store_goes_on_with_the_copy(tmp_path: Path) -> None:
    """The copy is in force until the store is there."""
    url = f"redis://127.0.0.1:{free_port()}/0"
    await write_without_store(url, tmp_path, entry(NEW, 5.0, OLD))
    store = redis_at(url, tmp_path)
    assert await store.unwritten("acme") == entry(NEW, 5.0, OLD)
    await store.close()


async def test_a_copy_that_the_store_overtook_is_not_written(server: RedisServer, tmp_path: Path) -> None:
    """A replica that starts with it before it can read the store writes nothing over a newer token."""
    other = redis_at(server.url, tmp_path / "other")
    await other.write("acme", entry(NEW, 5.0, OLD))
    store = redis_at(server.url, tmp_path / "own")
    await store.write("acme", entry(OLD, 9.0))
    assert await other.read("acme") == entry(NEW, 5.0, OLD)
    for each in (store, other):
        await each.close()


async def test_a_start_that_can_read_the_store_writes_nothing_over_a_newer_token(
    server: RedisServer, tmp_path: Path
) -> None:
    """The start has read the store's entry when it finds its own stale copy, and this entry stays in force."""
    other = redis_at(server.url, tmp_path / "other")
    await other.write("acme", entry(NEW, 5.0, OLD))
    await write_without_store(server.url, tmp_path, entry(OLD, 9.0))
    store = redis_at(server.url, tmp_path)
    keeper = RefreshTokenKeeper("acme", store, EventRecorder(), Timing(), WriteRetries())
    try:
        await keeper.load(None)
        await keeper.flush(5)
        assert keeper.refresh_token == NEW
        assert await other.read("acme") == entry(NEW, 5.0, OLD)
    finally:
        await keeper.close(0)
        for each in (store, other):
            await each.close()


def test_a_directory_that_was_asked_for_has_to_be_usable(tmp_path: Path) -> None:
    """The error names the setting; the default directory is only noted."""
    (tmp_path / "file").write_text("")
    with pytest.raises(StateError, match=r"state\.spill: The state directory .* Set state\.spill to"):
        redis_at("redis://127.0.0.1:1/0", tmp_path / "file" / "spill")
    shared = SharedSettings(16, SpillDirectory(str(tmp_path / "file" / "x"), required=False))
    store = open_store("redis://127.0.0.1:1/0", Secret(KEY), shared)
    assert "have no copy on this machine" in store.notes[0]


def test_the_predecessor_is_kept_with_the_entry() -> None:
    """The predecessor is kept as a digest: the refresh token itself is not needed any more."""
    assert entry(NEW, 5.0, OLD).follows == fingerprint(OLD)
