"""The sections about who calls: clients, their keys, and what each may do."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from proxy.config.model.kinds import (
    AdsAccountId,
    Count,
    End,
    ExactPath,
    KeyDigest,
    Method,
    Name,
    PathPattern,
    ProfileId,
    ReportPattern,
    Title,
    ToolPattern,
)
from proxy.config.model.references import parse_limiting_list
from proxy.config.model.section import Section
from proxy.config.model.values import lower_case, parse_list


class KeyConfig(Section):
    """One of a client's keys."""

    sha256: Annotated[KeyDigest, Field(description="The digest that `ads-proxy keys new NAME` prints.")]
    expires: Annotated[
        End,
        Field(
            description="The last day of the key in UTC, such as 2027-01-31, or a time, such as "
            "2027-01-31T12:00:00Z; absent: never expires."
        ),
    ] = None
    note: Annotated[Title | None, Field(description="What the key is for: its place, or its owner.")] = None


class Client(Section):
    """A client with a key of its own, and its permissions."""

    null_counts = frozenset(
        {"accounts", "profiles", "account_ids", "methods", "paths", "access", "mcp_tools", "reports"}
    )

    name: Annotated[Name, Field(description="The client's name in logs and metrics.")]
    key_sha256: Annotated[
        KeyDigest | None, Field(description="The digest of its only key, which never expires; instead of `keys`.")
    ] = None
    keys: Annotated[
        tuple[KeyConfig, ...],
        BeforeValidator(parse_list),
        Field(description="Its keys, with equal permissions; several during a rotation."),
    ] = ()
    accounts: Annotated[
        tuple[Name, ...] | None,
        BeforeValidator(parse_limiting_list),
        Field(description="The accounts it may use; absent: all."),
    ] = None
    profiles: Annotated[
        tuple[ProfileId, ...] | None,
        BeforeValidator(parse_limiting_list),
        Field(description="The profiles it may use; absent: all. With it the client is limited to what they govern."),
    ] = None
    account_ids: Annotated[
        tuple[AdsAccountId, ...] | None,
        BeforeValidator(parse_limiting_list),
        Field(description="The values of `Amazon-Ads-AccountId` it may use; limits it as `profiles` does."),
    ] = None
    unscoped_paths: Annotated[
        tuple[ExactPath, ...],
        BeforeValidator(parse_list),
        Field(
            description="Exact paths that a limited client may reach although no Scope or account id governs them, "
            "such as `/mcp` for every account of the login."
        ),
    ] = ()
    methods: Annotated[
        tuple[Method, ...] | None,
        BeforeValidator(parse_limiting_list),
        Field(description="The methods it may use; absent: all."),
    ] = None
    paths: Annotated[
        tuple[PathPattern, ...] | None,
        BeforeValidator(parse_limiting_list),
        Field(description="The paths it may use, where `*` also matches `/`; absent: all."),
    ] = None
    access: Annotated[
        Literal["read", "report", "write"],
        BeforeValidator(lower_case),
        Field(
            description="`read`: operations that provably change nothing; `report`: also those that make "
            "reports; `write`: all."
        ),
    ] = "write"
    mcp_tools: Annotated[
        tuple[ToolPattern, ...] | None,
        BeforeValidator(parse_limiting_list),
        Field(description="The tools of the hosted MCP endpoint it may call, where `*` matches anything; absent: all."),
    ] = None
    reports: Annotated[
        tuple[ReportPattern, ...] | None,
        BeforeValidator(parse_limiting_list),
        Field(
            description="The named reports it may read, with all their profiles, where `*` matches anything; absent: "
            "all, but none for a client with `profiles` or `account_ids`."
        ),
    ] = None
    requests_per_minute: Annotated[
        Count | None, Field(ge=1, le=1_000_000, description="Its request budget; more get 429. Absent: none.")
    ] = None
    max_in_flight: Annotated[
        Count | None,
        Field(
            ge=1,
            le=65536,
            description="Its requests in flight; more get 429. Absent: a quarter of `upstream.max_connections`.",
        ),
    ] = None

    @property
    def all_keys(self) -> tuple[KeyConfig, ...]:
        """The client's keys, in either form of configuration."""
        return self.keys if self.key_sha256 is None else (KeyConfig(sha256=self.key_sha256), *self.keys)
