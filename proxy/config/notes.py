"""Sentences about a configuration that is valid and still worth a word at the start."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import urlsplit

from proxy.config.model import Config
from proxy.config.values import Address


def notes(config: Config) -> tuple[str, ...]:
    """What an operator should know; nothing here is an error."""
    return tuple(_notes(config))


def _notes(config: Config) -> Iterator[str]:
    if config.state.url == "memory:":
        yield "state.url is memory: refresh tokens that Amazon renews, and sign-ins, are lost when the program ends."
    if not config.listen.is_loopback and not config.clients:
        yield f"{config.listen} can be reached from other machines, and whoever reaches it is trusted."
    if not config.listen.is_loopback and config.clients and config.tls is None:
        yield f"{config.listen} is plain HTTP: keys of clients cross the network unencrypted. See tls."
    for name, region in config.regions.items():
        for key in ("api_url", "token_url", "mcp_url"):
            parts = urlsplit(getattr(region, key))
            if parts.scheme == "http" and not Address(parts.hostname or "", 0).is_loopback:
                yield f"regions.{name}.{key} is plain HTTP: tokens cross the network unencrypted."
