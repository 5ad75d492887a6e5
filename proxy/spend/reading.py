"""Reading a write: which rows of the table of money fields its body is walked by, and what was found. Pure.

A write is a request to the API, or a call of an MCP tool. What the findings mean is for `judge`.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING, Final, NamedTuple

from proxy.http1.target import query_parameters
from proxy.mcp.tools import GIVEN, INVOKE, INVOKED, LITE, operation_of
from proxy.routing.operations import Administered, Effect
from proxy.spend.body_walk import BODY, LENIENT, MAX_SHOWN, BodyWalk, RowNode, tree_of, tree_of_tool
from proxy.spend.findings import WriteFindings, remedy
from proxy.spend.money_like import may_be_money
from proxy.spend.table import MONEY

if TYPE_CHECKING:
    from collections.abc import Mapping

    from proxy.routing.operations import Operation, Operations
    from proxy.spend.findings import Payer
    from proxy.spend.table import WriteForm

_JSON: Final = "application/json"
_IS_JSON: Final = re.compile(r"application/(?:[a-z0-9.+-]+\+)?json")
_CHARSET: Final = re.compile(rb';[ \t]*charset[ \t]*=[ \t]*"?([^"; \t]*)')
_UNPLAIN: Final = re.compile(r"[^A-Za-z0-9_./{}:@* -]")


def row_name(operation: Operation | None, method: str, path: str) -> str:
    """The name of an operation in the table of money fields and in `spend.allow`, `POST /sp/campaigns`. An operation
    that no specification has is named by the path of the request."""
    return _plain_text(f"{method} {path}") if operation is None else f"{operation.method} {operation.template}"


def _plain_text(text: str) -> str:
    """A name for records and metrics, short and without anything that a reader could stumble on."""
    return _UNPLAIN.sub("?", text)[:160]


def read_rest(
    operation: Operation | None, method: str, path: str, media_type: bytes, content: object, payer: Payer
) -> WriteFindings:
    """What a request to the API would change. `content` is its JSON with exact numbers, None without a body."""
    return RestRequest(operation, method, path, media_type, payer).walk(content)[0]


class RestRequest:
    """A request to the API, without its content. Where the operation is known, the path does not matter."""

    __slots__ = ("_administers", "_payer", "_unknown", "_with_body", "_without")

    def __init__(self, operation: Operation | None, method: str, path: str, media_type: bytes, payer: Payer) -> None:
        self._payer = payer
        self._administers = "" if operation is None else _administered(operation, row_name(operation, "", ""))
        if operation is None:
            self._unknown = row_name(None, method, path)
        else:
            self._with_body, self._without = (_way_of(operation, media_type, has_body) for has_body in (True, False))
            self._unknown = ""

    def walk(self, content: object) -> tuple[WriteFindings, int]:
        """What `read_rest` finds, and how many members it met in objects whose names differ clearly."""
        if self._unknown:
            flaw = f"No specification has the operation `{self._unknown}`."
            return _unreadable(flaw, self._unknown, f"operation {self._unknown}"), 0
        if self._administers:
            return _unreadable(self._administers, self._with_body.name, f"operation {self._with_body.name}"), 0
        name, tree, archives, refused = self._without if content is None else self._with_body
        if tree is None:
            return _unreadable(refused, name, f"media type of {name}"), 0
        reader = BodyWalk(name, self._payer)
        reader.read(tree, content, archives=archives, refused=refused)
        return reader.findings(), reader.met


def _administered(operation: Operation, name: str) -> str:
    """Why an operation that administers something is within no limit; empty for others."""
    if operation.administers is Administered.NOTHING:
        return ""
    return f"`{name}` cannot be judged. It administers {operation.administers}, and no limit on spending is about that."


def read_query(query: bytes) -> WriteFindings:
    """What makes a query unreadable: some servers take a parameter for a member of the body."""
    names = {name.decode("latin-1")[:64] for name, _ in query_parameters(query)}
    flaws = tuple(
        f"The parameter {name!r} may be money or a state. Send it in the body."
        for name in sorted(names)
        if may_be_money(name)
    )
    return WriteFindings((), flaws, ("a parameter",) if flaws else (), 0, 0)


@lru_cache(maxsize=2048)
def media_types_of(name: str) -> str:
    """The media types in which bodies of an operation are read, for a sentence; JSON where the table has none."""
    return " or ".join(sorted(filter(None, MONEY.forms(name)))) or _JSON


class _Way(NamedTuple):
    """How bodies of an operation are read: its name, the rows, whether it ends objects, and why it cannot be judged. A
    body that `refused` is about is not read where there is no tree."""

    name: str
    tree: RowNode | None
    archives: bool
    refused: str


def _way_of(operation: Operation, media_type: bytes, has_body: bool) -> _Way:
    """How a body of this media type is read. Only short ones are remembered."""
    find = _known_way if len(media_type) <= MAX_SHOWN else _known_way.__wrapped__
    return find(operation, media_type, has_body)


@lru_cache(maxsize=1024)
def _known_way(operation: Operation, media_type: bytes, has_body: bool) -> _Way:
    name = row_name(operation, "", "")
    forms = MONEY.forms(name)
    kind = media_type.partition(b";")[0].strip(b" \t").lower().decode("latin-1")
    form = forms.get(kind) or forms.get("")
    is_json = kind == _JSON or _IS_JSON.fullmatch(kind) is not None
    charset = _CHARSET.search(media_type.lower())
    if charset is not None and charset[1] != b"utf-8" and has_body:
        return _Way(name, None, False, f"The body must be sent as Content-Type: {media_types_of(name)}, in UTF-8.")
    if (not is_json and (kind or has_body)) or (forms and form is None and has_body):
        return _Way(name, None, False, f"The body must be sent as Content-Type: {media_types_of(name)}.")
    if form is not None:
        return _Way(name, tree_of(form), form.whole is not None, form.refused)
    archives = any(each.whole is not None for each in forms.values()) if forms else _archives(operation)
    return _Way(name, LENIENT, archives, next((each.refused for each in forms.values() if each.refused), ""))


def read_tool(tool: str, arguments: object, payer: Payer, operations: Operations) -> WriteFindings:
    """What a call of an MCP tool would change; of the tool that is called where `tool` is `INVOKE`. Paths begin at the
    arguments of the tool itself."""
    if tool == INVOKE:
        found = find_invoked(arguments)
        if found is None:
            said = (
                f"The arguments of {INVOKE} must be the name and the arguments of another MCP tool, and nothing else."
            )
            return _unreadable(said, f"MCP {INVOKE}", f"tool {INVOKE}")
        tool, arguments = found
    name = _plain_text(f"MCP {tool}")
    operation = operation_of(tool, operations)
    if operation is not None and operation.administers is not Administered.NOTHING:
        return _unreadable(_administered(operation, name), name, _plain_text(f"tool {tool}"))
    own = MONEY.forms(f"MCP {tool}").get("")
    mapped = None if operation is None else _only_form(MONEY.forms(row_name(operation, "", "")))
    if own is None and (operation is None or operation.effect is Effect.READ):
        return _unreadable(f"The table of money fields has no row for `{name}`.", name, _plain_text(f"tool {tool}"))
    tree = tree_of_tool(own, mapped)
    reader = BodyWalk(name, payer)
    given = {} if arguments is None else arguments
    if BODY in tree.members and not (isinstance(given, dict) and BODY in given):
        reader.refuse((None, BODY), "is missing. It holds what the call changes.")
    forms = [form for form in (own, mapped) if form is not None]
    archives = any(form.whole is not None for form in forms) or (
        not forms and operation is not None and _archives(operation)
    )
    reader.read(tree, given, archives=archives, refused=forms[0].refused if forms else "")  # its own rows know more
    return reader.findings()


def _unreadable(flaw: str, operation: str, unknown: str) -> WriteFindings:
    return WriteFindings((), (f"{flaw} {remedy(operation)}",), (unknown,), 0, 0)


def _archives(operation: Operation) -> bool:
    """Whether an operation without rows ends the objects that it names."""
    return operation.method == "DELETE" or "/delete/" in operation.template


def find_invoked(arguments: object) -> tuple[str, object] | None:
    """The MCP tool that `INVOKE` is to call, and its arguments; None where servers may read them in several ways."""
    if not isinstance(arguments, dict):
        return None
    names = [key for key in INVOKED if key in arguments]
    given = [key for key in arguments if key not in names]
    if len(names) != 1 or len(given) > 1 or not GIVEN.issuperset(given):
        return None
    tool = arguments[names[0]]
    if not isinstance(tool, str) or tool.startswith(LITE):
        return None
    return tool, arguments[given[0]] if given else {}


def _only_form(forms: Mapping[str, WriteForm]) -> WriteForm | None:
    """The form of an operation of the unified API, which takes plain JSON."""
    return forms.get(_JSON) or forms.get("")
