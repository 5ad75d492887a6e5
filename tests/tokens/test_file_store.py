"""The file store on a real disk: privacy, encryption, keys, and what is damaged."""

from __future__ import annotations

import errno
import os
import stat
from dataclasses import replace
from json import dumps
from pathlib import Path

import pytest

from proxy.errors import StateError, StateFileDamaged
from proxy.secret import Secret
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


def make_read_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """From now on no file can be opened for writing."""
    real = os.open

    def read_only(path: str | Path, flags: int, *rest: int, **more: int) -> int:
        if flags & (os.O_WRONLY | os.O_RDWR):
            raise OSError(errno.EROFS, "Read-only file system")
        return real(path, flags, *rest, **more)

    monkeypatch.setattr(os, "open", read_only)


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
    """An earlier entry has no consent: a sign-in was kept when it was made, and the day of any other consent is
    unknown."""
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
    """Anyone who could put a link there knows the key it leads to. A link that leads nowhere is no reason to make a
    key."""
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
    """The owner of the file knows the key in it."""
    open_store(url(tmp_path / "s"), None)
    real = os.fstat

    def foreign(descriptor: int) -> os.stat_result:
        facts = real(descriptor)
        return os.stat_result((*facts[:4], facts.st_uid + 1, *facts[5:10]))

    monkeypatch.setattr(os, "fstat", foreign)
    refused_key(tmp_path / "s", "belongs to another user")


def test_a_key_file_that_is_none_is_refused(tmp_path: Path) -> None:
    """Neither a pipe, which would hold the start up, nor a directory is a key file."""
    open_store(url(tmp_path / "s"), None)
    (tmp_path / "s" / "key").unlink()
    os.mkfifo(tmp_path / "s" / "key", 0o600)
    refused_key(tmp_path / "s", "is not a file")
    (tmp_path / "s" / "key").unlink()
    (tmp_path / "s" / "key").mkdir()
    refused_key(tmp_path / "s", "is not a file")


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
async def test_a_damaged_check_is_replaced_where_an_account_fits(tmp_path: Path, check: bytes | None) -> None:
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
    """All other accounts are served, and the note names the damaged file."""
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
    """A foreign key is no damage: what the new key wrote is neither set aside nor overwritten."""
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
