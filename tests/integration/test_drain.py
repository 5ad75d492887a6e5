"""How a running program stops: what was asked is answered, nothing new is begun, and it does not dawdle."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import signal
import socket
import sys
import threading
import time
from collections import Counter
from pathlib import Path

import pytest

from tests.support.patience import PATIENCE
from tests.support.processes import Process, fetch, free_port, until
from tests.support.running import REUSE, Load, Serving, SimulatedAmazon, serving

pytestmark = pytest.mark.integration

PROMPT = 0.5
"""Seconds from SIGTERM to the end of a program that has nothing to do."""
LONG = 10 * PATIENCE
"""Seconds. Nothing that takes so long has an end within a test."""
UNHURRIED = {"limits": {"min_body_rate": 0, "header_timeout": LONG, "body_timeout": LONG, "send_timeout": LONG}}
"""Limits without a deadline for clients, however slow the machine is."""
HALF = bytes(300_000)
"""Half of a request's body. The proxy sends it on: it waits for no more than 256 KiB."""


class Asked:
    """A request that is under way on a connection of its own; its answer is read by a thread."""

    def __init__(self, running: Serving, path: str) -> None:
        self.connection = http.client.HTTPConnection(running.netloc, timeout=PATIENCE)
        self.connection.request("GET", path)
        self.status, self.length, self.failure = 0, -1, ""
        self.closes = False
        self._began = threading.Event()
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()
        self.running = running

    def _read(self) -> None:
        try:
            answer = self.connection.getresponse()
            self._began.set()
            self.closes = answer.getheader("Connection") == "close"
            self.length = len(answer.read())
            self.status = answer.status
        except (OSError, http.client.HTTPException) as error:
            self.failure = repr(error)
        finally:
            self.connection.close()

    def until_begun(self) -> None:
        """Wait until the response's head is here."""
        assert self._began.wait(PATIENCE), self.failure

    def finish(self) -> Asked:
        self._thread.join(PATIENCE)
        return self


def in_flight(running: Serving, count: int) -> None:
    running.until(lambda: running.metric("requests_in_flight") == count)


def connect(netloc: str) -> socket.socket:
    host, port = netloc.split(":")
    return socket.create_connection((host, int(port)), PATIENCE)


def is_refused(netloc: str) -> bool:
    """Whether the port has no listener any more."""
    with contextlib.suppress(ConnectionRefusedError):
        connect(netloc).close()
        return False
    return True


def whole(client: socket.socket) -> bytes:
    """All that comes until the proxy ends the connection."""
    return b"".join(iter(lambda: client.recv(65536), b""))


@pytest.mark.parametrize("state", ["memory:", "file:"])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_an_idle_program_waits_for_nobody(amazon: SimulatedAmazon, tmp_path: Path, state: str, number: int) -> None:
    """Exit code 0 with idle connections of a client and of a browser still open, and long before the time limit."""
    url = state if state == "memory:" else f"file:{tmp_path / 'state'}"
    with serving(tmp_path, amazon.configuration(state={"url": url}, drain={"timeout": LONG})) as running:
        running.until_listed()
        client = http.client.HTTPConnection(running.netloc, timeout=PATIENCE)
        console = http.client.HTTPConnection(running.admin.removeprefix("http://"), timeout=PATIENCE)
        for connection, path in ((client, "/v2/profiles"), (console, "/status")):
            connection.request("GET", path)
            connection.getresponse().read()
        silent = connect(running.netloc)
        running.until(lambda: running.status()["connections"]["clients"] == 2)
        running.process.signal(number)
        assert running.process.wait() == 0
        assert silent.recv(1) == b""
        for each in (client, console, silent):
            each.close()
        assert running.events("server_stopped")[0]["cut"] == 0


@pytest.mark.alone
def test_an_idle_program_ends_at_once(amazon: SimulatedAmazon, tmp_path: Path) -> None:
    """Exit code 0 within half a second: one of its ends does, where the machine is held up during others."""

    def seconds_to_end() -> float:
        with serving(tmp_path, amazon.configuration()) as running:
            running.until_listed()
            with connect(running.netloc):
                code, seconds = running.stop()
            assert code == 0
            return seconds

    until(lambda: seconds_to_end() < PROMPT)


def test_the_demo_ends_and_takes_the_simulator_along() -> None:
    """SIGTERM to `demo`: exit code 0 long before the time limit, and its child is gone."""
    ports = [free_port(), free_port()]
    options = ("--listen", f"127.0.0.1:{ports[0]}", "--admin-listen", f"127.0.0.1:{ports[1]}")
    process = Process(sys.executable, "-u", "-m", "proxy", "demo", *options, ADS_PROXY_DRAIN__TIMEOUT=str(LONG))
    try:
        process.output.wait_for(lambda line: line.get("event") == "server_started")
        until(lambda: fetch(f"http://127.0.0.1:{ports[0]}/v2/profiles")[0] == 200)
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        assert len(children) == 1
        process.signal(signal.SIGTERM)
        assert process.wait() == 0
        until(lambda: not Path(f"/proc/{children[0]}").exists())
    finally:
        process.end()


def test_requests_in_flight_are_finished(amazon: SimulatedAmazon, tmp_path: Path) -> None:
    """A slow head and a slow body both come whole, each with Connection: close where its head was still to come. Then
    the program ends, long before the time limit."""
    amazon.fault({"delay": LONG}, path="/sim/slow")
    settings = amazon.configuration(drain={"timeout": LONG}, upstream={"response_timeout": LONG}, **UNHURRIED)
    with serving(tmp_path, settings) as running:
        running.until_listed()
        slow_head = Asked(running, "/sim/slow")
        with connect(running.netloc) as slow_body:
            head = f"POST /sim/echo?length=1 HTTP/1.1\r\nHost: localhost\r\nContent-Length: {2 * len(HALF)}\r\n\r\n"
            slow_body.sendall(head.encode() + HALF)
            received = slow_body.recv(65536)
            in_flight(running, 2)
            running.process.signal(signal.SIGTERM)
            running.until(lambda: is_refused(running.netloc))
            assert running.admin_get("/livez")[0] == 200
            assert running.admin_get("/readyz")[0] == 503
            assert running.status()["draining"] is True
            slow_body.sendall(HALF)
            received += whole(slow_body)
        assert received.startswith(b"HTTP/1.1 200 ")
        assert received.partition(b"\r\n\r\n")[2] == 2 * HALF
        amazon.heal()
        assert (slow_head.finish().status, slow_head.length, slow_head.closes) == (200, 1024, True)
        assert running.process.wait() == 0
        assert running.events("drain_started")[0]["in_flight"] == 2
        assert running.events("server_stopped")[0]["cut"] == 0


HOLD = """
import importlib.abc, pathlib, sys

class Holding(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name == "prometheus_client.openmetrics.exposition":
            pathlib.Path({held!r}).touch()
            pathlib.Path({let_on!r}).read_bytes()

sys.meta_path.insert(0, Holding())
"""
"""A start that waits at an import, until the test writes to a pipe."""


def test_requests_in_flight_are_finished_during_the_start(amazon: SimulatedAmazon, tmp_path: Path) -> None:
    """Clients are served before all of the program is imported; the signal comes in between."""
    port, let_on, held = free_port(), tmp_path / "let_on", tmp_path / "held"
    os.mkfifo(let_on)
    (tmp_path / "sitecustomize.py").write_text(HOLD.format(let_on=str(let_on), held=str(held)))
    settings = amazon.configuration(listen=f"127.0.0.1:{port}", drain={"timeout": LONG}, **UNHURRIED)
    file = tmp_path / "proxy.yaml"
    file.write_text(json.dumps(settings))
    amazon.fault({"delay": LONG}, path="/sim/slow")
    command = (sys.executable, "-u", "-m", "proxy", "serve", "--config", file)
    process = Process(*command, PYTHONPATH=str(tmp_path))
    try:
        until(held.exists, lambda: process.text)
        with connect(f"127.0.0.1:{port}") as client:
            client.sendall(b"GET /sim/slow HTTP/1.1\r\nHost: localhost\r\n\r\n")
            until(lambda: any(each["target"] == "/sim/slow" for each in amazon.look("requests", last=100)))
            process.signal(signal.SIGTERM)
            process.output.wait_for(lambda line: line.get("event") == "drain_started")
            amazon.heal()
            received = whole(client)
        let_on.write_bytes(b"")  # what was begun is imported, before the process can end
        assert (received[:13], received[-5:]) == (b"HTTP/1.1 200 ", b"0\r\n\r\n")
        assert process.wait() == 0, process.text
        assert process.output.wait_for(lambda line: line.get("event") == "server_stopped")["cut"] == 0
        assert "server_started" not in process.text
    finally:
        process.end()


def test_a_slow_reader_gets_the_end_of_its_answer(amazon: SimulatedAmazon, tmp_path: Path) -> None:
    """Amazon's side is done, but the client has not taken all yet: the program waits for the client."""
    total = 12_000_000
    with serving(tmp_path, amazon.configuration(drain={"timeout": LONG}, **UNHURRIED)) as running:
        running.until_listed()
        with connect(running.netloc) as client:
            client.sendall(f"GET /sim/bytes/{total}?length=1 HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
            in_flight(running, 1)
            running.process.signal(signal.SIGTERM)
            running.until(lambda: is_refused(running.netloc))
            assert running.metric("requests_in_flight") == 1
            received = whole(client)
        assert len(received.partition(b"\r\n\r\n")[2]) == total
        assert running.process.wait() == 0


def test_the_time_limit_cuts_what_still_runs(amazon: SimulatedAmazon, tmp_path: Path) -> None:
    """Without an answer yet the client is told 503; a body that has begun is broken off visibly."""
    with serving(tmp_path, amazon.configuration(drain={"timeout": 1})) as running:
        running.until_listed()
        no_head = Asked(running, f"/sim/slow?head={LONG}")
        half_body = Asked(running, f"/sim/slow?pieces={LONG:.0f}&interval=1")
        half_body.until_begun()
        in_flight(running, 2)
        code, seconds = running.stop()
        assert code == 0
        assert seconds >= 1
        assert no_head.finish().status == 503
        assert "IncompleteRead" in half_body.finish().failure
        assert running.events("server_stopped")[0]["cut"] == 2


def test_the_delay_goes_on_accepting_while_unready(amazon: SimulatedAmazon, tmp_path: Path) -> None:
    """For load balancers: /readyz says 503 at once, new connections are served meanwhile, and asked to close. A second
    signal ends it."""
    with serving(tmp_path, amazon.configuration(drain={"delay": LONG})) as running:
        running.until_listed()
        running.process.signal(signal.SIGTERM)
        running.until(lambda: running.admin_get("/readyz")[0] == 503)
        assert running.admin_get("/livez")[0] == 200
        late = Asked(running, "/v2/profiles").finish()
        assert (late.status, late.closes) == (200, True)
        running.process.signal(signal.SIGTERM)
        assert running.process.wait() == 1


def test_the_delay_ends(amazon: SimulatedAmazon, tmp_path: Path) -> None:
    """The port closes no earlier."""
    with serving(tmp_path, amazon.configuration(drain={"delay": 0.5, "timeout": LONG})) as running:
        running.until_ready()
        code, seconds = running.stop()
        assert code == 0
        assert seconds >= 0.5


def test_a_request_that_comes_too_late_is_told_so(amazon: SimulatedAmazon, tmp_path: Path) -> None:
    """The rest of its head comes when half of the time is over, and idle connections are closed: 503 with
    Retry-After."""
    with serving(tmp_path, amazon.configuration(drain={"timeout": 20}, **UNHURRIED)) as running:
        running.until_listed()
        busy = Asked(running, f"/sim/slow?head={LONG}")
        in_flight(running, 1)
        with connect(running.netloc) as client, connect(running.netloc) as idle:
            client.sendall(b"GET /v2/profiles HTTP/1.1\r\n")
            running.until(lambda: running.status()["connections"]["clients"] == 3)
            before = amazon.counts()["api_requests"]
            running.process.signal(signal.SIGTERM)
            assert idle.recv(1) == b""
            client.sendall(b"Host: localhost\r\n\r\n")
            answer = whole(client)
        head, _, body = answer.partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 503 ")
        assert b"\r\nRetry-After: 1\r\n" in head + b"\r\n"
        assert b"\r\nConnection: close" in head
        assert json.loads(body)["type"].endswith("draining")
        assert amazon.counts()["api_requests"] == before
        running.process.signal(signal.SIGTERM)
        assert running.process.wait() == 1
        assert busy.finish().status == 503


def test_a_second_signal_ends_it(amazon: SimulatedAmazon, tmp_path: Path) -> None:
    """A person presses Ctrl-C twice: the request in flight is cut, and the exit code reports it."""
    with serving(tmp_path, amazon.configuration(drain={"timeout": LONG})) as running:
        running.until_listed()
        stuck = Asked(running, f"/sim/slow?head={LONG}")
        in_flight(running, 1)
        running.process.signal(signal.SIGINT)
        running.until(lambda: is_refused(running.netloc))
        running.process.signal(signal.SIGINT)
        assert running.process.wait() == 1
        assert stuck.finish().status == 503
        assert "Traceback" not in running.process.text


def test_an_event_stream_does_not_outlive_the_limit(amazon: SimulatedAmazon, tmp_path: Path) -> None:
    """A stream without end is cut when the time is over."""
    with serving(tmp_path, amazon.configuration(drain={"timeout": 0.3})) as running:
        running.until_listed()
        stream = Asked(running, f"/sim/events?events={10 * LONG:.0f}&interval=0.1")
        stream.until_begun()
        in_flight(running, 1)
        code, _ = running.stop()
        assert (code, stream.finish().failure != "") == (0, True)


def test_a_kept_alive_tool_that_asks_as_the_program_stops_is_served(amazon: SimulatedAmazon, tmp_path: Path) -> None:
    """Fifty that ask when it has begun to stop, on idle connections: each gets an answer, which says that it closes."""

    def asked_in_time() -> bool:
        """Whether the machine let them ask before the program may close idle connections; then all were served."""
        with (
            serving(tmp_path, amazon.configuration(drain={"timeout": LONG})) as running,
            contextlib.ExitStack() as stack,
        ):
            running.until_listed()
            clients = [http.client.HTTPConnection(running.netloc, timeout=PATIENCE) for _ in range(50)]
            for client in clients:
                stack.callback(client.close)
                client.request("GET", "/v2/profiles")
                client.getresponse().read()
            since = time.monotonic()
            running.process.signal(signal.SIGTERM)
            running.until(lambda: running.admin_get("/readyz")[0] == 503)
            with contextlib.suppress(OSError):
                for client in clients:
                    client.request("GET", "/v2/profiles")
            if time.monotonic() - since > REUSE:
                return False
            answers = [client.getresponse() for client in clients]
            assert [(answer.status, answer.getheader("Connection")) for answer in answers] == [(200, "close")] * 50
            assert all(answer.read() for answer in answers)
            assert running.process.wait() == 0
            return True

    until(asked_in_time)


def test_those_whom_the_system_had_accepted_are_served(amazon: SimulatedAmazon, tmp_path: Path) -> None:
    """Clients connected and sent requests while the program was held up, and its next step is to stop."""
    with serving(tmp_path, amazon.configuration()) as running:
        running.until_listed()
        running.process.signal(signal.SIGSTOP)
        clients = [connect(running.netloc) for _ in range(50)]
        for client in clients:
            client.sendall(b"GET /v2/profiles HTTP/1.1\r\nHost: localhost\r\n\r\n")
        running.process.signal(signal.SIGTERM)
        running.process.signal(signal.SIGCONT)
        answers = [whole(client) for client in clients]
        assert [answer[:12] for answer in answers] == [b"HTTP/1.1 200"] * 50
        for client in clients:
            client.close()
        assert running.process.wait() == 0


def test_no_stop_under_load_resets_a_tool(amazon: SimulatedAmazon, tmp_path: Path) -> None:
    """Five stops meet clients that keep their connection and clients that do not: they get answers, or find no
    listener. A slow client may find its connection closed."""
    failures: list[str] = []
    for _ in range(5):
        with serving(tmp_path, amazon.configuration(log={"access": False})) as running:
            running.until_ready()
            with Load(running, workers=2) as kept, Load(running, workers=2, keep=False) as single:
                running.until(lambda: min(kept.total, single.total) > 100)
                assert running.stop()[0] == 0
            for load in (kept, single):
                failures += (Counter(load.failures) - Counter(load.late)).elements()
            assert set(kept.statuses) == set(single.statuses) == {200}
    assert {failure for failure in failures if not failure.startswith("ConnectionRefusedError")} == set()
