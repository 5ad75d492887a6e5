"""Who is slow on average loses its place; who pauses for our sake, or takes its time within bounds, does not."""

from __future__ import annotations

from dataclasses import replace

import pytest

from proxy.downstream.pace import DownloadPace, UploadPace, least_taken
from proxy.downstream.ports import ConnectionLimits
from proxy.downstream.remainder import Remainder

LIMITS = ConnectionLimits(min_body_rate=100, body_timeout=30.0, send_timeout=60.0)
FREE = replace(LIMITS, min_body_rate=0)


def uploading(*received: tuple[float, int]) -> UploadPace:
    """A body that began at 0, of which so many bytes came at these moments."""
    pace = UploadPace()
    pace.start(0.0)
    for now, size in received:
        pace.note(size, now)
    return pace


@pytest.mark.parametrize(
    ("received", "limits", "says"),
    [
        ([(9.0, 999)], LIMITS, "Under 100 bytes"),
        ([(9.0, 1000)], LIMITS, ""),
        ([(1.0, 500), (9.0, 500)], LIMITS, ""),
        ([], LIMITS, "Under 100 bytes"),
        ([(9.0, 1)], FREE, ""),
        ([(9.0, 999)], replace(LIMITS, body_timeout=1.0), "No byte of the body came for 1 s"),
    ],
)
def test_a_body_comes_at_the_least_rate_over_ten_seconds(
    received: list[tuple[float, int]], limits: ConnectionLimits, says: str
) -> None:
    """One byte too few is too few."""
    error = uploading(*received).judge(10.0, limits)
    assert (says in error.detail) if says and error is not None else (error is None and not says)


def test_each_ten_seconds_count_for_themselves() -> None:
    """What came fast before buys no rest."""
    pace = uploading((1.0, 1_000_000))
    assert pace.judge(10.0, LIMITS) is None
    assert pace.deadline(LIMITS) == 20.0
    assert pace.judge(15.0, LIMITS) is None
    assert pace.judge(20.0, LIMITS) is not None


def test_the_deadline_is_the_earlier_of_both() -> None:
    """Silence, or the end of the ten seconds; without a rate only silence counts."""
    pace = uploading((4.0, 1))
    assert (pace.deadline(LIMITS), pace.deadline(FREE)) == (10.0, 34.0)
    assert pace.deadline(replace(LIMITS, body_timeout=2.0)) == 6.0


def test_a_pause_of_ours_begins_anew() -> None:
    """Nothing came while nothing was read."""
    pace = uploading()
    pace.start(50.0)
    assert (pace.deadline(LIMITS), pace.judge(51.0, LIMITS)) == (60.0, None)


def test_what_is_taken_is_counted_beside_what_is_sent() -> None:
    """More to take does not look like less taken; with nothing to take there is nothing to watch."""
    pace = DownloadPace()
    pace.sent = 1000
    assert pace.is_kept(800, 1)
    assert not pace.is_kept(800, 1)
    pace.sent = 2000
    assert pace.is_kept(1700, 100)
    assert not pace.is_kept(1601, 100)
    assert not pace.is_kept(0, 1)


@pytest.mark.parametrize(
    ("limits", "paced", "expected"),
    [
        (LIMITS, True, (10.0, 1000)),
        (LIMITS, False, (60.0, 1)),
        (FREE, True, (60.0, 1)),
        (replace(LIMITS, send_timeout=2.0), True, (2.0, 200)),
    ],
)
def test_a_tool_must_take_so_much(limits: ConnectionLimits, paced: bool, expected: tuple[float, int]) -> None:
    """At the rate where the response is paced, else a byte in `send_timeout`."""
    handler = Remainder(None)  # type: ignore[arg-type]  # it is not asked
    assert least_taken(limits, handler if paced else None) == expected
