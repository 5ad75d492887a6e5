"""Amazon's operations: what each takes, what it does, and which of them a request is. Pure.

The table, `operations.tsv`, is made from Amazon's specifications (docs/operations.md) and read when this module is
loaded. What follows from an operation is for others: `scope` for the Scope that is sent, `access` for what a client may
do. What no row says is not known, and whoever asks decides with care: an unknown operation counts as a write.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from importlib import resources
from typing import TYPE_CHECKING

from proxy.routing.templates import PLACEHOLDER, Templates

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_NOTHING = "-"
"""How the table writes an empty cell."""


class ScopeRule(enum.StrEnum):
    """What the specifications say of Amazon-Advertising-API-Scope on one operation."""

    REQUIRED = "required"
    OPTIONAL = "optional"
    NEVER = "never"
    UNKNOWN = "unknown"
    """The table does not have the operation: Amazon's list grows faster than any copy of it."""


class AccountRule(enum.StrEnum):
    """What the specifications say of Amazon-Ads-AccountId, in either spelling, on one operation."""

    REQUIRED = "required"
    OPTIONAL = "optional"
    NEVER = "never"


class Effect(enum.StrEnum):
    """What an operation does at Amazon. Strict: by it `access` permits and a replay is allowed."""

    __hash__ = str.__hash__  # that of an Enum is written in Python, and each request is counted by it

    READ = "read"
    """It provably changes nothing; sending it twice does no harm."""
    REPORT = "report"
    """It starts the making of a report, an export or a snapshot, and changes nothing else."""
    WRITE = "write"
    """It changes something, or nobody could prove that it does not."""


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation: a row of the table. Its hash is that of the object, as a table has each row once."""

    method: str
    template: str
    """The path as the specification has it: `/v2/profiles/{profileId}`."""
    name: str
    """Amazon's name for it, no two alike."""
    scope: ScopeRule
    account: AccountRule
    account_header: str
    """The spelling of the account header on this operation; empty where it takes none."""
    effect: Effect

    __hash__ = object.__hash__

    @property
    def segments(self) -> tuple[bytes, ...]:
        """The template's segments, `PLACEHOLDER` for each parameter."""
        parts = [part for part in self.template.split("/") if part]
        return tuple(PLACEHOLDER if part.startswith("{") else part.encode() for part in parts)

    @property
    def placeholders(self) -> tuple[str, ...]:
        """The names of the parameters in the path, in order."""
        return tuple(part[1:-1] for part in self.template.split("/") if part.startswith("{"))


class Operations:
    """A table of operations. It never changes; `amend` makes another one."""

    def __init__(self, rows: Iterable[Operation]) -> None:
        self._rows = tuple(rows)
        self._templates = Templates((row.method.encode(), row.segments, row) for row in self._rows)

    def find(self, method: bytes, segments: tuple[bytes, ...]) -> Operation | None:
        """The operation of a request; `segments` are its path's, percent-decoded, without selecting prefix.

        HEAD is found as GET. Where several templates fit, the most literal one wins. A placeholder takes any segment,
        one with a slash or dots in it too: permit by the row only what can be read in one way. Nothing is remembered,
        as a lookup costs no more than the memory of it would.
        """
        return self._templates.find(b"GET" if method == b"HEAD" else method, segments)

    def __iter__(self) -> Iterator[Operation]:
        return iter(self._rows)

    def __len__(self) -> int:
        return len(self._rows)

    def __repr__(self) -> str:
        return f"Operations({len(self._rows)})"


def parse_operations(text: str) -> tuple[Operation, ...]:
    """The rows of a table's text: a line for the names of the columns, then one for each operation."""
    lines = [line.split("\t") for line in text.splitlines() if line and not line.startswith("#")]
    rows = [dict(zip(lines[0], line, strict=True)) for line in lines[1:]]
    return tuple(
        Operation(
            method=row["method"],
            template=row["path"],
            name=row["name"],
            scope=ScopeRule(row["scope"]),
            account=AccountRule(row["account_id"]),
            account_header="" if row["account_header"] == _NOTHING else row["account_header"],
            effect=Effect(row["effect"]),
        )
        for row in rows
    )


PUBLISHED = Operations(parse_operations(resources.files("proxy.routing").joinpath("operations.tsv").read_text("ascii")))
"""The operations of Amazon's specifications, as they were when this program was made."""


def find_operation(method: bytes, segments: tuple[bytes, ...]) -> Operation | None:
    """The published operation of a request, None where the specifications have none; as `Operations.find`."""
    return PUBLISHED.find(method, segments)
