"""What is wrong with a Redis or Valkey, in words for each cause, and what its user must be permitted."""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from proxy.config.model.redis_address import parse_redis_address
from proxy.config.model.sections import StateSection
from proxy.errors import StateError, StateUnavailable
from proxy.secret import Secret
from proxy.tokens.opening import open_store
from proxy.tokens.redis_connection import NEWS
from proxy.tokens.redis_store import RedisStore
from proxy.tokens.store import StoredSource, StoredToken
from tests.support.certificates import Authority
from tests.support.programs import ROOT
from tests.support.redis_server import KEY, RedisServer, redis_server

ENTRY = StoredToken(Secret("Atzr|refresh-token"), StoredSource.ROTATED, "f" * 64, 12.5)
USER, PASSWORD = "ads-proxy", "canary-of-the-user"


def documented() -> list[str]:
    """The permissions that docs/how-to/share-state.md tells people to give."""
    page = (ROOT / "docs" / "how-to" / "share-state.md").read_text(encoding="utf-8")
    paragraph = page.partition("The proxy's user needs these permissions:")[2].partition("in a cluster")[0]
    return re.findall(r"\+[a-z|]+", paragraph)


def permit(server: RedisServer, permissions: list[str], keys: str = "{ads-proxy}:*") -> None:
    words = ("on", f">{PASSWORD}", f"~{keys}", *permissions)
    server.client.execute_command("ACL", "SETUSER", USER, "reset", *words)


@contextlib.asynccontextmanager
async def opened(port: int, user: str = f"{USER}:{PASSWORD}@") -> AsyncIterator[RedisStore]:
    store = open_store(f"redis://{user}127.0.0.1:{port}/0", Secret(KEY))
    assert isinstance(store, RedisStore)
    try:
        yield store
    finally:
        await store.close()


async def test_the_documented_permissions_are_enough(server: RedisServer) -> None:
    """For everything that a replica ever does there."""
    permit(server, documented())
    async with opened(server.port) as store:
        connection = store._connection
        await store.write("acme", ENTRY)
        assert await store.read("acme") == ENTRY
        await store.write_document("profiles", {})
        assert await store.rotate() == 1
        await store.fleet.share({"by": "one"})
        assert await store.fleet.settle("client", 10.0, 1.0, 1) == 9.0
        await connection.pulse()
        assert await connection.news(NEWS, "0")
        assert await anext(store.changes())
        assert connection.problem is None


@pytest.mark.parametrize(
    "missing", [each for each in documented() if each not in ("+select", "+ping", "+client|setinfo")]
)
async def test_a_permission_that_is_missing_is_named(server: RedisServer, missing: str) -> None:
    """A missing permission is no passing trouble: a start ends with it, also if only a script needs the command."""
    permit(server, [each for each in documented() if each != missing])
    async with opened(server.port) as store:
        with pytest.raises(StateError, match=rf"does not permit this user \{missing}:") as caught:
            await store.read("acme")
        assert not isinstance(caught.value, StateUnavailable)
        assert "canary" not in str(caught.value)


async def test_a_user_for_other_keys_is_told_which_it_needs(server: RedisServer) -> None:
    """Whatever commands it may use."""
    permit(server, documented(), keys="other:*")
    async with opened(server.port) as store:
        with pytest.raises(StateError, match=r"does not permit this user the keys \{ads-proxy\}:\*"):
            await store.read("acme")


async def test_a_server_with_too_many_clients_says_so(tmp_path: Path) -> None:
    """The server is neither away nor is the password wrong."""
    with redis_server(tmp_path) as server:
        server.set("maxclients", "1")
        async with opened(server.port, user="") as store:
            with pytest.raises(StateUnavailable, match=r"raise its maxclients, or lower state\.max_connections"):
                await store.read("acme")


@pytest.fixture(scope="module")
def tls_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """A TLS server with a certificate for 127.0.0.1 from an authority that only the test knows."""
    folder = tmp_path_factory.mktemp("tls")
    authority = Authority(folder)
    authority.context("127.0.0.1")
    pair = str(folder / "127.0.0.1.pem")
    options = ("--tls-cert-file", pair, "--tls-key-file", pair, "--tls-ca-cert-file", str(authority.ca_file))
    with redis_server(folder, *options, "--tls-auth-clients", "no") as server:
        yield server


async def read(url: str) -> None:
    store = open_store(url, Secret(KEY))
    try:
        await store.read("acme")
    finally:
        await store.close()


async def test_a_server_that_is_no_cluster_is_named_as_such(server: RedisServer) -> None:
    """The error ends a start, because waiting does not help."""
    with pytest.raises(StateError, match="is not a cluster, or does not permit") as caught:
        await read(f"redis+cluster://127.0.0.1:{server.port}")
    assert not isinstance(caught.value, StateUnavailable)


async def test_an_unknown_authority_is_named_as_such(tls_server: RedisServer) -> None:
    """With the option that makes it known."""
    with pytest.raises(StateUnavailable, match=r"certificate that is not accepted: .*\?ssl_ca_certs=FILE"):
        await read(f"rediss://127.0.0.1:{tls_server.port}/0")


async def test_a_certificate_for_another_name_is_named_as_such(tls_server: RedisServer) -> None:
    """The authority is known, so it is the address that has to change."""
    authority = tls_server.tls["ssl_ca_certs"]
    with pytest.raises(StateUnavailable, match=r"use a host name in state\.url"):
        await read(f"rediss://localhost:{tls_server.port}/0?ssl_ca_certs={authority}")


async def test_an_authority_that_may_not_sign_is_named_as_such(tmp_path: Path) -> None:
    """Python 3.13 reports it for more authorities than earlier versions do; the proxy does not name it twice."""
    authority = Authority(tmp_path, valid=False)
    async with await asyncio.start_server(
        lambda *_: None, "127.0.0.1", 0, ssl=authority.context("127.0.0.1")
    ) as server:
        address = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
        with pytest.raises(StateUnavailable, match="certificate of its authority, issued again"):
            await read(f"rediss://{address}/0?ssl_ca_certs={authority.ca_file}")


@pytest.mark.parametrize(("url", "hidden"), [("redis://h/0", False), ("redis://u:canary-password@h/0", True)])
def test_an_address_is_hidden_in_the_log_only_with_a_password(url: str, hidden: bool) -> None:
    """Without one it says which server the log is about."""
    section = StateSection.model_validate({"url": url, "key": KEY})
    shown = {secret.reveal() for secret in section.secrets if secret is not None}
    assert (url in shown, "canary-password" in shown) == (hidden, hidden)
    assert "canary" not in str(parse_redis_address(url))
