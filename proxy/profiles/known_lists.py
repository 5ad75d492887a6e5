"""Who lists a profile or reaches an ads account, by all lists that a process has in memory.

How the lists come there, and what follows from an id that none of them has, is for `directory`.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from proxy.profiles.index import ProfileIndex

if TYPE_CHECKING:
    from proxy.profiles.listing import Profile
    from proxy.profiles.reach import ReachIndex

PROFILE: Final = "profile"
ADS_ACCOUNT: Final = "ads account"
"""The kinds of ids."""
_ADS_ACCOUNT_ID: Final = re.compile(r"[A-Za-z0-9._:-]{1,128}")


class KnownLists:
    """The look-ups of `routing.Directory`: usual profiles in one index, in the other what else logins reach."""

    def __init__(self, reach: ReachIndex) -> None:
        self._index, self._reach = ProfileIndex(), reach

    def owners(self, profile: str, account: str = "") -> tuple[tuple[str, str], ...]:
        """The accounts and regions that list a profile. An unlisted one is a miss of this account, or of any for an
        empty name.

        An account whose usual list has it is not asked what its other lists say.
        """
        found = self._index.owners(profile)
        if further := self._reach.owners(profile):
            listed = {name for name, _ in found}
            return (*found, *(owner for owner in further if owner[0] not in listed))
        if not found and profile.isdecimal():
            self._miss(PROFILE, profile, account)
        return found

    def ads_account_owners(self, identifier: str, account: str = "") -> tuple[tuple[str, str], ...]:
        """Who reaches an ads account or advertiser, in every region where it lives; a miss is as that of a profile."""
        found = self._reach.ads_account_owners(identifier)
        if not found and _ADS_ACCOUNT_ID.fullmatch(identifier):
            self._miss(ADS_ACCOUNT, identifier, account)
        return found

    def describe(self, profile: str, account: str, region: str) -> Profile | None:
        """A profile as an account's lists of a region have it, None for an unlisted one."""
        return self._index.describe(profile, account, region) or self._reach.describe(profile, account, region)

    def ads_account_profiles(self, identifier: str, account: str) -> tuple[tuple[str, str], ...]:
        """The (profile, region) pairs of an ads account that an account reaches, with an empty profile where a country
        has none that is listed; none of an unknown ads account."""
        return self._reach.ads_account_profiles(identifier, account)

    def first(self, account: str, region: str) -> str | None:
        """The pinned first profile; empty where none is listed, None while nothing is known."""
        return self._index.first(account, region)

    def _miss(self, kind: str, identifier: str, account: str) -> None:
        """No list has this id, which an account may have by now."""
        raise NotImplementedError
