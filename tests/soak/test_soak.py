"""Twenty seconds of the soak in each run of `make test`; `make soak` has the half hour."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.soak.soak import failures, soaking

SLICE, PACE = 20, 0.2
"""Seconds, and how much of its time each disruption gets in them."""
LONG = int(os.environ.get("SECONDS_OF_SOAK", "1800"))


def soaked(folder: Path, seconds: int, pace: float = 1.0) -> list[str]:
    with soaking(folder, pace) as soak:
        summary = soak.run(seconds)
    print(summary)
    assert summary["requests"] > 20 * seconds
    assert summary["outcomes"]["kept alive: 200"] > 4 * seconds
    return failures(summary)


@pytest.mark.integration
def test_nothing_is_lost_in_twenty_seconds_of_troubles(tmp_path: Path) -> None:
    """No request that could have been served, no file or thread is left over, and the log equals what the clients
    saw."""
    assert soaked(tmp_path, SLICE, PACE) == []


@pytest.mark.soak
def test_nothing_is_lost_in_half_an_hour_of_troubles(tmp_path: Path) -> None:
    """The soak lasts as long as `SECONDS_OF_SOAK` says."""
    assert soaked(tmp_path, LONG) == []
