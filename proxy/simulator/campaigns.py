"""What advertisers have: campaigns, ad groups, ads and their like, in memory. No HTTP here.

The unified API (`unified_api`) and the operations before it (`campaign_api`) read and write the same objects. Name,
state, product and parents are the same in both; all other members are kept apart, since both have them in other shapes.
A campaign's budget and dates are translated (`campaign_terms`).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from proxy.simulator.campaign_terms import OTHER, Entity, Generation, Terms, seeded

if TYPE_CHECKING:
    from collections.abc import Callable

Place = tuple[str, str, str]
"""Whose objects, in which region, of which resource. Profiles have their own; what has no profile is an ads account's
or a user's."""

SHARED = frozenset({"name", "state", "adProduct", "portfolioId", "campaignId", "adGroupId", "adId"})
"""Members that are the same in both generations."""
PRODUCTS = {
    "sp": "SPONSORED_PRODUCTS",
    "sb": "SPONSORED_BRANDS",
    "sb/v4": "SPONSORED_BRANDS",
    "sd": "SPONSORED_DISPLAY",
}
"""The product in a path of the earlier generation, and as the unified API calls it."""
PARENTS = {"campaignId": "campaigns", "adGroupId": "adGroups"}
FIRST_ID = 600_000_000_000_000


@dataclass(frozen=True, slots=True)
class Seeds:
    """How many of a resource there are of each product from the start, to what they belong, and whether they have
    names."""

    counts: dict[str, int]
    parents: tuple[str, ...] = ()
    named: bool = False


SEEDED = {
    "campaigns": Seeds(dict.fromkeys(PRODUCTS.values(), 25), named=True),
    "adGroups": Seeds(dict.fromkeys(PRODUCTS.values(), 40), ("campaignId",), named=True),
    "ads": Seeds({"SPONSORED_PRODUCTS": 10}, ("campaignId", "adGroupId")),
    "targets": Seeds({"SPONSORED_PRODUCTS": 10}),
    "adAssociations": Seeds({"": 1}, ("adGroupId",)),
}
ONE = Seeds({"": 1})
"""The seeds of all other resources of the unified API."""


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of object of the earlier generation: its path segment, the member with a list of them, the name of its id,
    and its resource. Without one in the unified API, that is its member, and there are none from the start."""

    segment: str
    member: str
    id_name: str
    unified: str = ""

    @property
    def singular(self) -> str:
        """What one object is called."""
        return self.id_name.removesuffix("Id")

    @property
    def filter_name(self) -> str:
        """The member of a body that chooses objects by id. Negative keywords and targets have one of their own."""
        segment = self.segment.removesuffix("s")
        return f"{segment}IdFilter" if "egative" in segment else f"{self.id_name}Filter"

    @property
    def resource(self) -> str:
        """Under which the store has it."""
        return self.unified or self.member


SP_KINDS = {
    kind.segment: kind
    for kind in (
        Kind("campaigns", "campaigns", "campaignId", "campaigns"),
        Kind("adGroups", "adGroups", "adGroupId", "adGroups"),
        Kind("productAds", "productAds", "adId", "ads"),
        Kind("keywords", "keywords", "keywordId"),
        Kind("targets", "targetingClauses", "targetId"),
        Kind("negativeKeywords", "negativeKeywords", "keywordId"),
        Kind("negativeTargets", "negativeTargetingClauses", "targetId"),
        Kind("campaignNegativeKeywords", "campaignNegativeKeywords", "keywordId"),
        Kind("campaignNegativeTargets", "campaignNegativeTargetingClauses", "targetId"),
        Kind("portfolios", "portfolios", "portfolioId"),
    )
}
BUDGET_RULES = Kind("budgetRules", "budgetRulesDetails", "ruleId")
NOT_UNIFIED = {kind.resource: Seeds({}) for kind in (*SP_KINDS.values(), BUDGET_RULES) if not kind.unified}


@dataclass(slots=True)
class StoredObject:
    """One object: the members that both generations have, those of each, and the `terms` of a campaign."""

    object_id: str
    terms: Terms | None = None
    shared: Entity = field(default_factory=dict)
    own: dict[Generation, Entity] = field(default_factory=dict)

    @property
    def is_archived(self) -> bool:
        """Whether the object has come to its end: nothing changes it any more."""
        return str(self.shared.get("state", "")).upper() == "ARCHIVED"

    def change(self, generation: Generation, given: Entity) -> None:
        """Sets the members that one generation gives."""
        own, others = self.own.setdefault(generation, {}), self.own.setdefault(OTHER[generation], {})
        for name, value in given.items():
            (self.shared if name in SHARED else own)[name] = value
        for outdated in self.terms.take(generation, given) if self.terms else ():
            others.pop(outdated, None)

    def shown(self, generation: Generation) -> Entity:
        """All members that one generation knows of."""
        terms = self.terms.show(generation, self.shared.get("adProduct", "")) if self.terms else {}
        return {**terms, **self.shared, **self.own.get(generation, {})}


@dataclass(slots=True)
class ObjectStore:
    """Place -> id -> object. Ids count up over all advertisers. `currency` is that of an advertiser in a region."""

    currency: Callable[[str, str], str]
    shelves: dict[Place, dict[str, StoredObject]] = field(default_factory=dict)
    last_id: int = FIRST_ID

    def shelf(self, place: Place) -> dict[str, StoredObject]:
        """All objects of a resource; made, with what there is from the start, when first asked for."""
        if place not in self.shelves:
            self.shelves[place] = {}
            owner, region, resource = place
            seeds = {**SEEDED, **NOT_UNIFIED}.get(resource, ONE)
            for product, count in seeds.counts.items():
                made: Entity = {"state": "ENABLED", "adProduct": product} if product else {}
                for name in seeds.parents:  # the first of them that is of this product
                    above = self.shelf((owner, region, PARENTS[name])).items()
                    made[name] = next(key for key, each in above if product in ("", each.shared["adProduct"]))
                for number in range(1, count + 1):
                    named = {"name": f"{product} {resource} {number}"} if seeds.named else {}
                    stored = self.create(place, "unified", {**named, **made})
                    if stored.terms is not None:
                        stored.terms = seeded(number, stored.terms.currency)
        return self.shelves[place]

    def create(self, place: Place, generation: Generation, given: Entity) -> StoredObject:
        """Adds an object with a new id; what there is from the start has earlier ones."""
        shelf = self.shelf(place)
        self.last_id += 1
        owner, region, resource = place
        terms = Terms(self.currency(owner, region)) if resource == "campaigns" else None
        made = StoredObject(str(self.last_id), terms)
        made.change(generation, given)
        shelf[made.object_id] = made
        return made
