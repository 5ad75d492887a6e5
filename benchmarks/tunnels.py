"""What a tunnel costs (CONNECT, and TLS that ends at the proxy): its opening, a request inside, its memory.

`python -m benchmarks tunnels`. A request inside is paired with one over plain HTTP, which the same client sends to the
same process right before it; each waits for its answer, so no request shares its wake-up with another.
"""

from __future__ import annotations

import contextlib
import re
import socket
import ssl
import statistics
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import yaml

from benchmarks.checkout import Setting, configuration, this_checkout
from benchmarks.processes import Process, free_port, stopped_at_end
from benchmarks.upstream import start_upstream

HOST = "advertising-api.amazon.com"
_REQUEST = (
    f"GET /v2/profiles HTTP/1.1\r\nHost: {HOST}\r\nAuthorization: Bearer Atza|old\r\n"
    "Accept: */*\r\nUser-Agent: python-requests/2.32.3\r\n\r\n"
).encode()
_CONNECT = f"CONNECT {HOST}:443 HTTP/1.1\r\nHost: {HOST}:443\r\n\r\n".encode()
_REQUESTS, _OPENED, _PATIENCE = 200, 20, 600
_LENGTH = re.compile(rb"(?i)\r\ncontent-length: *(\d+)")


@dataclass(frozen=True, slots=True)
class Findings:
    """Seconds of CPU, and bytes: `plain` and `inside` of a request, `opening` of a tunnel, `idle` and `half_open` of
    memory. `ratio` is the median of the pairs."""

    plain: float
    inside: float
    ratio: float
    opening: float
    idle: float
    half_open: float


def measure(rounds: int, count: int) -> Findings:
    """Measure this checkout with so many rounds, and so many tunnels for their memory."""
    with contextlib.ExitStack() as stack:
        work = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        upstream = start_upstream(work)
        stack.enter_context(stopped_at_end(upstream.process))
        source, port = this_checkout(), free_port()
        config = configuration(upstream, Setting(), port, free_port())
        config["intercept"] = {"enabled": True, "ca_dir": str(work / "ca")}
        config["limits"] = {"header_timeout": _PATIENCE, "keepalive_timeout": _PATIENCE}
        (work / "proxy.yaml").write_text(yaml.safe_dump(config))
        command = [source.python, "-m", "proxy", "serve", "--config", str(work / "proxy.yaml")]
        process = Process(command, work / "output.log", env=source.environment())
        stack.enter_context(stopped_at_end(process))
        process.wait_ready(port)
        return _measure(Clients(port, work / "ca" / "ca.pem"), process, rounds, count)


class Clients:
    """Opens connections of clients that trust the proxy's authority."""

    def __init__(self, port: int, authority: Path) -> None:
        self._port = port
        self._trusting = ssl.create_default_context(cafile=authority)

    def plain(self) -> socket.socket:
        """A connection to the proxy."""
        return socket.create_connection(("127.0.0.1", self._port), _PATIENCE)

    def half_open(self) -> socket.socket:
        """A tunnel in which nobody has shaken hands."""
        client = self.plain()
        client.sendall(_CONNECT)
        while b"\r\n\r\n" not in client.recv(4096, socket.MSG_PEEK):
            pass
        client.recv(4096)
        return client

    def tunnel(self) -> socket.socket:
        """The inside of a new tunnel."""
        return self._trusting.wrap_socket(self.half_open(), server_hostname=HOST)

    def used_tunnel(self) -> socket.socket:
        """The inside of a tunnel that has served a request."""
        client = self.tunnel()
        ask(client)
        return client


def ask(client: socket.socket) -> None:
    """Send a request, and wait for the whole answer."""
    client.sendall(_REQUEST)
    came = client.recv(65536)
    while b"\r\n\r\n" not in came:
        came += client.recv(65536)
    head, _, body = came.partition(b"\r\n\r\n")
    found = _LENGTH.search(head)
    left = (int(found[1]) if found else 0) - len(body)
    while left > 0:
        left -= len(client.recv(65536))


def _measure(clients: Clients, process: Process, rounds: int, count: int) -> Findings:
    plain, inside = clients.plain(), clients.used_tunnel()
    pairs = [(_cpu(process, plain), _cpu(process, inside)) for _ in range(rounds + 1)][1:]
    openings = []
    for _ in range(rounds):
        before = process.cpu()
        opened = [clients.tunnel() for _ in range(_OPENED)]
        openings.append((process.cpu() - before) / _OPENED)
        for client in opened:
            client.close()
    half_open, idle = (_memory(process, make, count) for make in (clients.half_open, clients.used_tunnel))
    for client in (plain, inside):
        client.close()
    return Findings(
        statistics.median(plain for plain, _ in pairs),
        statistics.median(inside for _, inside in pairs),
        statistics.median(inside / plain for plain, inside in pairs),
        statistics.median(openings),
        idle,
        half_open,
    )


def _cpu(process: Process, client: socket.socket) -> float:
    """Seconds of the proxy's CPU for a request."""
    before = process.cpu()
    for _ in range(_REQUESTS):
        ask(client)
    return (process.cpu() - before) / _REQUESTS


def _memory(process: Process, make: Callable[[], socket.socket], count: int) -> float:
    """Bytes that the proxy keeps for a connection, while all stay open. The first ones fill what was free before."""
    first = [make() for _ in range(count // 2)]
    before = process.memory().rss
    opened = [make() for _ in range(count)]
    kept = (process.memory().rss - before) / count
    for client in (*first, *opened):
        client.close()
    return kept


def report(found: Findings) -> str:
    """The costs as lines for people."""
    return "\n".join(
        (
            f"a request: {found.plain * 1e6:.0f} us over plain HTTP, {found.inside * 1e6:.0f} us inside a tunnel, "
            f"{found.ratio:.2f} times as much",
            f"a new tunnel: {found.opening * 1e3:.2f} ms",
            f"an idle tunnel: {found.idle / 1024:.1f} KiB; a half-open one: {found.half_open / 1024:.1f} KiB",
        )
    )
