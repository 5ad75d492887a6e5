"""A real Redis or Valkey on a free port, a sentinel for it, and a connection to it that can be cut.

Each is ended by its pid. Nothing is asserted here.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import selectors
import socket
import threading
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any
from weakref import WeakSet

import pytest
import redis

from tests.support.processes import Process, free_port, until
from tests.support.programs import require_program

KEY = "key-of-the-state-in-tests"
ENGINES = ("redis-server", "valkey-server")
"""What the store is tried on; where a test does not care, Valkey, if it is here."""


@cache
def _digest(script: str) -> str:
    return hashlib.sha1(script.encode(), usedforsecurity=False).hexdigest()


class RedisServer:
    """Keeps nothing on a disk. `options` are as on the server's command line; `engine` is one of `ENGINES`, or any."""

    def __init__(self, directory: Path, *options: str, password: str = "", engine: str = "") -> None:
        self.program = require_program(*((engine,) if engine else reversed(ENGINES)))
        self.directory, self.password, self._options = directory, password, options
        self.tls: dict[str, Any] = {}
        self.readers: WeakSet[asyncio.Event] = WeakSet()
        """What `tests/support/fleet.py` sets when a script ran that may publish news."""
        self.port = free_port()
        if "--tls-ca-cert-file" in options:
            self.tls = {"ssl": True, "ssl_ca_certs": options[options.index("--tls-ca-cert-file") + 1]}
        self.start()

    def start(self) -> None:
        """Empty, on the same port."""
        ports = ("--port", "0", "--tls-port", str(self.port)) if self.tls else ("--port", str(self.port))
        own = [*ports, "--bind", "127.0.0.1", "--dir", str(self.directory), "--save", ""]
        if self.password:
            own += ["--requirepass", self.password]
        self.process = Process(self.program, *own, *self._options)
        self.client: Any = redis.Redis(
            host="127.0.0.1", port=self.port, password=self.password or None, protocol=2, **self.tls
        )
        self._connection: Any = None
        until(self._answers, lambda: self.process.text)

    def ask(self, *words: str | bytes | float) -> Any:
        """What `client.execute_command` returns, in a third of its time: on one connection, which stays open."""
        if self._connection is None:
            self._connection = self.client.connection_pool.get_connection()
        self._connection.send_command(*words)
        answer = self._connection.read_response()
        read = self.client.response_callbacks.get(words[0])
        return answer if read is None else read(answer)

    def evaluate(self, script: str, *words: str | bytes | float) -> Any:
        """What a script gives, which the server knows by its digest after the first time."""
        try:
            return self.ask("EVALSHA", _digest(script), *words)
        except redis.exceptions.NoScriptError:
            return self.ask("EVAL", script, *words)

    def _answers(self) -> bool:
        with contextlib.suppress(redis.ConnectionError):
            return bool(self.client.ping())
        return False

    @property
    def url(self) -> str:
        user = f":{self.password}@" if self.password else ""
        return f"redis://{user}127.0.0.1:{self.port}/0"

    def kill(self) -> None:
        """Kill the server as if its machine were gone."""
        self.process.child.kill()
        self.process.child.wait()

    def restart(self) -> None:
        self.kill()
        self.process.end()
        self.start()

    def set(self, name: str, value: str) -> None:
        """CONFIG SET."""
        self.client.config_set(name, value)

    def end(self) -> None:
        self.client.close()
        self.process.end()


@contextlib.contextmanager
def redis_server(directory: Path, *options: str, password: str = "", engine: str = "") -> Iterator[RedisServer]:
    server = RedisServer(directory, *options, password=password, engine=engine)
    try:
        yield server
    finally:
        server.end()


@pytest.fixture(scope="module", params=[pytest.param(ENGINES[0], marks=pytest.mark.integration), *ENGINES[1:]], ids=str)
def kept_server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """One of each engine, one after the other, for all tests of a module; the quick ones ask Valkey alone."""
    with redis_server(tmp_path_factory.mktemp("redis"), engine=request.param) as started:
        yield started


@pytest.fixture(scope="module")
def one_engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """`kept_server` of modules that try what replicas do with answers, which are the same from both engines.

    What the engines might answer differently is tried on both: scripts, commands, errors, and the lease protocol.
    """
    with redis_server(tmp_path_factory.mktemp("redis")) as started:
        yield started


@pytest.fixture
def server(kept_server: RedisServer) -> RedisServer:
    """The server, emptied."""
    kept_server.client.flushall()
    return kept_server


class RedisSentinel:
    """Watches over one primary, called `main`, and makes a replica of it the primary after its end: half a second after
    `be_quick`, before which a primary that stops for a while stays the primary."""

    def __init__(self, directory: Path, primary: RedisServer) -> None:
        self.port = free_port()
        settings = directory / f"sentinel-{self.port}.conf"
        settings.write_text(
            f"port {self.port}\nbind 127.0.0.1\ndir {directory}\n"
            f"sentinel monitor main 127.0.0.1 {primary.port} 1\n"
            "sentinel down-after-milliseconds main 600000\nsentinel failover-timeout main 4000\n"
        )
        self.process = Process(primary.program, settings, "--sentinel")
        self._client: Any = redis.Redis(port=self.port, protocol=2)
        until(self.knows_a_replica, lambda: self.process.text)

    def knows_a_replica(self) -> bool:
        with contextlib.suppress(redis.RedisError):
            return bool(self._client.sentinel_slaves("main"))
        return False

    def be_quick(self) -> None:
        self._client.sentinel_set("main", "down-after-milliseconds", 500)

    def primary(self) -> int:
        """The port of the primary of now."""
        found: tuple[str, int] = self._client.sentinel_get_master_addr_by_name("main")
        return found[1]

    def end(self) -> None:
        self._client.close()
        self.process.end()


class RedisCluster:
    """Three nodes with a third of the slots each, the first of them with a standby; a failover takes about a second
    after `be_quick`, before which a node that stops for a while is not taken for dead."""

    def __init__(self, directory: Path, *options: str) -> None:
        self.nodes: list[RedisServer] = []
        for number in range(4):
            folder = directory / f"node-{number}"
            folder.mkdir()
            own = ("--cluster-enabled", "yes", "--cluster-node-timeout", "500", "--cluster-port", str(free_port()))
            self.nodes.append(RedisServer(folder, *own, *options))
        bus = [node.client.config_get("cluster-port")["cluster-port"] for node in self.nodes]
        for number, node in enumerate(self.nodes[:3]):
            node.client.execute_command("CLUSTER", "SET-CONFIG-EPOCH", number + 1)
            node.client.execute_command("CLUSTER", "ADDSLOTSRANGE", number * 5462, min(number * 5462 + 5461, 16383))
        for node, port in zip(self.nodes[1:], bus[1:], strict=True):
            self.nodes[0].client.execute_command("CLUSTER", "MEET", "127.0.0.1", node.port, port)
        until(lambda: all(self._known(node) == 4 for node in self.nodes), lambda: self.nodes[0].process.text)
        self._count_as_dead_after(600_000)
        self.primary = self._holder_of("{ads-proxy}:")
        self.standby = self.nodes[3]
        self.standby.client.execute_command("CLUSTER", "REPLICATE", self._id(self.primary))
        until(lambda: all(self._info(node)["cluster_state"] == "ok" for node in self.nodes))
        until(lambda: self.standby.client.info("replication").get("master_link_status") == "up")

    @property
    def url(self) -> str:
        return f"redis+cluster://{','.join(f'127.0.0.1:{node.port}' for node in self.nodes)}"

    def end(self) -> None:
        for node in self.nodes:
            node.end()

    def be_quick(self) -> None:
        self._count_as_dead_after(500)

    def _count_as_dead_after(self, milliseconds: int) -> None:
        for node in self.nodes:
            node.set("cluster-node-timeout", str(milliseconds))

    @staticmethod
    def _info(node: RedisServer) -> dict[str, str]:
        text = node.client.execute_command("CLUSTER INFO")
        if isinstance(text, dict):
            return {str(key): str(value) for key, value in text.items()}
        return dict(line.split(":", 1) for line in text.decode().split())

    def _known(self, node: RedisServer) -> int:
        return int(self._info(node)["cluster_known_nodes"])

    @staticmethod
    def _id(node: RedisServer) -> str:
        found = node.client.execute_command("CLUSTER MYID")
        return found.decode() if isinstance(found, bytes) else str(found)

    def _holder_of(self, key: str) -> RedisServer:
        slot = int(self.nodes[0].client.execute_command("CLUSTER KEYSLOT", key))
        return self.nodes[slot // 5462]


class Relay:
    """Relays TCP to a port. Told to swallow everything, it drops all bytes and lets neither side know."""

    def __init__(self, port: int) -> None:
        self._target = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.swallows = False
        self._ended = threading.Event()
        self._pairs: dict[socket.socket, socket.socket] = {}
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        with selectors.DefaultSelector() as ready:
            ready.register(self._listener, selectors.EVENT_READ)
            while not self._ended.is_set():
                for key, _ in ready.select(0.05):
                    if key.fileobj is self._listener:
                        self._accept(ready)
                    else:
                        self._pass(ready, key.fileobj)  # type: ignore[arg-type]  # all of them are sockets

    def _accept(self, ready: selectors.BaseSelector) -> None:
        near, _ = self._listener.accept()
        try:
            far = socket.create_connection(("127.0.0.1", self._target), 1)
        except OSError:
            near.close()
            return
        self._pairs |= {near: far, far: near}
        for each in (near, far):
            ready.register(each, selectors.EVENT_READ)

    def _pass(self, ready: selectors.BaseSelector, source: socket.socket) -> None:
        try:
            content = source.recv(65536)
        except OSError:
            content = b""
        if content and self.swallows:
            return
        with contextlib.suppress(OSError):
            if content:
                self._pairs[source].sendall(content)
                return
        for each in (source, self._pairs[source]):
            if self._pairs.pop(each, None) is not None:
                ready.unregister(each)
                each.close()

    def end(self) -> None:
        self._ended.set()
        self._thread.join(5)
        for each in (self._listener, *self._pairs):
            each.close()


@contextlib.contextmanager
def relay_to(port: int) -> Iterator[Relay]:
    relay = Relay(port)
    try:
        yield relay
    finally:
        relay.end()
