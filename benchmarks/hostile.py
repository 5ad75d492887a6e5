"""How long others wait while a stranger sends the costliest bytes there are, compared with plain requests without a
key.

The program serves a tool that asks once a few milliseconds; meanwhile strangers send bytes of one kind, each connection
anew where it is closed, at a bounded rate. What comes out is the tool's median: a report, never a failure.
"""

from __future__ import annotations

import contextlib
import http.client
import multiprocessing
import selectors
import socket
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path

from benchmarks.checkout import Worker, this_checkout
from benchmarks.processes import stopped_at_end
from benchmarks.scenarios import KEYED
from benchmarks.upstream import PROFILE, start_upstream

BYTES_A_SECOND = 6_000_000
SECONDS = 5.0
_PAUSE = 0.005
_MARGIN = 0.5
_CONNECTIONS = 16
_PIECE = 65536
_FORM = b"Content-Type: application/x-www-form-urlencoded\r\n"


def _get(path: bytes, *lines: bytes) -> bytes:
    return b"GET " + path + b" HTTP/1.1\r\nHost: 127.0.0.1\r\n" + b"".join(line + b"\r\n" for line in lines) + b"\r\n"


KINDS: dict[str, bytes] = {
    "nothing": b"",
    "requests without a key": _get(b"/v2/profiles", b"X-Filler: " + b"a" * 1000),
    "one-byte chunks": b"POST /auth/o2/token HTTP/1.1\r\nHost: 127.0.0.1\r\n"
    + _FORM
    + b"Transfer-Encoding: chunked\r\n\r\n"
    + b"1\r\na\r\n" * 2700,
    "one-byte chunks without a key": b"POST /v2/x HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: chunked\r\n\r\n"
    + b"1\r\na\r\n" * 10_000,
    "paths of 16 KB with encodings": _get(b"/" + b"%25" * 5300),
    "paths of 8 KB with encodings": _get(b"/" + b"%25/" * 2000),
    "heads of 12,000 lines": _get(b"/v2/profiles", *(b"a:b" for _ in range(12_000))),
    "heads of 200 lines": _get(b"/v2/profiles", *(b"X-%d: %d" % (number, number) for number in range(195))),
}
"""What is sent, over and over. `nothing` and the plain requests are what the others are compared with."""


@dataclass
class Strangers:
    """Connections that send `data` again and again, all together at most `BYTES_A_SECOND`; answers are read over."""

    port: int
    data: bytes
    sent: int = 0
    connections: int = 0

    def run(self) -> None:
        """For `SECONDS`, and a little at either end."""
        since = time.monotonic()
        with selectors.DefaultSelector() as selector:
            for _ in range(_CONNECTIONS):
                self._open(selector)
            while (lasted := time.monotonic() - since) < SECONDS + 2 * _MARGIN:
                ahead = self.sent / BYTES_A_SECOND - lasted
                if ahead > 0:
                    time.sleep(min(ahead, 0.01))
                    continue
                for key, events in selector.select(0.01):
                    self._serve(selector, key, events)
            for key in list(selector.get_map().values()):
                selector.unregister(key.fileobj)
                _socket(key).close()

    def _open(self, selector: selectors.BaseSelector) -> None:
        peer = socket.create_connection(("127.0.0.1", self.port), 10)
        peer.setblocking(False)
        self.connections += 1
        selector.register(peer, selectors.EVENT_READ | selectors.EVENT_WRITE, [0])

    def _serve(self, selector: selectors.BaseSelector, key: selectors.SelectorKey, events: int) -> None:
        peer, at = _socket(key), key.data
        try:
            if events & selectors.EVENT_READ and not peer.recv(_PIECE):
                raise ConnectionError
            if events & selectors.EVENT_WRITE:
                count = peer.send(self.data[at[0] : at[0] + _PIECE])
                at[0] = (at[0] + count) % len(self.data)
                self.sent += count
        except BlockingIOError:
            return
        except OSError:
            selector.unregister(peer)
            peer.close()
            self._open(selector)


def _socket(key: selectors.SelectorKey) -> socket.socket:
    assert isinstance(key.fileobj, socket.socket)
    return key.fileobj


def measure_hostile(report: Callable[[str], None] = print) -> None:
    """Measure each kind, and print the client's median, its 99th percentile, and what was sent."""
    with tempfile.TemporaryDirectory() as temporary, contextlib.ExitStack() as stack:
        work = Path(temporary)
        upstream = start_upstream(work)
        stack.enter_context(stopped_at_end(upstream.process))
        worker = this_checkout().start(upstream, KEYED.setting, work / "worker")
        stack.enter_context(stopped_at_end(worker.process))
        report(f"{'sent by strangers':<34}{'MB/s':>7}{'connections':>13}{'p50 ms':>9}{'p99 ms':>9}")
        for kind, data in KINDS.items():
            with sending(worker.port, data) as sent:
                waits = sorted(_ask(worker))
            mega, connections = sent()
            p50, p99 = statistics.median(waits) * 1000, waits[int(len(waits) * 0.99)] * 1000
            report(f"{kind:<34}{mega:>7.1f}{connections:>13}{p50:>9.2f}{p99:>9.2f}")


@contextlib.contextmanager
def sending(port: int, data: bytes) -> Iterator[Callable[[], tuple[float, int]]]:
    """Strangers at work meanwhile, in a process of their own; gives, at the end, MB a second and connections."""
    if not data:
        yield lambda: (0.0, 0)
        return
    ours, theirs = multiprocessing.Pipe()
    process = multiprocessing.Process(target=_send, args=(port, data, theirs), daemon=True)
    process.start()
    time.sleep(_MARGIN)
    yield ours.recv
    process.join(20)


def _send(port: int, data: bytes, told: Connection) -> None:
    strangers = Strangers(port, data)
    strangers.run()
    told.send((strangers.sent / (SECONDS + 2 * _MARGIN) / 1e6, strangers.connections))


def _ask(worker: Worker) -> Iterator[float]:
    """How long each of a client's requests takes, one after the other on one connection."""
    connection = http.client.HTTPConnection("127.0.0.1", worker.port, timeout=60)
    headers = {"Authorization": worker.authorization, "Amazon-Advertising-API-Scope": PROFILE}
    end = time.monotonic() + SECONDS
    while time.monotonic() < end:
        since = time.perf_counter()
        connection.request("GET", "/sp/campaigns/1", headers=headers)
        connection.getresponse().read()
        yield time.perf_counter() - since
        time.sleep(_PAUSE)
    connection.close()
