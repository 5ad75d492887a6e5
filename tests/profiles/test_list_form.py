"""How a list is written where replicas share it."""

from __future__ import annotations

import zlib
from dataclasses import replace

import pytest

from proxy.profiles import list_form
from proxy.profiles.ads_accounts import AdsAccount, AlternateId, LinkedAccount
from proxy.profiles.index import ProfileListing
from proxy.profiles.list_form import ADS_ACCOUNTS, PROFILES, read_list, write_list
from proxy.profiles.listing import Profile
from proxy.profiles.pacing import LIST_INTERVAL
from proxy.profiles.reach import Reach
from proxy.tokens.leases import Wanted

FORM = PROFILES
WANTED = Wanted("acme", "https://api.test", "amzn1.app", "f" * 64, 0)


def profiles(count: int) -> ProfileListing:
    """A list of so many, each with an id and a name of its own."""
    common = "US", "USD", "America/Chicago", "seller", "ATVPDKIKX0DER"
    made = (Profile(f"{10**12 + 7919 * each}", f"Brand {each}", *common, f"A{each}") for each in range(count))
    return ProfileListing("https://api.test amzn1.app", tuple(made), f"{10**12}", 5.0)


def test_a_list_comes_back_whole() -> None:
    """It is of use until the next is due; profiles that cannot be paid for stay so."""
    listing = profiles(3)
    listing = replace(listing, profiles=(*listing.profiles, replace(listing.profiles[0], id="9", valid_payment=False)))
    content, life = FORM.write(WANTED, listing)
    assert life == LIST_INTERVAL
    assert FORM.read(WANTED, content, 1.0) == listing


def test_what_else_is_reached_comes_back_whole() -> None:
    """Ads accounts with their parts, what managers have linked, and hidden profiles."""
    reach = Reach(
        "https://api.test amzn1.app",
        profiles(1).profiles,
        (AdsAccount("amzn1.a", "Brand", "CREATED", ("US",), (AlternateId("US", "ENTITY1", "11"),)),),
        (LinkedAccount("A1", "Shop", "SELLER", "12", "", "M1"),),
    )
    assert ADS_ACCOUNTS.read(WANTED, ADS_ACCOUNTS.write(WANTED, reach)[0], 1.0) == reach
    assert not ADS_ACCOUNTS.is_long(reach)


def test_the_longest_list_of_amazons_is_small() -> None:
    """5,000 profiles, and only such a list is written aside."""
    longest = profiles(5000)
    assert len(FORM.write(WANTED, longest)[0]) < 200_000
    assert (FORM.is_long(longest), FORM.is_long(profiles(3))) == (True, False)


def test_another_refresh_token_is_another_matter() -> None:
    """No damage, and not its list."""
    content, _ = FORM.write(WANTED, profiles(1))
    assert FORM.read(replace(WANTED, lineage="e" * 64), content, 1.0) is None


@pytest.mark.parametrize(
    "other", [replace(WANTED, account="zeta"), replace(WANTED, url="https://b.test"), replace(WANTED, client_id="b")]
)
def test_what_is_anothers_is_refused(other: Wanted) -> None:
    """Account, address and application are within, whatever the key says."""
    content, _ = FORM.write(WANTED, profiles(1))
    with pytest.raises(ValueError, match="another's"):
        FORM.read(other, content, 1.0)


def test_a_list_of_another_kind_is_refused() -> None:
    """Those of profiles and of ads accounts do not stand for each other."""
    with pytest.raises(ValueError, match="another's"):
        read_list(WANTED, "profiles", write_list(WANTED, "ads-accounts", {}))


def test_what_is_damaged_is_refused() -> None:
    """Cut, not compressed, or not what a list holds."""
    content, _ = FORM.write(WANTED, profiles(1))
    for damaged in (content[:-9], b"", b"nonsense", zlib.compress(b"nonsense"), write_list(WANTED, "profiles", {})):
        with pytest.raises((ValueError, KeyError)):
            FORM.read(WANTED, damaged, 1.0)


def test_what_would_fill_the_memory_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """However small it is before it is unpacked."""
    monkeypatch.setattr(list_form, "MAX_LIST", 100)
    with pytest.raises(ValueError, match="too long"):
        FORM.read(WANTED, FORM.write(WANTED, profiles(20))[0], 1.0)


def test_news_are_of_one_account_at_one_address() -> None:
    """So that whoever hears of them looks at one list."""
    assert FORM.news(WANTED) == ("profiles", "acme\0https://api.test")
