"""Addresses of Redis and Valkey: what each part means, and that none is shown with its secrets."""

from __future__ import annotations

from pathlib import Path

import pytest

from proxy.config import StateKind, load
from proxy.config.model.redis_address import RedisAddress, RedisTopology, parse_redis_address
from proxy.secret import Secret

SERVER, SENTINEL, CLUSTER = RedisTopology.SERVER, RedisTopology.SENTINEL, RedisTopology.CLUSTER
ACCOUNT = {"AMAZON_ADS_CLIENT_ID": "c", "AMAZON_ADS_CLIENT_SECRET": "s", "ADS_PROXY_STATE__KEY": "k" * 16}


@pytest.mark.parametrize(
    ("text", "meant", "shown"),
    [
        ("redis://h", RedisAddress(SERVER, False, (("h", 6379),)), "redis://h:6379/0"),
        ("redis://h:1/", RedisAddress(SERVER, False, (("h", 1),)), "redis://h:1/0"),
        (
            "rediss://me:p%40ss@[::1]:7/15?ssl_ca_certs=%2Fca.pem",
            RedisAddress(
                SERVER,
                True,
                (("::1", 7),),
                15,
                username="me",
                password=Secret("p@ss"),
                options=(("ssl_ca_certs", "/ca.pem"),),
            ),
            "rediss://[::1]:7/15",
        ),
        (
            "redis://:p@h/2",
            RedisAddress(SERVER, False, (("h", 6379),), 2, password=Secret("p")),
            "redis://h:6379/2",
        ),
        (
            "redis+sentinel://:p@a,b:2/main",
            RedisAddress(SENTINEL, False, (("a", 26379), ("b", 2)), service="main", password=Secret("p")),
            "redis+sentinel://a:26379,b:2/main/0",
        ),
        (
            "rediss+sentinel://a/main/3",
            RedisAddress(SENTINEL, True, (("a", 26379),), 3, service="main"),
            "rediss+sentinel://a:26379/main/3",
        ),
        (
            "rediss+cluster://me:p@a,b:2",
            RedisAddress(CLUSTER, True, (("a", 6379), ("b", 2)), username="me", password=Secret("p")),
            "rediss+cluster://a:6379,b:2/0",
        ),
        ("redis+cluster://a/0", RedisAddress(CLUSTER, False, (("a", 6379),)), "redis+cluster://a:6379/0"),
    ],
)
def test_each_part_has_its_meaning(text: str, meant: RedisAddress, shown: str) -> None:
    """What is left out has redis-py's defaults; as text it is without user and password."""
    found = parse_redis_address(text)
    assert found == meant
    assert str(found) == shown


def test_the_address_may_lie_in_a_file(tmp_path: Path) -> None:
    """The address holds a password, so it is a secret as others are."""
    (tmp_path / "url").write_text("redis://:canary@h/1\n")
    config = load(None, {**ACCOUNT, "ADS_PROXY_STATE__URL_FILE": str(tmp_path / "url")})
    assert config.state.kind is StateKind.REDIS
    assert config.state.url == Secret("redis://:canary@h/1")
    assert Secret("canary") in config.secrets()
    assert "canary" not in repr(config)


@pytest.mark.parametrize(("url", "kind"), [("memory:", StateKind.MEMORY), ("file:/x", StateKind.FILE)])
def test_other_stores_are_no_secret(url: str, kind: StateKind) -> None:
    """Other addresses are shown as they are."""
    config = load(None, {**ACCOUNT, "ADS_PROXY_STATE__URL": url})
    assert (config.state.url, config.state.kind) == (url, kind)
