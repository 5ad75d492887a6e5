"""The sections about who calls: clients, their keys, and what each may do."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from proxy.config.model.kinds import (
    AdsAccountId,
    AnyCase,
    Claims,
    Count,
    End,
    ExactPath,
    KeyDigest,
    Limiting,
    Listed,
    Method,
    Name,
    PathPattern,
    ProfileId,
    ReportPattern,
    San,
    Title,
    ToolPattern,
)
from proxy.config.model.references import parse_spend
from proxy.config.model.section import Section
from proxy.config.model.spend import SpendSection


class KeyConfig(Section):
    """One key of a client or of an approver."""

    sha256: KeyDigest
    """The digest that `ads-proxy keys new` prints."""
    expires: End = None
    """The last day of the key in UTC, such as 2027-01-31, or a time, such as 2027-01-31T12:00:00Z; absent: never
    expires."""
    note: Title | None = None
    """What the key is for: its place, or its owner."""


class CertificateConfig(Section):
    """The certificate by which a client is known, with `tls.client_ca`."""

    san: San
    """A Subject Alternative Name of it: `spiffe://TRUST_DOMAIN/PATH`, or `dns:NAME`; compared letter by letter."""


class JwtSection(Section):
    """The JWTs that are a client's."""

    provider: Name
    """The identity provider that signs them, one of `identity_providers`."""
    claims: Claims
    """What they must say, by claim: a text, or a list of which one has to fit. `*` matches anything but `:` and `/`.
    Of a claim that is a list, one entry has to fit."""


class Client(Section):
    """A client with credentials of its own, and its permissions."""

    null_counts = frozenset(
        {"accounts", "profiles", "account_ids", "methods", "paths", "access", "mcp_tools", "reports", "spend", "jwt"}
    )

    name: Name
    """The client's name in logs and metrics."""
    key_sha256: KeyDigest | None = None
    """The digest of its only key, which never expires; instead of `keys`."""
    keys: Listed[KeyConfig] = ()
    """Its keys, with equal permissions; several during a rotation."""
    certificate: CertificateConfig | None = None
    """Its certificate, instead of keys or next to them; needs `tls.client_ca`."""
    jwt: JwtSection | None = None
    """The JWTs with which its workloads identify themselves; instead of keys, or in addition. Absent: none."""
    accounts: Limiting[Name] = None
    """The accounts it may use; absent: all."""
    profiles: Limiting[ProfileId] = None
    """The profiles it may use; absent: all. With it the client is limited to what they govern."""
    account_ids: Limiting[AdsAccountId] = None
    """The values of `Amazon-Ads-AccountId` it may use; limits it as `profiles` does."""
    unscoped_paths: Listed[ExactPath] = ()
    """Exact paths that a limited client may reach although no Scope or account id governs them, such as `/mcp` for
    every account of the login."""
    methods: Limiting[Method] = None
    """The methods it may use; absent: all."""
    paths: Limiting[PathPattern] = None
    """The paths it may use, where `*` also matches `/`; absent: all."""
    access: AnyCase[Literal["read", "report", "write", "admin"]] = "admin"
    """`read`: operations that provably change nothing; `report`: also those that make reports; `write`: all but what
    administers users, accounts, billing, terms and paid studies; `admin`: all. From version 0.4 on, `write` is the
    default."""
    mcp_tools: Limiting[ToolPattern] = None
    """The tools of the hosted MCP endpoint it may call, where `*` matches anything; absent: all."""
    reports: Limiting[ReportPattern] = None
    """The named reports it may read, with all their profiles, where `*` matches anything; absent: all, but none for a
    client with `profiles` or `account_ids`."""
    requests_per_minute: Count | None = Field(None, ge=1, le=1_000_000)
    """Its request budget; more get 429. Absent: none."""
    max_in_flight: Count | None = Field(None, ge=1, le=65536)
    """Its requests in flight; more get 429. Absent: a quarter of `upstream.max_connections`."""
    spend: Annotated[SpendSection | None, BeforeValidator(parse_spend)] = None
    """What its writes may spend; absent: no limit. `{}` refuses the writes whose amounts cannot be read."""

    @property
    def all_keys(self) -> tuple[KeyConfig, ...]:
        """The client's keys, in either form of configuration."""
        return self.keys if self.key_sha256 is None else (KeyConfig(sha256=self.key_sha256), *self.keys)
