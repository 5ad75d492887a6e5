"""What a write sets: each member of each object that its body names, with the value that the object has now. Pure.

An object is known as the audit knows it, `campaign/123`. A member is known by its path within the object, such as
`budget.budget` or `budgets[0].recurrenceTimePeriod`. Values are JSON texts in one spelling, so that equal values have
equal texts. A write that archives objects sets their `state`.
"""

from __future__ import annotations

import hashlib
import re
from enum import StrEnum
from itertools import islice
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from proxy.audit.changed_objects import (
    ObjectKind,
    id_kind,
    ids_of,
    items_of,
    name_object,
    own_kind,
    own_members,
    unwrapped,
)
from proxy.events import ValueChange
from proxy.mcp.tools import INVOKE
from proxy.spend.canonical_json import canonical_json
from proxy.spend.reading import find_invoked
from proxy.spend.table import MONEY

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from proxy.spend.present_values import WrittenBody

MAX_READ: Final = 100
"""Members of one write whose present values are asked for."""
MAX_VALUE: Final = 512
"""Characters of a value. A longer one is cut, and its digest follows, so that values which differ have other texts."""
MAX_PATH: Final = 256
_MAX_DEPTH: Final = 16
"""Levels of an object that have paths of their own; what is deeper is one value."""
_TOOL: Final = "MCP "
_NAME: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")
_UNTOLD: Final = "?"
_STATE: Final = "state"
_TOO_DEEP: Final = "..."
"""The text of a value that is nested too deep; it is no JSON."""
NO_MEMBER: Final = ""
"""The text of a member that an object does not have."""


class Verb(StrEnum):
    """What a write does with the objects in its body."""

    CREATE = "create"
    UPDATE = "update"
    DELETE = "delete"
    """Amazon archives the objects, or forgets them."""


class WrittenObject(NamedTuple):
    """An object that a write names: `KIND/ID`, empty for a new one and where it cannot be told. `members` are those
    that the write sets."""

    name: str
    kind: ObjectKind | None
    members: Mapping[str, Any]
    verb: Verb | None


# --- Values as texts ------------------------------------------------------------------------------------------


def _value_text(value: Any) -> str:
    """The text of a value in a change."""
    try:
        text = canonical_json(value)
    except RecursionError:
        return _TOO_DEEP
    return text if len(text) <= MAX_VALUE else _cut(text, MAX_VALUE)


def _cut(text: str, most: int) -> str:
    digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]
    end = f"... sha256:{digest}"
    return text[: most - len(end)] + end


# --- Objects of a write ---------------------------------------------------------------------------------------


def verb_of(operation: str) -> Verb | None:
    """What an operation does, by its name in the table of money fields: as the table says, else by its own words. None
    where neither tells it."""
    form = next(iter(MONEY.forms(operation).values()), None)
    if form is not None:
        return Verb(form.verb)
    if operation.startswith(_TOOL):
        word = operation.rpartition("-")[2].partition("_")[0]
        return next((verb for verb in Verb if verb == word), None)
    method, _, path = operation.partition(" ")
    if method == "DELETE" or "/delete" in path:
        return Verb.DELETE
    return Verb.UPDATE if method == "PUT" else None


def written_objects(written: WrittenBody, path_ids: Iterable[tuple[str, str]] = ()) -> tuple[WrittenObject, ...]:
    """The objects of a body. `path_ids` are the ids in the path of the request, by the names of the parameters."""
    operation, content = written
    if operation == f"{_TOOL}{INVOKE}":
        found = find_invoked(content)
        if found is None:
            return ()
        operation, content = f"{_TOOL}{found[0]}", found[1]
    verb = verb_of(operation)
    is_tool = operation.startswith(_TOOL)
    try:
        parts = [*map(_in_order, unwrapped(content) if is_tool else (content,))]
    except ValueError:
        return ()
    if verb is Verb.DELETE:
        given = [*path_ids, *(pair for part in parts if isinstance(part, dict) for pair in part.items())]
        return tuple(_archived(operation, given))
    collection = "" if is_tool else _collection_of(operation)
    found_items = ((holder or collection, item) for part in parts for holder, item in items_of(part) if item)
    written_items = (_written(holder, item, verb) for holder, item in found_items)
    return (*written_items, *(WrittenObject("", None, rest, verb) for part in parts if (rest := _rest_of(part))))


def _in_order(body: Any) -> Any:
    """A body with its members sorted: their order says nothing, and of a long write only the first changes are kept."""
    return dict(sorted(body.items())) if isinstance(body, dict) else body


def _rest_of(body: Any) -> dict[str, Any]:
    """What a body holds next to its objects: the other entries of lists with objects, and a body that is no object."""
    lists = body if isinstance(body, dict) else {"": body if isinstance(body, list) else [body]}
    others = {
        name: [each for each in value if not isinstance(each, dict)]
        for name, value in lists.items()
        if isinstance(value, list) and (name == "" or any(isinstance(each, dict) for each in value))
    }
    return {name: found for name, found in others.items() if found not in ([], [None])}


def _collection_of(operation: str) -> str:
    """The last segment of the path that names a kind of objects; of an MCP tool, the plural of what its name says."""
    if operation.startswith(_TOOL):
        return operation.rpartition("-")[2].partition("_")[2] + "s"
    segments = operation.partition(" ")[2].split("/")
    return next((segment for segment in reversed(segments) if own_kind(segment) is not None), "")


def _written(holder: str, item: dict[str, Any], verb: Verb | None) -> WrittenObject:
    kind = own_kind(holder)
    own = own_members(kind, item)
    name = "" if verb is Verb.CREATE else name_object(kind, map(item.get, own))
    members = {name_: value for name_, value in item.items() if not name or name_ not in own}
    return WrittenObject(name, kind, members, verb)


def _archived(operation: str, given: list[tuple[str, Any]]) -> Iterator[WrittenObject]:
    """The objects that a write archives, by the ids in it. Sponsored Display and version 3 of Sponsored Brands write
    states in small letters. What else a write says is shown as it is, so that no object is archived unseen; so is all
    that one says by which budget rules are taken off a campaign: they stay."""
    word = "archived" if operation.startswith("DELETE ") else "ARCHIVED"
    kind = own_kind(_collection_of(operation))
    if kind in (None, ObjectKind.BUDGET_RULE):
        yield WrittenObject("", None, dict(given), Verb.DELETE)
        return
    for identifier in (found for name, value in given if id_kind(name) is kind for found in ids_of(value)):
        yield WrittenObject(f"{kind}/{identifier}" if identifier else "", kind, {_STATE: word}, Verb.DELETE)
    rest = {name: value for name, value in given if id_kind(name) is not kind or not _names_all(value)}
    if rest:
        yield WrittenObject("", None, rest, Verb.DELETE)


def _names_all(value: Any) -> bool:
    """Whether the ids of a member are all that it says, each in the spelling by which an object is known."""
    return all(ids_of(value)) and (not isinstance(value, dict) or value.keys() == {"include"})


# --- Changes --------------------------------------------------------------------------------------------------

_Steps = tuple[str, str | None, str]
"""A path, and the texts before and after."""


def objects_to_read(objects: Iterable[WrittenObject]) -> Iterator[WrittenObject]:
    """The first objects of a write, those of its first `MAX_READ` members."""
    left = MAX_READ
    for each in objects:
        if left <= 0:
            return
        yield each
        left -= sum(1 for _ in islice(_flat("", each.members, 0), left))


def changes_of(objects: Iterable[WrittenObject], present: Mapping[str, Mapping[str, Any]]) -> tuple[ValueChange, ...]:
    """Each member that a write sets. `present` has the objects that were read, by name."""
    return tuple(change for each in objects for change in _changes_of(each, present.get(each.name)))


def _changes_of(written: WrittenObject, now: Mapping[str, Any] | None) -> Iterator[ValueChange]:
    if now is not None:
        for steps in _compared("", written.members, now, 0):
            yield ValueChange(written.name, *steps)
        return
    before = NO_MEMBER if written.verb is Verb.CREATE else None
    for path, value in _flat("", written.members, 0):
        yield ValueChange(written.name, _path_text(path), before, _value_text(value))


def _below(path: str, name: str) -> str:
    step = name if _NAME.fullmatch(name) else _UNTOLD
    return f"{path}.{step}" if path else step


def _path_text(path: str) -> str:
    return path if len(path) <= MAX_PATH else _cut(path, MAX_PATH)


def _has_paths(value: Any, depth: int) -> bool:
    """Whether the members of a value have paths of their own: those of an object, and of the objects in a list."""
    if depth >= _MAX_DEPTH or not value:
        return False
    return isinstance(value, dict) or (isinstance(value, list) and all(isinstance(each, dict) for each in value))


def _flat(path: str, value: Any, depth: int) -> Iterator[tuple[str, Any]]:
    """Each value that has a path of its own."""
    if not _has_paths(value, depth):
        yield path, value
    elif isinstance(value, dict):
        for name, each in sorted(value.items()):
            yield from _flat(_below(path, name), each, depth + 1)
    else:
        for index, each in enumerate(value):
            yield from _flat(f"{path}[{index}]", each, depth + 1)


class _Absent:
    """The value of a member that an object does not have."""


_ABSENT: Final = _Absent()


def _compared(path: str, after: Any, before: Any, depth: int) -> Iterator[_Steps]:
    """Each value that a write sets, with the present one; then what it takes away from a list."""
    if not _has_paths(after, depth):
        yield _path_text(path), _text_or_none(before), _value_text(after)
    elif isinstance(after, dict):
        known = before if isinstance(before, dict) else {}
        for name, each in sorted(after.items()):
            yield from _compared(_below(path, name), each, known.get(name, _ABSENT), depth + 1)
    else:
        entries = before if isinstance(before, list) else []
        for index, each in enumerate(after):
            now = entries[index] if index < len(entries) else _ABSENT
            yield from _compared(f"{path}[{index}]", each, now, depth + 1)
        for index in range(len(after), len(entries)):
            yield _path_text(f"{path}[{index}]"), _value_text(entries[index]), NO_MEMBER


def _text_or_none(value: Any) -> str:
    return NO_MEMBER if isinstance(value, _Absent) else _value_text(value)


# --- What has changed since -----------------------------------------------------------------------------------


class Difference(NamedTuple):
    """A member of an object whose present value is another than it was, None where there was or is no such value."""

    object: str
    member: str
    was: str | None
    now: str | None


def find_differences(seen: Iterable[ValueChange], found: Iterable[ValueChange]) -> tuple[Difference, ...] | None:
    """What differs between two readings of the same write. None where that cannot be told, as an object was read then
    and is not now. What was not known then is not compared."""
    before, now = ({each[:2]: each.before for each in changes} for changes in (seen, found))
    unread = {name for (name, _), value in now.items() if value is None}
    differing = []
    for key in {**before, **now}:
        was, present = before.get(key), now.get(key)
        if was is None and key in before:
            continue
        if was is not None and present is None and (key[0] in unread or not now):
            return None
        if was != present:
            differing.append(Difference(*key, was, present))
    return tuple(differing)
