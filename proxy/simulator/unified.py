"""The shapes of the unified API's operations, and the things that its advertisers have. No HTTP here.

`unified.jsonl` is made by `scripts/make_simulator_unified.py`.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from typing import Any, Literal

Entity = dict[str, Any]
Verb = Literal["create", "query", "update", "delete", "retrieve", "list"]

SEEDED = {"campaigns": 25, "adGroups": 40, "ads": 10, "targets": 10}
"""How many of a kind an advertiser has from the start; of everything else, one."""

PARENTS = {"campaignId": "campaigns", "adGroupId": "adGroups"}
FIRST_ID = 600_000_000_000_000
PRETEND_NAME = "pretend name"
"""The name in samples whose name may be any."""


@dataclass(frozen=True, slots=True)
class Shape:
    """One operation. `takes` is the member with what it is given, `bounds` how much of it, `needs` what each must have.

    `named` is how the answer calls what it gives, `pages` the least and most of a page, `sample` the smallest thing.
    """

    verb: Verb
    resource: str
    named: str
    sample: Entity
    takes: str = ""
    bounds: tuple[int, int] = (1, 1000)
    pages: tuple[int, int] = (1, 100)
    required: tuple[str, ...] = ()
    needs: tuple[str, ...] = ()
    id_name: str | None = None


@cache
def load_shapes() -> dict[tuple[str, str], Shape]:
    """(method, path) -> shape, of the committed table."""
    lines = files("proxy.simulator").joinpath("unified.jsonl").read_text().splitlines()
    return {(entry["method"], entry["path"]): _shape(entry) for entry in map(json.loads, lines)}


def _shape(entry: Entity) -> Shape:
    return Shape(
        verb=entry["verb"],
        resource=entry["resource"],
        named=entry["single"],
        sample=entry.get("sample", {}),
        takes=entry.get("takes", ""),
        bounds=tuple(entry.get("bounds", (1, 1000))),
        pages=tuple(entry.get("pages", (1, 100))),
        required=tuple(entry.get("required", ())),
        needs=tuple(entry.get("needs", ())),
        id_name=entry.get("id"),
    )


@dataclass(slots=True)
class UnifiedStore:
    """(advertiser, region, resource) -> id -> entity. Ids count up over all advertisers."""

    shelves: dict[tuple[str, str, str], dict[str, Entity]] = field(default_factory=dict)
    last_id: int = FIRST_ID

    def shelf(self, advertiser: str, region: str, shape: Shape) -> dict[str, Entity]:
        """All entities of a kind; made, with what an advertiser has from the start, when first asked for."""
        key = (advertiser, region, shape.resource)
        if key not in self.shelves:
            shelf = self.shelves[key] = {}
            for number in range(1, SEEDED.get(shape.resource, 1) + 1):
                named = {"name": f"{shape.resource} {number}"} if shape.sample.get("name") == PRETEND_NAME else {}
                self.create(shelf, shape, {**self._parents(advertiser, region, shape), **named})
        return self.shelves[key]

    def create(self, shelf: dict[str, Entity], shape: Shape, given: Entity) -> Entity:
        """Adds an entity with a new id; what was not given is as in the sample."""
        self.last_id += 1
        made = {**shape.sample, **given}
        if shape.id_name is not None:
            made[shape.id_name] = str(self.last_id)
        shelf[str(self.last_id)] = made
        return made

    def _parents(self, advertiser: str, region: str, shape: Shape) -> Entity:
        """The ids of what the entities of a kind belong to: always the first that there is."""
        found: Entity = {}
        for id_name, resource in PARENTS.items():
            if id_name in shape.sample and resource != shape.resource:
                above = load_shapes()["POST", f"/adsApi/v1/query/{resource}"]
                found[id_name] = next(iter(self.shelf(advertiser, region, above)))
        return found


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
