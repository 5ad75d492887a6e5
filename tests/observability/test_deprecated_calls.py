"""Calls of operations that Amazon announced to end are counted by client, however a request is noted."""

from __future__ import annotations

import pytest

from proxy import events
from proxy.events import Event, RequestKind
from proxy.observability.deprecated_calls import DeprecatedCalls
from proxy.observability.journal import Journal
from tests.observability.test_journal import Record, note
from tests.observability.test_metrics import finished, made, value

OLD = "requestSnapshot"


def counted() -> tuple[list[Event], DeprecatedCalls]:
    told: list[Event] = []
    return told, DeprecatedCalls(told.append)


@pytest.mark.parametrize(
    ("event", "counts"),
    [
        (finished(operation=OLD, ends="2024-12-15"), True),
        (finished(operation=OLD, ends="2024-12-15", status=410), True),
        (finished(operation=OLD, ends="2024-12-15", attempts=0, refusal="not-permitted", status=403), False),
        (finished(operation=OLD), False),
        (events.RequestStarted(), False),
    ],
)
def test_what_was_sent_to_amazon_counts(event: Event, counts: bool) -> None:
    """Whatever it answered; not what the proxy refused, and nothing else."""
    told, calls = counted()
    calls.observe(event)
    assert told == ([events.CounterRaised("deprecated_requests_total", ("reporting", OLD))] if counts else [])


@pytest.mark.parametrize(("ends", "heard"), [("announced", 2), ("", 0)])
def test_a_journal_tells_of_those_requests_alone(ends: str, heard: int) -> None:
    """No observer gets an event of any other request."""
    told, calls = counted()
    journal = Journal()
    journal.deprecated = calls
    kind = RequestKind("reporting", "acme", "na", method="GET", operation=OLD, ends=ends)
    note(journal, Record(), kind=kind)
    note(journal, Record(), kind=kind)
    assert len(told) == heard


def test_the_metric_tells_who_calls_what() -> None:
    """By client and operation, also to the console."""
    metrics = made()
    calls = DeprecatedCalls(metrics.observe)
    for client in ("reporting", "bids", "bids"):
        calls.observe(finished(operation=OLD, ends="2024-12-15", client=client))
    assert value(metrics, "deprecated_requests_total", client="bids", operation=OLD) == 2
    assert metrics.counted("deprecated_requests_total") == {("reporting", OLD): 1, ("bids", OLD): 2}
    assert made().counted("deprecated_requests_total") == {}
