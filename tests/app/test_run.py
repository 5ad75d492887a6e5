"""The order of the end: how draining waits, and for what, on a program that only pretends."""

from __future__ import annotations

import asyncio
import os
import re
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from proxy.app.process import StopSignals, connections_within
from proxy.app.program import Program
from proxy.app.run import (
    RESTART_ONLY,
    RESTART_ONLY_KEYS,
    NotifySettings,
    ServiceManager,
    compare,
    directories_of,
    drain,
    notify_settings,
    read,
    start,
    stop,
)
from proxy.config import Config, ReadingMemory, load, stamps_of
from proxy.downstream.ports import Availability
from proxy.errors import ConfigurationError, StartupError
from proxy.events import DrainStarted, Event, ServerStopped
from tests.support.patience import PATIENCE
from tests.support.programs import ROOT


@dataclass
class Pretended:
    """What `drain` needs of a program. `states` are what it finds, look by look: requests in flight, bytes unsent."""

    states: list[tuple[int, bool]]
    delay: float = 0.0
    timeout: float = 30.0
    told: list[str] = field(default_factory=list)
    looks: int = 0
    found: list[Availability] = field(default_factory=list)
    meanwhile: Callable[[int], None] = lambda _look: None

    @property
    def config(self) -> Any:
        return SimpleNamespace(drain=SimpleNamespace(delay=self.delay, timeout=self.timeout))

    @property
    def forwarder(self) -> Any:
        return self

    @property
    def accounting(self) -> Any:
        return self

    @property
    def client_connections(self) -> Any:
        return self

    @property
    def observers(self) -> Any:
        return self

    availability = Availability.SERVING

    @property
    def in_flight(self) -> int:
        if "closed" in self.told:
            self.found.append(self.availability)
            self.looks += 1
            self.meanwhile(self.looks)
        return self.states[min(self.looks, len(self.states) - 1)][0]

    async def stop_reports(self) -> None:
        self.told.append("reports stopped")

    @property
    def unsent(self) -> bool:
        return self.states[min(self.looks, len(self.states) - 1)][1]

    @property
    def acceptors(self) -> list[Any]:
        return [self]

    def close(self) -> None:
        """Close the listener."""
        self.told.append("closed")

    def wind_down(self) -> None:
        """Wind down the connections, none of which is a stream."""

    def close_idle(self) -> None:
        if self.availability is Availability.CLOSING:
            self.told.append("refusing")

    def end_all(self) -> int:
        return self.in_flight

    def give_late(self) -> None:
        self.told.append("accounts given")

    def observe(self, event: Event) -> None:
        cut = f" {event.cut}" if isinstance(event, ServerStopped) else ""
        self.told.append(f"{type(event).__name__}{cut}")


async def drained(program: Pretended, at_once: asyncio.Event | None = None) -> list[str]:
    async with asyncio.timeout(PATIENCE):
        await drain(cast(Program, program), at_once or asyncio.Event())
    return program.told


async def test_the_order_is_tell_close_wait_stop() -> None:
    """Unready first, then closed, then patience until nothing runs."""
    program = Pretended([(2, False), (2, False), (1, False), (0, False)])
    assert await drained(program) == [
        "reports stopped", DrainStarted.__name__, "closed", "refusing", "accounts given", "ServerStopped 0",
    ]  # fmt: skip
    assert program.found == [Availability.DRAINING] * 3 + [Availability.CLOSING] * 3
    assert program.looks >= 3


async def test_an_answer_that_a_tool_has_not_taken_yet_is_waited_for() -> None:
    """Nothing is in flight any more, but bytes of an answer are still here."""
    program = Pretended([(0, True), (0, True), (0, True), (0, True), (0, False)])
    assert (await drained(program))[-1] == "ServerStopped 0"
    assert program.looks >= 4


async def test_the_time_limit_ends_the_waiting() -> None:
    """What still runs then is cut, and counted."""
    assert (await drained(Pretended([(3, False)], timeout=0.05)))[-1] == "ServerStopped 3"


async def test_hurry_ends_delay_and_waiting() -> None:
    """A second signal is not kept waiting, neither by the delay nor by requests."""
    at_once = asyncio.Event()
    at_once.set()
    assert await drained(Pretended([(1, False)], delay=60), at_once) == [
        "reports stopped", "DrainStarted", "closed", "refusing", "accounts given", "ServerStopped 1",
    ]  # fmt: skip
    later = asyncio.Event()
    program = Pretended([(1, False)], meanwhile=lambda look: later.set() if look == 3 else None)
    assert (await drained(program, later))[-1] == "ServerStopped 1"


async def test_a_signal_ends_a_start_that_takes_long() -> None:
    """A store that hangs may hold it up; what it opened is for the stop behind it."""
    begun, asked, ended = asyncio.Event(), asyncio.Event(), list[bool]()

    async def begin_for_ever() -> None:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.append(True)

    async with asyncio.timeout(PATIENCE), asyncio.TaskGroup() as group:
        starting = group.create_task(start(cast(Program, SimpleNamespace(start=begin_for_ever)), asked))
        await begun.wait()
        asked.set()
        assert await starting is False
    assert ended == [True]


async def test_a_start_that_no_signal_ends_is_complete_or_raises() -> None:
    """The start ends as if no signal were awaited."""

    async def fail() -> None:
        raise StartupError("the port is taken")

    async def succeed() -> None: ...

    with pytest.raises(StartupError, match="taken"):
        await start(cast(Program, SimpleNamespace(start=fail)), asyncio.Event())
    assert await start(cast(Program, SimpleNamespace(start=succeed)), asyncio.Event())


async def test_hurry_ends_the_closing_that_has_begun(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is in flight any more, but a token request or the store hangs."""
    monkeypatch.setattr("proxy.app.run._STOP_AT_ONCE_TIMEOUT", 0.01)
    at_once, begun = asyncio.Event(), asyncio.Event()

    async def close_for_ever() -> None:
        begun.set()
        await asyncio.Event().wait()

    async with asyncio.timeout(PATIENCE), asyncio.TaskGroup() as group:
        ending = group.create_task(stop(cast(Program, SimpleNamespace(stop=close_for_ever)), at_once))
        await begun.wait()
        at_once.set()
        await ending


async def test_what_fails_at_the_closing_is_raised() -> None:
    """The program ends nevertheless."""

    async def fail() -> None:
        raise OSError("disk")

    with pytest.raises(OSError, match="disk"):
        await stop(cast(Program, SimpleNamespace(stop=fail)), asyncio.Event())


def test_the_first_signal_asks_and_the_second_hurries() -> None:
    """A third ends the process where it stands."""
    ended: list[int] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("os._exit", ended.append)
        signals = StopSignals()
        signals.note()
        assert (signals.stop.is_set(), signals.stop_at_once.is_set()) == (True, False)
        signals.note()
        assert (signals.stop_at_once.is_set(), ended) == (True, [])
        signals.note()
        assert ended == [1]


@pytest.mark.parametrize(
    ("open_files", "connections"), [(0, 0), (64, 1), (256, 64), (1024, 448), (20128, 10000), (1048576, 524224)]
)
def test_half_of_the_open_files_are_for_tools(open_files: int, connections: int) -> None:
    """Each connection of a client may need one to Amazon; some are set aside; no limit is no limit."""
    assert connections_within(open_files) == connections


ENVIRONMENT = {
    "AMAZON_ADS_CLIENT_ID": "amzn1.application-oa2-client.x",
    "AMAZON_ADS_CLIENT_SECRET": "amzn1.oa2-cs.v1.x",
    "ADS_PROXY_STATE__URL": "memory:",
}


def configured(**variables: str) -> Config:
    return load(None, {**ENVIRONMENT, **{f"ADS_PROXY_{name.upper()}": value for name, value in variables.items()}})


def test_nothing_changed_is_nothing_to_tell() -> None:
    """The same configuration was read again."""
    change = compare(configured(), configured())
    assert (change.changed, change.needs_restart) == ((), ())


@pytest.mark.parametrize(
    ("variables", "changed", "waiting"),
    [
        ({"listen": "127.0.0.1:9999"}, ("listen",), ("listen",)),
        ({"admin_listen": "127.0.0.1:9998"}, ("admin_listen",), ("admin_listen",)),
        ({"state__url": "file:/var/lib/x"}, ("state",), ("state",)),
        ({"telemetry__trust_traceparent": "true"}, ("telemetry",), ("telemetry",)),
        ({"log__format": "json"}, ("log",), ("log.format",)),
        ({"log__level": "debug"}, ("log",), ()),
        ({"drain__timeout": "5"}, ("drain",), ()),
        ({"limits__max_header_fields": "50"}, ("limits",), ()),
        ({"upstream__retry_wait": "5"}, ("upstream",), ()),
        ({"intercept__pass": "files.example.com"}, ("intercept",), ()),
    ],
)
def test_each_change_is_named_and_kept_back_where_it_must_be(
    variables: dict[str, str], changed: tuple[str, ...], waiting: tuple[str, ...]
) -> None:
    """What needs a restart is named and stays as it was; the rest is put in force."""
    running, new = configured(), configured(**variables)
    change = compare(running, new)
    assert set(change.changed) == set(changed)
    assert change.needs_restart == waiting
    for name in set(changed) - {"log"}:
        assert getattr(change.config, name) == getattr(running if name in waiting else new, name)
    assert change.config.log.format == running.log.format
    assert change.config.log.level == new.log.level


def test_interception_begins_with_a_restart_and_its_list_of_hosts_changes_at_once() -> None:
    """The authority and its listener are opened at start."""
    intercepting = {"intercept__enabled": "true", "intercept__ca_dir": "/ca", "intercept__listen": "127.0.0.1:8443"}
    running, new = configured(), configured(**intercepting, intercept__pass="files.example.com")
    change = compare(running, new)
    assert change.needs_restart == ("intercept.enabled", "intercept.ca_dir", "intercept.listen")
    assert change.config.intercept == running.intercept.model_copy(update={"passed": ("files.example.com",)})


def test_a_tls_listener_that_others_reach_keeps_the_clients_keys() -> None:
    """Without clients, anyone could use the accounts through it until the restart that closes it."""
    clients = f'[{{"name": "shop", "key_sha256": "{"a" * 64}"}}]'
    intercepting = {"intercept__enabled": "true", "intercept__ca_dir": "/ca", "intercept__listen": "0.0.0.0:8443"}
    running = configured(**intercepting, clients=clients)
    change = compare(running, configured())
    assert "clients" in change.needs_restart
    assert change.config.clients == running.clients


def test_what_waits_keeps_waiting_through_further_changes() -> None:
    """A second change does not make the first one forgotten; taking it back does."""
    running = configured()
    first = compare(running, configured(listen="127.0.0.1:9999"))
    second = compare(first.config, configured(listen="127.0.0.1:9999", drain__delay="1"))
    assert (second.needs_restart, second.config.drain.delay) == (("listen",), 1)
    assert compare(second.config, configured(drain__delay="1")).needs_restart == ()


def test_a_sign_in_comes_back_to_the_admin_listener_until_that_moves() -> None:
    """Nothing answers yet at its new address; a redirect address of one's own leads wherever it says."""
    running, moved = configured(), configured(admin_listen="127.0.0.1:9998")
    assert compare(running, moved).config.accounts == running.accounts
    account = moved.accounts["default"].model_copy(update={"redirect_uri": "https://amazon.com"})
    change = compare(running, moved.model_copy(update={"accounts": {"default": account}}))
    assert change.config.accounts["default"].redirect_uri == "https://amazon.com"


def test_a_listener_that_others_reach_keeps_its_keys_until_it_moves() -> None:
    """New addresses on loopback need no keys, and wait for a restart: anyone would get in at the old ones."""
    key, clients = "k" * 43, f'[{{"name": "shop", "key_sha256": "{"a" * 64}"}}]'
    running = configured(listen="0.0.0.0:8080", admin_listen="0.0.0.0:8081", clients=clients, admin__key=key)
    change = compare(running, configured(admin__open_metrics="false"))
    assert change.needs_restart == ("listen", "admin_listen", "clients", "admin.key")
    assert (change.config.clients, change.config.admin.key) == (running.clients, running.admin.key)
    assert not change.config.admin.open_metrics
    allowed = compare(running, configured(allow_unauthenticated="true", admin__key=key))
    assert allowed.needs_restart == ("listen", "admin_listen")


class Files:
    """A `load` over real files, which does something each time it is called."""

    def __init__(self, *files: Path, meanwhile: Callable[[int], Any] = lambda _count: None) -> None:
        self.files = files
        self.calls = 0
        self._meanwhile = meanwhile

    def __call__(self, running: Config | None, memory: ReadingMemory) -> Config:
        self.calls += 1
        config = configured().model_copy(update={"sources": self.files})
        self._meanwhile(self.calls)
        return config


def test_known_files_are_read_once(tmp_path: Path) -> None:
    """Where nothing changes meanwhile, one reading is enough."""
    file = tmp_path / "a"
    file.write_text("1")
    files = Files(file)
    reading = read(files, known=(file,))
    assert (files.calls, reading.stamps) == (1, stamps_of((file,)))


def test_a_change_while_reading_is_read_again(tmp_path: Path) -> None:
    """A file that was written between reading and remembering is not missed."""
    file = tmp_path / "a"
    file.write_text("1")
    files = Files(file, meanwhile=lambda call: file.write_text("22") if call == 1 else None)
    reading = read(files, known=(file,))
    assert (files.calls, reading.stamps) == (2, stamps_of((file,)))


def test_a_file_that_never_rests_does_not_hold_up_for_ever(tmp_path: Path) -> None:
    """After a few attempts the last reading counts; its stamps tell that there is more to come."""
    file = tmp_path / "a"
    file.write_text("1")
    files = Files(file, meanwhile=lambda call: file.write_text("1" * call * 3))
    reading = read(files, known=(file,))
    assert files.calls == 4
    assert reading.stamps == stamps_of((file,))


def test_a_folder_that_cannot_be_searched_is_not_watched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Other folders are watched: the watch goes on, and so does the stop, which waits for it."""
    hidden, real = tmp_path / "hidden", os.stat

    def refuse(path: Any, *rest: Any, **named: Any) -> os.stat_result:
        if hidden in Path(path).parents:
            raise PermissionError(13, "Permission denied")
        return real(path, *rest, **named)

    monkeypatch.setattr(os, "stat", refuse)
    assert directories_of((tmp_path / "proxy.yaml", hidden / "below" / "accounts.yaml")) == {tmp_path}


def test_what_load_raises_comes_through() -> None:
    """Reading does not judge."""

    def fail(running: Config | None, memory: ReadingMemory) -> Config:
        raise ConfigurationError(("listen: no",))

    with pytest.raises(ConfigurationError, match="listen: no"):
        read(fail)


def test_the_page_names_what_waits_for_a_restart() -> None:
    """All of it, in docs/how-to/configure.md: who changes such a key and waits would wait for ever."""
    page = (ROOT / "docs" / "how-to" / "configure.md").read_text(encoding="utf-8")
    found = re.search(r"(`listen`, [a-z_.`,\s]*) wait for a restart, and so do environment\s+variables", page)
    assert found is not None
    keys = (f"{section}.{key}" for section, keys in RESTART_ONLY_KEYS.items() for key in keys)
    assert set(re.findall(r"`([a-z_.]+)`", found[1])) == {*RESTART_ONLY, *keys}


@contextmanager
def listening(address: str) -> Iterator[socket.socket]:
    """A service manager's socket."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(address)
        listener.settimeout(PATIENCE)
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
        manager.ready("Serving clients.")
        assert heard(listener) == ["READY=1", "STATUS=Serving clients."]
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
    """The `repr` shows it to a log or a debugger."""
    assert repr(ServiceManager()) == "<ServiceManager at nowhere>"
    assert repr(ServiceManager(NotifySettings("/run/systemd/notify"))) == "<ServiceManager at /run/systemd/notify>"
