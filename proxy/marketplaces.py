"""The marketplaces of Amazon Ads: the region, currency and time zone of each country. Pure.

The table is `marketplaces.tsv`, read when this module is loaded. A profile's own currency and time zone, as Amazon
lists them, always win over it.
"""

from __future__ import annotations

from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from proxy.value_classes import dataclass

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True)
class Marketplace:
    """One row of the table; `also` is another spelling of the country, `-` for none."""

    country: str
    """ISO 3166-1, in capitals."""
    also: str
    region: str
    currency: str
    """ISO 4217, in capitals."""
    time_zone: str
    """IANA's name of the zone in which its days begin."""
    source: str

    @property
    def spellings(self) -> tuple[str, ...]:
        """Each code by which Amazon's interfaces call it: the United Kingdom is `GB` and `UK`."""
        return (self.country,) if self.also == "-" else (self.country, self.also)


def parse_marketplaces(text: str) -> tuple[Marketplace, ...]:
    """The rows of a table's text: comments, a line for the names of the columns, then one for each marketplace."""
    lines = [line.split("\t") for line in text.splitlines() if line and not line.startswith("#")]
    return tuple(Marketplace(**dict(zip(lines[0], line, strict=True))) for line in lines[1:])


MARKETPLACES: Final = parse_marketplaces(Path(__file__).with_name("marketplaces.tsv").read_text("ascii"))

COUNTRY_CURRENCIES: Final[Mapping[str, str]] = MappingProxyType(
    {code: row.currency for row in MARKETPLACES for code in row.spellings}
)
"""The currency of each spelling of a country. An amount of a country that is missing here has no known currency, so a
write with it cannot be judged."""

_REGION_OF = {code: row.region for row in MARKETPLACES for code in row.spellings}


def region_of_country(code: str) -> str:
    """The region of a country code, empty for one that is not known: Amazon opens new countries."""
    return _REGION_OF.get(code.upper(), "")
