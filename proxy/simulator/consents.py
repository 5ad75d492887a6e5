"""How long an advertiser's consent holds. Pure.

Refresh tokens of consents given on or after `CUT_OFF` end 365 days after the consent, however they are used; those
before have no end. Amazon's pages name two days for the cut-off; this is the earlier.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

CUT_OFF = date(2026, 6, 30)
LIFETIME = timedelta(days=365)
ENDED = "User may have revoked or didn't grant the permission."
"""What Login with Amazon says of a consent that is over."""


def moment_of(day: str) -> float:
    """Seconds since 1970 of a day, or of a moment, in UTC. ValueError where it is none."""
    read = datetime.fromisoformat(day)
    return (read if read.tzinfo else read.replace(tzinfo=UTC)).timestamp()


def as_text(moment: float) -> str:
    """A moment as people write it."""
    return datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def end_of(consented_at: float | None) -> float | None:
    """When a consent ends; None where it has no end, or nobody knows when it was given."""
    if consented_at is None:
        return None
    given = datetime.fromtimestamp(consented_at, UTC)
    return (given + LIFETIME).timestamp() if given.date() >= CUT_OFF else None
