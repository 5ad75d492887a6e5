"""Amazon's regions."""

from __future__ import annotations

import pytest

from proxy.regions import region_of_country


@pytest.mark.parametrize(
    ("code", "region"),
    [("US", "na"), ("BR", "na"), ("DE", "eu"), ("UK", "eu"), ("GB", "eu"), ("IN", "eu"), ("jp", "fe"), ("NO", "")],
)
def test_a_country_belongs_to_a_region(code: str, region: str) -> None:
    """One that is not known belongs to none yet."""
    assert region_of_country(code) == region
