"""From a configuration to the values that the parts are made from, and what is remade when a file changes."""

from __future__ import annotations

from pathlib import Path

import pytest

from proxy.access.client_keys import KeyUses
from proxy.access.clients import Budgets
from proxy.app.rules import (
    RuleSources,
    capability_settings,
    connection_notes,
    make_clients,
    make_routing_table,
    make_rules,
    named_reports,
    report_rules,
    rules_of,
    signing_key,
)
from proxy.app.server_tls import Authorities
from proxy.config import Config, load
from proxy.errors import ConfigurationError, TokenRefused
from proxy.reports.sharing import ReportRules
from proxy.routing.table import EmptyDirectory
from tests.support.client_certificates import Issuer

ENVIRONMENT = {
    "AMAZON_ADS_CLIENT_ID": "amzn1.application-oa2-client.x",
    "AMAZON_ADS_CLIENT_SECRET": "amzn1.oa2-cs.v1.x",
    "AMAZON_ADS_REFRESH_TOKEN": "Atzr|x",
    "AMAZON_ADS_REGION": "eu",
    "AMAZON_ADS_PROFILE_ID": "first",
    "ADS_PROXY_STATE__URL": "memory:",
}


def test_every_limit_of_the_configuration_is_wired() -> None:
    """Another value for each key of `limits` arrives under the same name."""
    seconds = ("header_timeout", "keepalive_timeout", "body_timeout", "send_timeout")
    counts = ("max_header_bytes", "max_target_bytes", "max_header_fields", "max_body_bytes", "max_connections")
    names = (*seconds, *counts, "max_connections_per_address")
    wanted = {name: (300 if name in seconds else 5000) + number for number, name in enumerate(names)}
    variables = {f"ADS_PROXY_LIMITS__{name.upper()}": str(value) for name, value in wanted.items()}
    config = load(None, {**ENVIRONMENT, **variables})
    table = make_routing_table(config, EmptyDirectory())
    rules = make_rules(config, table, make_clients(config, b"key", Budgets()), demo=False)
    heads = rules.head_limits
    arrived = {
        **{name: getattr(rules.connection_limits, name, None) for name in names},
        "max_header_bytes": heads.max_bytes,
        "max_target_bytes": heads.max_target_bytes,
        "max_header_fields": heads.max_fields,
    }
    assert arrived == wanted


def test_too_low_a_limit_of_open_files_is_noted() -> None:
    """The note says how many connections it allows; a limit that is high enough is no news."""
    config = load(None, {**ENVIRONMENT, "ADS_PROXY_LIMITS__MAX_CONNECTIONS": "1000"})
    assert [("accepts 300 client connections" in note) for note in connection_notes(config, 300)] == [True]
    assert connection_notes(config, 1000) == connection_notes(config, 0) == ()


@pytest.mark.parametrize(("variable", "is_another"), [("CLIENT_ID", True), ("REFRESH_TOKEN", True), ("REGION", False)])
def test_an_account_has_another_login_with_another_application_or_consent(variable: str, is_another: bool) -> None:
    """What else is configured of it changes the login not."""
    changed = {
        **ENVIRONMENT,
        f"AMAZON_ADS_{variable}": {"REGION": "na"}.get(variable, "amzn1.application-oa2-client.y"),
    }
    one, other = (make_routing_table(load(None, each), EmptyDirectory()) for each in (ENVIRONMENT, changed))
    assert (one.accounts["default"].login != other.accounts["default"].login) is is_another


def test_a_context_is_replaced_only_for_another_content(tmp_path: Path) -> None:
    """The same file keeps the same context, a changed one does not, and an unusable one changes nothing."""
    file = Issuer(tmp_path).file
    authorities = Authorities()
    authorities.follow(None)
    assert (authorities.context, authorities.digest) == (None, "")
    authorities.follow(file)
    first = authorities.context
    assert first is not None
    authorities.follow(file)
    assert authorities.context is first
    assert Issuer(tmp_path).file == file
    authorities.follow(file)
    second = authorities.context
    assert second is not first
    file.write_text("no certificate")
    with pytest.raises(ConfigurationError, match=r"upstream\.ca_file"):
        authorities.follow(file)
    assert authorities.context is second
    authorities.follow(None)
    assert authorities.context is None


@pytest.mark.parametrize(("given", "connections", "expected"), [(None, 256, 64), (None, 3, 1), (7, 256, 7)])
def test_a_client_may_have_a_quarter_under_way_unless_told(given: int | None, connections: int, expected: int) -> None:
    """Four such clients are needed to take every connection."""
    client = {"name": "one", "key_sha256": "ab" * 32, "max_in_flight": given}
    config = Config(clients=(client,), upstream={"max_connections": connections})
    clients = make_clients(config, b"key", Budgets())
    caller = clients.impersonate("one")
    assert caller is not None and caller.policy is not None
    assert caller.policy.max_in_flight == expected


def test_the_rules_of_a_process_are_made_from_the_configuration_and_what_outlives_it() -> None:
    """The accounts, and how many connections its open files allow it; the key of placeholders is the account's."""
    config = load(None, ENVIRONMENT)
    sources = RuleSources(EmptyDirectory(), Budgets(), KeyUses(), Authorities(), max_connections=7)
    rules = rules_of(config, sources)
    assert [*rules.table.accounts] == ["default"]
    assert rules.connection_limits.max_connections == 7
    other = load(None, {**ENVIRONMENT, "AMAZON_ADS_CLIENT_SECRET": "amzn1.oa2-cs.v1.y"})
    assert signing_key(config) == signing_key(load(None, ENVIRONMENT)) != signing_key(other)


def test_clients_take_tokens_where_somebody_signs_them() -> None:
    """Without identity providers, what looks like a token is a key that no client has."""
    provider = {"issuer": "https://mesh", "audience": "ads-proxy", "jwks": '{"url": "https://mesh/keys"}'}
    signed = {f"ADS_PROXY_IDENTITY_PROVIDERS__mesh__{name.upper()}": value for name, value in provider.items()}
    clients = '[{"name": "nightly", "jwt": {"provider": "mesh", "claims": {"sub": "x"}}}]'
    config = load(None, {**ENVIRONMENT, **signed, "ADS_PROXY_CLIENTS": clients})
    rules = rules_of(config, RuleSources(EmptyDirectory(), Budgets(), KeyUses(), Authorities()))
    with pytest.raises(TokenRefused):
        rules.clients.identify_key(b"e30.e30.AAAA", 0.0)


@pytest.mark.parametrize(
    ("keys", "rules"),
    [
        ({}, None),
        ({"POLL_INTERVAL": "30"}, ReportRules(False, 900.0, True, 30.0, adopts=False)),
        ({"DUPLICATES": "reuse", "REUSE_FOR": "60"}, ReportRules(True, 60.0, True, 60.0, adopts=True)),
        ({"PACE": "false", "POLL_INTERVAL": "0"}, None),
    ],
)
def test_reports_are_shared_as_configured(keys: dict[str, str], rules: ReportRules | None) -> None:
    """Without the section, or with everything off, requests for reports cost nothing."""
    section = {f"ADS_PROXY_REPORTS__{name}": value for name, value in keys.items()}
    assert report_rules(load(None, {**ENVIRONMENT, **section})) == rules


@pytest.mark.parametrize(
    ("keys", "recorded"),
    [
        ({}, None),
        ({"STDOUT": "true", "OBJECTS": "true"}, frozenset[str]()),
        ({"STDOUT": "true", "OBJECTS": "true", "VALUES": "budget,state"}, frozenset({"budget", "state"})),
    ],
)
def test_capabilities_are_set_as_configured(keys: dict[str, str], recorded: frozenset[str] | None) -> None:
    """The key of sessions is that of placeholders; without a section, there are no reports."""
    config = load(None, {**ENVIRONMENT, **{f"ADS_PROXY_AUDIT__{name}": value for name, value in keys.items()}})
    settings = capability_settings(config)
    assert (settings.session_key, settings.recorded_values) == (signing_key(config), recorded)
    assert (settings.reports, settings.named_reports) == (None, None)


def test_named_reports_lie_where_the_configuration_says() -> None:
    """Each with the account whose data it has."""
    named = '{"daily": {"account": "default", "every": "6h", "order": {"preset": "spCampaigns"}}}'
    section = load(None, {**ENVIRONMENT, "ADS_PROXY_REPORTS__NAMED": named}).reports
    assert section is not None
    found = named_reports(section)
    assert (dict(found.accounts), found.folder.directory, found.reuse_for) == (
        {"daily": "default"},
        Path("/var/lib/ads-proxy/reports"),
        900.0,
    )
