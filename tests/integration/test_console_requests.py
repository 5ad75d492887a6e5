"""The console's requests in a real browser: clients, failures and reasons, the last requests, and accessibility.

Screenshots are written to SCREENSHOTS_DIR, if it is set, for people to look at.
"""

from __future__ import annotations

import hashlib
import http.client
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from selenium import webdriver
from selenium.webdriver.common.keys import Keys

from tests.integration.rig import Rig, rig
from tests.integration.test_console_chromium import Console
from tests.support.patience import PATIENCE
from tests.support.processes import fetch, until
from tests.support.programs import ROOT, require_file

pytestmark = [pytest.mark.integration, pytest.mark.chromium]
AXE = ROOT / ".cache" / "axe" / "node_modules" / "axe-core" / "axe.min.js"
CLIENTS = [
    {"name": "reporting", "key_sha256": hashlib.sha256(b"key-of-reporting").hexdigest()},
    {"name": "bids", "key_sha256": hashlib.sha256(b"key-of-bids").hexdigest(), "access": "read"},
]
NEW_CAMPAIGNS = b'{"campaigns": [{"name": "canary"}]}'


def by(client: str) -> dict[str, str]:
    return {"X-Ads-Proxy-Key": f"key-of-{client}"}


def scoped(running: Rig, client: str) -> dict[str, str]:
    """With a profile, so that nothing waits for the list of them."""
    return {**by(client), "Amazon-Advertising-API-Scope": running.simulator["profiles"]["na"][0]}


def trouble(running: Rig) -> None:
    """What a bad night looks like: served requests, Amazon's errors and limits, refusals of our own."""
    running.until_listed()
    for path, fault in (
        ("/sd/campaigns", {"status": 500}),
        ("/v2/campaigns", {"status": 429, "headers": {"Retry-After": "1"}}),
        ("/sb/campaigns", {"status": 404}),
    ):
        running.control("/control/faults", {"match": {"path": path}, "times": None, "fault": fault})
        running.get(path, scoped(running, "reporting"))
    for client in ("reporting", "reporting", "bids"):
        assert running.get("/v2/profiles?canary=query", by(client))[0] == 200
    assert running.get("/v2/profiles", {"X-Ads-Proxy-Key": "canary-wrong-key"})[0] == 401
    write = {**by("bids"), "Content-Type": "application/vnd.spCampaign.v3+json"}
    assert fetch(f"{running.proxy_url}/sp/campaigns", NEW_CAMPAIGNS, write)[0] == 403


def last_requests(running: Rig, query: str = "") -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(running.admin_get(f"/console/requests?{query}")[1])["requests"]
    return found


def serious(browser: webdriver.Chrome) -> list[str]:
    """The findings of axe in the present page that would keep a person out."""
    browser.execute_script(require_file(AXE).read_text(encoding="utf-8"))
    found = browser.execute_async_script("""
        axe.run({resultTypes: ["violations"]}).then(
            found => arguments[0]({violations: found.violations, passes: found.passes.length}),
            error => arguments[0]({failed: String(error)}))
    """)
    assert found.get("passes", 0) > 10, found
    return [
        f"{finding['id']}: {node['target']} {node['failureSummary']}"
        for finding in found["violations"]
        if finding["impact"] in {"serious", "critical"}
        for node in finding["nodes"]
    ]


def test_the_night_shift_sees_who_failed_and_what_to_do(browser: webdriver.Chrome, tmp_path: Path) -> None:
    """Counts by client and account, failures with their next step, and requests that are filtered, without a reload."""
    with rig(tmp_path, clients=CLIENTS) as running:
        trouble(running)
        console = Console(browser, running)
        console.open()
        browser.execute_script("window.neverReloaded = true")
        for row in ("reporting 5 1 1 1 0", "bids 2 1 0 0 0"):
            console.see("#client-rows tr", row)
        console.see("#client-words", "3 of 3 clients with errors")
        console.see("#account-rows tr", "acme")
        told = console.see("#failures .failure", "401 client-unknown").text
        assert "ads-proxy keys new" in told
        assert "Client bids: Create" in console.see("#failures .failure", "403 not-permitted").text
        assert "busy" in (console.see("#failures .failure", "429 ").get_attribute("class") or "")
        assert "refused" in (console.see("#failures .failure", "404 ").get_attribute("class") or "")
        assert "Amazon's support" in console.see("#failures .failure", "500 ").text
        console.picture("a-what-failed")
        console.see("#request-rows tr", "/sd/campaigns")
        for name, value, count in (("client", "bids", 2), ("status", "4xx", 1), ("operation", "profiles", 0)):
            console.see(f"#filter-{name}").send_keys(value)
            console.see("#requests-found", f"{count} of the last")
        console.press("#filters button", "Show all")
        console.see("#filter-status").send_keys("5xx")
        console.see("#requests-found", "1 of the last")
        console.see("#request-rows .tag.bad", "500")
        running.get("/sd/campaigns", scoped(running, "bids"))
        console.see("#requests-found", "2 of the last")
        console.see("#request-rows tr", "bids")
        browser.execute_script("document.querySelector('#requests').scrollIntoView()")
        console.picture("b-last-requests")
        assert browser.execute_script("return window.neverReloaded")
        assert "canary" not in browser.page_source
        assert "canary" not in running.admin_get("/console/requests")[1].decode()
        assert console.complaints() == []


def test_repeated_requests_are_among_the_last(tmp_path: Path) -> None:
    """Requests with a remembered decision have no event, and are in the list and in the tables nevertheless."""
    with rig(tmp_path, clients=CLIENTS) as running:
        connection = http.client.HTTPConnection(urlsplit(running.proxy_url).netloc, timeout=PATIENCE)
        for _ in range(20):
            connection.request("GET", "/v2/profiles", headers=by("reporting"))
            answer = connection.getresponse()
            assert answer.status == 200, answer.read()
            answer.read()
        connection.close()
        until(lambda: len(last_requests(running, "client=reporting&status=2xx")) == 20)
        assert {request["operation"] for request in last_requests(running)} == {"listProfiles"}
        (row,) = [row for row in console_state(running)["clients"] if row["name"] == "reporting"]
        assert (row["requests"], row["errors"]) == (20, 0)
        assert row["p99_ms"] > 0
        assert row["last_seen"] is not None


def console_state(running: Rig) -> dict[str, Any]:
    state: dict[str, Any] = json.loads(running.admin_get("/console/state")[1])
    return state


def test_the_list_stays_while_a_person_reads_it(browser: webdriver.Chrome, tmp_path: Path) -> None:
    """Paused by the keyboard, no request comes in; after the release, those that came meanwhile are there."""
    with rig(tmp_path) as running:
        running.until_listed()
        running.get("/v2/profiles")
        console = Console(browser, running)
        console.open()
        console.see("#request-rows tr", "/v2/profiles")
        console.see("#pause").send_keys(Keys.SPACE)
        console.see("#pause[aria-pressed=true]")
        running.get("/sd/campaigns")
        console.see("#account-rows tr", "acme 2 ")
        assert browser.execute_script("return document.querySelectorAll('#request-rows tr').length") == 1
        console.see("#pause").send_keys(Keys.ENTER)
        console.see("#request-rows tr", "/sd/campaigns")


def test_a_call_of_mcp_shows_its_tools(browser: webdriver.Chrome, tmp_path: Path) -> None:
    """In the list, and the filter finds it by a part of the name."""
    call = {
        "jsonrpc": "2.0",
        "id": 1,
        "method": "tools/call",
        "params": {"name": "campaign_management-update_campaign"},
    }
    with rig(tmp_path) as running:
        running.get("/v2/profiles")
        fetch(f"{running.proxy_url}/mcp", json.dumps(call).encode(), {"Content-Type": "application/json"})
        console = Console(browser, running)
        console.open()
        console.see("#request-rows strong", "campaign_management-update_campaign")
        console.see("#filter-operation").send_keys("update_")
        console.see("#requests-found", "1 of the last 2")


def test_what_became_of_writes_is_shown(browser: webdriver.Chrome, tmp_path: Path) -> None:
    """Counts by client and account, what a write changed, and who calls what Amazon announced to end."""
    kind = "application/vnd.spCampaign.v3+json"
    budget = {"budget": 10, "budgetType": "DAILY"}
    new = {"name": "new", "targetingType": "MANUAL", "startDate": "2027-01-01", "budget": budget}
    campaigns = [new | {"state": "PAUSED"}, new | {"state": "asleep"}]
    audit = {"file": str(tmp_path / "audit.jsonl"), "objects": True}
    with rig(tmp_path, clients=CLIENTS, audit=audit) as running:
        headers = {**scoped(running, "reporting"), "Content-Type": kind, "Accept": kind}
        body = json.dumps({"campaigns": campaigns}).encode()
        assert fetch(f"{running.proxy_url}/sp/campaigns", body, headers)[0] == 207
        running.get("/v2/sp/snapshots/1", scoped(running, "bids"))
        console = Console(browser, running)
        console.open()
        assert console.see("#write-rows tr").text.split() == ["reporting", "acme", "0", "1", "0", "0"]
        row = console.see("#deprecated-rows tr", "getSnapshotStatus").text.split()
        assert row[row.index("announced") :][:2] == ["announced", "2024-12-15"]
        assert row[-1] == "1"
        assert "/campaigns/export," in row
        console.see("#failures .failure", "partly-failed")
        console.see("#request-rows tr", "1 of 2 items")
        console.see("#filter-operation").send_keys("campaign/")
        console.see("#requests-found", "1 of the last 2")
        console.see("#request-rows tr", "targetingType")
        assert console.complaints() == []
        assert serious(browser) == []


def test_throttled_orders_for_reports_are_shown(browser: webdriver.Chrome, tmp_path: Path) -> None:
    """With the interval that was learned from Amazon's 429; an order that would wait too long is refused."""
    body = b'{"startDate": "2026-11-01", "endDate": "2026-11-02", "configuration": {}}'
    throttled = {"status": 429, "headers": [["Retry-After", "600"]], "body": "{}"}
    with rig(tmp_path, reports={"duplicates": "reuse"}) as running:
        planned = {"fault": throttled, "match": {"path": "/reporting/reports"}, "times": 1}
        running.control("/control/faults", planned)
        headers = {"Content-Type": "application/vnd.createasyncreportrequest.v3+json"}
        running.until_listed()
        statuses = [fetch(f"{running.proxy_url}/reporting/reports", body, headers)[0] for _ in range(2)]
        assert statuses == [429, 429]
        console = Console(browser, running)
        console.open()
        account, region, interval, _, _, waiting = console.see("#orders-rows tr").text.split()
        assert (account, region, interval, waiting) == ("acme", "na", "2", "0")
        assert console.complaints() == []
        assert serious(browser) == []


def test_a_new_failure_is_said_to_a_screen_reader(browser: webdriver.Chrome, tmp_path: Path) -> None:
    """The page's status says it once; failures from before the page are not news."""
    with rig(tmp_path, clients=CLIENTS) as running:
        running.get("/v2/profiles")
        console = Console(browser, running)
        console.open()
        console.see("#failures .failure", "401 client-unknown")
        said = "return document.getElementById('said').textContent"
        assert browser.execute_script(said) == ""
        running.control("/control/faults", {"match": {"path": "/sd/campaigns"}, "fault": {"status": 500}})
        running.get("/sd/campaigns", scoped(running, "reporting"))
        until(lambda: "New failures: 500 failed-at-amazon · acme" in browser.execute_script(said))


@pytest.fixture(scope="module")
def troubled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    """A program with a key, after a bad night."""
    with rig(tmp_path_factory.mktemp("troubled"), clients=CLIENTS, admin={"key": "key-of-the-console"}) as running:
        trouble(running)
        yield running


@pytest.mark.parametrize("width", [1280, 360])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nobody_is_kept_out(browser: webdriver.Chrome, troubled: Rig, scheme: str, width: int) -> None:
    """No serious finding of axe, light and dark, wide and narrow; the page never scrolls sideways."""
    browser.execute_cdp_cmd(
        "Emulation.setEmulatedMedia", {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
    )
    size = {"width": width, "height": 1400, "deviceScaleFactor": 1, "mobile": width < 500}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    console = Console(browser, troubled)
    console.open()
    console.see("#key")
    assert serious(browser) == []
    console.see("#key").send_keys("key-of-the-console", Keys.ENTER)
    console.see("#failures .failure", "500 ")
    console.see("#request-rows tr", "/sd/campaigns")
    console.see("#profile-rows tr")
    assert serious(browser) == []
    fits = "return document.documentElement.scrollWidth <= document.documentElement.clientWidth"
    assert browser.execute_script(fits)
    size["height"] = browser.execute_script("return document.documentElement.scrollHeight")
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    console.picture(f"c-console-{scheme}-{width}")
