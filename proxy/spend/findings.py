"""What a write would change that money depends on: amounts, adjustments, states, strategies. Pure.

A body is walked once, next to the tree of the rows that the table of money fields has for its operation. Each member
with a row is a finding. A number without a row, under a name that sounds like money, makes the write unreadable. So
does everything else that may be money to another reader: a shape that the table does not have, a name that differs
from one of the table in case or punctuation only, JSON inside of texts. What the findings mean is for `judge`.
"""

from __future__ import annotations

import re
from decimal import Context, Decimal
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from proxy.audit.changed_objects import ObjectKind, name_object, own_kind, own_members
from proxy.http1.target import query_parameters
from proxy.mcp.tools import GIVEN, INVOKE, INVOKED, LITE, operation_of
from proxy.routing.operations import Effect
from proxy.spend.currencies import COUNTRY_CURRENCIES
from proxy.spend.limits import plain_state
from proxy.spend.table import ANY_MEMBER, ANY_TOOL, ITEM, MONEY, WHOLE, FieldNode, FieldReading, Kind
from proxy.strict_json import JsonTexts, UnclearBody, differ_clearly

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from proxy.routing.operations import Operation, Operations
    from proxy.spend.table import CurrencySource, MoneyField, WriteForm

    _Act = Callable[["_Reader", Any, "_Node", "_Place", "_Step"], None]
    """What is done with the value at a step from a place, which a node is about."""
    _Step = str | int | None
    """The name of a member, or the index of an item; None for the whole body."""
    _Place = tuple["_Place", _Step, Any] | tuple["_Place", _Step] | str | None
    """Where a value is: the place around it, the step to it from there, and the value itself where that is an object or
    a list. None is the whole body. A path becomes a text below a place without rows, and where a sentence or a finding
    is asked for."""
    _Named = tuple[ObjectKind, dict[str, Any], "_Named | None"] | None
    """The item by which the object of a finding is named: the kind of the objects in its list, the item, and the item
    around it that counts where it is a new one."""
    _Form = tuple[tuple[tuple[str, "_Node", Mapping[type, _Act | None]], ...], int, bool]
    """The members of objects that have the same names: each name with the node of its place and what is to be done with
    a value there, by its type. Then how many these are, 0 where their names do not differ clearly, and whether the
    object itself says something of money."""
    FoundMember = tuple[_Place, Kind, Decimal | str | None, str, "_Named | str", bool, int]
    """What a `Finding` is made of."""

PAGE: Final = "docs/reference/money-fields.md"
_BUDGET, _STATE, _NOTE = Kind.BUDGET, Kind.STATE, Kind.NOTE
_FACTOR, _WITH_BUDGET = FieldReading.FACTOR, FieldReading.WORD_WITH_BUDGET
"""By names of their own: to find a member of an Enum takes longer than to read a value."""
MAX_DEPTH: Final = 128
"""How many objects and lists without rows may be around a value: no write of Amazon's has ten."""
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


class WriteFindings(NamedTuple):
    """All findings of a write. `unread` are sentences about what cannot be read, and `unknown` the names behind them.
    `created` objects are new, and the list of the write has so many `items`: none where it has several lists.

    The `members` are those of the findings, whose paths and objects are not made into texts yet: most writes need
    none of these."""

    members: tuple[FoundMember, ...]
    unread: tuple[str, ...]
    unknown: tuple[str, ...]
    created: int
    items: int

    @property
    def findings(self) -> tuple[Finding, ...]:
        """The findings, in the order of the body."""
        return tuple(
            Finding(path_text(place), kind, value, currency, _object_text(named), known, item)
            for place, kind, value, currency, named, known, item in self.members
        )


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
    return RestRequest(operation, method, path, media_type, payer).walk(content)[0]


class RestRequest:
    """A request to the API, without its content. Where the operation is known, the path does not matter."""

    __slots__ = ("_payer", "_unknown", "_with_body", "_without")

    def __init__(self, operation: Operation | None, method: str, path: str, media_type: bytes, payer: Payer) -> None:
        self._payer = payer
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
        name, tree, archives, refused = self._without if content is None else self._with_body
        if tree is None:
            return _unreadable(refused, name, f"media type of {name}"), 0
        reader = _Reader(name, self._payer)
        reader.read(tree, content, archives=archives, refused=refused)
        return reader.findings(), reader.met


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
        one.members + other.members,
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
    reader = _Reader(name, payer)
    given = {} if arguments is None else arguments
    if _BODY in tree.members and not (isinstance(given, dict) and _BODY in given):
        reader.refuse((None, _BODY), "is missing. It holds what the call changes.")
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
_MAX_PLAIN: Final = 24
"""Characters of a number without an exponent that is none of an absurd size."""
_MAX_EXPONENT: Final = 30
_LARGEST: Final = 10**_MAX_EXPONENT
_EXACT: Final = Context(prec=200)


def _plain_text(text: str) -> str:
    """A name for records and metrics, short and without anything that a reader could stumble on."""
    return _UNPLAIN.sub(_UNTOLD, text)[:160]


def _shown(name: str) -> str:
    """The name of a member that the table does not have, fit for a path."""
    return name if _NAME.fullmatch(name) else _UNTOLD


def path_text(place: _Place) -> str:
    """The path to a place, such as `campaigns[0].budget`; empty for the whole body."""
    steps = ""
    while place is not None and not isinstance(place, str):
        step = place[1]
        if step is not None:
            steps = (f"[{step}]" if isinstance(step, int) else f".{_shown(step)}") + steps
        place = place[0]
    return f"{place}{steps}" if place else steps.removeprefix(".")


def _objects_around(place: _Place) -> list[dict[str, Any]]:
    """The objects around a member or an item of the object or list at a place with rows, the outermost one first."""
    found: list[dict[str, Any]] = []
    while place is not None and len(place) == 3 and not isinstance(place, str):
        around, _, value = place
        if isinstance(value, dict):
            found.append(value)
        place = around
    return found[::-1]


def _object_text(named: _Named | str) -> str:
    """The object that a finding belongs to, `campaign/123`; empty for a new one, and for none."""
    while named is not None and not isinstance(named, str):
        kind, item, around = named
        if text := name_object(kind, map(item.get, own_members(kind, item))):
            return text
        named = around
    return named or ""


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
    are the nodes of all other members, without money and with it, and None for a node of these itself; below it, texts
    are read where one `reads_texts`. `takes_object` and `takes_list` tell that one of these may stand here. The items
    of a list are `objects` of one kind, where that is known. `told` remembers what the row, of that `kind`, finds in
    texts. `source` is that of an amount's currency, None for the payer's.

    `acts` are what is to be done with a value here, by its type. `forms` remembers the members of objects here by their
    names."""

    __slots__ = (
        *("acts", "alike", "any_member", "beyond", "caps", "creates", "field", "forms", "holds", "is_money"),
        *("is_outside", "is_portfolio", "item", "kind", "members", "objects", "read", "reads_texts", "source", "state"),
        *("takes_list", "takes_object", "told"),
    )

    def __init__(
        self, *, is_money: bool = False, alike: frozenset[str] = frozenset(), reads_texts: bool = False
    ) -> None:
        self.members: dict[str, _Node] = {}
        self.item: _Node | None = None
        self.any_member: _Node | None = None
        self.field: MoneyField | None = None
        self.read: _Act | None = None
        self.is_money = is_money
        self.alike = alike
        self.creates = self.caps = False
        self.state = ""
        self.holds = ""
        self.objects: ObjectKind | None = None
        self.kind = _NOTE
        self.is_portfolio = False
        self.reads_texts = reads_texts
        self.is_outside = False
        self.takes_object = self.takes_list = True
        self.beyond = (self, self)
        self.source: CurrencySource | None = None
        self.told: dict[str, str] = {}
        self.acts: dict[type, _Act | None] = {}
        self.forms: dict[tuple[str, ...], _Form] = {}

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


def _grow(
    sources: Sequence[FieldNode],
    created: tuple[str, ...] | None,
    outside: _Node,
    *,
    name: str = "",
    is_money: bool = False,
) -> _Node:
    """The node of the same place in several trees, of which the first one's rows win. `name` is the nearest one of a
    member on the way to it, and `created` are the steps from it to new objects. `outside` is where no row is."""
    node = _Node(is_money=is_money, reads_texts=outside.reads_texts)
    node.beyond = outside.beyond
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
        node.members[each] = _grow(inner, left if each == step else None, outside, name=each, is_money=has_money)
    items = [source.item for source in sources if source.item is not None]
    if items or step == ITEM:
        node.item = _grow(items, left if step == ITEM else None, outside, name=name, is_money=is_money)
    others = [source.any_member for source in sources if source.any_member is not None]
    if others:
        node.any_member = _grow(others, None, outside, name=name, is_money=is_money)
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
    is_open = not node.holds and node.read is None
    node.takes_object, node.takes_list = is_open or has_members, is_open or has_items
    below = [*node.members.values(), *filter(None, (node.item, node.any_member))]
    is_budget = any(each.caps or (each.field is not None and each.field.kind is _BUDGET) for each in below)
    node.caps = node.is_money and is_budget
    node.acts = _acts_of(node)


@lru_cache(maxsize=512)
def _tree_of(form: WriteForm) -> _Node:
    parts = reversed(form.operation.split("/"))
    return _grow(
        (form.root,), form.created, _WARY, name=next((part for part in parts if own_kind(part) is not None), "")
    )


@lru_cache(maxsize=512)
def _tree_of_tool(own: WriteForm | None, mapped: WriteForm | None) -> _Node:
    """The rows of an MCP tool, those of all MCP tools, and below `body` those of the operation of its name."""
    everybodys = MONEY.forms(ANY_TOOL).get("")
    sources = [form.root for form in (own, everybodys) if form is not None]
    created = own.created if own is not None else None
    if mapped is not None:
        sources.append(FieldNode(members={_BODY: mapped.root}))
        created = created or (None if mapped.created is None else (_BODY, *mapped.created))
    tree = _grow(sources, created, _WARY_TOOL)
    if own is None and mapped is None:
        tree.beyond, tree.alike = _LENIENT_TOOL.beyond, frozenset()
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


class _Reader:
    """The findings of one write of the named operation. `met` counts the members of objects whose names differ
    clearly."""

    __slots__ = (
        *(
            "_budgeted",
            "_created",
            "_paid_in",
            "_depth",
            "_found",
            "_index",
            "_items",
            "_key",
            "_lists",
            "_object",
            "_operation",
        ),
        *("_start", "_unknown", "_unread", "_waiting", "met"),
    )

    def __init__(self, operation: str, payer: Payer) -> None:
        self._operation, self._paid_in = operation, payer[0]
        self._found: list[FoundMember] = []
        self._unread: dict[tuple[str, str], str] = {}
        self._unknown: dict[str, None] = {}
        self._created = self._items = self._lists = self.met = 0
        self._index, self._key = -1, ""
        self._object: _Named = None
        """What the current member belongs to: the item of the outermost list, -1 for none, the name at `*`, and the
        item that names the object."""
        self._depth = 0
        """How many objects and lists without rows are around the current member."""
        self._waiting: list[_Place] = []
        """The places of words that are harmless next to a budget only, in the current item, and before its budget."""
        self._start = self._budgeted = 0
        """How many findings there were before the last item began, and up to the last budget."""

    def findings(self) -> WriteFindings:
        found = self._found
        if self._lists > 1:  # no response tells which list its items are of
            found = [(*each[:-1], -1) for each in found]
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
            self._note(None, _STATE, "archived")
        if content is None:
            return
        act = tree.acts[type(content)]
        if act is not None:
            act(self, content, tree, None, None)
        if type(content) is dict and tree.takes_object:
            self._end_item(tree, None, 0, 0)

    def _note(self, place: _Place, kind: Kind, value: Decimal | str | None) -> None:
        """Note a finding."""
        self._found.append((place, kind, value, "", self._object, kind is not Kind.UNKNOWN, self._index))

    def refuse(self, place: _Place, flaw: str, *, has_row: bool = True) -> None:
        """Note what makes the write unreadable: what is wrong with a member, and what to do. Said once for all items
        of a list. `has_row` tells whether a row is about the member."""
        if len(self._unread) >= MAX_UNREAD:
            return
        path = path_text(place)
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

    # --- Objects and lists -----------------------------------------------------------------------------

    def _members(self, value: dict[str, Any], node: _Node, place: _Place, step: _Step) -> None:
        """Read an object member by member."""
        names = tuple(value)
        members, clear, is_special = node.forms.get(names) or _form_of(node, names)
        self.met += clear
        here = (place, step, value)
        if is_special:
            self._begin(value, node, here)
        for name, child, acts in members:
            each = value[name]
            act = acts[type(each)]
            if act is not None:
                act(self, each, child, here, name)

    def _begin(self, value: dict[str, Any], node: _Node, here: _Place) -> None:
        """Begin an object that is new, or empty."""
        if not value and node.caps:
            self.refuse(here, _EMPTY)
        if node.creates:
            self._created += 1
            if not node.state or node.state not in value:
                self._note((here, node.state or _STATE_MEMBER), _STATE, "enabled")

    def _keyed(self, value: Any, node: _Node, place: _Place, step: _Step) -> None:
        """Read a member that is at `*` in the rows."""
        outer, self._key = self._key, f"{step}"
        act = node.acts[type(value)]
        assert act is not None
        act(self, value, node, place, step)
        self._key = outer

    def _without_rows(self, value: Any, node: _Node, place: _Place, step: _Step) -> None:
        """Read an object or a list that no row is about. Its path is a text, as it may be deep."""
        if self._depth >= MAX_DEPTH:
            self.refuse(None, "is nested too deeply. Send a flat one.")
            return
        self._depth += 1
        read = self._members if type(value) is dict else self._list
        read(value, node, path_text((place, step))[:_MAX_PATH], None)
        self._depth -= 1

    def _list(self, value: list[Any], node: _Node, place: _Place, step: _Step) -> None:
        """Read a list item by item. The outermost one is the list of the write. Of items without rows, one that may be
        money suffices."""
        here = (place, step, value)
        if not value and node.caps:
            self.refuse(here, _EMPTY)
        child = node.item or node.beyond[node.is_money]
        is_outer, object_, found, waiting = self._index < 0, self._object, self._found, self._waiting
        if is_outer and dict in map(type, value):
            self._lists += 1
            self._items = len(value)
        if not value and child.field is not None and child.read is _Reader._refused:
            child.read(self, value, child, here, None)
        acts, looks_at_all = child.acts, True
        read_object = acts[dict] if child.takes_object else None
        object_kind, is_portfolio, waited = node.objects, child.is_portfolio, len(waiting)
        for index, each in enumerate(value):
            if is_outer:
                self._index = index
            if read_object is not None and type(each) is dict:
                if object_kind is not None:
                    self._object = (object_kind, each, object_)
                start = self._start = len(found)
                read_object(self, each, child, here, index)
                if is_portfolio or len(waiting) > waited:
                    self._end_item(child, (here, index), start, waited)
                self._object = object_
                continue
            kind = type(each)
            act = acts[kind]
            if act is not None and (looks_at_all or kind is dict or kind is list):
                told = len(self._unread)
                act(self, each, child, here, index)
                looks_at_all = looks_at_all and (child.read is not None or len(self._unread) == told)
        if is_outer:
            self._index = -1

    def _end_item(self, node: _Node, place: _Place, start: int, waited: int) -> None:
        """Judge an object that stands for itself, one of a list or the whole body, once its members are read: those
        found from `start` on, and those words of it that wait for a budget."""
        waiting = self._waiting[waited:]
        del self._waiting[waited:]
        if self._budgeted > start:
            return
        for told in waiting:
            self.refuse(told, "changes what a budget means. Send the budget with it, in the same object.")
        if node.is_portfolio:
            self.refuse(place, "is a portfolio without a budget, and limits nothing. Send its budget.")

    # --- Values without rows ---------------------------------------------------------------------------

    def _alike(self, _value: object, _node: _Node, place: _Place, step: _Step) -> None:
        flaw = "may be a state, or a member of another spelling. Spell it as Amazon does."
        self.refuse((place, step), flaw, has_row=False)

    def _misshapen(self, _value: object, node: _Node, place: _Place, step: _Step) -> None:
        self.refuse((place, step), f"must be {node.holds}. Send it in this form.")

    def _money(self, value: Any, node: _Node, place: _Place, step: _Step) -> None:
        """Refuse a number, and a text that may be an amount, under a name that sounds like money."""
        if _may_be_amount(value):
            self._note((place, step), Kind.UNKNOWN, None)
            self.refuse((place, step), "may be money. Leave it out.", has_row=False)
        else:
            self._text(value, node, place, step)

    def _text(self, text: str, node: _Node, place: _Place, step: _Step) -> None:
        """Refuse a text that some server may read as JSON, if what it holds may be money. All of it may be, under a
        name that sounds like money."""
        is_money = node.is_money and node.field is None
        if ("{" in text or "[" in text or "\\" in text) and _holds_money(text, is_money=is_money):
            self.refuse((place, step), "is a text with JSON in it. Send the object or the list itself.")

    # --- Values of rows --------------------------------------------------------------------------------

    def _told(self, value: str, node: _Node, place: _Place, step: _Step) -> None:
        """Note what was found in the same text before, or read it."""
        told = node.told.get(value)
        if told is None:
            assert node.read is not None
            node.read(self, value, node, place, step)
        elif told:
            self._found.append(((place, step), node.kind, told, "", self._object, True, self._index))

    def _told_with_budget(self, value: str, node: _Node, place: _Place, step: _Step) -> None:
        """Pass a word that was found before to be harmless next to a budget, or read it. Each is a note, and none is a
        finding."""
        if value not in node.told:
            self._word(value, node, place, step)
        elif self._budgeted <= self._start:
            self._waiting.append((place, step))

    def _refused(self, _value: object, node: _Node, place: _Place, step: _Step) -> None:
        """Refuse a member that no limit can be compared with."""
        self.refuse((place, step), f"cannot be limited. {node.row.note}".rstrip() + " Leave it out.")

    def _refuse_value(self, value: object, place: _Place, flaw: str) -> None:
        self.refuse(place, flaw if value is not None else "is null, which may lift a limit. Send a value.")

    def _state(self, value: object, node: _Node, place: _Place, step: _Step) -> None:
        if isinstance(value, str) and _WORD.fullmatch(value):
            self._note((place, step), node.kind, node.remember(value, plain_state(value)))
        else:
            self._refuse_value(value, (place, step), "is no state. Send the name of one.")

    def _date(self, value: object, node: _Node, place: _Place, step: _Step) -> None:
        if isinstance(value, str) and _DAY.search(value):
            self._note((place, step), node.kind, node.remember(value, value))
        elif isinstance(value, int) and not isinstance(value, bool) and _DAY.search(str(value)):
            self._note((place, step), node.kind, str(value))
        else:
            self._refuse_value(
                value, (place, step), "is no date, which may lift a limit. Send one as a text, or leave it out."
            )

    def _word(self, value: object, node: _Node, place: _Place, step: _Step) -> None:
        """Read a word that is harmless, or one that is harmless next to a budget."""
        field = node.row
        word = str(value).lower() if isinstance(value, str | bool) else ""
        if word not in field.words:
            harmless = f"Send one of: {', '.join(sorted(field.words))}." if field.words else "Leave it out."
            self._refuse_value(value, (place, step), f"may spend more than the amounts of the write say. {harmless}")
            return
        told = "" if node.kind is _NOTE else word
        node.remember(str(value), told)  # a boolean is read as the text that it is written as
        if field.reading is _WITH_BUDGET and self._budgeted <= self._start:
            self._waiting.append((place, step))
        if told:
            self._note((place, step), node.kind, told)

    def _currency(self, value: object, node: _Node, place: _Place, step: _Step) -> None:
        """Check the currency of the amounts next to it, which are read with it."""
        if not isinstance(value, str) or not _CODE.fullmatch(value):
            self._refuse_value(value, (place, step), "is no currency. Send a code of three letters.")
        else:
            node.remember(value, "")

    def _adjustment(self, value: object, node: _Node, place: _Place, step: _Step) -> None:
        number = _number(value)
        if number is None:
            self._refuse_value(value, (place, step), "is no number that can be judged. Send a plain JSON number.")
            return
        if node.row.reading is _FACTOR:
            number = _EXACT.multiply(_EXACT.subtract(number, Decimal(1)), Decimal(100))
        self._note((place, step), node.kind, number)

    def _payers_amount(self, value: Decimal, node: _Node, place: _Place, step: _Step) -> None:
        """Note an amount in the payer's currency, or read it where anything is odd about it."""
        text, found, kind = str(value), self._found, node.kind
        if len(text) > _MAX_PLAIN or text[0] == "-" or "E" in text or not self._paid_in:
            self._amount(value, node, place, step)
            return
        found.append(((place, step), kind, value, self._paid_in, self._object, True, self._index))
        if kind is _BUDGET:
            self._budgeted = len(found)

    def _amount(self, value: object, node: _Node, place: _Place, step: _Step) -> None:
        number = _number(value)
        if number is None or (number.is_signed() and number < 0):
            flaw = "is no amount that can be judged. Send a plain JSON number from 0 on."
            self._refuse_value(value, (place, step), flaw)
            return
        for currency in (self._paid_in,) if node.source is None else self._currencies(node.source, place, step):
            self._found.append(((place, step), node.kind, number, currency, self._object, True, self._index))
            if not currency:
                flaw = "is an amount without a known currency. Name the profile or the ads account."
                self.refuse((place, step), flaw)
        if node.kind is _BUDGET:
            self._budgeted = len(self._found)

    def _currencies(self, source: CurrencySource, around: _Place, step: _Step) -> tuple[str, ...]:
        """All currencies that an amount may be in: the one that the body names, those of its countries, and without
        countries the profile's. A body that names the wrong one gains nothing."""
        found: dict[str, None] = {}
        place, owners = (around, step), _objects_around(around)
        stated = owners[-1].get(source.sibling, "")
        if isinstance(stated, str) and _CODE.fullmatch(stated):
            found[stated.upper()] = None
        elif stated != "":
            self.refuse(place, f"is an amount whose {source.sibling} is no currency. Send a code of three letters.")
        named = [self._key] if source.key else []
        for owner in owners if source.country else ():
            given = owner.get(source.country, [])
            named += given if isinstance(given, list) else [given]
        for country in named:
            currency = COUNTRY_CURRENCIES.get(country.upper()) if isinstance(country, str) else None
            if currency is None:
                self.refuse(place, "is an amount in a country whose currency is not known. Name another country.")
            else:
                found[currency] = None
        if not named and self._paid_in:
            found[self._paid_in] = None
        return tuple(found) or ("",)


# --- What is to be done with a value ------------------------------------------------------------------------


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


def _reader_of(field: MoneyField) -> _Act | None:
    """How the value of a row is read; None where every value passes."""
    return _READERS.get(field.reading) if field.sure else _Reader._refused


_REMEMBERING: Final = frozenset((_Reader._state, _Reader._date, _Reader._word, _Reader._currency))
"""The readings that remember what they find in a text."""
_TYPES: Final = (dict, list, str, int, float, Decimal, bool, type(None))
"""The types of all values that JSON is decoded to."""


def _acts_of(node: _Node) -> dict[type, _Act | None]:
    """What is to be done with a value at a place, by its type; None for nothing."""
    return {kind: _act_of(node, kind) for kind in _TYPES}


def _act_of(node: _Node, kind: type) -> _Act | None:
    is_single = kind is not dict and kind is not list
    if node.read is not None and (is_single or not node.holds):
        if kind is Decimal and node.read is _Reader._amount and node.source is None:
            return _Reader._payers_amount
        if kind is not str or node.read not in _REMEMBERING:
            return node.read
        return _Reader._told_with_budget if node.row.reading is _WITH_BUDGET else _Reader._told
    if node.holds and (is_single or not (node.takes_object if kind is dict else node.takes_list)):
        return _Reader._misshapen
    if not is_single:
        return _Reader._without_rows if node.is_outside else _Reader._members if kind is dict else _Reader._list
    if node.is_money and (node.field is None or node.field.takes_words) and kind not in (bool, type(None)):
        return _Reader._money
    return _Reader._text if kind is str and (node.reads_texts or node.is_money) else None


def _outside(alike: frozenset[str], *, reads_texts: bool = False) -> _Node:
    """The node of all places that no row is about."""
    plain = _Node(alike=alike, reads_texts=reads_texts)
    money = _Node(is_money=True, alike=alike, reads_texts=reads_texts)
    plain.beyond = money.beyond = (plain, money)
    for node in plain.beyond:
        node.is_outside = True
        node.acts = _acts_of(node)
    return plain


_LENIENT: Final = _outside(frozenset())
_LENIENT_TOOL: Final = _outside(frozenset(), reads_texts=True)
"""All places in the body of an operation without rows, and in the arguments of an MCP tool without rows: texts there
may hold JSON."""
_WARY: Final = _outside(_STATES)
_WARY_TOOL: Final = _outside(_STATES, reads_texts=True)
"""The places without rows where there are rows: states are no secret ones."""
_ALIKE: Final = _Node()
"""The place of a member that may be another one to some reader."""
_ALIKE.acts = dict.fromkeys(_TYPES, _Reader._alike)
_ALIKE.takes_object = _ALIKE.takes_list = False


_MAX_FORMS: Final = 4096
_MAX_NAMES: Final = 1024
"""Characters of the names of one form."""
_REMEMBERED: Final[list[dict[tuple[str, ...], _Form]]] = []
"""The dictionary of each form that is remembered: clients choose the names."""


def _form_of(node: _Node, names: tuple[str, ...]) -> _Form:
    """The form of an object with these names; it is remembered."""
    members = []
    for name in names:
        child = node.members.get(name)
        if child is None:
            child = _known_beyond(node, name) if len(name) <= _MAX_SHOWN else _beyond(node, name)
        acts = child.acts
        if child is node.any_member:
            acts = {kind: act and _Reader._keyed for kind, act in acts.items()}
        members.append((name, child, acts))
    clear = len(names) if differ_clearly(names) else 0
    form: _Form = (tuple(members), clear, node.creates or (node.caps and not names))
    if sum(map(len, names)) <= _MAX_NAMES:
        if len(_REMEMBERED) >= _MAX_FORMS:
            for forms in _REMEMBERED:
                forms.clear()
            _REMEMBERED.clear()
        node.forms[names] = form
        _REMEMBERED.append(node.forms)
    return form


# --- JSON in texts ------------------------------------------------------------------------------------------


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
