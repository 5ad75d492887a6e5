"""One program with four workers and a flood of connections from one address: the limit is the program's."""

from __future__ import annotations

import http.client
import os
import random
import signal
from pathlib import Path

import pytest

from tests.integration.test_workers_live import WORKERS, pids, program
from tests.support.running import Serving, SimulatedAmazon

pytestmark = pytest.mark.integration


class Flood:
    """Connections from one address, of which those are kept that are served."""

    def __init__(self, running: Serving) -> None:
        self._running = running
        self._kept: list[http.client.HTTPConnection] = []

    def __enter__(self) -> Flood:
        return self

    def __exit__(self, *_: object) -> None:
        for connection in self._kept:
            connection.close()

    def one_more(self) -> bool:
        """Whether another is served."""
        connection = http.client.HTTPConnection(self._running.netloc, timeout=20)
        status = _asked(connection)
        if status == 200:
            self._kept.append(connection)
        else:
            connection.close()
        return status == 200

    def fill(self) -> int:
        """How many are served until one after another is refused: what was refused may take a moment to be gone."""
        before = len(self._kept)
        refused = 0
        while refused < 30:
            refused = 0 if self.one_more() else refused + 1
        return len(self._kept) - before

    def lose(self) -> int:
        """How many are broken by now; they are kept no longer."""
        answered = [(connection, _asked(connection)) for connection in self._kept]
        self._kept = [connection for connection, status in answered if status == 200]
        return len(answered) - len(self._kept)


def _asked(connection: http.client.HTTPConnection) -> int:
    """The status of a request's answer; 0 where there is none."""
    connection.auto_open = 0
    try:
        if connection.sock is None:
            connection.connect()
        connection.request("GET", "/v2/profiles")
        answer = connection.getresponse()
        answer.read()
        return answer.status
    except (OSError, http.client.HTTPException):
        return 0


def test_connections_from_one_address_are_counted_together(amazon: SimulatedAmazon, tmp_path: Path) -> None:
    """A flood over all workers gets eight and no more; those of a killed worker are free again, however often, and a
    reload changes the limit for those that are there already."""
    limits = {"max_connections_per_address": 8}
    with program(amazon, tmp_path, limits=limits) as running, Flood(running) as flood:
        assert flood.fill() == 8
        for kill in range(5):
            os.kill(random.choice(sorted(pids(running).values())), signal.SIGKILL)
            running.told("worker_started", WORKERS + kill + 1)
            assert flood.fill() == flood.lose()
        running.write(amazon.configuration(workers=WORKERS, limits={"max_connections_per_address": 11}))
        running.process.signal(signal.SIGHUP)
        running.told("config_reloaded", success=True)
        assert (flood.fill(), flood.lose()) == (3, 0)
