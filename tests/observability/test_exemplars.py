"""What OpenMetrics shows next to the numbers: a traced request as the example of its bucket."""

from __future__ import annotations

import pytest
from prometheus_client.openmetrics import parser as openmetrics
from prometheus_client.samples import Exemplar, Sample, Timestamp

from proxy import events
from proxy.observability.metrics import Metrics
from tests.observability.test_metrics import OPENMETRICS, SPAN, finished, made, samples
from tests.support.scraping import scraped


def openmetrics_samples(metrics: Metrics) -> list[Sample]:
    """What the format's own parser finds in a scrape."""
    text = scraped(metrics, OPENMETRICS).decode()
    families = openmetrics.text_string_to_metric_families(text)  # type: ignore[no-untyped-call]  # prometheus_client has no types
    return [sample for family in families for sample in family.samples]


def exemplars(metrics: Metrics) -> dict[tuple[str, str, str], Exemplar]:
    """The exemplars of a scrape, by histogram, region and upper bound."""
    return {
        (sample.name.removeprefix("ads_proxy_"), sample.labels.get("region", ""), sample.labels["le"]): sample.exemplar
        for sample in openmetrics_samples(metrics)
        if sample.exemplar is not None
    }


def test_openmetrics_reads_as_openmetrics() -> None:
    """The format's own parser takes it, counters end in `_total`, and both formats hold the same numbers."""
    metrics = made()
    metrics.observe(finished(span=SPAN))
    found = {(sample.name, frozenset(sample.labels.items())): sample.value for sample in openmetrics_samples(metrics)}
    counters = {name for name, _ in found if name.startswith("ads_proxy_") and name.endswith("s_total")}
    assert {"ads_proxy_requests_total", "ads_proxy_token_refreshes_total"} <= counters
    ours = {key: number for key, number in samples(metrics).items() if key[0].startswith("ads_proxy_")}
    assert ours == {key: number for key, number in found.items() if key[0].startswith("ads_proxy_")}


def test_a_traced_request_stands_for_its_buckets() -> None:
    """The three histograms name its trace and span next to the numbers; plain text has no exemplars."""
    metrics = made()
    metrics.observe(finished(span=SPAN, duration=0.2, upstream=0.15, overhead=0.00012))
    names = {"trace_id": "0000000000000000000000000000abcd", "span_id": "00000000000000ef"}
    assert exemplars(metrics) == {
        ("request_duration_seconds_bucket", "na", "0.25"): Exemplar(names, 0.2, Timestamp(1_000, 0)),
        ("upstream_duration_seconds_bucket", "na", "0.25"): Exemplar(names, 0.15, Timestamp(1_000, 0)),
        ("overhead_seconds_bucket", "", "0.00015"): Exemplar(names, 0.00012, Timestamp(1_000, 0)),
    }
    assert b"trace_id" not in scraped(metrics, "")


def test_a_bucket_keeps_its_last_exemplar() -> None:
    """Each bucket has one, and a later request takes the place of an earlier one."""
    metrics = made()
    for number, duration in enumerate((0.2, 0.3, 0.21), start=1):
        metrics.observe(finished(span=events.TraceSpan(number, number), duration=duration))
    of_region = {
        le: each for (name, _, le), each in exemplars(metrics).items() if name == "request_duration_seconds_bucket"
    }
    assert {le: int(each.labels["trace_id"], 16) for le, each in of_region.items()} == {"0.25": 3, "0.5": 2}


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({}, id="nobody-traces"),
        pytest.param({"span": events.TraceSpan(1, 1, 0, sampled=False)}, id="the-trace-is-not-kept"),
        pytest.param({"span": events.TraceSpan(1, 1), "region": "", "attempts": 0}, id="no-region-yet"),
        pytest.param({"span": events.TraceSpan(1, 1), "duration": 0.0, "attempts": 0}, id="never-begun"),
    ],
)
def test_what_nobody_can_look_at_is_no_exemplar(changes: dict[str, object]) -> None:
    """There is none without a trace that is kept, nor for what was not measured."""
    metrics = made()
    metrics.observe(finished(**changes))
    assert exemplars(metrics) == {}


def test_what_the_proxy_answers_itself_stands_for_its_duration_alone() -> None:
    """The request was never sent to Amazon, so that the other two histograms do not hold it."""
    metrics = made()
    metrics.observe(finished(span=SPAN, attempts=0, status=429))
    assert {name for name, _, _ in exemplars(metrics)} == {"request_duration_seconds_bucket"}
