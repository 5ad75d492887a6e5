"""What was found in a write: the members that money depends on, and what cannot be read. Pure."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from proxy.audit.changed_objects import ObjectKind, name_object, own_members

if TYPE_CHECKING:
    from decimal import Decimal

    from proxy.spend.table import Kind

    Step = str | int | None
    """The name of a member, or the index of an item; None for the whole body."""
    Place = tuple["Place", Step, Any] | tuple["Place", Step] | str | None
    """Where a value is: the place around it, the step to it from there, and the value itself where that is an object or
    a list. None is the whole body. A path becomes a text below a place without rows, and where a sentence or a finding
    is asked for."""
    Named = tuple[ObjectKind, dict[str, Any], "Named | None"] | None
    """The item by which the object of a finding is named: the kind of the objects in its list, the item, and the item
    around it that counts where it is a new one."""
    FoundMember = tuple[Place, Kind, Decimal | str | None, str, "Named | str", bool, int]
    """What a `Finding` is made of."""

PAGE: Final = "docs/reference/money-fields.md"
_NAME: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")


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


def joined(one: WriteFindings, other: WriteFindings) -> WriteFindings:
    """The findings of two parts of a request."""
    return WriteFindings(
        one.members + other.members,
        one.unread + other.unread,
        one.unknown + other.unknown,
        one.created + other.created,
        one.items + other.items,
    )


def remedy(operation: str) -> str:
    return f"{PAGE} has what can be judged. The operator can also list `{operation}` in `spend.allow`."


def path_text(place: Place) -> str:
    """The path to a place, such as `campaigns[0].budget`; empty for the whole body."""
    steps = ""
    while place is not None and not isinstance(place, str):
        step = place[1]
        if step is not None:
            steps = (f"[{step}]" if isinstance(step, int) else f".{_shown(step)}") + steps
        place = place[0]
    return f"{place}{steps}" if place else steps.removeprefix(".")


def _shown(name: str) -> str:
    """The name of a member that the table does not have, fit for a path."""
    return name if _NAME.fullmatch(name) else "?"


def _object_text(named: Named | str) -> str:
    """The object that a finding belongs to, `campaign/123`; empty for a new one, and for none."""
    while named is not None and not isinstance(named, str):
        kind, item, around = named
        if text := name_object(kind, map(item.get, own_members(kind, item))):
            return text
        named = around
    return named or ""
