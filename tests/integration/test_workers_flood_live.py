"""One program with four workers and a flood of connections from one address: the limit is the program's."""

from __future__ import annotations

import http.client
import itertools
import os
import random
import signal
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.integration.test_workers_live import WORKERS, pids, program
from tests.support.patience import PATIENCE
from tests.support.processes import until
from tests.support.running import Serving, SimulatedAmazon

pytestmark = pytest.mark.integration


class Flood:
    """Connections from one address, of which those are kept that are served."""

    def __init__(self, running: Serving) -> None:
        self._running = running
        self._kept: list[tuple[str, http.client.HTTPConnection]] = []
        self._numbers = itertools.count()

    def __enter__(self) -> Flood:
        return self

    def __exit__(self, *_: object) -> None:
        for each in self._kept:
            each[1].close()

    def one_more(self) -> bool:
        """Whether another is served."""
        connection = http.client.HTTPConnection(self._running.netloc, timeout=PATIENCE)
        status, worker = _asked(connection)
        if status == 200:
            self._kept.append((worker, connection))
        else:
            connection.close()
        return status == 200

    def fill(self, count: int, ready: Callable[[], bool] = lambda: True) -> None:
        """Have so many more served, which may take until others are gone; then one after another is refused."""
        wanted = len(self._kept) + count

        def filled() -> bool:
            while len(self._kept) < wanted and ready() and self.one_more():
                pass
            return len(self._kept) == wanted

        until(filled)
        assert not any(self.one_more() for _ in range(30))

    def spread(self, count: int) -> None:
        """Open connections with `fill` at moments at which all workers answer: one that the system held up would not
        accept it."""
        wanted = len(self._kept) + count
        until(lambda: self.one_more() and len(self.by_worker()) == WORKERS)
        self.fill(wanted - len(self._kept), lambda: all(_asked(each)[0] == 200 for each in dict(self._kept).values()))

    def by_worker(self) -> dict[str, int]:
        """How many of those that are kept each worker has."""
        return Counter(worker for worker, _ in self._kept)

    def lose(self) -> int:
        """How many are broken by now; they are kept no longer."""
        before = len(self._kept)
        self._kept = [each for each in self._kept if _asked(each[1])[0] == 200]
        return before - len(self._kept)

    def begin(self, worker: str, count: int, path: str) -> None:
        """Send a request, unlike any other, on so many connections of one worker."""
        for connection in [connection for served, connection in self._kept if served == worker][:count]:
            connection.request("GET", f"{path}?number={next(self._numbers)}")

    def leave(self, worker: str) -> None:
        """Close the connections of one worker."""
        for served, connection in self._kept:
            if served == worker:
                connection.close()
        self._kept = [each for each in self._kept if each[0] != worker]


def _asked(connection: http.client.HTTPConnection) -> tuple[int, str]:
    """The status of a request's answer, 0 where there is none, and which worker served it."""
    connection.auto_open = 0
    try:
        if connection.sock is None:
            connection.connect()
        connection.request("GET", "/v2/profiles")
        answer = connection.getresponse()
        answer.read()
        return answer.status, answer.headers["X-Request-Id"].partition("-")[0]
    except (OSError, http.client.HTTPException):
        return 0, ""


def test_connections_from_one_address_are_counted_together(amazon: SimulatedAmazon, tmp_path: Path) -> None:
    """A flood over all workers gets eight and no more; those of a killed worker are free again, however often, and a
    reload changes the limit for those that are there already."""
    limits = {"max_connections_per_address": 8}
    with program(amazon, tmp_path, limits=limits) as running, Flood(running) as flood:
        flood.fill(8)
        for kill in range(5):
            os.kill(random.choice(sorted(pids(running).values())), signal.SIGKILL)
            running.told("worker_started", WORKERS + kill + 1)
            flood.fill(flood.lose())
        running.write(amazon.configuration(workers=WORKERS, limits={"max_connections_per_address": 11}))
        running.process.signal(signal.SIGHUP)
        running.told("config_reloaded", success=True)
        flood.fill(3)
        assert flood.lose() == 0


@pytest.mark.alone  # a worker with fewer connections has a millisecond to accept the next one
def test_connections_are_limited_together_and_spread_evenly(amazon: SimulatedAmazon, tmp_path: Path) -> None:
    """All of a hundred are served, whichever worker has them, and no more; each worker has about a quarter."""
    with program(amazon, tmp_path, limits={"max_connections": 100}) as running, Flood(running) as flood:
        flood.spread(100)
        assert all(15 <= count <= 35 for count in flood.by_worker().values())
        os.kill(min(pids(running).values()), signal.SIGKILL)
        running.told("worker_started", WORKERS + 1)
        flood.spread(flood.lose())
        # By chance, the new one would have so many of 25 in one of ten thousand runs; a busy worker misses some.
        assert all(15 <= count <= 35 for count in flood.by_worker().values())


def test_connections_to_amazon_are_limited_together(amazon: SimulatedAmazon, tmp_path: Path) -> None:
    """One worker uses five of the eight, although its part would be two; then another one does, after the first one
    closed those that it did not need."""
    changes = {"upstream": {"max_connections": 8}, "drain": {"timeout": 0}}
    with program(amazon, tmp_path, **changes) as running, Flood(running) as flood:
        while min(flood.by_worker().values(), default=0) < 5 or len(flood.by_worker()) < WORKERS:
            assert flood.one_more()
        amazon.fault({"delay": 60}, target="api", path="/sim/slow")
        for asked, worker in enumerate(sorted(flood.by_worker())[:2], 1):
            flood.begin(worker, 5, "/sim/slow")
            running.until(lambda: _slow(amazon) == 5 * asked)  # noqa: B023 - awaited within the turn
            flood.leave(worker)
            running.until(lambda: running.metric("requests_in_flight") == 0)


def _slow(amazon: SimulatedAmazon) -> int:
    """How many requests with a slow answer have reached Amazon, whether once or twice."""
    return len(
        {each["target"] for each in amazon.look("requests", last=1000) if each["target"].startswith("/sim/slow")}
    )
