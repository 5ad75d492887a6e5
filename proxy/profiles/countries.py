"""Which of Amazon's three regions a country belongs to (docs/amazon.md, Regions). Pure."""

from __future__ import annotations

_COUNTRIES = {
    "na": "BR CA MX US",
    "eu": "AE BE DE EG ES FR GB IE IN IT NL PL SA SE TR UK ZA",
    "fe": "AU JP SG",
}
_REGIONS = {country: region for region, countries in _COUNTRIES.items() for country in countries.split()}


def region_of_country(code: str) -> str:
    """The region of a country code, empty for one that is not known: Amazon opens new countries."""
    return _REGIONS.get(code.upper(), "")
