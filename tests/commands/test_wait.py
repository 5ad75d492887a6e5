"""`wait`: ready is 0, anything else within the time is asked again, and in the end is said in words."""

from __future__ import annotations

import re
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from proxy.commands.cli import main
from proxy.commands.terminal import FAILED, OK
from proxy.commands.wait import INTERVAL, wait_until_ready
from proxy.config import Address


class Admin(HTTPServer):
    """An admin listener whose `/readyz` gives these statuses in turn, the last one again and again."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Readiness)
        self.statuses = [200]
        self.asked: list[str] = []

    @property
    def address(self) -> Address:
        return Address("127.0.0.1", self.server_port)


class Readiness(BaseHTTPRequestHandler):
    server: Admin

    def do_GET(self) -> None:
        self.server.asked.append(self.path)
        statuses = self.server.statuses
        self.send_response(statuses.pop(0) if len(statuses) > 1 else statuses[0])
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name
        """Nothing."""


@pytest.fixture
def admin() -> Iterator[Admin]:
    with Admin() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


class Clock:
    """A clock that only pauses move."""

    def __init__(self) -> None:
        self.now = 0.0
        self.pauses = 0

    def __call__(self) -> float:
        return self.now

    def pause(self, seconds: float) -> None:
        self.now += seconds
        self.pauses += 1


def waited(address: Address, timeout: float = 1.0) -> tuple[int, int]:
    """The exit code, and how often it paused."""
    clock = Clock()
    return wait_until_ready(address, timeout, clock=clock, pause=clock.pause), clock.pauses


def test_a_program_that_is_ready_is_not_waited_for(admin: Admin) -> None:
    """One question."""
    assert waited(admin.address) == (OK, 0)
    assert admin.asked == ["/readyz"]


def test_it_is_asked_until_it_is_ready(admin: Admin) -> None:
    """The command asks as often as needed."""
    admin.statuses = [503, 503, 200]
    assert waited(admin.address) == (OK, 2)


@pytest.mark.parametrize(("status", "says"), [(503, "no account can serve yet"), (404, "give the admin_listen")])
def test_what_keeps_it_is_said_when_the_time_is_over(
    admin: Admin, capsys: pytest.CaptureFixture[str], status: int, says: str
) -> None:
    """The reason is printed once, with exit code 1."""
    admin.statuses = [status]
    assert waited(admin.address, 4 * INTERVAL) == (FAILED, 4)
    complaint = capsys.readouterr().err
    assert complaint.startswith("ads-proxy: not ready after 1 s: ")
    assert says in complaint


def test_a_program_that_is_not_there_yet_is_waited_for(capsys: pytest.CaptureFixture[str]) -> None:
    """The program is missing in the end as in the beginning."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        address = Address("127.0.0.1", probe.getsockname()[1])
    assert waited(address) == (FAILED, 4)
    assert "does not answer" in capsys.readouterr().err


def test_no_patience_is_one_question(admin: Admin) -> None:
    """`--timeout 0` asks and says."""
    admin.statuses = [503]
    assert waited(admin.address, 0.0) == (FAILED, 0)
    assert len(admin.asked) == 1


@pytest.mark.parametrize("command", ["wait", "status"])
@pytest.mark.parametrize("address", ["9081", ":9081", "a..b:9081"])
def test_an_address_that_is_none_is_refused(
    command: str, address: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The proxy at the default address is another one: its answer would be taken for that of the asked one."""
    monkeypatch.setattr("proxy.commands.wait.wait_until_ready", lambda *_: OK)
    monkeypatch.setattr("proxy.commands.status.print_status", lambda *_, **__: OK)
    monkeypatch.setattr("sys.argv", ["ads-proxy", command, "--admin-listen", address])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    assert "ads-proxy: --admin-listen: " in capsys.readouterr().err


@pytest.mark.parametrize("command", ["wait", "status"])
def test_a_configuration_that_cannot_be_read_is_told(
    command: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The configuration may name another address than the default one."""
    monkeypatch.setattr("proxy.commands.wait.wait_until_ready", lambda *_: OK)
    monkeypatch.setattr("proxy.commands.status.print_status", lambda *_, **__: OK)
    monkeypatch.setattr("sys.argv", ["ads-proxy", command, "--config", "none.yaml"])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    assert re.fullmatch(r"ads-proxy: --config: the file .* does not exist; .*\n", capsys.readouterr().err)
