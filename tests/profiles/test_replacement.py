"""What a new login lacks of the present one, whether it is another person's, and the words about subscriptions then."""

from __future__ import annotations

import pytest

from proxy.profiles.listing import Profile
from proxy.profiles.replacement import STREAMS, GrantedProfiles, ReachedProfile, compare, stream_note

ONE, TWO = (ReachedProfile(str(number), "acme", "na", f"Brand {number}", "US", "seller") for number in (1, 2))


@pytest.mark.parametrize(
    ("known", "granted", "beginning"),
    [
        ((ONE, TWO), GrantedProfiles((ONE, TWO)), ""),
        ((ONE, TWO), GrantedProfiles((ONE,)), "This login reaches other profiles, so the consent may be"),
        ((ONE,), GrantedProfiles((ONE, TWO)), "This login reaches other profiles, so the consent may be"),
        ((ONE,), GrantedProfiles((), {"na": "503"}), ""),
        ((ONE,), GrantedProfiles((ONE, TWO), other_user=False), ""),
        ((ONE,), GrantedProfiles((ONE,), other_user=True), "This consent is another person's than before."),
        ((ONE,), GrantedProfiles((TWO,), other_user=True), "This consent is another person's than before."),
    ],
)
def test_subscriptions_may_stop_with_another_persons_consent(
    known: tuple[ReachedProfile, ...], granted: GrantedProfiles, beginning: str
) -> None:
    """The user id decides if it is known, else the profiles; a region that was not listed decides nothing."""
    note = stream_note(compare(known, granted))
    assert note.startswith(beginning)
    assert note.endswith(STREAMS if beginning else "")
    assert bool(note) == bool(beginning)


def test_only_unlisted_regions_of_known_profiles_are_uncertain() -> None:
    """A region without a known profile has nothing to lose."""
    assert compare((ONE,), GrantedProfiles((), {"na": "503", "eu": "503"})).uncertain == ("na",)
    assert compare((ONE,), GrantedProfiles((ONE,), {"eu": "503"})).uncertain == ()


def test_a_listed_profile_is_reached_by_the_account_that_lists_it() -> None:
    profile = Profile("1", "Brand 1", "US", "USD", "America/Los_Angeles", "seller", "ATVPDKIKX0DER", "ENTITY1")
    assert ReachedProfile.of("acme", "na", profile) == ONE
