"""Kinds of client that send requests without end, each in a thread, and the outcome of each request.

A request comes to a status, or to a word: `refused` (no listener), `ended` (the connection ended without an
answer), `cut` (within one), `late` (no answer in time). Whether that is right is for `soak` to say.
"""

from __future__ import annotations

import contextlib
import http.client
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

EARLY_PATH = "/sim/status/413"
"""Where the simulator answers before it has read the body; after it, where a fault's end took that along."""
THROTTLED_PATH = "/managerAccounts"
"""Where requests are throttled at times; 429 is no loss there."""
PATIENCE = 20.0
PAUSE = 0.02
_UPLOAD = 200_000
_PIECE = 8_000
_DOWNLOAD = 1_500_000


@dataclass(frozen=True, slots=True)
class Asked:
    """One request: when, by whom, what it came to, and the id that the answer named."""

    kind: str
    began: float
    ended: float
    outcome: int | str
    request_id: str


@dataclass
class SoakClient:
    """A client of one kind. `step` makes one request on a connection that may have served before."""

    kind: str
    netloc: str
    stopping: threading.Event
    asked: list[Asked] = field(default_factory=list)

    def run(self) -> None:
        connection: http.client.HTTPConnection | None = None
        while not self.stopping.wait(PAUSE):
            began = time.monotonic()
            if connection is None:
                connection = http.client.HTTPConnection(self.netloc, timeout=PATIENCE)
            outcome: int | str
            try:
                answer = self._ask(connection)
            except (OSError, http.client.HTTPException) as error:
                outcome, request_id, stays = word(error), "", False
            else:
                outcome, request_id = self._read(answer), answer.getheader("X-Request-Id", "")
                stays = not answer.will_close and self.kind != "one connection each" and outcome != "cut"
            self.asked.append(Asked(self.kind, began, time.monotonic(), outcome, request_id))
            if not stays:
                connection.close()
                connection = None
        if connection is not None:
            connection.close()

    def _ask(self, connection: http.client.HTTPConnection) -> http.client.HTTPResponse:
        if self.kind == "uploads":
            send_slowly(connection, "/sim/echo")
        elif self.kind == "early answers" and len(self.asked) % 2 == 0:
            send_slowly(connection, EARLY_PATH)
        elif self.kind == "throttled":
            connection.request("GET", THROTTLED_PATH)
        elif self.kind == "slow reader":
            connection.request("GET", f"/sim/bytes/{_DOWNLOAD}?length=1")
        else:
            connection.request("GET", "/v2/profiles")
        return connection.getresponse()

    def _read(self, answer: http.client.HTTPResponse) -> int | str:
        """The status of an answer that came whole."""
        try:
            while answer.read(100_000):
                if self.kind == "slow reader":
                    self.stopping.wait(0.01)
        except (OSError, http.client.HTTPException):
            return "cut"
        return "cut" if answer.length else answer.status  # a read of so many bytes does not say that bytes are missing


KINDS = ("kept alive", "one connection each", "uploads", "slow reader", "early answers", "throttled")


def send_slowly(connection: http.client.HTTPConnection, path: str) -> None:
    """A body in pieces; who has answered meanwhile may have closed."""
    connection.putrequest("POST", path)
    connection.putheader("Content-Length", str(_UPLOAD))
    connection.putheader("Content-Type", "application/octet-stream")
    connection.endheaders()
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        for _ in range(_UPLOAD // _PIECE):
            connection.send(bytes(_PIECE))


def word(error: OSError | http.client.HTTPException) -> str:
    """What a failure is called."""
    if isinstance(error, ConnectionRefusedError):
        return "refused"
    if isinstance(error, TimeoutError):
        return "late"
    if isinstance(error, http.client.RemoteDisconnected | ConnectionError | http.client.BadStatusLine):
        return "ended"
    return repr(error)


@contextlib.contextmanager
def asking(netloc: str, clients_of_a_kind: int = 2) -> Iterator[list[SoakClient]]:
    """Run clients of every kind until the end of the block."""
    stopping = threading.Event()
    clients = [SoakClient(kind, netloc, stopping) for kind in KINDS for _ in range(clients_of_a_kind)]
    threads = [threading.Thread(target=client.run, daemon=True) for client in clients]
    for thread in threads:
        thread.start()
    try:
        yield clients
    finally:
        stopping.set()
        for thread in threads:
            thread.join(PATIENCE + 10)
