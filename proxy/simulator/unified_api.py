"""The operations of `/adsApi/v1`: each is created, queried, updated, deleted or retrieved in the same way.

They work on the objects of the profile that is named, or of the ads account's profiles in the region; where there is
none, on those of the ads account or of the user.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from proxy.simulator.addressing import NO_SUCH_ACCOUNT
from proxy.simulator.ads_account_api import MANAGER_ID
from proxy.simulator.answers import error_at
from proxy.simulator.calls import BodyUnreadable, Call, CallRefused, ItemRefused, carry_out_each, page_of
from proxy.simulator.checks import Refusal
from proxy.simulator.report_api import THROTTLED, timestamp
from proxy.simulator.report_orders import passes_filter, problem_with_unified_order
from proxy.simulator.reports import Order
from proxy.simulator.unified import Shape, load_shapes, matches

if TYPE_CHECKING:
    from collections.abc import Iterator

    from proxy.simulator.answers import Answer
    from proxy.simulator.campaign_terms import Entity
    from proxy.simulator.campaigns import StoredObject
    from proxy.simulator.reports import Report

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
    return call.answer({"success": success, "error": errors, **({"partialSuccess": partial} if partial else {})}, 207)


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


def _shelves(call: Call, shape: Shape) -> list[dict[str, StoredObject]]:
    return [call.state.objects.shelf((owner, call.region, shape.resource)) for owner in _owners(call)]


def _query(call: Call, shape: Shape) -> Answer:
    """Pages by `nextToken`, of what passes all filters."""
    body = read_body(call, shape) if shape.verb == "query" else {}
    for name, chosen in body.items():
        if name.endswith("Filter") and not (isinstance(chosen, dict) and isinstance(chosen.get("include"), list)):
            raise BodyUnreadable(f"{name} must be an object with a list 'include'")
    shown = (shape.show(stored) for shelf in _shelves(call, shape) for stored in shelf.values())
    found, following = page_of([entity for entity in shown if matches(entity, body)], body, shape.pages)
    return call.answer({shape.named: found, **following})


def _create(call: Call, shape: Shape, place: str, given: Any) -> Entity:
    _refuse_incomplete(shape, place, given)
    own = (_owners(call)[0], call.region, shape.resource)
    return shape.show(call.state.objects.create(own, "unified", given))


def _update(call: Call, shape: Shape, place: str, given: Any) -> Entity:
    _refuse_incomplete(shape, place, given)
    if shape.id_name is None:
        return {**shape.sample, **given}
    stored = _known(call, shape, place, given.get(shape.id_name))
    stored.change("unified", given)
    return shape.show(stored)


def _delete(call: Call, shape: Shape, place: str, given: Any) -> Entity:
    """What has a state is archived, all else forgotten."""
    stored = _known(call, shape, place, given)
    if "state" in shape.show(stored):
        stored.change("unified", {"state": "ARCHIVED"})
    else:
        for shelf in _shelves(call, shape):
            shelf.pop(stored.object_id, None)
    return shape.show(stored)


def _retrieve(call: Call, shape: Shape, place: str, given: Any) -> Entity:
    if shape.id_name is None or not isinstance(given, str):
        return dict(shape.sample)
    return shape.show(_known(call, shape, place, given))


ACTS: dict[str, Act] = {"create": _create, "update": _update, "delete": _delete, "retrieve": _retrieve}


def _known(call: Call, shape: Shape, place: str, object_id: Any) -> StoredObject:
    for shelf in _shelves(call, shape):
        if str(object_id) in shelf:
            return shelf[str(object_id)]
    raise refused(place, "RESOURCE_ID_NOT_FOUND", f"{object_id} does not exist", shape.id_name or "")


def _refuse_incomplete(shape: Shape, place: str, given: Any) -> None:
    """An entity is an object with what it needs."""
    if not isinstance(given, dict):
        raise BodyUnreadable(f"{shape.takes} must be a list of JSON objects")
    missing = next((name for name in shape.needs if given.get(name) is None), None)
    if missing is not None:
        raise refused(place, "FIELD_VALUE_IS_NULL", f"{missing} must be there", missing)


# --- Version 1, in the unified API ------------------------------------------------------------------------

Match = re.Match[str]

FORMATS = ("CSV", "GZIP_JSON", "PARTITIONED_CSV", "PARTITIONED_GZIP_JSON")
MOST_ACCOUNTS = 2000
UNIFIED = "unified"


class OrderThrottled(Exception):
    """An order that came when the queue was full."""


def create_reports(call: Call, match: Match) -> Answer:
    """`POST /adsApi/v1/create/reports`: one report for up to 2,000 accounts, which must all be the user's."""
    shape = _shape("create")
    _check_accounts(call, read_body(call, shape)["accessRequestedAccounts"])
    try:
        return multi_status(call, shape, _create_report)
    except OrderThrottled:
        return error_at(call.path, 429, "TOO_MANY_REQUESTS", "Too Many Requests").with_headers(THROTTLED)


def retrieve_reports(call: Call, match: Match) -> Answer:
    """`POST /adsApi/v1/retrieve/reports`: PENDING, PROCESSING, then COMPLETED with presigned URLs."""

    def retrieve(call: Call, shape: Shape, place: str, report_id: Any) -> Entity:
        _known_report(call, place, report_id)
        report = call.state.reports.ask(str(report_id))
        return _as_unified(call, report) if report else {}

    return multi_status(call, _shape("retrieve"), retrieve)


def delete_reports(call: Call, match: Match) -> Answer:
    """`POST /adsApi/v1/delete/reports`."""

    def delete(call: Call, shape: Shape, place: str, report_id: Any) -> Entity:
        report = _known_report(call, place, report_id)
        call.state.reports.delete(report.report_id)
        return _as_unified(call, report)

    return multi_status(call, _shape("delete"), delete)


def _shape(verb: str) -> Shape:
    return load_shapes()["POST", f"/adsApi/v1/{verb}/reports"]


def _check_accounts(call: Call, given: Any) -> None:
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


def _create_report(call: Call, shape: Shape, place: str, given: Any) -> Entity:
    if not isinstance(given, dict):
        raise BodyUnreadable("reports must be a list of JSON objects")
    settings, store = call.state.settings, call.state.reports
    form = str(given.get("format"))
    parts = settings.report_parts if form.startswith("PARTITIONED") else 1
    named = [next(iter(entry.values())) for entry in call.json_object()["accessRequestedAccounts"]]
    request = {**given, "accounts": named}
    order = Order(UNIFIED, "", request, call.caller, call.region, text=form.endswith("CSV"), parts=parts)
    problem = _problem_with(call, shape, given)
    if problem is not None:
        store.refuse(order)
        raise refused(place, *problem)
    countries = tuple(_countries(call, named, given["query"]))
    placed = store.place(replace(order, countries=countries), settings)
    if placed.report is None or placed.result == "throttled":
        raise OrderThrottled
    return _as_unified(call, placed.report)


def _countries(call: Call, named: list[str], query: Any) -> Iterator[tuple[str, str]]:
    """The countries of the accounts that the report's filter lets pass, and whose rows are in each.

    An ads account has rows of all its countries, whichever host is asked.
    """
    book = call.state.ads_accounts
    accounts = book.listed(call.caller.user) if MANAGER_ID in named else [book.named(each) for each in named]
    for account in accounts:
        assert account is not None  # `_check_accounts` found it
        there = [each for each in account.presences if each.country is not None]
        found = [(str(each.country), each.profile_id or str(each.entity_id)) for each in there]
        for country, advertiser_id in found or [("", account.account_id)]:
            if passes_filter(query.get("filter") if isinstance(query, dict) else None, country):
                yield country, advertiser_id


def _problem_with(call: Call, shape: Shape, given: Entity) -> tuple[str, str, str] | None:
    """Code, message and member of what is wrong; days and fields are checked with `strict_reports`."""
    missing = next((name for name in shape.needs if given.get(name) is None), None)
    if missing is not None:
        return "FIELD_VALUE_IS_NULL", f"{missing} must be there", missing
    if given["format"] not in FORMATS:
        return "FIELD_VALUE_IS_INVALID", f"format is one of {', '.join(FORMATS)}", "format"
    return problem_with_unified_order(given, call.state.date()) if call.state.settings.strict_reports else None


def _known_report(call: Call, place: str, report_id: Any) -> Report:
    report = call.state.reports.reports.get(str(report_id))
    if report is None or report.order.kind != UNIFIED or report.order.caller.user != call.caller.user:
        raise refused(place, "RESOURCE_ID_NOT_FOUND", f"report {report_id} does not exist", "reportId")
    return report


def _as_unified(call: Call, report: Report) -> Entity:
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
    if report.failure_reason is not None:
        value |= {"failureCode": "INTERNAL_ERROR", "failureReason": report.failure_reason}
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
