"""The currencies of the countries in which Amazon Ads sells. Pure."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

COUNTRY_CURRENCIES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "AE": "AED",
        "AU": "AUD",
        "BE": "EUR",
        "BR": "BRL",
        "CA": "CAD",
        "DE": "EUR",
        "EG": "EGP",
        "ES": "EUR",
        "FR": "EUR",
        "GB": "GBP",
        "IE": "EUR",
        "IN": "INR",
        "IT": "EUR",
        "JP": "JPY",
        "MX": "MXN",
        "NL": "EUR",
        "PL": "PLN",
        "SA": "SAR",
        "SE": "SEK",
        "SG": "SGD",
        "TR": "TRY",
        "UK": "GBP",
        "US": "USD",
        "ZA": "ZAR",
    }
)
"""The currency (ISO 4217) of each marketplace by its country (ISO 3166-1), in capitals.

Amazon's interfaces spell the United Kingdom `UK` and `GB`. An amount of a country that is missing here has no known
currency, so a write with it cannot be judged.
"""
