"""Clients that wrk cannot be: many that keep a connection and say nothing, and some that read slowly."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Iterator

from benchmarks.checkout import Worker
from benchmarks.processes import BenchmarkError

_TIMEOUT = 30.0
_HELD = 1.0
"""Seconds for which slow readers read nothing."""


def _request(worker: Worker, path: str) -> bytes:
    lines = [f"GET {path} HTTP/1.1", f"Host: 127.0.0.1:{worker.port}", "Accept: */*", "User-Agent: benchmark"]
    lines.append("Amazon-Advertising-API-Scope: 1234567890123456")
    if worker.authorization:
        lines.append(f"Authorization: {worker.authorization}")
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


@contextlib.contextmanager
def idle_connections(worker: Worker, count: int) -> Iterator[None]:
    """Hold a number of connections that were used once, and are kept open until the block ends."""
    request = _request(worker, "/sd/campaigns/1")
    with contextlib.ExitStack() as stack:
        for _ in range(count):
            client = stack.enter_context(socket.create_connection(("127.0.0.1", worker.port), timeout=_TIMEOUT))
            client.sendall(request)
            if not client.recv(65536).startswith(b"HTTP/1.1 200"):
                raise BenchmarkError("a connection that was to be idle got no 200")
        yield


def read_slowly(worker: Worker, path: str, size: int, count: int) -> None:
    """Fetch `size` bytes over each of `count` connections at once: first nothing is read, then everything."""
    whole: list[bool] = []

    def read() -> None:
        _read_slowly(worker, path, size)
        whole.append(True)

    threads = [threading.Thread(target=read, daemon=True) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(_TIMEOUT * 2)
    if len(whole) < count:
        raise BenchmarkError(f"{len(whole)} of {count} slow readers got all of {path}")


def _read_slowly(worker: Worker, path: str, size: int) -> None:
    with socket.create_connection(("127.0.0.1", worker.port), timeout=_TIMEOUT) as client:
        client.sendall(_request(worker, path))
        time.sleep(_HELD)
        got = 0
        while got < size:
            data = client.recv(1 << 18)
            if not data:
                raise BenchmarkError(f"{path} ended after {got} bytes")
            got += len(data)
