"""The operations on campaigns and their like: Sponsored Products, Brands and Display."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from proxy.simulator.calls import BodyUnreadable, Call
from proxy.simulator.campaigns import BUDGET_RULES, PRODUCTS, SP_KINDS, Kind, StoredObject, page

if TYPE_CHECKING:
    from proxy.simulator.answers import Answer
    from proxy.simulator.campaign_terms import Entity

Match = re.Match[str]


def _shelf(call: Call, product: str, kind: Kind) -> dict[str, StoredObject]:
    """The profile's objects of a kind and a product; portfolios are of none."""
    shelf = call.state.objects.shelf((call.scope, call.region, kind.resource))
    wanted = PRODUCTS.get(product)
    return {key: stored for key, stored in shelf.items() if stored.shared.get("adProduct") == wanted}


def _create(call: Call, product: str, kind: Kind, given: Entity) -> StoredObject:
    _shelf(call, product, kind)
    named = {"adProduct": PRODUCTS[product]} if product in PRODUCTS else {}
    return call.state.objects.create((call.scope, call.region, kind.resource), "earlier", {**given, **named})


def _shown(kind: Kind, stored: StoredObject) -> Entity:
    value = {**stored.shown("earlier"), kind.id_name: stored.object_id}
    value.pop("adProduct", None)
    return value


def list_entities(call: Call, match: Match) -> Answer:
    """`POST /sp/{kind}/list`, `/sb/v4/{kind}/list` and `/portfolios/list`: pages by `nextToken`."""
    kind = SP_KINDS[match["kind"]]
    shelf = _shelf(call, match["product"], kind)
    try:
        found = page([_shown(kind, stored) for stored in shelf.values()], kind, call.json_object())
    except ValueError as error:
        raise BodyUnreadable("maxResults or nextToken is not valid") from error
    value: dict[str, Any] = {kind.member: found.entities, "totalResults": found.total}
    if found.next_token is not None:
        value["nextToken"] = found.next_token
    return call.answer(value)


def create_entities(call: Call, match: Match) -> Answer:
    """`POST /sp/{kind}`, `/sb/v4/{kind}` and `/portfolios`: 207 with what succeeded and what did not."""
    kind = SP_KINDS[match["kind"]]
    success, errors = [], []
    for index, entity in enumerate(call.json_list(kind.member)):
        wrong = find_wrong_values(kind, index, entity)
        if wrong:
            errors.append({"index": index, "errors": wrong})
        else:
            success.append(_success(call, kind, index, _create(call, match["product"], kind, entity)))
    return call.answer({kind.member: {"success": success, "error": errors}}, 207)


def update_entities(call: Call, match: Match) -> Answer:
    """`PUT` of the same: the members that were sent are changed and stay so."""
    kind = SP_KINDS[match["kind"]]
    shelf = _shelf(call, match["product"], kind)
    success, errors = [], []
    for index, change in enumerate(call.json_list(kind.member)):
        entity = shelf.get(str(change.get(kind.id_name)))
        if entity is None:
            errors.append(_unknown(kind, index, change.get(kind.id_name)))
            continue
        wrong = find_wrong_values(kind, index, change)
        if wrong:
            errors.append({"index": index, "errors": wrong})
            continue
        entity.change("earlier", change)
        success.append(_success(call, kind, index, entity))
    return call.answer({kind.member: {"success": success, "error": errors}}, 207)


def archive_entities(call: Call, match: Match) -> Answer:
    """`POST /sp/{kind}/delete` and `/sb/v4/{kind}/delete`: they are archived, not forgotten."""
    kind = SP_KINDS[match["kind"]]
    shelf = _shelf(call, match["product"], kind)
    chosen = call.json_object().get(f"{kind.id_name}Filter", {})
    success, errors = [], []
    for index, entity_id in enumerate(chosen.get("include", []) if isinstance(chosen, dict) else []):
        entity = shelf.get(str(entity_id))
        if entity is None:
            errors.append(_unknown(kind, index, entity_id))
            continue
        entity.change("earlier", {"state": "ARCHIVED"})
        success.append(_success(call, kind, index, entity))
    return call.answer({kind.member: {"success": success, "error": errors}}, 207)


def list_display(call: Call, match: Match) -> Answer:
    """`GET /sd/{kind}`: a bare array, by `startIndex` and `count`."""
    kind = SP_KINDS[match["kind"]]
    entities = [_as_display(kind, stored) for stored in _shelf(call, "sd", kind).values()]
    wanted = call.parameters()
    try:
        start, count = int(wanted.get("startIndex") or 0), int(wanted.get("count") or 100)
    except ValueError as error:
        raise BodyUnreadable("startIndex and count are numbers") from error
    return call.answer(entities[start : start + count])


def change_display(call: Call, match: Match) -> Answer:
    """`POST` and `PUT /sd/{kind}`: an array in, an array out."""
    kind = SP_KINDS[match["kind"]]
    shelf = _shelf(call, "sd", kind)
    results = []
    for given in call.json_list():
        change = {**given, "state": str(given["state"]).upper()} if "state" in given else given
        if call.method == "POST":
            made = _create(call, "sd", kind, change)
            results.append({kind.id_name: int(made.object_id), "code": "SUCCESS"})
            continue
        entity = shelf.get(str(change.get(kind.id_name)))
        if entity is not None:
            entity.change("earlier", change)
        result = {kind.id_name: change.get(kind.id_name)}
        if entity is None:
            results.append({**result, "code": "NOT_FOUND", "description": f"{kind.id_name} was not found."})
        else:
            results.append({**result, "code": "SUCCESS"})
    return call.answer(results, 207)


def _as_display(kind: Kind, stored: StoredObject) -> Entity:
    """Sponsored Display writes states in small letters."""
    value = _shown(kind, stored)
    return {**value, "state": value["state"].lower()} if "state" in value else value


def _success(call: Call, kind: Kind, index: int, stored: StoredObject) -> Entity:
    value: Entity = {"index": index, kind.id_name: stored.object_id}
    if "return=representation" in (call.head.first("prefer") or ""):
        value[kind.member.removesuffix("s")] = _shown(kind, stored)
    return value


def _unknown(kind: Kind, index: int, entity_id: object) -> Entity:
    entity_type = re.sub("(?<=[a-z])(?=[A-Z])", "_", kind.member.removesuffix("s")).upper()
    said = {"entityId": str(entity_id), "entityType": entity_type}
    where = f"$.{kind.member}[{index}].{kind.id_name}"
    return {"index": index, "errors": [_error("entityNotFoundError", "ENTITY_NOT_FOUND", where, entity_id, **said)]}


def _error(error_type: str, reason: str, location: str, trigger: object, **further: object) -> Entity:
    """One error of one entity, as the specifications of version 3 have it."""
    cause = {"location": location, "trigger": str(trigger)}
    value = {"reason": reason, "message": f"{location} is not valid", "cause": cause, **further}
    return {"errorType": error_type, "errorValue": {error_type: value}}


# --- Budget rules ----------------------------------------------------------------------------------------


def change_budget_rules(call: Call, match: Match) -> Answer:
    """`POST` and `PUT /{sp|sb|sd}/budgetRules`: results with a code each."""
    shelf = _shelf(call, match["product"], BUDGET_RULES)
    results = []
    for change in call.json_list(BUDGET_RULES.member):
        if call.method == "POST":
            made = _create(call, match["product"], BUDGET_RULES, change)
            results.append(_rule_result(made.object_id, known=True))
            continue
        rule = shelf.get(str(change.get("ruleId")))
        if rule is not None:
            rule.change("earlier", change)
        results.append(_rule_result(change.get("ruleId"), known=rule is not None))
    return call.answer({"responses": results}, 207)


def associate_budget_rules(call: Call, match: Match) -> Answer:
    """`POST /{sp|sb|sd}/campaigns/{id}/budgetRules`: rules that there are take part in the campaign's budget."""
    shelf = _shelf(call, match["product"], BUDGET_RULES)
    chosen = call.json_object().get("budgetRuleIds")
    if not isinstance(chosen, list):
        raise BodyUnreadable("budgetRuleIds must be a list of ids")
    results = [_rule_result(rule_id, known=str(rule_id) in shelf) for rule_id in chosen]
    return call.answer({"responses": results}, 207)


def _rule_result(rule_id: object, *, known: bool) -> Entity:
    said = {"code": "SUCCESS"} if known else {"code": "NOT_FOUND", "details": "There is no such budget rule."}
    return {"ruleId": rule_id, **said}


# --- Values of entities ----------------------------------------------------------------------------------

STATES = ("ENABLED", "PAUSED", "PROPOSED")
LEAST_BID, LEAST_BUDGET = 0.02, 1


def find_wrong_values(kind: Kind, index: int, entity: Entity) -> list[Entity]:
    """What of the values that an entity sets cannot be: its state, its bid, its budget."""
    where, found = f"$.{kind.member}[{index}]", []
    state, bid, budget = entity.get("state", "ENABLED"), entity.get("bid"), entity.get("budget")
    if state not in STATES:
        allowed = list(STATES)
        found.append(_error("rangeError", "INVALID_ENUM_VALUE", f"{where}.state", state, allowed=allowed))
    if bid is not None and not _reaches(bid, LEAST_BID):
        found.append(_error("rangeError", "TOO_LOW", f"{where}.bid", bid, lowerLimit=str(LEAST_BID)))
    amount = budget.get("budget") if isinstance(budget, dict) else budget
    if amount is not None and not _reaches(amount, LEAST_BUDGET):
        found.append(
            _error("budgetError", "BUDGET_TOO_LOW", f"{where}.budget.budget", amount, lowerLimit=str(LEAST_BUDGET))
        )
    return found


def _reaches(value: object, least: float) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and value >= least
