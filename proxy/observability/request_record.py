"""What a request has of its own when it is over; what it shares with others is `events.RequestKind`. A shape only."""

from __future__ import annotations

from collections.abc import Callable
from operator import attrgetter
from typing import TYPE_CHECKING, Final, TypeVar, cast

if TYPE_CHECKING:
    from proxy.events import RequestFinished, SpendJudgement, WriteOutcome

_Entry = TypeVar("_Entry")

RequestRecord = tuple[
    _Entry, str, str, str, str, int, int, float, float, float, int, "WriteOutcome | None", "SpendJudgement | None"
]
"""The record of a request that ended well: a plain tuple, made in a tenth of the time of an object with names.

It has the `JournalEntry` with which the request is noted (None where a line alone is made of it), then `RECORD_FIELDS`:
`path` without a query, sizes of payload in bytes, times in seconds, no `amazon_request_id` where Amazon named none, and
of a write what the response says, if all of it succeeded, and the judgement of one that is within its limits.
"""
RECORD_FIELDS: Final = (
    *("request_id", "amazon_request_id", "path", "user_agent", "bytes_in", "bytes_out"),
    *("duration", "upstream", "overhead", "attempts", "write", "spend"),
)
"""What a record has behind its entry, in its order, as `RequestFinished` names it."""
_told = attrgetter(*RECORD_FIELDS[:-2])

LineRenderer = Callable[[RequestRecord[object], str], str]
"""Makes the line of a request that was over at this moment, which `Timestamps` wrote. Empty: it would be too long."""


def record_of(event: RequestFinished) -> RequestRecord[None]:
    """The record with which the line of an event is made. Outcome and judgement of a write are for the line's last
    members."""
    return cast("RequestRecord[None]", (None, *_told(event), None, None))
