"""The names that a shell completes: accounts, routes, clients and reports of the configuration.

The configuration is that of --config before the word, else that of ADS_PROXY_CONFIG. It need not be valid. Without one
that can be read, nothing is completed: a shell has no place for an error.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from proxy.errors import ConfigurationError

if TYPE_CHECKING:
    from proxy.config import ConfiguredNames


def account_names(context: typer.Context, incomplete: str) -> list[str]:
    """The accounts that begin with the typed word."""
    return [name for name in _configured(context).accounts if name.startswith(incomplete)]


def account_and_route_names(context: typer.Context, incomplete: str) -> list[str]:
    """The accounts and routes that begin with the typed word."""
    found = _configured(context)
    return [name for name in (*found.accounts, *found.routes) if name.startswith(incomplete)]


def client_names(context: typer.Context, incomplete: str) -> list[str]:
    """The clients that begin with the typed word."""
    return [name for name in _configured(context).clients if name.startswith(incomplete)]


def report_names(context: typer.Context, incomplete: str) -> list[str]:
    """The named reports that begin with the typed word."""
    return [name for name in _configured(context).reports if name.startswith(incomplete)]


def preset_names(incomplete: str) -> list[str]:
    """The report types that begin with the typed word."""
    from proxy.reports.presets import PRESETS

    return [name for name in PRESETS if name.startswith(incomplete)]


def _configured(context: typer.Context) -> ConfiguredNames:
    from proxy.config import ConfiguredNames, configured_names, environment

    try:
        return configured_names(context.params.get("config"), environment(context.params.get("env_file")))
    except ConfigurationError:
        return ConfiguredNames()
