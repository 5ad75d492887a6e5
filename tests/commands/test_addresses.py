"""Addresses of the command line win over those of the environment."""

from __future__ import annotations

from proxy.commands.addresses import at_addresses


def test_an_address_that_is_given_wins() -> None:
    """What is not given stays as the environment has it, and the environment itself is not changed."""
    environ = {"ADS_PROXY_LISTEN": "a:1", "ADS_PROXY_ADMIN_LISTEN": "b:2", "HOME": "/root"}
    assert at_addresses(environ, listen="c:3") == {**environ, "ADS_PROXY_LISTEN": "c:3"}
    assert at_addresses({}, admin_listen="d:4") == {"ADS_PROXY_ADMIN_LISTEN": "d:4"}
    assert at_addresses(environ) == environ
