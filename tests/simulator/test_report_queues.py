"""Report queues of version 3 as Amazon has them: waits, duplicates, throttling, failures, downloads."""

from __future__ import annotations

import gzip
import json
import zlib
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest

from proxy.simulator import SimulatorSettings
from tests.simulator.test_api import NA, REPORT

if TYPE_CHECKING:
    from tests.simulator.conftest import Reply, SimulatorClient

CONFIGURATION: dict[str, Any] = {
    "adProduct": "SPONSORED_PRODUCTS",
    "groupBy": ["campaign"],
    "columns": ["campaignId", "impressions", "sales7d"],
    "reportTypeId": "spCampaigns",
    "timeUnit": "SUMMARY",
    "format": "GZIP_JSON",
}


@pytest.fixture
def settings() -> SimulatorSettings:
    """Settings with a clock and a calendar that a test moves on; access tokens outlive every report."""
    noon = datetime(2026, 11, 29, 12, tzinfo=UTC).timestamp()
    return SimulatorSettings(clock=lambda: 1000.0, calendar=lambda: noon, access_token_lifetime=1e6)


def order_of(client: SimulatorClient, **configured: Any) -> dict[str, Any]:
    """An order of the week before today, by the simulator's calendar."""
    today = client.simulator.state.date()
    days = {"startDate": f"{today - timedelta(days=7)}", "endDate": f"{today - timedelta(days=1)}"}
    return {"name": "sp", **days, "configuration": {**CONFIGURATION, **configured}}


async def order(client: SimulatorClient, scope: str = NA, **changed: Any) -> Reply:
    """Orders a report; `changed` members replace the usual."""
    headers = {"Content_Type": REPORT, "Amazon_Advertising_API_Scope": scope}
    return await client.ask("POST", "/reporting/reports", {**order_of(client), **changed}, **headers)


async def ordered(client: SimulatorClient, **changed: Any) -> str:
    """The id of a new report."""
    reply = await order(client, **changed)
    assert reply.status == 200, reply.body
    return str(reply.json()["reportId"])


async def show(client: SimulatorClient, report_id: str, scope: str = NA, method: str = "GET") -> Reply:
    """One look at a report."""
    return await client.ask(method, f"/reporting/reports/{report_id}", Amazon_Advertising_API_Scope=scope)


async def download(client: SimulatorClient, url: str, headers: dict[str, str] | None = None) -> Reply:
    """The file at a presigned URL, as it is."""
    return await client.send("GET", url, headers or {})


async def finished(client: SimulatorClient, report_id: str) -> Any:
    """A report that needs two polls."""
    await show(client, report_id)
    return (await show(client, report_id)).json()


# --- Waiting ---------------------------------------------------------------------------------------------


async def test_a_report_waits_for_the_clock(client: SimulatorClient) -> None:
    """Polls do not bring it on; all members of the specification are there from the start."""
    client.simulator.state.change(report_pending=600, report_processing=300)
    report_id = await ordered(client)
    stages = []
    for seconds in (0, 599, 1, 299, 1):
        client.simulator.state.advance(seconds)
        shown = (await show(client, report_id)).json()
        stages.append(shown["status"])
        assert (shown["url"] is None) == (shown["status"] != "COMPLETED")
    assert stages == ["PENDING", "PENDING", "PROCESSING", "PROCESSING", "COMPLETED"]
    assert set(shown) == {
        *("reportId", "name", "startDate", "endDate", "configuration", "status", "createdAt", "updatedAt"),
        *("generatedAt", "url", "urlExpiresAt", "fileSize", "failureReason"),
    }
    assert shown["createdAt"] < shown["updatedAt"] == shown["generatedAt"] < shown["urlExpiresAt"]
    assert shown["configuration"]["filters"] is None


async def test_a_report_belongs_to_its_profile_and_region(client: SimulatorClient) -> None:
    """Another profile, another region and another user get 404, as for an unknown report."""
    report_id = await ordered(client)
    other = client.simulator.profiles["na"][1]
    assert (await show(client, report_id, other)).status == 404
    token = client.simulator.state.add_user("other")
    profile = client.simulator.state.profiles.listed("na", "other")[0].profile_id
    mine, client.token = client.token, (await client.refresh(refresh_token=token)).json()["access_token"]
    assert (await show(client, report_id, profile)).status == 404
    client.token, client.region = mine, "eu"
    assert (await show(client, report_id, client.simulator.profiles["eu"][0])).status == 404
    client.region = "na"
    assert (await client.ask("GET", f"/reporting/reports/{report_id}")).status == 200


async def test_a_pending_report_can_be_cancelled(client: SimulatorClient) -> None:
    """The report can be cancelled once: then it is unknown, and the same order makes a new one. Later it cannot be
    cancelled any more."""
    report_id = await ordered(client)
    cancelled = await show(client, report_id, method="DELETE")
    assert (cancelled.status, cancelled.json()["reportId"]) == (200, report_id)
    assert [(await show(client, report_id, method=m)).status for m in ("GET", "DELETE")] == [404, 404]
    again = await ordered(client)
    await show(client, again)
    assert (await show(client, again, method="DELETE")).status == 400


# --- Duplicates ------------------------------------------------------------------------------------------


async def test_the_same_order_is_a_duplicate_until_its_report_is_done(client: SimulatorClient) -> None:
    """Whatever its name and the order of its columns; another profile or other days make another report."""
    report_id = await ordered(client)
    columns = {**CONFIGURATION, "columns": CONFIGURATION["columns"][::-1]}
    again = await order(client, name="other", configuration=columns)
    assert (again.status, again.json()) == (
        425,
        {"code": "425", "detail": f"The Request is a duplicate of : {report_id}"},
    )
    assert (await order(client, client.simulator.profiles["na"][1])).status == 200
    assert (await order(client, startDate=order_of(client)["endDate"])).status == 200
    await finished(client, report_id)
    assert await ordered(client) != report_id


async def test_duplicates_are_refused_for_a_while_after_the_report(client: SimulatorClient) -> None:
    """`report_duplicate_window` counts from the end of the report."""
    client.simulator.state.change(report_pending=60, report_processing=60, report_duplicate_window=300)
    await ordered(client)
    client.simulator.state.advance(419)
    assert (await order(client)).status == 425
    client.simulator.state.advance(1)
    assert (await order(client)).status == 200


@pytest.mark.parametrize(("collide", "status"), [(False, 200), (True, 425)])
async def test_a_daily_order_may_collide_with_a_summary(client: SimulatorClient, collide: bool, status: int) -> None:
    """With `report_units_collide` the time unit and the columns of days make no difference."""
    client.simulator.state.change(report_units_collide=collide)
    await ordered(client)
    daily = order_of(client, timeUnit="DAILY", columns=["date", *CONFIGURATION["columns"]])
    assert (await order(client, **daily)).status == status


async def test_a_duplicate_may_return_the_earlier_report(client: SimulatorClient) -> None:
    """`return` gives the same id with 200, `accept` makes another report."""
    report_id = await ordered(client)
    client.simulator.state.change(report_duplicates="return")
    assert await ordered(client) == report_id
    client.simulator.state.change(report_duplicates="accept")
    assert await ordered(client) != report_id


# --- Throttling ------------------------------------------------------------------------------------------


async def test_a_full_queue_is_throttled_without_retry_after(client: SimulatorClient) -> None:
    """By region and app, over all profiles, until a report is done."""
    client.simulator.state.change(report_queue=1)
    report_id = await ordered(client)
    other = client.simulator.profiles["na"][1]
    refused = await order(client, other)
    assert (refused.status, refused.json()["code"]) == (429, "429")
    assert refused.header("amazon-advertising-api-throttled") == "true"
    assert refused.header("Retry-After") is None
    client.region = "eu"
    assert (await order(client, client.simulator.profiles["eu"][0])).status == 200
    client.region = "na"
    await finished(client, report_id)
    assert (await order(client, other)).status == 200


async def test_orders_may_have_to_be_spaced(client: SimulatorClient) -> None:
    """`report_spacing` seconds lie between two orders; a refused one does not count."""
    client.simulator.state.change(report_spacing=300)
    days = [{"startDate": order_of(client)["endDate"], "name": str(number)} for number in range(3)]
    statuses = [(await order(client)).status]
    for seconds in (299, 1):
        client.simulator.state.advance(seconds)
        statuses.append((await order(client, **days[0])).status)
    assert statuses == [200, 429, 200]


async def test_a_throttled_order_may_have_made_a_report(client: SimulatorClient) -> None:
    """With `report_throttled_but_made`, the same order gets 425 with the id of the report, which completes."""
    client.simulator.state.change(report_queue=1, report_throttled_but_made=True)
    await ordered(client)
    other = client.simulator.profiles["na"][1]
    assert [(await order(client, other)).status for _ in range(2)] == [429, 425]
    report_id = (await order(client, other)).json()["detail"].rpartition(" ")[2]
    await show(client, report_id, other)
    assert (await show(client, report_id, other)).json()["status"] == "COMPLETED"


# --- Planned outcomes ------------------------------------------------------------------------------------


async def test_reports_fail_as_planned(client: SimulatorClient) -> None:
    """The next ones whose type and name meet the patterns; their order may then be repeated."""
    planned = {"outcome": "failed", "type": "sp*", "name": "s?", "reason": "too many columns", "times": 1}
    assert (await client.control("POST", "/reports/outcomes", planned)).status == 200
    unaffected = await finished(client, await ordered(client, name="daily"))
    failed = await finished(client, await ordered(client))
    assert (unaffected["status"], failed["status"], failed["failureReason"]) == (
        "COMPLETED",
        "FAILED",
        "too many columns",
    )
    assert failed["url"] is failed["fileSize"] is None
    assert (await finished(client, await ordered(client)))["status"] == "COMPLETED"


async def test_a_report_may_stay_pending(client: SimulatorClient) -> None:
    """However often it is polled and however long it is waited for; its order stays a duplicate."""
    await client.control("POST", "/reports/outcomes", {"outcome": "stalled"})
    report_id = await ordered(client, **(wanted := order_of(client)))
    client.simulator.state.advance(86_400)
    assert (await finished(client, report_id))["status"] == "PENDING"
    assert (await order(client, **wanted)).status == 425
    assert (await client.control("DELETE", "/reports/outcomes")).json() == {"planned": 0}


@pytest.mark.parametrize("planned", [{}, {"outcome": "lost"}, {"outcome": "failed", "times": 0}])
async def test_a_plan_must_be_clear(client: SimulatorClient, planned: dict[str, Any]) -> None:
    """An unknown outcome or number of times is 400."""
    assert (await client.control("POST", "/reports/outcomes", planned)).status == 400


# --- Downloads -------------------------------------------------------------------------------------------


async def test_a_download_is_gzip_for_an_hour(client: SimulatorClient) -> None:
    """Without Content-Encoding; then 403 with S3's XML, and a new look at the report signs a new URL."""
    report_id = await ordered(client)
    shown = await finished(client, report_id)
    client.simulator.state.advance(3599)
    fetched = await download(client, shown["url"])
    assert (fetched.status, fetched.header("Content-Encoding"), len(fetched.body)) == (200, None, shown["fileSize"])
    rows = json.loads(gzip.decompress(fetched.body))
    assert len(rows) == 50
    client.simulator.state.advance(1)
    expired = await download(client, shown["url"])
    assert expired.status == 403
    assert b"<Code>AccessDenied</Code><Message>Request has expired</Message>" in expired.body
    again = (await show(client, report_id)).json()["url"]
    assert (await download(client, again)).body == fetched.body
    assert (await download(client, again, {"Authorization": "Bearer x"})).status == 400


async def test_a_large_report_is_streamed(client: SimulatorClient) -> None:
    """The report's size is not known beforehand; every row arrives."""
    client.simulator.state.change(report_rows=30_000)
    shown = await finished(client, await ordered(client))
    assert shown["fileSize"] is None
    fetched = await download(client, shown["url"])
    assert fetched.header("Transfer-Encoding") == "chunked"
    assert len({row["campaignId"] for row in json.loads(gzip.decompress(fetched.body))}) == 30_000


@pytest.mark.parametrize("rows", [50, 30_000])
@pytest.mark.parametrize(("outcome", "error"), [("truncated", EOFError), ("damaged", gzip.BadGzipFile)])
async def test_a_file_may_be_broken(client: SimulatorClient, outcome: str, error: type[Exception], rows: int) -> None:
    """The file ends too early, or has a wrong checksum, in a whole response."""
    client.simulator.state.change(report_rows=rows)
    await client.control("POST", "/reports/outcomes", {"outcome": outcome})
    shown = await finished(client, await ordered(client))
    fetched = await download(client, shown["url"])
    assert fetched.status == 200
    assert shown["fileSize"] in (None, len(fetched.body))
    with pytest.raises(error):
        gzip.decompress(fetched.body)


@pytest.mark.parametrize("rows", [50, 30_000])
async def test_a_download_may_break_off(client: SimulatorClient, rows: int) -> None:
    """By a fault of S3's listener, once; the next download is whole."""
    client.simulator.state.change(report_rows=rows)
    fault = {"match": {"target": "s3"}, "times": 1, "fault": {"abort": "mid_body", "abort_after": 100}}
    await client.control("POST", "/faults", fault)
    shown = await finished(client, await ordered(client))
    with pytest.raises(aiohttp.ClientPayloadError):
        await download(client, shown["url"])
    assert zlib.decompress((await download(client, shown["url"])).body, 31).endswith(b"}]")


# --- The book of orders ----------------------------------------------------------------------------------


async def test_every_order_is_counted_with_its_result(client: SimulatorClient) -> None:
    """By login, region and profile; the newest orders have the id of their report."""
    client.simulator.state.change(report_queue=1, strict_reports=True)
    report_id = await ordered(client)
    other = client.simulator.profiles["na"][1]
    statuses = [
        (await order(client)).status,
        (await order(client, other)).status,
        (await order(client, other, endDate="soon")).status,
    ]
    assert statuses == [425, 429, 400]
    book = (await client.control("GET", "/reports")).json()
    assert book["totals"] == {"created": 1, "duplicate": 1, "throttled": 1, "refused": 1}
    who = {"user": "default", "client_id": client.simulator.app.client_id, "region": "na", "account": "", "kind": "v3"}
    assert book["by_profile"] == [
        {**who, "profile": NA, "created": 1, "duplicate": 1},
        {**who, "profile": other, "throttled": 1, "refused": 1},
    ]
    assert [entry["report_id"] for entry in book["orders"]] == [report_id, report_id, None, None]
    assert [(entry["report_id"], entry["stage"]) for entry in book["reports"]] == [(report_id, "PENDING")]


async def test_strict_reports_refuse_what_amazon_would(client: SimulatorClient) -> None:
    """Strict reports have Amazon's shape of errors, counted as the client's fault; without them, orders of any kind are
    taken."""
    wrong = order_of(client, columns=["campaignId", "sales"])
    assert (await order(client, **wrong)).status == 200
    client.simulator.state.change(strict_reports=True)
    refused = await order(client, **wrong)
    assert refused.status == 400
    assert refused.json()["code"] == "400"
    assert refused.json()["detail"].startswith(
        "configuration columns includes invalid values: (sales). Allowed values: ("
    )
    assert client.kinds() == ["report-order"]
    assert client.simulator.state.ledger.refusals_by_owner["proxy"] == 0
    assert (await show(client, "unknown", method="DELETE")).status == 404
