"""A client's key is removed while its requests and event streams are under way, in the running program."""

from __future__ import annotations

import contextlib
import hashlib
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.patience import PATIENCE
from tests.support.running import Serving, SimulatedAmazon, serving

pytestmark = pytest.mark.integration
STREAMS = 8
KEY, OTHER_KEY = b"the key of a client that leaves", b"the key of a client that stays"
BEGINNING = (
    b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n8\r\ndata: 1\n\r\n"
)


def client(name: str, key: bytes) -> dict[str, str]:
    return {"name": name, "key_sha256": hashlib.sha256(key).hexdigest()}


@contextlib.contextmanager
def endless_streams() -> Iterator[int]:
    """A server whose every response is an event stream that does not end; its port."""
    kept: list[socket.socket] = []

    def serve(listener: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = listener.accept()
                kept.append(connection)
                connection.recv(65536)
                connection.sendall(BEGINNING)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        serving_streams = threading.Thread(target=serve, args=(listener,), daemon=True)
        serving_streams.start()
        yield listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)
    serving_streams.join(PATIENCE)
    for connection in kept:
        connection.close()


class Tool:
    """A client's connection, on which one request was sent."""

    def __init__(self, running: Serving, request: bytes) -> None:
        host, port = running.netloc.split(":")
        self.socket = socket.create_connection((host, int(port)), PATIENCE)
        self.socket.sendall(request)
        self.received = b""

    def read_until(self, marker: bytes) -> None:
        while marker not in self.received:
            data = self.socket.recv(65536)
            assert data, self.received
            self.received += data

    def read_to_the_end(self) -> bytes:
        with self.socket:
            while data := self.socket.recv(65536):
                self.received += data
        return self.received


def head(request_line: bytes, key: bytes, *lines: bytes) -> bytes:
    return b"\r\n".join((request_line + b" HTTP/1.1", b"Host: localhost", b"X-Ads-Proxy-Key: " + key, *lines, b"", b""))


def test_a_removed_key_ends_what_is_under_way(amazon: SimulatedAmazon, tmp_path: Path) -> None:
    """Event streams end; a write whose body comes later is 401; another client's go on."""
    with endless_streams() as port:
        regions = amazon.regions()
        regions["na"]["mcp_url"] = f"http://127.0.0.1:{port}/mcp"
        clients = [client("leaves", KEY), client("stays", OTHER_KEY)]
        configuration = amazon.configuration(regions=regions, clients=clients)
        with serving(tmp_path, configuration) as running:
            listen = b"Accept: text/event-stream"
            streams = [Tool(running, head(b"GET /@acme/mcp", KEY, listen)) for _ in range(STREAMS)]
            other = Tool(running, head(b"GET /@acme/mcp", OTHER_KEY, listen))
            late = Tool(running, head(b"PUT /sp/campaigns", KEY, b"Content-Length: 4", b"Connection: close") + b"ab")
            for tool in (*streams, other):
                tool.read_until(b"data: 1\n\r\n")
            running.until(lambda: running.metric("requests_in_flight") >= STREAMS + 2)
            running.write({**configuration, "clients": clients[1:]})
            for tool in streams:
                assert tool.read_to_the_end().endswith(b"data: 1\n\r\n0\r\n\r\n")
            assert len(running.told("request", STREAMS, fault="client-unknown", client="leaves")) == STREAMS
            late.socket.sendall(b"cd")
            assert late.read_to_the_end().startswith(b"HTTP/1.1 401 ")
            assert not [seen for seen in amazon.look("requests", last=1000) if seen["method"] == "PUT"]
            assert Tool(running, head(b"GET /v2/profiles", KEY, b"Connection: close")).read_to_the_end()[9:12] == b"401"
            other.socket.settimeout(0.1)
            with pytest.raises(TimeoutError):
                other.socket.recv(1)
            other.socket.close()
