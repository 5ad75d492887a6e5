"""Reports of the unified API: made for the accounts that the body names, fetched by id, and of no one account.

Neither Scope nor account id comes with these requests. That the accounts may be of any region is inferred: nothing says
that a host makes reports for its own region alone.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from proxy.simulator.addressing import NO_SUCH_ACCOUNT
from proxy.simulator.ads_account_api import MANAGER_ID
from proxy.simulator.calls import BodyUnreadable, Call, CallRefused
from proxy.simulator.campaign_api import moment
from proxy.simulator.checks import Refusal
from proxy.simulator.unified import Entity, Shape, load_shapes
from proxy.simulator.unified_api import EntityRefused, multi_status, read_body

if TYPE_CHECKING:
    from proxy.simulator.answers import Answer
    from proxy.simulator.reports import Report

Match = re.Match[str]

FORMATS = ("CSV", "GZIP_JSON", "PARTITIONED_CSV", "PARTITIONED_GZIP_JSON")
MOST_ACCOUNTS = 2000
KIND = "unified"


def create_reports(call: Call, match: Match) -> Answer:
    """`POST /adsApi/v1/create/reports`: one report for up to 2,000 accounts, which must all be the user's."""
    shape = _shape("create")
    check_accounts(call, read_body(call, shape)["accessRequestedAccounts"])
    return multi_status(call, shape, _create)


def retrieve_reports(call: Call, match: Match) -> Answer:
    """`POST /adsApi/v1/retrieve/reports`: PENDING, PROCESSING, then COMPLETED with presigned URLs."""
    return multi_status(call, _shape("retrieve"), _retrieve)


def delete_reports(call: Call, match: Match) -> Answer:
    """`POST /adsApi/v1/delete/reports`."""
    return multi_status(call, _shape("delete"), _delete)


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


def _create(call: Call, shape: Shape, given: Any) -> Entity:
    if not isinstance(given, dict):
        raise BodyUnreadable("reports must be a list of JSON objects")
    missing = next((name for name in shape.needs if given.get(name) is None), None)
    if missing is not None:
        raise EntityRefused("FIELD_VALUE_IS_NULL", f"{missing} must be there", missing)
    if given["format"] not in FORMATS:
        raise EntityRefused("FIELD_VALUE_IS_INVALID", f"format is one of {', '.join(FORMATS)}", "format")
    settings, desk = call.state.settings, call.state.reports
    report = desk.order(KIND, "reports", call.body, settings.report_polls, call.state.now())
    report.request, report.owner, report.text = given, call.caller.user, given["format"].endswith("CSV")
    return _as_json(call, report)


def _retrieve(call: Call, shape: Shape, given: Any) -> Entity:
    _known(call, given)
    report = call.state.reports.ask(str(given))
    return _as_json(call, report) if report else {}


def _delete(call: Call, shape: Shape, given: Any) -> Entity:
    report = _known(call, given)
    del call.state.reports.reports[report.report_id]
    return _as_json(call, report)


def _known(call: Call, report_id: Any) -> Report:
    report = call.state.reports.reports.get(str(report_id))
    if report is None or report.kind != KIND or report.owner != call.caller.user:
        raise EntityRefused("RESOURCE_ID_NOT_FOUND", f"report {report_id} does not exist", "reportId")
    return report


def _as_json(call: Call, report: Report) -> Entity:
    at = moment(report)
    value: Entity = {
        "reportId": report.report_id,
        "status": report.stage,
        "creationDateTime": at,
        "lastUpdatedDateTime": at,
        **{name: report.request[name] for name in ("format", "periods", "query")},
    }
    if report.done:
        ending = "csv" if report.text else "json.gz"
        url = call.presigned(f"/sandbox/reports/{report.report_id}.{ending}")
        part = {"url": url, "sizeInBytes": len(report.rows()), "urlExpirationDateTime": at}
        value |= {"completedDateTime": at, "completedReportParts": [part]}
    return value
