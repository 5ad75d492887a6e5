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
from proxy.config.model.approvals import ApprovalsSection
from proxy.config.model.clients import Client
from proxy.config.model.expected import Expected, WrongValue, shape_of
from proxy.config.model.identity_providers import IdentityProviderConfig
from proxy.config.model.kinds import (
    AccessField,
    AnyCase,
    Count,
    FilePath,
    FilePattern,
    FilledText,
    Flag,
    HostName,
    HostPattern,
    KeyValue,
    Listed,
    ListenAddress,
    MemberName,
    Method,
    Name,
    Named,
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
from proxy.config.model.values import Address, parse_list
from proxy.regions import AMAZON_REGIONS
from proxy.secret import Secret

# --- The section about telling people --------------------------------------------------------------------


class NotifySection(Section):
    """Where to send notices that a sign-in is needed or a consent expires."""

    webhook: WebhookUrl | None = None
    """The address for notices, sent as JSON by POST; a secret, as it often holds one. Absent: none."""
    secret: KeyValue | None = None
    """The key that signs notices (HMAC-SHA256), 16 bytes or more. Absent: unsigned."""
    command: Listed[FilledText] = ()
    """A program and its arguments; it gets each notice on its standard input."""


# --- The configuration's `state` -------------------------------------------------------------------------


class StateKind(StrEnum):
    """What sort of store `state.url` names."""

    MEMORY = "memory"
    FILE = "file"
    REDIS = "redis"


class StateSection(Section):
    """The store of refresh tokens, and of what the replicas of a fleet share."""

    url: StateUrl = "memory:"
    """`memory:`, `file:DIR`, or for a fleet `redis://[USER:PASSWORD@]HOST[:PORT][/DB]`, `rediss://` for TLS,
    `redis+sentinel://`, which may be a reference to a secret. Default: `file:` in `$XDG_STATE_HOME/ads-proxy` or
    `~/.local/state/ads-proxy`, and `memory:` for a user without a home."""
    key: StateKeys = None
    """The key that encrypts the state, 16 bytes or more; of a list, the first encrypts and all decrypt. Absent: the
    proxy makes a key file in the directory; required with Redis."""
    spill: Spill = None
    """With Redis: the directory for encrypted copies of refresh tokens that the store could not save; `off` for none.
    Default: `ads-proxy-spill` next to the default of `url`, and `/var/lib/ads-proxy/spill` for a user without a
    home."""
    max_connections: Count = Field(16, ge=4, le=1024)
    """Connections to Redis, for each replica; one that is idle for a minute is closed."""

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

    api_url: Origin
    """The Ads API's host, without a path."""
    token_url: Url
    """Login with Amazon's token endpoint."""
    auth_grant_url: Url
    """The sign-in page."""
    mcp_url: Url
    """The hosted MCP endpoint, for `/mcp` of the proxy."""


class AdminSection(Section):
    """Who may use the admin listener."""

    key: KeyValue | None = None
    """The key for console, sign-in and `/status`; required beyond loopback."""
    open_metrics: Flag = True
    """Whether `/metrics` and the health pages answer without the key."""
    url: Origin | None = None
    """The address at which people open the console, such as https://ads-proxy.example.com, for links in notices and in
    the log. Its host name is allowed at the admin listener. Absent: `http://` and the address of `admin_listen`."""


class TlsSection(Section):
    """The certificate of the client listener."""

    cert: ReadableFile
    """The certificate chain, as a PEM file."""
    key: SecretFile
    """Its private key, as a PEM file without a passphrase."""
    client_ca: ReadableFile | None = None
    """Certificate authorities of clients, as a PEM file. Absent: clients are not asked for certificates."""
    client_auth: AnyCase[Literal["optional", "required"] | None] = None
    """`required`: a connection needs a certificate of `client_ca`; `optional`: a client may connect without one, and
    send a key. Absent: `required` with `client_ca`."""


class InterceptSection(Section):
    """Amazon's own https:// addresses, for clients with HTTPS_PROXY."""

    enabled: Flag = False
    """Whether `listen` answers CONNECT for Amazon's hosts, with certificates of the proxy's own authority."""
    ca_dir: FilePath | None = None
    """The directory of that authority, `ca.pem` and `ca.key`, which the proxy makes. Required without a state
    directory: give all replicas of a fleet the same authority."""
    listen: ListenAddress | None = None
    """A TLS listener for clients that ignore HTTPS_PROXY, which reach it by Amazon's names. Absent: none."""
    passed: Listed[HostPattern] = Field(("*.amazonaws.com",), alias="pass")
    """Other hosts that clients may reach through the proxy, on port 443, which passes their bytes on unread. `*.`
    stands for every name below a host, `*` for every public host."""


class RouteConfig(NamedSection):
    """A name for an account, a region and a profile: `/@NAME/...`."""

    account: Name
    """The account's name."""
    region: RegionName | None = None
    """The region; absent: chosen by the request."""
    profile: ProfileId | None = None
    """The profile; absent: chosen by the request."""


class OperationConfig(Section):
    """A correction of one row in the table of Amazon's operations, or a new row."""

    method: Method
    """The operation's method."""
    path: FilledText
    """Its path, such as `/sp/campaigns/{campaignId}`."""
    scope: AnyCase[Literal["required", "optional", "never"] | None] = None
    """Whether it takes `Amazon-Advertising-API-Scope`; absent: as in the table."""
    account_id: AnyCase[Literal["required", "optional", "never"] | None] = None
    """Whether it takes `Amazon-Ads-AccountId`; absent: as in the table."""
    account_header: Literal["Amazon-Ads-AccountId", "Amazon-Ads-Account-ID"] | None = None
    """Its spelling of that header; absent: as in the table."""
    effect: AnyCase[Literal["read", "report", "write"] | None] = None
    """What it does at Amazon; absent: as in the table."""
    administers: AnyCase[Literal["nothing", "users", "accounts", "billing", "terms", "studies"] | None] = None
    """What it administers, for which a client needs `access: admin`; absent: as in the table."""
    name: FilledText | None = None
    """A name of its own; absent: Amazon's."""


class TokensSection(Section):
    """When access tokens are renewed."""

    refresh_ahead: Seconds = Field(300.0, ge=0, le=86400)
    """How long before expiry a token is renewed; for a short-lived one, a quarter of its life."""
    request_wait: Seconds = Field(10.0, ge=0, le=600)
    """How long a request waits for a token before a 503."""
    probe_interval: Seconds = Field(900.0, ge=0, le=86400)
    """How often each refresh token is tried at least, so that a revocation is known while the access token still works.
    0: never."""


class UpstreamSection(Section):
    """Connections to Amazon."""

    connect_timeout: Seconds = Field(10.0, gt=0, le=600)
    """Time to connect, with TLS."""
    response_timeout: Seconds = Field(60.0, gt=0, le=3600)
    """Time until the head of the response."""
    idle_timeout: Seconds = Field(60.0, gt=0, le=86400)
    """Time between bytes of a response body; off for event streams."""
    max_connections: Count = Field(256, ge=1, le=65536)
    """Connections to one host."""
    retry_wait: Seconds = Field(0.0, ge=0, le=600)
    """How long a request may wait for the end of Retry-After; a read also waits after its own 429 or 503. Any request
    may wait 1.25 s before it is sent."""
    proxy: OutboundProxy = None
    """Outbound proxy, `http://[USER:PASSWORD@]HOST:PORT`, in UTF-8. HTTPS_PROXY has no effect."""
    ca_file: ReadableFile | None = None
    """Certificate authorities to trust instead of the system's, as a PEM file."""


class LimitsSection(Section):
    """Limits for one client."""

    header_timeout: Seconds = Field(10.0, gt=0, le=3600)
    """Time until the whole head of a request has arrived."""
    body_timeout: Seconds = Field(30.0, gt=0, le=3600)
    """Time without a byte of a request body."""
    send_timeout: Seconds = Field(60.0, gt=0, le=86400)
    """Time in which the client accepts no byte of a response."""
    min_body_rate: Count = Field(1024, ge=0, le=1 << 30)
    """The slowest rate, in bytes per second over 10 s, of a request body, and of a client that reads a response; event
    streams are exempt. 0: no limit."""
    keepalive_timeout: Seconds = Field(75.0, ge=0, le=86400)
    """How long an idle connection stays open; 0: close after each response."""
    max_header_bytes: Count = Field(65536, ge=1024, le=1 << 20)
    """The size of a request's head."""
    max_header_fields: Count = Field(200, ge=8, le=10000)
    """The number of header fields in a request."""
    max_target_bytes: Count = Field(8192, ge=64, le=1 << 20)
    """The size of a request's target."""
    max_body_bytes: Count = Field(0, ge=0, le=1 << 50)
    """The size of a request's body; 0: no limit."""
    replay_bytes: Count = Field(262144, ge=0, le=1 << 28)
    """Request bodies up to this size are kept for a retry."""
    max_connections: Count = Field(10000, ge=1, le=1_000_000)
    """Connections of all clients."""
    max_connections_per_address: Count = Field(0, ge=0, le=1_000_000)
    """Client connections from one address; 0: no limit."""


class DrainSection(Section):
    """How the program stops."""

    delay: Seconds = Field(0.0, ge=0, le=3600)
    """How long the proxy still accepts requests after the signal, while `/readyz` answers 503."""
    timeout: Seconds = Field(30.0, ge=0, le=86400)
    """How long requests in flight may still run."""


class LogSection(Section):
    """What is written to standard output."""

    format: AnyCase[Literal["auto", "json", "console"]] = "auto"
    """`json`, `console`, or `auto`: console on a terminal, else JSON."""
    level: AnyCase[Literal["debug", "info", "warning", "error"]] = "info"
    """The lowest level in the log."""
    access: Flag = True
    """Whether each request is logged."""
    access_fields: Annotated[tuple[AccessField, ...] | None, BeforeValidator(parse_list)] = None
    """The members of a request's line besides time, level and event; absent: all."""


class AuditSection(Section):
    """Who changed what: a stream of its own, apart from the log."""

    file: FilePath | None = None
    """The file it is appended to, in a directory that exists; no link. Absent: none."""
    stdout: Flag = False
    """Whether its lines go to standard output, among those of the log."""
    required: Flag = True
    """Whether writes are refused (503) while their records cannot be kept; `false`: they are sent, and lost records are
    counted."""
    objects: Flag = False
    """Whether the record of a write names the objects and the members in its request and response."""
    values: Listed[MemberName] = ()
    """Members whose values are recorded too, such as `state` and `budget`; needs `objects`."""


class TelemetrySection(Section):
    """Traces of requests, for OpenTelemetry; needs the extra `telemetry`."""

    otlp: Url | None = None
    """The whole address for spans (OTLP over HTTP), such as http://127.0.0.1:4318/v1/traces. Absent: no traces."""
    trust_traceparent: Flag = False
    """Whether a client's `traceparent` is the parent of the request's span, and the proxy's goes to Amazon."""


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
    listen: ListenAddress = Address("127.0.0.1", 8080)
    """The address for clients."""
    admin_listen: ListenAddress = Address("127.0.0.1", 8081)
    """Metrics, health, console and sign-in."""
    reuse_port: Flag = False
    """Several replicas on this machine listen on the same `listen` and `intercept.listen`, and the system gives each a
    share of the connections. Needs a `state.url` that they share; each needs its own `admin_listen`."""
    allowed_hosts: Listed[HostName] = ()
    """Further Host names that clients may use."""
    allow_unauthenticated: Flag = False
    """Must be true to listen beyond loopback with no clients."""
    admin: AdminSection = AdminSection()
    """The admin listener's protection."""
    tls: TlsSection | None = None
    """TLS on the client listener; absent: plain HTTP."""
    intercept: InterceptSection = InterceptSection()
    """Amazon's own https:// addresses."""
    regions: Annotated[dict[RegionName, Region], BeforeValidator(with_amazon)] = Field({}, validate_default=True)
    """Amazon's addresses are built in; override single ones to test."""
    accounts: Named[Account] = {}
    """Applications and their credentials, by name."""
    accounts_from: Listed[FilePattern] = ()
    """Further files with `accounts:`, such as `accounts.d/*.yaml`, relative to this file. New, changed and deleted ones
    take effect while the program runs."""
    clients: Listed[Client] = ()
    """Clients with keys, certificates or JWTs; none: every client is trusted."""
    approvals: ApprovalsSection = ApprovalsSection()
    """Who lets writes over a limit pass."""
    identity_providers: Named[IdentityProviderConfig] = {}
    """Who signs the JWTs of clients, by name."""
    routes: Named[RouteConfig] = {}
    """Names for account, region and profile."""
    operations: Listed[OperationConfig] = ()
    """Rows that correct the table of Amazon's operations, or add to it."""
    state: StateSection = StateSection()
    """Where refresh tokens are kept."""
    tokens: TokensSection = TokensSection()
    """When tokens are renewed."""
    upstream: UpstreamSection = UpstreamSection()
    """Connections to Amazon."""
    limits: LimitsSection = LimitsSection()
    """Limits for one client."""
    drain: DrainSection = DrainSection()
    """How the program stops."""
    rewrite_locations: Flag = True
    """Whether a `location` at the API host is rewritten to lead through the proxy."""
    invites: InvitesSection = InvitesSection()
    """Invitations to consent."""
    notify: NotifySection = NotifySection()
    """Notices to people."""
    log: LogSection = LogSection()
    """Logging."""
    audit: AuditSection = AuditSection()
    """The audit stream."""
    telemetry: TelemetrySection = TelemetrySection()
    """Traces."""
    reports: ReportsSection | None = None
    """Shared orders, and named reports; absent: requests for reports pass like all others."""

    @field_validator("sources", "remarks", "account_files", "refused", mode="before")
    @classmethod
    def _not_written(cls, value: Any, info: ValidationInfo) -> Any:
        if info.context is not None:
            raise WrongValue(Expected.UNKNOWN_KEY)
        return value

    @property
    def authority_folder(self) -> Path | None:
        """The directory of the authority for interception: `ca_dir`, else `ca` in the state directory. None where the
        state has no directory."""
        return self.intercept.ca_dir or authority_in(self.state.url)

    def secrets(self) -> tuple[Secret, ...]:
        """Every secret in it, for redaction."""
        found = [self.admin.key, self.upstream.proxy, self.notify.webhook, self.notify.secret]
        found += self.state.secrets
        for provider in self.identity_providers.values():
            found += provider.secrets
        for account in self.accounts.values():
            found += (*account.secrets, *account.refresh_tokens)
        return tuple(secret for secret in found if secret is not None)


def authority_in(state_url: object) -> Path | None:
    """The directory of the authority in the state directory; None where `state.url` is not `file:DIR`."""
    in_directory = isinstance(state_url, str) and state_url.startswith("file:")
    return Path(str(state_url).removeprefix("file:")) / "ca" if in_directory else None
