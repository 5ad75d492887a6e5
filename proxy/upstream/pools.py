"""The pools of all hosts: one for each origin, found by endpoint and region; kept through reloads where still right."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from proxy.net.dialing import Dialer, Origin, origin_of
from proxy.upstream.pool import OwnPlaces, Places, Pool

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from proxy.net.deadlines import Deadlines
    from proxy.net.names import Names


@dataclass(frozen=True, slots=True)
class PoolSettings:
    """How hosts are reached, and how many connections each may have; a change makes all pools anew.

    `connect_timeout` is in seconds. Another `ca_digest` tells that `ca_file` has another content.
    """

    connect_timeout: float
    max_connections: int
    proxy: str | None = None
    ca_file: str | None = None
    ca_digest: str = ""


class Pools:
    """See the module's docstring. `make_places` gives the places for connections to an origin, of a limit."""

    def __init__(
        self,
        deadlines: Deadlines,
        names: Names,
        make_places: Callable[[Origin, int], Places] = lambda _origin, limit: OwnPlaces(limit),
    ) -> None:
        self._deadlines = deadlines
        self._make_places = make_places
        self._names = names
        self._settings: PoolSettings | None = None
        self._dialer: Dialer
        self._by_origin: dict[Origin, Pool] = {}
        self._by_endpoint: dict[tuple[str, str], Pool] = {}

    def __repr__(self) -> str:
        return f"<Pools of {', '.join(sorted(pool.name for pool in self._by_origin.values())) or 'no host'}>"

    def apply(self, settings: PoolSettings, endpoints: Mapping[tuple[str, str], str]) -> None:
        """Follow a configuration; `endpoints` is (endpoint, region) -> URL. What is not needed any longer is closed."""
        old = self._by_origin
        if settings != self._settings:
            old = {}
            self._settings = settings
            self._dialer = Dialer(
                self._names, connect_timeout=settings.connect_timeout, ca_file=settings.ca_file, proxy=settings.proxy
            )
        origins = {key: origin_of(url) for key, url in endpoints.items()}
        pools = {origin: old.get(origin) or self._make(origin, settings) for origin in set(origins.values())}
        for origin, pool in self._by_origin.items():
            if pools.get(origin) is not pool:
                pool.close()
        self._by_origin = pools
        self._by_endpoint = {key: pools[origin] for key, origin in origins.items()}

    def find(self, endpoint: str, region: str) -> Pool:
        """The pool of an endpoint (`api` or `mcp`) in a region."""
        return self._by_endpoint[endpoint, region]

    def sizes(self) -> dict[str, tuple[int, int]]:
        """`HOST:PORT` -> connections, and how many of them are idle."""
        return {pool.name: pool.sizes for pool in self._by_origin.values()}

    def heed(self) -> None:
        """Other processes gave places back, or want some."""
        for pool in self._by_origin.values():
            pool.heed()

    def close(self) -> None:
        """Close idle connections now, and busy ones when their exchange ends."""
        for pool in self._by_origin.values():
            pool.close()

    def _make(self, origin: Origin, settings: PoolSettings) -> Pool:
        return Pool(origin, self._dialer, self._deadlines, self._make_places(origin, settings.max_connections))
