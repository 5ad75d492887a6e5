"""A `Config` as the values that tokens and traffic are made from. Pure; nothing is opened or started here."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from proxy.config import AMAZON_REGIONS, Address
from proxy.downstream.ports import Limits
from proxy.forwarding.forwarder import Rules
from proxy.profiles.directory import ProfileSource
from proxy.tokens.values import TokenSettings, TokenSource

if TYPE_CHECKING:
    import ssl

    from proxy.access.clients import Clients
    from proxy.config import Config
    from proxy.routing.route import RoutingTable

DEMO_LINE = b"X-Ads-Proxy-Demo: simulated; nothing here is Amazon's\r\n"


def token_sources(config: Config) -> tuple[TokenSource, ...]:
    """What the token manager must know of each account."""
    return tuple(
        TokenSource(
            account=name,
            token_url=config.regions[account.region].token_url,
            client_id=account.client_id,
            client_secret=account.client_secret,
            refresh_token=account.refresh_token,
            sign_in_url=_sign_in_url(config.admin_listen, name),
        )
        for name, account in config.accounts.items()
    )


def _sign_in_url(admin: Address, account: str) -> str:
    """Where a browser on this machine signs in; empty while the system still chooses the port."""
    reached = Address("localhost", admin.port) if admin.host in ("0.0.0.0", "::") else admin
    return f"http://{reached}/login/{account}" if admin.port else ""


def profile_sources(config: Config, context: ssl.SSLContext | None) -> tuple[ProfileSource, ...]:
    """What the profile directory must know of each account: it lists in every region."""
    return tuple(
        ProfileSource(
            account=name,
            client_id=account.client_id,
            api_urls={region: addresses.api_url for region, addresses in config.regions.items()},
            pins_first=account.default_profile == "first",
            refresh_token=account.refresh_token,
            proxy=config.upstream.proxy,
            ssl_context=context,
        )
        for name, account in config.accounts.items()
    )


def token_settings(config: Config) -> TokenSettings:
    return TokenSettings(refresh_ahead=config.tokens.refresh_ahead, request_wait=config.tokens.request_wait)


def limits(config: Config) -> Limits:
    given = config.limits
    return Limits(
        header_timeout=given.header_timeout,
        keepalive_timeout=given.keepalive_timeout,
        body_timeout=given.body_timeout,
        send_timeout=given.send_timeout,
        max_header_bytes=given.max_header_bytes,
        max_target_bytes=given.max_target_bytes,
        max_headers=given.max_headers,
        max_body_bytes=given.max_body_bytes,
        max_connections=given.max_connections,
        max_connections_per_address=given.max_connections_per_address,
    )


def rules(config: Config, table: RoutingTable, clients: Clients, *, demo: bool) -> Rules:
    """What the configuration says of traffic."""
    upstream = config.upstream
    return Rules(
        table=table,
        clients=clients,
        limits=limits(config),
        client_ids={name: account.client_id for name, account in config.accounts.items()},
        api_urls={name: region.api_url for name, region in config.regions.items()},
        mcp_urls={name: region.mcp_url for name, region in config.regions.items()},
        api_hosts=_api_hosts(config),
        replay_bytes=config.limits.replay_bytes,
        response_timeout=upstream.response_timeout,
        idle_timeout=upstream.idle_timeout,
        retry_wait=upstream.retry_wait,
        connect_timeout=upstream.connect_timeout,
        max_connections=upstream.max_connections,
        outbound_proxy=upstream.proxy.reveal() if upstream.proxy else None,
        ca_file=str(upstream.ca_file) if upstream.ca_file else None,
        rewrite_locations=config.rewrite_locations,
        fast_path=config.fast_path,
        scheme=b"https" if config.tls else b"http",
        listen=str(config.listen).encode(),
        answer_lines=DEMO_LINE if demo else b"",
    )


def _api_hosts(config: Config) -> frozenset[bytes]:
    """Amazon's own API hosts and the configured ones: an address at any of them is led back through the proxy."""
    urls = [region.api_url for region in config.regions.values()]
    urls += [addresses["api_url"] for addresses in AMAZON_REGIONS.values()]
    return frozenset(urlsplit(url).netloc.lower().encode() for url in urls)
