"""Which paths differ only in numbers, and what could tell them apart."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.access.paths import PathPattern
from proxy.access.policy import Policy
from proxy.forwarding import locations
from proxy.http1.target import parse_target
from proxy.routing.families import family
from proxy.routing.numbers import line_without_numbers, may_tell_numbers_apart, without_numbers
from proxy.routing.operations import PUBLISHED, Operations, parse_operations
from proxy.routing.target import find_destination

COLUMNS = "method\tpath\tname\tscope\taccount_id\taccount_header\teffect\n"
SEGMENTS = ("v2", "sp", "campaigns", "reports", "0", "7", "12", "..", "", "%31", "1a", "auth", "@1", "eu", "a.1", ";")
PATHS = st.lists(st.sampled_from(SEGMENTS), min_size=1, max_size=5).map(lambda parts: ("/" + "/".join(parts)).encode())
PATTERNS = st.text("/*v27a", max_size=6)


QUERIES = (b"", b"?", b"?a=b", b"?9", b"?/12?", b"?a=/7/8", b"?/1?/2", b"??/3")


@given(PATHS, st.sampled_from(QUERIES))
def test_a_line_without_numbers_is_that_of_its_path_without_them(path: bytes, query: bytes) -> None:
    """Nothing else of it changes, and nothing in its query, whatever that looks like."""
    line = line_without_numbers(b"GET " + path + query + b" HTTP/1.1")
    assert line == b"GET " + without_numbers(path) + query + b" HTTP/1.1"


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        (b"/v2/campaigns/123", b"/v2/campaigns/0"),
        (b"/1/22/x/333/", b"/0/0/x/0/"),
        (b"/v2/12a/a1/-1", b"/v2/12a/a1/-1"),
        (b"/v2/%31", b"/v2/%31"),
        (b"GET /7", b"GET /0"),
        (b"/", b"/"),
    ],
)
def test_whole_segments_are_numbers(path: bytes, kind: bytes) -> None:
    """A digit within another word is none, and an encoded one is not either."""
    assert without_numbers(path) == kind


@pytest.mark.parametrize(
    ("part", "holds"), [(b"/v2/", False), (b"/7", True), (b"7", True), (b"x/7/", True), (b"7a", False), (b"", False)]
)
def test_a_piece_may_be_an_end_of_a_number(part: bytes, holds: bool) -> None:
    """What stands between two stars can be any part of a segment."""
    assert may_tell_numbers_apart(part) is holds


@given(PATHS, st.lists(PATTERNS, max_size=2))
def test_a_policy_that_tells_no_numbers_apart_permits_all_or_none(path: bytes, patterns: list[str]) -> None:
    """Whatever its patterns are."""
    policy = Policy("reader", (), paths=tuple(map(PathPattern.read, patterns)))
    if not policy.tells_numbers_apart:
        assert policy.names_path(path) == policy.names_path(without_numbers(path))


def test_a_policy_tells_numbers_apart_that_it_names() -> None:
    """In a pattern, or in a path that needs no scope."""
    assert Policy("reader", (), paths=(PathPattern.read("/v2/campaigns/7*"),)).tells_numbers_apart
    assert Policy("reader", (), unscoped_paths=frozenset((b"/v2/7/x",))).tells_numbers_apart
    assert not Policy("reader", (), paths=(PathPattern.read("/v2/*"),)).tells_numbers_apart


@given(PATHS, st.sampled_from((b"GET", b"POST")))
def test_paths_that_differ_in_numbers_are_decided_alike(path: bytes, method: bytes) -> None:
    """Kind, prefix, operation, family, and whether an address may have to be led back."""

    def decided(path: bytes) -> tuple[object, ...]:
        try:
            found = find_destination(parse_target(path))
        except Exception as error:  # noqa: BLE001 - which one it is, is compared
            return (type(error), str(error))
        operation = PUBLISHED.find(method, found.segments)
        led_back = locations.concerns(method, found.segments, 200, b"application/json")
        return (
            found.kind,
            found.name,
            found.region,
            found.prefix,
            operation,
            family(operation, method, found.segments),
            led_back,
        )

    assert decided(path) == decided(without_numbers(path))


def test_no_published_operation_tells_numbers_apart() -> None:
    """A row that held a number would."""
    assert not PUBLISHED.tell_numbers_apart
    row = "GET\t/v2/7/{id}\tx\tnever\tnever\t-\tread\n"
    assert Operations(parse_operations(COLUMNS + row)).tell_numbers_apart
