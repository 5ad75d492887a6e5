"""The token bucket, over every boundary."""

from __future__ import annotations

import pytest

from proxy.token_bucket import TokenBucket


@pytest.mark.parametrize(
    ("level", "now", "found"),
    [
        (5.0, 100.0, 5.0),
        (5.0, 1e9, 5.0),
        (0.0, 100.0, 0.0),
        (0.0, 115.0, 0.5),
        (0.0, 130.0, 1.0),
        (0.0, 1e9, 5.0),
        (0.5, 50.0, 0.5),
        (9.0, 100.0, 5.0),
    ],
)
def test_it_fills_by_one_each_interval_up_to_its_capacity(level: float, now: float, found: float) -> None:
    """The bucket fills that way also with a smaller capacity than before, and after the clock went back."""
    assert TokenBucket(5.0, 30.0, level, 100.0).level_at(now) == found


@pytest.mark.parametrize(
    ("level", "now", "after"),
    [
        (1.0, 100.0, TokenBucket(5.0, 30.0, 0.0, 100.0)),
        (5.0, 100.0, TokenBucket(5.0, 30.0, 4.0, 100.0)),
        (0.0, 129.9, None),
        (0.0, 130.0, TokenBucket(5.0, 30.0, 0.0, 130.0)),
        (0.0, 1e9, TokenBucket(5.0, 30.0, 4.0, 1e9)),
        (0.5, 50.0, None),
        (1.0, 50.0, TokenBucket(5.0, 30.0, 0.0, 100.0)),
    ],
)
def test_one_is_taken_where_there_is_a_whole_one(level: float, now: float, after: TokenBucket | None) -> None:
    """The bucket that was asked stays as it was; a clock that went back is not gone along with."""
    bucket = TokenBucket(5.0, 30.0, level, 100.0)
    assert bucket.take(now) == after
    assert bucket == TokenBucket(5.0, 30.0, level, 100.0)


@pytest.mark.parametrize(
    ("level", "now", "seconds"),
    [(1.0, 100.0, 0.0), (5.0, 100.0, 0.0), (0.0, 100.0, 30.0), (0.0, 107.5, 22.5), (0.25, 100.0, 22.5)],
)
def test_the_wait_is_until_the_next_whole_one(level: float, now: float, seconds: float) -> None:
    """After it one can be taken."""
    bucket = TokenBucket(5.0, 30.0, level, 100.0)
    assert bucket.wait(now) == seconds
    assert bucket.take(now + seconds) is not None


def test_a_full_one_gives_its_capacity_at_once() -> None:
    """A burst, then one each interval, and never more than the capacity saved up."""
    bucket: TokenBucket | None = TokenBucket.full(5, 30.0, 0.0)
    for _ in range(5):
        assert bucket is not None
        bucket = bucket.take(0.0)
    assert bucket is not None
    assert bucket.take(0.0) is None
    assert bucket.take(29.9) is None
    assert bucket.take(30.0) is not None
    saved = bucket.take(1e6)
    assert saved is not None
    assert saved.level == 4.0
