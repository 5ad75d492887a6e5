"""Counted writes after a real Redis or Valkey was killed: they pass as soon as it has answered and the replicas have
told it their shares, and never more than the limit."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from proxy.config.model.redis_address import parse_redis_address
from proxy.errors import LedgerUnavailable
from proxy.secret import Secret
from proxy.spend.judge import Reservation
from proxy.spend.ledger import DayKey, StoreLedger
from proxy.spend.limits import SpendLimits
from proxy.tokens import redis_counts
from proxy.tokens.redis_connection import PROBE, RedisConnection
from proxy.tokens.redis_counts import GATHERING
from proxy.tokens.redis_store import RedisStore
from tests.support.patience import PATIENCE
from tests.support.redis_server import KEY, RedisServer, redis_server

DAY = DayKey("agent", "2099-01-01")
ONE = Reservation(1, ())
LIMITS = SpendLimits(new_per_day=4)
NEVER = 3600.0


@contextlib.asynccontextmanager
async def replica(server: RedisServer) -> AsyncIterator[StoreLedger]:
    """The ledger of one replica, which follows the store as the program does."""
    store = RedisStore(RedisConnection(parse_redis_address(server.url)), (Secret(KEY),))

    async def follow() -> None:
        async for _ in store.changes():
            pass

    following, ledger = asyncio.create_task(follow()), StoreLedger(store.counts)
    try:
        yield ledger
    finally:
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)
        await ledger.stop()
        await store.close()


async def reserve(ledger: StoreLedger) -> tuple[bool, int]:
    """Whether a create was counted, and how many were before it: as soon as the store takes it."""
    async with asyncio.timeout(PATIENCE):
        while True:
            with contextlib.suppress(LedgerUnavailable):
                is_counted, use = await ledger.reserve(DAY, ONE, LIMITS)
                return is_counted, use.created
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("keeps", [True, False], ids=["with its data", "empty"])
async def test_writes_pass_once_the_store_is_back_and_are_counted_exactly(
    keeps: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The wait for replicas that do not answer would be an hour here, so it is not what ends the trouble."""
    options = ("--appendonly", "yes", "--appendfsync", "always") if keeps else ()
    monkeypatch.setattr(redis_counts, "SETTLING", 0.0)  # the server is new, and would be waited for
    with redis_server(tmp_path, *options) as server:
        async with replica(server) as one, replica(server) as other:
            assert await reserve(one) == (True, 0)
            assert await reserve(other) == (True, 1)
            while server.client.hvals("{ads-proxy}:roll") != [b"2", b"2"]:  # each has called the roll, and heard both
                await asyncio.sleep(0.01)
            monkeypatch.setattr(redis_counts, "SETTLING", NEVER)
            server.kill()
            with pytest.raises(LedgerUnavailable):
                await one.reserve(DAY, ONE, LIMITS)
            await asyncio.to_thread(server.restart)
            assert await reserve(one) == (True, 2)
            assert await reserve(other) == (True, 3)
            assert await reserve(one) == (False, 4)


def test_that_takes_less_than_a_second_from_the_stores_first_answer() -> None:
    """A probe begins at most one pause after it, and then the replicas gather: a quarter of the second is left for what
    they ask of the store."""
    assert PROBE + GATHERING <= 0.75
