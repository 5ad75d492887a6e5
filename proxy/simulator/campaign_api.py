"""The operations on campaigns and their like before the unified API: Sponsored Products, Brands and Display."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from proxy.simulator.calls import BodyUnreadable, Call, ItemRefused, carry_out_each
from proxy.simulator.campaigns import BUDGET_RULES, PRODUCTS, SP_KINDS, Kind, StoredObject
from proxy.simulator.money import LEAST, too_small
from proxy.simulator.unified import matches
from proxy.simulator.write_rules import Misfit

if TYPE_CHECKING:
    from collections.abc import Callable

    from proxy.simulator.answers import Answer
    from proxy.simulator.campaign_terms import Entity
    from proxy.simulator.spending import Action

Match = re.Match[str]


def _shelf(call: Call, product: str, kind: Kind) -> dict[str, StoredObject]:
    """The profile's objects of a kind and a product; portfolios are of none."""
    shelf = call.state.objects.shelf((call.scope, call.region, kind.resource))
    wanted = PRODUCTS.get(product)
    return {key: stored for key, stored in shelf.items() if stored.shared.get("adProduct") == wanted}


def _create(call: Call, product: str, kind: Kind, given: Entity) -> StoredObject:
    named = {"adProduct": PRODUCTS[product]} if product in PRODUCTS else {}
    made = call.state.objects.create((call.scope, call.region, kind.resource), "earlier", {**given, **named})
    call.record(call.scope, "create", f"{kind.singular}/{made.object_id}", given)
    return made


def _change(call: Call, kind: Kind, stored: StoredObject, change: Entity, action: Action = "update") -> None:
    stored.change("earlier", change)
    call.record(call.scope, action, f"{kind.singular}/{stored.object_id}", change)


def _shown(kind: Kind, stored: StoredObject) -> Entity:
    value = {**stored.shown("earlier"), kind.id_name: stored.object_id}
    value.pop("adProduct", None)
    return value


# --- Version 3 and 4: lists in, and 207 with what succeeded and what did not -----------------------------


def list_entities(call: Call, match: Match) -> Answer:
    """`POST /sp/{kind}/list`, `/sb/v4/{kind}/list` and `/portfolios/list`: pages by `nextToken`."""
    kind, wanted = SP_KINDS[match["kind"]], call.json_object()
    try:
        start = int(str(wanted.get("nextToken") or "page-0").removeprefix("page-") or 0)
        end = start + int(wanted.get("maxResults") or 100)
    except ValueError as error:
        raise BodyUnreadable("maxResults or nextToken is not valid") from error
    given = {f"{kind.id_name}Filter": wanted.get(kind.filter_name), "stateFilter": wanted.get("stateFilter")}
    filters = {name: chosen for name, chosen in given.items() if isinstance(chosen, dict) and chosen.get("include")}
    shown = [_shown(kind, stored) for stored in _shelf(call, match["product"], kind).values()]
    found = [entity for entity in shown if matches({"state": None, **entity}, filters)]
    following = {"nextToken": f"page-{end}"} if end < len(found) else {}
    return call.answer({kind.member: found[start:end], "totalResults": len(found), **following})


def create_entities(call: Call, match: Match) -> Answer:
    """`POST /sp/{kind}`, `/sb/v4/{kind}` and `/portfolios`."""
    kind = SP_KINDS[match["kind"]]

    def create(place: str, given: Entity) -> StoredObject:
        refuse_wrong_values(call, place, given)
        return _create(call, match["product"], kind, given)

    return _multi_status(call, kind, _listed(call, kind.member), create)


def update_entities(call: Call, match: Match) -> Answer:
    """`PUT` of the same: the members that were sent are changed and stay so."""
    kind = SP_KINDS[match["kind"]]
    shelf = _shelf(call, match["product"], kind)

    def update(place: str, change: Entity) -> StoredObject:
        stored = _known(shelf, kind, place, change.get(kind.id_name))
        refuse_wrong_values(call, place, change)
        refuse_archived(stored, f"{place}.state")
        _change(call, kind, stored, change)
        return stored

    return _multi_status(call, kind, _listed(call, kind.member), update)


def archive_entities(call: Call, match: Match) -> Answer:
    """`POST /sp/{kind}/delete` and `/sb/v4/{kind}/delete`: they are archived, not forgotten."""
    kind = SP_KINDS[match["kind"]]
    shelf = _shelf(call, match["product"], kind)
    chosen = call.json_object().get(kind.filter_name, {})

    def archive(place: str, object_id: object) -> StoredObject:
        stored = _known(shelf, kind, place, object_id)
        _change(call, kind, stored, {"state": "ARCHIVED"}, "delete")
        return stored

    return _multi_status(call, kind, chosen.get("include", []) if isinstance(chosen, dict) else [], archive)


def _multi_status(call: Call, kind: Kind, items: list[Any], act: Callable[[str, Any], StoredObject]) -> Answer:
    """207; with `Prefer: return=representation` the objects are in it."""
    whole = "return=representation" in (call.head.first("prefer") or "")

    def carry_out(place: str, item: Any) -> Entity:
        stored = act(place, item)
        shown = {kind.member.removesuffix("s"): _shown(kind, stored)} if whole else {}
        return {kind.id_name: stored.object_id, **shown}

    success, errors = carry_out_each(kind.member, items, carry_out)
    return call.answer({kind.member: {"success": success, "error": errors}}, 207)


def _known(shelf: dict[str, StoredObject], kind: Kind, place: str, object_id: object) -> StoredObject:
    stored = shelf.get(str(object_id))
    if stored is None:
        entity_type = re.sub("(?<=[a-z])(?=[A-Z])", "_", kind.member.removesuffix("s")).upper()
        said = {"entityId": str(object_id), "entityType": entity_type}
        raise ItemRefused(
            _error("entityNotFoundError", "ENTITY_NOT_FOUND", f"{place}.{kind.id_name}", object_id, **said)
        )
    return stored


def _error(error_type: str, reason: str, location: str, trigger: object, **further: object) -> Entity:
    """One error of one entity, as the specifications of version 3 have it."""
    cause = {"location": location, "trigger": str(trigger)}
    value = {"reason": reason, "message": f"{location} is not valid", "cause": cause, **further}
    return {"errorType": error_type, "errorValue": {error_type: value}}


def _listed(call: Call, member: str | None = None) -> list[Entity]:
    """The objects of a body, of which there may be only so many."""
    given, rule = call.json_list(member), call.write_rule
    if rule is not None and len(given) > rule.bounds[1]:
        raise BodyUnreadable(f"{member or 'the body'} must be a list of at most {rule.bounds[1]}")
    return given


STATES = ("ENABLED", "PAUSED", "PROPOSED")


def refuse_archived(stored: StoredObject, place: str) -> None:
    """Raises ItemRefused for an object that is archived."""
    if stored.is_archived:
        raise ItemRefused(_error("entityStateError", "ARCHIVED_ENTITY_CANNOT_BE_MODIFIED", place, "ARCHIVED"))


def refuse_wrong_values(call: Call, place: str, entity: Entity) -> None:
    """Raises ItemRefused for whatever an entity cannot have: members, types, words, bounds, and small amounts."""
    found = [_error_of(place, misfit) for misfit in call.misfits(entity)]
    if call.write_rule is None and entity.get("state", "ENABLED") not in STATES:
        found.append(_error_of(place, Misfit("state", "word", entity["state"], list(STATES))))
    if found:
        raise ItemRefused(*found)
    for amount in too_small(entity):
        error = ("budgetError", "BUDGET_TOO_LOW") if amount.kind == "budget" else ("rangeError", "TOO_LOW")
        found.append(_error(*error, f"{place}.{amount.path}", float(amount.value), lowerLimit=str(LEAST[amount.kind])))
    if found:
        raise ItemRefused(*found)


def _error_of(place: str, misfit: Misfit) -> Entity:
    """The error of version 3 for a value that does not fit."""
    where = f"{place}.{misfit.place}" if misfit.place else place
    if misfit.fault == "missing":
        return _error("missingValueError", "MISSING_VALUE", where, "")
    if misfit.fault == "type":
        return _error("malformedValueError", "PATTERN_NOT_MATCHED", where, misfit.value)
    if misfit.fault == "word":
        return _error("rangeError", "INVALID_ENUM_VALUE", where, misfit.value, allowed=misfit.allowed)
    reason, limit = ("TOO_LOW", "lowerLimit") if misfit.fault == "low" else ("TOO_HIGH", "upperLimit")
    return _error("rangeError", reason, where, misfit.value, **{limit: str(misfit.allowed)})


# --- Sponsored Display and budget rules: results with a code ---------------------------------------------

SUCCESS: Entity = {"code": "SUCCESS"}
ARCHIVED: Entity = {"code": "INVALID_ARGUMENT", "description": "What is archived cannot be changed."}
NO_RULE: Entity = {"code": "NOT_FOUND", "details": "There is no such budget rule."}


def list_display(call: Call, match: Match) -> Answer:
    """`GET /sd/{kind}`, and the keywords of Sponsored Brands: a bare array, by `startIndex` and `count`, of the ids in
    a list with commas; states are in small letters."""
    kind, wanted = SP_KINDS[match["kind"]], call.parameters()
    ids = set(filter(None, wanted.get(f"{kind.id_name}Filter", "").split(",")))
    shelf = _shelf(call, match["product"], kind).values()
    entities = [_in_small_letters(kind, stored) for stored in shelf if not ids or stored.object_id in ids]
    try:
        start, count = int(wanted.get("startIndex") or 0), int(wanted.get("count") or 100)
    except ValueError as error:
        raise BodyUnreadable("startIndex and count are numbers") from error
    return call.answer(entities[start : start + count])


def show_display(call: Call, match: Match) -> Answer:
    """`GET /sd/{kind}/{id}`, and the like of Sponsored Brands: one object."""
    kind = SP_KINDS[match["kind"]]
    stored = _shelf(call, match["product"], kind).get(match["id"])
    return (
        call.missing(f"{kind.id_name} {match['id']}")
        if stored is None
        else call.answer(_in_small_letters(kind, stored))
    )


def archive_display(call: Call, match: Match) -> Answer:
    """`DELETE /sd/{kind}/{id}`, and the like of Sponsored Brands: the object is archived."""
    kind = SP_KINDS[match["kind"]]
    stored = _shelf(call, match["product"], kind).get(match["id"])
    if stored is None:
        return call.missing(f"{kind.id_name} {match['id']}")
    _change(call, kind, stored, {"state": "ARCHIVED"}, "delete")
    return call.answer({kind.id_name: stored.object_id, **SUCCESS})


def _in_small_letters(kind: Kind, stored: StoredObject) -> Entity:
    """An object whose state is in small letters."""
    shown = _shown(kind, stored)
    return {**shown, "state": shown["state"].lower()} if "state" in shown else shown


def change_display(call: Call, match: Match) -> Answer:
    """`POST` and `PUT /sd/{kind}`, and of keywords of Sponsored Brands: an array in, an array out; new ids are
    numbers."""
    kind = SP_KINDS[match["kind"]]
    return call.answer(_changed_display(call, match["product"], kind, _listed(call)), 207)


def change_brand_targets(call: Call, match: Match) -> Answer:
    """`POST` and `PUT /sb/targets` and `/sb/negativeTargets`: a list in, successes and errors by index out."""
    kind, verb = SP_KINDS[match["kind"]], "create" if call.method == "POST" else "update"
    results = _changed_display(call, "sb", kind, _listed(call, kind.segment))
    success = [
        {"targetId": each["targetId"], "targetRequestIndex": index}
        for index, each in enumerate(results)
        if each["code"] == "SUCCESS"
    ]
    errors = [{"targetRequestIndex": index, **each} for index, each in enumerate(results) if each["code"] != "SUCCESS"]
    return call.answer({f"{verb}TargetSuccessResults": success, f"{verb}TargetErrorResults": errors})


def _changed_display(call: Call, product: str, kind: Kind, given: list[Entity]) -> list[Entity]:
    unknown: Entity = {"code": "NOT_FOUND", "description": f"{kind.id_name} was not found."}
    results = _changed(call, product, kind, given, unknown)
    if call.method == "POST":
        results = [{**each, kind.id_name: int(each[kind.id_name])} if each[kind.id_name] else each for each in results]
    return results


def change_budget_rules(call: Call, match: Match) -> Answer:
    """`POST` and `PUT /{sp|sb|sd}/budgetRules`."""
    given = call.json_list(BUDGET_RULES.member)
    return call.answer({"responses": _changed(call, match["product"], BUDGET_RULES, given, NO_RULE)}, 207)


def _changed(call: Call, product: str, kind: Kind, entities: list[Entity], unknown: Entity) -> list[Entity]:
    """The results of a `POST`, which creates, or a `PUT`, which changes; `unknown` is the result of an unknown id."""
    shelf = _shelf(call, product, kind)
    results = []
    for each in entities:
        wrong = _wrong_by_code(call, each)
        given = {**each, "state": str(each["state"]).upper()} if "state" in each else each
        stored = shelf.get(str(given.get(kind.id_name)))
        if wrong is not None:
            results.append({kind.id_name: given.get(kind.id_name), **wrong})
        elif call.method == "POST":
            results.append({kind.id_name: _create(call, product, kind, given).object_id, **SUCCESS})
        elif stored is not None and stored.is_archived:
            results.append({kind.id_name: given.get(kind.id_name), **ARCHIVED})
        else:
            if stored is not None:
                _change(call, kind, stored, given)
            results.append({kind.id_name: given.get(kind.id_name), **(SUCCESS if stored else unknown)})
    return results


def _wrong_by_code(call: Call, given: Entity) -> Entity | None:
    """The result of an item that does not fit, None if it does."""
    places = [misfit.place for misfit in call.misfits(given)] or [amount.path for amount in too_small(given)]
    return {"code": "INVALID_ARGUMENT", "description": f"{', '.join(places)} is not valid"} if places else None


def associate_budget_rules(call: Call, match: Match) -> Answer:
    """`POST /{sp|sb|sd}/campaigns/{id}/budgetRules`: rules that there are take part in the campaign's budget."""
    shelf = _shelf(call, match["product"], BUDGET_RULES)
    chosen = call.json_object().get("budgetRuleIds")
    if not isinstance(chosen, list):
        raise BodyUnreadable("budgetRuleIds must be a list of ids")
    results = [{"ruleId": rule_id, **(SUCCESS if str(rule_id) in shelf else NO_RULE)} for rule_id in chosen]
    return call.answer({"responses": results}, 207)
