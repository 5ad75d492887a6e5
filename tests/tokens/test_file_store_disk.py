"""The file store and its directory: owners, read-only and full disks, writers, key rotation, watching."""

from __future__ import annotations

import asyncio
import errno
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import cast

import pytest

from proxy.errors import StateError, StateFileDamaged
from proxy.intercept.authority import Authority
from proxy.secret import Secret
from proxy.tokens import state_directory
from proxy.tokens.opening import open_store, rotate_keys
from proxy.tokens.store import MemoryStore, Store, StoreChange, StoredSource, StoredToken, rotated
from tests.support.patience import PATIENCE
from tests.tokens.test_file_store import ENTRY, KEY, OTHER, make_read_only, mode, url


async def test_a_directory_of_another_user_gets_a_private_one_within(tmp_path: Path) -> None:
    """A volume that is open to others, or that holds other things, is left alone."""
    volume = tmp_path / "volume"
    volume.mkdir()
    volume.chmod(0o777)
    await open_store(url(volume), KEY).write("acme", ENTRY)
    assert (mode(volume), mode(volume / "ads-proxy")) == (0o777, 0o700)
    volume.chmod(0o700)
    assert await open_store(url(volume), KEY).read("acme") == ENTRY
    home = tmp_path / "home"
    home.mkdir(mode=0o700)
    (home / "letters").write_text("private")
    open_store(url(home), KEY)
    assert sorted(path.name for path in home.iterdir()) == ["ads-proxy", "letters"]


def test_an_empty_private_directory_is_used_itself(tmp_path: Path) -> None:
    """What was made for us needs no directory within."""
    (tmp_path / "s").mkdir(mode=0o700)
    open_store(url(tmp_path / "s"), KEY)
    assert (tmp_path / "s" / "check").exists()


def test_a_directory_with_nothing_but_our_authority_is_used_itself(tmp_path: Path) -> None:
    """`ads-proxy ca` can be the first command, and makes it."""
    Authority.open(tmp_path / "s" / "ca", 1_800_000_000.0)
    open_store(url(tmp_path / "s"), KEY)
    assert {path.name for path in (tmp_path / "s").iterdir()} >= {"ca", "check"}


@pytest.mark.parametrize("within", ["", "ads-proxy"])
async def test_a_state_directory_open_to_others_is_refused(tmp_path: Path, within: str) -> None:
    """Loosened permissions are an error that says how to close them, never a fresh start elsewhere."""
    volume = tmp_path / "volume"
    if within:
        volume.mkdir()
        volume.chmod(0o755)
    await open_store(url(volume), KEY).write("acme", ENTRY)
    (volume / within).chmod(0o755)
    with pytest.raises(StateError, match="chmod 700"):
        open_store(url(volume), KEY)


def test_a_link_in_the_place_of_our_directory_is_refused(tmp_path: Path) -> None:
    """A link cannot lead the tokens elsewhere."""
    (tmp_path / "volume").mkdir()
    (tmp_path / "volume").chmod(0o777)
    (tmp_path / "elsewhere").mkdir(mode=0o700)
    (tmp_path / "volume" / "ads-proxy").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(StateError, match="not a directory of its own"):
        open_store(url(tmp_path / "volume"), KEY)


def test_a_directory_of_another_user_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """State that another user could change is not trusted."""
    open_store(url(tmp_path / "s"), KEY)
    monkeypatch.setattr(os, "geteuid", lambda: 12345)
    with pytest.raises(StateError, match="another user"):
        open_store(url(tmp_path / "s"), KEY)


def test_a_place_that_cannot_be_is_a_clear_error(tmp_path: Path) -> None:
    """The error for a file instead of the directory says what it is and what to do."""
    (tmp_path / "file").write_text("")
    for place in ("file", "file/s"):
        with pytest.raises(StateError, match="memory:"):
            open_store(url(tmp_path / place), KEY)


async def test_a_read_only_disk_starts_and_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is kept is served; new tokens are refused by the store with the system's words."""
    await open_store(url(tmp_path / "s"), KEY).write("acme", ENTRY)
    make_read_only(monkeypatch)
    store = open_store(url(tmp_path / "s"), KEY)
    assert "read-only" in store.notes[0]
    assert await store.read("acme") == ENTRY
    with pytest.raises(StateError, match="Read-only file system"):
        await store.write("acme", ENTRY)
    with pytest.raises(StateError, match="Read-only file system"):
        open_store(url(tmp_path / "new"), KEY)


async def test_a_full_disk_keeps_the_old_token(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A write that finds no room leaves the old entry whole and nothing half written."""
    store = open_store(url(tmp_path / "s"), KEY)
    await store.write("acme", ENTRY)

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as broken:
        broken.setattr(os, "fsync", full)
        with pytest.raises(StateError, match="No space left"):
            await store.write("acme", StoredToken(Secret("new"), StoredSource.ROTATED, "", 2.0))
    assert await open_store(url(tmp_path / "s"), KEY).read("acme") == ENTRY
    assert not list((tmp_path / "s").glob(".new-*"))


async def test_what_a_killed_process_left_is_swept(tmp_path: Path) -> None:
    """Half-written files disappear at the next start."""
    open_store(url(tmp_path / "s"), KEY)
    (tmp_path / "s" / ".new-0011").write_bytes(b"half")
    open_store(url(tmp_path / "s"), KEY)
    assert not (tmp_path / "s" / ".new-0011").exists()


async def test_writers_take_turns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A directory that another process holds is waited for, then reported."""
    store = open_store(url(tmp_path / "s"), KEY)
    with monkeypatch.context() as impatient:
        impatient.setattr(state_directory, "LOCK_WAIT", 0.05)
        with state_directory.locked(tmp_path / "s"), pytest.raises(StateError, match="holds the state directory"):
            await store.write("acme", ENTRY)
    await asyncio.gather(*(store.write(f"account-{number}", ENTRY) for number in range(3)))
    assert await store.read("account-2") == ENTRY


async def test_documents_come_back_and_can_be_lost(tmp_path: Path) -> None:
    """A document that is damaged, or written with another key, counts as absent, except for those who require it."""
    store = open_store(url(tmp_path / "s"), KEY)
    assert await store.read_document("profiles") is None
    await store.write_document("profiles", [{"id": "1"}])
    assert await store.read_document("profiles") == [{"id": "1"}]
    next((tmp_path / "s").glob("document-*")).write_bytes(b"damaged")
    assert await store.read_document("profiles") is None
    assert await open_store(url(tmp_path / "s"), KEY).read_document("profiles") is None
    with pytest.raises(StateFileDamaged):
        await store.require_document("profiles")
    assert await store.require_document("others") is None
    await store.write_document("profiles", "again")
    assert await store.require_document("profiles") == "again"
    assert await store.read_document("profiles") == "again"


async def test_keys_rotate(tmp_path: Path) -> None:
    """With the new key first in the list everything is encrypted again; then the old one is not needed."""
    store = open_store(url(tmp_path / "s"), KEY)
    await store.write("acme", ENTRY)
    await store.write_document("profiles", [1])
    assert rotate_keys(url(tmp_path / "s"), (OTHER, KEY)) == 2
    again = open_store(url(tmp_path / "s"), OTHER)
    assert await again.read("acme") == ENTRY
    assert await again.read_document("profiles") == [1]
    with pytest.raises(StateError):
        open_store(url(tmp_path / "s"), KEY)


async def test_rotating_to_a_configured_key_removes_the_made_one(tmp_path: Path) -> None:
    """The way from a made key to a configured one, damaged documents on the way included."""
    store = open_store(url(tmp_path / "s"), None)
    await store.write("acme", ENTRY)
    await store.write_document("profiles", [1])
    next((tmp_path / "s").glob("document-*")).write_bytes(b"damaged")
    rotate_keys(url(tmp_path / "s"), KEY)
    assert not (tmp_path / "s" / "key").exists()
    assert await open_store(url(tmp_path / "s"), KEY).read("acme") == ENTRY


def test_rotating_needs_keys_and_files(tmp_path: Path) -> None:
    """Without a configured key, or a file store, there is nothing to rotate to."""
    with pytest.raises(StateError, match=r"state\.key is not set"):
        rotate_keys(url(tmp_path / "s"), None)
    with pytest.raises(StateError, match="file:"):
        rotate_keys("memory:", KEY)


async def test_another_process_s_write_is_noticed(tmp_path: Path) -> None:
    """A watcher hears of the very account whose entry was written, or removed, through another store object."""
    watched, other = open_store(url(tmp_path / "s"), KEY), open_store(url(tmp_path / "s"), KEY)
    for account in ("acme", "globex"):
        await watched.read(account)
    changes = watched.changes()
    async with asyncio.timeout(PATIENCE):
        assert await anext(changes) == StoreChange()
        for account in ("globex", "acme"):
            await other.write(account, replace(ENTRY, refresh_token=Secret(f"Atzr|{account}")))
            assert await anext(changes) == StoreChange(account=account)
        next(path for path in (tmp_path / "s").iterdir() if path.name.startswith("account-")).unlink()
        assert (await anext(changes)).account in ("acme", "globex")
    await changes.aclose()  # type: ignore[attr-defined]  # it is a generator


@asynccontextmanager
async def next_change(store: Store) -> AsyncIterator[asyncio.Future[StoreChange]]:
    """What the store tells after its first word."""
    changes = store.changes()
    async with asyncio.timeout(PATIENCE):
        assert await anext(changes) == StoreChange()
        yield asyncio.ensure_future(anext(changes))
    await changes.aclose()  # type: ignore[attr-defined]  # it is a generator


async def test_what_is_gone_before_the_watcher_saw_it_is_noticed(tmp_path: Path) -> None:
    """Between two looks at the directory it was written here, and removed by another process."""
    store = open_store(url(tmp_path / "s"), KEY)
    await store.read("acme")
    async with next_change(store) as told:
        await store.write("acme", ENTRY)
        next((tmp_path / "s").glob("account-*")).unlink()
        assert await told == StoreChange(account="acme")


async def test_documents_and_accounts_of_others_are_no_news(tmp_path: Path) -> None:
    """Lists are written all the time with many accounts, and other processes' accounts concern no replica that never
    asked for them."""
    store = open_store(url(tmp_path / "s"), KEY)
    await store.read("acme")
    async with next_change(store) as told:
        await store.write_document("profiles", {"some": "lists"})
        await store.write("somebody-else", ENTRY)
        await store.write("acme", ENTRY)
        assert await told == StoreChange(account="acme")


async def test_a_newer_sign_in_of_another_process_stays(tmp_path: Path) -> None:
    """A write that failed before it and is tried again after it leaves it, and it is heard of."""
    store, other = open_store(url(tmp_path / "s"), KEY), open_store(url(tmp_path / "s"), KEY)
    await store.read("acme")
    signed_in = StoredToken(Secret("Atzr|signed-in"), StoredSource.SIGN_IN, "f" * 64, 20.0, consented_at=20.0)
    async with next_change(store) as told:
        await other.write("acme", signed_in)
        await store.write("acme", ENTRY)
        assert await told == StoreChange(account="acme")
    assert await store.read("acme") == signed_in


async def test_what_was_read_gives_way_whatever_the_clocks_say(tmp_path: Path) -> None:
    """A sign-in replaces one from before the clock was set back; so does a token that replaced what is there."""
    store, other = open_store(url(tmp_path / "s"), KEY), open_store(url(tmp_path / "s"), KEY)
    await store.write("acme", replace(ENTRY, saved_at=99.0, consented_at=99.0))
    await other.read("acme")
    await other.write("acme", replace(ENTRY, saved_at=1.0, consented_at=1.0))
    assert await store.read("acme") == replace(ENTRY, saved_at=1.0, consented_at=1.0)
    successor = rotated(Secret("Atzr|next"), None, 0.5, before=ENTRY.refresh_token)
    await open_store(url(tmp_path / "s"), KEY).write("acme", successor)
    assert await store.read("acme") == successor


def take_away(directory: Path) -> None:
    for path in directory.iterdir():
        path.unlink()
    directory.rmdir()


async def test_a_directory_that_vanished_cannot_be_watched(tmp_path: Path) -> None:
    """The watcher ends with an error that its owner can wait out; the next one makes the directory again."""
    store = open_store(url(tmp_path / "s"), KEY)
    changes = store.changes()
    await anext(changes)
    take_away(tmp_path / "s")
    with pytest.raises(StateError):
        await anext(changes)
    again = store.changes()
    await anext(again)
    assert mode(tmp_path / "s") == 0o700
    await again.aclose()  # type: ignore[attr-defined]  # it is a generator


@pytest.mark.parametrize("key", [KEY, None])
async def test_a_directory_that_was_taken_away_is_made_again(tmp_path: Path, key: Secret | None) -> None:
    """The next write makes it, private and with what a restart needs: the key file too, where there was one."""
    place = tmp_path / "deep" / "s"
    store = open_store(url(place), key)
    await store.write("acme", ENTRY)
    take_away(place)
    place.parent.rmdir()
    await store.write_document("profiles", [1])
    await store.write("acme", ENTRY)
    assert mode(place) == 0o700
    assert {mode(path) for path in place.iterdir()} == {0o600}
    again = open_store(url(place), key)
    assert await again.read("acme") == ENTRY
    assert await again.read_document("profiles") == [1]


async def test_what_stands_in_the_place_of_the_directory_is_not_trusted(tmp_path: Path) -> None:
    """Neither a file nor a link, nor a directory open to others, nor one with another key is trusted."""
    store = open_store(url(tmp_path / "s"), KEY)
    take_away(tmp_path / "s")
    (tmp_path / "s").write_text("")
    with pytest.raises(StateError):
        await store.write("acme", ENTRY)
    (tmp_path / "s").unlink()
    (tmp_path / "elsewhere").mkdir(mode=0o700)
    (tmp_path / "s").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(StateError, match="not a directory of its own"):
        await store.write("acme", ENTRY)
    (tmp_path / "s").unlink()
    (tmp_path / "s").mkdir(mode=0o755)
    with pytest.raises(StateError, match="chmod 700"):
        await store.write("acme", ENTRY)
    take_away(tmp_path / "s")
    open_store(url(tmp_path / "s"), OTHER)
    with pytest.raises(StateError, match="another key"):
        await store.write("acme", ENTRY)
    assert not list(tmp_path.rglob("account-*"))


@pytest.mark.parametrize(
    ("bad", "words"),
    [
        ("redis://localhost/0", "state.key is not set"),
        ("rediss://localhost/0", "state.key is not set"),
        ("file:", "has no directory"),
        ("file://elsewhere/var", "names a host"),
        ("/var/lib/x", "neither memory: nor file:DIR"),
    ],
)
def test_urls_that_name_no_store_are_refused(bad: str, words: str) -> None:
    """Each wrong `state.url` has its sentence."""
    with pytest.raises(StateError, match=words):
        open_store(bad)


async def test_urls_name_directories(tmp_path: Path) -> None:
    """With and without slashes the same directory is meant."""
    await open_store(f"file:{tmp_path}/s", KEY).write("acme", ENTRY)
    assert await open_store(f"file://{tmp_path}/s", KEY).read("acme") == ENTRY
    assert await open_store(f"file://localhost{tmp_path}/s", (KEY, OTHER)).read("acme") == ENTRY


async def test_memory_keeps_as_long_as_it_lives() -> None:
    """The memory store says what it is, and keeps copies of documents."""
    store = open_store("memory:")
    assert isinstance(store, MemoryStore)
    assert "lost at exit" in store.notes[0]
    document = [1]
    await store.write_document("profiles", document)
    document.append(2)
    assert await store.read_document("profiles") == [1]
    assert await store.read_document("other") is None
    await store.close()


async def test_a_word_of_another_version_is_no_damage(tmp_path: Path) -> None:
    """How a token came is read leniently: an entry is worth more than the word about it."""
    store = open_store(url(tmp_path / "s"), KEY)
    await store.write("acme", replace(ENTRY, source=cast(StoredSource, "carried-over")))
    assert await store.read("acme") == ENTRY


async def test_a_store_shows_where_it_is_and_no_more(tmp_path: Path) -> None:
    """No key, no token, no account."""
    store = open_store(url(tmp_path / "s"), KEY)
    await store.write("acme", ENTRY)
    assert repr(store) == f"<FileStore in {tmp_path / 's'}>"
