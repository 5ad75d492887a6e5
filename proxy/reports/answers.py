"""What Amazon's answers mean for an order of ours: to the order itself, to a poll, and where rows may be fetched. Pure.

An answer that does not say that nothing was made leaves that open: a 429 or a time-out may have made the report
(docs/development/amazon.md). The order is sent again then, and gets the report if there is one. In version 1, the
errors of a report are inside of a 207: each means what a status of its own would.
"""

from __future__ import annotations

import ipaddress
import json
import re
from dataclasses import field
from enum import StrEnum
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from proxy.profiles.listing import read_text
from proxy.reports.orders import ReportStatus, read_report
from proxy.value_classes import dataclass

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from proxy.profiles.listing import ListResponse
    from proxy.reports.orders import ReportOperation

MAX_FILES: Final = 100
"""The most files of one report, by Amazon's specification."""
_URL: Final = re.compile(r"[!-Z^-~\[\]]+")
"""The characters of an address (RFC 3986, 2): readers understand others differently."""
_NO_ADDRESS: Final = "the address of the rows is not one"
_AMAZON: Final = (".amazonaws.com", ".amazon.com")
"""The ends of the names of hosts that rows are fetched from (docs/development/amazon.md, Locations)."""
_LONGEST: Final = 100
"""Characters of a host that are told."""
_TEMPORARY: Final = frozenset({408, 425, 429})
_MULTI_STATUS: Final = 207
_STATUSES: Final = {
    "INTERNAL_ERROR": 500,
    "NOT_FOUND": 404,
    "RESOURCE_ID_NOT_FOUND": 404,
    "TOO_MANY_REQUESTS": 429,
    "UNAUTHORIZED": 401,
}
"""What the codes of errors inside of a 207 mean; all others refuse what was sent."""


class AnswerKind(StrEnum):
    """What an answer means."""

    ORDERED = "ordered"
    """There is a report: `value` is its id."""
    PENDING = "pending"
    """The report is not done yet."""
    COMPLETED = "completed"
    """`urls` are the addresses of its files."""
    REJECTED = "rejected"
    """Amazon failed to make it, or does not know it any more."""
    THROTTLED = "throttled"
    """Amazon throttles the order: the next one waits for its turn."""
    UNAUTHORIZED = "unauthorized"
    AGAIN = "again"
    """Nothing certain: ask again later."""
    REFUSED = "refused"
    """The request will not work before the order or the account changes."""


@dataclass(frozen=True, slots=True)
class Answer:
    """`words` are for people, and never hold an address of rows. `retry_after` is in seconds."""

    kind: AnswerKind
    value: str = ""
    words: str = ""
    retry_after: float | None = None
    urls: tuple[str, ...] = field(default=(), repr=False)


def read_order_answer(operation: ReportOperation, response: ListResponse) -> Answer:
    """The answer to an order."""
    if status_of(response) // 100 == 2:
        report = read_report(operation, response.body)
        if report is None:
            return Answer(AnswerKind.AGAIN, words="Amazon's answer to the order is without a report.")
        return Answer(AnswerKind.ORDERED, report.id)
    return _other(response)


def read_poll(operation: ReportOperation, response: ListResponse, report_id: str) -> Answer:
    """The answer to a poll of the report with this id."""
    status = status_of(response)
    if status == 404 and not response.own:
        return Answer(AnswerKind.REJECTED, words=f"Amazon does not know the report any more. {_words(response)}")
    if status // 100 != 2:
        return _other(response)
    report = read_report(operation, response.body)
    if report is None:
        return Answer(AnswerKind.AGAIN, words="Amazon's answer to the poll shows no report.")
    if report.id != report_id:
        return Answer(AnswerKind.AGAIN, words="Amazon's answer to the poll shows another report.")
    if report.status is ReportStatus.FAILED:
        reason = read_text(report.content.get("failureReason")).rstrip(".") or "no reason is given"
        return Answer(AnswerKind.REJECTED, words=f"Amazon failed to make the report: {reason}.")
    if report.status is ReportStatus.COMPLETED:
        if report.content.get("completedReportParts") == []:
            return Answer(AnswerKind.REJECTED, words="Amazon's completed report has no file of rows.")
        if len(report.urls) > MAX_FILES:
            return Answer(AnswerKind.REJECTED, words=f"Amazon's completed report has more than {MAX_FILES} files.")
        if not report.urls:
            return Answer(AnswerKind.AGAIN, words="Amazon's completed report has no address of its rows.")
        return Answer(AnswerKind.COMPLETED, urls=report.urls)
    return Answer(AnswerKind.PENDING, words=f"Amazon's report is {report.status}.")


def find_fault(url: str, api_url: str) -> str:
    """Why rows are not fetched from an address, empty if they are: it must be Amazon's and HTTPS, or on this machine if
    the API that told it is there, too."""
    if not _URL.fullmatch(url):
        return _NO_ADDRESS
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname or "", parts.port
    except ValueError:
        return _NO_ADDRESS
    if not host or parts.username is not None:
        return "the address of the rows has no plain host"
    if _is_loopback(host) and parts.scheme in ("http", "https"):
        is_local = _is_loopback(urlsplit(api_url).hostname or "")
        return "" if is_local else "the address of the rows is on the proxy's own machine"
    if parts.scheme != "https":
        return "the address of the rows is not https://"
    return "" if host.endswith(_AMAZON) else f"the rows are at a host that is not Amazon's ({host[:_LONGEST]})"


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _other(response: ListResponse) -> Answer:
    words, status = _words(response), status_of(response)
    if status == 401:
        return Answer(AnswerKind.UNAUTHORIZED, words=words)
    asked = response.retry_after
    seconds = float(asked) if asked.isdecimal() and len(asked) < 7 else None
    if status == 429 and not response.own:
        return Answer(AnswerKind.THROTTLED, words=words, retry_after=seconds)
    if status >= 500 or status in _TEMPORARY:
        return Answer(AnswerKind.AGAIN, words=words, retry_after=seconds)
    return Answer(AnswerKind.REFUSED, words=words)


def status_of(response: ListResponse) -> int:
    """The status of an answer, or what the error inside of a 207 means."""
    error = _error(response)
    return _STATUSES.get(read_text(error.get("code")), 400) if error else response.status


def _error(response: ListResponse) -> Mapping[str, Any]:
    """The first error inside of a 207; empty without one."""
    entries = _content(response).get("error") if response.status == _MULTI_STATUS else None
    return _first(_first(entries).get("errors"))


def _first(entries: Any) -> Mapping[str, Any]:
    """The first object of a list; empty without one."""
    entry = entries[0] if isinstance(entries, list) and entries else None
    return entry if isinstance(entry, dict) else {}


def _content(response: ListResponse) -> Mapping[str, Any]:
    """The JSON object of an answer; empty for anything else."""
    try:
        content = json.loads(response.body)
    except (ValueError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}


def _words(response: ListResponse) -> str:
    """What Amazon, or the proxy, answered, in one sentence."""
    found = _error(response) or _content(response)
    if response.own:
        return str(found.get("detail", ""))
    detail = next((read_text(found[name]) for name in ("detail", "details", "message") if name in found), "")
    return (
        f"Amazon answered {response.status}: {detail.rstrip('.')}." if detail else f"Amazon answered {response.status}."
    )
