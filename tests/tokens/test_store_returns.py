"""A shared store that is away for a while and returns, before an Amazon that kills each refresh token it replaces."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from proxy.events import TokenUnpersisted
from proxy.secret import Secret
from proxy.tokens.redis_store import RedisStore
from proxy.tokens.sealing import make_cipher
from proxy.tokens.spill import Spill
from proxy.tokens.store import StoredToken
from tests.support.fleet import Replica, StrictLogin, VirtualConnection
from tests.support.redis_server import KEY, RedisServer, one_engine
from tests.support.tokens import source, virtual_time

kept_server = one_engine

LIFE = 20.0
"""Seconds that an access token lives. It is renewed after 14 or 15 of them, so that each outage meets a renewal."""
ACCOUNTS = ("acme", "beta", "gamma")
SOURCES = tuple(source(name, f"{name}-0") for name in ACCOUNTS)


class DirectSpill(Spill):
    """Changes its files at once: virtual time knows no threads. After `kill` it changes none."""

    killed = False

    async def _change(self, change: Callable[[str, StoredToken], None], account: str, entry: StoredToken) -> None:
        if not self.killed:
            change(account, entry)


class Machine:
    """Where a replica runs: it may be killed and started again, and finds its copies then."""

    def __init__(self, server: RedisServer, login: StrictLogin, directory: Path | None) -> None:
        self.server, self.login, self.directory = server, login, directory
        self.replica = self._make()

    def _make(self) -> Replica:
        replica = Replica(self.server, self.login)
        assert isinstance(replica.store, RedisStore)
        if self.directory is not None:
            replica.store.spill = DirectSpill.open(str(self.directory), make_cipher((Secret(KEY),)), "redis://test/0")
        return replica

    @property
    def connection(self) -> VirtualConnection:
        return self.replica.connection

    async def kill(self) -> None:
        assert isinstance(self.replica.store, RedisStore)
        if isinstance(self.replica.store.spill, DirectSpill):
            self.replica.store.spill.killed = True
        await self.replica.kill()

    async def start_again(self, *, cut: bool = False) -> None:
        self.replica = self._make()
        self.connection.cut = cut
        await self.replica.manager.start(SOURCES)

    def unsound(self) -> list[str]:
        """The accounts that do not serve, or are not valid."""
        found = {status.account for status in self.replica.manager.statuses() if status.state != "valid"}
        return sorted(found | {name for name in ACCOUNTS if not self.replica.serves(name)})


@asynccontextmanager
async def two_machines(
    server: RedisServer, directory: Path | None
) -> AsyncIterator[tuple[StrictLogin, tuple[Machine, Machine]]]:
    server.client.flushall()
    Replica.made = 0
    login = StrictLogin(LIFE)
    folders = (directory / "one", directory / "other") if directory is not None else (None, None)
    machines = Machine(server, login, folders[0]), Machine(server, login, folders[1])
    for machine in machines:
        await machine.replica.manager.start(SOURCES)
    await asyncio.sleep(10)
    assert [machine.unsound() for machine in machines] == [[], []]
    try:
        yield login, machines
    finally:
        for machine in machines:
            await machine.kill()


async def until(true: Callable[[], bool], seconds: float) -> None:
    """Waits for it, at most so long on virtual time."""
    async with asyncio.timeout(seconds):
        while not true():
            await asyncio.sleep(0.05)


def nothing(server: RedisServer) -> None:
    """The server keeps its data."""


def emptied(server: RedisServer) -> None:
    server.client.flushall()


@pytest.mark.parametrize("seconds", [5, 22, 60])
@virtual_time
async def test_what_only_memory_holds_is_written_within_a_second(server: RedisServer, seconds: float) -> None:
    """However long the store was away, and without a copy on disk: who dies a second later loses nothing."""
    async with two_machines(server, None) as (_, machines):
        for machine in machines:
            machine.connection.cut = True
        await asyncio.sleep(seconds)
        told = [event for machine in machines for event in machine.replica.events.of(TokenUnpersisted)]
        assert {event.account for event in told if event.unpersisted} == set(ACCOUNTS)
        for machine in machines:
            machine.connection.cut = False
        await asyncio.sleep(1)
        for machine in machines:
            assert not any(status.unpersisted for status in machine.replica.manager.statuses())
            await machine.kill()
        await machines[0].start_again()
        await until(lambda: machines[0].unsound() == [], 5)


@dataclass(frozen=True)
class Fault:
    """Which of two machines are cut off from the server, for how long, and what the server has lost when it returns."""

    cut: tuple[int, ...]
    seconds: float
    loses: Callable[[RedisServer], None]


FAULTS = {
    "one-cut": ((0,), nothing),
    "away": ((0, 1), nothing),
    "emptied": ((0, 1), emptied),
}


@pytest.fixture(params=FAULTS)
def fault(request: pytest.FixtureRequest, seconds: float) -> Fault:
    cut, loses = FAULTS[request.param]
    return Fault(cut, seconds, loses)


@pytest.mark.parametrize(
    "victims",
    [
        pytest.param((0,), id="one", marks=pytest.mark.integration),
        pytest.param((1,), id="other", marks=pytest.mark.integration),
        pytest.param((0, 1), id="both"),
    ],
)
@pytest.mark.parametrize(
    "seconds", [pytest.param(5, marks=pytest.mark.integration), 22, pytest.param(60, marks=pytest.mark.integration)]
)
@virtual_time
async def test_no_login_is_lost(server: RedisServer, tmp_path: Path, fault: Fault, victims: tuple[int, ...]) -> None:
    """Whichever replica is killed, and when: all accounts are served within five seconds after the restart, and for
    good."""
    for moment in (0.0, 0.3, 1.0, 2.5):
        await survive(server, tmp_path / str(moment), fault, victims, moment)


async def survive(server: RedisServer, directory: Path, fault: Fault, victims: tuple[int, ...], moment: float) -> None:
    async with two_machines(server, directory) as (login, machines):
        for place in fault.cut:
            machines[place].connection.cut = True
        await asyncio.sleep(fault.seconds)
        fault.loses(server)
        for place in fault.cut:
            machines[place].connection.cut = False
        await asyncio.sleep(moment)
        await until(lambda: login.under_way == 0, 1)
        await asyncio.sleep(0.01)  # an answer of this moment is written
        for place in victims:
            await machines[place].kill()
        for place in victims:
            await machines[place].start_again()
        await until(lambda: all(machine.unsound() == [] for machine in machines), 5)
        await asyncio.sleep(2 * LIFE)
        assert [machine.unsound() for machine in machines] == [[], []]


@pytest.mark.parametrize("renewals", [1, 2, 3])
@virtual_time
async def test_no_login_is_lost_while_the_store_is_away(server: RedisServer, tmp_path: Path, renewals: int) -> None:
    """However often Amazon replaced the refresh tokens by then: the last ones are on disk at once."""
    async with two_machines(server, tmp_path) as (login, (machine, other)):
        await other.kill()
        machine.connection.cut = True
        wanted = {name: login.alive[name] + renewals for name in ACCOUNTS}
        await until(lambda: login.alive == wanted and login.under_way == 0, (renewals + 1) * LIFE)
        await machine.kill()
        await machine.start_again(cut=True)
        await until(lambda: machine.unsound() == [], 5)


@pytest.mark.parametrize("victim", [0, 1])
@virtual_time
async def test_a_server_that_loses_its_data_unnoticed_gets_it_back(server: RedisServer, victim: int) -> None:
    """No connection breaks, and one replica starts again at once: the other one writes what it holds."""
    async with two_machines(server, None) as (_, machines):
        await asyncio.sleep(LIFE)
        emptied(server)
        await machines[victim].kill()
        await machines[victim].start_again()
        await until(lambda: all(machine.unsound() == [] for machine in machines), 5)


@virtual_time
async def test_a_server_that_comes_back_with_older_data_gets_the_newest(server: RedisServer) -> None:
    """After a failover to a standby without the last writes, all replicas may start again."""
    async with two_machines(server, None) as (login, machines):
        [*keys] = server.client.keys("*account:*")
        older = {key: server.client.dump(key) for key in keys}
        before = dict(login.alive)
        await until(lambda: login.under_way == 0 and all(login.alive[name] > before[name] for name in ACCOUNTS), LIFE)
        await asyncio.sleep(1)
        for machine in machines:
            machine.connection.cut = True
        await asyncio.sleep(1)
        for key, content in older.items():
            server.client.restore(key, 0, content, replace=True)
        for machine in machines:
            machine.connection.cut = False
        await asyncio.sleep(2)
        await until(lambda: login.under_way == 0, 1)
        await asyncio.sleep(0.01)
        for machine in machines:
            await machine.kill()
        for machine in machines:
            await machine.start_again()
        await until(lambda: all(machine.unsound() == [] for machine in machines), 5)
