"""Orders for reports, and what Amazon answers about them: whether two orders are the same, and whether a report is
the one that an order asks for. Pure.

Sources: Amazon's specifications of version 3 (`/reporting/reports`) and of version 1 (`/adsApi/v1/create/reports`);
docs/development/amazon.md, Reports. Which orders share a report is for `sharing`.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from dataclasses import field
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final

from proxy.strict_json import UnclearBody, read_json
from proxy.value_classes import dataclass

if TYPE_CHECKING:
    from collections.abc import Mapping

    from proxy.strict_json import JsonBody

_ID: Final = re.compile(r"[0-9A-Za-z][0-9A-Za-z._-]{0,127}")
_MOST_IDS: Final = 100
_DUPLICATE: Final = re.compile(r"duplicate of\s*:\s*([0-9A-Za-z][0-9A-Za-z-]{7,63})\s*\.?\s*")
_DAY: Final = re.compile(r"\d{4}-\d\d-\d\d")
_ABSENT: Final[tuple[object, ...]] = (None, [])
"""What a member holds that says nothing: Amazon shows `filters` as null where an order has none."""


# --- Operations of reports ---------------------------------------------------------------------------------------


class ReportOperation(StrEnum):
    """Amazon's operations of reports, by method and path template."""

    ORDER = "POST /reporting/reports"
    POLL = "GET /reporting/reports/{reportId}"
    DELETE = "DELETE /reporting/reports/{reportId}"
    ORDER_V1 = "POST /adsApi/v1/create/reports"
    POLL_V1 = "POST /adsApi/v1/retrieve/reports"
    DELETE_V1 = "POST /adsApi/v1/delete/reports"

    @property
    def is_order(self) -> bool:
        return self in (ReportOperation.ORDER, ReportOperation.ORDER_V1)

    @property
    def is_poll(self) -> bool:
        return self in (ReportOperation.POLL, ReportOperation.POLL_V1)


VERSION_1: Final = frozenset((ReportOperation.ORDER_V1, ReportOperation.POLL_V1, ReportOperation.DELETE_V1))
_OPERATIONS: Final[Mapping[str, ReportOperation]] = {each.value: each for each in ReportOperation}


def find_report_operation(method: str, template: str) -> ReportOperation | None:
    """The operation of reports with this method and path template of the operations table; None for any other."""
    return _OPERATIONS.get(f"{method} {template}")


# --- Orders ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Order:
    """What a client asks Amazon to report.

    `digest` is the same for the same JSON, whatever its spacing, the order of members and the spelling of strings; the
    `name` of a report of version 3 is left out, and None if there is none. `days` are the last and the first day that
    it covers, empty if it does not say: orders of newer days compare as larger.
    """

    digest: bytes
    days: tuple[str, str] = ("", "")
    content: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)
    name: str | None = field(default=None, compare=False)


def read_order(operation: ReportOperation, body: JsonBody) -> Order | None:
    """The order that a body holds; None if readers could find different ones in it, or none."""
    try:
        content = body.read(strictly=True)
        if not isinstance(content, dict):
            return None
        name = None
        if operation is ReportOperation.ORDER and isinstance(content.get("name"), str | None):
            name = content.get("name")
            content = {key: value for key, value in content.items() if key != "name"}
        digest = _digest(content)
    except (ValueError, RecursionError):
        return None
    return Order(digest, _days(operation, content), content, name)


def _digest(content: Mapping[str, Any]) -> bytes:
    """Raises `ValueError` for numbers with a fraction or an exponent, and for halves of characters."""
    _check_numbers(content)
    text = json.dumps(content, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.blake2b(text.encode(), digest_size=20).digest()


def _check_numbers(value: Any) -> None:
    """Raise `UnclearBody` for a number that readers round differently."""
    if isinstance(value, float):
        raise UnclearBody
    for each in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        _check_numbers(each)


def _days(operation: ReportOperation, content: Mapping[str, Any]) -> tuple[str, str]:
    period: Any = content
    if operation is ReportOperation.ORDER_V1:
        period = _first(_first(content.get("reports"), "periods"), "datePeriod")
    if not isinstance(period, dict):
        return "", ""
    return _day(period.get("endDate")), _day(period.get("startDate"))


def _first(entries: Any, name: str) -> Any:
    """The member of this name of a list's first entry."""
    entry = entries[0] if isinstance(entries, list) and entries else None
    return entry.get(name) if isinstance(entry, dict) else None


def _day(value: Any) -> str:
    """Empty for what is no day."""
    return value if isinstance(value, str) and _DAY.fullmatch(value) else ""


# --- Reports -----------------------------------------------------------------------------------------------------


class ReportStatus(StrEnum):
    """Amazon's words for how far a report is."""

    PENDING = "PENDING"
    PROCESSING = "PROCESSING"
    COMPLETED = "COMPLETED"
    FAILED = "FAILED"


@dataclass(frozen=True, slots=True)
class Report:
    """A report as Amazon showed it. `content` is the JSON of it. `urls` are the addresses of its files, empty while one
    is missing; `ends` are the moments when they end, as Amazon wrote them."""

    id: str
    status: ReportStatus
    content: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)
    ends: tuple[str, ...] = ()
    urls: tuple[str, ...] = field(default=(), repr=False, compare=False)

    @property
    def is_over(self) -> bool:
        """Whether nothing more happens to it."""
        return self.status in (ReportStatus.COMPLETED, ReportStatus.FAILED)


def read_report(operation: ReportOperation, body: bytes) -> Report | None:
    """The report that an answer to an order or a poll shows, None if it shows none, or errors next to it."""
    try:
        content = read_json(body, strictly=False)
    except (ValueError, RecursionError):
        return None
    if operation in VERSION_1:
        content = _only_success(content)
    if not isinstance(content, dict):
        return None
    identifier, status = content.get("reportId"), content.get("status")
    if not isinstance(identifier, str) or not _ID.fullmatch(identifier) or status not in list(ReportStatus):
        return None
    return Report(identifier, ReportStatus(status), content, _ends(content), _urls(content))


def _only_success(content: Any) -> Any:
    """The report in an answer of version 1, if that names one and no error."""
    if not isinstance(content, dict) or content.get("error") not in _ABSENT:
        return None
    successes = content.get("success")
    return _first(successes, "report") if isinstance(successes, list) and len(successes) == 1 else None


def _ends(content: Mapping[str, Any]) -> tuple[str, ...]:
    found = _of_parts(content, "urlExpirationDateTime")
    return tuple(end for end in (content.get("urlExpiresAt"), *found) if isinstance(end, str))


def _urls(content: Mapping[str, Any]) -> tuple[str, ...]:
    """The one address of version 3, or those of all parts in version 1."""
    given = _of_parts(content, "url") if "completedReportParts" in content else [content.get("url")]
    found = tuple(url for url in given if isinstance(url, str) and url)
    return found if len(found) == len(given) else ()


def _of_parts(content: Mapping[str, Any], name: str) -> list[Any]:
    """The members of this name of all parts of a report of version 1."""
    parts = content.get("completedReportParts")
    return [part.get(name) if isinstance(part, dict) else None for part in (parts if isinstance(parts, list) else [])]


def named_ids(operation: ReportOperation, segments: tuple[bytes, ...], body: JsonBody) -> tuple[str, ...]:
    """The reports that a poll or a deletion names; empty if one of them is not plain, or if they are very many."""
    if operation in VERSION_1:
        try:
            content = body.read(strictly=True)
        except (ValueError, RecursionError):
            return ()
        found = content.get("reportIds") if isinstance(content, dict) and len(content) == 1 else None
    else:
        found = [segments[-1].decode("latin-1")] if segments else None
    if not isinstance(found, list) or len(found) > _MOST_IDS:
        return ()
    return tuple(found) if all(isinstance(each, str) and _ID.fullmatch(each) for each in found) else ()


def read_duplicate(body: bytes) -> str:
    """The id of the report that a 425 names; empty without one."""
    try:
        content = json.loads(body)
    except (ValueError, RecursionError):
        return ""
    detail = content.get("detail", content.get("details")) if isinstance(content, dict) else None
    found = _DUPLICATE.search(detail) if isinstance(detail, str) else None
    return found[1] if found is not None and found.end() == len(str(detail)) else ""


# --- Whether a report is the one that an order asks for ----------------------------------------------------------


def agrees(order: Mapping[str, Any], report: Mapping[str, Any]) -> bool:
    """Whether a report of version 3 has the data that an order asks for.

    Every member that the order sets must be the same in the report, and the report's configuration must hold no
    further one. The order of columns, groups, filters and their values changes no data: rows name their columns.
    """
    asked, shown = order.get("configuration"), report.get("configuration")
    if not isinstance(asked, dict) or not isinstance(shown, dict):
        return False
    if not {"startDate", "endDate"} <= order.keys():
        return False
    around = order.keys() - {"name", "configuration"}
    return all(_same(order.get(name), report.get(name)) for name in around) and all(
        _same(asked.get(name), shown.get(name)) for name in asked.keys() | shown.keys()
    )


def _same(some: Any, other: Any) -> bool:
    return bool(_unordered(some) == _unordered(other))


def _unordered(value: Any) -> Any:
    """A value that compares equal to the same with its lists in another order, or without members that say nothing."""
    if value in _ABSENT:
        return None
    if isinstance(value, dict):
        return frozenset((name, _unordered(each)) for name, each in value.items() if each not in _ABSENT)
    if isinstance(value, list):
        return frozenset(Counter(map(_unordered, value)).items())
    return type(value).__name__, value


# --- The answer to an order that gets an earlier report ----------------------------------------------------------


def answer_of(report: Report) -> bytes:
    """The body of Amazon's answer to the order of this report, without the address that may have expired."""
    content = {name: None if name in ("url", "urlExpiresAt") else value for name, value in report.content.items()}
    return json.dumps(content, separators=(",", ":")).encode()


def with_name(answer: str, name: str | None) -> bytes:
    """An answer to an order of version 3, with the name that another order gives the same report; None for none."""
    content = json.loads(answer)
    if content.get("name") == name:
        return answer.encode()
    return json.dumps({**content, "name": name}, separators=(",", ":")).encode()
