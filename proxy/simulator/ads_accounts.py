"""The ads accounts of each login: where they live, which profiles and DSP advertisers they have. No HTTP here.

An ads account may live in several regions, with a profile of its own in each. What a login has from the start follows
`LAYOUTS`, again and again: one in two regions, one in one region with a profile and a DSP advertiser, one that is
only partly created, and one that is nothing but DSP advertisers.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from proxy.simulator.profiles import COUNTRIES
from proxy.simulator.settings import REGIONS

if TYPE_CHECKING:
    from proxy.simulator.profiles import ProfileBook

Status = Literal["CREATED", "DISABLED", "PARTIALLY_CREATED", "PENDING"]


@dataclass(frozen=True, slots=True)
class Layout:
    """What an ads account is made of: a profile in some regions, a DSP advertiser in some."""

    profiles: tuple[str, ...]
    advertisers: tuple[str, ...] = ()
    status: Status = "CREATED"


LAYOUTS = (
    Layout(("na", "eu")),
    Layout(("na",), ("na",)),
    Layout(("eu", "fe"), status="PARTIALLY_CREATED"),
    Layout((), ("na", "eu")),
)


@dataclass(frozen=True, slots=True)
class AccountCountry:
    """One country of an ads account, or one DSP advertiser of it. Ids that it has not are None."""

    region: str
    country: str | None = None
    entity_id: str | None = None
    profile_id: str | None = None
    advertiser_id: str | None = None


@dataclass(slots=True)
class AdsAccount:
    """One ads account; `users` are those whose tokens may use it."""

    account_id: str
    name: str
    presences: tuple[AccountCountry, ...]
    status: Status = "CREATED"
    users: set[str] = field(default_factory=set)

    @property
    def regions(self) -> tuple[str, ...]:
        """Where it lives, in the order na, eu, fe."""
        return tuple(region for region in REGIONS if any(p.region == region for p in self.presences))

    def in_regions(self, regions: tuple[str, ...]) -> tuple[AccountCountry, ...]:
        """What it has there."""
        return tuple(account_country for account_country in self.presences if account_country.region in regions)


class AdsAccountBook:
    """All ads accounts in the order in which they were added, found by any id that stands for them."""

    def __init__(self) -> None:
        self.accounts: dict[str, AdsAccount] = {}
        self._by_profile: dict[str, AdsAccount] = {}
        self._by_advertiser: dict[str, AdsAccount] = {}
        self._advertisers = 0

    def add(self, account: AdsAccount) -> AdsAccount:
        """Adds an ads account, in the place of one with the same id."""
        self.remove(account.account_id)
        self.accounts[account.account_id] = account
        for account_country in account.presences:
            if account_country.profile_id is not None:
                self._by_profile[account_country.profile_id] = account
            if account_country.advertiser_id is not None:
                self._by_advertiser[account_country.advertiser_id] = account
        return account

    def remove(self, account_id: str) -> bool:
        """Takes an ads account away. False if it was not there."""
        gone = self.accounts.pop(account_id, None)
        if gone is None:
            return False
        for account_country in gone.presences:
            self._by_profile.pop(account_country.profile_id or "", None)
            self._by_advertiser.pop(account_country.advertiser_id or "", None)
        return True

    def new_advertiser_id(self) -> str:
        """An unused id of a DSP advertiser."""
        self._advertisers += 1
        return str(580_000_000_000_000_000 + self._advertisers)

    def listed(self, user: str) -> list[AdsAccount]:
        """What a user may use, in all regions."""
        return [account for account in self.accounts.values() if user in account.users]

    def of_profile(self, profile_id: str) -> AdsAccount | None:
        """The ads account that a profile belongs to, if it is in one."""
        return self._by_profile.get(profile_id)

    def named(self, any_id: str) -> AdsAccount | None:
        """The ads account of this id, or that of a DSP advertiser of this id."""
        return self.accounts.get(any_id) or self._by_advertiser.get(any_id)

    def regions_of(self, any_id: str) -> tuple[str, ...]:
        """Where an ads account, or a DSP advertiser, lives; nowhere if there is none of this id."""
        account = self.named(any_id)
        if account is None or any_id == account.account_id:
            return account.regions if account else ()
        return tuple(p.region for p in account.presences if p.advertiser_id == any_id)


def account_id(user: str, number: int) -> str:
    """The id of a user's ads account, the same in every run."""
    return f"amzn1.ads-account.g.{hashlib.sha256(f'{user}/{number}'.encode()).hexdigest()[:26]}"


def settle(book: AdsAccountBook, profiles: ProfileBook, user: str, count: int) -> list[AdsAccount]:
    """Gives a user `count` more ads accounts, each with the next of the user's profiles that are in none yet."""
    free = {r: [p for p in profiles.listed(r, user) if book.of_profile(p.profile_id) is None] for r in REGIONS}
    number = len(book.listed(user))
    made = []
    for _ in range(count):
        layout, number = LAYOUTS[number % len(LAYOUTS)], number + 1
        account_countries = []
        for region in layout.profiles:
            if not free[region]:
                country = COUNTRIES[region][number % len(COUNTRIES[region])][0]
                account_countries.append(AccountCountry(region, country, f"ENTITY{country}{number:07d}"))
                continue
            profile = free[region].pop(0)
            account_countries.append(
                AccountCountry(region, profile.country, f"ENTITY{profile.profile_id}", profile.profile_id)
            )
        account_countries += [
            AccountCountry(region, advertiser_id=book.new_advertiser_id()) for region in layout.advertisers
        ]
        name = f"Pretend account {number} of {user}"
        made.append(
            book.add(AdsAccount(account_id(user, number), name, tuple(account_countries), layout.status, {user}))
        )
    return made
