"""A relay in front of a server, which keeps what a client sent: to compare it with what arrived behind the server."""

from __future__ import annotations

import contextlib
import itertools
import socket
import socketserver
import threading
from bisect import bisect_right
from collections.abc import Iterator
from typing import Any

from tests.support.http_reader import Incomplete, read_head, read_request

PIECE = 1 << 18


class Relay(socketserver.ThreadingTCPServer):
    """Listens on a free port of 127.0.0.1, and passes each connection on to the server there."""

    def __init__(self, server_port: int) -> None:
        super().__init__(("127.0.0.1", 0), _Connection)
        self.behind = ("127.0.0.1", server_port)
        self.port: int = self.server_address[1]
        self.pieces: list[tuple[int, bytes]] = []
        """Each piece and the number of its connection, in the order in which they came."""
        self.numbers = itertools.count()

    def requests(self) -> list[dict[str, Any]]:
        """Method, target and headers of each request, in the order in which they began, as the simulator has them."""
        found: list[tuple[int, dict[str, Any]]] = []
        for number in {number for number, _ in self.pieces}:
            places = [place for place, (owner, _) in enumerate(self.pieces) if owner == number]
            data = b"".join(self.pieces[place][1] for place in places)
            ends = list(itertools.accumulate(len(self.pieces[place][1]) for place in places))
            at = 0
            while at < len(data):
                head, _ = read_head(data, at)
                method, target, _ = head.start.decode().split(" ")
                headers = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in head.fields]
                record = {"method": method, "target": target, "headers": headers}
                found.append((places[bisect_right(ends, at)], record))
                try:
                    _, at = read_request(data, at)
                except Incomplete:  # it was answered before all of its body was sent
                    break
        return [record for _, record in sorted(found, key=lambda pair: pair[0])]


class _Connection(socketserver.BaseRequestHandler):
    server: Relay
    request: socket.socket

    def handle(self) -> None:
        """Relay both directions until both sides have ended."""
        number = next(self.server.numbers)
        with socket.create_connection(self.server.behind) as behind:
            answers = threading.Thread(target=self._pass_on, args=(behind, self.request))
            answers.start()
            self._pass_on(self.request, behind, number)
            answers.join()

    def _pass_on(self, source: socket.socket, sink: socket.socket, kept_as: int | None = None) -> None:
        with contextlib.suppress(OSError):
            while piece := source.recv(PIECE):
                if kept_as is not None:
                    self.server.pieces.append((kept_as, piece))
                sink.sendall(piece)
        with contextlib.suppress(OSError):
            sink.shutdown(socket.SHUT_WR)


@contextlib.contextmanager
def relay(server_port: int) -> Iterator[Relay]:
    """One that ends, with its connections, at the end."""
    with Relay(server_port) as started:
        accepting = threading.Thread(target=started.serve_forever, args=(0.05,))
        accepting.start()
        try:
            yield started
        finally:
            started.shutdown()
            accepting.join()
