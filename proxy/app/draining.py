"""How a process that serves clients comes to its end: requests in flight are let end, within bounds. Nothing is
told."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Protocol

from proxy.downstream.ports import Availability

if TYPE_CHECKING:
    from collections.abc import Sequence

    from proxy.config import Config
    from proxy.downstream.listener import Acceptor
    from proxy.downstream.table import ConnectionTable
    from proxy.forwarding.accounting import Accounting
    from proxy.forwarding.forwarder import Forwarder

_POLL_INTERVAL = 0.02
"""Seconds between looks at what still runs."""
_LAST_REQUEST_WAIT = 0.2
"""Seconds that idle connections are kept at least behind the closing of the listener: their clients may be asking."""
_CUT_WAIT = 0.2
"""Seconds behind a cut: clients take their last answers, and a thread may have to read a body for the account."""


class ServingProcess(Protocol):
    """The program, as far as its end goes."""

    @property
    def config(self) -> Config: ...
    @property
    def forwarder(self) -> Forwarder: ...
    @property
    def accounting(self) -> Accounting: ...
    @property
    def client_connections(self) -> ConnectionTable: ...
    @property
    def acceptors(self) -> Sequence[Acceptor]: ...


def close_listener(serving: ServingProcess) -> None:
    """Accept nothing more from clients. Those who are connected, or wait to be, get one last answer each."""
    for acceptor in serving.acceptors:
        acceptor.close()
    serving.client_connections.wind_down()


def _refuse_requests(serving: ServingProcess) -> None:
    """Nothing more can be finished in time: what still comes is told so, and idle connections end."""
    serving.forwarder.availability = Availability.CLOSING
    serving.client_connections.close_idle()


async def let_end(serving: ServingProcess, at_once: asyncio.Event) -> int:
    """First unready while still accepting, then no longer accepting; gives how many requests had to be cut.

    A connected client gets one last answer, with `Connection: close`: HTTP/1.1 has no earlier sign.
    What comes in the second half of the time-out is refused, so that it can be sent elsewhere.
    """
    settings, loop = serving.config.drain, asyncio.get_running_loop()
    serving.forwarder.availability = Availability.DRAINING
    await wait(at_once, settings.delay)
    close_listener(serving)
    began = loop.time()
    await wait(at_once, min(_LAST_REQUEST_WAIT, settings.timeout / 2))
    await _emptied(serving, at_once, began + settings.timeout / 2)
    _refuse_requests(serving)
    await wait(at_once, _POLL_INTERVAL)
    await _emptied(serving, at_once, began + settings.timeout)
    cut = serving.client_connections.end_all()
    await _emptied(serving, asyncio.Event(), loop.time() + _CUT_WAIT)
    serving.accounting.give_late()
    return cut


async def _emptied(serving: ServingProcess, at_once: asyncio.Event, until: float) -> None:
    """Return when nothing runs and every client has taken its answer, or at that moment of the event loop's clock."""
    accounting, connected = serving.accounting, serving.client_connections
    while (
        (accounting.in_flight or connected.unsent)
        and asyncio.get_running_loop().time() < until
        and not at_once.is_set()
    ):
        await wait(at_once, _POLL_INTERVAL)


async def wait(event: asyncio.Event, seconds: float) -> None:
    """Wait for an event, or for so many seconds at most."""
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(event.wait(), seconds)
