"""Look-ups of profiles, and what is kept of them."""

from __future__ import annotations

import itertools
import json
from dataclasses import replace

import pytest

from proxy.profiles.index import DOCUMENTS, ProfileIndex, ProfileListing, document_of, pin, read_document
from proxy.profiles.listing import Profile


def profile(identifier: str) -> Profile:
    return Profile(identifier, f"Brand {identifier}", "US", "USD", "UTC", "seller", "M", "E")


def listing(*identifiers: str, first: str = "") -> ProfileListing:
    return ProfileListing("https://x amzn1", tuple(map(profile, identifiers)), first or (identifiers or ("",))[0], 5.0)


def test_owners_follow_whole_listings() -> None:
    """Newly listed profiles are found and removed ones forgotten, for that account and region alone."""
    index = ProfileIndex()
    index.put("acme", "na", listing("1", "2"))
    index.put("zeta", "eu", listing("2", "3"))
    assert index.owners("1") == (("acme", "na"),)
    assert index.owners("2") == (("acme", "na"), ("zeta", "eu"))
    index.put("acme", "na", listing("4", "1"))
    assert index.owners("2") == (("zeta", "eu"),)
    assert index.owners("4") == (("acme", "na"),)
    index.drop("acme", "na")
    index.drop("acme", "na")
    assert [index.owners(known) for known in "14"] == [(), ()]
    assert index.owners("3") == (("zeta", "eu"),)


def test_a_profile_is_described_as_its_newest_listing_has_it() -> None:
    """A profile is of that account and region alone, also after the listing was replaced or dropped."""
    index = ProfileIndex()
    assert index.describe("1", "acme", "na") is None
    index.put("acme", "na", listing("1", "2"))
    assert index.describe("2", "acme", "na") == profile("2")
    assert [index.describe("2", *key) for key in (("acme", "eu"), ("zeta", "na"))] == [None, None]
    renamed = replace(profile("2"), currency="CAD")
    index.put("acme", "na", replace(listing("2"), profiles=(renamed,)))
    assert index.describe("2", "acme", "na") is renamed
    assert index.describe("1", "acme", "na") is None
    index.drop("acme", "na")
    assert index.describe("2", "acme", "na") is None


def test_first_is_none_until_something_was_listed() -> None:
    """The first profile is empty if the list is."""
    index = ProfileIndex()
    assert index.first("acme", "na") is None
    assert index.listing("acme", "na") is None
    index.put("acme", "na", listing())
    assert index.first("acme", "na") == ""
    index.put("acme", "na", listing("7", "8", first="8"))
    assert index.first("acme", "na") == "8"


@pytest.mark.parametrize(
    ("listed", "old", "first"),
    [(("1", "2"), "", "1"), (("1", "2"), "2", "2"), (("1", "2"), "3", "1"), ((), "3", ""), ((), "", "")],
)
def test_the_first_is_pinned_while_it_is_listed(listed: tuple[str, ...], old: str, first: str) -> None:
    """Amazon's order may change from one listing to the next."""
    assert pin(tuple(map(profile, listed)), old) == first


def test_the_first_is_no_agencys_and_can_pay_where_others_can() -> None:
    """An agency has no campaigns of its own; of those that cannot pay, the first will do where there is no other."""
    agency = replace(profile("1"), kind="agency")
    unpaid, paid = replace(profile("2"), valid_payment=False), profile("3")
    assert pin((agency, unpaid, paid), "") == "3"
    assert pin((agency, unpaid), "") == "2"
    assert pin((agency,), "") == ""
    assert pin((agency, paid), "1") == "3"
    assert pin((agency, unpaid, paid), "2") == "2"


def test_a_document_of_the_version_before_is_read() -> None:
    """The earlier version had no payment methods, so all are taken for valid."""
    index = ProfileIndex()
    unpaid = replace(profile("2"), valid_payment=False)
    index.put("acme", "na", ProfileListing("https://x amzn1", (profile("1"), unpaid), "1", 5.0))
    document = json.loads(json.dumps(index.to_document()))
    assert [entry[2].profiles for entry in read_document(document)] == [(profile("1"), unpaid)]
    older = {**document, "version": 1}
    older["listings"][0]["profiles"] = [fields[:8] for fields in older["listings"][0]["profiles"]]
    assert [entry[2].profiles for entry in read_document(older)] == [(profile("1"), profile("2"))]


def test_a_document_holds_everything() -> None:
    """Through JSON and back."""
    index = ProfileIndex()
    index.put("acme", "na", listing("1", "2", first="2"))
    index.put("acme", "eu", listing())
    document = json.loads(json.dumps(index.to_document()))
    assert list(read_document(document)) == [
        ("acme", "na", listing("1", "2", first="2")),
        ("acme", "eu", listing()),
    ]
    assert [entry[:2] for entry in index.snapshot()] == [("acme", "na"), ("acme", "na")]


def test_accounts_are_spread_over_documents() -> None:
    """Each is in one of them, always the same, and what is in all of them is everything."""
    index = ProfileIndex()
    for number in range(200):
        index.put(f"account-{number}", "na", listing(str(number)))
    assert document_of("account-7") == "profiles-05"
    found = {name: [entry[0] for entry in read_document(index.to_document(name))] for name in DOCUMENTS}
    assert all(document_of(account) == name for name, accounts in found.items() for account in accounts)
    assert sorted(itertools.chain(*found.values())) == sorted(f"account-{number}" for number in range(200))
    assert max(map(len, found.values())) < 20


def test_profiles_of_one_listing_share_what_they_have_in_common() -> None:
    """Who lists them, and words that many have, exist once."""
    index = ProfileIndex()
    index.put("acme", "na", listing("1", "2"))
    assert index.owners("1") is index.owners("2")
    index.put("other", "na", listing("2"))
    assert index.owners("2") == (("acme", "na"), ("other", "na"))
    index.drop("other", "na")
    assert index.owners("2") == index.owners("1")


@pytest.mark.parametrize(
    "document",
    [
        None,
        [],
        {},
        {"version": 3, "listings": [{"account": "acme", "region": "na", "profiles": []}]},
        {"version": 1},
        {"version": 1, "listings": {"a": 1}},
        {"version": 1, "listings": [None, 5, {}, {"profiles": [["1"]]}, {"profiles": 5}]},
        {"version": 1, "listings": [{"profiles": [], "origin": "", "first": "", "listed_at": "x"}]},
    ],
)
def test_what_cannot_be_read_is_left_out(document: object) -> None:
    """The missing listing will be read again."""
    assert list(read_document(document)) == []


def test_forty_accounts_with_five_thousand_profiles_each_are_looked_up_at_once() -> None:
    """A listing changes only what differs; a look-up is one of a dictionary."""
    index = ProfileIndex()
    for account in range(40):
        index.put(f"a{account}", "na", listing(*(str(account * 10_000 + number) for number in range(5000))))
    index.put("a0", "na", listing(*(str(number) for number in range(1, 5001))))
    assert index.owners("0") == ()
    assert index.owners("5000") == (("a0", "na"),)
    assert index.owners("394999") == (("a39", "na"),)
    assert len(index.snapshot()) == 200_000
