"""Every answer of Amazon's that is documented or was seen, and what it means for an order."""

from __future__ import annotations

import json
from typing import Any

import pytest

from proxy.profiles.listing import ListResponse
from proxy.reports.answers import Answer, AnswerKind, find_fault, read_order_answer, read_poll
from proxy.reports.orders import ReportOperation

ID = "de7b5b1c-6d1b-4b6d-8a49-1c1d1a6a8b0e"
CONFIGURATION = {"adProduct": "SPONSORED_PRODUCTS", "columns": ["cost", "date"], "timeUnit": "DAILY"}
ORDER = {"startDate": "2026-10-01", "endDate": "2026-10-31", "configuration": CONFIGURATION}


def answer(status: int, content: Any = None, retry_after: str = "") -> ListResponse:
    body = content if isinstance(content, bytes) else json.dumps(content).encode()
    return ListResponse(status, body, retry_after)


def report(status: str, **changes: Any) -> dict[str, Any]:
    return {"reportId": ID, "status": status, **ORDER, "url": None, **changes}


@pytest.mark.parametrize(
    ("response", "expected"),
    [
        (answer(200, report("PENDING")), Answer(AnswerKind.ORDERED, ID)),
        (answer(202, report("COMPLETED", url="https://x/")), Answer(AnswerKind.ORDERED, ID)),
        (answer(200, {}), Answer(AnswerKind.AGAIN, words="Amazon's answer to the order is without a report.")),
        (answer(200, b"<html>"), Answer(AnswerKind.AGAIN, words="Amazon's answer to the order is without a report.")),
        (
            answer(425, {"code": "425", "detail": f"The Request is a duplicate of : {ID}"}),
            Answer(AnswerKind.AGAIN, words=f"Amazon answered 425: The Request is a duplicate of : {ID}."),
        ),
        (answer(425, {"detail": "Too early."}), Answer(AnswerKind.AGAIN, words="Amazon answered 425: Too early.")),
        (answer(429, b"", "120"), Answer(AnswerKind.THROTTLED, words="Amazon answered 429.", retry_after=120.0)),
        (answer(429, {"message": "slow"}), Answer(AnswerKind.THROTTLED, words="Amazon answered 429: slow.")),
        (answer(429, b"", "soon"), Answer(AnswerKind.THROTTLED, words="Amazon answered 429.")),
        (answer(429, b"", "9" * 400), Answer(AnswerKind.THROTTLED, words="Amazon answered 429.")),
        (answer(500, b"[" * 100_000), Answer(AnswerKind.AGAIN, words="Amazon answered 500.")),
        (answer(504, ["x"]), Answer(AnswerKind.AGAIN, words="Amazon answered 504.")),
        (answer(408), Answer(AnswerKind.AGAIN, words="Amazon answered 408.")),
        (answer(503, b"", "600"), Answer(AnswerKind.AGAIN, words="Amazon answered 503.", retry_after=600.0)),
        (
            answer(401, {"details": "Not authorized"}),
            Answer(AnswerKind.UNAUTHORIZED, words="Amazon answered 401: Not authorized."),
        ),
        (
            answer(400, {"detail": "bad\u202e column"}),
            Answer(AnswerKind.REFUSED, words="Amazon answered 400: bad column."),
        ),
        (answer(302), Answer(AnswerKind.REFUSED, words="Amazon answered 302.")),
    ],
)
def test_what_an_answer_to_an_order_means(response: ListResponse, expected: Answer) -> None:
    assert read_order_answer(ReportOperation.ORDER, response) == expected


@pytest.mark.parametrize(
    ("response", "expected"),
    [
        (answer(200, report("PENDING")), Answer(AnswerKind.PENDING, words="Amazon's report is PENDING.")),
        (answer(200, report("PROCESSING")), Answer(AnswerKind.PENDING, words="Amazon's report is PROCESSING.")),
        (
            answer(200, report("COMPLETED", url="https://s3/x?sig")),
            Answer(AnswerKind.COMPLETED, urls=("https://s3/x?sig",)),
        ),
        (
            answer(200, report("COMPLETED")),
            Answer(AnswerKind.AGAIN, words="Amazon's completed report has no address of its rows."),
        ),
        (
            answer(200, report("FAILED", failureReason="Too much data")),
            Answer(AnswerKind.REJECTED, words="Amazon failed to make the report: Too much data."),
        ),
        (
            answer(200, report("FAILED")),
            Answer(AnswerKind.REJECTED, words="Amazon failed to make the report: no reason is given."),
        ),
        (answer(200, {}), Answer(AnswerKind.AGAIN, words="Amazon's answer to the poll shows no report.")),
        (
            answer(404, {"detail": "Gone"}),
            Answer(AnswerKind.REJECTED, words="Amazon does not know the report any more. Amazon answered 404: Gone."),
        ),
        (answer(429, b"", "7"), Answer(AnswerKind.THROTTLED, words="Amazon answered 429.", retry_after=7.0)),
        (answer(503), Answer(AnswerKind.AGAIN, words="Amazon answered 503.")),
    ],
)
def test_what_an_answer_to_a_poll_means(response: ListResponse, expected: Answer) -> None:
    assert read_poll(ReportOperation.POLL, response, ID) == expected


def test_the_answer_to_a_poll_shows_the_report_that_was_asked_for() -> None:
    """The rows of another report may be another profile's."""
    other = report("COMPLETED", url="https://s3/x?sig", reportId="another")
    words = "Amazon's answer to the poll shows another report."
    assert read_poll(ReportOperation.POLL, answer(200, other), ID) == Answer(AnswerKind.AGAIN, words=words)


LONG = "There is no usable token. " + 40 * "Sign in again. "
"""Longer than what is told of a text of Amazon's."""


def own(status: int, retry_after: str = "") -> ListResponse:
    """A refusal of the proxy's own."""
    return ListResponse(status, json.dumps({"detail": LONG, "details": LONG}).encode(), retry_after, own=True)


@pytest.mark.parametrize(
    ("response", "kind", "retry_after"),
    [
        (own(503, "5"), AnswerKind.AGAIN, 5.0),
        (own(504), AnswerKind.AGAIN, None),
        (own(429, "900"), AnswerKind.AGAIN, 900.0),
        (own(404), AnswerKind.REFUSED, None),
    ],
)
def test_what_a_refusal_of_the_proxy_means(response: ListResponse, kind: AnswerKind, retry_after: float | None) -> None:
    """Its 429 is no throttled order, which would be sent again at once, and its 404 no report that is gone."""
    expected = Answer(kind, words=LONG, retry_after=retry_after)
    assert read_order_answer(ReportOperation.ORDER, response) == expected
    assert read_poll(ReportOperation.POLL, response, ID) == expected


# --- Version 1 ---------------------------------------------------------------------------------------------------

PART = {"sizeInBytes": 1, "url": "https://s3/1?sig", "urlExpirationDateTime": "2026-11-01T00:00:00Z"}
OTHER_PART = {**PART, "url": "https://s3/2?sig"}


def of_one(status: str, **changes: Any) -> ListResponse:
    """A 207 with one report."""
    found = {"reportId": ID, "status": status, "format": "GZIP_JSON", **changes}
    return answer(207, {"success": [{"index": 0, "report": found}], "error": changes.pop("error", [])})


def error(code: str, message: str = "m", retry_after: str = "") -> ListResponse:
    """A 207 with an error of the only report."""
    return answer(
        207, {"success": [], "error": [{"index": 0, "errors": [{"code": code, "message": message}]}]}, retry_after
    )


@pytest.mark.parametrize(
    ("response", "expected"),
    [
        (of_one("PENDING"), Answer(AnswerKind.ORDERED, ID)),
        (
            error("FIELD_VALUE_IS_INVALID", "no such field"),
            Answer(AnswerKind.REFUSED, words="Amazon answered 207: no such field."),
        ),
        (error("FORBIDDEN"), Answer(AnswerKind.REFUSED, words="Amazon answered 207: m.")),
        (
            error("TOO_MANY_REQUESTS", retry_after="7"),
            Answer(AnswerKind.THROTTLED, words="Amazon answered 207: m.", retry_after=7.0),
        ),
        (error("INTERNAL_ERROR"), Answer(AnswerKind.AGAIN, words="Amazon answered 207: m.")),
        (error("UNAUTHORIZED"), Answer(AnswerKind.UNAUTHORIZED, words="Amazon answered 207: m.")),
        (answer(429, b"<html>"), Answer(AnswerKind.THROTTLED, words="Amazon answered 429.")),
        (
            answer(400, {"code": "BAD_REQUEST", "message": "no"}),
            Answer(AnswerKind.REFUSED, words="Amazon answered 400: no."),
        ),
        (
            answer(207, {"error": [{}]}),
            Answer(AnswerKind.AGAIN, words="Amazon's answer to the order is without a report."),
        ),
        (
            answer(207, {"error": [1]}),
            Answer(AnswerKind.AGAIN, words="Amazon's answer to the order is without a report."),
        ),
        (answer(207, []), Answer(AnswerKind.AGAIN, words="Amazon's answer to the order is without a report.")),
        (
            answer(200, report("PENDING")),
            Answer(AnswerKind.AGAIN, words="Amazon's answer to the order is without a report."),
        ),
    ],
)
def test_what_an_answer_to_an_order_of_version_1_means(response: ListResponse, expected: Answer) -> None:
    assert read_order_answer(ReportOperation.ORDER_V1, response) == expected


@pytest.mark.parametrize(
    ("response", "expected"),
    [
        (of_one("PROCESSING"), Answer(AnswerKind.PENDING, words="Amazon's report is PROCESSING.")),
        (
            of_one("COMPLETED", completedReportParts=[PART, OTHER_PART]),
            Answer(AnswerKind.COMPLETED, urls=("https://s3/1?sig", "https://s3/2?sig")),
        ),
        (
            of_one("COMPLETED", completedReportParts=[PART, {}]),
            Answer(AnswerKind.AGAIN, words="Amazon's completed report has no address of its rows."),
        ),
        (of_one("COMPLETED"), Answer(AnswerKind.AGAIN, words="Amazon's completed report has no address of its rows.")),
        (
            of_one("COMPLETED", completedReportParts=[]),
            Answer(AnswerKind.REJECTED, words="Amazon's completed report has no file of rows."),
        ),
        (
            of_one("COMPLETED", completedReportParts=[PART] * 100),
            Answer(AnswerKind.COMPLETED, urls=("https://s3/1?sig",) * 100),
        ),
        (
            of_one("COMPLETED", completedReportParts=[PART] * 101),
            Answer(AnswerKind.REJECTED, words="Amazon's completed report has more than 100 files."),
        ),
        (
            of_one("FAILED", failureReason="Too much data"),
            Answer(AnswerKind.REJECTED, words="Amazon failed to make the report: Too much data."),
        ),
        (
            error("RESOURCE_ID_NOT_FOUND", "Gone"),
            Answer(AnswerKind.REJECTED, words="Amazon does not know the report any more. Amazon answered 207: Gone."),
        ),
        (error("INTERNAL_ERROR"), Answer(AnswerKind.AGAIN, words="Amazon answered 207: m.")),
    ],
)
def test_what_an_answer_to_a_poll_of_version_1_means(response: ListResponse, expected: Answer) -> None:
    """A report with a part that has no address is not whole: none of its rows are taken."""
    assert read_poll(ReportOperation.POLL_V1, response, ID) == expected


# --- Where rows are ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "fault"),
    [
        ("https://offline-report-storage.s3.amazonaws.com/x.json.gz?X-Amz-Signature=a%2Fb", ""),
        ("https://s3.us-east-1.amazonaws.com/bucket/x", ""),
        ("https://reports.amazon.com:443/x", ""),
        ("https://S3.AMAZONAWS.COM/x", ""),
        ("https://amazonaws.com/x", "the rows are at a host that is not Amazon's (amazonaws.com)"),
        ("https://s3.amazonaws.com./x", "the rows are at a host that is not Amazon's (s3.amazonaws.com.)"),
        (
            "https://s3.amazonaws.com.evil.example/x",
            "the rows are at a host that is not Amazon's (s3.amazonaws.com.evil.example)",
        ),
        ("https://evilamazonaws.com/x", "the rows are at a host that is not Amazon's (evilamazonaws.com)"),
        ("https://10.0.0.1/x", "the rows are at a host that is not Amazon's (10.0.0.1)"),
        ("https://[::ffff:127.0.0.1]/x", "the rows are at a host that is not Amazon's (::ffff:127.0.0.1)"),
        ("https://" + "a" * 300 + "/x", f"the rows are at a host that is not Amazon's ({'a' * 100})"),
        ("http://127.0.0.1:9001/x", "the address of the rows is on the proxy's own machine"),
        ("https://127.0.0.1:9001/x", "the address of the rows is on the proxy's own machine"),
        ("http://localhost/x", "the address of the rows is on the proxy's own machine"),
        ("http://s3.amazonaws.com/x", "the address of the rows is not https://"),
        ("http://127.0.0.1.evil.example/x", "the address of the rows is not https://"),
        ("http://169.254.169.254/latest", "the address of the rows is not https://"),
        ("file:///etc/passwd", "the address of the rows has no plain host"),
        ("https://user@host/x", "the address of the rows has no plain host"),
        ("https:///x", "the address of the rows has no plain host"),
        ("ftp://host/x", "the address of the rows is not https://"),
        ("https://[x", "the address of the rows is not one"),
        ("https://host:99999/", "the address of the rows is not one"),
        ("https://a\\b/x", "the address of the rows is not one"),
        ("https://h\u00f6st/x", "the address of the rows is not one"),
        ("https://host/\r\nX: y", "the address of the rows is not one"),
        ("https://\x1b[31mhost/", "the address of the rows is not one"),
    ],
)
def test_rows_are_fetched_from_amazon_over_https_alone(url: str, fault: str) -> None:
    """An answer of Amazon's, or of who speaks for it, makes the proxy ask no other host."""
    assert find_fault(url, "https://advertising-api.amazon.com") == fault


@pytest.mark.parametrize("api_url", ["http://127.0.0.1:9000", "http://localhost:9000", "https://[::1]"])
@pytest.mark.parametrize("url", ["http://127.0.0.1:9001/x", "http://[::1]:9001/x", "https://localhost:9001/x"])
def test_rows_are_on_this_machine_where_the_api_is(api_url: str, url: str) -> None:
    """Rows of the simulator are on this machine, as its API is."""
    assert find_fault(url, api_url) == ""
    assert find_fault("ftp://127.0.0.1/x", api_url) == "the address of the rows is not https://"
