"""The write that would restore what an approved write changed, from its audit record. Pure.

The record has each member that the write set, with the value before. A member is restored as a whole: `budget` with all
that was known of it. What cannot be restored is told in sentences. Nothing is sent here.
"""

from __future__ import annotations

import json
import re
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from proxy.audit.changed_objects import ObjectKind, id_kind
from proxy.secret import MASK
from proxy.spend.canonical_json import canonical_json
from proxy.spend.present_reads import UNIFIED_NAMES, ObjectList, find_list
from proxy.spend.written_values import NO_MEMBER

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

_STEPS: Final = re.compile(r"([A-Za-z0-9_-]+)|\[([0-9]+)\]")
_PATH: Final = re.compile(r"[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+|\[[0-9]+\])*")
_JSON: Final = "application/json"
_UPDATE: Final = "/adsApi/v1/update/"


class UndoWrite(NamedTuple):
    """One request to the proxy. `headers` are those that Amazon needs, `body` is JSON."""

    method: str
    target: str
    headers: dict[str, str]
    body: str


class Undo(NamedTuple):
    """What would restore the values, and sentences about what it would not."""

    writes: tuple[UndoWrite, ...]
    left: tuple[str, ...]


class _Change(NamedTuple):
    """A member of an object, as the record has it."""

    object: str
    member: str
    before: str | None
    after: str

    @property
    def top(self) -> str:
        """The member of the object itself that it is in."""
        return re.split(r"[.\[]", self.member, maxsplit=1)[0]


class _Lost(Exception):
    """Why a member cannot be restored, in words that follow its name."""


def undo_of(record: Mapping[str, Any]) -> Undo:
    """The undoing of the write of an audit record."""
    event, own = _object(record.get("event")), _object(record.get("ads_proxy"))
    spend = _object(own.get("spend"))
    if event.get("action") != "amazon-write" or spend.get("verdict") != "approved":
        return Undo((), ("The record is not of a write that an approver approved: no other has the values before.",))
    if event.get("outcome") == "failure":
        return Undo((), ("The write failed as a whole: it changed nothing.",))
    left = [*_warnings(event, spend)]
    named: dict[str, list[_Change]] = {}
    for each in _changes(spend.get("changes")):
        named.setdefault(each.object, []).append(each)
    items: dict[str, dict[str, Any]] = {}
    for name, of_object in named.items():
        restored, lost = _restored(name, of_object)
        left += lost
        if restored:
            items[name] = restored
    writes, unset = _writes(record, items)
    left += unset
    if not writes and not left:
        left.append("The write set no value to another than it had.")
    return Undo(tuple(writes), tuple(left))


def _warnings(event: Mapping[str, Any], spend: Mapping[str, Any]) -> Iterator[str]:
    if event.get("outcome") == "partial":
        yield "Some items of the write failed, and the record does not tell which: they are set to what they were, too."
    elif event.get("outcome") != "success":
        yield "What became of the write is unknown: look at the objects first."
    further = spend.get("further_changes")
    if further:
        yield f"{further} further members that the write set are not in the record."


def _object(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _changes(value: Any) -> Iterator[_Change]:
    """The changes of a record, as far as they are such."""
    for each in value if isinstance(value, list) else []:
        found = _object(each)
        texts = [found.get(name) for name in ("object", "member", "after")]
        if all(isinstance(text, str) for text in texts):
            before = found.get("before")
            yield _Change(str(texts[0]), str(texts[1]), before if isinstance(before, str) else None, str(texts[2]))


# --- One object -----------------------------------------------------------------------------------------------


def _restored(name: str, changes: list[_Change]) -> tuple[dict[str, Any], list[str]]:
    """The members that restore an object, and sentences about those that are lost."""
    if not name:
        is_new = all(each.before == NO_MEMBER for each in changes)
        why = "The write created objects" if is_new else "The write changed objects whose ids are not known"
        return {}, [f"{why}: that cannot be undone{'; archive them instead' if is_new else ''}."]
    if any(each.member == "state" and each.after.lower() == '"archived"' for each in changes):
        return {}, [f"{name} was archived: Amazon does not let that be undone."]
    members: dict[str, list[_Change]] = {}
    for each in changes:
        members.setdefault(each.top, []).append(each)
    found, kept, lost = {}, {}, []
    for top, parts in members.items():
        try:
            if any(each.before != each.after for each in parts):
                found[top] = _value_of(parts)
            elif id_kind(top) is not None:  # some operations want the ids of what an object belongs to
                kept[top] = _value_of(parts)
        except _Lost as why:
            lost.append(f"{name}: {top} {why}.")
    return ({**kept, **found} if found else {}), lost


def _value_of(parts: list[_Change]) -> Any:
    """The value of a member before the write. Raises `_Lost`."""
    if any(each.before is None for each in parts):
        raise _Lost("was not known before the write")
    had = [each for each in parts if each.before != NO_MEMBER]
    if not had:
        raise _Lost("had no value before, and a write cannot take one away")
    tree: dict[Any, Any] = {}
    for each in had:
        _insert(tree, _steps(each.member), _decoded(each.before or ""))
    (value,) = tree.values()
    return _as_lists(value)


def _steps(member: str) -> list[str | int]:
    if not _PATH.fullmatch(member):
        raise _Lost("has a name that the record does not hold")
    return [name or int(index) for name, index in _STEPS.findall(member)]


def _decoded(text: str) -> Any:
    if MASK in text:
        raise _Lost("had a value that is masked in the record")
    try:
        return json.loads(text, parse_float=Decimal)
    except (ValueError, RecursionError):
        raise _Lost("had a value that is too long for the record") from None


def _insert(tree: dict[Any, Any], steps: list[str | int], value: Any) -> None:
    for step in steps[:-1]:
        tree = tree.setdefault(step, {})
    tree[steps[-1]] = value


def _as_lists(value: Any) -> Any:
    """A tree with lists for the objects whose members are places in a list."""
    if not isinstance(value, dict):
        return value
    if value and all(isinstance(step, int) for step in value):
        return [_as_lists(value[step]) for step in sorted(value)]
    return {name: _as_lists(each) for name, each in value.items()}


# --- Requests -------------------------------------------------------------------------------------------------


def _writes(record: Mapping[str, Any], items: Mapping[str, dict[str, Any]]) -> tuple[list[UndoWrite], list[str]]:
    """The requests that set these members of these objects, and sentences about those that no request can set."""
    path = str(_object(record.get("url")).get("path", ""))
    own = find_list(path)
    writes, rest = list[UndoWrite](), dict(items)
    for kind in UNIFIED_NAMES if own is None else (own.kind,):
        of_kind = {name: rest.pop(name) for name in items if name.startswith(f"{kind}/")}
        if of_kind:
            writes.append(_unified(record, kind, of_kind) if own is None else _earlier(record, path, own, of_kind))
    return writes, [f"{name}: no write of Amazon's is known that sets its members." for name in rest]


def _earlier(record: Mapping[str, Any], path: str, own: ObjectList, items: Mapping[str, dict[str, Any]]) -> UndoWrite:
    """A write of the APIs before the unified one. Ids are numbers where their lists are not asked for with POST."""
    is_number, media_type = own.method == "GET", own.media_type if own.method == "POST" else _JSON
    listed = [*_identified(own.id_name, items, is_number=is_number)]
    member = own.member if own.written is None else own.written
    return _request(record, "PUT", path, media_type, {member: listed} if member else listed)


def _unified(record: Mapping[str, Any], kind: ObjectKind, items: Mapping[str, dict[str, Any]]) -> UndoWrite:
    member, id_name = UNIFIED_NAMES[kind]
    listed = [*_identified(id_name, items, is_number=False)]
    return _request(record, "POST", f"{_UPDATE}{member}", _JSON, {member: listed})


def _identified(id_name: str, items: Mapping[str, dict[str, Any]], *, is_number: bool) -> Iterable[dict[str, Any]]:
    for name, item in items.items():
        identifier = name.partition("/")[2]
        yield {id_name: int(identifier) if is_number and identifier.isdecimal() else identifier, **item}


def _request(record: Mapping[str, Any], method: str, path: str, media_type: str, content: Any) -> UndoWrite:
    own = _object(record.get("ads_proxy"))
    headers = {"Content-Type": media_type, "Accept": media_type}
    if own.get("profile"):
        headers["Amazon-Advertising-API-Scope"] = str(own["profile"])
    if own.get("ads_account"):
        headers["Amazon-Ads-AccountId"] = str(own["ads_account"])
    target = f"/@{own.get('account', '')}/{own.get('region', '')}{path}"
    return UndoWrite(method, target, headers, canonical_json(content))
