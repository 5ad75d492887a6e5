"""redis-py's clients for each way to a store, under one interface: to a server, to what Sentinels name, to a cluster.

Everything that a fleet shares is in one slot, so that a script sees all of it: of a cluster, the node that has this
slot is asked.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any, Protocol

from redis import exceptions
from redis.asyncio import Redis, RedisCluster, Sentinel
from redis.asyncio.cluster import ClusterNode
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from proxy.config.model.redis_address import RedisWay

if TYPE_CHECKING:
    from collections.abc import Callable

    from proxy.config.model.redis_address import RedisAddress


class RedisClient(Protocol):
    """Connects when it is asked first. Raises what redis-py raises."""

    async def ask(self, *words: str | bytes | float) -> Any:
        """One command's answer."""

    async def close(self) -> None: ...


class ServerClient:
    """Of one server, or of the one that Sentinels call the primary."""

    def __init__(self, client: Any) -> None:
        self._client = client

    def __repr__(self) -> str:
        return "<ServerClient>"

    async def ask(self, *words: str | bytes | float) -> Any:
        return await self._client.execute_command(*words)

    async def close(self) -> None:
        await self._client.aclose()
        asked = getattr(self._client.connection_pool, "sentinel_manager", None)
        for sentinel in asked.sentinels if asked is not None else ():
            await sentinel.aclose()


class ClusterClient:
    """Of a cluster's node for the slot of `key`. What it knows of the cluster is learned anew after each failure."""

    def __init__(self, make: Callable[[], Any], key: str) -> None:
        self._make, self._key = make, key
        self._cluster = make()

    def __repr__(self) -> str:
        return f"<ClusterClient for {self._key}>"

    async def ask(self, *words: str | bytes | float) -> Any:
        cluster = self._cluster
        try:
            await cluster.initialize()
            return await cluster.execute_command(*words, target_nodes=cluster.get_node_from_key(self._key))
        except (exceptions.ConnectionError, exceptions.TimeoutError, exceptions.RedisClusterException, OSError):
            # redis-py forgets nodes that failed, the ones it was given included.
            if cluster is self._cluster:
                self._cluster = self._make()
            await _close(cluster)
            raise

    async def close(self) -> None:
        await _close(self._cluster)


async def _close(cluster: Any) -> None:
    """redis-py itself closes nothing of a cluster that it did not come to know."""
    await cluster.aclose()
    for nodes in ("nodes_cache", "startup_nodes"):
        with contextlib.suppress(exceptions.RedisError, OSError):
            await cluster.nodes_manager.aclose(nodes)


def open_client(address: RedisAddress, key: str, connect_timeout: float, timeout: float) -> RedisClient:
    """Seconds that it may take to connect, and that an answer may take. `key` has the slot of all keys in it.

    One attempt more where a connection turns out to be dead: the pool may hold what a restart has cut.
    """
    settings: dict[str, Any] = {
        "username": address.username or None,
        "password": address.password.reveal() if address.password is not None else None,
        "socket_connect_timeout": connect_timeout,
        "socket_timeout": timeout,
        "retry": Retry(NoBackoff(), 1),
        "protocol": 2,
    }
    if address.tls:
        settings |= {"ssl": True, **dict(address.options)}
    if address.way is RedisWay.CLUSTER:
        nodes = [ClusterNode(host, port) for host, port in address.hosts]
        return ClusterClient(lambda: RedisCluster(startup_nodes=nodes, require_full_coverage=False, **settings), key)
    if address.way is RedisWay.SENTINEL:
        sentinel: Any = Sentinel(  # type: ignore[no-untyped-call]  # redis-py has no types there
            list(address.hosts), sentinel_kwargs=settings, db=address.db, **settings
        )
        return ServerClient(sentinel.master_for(address.service))
    host, port = address.hosts[0]
    return ServerClient(Redis(host=host, port=port, db=address.db, **settings))
