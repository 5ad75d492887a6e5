"""What is known of profiles, in memory, for the request path: who lists a profile, and which one is the first.

Changed by whole listings, one account and region at a time; nothing here asks Amazon or waits. A pinned first profile
stays while it is listed. It is kept in several documents, by account, so that a change writes a part of a million
profiles and not all of them (docs/explanation/performance.md, A million profiles).
"""

from __future__ import annotations

from dataclasses import fields
from operator import attrgetter
from sys import intern
from typing import TYPE_CHECKING, Any, TypeVar
from zlib import crc32

from proxy.profiles.listing import Profile
from proxy.value_classes import dataclass

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

T = TypeVar("T")
DOCUMENTS = tuple(f"profiles-{number:02x}" for number in range(64))
"""The names of the documents with listings; all listings of an account are in one."""
_VERSION = 2
_READABLE = (1, _VERSION)
"""The versions that can be read. Version 1 says nothing of payment methods."""
_AGENCY = "agency"
Known = TypeVar("Known")
profile_fields = attrgetter(*(field.name for field in fields(Profile)))
"""A profile as a tuple; `dataclasses.astuple` takes ten times as long."""


@dataclass(frozen=True, slots=True)
class ProfileListing:
    """The profiles of one account in one region. `first` is the pinned one, empty where none is listed.

    `origin` tells what was asked (address and application): a listing of another origin is not this one's.
    """

    origin: str
    profiles: tuple[Profile, ...]
    first: str
    listed_at: float


@dataclass(frozen=True, slots=True)
class ListingFailure:
    """Why the profiles of an account could not be listed in a region, the last time they were asked for.

    `at` is wall-clock time. `retryable` tells whether that can pass without anybody changing anything, `asked` whether
    Amazon was asked at all: without a token it is not.
    """

    account: str
    region: str
    detail: str
    at: float
    retryable: bool = True
    asked: bool = True


class ProfilesById:
    """Profiles by their ids, one list after the other: a list's dictionary is made when one of its profiles is first
    asked for, as most programs never ask."""

    def __init__(self) -> None:
        self._made: dict[tuple[str, str], dict[str, Profile]] = {}

    def find(self, profile: str, key: tuple[str, str], profiles: Iterable[Profile]) -> Profile | None:
        """A profile of the list with this key, which holds `profiles`."""
        made = self._made.get(key)
        if made is None:
            made = self._made[key] = {each.id: each for each in profiles}
        return made.get(profile)

    def forget(self, key: tuple[str, str]) -> None:
        """Forget a list that changed, or is gone."""
        self._made.pop(key, None)


class ProfileIndex:
    """Listings by account and region, and profile -> who lists it."""

    def __init__(self) -> None:
        self._listings: dict[tuple[str, str], ProfileListing] = {}
        self._owners: dict[str, tuple[tuple[str, str], ...]] = {}
        self._alone: dict[tuple[str, str], tuple[tuple[str, str], ...]] = {}
        """Who lists alone, for all profiles of a listing to share."""
        self._by_id = ProfilesById()

    def __repr__(self) -> str:
        return f"<ProfileIndex: {len(self._owners)} profiles in {len(self._listings)} listings>"

    def owners(self, profile: str) -> tuple[tuple[str, str], ...]:
        return self._owners.get(profile, ())

    def first(self, account: str, region: str) -> str | None:
        listing = self._listings.get((account, region))
        return listing.first if listing is not None else None

    def listing(self, account: str, region: str) -> ProfileListing | None:
        return self._listings.get((account, region))

    def describe(self, profile: str, account: str, region: str) -> Profile | None:
        """A profile as the listing has it, None for an unlisted one."""
        key = (account, region)
        listing = self._listings.get(key)
        return None if listing is None else self._by_id.find(profile, key, listing.profiles)

    def put(self, account: str, region: str, listing: ProfileListing) -> None:
        """Take a listing in the place of the one before; its `first` is kept as given."""
        key = (account, region)
        self._by_id.forget(key)
        old = self._listings.get(key)
        before = {profile.id for profile in old.profiles} if old is not None else set()
        after = {profile.id for profile in listing.profiles}
        self._listings[key] = listing
        for profile in before - after:
            self._forget(profile, key)
        alone = self._alone.setdefault(key, (key,))
        for profile in after - before:
            others = self._owners.get(profile)
            self._owners[profile] = alone if others is None else tuple(sorted((*others, key)))

    def drop(self, account: str, region: str) -> None:
        """Forget a listing."""
        self._by_id.forget((account, region))
        self._alone.pop((account, region), None)
        listing = self._listings.pop((account, region), None)
        for profile in listing.profiles if listing is not None else ():
            self._forget(profile.id, (account, region))

    def _forget(self, profile: str, key: tuple[str, str]) -> None:
        left = tuple(owner for owner in self._owners[profile] if owner != key)
        if left:
            self._owners[profile] = left
        else:
            del self._owners[profile]

    def snapshot(self) -> tuple[tuple[str, str, Profile], ...]:
        """(account, region, profile) of everything, in Amazon's order within a region."""
        return tuple(
            (account, region, profile)
            for (account, region), listing in self._listings.items()
            for profile in listing.profiles
        )

    def to_document(self, name: str = "") -> object:
        """The listings of a document of this name as JSON has them; all, where it is empty."""
        return {
            "version": _VERSION,
            "listings": [
                {"account": account, "region": region, **write_listing(listing)}
                for (account, region), listing in self._listings.items()
                if name in ("", document_of(account))
            ],
        }


def write_listing(listing: ProfileListing) -> dict[str, object]:
    """A listing as JSON has it. Pure."""
    return {
        "origin": listing.origin,
        "first": listing.first,
        "listed_at": listing.listed_at,
        "profiles": list(map(profile_fields, listing.profiles)),
    }


def read_listing(entry: Mapping[str, Any]) -> ProfileListing:
    """The listing of `write_listing`. Pure. Raises `KeyError`, `TypeError` or `ValueError` for what is none."""
    profiles = tuple(map(read_profile, entry["profiles"]))
    return ProfileListing(str(entry["origin"]), profiles, pin(profiles, entry["first"]), float(entry["listed_at"]))


def document_of(account: str, documents: tuple[str, ...] = DOCUMENTS) -> str:
    """The name of the one of these that holds what is known of an account. Pure."""
    return documents[crc32(account.encode()) % len(documents)]


def pin(profiles: Iterable[Profile], old: str) -> str:
    """The first profile: the old one while it is listed, else the first listed, empty for none. Pure.

    An agency's is never chosen, since it has no campaigns of its own, and one without a valid method of payment only
    where all others are so, too (docs/development/amazon.md, Profiles).
    """
    usable = [profile for profile in profiles if profile.kind != _AGENCY]
    if any(profile.id == old for profile in usable):
        return old
    paying = [profile for profile in usable if profile.valid_payment]
    return next((profile.id for profile in paying or usable), "")


def read_document(document: object) -> Iterator[tuple[str, str, ProfileListing]]:
    """The listings of `to_document`."""
    return read_entries(document, _READABLE, "listings", read_listing)


def read_entries(
    document: object, versions: tuple[int, ...], name: str, read: Callable[[Mapping[str, Any]], T]
) -> Iterator[tuple[str, str, T]]:
    """Account, region and list of each entry of a document; one that cannot be read is left out, as Amazon is asked for
    it again."""
    if not isinstance(document, dict) or document.get("version") not in versions:
        return
    entries = document.get(name)
    for entry in entries if isinstance(entries, list) else ():
        try:
            yield str(entry["account"]), str(entry["region"]), read(entry)
        except (KeyError, TypeError, ValueError):
            continue


def read_profile(fields: Sequence[object]) -> Profile:
    """A profile of a document. Raises `ValueError` where there are too few fields."""
    identifier, name, country, currency, timezone, kind, marketplace, account_id, *rest = map(str, fields)
    valid = rest != [str(False)]
    country, currency, timezone, kind, marketplace = map(intern, (country, currency, timezone, kind, marketplace))
    return Profile(identifier, name, country, currency, timezone, kind, marketplace, account_id, valid)
