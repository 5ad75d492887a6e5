"""Attacks on the tunnels of the real program: many that stay half open, renegotiation, and a stop in between."""

from __future__ import annotations

import contextlib
import signal
import socket
import ssl
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.patience import PATIENCE
from tests.support.programs import require_program
from tests.support.running import Serving, SimulatedAmazon, serving

pytestmark = pytest.mark.integration

HOST = "advertising-api.amazon.com"
CONNECT = b"CONNECT %b:443 HTTP/1.1\r\nHost: %b:443\r\n\r\n" % (HOST.encode(), HOST.encode())
LONG = 10 * PATIENCE
"""Seconds. Nothing that takes so long has an end within a test."""


def request(path: str) -> bytes:
    """A GET inside a tunnel."""
    return b"GET %b HTTP/1.1\r\nHost: %b\r\n\r\n" % (path.encode(), HOST.encode())


def half_open(running: Serving) -> socket.socket:
    """A tunnel in which nobody has shaken hands; the program has said that it is open."""
    host, port = running.netloc.split(":")
    client = socket.create_connection((host, int(port)), PATIENCE)
    client.sendall(CONNECT)
    got = b""
    while b"\r\n\r\n" not in got:
        came = client.recv(4096)
        if not came:
            break
        got += came
    assert got.startswith(b"HTTP/1.1 200 "), got
    return client


def tunnel(running: Serving, ca_dir: Path) -> ssl.SSLSocket:
    """A tunnel for a client that trusts the program's authority."""
    trusting = ssl.create_default_context(cafile=ca_dir / "ca.pem")
    return trusting.wrap_socket(half_open(running), server_hostname=HOST)


@contextlib.contextmanager
def intercepting(amazon: SimulatedAmazon, tmp_path: Path, **changes: Any) -> Iterator[Serving]:
    """The program with an authority in the folder `ca`."""
    intercept = {"enabled": True, "ca_dir": str(tmp_path / "ca")}
    with serving(tmp_path, amazon.configuration(intercept=intercept, **changes)) as running:
        running.until_listed()
        yield running


def whole(client: socket.socket) -> bytes:
    """All that comes until the proxy ends the connection."""
    return b"".join(iter(lambda: client.recv(65536), b""))


def test_a_stop_lets_tunnels_end(amazon: SimulatedAmazon, tmp_path: Path) -> None:
    """A request inside is answered, idle and half-open tunnels are closed, and the program ends in good time."""
    amazon.fault({"delay": LONG}, path="/sim/slow")
    drain = {"timeout": 2 * PATIENCE}
    upstream = {"response_timeout": LONG}
    limits = {"header_timeout": LONG}
    with (
        intercepting(amazon, tmp_path, drain=drain, upstream=upstream, limits=limits) as running,
        tunnel(running, tmp_path / "ca") as busy,
        tunnel(running, tmp_path / "ca") as idle,
        half_open(running) as half,
    ):
        idle.sendall(request("/sim/bytes/5?length=1"))
        assert b"200 OK" in idle.recv(65536)
        busy.sendall(request("/sim/slow"))
        running.until(lambda: running.metric("requests_in_flight") == 1)
        running.process.signal(signal.SIGTERM)
        running.told("drain_started", in_flight=1)
        amazon.heal()
        answer = whole(busy)
        assert answer.startswith(b"HTTP/1.1 200 ")
        assert b"\r\nConnection: close\r\n" in answer
        whole(idle)
        assert running.process.wait() == 0
        assert half.recv(1) == b""
        assert running.events("server_stopped")[0]["cut"] == 0
        assert not running.events("defect_met")


def test_half_open_tunnels_leave_the_others_room(amazon: SimulatedAmazon, tmp_path: Path) -> None:
    """Hundreds of them count as connections; requests are served meanwhile, and all end with the time of a head."""
    with intercepting(amazon, tmp_path, limits={"header_timeout": 3}) as running:
        clients = [half_open(running) for _ in range(400)]
        try:
            assert running.get("/v2/profiles")[0] == 200
            with tunnel(running, tmp_path / "ca") as served:
                served.sendall(request("/v2/profiles"))
                assert served.recv(65536).startswith(b"HTTP/1.1 200 ")
            assert [client.recv(1) for client in clients] == [b""] * 400
        finally:
            for client in clients:
                client.close()
        running.until(lambda: running.status()["connections"]["clients"] == 0)
        assert not running.events("defect_met")


def test_a_client_cannot_renegotiate(amazon: SimulatedAmazon, tmp_path: Path) -> None:
    """TLS 1.2 has it: a tunnel ends, or goes on as it was."""
    openssl = require_program("openssl")
    with intercepting(amazon, tmp_path) as running:
        command = (
            *(openssl, "s_client", "-proxy", running.netloc, "-connect", f"{HOST}:443", "-servername", HOST),
            *("-tls1_2", "-legacy_renegotiation", "-CAfile", str(tmp_path / "ca" / "ca.pem"), "-verify_return_error"),
        )
        done = subprocess.run(
            command, input="R\n", capture_output=True, text=True, timeout=PATIENCE, check=False, cwd=tmp_path
        )
        said = done.stdout + done.stderr
        assert "Verify return code: 0 (ok)" in said
        assert "RENEGOTIATING" in said
        assert "no renegotiation" in said
        assert not running.events("defect_met")
