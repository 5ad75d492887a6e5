"""One client wants every connection that Amazon's host may have: the others are served nevertheless."""

from __future__ import annotations

import contextlib
import hashlib
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.patience import PATIENCE
from tests.support.running import Serving, SimulatedAmazon, serving

pytestmark = pytest.mark.integration
PLACES = 24
LONG = 10 * PATIENCE
"""Seconds: what the greedy client has under way stays so until it leaves."""
MODEST = {"X-Ads-Proxy-Key": "key-of-modest"}


@contextlib.contextmanager
def attacked(running: Serving, first: bytes, count: int) -> Iterator[list[socket.socket]]:
    """A number of connections of the client `greedy`, each of which sent this and reads nothing."""
    host, port = running.netloc.split(":")
    opened: list[socket.socket] = []
    try:
        for _ in range(count):
            opened.append(socket.create_connection((host, int(port)), PATIENCE))
            opened[-1].sendall(first)
        yield opened
    finally:
        for each in opened:
            each.close()


def key(name: str) -> dict[str, str]:
    return {"name": name, "key_sha256": hashlib.sha256(f"key-of-{name}".encode()).hexdigest()}


HOST = b"HTTP/1.1\r\nHost: localhost\r\nX-Ads-Proxy-Key: key-of-greedy\r\n"


@pytest.mark.parametrize(
    ("first", "count"),
    [
        (b"GET /sim/bytes/50000000 " + HOST + b"\r\n", PLACES),
        (b"POST /sim/echo " + HOST + b"Content-Length: 1000\r\n\r\na", 256),
        (b"POST /sim/echo " + HOST + b"Transfer-Encoding: chunked\r\n\r\n1\r\na\r\n", 256),
        (b"POST /sim/echo " + HOST + b"Content-Length: 900000000\r\n\r\n" + bytes(300_000), PLACES),
        (b"POST /sim/echo " + HOST + b"Expect: 100-continue\r\nContent-Length: 1000\r\n\r\n", PLACES),
    ],
    ids=["unread answers", "slow uploads", "slow chunks", "large slow uploads", "expecting a 100"],
)
def test_a_greedy_client_leaves_the_others_their_places(
    amazon: SimulatedAmazon, tmp_path: Path, first: bytes, count: int
) -> None:
    """The client can have a quarter under way at most; another client's requests pass at the same time."""
    configuration = amazon.configuration(
        clients=[key("greedy"), key("modest")],
        upstream={"max_connections": PLACES, "response_timeout": LONG, "idle_timeout": LONG},
        limits={"body_timeout": LONG, "send_timeout": LONG, "min_body_rate": 0},
    )
    with serving(tmp_path, configuration) as running:
        running.until_listed()
        with attacked(running, first, count):
            running.until(lambda: running.metric("requests_in_flight") >= PLACES // 4)
            for _ in range(20):
                assert running.get("/v2/profiles", MODEST)[0] == 200
            running.until(lambda: running.metric("requests_in_flight") == PLACES // 4)
        running.until(lambda: running.metric("requests_in_flight") == 0)
        assert not running.events("defect_met")
