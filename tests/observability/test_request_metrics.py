"""A request is counted in the buckets that its times say."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from functools import reduce
from operator import add

from hypothesis import given
from hypothesis import strategies as st

from proxy.events import RequestKind
from proxy.observability.exposition import TEXT
from proxy.observability.journal import Journal
from proxy.observability.request_metrics import (
    OVERHEAD_BUCKETS,
    REQUEST_BUCKETS,
    RequestLabels,
    RequestMetrics,
)
from tests.observability.test_journal import Record, note

LABELS = RequestLabels("tool", "acme", "na", "GET", "read", 200)
KIND = RequestKind("tool", "acme", "na", method="GET", operation_class="read")
TIMES = st.one_of(st.floats(0, 100), st.sampled_from((*REQUEST_BUCKETS, *OVERHEAD_BUCKETS, 0.0)))
REQUESTS = st.tuples(TIMES, TIMES).map(lambda times: (times[0] + times[1], times[0], times[1]))


@given(st.lists(REQUESTS, max_size=30))
def test_noted_requests_are_in_the_buckets_that_each_has_alone(requests: list[tuple[float, float, float]]) -> None:
    """A time that is a bucket's bound belongs to it."""
    metrics = RequestMetrics()
    journal, numbers = Journal(metrics), metrics.numbers(LABELS)
    for duration, upstream, overhead in requests:
        note(journal, Record(duration=duration, upstream=upstream, overhead=overhead), kind=KIND)
    assert numbers.count == len(requests)
    assert numbers.durations is not None
    assert numbers.upstreams is not None
    kept = (
        (numbers.durations, REQUEST_BUCKETS, 0),
        (numbers.upstreams, REQUEST_BUCKETS, 1),
        (numbers.overheads, OVERHEAD_BUCKETS, 2),
    )
    for buckets, bounds, which in kept:
        expected = Counter(bisect_left(bounds, request[which]) for request in requests)
        assert buckets.counts == [expected[at] for at in range(len(bounds) + 1)]
        total = reduce(add, (request[which] for request in requests), 0.0)  # `sum` rounds otherwise since Python 3.12
        assert buckets.total == total


def test_an_account_that_leaves_during_a_scrape_does_not_raise_the_counts() -> None:
    """The counts would fall with the next scrape, which Prometheus takes for a restart."""
    metrics = RequestMetrics()
    for account, clients in (("gone", 1), ("stays", 300), ("leaves", 3)):
        for client in range(clients):
            metrics.numbers(LABELS._replace(client=f"tool-{client}", account=account)).add_forwarded(0.2, 0.1, 0.001)
        metrics.end({"gone"})
    durations = metrics.distributions[0]
    pieces = durations.text(TEXT)
    text = next(pieces)
    metrics.end({"leaves"})
    text += b"".join(pieces)
    assert b'ads_proxy_request_duration_seconds_count{region="na"} 304.0\n' in text
    assert b"".join(durations.text(TEXT)) == text
