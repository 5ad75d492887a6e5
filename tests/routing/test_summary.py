"""The summary of a request: what a decision may read of it, and nothing else."""

from __future__ import annotations

import pytest

from proxy.http1.request_fields import RequestFields
from proxy.routing.summary import EVERYTHING, PathReading
from proxy.routing.target import TargetKind
from tests.support.deciding import fields, request, summary

NOTHING = PathReading(path=False, query=False)
READ = fields(scopes=(b"7",))


def test_a_summary_holds_what_chooses_account_region_and_operation() -> None:
    """The parts of the target without its prefix, and the table's row."""
    asked = summary(request(b"GET", b"/@acme/eu/v2/profiles/7?a=1", READ))
    assert (asked.method, asked.fields, asked.kind) == (b"GET", READ, TargetKind.API)
    assert (asked.name, asked.region, asked.prefix, asked.authority) == ("acme", "eu", b"/@acme/eu", b"")
    assert asked.operation is not None and asked.operation.name == "getProfileById"
    assert (asked.path, asked.query, asked.segments) == (b"/v2/profiles/7", b"?a=1", (b"v2", b"profiles", b"7"))


@pytest.mark.parametrize("target", [b"/v2/profiles/8?a=1", b"/v2/profiles/7?a=2", b"/v2/profiles/7"])
def test_parts_that_no_decision_reads_make_no_difference(target: bytes) -> None:
    """Two targets of one operation have one summary, unless their path and query are read."""
    first, second = request(b"GET", b"/v2/profiles/7?a=1", READ), request(b"GET", target, READ)
    assert summary(first, reading=NOTHING) == summary(second, reading=NOTHING)
    assert summary(first, reading=EVERYTHING) != summary(second, reading=EVERYTHING)


@pytest.mark.parametrize(
    ("reading", "path", "query"),
    [
        (PathReading(path=True, query=False), b"/v2/profiles/7", b""),
        (PathReading(path=False, query=True), b"", b"?a=1"),
    ],
)
def test_path_and_query_are_read_apart(reading: PathReading, path: bytes, query: bytes) -> None:
    """A policy may read either."""
    asked = summary(request(b"GET", b"/v2/profiles/7?a=1", READ), reading=reading)
    assert (asked.path, asked.query) == (path, query)


@pytest.mark.parametrize("target", [b"/v2/unheard/of", b"/mcp"])
def test_the_path_of_a_request_without_an_operation_is_always_read(target: bytes) -> None:
    """Nothing else tells it from others."""
    asked = summary(request(b"POST", target, READ), reading=NOTHING)
    assert (asked.operation, asked.path) == (None, target)


@pytest.mark.parametrize(
    ("method", "target", "read"),
    [
        (b"POST", b"/v2/profiles", READ),
        (b"GET", b"/eu/v2/profiles", READ),
        (b"GET", b"/@acme/v2/profiles", READ),
        (b"GET", b"http://127.0.0.1:8080/v2/profiles", READ),
        (b"GET", b"/v2/profiles", fields(scopes=(b"8",))),
    ],
)
def test_every_part_that_a_decision_reads_makes_a_difference(method: bytes, target: bytes, read: RequestFields) -> None:
    """Method, prefix, region, authority and header section."""
    first = summary(request(b"GET", b"/v2/profiles", READ), reading=NOTHING)
    assert summary(request(method, target, read), reading=NOTHING) != first
