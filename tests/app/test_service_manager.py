"""What a service manager is told, as it reads it from its socket."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from proxy.app.service_manager import NotifySettings, ServiceManager, notify_settings


@contextmanager
def listening(address: str) -> Iterator[socket.socket]:
    """A service manager's socket."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(address)
        listener.settimeout(10)
        yield listener


def heard(listener: socket.socket) -> list[str]:
    """The lines of the next datagram."""
    return listener.recv(4096).decode().split("\n")


@pytest.mark.parametrize(
    ("environ", "settings"),
    [
        ({}, NotifySettings()),
        ({"NOTIFY_SOCKET": ""}, NotifySettings()),
        ({"NOTIFY_SOCKET": "vsock:2:1234"}, NotifySettings()),
        ({"NOTIFY_SOCKET": "relative"}, NotifySettings()),
        ({"NOTIFY_SOCKET": "/run/systemd/notify"}, NotifySettings("/run/systemd/notify")),
        ({"NOTIFY_SOCKET": "@manager", "WATCHDOG_USEC": "30000000"}, NotifySettings("@manager", 15.0)),
        ({"NOTIFY_SOCKET": "/n", "WATCHDOG_USEC": "2000000", "WATCHDOG_PID": "7"}, NotifySettings("/n", 1.0)),
        ({"NOTIFY_SOCKET": "/n", "WATCHDOG_USEC": "2000000", "WATCHDOG_PID": "8"}, NotifySettings("/n")),
        ({"NOTIFY_SOCKET": "/n", "WATCHDOG_USEC": "often"}, NotifySettings("/n")),
        ({"NOTIFY_SOCKET": "/n", "WATCHDOG_USEC": "-5"}, NotifySettings("/n")),
        ({"NOTIFY_SOCKET": "/n", "WATCHDOG_USEC": "0"}, NotifySettings("/n")),
        ({"WATCHDOG_USEC": "2000000"}, NotifySettings()),
    ],
)
def test_the_environment_says_whom_to_tell(environ: dict[str, str], settings: NotifySettings) -> None:
    """Twice as many signs of life as are asked for, and none where the process is not the one that is watched."""
    assert notify_settings(environ, 7) == settings


@pytest.mark.parametrize("abstract", [False, True])
def test_each_word_is_a_datagram(tmp_path: Path, abstract: bool) -> None:
    """To a socket of the file system, or to one that has a name alone."""
    name = f"@{tmp_path}" if abstract else str(tmp_path / "notify")
    with listening(f"\0{tmp_path}" if abstract else name) as listener:
        manager = ServiceManager(NotifySettings(name))
        manager.ready("Serving tools.")
        assert heard(listener) == ["READY=1", "STATUS=Serving tools."]
        manager.stopping(3, 30.0)
        assert heard(listener) == ["STOPPING=1", "STATUS=Draining 3 requests.", "EXTEND_TIMEOUT_USEC=45000000"]


def test_a_reload_has_its_moment_and_its_end(tmp_path: Path) -> None:
    """The moment is of the system's monotonic clock, by which systemd knows the answer to its own signal."""
    with listening(str(tmp_path / "notify")) as listener:
        manager = ServiceManager(NotifySettings(str(tmp_path / "notify")))
        before = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
        with pytest.raises(LookupError), manager.reloading():
            word, moment = heard(listener)
            assert word == "RELOADING=1"
            at = int(moment.removeprefix("MONOTONIC_USEC="))
            assert before <= at <= time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
            raise LookupError
        assert heard(listener) == ["READY=1"]


async def test_signs_of_life_come_again_and_again(tmp_path: Path) -> None:
    """From the event loop: one that hangs gives none."""
    with listening(str(tmp_path / "notify")) as listener:
        listener.setblocking(False)
        manager = ServiceManager(NotifySettings(str(tmp_path / "notify"), 0.001))
        manager.begin()
        loop = asyncio.get_running_loop()
        for _ in range(3):
            assert await loop.sock_recv(listener, 4096) == b"WATCHDOG=1"
        manager.end()


@pytest.mark.parametrize("address", ["", "/nowhere/at/all", "@nobody-listens-here", "/" + "x" * 200])
def test_nobody_to_tell_is_no_trouble(address: str) -> None:
    """Without a socket, with one that is gone, or with a name that no socket can have."""
    manager = ServiceManager(NotifySettings(address))
    manager.begin()
    manager.ready("Serving.")
    with manager.reloading():
        manager.stopping(0, 1.0)
    manager.end()


def test_who_waits_for_words_that_nobody_reads_is_not_waited_for(tmp_path: Path) -> None:
    """A socket whose queue is full takes no more, and holds up nothing."""
    with listening(str(tmp_path / "notify")) as listener:
        manager = ServiceManager(NotifySettings(str(tmp_path / "notify")))
        for number in range(5000):
            manager.ready(f"Number {number}.")
        assert heard(listener) == ["READY=1", "STATUS=Number 0."]


def test_it_says_where_it_tells() -> None:
    """As a log or a debugger shows it."""
    assert repr(ServiceManager()) == "<ServiceManager at nowhere>"
    assert repr(ServiceManager(NotifySettings("/run/systemd/notify"))) == "<ServiceManager at /run/systemd/notify>"
