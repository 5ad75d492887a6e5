"""Two programs, a real Redis that goes and returns, and an Amazon that kills each refresh token that it replaces."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.integration.test_fleet_live import LIFETIME, Fleet, serves
from tests.support.redis_server import RedisServer, redis_server
from tests.support.running import SimulatedAmazon, simulated_amazon

pytestmark = pytest.mark.integration

Change = Callable[[RedisServer], object]


@pytest.fixture(scope="module")
def simulator() -> Iterator[SimulatedAmazon]:
    with simulated_amazon("--access-token-lifetime", str(LIFETIME), "--rotation", "at_once") as started:
        yield started


@pytest.fixture
def fleet(amazon: SimulatedAmazon, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Fleet]:
    """Of replicas whose user has a home of its own."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "home"))
    fleet = Fleet(amazon, tmp_path)
    yield fleet
    fleet.end()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RedisServer]:
    with redis_server(tmp_path) as started:
        yield started


def read_only(server: RedisServer) -> None:
    server.client.replicaof("127.0.0.1", "1")


def writable(server: RedisServer) -> None:
    server.client.replicaof("NO", "ONE")


FAULTS: dict[str, tuple[Change, Change]] = {
    "killed-and-empty": (RedisServer.kill, RedisServer.restart),
    "frozen": (
        lambda server: server.process.signal(signal.SIGSTOP),
        lambda server: server.process.signal(signal.SIGCONT),
    ),
    "read-only": (read_only, writable),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_login_survives_the_store_and_every_replica(
    fleet: Fleet, server: RedisServer, tmp_path: Path, fault: str
) -> None:
    """Its token is replaced while the store is away. All replicas are killed when it is back; the next ones serve."""
    account = {"acme": fleet.amazon.account()}
    for _ in range(2):
        fleet.start(server.url, account)
    for replica in fleet.replicas:
        replica.until(lambda replica=replica: serves(replica))
    spoil, repair = FAULTS[fault]
    spoil(server)
    copies = tmp_path / "home" / "ads-proxy-spill"
    holder = fleet.replicas[0]
    holder.until(lambda: any(replica.metric("token_unpersisted") for replica in fleet.replicas))
    written = holder.until(lambda: {path: path.stat().st_mtime_ns for path in copies.glob("spilled-*")})
    # Long before the next token request: of one that a kill interrupts, nobody receives the answer.
    holder.until(lambda: any(path.stat().st_mtime_ns != moment for path, moment in written.items()))
    repair(server)
    fleet.kill_all()
    for _ in range(2):
        fleet.start(server.url, account)
    for replica in fleet.replicas:
        replica.until(lambda replica=replica: serves(replica))
        replica.until(lambda replica=replica: replica.metric("state_degraded") == 0)
    fleet.replicas[0].until(lambda: not list(copies.glob("spilled-*")))


def test_a_store_that_is_healthy_again_has_every_token(fleet: Fleet, server: RedisServer, tmp_path: Path) -> None:
    """Whoever is killed after `state_degraded` fell to 0 loses nothing, also without its copies."""
    account = {"acme": fleet.amazon.account()}
    for _ in range(2):
        fleet.start(server.url, account)
    for replica in fleet.replicas:
        replica.until(lambda replica=replica: serves(replica))
    server.kill()
    fleet.replicas[0].until(lambda: any(replica.metric("token_unpersisted") for replica in fleet.replicas))
    server.restart()
    for replica in fleet.replicas:
        replica.until(lambda replica=replica: replica.metric("state_degraded") == 0)
    fleet.until_token_is_shared()
    fleet.kill_all()
    (tmp_path / "home").rename(tmp_path / "lost")
    young = fleet.start(server.url, account)
    young.until(lambda: serves(young))
