"""What HAProxy with config/haproxy/haproxy.cfg does with replicas that fail: bytes of replicas that a test scripts."""

from __future__ import annotations

import http.client
import http.server
import json
import subprocess
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.integration.balancing import EXAMPLE, haproxy
from tests.support.patience import PATIENCE
from tests.support.processes import until
from tests.support.programs import require_program

pytestmark = [pytest.mark.integration, pytest.mark.haproxy]


class Replica(http.server.BaseHTTPRequestHandler):
    """Counts requests by method, and ends each connection without a response. `/readyz` is 200 or 503."""

    protocol_version = "HTTP/1.1"
    seen: Counter[str]
    ready: threading.Event

    def do_GET(self) -> None:
        if self.path != "/readyz":
            self._break_off()
            return
        self.send_response(200 if self.ready.is_set() else 503)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self._break_off()

    def do_PUT(self) -> None:
        self.do_POST()

    def do_PATCH(self) -> None:
        self.do_POST()

    def do_DELETE(self) -> None:
        self.do_POST()

    def _break_off(self) -> None:
        self.seen[self.command] += 1
        self.close_connection = True

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name
        """Says nothing."""


class Replicas:
    """Two of them behind HAProxy."""

    def __init__(self, folder: Path, opened: ExitStack) -> None:
        self.seen: Counter[str] = Counter()
        self.ready = threading.Event()
        handler = type("Counting", (Replica,), {"seen": self.seen, "ready": self.ready})
        configurations: list[dict[str, Any]] = []
        for _ in range(2):
            server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
            thread = threading.Thread(target=server.serve_forever, daemon=True)
            thread.start()
            opened.callback(thread.join, PATIENCE)
            opened.callback(server.server_close)
            opened.callback(server.shutdown)
            address = f"127.0.0.1:{server.server_address[1]}"
            configurations.append({"listen": address, "admin_listen": address})
        self.ready.set()
        self._netloc = opened.enter_context(haproxy(folder, configurations))

    def ask(self, method: str) -> tuple[int, http.client.HTTPMessage, bytes]:
        """Status, fields and body of a response."""
        connection = http.client.HTTPConnection(self._netloc, timeout=PATIENCE)
        with closing(connection):
            connection.request(method, "/sp/campaigns", None if method == "GET" else b"{}")
            response = connection.getresponse()
            return response.status, response.headers, response.read()


@contextmanager
def replicas(folder: Path) -> Iterator[Replicas]:
    with ExitStack() as opened:
        yield Replicas(folder, opened)


def test_the_example_has_no_warning(tmp_path: Path) -> None:
    """HAProxy takes it as it is, once the replicas have addresses."""
    path = tmp_path / "haproxy.cfg"
    path.write_text(EXAMPLE.read_text().replace(":8080\n", ":8080 disabled\n").replace(" replica-", " 127.0.0.1 #"))
    text = EXAMPLE.read_text()
    for number in "123":
        text = text.replace(f"replica-{number}:8080", f"127.0.0.{number}:8080")
    path.write_text(text)
    command = [require_program("haproxy"), "-c", "-dW", "-f", str(path)]
    checked = subprocess.run(command, capture_output=True, text=True, check=False, timeout=PATIENCE)
    assert (checked.returncode, checked.stderr) == (0, "")


@pytest.mark.parametrize(("method", "most"), [("GET", 4), ("POST", 1), ("PUT", 1), ("PATCH", 1), ("DELETE", 1)])
def test_a_write_that_broke_off_is_not_sent_again(tmp_path: Path, method: str, most: int) -> None:
    """A read is sent to other replicas, and both end in a 502 where no one answers."""
    with replicas(tmp_path) as running:
        assert running.ask(method)[0] == 502
        assert running.seen == {method: most}


def test_no_ready_replica_is_a_problem_document(tmp_path: Path) -> None:
    """With `Retry-After`; once a replica is ready again, it gets requests."""
    with replicas(tmp_path) as running:
        running.ready.clear()
        until(lambda: running.ask("POST")[0] == 503)
        status, fields, body = running.ask("POST")
        assert (status, fields["Content-Type"], fields["Retry-After"]) == (503, "application/problem+json", "1")
        assert json.loads(body)["code"] == "503"
        running.ready.set()
        until(lambda: running.ask("POST")[0] == 502)
