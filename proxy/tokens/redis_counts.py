"""The counts of a day that the replicas of a fleet share in Redis or Valkey. See `day_counts`.

Each day of a name is a hash. It has the total, and of each replica its share and the number of its last step. A step is
one script: it puts the replica's share as the replica knows it, and decides about its requests. The steps of a replica
follow one another, so what the replica knows of its share is exact. A step that arrives after a later one does nothing.

A store that lost data lacks shares until their replicas have told them again. A loss shows in two ways: the mark since
when the server counts is gone with everything else, or the number of a replica's last step is an older one. Then
requests with a limit get no grant for `SETTLING` seconds. Meanwhile every replica learns of the loss, and tells its
shares again (`restore`, called by `RedisStore.changes`). A replica that had trouble with the store waits as long before
it grants, as others may have to tell something, too. What only replicas that have ended knew is lost with the store's
data, so the store must keep these: docs/how-to/share-state.md says how.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from proxy.errors import StateError, StateUnavailable
from proxy.tokens import redis_scripts as scripts
from proxy.tokens.day_counts import KEPT, CountAnswer, CountedDay, CountRequest, CountsUnsettled, oldest_day
from proxy.tokens.sealing import UNREADABLE, decode_document, digest, encode_document

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from cryptography.fernet import MultiFernet

    from proxy.tokens.redis_connection import RedisConnection

SETTLING: Final = 6.0
"""Seconds after a loss in which the replicas tell their shares again. The slowest one learns of
it when its read of news fails (`BLOCK` and twice `PATIENCE` of `redis_connection`), and then probes the server."""
_STATE: Final = "counting"
_DAYS: Final = "counts:"


class RedisCounts:
    """Implements `DayCounts`. `wall` is the clock that days are forgotten by."""

    def __init__(self, connection: RedisConnection, cipher: MultiFernet, wall: Callable[[], float] = time.time) -> None:
        self._connection, self._cipher, self._wall = connection, cipher, wall
        self._replica = secrets.token_hex(8)
        self._shares: dict[CountedDay, tuple[dict[str, int], int]] = {}
        """What this replica has counted, and the number of the step after which the store had that."""
        self._steps = 0
        self._stepping = asyncio.Lock()
        self._joined = False
        self._settled_at = 0.0
        """When this replica grants again after trouble with the store, on the event loop's clock."""

    def __repr__(self) -> str:
        return f"<RedisCounts of {len(self._shares)} days, {self._steps} steps>"

    @property
    def unsettled(self) -> float:
        """Seconds until this replica grants again after trouble with the store."""
        return max(0.0, self._settled_at - asyncio.get_running_loop().time())

    async def take(self, requests: Sequence[CountRequest]) -> list[CountAnswer | StateError]:
        by_day: dict[CountedDay, list[CountRequest]] = {}
        for request in requests:
            by_day.setdefault(request.key, []).append(request)
        async with self._stepping:
            self._forget()
            steps = [self._step(key, asked) for key, asked in by_day.items()]
            found = dict(zip(by_day, map(iter, await asyncio.gather(*steps)), strict=True))
        return [next(found[request.key]) for request in requests]

    async def totals(self) -> dict[CountedDay, dict[str, int]]:
        found = {}
        for name in await self._connection.names(f"{_DAYS}*"):
            of, total = await self._connection.command("HMGET", self._connection.key(name), "of", "total")
            if of is not None and (key := self._open(name, of)) is not None:
                found[key] = _read(total)
        return found

    async def restore(self) -> None:
        """Tell the store all shares: it may have lost them. Raises `StateError`."""
        async with self._stepping:
            self._forget()
            if self._joined:
                self._settled_at = asyncio.get_running_loop().time() + SETTLING
            await self._connection.run(scripts.BEGIN_COUNTING, (_STATE,))
            self._joined = True
            for key in tuple(self._shares):
                await self._run(key, ())

    async def _step(self, key: CountedDay, requests: Iterable[CountRequest]) -> list[CountAnswer | StateError]:
        wait = self._settled_at - asyncio.get_running_loop().time()
        counted = [request for request in requests if wait <= 0 or not request.limits]
        try:
            answers = iter(await self._run(key, counted))
        except StateError as error:
            return [error for _ in requests]
        return [next(answers) if wait <= 0 or not request.limits else CountsUnsettled(wait) for request in requests]

    async def _run(self, key: CountedDay, requests: Sequence[CountRequest]) -> list[CountAnswer | StateError]:
        """Run the script once. Raises `StateError`; then the store may have counted or not."""
        self._steps = step = self._steps + 1
        share, last = self._shares.get(key, ({}, 0))
        keys = _key(key), _STATE
        words: list[str | bytes | float] = [self._replica, step, last, int(SETTLING * 1000), self._life(key)]
        words += [self._seal(key), _write(share)]
        for request in requests:
            words += [_write(request.change), _write(request.limits)]
        told = await self._connection.run(scripts.COUNT, keys, *words)
        if not told:
            raise StateUnavailable("A step of counting was sent twice; the next one corrects the counts.")
        share_now, left, *outcomes = told
        self._shares[key] = _read(share_now), step
        answers: list[CountAnswer | StateError] = []
        for outcome, before in zip(outcomes[::2], outcomes[1::2], strict=True):
            waits = outcome == b"waits"
            answers.append(
                CountsUnsettled(int(left) / 1000) if waits else CountAnswer(outcome == b"granted", _read(before))
            )
        return answers

    def _forget(self) -> None:
        oldest = oldest_day(self._wall())
        for key in [key for key in self._shares if key.day < oldest]:
            del self._shares[key]

    def _life(self, key: CountedDay) -> int:
        """Milliseconds until the store forgets a day: a day later than the replicas do, and never at once."""
        ends = datetime.fromisoformat(key.day).replace(tzinfo=UTC) + KEPT + timedelta(days=2)
        return int(max(ends.timestamp() - self._wall(), 3600.0) * 1000)

    def _seal(self, key: CountedDay) -> bytes:
        return self._cipher.encrypt(encode_document(_key(key), list(key)))

    def _open(self, name: str, sealed: bytes) -> CountedDay | None:
        """The day of a hash; None if it cannot be read, or belongs to another one."""
        try:
            of: Any = decode_document(name, self._cipher.decrypt(sealed))
            return CountedDay(*map(str, of)) if of is not None else None
        except UNREADABLE:
            return None


def _key(key: CountedDay) -> str:
    return _DAYS + digest("\0".join(key))


def _write(amounts: Mapping[str, int]) -> str:
    return " ".join(f"{unit}={amount}" for unit, amount in amounts.items())


def _read(text: bytes | None) -> dict[str, int]:
    pairs = (pair.rpartition("=") for pair in (text or b"").decode().split())
    return {unit: int(amount) for unit, _, amount in pairs}
