"""The lease of a named report at a real Redis, on virtual time: one replica has it, for as long as it lives."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from proxy.errors import StateUnavailable
from proxy.reports.runner import LeaseFormat
from proxy.secret import Secret
from proxy.tokens.leases import Lease, LeaseRequest, Urgency
from proxy.tokens.redis_connection import PATIENCE
from proxy.tokens.redis_store import LEASE, RENEWAL, RedisLeases
from proxy.tokens.sealing import make_cipher
from tests.support.fleet import VirtualConnection
from tests.support.redis_server import KEY, RedisServer
from tests.support.tokens import virtual_time

REQUEST = LeaseRequest("main", "sp-daily", "", "", 0)
RUN = 900.0
"""Seconds of a run, in which the lease is renewed hundreds of times."""


class LossyConnection(VirtualConnection):
    """While it is `silent`, nothing reaches the server, and nothing tells so before the time is over."""

    silent = False

    async def run(self, script: str, keys: tuple[str, ...], *arguments: str | bytes | float) -> Any:
        if self.silent:
            await asyncio.sleep(2 * PATIENCE)
            raise StateUnavailable("The state store did not answer.")
        return await super().run(script, keys, *arguments)


class ReplicaLease:
    """One replica that wants the lease, and what it got."""

    def __init__(self, server: RedisServer) -> None:
        self.connection = LossyConnection(server)
        self._leases = RedisLeases(self.connection, make_cipher((Secret(KEY),)), LeaseFormat())
        self.lease: Lease[None] | None = None

    async def hold(self) -> None:
        async with self._leases.lease(REQUEST, Urgency.PLANNED) as self.lease:
            await asyncio.Event().wait()


@asynccontextmanager
async def two_replicas(server: RedisServer) -> AsyncIterator[tuple[ReplicaLease, ReplicaLease, asyncio.Task[None]]]:
    """The first has the lease, the second waits; and the task of the first."""
    server.client.flushall()
    one, two = ReplicaLease(server), ReplicaLease(server)
    tasks = [asyncio.create_task(one.hold())]
    await asyncio.sleep(0.1)
    tasks.append(asyncio.create_task(two.hold()))
    try:
        yield one, two, tasks[0]
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        await one.connection.close()
        await two.connection.close()


@virtual_time
async def test_a_long_run_keeps_the_lease(server: RedisServer) -> None:
    async with two_replicas(server) as (one, two, _):
        await asyncio.sleep(RUN)
        assert one.lease is not None
        assert (one.lease.lost.is_set(), two.lease) == (False, None)


@virtual_time
async def test_the_server_forgets_no_lease_that_is_renewed(server: RedisServer) -> None:
    """The server keeps a lease for two days from the last renewal, however old the lease is."""
    async with two_replicas(server) as (one, _, _):
        [key] = server.client.keys("*named-report:*")
        server.client.pexpire(key, 3_600_000)  # as if it had been granted almost two days ago
        await asyncio.sleep(2 * RENEWAL)
        assert server.client.pttl(key) > 3_600_000
        assert one.lease is not None
        assert not one.lease.lost.is_set()


@virtual_time
async def test_who_ends_hands_it_over(server: RedisServer) -> None:
    async with two_replicas(server) as (_, two, holding):
        holding.cancel()
        await asyncio.sleep(LEASE)
        assert two.lease is not None
        assert not two.lease.lost.is_set()


@pytest.mark.parametrize("how", ["cut", "silent"])
@virtual_time
async def test_who_cannot_renew_it_knows_that_it_is_lost(server: RedisServer, how: str) -> None:
    """Before another one has it, also where the network says nothing for longer than the lease holds."""
    async with two_replicas(server) as (one, two, _):
        setattr(one.connection, how, True)
        assert one.lease is not None
        await one.lease.lost.wait()
        assert two.lease is None
        while two.lease is None:
            await asyncio.sleep(0.05)
