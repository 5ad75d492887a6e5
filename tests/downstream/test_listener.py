"""Binding addresses: each once, as many as work, and a sentence for each that does not."""

from __future__ import annotations

import errno
import socket
from typing import Any

import pytest

from proxy.config import Address
from proxy.downstream.listener import bind
from proxy.errors import ListenError
from tests.support.processes import free_port


def close(sockets: list[socket.socket]) -> None:
    for each in sockets:
        each.close()


def test_a_bound_address_listens_at_once() -> None:
    """A client is accepted into the queue before any server serves, and nobody else gets the port."""
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
        (OSError(errno.EADDRNOTAVAIL, "no"), "is no address of this machine"),
        (socket.gaierror(socket.EAI_NONAME, "no"), "is no address of this machine"),
        (OSError(errno.EMFILE, "Too many open files"), r"cannot listen on 127.0.0.1:80 \(Too many open files\)"),
    ],
)
def test_each_failure_is_a_sentence_that_names_the_key(
    monkeypatch: pytest.MonkeyPatch, error: OSError, says: str
) -> None:
    """Permission, an unknown name, and what nobody thought of."""

    def fail(*_args: object, **_kwargs: object) -> None:
        raise error

    monkeypatch.setattr(socket, "getaddrinfo", fail)
    with pytest.raises(ListenError, match=says) as caught:
        bind("admin_listen", Address("127.0.0.1", 80))
    assert "ADS_PROXY_ADMIN_LISTEN" in str(caught.value)
