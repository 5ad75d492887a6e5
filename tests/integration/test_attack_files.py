"""More connections than the program may open files: health, tools that are connected and later ones are served."""

from __future__ import annotations

import contextlib
import http.client
import socket
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.certificates import Authority
from tests.support.patience import PATIENCE
from tests.support.running import Serving, SimulatedAmazon, serving

pytestmark = pytest.mark.integration
FILES, MANY, TIMEOUT = 256, 400, 3


class Attackers:
    """Peers that hold their connections open; those with a `beginning` go on sending for ever."""

    def __init__(self, running: Serving, beginning: bytes) -> None:
        host, port = running.netloc.split(":")
        self.sockets: list[socket.socket] = []
        self._beginning = beginning
        self._over = threading.Event()
        for _ in range(MANY):
            with contextlib.suppress(OSError):
                peer = socket.create_connection((host, int(port)), 5)
                self.sockets.append(peer)
                peer.setblocking(False)
                self._send(peer, beginning)
        self._thread = threading.Thread(target=self._go_on, daemon=True)
        self._thread.start()

    @staticmethod
    def _send(peer: socket.socket, data: bytes) -> None:
        with contextlib.suppress(OSError):
            peer.send(data)

    def _go_on(self) -> None:
        while self._beginning and not self._over.wait(0.2):
            for peer in self.sockets:
                self._send(peer, b"a")

    def stop(self) -> None:
        self._over.set()
        self._thread.join(PATIENCE)
        for peer in self.sockets:
            peer.close()


@contextlib.contextmanager
def attacked(running: Serving, beginning: bytes) -> Iterator[None]:
    attackers = Attackers(running, beginning)
    try:
        yield
    finally:
        attackers.stop()


def connection_to(running: Serving, context: ssl.SSLContext | None) -> http.client.HTTPConnection:
    if context is None:
        return http.client.HTTPConnection(running.netloc, timeout=PATIENCE)
    return http.client.HTTPSConnection(running.netloc, timeout=PATIENCE, context=context)


def status_of(connection: http.client.HTTPConnection) -> int:
    connection.request("GET", "/v2/profiles")
    answer = connection.getresponse()
    answer.read()
    return answer.status


def is_served(running: Serving, context: ssl.SSLContext | None) -> bool:
    """Whether a new client is."""
    with contextlib.closing(connection_to(running, context)) as connection:
        return answers(connection)


def answers(connection: http.client.HTTPConnection) -> bool:
    """Whether the proxy serves the client; if not, the client connects again for its next request."""
    try:
        return status_of(connection) == 200
    except (OSError, http.client.HTTPException):
        connection.close()
        return False


def processor_seconds(running: Serving) -> float:
    """How much of the processor the program has used."""
    fields = Path(f"/proc/{running.process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / 100


@pytest.mark.parametrize("kind", ["endless heads", "silent TLS peers"])
def test_400_connections_on_256_files_keep_nobody_out(amazon: SimulatedAmazon, tmp_path: Path, kind: str) -> None:
    """`/livez` answers, a connected client is served, and after `header_timeout` so is a new one."""
    changes: dict[str, Any] = {"limits": {"header_timeout": TIMEOUT, "keepalive_timeout": 10 * PATIENCE}}
    context = None
    if kind == "silent TLS peers":
        Authority(tmp_path).context("localhost")
        pair = str(tmp_path / "localhost.pem")
        changes["tls"] = {"cert": pair, "key": pair}
        context = ssl.create_default_context(cafile=tmp_path / "ca.pem")
        context.check_hostname = False  # it is asked by its address
    beginning = b"" if context else b"GET / HTTP/1.1\r\nHost: localhost\r\nX-Endless: "
    with serving(tmp_path, amazon.configuration(**changes), open_files=FILES) as running:
        running.until_listed()
        client = connection_to(running, context)
        running.until(lambda: answers(client))
        with attacked(running, beginning):
            assert running.admin_get("/livez")[0] == 200
            assert status_of(client) == 200
            assert running.status()["connections"]["clients"] <= 64 + 16
            running.until(lambda: is_served(running, context))
            assert status_of(client) == 200
        before = processor_seconds(running)
        running.until(lambda: running.status()["connections"]["clients"] <= 1)
        assert processor_seconds(running) - before < 5
        assert not running.events("defect_met")
        client.close()
