"""Which headers and parameters name an account, be it as advertiser, entity, manager, instance or profile. Pure.

The list, `account_names.tsv`, is made from Amazon's specifications (docs/operations.md) and read when this module is
loaded. Names that are like those on it count as well: what a server might take for one of them, and what Amazon adds
after the list was made. Whose account a value names, and whether it may be named, is for `access`.
"""

from __future__ import annotations

import enum
import re
from dataclasses import dataclass
from functools import lru_cache
from importlib import resources
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

_ALIKE = re.compile(rb"accountid|advertiserid|entityid|manageraccount|instanceid|profileid|marketplaceid")
_PUNCTUATION = bytes(byte for byte in range(256) if not (byte < 128 and chr(byte).isalnum()))
_PUNCTUATION_IN_LINES = bytes(byte for byte in _PUNCTUATION if byte != 10)
_MAX_REMEMBERED = 1024
_MAX_REMEMBERED_BYTES = 128
"""In bytes: together with the number above it bounds what a stranger's names can make the process hold."""


class ParameterPlace(enum.StrEnum):
    """Where a parameter stands in a request."""

    HEADER = "header"
    PATH = "path"
    QUERY = "query"


@dataclass(frozen=True, slots=True)
class AccountParameter:
    """A parameter of Amazon's that names an account, in the spelling of the specifications."""

    place: ParameterPlace
    name: str


def parse_parameters(text: str) -> tuple[AccountParameter, ...]:
    """The parameters of a list's text: a line for the names of the columns, then one for each parameter."""
    lines = [line.split("\t") for line in text.splitlines() if line and not line.startswith("#")]
    return tuple(AccountParameter(ParameterPlace(place), name) for place, name, _ in lines[1:])


def _plain(name: bytes) -> bytes:
    """A name without case, punctuation and bytes beyond ASCII: what the most lenient reader could make of it."""
    return name.lower().translate(None, _PUNCTUATION)


PUBLISHED_PARAMETERS = parse_parameters(
    resources.files("proxy.routing").joinpath("account_names.tsv").read_text("ascii")
)
_KNOWN = frozenset(_plain(parameter.name.encode()) for parameter in PUBLISHED_PARAMETERS)


def _find(name: bytes) -> bool:
    plain = _plain(name)
    return plain in _KNOWN or _ALIKE.search(plain) is not None


def any_names_account(names: Iterable[bytes]) -> bool:
    """`names_account` of many names at once, which may be all different; none of them has a line feed."""
    plain = b"\n".join(names).lower().translate(None, _PUNCTUATION_IN_LINES)
    return _ALIKE.search(plain) is not None or not _KNOWN.isdisjoint(plain.split(b"\n"))


_remembered = lru_cache(maxsize=_MAX_REMEMBERED)(_find)


def names_account(name: bytes) -> bool:
    """Whether a header or parameter of this name names an account, known or alike; a query's names come decoded.

    Alike is every name that holds accountid, advertiserid, entityid, manageraccount, instanceid, profileid or
    marketplaceid, whatever its case and whatever stands between its letters: `X-Advertiser_Ids`, `filter[profile.id]`.
    """
    return _remembered(name) if len(name) <= _MAX_REMEMBERED_BYTES else _find(name)
