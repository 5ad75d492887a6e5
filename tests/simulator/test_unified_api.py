"""Reports of the unified API: the body has the accounts, and the report is fetched by its id."""

from __future__ import annotations

import gzip
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from proxy.simulator.ads_account_api import MANAGER_ID
from proxy.simulator.ads_accounts import account_id
from tests.simulator.conftest import Reply, SimulatorClient
from tests.simulator.test_api import NA, REPORT, at_s3

MINE = {"advertiserAccountId": account_id("default", 1)}
PERIODS = [{"datePeriod": {"startDate": "2026-01-01", "endDate": "2026-01-07"}}]
YESTERDAY = (datetime.now(UTC) - timedelta(days=1)).date().isoformat()
RECENT = [{"datePeriod": {"startDate": YESTERDAY, "endDate": YESTERDAY}}]
ORDER: dict[str, Any] = {
    "format": "GZIP_JSON",
    "periods": PERIODS,
    "query": {"fields": ["campaign.id", "metric.clicks"]},
}


async def send(client: SimulatorClient, verb: str, body: Any) -> Reply:
    """A request of one of the three operations."""
    return await client.ask("POST", f"/adsApi/v1/{verb}/reports", body, Content_Type="application/json")


async def ordered(client: SimulatorClient, **changed: Any) -> Any:
    """What a new report looks like."""
    body = {"accessRequestedAccounts": [MINE], "reports": [{**ORDER, **changed}]}
    return (await send(client, "create", body)).json()["success"][0]["report"]


async def test_report_lives_from_pending_to_rows(client: SimulatorClient) -> None:
    """A report is pending, processing, completed; its parts are presigned and hold the fields that were asked for."""
    report = await ordered(client)
    stages = [report["status"]]
    for _ in range(2):
        answer = (await send(client, "retrieve", {"reportIds": [report["reportId"]]})).json()
        report = answer["success"][0]["report"]
        stages.append(report["status"])
    assert stages == ["PENDING", "PROCESSING", "COMPLETED"]
    (part,) = report["completedReportParts"]
    fetched = await at_s3(client, part["url"])
    assert len(fetched.body) == part["sizeInBytes"]
    assert set(json.loads(gzip.decompress(fetched.body))[0]) == {"campaign.id", "metric.clicks"}


def comparison(field: str, *values: str, negated: bool = False) -> dict[str, Any]:
    """A filter of one comparison."""
    return {"on": {"field": field, "comparisonOperator": "IN", "not": negated, "values": list(values)}}


SPONSORED = comparison("adProduct.value", "SPONSORED_PRODUCTS")


@pytest.mark.parametrize(
    ("chosen", "countries"),
    [
        (None, {"US", "UK"}),
        (SPONSORED, {"US", "UK"}),
        (comparison("campaign.country", "US"), {"US"}),
        (comparison("campaign.country", "US", negated=True), {"UK"}),
        (comparison("campaign.country", "US", "UK"), {"US", "UK"}),
        ({"and": {"filters": [SPONSORED, comparison("campaign.country", "UK")]}}, {"UK"}),
        (comparison("campaign.country", "FR"), set()),
    ],
)
async def test_an_account_has_rows_of_all_its_countries(
    client: SimulatorClient, chosen: Any, countries: set[str]
) -> None:
    """Each country has other campaigns, whichever host is asked; a filter leaves some out. The parts hold each row
    once."""
    client.simulator.state.change(report_polls=1, strict_reports=True)
    query = {"fields": ["campaign.id", "campaign.country"], **({"filter": chosen} if chosen else {})}
    report = {**ORDER, "periods": RECENT, "format": "PARTITIONED_GZIP_JSON", "query": query}
    body = {"accessRequestedAccounts": [MINE], "reports": [report]}
    (made,) = (await send(client, "create", body)).json()["success"]
    (done,) = (await send(client, "retrieve", {"reportIds": [made["report"]["reportId"]]})).json()["success"]
    files = [await at_s3(client, part["url"]) for part in done["report"]["completedReportParts"]]
    rows = [row for file in files for row in json.loads(gzip.decompress(file.body))]
    assert {row["campaign.country"] for row in rows} == countries
    assert len({row["campaign.id"] for row in rows}) == len(rows) == 50 * len(countries)


@pytest.mark.parametrize(
    "chosen",
    [
        [],
        {},
        {"campaign.country": ["US"]},
        {"on": {}},
        {"on": {**SPONSORED["on"], "field": "country"}},
        {"on": {**SPONSORED["on"], "comparisonOperator": "LIKE"}},
        {"on": {**SPONSORED["on"], "not": None}},
        {"on": {**SPONSORED["on"], "values": "US"}},
        {"and": {"filters": []}},
        {"and": {"filters": [{"or": {}}]}},
        {"and": {"filters": [SPONSORED]}, **SPONSORED},
    ],
)
async def test_a_filter_has_the_form_of_the_specification(client: SimulatorClient, chosen: Any) -> None:
    """Any other form is an error of the report."""
    client.simulator.state.change(strict_reports=True)
    report = {**ORDER, "periods": RECENT, "query": {**ORDER["query"], "filter": chosen}}
    answer = (await send(client, "create", {"accessRequestedAccounts": [MINE], "reports": [report]})).json()
    (refused,) = answer["error"][0]["errors"]
    assert (answer["success"], refused["fieldLocation"]) == ([], "$.reports[0].query.filter")


async def test_report_may_be_text(client: SimulatorClient) -> None:
    """With the format CSV the file has lines and commas."""
    client.simulator.state.change(report_polls=1)
    report = await ordered(client, format="CSV")
    answer = (await send(client, "retrieve", {"reportIds": [report["reportId"]]})).json()
    fetched = await at_s3(client, answer["success"][0]["report"]["completedReportParts"][0]["url"])
    assert fetched.body.startswith(b"campaign.id,metric.clicks\r\n")


async def test_deleted_report_is_gone(client: SimulatorClient) -> None:
    """A report can be deleted once; its file is gone too."""
    client.simulator.state.change(report_polls=1)
    report = await ordered(client)
    (done,) = (await send(client, "retrieve", {"reportIds": [report["reportId"]]})).json()["success"]
    (part,) = done["report"]["completedReportParts"]
    deleted = (await send(client, "delete", {"reportIds": [report["reportId"]]})).json()
    again = (await send(client, "delete", {"reportIds": [report["reportId"]]})).json()
    assert deleted["success"][0]["report"]["reportId"] == report["reportId"]
    assert again["error"][0]["errors"][0]["code"] == "RESOURCE_ID_NOT_FOUND"
    missing = await at_s3(client, part["url"])
    assert (missing.status, b"<Code>NoSuchKey</Code>" in missing.body) == (404, True)


async def test_report_of_another_user_is_not_there(client: SimulatorClient) -> None:
    """A user with the id of another's report still does not see it."""
    report = await ordered(client)
    client.token = (await client.refresh(refresh_token=client.simulator.state.add_user("other"))).json()["access_token"]
    answer = (await send(client, "retrieve", {"reportIds": [report["reportId"]]})).json()
    assert answer["error"][0]["errors"][0]["code"] == "RESOURCE_ID_NOT_FOUND"


@pytest.mark.parametrize(
    ("named", "kind"),
    [
        ([MINE], None),
        ([MINE, {"advertiserAccountId": account_id("default", 3)}], None),
        ([{"managerAccountId": MANAGER_ID}], None),
        ([MINE, {"advertiserAccountId": account_id("other", 1)}], "body-account-forbidden"),
        ([{"advertiserAccountId": "amzn1.ads-account.g.nobody"}], "body-account-unknown"),
        ([{"managerAccountId": "amzn1.ads1.ma1.nobody"}], "body-account-unknown"),
    ],
)
async def test_every_account_in_the_body_is_the_users(
    client: SimulatorClient, named: list[dict[str, str]], kind: str | None
) -> None:
    """Accounts of any region, and the manager account, are taken; one that is another's spoils the whole request."""
    client.simulator.state.add_user("other")
    reply = await send(client, "create", {"accessRequestedAccounts": named, "reports": [ORDER]})
    assert (reply.status, client.kinds()) == ((403, [kind]) if kind else (207, []))
    assert client.simulator.state.ledger.refusals_by_owner["proxy"] == 0


@pytest.mark.parametrize(
    "body",
    [
        {"reports": [ORDER]},
        {"accessRequestedAccounts": [], "reports": [ORDER]},
        {"accessRequestedAccounts": [MINE] * 2001, "reports": [ORDER]},
        {"accessRequestedAccounts": [{**MINE, "managerAccountId": MANAGER_ID}], "reports": [ORDER]},
        {"accessRequestedAccounts": ["x"], "reports": [ORDER]},
        {"accessRequestedAccounts": [MINE]},
        {"accessRequestedAccounts": [MINE], "reports": [ORDER, ORDER]},
        {"accessRequestedAccounts": [MINE], "reports": ["x"]},
    ],
)
async def test_order_of_the_wrong_shape_is_refused(client: SimulatorClient, body: Any) -> None:
    """One report for 1 to 2,000 accounts, each named in one way; anything else is 400."""
    assert ((await send(client, "create", body)).status, client.kinds()) == (400, ["body"])


@pytest.mark.parametrize(
    ("changed", "code"), [({"query": None}, "FIELD_VALUE_IS_NULL"), ({"format": "XLSX"}, "FIELD_VALUE_IS_INVALID")]
)
async def test_report_that_lacks_something_is_an_error(
    client: SimulatorClient, changed: dict[str, Any], code: str
) -> None:
    """What the report needs and has not is said in the answer."""
    body = {"accessRequestedAccounts": [MINE], "reports": [{**ORDER, **changed}]}
    assert (await send(client, "create", body)).json()["error"][0]["errors"][0]["code"] == code


async def test_partitioned_report_has_several_parts(client: SimulatorClient) -> None:
    """Each with a URL and its expiry; together they have every row of both countries once."""
    client.simulator.state.change(report_polls=1, report_parts=3)
    fields = {"fields": ["date.value", "campaign.id", "metric.sales"]}
    report = await ordered(client, format="PARTITIONED_GZIP_JSON", query=fields)
    (done,) = (await send(client, "retrieve", {"reportIds": [report["reportId"]]})).json()["success"]
    parts = done["report"]["completedReportParts"]
    fetched = [await at_s3(client, part["url"]) for part in parts]
    assert [len(each.body) for each in fetched] == [part["sizeInBytes"] for part in parts]
    assert all(part["urlExpirationDateTime"] > report["creationDateTime"] for part in parts)
    rows = [row for each in fetched for row in json.loads(gzip.decompress(each.body))]
    assert len(rows) == len({(row["date.value"], row["campaign.id"]) for row in rows}) == 2 * 50 * 7


async def test_report_may_fail(client: SimulatorClient) -> None:
    """With a code and a reason, and without parts."""
    await client.control("POST", "/reports/outcomes", {"outcome": "failed", "reason": "too much"})
    client.simulator.state.change(report_polls=1)
    report_id = (await ordered(client))["reportId"]
    report = (await send(client, "retrieve", {"reportIds": [report_id]})).json()["success"][0]["report"]
    assert (report["status"], report["failureReason"]) == ("FAILED", "too much")
    assert "completedReportParts" not in report


async def test_orders_of_both_versions_share_a_queue(client: SimulatorClient) -> None:
    """A full queue refuses the whole order; the same order twice is no duplicate here."""
    body = {"accessRequestedAccounts": [MINE], "reports": [ORDER]}
    assert (await ordered(client))["reportId"] != (await ordered(client))["reportId"]
    client.simulator.state.change(report_queue=2)
    refused = await send(client, "create", body)
    assert (refused.status, refused.json()["code"]) == (429, "TOO_MANY_REQUESTS")
    assert refused.header("amazon-advertising-api-throttled") == "true"
    other = await client.ask("POST", "/reporting/reports", {}, Content_Type=REPORT, Amazon_Advertising_API_Scope=NA)
    assert other.status == 429
    counts = {(entry["kind"], entry.get("created"), entry["throttled"]) for entry in await by_profile(client)}
    assert counts == {("unified", 2, 1), ("v3", None, 1)}


async def by_profile(client: SimulatorClient) -> list[dict[str, Any]]:
    """The orders that the control API counts."""
    found: list[dict[str, Any]] = (await client.control("GET", "/reports")).json()["by_profile"]
    return found


def of_days(start: str, end: str) -> dict[str, Any]:
    """The period of an order."""
    return {"periods": [{"datePeriod": {"startDate": start, "endDate": end}}]}


@pytest.mark.parametrize(
    ("changed", "code"),
    [
        (of_days("2026-01-07", "2026-01-01"), "FIELD_VALUE_IS_INVALID"),
        (of_days("2026-1-7", "2026-01-31"), "FIELD_VALUE_IS_INVALID"),
        (of_days("2026-01-01", "2026-05-01"), "FIELD_VALUE_IS_OUT_OF_RANGE"),
        (of_days("2020-01-01", "2020-01-02"), "FIELD_VALUE_IS_OUT_OF_RANGE"),
        ({"periods": []}, "FIELD_SIZE_IS_OUT_OF_RANGE"),
        ({"periods": [{}]}, "FIELD_VALUE_IS_INVALID"),
        ({"query": {"fields": []}}, "FIELD_SIZE_IS_OUT_OF_RANGE"),
    ],
)
async def test_strict_reports_check_days_and_fields(
    client: SimulatorClient, changed: dict[str, Any], code: str
) -> None:
    """At most 120 days, not older than 24 months, at least one field; refused orders are counted."""
    client.simulator.state.change(strict_reports=True)
    body = {"accessRequestedAccounts": [MINE], "reports": [{**ORDER, **changed}]}
    (error,) = (await send(client, "create", body)).json()["error"][0]["errors"]
    assert (error["code"], error["fieldLocation"].split("[")[0]) == (code, "$.reports")
    assert [entry["refused"] for entry in await by_profile(client)] == [1]
