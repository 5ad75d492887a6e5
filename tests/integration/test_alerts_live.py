"""The alert rules, fired by what a running proxy exposes: its own scrapes are the series that promtool evaluates.

Prometheus' clock begins at 1970 in a test of rules, so times of day are counted from the scrape. What is left out here
is shown by made-up series in config/prometheus/alerts.test.yml: that the proxy is down.
"""

from __future__ import annotations

import datetime
import hashlib
import json
import re
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.patience import PATIENCE
from tests.support.processes import fetch
from tests.support.programs import ROOT, require_program
from tests.support.running import Serving, SimulatedAmazon, serving

pytestmark = [pytest.mark.integration, pytest.mark.prometheus]

RULES = ROOT / "config" / "prometheus" / "alerts.yml"
ASKED = set(re.findall(r"ads_proxy_\w+", RULES.read_text(encoding="utf-8")))
"""The metrics that the rules ask for. promtool would need seconds more for all the others."""
EVERY, LONG_AFTER = "30s", "6h"
"""How often the rules are evaluated; over hours a quarter as often, which takes promtool a tenth of the time."""
SLOW = {"AdsProxyOverhead", "AdsProxyLatencyBurningFast", "AdsProxyLatencyBurning"}
"""What a machine that is busy with other tests may rightly fire."""
JSON = "application/json"
MANY_TOOLS = 60_000
LIST_TOOLS = b'{"jsonrpc":"2.0","id":1,"method":"tools/list"}'


@dataclass
class Watch:
    """Scrapes of one proxy, as the series that a Prometheus would have of it."""

    running: Serving
    folder: Path
    scrapes: list[dict[str, float]] = field(default_factory=list)

    def scrape(self) -> None:
        """Note the series that the rules ask for, as they are now; points in time become seconds from now."""
        now, found = time.time(), {}
        for line in self.running.admin_get("/metrics")[1].decode().splitlines():
            matched = re.fullmatch(r"(ads_proxy_\w+)(?:\{(.*)\})? (\S+)", line)
            if matched and matched[1] in ASKED:
                name, labels, value = matched[1], matched[2] or "", float(matched[3])
                whole = ",".join(filter(None, ('job="ads-proxy",instance="p"', labels)))
                found[f"{name}{{{whole}}}"] = value - now if name.endswith("_timestamp_seconds") else value
        self.scrapes.append(found)

    def firing(self, after: str) -> set[str]:
        """The alerts that fire when what was scraped last stays so, and counters go on as between two scrapes."""
        first, last = self.scrapes[0], self.scrapes[-1]
        every = "2m" if after == LONG_AFTER else EVERY
        samples = 200 if after == LONG_AFTER else 110
        series = []
        for name, value in last.items():
            growth = value - first.get(name, 0.0) if len(self.scrapes) > 1 and "_timestamp_" not in name else 0.0
            rises = re.match(r"\w+_(total|count|bucket|sum)\{", name) is not None and growth > 0
            values = f"0+{growth:.6f}x{samples}" if rises else f"{value:.6f}x{samples}"
            series.append({"series": name, "values": values})
        asked = {"expr": 'count by (alertname) (ALERTS{alertstate="firing"})', "eval_time": after, "exp_samples": []}
        test = {"interval": every, "input_series": series, "promql_expr_test": [asked]}
        file = self.folder / "rules.test.yml"
        file.write_text(yaml.safe_dump({"rule_files": [str(RULES)], "evaluation_interval": every, "tests": [test]}))
        command = [require_program("promtool"), "test", "rules", str(file)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=False)
        said = done.stdout + done.stderr
        found = set(re.findall(r'alertname="(\w+)"', said))
        assert bool(found) == (done.returncode != 0), said
        return found


def digest(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()


def accounts(amazon: SimulatedAmazon, **changes: dict[str, Any]) -> dict[str, Any]:
    return {name: amazon.account(**change) for name, change in changes.items()}


def test_nothing_fires_while_all_is_in_order(amazon: SimulatedAmazon, tmp_path: Path) -> None:
    """A proxy that serves, until its token would be renewed."""
    with serving(tmp_path, amazon.configuration()) as running:
        running.until_listed()
        watch = Watch(running, tmp_path)
        watch.scrape()
        assert running.get("/v2/profiles")[0] == 200
        watch.scrape()
        assert watch.firing("50m") - SLOW == set()


def test_logins_that_need_attention_fire(amazon: SimulatedAmazon, tmp_path: Path) -> None:
    """Revoked, misconfigured and never signed in, each by its own alert."""
    configured = amazon.configuration(
        accounts=accounts(amazon, gone={"refresh_token": "Atzr|" + "x" * 40}, wrong={"client_secret": "y" * 64}, new={})
    )
    del configured["accounts"]["new"]["refresh_token"]
    with serving(tmp_path, configured) as running:
        running.until(lambda: running.account("gone")["state"] == "revoked")
        running.until(lambda: running.account("wrong")["state"] == "misconfigured")
        watch = Watch(running, tmp_path)
        watch.scrape()
        assert watch.firing("6m") == {"AdsProxyCredentialRevoked", "AdsProxyAppMisconfigured", "AdsProxyNoToken"}


CONSENTS = {
    20: "AdsProxyConsentEnding",
    5: "AdsProxyConsentAlmostOver",
    0.5: "AdsProxyConsentLastDay",
    -1: "AdsProxyConsentOver",
}
"""Which alert fires so many days before a consent expires."""


def test_consents_that_end_fire(amazon: SimulatedAmazon, tmp_path: Path) -> None:
    """A consent of today, as Prometheus sees it most of a year later: one alert at a time."""
    today = datetime.datetime.now(datetime.UTC).date().isoformat()
    configured = amazon.configuration(accounts={"acme": amazon.account(consented_on=today)})
    with serving(tmp_path, configured) as running:
        running.until_ready()
        watch = Watch(running, tmp_path)
        watch.scrape()
    [(name, ends)] = [each for each in watch.scrapes[0].items() if "consent_expiry" in each[0]]
    assert 363 * 86400 < ends <= 366 * 86400
    fired = {}
    for days_left in CONSENTS:
        watch.scrapes[0][name] = days_left * 86400
        fired[days_left] = watch.firing("1m")
    assert fired == {days_left: {alert} for days_left, alert in CONSENTS.items()}


def test_a_token_that_is_not_renewed_fires_before_and_after_its_end(amazon: SimulatedAmazon, tmp_path: Path) -> None:
    """Login with Amazon is away, as Prometheus sees it when the token in use has 90 seconds left; then it is dead."""
    with serving(tmp_path, amazon.configuration()) as running:
        running.until_ready()
        amazon.fault({"status": 503}, target="lwa")
        fetch(f"{running.admin}/console/accounts/acme/refresh", b"", {"X-Ads-Proxy-Console": "1"})
        running.until(lambda: running.account()["state"] == "degraded")
        watch = Watch(running, tmp_path)
        watch.scrape()
    amazon.heal()
    [(name, left)] = [each for each in watch.scrapes[0].items() if "token_expiry" in each[0]]
    assert 0 < left <= 3600
    watch.scrapes[0][name] = 90
    assert watch.firing("1m") == {"AdsProxyTokenAboutToExpire"}
    assert watch.firing("4m") == {"AdsProxyTokenExpired", "AdsProxyRefreshFailing"}


def test_a_client_that_is_refused_and_errors_fire(amazon: SimulatedAmazon, tmp_path: Path) -> None:
    """Half of the answers are 403 or 429 of Amazon, a quarter 502: never seen before, and it lasts."""
    amazon.fault({"status": 403, "body": "{}"}, target="api", path="/refused")
    amazon.fault({"status": 429, "body": "{}"}, target="api", path="/throttled")
    amazon.fault({"abort": "before_head"}, target="api", path="/cut")
    with serving(tmp_path, amazon.configuration()) as running:
        running.until_listed()
        watch = Watch(running, tmp_path)
        watch.scrape()
        codes = [running.get(path)[0] for path in ("/v2/profiles", "/refused", "/throttled", "/cut")]
        assert codes == [200, 403, 429, 502]
        running.until(lambda: running.metric("requests_total", code="502"))
        watch.scrape()
        always = {"AdsProxyThrottled", "AdsProxyErrorRate", "AdsProxyAvailabilityBurningFast"}
        assert watch.firing("12m") - SLOW == {*always, "AdsProxyClientRefused", "AdsProxyAvailabilityBurning"}
        usual_by_then = watch.firing(LONG_AFTER) - SLOW - {"AdsProxyTokenExpired"}
        assert usual_by_then == {*always, "AdsProxyAvailabilityBurning"}
    amazon.heal()


def test_a_bad_configuration_fires_until_it_is_fixed(amazon: SimulatedAmazon, tmp_path: Path) -> None:
    """The alert follows the reload's counter."""
    with serving(tmp_path, amazon.configuration()) as running:
        running.until_ready()
        watch = Watch(running, tmp_path)
        running.write("nonsense: true\n")
        running.until(lambda: running.metric("config_last_reload_successful") == 0)
        watch.scrape()
        assert watch.firing("1m") == {"AdsProxyReloadFailed"}
        running.write(amazon.configuration())
        running.until(lambda: running.metric("config_last_reload_successful") == 1)
        watch.scrape()
        assert watch.firing("1m") == set()


def test_a_write_that_waits_for_a_person_fires_until_it_is_decided(amazon: SimulatedAmazon, tmp_path: Path) -> None:
    """After half an hour, and as long as the approval is pending."""
    kind, scope = "application/vnd.spCampaign.v3+json", amazon.facts["profiles"]["na"][0]
    agent = {"name": "agent", "key_sha256": digest("key"), "spend": {"budget": {"USD": 50}, "beyond": "approve"}}
    approvers = [{"name": "anna", "keys": [{"sha256": digest("key-of-anna")}]}]
    with serving(tmp_path, amazon.configuration(clients=[agent], approvals={"approvers": approvers})) as running:
        running.until_listed()
        watch = Watch(running, tmp_path)
        campaign = {"name": "A", "state": "PAUSED", "targetingType": "MANUAL", "budget": {"budget": 60}}
        headers = {"X-Ads-Proxy-Key": "key", "Amazon-Advertising-API-Scope": scope, "Content-Type": kind}
        status, said = fetch(
            f"{running.proxy_url}/sp/campaigns", json.dumps({"campaigns": [campaign]}).encode(), headers
        )
        assert (status, json.loads(said)["type"]) == (403, "urn:ads-proxy:error:approval-required")
        running.until(lambda: running.metric("approvals", client="agent", state="pending") == 1)
        watch.scrape()
        assert (watch.firing("29m"), watch.firing("31m")) == (set(), {"AdsProxyApprovalWaiting"})
        decision = f"{running.admin}/console/approvals/{json.loads(said)['approval_id']}"
        shown = {"X-Ads-Proxy-Console": "1", "X-Ads-Proxy-Approver-Key": "key-of-anna", "Content-Type": JSON}
        assert fetch(decision, b'{"decision": "deny"}', shown)[0] == 200
        running.until(lambda: running.metric("approvals", client="agent", state="pending") == 0)
        watch.scrape()
        assert watch.firing("31m") == set()


def test_a_proxy_that_adds_much_fires(amazon: SimulatedAmazon, tmp_path: Path) -> None:
    """By its own work: of a list of tools that is megabytes long it looks at each, for a client that may see some."""
    tools = [{"name": f"campaign_management-query_campaign_{number}"} for number in range(MANY_TOOLS)]
    content = json.dumps({"jsonrpc": "2.0", "id": 1, "result": {"tools": tools}})
    kind = {"Content-Type": "application/json"}
    amazon.fault({"status": 200, "headers": kind, "body": content}, target="mcp")
    client = {"name": "agent", "key_sha256": hashlib.sha256(b"key").hexdigest(), "access": "read"}
    with serving(tmp_path, amazon.configuration(clients=[client])) as running:
        running.until_listed()
        watch = Watch(running, tmp_path)
        watch.scrape()
        for number in (1, 2, 3):
            answer = fetch(f"{running.proxy_url}/mcp", LIST_TOOLS, {**kind, "X-Ads-Proxy-Key": "key"})
            assert (answer[0], "may call none" in json.loads(answer[1])["error"]["message"]) == (200, True)
            running.until(lambda number=number: running.metric("overhead_seconds_count") == number)
        watch.scrape()
        assert watch.firing("12m") == SLOW
    amazon.heal()
