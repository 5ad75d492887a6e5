"""Which objects a write names, and which of their members it sets: from its path, its request and its response. Pure.

An object is known by the name of the member that holds its id, `campaignId` or `campaignIdFilter`; ids are texts, also
where they came as numbers. Members are those of the objects in the request, one level deep. Their values are recorded
only if the configuration lists them (docs/reference/audit.md, What was changed).
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final

from proxy.events import ChangedObjects, MemberValue
from proxy.forwarding.write_outcome import find_results, read

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

MAX_OBJECTS: Final = 100
MAX_MEMBERS: Final = 100
MAX_VALUES: Final = 100
MAX_VALUE: Final = 256
"""Characters of a value."""
MAX_DEPTH: Final = 40
"""Levels of a body that are looked at."""


class ObjectKind(StrEnum):
    """What an id is the id of."""

    CAMPAIGN = "campaign"
    AD_GROUP = "ad-group"
    AD = "ad"
    KEYWORD = "keyword"
    TARGET = "target"
    PORTFOLIO = "portfolio"
    BUDGET_RULE = "budget-rule"


_ID_NAMES: Final[Mapping[ObjectKind, tuple[str, ...]]] = {
    ObjectKind.CAMPAIGN: ("campaign", "sourcecampaign", "associatedcampaign"),
    ObjectKind.AD_GROUP: ("adgroup", "sourceadgroup", "destinationadgroup"),
    ObjectKind.AD: ("ad",),
    ObjectKind.KEYWORD: ("keyword", "negativekeyword", "campaignnegativekeyword"),
    ObjectKind.TARGET: (
        *("target", "negativetarget", "campaignnegativetarget"),
        *("targetingclause", "negativetargetingclause", "campaignnegativetargetingclause"),
    ),
    ObjectKind.PORTFOLIO: ("portfolio",),
    ObjectKind.BUDGET_RULE: ("budgetrule",),
}
_KINDS: Final = {
    name + ending: kind for kind, names in _ID_NAMES.items() for name in names for ending in ("id", "ids", "idfilter")
}
"""By the name of the member in lower case, without underscores."""
_RULE_ID: Final = "ruleid"
"""That of a budget rule, in the operations on budget rules; others have rules of other kinds."""
_HOLDERS: Final = {
    **{f"{name}s": kind for kind, names in _ID_NAMES.items() for name in names},
    "productads": ObjectKind.AD,
    "budgetrulesdetails": ObjectKind.BUDGET_RULE,
}
"""The kind of the objects in a list, by the list's name or by the last segment of the path."""
_WRAPPERS: Final = frozenset(("body", "arguments", "args", "parameters", "params", "input"))
"""Members of the arguments of an MCP tool that hold the body, or the arguments of another tool."""
_TOOL_CALL: Final = "tools/call"
_ID: Final = re.compile(r"[A-Za-z0-9._:~-]{1,128}")
_MEMBER: Final = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,63}")


@dataclass(frozen=True, slots=True)
class WrittenPath:
    """What the path of a write says: the ids in it, by the names of the operation's parameters; its last segment that
    is no id; and whether it is about budget rules."""

    ids: tuple[tuple[str, str], ...] = ()
    collection: str = ""
    has_budget_rules: bool = False


def read_path(template: str, segments: tuple[bytes, ...]) -> WrittenPath:
    """`template` is that of the operation, empty for an unknown one."""
    texts = [segment.decode("utf-8", "replace") for segment in segments]
    parts = [part for part in template.split("/") if part] or texts
    pairs = list(zip(parts, texts, strict=False))
    ids = tuple((part[1:-1], text) for part, text in pairs if part.startswith("{"))
    literals = [text for part, text in pairs if not part.startswith("{")]
    collection = next((text for text in reversed(literals) if text.lower() in _HOLDERS), "")
    return WrittenPath(ids, collection, any(text.startswith("budgetRules") for text in literals))


def find_changes(
    path: WrittenPath, request: bytes | None, response: tuple[bytes, bytes | None], recorded: frozenset[str]
) -> ChangedObjects:
    """What a write names and sets. A body is None if it could not be kept or decoded. `response` is its content type
    and body; `recorded` are the members whose values are kept."""
    found = _Findings(path, recorded)
    for name, value in path.ids:
        found.take(name, value)
    unread = []
    try:
        found.read_request(_read(request))
    except (ValueError, RecursionError):
        unread.append("request")
    content_type, body = response
    try:
        for content in find_results(content_type, _present(body)):
            found.walk(content)
    except (ValueError, RecursionError):
        unread.append("response")
    return found.changes(tuple(unread))


def _present(body: bytes | None) -> bytes:
    if body is None:
        raise ValueError("there is no body to be read")
    return body


def _read(body: bytes | None) -> Any:
    found = _present(body)
    return read(found) if found.strip() else None


@dataclass(slots=True)
class _Findings:
    """What was found so far, each thing once."""

    path: WrittenPath
    recorded: frozenset[str]
    objects: dict[str, None] = field(default_factory=dict)
    members: dict[str, None] = field(default_factory=dict)
    values: list[MemberValue] = field(default_factory=list)

    def changes(self, unread: tuple[str, ...]) -> ChangedObjects:
        objects = tuple(self.objects)
        return ChangedObjects(
            objects=objects[:MAX_OBJECTS],
            further=max(0, len(objects) - MAX_OBJECTS),
            members=tuple(self.members),
            values=tuple(self.values),
            unread=unread,
        )

    def read_request(self, content: Any) -> None:
        for body in _bodies(content):
            self.walk(body)
            for holder, item in _items(body):
                self._read_item(holder or self.path.collection, item)

    def walk(self, content: Any) -> None:
        """Every id at any level, in their order."""
        left = [(content, 0)]
        while left:
            value, depth = left.pop()
            if isinstance(value, dict):
                for name, each in value.items():
                    self.take(name, each)
                inner: Iterable[Any] = value.values()
            else:
                inner = value if isinstance(value, list) else ()
            if depth < MAX_DEPTH:
                left.extend((each, depth + 1) for each in reversed([*inner]) if isinstance(each, dict | list))

    def take(self, name: str, value: Any) -> None:
        """The ids in a member of this name, if it is one that holds ids."""
        kind = self._kind_of(name)
        if kind is not None:
            self.objects.update((f"{kind}/{identifier}", None) for identifier in _ids(value))

    def _kind_of(self, name: str) -> ObjectKind | None:
        plain = _plain(name)
        is_rule = plain == _RULE_ID and self.path.has_budget_rules
        return ObjectKind.BUDGET_RULE if is_rule else _KINDS.get(plain)

    def _read_item(self, holder: str, item: dict[str, Any]) -> None:
        """One object that is to be made or changed: the names of its members, and the values that are kept."""
        kind = _HOLDERS.get(_plain(holder))
        own = [each for name, value in item.items() if self._kind_of(name) is kind for each in _ids(value)]
        object_ = f"{kind}/{own[0]}" if kind is not None and own else ""
        for name, value in item.items():
            if self._kind_of(name) is not None or not _MEMBER.fullmatch(name):
                continue
            if len(self.members) < MAX_MEMBERS:
                self.members[name] = None
            if name in self.recorded and len(self.values) < MAX_VALUES:
                self.values.append(MemberValue(object_, name, _text(value)))


# --- The parts of a body ---------------------------------------------------------------------------------


def _plain(name: str) -> str:
    return name.replace("_", "").lower()


def _ids(value: Any) -> Iterator[str]:
    """The ids of a member: one, a list of them, or a filter that includes some."""
    given = value.get("include") if isinstance(value, dict) else value
    for each in given if isinstance(given, list) else [given]:
        text = str(each) if isinstance(each, str | int) and not isinstance(each, bool) else ""
        if _ID.fullmatch(text):
            yield text


def _bodies(content: Any) -> Iterator[Any]:
    """The body of a request to the API: itself, or what the arguments of MCP's tools hold."""
    messages = content if isinstance(content, list) else [content]
    if not any(isinstance(each, dict) and "jsonrpc" in each for each in messages):
        yield content
        return
    for message in messages:
        params = message.get("params") if isinstance(message, dict) and message.get("method") == _TOOL_CALL else None
        if isinstance(params, dict):
            yield from _unwrapped(params.get("arguments"), MAX_DEPTH)


def _unwrapped(arguments: Any, levels: int) -> Iterator[Any]:
    inner = [arguments[name] for name in sorted(_WRAPPERS & arguments.keys())] if isinstance(arguments, dict) else []
    inner = [each for each in inner if isinstance(each, dict)]
    if not inner or not levels:
        yield arguments
    for each in inner:
        yield from _unwrapped(each, levels - 1)


def _items(body: Any) -> Iterator[tuple[str, dict[str, Any]]]:
    """The objects that a body is about, each with the name of the list that holds it, empty for none."""
    if isinstance(body, list):
        yield from (("", each) for each in body if isinstance(each, dict))
        return
    if not isinstance(body, dict):
        return
    lists = {name: value for name, value in body.items() if _has_objects(value)}
    for name, value in lists.items():
        yield from ((name, each) for each in value if isinstance(each, dict))
    yield "", {name: value for name, value in body.items() if name not in lists}


def _has_objects(value: Any) -> bool:
    return isinstance(value, list) and any(isinstance(each, dict) for each in value)


def _text(value: Any) -> str:
    """A value as text, so that all have one type; numbers keep their digits."""
    text = value if isinstance(value, str) else json.dumps(value, separators=(",", ":"))
    return text[:MAX_VALUE]
