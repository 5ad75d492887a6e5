"""What the Ads API does: profiles, campaigns, reports, snapshots, downloads, AMC, test accounts, streams."""

from __future__ import annotations

import dataclasses
import gzip
import json
from urllib.parse import urlsplit

import pytest

from proxy.simulator import Simulator, SimulatorSettings
from tests.simulator.conftest import Reply, SimulatorClient
from tests.support.http_reader import read_answer

NA = "1110000000000001"
SP_CAMPAIGN = {
    "name": "new",
    "state": "PAUSED",
    "targetingType": "MANUAL",
    "budget": {"budget": 10.0, "budgetType": "DAILY"},
}
KEYWORD = {"campaignId": "1", "adGroupId": "2", "keywordText": "x", "matchType": "EXACT", "state": "ENABLED"}
SP = "application/vnd.spCampaign.v3+json"
SPONSORED_TV = "application/vnd.stCampaign.v1+json"
SCOPE = "Amazon-Advertising-API-Scope"
REPORT = "application/vnd.createasyncreportrequest.v3+json"


async def campaigns(client: SimulatorClient, method: str, path: str, body: object, **headers: str) -> Reply:
    """A Sponsored Products request with its vendor media type."""
    right = {"Content_Type": SP, "Accept": SP, "Amazon_Advertising_API_Scope": NA, **headers}
    return await client.ask(method, path, body, **right)


async def scoped(client: SimulatorClient, method: str, path: str, body: object = None) -> Reply:
    """A request for the first profile, in JSON."""
    return await client.ask(method, path, body, Content_Type="application/json", Amazon_Advertising_API_Scope=NA)


async def at_s3(client: SimulatorClient, url: str, headers: dict[str, str] | None = None) -> Reply:
    """Follows a presigned URL byte for byte."""
    address = urlsplit(url)
    lines = "".join(f"{name}: {value}\r\n" for name, value in (headers or {}).items())
    target = url.partition(address.netloc)[2]
    answer = await client.raw_at(
        address.netloc, f"GET {target} HTTP/1.1\r\nHost: s3\r\n{lines}Connection: close\r\n\r\n"
    )
    read, _ = read_answer(answer, 0, bodiless=False, ended=True)
    fields = {name.decode(): value.decode() for name, value in read.head.fields}
    return Reply(read.status, fields, read.body.content)


async def test_each_region_has_its_own_profiles(client: SimulatorClient) -> None:
    """The three regions list different profiles, whose ids are 64-bit numbers, and show one by id."""
    seen: dict[str, list[int]] = {}
    for region in ("na", "eu", "fe"):
        client.region = region
        listed = (await client.ask("GET", "/v2/profiles")).json()
        seen[region] = [profile["profileId"] for profile in listed]
        assert [str(i) for i in seen[region]] == client.simulator.profiles[region]
        assert max(seen[region]) > 2**53
        one = await client.ask("GET", f"/v2/profiles/{seen[region][0]}")
        assert one.json() == listed[0]
    assert not set(seen["na"]) & set(seen["eu"]) & set(seen["fe"])
    assert (await client.ask("GET", f"/v2/profiles/{NA}")).status == 404


async def test_profiles_can_be_filtered_and_changed(client: SimulatorClient) -> None:
    """profileTypeFilter chooses; a PUT of the daily budget is kept."""
    vendors = await client.ask("GET", "/v2/profiles?profileTypeFilter=vendor")
    assert {p["accountInfo"]["type"] for p in vendors.json()} == {"vendor"}
    change = [{"profileId": int(NA), "dailyBudget": 12.5}, {"profileId": 1}]
    put = await client.ask("PUT", "/v2/profiles", change, Content_Type="application/json")
    assert [entry["code"] for entry in put.json()] == ["SUCCESS", "NOT_FOUND"]
    assert (await client.ask("GET", f"/v2/profiles/{NA}")).json()["dailyBudget"] == 12.5


async def test_five_thousand_profiles_are_listed(settings: SimulatorSettings, client: SimulatorClient) -> None:
    """A region can have 5,000 profiles, all with different ids."""
    async with Simulator(dataclasses.replace(settings, profiles_per_region=5000)) as simulator:
        crowded = dataclasses.replace(client, simulator=simulator, token="")
        listed = (await crowded.ask("GET", "/v2/profiles")).json()
    assert len({profile["profileId"] for profile in listed}) == 5000


async def test_large_json_is_gzip_where_asked_for(client: SimulatorClient) -> None:
    """With Accept-Encoding: gzip a large answer is packed, a small one is not."""
    client.simulator.state.add_user("default", 20)
    packed = await client.ask("GET", "/v2/profiles", Accept_Encoding="gzip")
    assert packed.header("Content-Encoding") == "gzip"
    assert len(json.loads(gzip.decompress(packed.body))) == 23
    assert (await client.ask("GET", f"/v2/profiles/{NA}", Accept_Encoding="gzip")).header("Content-Encoding") is None


async def test_campaigns_are_listed_by_pages(client: SimulatorClient) -> None:
    """Pages of ten lead by nextToken through all 25 campaigns, each once."""
    seen: list[str] = []
    wanted: dict[str, object] = {"maxResults": 10}
    for expected in (10, 10, 5):
        page = (await campaigns(client, "POST", "/sp/campaigns/list", wanted)).json()
        assert (len(page["campaigns"]), page["totalResults"]) == (expected, 25)
        seen += [campaign["campaignId"] for campaign in page["campaigns"]]
        wanted["nextToken"] = page.get("nextToken")
    assert wanted["nextToken"] is None
    assert len(set(seen)) == 25


async def test_campaign_update_is_kept(client: SimulatorClient) -> None:
    """The next list has the changes of a PUT; an unknown campaign is an error next to it."""
    listed = (await campaigns(client, "POST", "/sp/campaigns/list", {"maxResults": 1})).json()
    chosen = listed["campaigns"][0]["campaignId"]
    change = {"campaigns": [{"campaignId": chosen, "state": "PAUSED"}, {"campaignId": "1", "state": "PAUSED"}]}
    put = await campaigns(client, "PUT", "/sp/campaigns", change, Prefer="return=representation")
    assert put.status == 207
    assert put.json()["campaigns"]["success"][0]["campaign"]["state"] == "PAUSED"
    assert put.json()["campaigns"]["error"][0]["index"] == 1
    paused = await campaigns(client, "POST", "/sp/campaigns/list", {"stateFilter": {"include": ["PAUSED"]}})
    assert [campaign["campaignId"] for campaign in paused.json()["campaigns"]] == [chosen]


async def test_campaign_is_created_and_archived(client: SimulatorClient) -> None:
    """A created campaign can be found by its id, and is archived by delete."""
    made = (await campaigns(client, "POST", "/sp/campaigns", {"campaigns": [{**SP_CAMPAIGN, "name": "new"}]})).json()
    by_id = {"campaignIdFilter": {"include": [made["campaigns"]["success"][0]["campaignId"]]}}
    deleted = await campaigns(client, "POST", "/sp/campaigns/delete", by_id)
    found = (await campaigns(client, "POST", "/sp/campaigns/list", by_id)).json()["campaigns"]
    assert deleted.status == 207
    assert [(campaign["name"], campaign["state"]) for campaign in found] == [("new", "ARCHIVED")]


async def test_display_and_unified_campaigns_are_kept_too(client: SimulatorClient) -> None:
    """Sponsored Display takes and gives arrays; the unified API gives pages of one product."""
    made = (await scoped(client, "POST", "/sd/campaigns", [{"name": "d"}])).json()
    change = [{"campaignId": made[0]["campaignId"], "state": "paused"}, {"campaignId": 1}]
    changed = (await scoped(client, "PUT", "/sd/campaigns", change)).json()
    last = (await scoped(client, "GET", "/sd/campaigns?startIndex=25&count=5")).json()
    assert [entry["code"] for entry in changed] == ["SUCCESS", "NOT_FOUND"]
    assert [(campaign["name"], campaign["state"]) for campaign in last] == [("d", "paused")]
    wanted = {"maxResults": 5, "adProductFilter": {"include": ["SPONSORED_PRODUCTS"]}}
    unified = (await scoped(client, "POST", "/adsApi/v1/query/campaigns", wanted)).json()
    assert (len(unified["campaigns"]), unified["nextToken"]) == (5, "page-5")


@pytest.mark.parametrize("body", [b"{", b"[]", b'{"campaigns": 1}', b'{"campaigns": ["x"]}'])
async def test_body_of_the_wrong_shape_is_refused(client: SimulatorClient, body: bytes) -> None:
    """No JSON, no object or no list of objects gets 400, counted as the client's fault."""
    reply = await campaigns(client, "PUT", "/sp/campaigns", body)
    assert (reply.status, client.kinds()) == (400, ["body"])


async def test_v3_report_lives_from_pending_to_rows(client: SimulatorClient) -> None:
    """A report is pending, processing, completed; its url gives gzip bytes without Content-Encoding."""
    headers = {"Content_Type": REPORT, "Amazon_Advertising_API_Scope": NA}
    order = await client.ask("POST", "/reporting/reports", {"name": "r", "configuration": {}}, **headers)
    report_id = order.json()["reportId"]
    stages, url = [order.json()["status"]], None
    for _ in range(2):
        shown = (await scoped(client, "GET", f"/reporting/reports/{report_id}")).json()
        stages.append(shown["status"])
        url = shown["url"]
    assert stages == ["PENDING", "PROCESSING", "COMPLETED"]
    assert url is not None
    assert url.startswith(client.simulator.s3_url)
    rows = await at_s3(client, url)
    assert (rows.status, rows.header("Content-Encoding")) == (200, None)
    assert len(json.loads(gzip.decompress(rows.body))) == 50


@pytest.mark.parametrize(
    ("path", "show", "order", "columns"),
    [
        (
            "/reporting/reports",
            "/reporting/reports/{reportId}",
            {"configuration": {"columns": ["date", "sales7d"]}},
            ["date", "sales7d"],
        ),
        ("/v2/sp/campaigns/report", "/v2/reports/{reportId}", {"metrics": "clicks,cost"}, ["clicks", "cost"]),
    ],
)
async def test_report_has_the_columns_that_were_asked_for(
    client: SimulatorClient, path: str, show: str, order: dict[str, object], columns: list[str]
) -> None:
    """The rows hold the columns of the order and no others."""
    client.simulator.state.change(report_polls=1)
    kind = REPORT if path == "/reporting/reports" else "application/json"
    ordered = await client.ask("POST", path, order, Content_Type=kind, Amazon_Advertising_API_Scope=NA)
    shown = (await scoped(client, "GET", show.format(**ordered.json()))).json()
    url = shown.get("url") or (await client.ask("GET", urlsplit(shown["location"]).path)).header("Location") or ""
    rows = json.loads(gzip.decompress((await at_s3(client, url)).body))
    assert {tuple(row) for row in rows} == {tuple(columns)}


@pytest.mark.parametrize(
    ("order", "show", "id_name", "record_path"),
    [
        ("/v2/sp/campaigns/report", "/v2/reports/", "reportId", "reports"),
        ("/v2/hsa/keywords/report", "/v2/reports/", "reportId", "reports"),
        ("/v2/sp/keywords/snapshot", "/v2/sp/snapshots/", "snapshotId", "snapshots"),
        ("/sd/campaigns/snapshot", "/sd/snapshots/", "snapshotId", "snapshots"),
    ],
)
async def test_v2_location_is_at_the_api_and_leads_to_s3(
    client: SimulatorClient, order: str, show: str, id_name: str, record_path: str
) -> None:
    """A v2 report or snapshot ends with a `location` at this API host, which answers 307 to S3."""
    ordered = await scoped(client, "POST", order, {"reportDate": "20250101"})
    assert (ordered.status, ordered.json()["status"]) == (202, "IN_PROGRESS")
    url = show + ordered.json()[id_name]
    first, done = (await scoped(client, "GET", url)).json(), (await scoped(client, "GET", url)).json()
    assert (first["status"], "location" in first) == ("IN_PROGRESS", False)
    location = done["location"]
    assert location == f"{client.simulator.api_urls['na']}/v1/{record_path}/{ordered.json()[id_name]}/download"
    redirect = await client.ask("GET", urlsplit(location).path)
    assert redirect.status == 307
    assert (await at_s3(client, redirect.header("Location") or "")).status == 200


async def test_location_is_at_the_host_that_was_asked(client: SimulatorClient) -> None:
    """`location` names the API by the Host of the request, as the client knows it."""
    port = client.host.rpartition(":")[2]
    shown = await client.ask("GET", "/v2/reports/old", Host=f"ads.example:{port}", Amazon_Advertising_API_Scope=NA)
    assert shown.json()["location"].startswith(f"http://ads.example:{port}/v1/reports/")


async def test_download_of_an_unfinished_report_is_not_there(client: SimulatorClient) -> None:
    """Before it is done, `download` is 404."""
    report_id = (await scoped(client, "POST", "/v2/sp/campaigns/report", {})).json()["reportId"]
    assert (await scoped(client, "GET", f"/v2/reports/{report_id}/download")).status == 404


async def test_s3_refuses_an_authorization_header(client: SimulatorClient) -> None:
    """A presigned URL with an Authorization header is 400 in S3's XML, and counted."""
    url = (await client.ask("GET", "/v1/reports/x/download")).header("Location") or ""
    refused = await at_s3(client, url, {"Authorization": "Bearer x"})
    leaked = await at_s3(client, url, {"Amazon-Advertising-API-Scope": NA})
    stolen = await at_s3(client, url, {"Authorization": f"Bearer {client.token}"})
    assert (refused.status, leaked.status, stolen.status) == (400, 400, 400)
    assert b"<Code>InvalidArgument</Code>" in refused.body
    assert client.kinds() == ["s3-authorization", "s3-leaked-header", "s3-token-leak"]


async def test_presigned_url_dies_and_cannot_be_changed(client: SimulatorClient) -> None:
    """A presigned URL is good for 30 seconds, and any changed byte breaks it."""
    url = (await client.ask("GET", "/v1/reports/x/download")).header("Location") or ""
    changed = await at_s3(client, url.replace("%2F", "/", 1))
    client.simulator.state.advance(29)
    young = await at_s3(client, url)
    client.simulator.state.advance(1)
    old = await at_s3(client, url)
    assert (changed.status, young.status, old.status) == (403, 200, 403)
    assert b"Request has expired" in old.body


async def test_dsp_report_and_export_give_presigned_urls(client: SimulatorClient) -> None:
    """DSP reports end with a presigned location, exports with a presigned url; an empty account id is taken."""
    client.simulator.state.change(report_polls=1)
    dsp = (await client.ask("POST", "/accounts//dsp/reports", {})).json()["reportId"]
    shown = (await client.ask("GET", f"/accounts//dsp/reports/{dsp}")).json()
    assert shown["location"].startswith(client.simulator.s3_url)
    kind = "application/vnd.campaignsexport.v1+json"
    headers = {"Content_Type": kind, "Accept": kind, "Amazon_Advertising_API_Scope": NA}
    export = await client.ask("POST", "/campaigns/export", {}, **headers)
    done = (await client.ask("GET", f"/exports/{export.json()['exportId']}", **headers)).json()
    assert (export.status, done["status"]) == (202, "COMPLETED")
    assert (await at_s3(client, done["url"])).status == 200


async def test_asset_upload_goes_to_s3(client: SimulatorClient) -> None:
    """`/assets/upload` gives a presigned URL that takes a PUT, and only a PUT."""
    url = (await scoped(client, "POST", "/assets/upload", {"fileName": "a.png"})).json()["url"]
    assert (await at_s3(client, url)).status == 403
    target = url.removeprefix(client.simulator.s3_url)
    netloc = urlsplit(url).netloc
    put = await client.raw_at(
        netloc, f"PUT {target} HTTP/1.1\r\nHost: s3\r\nContent-Length: 3\r\nConnection: close\r\n\r\nabc"
    )
    assert b"X-Stored-Bytes: 3" in put


async def test_amc_instances_need_their_headers(client: SimulatorClient) -> None:
    """AMC lists instances for an advertiser and a marketplace, and takes no profile."""
    bare = await client.ask("GET", "/amc/instances")
    named = await client.ask(
        "GET",
        "/amc/instances?nextToken=",
        Amazon_Advertising_API_AdvertiserId="ENTITY1",
        Amazon_Advertising_API_MarketplaceId="ATVPDKIKX0DER",
    )
    assert (bare.status, named.status) == (400, 200)
    assert named.json()["instances"][0]["instanceId"] == "amcsandbox"
    assert (await client.ask("GET", "/amc/accounts")).json()["amcAccounts"]


async def test_amc_execution_gives_download_urls(client: SimulatorClient) -> None:
    """A workflow execution runs, succeeds, and has presigned download URLs."""
    kind = "application/vnd.amcworkflowexecutions.v1+json"
    path = "/amc/reporting/amcsandbox/workflowExecutions"
    execution = (await client.ask("POST", path, {}, Content_Type=kind)).json()["workflowExecutionId"]
    states = [(await client.ask("GET", f"{path}/{execution}")).json()["status"] for _ in range(2)]
    urls = (await client.ask("GET", f"{path}/{execution}/downloadUrls")).json()["downloadUrls"]
    assert states == ["RUNNING", "SUCCEEDED"]
    assert (await at_s3(client, urls[0])).status == 200


async def test_test_account_is_made_and_shown(client: SimulatorClient) -> None:
    """A test account that was asked for shows up by its request id, and as a profile."""
    asked = await client.ask("POST", "/testAccounts", {"accountType": "VENDOR"}, Content_Type="application/json")
    shown = await client.ask("GET", f"/testAccounts?requestId={asked.json()['requestId']}")
    assert shown.json()[0]["status"] == "COMPLETED"
    assert len((await client.ask("GET", "/v2/profiles")).json()) == 4
    assert (await client.ask("GET", "/testAccounts")).json() == []


async def test_other_operations_say_what_was_understood(client: SimulatorClient) -> None:
    """An operation without a handler answers with the status of its specification and what it saw, byte for byte."""
    reply = await scoped(client, "GET", "/pageAsins?pageUrl=https://www.amazon.com/stores/page/X&a=%2f")
    assert reply.json()["query"] == "pageUrl=https://www.amazon.com/stores/page/X&a=%2f"
    assert reply.json()["operation"] == "/pageAsins"


async def test_strict_reports_answer_404(client: SimulatorClient) -> None:
    """With strict reports, a report that was never ordered is 404."""
    client.simulator.state.change(strict_reports=True)
    assert (await scoped(client, "GET", "/reporting/reports/unknown")).status == 404
    assert (await scoped(client, "GET", "/v2/reports/unknown")).status == 404


async def test_head_has_the_headers_of_get_and_no_body(client: SimulatorClient) -> None:
    """HEAD is answered as GET without the body, and the connection can be used again."""
    await client.sign_in()
    answer = await client.raw(
        client.head("HEAD", "/v2/profiles") + client.head("GET", "/sim/bytes/3?length=1", "Connection: close")
    )
    assert answer.count(b"HTTP/1.1 200 OK") == 2
    assert answer.endswith(b"\x00\x01\x02")
    assert b"profileId" not in answer


@pytest.mark.parametrize(("query", "framing"), [("", "Transfer-Encoding"), ("?length=1", "Content-Length")])
async def test_bytes_stream_in_both_framings(client: SimulatorClient, query: str, framing: str) -> None:
    """`/sim/bytes/N` gives N bytes, byte i being i modulo 251, chunked or counted."""
    reply = await client.ask("GET", f"/sim/bytes/1000000{query}")
    assert reply.header(framing) in ("chunked", "1000000")
    assert reply.body == (bytes(range(251)) * 4000)[:1_000_000]


async def test_echo_answers_while_the_body_still_arrives(client: SimulatorClient) -> None:
    """`/sim/echo` gives back a first piece before the second was sent."""
    await client.sign_in()
    reader, writer = await client.connect()
    writer.write(client.head("POST", "/sim/echo", "Transfer-Encoding: chunked") + b"3\r\none\r\n")
    assert b"200 OK" in await reader.readuntil(b"\r\n\r\n")
    assert await reader.readuntil(b"one\r\n") == b"3\r\none\r\n"
    writer.write(b"3\r\ntwo\r\n0\r\n\r\n")
    assert await reader.readuntil(b"0\r\n\r\n") == b"3\r\ntwo\r\n0\r\n\r\n"
    writer.close()


async def test_expected_continue_comes_before_the_body(client: SimulatorClient) -> None:
    """With Expect: 100-continue the interim answer invites the body; a refused request gets none."""
    await client.sign_in()
    reader, writer = await client.connect()
    head = "Content-Length: 2", "Expect: 100-continue", f"Content-Type: {SPONSORED_TV}", f"{SCOPE}: {NA}"
    writer.write(client.head("POST", "/st/campaigns", *head))
    assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
    writer.write(b"{}")
    assert b"207 Multi-Status" in await reader.readuntil(b"\r\n\r\n")
    writer.close()
    client.token = "unknown"
    reader, writer = await client.connect()
    writer.write(client.head("POST", "/st/campaigns", *head))
    assert (await reader.readuntil(b"\r\n")).startswith(b"HTTP/1.1 401")
    writer.close()


async def test_slow_events_and_status_do_as_asked(client: SimulatorClient) -> None:
    """The other endpoints give pieces, events and any status; nonsense is refused."""
    assert len((await client.ask("GET", "/sim/slow?pieces=3&size=10")).body) == 30
    events = await client.ask("GET", "/sim/events?events=2")
    assert (events.header("Content-Type"), events.body.count(b"data: ")) == ("text/event-stream", 2)
    assert (await client.ask("GET", "/sim/status/503")).status == 503
    assert [(await client.ask("GET", f"/sim/{path}")).status for path in ("bytes/x", "status/7")] == [400, 404]


async def test_playground_needs_the_usual_headers(client: SimulatorClient) -> None:
    """`/sim/*` is refused without a token like any other path."""
    assert (await client.ask("GET", "/sim/bytes/1", Authorization=None)).status == 401


async def test_values_that_cannot_be_are_errors_of_their_items(client: SimulatorClient) -> None:
    """A state, a bid and a budget; the others of the request are done."""
    wanted = [{**SP_CAMPAIGN, "name": "a"}, {**SP_CAMPAIGN, "name": "b", "state": "paused"}]
    made = (await campaigns(client, "POST", "/sp/campaigns", {"campaigns": wanted})).json()["campaigns"]
    assert ([each["index"] for each in made["success"]], [each["index"] for each in made["error"]]) == ([0], [1])
    (error,) = made["error"][0]["errors"]
    assert error["errorType"] == "rangeError"
    assert error["errorValue"]["rangeError"]["cause"] == {"location": "$.campaigns[1].state", "trigger": "paused"}
    change = {"campaignId": made["success"][0]["campaignId"], "budget": {"budget": 0.5, "budgetType": "DAILY"}}
    put = (await campaigns(client, "PUT", "/sp/campaigns", {"campaigns": [change]})).json()["campaigns"]
    assert [each["errorType"] for each in put["error"][0]["errors"]] == ["budgetError"]
    kind = "application/vnd.spKeyword.v3+json"
    bids = {"keywords": [{**KEYWORD, "bid": bid} for bid in (0.01, 0.02, "1", True)]}
    put = await campaigns(client, "POST", "/sp/keywords", bids, Content_Type=kind, Accept=kind)
    assert [each["index"] for each in put.json()["keywords"]["success"]] == [1]


async def test_portfolios_and_brands_have_results_of_items(client: SimulatorClient) -> None:
    """In lists of version 3; what is not there is an error of its item."""
    kind = "application/vnd.spPortfolio.v3+json"
    right = {"Content_Type": kind, "Accept": kind}
    made = await campaigns(client, "POST", "/portfolios", {"portfolios": [{"name": "p", "state": "ENABLED"}]}, **right)
    (success,) = made.json()["portfolios"]["success"]
    change = {"portfolios": [{"portfolioId": success["portfolioId"], "name": "q"}, {"portfolioId": "1"}]}
    put = (await campaigns(client, "PUT", "/portfolios", change, **right)).json()["portfolios"]
    assert (len(put["success"]), len(put["error"])) == (1, 1)
    (error,) = put["error"][0]["errors"]
    assert error["errorValue"]["entityNotFoundError"]["entityId"] == "1"
    kind = "application/vnd.sbcampaignresource.v4+json"
    delete = {"campaignIdFilter": {"include": ["1"]}}
    gone = await campaigns(client, "POST", "/sb/v4/campaigns/delete", delete, Content_Type=kind, Accept=kind)
    assert (gone.status, len(gone.json()["campaigns"]["error"])) == (207, 1)


async def test_budget_rules_have_results_with_codes(client: SimulatorClient) -> None:
    """Made, changed and associated; `budgetRuleIds` are a list."""
    made = (await scoped(client, "POST", "/sp/budgetRules", {"budgetRulesDetails": [{"name": "r"}]})).json()
    (result,) = made["responses"]
    assert result["code"] == "SUCCESS"
    change = {"budgetRulesDetails": [{"ruleId": result["ruleId"], "ruleState": "PAUSED"}, {"ruleId": "1"}]}
    put = (await scoped(client, "PUT", "/sp/budgetRules", change)).json()["responses"]
    assert [each["code"] for each in put] == ["SUCCESS", "NOT_FOUND"]
    wanted = {"budgetRuleIds": [result["ruleId"], "1"]}
    joined = (await scoped(client, "POST", "/sp/campaigns/5/budgetRules", wanted)).json()["responses"]
    assert [(each["ruleId"], each["code"]) for each in joined] == [(result["ruleId"], "SUCCESS"), ("1", "NOT_FOUND")]
    assert (await scoped(client, "POST", "/sp/campaigns/5/budgetRules", {})).status == 400
