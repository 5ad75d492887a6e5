"""How a granted access token is written where replicas share it; see `leases.Form`. Pure.

It names the account, the token endpoint, the application and the refresh token that it is for. It holds no refresh
token: that one is written as the account's entry.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final

from proxy.secret import Secret
from proxy.tokens.token_response import Grant

if TYPE_CHECKING:
    from proxy.tokens.leases import Wanted


class TokenForm:
    """Implements `leases.Form`."""

    kind: Final = "lease"

    def news(self, wanted: Wanted) -> tuple[str, str]:
        return "account", wanted.account

    def is_long(self, value: Grant) -> bool:
        return False

    def write(self, wanted: Wanted, value: Grant) -> tuple[bytes, float]:
        content = {
            "for": _purpose(wanted),
            "access_token": value.access_token.reveal(),
            "expires_in": value.expires_in,
            "older_secret": value.older_secret,
        }
        return json.dumps(content).encode(), value.expires_in - value.took

    def read(self, wanted: Wanted, content: bytes, left: float) -> Grant | None:
        """The grant's `took` is the age of the token."""
        kept = json.loads(content)
        if kept["for"] != _purpose(wanted):
            return None
        expires_in = float(kept["expires_in"])
        return Grant(
            access_token=Secret(str(kept["access_token"])),
            refresh_token=None,
            expires_in=expires_in,
            client_id=wanted.client_id,
            took=max(0.0, expires_in - left),
            older_secret=bool(kept["older_secret"]),
        )


def _purpose(wanted: Wanted) -> list[str]:
    return [wanted.account, wanted.url, wanted.client_id, wanted.lineage]
