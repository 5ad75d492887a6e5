"""What Amazon's specifications say of an operation: which headers, which media types, and what its answer looks like.

`operations.jsonl` is made by `scripts/make_simulator_operations.py`, and `documented.jsonl`, of newer operations, by
`scripts/make_simulator_documented.py`. `collections.jsonl` has the operations that only Amazon's Postman collections
know. Nothing here looks at a request's headers.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from typing import Any, Literal

Scope = Literal["required", "optional", "never"]
Account = Literal["required", "either", "optional", "never"]

ACCOUNT_HEADER = "Amazon-Ads-AccountId"


@dataclass(frozen=True, slots=True)
class Operation:
    """One method and path template, `{}` standing for a path parameter. Media types are as the specification has them.

    `account` is the rule for the account id, `account_header` how the operation spells it; "either": it or a Scope.
    `ads_client` tells that only `Amazon-Ads-ClientId` is documented, not `Amazon-Advertising-API-ClientId`.
    `example` is a JSON value in the shape of the answer; None where the table has none.
    """

    template: str
    consumes: tuple[str, ...]
    produces: tuple[str, ...]
    ads_client: bool
    method: str
    scope: Scope
    account: Account = "never"
    account_header: str = ACCOUNT_HEADER
    status: int = 200
    example: Any = field(default=None, hash=False)

    @property
    def segments(self) -> tuple[str, ...]:
        """The template's segments."""
        return tuple(self.template.strip("/").split("/"))

    def fits(self, segments: tuple[str, ...]) -> bool:
        """Whether a path of these segments is this operation's; a parameter may be empty."""
        return all(
            ours in ("{}", theirs) or _mixed(ours, theirs) for ours, theirs in zip(self.segments, segments, strict=True)
        )


def _mixed(ours: str, theirs: str) -> bool:
    """A segment such as `{}:action`, part parameter, part text."""
    if "{}" not in ours:
        return False
    start, _, end = ours.partition("{}")
    return theirs.startswith(start) and theirs.endswith(end)


class OperationTable:
    """All operations, found by method and path."""

    def __init__(self, operations: list[Operation]) -> None:
        self.operations = operations
        self._by_shape: dict[tuple[str, int], list[Operation]] = {}
        for operation in sorted(operations, key=lambda o: o.template.count("{}")):
            self._by_shape.setdefault((operation.method, len(operation.segments)), []).append(operation)

    def find(self, method: str, path: str) -> Operation | None:
        """The operation with the fewest parameters that fits, or None. `path` is as sent, without the query."""
        segments = tuple(path.removeprefix("/").removesuffix("/").split("/"))
        for operation in self._by_shape.get(("GET" if method == "HEAD" else method, len(segments)), ()):
            if operation.fits(segments):
                return operation
        return None


@cache
def load_operations() -> OperationTable:
    """The operations of the specifications and those that only newer ones and Amazon's guides have."""
    return _load("operations.jsonl", "documented.jsonl")


@cache
def load_collections() -> OperationTable:
    """The operations of Amazon's Postman collections that no specification has; nothing is known of their headers."""
    return _load("collections.jsonl")


def _load(*names: str) -> OperationTable:
    lines = [line for name in names for line in files("proxy.simulator").joinpath(name).read_text().splitlines()]
    return OperationTable([_operation(**json.loads(line)) for line in lines])


def _operation(path: str, client: str = "", consumes: Any = (), produces: Any = (), **members: Any) -> Operation:
    """An operation from its line of the table."""
    media_types = tuple(consumes), tuple(produces)
    return Operation(path, *media_types, ads_client=client == "ads", **members)
