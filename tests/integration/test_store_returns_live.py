"""Two programs, a real Redis that goes and returns, and an Amazon that kills each refresh token that it replaces."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import pytest

from proxy.config.model.redis_address import parse_redis_address
from proxy.secret import Secret
from proxy.tokens.sealing import make_cipher
from proxy.tokens.spill import Spill
from tests.integration.test_fleet_live import LIFETIME, Fleet, serves
from tests.support.redis_server import KEY, RedisServer, redis_server
from tests.support.running import Serving, SimulatedAmazon, simulated_amazon

pytestmark = pytest.mark.integration

HOUR = 3600.0
Change = Callable[[RedisServer], object]


@pytest.fixture(scope="module")
def simulator() -> Iterator[SimulatedAmazon]:
    with simulated_amazon("--access-token-lifetime", str(LIFETIME), "--rotation", "at_once") as started:
        yield started


@pytest.fixture
def fleet(amazon: SimulatedAmazon, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Fleet]:
    """A fleet of replicas whose user has a home of its own."""
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


def until_no_token_is_due(fleet: Fleet, many: Callable[[Iterable[object]], bool]) -> None:
    """Wait until `any` or `all` of the replicas have a newer token, which lives for an hour: the answer to a token
    request that a kill interrupts is lost."""
    fleet.amazon.control("settings", {"access_token_lifetime": HOUR})
    fleet.replicas[0].until(lambda: many(expires_at(replica) > time.time() + HOUR / 2 for replica in fleet.replicas))


def expires_at(replica: Serving) -> float:
    return replica.metric("token_expiry_timestamp_seconds")


def copied_at(copies: Path, server: RedisServer) -> float:
    """When the refresh token came that this machine has a copy of."""
    spill = Spill.open(str(copies), make_cipher((Secret(KEY),)), str(parse_redis_address(server.url)))
    copy = spill.copy_of("acme")
    return copy.saved_at if copy is not None else 0.0


@pytest.mark.parametrize("fault", FAULTS)
def test_a_login_survives_the_store_and_every_replica(
    fleet: Fleet, server: RedisServer, tmp_path: Path, fault: str
) -> None:
    """The login's token is replaced while the store is away. All replicas are killed when it is back; the next ones
    serve."""
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
    until_no_token_is_due(fleet, any)  # the other one's refresh token was replaced
    holder.until(lambda: copied_at(copies, server) > max(map(expires_at, fleet.replicas)) - HOUR - 1)
    repair(server)
    fleet.kill_all()
    for _ in range(2):
        fleet.start(server.url, account)
    for replica in fleet.replicas:
        replica.until(lambda replica=replica: serves(replica))
        replica.until(lambda replica=replica: replica.metric("state_degraded") == 0)
    fleet.replicas[0].until(lambda: not list(copies.glob("spilled-*")))


def test_a_store_that_is_healthy_again_has_every_token(fleet: Fleet, server: RedisServer, tmp_path: Path) -> None:
    """A replica killed after `state_degraded` fell to 0 loses nothing, also without its copies."""
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
    until_no_token_is_due(fleet, all)
    fleet.kill_all()
    (tmp_path / "home").rename(tmp_path / "lost")
    young = fleet.start(server.url, account)
    young.until(lambda: serves(young))
