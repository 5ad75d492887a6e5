"""The operations on campaigns and their like: Sponsored Products, Brands and Display."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from proxy.simulator.calls import BodyUnreadable, Call
from proxy.simulator.campaigns import SP_KINDS, Entity, Kind, page

if TYPE_CHECKING:
    from proxy.simulator.answers import Answer

Match = re.Match[str]


def list_entities(call: Call, match: Match) -> Answer:
    """`POST /sp/{kind}/list` and `POST /sb/v4/{kind}/list`: pages by `nextToken`."""
    kind = SP_KINDS[match["kind"]]
    shelf = call.state.entities.shelf(call.scope, match["product"], kind)
    try:
        found = page(list(shelf.values()), kind, call.json_object())
    except ValueError as error:
        raise BodyUnreadable("maxResults or nextToken is not valid") from error
    value: dict[str, Any] = {kind.member: found.entities, "totalResults": found.total}
    if found.next_token is not None:
        value["nextToken"] = found.next_token
    return call.answer(value)


def create_entities(call: Call, match: Match) -> Answer:
    """`POST /sp/{kind}`: 207 with what succeeded and what did not."""
    kind = SP_KINDS[match["kind"]]
    key = (call.scope, match["product"], kind.segment)
    call.state.entities.shelf(call.scope, match["product"], kind)
    made = [call.state.entities.create(key, kind, entity) for entity in call.json_list(kind.member)]
    return call.answer({kind.member: {"success": _successes(call, kind, made), "error": []}}, 207)


def update_entities(call: Call, match: Match) -> Answer:
    """`PUT /sp/{kind}`: the members that were sent are changed and stay so."""
    kind = SP_KINDS[match["kind"]]
    shelf = call.state.entities.shelf(call.scope, match["product"], kind)
    success, errors = [], []
    for index, change in enumerate(call.json_list(kind.member)):
        entity = shelf.get(str(change.get(kind.id_name)))
        if entity is None:
            errors.append(_unknown(kind, index))
            continue
        entity.update({name: value for name, value in change.items() if name != kind.id_name})
        success.append(_success(call, kind, index, entity))
    return call.answer({kind.member: {"success": success, "error": errors}}, 207)


def archive_entities(call: Call, match: Match) -> Answer:
    """`POST /sp/{kind}/delete`: they are archived, not forgotten."""
    kind = SP_KINDS[match["kind"]]
    shelf = call.state.entities.shelf(call.scope, match["product"], kind)
    chosen = call.json_object().get(f"{kind.id_name}Filter", {})
    success, errors = [], []
    for index, entity_id in enumerate(chosen.get("include", []) if isinstance(chosen, dict) else []):
        entity = shelf.get(str(entity_id))
        if entity is None:
            errors.append(_unknown(kind, index))
            continue
        entity["state"] = "ARCHIVED"
        success.append(_success(call, kind, index, entity))
    return call.answer({kind.member: {"success": success, "error": errors}}, 207)


def list_display(call: Call, match: Match) -> Answer:
    """`GET /sd/{kind}`: a bare array, by `startIndex` and `count`."""
    kind = SP_KINDS[match["kind"]]
    entities = list(call.state.entities.shelf(call.scope, "sd", kind).values())
    wanted = call.parameters()
    try:
        start, count = int(wanted.get("startIndex") or 0), int(wanted.get("count") or 100)
    except ValueError as error:
        raise BodyUnreadable("startIndex and count are numbers") from error
    return call.answer(entities[start : start + count])


def change_display(call: Call, match: Match) -> Answer:
    """`POST` and `PUT /sd/{kind}`: an array in, an array out."""
    kind = SP_KINDS[match["kind"]]
    shelf = call.state.entities.shelf(call.scope, "sd", kind)
    results = []
    for change in call.json_list():
        if call.method == "POST":
            made = call.state.entities.create((call.scope, "sd", kind.segment), kind, change)
            results.append({kind.id_name: int(made[kind.id_name]), "code": "SUCCESS"})
            continue
        entity = shelf.get(str(change.get(kind.id_name)))
        if entity is not None:
            entity.update({name: value for name, value in change.items() if name != kind.id_name})
        results.append({kind.id_name: change.get(kind.id_name), "code": "SUCCESS" if entity else "NOT_FOUND"})
    return call.answer(results, 207)


def _successes(call: Call, kind: Kind, entities: list[Entity]) -> list[Entity]:
    return [_success(call, kind, index, entity) for index, entity in enumerate(entities)]


def _success(call: Call, kind: Kind, index: int, entity: Entity) -> Entity:
    value: Entity = {"index": index, kind.id_name: entity[kind.id_name]}
    if "return=representation" in (call.head.first("prefer") or ""):
        value[kind.member.removesuffix("s")] = entity
    return value


def _unknown(kind: Kind, index: int) -> Entity:
    reason = {"errorType": "entityNotFoundError", "errorValue": {"entityNotFoundError": {"entityType": kind.segment}}}
    return {"index": index, "errors": [reason]}
