"""Amazon's money fields: which members of a write's body are money, and how each is read. Pure.

The table, `money_fields.tsv`, has a row for each field of an operation (docs/reference/money-fields.md). A `WriteForm`
holds the rows of one operation and media type as a tree that is walked next to the body. What an operation without a
row is, and what follows from the values, is for others: `findings` reads bodies by these forms, `judge` decides.
"""

from __future__ import annotations

import enum
from dataclasses import field
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, NamedTuple

from proxy.value_classes import dataclass

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

ANY_TOOL = "MCP *"
"""The operation of rows that every MCP tool has."""
ITEM = "[]"
"""The step of a path to every item of a list."""
ANY_MEMBER = "*"
"""The step of a path to every member of an object, whatever its name."""
WHOLE = "$"
"""The path of a row about the operation itself, whatever the body holds; among created objects, the body itself."""
_IDENTIFIERS = "*Ids[]"
"""The end of a path to the identifiers of what an MCP tool deletes. Such a row is about the operation itself, too."""
_NOTHING = "-"
"""How the table writes an empty cell."""


class Kind(enum.StrEnum):
    """What a field decides about spending. A field that none of the other kinds fits is a note."""

    BUDGET = "budget"
    BID = "bid"
    ADJUSTMENT = "adjustment"
    STATE = "state"
    DATE = "date"
    STRATEGY = "strategy"
    UNKNOWN = "unknown"
    CURRENCY = "currency"
    NOTE = "note"


class FieldReading(enum.StrEnum):
    """How the value of a field is read."""

    AMOUNT = "amount"
    """A number, in the currency that `MoneyField.currency` tells how to find."""
    PERCENT = "percent"
    """A number of percent that is added to a bid or a budget. Those of one list add up, unless each names another
    placement."""
    SUMMED_PERCENT = "percent of a sum"
    """A number of percent that is added to a budget together with all others of the write."""
    FACTOR = "factor"
    """A number by which a bid is multiplied: 1.5 adds 50 percent."""
    STATE = "state"
    """The name of a state. On a row about the whole operation: it sets the state `archived`."""
    DATE = "date"
    """A date. Every text with a digit is one, except zeros; null and other texts may remove an end."""
    DATE_WITH_BUDGET = "date with budget"
    """A date, and only if the same item of the list holds a budget amount as well."""
    WORD = "word"
    """One of `MoneyField.words`, in any case. A boolean is read as the word `true` or `false`."""
    WORD_WITH_BUDGET = "word with budget"
    """One of `MoneyField.words`, and only if the same item of the list holds a budget amount as well."""
    CURRENCY = "currency"
    """The currency code of the amounts in the same object."""
    ANYTHING = "anything"
    """Every value passes."""
    NOTHING = "nothing"
    """No value can be judged: a body with this member is unreadable."""


class CurrencySource(NamedTuple):
    """How the currency of an amount is found. The profile's currency is that of an amount without any of these."""

    sibling: str = ""
    """The member of the same object that names the currency; it may be absent from a body."""
    country: str = ""
    """The member of an enclosing object that names a country, or a list of them. The amount has its currency.

    Where several enclosing objects have such a member, all of their countries count: none of them hides another.
    """
    key: bool = False
    """Whether the name of the enclosing member, at the step `*`, is a country, whose currency the amount has."""


@dataclass(frozen=True, slots=True)
class MoneyField:
    """One field: a row of the table."""

    operation: str
    """`POST /sp/campaigns`, with the path's template as in the table of operations, or `MCP tool-name`."""
    media_type: str
    """In lower case; empty for any."""
    path: str
    """`campaigns[].budget.budget`; `$` for the operation itself; text in parentheses where the path is unknown."""
    kind: Kind
    reading: FieldReading
    unit: str
    currency: CurrencySource
    words: frozenset[str]
    """The harmless words, in lower case."""
    verb: str
    """`create`, `update` or `delete`."""
    sure: bool
    """Whether a source shows the field exactly; a body with an unsure one is unreadable."""
    refuses: str
    """Why the row makes every body of its operation unreadable; empty where it does not."""
    creates: str
    """The path of the objects that a body creates, `campaigns[]`; the same on each row of a form, empty for none."""
    note: str

    __hash__ = object.__hash__

    @property
    def takes_words(self) -> bool:
        """Whether Amazon takes one of some words here, whichever is harmless, and no amount."""
        return self.reading is FieldReading.ANYTHING and self.unit.startswith("enum")

    @property
    def steps(self) -> tuple[str, ...]:
        """The path's steps; empty where the row is about no place in a body."""
        nowhere = self.path.startswith("(") or self.path.endswith(_IDENTIFIERS)
        return () if nowhere else split_path(self.path)


@dataclass(slots=True, eq=False)
class FieldNode:
    """What the rows of a form say of one place in a body, and of the places below it. Never changed once built."""

    members: dict[str, FieldNode] = field(default_factory=dict)
    item: FieldNode | None = None
    any_member: FieldNode | None = None
    field: MoneyField | None = None

    def below(self, step: str) -> FieldNode:
        """The node one step further; it is made where there is none."""
        if step == ITEM:
            self.item = self.item or FieldNode()
            return self.item
        if step == ANY_MEMBER:
            self.any_member = self.any_member or FieldNode()
            return self.any_member
        return self.members.setdefault(step, FieldNode())


@dataclass(frozen=True, slots=True)
class WriteForm:
    """How bodies of one operation and media type are read."""

    operation: str
    media_type: str
    """In lower case; empty for any."""
    verb: str
    root: FieldNode
    whole: MoneyField | None = None
    """The row about the operation itself, of kind state: its effect, whatever the body holds."""
    refused: str = ""
    """Why no body of the operation can be judged; empty where bodies can be."""
    created: tuple[str, ...] | None = None
    """The steps to the objects that a body creates: a last step `ITEM` for a list of them, none for the body itself.
    None where nothing is created."""

    __hash__ = object.__hash__


class MoneyTable:
    """The forms of all rows. It never changes; the rows are loaded when they are first needed."""

    def __init__(self, load: Callable[[], Iterable[MoneyField]]) -> None:
        self._load = load

    @cached_property
    def rows(self) -> tuple[MoneyField, ...]:
        """Every row, in the order of the table."""
        return tuple(self._load())

    def forms(self, operation: str) -> Mapping[str, WriteForm]:
        """The forms of an operation by media type in lower case; empty for an operation without a row.

        A form of the media type "" is for every media type without one of its own. A row for all methods of a path
        answers for each of them that has no row of its own. The forms of an MCP tool have the rows of all tools too.
        """
        path = operation.partition(" ")[2]
        return self._by_operation.get(operation) or self._by_operation.get(f"* {path}") or _NO_FORMS

    @cached_property
    def _by_operation(self) -> dict[str, Mapping[str, WriteForm]]:
        rows: dict[str, list[MoneyField]] = {}
        for row in self.rows:
            rows.setdefault(row.operation, []).append(row)
        common = rows.get(ANY_TOOL, [])
        return {
            operation: MappingProxyType({form.media_type: form for form in _forms(own, common)})
            for operation, own in rows.items()
        }


_NO_FORMS: Final[Mapping[str, WriteForm]] = MappingProxyType({})


def _forms(own: list[MoneyField], for_every_tool: list[MoneyField]) -> Iterator[WriteForm]:
    """The form of each media type. Rows for any media type belong to each."""
    common = for_every_tool if own[0].operation.startswith("MCP ") and own is not for_every_tool else []
    for media_type in dict.fromkeys(row.media_type for row in own):
        yield _form(media_type, [row for row in own if row.media_type in (media_type, "")], common)


def _form(media_type: str, own: list[MoneyField], common: list[MoneyField]) -> WriteForm:
    root = FieldNode()
    for row in (*common, *own):
        if steps := row.steps:
            node = root
            for step in steps:
                node = node.below(step)
            node.field = row
    return WriteForm(
        operation=own[0].operation,
        media_type=media_type,
        verb=own[0].verb,
        root=root,
        whole=next((row for row in own if not row.steps and row.reading is FieldReading.STATE), None),
        refused=next((row.refuses for row in own if row.refuses), ""),
        created=next((split_path(row.creates) for row in own if row.creates), None),
    )


def split_path(path: str) -> tuple[str, ...]:
    """The steps of a path: names of members, `ITEM` and `ANY_MEMBER`; none for the body itself."""
    return () if path == WHOLE else tuple(path.replace(ITEM, f".{ITEM}").removeprefix(".").split("."))


# --- The file ---------------------------------------------------------------------------------------------


def parse_money_fields(text: str) -> tuple[MoneyField, ...]:
    """The rows of a table's text: a line for the names of the columns, then one for each field."""
    lines = [line.split("\t") for line in text.splitlines() if line and not line.startswith("#")]
    cells = (["" if cell == _NOTHING else cell for cell in line] for line in lines[1:])
    rows = (dict(zip(lines[0], line, strict=True)) for line in cells)
    return tuple(
        MoneyField(
            operation=row["operation"],
            media_type=row["media_type"].lower(),
            path=row["path"],
            kind=Kind(row["kind"]),
            reading=FieldReading(row["reading"]),
            unit=row["unit"],
            currency=_source(row["currency"]),
            words=frozenset(row["words"].lower().split()),
            verb=row["verb"],
            sure=row["sure"] == "yes",
            refuses=row["refuses"],
            creates=row["creates"],
            note=row["note"],
        )
        for row in rows
    )


def _source(text: str) -> CurrencySource:
    """The source of a cell: `key`, and `sibling:NAME` or `country:NAME`, with blanks between."""
    named = dict(part.partition(":")[::2] for part in text.split())
    return CurrencySource(named.get("sibling", ""), named.get("country", ""), "key" in named)


def _read_file() -> tuple[MoneyField, ...]:
    return parse_money_fields(Path(__file__).with_name("money_fields.tsv").read_text("ascii"))


MONEY: Final = MoneyTable(_read_file)
"""The money fields of Amazon's operations, as they were when this program was made."""
