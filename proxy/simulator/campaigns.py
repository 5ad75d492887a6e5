"""Campaigns, ad groups and their like, kept in memory for each profile: listed by pages, created, updated, archived."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

Entity = dict[str, Any]

SEEDED = {"campaigns": 25, "adGroups": 40}
"""How many entities of a kind each profile has from the start."""


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of entity: the path segment, the member that holds a list of them, and the name of its id."""

    segment: str
    member: str
    id_name: str


SP_KINDS = {
    kind.segment: kind
    for kind in (
        Kind("campaigns", "campaigns", "campaignId"),
        Kind("adGroups", "adGroups", "adGroupId"),
        Kind("productAds", "productAds", "adId"),
        Kind("keywords", "keywords", "keywordId"),
        Kind("targets", "targetingClauses", "targetId"),
        Kind("negativeKeywords", "negativeKeywords", "keywordId"),
        Kind("negativeTargets", "negativeTargetingClauses", "targetId"),
        Kind("campaignNegativeKeywords", "campaignNegativeKeywords", "keywordId"),
        Kind("campaignNegativeTargets", "campaignNegativeTargetingClauses", "targetId"),
        Kind("portfolios", "portfolios", "portfolioId"),
    )
}


@dataclass(slots=True)
class Page:
    """One page of a list. `next_token` is None on the last."""

    entities: list[Entity]
    total: int
    next_token: str | None


@dataclass(slots=True)
class EntityStore:
    """(profile, product, segment) -> id -> entity. Ids count up over all profiles."""

    shelves: dict[tuple[str, str, str], dict[str, Entity]] = field(default_factory=dict)
    last_id: int = 500_000_000_000_000

    def shelf(self, profile: str, product: str, kind: Kind) -> dict[str, Entity]:
        """All entities of a kind; made, with what a profile has from the start, when first asked for."""
        key = (profile, product, kind.segment)
        if key not in self.shelves:
            self.shelves[key] = {}
            for number in range(SEEDED.get(kind.segment, 0)):
                self.create(key, kind, {"name": f"{product} {kind.segment} {number + 1}", "state": "ENABLED"})
        return self.shelves[key]

    def create(self, key: tuple[str, str, str], kind: Kind, entity: Entity) -> Entity:
        """Adds an entity with a new id."""
        self.last_id += 1
        made = {**entity, kind.id_name: str(self.last_id)}
        self.shelves.setdefault(key, {})[made[kind.id_name]] = made
        return made


def page(entities: list[Entity], kind: Kind, wanted: Entity) -> Page:
    """The page that a list request wants: `maxResults`, `nextToken`, `<id>Filter.include`, `stateFilter.include`."""
    ids = _included(wanted, f"{kind.id_name}Filter")
    states = _included(wanted, "stateFilter")
    chosen = [
        entity
        for entity in entities
        if (ids is None or entity[kind.id_name] in ids) and (states is None or entity.get("state") in states)
    ]
    start = int(str(wanted.get("nextToken") or "page-0").removeprefix("page-") or 0)
    size = int(wanted.get("maxResults") or 100)
    following = start + size
    return Page(chosen[start:following], len(chosen), f"page-{following}" if following < len(chosen) else None)


def _included(wanted: Entity, name: str) -> set[str] | None:
    chosen = wanted.get(name)
    if not isinstance(chosen, dict) or not chosen.get("include"):
        return None
    return {str(entry).upper() if name == "stateFilter" else str(entry) for entry in chosen["include"]}
