"""Whether two orders are the same, and whether a report is the one that an order asks for."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.reports.orders import (
    Order,
    Report,
    ReportOperation,
    ReportStatus,
    agrees,
    answer_of,
    find_report_operation,
    named_ids,
    read_duplicate,
    read_order,
    read_report,
    with_name,
)
from proxy.strict_json import JsonBody

V3, V1 = ReportOperation.ORDER, ReportOperation.ORDER_V1
CONFIGURATION = {
    "adProduct": "SPONSORED_PRODUCTS",
    "reportTypeId": "spCampaigns",
    "timeUnit": "DAILY",
    "groupBy": ["campaign"],
    "columns": ["date", "cost", "clicks"],
    "format": "GZIP_JSON",
}
ORDER = {"name": "mine", "startDate": "2026-11-01", "endDate": "2026-11-07", "configuration": CONFIGURATION}
ORDER_V1 = {
    "accessRequestedAccounts": [{"advertiserAccountId": "amzn1.ads-account.g.a"}],
    "reports": [
        {
            "format": "CSV",
            "periods": [{"datePeriod": {"startDate": "2026-11-01", "endDate": "2026-11-02"}}],
            "query": {"fields": ["campaign.id", "metric.clicks"]},
        }
    ],
}
REPORT = {
    **ORDER,
    "reportId": "f0d1e2c3-0000-4000-8000-000000000001",
    "status": "PENDING",
    "createdAt": "2026-11-08T10:00:00Z",
    "updatedAt": "2026-11-08T10:00:00Z",
    "url": None,
    "fileSize": None,
    "configuration": {**CONFIGURATION, "filters": None},
}


def read(body: bytes | dict[str, Any], operation: ReportOperation = V3) -> Order | None:
    return read_order(operation, JsonBody(body if isinstance(body, bytes) else json.dumps(body).encode()))


def with_configuration(**changes: Any) -> dict[str, Any]:
    """The order with another configuration; None takes a member out."""
    return {
        **ORDER,
        "configuration": {name: value for name, value in {**CONFIGURATION, **changes}.items() if value is not None},
    }


# --- operations


def test_the_operations_of_reports_are_found_by_method_and_template() -> None:
    """Orders and polls of both versions, and nothing else."""
    assert find_report_operation("POST", "/reporting/reports") is ReportOperation.ORDER
    assert find_report_operation("GET", "/reporting/reports/{reportId}") is ReportOperation.POLL
    assert find_report_operation("GET", "/reporting/reports") is None
    assert [each for each in ReportOperation if each.is_order] == [V3, V1]
    assert [each for each in ReportOperation if each.is_poll] == [ReportOperation.POLL, ReportOperation.POLL_V1]


# --- the same order


@pytest.mark.parametrize(
    "other",
    [
        json.dumps(ORDER, indent=3).encode(),
        json.dumps(dict(reversed(ORDER.items()))).encode(),
        json.dumps(ORDER).replace("spCampaigns", "\\u0073pCampaigns").encode(),
        json.dumps({**ORDER, "name": "another"}).encode(),
        json.dumps({**ORDER, "name": None}).encode(),
        json.dumps({name: value for name, value in ORDER.items() if name != "name"}).encode(),
    ],
)
def test_the_same_order_written_otherwise_is_the_same(other: bytes) -> None:
    """Spacing, order of members, spelling of strings, and the name do not count."""
    found = read(other)
    assert found is not None
    assert found == read(ORDER)


@pytest.mark.parametrize(
    "other",
    [
        with_configuration(columns=["cost", "date", "clicks"]),
        with_configuration(filters=[]),
        with_configuration(timeUnit="SUMMARY"),
        {**ORDER, "endDate": "2026-11-08"},
        {**ORDER, "configuration": {**CONFIGURATION, "name": "x"}},
        {**ORDER, "more": 1},
        {**ORDER, "more": "1"},
    ],
)
def test_any_other_difference_makes_another_order(other: dict[str, Any]) -> None:
    """Also one that may not matter to Amazon."""
    found, first = read(other), read(ORDER)
    assert found is not None
    assert first is not None
    assert found.digest != first.digest


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"{",
        b"\xff{}",
        b'{"startDate": "2026-11-01", "startDate": "2026-11-02"}',
        b'{"startDate": "2026-11-01", "StartDate": "2026-11-02"}',
        b'{"days": 1.0}',
        b'{"configuration": {"columns": [1e3]}}',
        b'{"name": NaN}',
        b'{"name": "\\ud800", "other": "\\ud800"}',
        b'{"a":' * 100_000,
        b'{"a": ' + b"9" * 5000 + b"}",
    ],
)
def test_a_body_that_readers_may_understand_differently_is_no_order(body: bytes) -> None:
    """Duplicate names, fractions, halves of characters, and what is no JSON."""
    assert read(body) is None


def test_a_name_that_is_no_text_counts() -> None:
    """Amazon may refuse it, so that nothing is known of the order without it."""
    found, first = read({**ORDER, "name": 5}), read(ORDER)
    assert found is not None
    assert first is not None
    assert found.digest != first.digest


def test_a_name_counts_in_version_1() -> None:
    """It has none."""
    assert read(ORDER_V1, V1) != read({**ORDER_V1, "name": "x"}, V1)


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text('ab\u00e4\u20ac"\\ \n'),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["a", "b", "c"]), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.sampled_from(["x", "y", "z"]), JSON_VALUES), JSON_VALUES)
def test_orders_are_the_same_if_their_values_are(content: dict[str, Any], other: Any) -> None:
    """Written in ASCII or not, with or without spaces: and no other value has the same digest."""
    plain, spaced = json.dumps(content).encode(), json.dumps(content, indent=1, ensure_ascii=False).encode()
    found = read(plain)
    assert found is not None
    assert found == read(spaced)
    changed = read(json.dumps({**content, "x": other}).encode())
    assert changed is not None
    assert (changed.digest == found.digest) is (_sorted({**content, "x": other}) == _sorted(content))


def _sorted(value: Any) -> str:
    return json.dumps(value, sort_keys=True)


# --- the days of an order


@pytest.mark.parametrize(
    ("body", "operation", "days"),
    [
        (ORDER, V3, ("2026-11-07", "2026-11-01")),
        (ORDER_V1, V1, ("2026-11-02", "2026-11-01")),
        ({"endDate": "tomorrow", "startDate": 5}, V3, ("", "")),
        ({"reports": [], "x": 1}, V1, ("", "")),
        ({"reports": [{"periods": [5]}]}, V1, ("", "")),
        ({"reports": [{"periods": [{"datePeriod": 5}]}]}, V1, ("", "")),
    ],
)
def test_an_order_tells_its_days(body: dict[str, Any], operation: ReportOperation, days: tuple[str, str]) -> None:
    """The last one first, so that newer ones compare as larger; empty for what is no day."""
    found = read(body, operation)
    assert found is not None
    assert found.days == days


# --- the report that an answer shows


def test_a_report_of_version_3_is_read() -> None:
    """Its id and its status."""
    found = read_report(ReportOperation.POLL, json.dumps(REPORT).encode())
    assert found == Report("f0d1e2c3-0000-4000-8000-000000000001", ReportStatus.PENDING)
    assert not found.is_over


@pytest.mark.parametrize("status", ["COMPLETED", "FAILED"])
def test_a_completed_or_failed_report_is_over(status: str) -> None:
    """Nothing more happens to it."""
    found = read_report(ReportOperation.POLL, json.dumps({**REPORT, "status": status}).encode())
    assert found is not None
    assert found.is_over


def test_the_ends_of_download_addresses_are_read() -> None:
    """Of version 3, and of each part in version 1."""
    found = read_report(V3, json.dumps({**REPORT, "urlExpiresAt": "2026-11-08T11:00:00Z"}).encode())
    assert found is not None
    assert found.ends == ("2026-11-08T11:00:00Z",)
    parts = [{"url": "u", "urlExpirationDateTime": end} for end in ("t1", "t2")] + [{"url": "u"}]
    report = {"reportId": "r1", "status": "COMPLETED", "completedReportParts": parts}
    found = read_report(ReportOperation.POLL_V1, json.dumps({"success": [{"index": 0, "report": report}]}).encode())
    assert found is not None
    assert found.ends == ("t1", "t2")


@pytest.mark.parametrize(
    ("operation", "content"),
    [
        (V3, []),
        (V3, {}),
        (V3, {**REPORT, "reportId": 5}),
        (V3, {**REPORT, "reportId": "../x"}),
        (V3, {**REPORT, "status": "LOST"}),
        (V3, {**REPORT, "status": ["PENDING"]}),
        (V1, []),
        (V1, {"success": [], "error": []}),
        (V1, {"success": [{"report": REPORT}], "error": [{"index": 0}]}),
        (V1, {"success": [{"report": REPORT}, {"report": REPORT}]}),
        (V1, {"success": {"report": REPORT}}),
        (V1, REPORT),
    ],
)
def test_an_answer_without_one_clear_report_shows_none(operation: ReportOperation, content: Any) -> None:
    """In version 1, one with errors too."""
    assert read_report(operation, json.dumps(content).encode()) is None


@pytest.mark.parametrize("body", [b"", b"<html>", b'{"reportId": "a", "reportId": "b"}', b"[" * 100_000])
def test_an_answer_that_is_no_json_shows_no_report(body: bytes) -> None:
    """Whatever it is."""
    assert read_report(V3, body) is None


# --- the report that a poll names


def test_a_poll_names_its_report() -> None:
    """In the path, or in version 1 in the body."""
    assert named_ids(ReportOperation.POLL, (b"reporting", b"reports", b"abc-1"), JsonBody(b"")) == ("abc-1",)
    assert named_ids(ReportOperation.DELETE, (b"reporting", b"reports", b"abc-1"), JsonBody(b"")) == ("abc-1",)
    assert named_ids(ReportOperation.POLL_V1, (b"adsApi",), JsonBody(b'{"reportIds": ["abc-1"]}')) == ("abc-1",)
    assert named_ids(ReportOperation.DELETE_V1, (b"adsApi",), JsonBody(b'{"reportIds": ["abc-1"]}')) == ("abc-1",)
    assert named_ids(ReportOperation.DELETE_V1, (b"adsApi",), JsonBody(b'{"reportIds": ["a", "b"]}')) == ("a", "b")


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b'{"reportIds": ["a", "?"]}',
        b'{"reportIds": [%b "a"]}' % (b'"a",' * 100),
        b'{"reportIds": "a"}',
        b'{"reportIds": [1]}',
        b'{"reportIds": ["a"], "x": 1}',
    ],
)
def test_a_poll_of_version_1_without_plain_ids_names_none(body: bytes) -> None:
    """Nor does one with more members than are known."""
    assert named_ids(ReportOperation.POLL_V1, (), JsonBody(body)) == ()


@pytest.mark.parametrize("segments", [(), (b"..",), (b"a%2e",), (b"\xe4",)])
def test_a_path_without_a_plain_id_names_none(segments: tuple[bytes, ...]) -> None:
    """An id is letters, digits, hyphens, dots and underscores."""
    assert named_ids(ReportOperation.POLL, segments, JsonBody(b"")) == ()


# --- a 425


@pytest.mark.parametrize(
    ("content", "named"),
    [
        ({"code": "425", "detail": "The Request is a duplicate of : f0d1e2c3-0000-4000-8000-000000000001"}, True),
        ({"code": "425", "details": "The Request is a duplicate of: f0d1e2c3-0000-4000-8000-000000000001."}, True),
        ({"code": "425", "detail": "The Request is a duplicate of : f0d1e2c3/../x"}, False),
        ({"code": "425", "detail": "Too early"}, False),
        ({"code": "425", "detail": 5}, False),
        ({"code": "425"}, False),
        ([], False),
    ],
)
def test_a_425_names_the_report(content: Any, named: bool) -> None:
    """In its detail, as an id and nothing behind it."""
    expected = "f0d1e2c3-0000-4000-8000-000000000001" if named else ""
    assert read_duplicate(json.dumps(content).encode()) == expected


@pytest.mark.parametrize("body", [b"", b"<html>", b"[" * 100_000])
def test_a_425_that_is_no_json_names_no_report(body: bytes) -> None:
    """It passes as it came."""
    assert read_duplicate(body) == ""


# --- whether a report is the one that an order asks for


@pytest.mark.parametrize(
    "order",
    [
        ORDER,
        {**ORDER, "name": "another"},
        with_configuration(columns=["clicks", "date", "cost"]),
        with_configuration(filters=[]),
    ],
)
def test_a_report_agrees_with_its_order(order: dict[str, Any]) -> None:
    """Its name and the order of its columns change no data, and no filters are no filters."""
    assert agrees(order, REPORT)


@pytest.mark.parametrize(
    "order",
    [
        {**ORDER, "startDate": "2026-11-02"},
        {**ORDER, "endDate": "2026-11-06"},
        {name: value for name, value in ORDER.items() if name != "endDate"},
        {**ORDER, "currency": "EUR"},
        {**ORDER, "configuration": None},
        with_configuration(adProduct="SPONSORED_BRANDS"),
        with_configuration(reportTypeId="spTargeting"),
        with_configuration(timeUnit="SUMMARY"),
        with_configuration(groupBy=["adGroup"]),
        with_configuration(groupBy=["campaign", "adGroup"]),
        with_configuration(columns=["date", "cost"]),
        with_configuration(columns=["date", "cost", "clicks", "clicks"]),
        with_configuration(columns="date"),
        with_configuration(format="CSV"),
        with_configuration(format=None),
        with_configuration(filters=[{"field": "campaignStatus", "values": ["ENABLED"]}]),
        with_configuration(more=True),
    ],
)
def test_a_report_of_other_data_does_not_agree(order: dict[str, Any]) -> None:
    """Each part of an order counts, also one that is not known here."""
    assert not agrees(order, REPORT)


def test_a_report_with_more_in_its_configuration_does_not_agree() -> None:
    """It may have been ordered with that."""
    assert not agrees(ORDER, {**REPORT, "configuration": {**CONFIGURATION, "currency": "EUR"}})
    assert not agrees(ORDER, {**REPORT, "configuration": None})


def test_filters_agree_in_any_order() -> None:
    """And so do their values; a value that is missing or of another kind does not."""
    one, two = {"field": "a", "values": ["1", "2"]}, {"field": "b", "values": ["3"]}
    report = {**REPORT, "configuration": {**CONFIGURATION, "filters": [one, two]}}
    assert agrees(with_configuration(filters=[two, {"values": ["2", "1"], "field": "a", "more": None}]), report)
    assert not agrees(with_configuration(filters=[one]), report)
    assert not agrees(with_configuration(filters=[one, {"field": "b", "values": [3]}]), report)


# --- the answer to an order that gets an earlier report


def test_the_answer_has_no_address_that_may_have_expired() -> None:
    """All else is as Amazon last showed it."""
    shown = {**REPORT, "status": "COMPLETED", "url": "https://s3/x?Signature=s", "urlExpiresAt": "2026-11-08T11:00:00Z"}
    report = read_report(ReportOperation.POLL, json.dumps(shown).encode())
    assert report is not None
    assert json.loads(answer_of(report)) == {**shown, "url": None, "urlExpiresAt": None}


@pytest.mark.parametrize(
    ("shown", "name", "expected"),
    [
        ({"reportId": "r", "name": "first"}, "own", {"reportId": "r", "name": "own"}),
        ({"reportId": "r", "name": "first"}, None, {"reportId": "r", "name": None}),
        ({"reportId": "r"}, "own \ud800", {"reportId": "r", "name": "own \ud800"}),
        ({"reportId": "r"}, None, {"reportId": "r"}),
    ],
)
def test_the_answer_has_the_name_of_the_order(
    shown: dict[str, str], name: str | None, expected: dict[str, str]
) -> None:
    """Whatever the order that made the report called it."""
    assert json.loads(with_name(json.dumps(shown), name)) == expected


def test_the_name_of_an_order_is_known_and_makes_no_other_order() -> None:
    """In version 1 a name is one of many members."""
    orders = [read({**ORDER, "name": name}) for name in ("a", "b", None)]
    assert [each.name for each in orders if each is not None] == ["a", "b", None]
    assert orders[0] == orders[1] == orders[2]
