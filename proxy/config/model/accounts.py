"""The sections about who granted access: accounts, and invitations to consent."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import Field

from proxy.config.model.kinds import (
    ClientId,
    Day,
    DefaultAdsAccount,
    DefaultProfile,
    FilledText,
    HomeRegion,
    Listed,
    ListenAddress,
    Origin,
    RedirectUri,
    SecretValues,
    Title,
)
from proxy.config.model.section import NamedSection, Section
from proxy.config.model.values import parse_address
from proxy.secret import Secret

DEFAULT_SCOPES = ("advertising::campaign_management",)
DEFAULT_ADMIN_PORT = 8081
DEFAULT_REDIRECT_URI = f"http://localhost:{DEFAULT_ADMIN_PORT}/login/callback"


class Account(NamedSection):
    """One Login with Amazon application and the person who granted it access."""

    client_id: ClientId
    """The client id of the Login with Amazon security profile."""
    client_secret: SecretValues
    """Its client secret. During a change: a list of two, the newer first; the older is tried if Amazon does not know
    the newer yet."""
    refresh_token: SecretValues | None = None
    """The refresh token; absent: `ads-proxy login` gets one for the state store. During a change: a list of two, the
    newer first; the older is tried if Amazon refuses the newer."""
    region: HomeRegion = "na"
    """The home region: token endpoint, sign-in page and default API host (na, eu or fe)."""
    default_profile: DefaultProfile = None
    """The profile for requests without one: `first` (the first listed), an id, or null for none."""
    default_ads_account: DefaultAdsAccount = None
    """The `Amazon-Ads-AccountId` for requests without profile and ads account, if the operation takes one: an id, or
    null for none."""
    consented_on: Day = None
    """The day of the advertiser's consent to the configured refresh token, such as 2026-07-01; not needed after a
    sign-in through the proxy."""
    scopes: Listed[FilledText] = Field(DEFAULT_SCOPES, min_length=1)
    """The scopes that a sign-in asks for."""
    redirect_uri: RedirectUri = DEFAULT_REDIRECT_URI
    """Where Amazon sends the browser after the sign-in; the security profile must list it. Its port is that of
    `admin_listen` unless it is set."""

    @property
    def secrets(self) -> tuple[Secret, Secret | None]:
        """The client secret to use, and the one that it follows, while there are two."""
        return self.client_secret if isinstance(self.client_secret, tuple) else (self.client_secret, None)

    @property
    def refresh_tokens(self) -> tuple[Secret | None, Secret | None]:
        """The configured refresh token, and the one that it follows, while there are two."""
        return self.refresh_token if isinstance(self.refresh_token, tuple) else (self.refresh_token, None)


def redirect_to(port: int) -> str:
    """How a sign-in comes back to the admin listener at this port, 0 for any."""
    return DEFAULT_REDIRECT_URI.replace(f":{DEFAULT_ADMIN_PORT}", f":{port or DEFAULT_ADMIN_PORT}")


def fill_in_redirects(values: Mapping[str, Any], admin_listen: Any) -> None:
    """Sign-in comes back to the admin listener, wherever that is: put that into the unchecked `accounts` of a file."""
    try:
        port = parse_address(admin_listen).port if admin_listen else 0
    except ValueError:
        return
    accounts = values.get("accounts")
    for account in accounts.values() if isinstance(accounts, Mapping) else ():
        if isinstance(account, dict) and account.get("redirect_uri") is None:
            account["redirect_uri"] = redirect_to(port)


class InvitesSection(Section):
    """Links that ask an advertiser for consent, and their address."""

    listen: ListenAddress | None = None
    """A listener for invited advertisers alone. Absent: links lead below `/invite/` of `admin_listen`, if `url` is
    set."""
    url: Origin | None = None
    """Its public address, such as https://consent.example.com. The application's security profile must list
    `URL/invite/callback` among its return URLs. Absent: no invitations."""
    sender: Title | None = None
    """The name of the sender on the page. Default: the host of `url`."""
