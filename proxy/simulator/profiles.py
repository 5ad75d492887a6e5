"""The advertising profiles of each region, which users may use them, and which of them a list shows.

A list shows the profiles on which the user has rights for one program at one level, and of these only such as ever had
a campaign. The usual profiles have all rights; `HIDDEN` are rights that the usual list does not show.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

PROGRAMS = ("billing", "campaign", "paymentMethod", "store", "report", "account", "posts")
LEVELS = ("edit", "view")
Rights = dict[str, tuple[str, ...]]
"""Program -> levels."""

ALL_RIGHTS: Rights = dict.fromkeys(PROGRAMS, LEVELS)
HIDDEN: tuple[tuple[Rights, bool], ...] = (
    ({"report": LEVELS}, True),
    ({"campaign": ("edit",)}, True),
    (ALL_RIGHTS, False),
    ({"billing": LEVELS, "paymentMethod": ("view",)}, True),
    ({"store": ("view",), "posts": ("view",), "account": ("view",)}, True),
)
"""Rights, and whether there ever was a campaign, of the hidden profiles, again and again."""

FIRST_HIDDEN_ID = {"na": 1_170_000_000_000_001, "eu": 2_270_000_000_000_001, "fe": 3_370_000_000_000_001}
FIRST_ID = {"na": 1_110_000_000_000_001, "eu": 2_220_000_000_000_001, "fe": 3_330_000_000_000_001}
LARGEST_ID = {"na": 9_111_111_111_111_111_111, "eu": 9_122_222_222_222_222_222, "fe": 9_133_333_333_333_333_333}
"""The last profile of a region has an id that only 64 bits hold: who reads it as a float, loses it."""

COUNTRIES: dict[str, tuple[tuple[str, str, str, str], ...]] = {
    "na": (
        ("US", "USD", "America/Los_Angeles", "ATVPDKIKX0DER"),
        ("CA", "CAD", "America/Los_Angeles", "A2EUQ1WTGCTBG2"),
        ("MX", "MXN", "America/Los_Angeles", "A1AM78C64UM0Y8"),
        ("BR", "BRL", "America/Sao_Paulo", "A2Q3Y263D00KWC"),
        ("CL", "CLP", "America/Santiago", "APRETENDCL001"),
        ("CO", "COP", "America/Bogota", "APRETENDCO001"),
    ),
    "eu": (
        ("UK", "GBP", "Europe/London", "A1F83G8C2ARO7P"),
        ("DE", "EUR", "Europe/Paris", "A1PA6795UKMFR9"),
        ("FR", "EUR", "Europe/Paris", "A13V1IB3VIYZZH"),
        ("IT", "EUR", "Europe/Paris", "APJ6JRA9NG5V4"),
        ("ES", "EUR", "Europe/Paris", "A1RKKUPIHCS9HS"),
        ("AE", "AED", "Asia/Dubai", "A2VIGQ35RCS4UG"),
        ("BE", "EUR", "Europe/Brussels", "AMEN7PMS3EDWL"),
        ("EG", "EGP", "Africa/Cairo", "ARBP9OOSHTCHU"),
        ("IE", "EUR", "Europe/Dublin", "A28R8C7NBKEWEA"),
        ("IN", "INR", "Asia/Kolkata", "A21TJRUUN4KGV"),
        ("NG", "NGN", "Africa/Lagos", "APRETENDNG001"),
        ("NL", "EUR", "Europe/Amsterdam", "A1805IZSGTT6HS"),
        ("PL", "PLN", "Europe/Warsaw", "A1C3SOZRARQ6R3"),
        ("SA", "SAR", "Asia/Riyadh", "A17E79C6D8DWNP"),
        ("SE", "SEK", "Europe/Stockholm", "A2NODRKZP88ZB9"),
        ("TR", "TRY", "Europe/Istanbul", "A33AVAJ2PDY3EV"),
        ("ZA", "ZAR", "Africa/Johannesburg", "AE08WJ6YKNBMC"),
    ),
    "fe": (
        ("JP", "JPY", "Asia/Tokyo", "A1VC38T7YXB528"),
        ("AU", "AUD", "Australia/Sydney", "A39IBJ37TRP1C6"),
        ("SG", "SGD", "Asia/Singapore", "A19VAU5U5O7RUS"),
    ),
}
"""Country code, currency, time zone and marketplace id of each region's marketplaces; ids that no source shows are made
up (`APRETEND...`)."""

TYPES = ("seller", "vendor", "agency")
UNPAYABLE = 7
"""The number of profiles of which the last has no valid payment method."""


@dataclass(slots=True)
class Profile:
    """One profile; `users` are those whose tokens may use it, as far as its `rights` go; without any, not at all."""

    profile_id: str
    region: str
    country: str
    currency: str
    timezone: str
    marketplace: str
    kind: str
    name: str
    daily_budget: float = 999_999_999.0
    valid_payment: bool = True
    has_campaign: bool = True
    rights: Rights = field(default_factory=lambda: ALL_RIGHTS)
    users: set[str] = field(default_factory=set)

    @property
    def account_id(self) -> str:
        """The id of the seller's, vendor's or agency's account."""
        return f"ENTITY{self.profile_id}" if self.kind == "vendor" else f"A{self.profile_id}"

    def as_json(self) -> dict[str, Any]:
        """The profile as `GET /v2/profiles` shows it."""
        account: dict[str, Any] = {
            "marketplaceStringId": self.marketplace,
            "id": self.account_id,
            "type": self.kind,
            "name": self.name,
        }
        if self.kind != "agency":
            account["validPaymentMethod"] = self.valid_payment
        value: dict[str, Any] = {
            "profileId": int(self.profile_id),
            "countryCode": self.country,
            "currencyCode": self.currency,
            "timezone": self.timezone,
            "accountInfo": account,
        }
        if self.kind == "seller":
            value["dailyBudget"] = self.daily_budget
        return value


@dataclass(frozen=True, slots=True)
class Listing:
    """What a list asks for; the defaults are Amazon's. Empty `kinds` and a `valid_payment` of None choose nothing."""

    program: str = "campaign"
    level: str = "view"
    kinds: frozenset[str] = frozenset()
    valid_payment: bool | None = None

    def shows(self, profile: Profile) -> bool:
        """Whether a profile matches the request."""
        payable = profile.valid_payment and profile.kind != "agency"
        return (
            profile.has_campaign
            and self.level in profile.rights.get(self.program, ())
            and (not self.kinds or profile.kind in self.kinds)
            and self.valid_payment in (None, payable)
        )


USUAL = Listing()


class ProfileBook:
    """All profiles by region; the order in which they were added is the order in which they are listed."""

    def __init__(self, per_region: int, hidden: int = 0) -> None:
        self.by_region: dict[str, dict[str, Profile]] = {region: {} for region in FIRST_ID}
        for region in FIRST_ID:
            for _ in range(per_region - 1):
                self.add(region)
            if per_region:
                self.add(region, str(LARGEST_ID[region]))
            for number in range(hidden):
                profile = self.add(region, str(FIRST_HIDDEN_ID[region] + number))
                profile.rights, profile.has_campaign = HIDDEN[number % len(HIDDEN)]

    def add(self, region: str, profile_id: str | None = None, user: str = "default") -> Profile:
        """Adds a profile, or lets one more user use it."""
        there = self.by_region[region]
        index = len(there)
        chosen = profile_id or str(FIRST_ID[region] + index)
        while profile_id is None and chosen in there:
            chosen = str(int(chosen) + 1)
        if chosen not in there:
            marketplace = COUNTRIES[region][index % len(COUNTRIES[region])]
            there[chosen] = Profile(
                chosen, region, *marketplace, TYPES[index % 3], f"Pretend {region.upper()} {index + 1}"
            )
            there[chosen].valid_payment = index % UNPAYABLE != UNPAYABLE - 1
        there[chosen].users.add(user)
        return there[chosen]

    def remove(self, region: str, profile_id: str) -> bool:
        """Takes a profile away. False if it was not there."""
        return self.by_region[region].pop(profile_id, None) is not None

    def listed(self, region: str, user: str, asked: Listing = USUAL) -> list[Profile]:
        """What a user is shown in a region."""
        return [p for p in self.by_region[region].values() if user in p.users and asked.shows(p)]

    def hidden(self, region: str, user: str) -> list[Profile]:
        """What a user may use and the usual list does not show."""
        there = self.by_region[region].values()
        return [p for p in there if user in p.users and p.rights and not USUAL.shows(p)]

    def find(self, region: str, profile_id: str, user: str) -> Profile | None:
        """A profile that this user may use in this region, or None."""
        profile = self.by_region[region].get(profile_id)
        return profile if profile is not None and user in profile.users and profile.rights else None

    def region_of(self, profile_id: str) -> str | None:
        """Where a profile lives."""
        return next((region for region, there in self.by_region.items() if profile_id in there), None)

    def currency(self, owner: str, region: str) -> str:
        """The currency of a profile; for any other owner, that of the region's first marketplace."""
        profile = self.by_region[region].get(owner)
        return profile.currency if profile is not None else COUNTRIES[region][0][1]
