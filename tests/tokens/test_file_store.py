"""The file store on a real disk: privacy, encryption, refusal, read-only and full disks, watching, key rotation."""

from __future__ import annotations

import asyncio
import errno
import os
import stat
from dataclasses import replace
from json import dumps
from pathlib import Path
from typing import cast

import pytest

from proxy.errors import StateError, StateFileDamaged
from proxy.secret import Secret
from proxy.tokens import state_directory
from proxy.tokens.memory_store import MemoryStore
from proxy.tokens.opening import open_store, rotate_keys
from proxy.tokens.store import StoredSource, StoredToken

KEY = Secret("0123456789abcdef")
OTHER = Secret("fedcba9876543210")
ENTRY = StoredToken(Secret("Atzr|refresh-token"), StoredSource.ROTATED, "f" * 64, 12.5)


def url(path: Path) -> str:
    return f"file:{path}"


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def account_file(path: Path) -> Path:
    return next(path.glob("account-*"))


async def test_what_was_written_is_read_by_the_next_process(tmp_path: Path) -> None:
    """An entry comes back whole; another account has none."""
    await open_store(url(tmp_path / "s"), KEY).write("acme", ENTRY)
    again = open_store(url(tmp_path / "s"), KEY)
    assert await again.read("acme") == ENTRY
    assert await again.read("other") is None


@pytest.mark.parametrize(("source", "consented_at"), [("sign-in", 12.5), ("rotated", None)])
async def test_an_entry_of_an_earlier_version_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str, consented_at: float | None
) -> None:
    """It says nothing of consents: a sign-in was kept when it was made, and of the rest nothing is known."""
    store = open_store(url(tmp_path / "s"), KEY)
    with monkeypatch.context() as earlier:
        earlier.setattr("json.dumps", lambda kept: dumps({k: v for k, v in kept.items() if k != "consented_at"}))
        await store.write("acme", replace(ENTRY, source=StoredSource(source), consented_at=1.0))
    assert await store.read("acme") == replace(ENTRY, source=StoredSource(source), consented_at=consented_at)


async def test_nothing_readable_is_on_the_disk(tmp_path: Path) -> None:
    """Directory and files are closed to others, and hold neither token nor account name."""
    store = open_store(url(tmp_path / "s"), None)
    await store.write("acme-account", ENTRY)
    await store.write_document("profiles", {"secret-name": 1})
    assert mode(tmp_path / "s") == 0o700
    for path in (tmp_path / "s").iterdir():
        assert mode(path) == 0o600
        content = path.read_bytes()
        assert not any(word in content + path.name.encode() for word in (b"Atzr", b"acme-account", b"secret-name"))


@pytest.mark.parametrize("account", ["../../etc/passwd", "a/b", ".", "ACME", "acme", "x" * 500, "né 日本", "a\0b"])
async def test_any_account_name_is_a_safe_file_name(tmp_path: Path, account: str) -> None:
    """No name leaves the directory or meets another."""
    store = open_store(url(tmp_path / "s"), KEY)
    await store.write("Acme", ENTRY)
    entry = StoredToken(Secret("other"), StoredSource.SIGN_IN, "", 1.0)
    await store.write(account, entry)
    assert await store.read(account) == entry
    assert await store.read("Acme") == ENTRY
    assert {path.name for path in tmp_path.iterdir()} == {"s"}


def test_a_key_is_made_where_none_is_configured(tmp_path: Path) -> None:
    """The made key is private, said at start, and found again."""
    first = open_store(url(tmp_path / "s"), None)
    assert "state.key is not set" in first.notes[0]
    key = (tmp_path / "s" / "key").read_bytes()
    open_store(url(tmp_path / "s"), None)
    assert (tmp_path / "s" / "key").read_bytes() == key
    assert mode(tmp_path / "s" / "key") == 0o600


def refused_key(directory: Path, words: str) -> None:
    """Opening is refused for a reason, with and without a configured key, and the file there stays what it was."""
    path = directory / "key"
    before = (path.lstat().st_mode, path.lstat().st_ino, path.read_bytes() if path.is_file() else b"")
    for key in (None, KEY):
        with pytest.raises(StateError, match=words) as refused:
            open_store(url(directory), key)
        assert str(path) in str(refused.value)
    assert (path.lstat().st_mode, path.lstat().st_ino, path.read_bytes() if path.is_file() else b"") == before


def test_a_key_file_that_is_a_link_is_refused(tmp_path: Path) -> None:
    """Whoever could put a link there knows the key it leads to. One that leads nowhere is no reason to make a key."""
    open_store(url(tmp_path / "s"), None)
    (tmp_path / "s" / "key").rename(tmp_path / "elsewhere")
    (tmp_path / "s" / "key").symlink_to(tmp_path / "elsewhere")
    refused_key(tmp_path / "s", "is a link")
    (tmp_path / "elsewhere").unlink()
    refused_key(tmp_path / "s", "is a link")


@pytest.mark.parametrize("permissions", [0o640, 0o604, 0o620, 0o666])
def test_a_key_file_that_is_open_to_others_is_refused(tmp_path: Path, permissions: int) -> None:
    """With the command that closes it."""
    open_store(url(tmp_path / "s"), None)
    (tmp_path / "s" / "key").chmod(permissions)
    refused_key(tmp_path / "s", "chmod 600")


def test_a_key_file_of_another_user_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its owner knows what is in it."""
    open_store(url(tmp_path / "s"), None)
    real = os.fstat

    def foreign(descriptor: int) -> os.stat_result:
        facts = real(descriptor)
        return os.stat_result((*facts[:4], facts.st_uid + 1, *facts[5:10]))

    monkeypatch.setattr(os, "fstat", foreign)
    refused_key(tmp_path / "s", "belongs to another user")


def test_a_key_file_that_is_none_is_refused(tmp_path: Path) -> None:
    """Neither a pipe, which would hold the start up, nor a directory."""
    open_store(url(tmp_path / "s"), None)
    (tmp_path / "s" / "key").unlink()
    os.mkfifo(tmp_path / "s" / "key", 0o600)
    refused_key(tmp_path / "s", "is no file")
    (tmp_path / "s" / "key").unlink()
    (tmp_path / "s" / "key").mkdir()
    refused_key(tmp_path / "s", "is no file")


async def test_a_key_configured_later_reads_what_the_made_key_wrote(tmp_path: Path) -> None:
    """Configuring a key loses nothing."""
    await open_store(url(tmp_path / "s"), None).write("acme", ENTRY)
    store = open_store(url(tmp_path / "s"), KEY)
    assert store.notes == ()
    assert await store.read("acme") == ENTRY


@pytest.mark.parametrize("key", [OTHER, None])
async def test_a_wrong_or_missing_key_refuses_to_start(tmp_path: Path, key: Secret | None) -> None:
    """Refused with what to do, and not a byte changes."""
    await open_store(url(tmp_path / "s"), KEY).write("acme", ENTRY)
    before = {path.name: path.read_bytes() for path in (tmp_path / "s").iterdir()}
    with pytest.raises(StateError, match=r"state\.key"):
        open_store(url(tmp_path / "s"), key)
    assert {path.name: path.read_bytes() for path in (tmp_path / "s").iterdir()} == before


def test_a_wrong_key_is_noticed_before_any_account_is_there(tmp_path: Path) -> None:
    """Even an empty store knows its key."""
    open_store(url(tmp_path / "s"), KEY)
    with pytest.raises(StateError, match="another key"):
        open_store(url(tmp_path / "s"), OTHER)


@pytest.mark.parametrize("keep", [0, 1, 50, -1])
async def test_a_truncated_file_stops_no_other_account(tmp_path: Path, keep: int) -> None:
    """A damaged file is named, and kept as it is under another name; the other accounts are served."""
    store = open_store(url(tmp_path / "s"), KEY)
    await store.write("other", ENTRY)
    other = account_file(tmp_path / "s")
    await store.write("acme", ENTRY)
    path = next(path for path in (tmp_path / "s").glob("account-*") if path != other)
    path.write_bytes(damaged := path.read_bytes()[:keep])
    again = open_store(url(tmp_path / "s"), KEY)
    aside = next((tmp_path / "s").glob("damaged-*"))
    assert path.name in again.notes[0]
    assert aside.name in again.notes[0]
    assert aside.read_bytes() == damaged
    assert not path.exists()
    assert await again.read("other") == ENTRY
    assert await again.read("acme") is None
    await again.write("acme", ENTRY)
    assert open_store(url(tmp_path / "s"), KEY).notes == ()


async def test_an_entry_of_another_account_or_key_is_set_aside(tmp_path: Path) -> None:
    """A copy under another account's name, and a file that came from elsewhere; its key brings it back."""
    await open_store(url(tmp_path / "s"), KEY).write("acme", ENTRY)
    mine = account_file(tmp_path / "s")
    await open_store(url(tmp_path / "from"), OTHER).write("elsewhere", ENTRY)
    foreign = account_file(tmp_path / "from")
    (tmp_path / "s" / "account-copy").write_bytes(mine.read_bytes())
    (tmp_path / "s" / foreign.name).write_bytes(foreign.read_bytes())
    store = open_store(url(tmp_path / "s"), KEY)
    assert len(store.notes) == 2
    assert await store.read("acme") == ENTRY
    aside = next((tmp_path / "s").glob(f"damaged-*{foreign.name}"))
    aside.rename(tmp_path / "s" / foreign.name)
    assert await open_store(url(tmp_path / "s"), (KEY, OTHER)).read("elsewhere") == ENTRY


@pytest.mark.parametrize("check", [None, b"", b"damaged"])
async def test_a_damaged_check_is_made_anew_where_an_account_fits(tmp_path: Path, check: bytes | None) -> None:
    """The file that tells the key may be damaged, too; any account's tells it as well, and a wrong key is refused."""
    tmp_path.chmod(0o755)
    within = tmp_path / "ads-proxy"
    await open_store(url(tmp_path), KEY).write("acme", ENTRY)
    (within / "check").unlink()
    if check is not None:
        (within / "check").write_bytes(check)
    with pytest.raises(StateError, match="another key"):
        open_store(url(tmp_path), OTHER)
    assert await open_store(url(tmp_path), KEY).read("acme") == ENTRY
    account_file(within).unlink()
    with pytest.raises(StateError, match="another key"):
        open_store(url(tmp_path), OTHER)


async def test_a_damaged_file_on_a_read_only_disk_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The others are served all the same, and the note says what was found."""
    store = open_store(url(tmp_path / "s"), KEY)
    await store.write("acme", ENTRY)
    path = account_file(tmp_path / "s")
    await store.write("other", ENTRY)
    path.write_bytes(b"")
    make_read_only(monkeypatch)
    again = open_store(url(tmp_path / "s"), KEY)
    assert await again.read("other") == ENTRY
    assert f"{path} is damaged" in again.notes[1]
    assert path.exists()


async def test_a_damaged_file_is_not_overwritten_while_running(tmp_path: Path) -> None:
    """What cannot be decrypted is left for a person to look at, under another name; the write holds."""
    store = open_store(url(tmp_path / "s"), KEY)
    await store.write("acme", ENTRY)
    path = account_file(tmp_path / "s")
    path.write_bytes(b"damaged")
    with pytest.raises(StateFileDamaged, match="is damaged"):
        await store.read("acme")
    assert path.read_bytes() == b"damaged"
    await store.write("acme", ENTRY)
    assert await store.read("acme") == ENTRY
    assert next((tmp_path / "s").glob("damaged-*")).read_bytes() == b"damaged"


async def test_a_directory_that_another_process_gave_another_key_is_left(tmp_path: Path) -> None:
    """That is no damage: what the new key wrote is neither set aside nor overwritten."""
    store = open_store(url(tmp_path / "s"), KEY)
    await store.write("acme", ENTRY)
    rotate_keys(url(tmp_path / "s"), (OTHER, KEY))
    for attempt in (store.read("acme"), store.write("acme", ENTRY)):
        with pytest.raises(StateError, match="left as it is") as refused:
            await attempt
        assert not isinstance(refused.value, StateFileDamaged)
    assert await open_store(url(tmp_path / "s"), OTHER).read("acme") == ENTRY
    assert not list((tmp_path / "s").glob("damaged-*"))


async def test_a_file_of_another_account_is_noticed(tmp_path: Path) -> None:
    """A copied file does not lend one account's token to another."""
    store = open_store(url(tmp_path / "s"), KEY)
    await store.write("acme", ENTRY)
    path = account_file(tmp_path / "s")
    content = path.read_bytes()
    path.unlink()
    await store.write("other", ENTRY)
    account_file(tmp_path / "s").write_bytes(content)
    with pytest.raises(StateError, match="'acme'"):
        await store.read("other")


def test_a_short_key_is_refused(tmp_path: Path) -> None:
    """Sixteen bytes are the least."""
    with pytest.raises(StateError, match="shorter than 16"):
        open_store(url(tmp_path / "s"), Secret("short"))


async def test_a_directory_of_somebody_else_gets_a_private_one_within(tmp_path: Path) -> None:
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
    """Nobody can lead the tokens elsewhere."""
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
    """A file where the directory should be says so and names the way out."""
    (tmp_path / "file").write_text("")
    for place in ("file", "file/s"):
        with pytest.raises(StateError, match="memory:"):
            open_store(url(tmp_path / place), KEY)


def make_read_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """From now on no file can be opened for writing."""
    real = os.open

    def read_only(path: str | Path, flags: int, *rest: int, **more: int) -> int:
        if flags & (os.O_WRONLY | os.O_RDWR):
            raise OSError(errno.EROFS, "Read-only file system")
        return real(path, flags, *rest, **more)

    monkeypatch.setattr(os, "open", read_only)


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
    monkeypatch.setattr(state_directory, "LOCK_WAIT", 0.05)
    with state_directory.locked(tmp_path / "s"), pytest.raises(StateError, match="holds the state directory"):
        await store.write("acme", ENTRY)
    await asyncio.gather(*(store.write(f"account-{number}", ENTRY) for number in range(3)))
    assert await store.read("account-2") == ENTRY


async def test_documents_come_back_and_can_be_lost(tmp_path: Path) -> None:
    """A document that is damaged, or written with another key, counts as absent."""
    store = open_store(url(tmp_path / "s"), KEY)
    assert await store.read_document("profiles") is None
    await store.write_document("profiles", [{"id": "1"}])
    assert await store.read_document("profiles") == [{"id": "1"}]
    next((tmp_path / "s").glob("document-*")).write_bytes(b"damaged")
    assert await store.read_document("profiles") is None
    assert await open_store(url(tmp_path / "s"), KEY).read_document("profiles") is None
    await store.write_document("profiles", "again")
    assert await store.read_document("profiles") == "again"


async def test_keys_rotate(tmp_path: Path) -> None:
    """With the new key first in the list everything is encrypted anew; then the old one is not needed."""
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
    """A watcher hears of an entry written through another store object."""
    watched = open_store(url(tmp_path / "s"), KEY)
    changes = watched.changes()
    await anext(changes)
    told = asyncio.ensure_future(anext(changes))
    await open_store(url(tmp_path / "s"), KEY).write("acme", ENTRY)
    async with asyncio.timeout(10):
        await told
    await changes.aclose()  # type: ignore[attr-defined]  # it is a generator


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
    """Neither a file nor a link, nor a directory open to others, nor one with another key."""
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
        ("file:", "names no directory"),
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
