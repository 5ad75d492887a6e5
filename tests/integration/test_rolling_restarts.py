"""Two programs behind nginx or HAProxy, restarted one after the other under load: no request of any method is lost.

With `drain.delay: 2`, as docs/how-to/load-balancer.md advises. `make soak` does the same with 40,000 requests.
"""

from __future__ import annotations

import contextlib
import http.client
import itertools
import os
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.integration.balancing import haproxy, listens
from tests.support.patience import PATIENCE
from tests.support.processes import free_port, until
from tests.support.programs import require_program
from tests.support.running import Serving, SimulatedAmazon, simulated_amazon

RESTARTS = 6
BALANCERS = [pytest.param(name, marks=getattr(pytest.mark, name)) for name in ("nginx", "haproxy")]
_NGINX = """
daemon off; worker_processes 1; pid {folder}/nginx.pid; error_log {folder}/error.log; {user}
events {{ worker_connections 512; }}
http {{
  access_log off; client_body_temp_path {folder}/b; proxy_temp_path {folder}/p; fastcgi_temp_path {folder}/f;
  uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
  upstream ads {{ server {first} max_fails=0; server {second} max_fails=0; keepalive 16; }}
  server {{
    listen 127.0.0.1:{port};
    location / {{
      proxy_pass http://ads; proxy_http_version 1.1; proxy_set_header Connection ""; proxy_set_header Host localhost;
    }}
  }}
}}
"""


@contextlib.contextmanager
def nginx(folder: Path, replicas: list[dict[str, Any]]) -> Iterator[str]:
    """The address of nginx in front of the two programs with these configurations."""
    program, port = require_program("nginx"), free_port()
    user = "user root;" if os.geteuid() == 0 else ""
    first, second = (each["listen"] for each in replicas)
    path = folder / "nginx.conf"
    path.write_text(_NGINX.format(folder=folder, user=user, first=first, second=second, port=port))
    child = subprocess.Popen([program, "-c", str(path), "-p", str(folder), "-e", str(folder / "error.log")])
    try:
        until(lambda: listens(port))
        yield f"127.0.0.1:{port}"
    finally:
        child.terminate()
        child.wait(PATIENCE)


class Clients:
    """Tools that ask through a load balancer, reading and writing in turn, on connections that they keep."""

    def __init__(self, netloc: str, workers: int = 6) -> None:
        self.outcomes: Counter[str] = Counter()
        self._netloc = netloc
        self._stop, self._counting = threading.Event(), threading.Lock()
        self._threads = [threading.Thread(target=self._work, daemon=True) for _ in range(workers)]

    def __enter__(self) -> Clients:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(PATIENCE)

    def _work(self) -> None:
        connection = http.client.HTTPConnection(self._netloc, timeout=PATIENCE)
        for number in itertools.count():
            if self._stop.wait(0.03):
                break
            try:
                if number % 2:
                    connection.request("POST", "/sim/echo", b"x" * 2000)
                else:
                    connection.request("GET", "/v2/profiles")
                answer = connection.getresponse()
                answer.read()
                outcome = str(answer.status)
            except (OSError, http.client.HTTPException) as error:
                outcome = repr(error)
                connection.close()
            with self._counting:
                self.outcomes[outcome] += 1
        connection.close()


def _end(programs: list[Serving]) -> None:
    for program in programs:
        program.process.end()


def restarted(folder: Path, amazon: SimulatedAmazon, balancer: str, requests: int) -> Counter[str]:
    """What became of at least so many requests through a load balancer, over six restarts."""
    configurations = [
        amazon.configuration(
            listen=f"127.0.0.1:{free_port()}", admin_listen=f"127.0.0.1:{free_port()}", drain={"delay": 2}
        )
        for _ in range(2)
    ]
    programs: list[Serving] = []
    with contextlib.ExitStack() as opened:
        for number, configuration in enumerate(configurations):
            programs.append(Serving(folder / f"{number}.yaml", configuration))
            programs[number].until_ready()
        opened.callback(_end, programs)
        balance = {"nginx": nginx, "haproxy": haproxy}[balancer]
        netloc = opened.enter_context(balance(folder, configurations))
        with Clients(netloc) as clients:
            for number in range(RESTARTS):
                wanted = requests * (number + 1) // (RESTARTS + 1)
                until(lambda: clients.outcomes.total() >= wanted, patience=600)  # noqa: B023 - called before the next turn of the loop
                stopped = programs[number % 2]
                assert stopped.stop()[0] == 0
                stopped.process.end()
                programs[number % 2] = Serving(folder / f"{number % 2}.yaml", configurations[number % 2])
                programs[number % 2].until_ready()
                # The balancer knows of it, too, before the other one stops.
                until(lambda: programs[number % 2].metric("requests_total", code="200") > 0, patience=600)  # noqa: B023 - called before the next turn of the loop
            until(lambda: clients.outcomes.total() >= requests, patience=600)
    return clients.outcomes


@pytest.mark.integration
@pytest.mark.parametrize("balancer", BALANCERS)
def test_no_request_is_lost_over_six_restarts(tmp_path: Path, balancer: str) -> None:
    """Some thousands of them."""
    with simulated_amazon() as amazon:
        outcomes = restarted(tmp_path, amazon, balancer, 3_000)
    assert set(outcomes) == {"200"}


@pytest.mark.soak
@pytest.mark.parametrize("balancer", BALANCERS)
def test_none_of_40_000_requests_is_lost_over_six_restarts(tmp_path: Path, balancer: str) -> None:
    """The restarts run under load for longer."""
    started = time.monotonic()
    with simulated_amazon() as amazon:
        outcomes = restarted(tmp_path, amazon, balancer, 40_000)
    assert set(outcomes) == {"200"}, f"after {time.monotonic() - started:.0f} s"
