"""The forwarder's rules for tests: those of one account behind one address, and changes of them."""

from __future__ import annotations

import atexit
import functools
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from proxy.access.clients import Budgets
from proxy.app.capabilities import CapabilitySettings
from proxy.app.rules import make_clients, make_routing_table, make_rules
from proxy.config import load
from proxy.downstream.ports import ConnectionLimits
from proxy.forwarding.decision import Capability, Rules
from proxy.net.dialing import client_context
from proxy.routing.table import EmptyDirectory
from tests.support.certificates import Authority


@dataclass(frozen=True, slots=True)
class Unplugged(Capability):
    """Holds what capabilities are to be made of, until there is somebody to plug them in."""

    settings: CapabilitySettings


def settings_of(rules: Rules) -> CapabilitySettings:
    """What capabilities of these rules are to be made of."""
    found = (each.settings for each in rules.capabilities if isinstance(each, Unplugged))
    return next(found, CapabilitySettings(b"key"))


def changed_rules(rules: Rules, changed: dict[str, Any]) -> Rules:
    """Rules with changes, given by the names of the configuration, wherever in the rules they lie.

    `max_connections` is that of the clients; `pool_limit` is how many connections Amazon's hosts may have.
    """
    groups: dict[str, dict[str, Any]] = {
        "connection_limits": {},
        "head_limits": {},
        "pool_settings": {},
        "timeouts": {},
    }
    elsewhere = {
        "pool_limit": ("pool_settings", "max_connections"),
        "connect_timeout": ("pool_settings", "connect_timeout"),
        "outbound_proxy": ("pool_settings", "proxy"),
        "context": ("pool_settings", "context"),
        "response_timeout": ("timeouts", "response"),
        "idle_timeout": ("timeouts", "idle"),
        "max_header_bytes": ("head_limits", "max_bytes"),
        "max_target_bytes": ("head_limits", "max_target_bytes"),
        "max_header_fields": ("head_limits", "max_fields"),
    }
    urls = {("api", region): url for region, url in changed.pop("api_urls", {}).items()}
    changed["endpoints"] = {**rules.endpoints, **urls}
    for name in tuple(changed):
        if name in elsewhere:
            group, field = elsewhere[name]
            groups[group][field] = changed.pop(name)
        elif name in ConnectionLimits.__dataclass_fields__:
            groups["connection_limits"][name] = changed.pop(name)
    names = CapabilitySettings.__dataclass_fields__.keys() & changed.keys()
    settings = replace(settings_of(rules), **{name: changed.pop(name) for name in names})
    changed["capabilities"] = (Unplugged(settings),)
    for group, values in groups.items():
        changed[group] = replace(getattr(rules, group), **values)
    return replace(rules, **changed)


def rules_for(api_url: str, *, intercepts: bool = False, **changed: Any) -> Rules:
    """The rules of an account `default` at this API address. `max_connections` is the clients', `pool_limit`
    Amazon's."""
    environment = {
        "AMAZON_ADS_CLIENT_ID": "amzn1.test",
        "AMAZON_ADS_CLIENT_SECRET": "a-secret-for-tests",
        "AMAZON_ADS_REFRESH_TOKEN": "Atzr|test",
        "ADS_PROXY_REGIONS__NA__API_URL": api_url,
        "ADS_PROXY_REGIONS__NA__MCP_URL": f"{api_url}/mcp",
        "ADS_PROXY_INTERCEPT__ENABLED": str(intercepts).lower(),
        "HOME": str(Path.home()),
    }
    config = load(None, environment)
    table = make_routing_table(config, EmptyDirectory())
    rules = make_rules(config, table, make_clients(config, b"key", Budgets()), demo=False)
    ca_file = changed.pop("ca_file", _one_authority())
    return changed_rules(rules, {"context": client_context(ca_file), **changed})


@functools.cache
def _one_authority() -> str:
    """A file with an authority that signed nothing: to read those of the system takes longer than most tests do."""
    folder = TemporaryDirectory(prefix="authority-")
    atexit.register(folder.cleanup)
    return str(Authority(Path(folder.name)).ca_file)
