"""How a list is written where replicas share it; see `tokens.leases.Form`. Pure.

Compressed, and with whom it is for: account, address, application and refresh token. It is of use until the next
listing is due.
"""

from __future__ import annotations

import json
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Generic

from proxy.profiles.index import read_listing, write_listing
from proxy.profiles.pacing import LIST_INTERVAL
from proxy.profiles.reach import read_reading, write_reading
from proxy.tokens.leases import T

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from proxy.profiles.reach import Reach
    from proxy.tokens.leases import Wanted

MAX_LIST: Final = 64 * 1024 * 1024
"""Bytes of a list before it is compressed; far above what `listing` reads of Amazon's."""
_LONG: Final = 500
"""From so many entries on, writing takes milliseconds."""
_LEVEL: Final = 1
"""Of compression: a list of 5,000 takes a tenth of its size then, and no other level is as fast."""


@dataclass(frozen=True, slots=True)
class ListForm(Generic[T]):
    """Implements `leases.Form` for one kind of lists: how one becomes JSON and back, and how many entries it has."""

    kind: str
    to_json: Callable[[T], Mapping[str, Any]]
    from_json: Callable[[Mapping[str, Any]], T]
    length: Callable[[T], int]

    def news(self, wanted: Wanted) -> tuple[str, str]:
        return self.kind, f"{wanted.account}\0{wanted.url}"

    def is_long(self, value: T) -> bool:
        return self.length(value) >= _LONG

    def write(self, wanted: Wanted, value: T) -> tuple[bytes, float]:
        return write_list(wanted, self.kind, self.to_json(value)), LIST_INTERVAL

    def read(self, wanted: Wanted, content: bytes, left: float) -> T | None:
        entry = read_list(wanted, self.kind, content)
        return self.from_json(entry) if entry is not None else None


def write_list(wanted: Wanted, kind: str, entry: Mapping[str, Any]) -> bytes:
    """A list of a kind, as it is kept."""
    kept = {"kind": kind, "for": _purpose(wanted), "lineage": wanted.lineage, "list": entry}
    return zlib.compress(json.dumps(kept).encode(), _LEVEL)


def read_list(wanted: Wanted, kind: str, content: bytes) -> Mapping[str, Any] | None:
    """The list of `write_list`; None where it is for another refresh token.

    Raises `ValueError`, `KeyError` or `TypeError` for what is damaged, or of another kind, account or application.
    """
    unpacking = zlib.decompressobj()
    try:
        text = unpacking.decompress(content, MAX_LIST)
    except zlib.error:
        raise ValueError("the list is damaged") from None
    if not unpacking.eof:
        raise ValueError("the list is cut, or too long")
    kept = json.loads(text)
    if kept["kind"] != kind or kept["for"] != _purpose(wanted):
        raise ValueError("the list is another's")
    found: Mapping[str, Any] = kept["list"]
    return found if kept["lineage"] == wanted.lineage else None


def _purpose(wanted: Wanted) -> list[str]:
    return [wanted.account, wanted.url, wanted.client_id]


def _length(reach: Reach) -> int:
    return len(reach.profiles) + len(reach.ads_accounts) + len(reach.linked)


PROFILES: Final = ListForm("profiles", write_listing, read_listing, lambda listing: len(listing.profiles))
"""The usual profiles of an account at one address."""
ADS_ACCOUNTS: Final = ListForm("ads-accounts", write_reading, read_reading, _length)
"""What it reaches there beside them."""
