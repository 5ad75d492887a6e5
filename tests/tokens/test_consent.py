"""How long a consent holds, and when its end is announced: decisions on days, over every boundary."""

from __future__ import annotations

from datetime import UTC, date, datetime

import pytest

from proxy import errors
from proxy.secret import Secret
from proxy.tokens.consent import (
    DAY,
    Consent,
    ConsentOrigin,
    ConsentPhase,
    consent_in_force,
    describe,
    explain_refusal,
    mark_reached,
    next_mark_at,
    phase,
    start_of,
)
from proxy.tokens.store import StoredSource, StoredToken, rotated, signed_in

GIVEN = start_of(date(2026, 7, 1))
END = start_of(date(2027, 7, 1))
CUT_OFF = start_of(date(2026, 6, 30))


def at(day: str) -> float:
    return datetime.fromisoformat(day).replace(tzinfo=UTC).timestamp()


@pytest.mark.parametrize(
    ("consent", "ends_at"),
    [
        (Consent(GIVEN), END),
        (Consent(CUT_OFF), CUT_OFF + 365 * DAY),
        (Consent(CUT_OFF - 1), None),
        (Consent(None, first_seen=GIVEN), None),
        (Consent(), None),
    ],
)
def test_a_consent_ends_a_year_after_it_was_given_unless_it_is_older_than_the_rule(
    consent: Consent, ends_at: float | None
) -> None:
    """365 days from the cut-off on; none before it, and none that can be told where the day is unknown."""
    assert consent.ends_at == ends_at


@pytest.mark.parametrize(
    ("consent", "now", "expected"),
    [
        (Consent(), GIVEN, ConsentPhase.NONE),
        (Consent(first_seen=GIVEN), END + DAY, ConsentPhase.UNKNOWN),
        (Consent(first_seen=CUT_OFF - 1), END, ConsentPhase.ENDLESS),
        (Consent(CUT_OFF - 1), END, ConsentPhase.ENDLESS),
        (Consent(GIVEN), END - 30 * DAY - 1, ConsentPhase.HOLDING),
        (Consent(GIVEN), END - 30 * DAY, ConsentPhase.ENDING),
        (Consent(GIVEN), END - 1, ConsentPhase.ENDING),
        (Consent(GIVEN), END, ConsentPhase.ENDED),
    ],
)
def test_phases_change_at_their_second(consent: Consent, now: float, expected: ConsentPhase) -> None:
    """Thirty days before the end it is near, at the end it is over."""
    assert phase(consent, now) is expected


@pytest.mark.parametrize(
    ("before", "mark", "following"),
    [
        (31 * DAY, None, 30),
        (30 * DAY, 30, 7),
        (7 * DAY + 1, 30, 7),
        (7 * DAY, 7, 1),
        (DAY, 1, 0),
        (1, 1, 0),
        (0, 0, None),
        (-900 * DAY, 0, None),
    ],
)
def test_marks_come_at_30_7_1_and_0_days(before: float, mark: int | None, following: int | None) -> None:
    """The mark that has come, and when the next one comes."""
    assert mark_reached(END, END - before) == mark
    assert next_mark_at(END, END - before) == (None if following is None else END - following * DAY)


def test_the_latest_end_of_a_consent_of_an_unknown_day() -> None:
    """It was given no later than it was first seen."""
    assert Consent(first_seen=GIVEN).ends_at_the_latest == END
    assert Consent(GIVEN, first_seen=GIVEN).ends_at_the_latest is None
    assert Consent(first_seen=CUT_OFF - 1).ends_at_the_latest is None


ROTATED = StoredToken(Secret("t"), StoredSource.ROTATED, "", GIVEN)


@pytest.mark.parametrize(
    ("stored", "day", "first_seen", "expected"),
    [
        (None, None, GIVEN, Consent(None, ConsentOrigin.UNKNOWN, GIVEN)),
        (None, date(2026, 7, 1), GIVEN + 9, Consent(GIVEN, ConsentOrigin.CONFIGURATION, GIVEN + 9)),
        (ROTATED, None, GIVEN + 9, Consent(None, ConsentOrigin.UNKNOWN, GIVEN)),
        (ROTATED, None, GIVEN - 9, Consent(None, ConsentOrigin.UNKNOWN, GIVEN - 9)),
        (ROTATED, date(2026, 7, 1), GIVEN + 9, Consent(GIVEN, ConsentOrigin.CONFIGURATION, GIVEN)),
        (signed_in(Secret("t"), None, GIVEN), date(2026, 6, 1), GIVEN, Consent(GIVEN, ConsentOrigin.SIGN_IN, GIVEN)),
        (rotated(Secret("t"), None, END, GIVEN), None, GIVEN, Consent(GIVEN, ConsentOrigin.SIGN_IN, GIVEN)),
    ],
)
def test_the_day_is_that_of_the_sign_in_else_the_configured_one(
    stored: StoredToken | None, day: date | None, first_seen: float, expected: Consent
) -> None:
    """A sign-in that was seen wins; a renewal by Amazon prolongs nothing; first seen is the earliest known."""
    assert consent_in_force(stored, day, first_seen) == expected


@pytest.mark.parametrize(
    ("consent", "now", "words"),
    [
        (Consent(), GIVEN, ""),
        (Consent(at("2026-06-29")), GIVEN, "The consent was given before 2026-06-30 and has no end."),
        (Consent(GIVEN), END - 40 * DAY - 5, "The consent of 2026-07-01 ends on 2027-07-01, in 40 days."),
        (Consent(GIVEN), END - DAY, "The consent of 2026-07-01 ends on 2027-07-01, in 1 day."),
        (Consent(GIVEN), END - 5, "The consent of 2026-07-01 ends on 2027-07-01, in less than a day."),
        (Consent(GIVEN), END, "The consent of 2026-07-01 ended on 2027-07-01."),
        (
            Consent(first_seen=GIVEN),
            GIVEN,
            "The day of the consent is not known; first seen on 2026-07-01, it holds until 2027-07-01 at the latest, "
            "unless it was given before 2026-06-30.",
        ),
        (Consent(first_seen=GIVEN), END, "The day of the consent is not known; first seen on 2026-07-01."),
    ],
)
def test_people_are_told_in_a_sentence(consent: Consent, now: float, words: str) -> None:
    """What is known, and nothing beyond it."""
    assert describe(consent, now) == words


REFUSED = errors.RefreshTokenRevoked("It was refused.")


def test_an_end_by_age_is_told_from_a_revocation() -> None:
    """Amazon's words are the same: the day decides. What to do then is said with it."""
    told = explain_refusal(REFUSED, Consent(GIVEN), END)
    assert isinstance(told, errors.ConsentExpired)
    assert "consent of 2026-07-01 ended on 2027-07-01" in told.detail
    assert "ads-proxy login ACCOUNT" in told.advice
    assert explain_refusal(REFUSED, Consent(GIVEN), END - 1) is REFUSED
    assert explain_refusal(REFUSED, Consent(CUT_OFF - 1), END + DAY) is REFUSED


def test_a_refusal_may_be_of_age_where_the_day_is_unknown() -> None:
    """From the first day on which any consent can have ended; before, only a revocation is possible."""
    unknown = Consent(first_seen=GIVEN)
    assert explain_refusal(REFUSED, unknown, at("2027-06-29")) is REFUSED
    told = explain_refusal(REFUSED, unknown, at("2027-06-30"))
    assert not isinstance(told, errors.ConsentExpired)
    assert "It may have ended by age" in str(told)


def test_other_failures_say_nothing_of_a_consent() -> None:
    """A time-out after the end is a time-out."""
    failure = errors.TokenTimeout("Nothing came.")
    assert explain_refusal(failure, Consent(GIVEN), END) is failure
