"""A walk through the body of a write, next to the rows that the table of money fields has for its operation. Pure.

A body is walked once. Each member with a row is a finding. A number without a row, under a name that sounds like
money, makes the write unreadable. So does everything else that may be money to another reader: a shape that the table
does not have, a name that differs from one of the table in case or punctuation only, JSON inside of texts.
"""

from __future__ import annotations

import re
from decimal import Context, Decimal
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final, cast

from proxy.audit.changed_objects import ObjectKind, own_kind
from proxy.marketplaces import COUNTRY_CURRENCIES
from proxy.spend.findings import PAGE, WriteFindings, path_text, remedy
from proxy.spend.limits import plain_state
from proxy.spend.money_like import (
    STATE_MEMBER,
    STATES,
    fold,
    holds_money,
    is_id,
    is_money_like,
    may_be_amount,
    number_of,
)
from proxy.spend.table import ANY_MEMBER, ANY_TOOL, ITEM, MONEY, WHOLE, FieldNode, FieldReading, Kind
from proxy.strict_json import differ_clearly

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from proxy.spend.findings import FoundMember, Named, Payer, Place, Step
    from proxy.spend.table import CurrencySource, MoneyField, WriteForm

    _Act = Callable[["BodyWalk", Any, "RowNode", Place, Step], None]
    """What is done with the value at a step from a place, which a node is about."""
    _Form = tuple[tuple[tuple[str, "RowNode", Mapping[type, _Act | None]], ...], int, bool]
    """The members of objects that have the same names: each name with the node of its place and what is to be done with
    a value there, by its type. Then how many these are, 0 where their names do not differ clearly, and whether the
    object itself says something of money."""

_BUDGET, _STATE, _NOTE = Kind.BUDGET, Kind.STATE, Kind.NOTE
_FACTOR, _WITH_BUDGET = FieldReading.FACTOR, FieldReading.WORD_WITH_BUDGET
_SUMMED, _DATE_WITH_BUDGET = FieldReading.SUMMED_PERCENT, FieldReading.DATE_WITH_BUDGET
"""By names of their own: to find a member of an Enum takes longer than to read a value."""
MAX_DEPTH: Final = 128
"""How many objects and lists without rows may be around a value: no write of Amazon's has ten."""
MAX_UNREAD: Final = 100
"""The most sentences about one write; what is beyond them is as unreadable."""
BODY: Final = "body"
"""The argument of an MCP tool that holds what the body of its operation would hold."""
MAX_SHOWN: Final = 64
_MAX_PATH: Final = 256
"""Characters of the path to an object or a list without rows. What is nested deeper has the same path."""
_INDEX: Final = re.compile(r"\[[0-9]+\]")
_WORD: Final = re.compile(r"[A-Za-z][A-Za-z_ -]{0,63}")
_CODE: Final = re.compile(r"[A-Za-z]{3}")
_DAY: Final = re.compile(r"[1-9]")
"""What each date has. A text without it, such as an empty one, may take a date away as null does."""
_MAX_PLAIN: Final = 24
"""Characters of a number without an exponent that is none of an absurd size."""
_EXACT: Final = Context(prec=200)
_PLACEMENT: Final = "placement"
"""The member of an adjustment that tells where it holds."""
_ZERO: Final = Decimal(0)
_MOST_BY_FACTORS: Final = Decimal(900)
"""Amazon multiplies the factors of a rule that hold, to 10 at most."""


def _objects_around(place: Place) -> list[dict[str, Any]]:
    """The objects around a member or an item of the object or list at a place with rows, the outermost one first."""
    found: list[dict[str, Any]] = []
    while place is not None and len(place) == 3 and not isinstance(place, str):
        around, _, value = place
        if isinstance(value, dict):
            found.append(value)
        place = around
    return found[::-1]


_MAX_TOLD: Final = 64
"""Texts that a node remembers: clients choose them."""


class RowNode:
    """What the rows say of one place in a body. `read` reads the value of a row there, `holds` says which shapes the
    rows below it need, and `is_money` tells whether a name on the way to it sounds like money. `alike` are folded names
    that may mean one of the members. `creates` tells that an object here is new, and `state` is the member with its
    state. `caps` tells that this holds the budgets of an object, so that an empty value may take them away. `beyond`
    are the nodes of all other members, without money and with it, and None for a node of these itself; below it, texts
    are read where one `reads_texts`. A `strict` one takes words under a name that sounds like money for money, too.
    `takes_object` and `takes_list` tell that one of these may stand here. The items of a list are `objects` of one
    kind, where that is known. `told` remembers what the row, of that `kind`, finds in
    texts. `source` is that of an amount's currency, None for the payer's.

    `acts` are what is to be done with a value here, by its type. `forms` remembers the members of objects here by their
    names."""

    __slots__ = (
        *("acts", "alike", "any_member", "beyond", "caps", "creates", "field", "forms", "holds", "is_money"),
        *("is_outside", "is_portfolio", "item", "kind", "members", "objects", "read", "reads_texts", "source", "state"),
        *("strict", "takes_list", "takes_object", "told"),
    )

    def __init__(
        self,
        *,
        is_money: bool = False,
        alike: frozenset[str] = frozenset(),
        reads_texts: bool = False,
        strict: bool = False,
    ) -> None:
        self.members: dict[str, RowNode] = {}
        self.item: RowNode | None = None
        self.any_member: RowNode | None = None
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
        self.strict = strict
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
        if text and len(text) <= MAX_SHOWN:
            if len(self.told) >= _MAX_TOLD:
                self.told.clear()
            self.told[text] = told
        return told


def _grow(
    sources: Sequence[FieldNode],
    created: tuple[str, ...] | None,
    outside: RowNode,
    *,
    name: str = "",
    is_money: bool = False,
) -> RowNode:
    """The node of the same place in several trees, of which the first one's rows win. `name` is the nearest one of a
    member on the way to it, and `created` are the steps from it to new objects. `outside` is where no row is."""
    node = RowNode(is_money=is_money, reads_texts=outside.reads_texts, strict=outside.strict)
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


def _complete(node: RowNode) -> None:
    """Set what follows from the rows of a node, and from the nodes below it."""
    node.alike = STATES.union(map(fold, node.members))
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
def tree_of(form: WriteForm) -> RowNode:
    parts = reversed(form.operation.split("/"))
    return _grow(
        (form.root,), form.created, _WARY, name=next((part for part in parts if own_kind(part) is not None), "")
    )


@lru_cache(maxsize=512)
def tree_of_tool(own: WriteForm | None, mapped: WriteForm | None) -> RowNode:
    """The rows of an MCP tool, those of all MCP tools, and below `body` those of the operation of its name."""
    everybodys = MONEY.forms(ANY_TOOL).get("")
    sources = [form.root for form in (own, everybodys) if form is not None]
    created = own.created if own is not None else None
    if mapped is not None:
        sources.append(FieldNode(members={BODY: mapped.root}))
        created = created or (None if mapped.created is None else (BODY, *mapped.created))
    tree = _grow(sources, created, _WARY_TOOL)
    if own is None and mapped is None:
        tree.beyond, tree.alike = _LENIENT_TOOL.beyond, frozenset()
    return tree


def _beyond(node: RowNode, name: str) -> RowNode:
    """The node of a member that the rows do not name. With a plus sign in it, UTF-7 may spell one that they name."""
    if node.any_member is not None:
        return node.any_member
    if fold(name) in node.alike or "+" in name:
        return _ALIKE
    return node.beyond[not is_id(name) and (node.is_money or is_money_like(name))]


_known_beyond: Final = lru_cache(maxsize=4096)(_beyond)
"""Remembers the nodes of short names."""
_EMPTY: Final = "is empty, which may lift a limit. Send a value, or leave it out."


class BodyWalk:
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
        *("_start", "_sums", "_unknown", "_unread", "_waiting", "met"),
    )

    def __init__(self, operation: str, payer: Payer) -> None:
        self._operation, self._paid_in = operation, payer[0]
        self._found: list[FoundMember] = []
        self._unread: dict[tuple[str, str], str] = {}
        self._unknown: dict[str, None] = {}
        self._created = self._items = self._lists = self.met = 0
        self._index, self._key = -1, ""
        self._object: Named = None
        """What the current member belongs to: the item of the outermost list, -1 for none, the name at `*`, and the
        item that names the object."""
        self._depth = 0
        """How many objects and lists without rows are around the current member."""
        self._waiting: list[Place] = []
        """The places of words and dates that are harmless next to a budget only, in the current item, and before its
        budget."""
        self._sums: dict[tuple[int, str], tuple[Place, Decimal, int]] = {}
        """Percentages that add up: the place of their list, their sum, and how many raise something."""
        self._start = self._budgeted = 0
        """How many findings there were before the last item began, and up to the last budget."""

    def findings(self) -> WriteFindings:
        found = self._found
        for place, total, count in self._sums.values():
            if count > 1:
                found.append((place, Kind.ADJUSTMENT, total, "", None, True, -1))
        if self._lists > 1:  # no response tells which list its items are of
            found = [(*each[:-1], -1) for each in found]
            self._items = 0
        return WriteFindings(
            tuple(found), tuple(self._unread.values()), tuple(self._unknown), self._created, self._items
        )

    def read(self, tree: RowNode, content: object, *, archives: bool, refused: str = "") -> None:
        """Read a body. `archives` tells that the operation itself ends objects, `refused` why it cannot be judged."""
        if refused:
            self._unread[("", "")] = f"`{self._operation}` cannot be judged. {refused} {remedy(self._operation)}"
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

    def _note(self, place: Place, kind: Kind, value: Decimal | str | None) -> None:
        """Note a finding."""
        self._found.append((place, kind, value, "", self._object, kind is not Kind.UNKNOWN, self._index))

    def refuse(self, place: Place, flaw: str, *, has_row: bool = True) -> None:
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

    def _members(self, value: dict[str, Any], node: RowNode, place: Place, step: Step) -> None:
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

    def _begin(self, value: dict[str, Any], node: RowNode, here: Place) -> None:
        """Begin an object that is new, or empty."""
        if not value and node.caps:
            self.refuse(here, _EMPTY)
        if node.creates:
            self._created += 1
            if not node.state or node.state not in value:
                self._note((here, node.state or STATE_MEMBER), _STATE, "enabled")

    def _keyed(self, value: Any, node: RowNode, place: Place, step: Step) -> None:
        """Read a member that is at `*` in the rows."""
        outer, self._key = self._key, f"{step}"
        act = node.acts[type(value)]
        assert act is not None
        act(self, value, node, place, step)
        self._key = outer

    def _without_rows(self, value: Any, node: RowNode, place: Place, step: Step) -> None:
        """Read an object or a list that no row is about. Its path is a text, as it may be deep."""
        if self._depth >= MAX_DEPTH:
            self.refuse(None, "is nested too deeply. Send a flat one.")
            return
        self._depth += 1
        read = self._members if type(value) is dict else self._list
        read(value, node, path_text((place, step))[:_MAX_PATH], None)
        self._depth -= 1

    def _list(self, value: list[Any], node: RowNode, place: Place, step: Step) -> None:
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
        if not value and child.field is not None and child.read is BodyWalk._refused:
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

    def _end_item(self, node: RowNode, place: Place, start: int, waited: int) -> None:
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

    def _alike(self, _value: object, _node: RowNode, place: Place, step: Step) -> None:
        flaw = "may be a state, or a member of another spelling. Spell it as Amazon does."
        self.refuse((place, step), flaw, has_row=False)

    def _misshapen(self, _value: object, node: RowNode, place: Place, step: Step) -> None:
        self.refuse((place, step), f"must be {node.holds}. Send it in this form.")

    def _money(self, value: Any, node: RowNode, place: Place, step: Step) -> None:
        """Refuse a number, and a text that may be an amount, under a name that sounds like money; in an operation with
        rows any value that no row is about."""
        if (node.strict and node.field is None) or may_be_amount(value):
            self._note((place, step), Kind.UNKNOWN, None)
            self.refuse((place, step), "may be money. Leave it out.", has_row=False)
        else:
            self._text(value, node, place, step)

    def _text(self, text: str, node: RowNode, place: Place, step: Step) -> None:
        """Refuse a text that some server may read as JSON, if what it holds may be money. All of it may be, under a
        name that sounds like money."""
        is_money = node.is_money and node.field is None
        if ("{" in text or "[" in text or "\\" in text) and holds_money(text, is_money=is_money):
            self.refuse((place, step), "is a text with JSON in it. Send the object or the list itself.")

    # --- Values of rows --------------------------------------------------------------------------------

    def _told(self, value: str, node: RowNode, place: Place, step: Step) -> None:
        """Note what was found in the same text before, or read it."""
        told = node.told.get(value)
        if told is None:
            assert node.read is not None
            node.read(self, value, node, place, step)
        elif told:
            self._found.append(((place, step), node.kind, told, "", self._object, True, self._index))

    def _told_with_budget(self, value: str, node: RowNode, place: Place, step: Step) -> None:
        """Pass a word that was found before to be harmless next to a budget, or read it. Each is a note, and none is a
        finding."""
        if value not in node.told:
            self._word(value, node, place, step)
        elif self._budgeted <= self._start:
            self._waiting.append((place, step))

    def _refused(self, _value: object, node: RowNode, place: Place, step: Step) -> None:
        """Refuse a member that no limit can be compared with."""
        self.refuse((place, step), f"cannot be limited. {node.row.note}".rstrip() + " Leave it out.")

    def _refuse_value(self, value: object, place: Place, flaw: str) -> None:
        self.refuse(place, flaw if value is not None else "is null, which may lift a limit. Send a value.")

    def _state(self, value: object, node: RowNode, place: Place, step: Step) -> None:
        if isinstance(value, str) and _WORD.fullmatch(value):
            self._note((place, step), node.kind, node.remember(value, plain_state(value)))
        else:
            self._refuse_value(value, (place, step), "is no state. Send the name of one.")

    def _date(self, value: object, node: RowNode, place: Place, step: Step) -> None:
        if isinstance(value, str) and _DAY.search(value):
            self._note((place, step), node.kind, node.remember(value, value))
        elif isinstance(value, int) and not isinstance(value, bool) and _DAY.search(str(value)):
            self._note((place, step), node.kind, str(value))
        else:
            self._refuse_value(
                value, (place, step), "is no date, which may lift a limit. Send one as a text, or leave it out."
            )
        if node.row.reading is _DATE_WITH_BUDGET and self._budgeted <= self._start:
            self._waiting.append((place, step))

    def _word(self, value: object, node: RowNode, place: Place, step: Step) -> None:
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

    def _currency(self, value: object, node: RowNode, place: Place, step: Step) -> None:
        """Check the currency of the amounts next to it, which are read with it."""
        if not isinstance(value, str) or not _CODE.fullmatch(value):
            self._refuse_value(value, (place, step), "is no currency. Send a code of three letters.")
        else:
            node.remember(value, "")

    def _adjustment(self, value: object, node: RowNode, place: Place, step: Step) -> None:
        number = number_of(value)
        if number is None:
            self._refuse_value(value, (place, step), "is no number that can be judged. Send a plain JSON number.")
            return
        reading = node.row.reading
        if reading is _FACTOR:
            number = _EXACT.multiply(_EXACT.subtract(number, Decimal(1)), Decimal(100))
        self._note((place, step), node.kind, number)
        self._add_up(number, place, reading)

    def _add_up(self, number: Decimal, place: Place, reading: FieldReading) -> None:
        """Add a percentage of the object at a place to those that hold together with it: to all of the write, or to
        those of the same list that name the same placement, or none. Factors multiply."""
        is_of_list = reading not in (_SUMMED, _FACTOR)
        while not is_of_list and place is not None and not isinstance(place, str) and type(place[1]) is not int:
            place = place[0]
        if place is None or isinstance(place, str) or type(place[1]) is not int or number <= 0:
            return
        around, _, item = cast("tuple[Place, Step, dict[str, Any]]", place)
        group = (id(cast("Any", around)[2]), fold(f"{item.get(_PLACEMENT, '')}")) if is_of_list else (0, "")
        _, total, count = self._sums.get(group, (None, _ZERO, 0))
        together = _EXACT.add(total, number)
        if reading is _FACTOR:
            together = min(_EXACT.add(together, _EXACT.multiply(total, number) / 100), _MOST_BY_FACTORS)
        self._sums[group] = around, together, count + 1

    def _payers_amount(self, value: Decimal, node: RowNode, place: Place, step: Step) -> None:
        """Note an amount in the payer's currency, or read it where anything is odd about it."""
        text, found, kind = str(value), self._found, node.kind
        if len(text) > _MAX_PLAIN or text[0] == "-" or "E" in text or not self._paid_in:
            self._amount(value, node, place, step)
            return
        found.append(((place, step), kind, value, self._paid_in, self._object, True, self._index))
        if kind is _BUDGET:
            self._budgeted = len(found)

    def _amount(self, value: object, node: RowNode, place: Place, step: Step) -> None:
        number = number_of(value)
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

    def _currencies(self, source: CurrencySource, around: Place, step: Step) -> tuple[str, ...]:
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


_READERS: Final = {
    FieldReading.AMOUNT: BodyWalk._amount,
    FieldReading.PERCENT: BodyWalk._adjustment,
    FieldReading.SUMMED_PERCENT: BodyWalk._adjustment,
    FieldReading.FACTOR: BodyWalk._adjustment,
    FieldReading.STATE: BodyWalk._state,
    FieldReading.DATE: BodyWalk._date,
    FieldReading.DATE_WITH_BUDGET: BodyWalk._date,
    FieldReading.WORD: BodyWalk._word,
    FieldReading.WORD_WITH_BUDGET: BodyWalk._word,
    FieldReading.CURRENCY: BodyWalk._currency,
    FieldReading.NOTHING: BodyWalk._refused,
}


def _reader_of(field: MoneyField) -> _Act | None:
    """How the value of a row is read; None where every value passes."""
    return _READERS.get(field.reading) if field.sure else BodyWalk._refused


_REMEMBERING: Final = frozenset((BodyWalk._state, BodyWalk._date, BodyWalk._word, BodyWalk._currency))
"""The readings that remember what they find in a text."""
_TYPES: Final = (dict, list, str, int, float, Decimal, bool, type(None))
"""The types of all values that JSON is decoded to."""


def _acts_of(node: RowNode) -> dict[type, _Act | None]:
    """What is to be done with a value at a place, by its type; None for nothing."""
    return {kind: _act_of(node, kind) for kind in _TYPES}


def _act_of(node: RowNode, kind: type) -> _Act | None:
    is_single = kind is not dict and kind is not list
    if node.read is not None and (is_single or not node.holds):
        if kind is Decimal and node.read is BodyWalk._amount and node.source is None:
            return BodyWalk._payers_amount
        if kind is not str or node.read not in _REMEMBERING or node.row.reading is _DATE_WITH_BUDGET:
            return node.read
        return BodyWalk._told_with_budget if node.row.reading is _WITH_BUDGET else BodyWalk._told
    if node.holds and (is_single or not (node.takes_object if kind is dict else node.takes_list)):
        return BodyWalk._misshapen
    if not is_single:
        return BodyWalk._without_rows if node.is_outside else BodyWalk._members if kind is dict else BodyWalk._list
    is_word = node.field is not None and node.field.takes_words
    is_read = kind not in (bool, type(None)) or (node.strict and node.field is None)
    if node.is_money and is_read and (node.field is None or is_word):
        return BodyWalk._money
    return BodyWalk._text if kind is str and (node.reads_texts or node.is_money) else None


def _outside(alike: frozenset[str], *, reads_texts: bool = False) -> RowNode:
    """The node of all places that no row is about. Where there are rows, states are `alike`."""
    strict = bool(alike)
    plain = RowNode(alike=alike, reads_texts=reads_texts, strict=strict)
    money = RowNode(is_money=True, alike=alike, reads_texts=reads_texts, strict=strict)
    plain.beyond = money.beyond = (plain, money)
    for node in plain.beyond:
        node.is_outside = True
        node.acts = _acts_of(node)
    return plain


LENIENT: Final = _outside(frozenset())
_LENIENT_TOOL: Final = _outside(frozenset(), reads_texts=True)
"""All places in the body of an operation without rows, and in the arguments of an MCP tool without rows: texts there
may hold JSON."""
_WARY: Final = _outside(STATES)
_WARY_TOOL: Final = _outside(STATES, reads_texts=True)
"""The places without rows where there are rows: states are no secret ones."""
_ALIKE: Final = RowNode()
"""The place of a member that may be another one to some reader."""
_ALIKE.acts = dict.fromkeys(_TYPES, BodyWalk._alike)
_ALIKE.takes_object = _ALIKE.takes_list = False
_MAX_FORMS: Final = 4096
_MAX_NAMES: Final = 1024
"""Characters of the names of one form."""
_REMEMBERED: Final[list[dict[tuple[str, ...], _Form]]] = []
"""The dictionary of each form that is remembered: clients choose the names."""


def _form_of(node: RowNode, names: tuple[str, ...]) -> _Form:
    """The form of an object with these names; it is remembered."""
    members = []
    for name in names:
        child = node.members.get(name)
        if child is None:
            child = _known_beyond(node, name) if len(name) <= MAX_SHOWN else _beyond(node, name)
        acts = child.acts
        if child is node.any_member:
            acts = {kind: act and BodyWalk._keyed for kind, act in acts.items()}
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
