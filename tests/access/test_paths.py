"""Paths where they decide what a client may do."""

from __future__ import annotations

import re
from urllib.parse import unquote_to_bytes

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from proxy.access.paths import PathPattern, unambiguous_path
from proxy.errors import UnacceptablePath
from proxy.http1.target import path_segments

UNHURRIED = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])


@pytest.mark.parametrize(
    ("pattern", "path"),
    [
        ("/reporting/*", b"/reporting/reports"),
        ("/reporting/*", b"/reporting/reports/1/download"),
        ("/reporting/*", b"/reporting/"),
        ("/reporting/*", b"/reporting//x"),
        ("/v2/profiles", b"/v2/profiles"),
        ("*", b"/anything/at/all"),
        ("/*", b"/"),
        ("/*/x/*", b"/a/x/b"),
        ("/*/x/*", b"/a/b/x/c/d"),
        ("/a*b*c", b"/abc"),
        ("/a**c", b"/a-c"),
        ("/a*b*b", b"/abb"),
        ("*/list", b"/sp/campaigns/list"),
        ("/v2/\u00fc*", "/v2/\u00fcber".encode()),
    ],
)
def test_pattern_matches(pattern: str, path: bytes) -> None:
    """A star stands for anything, slashes too."""
    assert PathPattern.read(pattern).matches(path)


@pytest.mark.parametrize(
    ("pattern", "path"),
    [
        ("/reporting/*", b"/reporting"),
        ("/reporting/*", b"//reporting/x"),
        ("/reporting/*", b"/Reporting/x"),
        ("/reporting/*", b"/x/reporting/x"),
        ("/v2/profiles", b"/v2/profiles/"),
        ("/v2/profiles", b"/v2/profiles/1"),
        ("/a*b*c", b"/acb"),
        ("/a*b*c", b"/ac"),
        ("/ab*ba", b"/aba"),
        ("/a*x*x*c", b"/a-x-c"),
        ("/a.c", b"/abc"),
        ("/a?c", b"/abc"),
    ],
)
def test_pattern_does_not_match(pattern: str, path: bytes) -> None:
    """All else is literal, whole and in its own case."""
    assert not PathPattern.read(pattern).matches(path)


def test_a_hostile_path_is_matched_in_linear_time() -> None:
    """Many stars against many near misses end at once: nothing is tried twice."""
    assert not PathPattern.read("/*a*a*a*a*a*a*a*a*a*a*b*").matches(b"/" + b"a" * 100_000)


@pytest.mark.parametrize(
    ("path", "judged"),
    [
        (b"/v2/profiles", b"/v2/profiles"),
        (b"/v2/%70rofiles", b"/v2/profiles"),
        (b"/a%20b", b"/a b"),
        (b"/a.b/c..d", b"/a.b/c..d"),
        (b"/amzn1.ads-account.g.x", b"/amzn1.ads-account.g.x"),
        (b"/a,b=c:d@e!$&'()*+~_-", b"/a,b=c:d@e!$&'()*+~_-"),
        (b"/100%25", b"/100%"),
        (b"/100%25/41", b"/100%/41"),
        (b"/%30%31", b"/01"),
        (b"/v2/dp/audiencemetadata/", b"/v2/dp/audiencemetadata/"),
        (b"/v2/dp/%61udiencemetadata", b"/v2/dp/audiencemetadata"),
        (b"/", b"/"),
        (b"", b""),
        (b"/%61" * 500, b"/a" * 500),
    ],
)
def test_plain_paths_are_decoded(path: bytes, judged: bytes) -> None:
    """Patterns are matched against what the path means."""
    assert unambiguous_path(path, path_segments(path)) == judged


def test_a_closing_slash_is_taken_where_it_was_written() -> None:
    """Amazon, in its specifications, or the operator, letter by letter."""
    with pytest.raises(UnacceptablePath, match="a slash at its end; write it plainly"):
        unambiguous_path(b"/mcp/", (b"mcp",))
    assert unambiguous_path(b"/mcp/", (b"mcp",), frozenset({b"/mcp/"})) == b"/mcp/"
    with pytest.raises(UnacceptablePath, match="an empty segment"):
        unambiguous_path(b"//mcp/", (b"mcp",), frozenset({b"//mcp/"}))


@pytest.mark.parametrize(
    "path",
    [
        b"//v2//x/",
        b"//v2/x",
        b"/v2//x",
        b"/v2/x/",
        b"/v2/x//",
        b"/%C3%BC",
        b"/a.b/..c/.d",
        b"/..c",
        b"/.d",
        b"/c.",
        b"/c..",
        b"/%2ec",
        b"/c%2e",
        b"/%20c",
        b"/c%20",
        b"/x/%20/y",
        b"/a;b=c",
        b"/a%3bb",
        b"/;",
        b"/v2/%2570rofiles",
        b"/%25u002e",
        b"/%25U002e",
        b"/a%7fb",
        b"/a%09b",
        b"/a%80b",
        b"/%e2%80%8ba",
        b"/a\xe2\x80\x8bb",
        b"/a/../b",
        b"/a/./b",
        b"/..",
        b"/a/%2e%2e/b",
        b"/a/.%2E/b",
        b"/a/%2e/b",
        b"/a/..;x/b",
        b"/a/..%3bx/b",
        b"/a/%20../b",
        b"/a%2Fb",
        b"/a%2fb",
        b"/a%252fb",
        b"/a%252e%252e/b",
        b"/a%25252e/b",
        b"/a\\b",
        b"/a%5cb",
        b"/a%255cb",
        b"/a%00b",
        b"/a%3fb",
        b"/a%23b",
        b"/a%0d%0ab",
        b"/a%zzb",
        b"/a%2",
        b"/a%",
        b"/a%c0%aeb",
        b"/a%ff",
        b"/a\xffb",
    ],
)
def test_paths_that_leave_a_doubt_are_refused(path: bytes) -> None:
    """Dot segments, encoded or not, and whatever some server undoes before it looks."""
    with pytest.raises(UnacceptablePath) as refused:
        unambiguous_path(path, path_segments(path))
    assert refused.value.status == 400


@UNHURRIED
@given(st.text("ab*", max_size=8), st.text("ab", max_size=12))
def test_matching_is_what_a_regular_expression_says(pattern: str, path: str) -> None:
    """The linear matcher and the textbook agree."""
    textbook = re.fullmatch(".*".join(map(re.escape, pattern.split("*"))), path, re.DOTALL)
    assert PathPattern.read(pattern).matches(path.encode()) is (textbook is not None)


@UNHURRIED
@given(
    st.lists(st.one_of(st.sampled_from([b"/", b".", b"%2e", b"%2F", b"%25", b";"]), st.binary(max_size=2)), max_size=10)
)
def test_a_judged_path_has_no_dot_segment_however_often_it_is_decoded(pieces: list[bytes]) -> None:
    """What passes means the same to every server."""
    path = b"/" + b"".join(pieces)
    try:
        judged = unambiguous_path(path, path_segments(path))
    except UnacceptablePath:
        return
    again = unquote_to_bytes(judged)
    assert not {b".", b".."} & {segment.partition(b";")[0] for segment in again.split(b"/")}
    assert again.count(b"/") == path.count(b"/")
    assert path_segments(again) == path_segments(path)
    assert not re.search(rb"[;\\\x00-\x1f\x7f-\xff]|//", again)
