"""Which objects a write names, and which of their members it sets: from its path, its request and its response. Pure.

An object is known by the name of the member that holds its id, `campaignId` or `campaignIdFilter`; ids are texts, also
where they came as numbers. Members are those of the objects in the request, one level deep. Their values are recorded
only if the configuration lists them (docs/reference/audit.md, What was changed). What cannot be named is counted, so
that a record never seems complete where it is not.
"""

from __future__ import annotations

import json
import re
from dataclasses import field
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final

from proxy.audit.write_outcome import find_results
from proxy.events import ChangedObjects, MemberValue
from proxy.routing.ads_account import names_account
from proxy.value_classes import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

MAX_OBJECTS: Final = 100
MAX_MEMBERS: Final = 100
MAX_VALUES: Final = 100
MAX_VALUE: Final = 256
"""Characters of a value."""
MAX_CHARACTERS: Final = 8192
"""Characters of all values. The event loop masks secrets in them, which takes up to a microsecond for each."""


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
"""The id of a budget rule, in the operations on budget rules; others have rules of other kinds."""
_HOLDERS: Final = {
    **{f"{name}s": kind for kind, names in _ID_NAMES.items() for name in names},
    "productads": ObjectKind.AD,
    "budgetrulesdetails": ObjectKind.BUDGET_RULE,
}
"""The kind of the objects in a list, by the list's name or by the last segment of the path."""
_WRAPPERS: Final = frozenset(("body", "arguments", "args", "parameters", "params", "input"))
"""Members of the arguments of an MCP tool that hold the body, or the arguments of another tool."""
_TOOL_NAMES: Final = frozenset(("name", "tool", "toolname"))
"""Members next to the arguments of another MCP tool that name it."""
_TOOL_CALL: Final = "tools/call"
_ID: Final = re.compile(r"(?!0[0-9])[A-Za-z0-9._:~-]{1,128}")
"""An id in its only spelling: Amazon may read `" 5"`, `5.0` and `05` as 5, and a record would name another object."""
_MEMBER: Final = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,63}")


@dataclass(frozen=True, slots=True)
class WrittenPath:
    """What the path of a write says: the ids in it, by the names of the operation's parameters; its last segment that
    is no id; whether it is about budget rules; and whether it takes messages of MCP."""

    ids: tuple[tuple[str, str], ...] = ()
    collection: str = ""
    has_budget_rules: bool = False
    takes_messages: bool = False


def read_path(template: str, segments: tuple[bytes, ...], *, takes_messages: bool = False) -> WrittenPath:
    """`template` is that of the operation, empty for an unknown one."""
    texts = [segment.decode("utf-8", "replace") for segment in segments]
    parts = [part for part in template.split("/") if part] or texts
    pairs = list(zip(parts, texts, strict=False))
    ids = tuple((part[1:-1], text) for part, text in pairs if part.startswith("{"))
    literals = [text for part, text in pairs if not part.startswith("{")]
    collection = next((text for text in reversed(literals) if text.lower() in _HOLDERS), "")
    return WrittenPath(ids, collection, any(text.startswith("budgetRules") for text in literals), takes_messages)


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
        content, is_clear = _read_request(_present(request))
        found.read_request(content)
        unread += [] if is_clear else ["request"]
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


def _read_request(body: bytes) -> tuple[Any, bool]:
    """The JSON of a request, and whether no object in it has a name twice: readers differ in which of the values they
    take, and the last is here. Raises `ValueError` or `RecursionError`."""
    is_clear = True

    def make(members: list[tuple[str, Any]]) -> dict[str, Any]:
        nonlocal is_clear
        found = dict(members)
        is_clear = is_clear and len(found) == len(members)
        return found

    content = json.loads(body.decode("utf-8-sig"), object_pairs_hook=make) if body.strip() else None
    return content, is_clear


@dataclass(slots=True)
class _Findings:
    """What was found so far, each thing once; all values together have so many `characters`. `unnamed` counts ids that
    are in no spelling by which an object is known, `further_members` are the members beyond `MAX_MEMBERS`, and those
    whose names are not recorded."""

    path: WrittenPath
    recorded: frozenset[str]
    objects: dict[str, None] = field(default_factory=dict)
    members: dict[str, None] = field(default_factory=dict)
    values: list[MemberValue] = field(default_factory=list)
    unnamed: int = 0
    further_members: set[str] = field(default_factory=set)
    further_values: int = 0
    characters: int = 0

    def changes(self, unread: tuple[str, ...]) -> ChangedObjects:
        objects = tuple(self.objects)
        return ChangedObjects(
            objects=objects[:MAX_OBJECTS],
            further=max(0, len(objects) - MAX_OBJECTS) + self.unnamed,
            members=tuple(self.members),
            values=tuple(self.values),
            unread=unread,
            further_members=len(self.further_members),
            further_values=self.further_values,
        )

    def read_request(self, content: Any) -> None:
        if self.path.takes_messages:
            for arguments in _arguments(content):
                self._read_body(arguments, unwrapped(arguments))
        else:
            self._read_body(content, (content,))

    def _read_body(self, body: Any, parts: Iterable[Any]) -> None:
        """`parts` are those of the body that hold objects."""
        self.walk(body)
        for part in parts:
            for holder, item in items_of(part):
                self._read_item(holder or self.path.collection, item)

    def walk(self, content: Any) -> None:
        """Every id at any level, in their order."""
        left = [content]
        while left:
            value = left.pop()
            if isinstance(value, dict):
                for name, each in value.items():
                    self.take(name, each)
                inner: Iterable[Any] = value.values()
            else:
                inner = value if isinstance(value, list) else ()
            left.extend(each for each in reversed([*inner]) if isinstance(each, dict | list))

    def take(self, name: str, value: Any) -> None:
        """The ids in a member of this name, if it is one that holds ids."""
        kind = self._kind_of(name)
        if kind is None:
            return
        for identifier in ids_of(value):
            if identifier:
                self.objects[f"{kind}/{identifier}"] = None
            else:
                self.unnamed += 1

    def _kind_of(self, name: str) -> ObjectKind | None:
        return id_kind(name, has_budget_rules=self.path.has_budget_rules)

    def _read_item(self, holder: str, item: dict[str, Any]) -> None:
        """One object that is to be made or changed: the names of its members, and the values that are kept."""
        kind = own_kind(holder)
        own = own_members(kind, item, has_budget_rules=self.path.has_budget_rules)
        object_ = name_object(kind, map(item.get, own))
        for name, value in item.items():
            if self._kind_of(name) is not None:
                continue
            if name not in self.members and (len(self.members) >= MAX_MEMBERS or not _MEMBER.fullmatch(name)):
                self.further_members.add(name)
            else:
                self.members[name] = None
            if name in self.recorded:
                self._record(MemberValue(object_, name, _text(value) if self._has_room else ""))

    @property
    def _has_room(self) -> bool:
        """Whether another value may be recorded, if it is short."""
        return len(self.values) < MAX_VALUES and self.characters < MAX_CHARACTERS

    def _record(self, value: MemberValue) -> None:
        if self._has_room and self.characters + len(value.value) <= MAX_CHARACTERS:
            self.values.append(value)
            self.characters += len(value.value)
        else:
            self.further_values += 1


# --- The object of an item ------------------------------------------------------------------------------


def own_kind(holder: str) -> ObjectKind | None:
    """The kind of the objects in a list of this name, or at the end of a path; None for an unknown one."""
    return _HOLDERS.get(_plain(holder))


def own_members(kind: ObjectKind | None, names: Iterable[str], *, has_budget_rules: bool = True) -> tuple[str, ...]:
    """The members of an item that hold ids of its own kind."""
    if kind is None:
        return ()
    return tuple(name for name in names if id_kind(name, has_budget_rules=has_budget_rules) is kind)


def name_object(kind: ObjectKind | None, own: Iterable[Any]) -> str:
    """The object with the ids in these members, `KIND/ID`. Empty for a new one, and for several ids: it is unknown
    which of them Amazon takes."""
    found = {each for value in own for each in ids_of(value)}
    identifier = found.pop() if len(found) == 1 else ""
    return f"{kind}/{identifier}" if identifier else ""


def id_kind(name: str, *, has_budget_rules: bool = True) -> ObjectKind | None:
    """The kind of the objects whose ids a member of this name holds; None for other members."""
    plain = _plain(name)
    is_rule = plain == _RULE_ID and has_budget_rules
    return ObjectKind.BUDGET_RULE if is_rule else _KINDS.get(plain)


# --- The parts of a body ---------------------------------------------------------------------------------


def _plain(name: str) -> str:
    return name.replace("_", "").lower()


def ids_of(value: Any) -> Iterable[str]:
    """The ids of a member: one, a list of them, or a filter that includes some; empty for each that has another form,
    which may be an id to Amazon."""
    if type(value) is str:  # as most are
        return ((value if _ID.fullmatch(value) else ""),) if value else ()
    return _ids_in(value)


def _ids_in(value: Any) -> Iterator[str]:
    given = value
    if isinstance(value, dict):
        included = value.get("include", value)
        given = included or [value] if any(value.values()) else included
    for each in given if isinstance(given, list) else [given]:
        text = str(each) if isinstance(each, str | int) and not isinstance(each, bool) else ""
        if each not in (None, ""):
            yield text if _ID.fullmatch(text) else ""


def _arguments(content: Any) -> Iterator[Any]:
    """The arguments of each tool that a body calls by MCP."""
    for message in content if isinstance(content, list) else [content]:
        params = message.get("params") if isinstance(message, dict) and message.get("method") == _TOOL_CALL else None
        if isinstance(params, dict):
            yield params.get("arguments")


def unwrapped(arguments: Any) -> Iterator[Any]:
    """The arguments of an MCP tool without their wrappers: what these hold, and what is next to them, unless that names
    only the called MCP tool or the account. Raises `ValueError` if a wrapper, or all of it, is a text that may be JSON:
    some servers read it."""
    left = [arguments]
    while left:
        value = left.pop()
        names = sorted(_WRAPPERS & value.keys()) if isinstance(value, dict) else []
        if any(_may_be_json(each) for each in (value, *(value[name] for name in names))):
            raise ValueError("the arguments of an MCP tool are a text")
        wrapped = [name for name in names if isinstance(value[name], dict)]
        if not wrapped:
            yield value
            continue
        left.extend(value[name] for name in reversed(wrapped))
        beside = {name: each for name, each in value.items() if name not in wrapped and not _is_address(name)}
        if beside:
            yield beside


def _may_be_json(value: Any) -> bool:
    return isinstance(value, str) and value.lstrip()[:1] in ("{", "[")


def _is_address(name: str) -> bool:
    return _plain(name) in _TOOL_NAMES or names_account(name.encode("utf-8", "surrogatepass"))


def items_of(body: Any) -> Iterator[tuple[str, dict[str, Any]]]:
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
