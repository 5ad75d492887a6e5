"""What a write would change that money depends on: amounts, adjustments, states, strategies. Pure.

A body is walked once, next to the tree of the rows that the table of money fields has for its operation. Each member
with a row is a finding. A number without a row, under a name that sounds like money, makes the write unreadable. So
does everything else that may be money to another reader: a shape that the table does not have, a name that differs
from one of the table in case or punctuation only, JSON inside of texts. What the findings mean is for `judge`.
"""

from __future__ import annotations

import re
from decimal import Context, Decimal
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any, Final, NamedTuple, cast

from proxy.audit.changed_objects import ObjectKind, name_object, own_kind, own_members
from proxy.http1.target import query_parameters
from proxy.mcp.tools import GIVEN, INVOKE, INVOKED, LITE, operation_of
from proxy.routing.operations import Effect
from proxy.spend.currencies import COUNTRY_CURRENCIES
from proxy.spend.limits import plain_state
from proxy.spend.table import ANY_MEMBER, ANY_TOOL, ITEM, MONEY, WHOLE, FieldNode, FieldReading, Kind
from proxy.strict_json import JsonTexts, UnclearBody

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from proxy.routing.operations import Operation, Operations
    from proxy.spend.table import CurrencySource, MoneyField, WriteForm

    _Read = Callable[["_Reader", Any, Any, str], None]
    """Reads the value of a row at a path."""

PAGE: Final = "docs/reference/money-fields.md"
_BUDGET, _STATE, _NOTE = Kind.BUDGET, Kind.STATE, Kind.NOTE
_FACTOR, _WITH_BUDGET = FieldReading.FACTOR, FieldReading.WORD_WITH_BUDGET
"""By names of their own: to find a member of an Enum takes longer than to read a value."""
MAX_UNREAD: Final = 100
"""The most sentences about one write; what is beyond them is as unreadable."""


class Payer(NamedTuple):
    """The currency (ISO 4217) and the time zone (IANA) of the profile or ads account that pays; empty if unknown."""

    currency: str
    timezone: str


class Finding(NamedTuple):
    """One member of a write that money depends on. `path` is its place in the body, such as
    `campaigns[0].budget.budget`. `value` is an amount, a percentage or a word. `object` is that of the item, such as
    `campaign/123`, empty for a new one. `known` tells whether the table of money fields has the member, and `item` is
    the index of its item in the list of the write, -1 outside of it."""

    path: str
    kind: Kind
    value: Decimal | str | None
    currency: str
    object: str
    known: bool
    item: int = -1


_finding: Final = cast("Callable[[tuple[object, ...]], Finding]", partial(tuple.__new__, Finding))
"""Makes a finding of its members in half the time that the class takes for it."""


class WriteFindings(NamedTuple):
    """All findings of a write. `unread` are sentences about what cannot be read, and `unknown` the names behind them.
    `created` objects are new, and the list of the write has so many `items`: none where it has several lists."""

    findings: tuple[Finding, ...]
    unread: tuple[str, ...]
    unknown: tuple[str, ...]
    created: int
    items: int


# --- Reading a write --------------------------------------------------------------------------------------

_JSON: Final = "application/json"
_IS_JSON: Final = re.compile(r"application/(?:[a-z0-9.+-]+\+)?json")
_BODY: Final = "body"
"""The argument of an MCP tool that holds what the body of its operation would hold."""


def row_name(operation: Operation | None, method: str, path: str) -> str:
    """The name of an operation in the table of money fields and in `spend.allow`, `POST /sp/campaigns`. An operation
    that no specification has is named by the path of the request."""
    return _plain_text(f"{method} {path}") if operation is None else f"{operation.method} {operation.template}"


def read_rest(
    operation: Operation | None, method: str, path: str, media_type: bytes, content: object, payer: Payer
) -> WriteFindings:
    """What a request to the API would change. `content` is its JSON with exact numbers, None without a body."""
    if operation is None:
        name = row_name(None, method, path)
        flaw = f"No specification has the operation `{name}`."
        return _unreadable(flaw, name, f"operation {name}")
    way = _way_of(operation, media_type, content is not None)
    if way.tree is None:
        return _unreadable(way.refused, way.name, f"media type of {way.name}")
    reader = _Reader(way.name, payer)
    reader.read(way.tree, content, archives=way.archives, refused=way.refused)
    return reader.findings()


def read_query(query: bytes) -> WriteFindings:
    """What makes a query unreadable: some servers take a parameter for a member of the body."""
    names = {name.decode("latin-1")[:64] for name, _ in query_parameters(query)}
    flaws = tuple(
        f"The parameter {name!r} may be money or a state. Send it in the body."
        for name in sorted(names)
        if may_be_money(name)
    )
    return WriteFindings((), flaws, ("a parameter",) if flaws else (), 0, 0)


def joined(one: WriteFindings, other: WriteFindings) -> WriteFindings:
    """The findings of two parts of a request."""
    return WriteFindings(
        one.findings + other.findings,
        one.unread + other.unread,
        one.unknown + other.unknown,
        one.created + other.created,
        one.items + other.items,
    )


@lru_cache(maxsize=2048)
def media_types_of(name: str) -> str:
    """The media types in which bodies of an operation are read, for a sentence; JSON where the table has none."""
    return " or ".join(sorted(filter(None, MONEY.forms(name)))) or _JSON


class _Way(NamedTuple):
    """How bodies of an operation are read: its name, the rows, whether it ends objects, and why it cannot be judged. A
    body that `refused` is about is not read where there is no tree."""

    name: str
    tree: _Node | None
    archives: bool
    refused: str


def _way_of(operation: Operation, media_type: bytes, has_body: bool) -> _Way:
    """How a body of this media type is read. Only short ones are remembered."""
    find = _known_way if len(media_type) <= _MAX_SHOWN else _known_way.__wrapped__
    return find(operation, media_type, has_body)


@lru_cache(maxsize=1024)
def _known_way(operation: Operation, media_type: bytes, has_body: bool) -> _Way:
    name = row_name(operation, "", "")
    forms = MONEY.forms(name)
    kind = media_type.partition(b";")[0].strip(b" \t").lower().decode("latin-1")
    form = forms.get(kind) or forms.get("")
    is_json = kind == _JSON or _IS_JSON.fullmatch(kind) is not None
    if (not is_json and (kind or has_body)) or (forms and form is None and has_body):
        return _Way(name, None, False, f"The body must be sent as Content-Type: {media_types_of(name)}.")
    if form is not None:
        return _Way(name, _tree_of(form), form.whole is not None, form.refused)
    archives = any(each.whole is not None for each in forms.values()) if forms else _archives(operation)
    return _Way(name, _LENIENT, archives, next((each.refused for each in forms.values() if each.refused), ""))


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
    own = MONEY.forms(f"MCP {tool}").get("")
    mapped = None if operation is None else _only_form(MONEY.forms(row_name(operation, "", "")))
    if own is None and (operation is None or operation.effect is Effect.READ):
        return _unreadable(f"The table of money fields has no row for `{name}`.", name, _plain_text(f"tool {tool}"))
    tree = _tree_of_tool(own, mapped)
    reader = _Reader(name, payer, is_tool=True)
    given = {} if arguments is None else arguments
    if _BODY in tree.members and not (isinstance(given, dict) and _BODY in given):
        reader.refuse(_BODY, "is missing. It holds what the call changes.")
    forms = [form for form in (own, mapped) if form is not None]
    archives = any(form.whole is not None for form in forms) or (
        not forms and operation is not None and _archives(operation)
    )
    reader.read(tree, given, archives=archives, refused=next((form.refused for form in forms if form.refused), ""))
    return reader.findings()


def _unreadable(flaw: str, operation: str, unknown: str) -> WriteFindings:
    return WriteFindings((), (f"{flaw} {_remedy(operation)}",), (unknown,), 0, 0)


def _remedy(operation: str) -> str:
    return f"{PAGE} has what can be judged. The operator can also list `{operation}` in `spend.allow`."


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


# --- Names and values -------------------------------------------------------------------------------------

_MAX_SHOWN: Final = 64
_MAX_PATH: Final = 256
"""Characters of the path to an object or a list without rows. What is nested deeper has the same path."""
_UNPLAIN: Final = re.compile(r"[^A-Za-z0-9_./{}:@* -]")
_NAME: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")
_UNTOLD: Final = "?"
_INDEX: Final = re.compile(r"\[[0-9]+\]")
_WORDS: Final = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")
_MONEY_WORDS: Final = frozenset(
    (
        *("adjustment", "adjustments", "cap", "caps", "charge", "charges", "cpa", "cpc", "cpm", "cpv", "credit"),
        *("credits", "fee", "fees", "limit", "limits", "money", "multiplier", "multipliers", "pay", "payment"),
        *("payments", "percent", "percentage", "percentages", "roas", "vcpm"),
    )
)
_MONEY_PARTS: Final = ("budget", "bid", "spend", "price", "cost", "amount", "currenc", "monetar")
_STATE_MEMBER: Final = "state"
"""The member that new objects lack which are enabled from the start, whatever their writer says."""
_STATES: Final = frozenset((_STATE_MEMBER, "status"))
_ID_WORDS: Final = frozenset(("id", "ids"))
_NUMBER: Final = re.compile(r"\s*([+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]{1,4})?)\s*")
_AMOUNT: Final = re.compile(
    r"(?:[\W_]*[A-Za-z]{3})?[\W_]*(?:0[xX][0-9a-fA-F]+|\d[\d.,_'\s]*(?:[eE][+-]?\d+)?[dDfF]?)[\W_]*(?:[A-Za-z]{3}[\W_]*)?"
)
"""A text that some reader takes for a number: with signs, blanks, separators, or a currency's sign or code on either
side."""
_WORD: Final = re.compile(r"[A-Za-z][A-Za-z_ -]{0,63}")
_CODE: Final = re.compile(r"[A-Za-z]{3}")
_DAY: Final = re.compile(r"[1-9]")
"""What each date has. A text without it, such as an empty one, may take a date away as null does."""
_MAX_DIGITS: Final = 64
_MAX_EXPONENT: Final = 30
_LARGEST: Final = 10**_MAX_EXPONENT
_EXACT: Final = Context(prec=200)


def _plain_text(text: str) -> str:
    """A name for records and metrics, short and without anything that a reader could stumble on."""
    return _UNPLAIN.sub(_UNTOLD, text)[:160]


def _shown(name: str) -> str:
    """The name of a member that the table does not have, fit for a path."""
    return name if _NAME.fullmatch(name) else _UNTOLD


def is_money_like(name: str) -> bool:
    """Whether the name of a member sounds like money: it has a word or a part that money is called by."""
    lower = name.lower()
    return any(part in lower for part in _MONEY_PARTS) or not _MONEY_WORDS.isdisjoint(_words(name))


def may_be_money(name: str) -> bool:
    """Whether a parameter of this name may be money, or a state, to a server that takes it for a member of a body."""
    return not _STATES.isdisjoint(_words(name)) or (is_money_like(name) and not _is_id(name))


def _words(name: str) -> list[str]:
    """The words of a name, split at case, underscores and hyphens."""
    return [word.lower() for word in _WORDS.findall(name)]


def _is_id(name: str) -> bool:
    """Whether the name is that of an id: ids of budget rules and bids are numbers, too."""
    words = _words(name)
    return bool(words) and words[-1] in _ID_WORDS


def _fold(name: str) -> str:
    """A name as readers find it that take no notice of case and punctuation."""
    return "".join(filter(str.isalnum, name.lower()))


def _number(value: Any) -> Decimal | None:
    """The number that a value is, exactly, in any spelling; None for anything else, and for absurd sizes."""
    kind = type(value)
    if kind is Decimal:
        number = value
    elif kind is int:
        return Decimal(value) if -_LARGEST < value < _LARGEST else None
    elif kind is str and len(value) <= _MAX_DIGITS and (text := _NUMBER.fullmatch(value)) is not None:
        number = Decimal(text[1])
    else:
        return None
    return number if -_MAX_EXPONENT <= number.adjusted() <= _MAX_EXPONENT and len(str(number)) <= _MAX_DIGITS else None


def _may_be_amount(value: object) -> bool:
    """Whether some reader takes a value for a number."""
    if isinstance(value, str):
        return _AMOUNT.fullmatch(value[: 2 * _MAX_DIGITS]) is not None
    return isinstance(value, int | float | Decimal) and not isinstance(value, bool)


# --- The tree of rows -------------------------------------------------------------------------------------


_MAX_TOLD: Final = 64
"""Texts that a node remembers: clients choose them."""


class _Node:
    """What the rows say of one place in a body. `read` reads the value of a row there, `holds` says which shapes the
    rows below it need, and `is_money` tells whether a name on the way to it sounds like money. `alike` are folded names
    that may mean one of the members. `creates` tells that an object here is new, and `state` is the member with its
    state. `caps` tells that this holds the budgets of an object, so that an empty value may take them away. `beyond`
    are the nodes of all other members, without money and with it. `matters` tells that a value here is looked at, also
    one that is neither an object nor a list; `takes_object` and `takes_list`, that one of these may stand here. The
    items of a list are `objects` of one kind, where that is known. `told` remembers what the row, of that `kind`, finds
    in texts. `source` is that of an amount's currency, None for the payer's."""

    __slots__ = (
        *("alike", "any_member", "beyond", "caps", "creates", "field", "holds", "is_money", "is_portfolio", "item"),
        *("kind", "matters", "members", "objects", "read", "source", "state", "takes_list", "takes_object", "told"),
    )

    def __init__(self, *, is_money: bool = False, alike: frozenset[str] = frozenset()) -> None:
        self.members: dict[str, _Node] = {}
        self.item: _Node | None = None
        self.any_member: _Node | None = None
        self.field: MoneyField | None = None
        self.read: _Read | None = None
        self.is_money = is_money
        self.alike = alike
        self.creates = self.caps = False
        self.state = ""
        self.holds = ""
        self.objects: ObjectKind | None = None
        self.kind = _NOTE
        self.is_portfolio = False
        self.matters = is_money
        self.takes_object = self.takes_list = True
        self.beyond = (self, self)
        self.source: CurrencySource | None = None
        self.told: dict[str, str] = {}

    @property
    def row(self) -> MoneyField:
        """The row of a node that has one."""
        assert self.field is not None
        return self.field

    def remember(self, text: str, told: str) -> str:
        """Remember what the row finds in a text, empty for nothing, and return it."""
        if text and len(text) <= _MAX_SHOWN:
            if len(self.told) >= _MAX_TOLD:
                self.told.clear()
            self.told[text] = told
        return told


def _outside(alike: frozenset[str]) -> _Node:
    """The node of all places that no row is about."""
    plain, money = _Node(alike=alike), _Node(is_money=True, alike=alike)
    plain.beyond = money.beyond = (plain, money)
    return plain


_LENIENT: Final = _outside(frozenset())
"""All places in the body of an operation without rows."""
_WARY: Final = _outside(_STATES)
"""The places without rows in the body of an operation with rows: states are no secret ones."""
_ALIKE: Final = _Node()
"""The place of a member that may be another one to some reader."""
_ALIKE.matters = True
_ALIKE.takes_object = _ALIKE.takes_list = False


def _grow(
    sources: Sequence[FieldNode], created: tuple[str, ...] | None, *, name: str = "", is_money: bool = False
) -> _Node:
    """The node of the same place in several trees, of which the first one's rows win. `name` is the nearest one of a
    member on the way to it, and `created` are the steps from it to new objects."""
    node = _Node(is_money=is_money)
    node.beyond = _WARY.beyond
    node.objects = own_kind(name)
    node.creates = created == ()
    node.field = next((source.field for source in sources if source.field is not None), None)
    step, left = (created[0], created[1:]) if created else ("", ())
    names = dict.fromkeys(each for source in sources for each in source.members)
    if step not in ("", ITEM, ANY_MEMBER):
        names[step] = None
    for each in names:
        inner = [source.members[each] for source in sources if each in source.members]
        has_money = is_money or is_money_like(each)
        node.members[each] = _grow(inner, left if each == step else None, name=each, is_money=has_money)
    items = [source.item for source in sources if source.item is not None]
    if items or step == ITEM:
        node.item = _grow(items, left if step == ITEM else None, name=name, is_money=is_money)
    others = [source.any_member for source in sources if source.any_member is not None]
    if others:
        node.any_member = _grow(others, None, name=name, is_money=is_money)
    _complete(node)
    return node


def _complete(node: _Node) -> None:
    """Set what follows from the rows of a node, and from the nodes below it."""
    node.alike = _STATES.union(map(_fold, node.members))
    fields = {name: child.field for name, child in node.members.items() if child.field is not None}
    node.state = next((name for name, field in fields.items() if field.kind is Kind.STATE), "")
    has_members, has_items = bool(node.members or node.any_member), node.item is not None
    node.holds = " or ".join(filter(None, ("an object" if has_members else "", "a list" if has_items else "")))
    if node.field is not None:
        node.read, node.kind = _reader_of(node.field), node.field.kind
        node.source = node.field.currency if any(node.field.currency) else None
    node.is_portfolio = node.creates and node.objects is ObjectKind.PORTFOLIO
    node.matters = node.read is not None or bool(node.holds) or node.is_money
    is_open = not node.holds and node.read is None
    node.takes_object, node.takes_list = is_open or has_members, is_open or has_items
    below = [*node.members.values(), *filter(None, (node.item, node.any_member))]
    is_budget = any(each.caps or (each.field is not None and each.field.kind is _BUDGET) for each in below)
    node.caps = node.is_money and is_budget


@lru_cache(maxsize=512)
def _tree_of(form: WriteForm) -> _Node:
    parts = reversed(form.operation.split("/"))
    return _grow((form.root,), form.created, name=next((part for part in parts if own_kind(part) is not None), ""))


@lru_cache(maxsize=512)
def _tree_of_tool(own: WriteForm | None, mapped: WriteForm | None) -> _Node:
    """The rows of an MCP tool, those of all MCP tools, and below `body` those of the operation of its name."""
    everybodys = MONEY.forms(ANY_TOOL).get("")
    sources = [form.root for form in (own, everybodys) if form is not None]
    created = own.created if own is not None else None
    if mapped is not None:
        sources.append(FieldNode(members={_BODY: mapped.root}))
        created = created or (None if mapped.created is None else (_BODY, *mapped.created))
    tree = _grow(sources, created)
    if own is None and mapped is None:
        tree.beyond, tree.alike = _LENIENT.beyond, frozenset()
    return tree


def _beyond(node: _Node, name: str) -> _Node:
    """The node of a member that the rows do not name."""
    if node.any_member is not None:
        return node.any_member
    if _fold(name) in node.alike:
        return _ALIKE
    return node.beyond[not _is_id(name) and (node.is_money or is_money_like(name))]


_known_beyond: Final = lru_cache(maxsize=4096)(_beyond)
"""Remembers the nodes of short names."""


# --- Walking a body ---------------------------------------------------------------------------------------


_EMPTY: Final = "is empty, which may lift a limit. Send a value, or leave it out."


_known_members: Final = lru_cache(maxsize=1024)(own_members)
"""Remembers which members name an object, where their names are short together."""


def _object_of(kind: ObjectKind, item: dict[str, Any], own: dict[tuple[str, ...], tuple[str, ...]]) -> str:
    """The object of an item, empty for a new one. `own` remembers which members name it."""
    names = tuple(item)
    members = own.get(names)
    if members is None:
        find = _known_members if sum(map(len, names)) <= _MAX_PATH else own_members
        members = own[names] = find(kind, names)
    return name_object(kind, map(item.get, members)) if members else ""


class _Reader:
    """The findings of one write of the named operation."""

    __slots__ = (
        *("_created", "_found", "_index", "_is_tool", "_items", "_key", "_lists", "_object", "_operation"),
        *("_owners", "_payer", "_payers", "_unknown", "_unread", "_waiting"),
    )

    def __init__(self, operation: str, payer: Payer, *, is_tool: bool = False) -> None:
        self._operation = operation
        self._payer = payer
        self._payers = (payer.currency,)
        self._is_tool = is_tool
        self._found: list[Finding] = []
        self._unread: dict[tuple[str, str], str] = {}
        self._unknown: dict[str, None] = {}
        self._created = 0
        self._items = self._lists = 0
        self._index, self._object, self._key = -1, "", ""
        """What the current member belongs to: the item of the outermost list, -1 for none, the object, and the name at
        `*`."""
        self._owners: list[dict[str, Any]] = []
        """The objects around the current member, the outermost one first."""
        self._waiting: list[str] = []
        """The paths of words that are harmless next to a budget only, in the current item."""

    def findings(self) -> WriteFindings:
        found = self._found
        if self._lists > 1:  # no response tells which list its items are of
            found = [Finding(*each[:-1], -1) for each in found]
            self._items = 0
        return WriteFindings(
            tuple(found), tuple(self._unread.values()), tuple(self._unknown), self._created, self._items
        )

    def read(self, tree: _Node, content: object, *, archives: bool, refused: str = "") -> None:
        """Read a body. `archives` tells that the operation itself ends objects, `refused` why it cannot be judged."""
        if refused:
            self._unread[("", "")] = f"`{self._operation}` cannot be judged. {refused} {_remedy(self._operation)}"
            self._unknown[f"operation {self._operation}"] = None
        if archives:
            self._note("", _STATE, "archived")
        if content is None:
            return
        try:
            if isinstance(content, dict) and tree.takes_object:
                self._members(content, tree, "")
                self._end_item(tree, "", 0, 0)
            else:
                self._any(content, tree, "")
        except RecursionError:
            self.refuse("", "is nested too deeply. Send a flat one.")

    def _note(self, path: str, kind: Kind, value: Decimal | str | None, currency: str = "", known: bool = True) -> None:
        """Note a finding."""
        self._found.append(_finding((path, kind, value, currency, self._object, known, self._index)))

    def refuse(self, path: str, flaw: str, *, has_row: bool = True) -> None:
        """Note what makes the write unreadable: what is wrong with a member, and what to do. Said once for all items
        of a list. `has_row` tells whether a row is about the member."""
        if len(self._unread) >= MAX_UNREAD:
            return
        generic = _INDEX.sub(ITEM, path)
        if (generic, flaw) in self._unread:
            return
        shown = f"`{path}`" if path else "The body"
        row = f"row `{generic or WHOLE}` of `{self._operation}` in {PAGE}"
        told = f"The {row} tells how it is read." if has_row else f"A {row} would make it readable."
        self._unread[(generic, flaw)] = (
            f"{shown} {flaw} {told} The operator can also list `{self._operation}` in `spend.allow`."
        )
        self._unknown[f"field {generic or WHOLE}"] = None

    def _any(self, value: Any, node: _Node, path: str) -> None:
        """Read a value at a place: an object or a list member by member, anything else as the row has it."""
        kind = type(value)
        is_single = kind is not dict and kind is not list
        if node.read is not None and (is_single or not node.holds):
            node.read(self, node, value, path)
        elif node is _ALIKE:
            self.refuse(
                path, "may be a state, or a member of another spelling. Spell it as Amazon does.", has_row=False
            )
        elif node.holds and (is_single or not (node.takes_object if kind is dict else node.takes_list)):
            self.refuse(path, f"must be {node.holds}. Send it in this form.")
        elif kind is list:
            self._list(value, node, path[:_MAX_PATH])
        elif kind is dict:
            self._members(value, node, f"{path[:_MAX_PATH]}." if path else "")
        elif node.is_money and node.field is None and _may_be_amount(value):
            self._note(path, Kind.UNKNOWN, None, known=False)
            self.refuse(path, "may be money. Leave it out.", has_row=False)
        elif kind is str and (self._is_tool or node.is_money):
            self._text(value, path, is_money=node.is_money and node.field is None)

    def _members(self, value: dict[str, Any], node: _Node, prefix: str) -> None:
        """Read an object member by member. `prefix` is what their paths begin with."""
        if not value and node.caps:
            self.refuse(prefix[:-1], _EMPTY)
        if node.creates:
            self._created += 1
            if not node.state or node.state not in value:
                self._note(prefix + (node.state or _STATE_MEMBER), _STATE, "enabled")
        self._owners.append(value)
        members, is_tool = node.members, self._is_tool
        for name, each in value.items():
            kind = type(each)
            child = members.get(name)
            if child is None:
                child = _known_beyond(node, name) if len(name) <= _MAX_SHOWN else _beyond(node, name)
                if child.matters or kind is dict or kind is list or (is_tool and kind is str):
                    self._unnamed(each, child, prefix + _shown(name), name if child is node.any_member else self._key)
            elif kind is str and (told := child.told.get(each)) is not None:
                if told:
                    self._found.append(_finding((prefix + name, child.kind, told, "", self._object, True, self._index)))
            elif kind is dict and child.takes_object:
                self._members(each, child, f"{prefix}{name}.")
            elif kind is list and child.takes_list:
                self._list(each, child, prefix + name)
            elif child.read is not None:
                child.read(self, child, each, prefix + name)
            else:
                self._any(each, child, prefix + name)
        self._owners.pop()

    def _unnamed(self, value: Any, node: _Node, path: str, key: str) -> None:
        """Read a member that no row names. `key` is what is below it is the name at `*`."""
        outer, self._key = self._key, key
        self._any(value, node, path)
        self._key = outer

    def _list(self, value: list[Any], node: _Node, path: str) -> None:
        """Read a list item by item. The outermost one is the list of the write. Of items without rows, one that may be
        money suffices."""
        if not value and node.caps:
            self.refuse(path, _EMPTY)
        child = node.item or node.beyond[node.is_money]
        is_outer, object_, found, waiting = self._index < 0, self._object, self._found, self._waiting
        if is_outer and dict in map(type, value):
            self._lists += 1
            self._items = len(value)
        if not value and child.field is not None and child.read is _Reader._refused:
            child.read(self, child, value, path)
        own: dict[tuple[str, ...], tuple[str, ...]] = {}
        object_kind, takes_object, looks_at_all = node.objects, child.takes_object, child.matters or self._is_tool
        for index, each in enumerate(value):
            kind = type(each)
            if is_outer:
                self._index = index
            if kind is dict and takes_object:
                if object_kind is not None:
                    self._object = _object_of(object_kind, each, own) or object_
                start, waited = len(found), len(waiting)
                self._members(each, child, f"{path}[{index}].")
                if child.is_portfolio or len(waiting) > waited:
                    self._end_item(child, f"{path}[{index}]", start, waited)
                self._object = object_
            elif kind is dict or kind is list or looks_at_all:
                told = len(self._unread)
                self._any(each, child, f"{path}[{index}]")
                looks_at_all = looks_at_all and (child.read is not None or len(self._unread) == told)
        if is_outer:
            self._index = -1

    def _end_item(self, node: _Node, path: str, start: int, waited: int) -> None:
        """Judge an object that stands for itself, one of a list or the whole body, once its members are read: those
        found from `start` on, and those words of it that wait for a budget."""
        waiting = self._waiting[waited:]
        del self._waiting[waited:]
        if not (waiting or node.is_portfolio) or any(each.kind is _BUDGET for each in self._found[start:]):
            return
        for told in waiting:
            self.refuse(told, "changes what a budget means. Send the budget with it, in the same object.")
        if node.is_portfolio:
            self.refuse(path, "is a portfolio without a budget, and limits nothing. Send its budget.")

    # --- Values of rows --------------------------------------------------------------------------------

    def _refused(self, node: _Node, _value: object, path: str) -> None:
        """Refuse a member that no limit can be compared with."""
        self.refuse(path, f"cannot be limited. {node.row.note}".rstrip() + " Leave it out.")

    def _refuse_value(self, value: object, path: str, flaw: str) -> None:
        self.refuse(path, flaw if value is not None else "is null, which may lift a limit. Send a value.")

    def _state(self, node: _Node, value: object, path: str) -> None:
        if isinstance(value, str) and _WORD.fullmatch(value):
            self._note(path, node.kind, node.remember(value, plain_state(value)))
        else:
            self._refuse_value(value, path, "is no state. Send the name of one.")

    def _date(self, node: _Node, value: object, path: str) -> None:
        if isinstance(value, str) and _DAY.search(value):
            self._note(path, node.kind, node.remember(value, value))
        elif isinstance(value, int) and not isinstance(value, bool) and _DAY.search(str(value)):
            self._note(path, node.kind, str(value))
        else:
            self._refuse_value(value, path, "is no date, which may lift a limit. Send one as a text, or leave it out.")

    def _word(self, node: _Node, value: object, path: str) -> None:
        """Read a word that is harmless, or one that is harmless next to a budget."""
        field = node.row
        word = str(value).lower() if isinstance(value, str | bool) else ""
        if word not in field.words:
            harmless = f"Send one of: {', '.join(sorted(field.words))}." if field.words else "Leave it out."
            self._refuse_value(value, path, f"may spend more than the amounts of the write say. {harmless}")
            return
        told = "" if node.kind is _NOTE else word
        if field.reading is _WITH_BUDGET:
            self._waiting.append(path)
        else:
            node.remember(str(value), told)  # a boolean is read as the text that it is written as
        if told:
            self._note(path, node.kind, told)

    def _currency(self, node: _Node, value: object, path: str) -> None:
        """Check the currency of the amounts next to it, which are read with it."""
        if not isinstance(value, str) or not _CODE.fullmatch(value):
            self._refuse_value(value, path, "is no currency. Send a code of three letters.")
        else:
            node.remember(value, "")

    def _adjustment(self, node: _Node, value: object, path: str) -> None:
        number = _number(value)
        if number is None:
            self._refuse_value(value, path, "is no number that can be judged. Send a plain JSON number.")
            return
        if node.row.reading is _FACTOR:
            number = _EXACT.multiply(_EXACT.subtract(number, Decimal(1)), Decimal(100))
        self._note(path, node.kind, number)

    def _amount(self, node: _Node, value: object, path: str) -> None:
        number = _number(value)
        if number is None or (number.is_signed() and number < 0):
            self._refuse_value(value, path, "is no amount that can be judged. Send a plain JSON number from 0 on.")
            return
        for currency in self._payers if node.source is None else self._currencies(node.source, path):
            self._found.append(_finding((path, node.kind, number, currency, self._object, True, self._index)))
            if not currency:
                self.refuse(path, "is an amount without a known currency. Name the profile or the ads account.")

    def _currencies(self, source: CurrencySource, path: str) -> tuple[str, ...]:
        """All currencies that an amount may be in: the one that the body names, those of its countries, and without
        countries the profile's. A body that names the wrong one gains nothing."""
        found: dict[str, None] = {}
        stated = self._owners[-1].get(source.sibling, "")
        if isinstance(stated, str) and _CODE.fullmatch(stated):
            found[stated.upper()] = None
        elif stated != "":
            self.refuse(path, f"is an amount whose {source.sibling} is no currency. Send a code of three letters.")
        named = [self._key] if source.key else []
        for owner in self._owners if source.country else ():
            given = owner.get(source.country, [])
            named += given if isinstance(given, list) else [given]
        for country in named:
            currency = COUNTRY_CURRENCIES.get(country.upper()) if isinstance(country, str) else None
            if currency is None:
                self.refuse(path, "is an amount in a country whose currency is not known. Name another country.")
            else:
                found[currency] = None
        if not named and self._payer.currency:
            found[self._payer.currency] = None
        return tuple(found) or ("",)

    def _text(self, text: str, path: str, *, is_money: bool) -> None:
        """Refuse a text that some server may read as JSON, if what it holds may be money. All of it may be where
        `is_money`."""
        if ("{" in text or "[" in text or "\\" in text) and _holds_money(text, is_money=is_money):
            self.refuse(path, "is a text with JSON in it. Send the object or the list itself.")


_READERS: Final = {
    FieldReading.AMOUNT: _Reader._amount,
    FieldReading.PERCENT: _Reader._adjustment,
    FieldReading.FACTOR: _Reader._adjustment,
    FieldReading.STATE: _Reader._state,
    FieldReading.DATE: _Reader._date,
    FieldReading.WORD: _Reader._word,
    FieldReading.WORD_WITH_BUDGET: _Reader._word,
    FieldReading.CURRENCY: _Reader._currency,
    FieldReading.NOTHING: _Reader._refused,
}


def _reader_of(field: MoneyField) -> _Read | None:
    """How the value of a row is read; None where every value passes."""
    return _READERS.get(field.reading) if field.sure else _Reader._refused


_MAX_NESTED: Final = 4


def _holds_money(text: str, level: int = 0, *, is_money: bool = False) -> bool:
    """Whether a text is JSON in which a member may be money or a state, or that readers understand differently; or any
    JSON, where all `is_money`."""
    try:
        left: list[Any] = JsonTexts().read(text)[0]
    except UnclearBody:
        return True
    if is_money and left:
        return True
    while left:
        value = left.pop()
        if isinstance(value, dict):
            if any(is_money_like(name) or _fold(name) in _STATES for name in value):
                return True
            left.extend(value.values())
        elif isinstance(value, list):
            left.extend(value)
        elif isinstance(value, str) and (level >= _MAX_NESTED or _holds_money(value, level + 1)):
            return True
    return False
