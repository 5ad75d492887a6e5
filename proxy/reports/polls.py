"""Answers to polls of reports, which other clients get for a while instead of asking Amazon: values only.

Amazon advises to poll about once a minute, and a report can take hours (docs/development/amazon.md, Reports). Moments
are wall-clock time, in seconds.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from proxy.reports.orders import ReportStatus
from proxy.value_classes import dataclass

if TYPE_CHECKING:
    from proxy.reports.orders import Report

MAX_ANSWER: Final = 16384
"""Bytes of an answer that is kept."""
LONG: Final = 1800.0
"""Seconds after which a report that is not ready is polled half as often."""
LEAST_LEFT: Final = 900.0
"""Seconds for which a download address in an answer from memory is good, at least."""


@dataclass(frozen=True, slots=True)
class PollAnswer:
    """What Amazon answered to a poll `at` that moment: it may be given to others until `until`, where that is not 0.
    `waiting_since` is the first poll that found the report unfinished."""

    status: int
    content_type: str
    text: str
    at: float
    until: float
    waiting_since: float

    def is_fresh(self, now: float, interval: float) -> bool:
        """Whether it can be given to a poll now. A clock that was set back makes nothing fresh."""
        long = self.at - self.waiting_since > LONG
        return 0 <= now - self.at < interval * (2 if long else 1) and (not self.until or now < self.until)

    def after(self, earlier: PollAnswer | None) -> PollAnswer:
        """It, with what an earlier answer says of the time before."""
        return self if earlier is None else replace(self, waiting_since=min(self.waiting_since, earlier.waiting_since))


def answer_to_poll(status: int, content_type: str, body: bytes, report: Report, now: float) -> PollAnswer | None:
    """The answer as others get it; None if it cannot be given to them."""
    if len(body) > MAX_ANSWER:
        return None
    until = 0.0
    if report.status is ReportStatus.COMPLETED:
        ends = [read_moment(end) for end in report.ends]
        until = min((end or 0.0 for end in ends), default=0.0) - LEAST_LEFT
        if until <= now:
            return None
    return PollAnswer(status, content_type, body.decode("utf-8"), now, until, now)


def read_moment(text: object) -> float | None:
    """A moment as Amazon writes it (RFC 3339), as wall-clock time; None for anything else."""
    if not isinstance(text, str):
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return (moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)).timestamp()
