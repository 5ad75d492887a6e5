"""The reads that tell what the objects of a write are like now: which requests, and what their responses say. Pure.

They are Amazon's lists of objects by id (docs/explanation/approvals.md has which).
Objects of a write to the unified API, and of MCP tools, are read there, once for each ad product that they may be of.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final, NamedTuple
from urllib.parse import quote

from proxy.audit.changed_objects import ObjectKind, name_object
from proxy.profiles.listing import ListRequest
from proxy.strict_json import JsonBody
from proxy.value_classes import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from proxy.profiles.listing import ListResponse
    from proxy.spend.written_values import WrittenObject

MAX_READS: Final = 3
"""Requests for one write, at most."""
_JSON: Final = "application/json"
_UNIFIED: Final = "/adsApi/v1"
_PRODUCT: Final = "adProduct"
_BRANDS: Final = "SPONSORED_BRANDS"
_PRODUCTS: Final = ("SPONSORED_PRODUCTS", _BRANDS, "SPONSORED_DISPLAY")
_FEW: Final = 10
"""Ids that Amazon takes at a time where it lists Sponsored Brands."""
_MANY: Final = 100


@dataclass(frozen=True, slots=True)
class ObjectList:
    """A list of objects of one kind. `filter` is the member or the parameter that takes `most` ids; without one, the
    id is the last segment of the path. `member` holds the objects of the response, which is a bare list without it.
    `product` is the one ad product that is asked for, empty where the list has no other. `has_sizes` tells that it
    takes the size of a page. `written` is the member of a write's body that holds the objects, empty for a bare list,
    and None where it is `member`."""

    kind: ObjectKind
    id_name: str
    method: str
    path: str
    filter: str = ""
    member: str = ""
    media_type: str = _JSON
    most: int = _MANY
    product: str = ""
    has_sizes: bool = True
    written: str | None = None

    def request(self, ids: Sequence[str], profile: str) -> ListRequest:
        """The request for the objects with these ids, without the prefix of account and region."""
        if self.method == "POST":
            product = {f"{_PRODUCT}Filter": {"include": [self.product]}} if self.product else {}
            size = {"maxResults": _MANY} if self.has_sizes else {}
            content = {self.filter: {"include": list(ids)}, **size, **product}
            data = json.dumps(content).encode()
            return ListRequest("POST", self.path, data, self.media_type, profile)
        escaped = [quote(each, safe="") for each in ids]
        target = f"{self.path}?{self.filter}={','.join(escaped)}" if self.filter else f"{self.path}/{escaped[0]}"
        return ListRequest("GET", target, media_type=self.media_type, profile=profile)

    def read(self, response: ListResponse) -> dict[str, Mapping[str, Any]]:
        """The objects of a response by their names; empty for one that is no list."""
        if response.status != 200 or response.own:
            return {}
        try:
            content = JsonBody(response.body).exact(strictly=False)
        except (ValueError, RecursionError):
            return {}
        if self.member:
            content = content.get(self.member) if isinstance(content, dict) else None
        elif not self.filter:
            content = [content]
        found = content if isinstance(content, list) else []
        named = ((name_object(self.kind, (each.get(self.id_name),)), each) for each in found if isinstance(each, dict))
        return {name: each for name, each in named if name}


def _version_3(segment: str, kind: ObjectKind, id_name: str, resource: str, member: str = "") -> ObjectList:
    """A list of Sponsored Products. Negative keywords and targets have filters of their own names."""
    name = segment.removesuffix("s")
    ids = f"{name}IdFilter" if "egative" in segment else f"{id_name}Filter"
    media_type = f"application/vnd.sp{resource}.v3+json"
    return ObjectList(kind, id_name, "POST", f"/sp/{segment}/list", ids, member or segment, media_type)


def _version_4(segment: str, kind: ObjectKind, id_name: str) -> ObjectList:
    """A list of Sponsored Brands."""
    media_type = f"application/vnd.sb{id_name.removesuffix('Id').lower()}resource.v4+json"
    return ObjectList(kind, id_name, "POST", f"/sb/v4/{segment}/list", f"{id_name}Filter", segment, media_type, _FEW)


def _by_query(path: str, kind: ObjectKind, id_name: str, media_type: str = _JSON) -> ObjectList:
    return ObjectList(kind, id_name, "GET", path, f"{id_name}Filter", media_type=media_type)


def _by_path(path: str, kind: ObjectKind, media_type: str = _JSON) -> ObjectList:
    written = path.rpartition("/")[2] if path.startswith("/sb/") else ""
    return ObjectList(kind, "targetId", "GET", path, media_type=media_type, most=1, written=written)


_CAMPAIGN, _AD_GROUP, _AD = ObjectKind.CAMPAIGN, ObjectKind.AD_GROUP, ObjectKind.AD
_KEYWORD, _TARGET = ObjectKind.KEYWORD, ObjectKind.TARGET
_SB: Final = "application/vnd.sb"
_LISTS: Final[Mapping[str, ObjectList]] = {
    "/sp/campaigns": _version_3("campaigns", _CAMPAIGN, "campaignId", "Campaign"),
    "/sp/adGroups": _version_3("adGroups", _AD_GROUP, "adGroupId", "AdGroup"),
    "/sp/productAds": _version_3("productAds", _AD, "adId", "ProductAd"),
    "/sp/keywords": _version_3("keywords", _KEYWORD, "keywordId", "Keyword"),
    "/sp/targets": _version_3("targets", _TARGET, "targetId", "TargetingClause", "targetingClauses"),
    "/sp/negativeKeywords": _version_3("negativeKeywords", _KEYWORD, "keywordId", "NegativeKeyword"),
    "/sp/negativeTargets": _version_3(
        "negativeTargets", _TARGET, "targetId", "NegativeTargetingClause", "negativeTargetingClauses"
    ),
    "/sp/campaignNegativeKeywords": _version_3(
        "campaignNegativeKeywords", _KEYWORD, "keywordId", "CampaignNegativeKeyword"
    ),
    "/sp/campaignNegativeTargets": _version_3(
        *("campaignNegativeTargets", _TARGET, "targetId", "CampaignNegativeTargetingClause"),
        "campaignNegativeTargetingClauses",
    ),
    "/portfolios": ObjectList(
        *(ObjectKind.PORTFOLIO, "portfolioId", "POST", "/portfolios/list", "portfolioIdFilter", "portfolios"),
        "application/vnd.spPortfolio.v3+json",
        has_sizes=False,
    ),
    "/sb/v4/campaigns": _version_4("campaigns", _CAMPAIGN, "campaignId"),
    "/sb/v4/adGroups": _version_4("adGroups", _AD_GROUP, "adGroupId"),
    "/sb/v4/ads": _version_4("ads", _AD, "adId"),
    "/sb/keywords": _by_query("/sb/keywords", _KEYWORD, "keywordId", f"{_SB}keyword.v3.2+json"),
    "/sb/negativeKeywords": _by_query("/sb/negativeKeywords", _KEYWORD, "keywordId", f"{_SB}negativekeyword.v3.2+json"),
    "/sb/targets": _by_path("/sb/targets", _TARGET, f"{_SB}target.v3+json"),
    "/sb/negativeTargets": _by_path("/sb/negativeTargets", _TARGET, f"{_SB}negativetarget.v3+json"),
    "/sd/campaigns": _by_query("/sd/campaigns", _CAMPAIGN, "campaignId"),
    "/sd/adGroups": _by_query("/sd/adGroups", _AD_GROUP, "adGroupId"),
    "/sd/productAds": _by_query("/sd/productAds", _AD, "adId"),
    "/sd/targets": _by_query("/sd/targets", _TARGET, "targetId"),
    "/sd/negativeTargets": _by_path("/sd/negativeTargets", _TARGET),
}
"""By the path of the operations that change the objects, without the id."""
UNIFIED_NAMES: Final = {
    _CAMPAIGN: ("campaigns", "campaignId"),
    _AD_GROUP: ("adGroups", "adGroupId"),
    _TARGET: ("targets", "targetId"),
    _AD: ("ads", "adId"),
}
"""By kind: the list of such objects in a body of the unified API, and the member with the id of each."""


class PresentRead(NamedTuple):
    """One request: the objects with these ids in one list. `group` is the place of what it reads in the plan."""

    group: int
    list: ObjectList
    ids: tuple[str, ...]


class ObjectGroup(NamedTuple):
    """Objects of one operation and one kind: their names, and the lists that may have them."""

    lists: tuple[ObjectList, ...]
    names: tuple[str, ...]


def group_objects(operation: str, objects: Iterable[WrittenObject]) -> tuple[ObjectGroup, ...]:
    """What is to be read of the objects of one body: those that have an id, and are of a kind that Amazon lists."""
    found: dict[tuple[ObjectList, ...], dict[str, None]] = {}
    for each in objects:
        lists = _lists_of(operation, each) if each.name else ()
        if lists:
            found.setdefault(lists, {})[each.name] = None
    return tuple(ObjectGroup(lists, tuple(names)) for lists, names in found.items())


def _lists_of(operation: str, written: WrittenObject) -> tuple[ObjectList, ...]:
    path = operation.partition(" ")[2].removesuffix("/delete").partition("/{")[0]
    if operation.startswith("MCP ") or path.startswith(_UNIFIED):
        return _unified_lists(written)
    own = find_list(path)
    return (own,) if own is not None and own.kind is written.kind else ()


def find_list(path: str) -> ObjectList | None:
    """The list of the objects that operations with this path change; None where Amazon has none, and for the unified
    API."""
    return _LISTS.get(path)


def _unified_lists(written: WrittenObject) -> tuple[ObjectList, ...]:
    """The lists of the ad products that an object may be of: that which the write names, or one after the other."""
    kind, product = written.kind, written.members.get(_PRODUCT)
    if kind is None or kind not in UNIFIED_NAMES:
        return ()
    member, id_name = UNIFIED_NAMES[kind]
    path, ids = f"{_UNIFIED}/query/{member}", f"{id_name}Filter"
    products = (product,) if product in _PRODUCTS else _PRODUCTS if product is None else ()
    return tuple(
        ObjectList(kind, id_name, "POST", path, ids, member, most=_FEW if each == _BRANDS else _MANY, product=each)
        for each in products
    )


def next_read(
    groups: Sequence[ObjectGroup], found: Mapping[str, Any], done: Sequence[PresentRead]
) -> PresentRead | None:
    """The next request, None where no other may tell more. A list is asked for further ids; where several lists may
    have an object, each is asked once for those that the others did not have."""
    if len(done) >= MAX_READS:
        return None
    for index, (lists, names) in enumerate(groups):
        number = sum(1 for each in done if each.group == index)
        if len(lists) == 1:
            asked, rest = lists[0], names[number * lists[0].most :]
        else:  # there are no more products than reads
            asked, rest = lists[number], tuple(name for name in names if name not in found)
        ids = tuple(name.partition("/")[2] for name in rest[: asked.most])
        if ids:
            return PresentRead(index, asked, ids)
    return None
