"""What the configuration says of requests, as one immutable value: made by `app`, swapped whole by a reload."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from proxy.access.clients import Clients
    from proxy.downstream.ports import ConnectionLimits
    from proxy.http1.message import HeadLimits
    from proxy.routing.table import RoutingTable
    from proxy.upstream.connection import Timeouts
    from proxy.upstream.pool import PoolSettings


@dataclass(frozen=True, slots=True)
class Rules:
    """A request keeps the rules that it was admitted under.

    `endpoints` leads from (endpoint, region) to the URL. `api_hosts` are the
    hosts whose addresses are led back through the proxy. `retry_wait` is in seconds, `replay_bytes` bounds what is kept
    of a body. `scheme` and `listen` make the proxy's own address where a request names none. `response_lines` are
    header lines that every response carries.
    """

    table: RoutingTable
    clients: Clients
    connection_limits: ConnectionLimits
    head_limits: HeadLimits
    pool_settings: PoolSettings
    timeouts: Timeouts
    endpoints: Mapping[tuple[str, str], str]
    api_hosts: frozenset[bytes]
    replay_bytes: int
    retry_wait: float
    rewrite_locations: bool
    scheme: bytes
    listen: bytes
    response_lines: bytes = b""
