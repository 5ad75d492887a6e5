"""Writes are frozen within a second in every replica, also after a restart; reads go on."""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import json
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.patience import PATIENCE
from tests.support.processes import fetch
from tests.support.ready_program import run_ready
from tests.support.redis_server import KEY as STATE_KEY
from tests.support.redis_server import RedisServer, redis_server
from tests.support.running import Serving, SimulatedAmazon, serving

pytestmark = pytest.mark.integration

KIND = "application/vnd.spCampaign.v3+json"
CREATE = b'{"campaigns": [{"name": "new"}]}'
CLIENTS = ("agent", "other")
WITHIN = 1.0
"""Seconds in which a freeze is in force everywhere."""


def configuration(amazon: SimulatedAmazon, **changes: Any) -> dict[str, Any]:
    clients = [{"name": name, "key_sha256": hashlib.sha256(name.encode()).hexdigest()} for name in CLIENTS]
    return amazon.configuration(clients=clients, **changes)


class Writer:
    """A client that writes on a connection of its own for each request."""

    def __init__(self, amazon: SimulatedAmazon, client: str) -> None:
        profile = amazon.facts["profiles"]["na"][0]
        self.headers = {"X-Ads-Proxy-Key": client, "Amazon-Advertising-API-Scope": profile}
        self.headers |= {"Content-Type": KIND, "Accept": KIND}

    def write(self, running: Serving) -> tuple[int, bytes]:
        """The status, and the body."""
        connection = http.client.HTTPConnection(running.netloc, timeout=PATIENCE)
        try:
            connection.request("POST", "/sp/campaigns", CREATE, self.headers)
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    def read(self, running: Serving) -> int:
        return fetch(f"{running.proxy_url}/sp/campaigns/list", b"{}", self.headers)[0]


def command(running: Serving, tmp_path: Path, *arguments: str) -> tuple[int, str]:
    """Exit code and output of a command for the running proxy."""
    done = run_ready(tmp_path, (*arguments, "--admin-listen", running.admin.removeprefix("http://")), {})
    return done.returncode, done.stdout + done.stderr


class Watch:
    """Writes all the time, from threads, and notes when each write began and what came of it."""

    def __init__(self, writer: Writer, *replicas: Serving) -> None:
        self._writer, self._replicas = writer, replicas
        self.seen: list[tuple[float, int]] = []
        self._ended = threading.Event()

    def _write(self, running: Serving) -> None:
        while not self._ended.is_set():
            began = time.monotonic()
            self.seen.append((began, self._writer.write(running)[0]))

    @contextlib.contextmanager
    def running(self) -> Iterator[Watch]:
        threads = [threading.Thread(target=self._write, args=(each,)) for each in self._replicas for _ in range(3)]
        for thread in threads:
            thread.start()
        try:
            yield self
        finally:
            self._ended.set()
            for thread in threads:
                thread.join()

    def begun_after(self, moment: float) -> set[int]:
        return {status for began, status in tuple(self.seen) if began > moment}


def freezes_in_time(watch: Watch, running: Serving, change: Callable[[], float]) -> None:
    """Every write that begins a second after the change is refused; `change` gives when it was done."""
    with watch.running():
        running.until(lambda: len(watch.seen) > 20)
        changed = change()
        running.until(lambda: any(began > changed + WITHIN + 0.5 for began, _ in tuple(watch.seen)))
    assert watch.begun_after(changed + WITHIN) == {403}
    assert 207 in {status for _, status in watch.seen}


def test_writes_stop_within_a_second(amazon: SimulatedAmazon, tmp_path: Path) -> None:
    """A freeze is for one client alone; a restarted program knows it."""
    agent, other = Writer(amazon, "agent"), Writer(amazon, "other")
    settings = configuration(amazon, state={"url": f"file:{tmp_path / 'state'}"})
    settings["audit"] = {"file": str(tmp_path / "audit.jsonl")}
    settings["notify"] = {"command": ["tee", "-a", str(tmp_path / "notices")]}
    with serving(tmp_path, settings) as running:
        running.until_ready()
        running.until_listed()

        def freeze() -> float:
            code, out = command(running, tmp_path, "freeze", "agent", "--because", "It raises bids")
            assert (code, out.splitlines()[0]) == (0, "All writes of agent are frozen; reads go on.")
            return time.monotonic()

        freezes_in_time(Watch(agent, running), running, freeze)
        detail = json.loads(agent.write(running)[1])["detail"]
        assert detail.startswith("All writes of client agent are frozen (It raises bids).")
        assert agent.read(running) == 200
        assert other.write(running)[0] == 207
        (frozen,) = running.status()["freezes"]["frozen"]
        assert (frozen["client"], frozen["because"]) == ("agent", "It raises bids")
        (line,) = running.events("writes_frozen")
        assert (line["level"], line["client"], line["heard"]) == ("warning", "agent", False)
        running.told("notice_told", kind="writes-frozen", outcome="sent")
    records = [json.loads(line) for line in (tmp_path / "audit.jsonl").read_text().splitlines()]
    (record,) = [each for each in records if each["event"]["action"] == "writes-frozen"]
    assert (record["ads_proxy"]["client"], record["event"]["reason"]) == ("agent", "It raises bids")
    refused = [each for each in records if each["event"].get("reason") == "frozen"]
    assert {(each["user"]["name"], each["ads_proxy"]["spend"]["verdict"]) for each in refused} == {("agent", "frozen")}
    (notice,) = [json.loads(line) for line in (tmp_path / "notices").read_text().splitlines()]
    assert (notice["type"], notice["client"]) == ("writes-frozen", "agent")
    with serving(tmp_path, settings) as running:
        running.until_ready()
        assert agent.write(running)[0] == 403
        assert other.write(running)[0] == 207
        assert command(running, tmp_path, "unfreeze", "agent")[0] == 0
        assert agent.write(running)[0] == 207


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RedisServer]:
    """The store keeps what it has through a kill."""
    with redis_server(tmp_path, "--appendonly", "yes", "--appendfsync", "always") as started:
        yield started


@contextlib.contextmanager
def replicas(amazon: SimulatedAmazon, folder: Path, url: str, count: int = 2) -> Iterator[list[Serving]]:
    settings = configuration(amazon, state={"url": url, "key": STATE_KEY})
    with contextlib.ExitStack() as stack:
        paths = [folder / f"replica-{number}.yaml" for number in range(count)]
        started = [stack.enter_context(serving(path, settings)) for path in paths]
        for running in started:
            running.until_ready()
            running.until_listed()
        yield started


def test_two_replicas_stop_writes_within_a_second(amazon: SimulatedAmazon, server: RedisServer, tmp_path: Path) -> None:
    """All writes, by one command; replicas that start later know it, and one command ends it everywhere."""
    agent = Writer(amazon, "agent")
    with replicas(amazon, tmp_path, server.url) as (first, second):

        def freeze() -> float:
            assert command(first, tmp_path, "freeze")[0] == 0
            return time.monotonic()

        freezes_in_time(Watch(agent, second), second, freeze)
        assert (agent.write(first)[0], agent.read(first), agent.read(second)) == (403, 200, 200)
        (line,) = second.told("writes_frozen")
        assert (line["heard"], line["by"]) == (True, first.events("writes_frozen")[0]["by"])
    with replicas(amazon, tmp_path, server.url) as (first, second):
        assert (agent.write(first)[0], agent.write(second)[0]) == (403, 403)
        assert command(second, tmp_path, "unfreeze")[0] == 0
        first.until(lambda: agent.write(first)[0] == 207, WITHIN)


def test_a_freeze_holds_without_the_store_and_is_kept_when_it_returns(
    amazon: SimulatedAmazon, server: RedisServer, tmp_path: Path
) -> None:
    """The command says that it is not kept; the other replica follows once the store is back."""
    agent = Writer(amazon, "agent")
    with replicas(amazon, tmp_path, server.url) as (first, second):
        server.kill()
        code, out = command(first, tmp_path, "freeze", "agent")
        assert (code, "the state store does not have it yet" in out) == (1, True)
        assert (agent.write(first)[0], agent.write(second)[0]) == (403, 207)
        assert first.status()["freezes"]["problem"]
        server.process.end()
        server.start()
        second.until(lambda: agent.write(second)[0] == 403)
        first.until(lambda: not first.status()["freezes"]["problem"])


def test_a_program_that_starts_without_the_store_sends_no_writes(
    amazon: SimulatedAmazon, server: RedisServer, tmp_path: Path
) -> None:
    """Nobody knows what was frozen: 503, while reads go on. Once the store is back, what was frozen is, and no more."""
    agent, other = Writer(amazon, "agent"), Writer(amazon, "other")
    with replicas(amazon, tmp_path, server.url, 1) as (running,):
        assert command(running, tmp_path, "freeze", "agent")[0] == 0
    server.kill()
    with replicas(amazon, tmp_path, server.url, 1) as (running,):
        status, body = other.write(running)
        assert (status, json.loads(body)["type"]) == (503, "urn:ads-proxy:error:freezes-unknown")
        assert (other.read(running), bool(running.status()["freezes"]["problem"])) == (200, True)
        server.process.end()
        server.start()
        running.until(lambda: other.write(running)[0] == 207)
        assert agent.write(running)[0] == 403
