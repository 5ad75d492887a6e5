"""Three programs before one real Redis and the simulator: who mints, who serves, and what a death costs."""

from __future__ import annotations

import contextlib
import http.client
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml

from tests.integration.test_state_live import allow
from tests.support.processes import ReadyProcess, free_port
from tests.support.redis_server import KEY, RedisServer, redis_server, relay_to
from tests.support.running import Load, Serving, SimulatedAmazon, simulated_amazon

pytestmark = pytest.mark.integration

Disruption = Callable[[RedisServer], object]
LIFETIME = 8
"""Seconds that an access token lives; it is renewed two seconds ahead and a little more."""


LONG = {"access_token_lifetime": 3600}
"""A setting of the simulator for tests that count token requests: none is renewed meanwhile."""


@pytest.fixture(scope="module")
def simulator() -> Iterator[SimulatedAmazon]:
    with simulated_amazon("--access-token-lifetime", str(LIFETIME)) as started:
        yield started


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RedisServer]:
    with redis_server(tmp_path) as started:
        yield started


class Fleet:
    """Replicas with the same accounts, each with an address of the store that may be its own."""

    def __init__(self, amazon: SimulatedAmazon, directory: Path) -> None:
        self.amazon, self.directory = amazon, directory
        self.replicas: list[Serving] = []

    def start(self, url: str, accounts: dict[str, Any] | None = None) -> Serving:
        number = len(list(self.directory.glob("replica-*")))
        state, admin = {"url": url, "key": KEY}, f"127.0.0.1:{free_port()}"
        accounts = accounts or {name: self.amazon.account() for name in ("acme", "other")}
        back = {"redirect_uri": f"http://{admin}/login/callback"}
        settings = self.amazon.configuration(
            accounts={name: {**account, **back} for name, account in accounts.items()},
            admin_listen=admin,
            state=state,
            log={"format": "json"},
        )
        running = Serving(self.directory / f"replica-{number}.yaml", settings)
        self.replicas.append(running)
        return running

    @property
    def mints(self) -> int:
        found: int = self.amazon.counts()["token_by_grant"].get("refresh_token", 0)
        return found

    @property
    def taken_over(self) -> float:
        """How many tokens the replicas got of each other."""
        return sum(replica.metric("tokens_taken_over_total") for replica in self.replicas)

    def generation(self, account: str = "acme") -> int:
        """How many tokens of the account there were at the replica that had most."""
        return max(int(replica.account(account).get("generation", 0)) for replica in self.replicas)

    def end(self) -> None:
        for replica in self.replicas:
            replica.process.end()

    def until_token_is_shared(self) -> None:
        """Wait until all replicas have a newer token: the store has what came with it, and the next one is seconds
        away. A replica that is killed during its token request may lose the refresh token of the answer."""
        before = [int(replica.account("acme").get("generation", 0)) for replica in self.replicas]

        def shared() -> bool:
            now = [int(replica.account("acme").get("generation", 0)) for replica in self.replicas]
            return all(after > first for first, after in zip(before, now, strict=True))

        self.replicas[0].until(shared)

    def kill_all(self) -> None:
        for replica in tuple(self.replicas):
            self.kill(replica)

    def kill(self, replica: Serving) -> None:
        self.replicas.remove(replica)
        replica.process.signal(signal.SIGKILL)
        replica.process.end()


@pytest.fixture
def fleet(amazon: SimulatedAmazon, tmp_path: Path) -> Iterator[Fleet]:
    with contextlib.ExitStack() as ending:
        fleet = Fleet(amazon, tmp_path)
        ending.callback(fleet.end)
        yield fleet


def serves(replica: Serving, account: str = "acme") -> bool:
    return replica.get(f"/@{account}/v2/profiles")[0] == 200


def test_three_replicas_mint_as_one(fleet: Fleet, server: RedisServer) -> None:
    """Each token of each account was asked for once, and all three serve it."""
    for _ in range(3):
        fleet.start(server.url)
    first = fleet.replicas[0]
    first.until(lambda: fleet.generation() >= 4 and fleet.generation("other") >= 4)
    mints = fleet.mints
    first.until(lambda: mints <= fleet.generation() + fleet.generation("other"))
    assert all(serves(replica, account) for replica in fleet.replicas for account in ("acme", "other"))

    def asked() -> float:
        return sum(replica.metric("token_refreshes_total", result="success") for replica in fleet.replicas)

    first.until(lambda: mints <= asked())
    assert asked() <= fleet.mints
    first.until(lambda: all(replica.metric("fleet_replicas") == 3 for replica in fleet.replicas))
    first.until(lambda: fleet.taken_over > asked())


def sign_in(replica: Serving, amazon: SimulatedAmazon) -> None:
    """A person presses Connect in the console of one replica."""
    connection = http.client.HTTPConnection(urlsplit(replica.admin).netloc)
    connection.request("GET", "/login/acme")
    answer = connection.getresponse()
    cookie = str(answer.headers["Set-Cookie"]).partition(";")[0]
    answer.read()
    landing = urlsplit(allow(str(answer.headers["Location"])))
    connection.request("GET", f"{landing.path}?{landing.query}", headers={"Cookie": cookie})
    answer = connection.getresponse()
    assert answer.status < 400, answer.read()
    connection.close()
    assert amazon.counts()["token_by_grant"]["authorization_code"] == 1


def test_a_sign_in_at_one_is_served_by_all(fleet: Fleet, server: RedisServer, amazon: SimulatedAmazon) -> None:
    """All replicas use the access token that it brought, without another token request."""
    amazon.control("settings", LONG)
    account = {key: value for key, value in amazon.account().items() if key != "refresh_token"}
    for _ in range(3):
        fleet.start(server.url, {"acme": account})
    assert [replica.get("/v2/profiles")[0] for replica in fleet.replicas] == [503] * 3
    sign_in(fleet.replicas[0], amazon)
    for replica in fleet.replicas:
        replica.until(lambda replica=replica: serves(replica))
    assert fleet.mints == 0


def test_a_holder_that_is_killed_holds_nobody_up(fleet: Fleet, server: RedisServer, amazon: SimulatedAmazon) -> None:
    """The holder dies with the lease, while Login with Amazon keeps it waiting; the next replica asks."""
    account = {"acme": amazon.account()}
    amazon.control("settings", LONG)
    amazon.fault({"delay": 30}, times=1, target="lwa")
    holder = fleet.start(server.url, account)
    holder.until(lambda: fleet.mints or amazon.counts()["token_requests"])
    others = [fleet.start(server.url, account) for _ in range(2)]
    fleet.kill(holder)
    for replica in others:
        replica.until(lambda replica=replica: serves(replica))
    assert amazon.counts()["token_requests"] == 2


def test_login_with_amazon_in_trouble_is_asked_by_one_at_a_time(
    fleet: Fleet, server: RedisServer, amazon: SimulatedAmazon
) -> None:
    """Three replicas start while it answers 503: together they ask no more often than the pauses of one allow."""
    amazon.control("settings", LONG)
    amazon.fault({"status": 503}, target="lwa")
    began = time.monotonic()
    for _ in range(3):
        fleet.start(server.url, {"acme": amazon.account()})
    fleet.replicas[0].until(lambda: amazon.counts()["token_requests"] >= 5)
    asked, passed = amazon.counts()["token_requests"], time.monotonic() - began
    shortest = [0.25 * 2**number for number in range(16)]
    assert asked <= 1 + max(number for number in range(16) if sum(shortest[:number]) <= passed)
    amazon.heal()
    for replica in fleet.replicas:
        replica.until(lambda replica=replica: serves(replica))
    assert fleet.mints <= 2
    failed = amazon.counts()["token_requests"] - fleet.mints
    fleet.replicas[0].until(
        lambda: (
            sum(replica.metric("token_refreshes_total", reason="server_error") for replica in fleet.replicas) == failed
        )
    )


def test_the_death_of_redis_is_no_tools_business(fleet: Fleet, server: RedisServer) -> None:
    """Through its end and its return, empty, every response is 200, each replica reports it, and they share again."""
    for _ in range(3):
        fleet.start(server.url, {"acme": fleet.amazon.account()})
    for replica in fleet.replicas:
        replica.until(lambda replica=replica: serves(replica) and replica.metric("fleet_replicas") == 3)
    with contextlib.ExitStack() as loads:
        load = [loads.enter_context(Load(replica, workers=1, pause=0.02)) for replica in fleet.replicas]
        server.kill()
        for replica in fleet.replicas:
            replica.until(lambda replica=replica: "cannot be reached" in replica.status()["state"]["trouble"])
            state = replica.status()["state"]
            assert (state["kind"], state["degraded"], replica.metric("state_degraded")) == ("redis", True, 1)
            before = replica.metric("token_refreshes_total", result="success")
            replica.until(
                lambda replica=replica, before=before: (
                    replica.metric("token_refreshes_total", result="success") > before
                )
            )
        server.restart()
        for replica in fleet.replicas:
            replica.until(lambda replica=replica: replica.metric("state_degraded") == 0)
        shared = fleet.taken_over
        fleet.replicas[0].until(lambda: fleet.taken_over >= shared + 2)
    assert all(each.statuses.keys() == {200} and not each.failures for each in load)
    assert all(replica.told("state_store_changed", degraded=True) for replica in fleet.replicas)
    fleet.replicas[0].told("state_store_changed", degraded=False, replicas=3)


def test_a_replica_that_is_cut_off_goes_on_alone(fleet: Fleet, server: RedisServer) -> None:
    """Nothing tells it that the way is cut; the others stay together."""
    with relay_to(server.port) as relay:
        account = {"acme": fleet.amazon.account()}
        cut = fleet.start(f"redis://127.0.0.1:{relay.port}/0", account)
        others = [fleet.start(server.url, account) for _ in range(2)]
        cut.until(lambda: cut.metric("fleet_replicas") == 3)
        relay.swallows = True
        cut.until(lambda: "did not answer" in cut.status()["state"]["trouble"])
        before = cut.metric("token_refreshes_total", result="success")
        cut.until(lambda: cut.metric("token_refreshes_total", result="success") > before)
        assert serves(cut)
        for replica in others:
            replica.until(lambda replica=replica: replica.metric("state_degraded") == 0)
        relay.swallows = False
        cut.until(lambda: cut.metric("state_degraded") == 0)


@pytest.mark.parametrize(
    ("spoil", "repair", "words"),
    [
        (lambda server: server.set("maxmemory", "1"), lambda server: server.set("maxmemory", "0"), "is full"),
        (
            lambda server: server.client.replicaof("127.0.0.1", "1"),
            lambda server: server.client.replicaof("NO", "ONE"),
            "is a read-only replica",
        ),
        (
            lambda server: server.process.signal(signal.SIGSTOP),
            lambda server: server.process.signal(signal.SIGCONT),
            "did not answer within 2 s",
        ),
    ],
    ids=["full", "read-only", "hangs"],
)
def test_a_store_in_trouble_holds_nobody_up(
    fleet: Fleet, server: RedisServer, spoil: Disruption, repair: Disruption, words: str
) -> None:
    """Every answer is 200, each replica says what is wrong and mints for itself, and it ends by itself."""
    account = {"acme": fleet.amazon.account()}
    for _ in range(2):
        fleet.start(server.url, account)
    for replica in fleet.replicas:
        replica.until(lambda replica=replica: serves(replica))
    with contextlib.ExitStack() as loads:
        load = [loads.enter_context(Load(replica, workers=1, pause=0.02)) for replica in fleet.replicas]
        spoil(server)
        for replica in fleet.replicas:
            replica.until(lambda replica=replica: words in replica.status()["state"]["trouble"])
            before = replica.metric("token_refreshes_total", result="success")
            replica.until(
                lambda replica=replica, before=before: (
                    replica.metric("token_refreshes_total", result="success") > before
                )
            )
        repair(server)
        for replica in fleet.replicas:
            replica.until(lambda replica=replica: not replica.status()["state"]["degraded"])
    assert all(each.statuses.keys() == {200} and not each.failures for each in load)


def test_each_replica_killed_in_turn_costs_the_others_nothing(fleet: Fleet, server: RedisServer) -> None:
    """Rolling over the fleet with kill -9: those that live answer 200 all the time."""
    account = {"acme": fleet.amazon.account()}
    for _ in range(3):
        fleet.start(server.url, account)
    for replica in fleet.replicas:
        replica.until(lambda replica=replica: serves(replica))
    for _ in range(3):
        victim = fleet.replicas[0]
        with contextlib.ExitStack() as loads:
            load = [loads.enter_context(Load(other, workers=1, pause=0.02)) for other in fleet.replicas[1:]]
            fleet.kill(victim)
            young = fleet.start(server.url, account)
            young.until(lambda young=young: serves(young))
        assert all(each.statuses.keys() == {200} and not each.failures for each in load)
    assert fleet.replicas[0].until(lambda: fleet.replicas[0].metric("fleet_replicas") == 3)


@pytest.mark.parametrize(
    ("password", "key", "words"),
    [
        ("wrong-canary", KEY, "refused the user or the password"),
        ("the-right-one", "another-canary-of-the-state", "encrypted with another key"),
    ],
)
def test_what_does_not_fit_the_store_ends_the_start(
    fleet: Fleet, tmp_path: Path, password: str, key: str, words: str
) -> None:
    """The start ends with one line that names the mismatch, and not the value that was tried."""
    with redis_server(tmp_path, password="the-right-one") as server:
        running = fleet.start(server.url)
        running.until(lambda: serves(running))
        state = {"url": f"redis://:{password}@127.0.0.1:{server.port}/0", "key": key}
        path = tmp_path / "refused.yaml"
        path.write_text(yaml.safe_dump(fleet.amazon.configuration(state=state)))
        refused = ReadyProcess("proxy", "serve", "--config", path)
        assert refused.wait() == 1
        refused.end()
        assert words in refused.text
        assert not any(secret in refused.text for secret in ("canary", "the-right-one"))
