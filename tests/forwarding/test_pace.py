"""How fast requests may leave for what Amazon limits, at every boundary."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from proxy.forwarding.pace import LONG, MAX_PAUSE, QUICK, Pace, Steps, first_refusal, passed, refused, steps_of

PACE = Pace(rate=10.0, threshold=10.0, level=1.0, at=0.0, paused_until=0.0, refused_at=0.0)


@pytest.mark.parametrize(
    ("family", "steps"),
    [("reporting/reports:report", LONG), ("reporting/reports:read", QUICK), ("sp/campaigns:write", QUICK)],
)
def test_the_making_of_reports_is_learned_in_long_steps(family: str, steps: Steps) -> None:
    """Asking for them is not."""
    assert steps_of(family) is steps


@pytest.mark.parametrize(
    ("retry_after", "pause", "level"),
    [(None, 0.0, 0.0), (0.0, 0.0, 1.0), (3.0, 3.0, 1.0), (900.0, 900.0, 1.0), (999_999_999.0, MAX_PAUSE, 1.0)],
)
def test_a_first_refusal_begins_a_pace(retry_after: float | None, pause: float, level: float) -> None:
    """A Retry-After is believed for 15 minutes at most; without one, the next leaves in its time."""
    assert first_refusal(QUICK, 100.0, retry_after) == Pace(
        rate=10.0, threshold=math.inf, level=level, at=100.0, paused_until=100.0 + pause, refused_at=100.0
    )


@pytest.mark.parametrize(("now", "level"), [(0.0, 1.0), (0.1, 2.0), (0.3, 4.0), (9.0, 4.0), (-1.0, 0.0)])
def test_what_was_not_used_is_saved_up_to_a_few(now: float, level: float) -> None:
    """Four, or a quarter of a second's; nothing before its time."""
    assert PACE.level_at(now) == pytest.approx(level)
    assert replace(PACE, rate=100.0).capacity == 25.0


@pytest.mark.parametrize(
    ("pace", "needed", "wait"),
    [
        (PACE, 1.0, 0.0),
        (PACE, 2.0, 0.1),
        (replace(PACE, level=0.0), 1.0, 0.1),
        (replace(PACE, paused_until=5.0), 1.0, 5.0),
        (replace(PACE, paused_until=5.0), 3.0, 5.2),
    ],
)
def test_the_time_until_one_may_leave(pace: Pace, needed: float, wait: float) -> None:
    """What is left of the pause, and what has to be saved then."""
    assert pace.wait(0.0, needed) == pytest.approx(wait)
    assert pace.taken(0.0).level == pace.level_at(0.0) - 1


@pytest.mark.parametrize(
    ("retry_after", "seen", "rate", "threshold"),
    [
        (None, 80, 5.0, 8.0),
        (2.0, 80, 8.0, 8.0),
        (2.0, 200, 10.0, 20.0),
        (None, 0, 5.0, 5.0),
        (2.0, 0, 5.0, 5.0),
        (None, 1, 5.0, 0.2),
    ],
)
def test_a_refusal_halves_or_falls_back_to_what_passed(
    retry_after: float | None, seen: int, rate: float, threshold: float
) -> None:
    """Halved where there is no Retry-After; after a pause it goes on at what passed in these ten seconds."""
    learned = refused(replace(PACE, passed=seen), QUICK, 10.0, retry_after, left_at=9.0)
    assert learned.rate == pytest.approx(rate)
    assert learned.threshold == pytest.approx(threshold)
    assert (learned.passed, learned.refused_at, learned.paused_until) == (0, 10.0, 10.0 + (retry_after or 0.0))


def test_refusals_of_what_was_under_way_together_are_one() -> None:
    """Only a longer pause counts of the later ones."""
    first = refused(PACE, QUICK, 10.0, 3.0, left_at=9.0)
    assert refused(first, QUICK, 10.1, None, left_at=9.5) == first
    assert refused(first, QUICK, 10.1, 1.0, left_at=10.0) == first
    assert refused(first, QUICK, 10.1, 5.0, left_at=-math.inf) == replace(first, paused_until=15.1)
    assert refused(first, QUICK, 10.2, None, left_at=10.1).rate < first.rate


def test_it_never_falls_to_nothing() -> None:
    """One in five seconds, of reports one a minute."""
    for steps in (QUICK, LONG):
        pace = first_refusal(steps, 0.0, None)
        for number in range(1, 50):
            pace = refused(pace, steps, float(number), None, left_at=number - 0.5)
        assert pace.rate == steps.least


@pytest.mark.parametrize(("steps", "seconds"), [(QUICK, 0.5), (LONG, 60.0)])
def test_below_its_threshold_it_doubles(steps: Steps, seconds: float) -> None:
    """In the time that its steps say, if all that may leave does; then it stops there for a while."""
    pace = replace(first_refusal(steps, 0.0, None), threshold=steps.first * 2)
    now = 0.0
    while pace.rate < steps.first * 2:
        now += 1 / pace.rate
        pace = passed(pace, steps, now)
    assert now == pytest.approx(seconds, rel=0.35)
    assert pace.rate == pace.threshold


def test_beyond_its_threshold_it_rises_slowly() -> None:
    """By a thirtieth of it each second at first, then faster: what was wrong by much is not wrong for long."""
    pace, now = PACE, 0.0
    rates = []
    for second in range(1, 31):
        while now < second:
            now += 1 / pace.rate
            pace = passed(pace, QUICK, now)
        rates.append(pace.rate)
    assert rates[0] == pytest.approx(10.33, abs=0.1)
    assert rates[9] == pytest.approx(15.7, abs=0.6)
    assert rates[29] > 50


def test_only_what_passes_raises_it() -> None:
    """A limit that nobody comes near stays where it was learned."""
    assert PACE.taken(1000.0).rate == PACE.rate
