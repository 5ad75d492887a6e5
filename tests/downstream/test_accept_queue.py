"""The queue of a listening socket: what is in it is served, and nothing comes in behind."""

from __future__ import annotations

import contextlib
import errno
import socket
import sys

import pytest

from proxy.downstream.accept_queue import take_all

QUEUED = 20
SO_DETACH_FILTER = 27


def asking(port: int) -> socket.socket:
    tool = socket.create_connection(("127.0.0.1", port), 5)
    tool.sendall(b"hello")
    return tool


def test_everybody_in_the_queue_is_taken() -> None:
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
    """Its first packet had passed before newcomers were overlooked, its last one comes behind."""
    with socket.create_server(("127.0.0.1", 0)) as listening, contextlib.ExitStack() as opened:

        def end_handshake(_: float) -> None:
            listening.setsockopt(socket.SOL_SOCKET, SO_DETACH_FILTER, 0)
            opened.enter_context(asking(listening.getsockname()[1]))

        monkeypatch.setattr("time.sleep", end_handshake)
        (taken,) = take_all(listening)
        assert taken.recv(5) == b"hello"
        taken.close()


def test_a_system_that_forbids_filters_loses_nobody_in_the_queue(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only the moment before the close is open then."""
    monkeypatch.setattr("proxy.downstream.accept_queue._SYN_WITHOUT_ACK", ())
    with socket.create_server(("127.0.0.1", 0)) as listening, asking(listening.getsockname()[1]):
        (taken,) = take_all(listening)
        taken.close()
