"""`GET /v2/profiles` on the wire: the request, the meaning of each answer, and a profile as a value.

What the list holds and what it leaves out: docs/development/amazon.md, Profiles. What else a login reaches is asked for
in the same way, by `ask`: see `ads_accounts`.

Every failure leaves here as `ProfilesUnavailable`; no redirect is followed, and no answer is read beyond a bound.
When to ask, and what is done with the answer, is for `directory`.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import re
import sys
import time
from dataclasses import field
from typing import TYPE_CHECKING

from proxy.backoff import backoff
from proxy.errors import AdsProxyError
from proxy.net.session import opened, proxy_url, through, why_unreachable
from proxy.tokens.authorization import authorization_headers
from proxy.value_classes import dataclass

if TYPE_CHECKING:
    import ssl
    from collections.abc import Awaitable, Callable, Mapping

    import aiohttp

    from proxy.net.session import HttpSession
    from proxy.secret import Secret


PATH = "/v2/profiles"
MAX_RESPONSE_BYTES = 32 * 1024 * 1024
"""The most bytes of a response: far above 5,000 profiles, which is the most that Amazon lists."""

_ID = re.compile(r"[0-9]{1,32}")
_SHOWN = 200
_ADVICE = {
    401: "Amazon does not accept the token here: check that the application has access to the Ads API",
    403: "Amazon refuses: check that the application has access to the Ads API, and the person to its accounts",
    429: "Amazon asks to wait",
}


class ProfilesUnavailable(AdsProxyError):
    """The profiles of a region could not be listed. `retry_after` is what the answer asked for, in seconds.

    `retryable` tells whether they can be later without anybody changing anything. `status` is that of an answer which
    is no list, 0 where none came.
    """

    def __init__(
        self, detail: str, *, retry_after: float | None = None, retryable: bool = True, status: int = 0
    ) -> None:
        super().__init__(detail)
        self.detail = detail
        self.status = status
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
    valid_payment: bool = True
    """False only if Amazon's list has it so."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where profiles are listed, and over which network. `ssl_context` is None for the session's own trust."""

    api_url: str
    client_id: str
    timeout: float = 30.0
    proxy: Secret | None = None
    ssl_context: ssl.SSLContext | None = None


@dataclass(frozen=True, slots=True)
class ListRequest:
    """A request of the proxy's own, such as for a list. `target` begins with a slash; `data` is a body, which has a
    `media_type` of its own; `profile` is the one that it is about, empty for none."""

    method: str
    target: str
    data: bytes | None = None
    media_type: str = "application/json"
    profile: str = ""
    accept: str = ""

    @property
    def headers(self) -> Mapping[str, str]:
        headers = {"Accept": self.accept or self.media_type}
        if self.data is not None:
            headers["Content-Type"] = self.media_type
        if self.profile:
            headers["Amazon-Advertising-API-Scope"] = self.profile
        return headers


@dataclass(frozen=True, slots=True)
class ListResponse:
    """An answer as it came; `retry_after` is the header of that name. `own` tells that the proxy gave it itself."""

    status: int
    body: bytes = field(repr=False)
    retry_after: str = ""
    own: bool = False


async def list_profiles(
    session: HttpSession, endpoint: Endpoint, access_token: Secret, query: str = ""
) -> tuple[Profile, ...]:
    """The profiles of one region, in Amazon's order. `query`, with its `?`, asks for others than the usual ones."""
    response = await ask(session, endpoint, access_token, ListRequest("GET", PATH + query))
    return parse_profiles_response(response.status, response.body, response.retry_after)


async def ask(session: HttpSession, endpoint: Endpoint, access_token: Secret, request: ListRequest) -> ListResponse:
    """Ask one host for a list. Raises `ProfilesUnavailable` where no answer came."""
    opened_session = await opened(session)
    # Not above: this is imported before clients are served; see `proxy.net.session`, too.
    from aiohttp import ClientError, ClientTimeout

    headers = {
        **authorization_headers(access_token.reveal(), endpoint.client_id),
        "User-Agent": "ads-proxy",
        **request.headers,
    }
    try:
        async with opened_session.request(
            request.method,
            endpoint.api_url + request.target,
            data=request.data,
            headers=headers,
            allow_redirects=False,
            timeout=ClientTimeout(total=endpoint.timeout),
            proxy=proxy_url(endpoint.proxy),
            ssl=endpoint.ssl_context or True,
        ) as response:
            return ListResponse(response.status, await _read(response), response.headers.get("Retry-After", ""))
    except TimeoutError:
        way = through(endpoint.proxy)
        raise ProfilesUnavailable(f"{endpoint.api_url} took longer than {endpoint.timeout:g} s{way}") from None
    except (ClientError, OSError, ValueError) as error:
        words = why_unreachable(error, endpoint.api_url, endpoint.proxy)
        raise ProfilesUnavailable(words or f"{endpoint.api_url} did not answer with HTTP; check the address") from None


async def _read(response: aiohttp.ClientResponse) -> bytes:
    body = bytearray()
    async for piece in response.content.iter_any():
        body += piece
        if len(body) > MAX_RESPONSE_BYTES:
            raise ProfilesUnavailable("the list of profiles is longer than any that Amazon documents")
    return bytes(body)


def parse_profiles_response(status: int, body: bytes, retry_after: str = "") -> tuple[Profile, ...]:
    """What an answer says. Pure. An empty list is an answer; entries that cannot be read are left out."""
    entries = read_json(ListResponse(status, body, retry_after), "list of profiles")
    if not isinstance(entries, list):
        raise ProfilesUnavailable("Amazon's list of profiles is not a list")
    found = {profile.id: profile for profile in map(_profile, entries) if profile is not None}
    if entries and not found:
        raise ProfilesUnavailable("Amazon's list of profiles holds none that can be read")
    return tuple(found.values())


def read_json(response: ListResponse, what: str) -> object:
    """The JSON of an answer. Pure. Raises `ProfilesUnavailable` for any other; `what` names the list in its words."""
    if response.status != 200:
        asked = response.retry_after
        seconds = float(asked) if asked.isdecimal() and len(asked) < 7 else None
        said = f"{_ADVICE.get(response.status, 'Amazon answered')} ({response.status})"
        raise ProfilesUnavailable(said, retry_after=seconds, retryable=response.status != 403, status=response.status)
    try:
        return json.loads(response.body)
    except (ValueError, RecursionError):
        raise ProfilesUnavailable(f"Amazon's {what} is not JSON") from None


def read_id(value: object) -> str:
    """A profile's id as text, empty for what is none."""
    if isinstance(value, bool) or not isinstance(value, int | str) or not _ID.fullmatch(str(value)):
        return ""
    return str(value)


def _profile(entry: object) -> Profile | None:
    if not isinstance(entry, dict):
        return None
    identifier = read_id(entry.get("profileId"))
    if not identifier:
        return None
    account = entry.get("accountInfo")
    account = account if isinstance(account, dict) else {}
    return Profile(
        id=identifier,
        name=read_text(account.get("name")),
        country=read_word(entry.get("countryCode")),
        currency=read_word(entry.get("currencyCode")),
        timezone=read_word(entry.get("timezone")),
        kind=read_word(account.get("type")),
        marketplace=read_word(account.get("marketplaceStringId")),
        account_id=read_text(account.get("id")),
        valid_payment=account.get("validPaymentMethod") is not False,
    )


def read_text(value: object) -> str:
    """A text that others chose, without what could steer a terminal or turn the direction of reading."""
    if not isinstance(value, str):
        return ""
    shown = value[:_SHOWN]
    return shown if shown.isprintable() else "".join(filter(str.isprintable, shown))


def read_word(value: object) -> str:
    """A text that many profiles have in common: all of them share it."""
    return sys.intern(read_text(value))


# --- When lists are read again, and the time and chance that it takes ------------------------------------

LIST_INTERVAL = 3600.0
FIRST_RETRY = 5.0
MAX_RETRY = 300.0
"""The longest pause between attempts, in seconds."""
AWAITED_RETRY = 1.5
"""Seconds between attempts while requests get 503 because nothing was ever listed: these are told to wait for 2."""
LONG_AWAITED_RETRY = 10.0
"""Seconds between attempts while requests get 503, after a minute of failures."""


async def wait(seconds: float, wake: asyncio.Event) -> None:
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(wake.wait(), seconds)


@dataclass(frozen=True, slots=True)
class ListingSchedule:
    """Time and chance, as given: `pause` returns after so many seconds, or when the event is set."""

    pause: Callable[[float, asyncio.Event], Awaitable[None]] = wait
    clock: Callable[[], float] = time.monotonic
    wall: Callable[[], float] = time.time
    random: Callable[[], float] = random.random


def next_listing(failures: int, retry_after: float | None, chance: float, *, awaited: bool = False) -> float:
    """Seconds until the next listing; `chance`, 0 to 1, only makes it earlier, but never before Retry-After.

    `awaited` tells that requests cannot be served until there is one.
    """
    if failures == 0:
        return LIST_INTERVAL * (1 - 0.2 * chance)
    first, limit = FIRST_RETRY, MAX_RETRY
    if awaited:
        first = limit = AWAITED_RETRY if failures * AWAITED_RETRY <= 60 else LONG_AWAITED_RETRY
    wait = backoff(failures, first=first, limit=limit, jitter=(1.0, 0.7), chance=chance)
    return max(wait, min(retry_after or 0.0, LIST_INTERVAL))


# --- What must be known of an account to list what it reaches --------------------------------------------


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
        """The source of a listing: a listing from another origin does not count here."""
        return f"{self.api_urls[region]} {self.client_id}"

    def endpoint(self, region: str, client_id: str) -> Endpoint:
        """The endpoint for an access token of this application, which after a reload may still be the former one."""
        return Endpoint(self.api_urls[region], client_id, proxy=self.proxy, ssl_context=self.ssl_context)
