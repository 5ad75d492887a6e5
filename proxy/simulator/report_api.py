"""The operations of reports, snapshots, exports, uploads and workflow executions: ordered now, fetched later.

All of them order from one store (`reports`). Each API has its own way to show a report.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any

from proxy.simulator.addressing import NO_SUCH_ACCOUNT
from proxy.simulator.ads_account_api import MANAGER_ID
from proxy.simulator.answers import Answer, Refusal, error_answer, error_at, json_answer
from proxy.simulator.calls import BodyUnreadable, Call, CallRefused
from proxy.simulator.report_orders import passes_filter, problem_with_order, problem_with_unified_order
from proxy.simulator.reports import Order
from proxy.simulator.unified import Shape, load_shapes
from proxy.simulator.unified_api import multi_status, read_body, refused

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from proxy.simulator.reports import Report

JsonObject = dict[str, Any]
Match = re.Match[str]

THROTTLED = ("amazon-advertising-api-throttled", "true")
"""What Amazon sends with a 429 instead of Retry-After."""


def timestamp(seconds: float) -> str:
    """A time of the calendar, as version 3 writes it."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"


def _look_up(call: Call, kind: str, report_id: str) -> Report | None:
    """A report by id. Unless `strict_reports` is on, unknown ids are reports of long ago."""
    report = call.state.reports.ask(report_id)
    if report is None and not call.state.settings.strict_reports and report_id not in call.state.reports.deleted:
        return call.state.reports.finished(kind, report_id)
    return report


def _currency_of(call: Call) -> str:
    """The currency of the profile that a call is for."""
    profile = call.state.profiles.find(call.region, call.scope, call.caller.user)
    return profile.currency if profile else "USD"


# --- Reports of version 2, snapshots, DSP reports, exports and workflow executions ------------------------


@dataclass(frozen=True, slots=True)
class ReportForm:
    """How reports of a kind that shares no queue are shown. `noun` is the word of errors.

    `statuses` are that of an unfinished and of a finished report, `details` its further members. The answer to an order
    has those of `ordered` instead, the path's subject as `subject_name`, and the status `code`.
    """

    kind: str
    id_name: str
    noun: str
    statuses: tuple[str, str]
    details: Callable[[Call, Report], JsonObject]
    ordered: JsonObject
    subject_name: str = ""
    code: int = 202

    def order(self, call: Call, match: Match) -> Answer:
        """The answer to an order."""
        wanted = Order(self.kind, match["subject"], call.json_object(), call.caller, call.region)
        report = call.state.reports.make(wanted, call.state.settings, _currency_of(call))
        named = {self.subject_name: match["subject"]} if self.subject_name else {}
        value = {self.id_name: report.report_id, **named, "status": self.statuses[0], **self.ordered}
        return call.answer(value, self.code)

    def show(self, call: Call, match: Match) -> Answer:
        """The answer to a look at a report."""
        report = _look_up(call, self.kind, match["id"])
        if report is None:
            return call.missing(f"{self.noun} {match['id']}")
        status = self.statuses[report.done]
        return call.answer({self.id_name: report.report_id, "status": status, **self.details(call, report)})


def _as_v2(path_name: str, call: Call, report: Report) -> JsonObject:
    """`location` is at this API host."""
    if not report.done:
        return {"statusDetails": "In progress."}
    location = f"{call.api_url}/v1/{path_name}/{report.report_id}/download"
    return {"statusDetails": "Done.", "location": location, "fileSize": report.size()}


def _as_dsp(call: Call, report: Report) -> JsonObject:
    location = call.presigned(f"/sandbox/reports/{report.report_id}.json.gz") if report.done else None
    return {"type": "CAMPAIGN", "location": location}


def _as_export(call: Call, report: Report) -> JsonObject:
    created = {"createdAt": timestamp(report.ordered_on)}
    if not report.done:
        return created
    url = call.presigned(f"/sandbox/exports/{report.report_id}.json.gz")
    return {**created, "url": url, "fileSize": report.size(), "generatedAt": timestamp(report.changed_on)}


def _as_execution(call: Call, report: Report) -> JsonObject:
    return {"createTime": timestamp(report.ordered_on)}


IN_PROGRESS = ("IN_PROGRESS", "SUCCESS")
GENERATED = {"statusDetails": "Report is being generated."}
PENDING = {"status": "PENDING", "workflowId": "sandbox"}
V2 = ReportForm("v2", "reportId", "reportId", IN_PROGRESS, partial(_as_v2, "reports"), GENERATED, "recordType")
SNAPSHOT = ReportForm(
    "snapshot", "snapshotId", "snapshotId", IN_PROGRESS, partial(_as_v2, "snapshots"), {}, "recordType"
)
DSP = ReportForm("dsp", "reportId", "report", IN_PROGRESS, _as_dsp, {"location": None})
EXPORT = ReportForm("export", "exportId", "export", ("PROCESSING", "COMPLETED"), _as_export, {})
EXECUTION = ReportForm(
    "amc", "workflowExecutionId", "execution", ("RUNNING", "SUCCEEDED"), _as_execution, PENDING, code=200
)


def download(call: Call, match: Match) -> Answer:
    """`.../download`: 307 to a presigned URL at S3."""
    report = call.state.reports.reports.get(match["id"])
    if report is not None and not report.done:
        return error_answer(404, "NOT_FOUND", "it is not generated yet")
    if report is None and call.state.settings.strict_reports:
        return call.missing(match["id"])
    location = call.presigned(f"/sandbox/reports/{match['id']}.json.gz")
    return Answer(307, (("Location", location),), b"", "counted")


def show_download_urls(call: Call, match: Match) -> Answer:
    """`GET .../workflowExecutions/{id}/downloadUrls`: presigned URLs."""
    url = call.presigned(f"/sandbox/amc/{match['id']}.json.gz")
    return call.answer({"downloadUrls": [url], "metadataDownloadUrls": []})


def open_upload(call: Call, match: Match) -> Answer:
    """`POST /assets/upload`: a presigned URL that takes a PUT."""
    name = str(call.json_object().get("fileName", "asset.bin")).replace("/", "_")
    return call.answer({"url": call.presigned(f"/sandbox/assets/{name}", "PUT")})


# --- Version 3 --------------------------------------------------------------------------------------------


def order_v3_report(call: Call, match: Match) -> Answer:
    """`POST /reporting/reports`: 425 for a duplicate, 429 if the queue is full, 400 for what Amazon would not take."""
    request, state = call.json_object(), call.state
    configuration = request.get("configuration")
    subject = configuration.get("reportTypeId") if isinstance(configuration, dict) else None
    wanted = Order("v3", str(subject or ""), request, call.caller, call.region)
    problem = problem_with_order(request, state.date()) if state.settings.strict_reports else None
    if problem is not None:
        state.reports.refuse(wanted)
        raise CallRefused(Refusal(400, "report-order", "400", problem))
    placed = state.reports.place(wanted, state.settings, _currency_of(call))
    if placed.report is None or placed.result == "throttled":
        return _message(429, "Too Many Requests").with_headers(THROTTLED)
    if placed.result == "duplicate" and state.settings.report_duplicates == "refuse":
        return _message(425, f"The Request is a duplicate of : {placed.report.report_id}")
    return call.answer(_as_v3(call, placed.report))


def show_v3_report(call: Call, match: Match) -> Answer:
    """`GET /reporting/reports/{id}`: PENDING, PROCESSING, then FAILED, or COMPLETED with a presigned `url`."""
    report = _look_up(call, "v3", match["id"]) if _may_see(call, match["id"]) else None
    return _no_report(match["id"]) if report is None else call.answer(_as_v3(call, report))


def delete_v3_report(call: Call, match: Match) -> Answer:
    """`DELETE /reporting/reports/{id}`: cancels a pending report."""
    report_id = match["id"]
    report = call.state.reports.reports.get(report_id)
    if not _may_see(call, report_id) or (report is None and call.state.settings.strict_reports):
        return _no_report(report_id)
    if report is not None and report.stage != "PENDING":
        return _message(400, f"Report {report_id} is not in PENDING status")
    call.state.reports.delete(report_id)
    return call.answer({"code": "200", "detail": "Report was deleted", "reportId": report_id})


def _may_see(call: Call, report_id: str) -> bool:
    """Whether a report is neither another's nor deleted; unknown ones may be seen."""
    store, caller = call.state.reports, call.caller
    report = store.reports.get(report_id)
    if report is None:
        return report_id not in store.deleted
    made = report.order
    same_advertiser = caller.scope in (None, made.caller.scope) and caller.account in (None, made.caller.account)
    return same_advertiser and (made.kind, made.region, made.caller.user) == ("v3", call.region, caller.user)


def _message(status: int, detail: str) -> Answer:
    return json_answer({"code": str(status), "detail": detail}, status)


def _no_report(report_id: str) -> Answer:
    return _message(404, f"Report {report_id} was not found")


def _as_v3(call: Call, report: Report) -> JsonObject:
    """All members of the specification."""
    request, lifetime = report.order.request, call.state.settings.report_url_lifetime
    url = None
    if report.done:
        url = call.presigned(f"/sandbox/reports/{report.report_id}.json.gz", lifetime=lifetime)
    configuration = request.get("configuration")
    return {
        "reportId": report.report_id,
        "name": request.get("name"),
        "startDate": request.get("startDate"),
        "endDate": request.get("endDate"),
        "configuration": {"filters": None, **configuration} if isinstance(configuration, dict) else configuration,
        "status": report.stage,
        "createdAt": timestamp(report.ordered_on),
        "updatedAt": timestamp(report.changed_on),
        "generatedAt": timestamp(report.changed_on) if url else None,
        "url": url,
        "urlExpiresAt": timestamp(call.state.today() + lifetime) if url else None,
        "fileSize": report.size() if url else None,
        "failureReason": report.failure_reason,
    }


# --- Version 1, in the unified API ------------------------------------------------------------------------

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

    def retrieve(call: Call, shape: Shape, place: str, report_id: Any) -> JsonObject:
        _known_report(call, place, report_id)
        report = call.state.reports.ask(str(report_id))
        return _as_unified(call, report) if report else {}

    return multi_status(call, _shape("retrieve"), retrieve)


def delete_reports(call: Call, match: Match) -> Answer:
    """`POST /adsApi/v1/delete/reports`."""

    def delete(call: Call, shape: Shape, place: str, report_id: Any) -> JsonObject:
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


def _create_report(call: Call, shape: Shape, place: str, given: Any) -> JsonObject:
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


def _problem_with(call: Call, shape: Shape, given: JsonObject) -> tuple[str, str, str] | None:
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


def _as_unified(call: Call, report: Report) -> JsonObject:
    request = report.order.request
    value: JsonObject = {
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


def _part(call: Call, report: Report, number: int) -> JsonObject:
    """One file of a report. The size of a large one, which is made while it is fetched, is a guess."""
    ending = "csv" if report.order.text else "json.gz"
    name = f"{report.report_id}/part-{number}" if report.order.parts > 1 else report.report_id
    lifetime = call.state.settings.report_url_lifetime
    return {
        "url": call.presigned(f"/sandbox/reports/{name}.{ending}", lifetime=lifetime),
        "sizeInBytes": report.size(number) or report.plan().rows,
        "urlExpirationDateTime": timestamp(call.state.today() + lifetime),
    }
