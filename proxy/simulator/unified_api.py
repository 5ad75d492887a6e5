"""The operations of `/adsApi/v1`: each is created, queried, updated, deleted or retrieved in the same way.

What an advertiser has is kept by ads account, or by profile where that is in none; what belongs to no advertiser, by
user.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from proxy.simulator.calls import BodyUnreadable, Call
from proxy.simulator.unified import Entity, Shape, load_shapes, matches

if TYPE_CHECKING:
    from collections.abc import Callable

    from proxy.simulator.answers import Answer

PREFIX = "/adsApi/v1/"


class EntityRefused(Exception):
    """One of several entities cannot be had; `code` is one of the unified API's, `member` what is wrong."""

    def __init__(self, code: str, message: str, member: str = "") -> None:
        super().__init__(message)
        self.code = code
        self.member = member


def answer_unified(call: Call) -> Answer:
    """Any operation of the specifications. BodyUnreadable where the body does not fit its shape."""
    template = call.operation.template if call.operation else call.path
    shape = load_shapes()[call.method.replace("HEAD", "GET"), template]
    if shape.verb in ("query", "list"):
        return _query(call, shape)
    doing: dict[str, Callable[[Call, Shape, Any], Entity]] = {
        "create": _create,
        "update": _update,
        "delete": _delete,
        "retrieve": _retrieve,
    }
    return multi_status(call, shape, doing[shape.verb])


def advertiser(call: Call) -> str:
    """Whose things these are: the ads account's that is named or has the profile, else the profile's or the user's."""
    if call.caller.account is not None:
        named = call.state.ads_accounts.named(call.caller.account)
        return named.account_id if named else call.caller.account
    owner = call.state.ads_accounts.of_profile(call.scope)
    return owner.account_id if owner else call.scope or f"user {call.caller.user}"


def multi_status(call: Call, shape: Shape, act: Callable[[Call, Shape, Any], Entity]) -> Answer:
    """207 with what succeeded and what did not, by index."""
    success, errors = [], []
    for index, given in enumerate(given_entities(call, shape)):
        try:
            success.append({"index": index, shape.named: act(call, shape, given)})
        except EntityRefused as refused:
            error = {"code": refused.code, "message": str(refused), "fieldLocation": _location(shape, index, refused)}
            errors.append({"index": index, "errors": [error]})
    return call.answer({"success": success, "error": errors}, 207)


def given_entities(call: Call, shape: Shape) -> list[Any]:
    """What the body gives, as many as the specification allows."""
    body = read_body(call, shape)
    given = body.get(shape.takes)
    least, most = shape.bounds
    if not isinstance(given, list) or not least <= len(given) <= most:
        raise BodyUnreadable(f"{shape.takes} must be a list of {least} to {most}")
    if not all(isinstance(entry, str | dict) for entry in given):
        raise BodyUnreadable(f"{shape.takes} holds what is neither an object nor an id")
    return given


def read_body(call: Call, shape: Shape) -> Entity:
    """The body, with what must be in it."""
    body = call.json_object()
    missing = [name for name in shape.required if body.get(name) is None]
    if missing:
        raise BodyUnreadable(f"{', '.join(missing)} must be there")
    return body


def _location(shape: Shape, index: int, refused: EntityRefused) -> str:
    return f"$.{shape.takes}[{index}]" + (f".{refused.member}" if refused.member else "")


def _shelf(call: Call, shape: Shape) -> dict[str, Entity]:
    return call.state.unified.shelf(advertiser(call), call.region, shape)


def _query(call: Call, shape: Shape) -> Answer:
    """Pages by `nextToken`, of what passes all filters."""
    body = read_body(call, shape) if shape.verb == "query" else {}
    for name, chosen in body.items():
        if name.endswith("Filter") and not (isinstance(chosen, dict) and isinstance(chosen.get("include"), list)):
            raise BodyUnreadable(f"{name} must be an object with a list 'include'")
    least, most = shape.pages
    size = body.get("maxResults", most)
    if not isinstance(size, int) or isinstance(size, bool) or not least <= size <= most:
        raise BodyUnreadable(f"maxResults is a number from {least} to {most}")
    found = [entity for entity in _shelf(call, shape).values() if matches(entity, body)]
    start = str(body.get("nextToken") or "page-0").removeprefix("page-")
    if not start.isdecimal() or int(start) > len(found):
        raise BodyUnreadable("nextToken is none that was given out")
    end = int(start) + size
    value: Entity = {shape.named: found[int(start) : end]}
    if end < len(found):
        value["nextToken"] = f"page-{end}"
    return call.answer(value)


def _create(call: Call, shape: Shape, given: Any) -> Entity:
    _whole(shape, given)
    return call.state.unified.create(_shelf(call, shape), shape, given)


def _update(call: Call, shape: Shape, given: Any) -> Entity:
    _whole(shape, given)
    if shape.id_name is None:
        return {**shape.sample, **given}
    entity = _known(call, shape, given.get(shape.id_name))
    entity.update(given)
    return entity


def _delete(call: Call, shape: Shape, given: Any) -> Entity:
    """What has a state is archived, all else forgotten."""
    entity = _known(call, shape, given)
    if "state" in entity:
        entity["state"] = "ARCHIVED"
        return entity
    return _shelf(call, shape).pop(str(given))


def _retrieve(call: Call, shape: Shape, given: Any) -> Entity:
    if shape.id_name is None or not isinstance(given, str):
        return dict(shape.sample)
    return _known(call, shape, given)


def _known(call: Call, shape: Shape, entity_id: Any) -> Entity:
    entity = _shelf(call, shape).get(str(entity_id))
    if entity is None:
        raise EntityRefused("RESOURCE_ID_NOT_FOUND", f"{entity_id} does not exist", shape.id_name or "")
    return entity


def _whole(shape: Shape, given: Any) -> None:
    """An entity is an object with what it needs."""
    if not isinstance(given, dict):
        raise BodyUnreadable(f"{shape.takes} must be a list of JSON objects")
    missing = next((name for name in shape.needs if given.get(name) is None), None)
    if missing is not None:
        raise EntityRefused("FIELD_VALUE_IS_NULL", f"{missing} must be there", missing)
