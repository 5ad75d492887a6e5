"""Addresses of the command line, which win over those of the file and the environment. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping


def at_addresses(
    environ: Mapping[str, str], listen: str | None = None, admin_listen: str | None = None
) -> Mapping[str, str]:
    """The environment in which the command line's addresses are in force: it wins over file and variables."""
    given = {"ADS_PROXY_LISTEN": listen, "ADS_PROXY_ADMIN_LISTEN": admin_listen}
    return {**environ, **{name: address for name, address in given.items() if address is not None}}
