"""The headers by which Amazon knows who asks, and for which application. Pure.

Every request to Amazon carries them: those that the proxy forwards, and its own. A client's own never leave, and name
no account. A new one is a line here.
"""

from __future__ import annotations

from typing import Final


def authorization_headers(access_token: str, client_id: str) -> dict[str, str]:
    """The headers of one account while one access token lives, in the order in which they are sent."""
    return {
        "Authorization": f"Bearer {access_token}",
        "Amazon-Advertising-API-ClientId": client_id,
        "Amazon-Ads-ClientId": client_id,
    }


AUTHORIZATION_FIELDS: Final = frozenset(name.lower().encode() for name in authorization_headers("", ""))
"""Their names as a request's fields are compared."""
