"""Ways to a real Redis that need more than an address: TLS, users with few permissions, Sentinel, clusters."""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from proxy.errors import StateError, StateUnavailable
from proxy.secret import Secret
from proxy.tokens import redis_connection
from proxy.tokens.leases import FailedAttempt, LeaseRequest, Urgency
from proxy.tokens.opening import open_store
from proxy.tokens.redis_store import RedisStore
from proxy.tokens.store import StoredSource, StoredToken
from proxy.tokens.token_response import Grant
from tests.support.certificates import Authority
from tests.support.patience import PATIENCE
from tests.support.processes import until
from tests.support.programs import ROOT
from tests.support.redis_server import KEY, RedisCluster, RedisSentinel, RedisServer, redis_server

pytestmark = pytest.mark.integration

ENTRY = StoredToken(Secret("Atzr|refresh-token"), StoredSource.SIGN_IN, "", 12.5, 12.5)
WANTED = LeaseRequest("acme", "https://lwa.test/token", "amzn1.client", "f" * 64, 0)
GRANT = Grant(Secret("Atza|token"), None, 3600.0, "amzn1.client")


@pytest.fixture(autouse=True)
def patient_store(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that is slow is no failure here: it dies, or it answers."""
    monkeypatch.setattr(redis_connection, "PATIENCE", PATIENCE)


@contextlib.asynccontextmanager
async def opened(url: str) -> AsyncIterator[RedisStore]:
    store = open_store(url, Secret(KEY))
    assert isinstance(store, RedisStore)
    try:
        yield store
    finally:
        await store.close()


async def use(store: RedisStore, server: RedisServer) -> None:
    """Everything that a replica does with its store, as this server sees it."""
    changes = store.changes()
    await anext(changes)
    await store.write("acme", ENTRY)
    await store.read("acme")
    await store.write_document("profiles", {})
    assert await store.read_document("profiles") == {}
    async with store.leases.lease(WANTED, Urgency.PLANNED) as lease:
        ends_at = lease_end(server)
        await asyncio.to_thread(until, lambda: lease_end(server) > ends_at)  # it is renewed
        assert await lease.publish(GRANT, WANTED.lineage) == lease.fence > 0
    assert await store.leases.newest(WANTED) is not None
    assert await store.leases.announce(WANTED, GRANT) > lease.fence
    async with store.leases.lease(replace(WANTED, known=2**50), Urgency.PLANNED) as lease:
        await lease.fail(FailedAttempt("network", False, 1, 30.0, 5.0))
    async with store.leases.lease(replace(WANTED, known=2**50), Urgency.PLANNED) as lease:
        assert lease.held_back is not None
    await store.fleet.share({"a": 1})
    assert (await asyncio.wait_for(anext(store.fleet.heard()), PATIENCE))[1] == {"a": 1}
    assert await store.fleet.settle("client", 60, 1.0, 1) == 59
    assert store.fleet.health.problem == ""


def lease_end(server: RedisServer) -> int:
    """Until when the one lease that is out holds, in milliseconds."""
    (key,) = server.client.keys("*lease:*")
    return int(server.client.hget(key, "until"))


async def test_through_tls(tmp_path: Path) -> None:
    """The server is the one that the authority certifies; without the authority it is not trusted."""
    authority = Authority(tmp_path)
    authority.context("127.0.0.1")
    pair = str(tmp_path / "127.0.0.1.pem")
    options = ("--tls-cert-file", pair, "--tls-key-file", pair, "--tls-ca-cert-file", str(authority.ca_file))
    with redis_server(tmp_path, *options, "--tls-auth-clients", "no", password="p") as server:
        address = f"rediss://:p@127.0.0.1:{server.port}/0"
        async with opened(f"{address}?ssl_ca_certs={authority.ca_file}") as store:
            await use(store, server)
            assert store.notes == ()
        async with opened(address) as stranger:
            with pytest.raises(StateUnavailable, match="a certificate that is not accepted"):
                await stranger.read("acme")


async def test_a_failover_is_followed(tmp_path: Path) -> None:
    """The primary dies; what was written is at the one that takes its place, and so are the next writes."""
    with redis_server(tmp_path) as primary:
        options = ("--replicaof", "127.0.0.1", str(primary.port))
        with redis_server(tmp_path, *options) as standby, contextlib.ExitStack() as ending:
            sentinel = RedisSentinel(tmp_path, primary)
            ending.callback(sentinel.end)
            async with opened(f"redis+sentinel://127.0.0.1:{sentinel.port}/main/0") as store:
                await use(store, primary)
                assert await asyncio.to_thread(primary.client.wait, 1, int(1000 * PATIENCE)) == 1
                changes = store.changes()
                await anext(changes)
                sentinel.be_quick()
                await asyncio.to_thread(primary.kill)
                await asyncio.wait_for(anext(changes), PATIENCE)
                assert sentinel.primary() == standby.port
                assert await store.read("acme") == ENTRY
                await store.write("other", ENTRY)
                assert len(standby.client.keys("*account:*")) == 2


async def test_a_name_that_sentinel_does_not_know_is_trouble(tmp_path: Path) -> None:
    """The name may be known later."""
    with contextlib.ExitStack() as ending:
        primary = ending.enter_context(redis_server(tmp_path))
        ending.enter_context(redis_server(tmp_path, "--replicaof", "127.0.0.1", str(primary.port)))
        sentinel = RedisSentinel(tmp_path, primary)
        ending.callback(sentinel.end)
        async with opened(f"redis+sentinel://127.0.0.1:{sentinel.port}/elsewhere/0") as store:
            with pytest.raises(StateUnavailable, match=r"cannot be reached|did not answer"):
                await store.read("acme")


async def test_of_a_cluster_the_node_that_has_the_keys_is_asked(tmp_path: Path) -> None:
    """Everything is on one node, wherever one begins; docs/how-to/share-state.md lists a user's permissions."""
    page = (ROOT / "docs" / "how-to" / "share-state.md").read_text(encoding="utf-8")
    paragraph = page.partition("The proxy's user needs these permissions:")[2].partition("\n\n")[0]
    permissions = re.findall(r"\+[a-z|]+", paragraph)
    cluster = RedisCluster(tmp_path)
    with contextlib.ExitStack() as ending:
        ending.callback(cluster.end)
        for node in cluster.nodes:
            node.client.execute_command("ACL", "SETUSER", "me", "on", ">p", "~{ads-proxy}:*", *permissions)
        for node in cluster.nodes[:3]:
            async with opened(f"redis+cluster://me:p@127.0.0.1:{node.port}") as store:
                await use(store, cluster.primary)
                assert await store.read("acme") == ENTRY
            cluster.primary.client.delete(*cluster.primary.client.keys("*lease:*"))
        assert [bool(node.client.dbsize()) for node in cluster.nodes[:3]] == [
            node is cluster.primary for node in cluster.nodes[:3]
        ]
        async with opened(f"redis://127.0.0.1:{cluster.standby.port}/0") as store:
            with pytest.raises(StateError, match=r"write redis\+cluster://"):
                await store.write("acme", ENTRY)


async def test_a_failover_within_a_cluster_is_followed(tmp_path: Path) -> None:
    """The node with the keys dies; its standby takes over, and the store goes on with it."""
    cluster = RedisCluster(tmp_path)
    with contextlib.ExitStack() as ending:
        ending.callback(cluster.end)
        async with opened(cluster.url) as store:
            await use(store, cluster.primary)
            assert await asyncio.to_thread(cluster.primary.client.wait, 1, int(1000 * PATIENCE)) == 1
            changes = store.changes()
            await anext(changes)
            cluster.be_quick()
            await asyncio.to_thread(cluster.primary.kill)
            await asyncio.wait_for(anext(changes), PATIENCE)
            assert await store.read("acme") == ENTRY
            await store.write("other", ENTRY)
            assert cluster.standby.client.info("replication")["role"] == "master"
            await asyncio.to_thread(until, lambda: store.fleet.health.problem == "")
