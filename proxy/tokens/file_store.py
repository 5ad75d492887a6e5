"""A store in a private directory: one encrypted file per account and per document.

A file's name is a digest, so that any account name will do on any disk; the name itself is within, and checked. What
cannot be decrypted is never overwritten, but set aside under another name. Reading needs no lock, since files change
all at once.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import secrets
from typing import TYPE_CHECKING, Final

from cryptography.fernet import InvalidToken
from watchfiles import Change

from proxy.directory_watch import WatchSettings, changes_in
from proxy.errors import StateError, StateFileDamaged
from proxy.secret import Secret
from proxy.tokens import state_directory
from proxy.tokens.day_counts import DocumentCounts
from proxy.tokens.sealing import decode_document, decode_entry, digest, encode_document, encode_entry, make_cipher
from proxy.tokens.store import LastReadings, StoreChange, UnsharedStore, outranks

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator
    from pathlib import Path

    from cryptography.fernet import MultiFernet

    from proxy.tokens.store import StoredToken

KEY_FILE = "key"
ACCOUNT = "account-"
DOCUMENT = "document-"
_WRITTEN: Final = (0, 0)
"""What is seen of a file that this process wrote: the next look finds it changed, also if it is gone by then."""
POLL_MS = 2000
"""Where the system tells nothing of changes (a network disk), the directory is looked at this often."""


class FileStore(UnsharedStore):
    """Made by `open`; its methods do their input and output in threads."""

    def __init__(
        self, directory: Path, cipher: MultiFernet, made_key: bytes | None = None, notes: tuple[str, ...] = ()
    ) -> None:
        super().__init__()
        self._directory = directory
        self._cipher = cipher
        self._made_key = Secret(made_key.decode("latin-1")) if made_key is not None else None
        self.notes = notes
        self.counts = DocumentCounts(self)
        self._names: dict[str, str] = {}
        """The accounts that were asked for, by the names of their files."""
        self._seen: dict[str, tuple[int, int]] = {}
        """The accounts' files as they were at the last look."""
        self._known: dict[str, StoredToken | None] = {}
        """The accounts' entries as they were last read or written here."""
        self._last = LastReadings()

    def __repr__(self) -> str:
        return f"<FileStore in {self._directory}>"

    @classmethod
    def open(cls, directory: str, keys: tuple[Secret, ...]) -> FileStore:
        """Blocks. `StateError` where the directory or the key cannot be trusted; what else is damaged is set aside."""
        place = state_directory.locate(directory)
        try:
            with state_directory.locked(place):
                state_directory.sweep(place)
                return cls._open(place, keys, writable=True)
        except StateError as error:
            if not state_directory.is_read_only(error) or state_directory.read(place / state_directory.CHECK) is None:
                raise
        return cls._open(place, keys, writable=False)

    @classmethod
    def check_before_start(cls, directory: str, keys: tuple[Secret, ...]) -> None:
        """Blocks. Raise what `open` would, but make and change nothing: a program may be using the directory."""
        place = state_directory.look(directory)
        if place is not None and (keys or state_directory.files(place, KEY_FILE, state_directory.CHECK)):
            cls._open(place, keys, writable=False)
        elif keys:
            make_cipher(keys)

    @classmethod
    def _open(cls, place: Path, keys: tuple[Secret, ...], *, writable: bool) -> FileStore:
        notes = [] if writable else [f"The state directory {place} is read-only: new refresh tokens cannot be kept."]
        made = state_directory.read_private(place / KEY_FILE)
        if not keys and made is None:
            if state_directory.files(place, ACCOUNT, state_directory.CHECK):
                raise StateError(
                    f"The state in {place} is encrypted with a key that is not configured: set state.key to it again, "
                    "or move the directory away and sign in again."
                )
            made = secrets.token_urlsafe(32).encode()
            state_directory.replace(place / KEY_FILE, made)
        if not keys:
            notes.append(
                f"state.key is not set: the state is encrypted with the key file {place / KEY_FILE} next to it."
            )
        made_key = None if keys else made
        if made is not None:
            keys = (*keys, Secret(made.decode("latin-1").strip()))
        store = cls(place, make_cipher(keys), made_key, tuple(notes))
        store._check(writable)
        return store

    @classmethod
    def rotate(cls, directory: str, keys: tuple[Secret, ...]) -> int:
        """Blocks. Encrypts every file again with the first key; a key file made by this program is not needed then."""
        if not keys:
            raise StateError("state.key is not set: configure a key first, then rotate to it.")
        store = cls.open(directory, keys)
        with state_directory.locked(store._directory):
            for path in state_directory.files(store._directory, DOCUMENT):
                try:
                    state_directory.replace(path, store._cipher.encrypt(store._decrypt(path)))
                except StateError:  # documents can be lost: one that cannot be read is removed
                    state_directory.remove(path)
            paths = state_directory.files(store._directory, ACCOUNT, state_directory.CHECK)
            for path in paths:
                state_directory.replace(path, store._cipher.encrypt(store._decrypt(path)))
            state_directory.remove(store._directory / KEY_FILE)
        return len(paths)

    async def read(self, account: str) -> StoredToken | None:
        self._names[ACCOUNT + digest(account)] = account
        entry = self._known[account] = await asyncio.to_thread(self._read, account)
        return entry

    async def write(self, account: str, entry: StoredToken) -> None:
        """If another process has written a newer one, that one stays, and `changes` reports it."""
        self._known[account] = await asyncio.to_thread(self._write, account, entry, self._known.get(account))
        self._seen[ACCOUNT + digest(account)] = _WRITTEN

    async def read_document(self, name: str) -> object | None:
        return await asyncio.to_thread(self._read_document, name)

    async def require_document(self, name: str) -> object | None:
        return await asyncio.to_thread(self._require_document, name)

    async def write_document(self, name: str, data: object) -> None:
        await asyncio.to_thread(self._write_document, name, data)

    async def change_document(self, name: str, change: Callable[[object | None], object]) -> None:
        await asyncio.to_thread(self._change_document, name, change)

    async def changes(self) -> AsyncIterator[StoreChange]:
        """Yield the changed entries of accounts that were asked for. Documents are left out: with many accounts some
        are written all the time, and no other process reads those of this directory."""
        await asyncio.to_thread(self._ensure_directory)
        moment, self._seen = state_directory.changed_at(self._directory), await self._stamps()
        yield StoreChange()  # what was written before the watch began
        settings = WatchSettings(step=20, group=100, silence=POLL_MS, counts=_is_account_change)
        try:
            async for told in changes_in((self._directory,), settings):
                if told or moment != state_directory.changed_at(self._directory):
                    moment, before = state_directory.changed_at(self._directory), self._seen
                    self._seen = await self._stamps()
                    for name in dict(before.items() ^ self._seen.items()):
                        if name in self._names:
                            yield StoreChange(account=self._names[name])
        except (OSError, RuntimeError) as error:
            raise StateError(f"The state directory {self._directory} cannot be watched: {error}.") from None

    async def _stamps(self) -> dict[str, tuple[int, int]]:
        return await asyncio.to_thread(state_directory.stamps, self._directory, ACCOUNT)

    # --- blocking ------------------------------------------------------------------------------------------

    def _check(self, writable: bool) -> None:
        """Refuses to go on with a wrong key, rather than to overwrite later; sets aside what is damaged alone."""
        damaged = [path for path in state_directory.files(self._directory, ACCOUNT) if not self._is_sound(path)]
        if not self._has_key_of_check():
            accounts = state_directory.files(self._directory, ACCOUNT)
            whole = next(filter(_is_whole, accounts), None)
            if len(damaged) == len(accounts) and whole is not None:
                raise _wrong_key(whole)
            if writable:
                state_directory.replace(self._directory / state_directory.CHECK, self._cipher.encrypt(b"{}"))
        for path in damaged:
            told = f"set aside as {state_directory.set_aside(path).name}" if writable else "left as it is"
            self.notes += (
                f"The state file {path} is damaged or encrypted with another key, and was {told}: its account uses its "
                "configured refresh token, or needs a sign-in. If a key is missing, add it to state.key (a list) "
                "and give the file its name back.",
            )

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        """Holds the directory for one change; one that was taken away is made again, with its key and its check."""
        check = self._directory / state_directory.CHECK
        if state_directory.read(check) is None:
            state_directory.ensure(self._directory)
        with state_directory.locked(self._directory):
            if not self._has_key_of_check():
                key_file = self._directory / KEY_FILE
                if self._made_key is not None and state_directory.read_private(key_file) is None:
                    state_directory.replace(key_file, self._made_key.reveal().encode("latin-1"))
                state_directory.replace(check, self._cipher.encrypt(b"{}"))
            yield

    def _ensure_directory(self) -> None:
        if not self._directory.exists():
            with self._locked():
                pass

    def _has_key_of_check(self) -> bool:
        """Whether the directory is known to be encrypted with our key: False where nothing tells. Else `StateError`."""
        path = self._directory / state_directory.CHECK
        if not _is_whole(path):
            return False
        try:
            self._decrypt(path)
        except StateFileDamaged:
            raise _wrong_key(path) from None
        return True

    def _is_sound(self, path: Path) -> bool:
        try:
            account, _ = self._parse(path)
        except StateFileDamaged:
            return False
        return path.name == ACCOUNT + digest(account)

    def _read(self, account: str) -> StoredToken | None:
        path = self._directory / (ACCOUNT + digest(account))
        if state_directory.read(path) is None:
            return None
        try:
            owner, entry = self._parse(path)
        except StateFileDamaged:
            self._has_key_of_check()  # raises if the whole directory was encrypted again: that is no damage
            raise
        if owner != account:
            raise StateFileDamaged(
                f"The state file {path} belongs to the account '{owner}'; give the file its former name back."
            )
        return entry

    def _write(self, account: str, entry: StoredToken, known: StoredToken | None) -> StoredToken | None:
        """What is `known` to be there gives way, and so does anything that is not newer. Gives what is known then."""
        with self._locked():
            path = self._directory / (ACCOUNT + digest(account))
            try:
                there = self._read(account)
            except StateFileDamaged:
                state_directory.set_aside(path)
                there = None
            if there is not None and there != known and not outranks(entry, there):
                return known
            state_directory.replace(path, self._cipher.encrypt(encode_entry(account, entry)))
            return entry

    def _read_document(self, name: str) -> object | None:
        try:
            return self._require_document(name)
        except StateError:
            return None

    def _require_document(self, name: str) -> object | None:
        path = self._directory / (DOCUMENT + digest(name))
        if state_directory.read(path) is None:
            return None
        try:
            return decode_document(name, self._decrypt(path))
        except (ValueError, KeyError, TypeError):
            raise StateFileDamaged(f"The state file {path} has an unknown format; remove it.") from None

    def _write_document(self, name: str, data: object) -> None:
        content = self._cipher.encrypt(encode_document(name, data))
        with self._locked():
            state_directory.replace(self._directory / (DOCUMENT + digest(name)), content)

    def _change_document(self, name: str, change: Callable[[object | None], object]) -> None:
        """Raises `StateFileDamaged` for a document that is there and cannot be read."""
        path = self._directory / (DOCUMENT + digest(name))
        with self._locked():
            kept, content = None, state_directory.read(path)
            if content is not None:
                try:
                    kept = self._last.read(
                        name, content, lambda sealed: decode_document(name, self._unseal(path, sealed))
                    )
                except (ValueError, KeyError, TypeError):
                    kept = None
                if kept is None:
                    raise StateFileDamaged(f"The state file {path} has an unknown format; move it away.")
            anew = change(kept)
            if anew is not kept:
                state_directory.replace(path, self._cipher.encrypt(encode_document(name, anew)))

    def _parse(self, path: Path) -> tuple[str, StoredToken]:
        """The account and its entry."""
        try:
            return decode_entry(self._decrypt(path))
        except (ValueError, KeyError, TypeError):
            raise StateFileDamaged(
                f"The state file {path} has an unknown format; remove it and sign in again."
            ) from None

    def _decrypt(self, path: Path) -> bytes:
        content = state_directory.read(path)
        if content is None:
            raise StateError(f"The state file {path} is missing; sign in again.")
        return self._unseal(path, content)

    def _unseal(self, path: Path, content: bytes) -> bytes:
        """What a file says, of which this is the content."""
        try:
            return self._cipher.decrypt(content)
        except InvalidToken:
            raise StateFileDamaged(
                f"The state file {path} is damaged or encrypted with another key; add that key to state.key."
            ) from None


def _wrong_key(path: Path) -> StateError:
    return StateError(
        f"The state file {path} is encrypted with another key, and is left as it is: set state.key to the key it was "
        "written with (after a new one in a list), or move the directory away and sign in again."
    )


def _is_whole(path: Path) -> bool:
    """Whether a file looks as if it were encrypted, with whatever key: the form is that of Fernet's specification."""
    try:
        content = base64.urlsafe_b64decode(state_directory.read(path) or b"")
    except ValueError:
        return False
    return content[:1] == b"\x80" and len(content) >= 73 and (len(content) - 57) % 16 == 0


def _is_account_change(change: Change, path: str) -> bool:
    return change is not Change.deleted and path.rpartition("/")[2].startswith(ACCOUNT)
