"""The ends that Amazon announced: their table, whom they concern, and the header lines that tell of them."""

from __future__ import annotations

from datetime import date

import pytest

from proxy.routing.ends import ANNOUNCED, ENDS, NO_END, find_end, names_of
from proxy.routing.operations import PUBLISHED
from tests.support.deciding import fields

BY_PATH = {f"{end.method} {end.path}": end for end in ENDS}


def test_each_end_concerns_an_operation_of_the_table() -> None:
    """A path that is misspelt there would never be counted."""
    assert {f"{end.method} {end.path}": len(names_of(end)) for end in ENDS} == dict.fromkeys(BY_PATH, 1)


def test_days_are_days_and_each_end_says_what_replaces_it_and_where_it_is_from() -> None:
    """What is not sure says why."""
    for end in ENDS:
        assert end.deprecated == ANNOUNCED or date.fromisoformat(end.deprecated)
        assert not end.sunset or date.fromisoformat(end.sunset)
        assert end.replacement
        assert end.certainty == "sure" or end.certainty.startswith(("inferred: ", "uncertain: "))
        assert len(end.source) > 10


@pytest.mark.parametrize(
    ("request_line", "lines"),
    [
        ("POST /sb/v4/ads/productCollection", b"Sunset: Sat, 30 Nov 2024 00:00:00 GMT\r\n"),
        ("GET /sb/moderation/campaigns/{campaignId}", b"Sunset: Mon, 15 Dec 2025 00:00:00 GMT\r\n"),
        ("POST /sd/{recordType}/report", b"Sunset: Thu, 31 Oct 2024 00:00:00 GMT\r\n"),
        (
            "POST /v2/sp/targets/bidRecommendations",
            b"Deprecation: @1723680000\r\nSunset: Thu, 15 May 2025 00:00:00 GMT\r\n",
        ),
        ("POST /v2/hsa/{recordType}/report", b""),
    ],
)
def test_header_lines_tell_the_days_that_are_known(request_line: str, lines: bytes) -> None:
    """A structured date since when (RFC 9745, 2.1), an HTTP date until when (RFC 8594, 3); no day is made up."""
    assert BY_PATH[request_line].response_lines == lines


@pytest.mark.parametrize(
    ("field", "concerned"),
    [
        (b"Content-Type: application/vnd.spThemeBasedBidRecommendation.v3+json", True),
        (b"Accept: application/vnd.spthemebasedbidrecommendation.v3+json, */*", True),
        (b"Content-Type: application/vnd.spthemebasedbidrecommendation.v4+json", False),
        (b"X-Other: application/vnd.spthemebasedbidrecommendation.v3+json", False),
        (b"Accept: */*", False),
    ],
)
def test_an_end_of_a_media_type_concerns_requests_that_name_it(field: bytes, concerned: bool) -> None:
    """The operation itself goes on."""
    operation = PUBLISHED.find(b"POST", (b"sp", b"targets", b"bid", b"recommendations"))
    assert (find_end(operation, fields(field)).day != "") is concerned


def test_other_operations_have_no_end() -> None:
    """Nor has an unknown one."""
    assert find_end(PUBLISHED.find(b"GET", (b"v2", b"profiles")), fields(b"Accept: */*")) is NO_END
    assert find_end(None, fields(b"Accept: */*")) is NO_END
    assert (NO_END.day, NO_END.response_lines) == ("", b"")
    assert names_of(NO_END) == ()
