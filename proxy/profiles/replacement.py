"""Whether a new login may take the place of one that works: what would be lost, profile by profile, and whether it is
another person's. Pure."""

from __future__ import annotations

from dataclasses import field
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from proxy.value_classes import dataclass

if TYPE_CHECKING:
    from collections.abc import Mapping

    from proxy.profiles.listing import Profile


@dataclass(frozen=True, slots=True)
class ReachedProfile:
    """A profile that an account's login reaches; `region` and `id` say which it is. `kind` is that of `Profile`."""

    id: str
    account: str
    region: str
    name: str
    country: str
    kind: str

    @classmethod
    def of(cls, account: str, region: str, profile: Profile) -> ReachedProfile:
        """One of an account's list in a region."""
        return cls(profile.id, account, region, profile.name, profile.country, profile.kind)


@dataclass(frozen=True, slots=True)
class GrantedProfiles:
    """What a login reaches that is not in force yet. `unlisted` says by region why its profiles could not be listed.
    `other_user` tells whether Login with Amazon calls its user otherwise than that of the present login; None if it did
    not tell."""

    profiles: tuple[ReachedProfile, ...] = ()
    unlisted: Mapping[str, str] = field(default_factory=dict)
    other_user: bool | None = None


class Replacement(StrEnum):
    """What becomes of the new login."""

    AT_ONCE = "at-once"
    """Nothing is lost by it."""
    ASK = "ask"
    """Something is, or that cannot be told: a person confirms it."""
    INSIST = "insist"
    """The new login reaches nothing of what works now: most likely it is another user's. Refused, unless a person
    insists."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """What the new login lacks of what the present one reaches, what it has beyond it, and where that could not be
    told."""

    decision: Replacement
    known: int = 0
    offered: int = 0
    lost: tuple[ReachedProfile, ...] = ()
    uncertain: tuple[str, ...] = ()
    """Regions whose profiles are known, and which the new login could not list."""
    gained: tuple[ReachedProfile, ...] = ()
    other_user: bool | None = None
    """Whether the new login is another user's; see `GrantedProfiles`."""


def compare(known: tuple[ReachedProfile, ...], granted: GrantedProfiles) -> Comparison:
    """Hold the profiles that are known of a working login against those that a new one reaches."""
    reached = {(profile.region, profile.id) for profile in granted.profiles}
    comparable = [profile for profile in known if profile.region not in granted.unlisted]
    lost = tuple(profile for profile in comparable if (profile.region, profile.id) not in reached)
    uncertain = tuple(sorted({profile.region for profile in known} & granted.unlisted.keys()))
    if comparable and len(lost) == len(comparable):
        decision = Replacement.INSIST
    else:
        decision = Replacement.ASK if lost or uncertain else Replacement.AT_ONCE
    present = {(profile.region, profile.id) for profile in known}
    gained = tuple(profile for profile in granted.profiles if (profile.region, profile.id) not in present)
    return Comparison(decision, len(known), len(granted.profiles), lost, uncertain, gained, granted.other_user)


# --- Subscriptions that belong to a consent --------------------------------------------------------------

STREAMS: Final = (
    "Amazon Marketing Stream subscriptions made under the old consent belong to it and may stop: list them with the "
    "new login, and subscribe again to what is missing."
)


def stream_note(comparison: Comparison) -> str:
    """What becomes of subscriptions if the new consent is another person's; else empty
    (docs/how-to/renew-a-consent.md, Another person's consent)."""
    if comparison.other_user:
        return f"This consent is another person's than before. {STREAMS}"
    if comparison.other_user is None and (comparison.lost or comparison.gained):
        return f"This login reaches other profiles, so the consent may be another person's than before. {STREAMS}"
    return ""
