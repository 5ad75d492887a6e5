"""The configuration as frozen, typed values: every key, its default, its bounds and its meaning.

Attribute names are YAML keys. What a key means is said here, once; the JSON schema and the tables of
docs/reference/configuration.md are made from it. Nothing here reads files or the environment, and nothing decides what
holds between keys: that is `checks.rules`.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, ValidationInfo, field_validator
from pydantic.json_schema import SkipJsonSchema

from proxy.config.model.accounts import Account, InvitesSection
from proxy.config.model.clients import Client
from proxy.config.model.expected import Expected, WrongValue, shape_of
from proxy.config.model.kinds import (
    AccessField,
    Count,
    FilePath,
    FilePattern,
    FilledText,
    Flag,
    HostName,
    KeyValue,
    ListenAddress,
    MemberName,
    Method,
    Name,
    Origin,
    OutboundProxy,
    ProfileId,
    ReadableFile,
    RegionName,
    Seconds,
    SecretFile,
    Spill,
    StateKeys,
    StateUrl,
    Url,
    WebhookUrl,
)
from proxy.config.model.redis_address import parse_redis_address
from proxy.config.model.reports import ReportsSection
from proxy.config.model.section import NamedSection, Section
from proxy.config.model.values import Address, lower_case, parse_list, parse_mapping
from proxy.regions import AMAZON_REGIONS
from proxy.secret import Secret

# --- The section about telling people --------------------------------------------------------------------


class NotifySection(Section):
    """Where to send notices that a sign-in is needed or a consent expires."""

    webhook: Annotated[
        WebhookUrl | None,
        Field(
            description="The address for notices, sent as JSON by POST; a secret, as it often holds one. Absent: none."
        ),
    ] = None
    secret: Annotated[
        KeyValue | None,
        Field(description="The key that signs notices (HMAC-SHA256), 16 bytes or more. Absent: unsigned."),
    ] = None
    command: Annotated[
        tuple[FilledText, ...],
        BeforeValidator(parse_list),
        Field(description="A program and its arguments; it gets each notice on its standard input."),
    ] = ()


# --- The configuration's `state` -------------------------------------------------------------------------


class StateKind(StrEnum):
    """What sort of store `state.url` names."""

    MEMORY = "memory"
    FILE = "file"
    REDIS = "redis"


class StateSection(Section):
    """The store of refresh tokens, and of what the replicas of a fleet share."""

    url: Annotated[
        StateUrl,
        Field(
            description="`memory:`, `file:DIR`, or for a fleet `redis://[USER:PASSWORD@]HOST[:PORT][/DB]`, `rediss://` "
            "for TLS, `redis+sentinel://`, which may be a reference to a secret. Default: `file:` in "
            "`$XDG_STATE_HOME/ads-proxy` or `~/.local/state/ads-proxy`, and `memory:` for a user without a home."
        ),
    ] = "memory:"
    key: Annotated[
        StateKeys,
        Field(
            description="The key that encrypts the state, 16 bytes or more; of a list, the first encrypts and "
            "all decrypt. "
            "Absent: the proxy makes a key file in the directory; required with Redis."
        ),
    ] = None
    spill: Annotated[
        Spill,
        Field(
            description="With Redis: the directory for encrypted copies of refresh tokens that the store could not "
            "save; `off` for none. Default: `ads-proxy-spill` next to the default of `url`, and "
            "`/var/lib/ads-proxy/spill` for a user without a home."
        ),
    ] = None
    max_connections: Annotated[
        Count,
        Field(
            ge=4,
            le=1024,
            description="Connections to Redis, for each replica with all its workers; one that is idle for a minute "
            "is closed.",
        ),
    ] = 16

    @property
    def kind(self) -> StateKind:
        """The kind of store; Redis is the only one whose address is a secret."""
        if isinstance(self.url, Secret):
            return StateKind.REDIS
        return StateKind.MEMORY if self.url == "memory:" else StateKind.FILE

    @property
    def secrets(self) -> tuple[Secret | None, ...]:
        """Every secret in it, for redaction."""
        keys = self.key if isinstance(self.key, tuple) else (self.key,)
        if not isinstance(self.url, Secret):
            return keys
        password = parse_redis_address(self.url.reveal()).password
        return (*keys, self.url, password) if password is not None else keys


# --- Amazon's addresses, which the configuration may override (docs/development/amazon.md, Regions) -----------------


def with_amazon(value: Any) -> Any:
    """Amazon's own addresses, under those that are given."""
    given = {} if value is None else value
    if not isinstance(given, Mapping):
        raise WrongValue(Expected.KEYS, found=shape_of(given))
    merged: dict[Any, Any] = {name: {**own} for name, own in AMAZON_REGIONS.items()}
    for name, region in given.items():
        if isinstance(region, Mapping) and isinstance(name, str) and name in merged:
            merged[name].update(region)
        elif region is not None or name not in merged:
            merged[name] = region
    return merged


# --- The configuration as frozen, typed values -----------------------------------------------------------


class Region(Section):
    """Amazon's addresses in one region."""

    api_url: Annotated[Origin, Field(description="The Ads API's host, without a path.")]
    token_url: Annotated[Url, Field(description="Login with Amazon's token endpoint.")]
    auth_grant_url: Annotated[Url, Field(description="The sign-in page.")]
    mcp_url: Annotated[Url, Field(description="The hosted MCP endpoint, for `/mcp` of the proxy.")]


class AdminSection(Section):
    """Who may use the admin listener."""

    key: Annotated[
        KeyValue | None,
        Field(description="The key for console, sign-in and `/status`; required beyond loopback."),
    ] = None
    open_metrics: Annotated[
        Flag, Field(description="Whether `/metrics` and the health pages answer without the key.")
    ] = True


class TlsSection(Section):
    """The certificate of the client listener."""

    cert: Annotated[ReadableFile, Field(description="The certificate chain, as a PEM file.")]
    key: Annotated[SecretFile, Field(description="Its private key, as a PEM file without a passphrase.")]


class RouteConfig(NamedSection):
    """A name for an account, a region and a profile: `/@NAME/...`."""

    account: Annotated[Name, Field(description="The account's name.")]
    region: Annotated[RegionName | None, Field(description="The region; absent: chosen by the request.")] = None
    profile: Annotated[ProfileId | None, Field(description="The profile; absent: chosen by the request.")] = None


class OperationConfig(Section):
    """A correction of one row in the table of Amazon's operations, or a new row."""

    method: Annotated[Method, Field(description="The operation's method.")]
    path: Annotated[FilledText, Field(description="Its path, such as `/sp/campaigns/{campaignId}`.")]
    scope: Annotated[
        Literal["required", "optional", "never"] | None,
        BeforeValidator(lower_case),
        Field(description="Whether it takes `Amazon-Advertising-API-Scope`; absent: as in the table."),
    ] = None
    account_id: Annotated[
        Literal["required", "optional", "never"] | None,
        BeforeValidator(lower_case),
        Field(description="Whether it takes `Amazon-Ads-AccountId`; absent: as in the table."),
    ] = None
    account_header: Annotated[
        Literal["Amazon-Ads-AccountId", "Amazon-Ads-Account-ID"] | None,
        Field(description="Its spelling of that header; absent: as in the table."),
    ] = None
    effect: Annotated[
        Literal["read", "report", "write"] | None,
        BeforeValidator(lower_case),
        Field(description="What it does at Amazon; absent: as in the table."),
    ] = None
    name: Annotated[FilledText | None, Field(description="A name of its own; absent: Amazon's.")] = None


class TokensSection(Section):
    """When access tokens are renewed."""

    refresh_ahead: Annotated[
        Seconds,
        Field(
            ge=0,
            le=86400,
            description="How long before expiry a token is renewed; for a short-lived one, a quarter of its life.",
        ),
    ] = 300.0
    request_wait: Annotated[
        Seconds, Field(ge=0, le=600, description="How long a request waits for a token before a 503.")
    ] = 10.0
    probe_interval: Annotated[
        Seconds,
        Field(
            ge=0,
            le=86400,
            description="How often each refresh token is tried at least, so that a revocation is known while the "
            "access token still works. 0: never.",
        ),
    ] = 900.0


class UpstreamSection(Section):
    """Connections to Amazon."""

    connect_timeout: Annotated[Seconds, Field(gt=0, le=600, description="Time to connect, with TLS.")] = 10.0
    response_timeout: Annotated[Seconds, Field(gt=0, le=3600, description="Time until the head of the response.")] = (
        60.0
    )
    idle_timeout: Annotated[
        Seconds, Field(gt=0, le=86400, description="Time between bytes of a response body; off for event streams.")
    ] = 60.0
    max_connections: Annotated[Count, Field(ge=1, le=65536, description="Connections to one host.")] = 256
    retry_wait: Annotated[
        Seconds,
        Field(
            ge=0,
            le=600,
            description="How long a request may wait for the end of Retry-After; a read also waits after its own "
            "429 or "
            "503. Any request may wait 1.25 s before it is sent.",
        ),
    ] = 0.0
    proxy: Annotated[
        OutboundProxy,
        Field(description="Outbound proxy, `http://[USER:PASSWORD@]HOST:PORT`, in UTF-8. HTTPS_PROXY has no effect."),
    ] = None
    ca_file: Annotated[
        ReadableFile | None,
        Field(description="Certificate authorities to trust instead of the system's, as a PEM file."),
    ] = None


class LimitsSection(Section):
    """Limits for one client."""

    header_timeout: Annotated[
        Seconds, Field(gt=0, le=3600, description="Time until the whole head of a request has arrived.")
    ] = 10.0
    body_timeout: Annotated[Seconds, Field(gt=0, le=3600, description="Time without a byte of a request body.")] = 30.0
    send_timeout: Annotated[
        Seconds, Field(gt=0, le=86400, description="Time in which the client accepts no byte of a response.")
    ] = 60.0
    min_body_rate: Annotated[
        Count,
        Field(
            ge=0,
            le=1 << 30,
            description="The slowest rate, in bytes per second over 10 s, of a request body, and of a client "
            "that reads "
            "a response; event streams are exempt. 0: no limit.",
        ),
    ] = 1024
    keepalive_timeout: Annotated[
        Seconds,
        Field(ge=0, le=86400, description="How long an idle connection stays open; 0: close after each response."),
    ] = 75.0
    max_header_bytes: Annotated[Count, Field(ge=1024, le=1 << 20, description="The size of a request's head.")] = 65536
    max_header_fields: Annotated[
        Count, Field(ge=8, le=10000, description="The number of header fields in a request.")
    ] = 200
    max_target_bytes: Annotated[Count, Field(ge=64, le=1 << 20, description="The size of a request's target.")] = 8192
    max_body_bytes: Annotated[
        Count, Field(ge=0, le=1 << 50, description="The size of a request's body; 0: no limit.")
    ] = 0
    replay_bytes: Annotated[
        Count,
        Field(
            ge=0,
            le=1 << 28,
            description="Request bodies up to this size are kept for a retry.",
        ),
    ] = 262144
    max_connections: Annotated[Count, Field(ge=1, le=1_000_000, description="Connections of all clients.")] = 10000
    max_connections_per_address: Annotated[
        Count, Field(ge=0, le=1_000_000, description="Client connections from one address; 0: no limit.")
    ] = 0


class DrainSection(Section):
    """How the program stops."""

    delay: Annotated[
        Seconds,
        Field(
            ge=0,
            le=3600,
            description="How long the proxy still accepts requests after the signal, while `/readyz` answers 503.",
        ),
    ] = 0.0
    timeout: Annotated[Seconds, Field(ge=0, le=86400, description="How long requests in flight may still run.")] = 30.0


class LogSection(Section):
    """What is written to standard output."""

    format: Annotated[
        Literal["auto", "json", "console"],
        BeforeValidator(lower_case),
        Field(description="`json`, `console`, or `auto`: console on a terminal, else JSON."),
    ] = "auto"
    level: Annotated[
        Literal["debug", "info", "warning", "error"],
        BeforeValidator(lower_case),
        Field(description="The lowest level in the log."),
    ] = "info"
    access: Annotated[Flag, Field(description="Whether each request is logged.")] = True
    access_fields: Annotated[
        tuple[AccessField, ...] | None,
        BeforeValidator(parse_list),
        Field(description="The members of a request's line besides time, level and event; absent: all."),
    ] = None


class AuditSection(Section):
    """Who changed what: a stream of its own, apart from the log."""

    file: Annotated[
        FilePath | None,
        Field(description="The file it is appended to, in a directory that exists; no link. Absent: none."),
    ] = None
    stdout: Annotated[Flag, Field(description="Whether its lines go to standard output, among those of the log.")] = (
        False
    )
    required: Annotated[
        Flag,
        Field(
            description="Whether writes are refused (503) while their records cannot be kept; `false`: they are sent, "
            "and lost records are counted."
        ),
    ] = True
    objects: Annotated[
        Flag,
        Field(
            description="Whether the record of a write names the objects and the members in its request and response."
        ),
    ] = False
    values: Annotated[
        tuple[MemberName, ...],
        BeforeValidator(parse_list),
        Field(description="Members whose values are recorded too, such as `state` and `budget`; needs `objects`."),
    ] = ()


class TelemetrySection(Section):
    """Traces of requests, for OpenTelemetry; needs the extra `telemetry`."""

    otlp: Annotated[
        Url | None,
        Field(
            description="The whole address for spans (OTLP over HTTP), such as "
            "http://127.0.0.1:4318/v1/traces. Absent: no traces."
        ),
    ] = None
    trust_traceparent: Annotated[
        Flag,
        Field(
            description="Whether a client's `traceparent` is the parent of the request's span, and the proxy's "
            "goes to Amazon."
        ),
    ] = False


class Config(Section):
    """The whole configuration. `sources` are all files that it was read from; a change of one means to read again.

    `remarks` are sentences about the reading: keys with an old name, secret files that others can read. `account_files`
    are the files of `accounts_from` with the names of their accounts. `refused` are the problems of those whose last
    good accounts are in it instead of what they hold now.
    """

    sources: SkipJsonSchema[tuple[Path, ...]] = Field(default=(), exclude=True)
    remarks: SkipJsonSchema[tuple[str, ...]] = Field(default=(), exclude=True)
    account_files: SkipJsonSchema[dict[str, tuple[str, ...]]] = Field(default={}, exclude=True)
    refused: SkipJsonSchema[tuple[str, ...]] = Field(default=(), exclude=True)
    listen: Annotated[ListenAddress, Field(description="The address for clients.")] = Address("127.0.0.1", 8080)
    admin_listen: Annotated[ListenAddress, Field(description="Metrics, health, console and sign-in.")] = Address(
        "127.0.0.1", 8081
    )
    workers: Annotated[
        Count,
        Field(
            ge=1,
            le=64,
            description="Processes that serve `listen`. With more than 1, another process holds tokens and the admin "
            "listener. Use at most one for each processor.",
        ),
    ] = 1
    allowed_hosts: Annotated[
        tuple[HostName, ...], BeforeValidator(parse_list), Field(description="Further Host names that clients may use.")
    ] = ()
    allow_unauthenticated: Annotated[
        Flag, Field(description="Must be true to listen beyond loopback with no clients.")
    ] = False
    admin: Annotated[AdminSection, Field(description="The admin listener's protection.")] = AdminSection()
    tls: Annotated[TlsSection | None, Field(description="TLS on the client listener; absent: plain HTTP.")] = None
    regions: Annotated[
        dict[RegionName, Region],
        BeforeValidator(with_amazon),
        Field(description="Amazon's addresses are built in; override single ones to test.", validate_default=True),
    ] = {}
    accounts: Annotated[
        dict[Name, Account],
        BeforeValidator(parse_mapping),
        Field(description="Applications and their credentials, by name."),
    ] = {}
    accounts_from: Annotated[
        tuple[FilePattern, ...],
        BeforeValidator(parse_list),
        Field(
            description="Further files with `accounts:`, such as `accounts.d/*.yaml`, relative to this file. New, "
            "changed and deleted ones take effect while the program runs."
        ),
    ] = ()
    clients: Annotated[
        tuple[Client, ...],
        BeforeValidator(parse_list),
        Field(description="Clients with keys; none: every client is trusted."),
    ] = ()
    routes: Annotated[
        dict[Name, RouteConfig],
        BeforeValidator(parse_mapping),
        Field(description="Names for account, region and profile."),
    ] = {}
    operations: Annotated[
        tuple[OperationConfig, ...],
        BeforeValidator(parse_list),
        Field(description="Rows that correct the table of Amazon's operations, or add to it."),
    ] = ()
    state: Annotated[StateSection, Field(description="Where refresh tokens are kept.")] = StateSection()
    tokens: Annotated[TokensSection, Field(description="When tokens are renewed.")] = TokensSection()
    upstream: Annotated[UpstreamSection, Field(description="Connections to Amazon.")] = UpstreamSection()
    limits: Annotated[LimitsSection, Field(description="Limits for one client.")] = LimitsSection()
    drain: Annotated[DrainSection, Field(description="How the program stops.")] = DrainSection()
    rewrite_locations: Annotated[
        Flag, Field(description="Whether a `location` at the API host is rewritten to lead through the proxy.")
    ] = True
    invites: Annotated[InvitesSection, Field(description="Invitations to consent.")] = InvitesSection()
    notify: Annotated[NotifySection, Field(description="Notices to people.")] = NotifySection()
    log: Annotated[LogSection, Field(description="Logging.")] = LogSection()
    audit: Annotated[AuditSection, Field(description="The audit stream.")] = AuditSection()
    telemetry: Annotated[TelemetrySection, Field(description="Traces.")] = TelemetrySection()
    reports: Annotated[
        ReportsSection | None,
        Field(description="Shared orders, and named reports; absent: requests for reports pass like all others."),
    ] = None

    @field_validator("sources", "remarks", "account_files", "refused", mode="before")
    @classmethod
    def _not_written(cls, value: Any, info: ValidationInfo) -> Any:
        if info.context is not None:
            raise WrongValue(Expected.UNKNOWN_KEY)
        return value

    @field_validator("accounts", "routes")
    @classmethod
    def _named(cls, entries: dict[str, Any]) -> dict[str, Any]:
        return {
            name: entry if entry.name == name else entry.model_copy(update={"name": name})
            for name, entry in entries.items()
        }

    def secrets(self) -> tuple[Secret, ...]:
        """Every secret in it, for redaction."""
        found = [self.admin.key, self.upstream.proxy, self.notify.webhook, self.notify.secret]
        found += self.state.secrets
        for account in self.accounts.values():
            found += (*account.secrets, *account.refresh_tokens)
        return tuple(secret for secret in found if secret is not None)
