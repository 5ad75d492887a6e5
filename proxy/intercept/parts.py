"""What tunnels are made of, as values: the parts of a process that they need, and the request for one."""

from __future__ import annotations

from dataclasses import field
from typing import TYPE_CHECKING, NamedTuple, Protocol

from proxy.value_classes import dataclass

if TYPE_CHECKING:
    from collections.abc import Callable

    from proxy.access.clients import ClientIdentity
    from proxy.downstream.connection import ClientConnection
    from proxy.downstream.ports import ClientPort, Service
    from proxy.downstream.table import ConnectionTable
    from proxy.forwarding.accounting import Accounting
    from proxy.forwarding.decision import Rules
    from proxy.http1.message import Request
    from proxy.intercept.contexts import Contexts
    from proxy.intercept.tunnel import TunnelServices
    from proxy.net.names import Names


class TunnelAsked(NamedTuple):
    """A CONNECT that may open a tunnel: where to, and for which client."""

    request: Request
    client: ClientPort
    rules: Rules
    host: str
    identity: ClientIdentity


class PassingTunnel(Protocol):
    """An open tunnel whose bytes pass unread."""

    @property
    def asked(self) -> TunnelAsked: ...

    def drop(self) -> None:
        """End it as it is, now."""


@dataclass(frozen=True, slots=True)
class TunnelParts:
    """The parts of a process that tunnels need. `connect` makes a connection of a client that a service serves;
    `passing` are the tunnels whose bytes pass unread, open or being opened."""

    contexts: Contexts
    connections: ConnectionTable
    names: Names
    accounting: Accounting
    services: TunnelServices
    connect: Callable[[Service], ClientConnection]
    passing: set[PassingTunnel] = field(default_factory=set)
