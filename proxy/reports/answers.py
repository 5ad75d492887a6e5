"""What Amazon's answers mean for an order of ours: to the order itself, to a poll, and where rows may be fetched. Pure.

An answer that does not say that nothing was made leaves that open: a 429 or a time-out may have made the report
(docs/development/amazon.md). The order is sent again then, and a 425 names the report if there is one.
"""

from __future__ import annotations

import ipaddress
import json
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from proxy.profiles.listing import read_text
from proxy.reports.orders import ReportOperation, ReportStatus, agrees, read_duplicate, read_report

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from proxy.profiles.listing import ListResponse

_TEMPORARY: Final = frozenset({408, 425, 429})


class AnswerKind(StrEnum):
    """What an answer means."""

    ORDERED = "ordered"
    """There is a report: `value` is its id."""
    DUPLICATE = "duplicate"
    """There may be a report: `value` is its id."""
    PENDING = "pending"
    """It is not done yet."""
    COMPLETED = "completed"
    """`value` is the address of its rows."""
    REJECTED = "rejected"
    """Amazon failed to make it, or does not know it any more."""
    THROTTLED = "throttled"
    UNAUTHORIZED = "unauthorized"
    AGAIN = "again"
    """Nothing certain: ask again later."""
    REFUSED = "refused"
    """It will not work before the order or the account changes."""


@dataclass(frozen=True, slots=True)
class Answer:
    """`words` are for people, and never hold an address of rows. `retry_after` is in seconds."""

    kind: AnswerKind
    value: str = ""
    words: str = ""
    retry_after: float | None = None


def read_order_answer(response: ListResponse) -> Answer:
    """The answer to an order."""
    if response.status // 100 == 2:
        report = read_report(ReportOperation.ORDER, response.body)
        if report is None:
            return Answer(AnswerKind.AGAIN, words="Amazon's answer to the order is without a report.")
        return Answer(AnswerKind.ORDERED, report.id)
    if response.status == 425 and (duplicate := read_duplicate(response.body)):
        return Answer(AnswerKind.DUPLICATE, duplicate, _words(response))
    return _other(response)


def read_poll(response: ListResponse) -> Answer:
    """The answer to a poll of a report."""
    if response.status == 404:
        return Answer(AnswerKind.REJECTED, words=f"Amazon does not know the report any more. {_words(response)}")
    if response.status != 200:
        return _other(response)
    report = read_report(ReportOperation.POLL, response.body)
    if report is None:
        return Answer(AnswerKind.AGAIN, words="Amazon's answer to the poll shows no report.")
    if report.status is ReportStatus.FAILED:
        reason = read_text(report.content.get("failureReason")).rstrip(".") or "no reason is given"
        return Answer(AnswerKind.REJECTED, words=f"Amazon failed to make the report: {reason}.")
    url = report.content.get("url")
    if report.status is ReportStatus.COMPLETED:
        if not isinstance(url, str) or not url:
            return Answer(AnswerKind.AGAIN, words="Amazon's completed report has no address of its rows.")
        return Answer(AnswerKind.COMPLETED, url)
    return Answer(AnswerKind.PENDING, words=f"Amazon's report is {report.status}.")


def is_of_order(response: ListResponse, order: Mapping[str, Any]) -> bool:
    """Whether the report of a poll is one that an order may take: it has the same data, and has not failed."""
    report = read_report(ReportOperation.POLL, response.body) if response.status == 200 else None
    return report is not None and report.status is not ReportStatus.FAILED and agrees(order, report.content)


def find_fault(url: str) -> str:
    """Why rows are not fetched from an address, empty if they are: it must be HTTPS, or on this machine."""
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname or "", parts.port
    except ValueError:
        return "the address of the rows is not one"
    if not host or parts.username is not None:
        return "the address of the rows has no plain host"
    if parts.scheme == "https" or (parts.scheme == "http" and _is_loopback(host)):
        return ""
    return "the address of the rows is not https://"


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _other(response: ListResponse) -> Answer:
    words, status = _words(response), response.status
    if status == 401:
        return Answer(AnswerKind.UNAUTHORIZED, words=words)
    if status == 429:
        asked = response.retry_after
        seconds = float(asked) if asked.isdecimal() and len(asked) < 7 else None
        return Answer(AnswerKind.THROTTLED, words=words, retry_after=seconds)
    if status >= 500 or status in _TEMPORARY:
        return Answer(AnswerKind.AGAIN, words=words)
    return Answer(AnswerKind.REFUSED, words=words)


def _words(response: ListResponse) -> str:
    """What Amazon answered, in one sentence."""
    try:
        content = json.loads(response.body)
    except (ValueError, RecursionError):
        content = None
    found = content if isinstance(content, dict) else {}
    detail = next((read_text(found[name]) for name in ("detail", "details", "message") if name in found), "")
    return (
        f"Amazon answered {response.status}: {detail.rstrip('.')}." if detail else f"Amazon answered {response.status}."
    )
