"""The operations of `/adsApi/v1`: each is created, queried, updated, deleted or retrieved in the same way.

They work on the objects of the profile that is named, or of the ads account's profiles in the region; where there is
none, on those of the ads account or of the user.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from proxy.simulator.addressing import NO_SUCH_ACCOUNT
from proxy.simulator.ads_account_api import MANAGER_ID
from proxy.simulator.answers import error_at
from proxy.simulator.calls import BodyUnreadable, Call, CallRefused
from proxy.simulator.checks import Refusal
from proxy.simulator.report_api import THROTTLED, timestamp
from proxy.simulator.report_orders import passes_filter, problem_with_unified_order
from proxy.simulator.reports import Order
from proxy.simulator.unified import Shape, load_shapes, matches

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from proxy.simulator.answers import Answer
    from proxy.simulator.campaign_terms import Entity
    from proxy.simulator.campaigns import StoredObject
    from proxy.simulator.reports import Report


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


def owners(call: Call) -> tuple[str, ...]:
    """Whose objects these are: profiles, an ads account or a user."""
    if call.caller.account is None:
        return (call.scope or f"user {call.caller.user}",)
    named = call.state.ads_accounts.named(call.caller.account)
    if named is None:
        return (call.caller.account,)
    found = tuple(each.profile_id for each in named.in_regions((call.region,)) if each.profile_id is not None)
    return found or (named.account_id,)


def multi_status(call: Call, shape: Shape, act: Callable[[Call, Shape, Any], Entity]) -> Answer:
    """207 with what succeeded, what did not, and what did in part, by index."""
    success, errors, partial = [], [], []
    for index, given in enumerate(given_entities(call, shape)):
        whole, wrong = _without_bad_tags(shape, index, given)
        try:
            made = {"index": index, shape.named: act(call, shape, whole)}
        except EntityRefused as refused:
            errors.append({"index": index, "errors": [_error(refused, _location(shape, index, refused))]})
            continue
        if wrong:
            partial.append({**made, "errors": wrong})
        else:
            success.append(made)
    return call.answer({"success": success, "error": errors, **({"partialSuccess": partial} if partial else {})}, 207)


PARTLY = ("campaign", "adGroup", "ad", "target", "adExtension")
"""What the specifications know a `partialSuccess` of."""


def _without_bad_tags(shape: Shape, index: int, given: Any) -> tuple[Any, list[Entity]]:
    """An entity without those of its tags that have no key or value, and an error for each: the rest of it is done."""
    tags = given.get("tags") if isinstance(given, dict) and shape.named.removesuffix("s") in PARTLY else None
    if not isinstance(tags, list):
        return given, []
    bad = [at for at, tag in enumerate(tags) if not (isinstance(tag, dict) and tag.get("key") and tag.get("value"))]
    refused = EntityRefused("FIELD_VALUE_IS_INVALID", "a tag has a key and a value")
    wrong = [_error(refused, f"$.{shape.takes}[{index}].tags[{at}]") for at in bad]
    return {**given, "tags": [tag for at, tag in enumerate(tags) if at not in bad]}, wrong


def _error(refused: EntityRefused, location: str) -> Entity:
    return {"code": refused.code, "message": str(refused), "fieldLocation": location}


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


def _shelves(call: Call, shape: Shape) -> list[dict[str, StoredObject]]:
    return [call.state.objects.shelf((owner, call.region, shape.resource)) for owner in owners(call)]


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
    shown = (shape.show(stored) for shelf in _shelves(call, shape) for stored in shelf.values())
    found = [entity for entity in shown if matches(entity, body)]
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
    _shelves(call, shape)
    return shape.show(call.state.objects.create((owners(call)[0], call.region, shape.resource), "unified", given))


def _update(call: Call, shape: Shape, given: Any) -> Entity:
    _whole(shape, given)
    if shape.id_name is None:
        return {**shape.sample, **given}
    stored = _known(call, shape, given.get(shape.id_name))
    stored.change("unified", given)
    return shape.show(stored)


def _delete(call: Call, shape: Shape, given: Any) -> Entity:
    """What has a state is archived, all else forgotten."""
    stored = _known(call, shape, given)
    if "state" in shape.show(stored):
        stored.change("unified", {"state": "ARCHIVED"})
    else:
        for shelf in _shelves(call, shape):
            shelf.pop(stored.object_id, None)
    return shape.show(stored)


def _retrieve(call: Call, shape: Shape, given: Any) -> Entity:
    if shape.id_name is None or not isinstance(given, str):
        return dict(shape.sample)
    return shape.show(_known(call, shape, given))


def _known(call: Call, shape: Shape, object_id: Any) -> StoredObject:
    for shelf in _shelves(call, shape):
        if str(object_id) in shelf:
            return shelf[str(object_id)]
    raise EntityRefused("RESOURCE_ID_NOT_FOUND", f"{object_id} does not exist", shape.id_name or "")


def _whole(shape: Shape, given: Any) -> None:
    """An entity is an object with what it needs."""
    if not isinstance(given, dict):
        raise BodyUnreadable(f"{shape.takes} must be a list of JSON objects")
    missing = next((name for name in shape.needs if given.get(name) is None), None)
    if missing is not None:
        raise EntityRefused("FIELD_VALUE_IS_NULL", f"{missing} must be there", missing)


# --- Reports of the unified API --------------------------------------------------------------------------

Match = re.Match[str]

FORMATS = ("CSV", "GZIP_JSON", "PARTITIONED_CSV", "PARTITIONED_GZIP_JSON")
MOST_ACCOUNTS = 2000
KIND = "unified"


class OrderThrottled(Exception):
    """An order that came when the queue was full."""


def create_reports(call: Call, match: Match) -> Answer:
    """`POST /adsApi/v1/create/reports`: one report for up to 2,000 accounts, which must all be the user's."""
    shape = _shape("create")
    check_accounts(call, read_body(call, shape)["accessRequestedAccounts"])
    try:
        return multi_status(call, shape, _create_reports)
    except OrderThrottled:
        return error_at(call.path, 429, "TOO_MANY_REQUESTS", "Too Many Requests").with_headers(THROTTLED)


def retrieve_reports(call: Call, match: Match) -> Answer:
    """`POST /adsApi/v1/retrieve/reports`: PENDING, PROCESSING, then COMPLETED with presigned URLs."""
    return multi_status(call, _shape("retrieve"), _retrieve_reports)


def delete_reports(call: Call, match: Match) -> Answer:
    """`POST /adsApi/v1/delete/reports`."""
    return multi_status(call, _shape("delete"), _delete_reports)


def check_accounts(call: Call, given: Any) -> None:
    """The accounts that a report is asked for: each an ads account or a manager account of this user."""
    if not isinstance(given, list) or not 1 <= len(given) <= MOST_ACCOUNTS:
        raise BodyUnreadable(f"accessRequestedAccounts must be a list of 1 to {MOST_ACCOUNTS}")
    for entry in given:
        if not isinstance(entry, dict) or set(entry) not in ({"advertiserAccountId"}, {"managerAccountId"}):
            raise BodyUnreadable("each of accessRequestedAccounts has an advertiserAccountId or a managerAccountId")
        manager, account_id = entry.get("managerAccountId"), str(entry.get("advertiserAccountId"))
        account = call.state.ads_accounts.named(account_id)
        if manager == MANAGER_ID or (account is not None and call.caller.user in account.users):
            continue
        kind = "body-account-unknown" if account is None else "body-account-forbidden"
        chosen = manager or account_id
        reason = f"the body names account {chosen}, which is not {call.caller.user}'s"
        raise CallRefused(Refusal(403, kind, "FORBIDDEN", reason, NO_SUCH_ACCOUNT.format(chosen)))


def _shape(verb: str) -> Shape:
    return load_shapes()["POST", f"/adsApi/v1/{verb}/reports"]


def _create_reports(call: Call, shape: Shape, given: Any) -> Entity:
    if not isinstance(given, dict):
        raise BodyUnreadable("reports must be a list of JSON objects")
    settings, store = call.state.settings, call.state.reports
    form = str(given.get("format"))
    parts = settings.report_parts if form.startswith("PARTITIONED") else 1
    named = [next(iter(entry.values())) for entry in call.json_object()["accessRequestedAccounts"]]
    request = {**given, "accounts": named}
    order = Order(KIND, "", request, call.caller, call.region, text=form.endswith("CSV"), parts=parts)
    refused = _refusal_of(call, shape, given)
    if refused is None:
        order = replace(order, countries=tuple(_countries(call, named, given["query"])))
    else:
        store.refuse(order)
        raise refused
    placed = store.place(order, settings)
    if placed.report is None or placed.result == "throttled":
        raise OrderThrottled
    return _as_json(call, placed.report)


def _countries(call: Call, named: list[str], query: Any) -> Iterator[tuple[str, str]]:
    """The countries of the accounts that the report's filter lets pass, and whose rows are in each.

    An ads account has rows of all its countries, whichever host is asked.
    """
    book = call.state.ads_accounts
    accounts = book.listed(call.caller.user) if MANAGER_ID in named else [book.named(each) for each in named]
    for account in accounts:
        assert account is not None  # `check_accounts` found it
        there = [each for each in account.presences if each.country is not None]
        found = [(str(each.country), each.profile_id or str(each.entity_id)) for each in there]
        for country, advertiser_id in found or [("", account.account_id)]:
            if passes_filter(query.get("filter") if isinstance(query, dict) else None, country):
                yield country, advertiser_id


def _refusal_of(call: Call, shape: Shape, given: Entity) -> EntityRefused | None:
    """Why a report cannot be had, if it cannot; its days and fields are checked with `strict_reports`."""
    missing = next((name for name in shape.needs if given.get(name) is None), None)
    if missing is not None:
        return EntityRefused("FIELD_VALUE_IS_NULL", f"{missing} must be there", missing)
    if given["format"] not in FORMATS:
        return EntityRefused("FIELD_VALUE_IS_INVALID", f"format is one of {', '.join(FORMATS)}", "format")
    wrong = problem_with_unified_order(given, call.state.date()) if call.state.settings.strict_reports else None
    return EntityRefused(wrong.code, wrong.message, wrong.member) if wrong else None


def _retrieve_reports(call: Call, shape: Shape, given: Any) -> Entity:
    _known_report(call, given)
    report = call.state.reports.ask(str(given))
    return _as_json(call, report) if report else {}


def _delete_reports(call: Call, shape: Shape, given: Any) -> Entity:
    report = _known_report(call, given)
    call.state.reports.delete(report.report_id)
    return _as_json(call, report)


def _known_report(call: Call, report_id: Any) -> Report:
    report = call.state.reports.reports.get(str(report_id))
    if report is None or report.order.kind != KIND or report.order.caller.user != call.caller.user:
        raise EntityRefused("RESOURCE_ID_NOT_FOUND", f"report {report_id} does not exist", "reportId")
    return report


def _as_json(call: Call, report: Report) -> Entity:
    request = report.order.request
    value: Entity = {
        "reportId": report.report_id,
        "status": report.stage,
        "creationDateTime": timestamp(report.ordered_on),
        "lastUpdatedDateTime": timestamp(report.changed_on),
        **{name: request[name] for name in ("format", "periods", "query", "currencyOfView") if name in request},
    }
    if report.done:
        parts = [_part(call, report, number) for number in range(report.order.parts)]
        value |= {"completedDateTime": timestamp(report.changed_on), "completedReportParts": parts}
    if report.fate and report.stage == "FAILED":
        value |= {"failureCode": "INTERNAL_ERROR", "failureReason": report.fate.reason}
    return value


def _part(call: Call, report: Report, number: int) -> Entity:
    """One file of a report. The size of a large one, which is made while it is fetched, is a guess."""
    ending = "csv" if report.order.text else "json.gz"
    name = f"{report.report_id}/part-{number}" if report.order.parts > 1 else report.report_id
    lifetime = call.state.settings.report_url_lifetime
    return {
        "url": call.presigned(f"/sandbox/reports/{name}.{ending}", lifetime=lifetime),
        "sizeInBytes": report.size(number) or report.plan().rows,
        "urlExpirationDateTime": timestamp(call.state.today() + lifetime),
    }
