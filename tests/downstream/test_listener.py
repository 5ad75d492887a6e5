"""Binding addresses: each once, as many as work, and a sentence for each that does not."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import socket
import ssl
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from proxy.config import Address
from proxy.downstream import listener
from proxy.downstream.connection import ClientConnection
from proxy.downstream.listener import Acceptor, bind, take_all
from proxy.downstream.ports import ConnectionLimits
from proxy.errors import ListenError
from tests.support.certificates import Authority
from tests.support.patience import PATIENCE
from tests.support.processes import free_port
from tests.support.proxy_bench import ProxyBench, Running
from tests.support.wire import GET, HELLO, answering


def close(sockets: list[socket.socket]) -> None:
    for each in sockets:
        each.close()


def test_a_bound_address_listens_at_once() -> None:
    """A client is accepted into the queue before any server serves, and no other program gets the port."""
    sockets = bind("listen", Address("127.0.0.1", 0))
    try:
        port = sockets[0].getsockname()[1]
        with (
            socket.create_connection(("127.0.0.1", port), 5),
            pytest.raises(ListenError, match="in use by another program"),
        ):
            bind("listen", Address("127.0.0.1", port))
    finally:
        close(sockets)


def test_the_system_asks_silent_clients_whether_they_are_there() -> None:
    """The system waits for an acknowledgement, so a laptop may sleep for a while. Event streams have no deadline."""
    sockets = bind("listen", Address("127.0.0.1", 0))
    try:
        with socket.create_connection(sockets[0].getsockname()), sockets[0].accept()[0] as accepted:
            assert accepted.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) != 0
            if sys.platform == "linux":
                names = (socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL, socket.TCP_KEEPCNT)
                quiet, interval, probes = (accepted.getsockopt(socket.IPPROTO_TCP, name) for name in names)
                assert 600 <= quiet + interval * probes <= 1000
    finally:
        close(sockets)


def test_an_address_serves_also_where_the_system_cannot_ask_clients(monkeypatch: pytest.MonkeyPatch) -> None:
    """Systems that run programs for Linux may lack its options: no start fails for them."""
    monkeypatch.setattr(listener, "_KEEPALIVE", ((socket.IPPROTO_TCP, 9999, 1),))
    close(bind("listen", Address("127.0.0.1", 0)))


def resolving_to(monkeypatch: pytest.MonkeyPatch, *found: tuple[int, tuple[Any, ...]]) -> None:
    """Let every name stand for these addresses."""
    answer = [(family, socket.SOCK_STREAM, 6, "", where) for family, where in found]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_args, **_kwargs: answer)


def test_an_address_that_a_name_has_twice_is_bound_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A hosts file that names localhost twice is no reason to fail."""
    port = free_port()
    resolving_to(monkeypatch, (socket.AF_INET, ("127.0.0.1", port)), (socket.AF_INET, ("127.0.0.1", port)))
    sockets = bind("listen", Address("localhost", port))
    assert len(sockets) == 1
    close(sockets)


def test_one_address_that_works_is_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    """A name that also stands for an address which this machine does not have."""
    port = free_port()
    resolving_to(monkeypatch, (socket.AF_INET, ("192.0.2.1", port)), (socket.AF_INET, ("127.0.0.1", port)))
    sockets = bind("listen", Address("localhost", port))
    assert [each.getsockname()[0] for each in sockets] == ["127.0.0.1"]
    close(sockets)


def test_a_port_that_is_taken_on_one_of_two_addresses_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """Half a listener would surprise; the address that could be bound is free again."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        resolving_to(monkeypatch, (socket.AF_INET, ("127.0.0.2", port)), (socket.AF_INET, ("127.0.0.1", port)))
        with pytest.raises(ListenError, match="in use"):
            bind("listen", Address("localhost", port))
        socket.create_server(("127.0.0.2", port)).close()


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (OSError(errno.EACCES, "Permission denied"), "may not listen on"),
        (OSError(errno.EADDRNOTAVAIL, "no"), "is not an address of this machine"),
        (socket.gaierror(socket.EAI_NONAME, "no"), "is not an address of this machine"),
        (OSError(errno.EMFILE, "Too many open files"), r"cannot listen on 127.0.0.1:80 \(Too many open files\)"),
    ],
)
def test_each_failure_is_a_sentence_that_names_the_key(
    monkeypatch: pytest.MonkeyPatch, error: OSError, says: str
) -> None:
    """The failures are: no permission, an unknown name, and an unexpected one."""

    def fail(*_args: object, **_kwargs: object) -> None:
        raise error

    monkeypatch.setattr(socket, "getaddrinfo", fail)
    with pytest.raises(ListenError, match=says) as caught:
        bind("admin_listen", Address("127.0.0.1", 80))
    assert "ADS_PROXY_ADMIN_LISTEN" in str(caught.value)


def test_replicas_listen_on_one_address() -> None:
    """Whoever does not listen yet gets no connection; a program that does not share its port gets none at all."""
    first = bind("listen", Address("127.0.0.1", free_port()), reuse_port=True)
    address = Address(*first[0].getsockname())
    second = bind("listen", address, reuse_port=True)
    try:
        first[0].listen()
        for _ in range(20):
            socket.create_connection((address.host, address.port), 5).close()
            first[0].accept()[0].close()
        assert listener.check_before_start("listen", address, reuse_port=True) == ""
        assert "in use by another program; " in listener.check_before_start("listen", address)
        with pytest.raises(ListenError, match="in use by another program; "):
            bind("listen", address)
    finally:
        close([*first, *second])
    with socket.create_server((address.host, address.port)), pytest.raises(ListenError, match="without reuse_port, or"):
        bind("listen", address, reuse_port=True)


@pytest.mark.parametrize("option", [None, 9999])
def test_a_system_whose_ports_cannot_be_shared_is_told(monkeypatch: pytest.MonkeyPatch, option: int | None) -> None:
    """It has no such option, or does not take it: no start does without it silently."""
    monkeypatch.setattr(socket, "SO_REUSEPORT", option)
    with pytest.raises(ListenError, match="reuse_port: this system does not let several programs listen on one port"):
        bind("listen", Address("127.0.0.1", free_port()), reuse_port=True)
    with pytest.raises(ListenError, match="reuse_port: this system"):
        listener.check_before_start("listen", Address("127.0.0.1", free_port()), reuse_port=True)


class Listening(socket.socket):
    """A listening socket whose next `accept`s fail as told."""

    __slots__ = ("asked", "failures")

    def __init__(self) -> None:
        super().__init__(socket.AF_INET, socket.SOCK_STREAM)
        self.failures: list[int] = []
        self.asked = 0
        self.bind(("127.0.0.1", 0))
        self.listen(1024)

    def accept(self) -> tuple[socket.socket, Any]:
        self.asked += 1
        if self.failures:
            raise OSError(self.failures.pop(0), "told so")
        return super().accept()


@asynccontextmanager
async def accepting(bench: ProxyBench, context: Any = None) -> AsyncIterator[tuple[Listening, Acceptor]]:
    """An acceptor in front of the bench's own proxy."""
    listening = Listening()
    acceptor = Acceptor(
        listening,
        bench.server,
        bench.forwarder,
        lambda: ClientConnection(bench.server, bench.forwarder),
        SimpleNamespace(context=context),
    )
    bench.port = listening.getsockname()[1]
    try:
        yield listening, acceptor
    finally:
        acceptor.close()


async def test_what_is_beyond_the_limit_is_told(running: Running) -> None:
    """The first are told; those within are served."""
    async with running(answering(HELLO), max_connections=2) as bench, accepting(bench):
        within = [await bench.client() for _ in range(2)]
        await bench.settled(lambda: len(bench.server) == 2)
        beyond = await bench.client()
        assert (await beyond.answer()).status == 503
        for wire in within:
            wire.send(GET)
            assert (await wire.answer()).body == b"hello"


async def test_a_place_that_nobody_has_is_not_given(running: Running) -> None:
    """Beyond the sixteen there is no task, no buffer and no answer for a connection."""
    async with running(answering(HELLO)) as bench:
        limits = ConnectionLimits(max_connections=2)
        given = [bench.server.take_slot(limits) for _ in range(19)]
        assert given == [True] * 18 + [False]
        for _ in range(18):
            bench.server.give_slot()
        assert len(bench.server) == 0


async def test_a_connection_beyond_all_places_is_closed(running: Running) -> None:
    """The client reads the end, and nothing before it."""
    async with running(answering(HELLO), max_connections=1) as bench, accepting(bench):
        bench.server.being_set_up = 17
        wire = await bench.client()
        assert await wire.end() == b""
        bench.server.being_set_up = 0


async def test_one_that_only_waits_for_its_tool_to_close_makes_room(running: Running) -> None:
    """A refused client that goes on sending keeps no other out."""
    async with running(answering(HELLO), max_connections=1) as bench, accepting(bench):
        refused = await bench.client(b"nonsense\r\n\r\n")
        assert (await refused.answer()).status == 400
        served = await bench.client(GET)
        assert (await served.answer()).body == b"hello"
        await bench.settled(lambda: len(bench.server) == 1)


async def test_silent_tls_peers_count_and_end_in_time(tmp_path: Path, running: Running) -> None:
    """A handshake has a place of its own until `header_timeout`, and gives it back."""
    context = Authority(tmp_path).context("localhost")
    async with running(answering(HELLO), header_timeout=1.0) as bench, accepting(bench, context):
        silent = await asyncio.gather(*(bench.client() for _ in range(3)))
        await bench.settled(lambda: len(bench.server) == 3)
        for wire in silent:
            assert await wire.end() == b""
        await bench.settled(lambda: len(bench.server) == 0)


class HastyLoop:
    """An event loop whose TLS gives up at once on a connection that ends, where it is not told how long to wait."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.create_task = loop.create_task
        self.remove_reader = loop.remove_reader
        self._loop = loop

    async def connect_accepted_socket(self, *given: Any, **named: Any) -> Any:
        return await self._loop.connect_accepted_socket(*given, **{"ssl_shutdown_timeout": 1e-6, **named})


async def test_the_last_of_an_answer_is_not_torn_from_a_slow_tls_client(tmp_path: Path, running: Running) -> None:
    """TLS does not tell what it still holds: the client has its time, and a stop waits for it."""
    authority, body = Authority(tmp_path), bytes(60_000)
    trusting = ssl.create_default_context(cafile=authority.ca_file)
    async with (
        running(answering(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))) as bench,
        accepting(bench, authority.context("localhost")) as (_, acceptor),
    ):
        acceptor._loop = cast(asyncio.AbstractEventLoop, HastyLoop(acceptor._loop))

        def connect() -> ssl.SSLSocket:
            raw = socket.socket()
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            raw.settimeout(PATIENCE)
            raw.connect(("127.0.0.1", bench.port))
            return trusting.wrap_socket(raw, server_hostname="localhost")

        def read(client: ssl.SSLSocket) -> bytes:
            with client:
                return b"".join(iter(partial(client.recv, 65536), b""))

        client = await asyncio.to_thread(connect)
        await bench.settled(lambda: bool(bench.server.connections))
        connection = bench.connection()
        connection._transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        client.sendall(GET.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
        await bench.events.last()
        assert bench.server.unsent
        bench.server.end_all()
        assert bench.server.unsent
        bench.sweep(3)
        assert (await asyncio.to_thread(read, client)).endswith(b"\r\n\r\n" + body)
        await bench.settled(lambda: not bench.server.unsent)


async def test_a_connection_without_a_file_is_closed_with_the_one_kept_for_it(running: Running) -> None:
    """The connection does not wait in the queue, where it would wake the program for ever; the next one is served."""
    async with running(answering(HELLO)) as bench, accepting(bench) as (listening, acceptor):
        listening.failures.append(errno.EMFILE)
        assert await (await bench.client(GET)).end() == b""
        assert (await (await bench.client(GET)).answer()).body == b"hello"
        assert repr(acceptor) == "<Acceptor: accepting, 0 being set up>"


async def test_without_any_file_accepting_pauses(monkeypatch: pytest.MonkeyPatch, running: Running) -> None:
    """Ten times a second it is tried again, not as fast as the processor can."""
    async with running(answering(HELLO)) as bench, accepting(bench) as (listening, acceptor):
        real, denied = os.open, [True]

        def open_file(path: Any, flags: int, *rest: Any, **more: Any) -> int:
            if path == os.devnull and denied[0]:
                raise OSError(errno.EMFILE, "none")
            return real(path, flags, *rest, **more)

        monkeypatch.setattr(os, "open", open_file)
        listening.failures += [errno.EMFILE, errno.EMFILE]
        await bench.client()
        client = await bench.client(GET)
        await bench.settled(lambda: repr(acceptor) == "<Acceptor: pausing, 0 being set up>")
        denied[0] = False
        assert (await client.answer()).body == b"hello"
        assert listening.asked < 20


async def test_one_that_left_before_it_was_taken_is_nothing(running: Running) -> None:
    """ECONNABORTED stops no connection behind it."""
    async with running(answering(HELLO)) as bench, accepting(bench) as (listening, _):
        listening.failures.append(errno.ECONNABORTED)
        assert (await (await bench.client(GET)).answer()).body == b"hello"


async def test_a_closed_acceptor_takes_nobody(running: Running) -> None:
    """What was taken goes on; closing twice is closing once."""
    async with running(answering(HELLO)) as bench, accepting(bench) as (_, acceptor):
        client = await bench.client(GET)
        assert (await client.answer()).body == b"hello"
        acceptor.close()
        acceptor.close()
        with pytest.raises(ConnectionRefusedError):
            await bench.client()
        client.send(GET)
        assert (await client.answer()).body == b"hello"
        assert repr(acceptor) == "<Acceptor: closed, 0 being set up>"


async def test_a_closed_acceptor_serves_who_was_in_its_queue(running: Running) -> None:
    """The event loop had not come to them yet."""
    async with running(answering(HELLO)) as bench, accepting(bench) as (listening, acceptor):
        queued = [socket.create_connection(listening.getsockname(), 5) for _ in range(20)]
        for client in queued:
            client.sendall(GET)
        acceptor.close()
        await bench.settled(lambda: len(bench.events.finished) == len(queued))
        for client in queued:
            assert b"hello" in client.recv(4096)
            client.close()


QUEUED = 20
SO_DETACH_FILTER = 27


def asking(port: int) -> socket.socket:
    client = socket.create_connection(("127.0.0.1", port), 5)
    client.sendall(b"hello")
    return client


def test_every_client_in_the_queue_is_taken() -> None:
    """With what they have sent."""
    with socket.create_server(("127.0.0.1", 0)) as listening, contextlib.ExitStack() as opened:
        for _ in range(QUEUED):
            opened.enter_context(asking(listening.getsockname()[1]))
        taken = [opened.enter_context(connection) for connection in take_all(listening)]
        assert len(taken) == QUEUED
        assert all(connection.recv(5) == b"hello" for connection in taken)


@pytest.mark.skipif(sys.platform != "linux", reason="needs Linux's packet filter")
def test_nobody_comes_in_behind() -> None:
    """A connection is neither made nor reset: its sender goes on asking, and is refused once the socket is closed."""
    with socket.create_server(("127.0.0.1", 0)) as listening, socket.socket() as late:
        take_all(listening)
        late.setblocking(False)
        assert late.connect_ex(listening.getsockname()) == errno.EINPROGRESS
        assert take_all(listening) == []
        assert late.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 0
        with pytest.raises(OSError, match="not connected"):
            late.getpeername()


@pytest.mark.skipif(sys.platform != "linux", reason="needs Linux's packet filter")
def test_a_handshake_that_was_under_way_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first packet had passed before newcomers were dropped, and the last one comes behind."""
    with socket.create_server(("127.0.0.1", 0)) as listening, contextlib.ExitStack() as opened:

        def end_handshake(_: float) -> None:
            listening.setsockopt(socket.SOL_SOCKET, SO_DETACH_FILTER, 0)
            opened.enter_context(asking(listening.getsockname()[1]))

        monkeypatch.setattr("time.sleep", end_handshake)
        (taken,) = take_all(listening)
        assert taken.recv(5) == b"hello"
        taken.close()


def test_a_system_that_forbids_filters_loses_nobody_in_the_queue(monkeypatch: pytest.MonkeyPatch) -> None:
    """The queue is open only in the moment before the close."""
    monkeypatch.setattr("proxy.downstream.listener._SYN_WITHOUT_ACK", ())
    with socket.create_server(("127.0.0.1", 0)) as listening, asking(listening.getsockname()[1]):
        (taken,) = take_all(listening)
        taken.close()
