"""The shapes of the unified API's operations. No HTTP here.

`unified.jsonl` is made by `scripts/make_simulator_unified.py`, and `documented_unified.jsonl`, of newer operations, by
`scripts/make_simulator_documented.py`.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from proxy.simulator.campaign_terms import Entity
    from proxy.simulator.campaigns import StoredObject

Verb = Literal["create", "query", "update", "delete", "retrieve", "list"]


@dataclass(frozen=True, slots=True)
class Shape:
    """One operation. `takes` is the member with what it is given, `bounds` how much of it, `needs` what each must have.

    `named` is how the answer calls what it gives, `pages` the least and most of a page, `sample` the smallest thing;
    `besides` is what else the answer must have.
    """

    verb: Verb
    resource: str
    named: str
    sample: Entity = field(default_factory=dict)
    takes: str = ""
    bounds: tuple[int, int] = (1, 1000)
    pages: tuple[int, int] = (1, 100)
    required: tuple[str, ...] = ()
    needs: tuple[str, ...] = ()
    id_name: str | None = None
    besides: Entity = field(default_factory=dict)

    @property
    def singular(self) -> str:
        """What one object is called."""
        return (self.id_name or self.named).removesuffix("Id")

    def show(self, stored: StoredObject) -> Entity:
        """An object as the operation answers it; members that were not given are as in the sample."""
        identified = {} if self.id_name is None else {self.id_name: stored.object_id}
        return {**self.sample, **stored.shown("unified"), **identified}


@cache
def load_shapes() -> dict[tuple[str, str], Shape]:
    """(method, path) -> shape, of the committed tables."""
    tables = (files("proxy.simulator").joinpath(name) for name in ("unified.jsonl", "documented_unified.jsonl"))
    return dict(_shape(json.loads(line)) for table in tables for line in table.read_text().splitlines())


def _shape(entry: Entity) -> tuple[tuple[str, str], Shape]:
    members: Entity = {name: tuple(value) if isinstance(value, list) else value for name, value in entry.items()}
    key = members.pop("method"), members.pop("path")
    return key, Shape(named=members.pop("single"), id_name=members.pop("id", None), **members)


def matches(entity: Entity, wanted: Entity) -> bool:
    """Whether an entity passes all filters of a query; a filter on what it does not have lets it pass."""
    return all(
        _passes(entity[name.removesuffix("Filter")], chosen)
        for name, chosen in wanted.items()
        if name.endswith("Filter") and name.removesuffix("Filter") in entity
    )


def _passes(value: Any, chosen: Entity) -> bool:
    include = [str(entry).lower() for entry in chosen["include"]]
    there = {str(entry).lower() for entry in (value if isinstance(value, list) else [value])}
    if chosen.get("queryTermMatchType") == "BROAD_MATCH":
        return any(term in text for term in include for text in there)
    return bool(there & set(include))
