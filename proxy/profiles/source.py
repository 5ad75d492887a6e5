"""What must be known of an account to list what it reaches. A value; it is made by `app`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from proxy.profiles.listing import Endpoint

if TYPE_CHECKING:
    import ssl
    from collections.abc import Mapping

    from proxy.secret import Secret


@dataclass(frozen=True, slots=True)
class ProfileSource:
    """What must be known of an account to list its profiles.

    `refresh_token` is the configured one: another means to list again. `pins_first` tells that `default_profile` is
    `first`, so that a change of the first profile is worth telling.
    """

    account: str
    client_id: str
    api_urls: Mapping[str, str]
    pins_first: bool
    refresh_token: Secret | None = None
    proxy: Secret | None = None
    ssl_context: ssl.SSLContext | None = None

    def origin(self, region: str) -> str:
        """What is asked there: listings of another origin are not this one's."""
        return f"{self.api_urls[region]} {self.client_id}"

    def endpoint(self, region: str) -> Endpoint:
        return Endpoint(self.api_urls[region], self.client_id, proxy=self.proxy, ssl_context=self.ssl_context)
