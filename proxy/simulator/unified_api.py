"""The operations of `/adsApi/v1`: each is created, queried, updated, deleted or retrieved in the same way.

They work on the objects of the profile that is named, or of the ads account's profiles in the region; where there is
none, on those of the ads account or of the user.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from proxy.simulator.calls import BodyUnreadable, Call, ItemRefused, carry_out_each, page_of
from proxy.simulator.money import too_small
from proxy.simulator.unified import Shape, load_shapes, matches

if TYPE_CHECKING:
    from proxy.simulator.answers import Answer
    from proxy.simulator.campaign_terms import Entity
    from proxy.simulator.campaigns import StoredObject

PREFIX = "/adsApi/v1/"

Act = Callable[[Call, Shape, str, Any], "Entity"]
"""What an operation does with one item of its body: it gets the place of the item, too, for `refused`."""


def answer_unified(call: Call) -> Answer:
    """Any operation of the specifications. BodyUnreadable where the body does not fit its shape."""
    template = call.operation.template if call.operation else call.path
    shape = load_shapes()[call.method.replace("HEAD", "GET"), template]
    return multi_status(call, shape, ACTS[shape.verb]) if shape.verb in ACTS else _query(call, shape)


def multi_status(call: Call, shape: Shape, act: Act) -> Answer:
    """207 with what succeeded, what did not, and what did in part, by index."""

    def carry_out(place: str, given: Any) -> Entity:
        whole, wrong = _without_bad_tags(shape, place, given)
        return {shape.named: act(call, shape, place, whole), **({"errors": wrong} if wrong else {})}

    body = read_body(call, shape)
    given = body.get(shape.takes)
    least, most = shape.bounds
    if not isinstance(given, list) or not least <= len(given) <= most:
        raise BodyUnreadable(f"{shape.takes} must be a list of {least} to {most}")
    if not all(isinstance(entry, str | dict) for entry in given):
        raise BodyUnreadable(f"{shape.takes} holds what is neither an object nor an id")
    done, errors = carry_out_each(shape.takes, given, carry_out)
    partial = [entry for entry in done if "errors" in entry]
    success = [entry for entry in done if "errors" not in entry]
    in_part = {"partialSuccess": partial} if partial else {}
    return call.answer({**shape.besides, "success": success, "error": errors, **in_part}, 207)


def read_body(call: Call, shape: Shape) -> Entity:
    """The body, with what must be in it."""
    body = call.json_object()
    missing = [name for name in shape.required if body.get(name) is None]
    if missing:
        raise BodyUnreadable(f"{', '.join(missing)} must be there")
    return body


def refused(place: str, code: str, message: str, member: str = "") -> ItemRefused:
    """The error of an item: `code` is one of the unified API's, `member` what of it is wrong."""
    location = f"{place}.{member}" if member else place
    return ItemRefused({"code": code, "message": message, "fieldLocation": location})


PARTLY = ("campaign", "adGroup", "ad", "target", "adExtension")
"""What the specifications know a `partialSuccess` of."""


def _without_bad_tags(shape: Shape, place: str, given: Any) -> tuple[Any, list[Entity]]:
    """An entity without those of its tags that have no key or value, and an error for each: the rest of it is done."""
    tags = given.get("tags") if isinstance(given, dict) and shape.named.removesuffix("s") in PARTLY else None
    if not isinstance(tags, list):
        return given, []
    bad = [at for at, tag in enumerate(tags) if not (isinstance(tag, dict) and tag.get("key") and tag.get("value"))]
    wrong = [refused(place, "FIELD_VALUE_IS_INVALID", "a tag has a key and a value", f"tags[{at}]") for at in bad]
    whole = {**given, "tags": [tag for at, tag in enumerate(tags) if at not in bad]}
    return whole, [error for each in wrong for error in each.errors]


def _owners(call: Call) -> tuple[str, ...]:
    """Whose objects these are: profiles, an ads account or a user."""
    if call.caller.account is None:
        return (call.scope or f"user {call.caller.user}",)
    named = call.state.ads_accounts.named(call.caller.account)
    if named is None:
        return (call.caller.account,)
    found = tuple(each.profile_id for each in named.in_regions((call.region,)) if each.profile_id is not None)
    return found or (named.account_id,)


def _shelves(call: Call, shape: Shape) -> dict[str, dict[str, StoredObject]]:
    return {owner: call.state.objects.shelf((owner, call.region, shape.resource)) for owner in _owners(call)}


def _query(call: Call, shape: Shape) -> Answer:
    """Pages by `nextToken`, of what passes all filters."""
    body = read_body(call, shape) if shape.verb == "query" else {}
    for name, chosen in body.items():
        if name.endswith("Filter") and not (isinstance(chosen, dict) and isinstance(chosen.get("include"), list)):
            raise BodyUnreadable(f"{name} must be an object with a list 'include'")
    shown = (shape.show(stored) for shelf in _shelves(call, shape).values() for stored in shelf.values())
    found, following = page_of([entity for entity in shown if matches(entity, body)], body, shape.pages)
    return call.answer({**shape.besides, shape.named: found, **following})


def _create(call: Call, shape: Shape, place: str, given: Any) -> Entity:
    _refuse_wrong_values(call, shape, place, given)
    own = (_owners(call)[0], call.region, shape.resource)
    made = call.state.objects.create(own, "unified", given)
    call.record(own[0], "create", f"{shape.singular}/{made.object_id}", given)
    return shape.show(made)


def _update(call: Call, shape: Shape, place: str, given: Any) -> Entity:
    _refuse_wrong_values(call, shape, place, given)
    if shape.id_name is None:
        return {**shape.sample, **given}
    owner, stored = _known(call, shape, place, given.get(shape.id_name))
    if stored.is_archived:
        raise refused(place, "ARCHIVED_RESOURCE_CANNOT_EDIT", "what is archived cannot be changed", "state")
    stored.change("unified", given)
    call.record(owner, "update", f"{shape.singular}/{stored.object_id}", given)
    return shape.show(stored)


def _delete(call: Call, shape: Shape, place: str, given: Any) -> Entity:
    """What has a state is archived, all else forgotten."""
    owner, stored = _known(call, shape, place, given)
    call.record(owner, "delete", f"{shape.singular}/{stored.object_id}", {"state": "ARCHIVED"})
    if "state" in shape.show(stored):
        stored.change("unified", {"state": "ARCHIVED"})
    else:
        for shelf in _shelves(call, shape).values():
            shelf.pop(stored.object_id, None)
    return shape.show(stored)


def _retrieve(call: Call, shape: Shape, place: str, given: Any) -> Entity:
    if shape.id_name is None or not isinstance(given, str):
        return dict(shape.sample)
    return shape.show(_known(call, shape, place, given)[1])


ACTS: dict[str, Act] = {"create": _create, "update": _update, "delete": _delete, "retrieve": _retrieve}


def _known(call: Call, shape: Shape, place: str, object_id: Any) -> tuple[str, StoredObject]:
    """Whose an object is, and the object."""
    for owner, shelf in _shelves(call, shape).items():
        if str(object_id) in shelf:
            return owner, shelf[str(object_id)]
    raise refused(place, "RESOURCE_ID_NOT_FOUND", f"{object_id} does not exist", shape.id_name or "")


CODES = {
    "missing": "FIELD_VALUE_IS_NULL",
    "type": "FIELD_VALUE_IS_INVALID",
    "word": "FIELD_VALUE_IS_INVALID",
    "low": "FIELD_VALUE_IS_BELOW_MINIMUM_LIMIT",
    "high": "FIELD_VALUE_IS_ABOVE_MAXIMUM_LIMIT",
}


def _refuse_wrong_values(call: Call, shape: Shape, place: str, given: Any) -> None:
    """An entity is an object with what it needs, and each of its values is one that the specification allows."""
    if not isinstance(given, dict):
        raise BodyUnreadable(f"{shape.takes} must be a list of JSON objects")
    missing = next((name for name in shape.needs if given.get(name) is None), None)
    if missing is not None:
        raise refused(place, "FIELD_VALUE_IS_NULL", f"{missing} must be there", missing)
    wrong = [
        refused(place, CODES[misfit.fault], f"{misfit.place} is not valid", misfit.place)
        for misfit in call.misfits(given)
    ] or [refused(place, CODES["low"], f"{amount.path} is too low", amount.path) for amount in too_small(given)]
    if wrong:
        raise ItemRefused(*(error for each in wrong for error in each.errors))
