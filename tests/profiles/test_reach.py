"""Where ads accounts, advertisers and hidden profiles lead, and what is kept of them."""

from __future__ import annotations

import json

import pytest

from proxy.profiles.ads_accounts import AdsAccount, AlternateId, LinkedAccount
from proxy.profiles.countries import region_of_country
from proxy.profiles.listing import Profile
from proxy.profiles.reach import KnownAdsAccount, Reach, ReachIndex, read_document


def profile(identifier: str) -> Profile:
    return Profile(identifier, f"Brand {identifier}", "US", "USD", "UTC", "seller", "M", "E")


def ads_account(identifier: str, *countries: str, profiles: dict[str, str] | None = None) -> AdsAccount:
    """An ads account in these countries; `profiles` leads from country to profile."""
    alternates = tuple(AlternateId(country, f"E{country}", each) for country, each in (profiles or {}).items())
    return AdsAccount(identifier, f"Account {identifier}", "CREATED", countries, alternates)


def advertiser(identifier: str, entity: str = "") -> LinkedAccount:
    return LinkedAccount(entity or f"E{identifier}", "D", "DSP_ADVERTISING_ACCOUNT", "", identifier, "m")


def reading(**lists: tuple[object, ...]) -> Reach:
    return Reach("https://x amzn1", **lists)  # type: ignore[arg-type]  # each of its own type


@pytest.mark.parametrize(
    ("code", "region"),
    [("US", "na"), ("BR", "na"), ("DE", "eu"), ("UK", "eu"), ("GB", "eu"), ("IN", "eu"), ("jp", "fe"), ("NO", "")],
)
def test_a_country_belongs_to_a_region(code: str, region: str) -> None:
    """One that is not known belongs to none yet."""
    assert region_of_country(code) == region


def test_an_ads_account_lives_where_its_countries_are() -> None:
    """Whichever host lists it; without a known country it lives where it is listed."""
    index = ReachIndex()
    both = ads_account("both", "US", profiles={"DE": "21"})
    index.put("acme", "na", reading(ads_accounts=(both, AdsAccount("bare"), ads_account("new", "NO"))))
    index.put("acme", "fe", reading(ads_accounts=(both, AdsAccount("bare"))))
    assert index.ads_account_owners("both") == (("acme", "eu"), ("acme", "na"))
    assert index.ads_account_owners("bare") == (("acme", "fe"), ("acme", "na"))
    assert index.ads_account_owners("new") == (("acme", "na"),)
    assert index.ads_account_owners("other") == ()


def test_parts_listed_by_several_hosts_are_one_account() -> None:
    """Merged by id: countries, regions, profiles and entities of all."""
    index = ReachIndex()
    index.put("acme", "na", reading(ads_accounts=(ads_account("a", "US", profiles={"US": "11"}),)))
    index.put("acme", "eu", reading(ads_accounts=(ads_account("a", "DE", profiles={"DE": "21"}),)))
    assert index.snapshot() == (
        KnownAdsAccount(
            "acme", "a", "ads account", "Account a", "CREATED", ("eu", "na"), ("US", "DE"), ("11", "21"), ("EUS", "EDE")
        ),
    )
    assert index.ads_account_owners("a") == (("acme", "eu"), ("acme", "na"))
    assert (index.counts("acme"), index.count("acme")) == ({"na": 1, "eu": 1}, 1)
    index.drop("acme", "eu")
    assert index.ads_account_owners("a") == (("acme", "na"),)
    assert index.owners("21") == ()


def test_advertisers_are_found_by_every_id_that_they_have() -> None:
    """By the DSP advertiser's id and by the linked account's own, in the region of the host that lists them."""
    index = ReachIndex()
    index.put("acme", "eu", reading(linked=(advertiser("58", "ENTITY9"),)))
    assert index.ads_account_owners("58") == index.ads_account_owners("ENTITY9") == (("acme", "eu"),)
    assert index.snapshot("acme") == (KnownAdsAccount("acme", "58", "dsp advertising account", "D", "", ("eu",)),)
    assert index.snapshot("zeta") == ()


def test_managers_are_found_where_they_have_linked_accounts() -> None:
    """In each region whose host lists them; they are no ads account that is shown or counted."""
    index = ReachIndex()
    for region in ("eu", "na"):
        index.put("acme", region, reading(linked=(LinkedAccount("x", "", "SELLER", "1", "", "amzn1.m"),)))
    assert index.ads_account_owners("amzn1.m") == (("acme", "eu"), ("acme", "na"))
    assert (index.snapshot("acme"), index.count("acme")) == ((), 0)


def test_a_profile_is_where_the_best_source_has_it() -> None:
    """A list of profiles knows best, then the country of an ads account's part, then the host of a manager."""
    index = ReachIndex()
    linked = tuple(LinkedAccount("", "", "SELLER", each, "", "m") for each in ("1", "2", "3"))
    parts = ads_account("a", profiles={"DE": "2", "JP": "1", "NO": "4"})
    index.put("acme", "na", reading(profiles=(profile("1"),), ads_accounts=(parts,), linked=linked))
    assert [index.owners(each) for each in "1234"] == [
        (("acme", "na"),),
        (("acme", "eu"),),
        (("acme", "na"),),
        (("acme", "na"),),
    ]


def test_readings_change_nothing_of_other_accounts() -> None:
    """What is read anew is found, what is gone is forgotten, by that account alone."""
    index = ReachIndex()
    index.put("acme", "na", reading(ads_accounts=(ads_account("a", "US"), ads_account("b", "US"))))
    index.put("zeta", "na", reading(ads_accounts=(ads_account("b", "US"),)))
    assert index.ads_account_owners("b") == (("acme", "na"), ("zeta", "na"))
    index.put("acme", "na", reading(ads_accounts=(ads_account("c", "US"),)))
    assert index.ads_account_owners("a") == ()
    assert index.ads_account_owners("b") == (("zeta", "na"),)
    assert index.ads_account_owners("c") == (("acme", "na"),)
    index.drop("acme", "na")
    index.drop("acme", "na")
    assert repr(index) == "<ReachIndex: 1 ads accounts and advertisers, 0 profiles in 1 readings>"


def test_a_document_holds_everything() -> None:
    """Through JSON and back."""
    index = ReachIndex()
    whole = reading(
        profiles=(profile("1"),),
        ads_accounts=(ads_account("a", "US", profiles={"US": "11"}), AdsAccount("b")),
        linked=(advertiser("58"),),
    )
    index.put("acme", "na", whole)
    index.put("acme", "eu", reading())
    document = json.loads(json.dumps(index.to_document()))
    assert list(read_document(document)) == [("acme", "na", whole), ("acme", "eu", reading())]


@pytest.mark.parametrize(
    "document",
    [
        None,
        [],
        {"version": 2, "readings": []},
        {"version": 1},
        {"version": 1, "readings": [None, 5, {}]},
        {
            "version": 1,
            "readings": [
                {"account": "a", "region": "na", "origin": "", "profiles": [], "ads_accounts": [["x"]], "linked": []},
                {"account": "a", "region": "na", "origin": "", "profiles": [[]], "ads_accounts": [], "linked": []},
                {"account": "a", "region": "na", "origin": "", "profiles": [], "ads_accounts": [], "linked": [["x"]]},
            ],
        },
    ],
)
def test_what_cannot_be_read_is_left_out(document: object) -> None:
    """It will be read again."""
    assert list(read_document(document)) == []


def test_ten_thousand_ads_accounts_of_forty_logins_are_looked_up_at_once() -> None:
    """Taking a reading touches that login's alone; a look-up is one of a dictionary."""
    index = ReachIndex()
    for login in range(40):
        accounts = tuple(ads_account(f"a{login}-{number}", "US") for number in range(250))
        index.put(f"acme{login}", "na", reading(ads_accounts=accounts))
    assert index.ads_account_owners("a39-249") == (("acme39", "na"),)
    assert len(index.snapshot()) == 10_000
