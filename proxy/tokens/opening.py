"""Which store a `state.url` means, and opening it; `keys rotate-state` works on it without opening.

Every mistake in the address or the keys is a `StateError` that says what to write instead.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from proxy.errors import StateError
from proxy.secret import Secret
from proxy.value_classes import dataclass

if TYPE_CHECKING:
    from proxy.tokens.redis_store import RedisStore
    from proxy.tokens.store import Store


@dataclass(frozen=True, slots=True)
class SharedSettings:
    """What a store on a server needs in addition to its address and keys."""

    max_connections: int
    spill: SpillDirectory | None = None


@dataclass(frozen=True, slots=True)
class SpillDirectory:
    """The directory for copies of what a shared store cannot take. One that is not `required` need not be usable."""

    directory: str
    required: bool


def open_store(
    url: str | Secret, key: Secret | tuple[Secret, ...] | None = None, shared: SharedSettings | None = None
) -> Store:
    """The store for `memory:`, `file:DIR` or `redis://`. Of several keys the first encrypts and all decrypt.

    Blocks briefly; a server is not asked before something is read or written.
    """
    if isinstance(url, Secret):
        return _open_redis(url.reveal(), keys_of(key), shared)
    if url.rstrip("/") == "memory:":
        from proxy.tokens.store import MemoryStore

        return MemoryStore()
    if url.startswith("file:"):
        from proxy.tokens.file_store import FileStore

        return FileStore.open(directory_of(url), keys_of(key))
    if url.startswith("redis"):
        return _open_redis(url, keys_of(key), shared)
    raise StateError(f"state.url: {url!r} is neither memory: nor file:DIR.")


def check_before_start(
    url: str | Secret, key: Secret | tuple[Secret, ...] | None = None, shared: SharedSettings | None = None
) -> None:
    """Raise the `StateError` that `open_store` would, but make and change nothing. Blocks; asks no server."""
    if isinstance(url, Secret) or not url.startswith("file:"):
        open_store(url, key, None)
        spill = shared.spill if isinstance(url, Secret) and shared is not None else None
        if spill is not None and spill.required:
            from proxy.tokens.spill import Spill

            try:
                Spill.check_before_start(spill.directory)
            except StateError as error:
                raise StateError(f"state.spill: {error}") from None
        return
    from proxy.tokens.file_store import FileStore

    FileStore.check_before_start(directory_of(url), keys_of(key))


def shown_url(url: str | Secret) -> str:
    """A store's address without its password."""
    if not isinstance(url, Secret):
        return url
    from proxy.config.model.redis_address import parse_redis_address

    return str(parse_redis_address(url.reveal()))


async def _rotate_redis(store: RedisStore) -> int:
    try:
        return await store.rotate()
    finally:
        await store.close()


def _open_redis(url: str, keys: tuple[Secret, ...], shared: SharedSettings | None = None) -> RedisStore:
    from proxy.config.model.expected import WrongValue
    from proxy.config.model.redis_address import parse_redis_address

    try:
        address = parse_redis_address(url)
    except WrongValue as error:
        raise StateError(f"state.url: {error}.") from None
    if not keys:
        raise StateError("state.key is not set: Redis keeps tokens encrypted with it; make one: openssl rand -hex 32")
    from proxy.tokens.redis_connection import RedisConnection
    from proxy.tokens.redis_store import RedisStore

    connection = RedisConnection(address, shared.max_connections) if shared is not None else RedisConnection(address)
    store = RedisStore(connection, keys)
    if shared is not None and shared.spill is not None:
        from proxy.tokens.spill import Spill

        try:
            store.spill = Spill.open(shared.spill.directory, store.cipher, str(address))
        except StateError as error:
            if shared.spill.required:
                raise StateError(f"state.spill: {error}") from None
            store.spill_problem = f"While the state store is away, refresh tokens have no copy on this machine: {error}"
    return store


def rotate_keys(url: str | Secret, key: Secret | tuple[Secret, ...] | None) -> int:
    """Encrypts everything again with the first of the keys; returns the number of accounts or files. Blocks."""
    if isinstance(url, Secret):
        return asyncio.run(_rotate_redis(_open_redis(url.reveal(), keys_of(key))))
    if not url.startswith("file:"):
        raise StateError("state.url: memory: has no keys to rotate; use file: or redis:.")
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
        raise StateError("state.url: file: has no directory; write file:DIR.")
    return path


def keys_of(key: Secret | tuple[Secret, ...] | None) -> tuple[Secret, ...]:
    """All keys, the one that encrypts first."""
    if key is None:
        return ()
    return key if isinstance(key, tuple) else (key,)
