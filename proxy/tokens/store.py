"""Where refresh tokens are kept between runs: the protocol that every store speaks, and which token wins.

`open_store` picks the store for a `state.url`. What a store does with its bytes is in `memory_store` and
`file_store`; when to write is the manager's business. Small JSON documents are kept beside the tokens for whoever
can live with losing them.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from proxy.errors import StateError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from proxy.secret import Secret

ROTATED = "rotated"
SIGN_IN = "sign-in"


@dataclass(frozen=True, slots=True)
class StoredToken:
    """A refresh token as it is kept. `saved_at` is wall-clock time.

    `source` is `rotated` (it came back in an answer) or `sign-in`. `configured_fingerprint` is `fingerprint` of the
    configured refresh token that was in force when this one was written.
    """

    refresh_token: Secret
    source: str
    configured_fingerprint: str
    saved_at: float


class Store(Protocol):
    """What keeps tokens. Every failure to write or read is a `StateError` that says what to do."""

    @property
    def notes(self) -> tuple[str, ...]:
        """Sentences worth saying at start."""

    async def read(self, account: str) -> StoredToken | None: ...

    async def write(self, account: str, entry: StoredToken) -> None:
        """Returns once the entry would survive the machine losing power, where the store can promise that."""

    async def read_document(self, name: str) -> object | None:
        """What `write_document` kept under this name, or None: a document that cannot be read counts as lost."""

    async def write_document(self, name: str, data: object) -> None:
        """Keeps what `json.dumps` accepts."""

    def changes(self) -> AsyncIterator[None]:
        """Yields at first, and after something may have been written, by this process or another."""

    async def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Choice:
    """The refresh token in force and where it is from: `configuration`, `store`, `sign-in`, or empty for none."""

    refresh_token: Secret | None
    origin: str


def fingerprint(refresh_token: Secret | None) -> str:
    """What is remembered of a configured refresh token to notice that it changed; empty for none."""
    return hashlib.sha256(refresh_token.reveal().encode()).hexdigest() if refresh_token is not None else ""


def choose(configured: Secret | None, stored: StoredToken | None) -> Choice:
    """The stored one, until the configured one changes (docs/tokens.md, Which refresh token is used)."""
    if stored is not None and (configured is None or stored.configured_fingerprint == fingerprint(configured)):
        return Choice(stored.refresh_token, "sign-in" if stored.source == SIGN_IN else "store")
    return Choice(configured, "configuration" if configured is not None else "")


def signed_in(refresh_token: Secret, configured: Secret | None, now: float) -> StoredToken:
    """The entry for a fresh sign-in, which beats the configured token of the day. `now` is wall-clock time."""
    return StoredToken(refresh_token, SIGN_IN, fingerprint(configured), now)


def open_store(url: str, key: Secret | tuple[Secret, ...] | None = None) -> Store:
    """The store for `memory:` or `file:DIR`. Of several keys the first encrypts and all decrypt. Blocks briefly."""
    if url.rstrip("/") == "memory:":
        from proxy.tokens.memory_store import MemoryStore

        return MemoryStore()
    if url.startswith("file:"):
        from proxy.tokens.file_store import FileStore

        return FileStore.open(directory_of(url), keys_of(key))
    if url.startswith(("redis:", "rediss:")):
        raise StateError("state.url: redis:// is not available in this version; use file:DIR or memory:.")
    raise StateError(f"state.url: {url!r} is neither memory: nor file:DIR.")


def rotate_keys(url: str, key: Secret | tuple[Secret, ...] | None) -> int:
    """Encrypts everything anew with the first of the keys, and tells how many files that were. Blocks."""
    if not url.startswith("file:"):
        raise StateError("Only a file: state store has keys to rotate.")
    from proxy.tokens.file_store import FileStore

    return FileStore.rotate(directory_of(url), keys_of(key))


def directory_of(url: str) -> str:
    """The directory of a `file:` URL; `file:///var/x` and `file:/var/x` are the same."""
    path = url.removeprefix("file:")
    if path.startswith("//"):
        host, slash, rest = path[2:].partition("/")
        if host not in ("", "localhost"):
            raise StateError(f"state.url: {url!r} names a host; write file:/DIR.")
        path = slash + rest
    if not path or "\0" in path:
        raise StateError("state.url: file: names no directory; write file:DIR.")
    return path


def keys_of(key: Secret | tuple[Secret, ...] | None) -> tuple[Secret, ...]:
    """All keys, the one that encrypts first."""
    if key is None:
        return ()
    return key if isinstance(key, tuple) else (key,)
