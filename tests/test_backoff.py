"""Exponential backoff with jitter."""

from __future__ import annotations

import pytest

from proxy.backoff import backoff


@pytest.mark.parametrize(
    ("failures", "seconds"), [(0, 0.5), (1, 0.5), (2, 1.0), (3, 2.0), (6, 16.0), (7, 30.0), (100_000, 30.0)]
)
def test_the_wait_doubles_up_to_the_limit(failures: int, seconds: float) -> None:
    """The wait starts with `first` and never exceeds `limit`."""
    assert backoff(failures, first=0.5, limit=30.0) == seconds


def test_the_wait_stays_finite_without_a_limit() -> None:
    """However many failures there were."""
    assert backoff(100_000, first=1.0) == 65536.0


@pytest.mark.parametrize(("chance", "seconds"), [(0.0, 4.0), (0.5, 6.0), (1.0, 8.0)])
def test_jitter_scales_the_wait(chance: float, seconds: float) -> None:
    """Chance selects a factor between the two ends of the jitter, also above the limit."""
    assert backoff(9, first=1.0, limit=8.0, jitter=(0.5, 1.0), chance=chance) == pytest.approx(seconds)
