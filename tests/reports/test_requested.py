"""What a request below `/-/` asks for, at each boundary."""

from __future__ import annotations

import pytest

from proxy.errors import OnlyReadable, Refused, UnknownParameter, UnknownReport
from proxy.http1.target import parse_target
from proxy.reports.requested import ReadForm, ReportAsked, read_asked, read_conditions
from proxy.reports.store import Form
from proxy.routing.target import find_destination
from tests.support.deciding import fields, request

READABLE = frozenset(("sp-daily", "sp.daily", "x.csv"))
MODIFIED = 1_760_000_000.5
"""2025-10-09 08:53:20 UTC, and a half."""


def asked(target: bytes, method: bytes = b"GET") -> ReportAsked:
    return read_asked(method, find_destination(parse_target(target), with_own_paths=True), READABLE)


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        (b"/-/reports", ReportAsked()),
        (b"/-/reports?", ReportAsked()),
        (b"/-/reports/sp-daily.csv", ReportAsked("sp-daily", ReadForm.CSV)),
        (b"/-/reports/sp-daily.json?", ReportAsked("sp-daily", ReadForm.JSON)),
        (b"/-/reports/sp.daily.jsonl?refresh=1", ReportAsked("sp.daily", ReadForm.JSONL, refresh=True)),
        (b"/-/reports/x.csv.csv", ReportAsked("x.csv", ReadForm.CSV)),
    ],
)
def test_what_is_asked_for(target: bytes, expected: ReportAsked) -> None:
    """The last ending is the form, all before it the name."""
    assert asked(target) == asked(target, b"HEAD") == expected


@pytest.mark.parametrize(
    ("target", "refusal"),
    [
        (b"/-", UnknownReport),
        (b"/-/reports/", UnknownReport),
        (b"/-/reports/x.csv", UnknownReport),
        (b"/-/reports/.csv", UnknownReport),
        (b"/-/reports/hidden.csv", UnknownReport),
        (b"/-/reports/hidden.csv?x=1", UnknownReport),
        (b"/na/-/reports", UnknownReport),
        (b"/@acme/-/reports/sp-daily.csv", UnknownReport),
        (b"/-/reports?refresh=1", UnknownParameter),
        (b"/-/reports/sp-daily.csv?refresh", UnknownParameter),
        (b"/-/reports/sp-daily.csv?refresh=1&", UnknownParameter),
    ],
)
def test_what_is_refused(target: bytes, refusal: type[Refused]) -> None:
    """An unknown report before anything else."""
    with pytest.raises(refusal):
        asked(target)
    with pytest.raises(OnlyReadable):
        asked(target, b"POST")


@pytest.mark.parametrize(
    ("lines", "met"),
    [
        ((), False),
        ((b'If-None-Match: "a"',), True),
        ((b'If-None-Match: W/"a"',), True),
        ((b'If-None-Match: "b",W/"a"',), True),
        ((b'If-None-Match: "b"', b'If-None-Match: "a"'), True),
        ((b"If-None-Match: *",), True),
        ((b'If-None-Match: "b"',), False),
        ((b"If-None-Match: a",), False),
        ((b"If-Modified-Since: Thu, 09 Oct 2025 08:53:20 GMT",), True),
        ((b"If-Modified-Since: Thu, 09 Oct 2025 08:53:19 GMT",), False),
        ((b"If-Modified-Since: Thu, 09 Oct 2025 08:53:21 GMT",), True),
        ((b"If-Modified-Since: never",), False),
        ((b"If-Modified-Since: \xff",), False),
        ((b"If-Modified-Since: Thu, 09 Oct 99999 08:53:21 GMT",), False),
        ((b"If-Modified-Since: Thu, 09 Oct 2025 08:53:20 GMT",) * 2, False),
        ((b'If-None-Match: "b"', b"If-Modified-Since: Thu, 09 Oct 2025 08:53:20 GMT"), False),
        ((b"If-None-Match:", b"If-Modified-Since: Thu, 09 Oct 2025 08:53:20 GMT"), True),
    ],
)
def test_conditions(lines: tuple[bytes, ...], met: bool) -> None:
    """A list of tags decides alone; a date counts in whole seconds."""
    assert read_conditions(request(read=fields(*lines))).are_met(b'"a"', MODIFIED) is met


@pytest.mark.parametrize(
    ("accepted", "gzip"),
    [
        (b"", False),
        (b"gzip", True),
        (b"GZIP", True),
        (b"x-gzip", True),
        (b"*", True),
        (b"*;q=0", False),
        (b"gzip;q=0.001", True),
        (b"gzip;q=0.000", False),
        (b"gzip; q=0", False),
        (b"gzip;q=0,*", False),
        (b"x-gzip;q=0,*", False),
        (b"identity, br", False),
    ],
)
def test_codings(accepted: bytes, gzip: bool) -> None:
    """By its name before `*`."""
    assert read_conditions(request(read=fields(b"Accept-Encoding: " + accepted))).takes_gzip is gzip


@pytest.mark.parametrize("form", ReadForm)
def test_each_form_is_made_from_a_stored_one(form: ReadForm) -> None:
    assert (form.stored is Form.CSV) is (form is ReadForm.CSV)
    assert "/" in form.media_type
