"""Connections to a Redis or Valkey server, and what its failures mean. No other module knows redis-py.

A failure that can pass is a `StateUnavailable`. From then on nothing is asked of the server any more, so that nothing
waits for it, until the probe finds it in order. Addresses are shown without user and password.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import secrets
from collections import Counter
from typing import TYPE_CHECKING, Any, Final, Protocol

from redis import exceptions
from redis.asyncio import Redis, RedisCluster, Sentinel
from redis.asyncio.cluster import ClusterNode
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from proxy.config.model.redis_address import RedisTopology
from proxy.errors import StateError, StateUnavailable
from proxy.tokens.redis_scripts import BEAT, PERMITTED

if TYPE_CHECKING:
    from collections.abc import Callable

    from proxy.config.model.redis_address import RedisAddress


PATIENCE: Final = 2.0
"""Seconds that the server may take to connect, and to answer."""
BLOCK: Final = 1.0
"""Seconds for which a read of news waits for one at most."""
MAX_CONNECTIONS: Final = 16
RESERVED: Final = 3
"""Connections that no command takes: two reads of news, and the pulse."""
QUIET: Final = 60.0
"""Seconds after which connections are closed that were not needed meanwhile."""
GREETING: Final = 0.3
"""Seconds for which a server that refuses a connection may take to say why."""
FULL: Final = "max number of clients"
PROBE: Final = 0.2
"""Seconds between two probes of a server that is away."""
MAX_NEWS: Final = 1000
"""Entries of one such read."""
NEWS: Final = "news"
"""The stream of what was written: `kind` is `account` or `document`, `name` the digest or the name."""
ROSTER: Final = "roster"
"""The ids of the replicas, and when each was last felt."""
CHECK: Final = "check"
"""What is kept here was encrypted with the key of all the rest. A server that lost its data has another one."""
ALIVE: Final = 5.0
"""Seconds after its last pulse for which a replica counts."""
_FAILURES: Final = (
    exceptions.RedisError,
    exceptions.RedisClusterException,
    OSError,
    TimeoutError,
    ValueError,
    # What redis-py and uvloop raise where a connection is closed while a command is being sent on it.
    AttributeError,
    RuntimeError,
)
PREFIX: Final = "{ads-proxy}:"
"""All keys begin so. What is in braces chooses the slot, where a server has slots: they are all on one."""


class RedisConnection:
    """Made without connecting. Every method belongs to one event loop."""

    def __init__(self, address: RedisAddress, max_connections: int = MAX_CONNECTIONS) -> None:
        self.address = address
        self._free = asyncio.Semaphore(max_connections - RESERVED)
        self._use = ConnectionUse()
        self.problem: StateError | None = None
        self.replicas = 1
        """How many share the server, this one included, as of the last pulse."""
        self.peers: frozenset[str] = frozenset()
        """The ids of all that share the server, this one included, as of the last two pulses, and those that were met
        since. `?` stands for those whose version tells none."""
        self._last_peers: frozenset[str] = frozenset()
        self.changed: Callable[[], None] = lambda: None
        """Called when `problem` came or went, or there are more or fewer replicas."""
        self.id = secrets.token_hex(8)
        self._asking: set[asyncio.Task[Any]] = set()
        self._client, self._reader = open_client(address, PATIENCE), self._open_reader()

    def __repr__(self) -> str:
        return f"<RedisConnection to {self.address}{', in trouble' if self.problem is not None else ''}>"

    def _open_reader(self) -> RedisClient:
        """For reads that wait for news."""
        return open_client(self.address, BLOCK + PATIENCE)

    @staticmethod
    def key(name: str) -> str:
        """The whole name of a key."""
        return PREFIX + name

    async def command(self, *words: str | bytes | float) -> Any:
        """One command's answer. Raises `StateError`; at once, where the server is known to be in trouble."""
        self._refuse_while_unavailable()
        async with self._free:
            self._refuse_while_unavailable()
            self._use.begin()
            try:
                return await self._ask(self._client, *words)
            finally:
                self._use.end()

    def _refuse_while_unavailable(self) -> None:
        if self.problem is not None:
            raise type(self.problem)(str(self.problem))

    async def run(self, script: str, keys: tuple[str, ...], *arguments: str | bytes | float) -> Any:
        """What a script gives. The whole text goes along each time: after a restart a server knows no script."""
        return await self.command("EVAL", script, len(keys), *(PREFIX + key for key in keys), 0, *arguments)

    async def check_permissions(self) -> None:
        """Tries every command that is ever needed. Raises a `StateError` that names those that are not permitted."""
        denied = await self.run(PERMITTED, tuple(f"permitted:{kind}" for kind in ("hash", "text", "stream", "set")))
        if denied:
            raise _not_permitted(self.address, sorted({command.decode() for command in denied}))
        news = self.key(NEWS)
        await self.command("XREAD", "COUNT", 1, "STREAMS", news, "0-0")
        await self.command("XREVRANGE", news, "+", "-", "COUNT", 1)
        await self.command("SCAN", "0", "MATCH", self.key(CHECK), "COUNT", 1)
        await self.command("HMGET", self.key("permitted:hash"), "field")
        await self.command("TIME")

    async def names(self, pattern: str) -> list[str]:
        """The keys that match, without what all begin with."""
        found: list[str] = []
        cursor: bytes | str = "0"
        while True:
            cursor, keys = await self.command("SCAN", cursor, "MATCH", PREFIX + pattern, "COUNT", MAX_NEWS)
            found += (key.decode().removeprefix(PREFIX) for key in keys)
            if int(cursor) == 0:
                return sorted(set(found))

    async def news(self, stream: str, last: str) -> list[tuple[str, dict[bytes, bytes]]]:
        """(id, fields) of what was added to a stream after this id; waits for it up to `BLOCK` seconds."""
        words = "XREAD", "COUNT", MAX_NEWS, "BLOCK", int(BLOCK * 1000), "STREAMS", self.key(stream), last
        found = await self._ask(self._reader, *words)
        return [(id_.decode(), fields) for _, entries in found or () for id_, fields in entries]

    async def pulse(self) -> bytes | None:
        """Tells the others that this replica lives. Gives what the server has at `CHECK`.

        Raises `StateError`, also where the server takes no writes.
        """
        check = self._felt(await self._ask(self._client, *self._beat()))
        if self._use.leaves_idle(asyncio.get_running_loop().time()):
            self._replace_client(open_client(self.address, PATIENCE))
        return check

    def _beat(self) -> tuple[str | float, ...]:
        keys = (self.key("replicas"), self.key(CHECK), self.key(ROSTER))
        return "EVAL", BEAT, len(keys), *keys, 0, self.id, int(ALIVE * 1000)

    def _felt(self, answer: list[Any]) -> bytes | None:
        """Note what a pulse says. The one before counts too: a server that lost its data has forgotten who is there."""
        replicas, check, *ids = answer
        peers = frozenset(id_.decode() for id_ in ids) | ({"?"} if replicas > len(ids) else frozenset())
        self.peers, self._last_peers = peers | self._last_peers, peers
        self.count(replicas)
        return check if isinstance(check, bytes) else None

    def meet(self, id_: str) -> None:
        """Count a replica at once that has just come."""
        self.peers |= {id_}

    async def returned(self) -> None:
        """Returns when the server takes writes again.

        Five times a second a probe begins on a connection of its own, even if the one before still hangs. All other
        connections are closed: they may be dead without notice.
        """
        self._replace_all(open_client(self.address, PATIENCE))
        found: asyncio.Future[RedisClient] = asyncio.get_running_loop().create_future()
        probes: set[asyncio.Task[None]] = set()
        try:
            while not found.done():
                probes.add(probe := asyncio.create_task(self._probe(found), name="probe the state store"))
                probe.add_done_callback(probes.discard)
                self._asking.add(probe)  # `close` waits until its connection is closed
                probe.add_done_callback(self._forget)
                await asyncio.wait({found}, timeout=PROBE)
            self._replace_all(found.result())
        finally:
            for probe in tuple(probes):
                probe.cancel()
            if found.done() and found.result() is not self._client:  # cancelled at the moment of its success
                self._close_soon(found.result())

    async def _probe(self, found: asyncio.Future[RedisClient]) -> None:
        client = open_client(self.address, PATIENCE)
        try:
            async with asyncio.timeout(PATIENCE):
                replicas, *_ = await client.ask(*self._beat())
        except _FAILURES as error:
            if not found.done():
                self.note(await self._explain(error))
        else:
            if not found.done():
                self.count(replicas)
                found.set_result(client)
        finally:
            if not (found.done() and found.result() is client):
                await _close(client)

    def _replace_client(self, client: RedisClient) -> None:
        old, self._client = self._client, client
        self._close_soon(old)

    def _replace_all(self, client: RedisClient) -> None:
        """What fails on a connection of before says nothing of the server any more."""
        self._replace_client(client)
        old, self._reader = self._reader, self._open_reader()
        self._close_soon(old)

    def _close_soon(self, client: RedisClient) -> None:
        closing = asyncio.create_task(_close(client))
        self._asking.add(closing)
        closing.add_done_callback(self._forget)

    def count(self, replicas: int) -> None:
        """Note how many replicas share the server."""
        before, self.replicas = self.replicas, replicas
        if replicas != before and self.problem is None:
            self.changed()

    def note(self, problem: StateError | None) -> None:
        """What is wrong with the server; None when it is found in order again."""
        before, self.problem = self.problem, problem
        if (before is None) != (problem is None):
            self.changed()

    async def close(self) -> None:
        if self._asking:
            await asyncio.wait(self._asking, timeout=PATIENCE)
        for client in (self._client, self._reader):
            await _close(client)

    async def _ask(self, client: RedisClient, *words: str | bytes | float) -> Any:
        """The client's work is a task of its own: a cancelled method returns at once, whatever redis-py does with
        it."""
        asking = asyncio.create_task(client.ask(*words))
        self._asking.add(asking)
        asking.add_done_callback(self._forget)
        patience = PATIENCE * 2 if client is self._client else BLOCK + PATIENCE * 2
        error: Exception = TimeoutError()
        try:
            await asyncio.wait({asking}, timeout=patience)
            if asking.done():
                return asking.result()
        except _FAILURES as caught:
            error = caught
        finally:
            asking.cancel()
        failure = await self._explain(error)
        if client in (self._client, self._reader):
            self.note(failure)
        raise failure

    async def _explain(self, error: Exception) -> StateError:
        """A server with too many clients reports it and closes; what was just sent to it may turn that into a reset."""
        if (
            type(error) is exceptions.ConnectionError
            and self.address.topology is RedisTopology.SERVER
            and not self.address.tls
        ):
            host, port = self.address.hosts[0]
            with contextlib.suppress(OSError, TimeoutError, ValueError):
                async with asyncio.timeout(GREETING):
                    reader, writer = await asyncio.open_connection(host, port)
                    try:
                        error = exceptions.ConnectionError((await reader.readline()).decode("utf-8", "replace"))
                    finally:
                        writer.close()
        return _explain(error, self.address)

    def _forget(self, asked: asyncio.Task[Any]) -> None:
        self._asking.discard(asked)
        if not asked.cancelled():
            asked.exception()  # the waiting task has the error


class ConnectionUse:
    """How many connections commands need at once. redis-py opens one when none is free, and closes none by itself."""

    def __init__(self) -> None:
        self._busy = self._opened = self._needed = 0
        self._since = 0.0

    def __repr__(self) -> str:
        return f"<ConnectionUse: {self._busy} of {self._opened}>"

    def begin(self) -> None:
        self._busy += 1
        self._needed = max(self._needed, self._busy)
        self._opened = max(self._opened, self._busy)

    def end(self) -> None:
        self._busy -= 1

    def leaves_idle(self, now: float) -> bool:
        """Whether more connections are open than the last minute needed, and none is in use: all of them can go."""
        if now - self._since < QUIET or self._busy:
            return False
        is_idle = self._opened > max(1, self._needed)
        if is_idle:
            self._opened = 0
        self._since, self._needed = now, 0
        return is_idle


async def _close(client: RedisClient) -> None:
    with contextlib.suppress(*_FAILURES):
        await client.close()


def _not_permitted(address: RedisAddress, commands: list[str]) -> StateError:
    """`commands` is empty where the keys are what is not permitted."""
    what = " ".join(f"+{command}" for command in commands) or f"the keys {PREFIX}*"
    return StateError(
        f"The state store at {address} does not permit this user {what}: correct its ACL "
        "(docs/how-to/share-state.md, The address of the store)."
    )


_UNKNOWN_AUTHORITY: Final = ("unable to get", "self-signed", "self signed")


def _certificate_problem(said: str) -> str:
    """What OpenSSL said, and what helps."""
    found = re.search(r"certificate verify failed: ([^(]+)", said)
    reason = found[1].strip().rstrip(".") if found else "it cannot be verified"
    if "match" in reason:
        return f"{reason}; use a host name in state.url that the certificate has"
    if "expired" in reason:
        return f"{reason}; renew it on the server"
    if any(words in reason for words in _UNKNOWN_AUTHORITY):
        return f"{reason}; name its authority in state.url with ?ssl_ca_certs=FILE"
    return f"{reason}; have it, or the certificate of its authority, issued again"


def _explain(error: Exception, address: RedisAddress) -> StateError:
    """A failure in our words. Redis' own may hold what was sent, so they are not shown."""
    said, where = str(error), f"The state store at {address}"
    if isinstance(error, exceptions.AuthenticationError | exceptions.AuthorizationError) or "WRONGPASS" in said:
        return StateError(f"{where} refused the user or the password: correct state.url.")
    if isinstance(error, exceptions.NoPermissionError):
        return _not_permitted(address, re.findall(r"'([a-z|]+)' command", said)[:1])
    if FULL in said:
        return StateUnavailable(
            f"{where} has reached its limit of clients: raise its maxclients, or lower state.max_connections."
        )
    if "CERTIFICATE_VERIFY_FAILED" in said:
        return StateUnavailable(f"{where} shows a certificate that is not accepted: {_certificate_problem(said)}.")
    if "Cluster mode is not enabled" in said:
        return StateError(
            f"{where} is not a cluster, or does not permit this user +cluster|slots: correct state.url or its ACL."
        )
    if isinstance(error, exceptions.ClusterDownError):
        return StateUnavailable(f"{where} is a cluster that is down: look at `CLUSTER INFO`.")
    if isinstance(error, exceptions.MovedError | exceptions.ClusterError):
        return StateError(f"{where} belongs to a cluster: write redis+cluster:// or rediss+cluster:// in state.url.")
    if isinstance(error, exceptions.ReadOnlyError):
        return StateUnavailable(f"{where} is a read-only replica: name the primary in state.url, or use Sentinel.")
    if isinstance(error, exceptions.OutOfMemoryError):
        return StateUnavailable(f"{where} is full: raise its maxmemory.")
    if "MISCONF" in said:
        return StateUnavailable(
            f"{where} takes no writes because it cannot save to its disk: free or repair that disk."
        )
    if isinstance(error, exceptions.BusyLoadingError):
        return StateUnavailable(f"{where} is still loading its data: the proxy tries again by itself.")
    if isinstance(error, TimeoutError | exceptions.TimeoutError):
        return StateUnavailable(f"{where} did not answer within {PATIENCE:g} s: check the network and the server.")
    if isinstance(error, exceptions.ResponseError):
        return StateUnavailable(
            f"{where} refused a command ({said.split(' ', 1)[0][:40]}): read the log of the server."
        )
    return StateUnavailable(f"{where} cannot be reached: check state.url, the network and the server.")


# --- redis-py's clients: one server, Sentinel, a cluster ------------------------------------------------------


class RedisClient(Protocol):
    """Connects when it is asked first. Raises what redis-py raises."""

    async def ask(self, *words: str | bytes | float) -> Any:
        """One command's answer."""

    async def close(self) -> None: ...


class ServerClient:
    """A client of one server, or of the one that Sentinels call the primary."""

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
    """A client of the cluster's node for the slot of `key`. The cluster's nodes are read again after each failure.

    What was known before is closed by the last command that uses it: redis-py opens again what is closed earlier.
    """

    def __init__(self, make: Callable[[], Any], key: str) -> None:
        self._make, self._key = make, key
        self._cluster = make()
        self._uses: Counter[Any] = Counter()
        self._closing: set[asyncio.Task[None]] = set()

    def __repr__(self) -> str:
        return f"<ClusterClient for {self._key}>"

    async def ask(self, *words: str | bytes | float) -> Any:
        cluster = self._cluster
        if cluster is None:
            raise exceptions.ConnectionError("the client is closed")
        self._uses[cluster] += 1
        try:
            await cluster.initialize()
            return await cluster.execute_command(*words, target_nodes=cluster.get_node_from_key(self._key))
        except (exceptions.ConnectionError, exceptions.TimeoutError, exceptions.RedisClusterException, OSError):
            # redis-py forgets nodes that failed, the ones it was given included.
            if cluster is self._cluster:
                self._cluster = self._make()
            raise
        finally:
            self._uses[cluster] -= 1
            if cluster is not self._cluster:
                await self._close_if_unused(cluster)

    async def _close_if_unused(self, cluster: Any) -> None:
        """Close an unused cluster client in a task of its own, which a cancelled command does not end."""
        if not self._uses[cluster]:
            del self._uses[cluster]
            self._closing.add(closing := asyncio.create_task(_close_cluster(cluster)))
            closing.add_done_callback(self._closing.discard)
            await asyncio.shield(closing)

    async def close(self) -> None:
        cluster, self._cluster = self._cluster, None
        if cluster is not None:
            await self._close_if_unused(cluster)
        if self._closing:
            await asyncio.wait(self._closing)


async def _close_cluster(cluster: Any) -> None:
    """redis-py itself closes nothing of a cluster that it did not come to know."""
    await cluster.aclose()
    for nodes in ("nodes_cache", "startup_nodes"):
        with contextlib.suppress(exceptions.RedisError, OSError):
            await cluster.nodes_manager.aclose(nodes)


def open_client(address: RedisAddress, timeout: float) -> RedisClient:
    """A client of the server, of which an answer may take so many seconds. It does not connect yet.

    One attempt more where a connection turns out to be dead: the pool may hold what a restart has cut.
    """
    settings: dict[str, Any] = {
        "username": address.username or None,
        "password": address.password.reveal() if address.password is not None else None,
        "socket_connect_timeout": PATIENCE,
        "socket_timeout": timeout,
        "retry": Retry(NoBackoff(), 1),
        "protocol": 2,
    }
    if address.tls:
        settings |= {"ssl": True, **dict(address.options)}
    if address.topology is RedisTopology.CLUSTER:
        nodes = [ClusterNode(host, port) for host, port in address.hosts]
        return ClusterClient(lambda: RedisCluster(startup_nodes=nodes, require_full_coverage=False, **settings), PREFIX)
    if address.topology is RedisTopology.SENTINEL:
        sentinel: Any = Sentinel(  # type: ignore[no-untyped-call]  # redis-py has no types there
            list(address.hosts), sentinel_kwargs=settings, db=address.db, **settings
        )
        return ServerClient(sentinel.master_for(address.service))
    host, port = address.hosts[0]
    return ServerClient(Redis(host=host, port=port, db=address.db, **settings))
