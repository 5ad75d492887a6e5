"""The counts of a day that the replicas of a fleet share in Redis or Valkey. See `day_counts`.

Each day of a name is a hash. It has the total, and of each replica its share and the number of its last step. A step is
one script: it puts the replica's share as the replica knows it, and decides about its requests. The steps of a replica
follow one another, so what the replica knows of its share is exact. A step that arrives after a later one does nothing.

A store that lost data lacks shares until their replicas have told them again. A loss shows in two ways: the mark since
when the server counts is gone with everything else, or the number of a replica's last step is an older one. A replica
that had trouble with the store cannot know whether it lost data, so after each trouble it calls the roll (`restore`,
called by `RedisStore.changes`): every replica that hears it tells its shares again, and then answers it (`hear`). It
grants again `GATHERING` seconds later, if all replicas have answered that it knew before the trouble or that are there
now. Otherwise, and for a replica that came after a loss and knows of no others, requests with a limit get no grant for
`SETTLING` seconds, in which the slowest replica learns of the loss by itself.

What only replicas that have ended knew is lost with the store's data, so the store must keep these:
docs/how-to/share-state.md says how.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from proxy.errors import StateError, StateUnavailable
from proxy.tokens import redis_scripts as scripts
from proxy.tokens.day_counts import KEPT, CountAnswer, CountedDay, CountRequest, CountsUnsettled, oldest_day
from proxy.tokens.redis_connection import NEWS, ROSTER
from proxy.tokens.sealing import UNREADABLE, decode_document, digest, encode_document

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from cryptography.fernet import MultiFernet

    from proxy.tokens.redis_connection import RedisConnection

SETTLING: Final = 6.0
"""Seconds after a loss in which the replicas tell their shares again. The slowest one learns of
it when its read of news fails (`BLOCK` and twice `PATIENCE` of `redis_connection`), and then probes the server."""
GATHERING: Final = 0.5
"""Seconds for which a replica waits after trouble at least: longer than the pause between two probes of a server that
is away, so that a replica that had only just come is heard too."""
_STATE: Final = "counting"
_ANSWERS: Final = "roll"
_DAYS: Final = "counts:"


class RedisCounts:
    """Implements `DayCounts`. `wall` is the clock that days are forgotten by."""

    def __init__(self, connection: RedisConnection, cipher: MultiFernet, wall: Callable[[], float] = time.time) -> None:
        self._connection, self._cipher, self._wall = connection, cipher, wall
        self._shares: dict[CountedDay, tuple[dict[str, int], int]] = {}
        """What this replica has counted, and the number of the step after which the store had that."""
        self._steps = 0
        self._stepping = asyncio.Lock()
        self._joined = self._lost = False
        """Whether the roll was called at least once, and whether it must be called because the store lost data."""
        self._knows_at = 0.0
        """From when on this replica knows all who count, on the event loop's clock: until then the store that it joined
        may have lost shares of others."""
        self._settled_at = self._gathered_at = 0.0
        """When this replica grants again after trouble with the store, at the latest and at the earliest."""
        self._roll = 0
        """This replica's last roll call; 0 if its end is not waited for."""
        self._peers: frozenset[str] = frozenset()
        """Who must answer it."""
        self._is_complete = True
        """Whether all of them did."""

    def __repr__(self) -> str:
        return f"<RedisCounts of {len(self._shares)} days, {self._steps} steps>"

    @property
    def unsettled(self) -> float:
        """Seconds until every replica has noticed trouble with the store for certain."""
        return max(0.0, self._settled_at - asyncio.get_running_loop().time())

    async def take(self, requests: Sequence[CountRequest]) -> list[CountAnswer | StateError]:
        by_day: dict[CountedDay, list[CountRequest]] = {}
        for request in requests:
            by_day.setdefault(request.key, []).append(request)
        async with self._stepping:
            self._forget()
            steps = [self._step(key, asked) for key, asked in by_day.items()]
            found = dict(zip(by_day, map(iter, await asyncio.gather(*steps)), strict=True))
            if self._lost:
                with contextlib.suppress(StateError):
                    await self._call_roll()
        return [next(found[request.key]) for request in requests]

    async def totals(self) -> dict[CountedDay, dict[str, int]]:
        found: dict[CountedDay, dict[str, int]] = {}
        for name in await self._connection.names(f"{_DAYS}*"):
            of, total = await self._connection.command("HMGET", self._connection.key(name), "of", "total")
            if of is not None and (key := self._open(name, of)) is not None:
                found[key] = _read(total)
        return found

    async def restore(self) -> None:
        """Tell the store all shares, and have all replicas do so: it may have lost them. Raises `StateError`."""
        async with self._stepping:
            await self._call_roll()

    async def hear(self, called: str) -> None:
        """Answer the roll call in a piece of news. Raises `StateError`."""
        number, _, replica = called.partition(" ")
        if replica == self._connection.id or not number.isdecimal():
            return
        self._connection.meet(replica)
        async with self._stepping:
            await self._answer_roll(int(number))

    def doubt(self) -> None:
        """There was trouble with the store: no request with a limit passes until the roll was called and answered."""
        if not self._joined:
            return
        now = asyncio.get_running_loop().time()
        # Whom an earlier call waits for, which trouble cut short, is still to be waited for.
        is_cut_short = now < self._settled_at and not self._is_complete
        self._peers = self._connection.peers | (self._peers if is_cut_short else frozenset())
        self._roll, self._is_complete = 0, False
        self._settled_at, self._gathered_at = now + SETTLING, now + GATHERING

    async def _call_roll(self) -> None:
        now = asyncio.get_running_loop().time()
        self._forget()
        self.doubt()
        keys = (_STATE, NEWS, ROSTER)
        roll, intact, *there = await self._connection.run(scripts.CALL_ROLL, keys, self._connection.id)
        if not self._joined:
            self._knows_at = now + SETTLING - int(intact) / 1000
        elif now >= self._knows_at:
            self._roll, self._peers = int(roll), self._peers | frozenset(id_.decode() for id_ in there)
        self._joined, self._lost = True, False
        await self._answer_roll(int(roll))

    async def _answer_roll(self, number: int) -> None:
        self._forget()
        for key in tuple(self._shares):
            await self._run(key, ())
        await self._connection.run(scripts.ANSWER_ROLL, (_ANSWERS,), self._connection.id, number)

    async def _step(self, key: CountedDay, requests: Sequence[CountRequest]) -> list[CountAnswer | StateError]:
        try:
            return await self._run(key, requests)
        except StateError as error:
            return [error for _ in requests]

    async def _run(self, key: CountedDay, requests: Sequence[CountRequest]) -> list[CountAnswer | StateError]:
        """Run the script once. Raises `StateError`; then the store may have counted or not."""
        self._steps = step = self._steps + 1
        share, last = self._shares.get(key, ({}, 0))
        now = asyncio.get_running_loop().time()
        wait = 0.0 if self._is_complete else max(0.0, self._settled_at - now)
        roll, peers = self._roll if now >= self._gathered_at else 0, self._peers - {self._connection.id}
        words: list[str | bytes | float] = [self._connection.id, step, last, int(SETTLING * 1000), self._life(key)]
        words += [self._seal(key), _write(share), int(wait * 1000), roll, " ".join(peers)]
        for request in requests:
            words += [_write(request.change), _write(request.limits)]
        told = await self._connection.run(scripts.COUNT, (_key(key), _STATE, _ANSWERS), *words)
        if not told:
            raise StateUnavailable("A step of counting was sent twice; the next one corrects the counts.")
        share_now, left, *outcomes = told
        self._shares[key] = _read(share_now), step
        unsettled = CountsUnsettled(self._note_left(int(left) / 1000, now, was_waiting=wait > 0))
        answers: list[CountAnswer | StateError] = []
        for outcome, before in zip(outcomes[::2], outcomes[1::2], strict=True):
            answers.append(unsettled if outcome == b"waits" else CountAnswer(outcome == b"granted", _read(before)))
        return answers

    def _note_left(self, left: float, now: float, *, was_waiting: bool) -> float:
        """Note how long the store says that no request passes. Returns after how long another attempt is worth it."""
        if left <= 0:
            self._is_complete = True
        elif not was_waiting and now >= self._knows_at:
            self._lost = True  # another replica noticed it, or the store did now
        can_be_sooner = self._lost or self._roll > 0
        return min(left, max(GATHERING, self._gathered_at - now)) if can_be_sooner else left

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
