"""The configuration: YAML, environment and secret files, read once into frozen values.

What others need is named here. No other part of the program looks at the environment.
"""

from __future__ import annotations

from proxy.config.amazon import AMAZON_REGIONS
from proxy.config.loading import admin_address, environment, load
from proxy.config.model import (
    Account,
    Admin,
    Client,
    Config,
    Drain,
    Limits,
    Log,
    Region,
    RouteConfig,
    State,
    Tls,
    Tokens,
    Upstream,
)
from proxy.config.notes import notes
from proxy.config.values import REGION_NAMES, Address

__all__ = [
    "AMAZON_REGIONS",
    "REGION_NAMES",
    "Account",
    "Address",
    "Admin",
    "Client",
    "Config",
    "Drain",
    "Limits",
    "Log",
    "Region",
    "RouteConfig",
    "State",
    "Tls",
    "Tokens",
    "Upstream",
    "admin_address",
    "environment",
    "load",
    "notes",
]
