"""Reports of the unified API: the accounts stand in the body, and the report is fetched by its id."""

from __future__ import annotations

import gzip
import json
from typing import Any

import pytest

from proxy.simulator.ads_account_api import MANAGER_ID
from proxy.simulator.ads_accounts import account_id
from tests.simulator.conftest import Reply, SimulatorClient
from tests.simulator.test_api import at_s3

MINE = {"advertiserAccountId": account_id("default", 1)}
PERIODS = [{"datePeriod": {"startDate": "2026-01-01", "endDate": "2026-01-07"}}]
ORDER = {"format": "GZIP_JSON", "periods": PERIODS, "query": {"fields": ["campaign.id", "metric.clicks"]}}


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


async def test_report_may_be_text(client: SimulatorClient) -> None:
    """With the format CSV the file has lines and commas."""
    client.simulator.state.change(report_polls=1)
    report = await ordered(client, format="CSV")
    answer = (await send(client, "retrieve", {"reportIds": [report["reportId"]]})).json()
    fetched = await at_s3(client, answer["success"][0]["report"]["completedReportParts"][0]["url"])
    assert fetched.body.startswith(b"campaign.id,metric.clicks\r\n")


async def test_deleted_report_is_gone(client: SimulatorClient) -> None:
    """A report can be deleted once."""
    report = await ordered(client)
    deleted = (await send(client, "delete", {"reportIds": [report["reportId"]]})).json()
    again = (await send(client, "delete", {"reportIds": [report["reportId"]]})).json()
    assert deleted["success"][0]["report"]["reportId"] == report["reportId"]
    assert again["error"][0]["errors"][0]["code"] == "RESOURCE_ID_NOT_FOUND"


async def test_report_of_another_user_is_not_there(client: SimulatorClient) -> None:
    """Who knows the id of somebody's report still does not see it."""
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
