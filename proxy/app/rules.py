"""A `Config` as the values that requests are decided by: routing table, clients, rules. Pure."""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import field, replace
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from proxy.access.approvers import Approver, Approvers
from proxy.access.client_certificates import NO_AUTHORITIES
from proxy.access.client_keys import ClientKey
from proxy.access.clients import Clients
from proxy.access.identity_providers import ClaimPattern, IdentityProvider, TokenRule
from proxy.access.paths import PathPattern
from proxy.access.placeholders import Placeholders
from proxy.access.policy import Policy
from proxy.app.capabilities import CapabilitySettings
from proxy.app.token_checks import TokenChecks
from proxy.downstream.ports import ConnectionLimits
from proxy.errors import ConfigurationError
from proxy.events import SpendMode
from proxy.forwarding.decision import Rules
from proxy.http1.message import HeadLimits
from proxy.intercept.hosts import AMAZON_HOSTS
from proxy.marketplaces import COUNTRY_CURRENCIES
from proxy.regions import AMAZON_REGIONS, REGION_NAMES, HostUse
from proxy.reports.overview import NamedReports
from proxy.reports.sharing import ReportRules
from proxy.reports.store import ReportFolder
from proxy.routing.api import ADS_API, MCP
from proxy.routing.operations import (
    PUBLISHED,
    Access,
    AccountRule,
    Administered,
    Amendment,
    Effect,
    ScopeRule,
    amend,
    find_misfits,
)
from proxy.routing.table import AccountEntry, RoutingTable, Selection
from proxy.spend.approvals import ApprovalTerms
from proxy.spend.limits import Beyond, Hours, SpendLimits, plain_state
from proxy.spend.table import MONEY
from proxy.tokens.store import fingerprint
from proxy.upstream.connection import Timeouts
from proxy.upstream.pool import PoolSettings
from proxy.value_classes import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from proxy.access.client_keys import KeyUses
    from proxy.access.clients import Budgets
    from proxy.access.token_verification import TokenVerifier
    from proxy.app.server_tls import Authorities
    from proxy.config import Account, Client, Config, KeyConfig, ReportsSection
    from proxy.config.model.clients import JwtSection
    from proxy.config.model.spend import SpendSection
    from proxy.routing.operations import Operations
    from proxy.routing.table import Directory


@dataclass(frozen=True, slots=True)
class RuleSources:
    """What the rules of a process need in addition to the configuration; it outlives a reload.

    `max_connections` is what the open files allow, 0 for any number.
    """

    directory: Directory
    budgets: Budgets
    uses: KeyUses
    authorities: Authorities
    demo: bool = False
    max_connections: int = 0
    token_checks: TokenChecks = field(default_factory=TokenChecks)


def rules_of(config: Config, sources: RuleSources, trusted_clients: frozenset[str] = NO_AUTHORITIES) -> Rules:
    """The rules of a process. `trusted_clients` are the digests of those that sign clients' certificates. Raises
    `ConfigurationError`."""
    table = make_routing_table(config, sources.directory)
    keyless = (DEMO_CLIENT, next(iter(config.accounts))) if sources.demo else ("", "")
    clients = make_clients(config, signing_key(config), sources.budgets, sources.uses, keyless=keyless)
    clients.authorities = trusted_clients
    if config.identity_providers:
        clients.accept_tokens(make_verifier(config, sources.token_checks))
    rules = make_rules(config, table, clients, authorities=sources.authorities, demo=sources.demo)
    limits = rules.connection_limits
    if sources.max_connections:
        limits = replace(limits, max_connections=min(limits.max_connections, sources.max_connections))
    return replace(rules, connection_limits=limits)


def signing_key(config: Config) -> bytes:
    """The key that signs placeholders: the same after a restart or a reload, while the first account's secret stays."""
    first = next(iter(config.accounts.values()), None)
    secret = first.secrets[0].reveal() if first is not None else ""
    return hmac.new(b"ads-proxy placeholder", secret.encode(), hashlib.sha256).digest()


DEMO_LINE = b"X-Ads-Proxy-Demo: simulated; nothing here is Amazon's\r\n"
DEMO_CLIENT = "visitor"
"""The client of a demo to which requests without a key belong."""


def make_rules(
    config: Config, table: RoutingTable, clients: Clients, *, authorities: Authorities | None = None, demo: bool
) -> Rules:
    """What the configuration says of requests. `authorities` are what was read of `upstream.ca_file`."""
    return Rules(
        table=table,
        clients=clients,
        connection_limits=connection_limits(config),
        head_limits=HeadLimits(
            config.limits.max_header_bytes, config.limits.max_target_bytes, config.limits.max_header_fields
        ),
        pool_settings=pool_settings(config, authorities),
        timeouts=Timeouts(config.upstream.response_timeout, config.upstream.idle_timeout),
        endpoints=_endpoints(config),
        api_hosts=frozenset(urlsplit(address).netloc.lower().encode() for _, address in _api_addresses(config)),
        replay_bytes=config.limits.replay_bytes,
        retry_wait=config.upstream.retry_wait,
        rewrite_locations=config.rewrite_locations,
        listen=str(config.listen).encode(),
        response_lines=DEMO_LINE if demo else b"",
    )


def capability_settings(config: Config) -> CapabilitySettings:
    """What the configuration says of what plugs into the core."""
    return CapabilitySettings(
        session_key=signing_key(config),
        recorded_values=frozenset(config.audit.values) if config.audit.objects else None,
        reports=report_rules(config),
        named_reports=named_reports(config.reports) if config.reports is not None else None,
        passed_hosts=config.intercept.passed,
        spend_limits=spend_limits(config),
    )


def named_reports(section: ReportsSection) -> NamedReports:
    """The named reports of a configuration, as those see them who read them."""
    accounts = {name: report.account for name, report in section.named.items()}
    return NamedReports(ReportFolder(section.keep.dir), accounts, section.reuse_for)


def report_rules(config: Config) -> ReportRules | None:
    """What requests for reports share; None if they pass like all others."""
    section = config.reports
    if section is None:
        return None
    reuses = section.duplicates == "reuse"
    rules = ReportRules(reuses, section.reuse_for, section.pace, section.poll_interval, adopts=reuses)
    return rules if rules.reuses or rules.paces or rules.poll_interval else None


def connection_limits(config: Config) -> ConnectionLimits:
    given = config.limits
    return ConnectionLimits(
        header_timeout=given.header_timeout,
        keepalive_timeout=given.keepalive_timeout,
        body_timeout=given.body_timeout,
        send_timeout=given.send_timeout,
        min_body_rate=given.min_body_rate,
        max_body_bytes=given.max_body_bytes,
        max_connections=given.max_connections,
        max_connections_per_address=given.max_connections_per_address,
    )


def connection_notes(config: Config, allowed: int) -> tuple[str, ...]:
    """What is to be said where open files allow so few connections of clients; 0 is any number."""
    if not allowed or allowed >= config.limits.max_connections:
        return ()
    return (
        f"The limit of open files is too low for limits.max_connections: the proxy accepts {allowed} client "
        "connections; raise the limit (ulimit -n, LimitNOFILE).",
    )


def pool_settings(config: Config, authorities: Authorities | None) -> PoolSettings:
    upstream = config.upstream
    return PoolSettings(
        connect_timeout=upstream.connect_timeout,
        max_connections=upstream.max_connections,
        proxy=upstream.proxy.reveal() if upstream.proxy else None,
        context=authorities.context if authorities else None,
        ca_digest=authorities.digest if authorities else "",
    )


def _endpoints(config: Config) -> dict[tuple[str, str], str]:
    return {
        **{(ADS_API.name, name): region.api_url for name, region in config.regions.items()},
        **{(MCP.name, name): region.mcp_url for name, region in config.regions.items()},
    }


# --- clients ------------------------------------------------------------------------------------------------


def make_clients(
    config: Config,
    key: bytes,
    budgets: Budgets,
    uses: KeyUses | None = None,
    *,
    keyless: tuple[str, str] = ("", ""),
) -> Clients:
    """The clients of a configuration. `key` signs placeholders and outlives restarts; `budgets` and `uses` outlive
    reloads. `keyless` names the client to which requests without a key belong, and its account."""
    share = max(1, config.upstream.max_connections // 4)
    providers = identity_providers(config)
    policies = (make_policy(client, share, providers) for client in config.clients)
    return Clients(policies, Placeholders(key), budgets, uses, keyless)


def identity_providers(config: Config) -> dict[str, IdentityProvider]:
    """Who signs JWTs, by name."""
    return {
        name: IdentityProvider(name, given.issuer, given.audience, frozenset(given.algorithms), given.require_nbf)
        for name, given in config.identity_providers.items()
    }


def make_verifier(config: Config, checks: TokenChecks) -> TokenVerifier:
    """What verifies JWTs with the keys that are known now."""
    from proxy.access.token_verification import TokenVerifier, TokenWork  # with all that verifies signatures

    checks.work = checks.work or TokenWork()
    return TokenVerifier(identity_providers(config).values(), checks.keys, checks.work, checks.read_again)


def make_policy(
    client: Client, share: int | None = None, providers: Mapping[str, IdentityProvider] | None = None
) -> Policy:
    """A client of the configuration, ready to be asked. `share` is how much may be under way for it as a rule."""
    return Policy(
        name=client.name,
        keys=tuple(map(_key, client.all_keys)),
        accounts=None if client.accounts is None else frozenset(client.accounts),
        profiles=_bytes(client.profiles),
        account_ids=_bytes(client.account_ids),
        unscoped_paths=_bytes(client.unscoped_paths) or frozenset(),
        methods=_bytes(client.methods),
        paths=None if client.paths is None else tuple(PathPattern.read(pattern) for pattern in client.paths),
        access=Access(client.access),
        mcp_tools=None if client.mcp_tools is None else tuple(map(PathPattern.read, client.mcp_tools)),
        reports=None if client.reports is None else tuple(map(PathPattern.read, client.reports)),
        requests_per_minute=client.requests_per_minute,
        max_in_flight=client.max_in_flight or share,
        limits_spend=client.spend is not None and client.spend.mode == "enforce",
        san=client.certificate.san if client.certificate is not None else "",
        token_rule=None if client.jwt is None else _token_rule(client.jwt, providers or {}),
    )


def _token_rule(section: JwtSection, providers: Mapping[str, IdentityProvider]) -> TokenRule:
    claims = ((name, tuple(map(ClaimPattern, texts))) for name, texts in section.claims.items())
    return TokenRule(providers[section.provider], tuple(claims))


def _key(key: KeyConfig) -> ClientKey:
    return ClientKey(key.sha256, None if key.expires is None else key.expires.timestamp(), key.note or "")


def _bytes(texts: Iterable[str] | None) -> frozenset[bytes] | None:
    return None if texts is None else frozenset(text.encode() for text in texts)


# --- limits on spending -------------------------------------------------------------------------------------


def spend_limits(config: Config) -> dict[str, SpendLimits]:
    """The limits of the clients with a section `spend`, by name."""
    return {client.name: _spend_limits(client.spend) for client in config.clients if client.spend is not None}


def _spend_limits(section: SpendSection) -> SpendLimits:
    """The limits that a section describes."""
    return SpendLimits(
        mode=SpendMode(section.mode),
        budget=section.budget,
        bid=section.bid,
        bid_adjustment=section.bid_adjustment,
        states=None if section.states is None else frozenset(map(plain_state, section.states)),
        hours=None if section.hours is None else Hours.parse(section.hours),
        new_per_day=section.new_per_day,
        budget_per_day=section.budget_per_day,
        allow=frozenset(section.allow),
        beyond=Beyond(section.beyond),
    )


def approval_terms(config: Config) -> ApprovalTerms:
    """What the configuration says of every approval."""
    section = config.approvals
    return ApprovalTerms(section.valid_for, section.pending_for, section.max_pending)


def approval_versions(limits: Mapping[str, SpendLimits]) -> dict[str, str]:
    """The version of the limits of each client that asks for approvals, by name."""
    return {name: each.version for name, each in limits.items() if each.asks_approvers}


def make_approvers(config: Config) -> Approvers:
    """The approvers of a configuration."""
    return Approvers(tuple(Approver(each.name, tuple(map(_key, each.keys))) for each in config.approvals.approvers))


def spend_notes(config: Config) -> Iterator[str]:
    """A sentence for each name in the limits on spending that Amazon does not use, as far as this program knows, and
    for each client whose day or approvals are forgotten by a restart."""
    operations: frozenset[str] | None = None
    for position, client in enumerate(config.clients):
        section = client.spend
        if section is None:
            continue
        has_day = section.new_per_day is not None or section.budget_per_day is not None
        if has_day and config.state.kind == "memory":
            yield (
                f"clients[{position}].spend: a restart forgets what was spent of a day, as state.url is memory:. Set "
                "it to file:DIR or to a shared store."
            )
        if section.beyond == "approve" and section.mode == "enforce" and config.state.kind == "memory":
            yield (
                f"clients[{position}].spend: a restart forgets its approvals, as state.url is memory:. Set it to "
                "file:DIR or to a shared store."
            )
        for key in ("budget", "bid", "budget_per_day"):
            for currency in getattr(section, key) or ():
                if currency not in _CURRENCIES:
                    yield (
                        f"clients[{position}].spend.{key}.{currency}: no marketplace of Amazon Ads has this currency; "
                        f"they have {', '.join(sorted(_CURRENCIES))}."
                    )
        for place, name in enumerate(section.allow):
            if operations is None:
                operations = frozenset(f"{row.method} {row.template}" for row in make_operations(config))
            if name not in operations and not MONEY.forms(name):
                yield (
                    f"clients[{position}].spend.allow[{place}]: neither the table of operations nor that of money "
                    "fields has it. Compare it with docs/reference/money-fields.md, letter by letter."
                )


_CURRENCIES = frozenset(COUNTRY_CURRENCIES.values())

# --- operations ---------------------------------------------------------------------------------------------


def make_operations(config: Config) -> Operations:
    """The table of Amazon's operations with the corrections of the configuration. Raises `ConfigurationError` with all
    misfits."""
    amendments = tuple(
        Amendment(
            method=row.method,
            path=row.path,
            scope=None if row.scope is None else ScopeRule(row.scope),
            account=None if row.account_id is None else AccountRule(row.account_id),
            account_header=row.account_header,
            effect=None if row.effect is None else Effect(row.effect),
            administers=None if row.administers is None else Administered(row.administers),
            name=row.name,
        )
        for row in config.operations
    )
    misfits = find_misfits(PUBLISHED, amendments)
    if misfits:
        raise ConfigurationError(
            tuple(
                f"operations[{misfit.index}].{_KEYS.get(misfit.key, misfit.key)}: {misfit.reason}" for misfit in misfits
            )
        )
    return amend(PUBLISHED, amendments) if amendments else PUBLISHED


_KEYS = {"account": "account_id"}
"""Where a key of the configuration has another name than the field."""

# --- routing ------------------------------------------------------------------------------------------------


def _make_entry(name: str, account: Account) -> AccountEntry:
    defaults = account.default_profile or "", account.default_ads_account or ""
    login = f"{account.client_id} {fingerprint(account.refresh_tokens[0])}"
    return AccountEntry(name, account.region, *defaults, hashlib.sha256(login.encode()).hexdigest())


def make_routing_table(config: Config, directory: Directory) -> RoutingTable:
    """What a configuration says of accounts, routes and hosts."""
    accounts = {name: _make_entry(name, account) for name, account in config.accounts.items()}
    names = {name: Selection(entry) for name, entry in accounts.items()}
    for name, chosen in config.routes.items():
        names[name] = Selection(accounts[chosen.account], chosen.region or "", chosen.profile or "")
    addresses = _api_addresses(config)
    intercepted = AMAZON_HOSTS if config.intercept.enabled else {}
    by_mcp = [(region, f"https://{host}") for host, (use, region) in intercepted.items() if use is HostUse.MCP]
    served = {"localhost", config.listen.host.lower(), *(name.lower() for name in config.allowed_hosts)}
    return RoutingTable(
        accounts=accounts,
        names=names,
        api_hosts=_api_hosts([*addresses, *by_mcp]),
        served_hosts=frozenset(served.union(intercepted, (urlsplit(url).hostname or "" for _, url in addresses))),
        api_paths={key: urlsplit(url).path.encode() for key, url in _endpoints(config).items()},
        directory=directory,
        operations=make_operations(config),
        intercepted_hosts={host: use for host, (use, _) in intercepted.items()},
    )


def _api_addresses(config: Config) -> list[tuple[str, str]]:
    """(region, API address): Amazon's own, then the configured ones."""
    amazon = [(region, AMAZON_REGIONS[region]["api_url"]) for region in REGION_NAMES]
    return [*amazon, *((region, config.regions[region].api_url) for region in REGION_NAMES)]


def _api_hosts(addresses: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Host or host:port -> region; an address that regions share chooses none of them."""
    found: dict[str, str] = {}
    for region, address in addresses:
        host = urlsplit(address).netloc.lower().replace("[", "").replace("]", "")
        found[host] = region if found.get(host, region) == region else ""
    return found
