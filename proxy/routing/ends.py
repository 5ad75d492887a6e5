"""The ends that Amazon announced: which requests they concern, since when, until when, and what replaces them. Pure.

The table is `ends.tsv`, which people keep (docs/reference/operations.md, Deprecated operations). Nothing is refused by
it: Amazon's response shows whether an operation has ended.
"""

from __future__ import annotations

import calendar
from email.utils import formatdate
from pathlib import Path
from typing import TYPE_CHECKING, Final

from proxy.routing.operations import PUBLISHED, split_template
from proxy.value_classes import dataclass

if TYPE_CHECKING:
    from proxy.http1.request_fields import RequestFields
    from proxy.routing.operations import Operation

_NOTHING = "-"
"""How the table writes an empty cell."""
ANNOUNCED = "announced"
"""Stands for the day since which an operation is deprecated, where Amazon gives none."""
_TYPE_FIELDS = frozenset((b"content-type", b"accept"))


@dataclass(frozen=True, slots=True)
class AnnouncedEnd:
    """One row of the table. `media_type` and `sunset` are empty where it has none."""

    method: str
    path: str
    media_type: str
    """The end concerns only requests that name this media type."""
    deprecated: str
    """A day, as ISO 8601 has it, or `ANNOUNCED`."""
    sunset: str
    """The day of the end."""
    replacement: str
    certainty: str
    """`sure`, or why not."""
    source: str

    @property
    def day(self) -> str:
        """The day of the end, or that it was announced without one."""
        return self.sunset or self.deprecated

    @property
    def response_lines(self) -> bytes:
        """The header lines `Deprecation` (RFC 9745) and `Sunset` (RFC 8594), as far as their days are known."""
        lines = b""
        if self.deprecated not in ("", ANNOUNCED):
            lines += b"Deprecation: @%d\r\n" % _midnight(self.deprecated)
        if self.sunset:
            lines += b"Sunset: %b\r\n" % formatdate(_midnight(self.sunset), usegmt=True).encode("ascii")
        return lines

    def concerns(self, fields: RequestFields) -> bool:
        """Whether a request with these fields uses what ends."""
        if not self.media_type:
            return True
        wanted = self.media_type.encode("ascii")
        return any(name in _TYPE_FIELDS and wanted in value.lower() for name, value in fields.every)


def _midnight(day: str) -> int:
    """When a day begins, in UTC: seconds of the epoch."""
    return calendar.timegm((*map(int, day.split("-")), 0, 0, 0))


def parse_ends(text: str) -> tuple[AnnouncedEnd, ...]:
    """The rows of a table's text: comments, a line for the names of the columns, then one for each end."""
    lines = [line.split("\t") for line in text.splitlines() if line and not line.startswith("#")]
    rows = [dict(zip(lines[0], line, strict=True)) for line in lines[1:]]
    return tuple(AnnouncedEnd(**{name: "" if cell == _NOTHING else cell for name, cell in row.items()}) for row in rows)


NO_END: Final = AnnouncedEnd("", "", "", "", "", "", "", "")
"""Stands for an end that is not in the table."""


ENDS: Final = parse_ends(Path(__file__).with_name("ends.tsv").read_text("ascii"))
_ENDS = {(each.method, split_template(each.path)): each for each in ENDS}


def names_of(end: AnnouncedEnd) -> tuple[str, ...]:
    """The name of the operation that ends, as log and metrics have it; none where the table of operations lacks it."""
    key = end.method, split_template(end.path)
    return tuple(row.name for row in PUBLISHED if (row.method, row.segments) == key)


def find_end(operation: Operation | None, fields: RequestFields) -> AnnouncedEnd:
    """The end that concerns a request for this operation with these header fields, else `NO_END`."""
    end = NO_END if operation is None else _ENDS.get((operation.method, operation.segments), NO_END)
    return end if end.concerns(fields) else NO_END
