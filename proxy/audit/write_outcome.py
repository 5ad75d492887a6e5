"""What the response to a write says of it: success, partial, failure, or unknown. Pure.

Amazon answers 207, and often 200, although some or all items of a write failed; MCP answers 200 also if a tool failed.
The forms are those of Amazon's specifications (docs/development/amazon.md, Results of writes):

- a list of succeeded and one of failed items, at the top or one level below it: `success` and `error` of
  version 3, Sponsored Brands version 4 and the unified API, and the same under other names;
- a list of items with a `code` each, at the top or as `responses`: version 2, Sponsored Display, budget rules;
- one object with a `code`;
- JSON-RPC messages, as JSON or as a stream of events.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, Final

from proxy.events import ItemCounts, Outcome, WriteOutcome
from proxy.http1.body_copy import LARGE, may_hold_results

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

UNKNOWN: Final = WriteOutcome(Outcome.UNKNOWN)
SUCCESS: Final = WriteOutcome(Outcome.SUCCESS)
FAILURE: Final = WriteOutcome(Outcome.FAILURE)
MULTI_STATUS: Final = 207

_SUCCEEDED: Final = frozenset(
    (
        "success",
        "successes",
        "successList",
        "succeedAccounts",
        "createTargetSuccessResults",
        "updateTargetSuccessResults",
    )
)
_FAILED: Final = frozenset(
    (
        *("error", "errors", "errorList", "failed", "failure", "failures", "failedAccounts", "partialSuccess"),
        *("createTargetErrorResults", "updateTargetErrorResults"),
    )
)
_RESULT_LISTS: Final = _SUCCEEDED | _FAILED
_PARTLY: Final = "partialSuccess"
"""Items of the unified API of which a part was refused. They count as failed, and the write had an effect."""
_GOOD_CODE: Final = re.compile("success|ok|created|accepted|2[0-9][0-9]", re.IGNORECASE)
"""A result's `code` is `SUCCESS`, or a status of HTTP: the specifications have no other for a success."""
_BAD_CODE: Final = re.compile(r"[3-9][0-9][0-9]|[A-Z]+(?:_[A-Z]+)+|[A-Za-z]+(?:Error|Exception)")
_SAID: Final = frozenset(("description", "details", "detail", "message", "errors"))
"""Members next to a `code` by which an object is a result, and not, say, a country."""
_NEVER_BEGUN: Final = (-32700, -32600, -32601, -32602)
"""Codes of JSON-RPC for a message that is not understood."""
_NONE: Final = object()
_LINE_END: Final = re.compile(rb"\r\n|\n|\r")
_EVENT_END: Final = re.compile(rb"(?:\r\n|\n|\r(?!\n)){2}")
_MARK: Final = b"\xef\xbb\xbf"
_MESSAGE_TYPES: Final = frozenset((b"event: message", b"event:message", b"event:", b"event: "))
"""The lines of an event's type by which it is a message, as it is without one."""


def judge_outcome(status: int, content_type: bytes, body: bytes | None) -> WriteOutcome:
    """The outcome of a write that Amazon answered with this status.

    `body` is the response's without any coding; None where it cannot be read: too large, or in an unknown coding.
    """
    if status >= 400:
        return FAILURE
    if not 200 <= status < 300 or body is None:
        return UNKNOWN
    told_nothing = UNKNOWN if status == MULTI_STATUS else SUCCESS
    if not body.strip():
        return told_nothing
    if not may_hold_results(content_type):
        return UNKNOWN
    try:
        messages, content = _read_response(content_type, body)
    except (ValueError, RecursionError):
        return UNKNOWN
    return (_of_content(content) or told_nothing) if messages is None else _of_messages(messages)


def judge_answer(content_type: bytes, body: bytes, identifier: object) -> WriteOutcome:
    """The outcome of the one JSON-RPC message with this id, as far as its answer proves it: unknown unless exactly one
    answer has the id. A server or a tool that fails may have changed something before. Only an error for a message that
    is not understood, and results of items, show what was not done."""
    try:
        messages, _ = _read_response(content_type, body) if body.strip() else (None, None)
    except (ValueError, RecursionError):
        return UNKNOWN
    answers = [each for each in messages or () if _is_message(each) and ("result" in each or "error" in each)]
    if len(answers) != 1 or answers[0].get("id") != identifier:
        return UNKNOWN
    error = answers[0].get("error", _NONE)
    if error is not _NONE and (not isinstance(error, dict) or error.get("code") not in _NEVER_BEGUN):
        return UNKNOWN
    found = _of_answer(answers[0])
    is_proven = error is not _NONE or found.items is not None or found.outcome is not Outcome.FAILURE
    return found if is_proven else UNKNOWN


def find_failed_items(content_type: bytes, body: bytes) -> frozenset[int]:
    """The positions of the items of a write that failed, as far as its response tells: of a list with a `code` each,
    and of failed items with an `index`. An item that is also among the succeeded ones did not fail.

    Raises `ValueError` or `RecursionError`."""
    messages, content = _read_response(content_type, body) if body.strip() else (None, None)
    if messages is not None:
        return frozenset()
    found = _failed_codes(content.get("responses") if isinstance(content, dict) else content)
    if found or not isinstance(content, dict):
        return found
    succeeded: set[int] = set()
    failed: set[int] = set()
    for holder in (content, *(value for value in content.values() if isinstance(value, dict))):
        succeeded.update(index for name in _SUCCEEDED | {_PARTLY} for index in _indices(holder.get(name)))
        failed.update(index for name in _FAILED - {_PARTLY} for index in _indices(holder.get(name)))
    return frozenset(failed - succeeded)


def _failed_codes(items: Any) -> frozenset[int]:
    """The positions of failed items in a list of results; none where it is another list."""
    if not isinstance(items, list) or _of_codes(items) is None:
        return frozenset()
    return frozenset(index for index, item in enumerate(items) if _has_failed(item))


def _indices(items: Any) -> Iterator[int]:
    """The `index` of each item of a list."""
    for item in items if isinstance(items, list) else ():
        index = item.get("index") if isinstance(item, dict) else None
        if isinstance(index, int) and not isinstance(index, bool):
            yield index


def find_results(content_type: bytes, body: bytes) -> Iterator[Any]:
    """What a response to a write holds of the API's: its JSON, or the results of items that MCP's tools pass through.

    Raises `ValueError` or `RecursionError`."""
    messages, content = _read_response(content_type, body) if body.strip() else (None, None)
    if messages is None:
        yield content
        return
    for result in (message.get("result") for message in messages if _is_message(message)):
        told = [
            each for each in _contents(result) if (said := _of_content(each)) is not None and said.items is not None
        ]
        yield from told[:1]


def _read_response(content_type: bytes, body: bytes) -> tuple[list[Any] | None, Any]:
    """Its messages, if they are those of JSON-RPC; else None, and its content."""
    if content_type[:17].lower() == b"text/event-stream":
        return [*_messages(body)], None
    content = read(body)
    entries = content if isinstance(content, list) else [content]
    return (entries, None) if entries and _is_message(entries[0]) else (None, content)


def read(body: bytes | str) -> Any:
    """The JSON of a body. Raises `ValueError` or `RecursionError`.

    A large one is read with a function in Python for each object, so that other threads have their turn meanwhile.
    """
    text = body if isinstance(body, str) else str(body.removeprefix(_MARK), "utf-8")
    return (_SMALL if len(body) < LARGE else _LARGE).decode(text)


def _object(members: list[tuple[str, Any]]) -> dict[str, Any]:
    return dict(members)


_SMALL: Final = json.JSONDecoder()
_LARGE: Final = json.JSONDecoder(object_pairs_hook=_object)


# --- Items and their results -----------------------------------------------------------------------------


def _of_content(content: Any) -> WriteOutcome | None:
    """What a body says of items, or by its own `code`; None where it says nothing."""
    if isinstance(content, list):
        return _of_codes(content)
    if not isinstance(content, dict):
        return None
    holders = (content, *(value for value in content.values() if isinstance(value, dict)))
    found = [each for each in map(_lists, holders) if each is not None]
    if found:
        counts = ItemCounts(sum(each.succeeded for each in found), sum(each.failed for each in found))
        return _of_counts(counts, partly=any(holder.get(_PARTLY) for holder in holders))
    responses = content.get("responses")
    of_items = _of_codes(responses) if isinstance(responses, list) else None
    return of_items or (FAILURE if _is_result(content) and _has_failed(content) else None)


def _lists(holder: dict[str, Any]) -> ItemCounts | None:
    """How long its lists of succeeded and failed items are; None where it has none. `errors` alone are not items'."""
    if _RESULT_LISTS.isdisjoint(holder):
        return None
    succeeded = [holder[name] for name in _SUCCEEDED & holder.keys() if isinstance(holder[name], list)]
    failed = {name: holder[name] for name in _FAILED & holder.keys() if isinstance(holder[name], list)}
    if not succeeded and failed.keys() <= {"errors"}:
        return None
    return ItemCounts(sum(map(len, succeeded)), sum(map(len, failed.values())))


def _of_codes(items: list[Any]) -> WriteOutcome | None:
    """What a list of results says; None where one of them is none."""
    if not items or not all(isinstance(item, dict) and _is_result(item) for item in items):
        return None
    failed = sum(map(_has_failed, items))
    return _of_counts(ItemCounts(len(items) - failed, failed))


def _is_result(item: dict[str, Any]) -> bool:
    """Whether an object's `code` says what became of something."""
    code = _code(item)
    return bool(code and (_GOOD_CODE.fullmatch(code) or _BAD_CODE.fullmatch(code) or _SAID & item.keys()))


def _has_failed(item: dict[str, Any]) -> bool:
    return not _GOOD_CODE.fullmatch(_code(item)) or bool(item.get("errors"))


def _code(item: dict[str, Any]) -> str:
    code = item.get("code")
    return str(code) if isinstance(code, str | int) else ""


def _of_counts(counts: ItemCounts, *, partly: bool = False) -> WriteOutcome:
    if not counts.failed:
        return WriteOutcome(Outcome.SUCCESS, counts)
    return WriteOutcome(Outcome.PARTIAL if counts.succeeded or partly else Outcome.FAILURE, counts)


# --- JSON-RPC --------------------------------------------------------------------------------------------


def _is_message(content: Any) -> bool:
    return isinstance(content, dict) and content.get("jsonrpc") == "2.0"


def _messages(body: bytes) -> Iterator[Any]:
    """The messages of a stream of events that has ended. An event without an end was never sent (WHATWG HTML, 9.2).

    One of another type than `message`, such as `ping`, holds none, whatever its data are.
    """
    for event in _EVENT_END.split(body.removeprefix(_MARK))[:-1]:
        lines = _LINE_END.split(event)
        if not _MESSAGE_TYPES.issuperset(line for line in lines if line.startswith(b"event:")):
            continue
        data = b"\n".join(line[5:].removeprefix(b" ") for line in lines if line.startswith(b"data:"))
        if data:
            content = read(data)
            yield from content if isinstance(content, list) else [content]


def _of_messages(messages: Iterable[Any]) -> WriteOutcome:
    """What the answers among messages say together: those that ask or report progress say nothing of the outcome."""
    answers = [each for each in messages if _is_message(each) and ("result" in each or "error" in each)]
    found = [_of_answer(each) for each in answers]
    if not found:
        return UNKNOWN
    counted = [each.items for each in found if each.items is not None]
    counts = ItemCounts(*map(sum, zip(*counted, strict=True))) if counted else None
    outcomes = {each.outcome for each in found}
    return WriteOutcome(outcomes.pop() if len(outcomes) == 1 else Outcome.PARTIAL, counts)


def _of_answer(message: dict[str, Any]) -> WriteOutcome:
    """The result of an MCP tool may hold what the API answered it with, as an object or as text; or it asks for more,
    and the call is sent again with that."""
    result = message.get("result")
    if "error" in message:
        return FAILURE
    if isinstance(result, dict) and result.get("resultType") == "input_required":
        return UNKNOWN
    said = next((each for each in map(_of_content, _contents(result)) if each is not None), None)
    if isinstance(result, dict) and result.get("isError"):
        return said if said is not None and said.outcome is not Outcome.SUCCESS else FAILURE
    return said or SUCCESS


def _contents(result: Any) -> Iterator[Any]:
    """What a result holds: an object, and texts that are JSON."""
    if not isinstance(result, dict):
        return
    yield result.get("structuredContent")
    blocks = result.get("content")
    for block in blocks if isinstance(blocks, list) else ():
        text = block.get("text") if isinstance(block, dict) else None
        if isinstance(text, str) and text.lstrip()[:1] in ("{", "["):
            try:
                yield read(text)
            except (ValueError, RecursionError):
                continue
