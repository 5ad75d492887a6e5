"""A `Config` as the values that tokens, profiles and the state store are made from."""

from __future__ import annotations

from typing import TYPE_CHECKING

from proxy.config import Address, default_spill_directory
from proxy.profiles.listing import ProfileSource
from proxy.tokens.opening import SharedSettings, SpillDirectory
from proxy.tokens.values import TokenSettings, TokenSource

if TYPE_CHECKING:
    import ssl
    from collections.abc import Mapping

    from proxy.config import Config


def token_sources(config: Config) -> tuple[TokenSource, ...]:
    """What the token manager must know of each account."""
    return tuple(
        TokenSource(
            account=name,
            token_url=config.regions[account.region].token_url,
            client_id=account.client_id,
            client_secret=account.secrets[0],
            older_secret=account.secrets[1],
            refresh_token=account.refresh_tokens[0],
            older_refresh_token=account.refresh_tokens[1],
            sign_in_url=_sign_in_url(config, name),
            consented_on=account.consented_on,
        )
        for name, account in config.accounts.items()
    )


def _sign_in_url(config: Config, account: str) -> str:
    """Where a browser signs in; empty while the system still chooses the port."""
    admin = config.admin_listen
    return f"{console_url(config, admin)}/login/{account}" if admin.port or config.admin.url else ""


def console_url(config: Config, admin: Address) -> str:
    """The base URL of the console: `admin.url`, else that of `admin`, where it listens, for a browser on this
    machine."""
    if config.admin.url is not None:
        return config.admin.url
    return f"http://{Address('localhost', admin.port) if admin.host in ('0.0.0.0', '::') else admin}"


def profile_sources(config: Config, context: ssl.SSLContext | None) -> tuple[ProfileSource, ...]:
    """What the profile directory must know of each account: it lists in every region."""
    api_urls = {region: addresses.api_url for region, addresses in config.regions.items()}
    return tuple(
        ProfileSource(
            account=name,
            client_id=account.client_id,
            api_urls=api_urls,
            pins_first=account.default_profile == "first",
            refresh_token=account.refresh_tokens[0],
            proxy=config.upstream.proxy,
            ssl_context=context,
        )
        for name, account in config.accounts.items()
    )


def spill_directory(config: Config, environ: Mapping[str, str]) -> SpillDirectory | None:
    """Where copies go of refresh tokens that a shared store cannot take; None where they are turned off."""
    spill = config.state.spill
    if spill == "off":
        return None
    return SpillDirectory(str(spill or default_spill_directory(environ)), required=spill is not None)


def shared_settings(config: Config, environ: Mapping[str, str]) -> SharedSettings:
    """What a store on a server needs in addition to its address and keys."""
    return SharedSettings(config.state.max_connections, spill_directory(config, environ))


def token_settings(config: Config) -> TokenSettings:
    tokens = config.tokens
    return TokenSettings(tokens.refresh_ahead, tokens.request_wait, probe_interval=tokens.probe_interval)
