"""The operations of reports, snapshots, exports, uploads and workflow executions: ordered now, fetched later."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from proxy.simulator.answers import Answer, error_answer

if TYPE_CHECKING:
    from proxy.simulator.calls import Call
    from proxy.simulator.reports import Report

Match = re.Match[str]


def moment(report: Report) -> str:
    """A time stamp that is the same for a report each time."""
    return datetime.fromtimestamp(1_735_689_600 + report.created_at % 86_400, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def order(call: Call, kind: str, subject: str) -> Report:
    """Takes an order."""
    fingerprint = f"{call.region}\n{call.scope}\n{call.path}\n".encode() + call.body
    settings = call.state.settings
    report = call.state.reports.order(kind, subject, fingerprint, settings.report_polls, call.state.now())
    report.request, report.owner = call.json_object(), call.caller.user
    return report


def look_up(call: Call, kind: str, report_id: str) -> Report | None:
    """An order by id. Unless `strict_reports` is on, unknown ids are finished orders of long ago."""
    report = call.state.reports.ask(report_id)
    if report is None and not call.state.settings.strict_reports:
        return call.state.reports.finished(kind, report_id)
    return report


# --- v2: reports and snapshots ----------------------------------------------------------------------------


def order_v2_report(call: Call, match: Match) -> Answer:
    """`POST /v2/{sp|hsa|sd}/{recordType}/report`."""
    report = order(call, "v2", match["record"])
    value = {"reportId": report.report_id, "recordType": report.subject, "status": "IN_PROGRESS"}
    return call.answer({**value, "statusDetails": "Report is being generated."}, 202)


def show_v2_report(call: Call, match: Match) -> Answer:
    """`GET /v2/reports/{id}`: its `location` is at this API host."""
    return _show_v2(call, "v2", match["id"], ("reportId", "reports"))


def order_snapshot(call: Call, match: Match) -> Answer:
    """`POST /v2/{sp|hsa}/{recordType}/snapshot` and `POST /sd/{recordType}/snapshot`."""
    report = order(call, "snapshot", match["record"])
    return call.answer({"snapshotId": report.report_id, "recordType": report.subject, "status": "IN_PROGRESS"}, 202)


def show_snapshot(call: Call, match: Match) -> Answer:
    """`GET /v2/sp/snapshots/{id}` and its like: its `location` is at this API host."""
    return _show_v2(call, "snapshot", match["id"], ("snapshotId", "snapshots"))


def _show_v2(call: Call, kind: str, report_id: str, names: tuple[str, str]) -> Answer:
    id_name, path_name = names
    report = look_up(call, kind, report_id)
    if report is None:
        return call.missing(f"{id_name} {report_id}")
    value: dict[str, Any] = {id_name: report.report_id, "status": "IN_PROGRESS", "statusDetails": "In progress."}
    if report.done:
        location = f"{call.api_url}/v1/{path_name}/{report.report_id}/download"
        value |= {"status": "SUCCESS", "statusDetails": "Done.", "location": location, "fileSize": len(report.rows())}
    return call.answer(value)


def download(call: Call, match: Match) -> Answer:
    """`.../download`: 307 to a presigned URL at S3."""
    report = call.state.reports.reports.get(match["id"])
    if report is not None and not report.done:
        return error_answer(404, "NOT_FOUND", "it is not generated yet")
    if report is None and call.state.settings.strict_reports:
        return call.missing(match["id"])
    location = call.presigned(f"/sandbox/reports/{match['id']}.json.gz")
    return Answer(307, (("Location", location),), b"", "counted")


# --- v3 reports, DSP reports, exports ---------------------------------------------------------------------


def order_v3_report(call: Call, match: Match) -> Answer:
    """`POST /reporting/reports`; 425 while the very same report is not done."""
    fingerprint = f"{call.region}\n{call.scope}\n{call.path}\n".encode() + call.body
    earlier = call.state.reports.duplicate_of("v3", fingerprint)
    if earlier is not None and call.state.settings.refuse_duplicate_reports:
        return call.answer({"code": "425", "detail": f"The Request is a duplicate of : {earlier.report_id}"}, 425)
    return call.answer(_v3(order(call, "v3", "v3"), None))


def show_v3_report(call: Call, match: Match) -> Answer:
    """`GET /reporting/reports/{id}`: PENDING, PROCESSING, then COMPLETED with a presigned `url`."""
    report = look_up(call, "v3", match["id"])
    if report is None:
        return call.missing(f"report {match['id']}")
    url = call.presigned(f"/sandbox/reports/{report.report_id}.json.gz") if report.done else None
    return call.answer(_v3(report, url))


def delete_v3_report(call: Call, match: Match) -> Answer:
    """`DELETE /reporting/reports/{id}`."""
    call.state.reports.reports.pop(match["id"], None)
    return call.answer({"reportId": match["id"]})


def _v3(report: Report, url: str | None) -> dict[str, Any]:
    at = moment(report)
    return {
        "reportId": report.report_id,
        "name": report.request.get("name"),
        "startDate": report.request.get("startDate"),
        "endDate": report.request.get("endDate"),
        "configuration": report.request.get("configuration"),
        "status": report.stage,
        "createdAt": at,
        "updatedAt": at,
        "generatedAt": at if url else None,
        "url": url,
        "urlExpiresAt": at if url else None,
        "fileSize": len(report.rows()) if url else None,
        "failureReason": None,
    }


def order_dsp_report(call: Call, match: Match) -> Answer:
    """`POST /accounts/{id}/dsp/reports`."""
    report = order(call, "dsp", match["account"])
    return call.answer({"reportId": report.report_id, "status": "IN_PROGRESS", "location": None}, 202)


def show_dsp_report(call: Call, match: Match) -> Answer:
    """`GET /accounts/{id}/dsp/reports/{id}`: its `location` is presigned."""
    report = look_up(call, "dsp", match["id"])
    if report is None:
        return call.missing(f"report {match['id']}")
    location = call.presigned(f"/sandbox/reports/{report.report_id}.json.gz") if report.done else None
    status = "SUCCESS" if report.done else "IN_PROGRESS"
    return call.answer({"reportId": report.report_id, "type": "CAMPAIGN", "status": status, "location": location})


def order_export(call: Call, match: Match) -> Answer:
    """`POST /{campaigns|adGroups|ads|targets}/export`."""
    report = order(call, "export", match["subject"])
    return call.answer({"exportId": report.report_id, "status": "PROCESSING"}, 202)


def show_export(call: Call, match: Match) -> Answer:
    """`GET /exports/{id}`: its `url` is presigned."""
    report = look_up(call, "export", match["id"])
    if report is None:
        return call.missing(f"export {match['id']}")
    value: dict[str, Any] = {"exportId": report.report_id, "status": "PROCESSING", "createdAt": moment(report)}
    if report.done:
        url = call.presigned(f"/sandbox/exports/{report.report_id}.json.gz")
        value |= {"status": "COMPLETED", "url": url, "fileSize": len(report.rows()), "generatedAt": moment(report)}
    return call.answer(value)


def open_upload(call: Call, match: Match) -> Answer:
    """`POST /assets/upload`: a presigned URL that takes a PUT."""
    name = str(call.json_object().get("fileName", "asset.bin")).replace("/", "_")
    return call.answer({"url": call.presigned(f"/sandbox/assets/{name}", "PUT")})


# --- Amazon Marketing Cloud -------------------------------------------------------------------------------


def order_execution(call: Call, match: Match) -> Answer:
    """`POST /amc/reporting/{instance}/workflowExecutions`."""
    report = order(call, "amc", match["instance"])
    return call.answer({"workflowExecutionId": report.report_id, "status": "PENDING", "workflowId": "sandbox"})


def show_execution(call: Call, match: Match) -> Answer:
    """`GET /amc/reporting/{instance}/workflowExecutions/{id}`."""
    report = look_up(call, "amc", match["id"])
    if report is None:
        return call.missing(f"execution {match['id']}")
    status = "SUCCEEDED" if report.done else "RUNNING"
    return call.answer({"workflowExecutionId": report.report_id, "status": status, "createTime": moment(report)})


def show_download_urls(call: Call, match: Match) -> Answer:
    """`GET .../workflowExecutions/{id}/downloadUrls`: presigned URLs."""
    url = call.presigned(f"/sandbox/amc/{match['id']}.json.gz")
    return call.answer({"downloadUrls": [url], "metadataDownloadUrls": []})
