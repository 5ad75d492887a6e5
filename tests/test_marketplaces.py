"""The table of marketplaces: regions, currencies and time zones."""

from __future__ import annotations

import re
from zoneinfo import ZoneInfo

import pytest

from proxy.marketplaces import COUNTRY_CURRENCIES, MARKETPLACES, region_of_country
from proxy.regions import REGION_NAMES
from proxy.simulator.profiles import COUNTRIES

SPECIFIED = [
    *("AE", "AU", "BE", "BR", "CA", "CL", "CO", "DE", "EG", "ES", "FR", "GB", "IE"),
    *("IN", "IT", "JP", "MX", "NG", "NL", "PL", "SA", "SE", "SG", "TR", "US", "ZA"),
]
"""The marketplaces of the unified API's specification of July 2026."""


@pytest.mark.parametrize(
    ("code", "region"),
    [
        *(("US", "na"), ("BR", "na"), ("CL", "na"), ("CO", "na"), ("NG", "eu"), ("DE", "eu"), ("UK", "eu")),
        *(("GB", "eu"), ("IN", "eu"), ("jp", "fe"), ("NO", "")),
    ],
)
def test_a_country_belongs_to_a_region(code: str, region: str) -> None:
    """One that is not known belongs to none yet."""
    assert region_of_country(code) == region


def test_the_table_has_each_marketplace_of_the_specification_once() -> None:
    """In alphabetical order, so that a reader finds one."""
    assert [row.country for row in MARKETPLACES] == SPECIFIED


def test_each_row_has_a_region_a_currency_and_a_real_time_zone() -> None:
    """And says where these come from."""
    for row in MARKETPLACES:
        assert row.region in REGION_NAMES
        assert re.fullmatch("[A-Z]{3}", row.currency)
        assert ZoneInfo(row.time_zone).key == row.time_zone
        assert row.source.startswith(("documentation", "inferred"))


def test_the_united_kingdom_has_two_spellings() -> None:
    """Profiles say UK, the unified API says GB."""
    assert COUNTRY_CURRENCIES["UK"] == COUNTRY_CURRENCIES["GB"] == "GBP"
    assert len(COUNTRY_CURRENCIES) == len(MARKETPLACES) + 1


def test_the_simulator_has_the_same_marketplaces() -> None:
    """It has a list of its own, as it shares no code with the proxy."""
    simulated = {
        (region, country, currency, zone) for region, rows in COUNTRIES.items() for country, currency, zone, _ in rows
    }
    assert simulated == {(row.region, row.spellings[-1], row.currency, row.time_zone) for row in MARKETPLACES}
