"""The last requests are kept as they end, and failures for longer."""

from __future__ import annotations

from typing import Any

import pytest

from proxy.events import ItemCounts, Outcome, WriteOutcome
from proxy.observability.journal import Journal
from proxy.observability.recent_requests import MAX_FAILURES, MAX_REQUESTS, RecentRequests
from tests.observability.test_journal import KIND, Record, note
from tests.observability.test_metrics import finished


@pytest.mark.parametrize("status", [200, 404])
def test_a_noted_request_is_kept_as_its_event_would_be(status: int) -> None:
    """With the same values, at the present moment."""
    noted, told = RecentRequests(), RecentRequests()
    note(Journal(recent=noted), Record(), status)
    (request,) = noted.requests()
    told.keep(finished(status=status, upstream_status=status), request.at)
    assert told.requests() == (request,)
    assert told.failures() == noted.failures() == ((request,) if status == 404 else ())
    assert request.at > 1_700_000_000


@pytest.mark.parametrize(
    ("changes", "failed"),
    [
        ({}, False),
        ({"status": 304}, False),
        ({"status": 400}, True),
        ({"status": 503}, True),
        ({"status": 0}, True),
        ({"refusal": "tool-not-permitted"}, True),
        ({"status": 403, "detail": "The profile is another's."}, True),
        ({"detail": "The poll was answered from memory, 2 s old."}, False),
        ({"fault": "upstream-died"}, True),
        ({"write": WriteOutcome(Outcome.SUCCESS, ItemCounts(2, 0))}, False),
        ({"write": WriteOutcome(Outcome.UNKNOWN)}, False),
        ({"write": WriteOutcome(Outcome.PARTIAL, ItemCounts(1, 1))}, True),
        ({"write": WriteOutcome(Outcome.FAILURE)}, True),
    ],
)
def test_a_failure_is_what_an_operator_may_ask_about(changes: dict[str, object], failed: bool) -> None:
    """An error, no answer, a refusal in an answer 200, an answer that broke, items of a write that failed."""
    recent = RecentRequests()
    recent.keep(finished(**changes), 1.0)
    assert len(recent.requests()) == 1
    assert len(recent.failures()) == failed


MCP: dict[str, object] = {"path": "/mcp", "operation": "unknown", "operation_class": "read", "status": 405}


@pytest.mark.parametrize(
    ("changes", "failed"),
    [
        ({"method": "GET"}, False),
        ({"method": "DELETE"}, False),
        ({"method": "POST"}, True),
        ({"method": "GET", "status": 404}, True),
        ({"method": "GET", "refusal": "method-not-allowed"}, True),
        ({"method": "GET", "operation": "GetProfile"}, True),
        ({"method": "GET", "operation_class": "unknown"}, True),
    ],
)
def test_a_stream_that_an_mcp_server_does_not_have_is_no_failure(changes: dict[str, Any], failed: bool) -> None:
    """Clients ask for the stream in passing, noted or as an event. The request is still among the last requests."""
    noted, told, values = RecentRequests(), RecentRequests(), {**MCP, **changes}
    told.keep(finished(**values), 1.0)
    kind = KIND._replace(**{name: values[name] for name in ("method", "operation", "operation_class")})
    note(Journal(recent=noted), Record(), values["status"], kind)
    assert len(told.requests()) == len(noted.requests()) == 1
    assert len(told.failures()) == failed
    assert len(noted.failures()) == (failed and "refusal" not in changes)


def test_failures_outlive_the_successes_behind_them() -> None:
    """A busy proxy does not push them out; each is there once, and the newest comes first."""
    recent = RecentRequests()
    for number in range(3):
        recent.keep(finished(status=500, request_id=f"bad-{number}"), 1.0)
    for number in range(MAX_REQUESTS - 1):
        recent.keep(finished(request_id=f"good-{number}"), 2.0)
    names = [request.request_id for request in recent.requests()]
    assert (names[0], names[-4:]) == (f"good-{MAX_REQUESTS - 2}", ["good-0", "bad-2", "bad-1", "bad-0"])
    assert len(names) == len(set(names)) == MAX_REQUESTS + 2
    assert [request.request_id for request in recent.failures()] == ["bad-2", "bad-1", "bad-0"]


def test_a_target_that_is_no_path_is_kept_without_its_query() -> None:
    """What was refused as a whole may still have one."""
    recent = RecentRequests()
    recent.keep(finished(status=400, path="http:x?canary=query"), 1.0)
    assert recent.requests()[0].path == "http:x"


def test_both_rings_are_bounded() -> None:
    """Whatever is asked, and however long a path or a detail is."""
    recent = RecentRequests()
    journal = Journal(recent=recent)
    for _ in range(MAX_REQUESTS + 1):
        note(journal, Record(path="/" + "x" * 5000), 500)
    recent.keep(finished(path="/" + "x" * 5000, detail="y" * 5000, status=500), 1.0)
    assert repr(recent) == f"<RecentRequests: {MAX_REQUESTS} requests, {MAX_FAILURES} failures>"
    assert {len(request.path) for request in recent.requests()} == {200}
    assert len(recent.failures()[0].detail) == 500
