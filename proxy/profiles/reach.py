"""The ads accounts that each login reaches, in memory, for the request path and for the views.

Changed by whole readings, one account and region at a time; nothing here asks Amazon or waits. Where an id leads is
worked out when a reading is taken, so that a look-up is one of a dictionary.
"""

from __future__ import annotations

import json
import re
from dataclasses import field, fields
from operator import attrgetter
from typing import TYPE_CHECKING, Any

from proxy.marketplaces import region_of_country
from proxy.profiles.index import ProfilesById, document_of, profile_fields, read_entries, read_profile
from proxy.profiles.listing import (
    Endpoint,
    ListRequest,
    ListResponse,
    Profile,
    ProfilesUnavailable,
    ask,
    list_profiles,
    read_id,
    read_json,
    read_text,
)
from proxy.value_classes import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from proxy.net.session import HttpSession
    from proxy.secret import Secret


# --- Reading the lists of what a login reaches --------------------------------------------------------------

MEDIA_TYPE = "application/vnd.listaccountsresource.v1+json"
MANAGERS_MEDIA_TYPE = "application/vnd.getmanageraccountsresponse.v1+json"
PAGE_SIZE = 100
MAX_PAGES = 100
MAX_LINKED = 50_000
"""The most linked accounts: far above what is known of any login. Together with the bounds of `listing` they bound what
is read and kept."""
PROGRAMS = ("billing", "paymentMethod", "store", "report", "account", "posts")
"""`apiProgram` of `GET /v2/profiles`, without `campaign`, which is the usual one."""
HIDDEN = (*(f"?apiProgram={program}" for program in PROGRAMS), "?accessLevel=edit")

_ACCOUNT_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}")


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


async def list_ads_accounts(session: HttpSession, endpoint: Endpoint, access_token: Secret) -> tuple[AdsAccount, ...]:
    """All pages of one host, in Amazon's order."""
    found: dict[str, AdsAccount] = {}
    token = ""
    for _ in range(MAX_PAGES):
        asked = {"maxResults": PAGE_SIZE, **({"nextToken": token} if token else {})}
        request = ListRequest("POST", "/adsAccounts/list", json.dumps(asked).encode(), MEDIA_TYPE)
        accounts, following = parse_ads_accounts(await ask(session, endpoint, access_token, request))
        found.update((account.id, account) for account in accounts)
        if not following or following == token:
            return tuple(found.values())
        token = following
    raise ProfilesUnavailable(f"Amazon's list of ads accounts has more than {MAX_PAGES} pages")


async def list_linked_accounts(
    session: HttpSession, endpoint: Endpoint, access_token: Secret
) -> tuple[LinkedAccount, ...]:
    """What the managers of one host have linked; Amazon shows 50 of each at most."""
    request = ListRequest("GET", "/managerAccounts", media_type=MANAGERS_MEDIA_TYPE)
    return parse_manager_accounts(await ask(session, endpoint, access_token, request))


async def list_hidden_profiles(session: HttpSession, endpoint: Endpoint, access_token: Secret) -> tuple[Profile, ...]:
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


def parse_ads_accounts(response: ListResponse) -> tuple[tuple[AdsAccount, ...], str]:
    """One page: its accounts, and what leads to the next page, empty at the end. What cannot be read is left out."""
    page = _object(response, "list of ads accounts")
    entries = page.get("adsAccounts")
    token = page.get("nextToken")
    accounts = tuple(filter(None, map(_ads_account, entries if isinstance(entries, list) else ())))
    return accounts, token if isinstance(token, str) else ""


def parse_manager_accounts(response: ListResponse) -> tuple[LinkedAccount, ...]:
    """Every linked account with an id, a profile or a DSP advertiser; others lead nowhere and are left out."""
    managers = _object(response, "list of manager accounts").get("managerAccounts")
    found: dict[LinkedAccount, None] = {}
    for manager in managers if isinstance(managers, list) else ():
        found.update(dict.fromkeys(_linked(manager)))
        if len(found) > MAX_LINKED:
            raise ProfilesUnavailable(f"Amazon's list of manager accounts has more than {MAX_LINKED} accounts")
    return tuple(found)


def _object(response: ListResponse, what: str) -> dict[str, object]:
    value = read_json(response, what)
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


# --- Looking up what each login reaches -----------------------------------------------------------------------

DOCUMENTS = tuple(f"ads-accounts-{number:02x}" for number in range(64))
"""The names of the documents with readings; all readings of an account are in one."""
ADS_ACCOUNT = "ads account"
_ALTERNATE, _LINKED = (attrgetter(*(each.name for each in fields(known))) for known in (AlternateId, LinkedAccount))
"""Each as a tuple."""
_VERSION = 1
Owner = tuple[str, str]
"""An account and a region."""
Part = tuple[str, str]
"""A profile of an ads account, and its region."""


@dataclass(frozen=True, slots=True)
class Reach:
    """What one host lists for one login. `profiles` are those that the usual list may leave out.

    `origin` tells what was asked (address and application): a reading of another origin is not this one's.
    """

    origin: str
    profiles: tuple[Profile, ...] = ()
    ads_accounts: tuple[AdsAccount, ...] = ()
    linked: tuple[LinkedAccount, ...] = ()


@dataclass(frozen=True, slots=True)
class MergedAdsAccount:
    """An ads account of one login, merged over all hosts that list it; or a DSP advertiser that a manager has linked.

    `kind` is `ADS_ACCOUNT`, or Amazon's word for a linked one in lower case.
    """

    id: str
    account: str
    kind: str
    name: str
    status: str
    regions: tuple[str, ...]
    countries: tuple[str, ...] = ()
    profiles: tuple[str, ...] = ()
    entities: tuple[str, ...] = ()


class ReachIndex:
    """Readings by account and region; profile and ads account -> who reaches it, and where."""

    def __init__(self) -> None:
        self._readings: dict[str, dict[str, Reach]] = {}
        """The readings by account, then by region: one account's are replaced without a look at the others."""
        self._profiles = _Owners()
        self._ads_accounts = _Owners()
        self._by_id = ProfilesById()
        self._parts: dict[str, dict[str, tuple[Part, ...]]] = {}
        """The profiles of each ads account, by account; those of an account are found when first asked for."""

    def __repr__(self) -> str:
        known = f"{len(self._ads_accounts)} ads accounts and advertisers"
        readings = sum(map(len, self._readings.values()))
        return f"<ReachIndex: {known}, {len(self._profiles)} profiles in {readings} readings>"

    def owners(self, profile: str) -> tuple[Owner, ...]:
        """Who reaches a profile by another list than the usual one, and in which regions it is."""
        return self._profiles.find(profile)

    def ads_account_owners(self, identifier: str) -> tuple[Owner, ...]:
        """Who reaches an ads account, a DSP advertiser, another linked account or a manager of some, in every region
        where it lives."""
        return self._ads_accounts.find(identifier)

    def describe(self, profile: str, account: str, region: str) -> Profile | None:
        """A profile of another list than the usual one, None for an unlisted one."""
        reach = self.reading(account, region)
        return None if reach is None else self._by_id.find(profile, (account, region), reach.profiles)

    def ads_account_profiles(self, identifier: str, account: str) -> tuple[Part, ...]:
        """The profiles of an ads account or of a linked account, each with its region. One is empty where the account
        has a country without a listed profile; there are none of an unknown account."""
        parts = self._parts.get(account)
        if parts is None:
            parts = _parts_of(self._of(account))
            if parts:
                self._parts[account] = parts
        return parts.get(identifier, ())

    def reading(self, account: str, region: str) -> Reach | None:
        return self._of(account).get(region)

    def put(self, account: str, region: str, reach: Reach) -> None:
        """Take a reading in the place of the one before."""
        self._readings.setdefault(account, {})[region] = reach
        self._by_id.forget((account, region))
        self._learn(account)

    def drop(self, account: str, region: str) -> None:
        """Forget a reading."""
        readings = self._readings.get(account, {})
        if readings.pop(region, None) is not None:
            self._by_id.forget((account, region))
            self._learn(account)
            if not readings:
                del self._readings[account]

    def snapshot(self, account: str | None = None) -> tuple[MergedAdsAccount, ...]:
        """Every ads account and linked advertiser, merged; of one account, or of all."""
        accounts = self._readings if account is None else (account,)
        return tuple(known for name in accounts for known in _merged(name, self._of(name)))

    def counts(self, account: str) -> dict[str, int]:
        """How many ads accounts each host lists that was read for an account, by region."""
        return {region: len(reach.ads_accounts) for region, reach in self._of(account).items()}

    def count(self, account: str) -> int:
        """How many ads accounts an account reaches, each once."""
        return len({each.id for reach in self._of(account).values() for each in reach.ads_accounts})

    def _of(self, account: str) -> Mapping[str, Reach]:
        return self._readings.get(account, {})

    def _learn(self, account: str) -> None:
        readings = self._of(account)
        self._parts.pop(account, None)
        self._profiles.replace(account, _profile_regions(readings))
        self._ads_accounts.replace(account, _ads_account_regions(readings))

    def to_document(self, name: str = "") -> object:
        """The readings of a document of this name as JSON has them; all, where it is empty."""
        readings = [
            {"account": account, "region": region, **write_reading(reach)}
            for account, readings in self._readings.items()
            if name in ("", document_of(account, DOCUMENTS))
            for region, reach in readings.items()
        ]
        return {"version": _VERSION, "readings": readings}


def write_reading(reach: Reach) -> dict[str, object]:
    """A reading as JSON has it. Pure."""
    return {
        "origin": reach.origin,
        "profiles": list(map(profile_fields, reach.profiles)),
        "ads_accounts": [
            (each.id, each.name, each.status, each.countries, tuple(map(_ALTERNATE, each.alternates)))
            for each in reach.ads_accounts
        ],
        "linked": list(map(_LINKED, reach.linked)),
    }


def read_reading(entry: Mapping[str, Any]) -> Reach:
    """The reading of `write_reading`. Pure. Raises `KeyError`, `TypeError` or `ValueError` for what is none."""
    return Reach(
        str(entry["origin"]),
        tuple(map(read_profile, entry["profiles"])),
        tuple(
            AdsAccount(str(i), str(n), str(s), tuple(map(str, c)), tuple(AlternateId(*map(str, e)) for e in a))
            for i, n, s, c, a in entry["ads_accounts"]
        ),
        tuple(LinkedAccount(*map(str, fields)) for fields in entry["linked"]),
    )


def read_document(document: object) -> Iterator[tuple[str, str, Reach]]:
    """The readings of `to_document`."""
    return read_entries(document, (_VERSION,), "readings", read_reading)


def _regions_of(ads_account: AdsAccount, host: str) -> set[str]:
    """Where an ads account lives: by its countries; where none is known, in the region of the host that lists it."""
    countries = (*ads_account.countries, *(each.country for each in ads_account.alternates))
    return set(filter(None, map(region_of_country, countries))) or {host}


def _profile_regions(readings: Mapping[str, Reach]) -> dict[str, tuple[str, ...]]:
    """Profile -> regions, by the best source that knows it: a list of profiles, an ads account's country, a manager."""
    listed, alternate, linked = _Regions(), _Regions(), _Regions()
    for host, reach in readings.items():
        for profile in reach.profiles:
            listed.add(profile.id, host)
        for ads_account in reach.ads_accounts:
            for each in ads_account.alternates:
                alternate.add(each.profile, region_of_country(each.country) or host)
        for entry in reach.linked:
            linked.add(entry.profile, host)
    return {**linked.sorted(), **alternate.sorted(), **listed.sorted()}


def _ads_account_regions(readings: Mapping[str, Reach]) -> dict[str, tuple[str, ...]]:
    found, linked = _Regions(), _Regions()
    for host, reach in readings.items():
        for ads_account in reach.ads_accounts:
            for region in _regions_of(ads_account, host):
                found.add(ads_account.id, region)
        for entry in reach.linked:
            linked.add(entry.id, host)
            linked.add(entry.dsp_advertiser, host)
            linked.add(entry.manager, host)
    return {**linked.sorted(), **found.sorted()}


def _parts_of(readings: Mapping[str, Reach]) -> dict[str, tuple[Part, ...]]:
    """Ads account or linked account -> its profiles, over all hosts. The profile is empty for a country of an ads
    account in which none is listed."""
    found: dict[str, dict[Part, None]] = {}
    for host, reach in readings.items():
        for ads_account in reach.ads_accounts:
            parts = [(each.country, each.profile) for each in ads_account.alternates]
            named = {country for country, _ in parts}
            parts += ((country, "") for country in ads_account.countries if country not in named)
            for country, profile in parts:
                found.setdefault(ads_account.id, {})[profile, region_of_country(country) or host] = None
        for entry in reach.linked:
            if entry.id and entry.profile:
                found.setdefault(entry.id, {})[entry.profile, host] = None
    return {identifier: tuple(parts) for identifier, parts in found.items()}


def _merged(account: str, readings: Mapping[str, Reach]) -> Iterator[MergedAdsAccount]:
    where = _ads_account_regions(readings)
    listed: dict[str, list[AdsAccount]] = {}
    advertisers: dict[str, LinkedAccount] = {}
    for reach in readings.values():
        for ads_account in reach.ads_accounts:
            listed.setdefault(ads_account.id, []).append(ads_account)
        for entry in reach.linked:
            if entry.dsp_advertiser:
                advertisers.setdefault(entry.dsp_advertiser, entry)
    for identifier, parts in listed.items():
        alternates = [each for part in parts for each in part.alternates]
        yield MergedAdsAccount(
            identifier,
            account,
            ADS_ACCOUNT,
            next((part.name for part in parts if part.name), ""),
            next((part.status for part in parts if part.status), ""),
            where[identifier],
            _unique((*(c for part in parts for c in part.countries), *(each.country for each in alternates))),
            _unique(each.profile for each in alternates),
            _unique(each.entity for each in alternates),
        )
    for identifier, entry in advertisers.items():
        if identifier not in listed:
            kind = entry.kind.lower().replace("_", " ")
            yield MergedAdsAccount(identifier, account, kind, entry.name, "", where[identifier])


def _unique(values: Iterable[str]) -> tuple[str, ...]:
    """The values without repetitions and empty ones, in order."""
    return tuple(dict.fromkeys(filter(None, values)))


@dataclass(slots=True)
class _Regions:
    """Id -> regions while they are gathered."""

    of: dict[str, set[str]] = field(default_factory=dict)

    def add(self, identifier: str, region: str) -> None:
        if identifier:
            self.of.setdefault(identifier, set()).add(region)

    def sorted(self) -> dict[str, tuple[str, ...]]:
        return {identifier: tuple(sorted(regions)) for identifier, regions in self.of.items()}


class _Owners:
    """Id -> owners, changed one account at a time."""

    def __init__(self) -> None:
        self._owners: dict[str, tuple[Owner, ...]] = {}
        self._known: dict[str, Mapping[str, tuple[str, ...]]] = {}

    def __len__(self) -> int:
        return len(self._owners)

    def find(self, identifier: str) -> tuple[Owner, ...]:
        return self._owners.get(identifier, ())

    def replace(self, account: str, regions: Mapping[str, tuple[str, ...]]) -> None:
        """What an account reaches from now on, id -> regions."""
        before = self._known.pop(account, {})
        if regions:
            self._known[account] = regions
        for identifier in before.keys() | regions.keys():
            if before.get(identifier) == regions.get(identifier):
                continue
            others = (owner for owner in self._owners.get(identifier, ()) if owner[0] != account)
            owners = tuple(sorted((*others, *((account, region) for region in regions.get(identifier, ())))))
            if owners:
                self._owners[identifier] = owners
            else:
                del self._owners[identifier]
