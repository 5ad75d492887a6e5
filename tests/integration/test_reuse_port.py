"""Replicas of one machine on one port (`reuse_port`) and one Valkey: they share clients and logins, and restart under
load."""

from __future__ import annotations

import contextlib
import http.client
import itertools
import socket
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from proxy.value_classes import dataclass
from tests.support.patience import PATIENCE
from tests.support.processes import free_port
from tests.support.ready_program import run_ready
from tests.support.redis_server import KEY, RedisServer, redis_server
from tests.support.running import Serving, SimulatedAmazon, simulated_amazon

pytestmark = pytest.mark.integration

CONNECTIONS_PER_SECOND = 200
CLIENTS = 16


@pytest.fixture
def amazon() -> Iterator[SimulatedAmazon]:
    with simulated_amazon() as started:
        yield started


@pytest.fixture
def store(tmp_path: Path) -> Iterator[RedisServer]:
    (tmp_path / "valkey").mkdir()
    with redis_server(tmp_path / "valkey") as started:
        yield started


def configuration(amazon: SimulatedAmazon, store: RedisServer, listen: str, **changes: Any) -> dict[str, Any]:
    """One replica's: of its own is the admin listener alone."""
    shared = {"listen": listen, "reuse_port": True, "state": {"url": store.url, "key": KEY}}
    return amazon.configuration(**shared, admin_listen=f"127.0.0.1:{free_port()}", **changes)


@contextlib.contextmanager
def fleet(folder: Path, settings: list[dict[str, Any]]) -> Iterator[list[Serving]]:
    """A replica for each of these configurations; a test may restart some."""
    replicas: list[Serving] = []
    try:
        for number, each in enumerate(settings):
            replicas.append(Serving(folder / f"{number}.yaml", each))
            replicas[-1].until_ready()
        yield replicas
    finally:
        for replica in replicas:
            replica.process.end()


def test_two_replicas_share_a_port_and_a_login(amazon: SimulatedAmazon, store: RedisServer, tmp_path: Path) -> None:
    """The system gives each a part of the connections, on both listeners of clients; one token serves both."""
    listen, named = (f"127.0.0.1:{free_port()}" for _ in range(2))
    intercept = {"enabled": True, "ca_dir": str(tmp_path / "ca"), "listen": named}
    settings = [configuration(amazon, store, listen, intercept=intercept) for _ in range(2)]
    with fleet(tmp_path, settings) as replicas:
        assert [each.started["listen"] for each in replicas] == [listen] * 2
        assert [each.started["intercept_listen"] for each in replicas] == [named] * 2
        assert {replicas[0].get("/v2/profiles")[0] for _ in range(60)} == {200}
        for each in replicas:
            each.until(lambda each=each: each.metric("requests_total", code="200") > 0)
        assert sum(each.metric("requests_total", code="200") for each in replicas) == 60
        assert amazon.counts()["token_by_grant"] == {"refresh_token": 1}


def test_a_replica_that_cannot_start_takes_no_connection(
    amazon: SimulatedAmazon, store: RedisServer, tmp_path: Path
) -> None:
    """Its admin listener is another replica's: it says so and ends, and no client of the others notices."""
    settings = configuration(amazon, store, f"127.0.0.1:{free_port()}")
    (tmp_path / "second.yaml").write_text(yaml.safe_dump(settings))
    with fleet(tmp_path, [settings]) as replicas, Asking(settings["listen"]) as asking:
        for _ in range(2):
            refused = run_ready(tmp_path, ("serve", "--config", str(tmp_path / "second.yaml")), {})
            assert refused.returncode == 1
            assert f"admin_listen: {settings['admin_listen']} is in use by another program; " in refused.stderr
        replicas[0].until(lambda: len(asking.answered) > 200)
    assert asking.failures == {}


def test_a_port_of_a_program_that_does_not_share_it_is_refused(
    amazon: SimulatedAmazon, store: RedisServer, tmp_path: Path
) -> None:
    """At the start, and `check` notes it."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        settings = configuration(amazon, store, f"127.0.0.1:{other.getsockname()[1]}")
        (tmp_path / "proxy.yaml").write_text(yaml.safe_dump(settings))
        for command in (("serve",), ("check", "--offline")):
            said = run_ready(tmp_path, (*command, "--config", str(tmp_path / "proxy.yaml")), {})
            assert f"listen: {settings['listen']} is in use by a program without reuse_port" in (
                said.stderr + said.stdout
            )


# --- rolling restarts


@dataclass(slots=True)
class Failure:
    """What became of a request without an answer; `connected` tells that the system had taken its connection."""

    error: str
    connected: bool


class Asking:
    """Clients that open a connection for each request, and never try again. Requests are known by their ids."""

    def __init__(self, netloc: str) -> None:
        self.answered: dict[str, int] = {}
        self.failures: dict[str, Failure] = {}
        self._netloc = netloc
        self._stop, self._changing = threading.Event(), threading.Lock()
        self._numbers, self._began = itertools.count(), time.monotonic()
        self._threads = [threading.Thread(target=self._work, daemon=True) for _ in range(CLIENTS)]

    def __enter__(self) -> Asking:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(PATIENCE)

    def _work(self) -> None:
        while True:
            with self._changing:
                number = next(self._numbers)
            due = self._began + number / CONNECTIONS_PER_SECOND
            if self._stop.wait(max(0.0, due - time.monotonic())):
                return
            self._ask(f"rolling-{number}", writes=number % 2 == 1)

    def _ask(self, name: str, *, writes: bool) -> None:
        connection, connected = http.client.HTTPConnection(self._netloc, timeout=PATIENCE), False
        try:
            connection.connect()
            connected = True
            headers = {"X-Request-Id": name, "Connection": "close"}
            if writes:
                connection.request("POST", "/sim/echo", b"x" * 2000, headers)
            else:
                connection.request("GET", "/v2/profiles", headers=headers)
            answer = connection.getresponse()
            answer.read()
            with self._changing:
                self.answered[name] = answer.status
        except (OSError, http.client.HTTPException) as error:
            with self._changing:
                self.failures[name] = Failure(type(error).__name__, connected)
        finally:
            connection.close()


def requests_of(replica: Serving) -> set[str]:
    """The ids of the requests that a replica has read."""
    return {line["request_id"] for line in replica.events("request")}


def test_rolling_restarts_lose_no_request(amazon: SimulatedAmazon, store: RedisServer, tmp_path: Path) -> None:
    """Of three replicas, three times, under 200 new connections a second. A replica that stops takes what the system
    has queued for it; what the system itself resets, as the end of a handshake came too late, no replica has read."""
    listen = f"127.0.0.1:{free_port()}"
    settings = [configuration(amazon, store, listen, log={"level": "info"}) for _ in range(3)]
    read: set[str] = set()
    with fleet(tmp_path, settings) as replicas, Asking(listen) as asking:
        for restart in range(9):
            number = restart % 3
            before = len(asking.answered)
            replicas[number].until(lambda before=before: len(asking.answered) > before + CONNECTIONS_PER_SECOND)
            stopped = replicas[number]
            assert stopped.stop()[0] == 0
            assert stopped.events("server_stopped")[0]["cut"] == 0
            read |= requests_of(stopped)
            stopped.process.end()
            replicas[number] = Serving(tmp_path / f"{number}.yaml", settings[number])
            replicas[number].until_ready()
        read |= {name for each in replicas for name in requests_of(each)}
    assert Counter(asking.answered.values()).keys() == {200}
    assert {name for name in asking.failures if name in read} == set()
    kinds = Counter((each.error, each.connected) for each in asking.failures.values())
    assert set(kinds) <= {("ConnectionResetError", True), ("RemoteDisconnected", True), ("ConnectionResetError", False)}
    assert sum(kinds.values()) <= len(asking.answered) // 100, kinds
