"""The names that a shell completes: accounts, routes, clients and reports of the configuration.

The configuration is that of --config before the word, else that of ADS_PROXY_CONFIG. It need not be valid. Without one
that can be read, nothing is completed: a shell has no place for an error.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from proxy.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable

    from proxy.config import ConfiguredNames


def _names(*kinds: str) -> Callable[[typer.Context, str], list[str]]:
    """What completes a word with the configured names of these kinds."""

    def complete(context: typer.Context, incomplete: str) -> list[str]:
        configured = _configured(context)
        return [name for kind in kinds for name in getattr(configured, kind) if name.startswith(incomplete)]

    return complete


account_names, client_names, report_names = _names("accounts"), _names("clients"), _names("reports")
account_and_route_names = _names("accounts", "routes")


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
