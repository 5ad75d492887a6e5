"""What a login reaches beside its usual profiles, on the wire: ads accounts, managers' accounts, hidden profiles.

Three lists of one region's host (docs/amazon.md, Advertiser accounts): `POST /adsAccounts/list`, in pages;
`GET /managerAccounts`; and `GET /v2/profiles` for each programme and right that the usual list leaves out. They are
read one after another, each within bounds. What an answer means is pure; failures are `ProfilesUnavailable`.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from proxy.profiles.listing import (
    Endpoint,
    Profile,
    ProfilesUnavailable,
    Question,
    Reply,
    ask,
    list_profiles,
    read_id,
    read_json,
    read_text,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    import aiohttp

    from proxy.secret import Secret

MEDIA_TYPE = "application/vnd.listaccountsresource.v1+json"
MANAGERS_MEDIA_TYPE = "application/vnd.getmanageraccountsresponse.v1+json"
PAGE_SIZE = 100
MAX_PAGES = 100
MAX_LINKED = 50_000
"""Far above what is known of any login: together with the bounds of `listing` they bound what is read and kept."""
PROGRAMS = ("billing", "paymentMethod", "store", "report", "account", "posts")
"""`apiProgram` of `GET /v2/profiles`, without `campaign`, which is the usual one."""
HIDDEN = (*(f"?apiProgram={program}" for program in PROGRAMS), "?accessLevel=edit")

_ACCOUNT_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}")
_MAX_TOKEN = 8192


@dataclass(frozen=True, slots=True)
class AlternateId:
    """One country's part of an ads account; what Amazon left out is empty."""

    country: str
    entity: str
    profile: str


@dataclass(frozen=True, slots=True)
class AdsAccount:
    """An ads account as one host lists it. Only the id is sure to be there."""

    id: str
    name: str = ""
    status: str = ""
    """`CREATED`, `DISABLED`, `PARTIALLY_CREATED` or `PENDING`."""
    countries: tuple[str, ...] = ()
    alternates: tuple[AlternateId, ...] = ()


@dataclass(frozen=True, slots=True)
class LinkedAccount:
    """An account below a manager account. `kind` is such as `SELLER` or `DSP_ADVERTISING_ACCOUNT`."""

    id: str
    name: str
    kind: str
    profile: str
    dsp_advertiser: str
    manager: str


async def list_ads_accounts(
    session: aiohttp.ClientSession, endpoint: Endpoint, access_token: Secret
) -> tuple[AdsAccount, ...]:
    """All pages of one host, in Amazon's order."""
    found: dict[str, AdsAccount] = {}
    token = ""
    for _ in range(MAX_PAGES):
        asked = {"maxResults": PAGE_SIZE, **({"nextToken": token} if token else {})}
        question = Question("POST", "/adsAccounts/list", json.dumps(asked).encode(), MEDIA_TYPE)
        accounts, following = parse_ads_accounts(await ask(session, endpoint, access_token, question))
        found.update((account.id, account) for account in accounts)
        if not following or following == token:
            return tuple(found.values())
        token = following
    raise ProfilesUnavailable(f"Amazon's list of ads accounts has more than {MAX_PAGES} pages")


async def list_linked_accounts(
    session: aiohttp.ClientSession, endpoint: Endpoint, access_token: Secret
) -> tuple[LinkedAccount, ...]:
    """What the managers of one host have linked; Amazon shows 50 of each at most."""
    question = Question("GET", "/managerAccounts", media_type=MANAGERS_MEDIA_TYPE)
    return parse_manager_accounts(await ask(session, endpoint, access_token, question))


async def list_hidden_profiles(
    session: aiohttp.ClientSession, endpoint: Endpoint, access_token: Secret
) -> tuple[Profile, ...]:
    """The profiles that the usual list may leave out. A programme that this login may not ask about has none."""
    found: dict[str, Profile] = {}
    for query in HIDDEN:
        try:
            profiles = await list_profiles(session, endpoint, access_token, query)
        except ProfilesUnavailable as failure:
            if not is_refusal(failure):
                raise
            continue
        for profile in profiles:
            found.setdefault(profile.id, profile)
    return tuple(found.values())


def is_refusal(failure: ProfilesUnavailable) -> bool:
    """Whether Amazon answered that this is not for this login: to ask again would change nothing.

    Of a login whose usual profiles were just listed, a 401 or 404 says no more than a 400 or 403.
    """
    return failure.status in (400, 401, 403, 404, 405, 406, 415)


def parse_ads_accounts(reply: Reply) -> tuple[tuple[AdsAccount, ...], str]:
    """One page: its accounts, and what leads to the next page, empty at the end. What cannot be read is left out."""
    page = _object(reply, "list of ads accounts")
    entries = page.get("adsAccounts")
    token = page.get("nextToken")
    accounts = tuple(filter(None, map(_ads_account, entries if isinstance(entries, list) else ())))
    return accounts, token if isinstance(token, str) and len(token) <= _MAX_TOKEN else ""


def parse_manager_accounts(reply: Reply) -> tuple[LinkedAccount, ...]:
    """Every linked account with an id, a profile or a DSP advertiser; others lead nowhere and are left out."""
    managers = _object(reply, "list of manager accounts").get("managerAccounts")
    found: dict[LinkedAccount, None] = {}
    for manager in managers if isinstance(managers, list) else ():
        found.update(dict.fromkeys(_linked(manager)))
        if len(found) > MAX_LINKED:
            raise ProfilesUnavailable(f"Amazon's list of manager accounts has more than {MAX_LINKED} accounts")
    return tuple(found)


def _object(reply: Reply, what: str) -> dict[str, object]:
    value = read_json(reply, what)
    if not isinstance(value, dict):
        raise ProfilesUnavailable(f"Amazon's {what} is not an object")
    return value


def _ads_account(entry: object) -> AdsAccount | None:
    if not isinstance(entry, dict) or not (identifier := _account_id(entry.get("adsAccountId"))):
        return None
    countries, alternates = entry.get("countryCodes"), entry.get("alternateIds")
    return AdsAccount(
        identifier,
        read_text(entry.get("accountName")),
        read_text(entry.get("status")),
        tuple(filter(None, map(read_text, countries if isinstance(countries, list) else ()))),
        tuple(
            AlternateId(
                read_text(each.get("countryCode")), read_text(each.get("entityId")), read_id(each.get("profileId"))
            )
            for each in (alternates if isinstance(alternates, list) else ())
            if isinstance(each, dict)
        ),
    )


def _linked(manager: object) -> Iterator[LinkedAccount]:
    entries = manager.get("linkedAccounts") if isinstance(manager, dict) else None
    for entry in entries if isinstance(entries, list) else ():
        if not isinstance(entry, dict):
            continue
        linked = LinkedAccount(
            id=_account_id(entry.get("accountId")),
            name=read_text(entry.get("accountName")),
            kind=read_text(entry.get("accountType")),
            profile=read_id(entry.get("profileId")),
            dsp_advertiser=_account_id(entry.get("dspAdvertiserId")),
            manager=_account_id(manager.get("managerAccountId")) if isinstance(manager, dict) else "",
        )
        if linked.id or linked.profile or linked.dsp_advertiser:
            yield linked


def _account_id(value: object) -> str:
    """The id of an ads account or advertiser, which may come as a number; empty for what is none."""
    text = str(value) if isinstance(value, int) and not isinstance(value, bool) else value
    return text if isinstance(text, str) and _ACCOUNT_ID.fullmatch(text) else ""
