"""Lines for people at a terminal: what happened in one line of it, the rest below. Pure: values in, text out.

A request is one line, and a second where something went wrong; the JSON lines hold more. A word that is longer than a
line, such as an address to sign in at, stays whole, so that it can be copied. Nothing here is JSON, and no JSON is
wrapped.
"""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING, Final

from proxy.observability.notices import moment

if TYPE_CHECKING:
    from collections.abc import Mapping

COLUMNS: Final = 100
"""The width of output that is no terminal, or of a terminal that does not tell its own."""
_INDENT: Final = " " * 4
_LEAST_PATH: Final = 40
"""Columns that a path has before anything behind it stays away for its sake."""
_CUT: Final = "..."
_PLAIN: Final = "\x1b[0m"
_DIM: Final = "\x1b[2m"
_YELLOW: Final = "\x1b[33m"
_RED: Final = "\x1b[31m"
_COLOURS: Final = {"debug": _DIM, "info": "", "warning": _YELLOW, "error": _RED, "critical": _RED}
_FAR_FUTURE: Final = 1e11
"""Seconds since 1970; the year 5138. A larger number is no moment, and no date can be made of it."""
_APART: Final = frozenset({"timestamp", "level", "event", "traceback"})


def render_plain(values: Mapping[str, object], *, colours: bool, columns: int = COLUMNS) -> str:
    """The text of a line's values, several lines where one is not enough, without the last line's end."""
    request = values.get("event") == "request"
    lines = _request(values, columns) if request else _event(values, columns)
    lines += (_INDENT + escaped(line) for line in str(values.get("traceback", "")).splitlines())
    if not colours:
        return "\n".join(lines)
    colour = _COLOURS[str(values["level"])] or (_YELLOW if request and _is_refused(values) else "")
    time, _, rest = lines[0].partition(" ")
    first = f"{_DIM}{time}{_PLAIN} {colour}{rest}"
    return "\n".join((first, *lines[1:])) + (_PLAIN if colour else "")


def as_read(name: str, value: object) -> object:
    """A member's value as people read it: members whose names end with `_at` are seconds since 1970."""
    if name.endswith("_at") and isinstance(value, int | float) and 0 <= value < _FAR_FUTURE:
        return moment(value)
    return value


def escaped(text: str) -> str:
    """The text without anything that moves a cursor or begins a line."""
    return text if text.isprintable() else text.encode("unicode_escape").decode("ascii")


def _is_refused(values: Mapping[str, object]) -> bool:
    status = values.get("status")
    return isinstance(status, int) and 400 <= status < 500


def _time(values: Mapping[str, object]) -> str:
    """The time of day, in UTC: on a terminal the day is known."""
    return str(values["timestamp"])[11:23]


def _event(values: Mapping[str, object], columns: int) -> list[str]:
    words = [_time(values), f"[{values['level']}]", str(values["event"])]
    words += (f"{name}={_shown(as_read(name, value))}" for name, value in values.items() if name not in _APART)
    return _wrapped(" ".join(words), columns)


def _shown(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{escaped(str(item))} {name}" for name, item in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(escaped(str(item)) for item in value)
    return escaped(str(value))


def _request(values: Mapping[str, object], columns: int) -> list[str]:
    """The columns of a request: time, status and target first; then operation, client and duration, as far as they
    fit."""
    given = {name: _shown(value) for name, value in values.items() if value not in ("", None, ()) and name != "spend"}
    judged = values.get("spend")
    if isinstance(judged, dict):
        given |= _judged(judged)
    begin = " ".join((_time(values), f"{given.get('status', ''):>3}", f"{given.get('method', ''):<6}"))
    path, behind = given.get("path", ""), _behind(given)
    room = columns - len(begin) - 1
    while behind and min(len(path), _LEAST_PATH) + len(_joined(behind)) > room:
        behind.pop(0)
    end = _joined(behind)
    first = f"{begin} {_cut(path, room - len(end))}{end}"
    return [first.rstrip(), *_problem_text(given, columns)]


def _behind(given: Mapping[str, str]) -> list[str]:
    """What stands behind the path; the first goes first where there is no room."""
    operation = given.get("mcp_tools") or given.get("operation", "")
    where = "/".join(given[name] for name in ("account", "region") if name in given)
    whom = given.get("profile") or given.get("ads_account", "")
    duration = f"{float(given['duration_ms']):.0f} ms" if "duration_ms" in given else ""
    attempts = f"{given['attempts']} attempts" if given.get("attempts", "1") not in ("0", "1") else ""
    named, client = "" if operation == "unknown" else operation, given.get("client", "")
    found = (named, whom, where, client, given.get("verdict", ""), attempts, duration)
    return [text for text in found if text]


def _joined(words: list[str]) -> str:
    return "".join(f"  {word}" for word in words)


def _cut(text: str, room: int) -> str:
    return text if len(text) <= room else text[: max(0, room - len(_CUT))] + _CUT


def _problem_text(given: Mapping[str, str], columns: int) -> list[str]:
    words = [given[name] for name in ("refusal", "fault", "detail") if name in given] or _failed_items(given)
    words += [given["violations"]] if "violations" in given and "refusal" not in given else []
    if not words:
        return []
    words += [f"(from {given['address']})"] if "address" in given else []
    words += [f"[{given[name]}]" for name in ("request_id", "amazon_request_id") if name in given]
    return _wrapped(" ".join(words), columns, indent=_INDENT)


def _judged(judged: Mapping[str, object]) -> dict[str, str]:
    """The words about a write that was judged: its verdict, and why it would have been refused."""
    verdict = escaped(str(judged.get("verdict", "")))
    if verdict == "within":
        return {"verdict": "within limits"}
    if approver := judged.get("approver"):
        verdict = f"{verdict} by {escaped(str(approver))}"
    found = judged.get("violations")
    violations = (
        [violation_in_words(each) for each in found if isinstance(each, dict)] if isinstance(found, list) else []
    )
    unread = judged.get("unread")
    reasons = "; ".join([*violations, *(map(str, unread) if isinstance(unread, list) else ())])
    return {"verdict": f"spend: {verdict}", "violations": f"spend: {verdict}: {escaped(reasons)}"}


def violation_in_words(said: Mapping[str, object]) -> str:
    """A violation in words, such as `budget 500 USD, limit 200 (campaigns[0].budget.budget)`."""
    value = " ".join(str(said[name]) for name in ("value", "currency") if said.get(name))
    limit = f"limit {said['limit']}" if said.get("limit") is not None else "no limit for it"
    path = f" ({said['path']})" if said.get("path") else ""
    return f"{said.get('rule', '')} {value}, {limit}{path}"


def change_in_words(said: Mapping[str, object]) -> str:
    """A member that a write sets in words, such as `campaign/123 budget.budget: 100 -> 500`."""
    before, after = said.get("before"), said.get("after")
    whose = said.get("object") or ("unknown object" if before is None else "new object")
    was = "not known" if before is None else before or "none"
    return f"{whose} {said.get('member')}: {was} {'unchanged' if before == after else f'-> {after}'}"


def _failed_items(given: Mapping[str, str]) -> list[str]:
    """The words about a write that failed, wholly or in part, although its status reports success."""
    status, outcome = given.get("status", ""), given.get("outcome", "")
    if outcome not in ("partial", "failure") or status.startswith(("4", "5")):
        return []
    return [f"{outcome} although {status}" + (f": {given['items']}" if "items" in given else "")]


def _wrapped(text: str, columns: int, indent: str = "") -> list[str]:
    return textwrap.wrap(
        text,
        columns,
        initial_indent=indent,
        subsequent_indent=_INDENT,
        break_long_words=False,
        break_on_hyphens=False,
    )
