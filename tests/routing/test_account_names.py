"""Names of headers and parameters that name an account: the specifications' own, those alike, and no others."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.routing.account_names import (
    PUBLISHED_PARAMETERS,
    AccountParameter,
    ParameterPlace,
    names_account,
    parse_parameters,
)

WORDS = ("accountid", "advertiserid", "entityid", "manageraccount", "instanceid", "profileid", "marketplaceid")
HEADERS = [parameter.name for parameter in PUBLISHED_PARAMETERS if parameter.place is ParameterPlace.HEADER]


def test_the_list_has_every_header_of_the_specifications() -> None:
    """The two DSP audience operations' plain AdvertiserId is on it, and the one that only a text names."""
    assert len(HEADERS) == 11
    assert {"AdvertiserId", "Amazon-Advertising-AccountId", "Amazon-Ads-Manager-Account-ID"} <= set(HEADERS)
    assert {parameter.place for parameter in PUBLISHED_PARAMETERS} == set(ParameterPlace)


@pytest.mark.parametrize("parameter", PUBLISHED_PARAMETERS, ids=lambda parameter: f"{parameter.place}-{parameter.name}")
def test_every_parameter_of_the_specifications_names_an_account(parameter: AccountParameter) -> None:
    """In the specifications' spelling and in others that a lenient server takes for the same."""
    name = parameter.name.encode()
    for spelling in (
        name,
        name.upper(),
        name.lower(),
        name.replace(b"-", b"_"),
        name + b"s",
        b"x-" + name,
        b" %b\t" % name,
    ):
        assert names_account(spelling)


@pytest.mark.parametrize(
    "name",
    [
        b"Amazon-Advertising-API-Entity-Id",
        b"Amazon-Advertising-API-Account-ID",
        b"Amazon-Advertising-Advertiser-Id",
        b"Amazon-Ads-AccountID",
        b"dspAdvertiserId",
        b"encryptedAdvertiserId",
        b"filter[profile.id]",
        b"ENTITY\xe2\x80\x8bID",
        b"x" * 200 + b"-profile-id",
    ],
)
def test_what_is_alike_names_an_account(name: bytes) -> None:
    """Neighbours of Amazon's names, and names with anything between their letters."""
    assert names_account(name)


@pytest.mark.parametrize(
    "name",
    [
        b"Amazon-Advertising-API-Scope",
        b"Amazon-Advertising-API-ClientId",
        b"Amazon-Ads-ClientId",
        b"profileTypeFilter",
        b"campaignIdFilter",
        b"countryCode",
        b"vendorProductIds",
        b"account",
        b"x-accounting-id",
        b"Content-Type",
        b"",
        b"y" * 200,
    ],
)
def test_other_names_do_not(name: bytes) -> None:
    """Scope and client ids have rules of their own; filters by something else are free."""
    assert not names_account(name)


@given(st.sampled_from(WORDS), st.data())
def test_no_case_and_no_punctuation_hides_a_word(word: str, data: st.DataObject) -> None:
    """Any signs between the letters, any case, anything before and behind."""
    signs = st.text(alphabet="-_. []%+:\x00\xa0", max_size=3)
    letters = [data.draw(st.sampled_from((letter, letter.upper()))) + data.draw(signs) for letter in word]
    name = data.draw(signs) + "x" + "".join(letters) + data.draw(signs)
    assert names_account(name.encode("latin-1"))


def test_headings_are_no_parameters() -> None:
    """A comment and the columns' names come before the list."""
    text = "# a\nplace\tname\toperations\nquery\tprofileId\t1\n"
    assert parse_parameters(text) == (AccountParameter(ParameterPlace.QUERY, "profileId"),)
