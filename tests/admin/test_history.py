"""The tables of clients and accounts are what the metrics' cells have counted in the last minutes."""

from __future__ import annotations

import pytest

from proxy.admin.history import MINUTES, STEPS_A_MINUTE, Tally, Traffic, quantile
from proxy.observability.metrics import Metrics
from proxy.observability.request_metrics import REQUEST_BUCKETS
from tests.observability.test_metrics import finished


def made() -> Metrics:
    metrics = Metrics("1", wall=lambda: 1_000.0)
    metrics.accounts(["acme", "other"])
    return metrics


async def minutes(traffic: Traffic, count: int) -> None:
    for _ in range(count * STEPS_A_MINUTE):
        await traffic.sample()


async def test_each_request_counts_for_its_client_and_its_account() -> None:
    """By what it was answered with; 429 is no 4xx here, and no answer is neither."""
    metrics = made()
    traffic = Traffic(metrics.series)
    for status in (200, 404, 429, 503, 0):
        metrics.observe(finished(status=status))
    metrics.observe(finished(client="bids", account="other", operation_class="write"))
    now = await traffic.now()
    assert set(now.clients) == {"reporting", "bids"}
    for tally in (now.clients["reporting"], now.accounts["acme"]):
        counts = (tally.requests, tally.refused, tally.throttled, tally.errors, tally.unanswered)
        assert counts == (5, 1, 1, 1, 1)
        assert tally.seen == 1_000.0
        assert sum(tally.durations) == 5
    assert (now.accounts["other"].requests, now.accounts["other"].errors) == (1, 0)


async def test_what_is_older_than_a_quarter_of_an_hour_is_left_out() -> None:
    """The moment when it was seen stays."""
    metrics = made()
    traffic = Traffic(metrics.series)
    metrics.observe(finished(status=500))
    await minutes(traffic, MINUTES - 1)
    assert (await traffic.now()).clients["reporting"].errors == 1
    await minutes(traffic, 1)
    metrics.observe(finished(duration=0.3))
    tally = (await traffic.now()).clients["reporting"]
    assert (tally.requests, tally.errors, sum(tally.durations), tally.seen) == (1, 0, 1, 1_000.0)
    assert repr(traffic) == f"<Traffic: {MINUTES} minutes kept>"


async def test_an_account_that_left_makes_nothing_negative() -> None:
    """Its series end; what its client asked of others goes on."""
    metrics = made()
    metrics.observe(finished(status=429))
    traffic = Traffic(metrics.series)
    metrics.accounts(["other"])
    metrics.observe(finished(account="other"))
    now = await traffic.now()
    assert set(now.accounts) == {"other"}
    assert now.clients["reporting"].requests >= 0
    assert now.clients["reporting"].throttled == 0


def test_nothing_took_no_time() -> None:
    """No quantile of no requests."""
    assert quantile(Tally().durations) is None


@pytest.mark.parametrize(
    ("fast", "slow", "expected"),
    [(100, 0, 0.00495), (98, 2, 0.0375), (50, 50, 0.0495), (0, 1, 0.04975)],
)
def test_the_quantile_is_even_within_its_bucket(fast: int, slow: int, expected: float) -> None:
    """The first bucket ends at 5 ms; the fourth goes from 25 to 50 ms."""
    durations = [0] * (len(REQUEST_BUCKETS) + 1)
    durations[0], durations[3] = fast, slow
    assert quantile(durations) == pytest.approx(expected)


def test_what_took_longer_than_any_bound_took_that_long_at_least() -> None:
    """The last bound stands for all beyond it."""
    durations = [0] * len(REQUEST_BUCKETS) + [3]
    assert quantile(durations) == REQUEST_BUCKETS[-1]
