"""How many connections to a store a replica has: a limit, and no idle ones for long."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from redis import exceptions

from proxy.config.model.redis_address import parse_redis_address
from proxy.errors import StateUnavailable
from proxy.tokens import redis_connection
from proxy.tokens.redis_connection import ClusterClient, ConnectionUse, RedisConnection
from tests.support.patience import PATIENCE
from tests.support.redis_server import RedisServer
from tests.support.tokens import virtual_time


@pytest.fixture
async def connection(server: RedisServer) -> AsyncIterator[RedisConnection]:
    opened = RedisConnection(parse_redis_address(server.url), 8)
    yield opened
    await opened.close()


def opened(server: RedisServer) -> int:
    """Connections to the server, that of this test apart."""
    return len(server.client.client_list()) - 1


async def settle(server: RedisServer, count: int) -> None:
    """Wait until the server has so many connections; it notices the end of one a moment later."""
    async with asyncio.timeout(PATIENCE):
        while opened(server) != count:
            await asyncio.sleep(0.02)


async def test_a_burst_of_commands_keeps_within_the_limit(server: RedisServer, connection: RedisConnection) -> None:
    """Three of the connections are for news and the pulse; the commands wait for each other, and none fails."""
    await asyncio.gather(*(connection.command("SET", connection.key(f"k{number}"), number) for number in range(200)))
    assert 2 <= opened(server) <= 5
    assert len(await connection.names("k*")) == 200


async def test_what_a_burst_opened_is_closed(
    server: RedisServer, connection: RedisConnection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a time in which fewer were needed; commands go on."""
    await asyncio.gather(*(connection.command("GET", connection.key("k")) for _ in range(50)))
    await connection.pulse()
    monkeypatch.setattr(redis_connection, "QUIET", 0.0)
    await connection.pulse()
    await settle(server, 0)
    assert await connection.command("PING")
    await settle(server, 1)


async def test_commands_that_wait_for_a_connection_learn_of_trouble(
    server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Waiting commands fail at once, and do not ask a server that is known to be away."""
    monkeypatch.setattr(redis_connection, "PATIENCE", 0.05)
    connection = RedisConnection(parse_redis_address(server.url), 8)
    server.client.client_pause(60_000, all=False)  # of all commands, it would hold back the end of the pause, too
    try:
        outcomes = await asyncio.gather(
            *(connection.command("SET", connection.key("k"), 1) for _ in range(50)), return_exceptions=True
        )
    finally:
        server.client.client_unpause()
        await connection.close()
    assert {str(outcome) for outcome in outcomes} == {str(connection.problem)}


@pytest.mark.parametrize(
    "error",
    [
        AttributeError("'NoneType' object has no attribute 'writelines'"),
        RuntimeError("unable to perform operation on <TCPTransport closed=True>; the handler is closed"),
    ],
    ids=lambda error: type(error).__name__,
)
async def test_a_connection_that_is_closed_while_a_command_is_sent(
    monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    """redis-py and uvloop raise these then. The store cannot be reached, and the task that watches over it goes on."""

    class Closed:
        async def ask(self, *words: object) -> object:
            raise error

        async def close(self) -> None:
            raise error

    monkeypatch.setattr(redis_connection, "open_client", lambda *settings: Closed())
    connection = RedisConnection(parse_redis_address("redis://127.0.0.1:1/0"), 8)
    with pytest.raises(StateUnavailable, match="cannot be reached"):
        await connection.command("PING")
    assert connection.problem is not None
    with pytest.raises(StateUnavailable, match="cannot be reached"):
        await connection.pulse()
    await connection.close()


@virtual_time
async def test_a_server_that_is_away_is_probed_five_times_a_second(monkeypatch: pytest.MonkeyPatch) -> None:
    """The server is probed even while earlier probes still hang."""
    loop, probes = asyncio.get_running_loop(), []

    class Away:
        async def ask(self, *words: object) -> tuple[int, None]:
            probes.append(loop.time())
            if len(probes) < 4:
                await asyncio.sleep(3600)
            return 1, None

        async def close(self) -> None:
            """There is nothing to close."""

    monkeypatch.setattr(redis_connection, "open_client", lambda *settings: Away())
    connection = RedisConnection(parse_redis_address("redis://127.0.0.1:1/0"), 8)
    began = loop.time()
    await connection.returned()
    assert [each - began for each in probes] == pytest.approx([0.0, 0.2, 0.4, 0.6])
    await connection.close()


def test_connections_go_when_a_minute_needed_fewer() -> None:
    """No connection closes while it is in use, nor before the minute is over."""
    use = ConnectionUse()
    for _ in range(9):
        use.begin()
    assert not use.leaves_idle(1000.0)
    for _ in range(9):
        use.end()
    assert not use.leaves_idle(1000.0), "all of them were needed"
    use.begin()
    assert not use.leaves_idle(1061.0)
    use.end()
    assert not use.leaves_idle(1059.0)
    assert use.leaves_idle(1061.0)
    assert not use.leaves_idle(1200.0)


class SlowCluster:
    """What redis-py knows of a cluster. The first command opens it when it `may_open`; the others fail."""

    def __init__(self) -> None:
        self.is_open, self.asked, self.may_open, self.nodes_manager = False, 0, asyncio.Event(), self

    async def initialize(self) -> None:
        self.asked += 1
        if self.asked > 1:
            raise exceptions.ConnectionError
        await self.may_open.wait()
        self.is_open = True

    def get_node_from_key(self, key: str) -> str:
        return key

    async def execute_command(self, *words: str, target_nodes: str) -> str:
        return "PONG"

    async def aclose(self, *_: str) -> None:
        self.is_open = False


async def test_a_cluster_that_failed_is_closed_by_its_last_command() -> None:
    """A command that goes on opens it again: closed by the one that failed, it would stay open for good."""
    made: list[SlowCluster] = []

    def make() -> SlowCluster:
        made.append(SlowCluster())
        return made[-1]

    client = ClusterClient(make, "key")
    slow = asyncio.create_task(client.ask("PING"))
    await asyncio.sleep(0)
    with pytest.raises(exceptions.ConnectionError):
        await client.ask("PING")
    made[0].may_open.set()
    assert await slow == "PONG"
    assert (len(made), made[0].is_open) == (2, False)
    await client.close()
    with pytest.raises(exceptions.ConnectionError, match="closed"):
        await client.ask("PING")
