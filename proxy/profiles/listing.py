"""`GET /v2/profiles` on the wire: what is asked, what each answer means, and a profile as a value.

What the list holds and what it leaves out: docs/amazon.md, Profiles.

Every failure leaves here as `ProfilesUnavailable`; no redirect is followed, and no answer is read beyond a bound.
When to ask, and what is done with the answer, is for `directory`.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

import aiohttp

from proxy.errors import AdsProxyError
from proxy.net.reachability import through, why_unreachable

if TYPE_CHECKING:
    import ssl

    from proxy.secret import Secret

PATH = "/v2/profiles"
MAX_RESPONSE_BYTES = 32 * 1024 * 1024
"""Far above 5,000 profiles, which is the most that Amazon lists."""

_ID = re.compile(r"[0-9]{1,32}")
_SHOWN = 200
_ADVICE = {
    401: "Amazon does not accept the token here: check that the application has access to the Ads API",
    403: "Amazon refuses: check that the application has access to the Ads API, and the person to its accounts",
    429: "Amazon asks to wait",
}


class ProfilesUnavailable(AdsProxyError):
    """The profiles of a region could not be listed. `retry_after` is what the answer asked for, in seconds.

    `retryable` tells whether they can be later without anybody changing anything.
    """

    def __init__(self, detail: str, *, retry_after: float | None = None, retryable: bool = True) -> None:
        super().__init__(detail)
        self.detail = detail
        self.retry_after = retry_after
        self.retryable = retryable


@dataclass(frozen=True, slots=True)
class Profile:
    """One advertiser in one marketplace. Ids are strings; what Amazon left out is empty."""

    id: str
    name: str
    country: str
    currency: str
    timezone: str
    kind: str
    """`seller`, `vendor` or `agency`."""
    marketplace: str
    account_id: str


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where profiles are listed, and over which network. `ssl_context` is None for the session's own trust."""

    api_url: str
    client_id: str
    timeout: float = 30.0
    proxy: Secret | None = None
    ssl_context: ssl.SSLContext | None = None


async def list_profiles(
    session: aiohttp.ClientSession, endpoint: Endpoint, access_token: Secret
) -> tuple[Profile, ...]:
    """The profiles of one region, in Amazon's order."""
    headers = {
        "Authorization": f"Bearer {access_token.reveal()}",
        "Amazon-Advertising-API-ClientId": endpoint.client_id,
        "Amazon-Ads-ClientId": endpoint.client_id,
        "Accept": "application/json",
        "User-Agent": "ads-proxy",
    }
    try:
        async with session.get(
            endpoint.api_url + PATH,
            headers=headers,
            allow_redirects=False,
            timeout=aiohttp.ClientTimeout(total=endpoint.timeout),
            proxy=endpoint.proxy.reveal() if endpoint.proxy else None,
            ssl=endpoint.ssl_context or True,
        ) as response:
            body = await _read(response)
            return parse_profiles_response(response.status, body, response.headers.get("Retry-After", ""))
    except TimeoutError:
        way = through(endpoint.proxy)
        raise ProfilesUnavailable(f"{endpoint.api_url} took longer than {endpoint.timeout:g} s{way}") from None
    except (aiohttp.ClientError, OSError, ValueError) as error:
        words = why_unreachable(error, endpoint.api_url, endpoint.proxy)
        raise ProfilesUnavailable(
            words or f"{endpoint.api_url} answered what is no HTTP; is it the right address?"
        ) from None


async def _read(response: aiohttp.ClientResponse) -> bytes:
    body = bytearray()
    async for piece in response.content.iter_any():
        body += piece
        if len(body) > MAX_RESPONSE_BYTES:
            raise ProfilesUnavailable("the list of profiles is longer than any that Amazon documents")
    return bytes(body)


def parse_profiles_response(status: int, body: bytes, retry_after: str = "") -> tuple[Profile, ...]:
    """What an answer says. Pure. An empty list is an answer; entries that cannot be read are left out."""
    if status != 200:
        seconds = float(retry_after) if retry_after.isdecimal() and len(retry_after) < 7 else None
        said = f"{_ADVICE.get(status, 'Amazon answered')} ({status})"
        raise ProfilesUnavailable(said, retry_after=seconds, retryable=status != 403)
    try:
        entries = json.loads(body)
    except (ValueError, RecursionError):
        raise ProfilesUnavailable("Amazon's list of profiles is not JSON") from None
    if not isinstance(entries, list):
        raise ProfilesUnavailable("Amazon's list of profiles is not a list")
    found = {profile.id: profile for profile in map(_profile, entries) if profile is not None}
    if entries and not found:
        raise ProfilesUnavailable("Amazon's list of profiles holds none that can be read")
    return tuple(found.values())


def _profile(entry: object) -> Profile | None:
    if not isinstance(entry, dict):
        return None
    identifier = entry.get("profileId")
    if isinstance(identifier, bool) or not isinstance(identifier, int | str) or not _ID.fullmatch(str(identifier)):
        return None
    account = entry.get("accountInfo")
    account = account if isinstance(account, dict) else {}
    return Profile(
        id=str(identifier),
        name=_text(account.get("name")),
        country=_text(entry.get("countryCode")),
        currency=_text(entry.get("currencyCode")),
        timezone=_text(entry.get("timezone")),
        kind=_text(account.get("type")),
        marketplace=_text(account.get("marketplaceStringId")),
        account_id=_text(account.get("id")),
    )


def _text(value: object) -> str:
    """A text that others chose, without what could steer a terminal or turn the direction of reading."""
    return "".join(filter(str.isprintable, value[:_SHOWN])) if isinstance(value, str) else ""
