"""What stands before a server and misbehaves below HTTP: refuses, is silent, speaks no TLS, has a wrong certificate.

And a listener that does not even accept.
"""

from __future__ import annotations

import contextlib
import select
import socket
import ssl
import threading
from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path

from tests.support.certificates import Authority


class Behaviour(StrEnum):
    """How connections are taken."""

    PASS = "pass"
    """Through TLS, and on to the server."""
    REFUSED = "refused"
    SILENT = "tls-silent"
    """Accepted, and nothing more."""
    NO_TLS = "tls-error"
    """What answers is no TLS."""
    WRONG = "wrong-certificate"
    """The certificate has no trusted signature."""


class Front:
    """Listens on `port` of localhost with a certificate that `ca_file` vouches for, in front of a plain server."""

    def __init__(self, folder: Path, server: tuple[str, int]) -> None:
        authority = Authority(folder)
        self.ca_file = authority.ca_file
        (folder / "stranger").mkdir()
        self._contexts = {
            Behaviour.PASS: authority.context("localhost"),
            Behaviour.WRONG: Authority(folder / "stranger").context("localhost"),
        }
        self._server = server
        self._behaviour = Behaviour.PASS
        self._open: set[socket.socket] = set()
        self._listener: socket.socket | None = None
        self.port = 0
        self._listen()

    def behave(self, behaviour: Behaviour) -> None:
        """From now on; connections that are open end."""
        self._behaviour = behaviour
        for connection in tuple(self._open):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        if behaviour is Behaviour.REFUSED:
            self.close()
        elif self._listener is None:
            self._listen()

    def close(self) -> None:
        if self._listener is not None:
            with contextlib.suppress(OSError):
                self._listener.shutdown(socket.SHUT_RDWR)
            self._listener.close()
            self._listener = None

    def _listen(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", self.port))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, args=(self._listener,), daemon=True).start()

    def _accept(self, listener: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = listener.accept()
                threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        behaviour = self._behaviour
        self._open.add(connection)
        try:
            with connection, contextlib.suppress(OSError):
                if behaviour is Behaviour.NO_TLS:
                    connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
                elif behaviour is Behaviour.SILENT:
                    while connection.recv(4096):
                        pass
                else:
                    with self._contexts[behaviour].wrap_socket(connection, server_side=True) as secure:
                        self._relay(secure)
        finally:
            self._open.discard(connection)

    def _relay(self, secure: ssl.SSLSocket) -> None:
        """Relay both directions in one thread until one of them ends: two threads may not use one TLS socket."""
        with socket.create_connection(self._server, 10) as server:
            while True:
                ready = [secure] if secure.pending() else select.select([secure, server], [], [])[0]
                for source, target in ((secure, server), (server, secure)):
                    if source in ready:
                        data = source.recv(65536)
                        if not data:
                            return
                        target.sendall(data)


@contextlib.contextmanager
def deaf_listener() -> Iterator[tuple[str, int]]:
    """The address of a listener that accepts no connection and whose queue is full."""
    with socket.socket() as deaf, contextlib.ExitStack() as fillers:
        deaf.bind(("127.0.0.1", 0))
        deaf.listen(0)
        for _ in range(3):
            filler = fillers.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex(deaf.getsockname())
        yield deaf.getsockname()


@contextlib.contextmanager
def front(folder: Path, server: tuple[str, int]) -> Iterator[Front]:
    """One that is closed at the end."""
    opened = Front(folder, server)
    try:
        yield opened
    finally:
        opened.behave(Behaviour.REFUSED)
