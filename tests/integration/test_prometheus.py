"""Debian's Prometheus, with the project's own configuration, scrapes the running proxy and answers the dashboard.

Two things differ from the project's files: targets.yml, as in every installation, and a scrape every second.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
import shutil
import subprocess
import threading
import urllib.parse
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.integration.rig import Rig, rig
from tests.support.patience import PATIENCE
from tests.support.processes import fetch, free_port, started, until
from tests.support.programs import ROOT, require_program

pytestmark = [pytest.mark.integration, pytest.mark.prometheus]

CONFIGURATION = ROOT / "config" / "prometheus"
WRITE = "/sp/campaigns"
DASHBOARDS = ROOT / "config" / "grafana" / "dashboards"
TOOL, AGENT = "a-key-of-the-tool", "a-key-of-the-agent"
SETTINGS: dict[str, Any] = {
    "clients": [
        {"name": "tool", "key_sha256": hashlib.sha256(TOOL.encode()).hexdigest()},
        {
            "name": "agent",
            "key_sha256": hashlib.sha256(AGENT.encode()).hexdigest(),
            "spend": {"budget": {"USD": 50}, "beyond": "approve"},
        },
    ],
    "approvals": {"approvers": [{"name": "anna", "keys": [{"sha256": "a" * 64}]}]},
}
"""One client sends what the proxy lets pass, the other what a person has to approve."""
ALERTS = {rule["alert"] for rule in yaml.safe_load((CONFIGURATION / "alerts.yml").read_text())["groups"][0]["rules"]}


@dataclass
class Scene:
    """The proxy under a little traffic, and a Prometheus that watches it."""

    rig: Rig
    prometheus: str
    sent: dict[int, int]

    def query(self, expression: str) -> list[dict[str, Any]]:
        """The series that an instant query gives."""
        url = f"{self.prometheus}/api/v1/query?{urllib.parse.urlencode({'query': expression})}"
        status, body = fetch(url)
        assert status == 200, body
        result: list[dict[str, Any]] = json.loads(body)["data"]["result"]
        return result

    def value(self, expression: str) -> float | None:
        series = self.query(expression)
        return float(series[0]["value"][1]) if series else None

    def shows(self, expression: str, least: float, most: float | None = None) -> bool:
        """Whether the first series comes to lie in this range, or to be this value. A scrape that took a second shows
        nothing."""

        def look() -> bool:
            value = self.value(expression)
            return value is not None and least <= value <= (least if most is None else most)

        return bool(until(look, lambda: f"{expression} is {self.value(expression)}"))


def write(running: Rig, key: str, **members: Any) -> tuple[int, bytes]:
    """A write of one item."""
    kind = "application/vnd.spCampaign.v3+json"
    body = json.dumps({"campaigns": [members]}).encode()
    return fetch(f"{running.proxy_url}{WRITE}", body, {"Content-Type": kind, "Accept": kind, "X-Ads-Proxy-Key": key})


def make_traffic(running: Rig, sent: dict[int, int], stop: threading.Event) -> None:
    """Good requests, a write that fails, one that is refused and one that Amazon throttles, ten a second, until told to
    stop."""
    paths = ["/v2/profiles"] * 17 + [WRITE, "/@nobody/v2/profiles", "/throttled/profiles"]
    number, with_key = 0, {"X-Ads-Proxy-Key": TOOL}
    while not stop.wait(0.1):
        path = paths[number % len(paths)]
        status, _ = write(running, TOOL, state="ASLEEP") if path == WRITE else running.get(path, with_key)
        sent[status] = sent.get(status, 0) + 1
        number += 1


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    """Starts everything, and waits for the third scrape."""
    program = require_program("prometheus")
    folder = tmp_path_factory.mktemp("prometheus")
    shutil.copytree(CONFIGURATION, folder / "config")
    scrape_often(folder / "config" / "prometheus.yml")
    with rig(folder, **SETTINGS) as running:
        running.until_listed()
        assert write(running, AGENT, name="A", state="PAUSED", budget={"budget": 60})[0] == 403
        match, fault = {"target": "api", "path": "/throttled/*"}, {"status": 429}
        running.control("/control/faults", {"match": match, "times": None, "fault": fault})
        targets = folder / "config" / "targets.yml"
        targets.write_text(targets.read_text().replace("127.0.0.1:8081", running.admin.removeprefix("http://")))
        port = free_port()
        command = (
            *(program, f"--config.file={folder / 'config' / 'prometheus.yml'}"),
            *(f"--storage.tsdb.path={folder / 'data'}", f"--web.listen-address=127.0.0.1:{port}"),
        )
        sent: dict[int, int] = {}
        stop = threading.Event()
        traffic = threading.Thread(target=make_traffic, args=(running, sent, stop), daemon=True)
        with started(*command):
            found = Scene(running, f"http://127.0.0.1:{port}", sent)
            until(lambda: reachable(f"{found.prometheus}/-/ready"))
            traffic.start()
            try:
                until(lambda: (found.value("count_over_time(up[5m])") or 0) >= 3)
                yield found
            finally:
                stop.set()
                traffic.join(PATIENCE)


def scrape_often(settings: Path) -> None:
    """Scrape often, so that no test waits long for the third scrape."""
    text, changed = re.subn(r"(?m)^(  scrape_interval:) \S+", r"\1 1s", settings.read_text())
    assert changed == 1
    settings.write_text(text)


def reachable(url: str) -> bool:
    try:
        return fetch(url)[0] == 200
    except OSError:
        return False


def promtool(*arguments: str | Path, text: bytes | None = None) -> str:
    """The output of a promtool that is content."""
    command = [require_program("promtool"), *map(str, arguments)]
    done = subprocess.run(command, input=text, capture_output=True, timeout=900, check=False)
    output = done.stdout.decode() + done.stderr.decode()
    assert done.returncode == 0, output
    return output


def expressions() -> list[tuple[str, str]]:
    """Every query of every dashboard, by its panel's title, with Grafana's variables as Grafana fills them."""
    filled = {"$__rate_interval": "1m", "$instance": ".*", "$account": ".*"}
    found = []
    for file in sorted(DASHBOARDS.glob("*.json")):
        for panel in json.loads(file.read_text())["panels"]:
            for target in panel.get("targets", ()):
                expression = target["expr"]
                for variable, value in filled.items():
                    expression = expression.replace(variable, value)
                found.append((f"{panel['title']} {target['refId']}", expression))
    return found


def test_the_configuration_and_its_rules_are_valid() -> None:
    """promtool accepts prometheus.yml with its rule file, without a warning."""
    output = promtool("check", "config", "--lint=all", "--lint-fatal", CONFIGURATION / "prometheus.yml")
    assert "SUCCESS" in output


def test_the_alerts_fire_when_they_should(tmp_path: Path) -> None:
    """Every case of alerts.test.yml holds, and every alert has one in which it fires.

    Cases that last for hours have a sample every minute or five, and their rules are evaluated as often: every 15
    seconds, as the file says, promtool needs half a minute.
    """
    cases = (CONFIGURATION / "alerts.test.yml").read_text()
    content = yaml.safe_load(cases)
    files = []
    for interval in sorted({test["interval"] for test in content["tests"]}):
        files.append(tmp_path / f"{interval}.test.yml")
        tests = [test for test in content["tests"] if test["interval"] == interval]
        rules = [str(CONFIGURATION / name) for name in content["rule_files"]]
        given = {"rule_files": rules, "evaluation_interval": interval, "tests": tests}
        files[-1].write_text(yaml.safe_dump(given))
    assert promtool("test", "rules", *files).count("SUCCESS") == len(files)
    firing = {name for name in ALERTS if f"alertname: {name}\n" in cases}
    assert firing == ALERTS


def test_the_running_proxys_metrics_please_promtool(scene: Scene) -> None:
    """`promtool check metrics` has nothing to say about a live scrape, and there is no `_created` series."""
    status, body = scene.rig.admin_get("/metrics")
    assert status == 200
    assert promtool("check", "metrics", text=body).strip() == ""
    assert b"_created" not in body


def test_prometheus_finds_the_target_up_and_the_rules_loaded(scene: Scene) -> None:
    """The job `ads-proxy` is up, and all alert rules are there and healthy."""
    assert scene.shows('up{job="ads-proxy"}', 1)

    def evaluated() -> dict[str, tuple[str, bool]]:
        """Health of each rule, and whether it fires; nothing before each was evaluated."""
        groups = json.loads(fetch(f"{scene.prometheus}/api/v1/rules")[1])["data"]["groups"]
        found = {
            rule["name"]: (rule["health"], rule["state"] == "firing") for group in groups for rule in group["rules"]
        }
        return found if "unknown" not in {health for health, _ in found.values()} else {}

    assert until(evaluated) == dict.fromkeys(ALERTS, ("ok", False))


def test_the_values_are_those_of_the_proxy(scene: Scene) -> None:
    """What Prometheus stored is what happened: one valid account, one token request, the token's end, the profiles."""
    for expression in (
        'ads_proxy_credential_state{account="acme", state="valid"}',
        "sum(ads_proxy_credential_state)",
        'ads_proxy_token_refreshes_total{account="acme", result="success", reason="ok"}',
        "count(ads_proxy_build_info)",
    ):
        assert scene.shows(expression, 1)
    end = 'ads_proxy_token_expiry_timestamp_seconds{account="acme"}'
    assert scene.shows(f"{end} - time()", 3000, 3600)
    for region, profiles in scene.rig.simulator["profiles"].items():
        assert scene.shows(f'ads_proxy_profiles{{account="acme", region="{region}"}}', len(profiles))
    assert scene.shows('process_resident_memory_bytes{job="ads-proxy"}', 1_000_000, math.inf)


def test_prometheus_counts_what_the_tools_saw(scene: Scene) -> None:
    """The counter requests_total, by status, approaches the responses that the clients counted."""
    until(lambda: scene.sent.get(200, 0) > 20)
    before = dict(scene.sent)

    def caught_up() -> bool:
        counted = {code: scene.value(f'sum(ads_proxy_requests_total{{code="{code}"}})') or 0 for code in before}
        return all(before[code] <= counted[code] <= scene.sent[code] + 1 for code in before)

    assert until(caught_up, lambda: scene.query("ads_proxy_requests_total"))
    assert scene.shows('ads_proxy_refused_total{reason="unknown-route"}', 1, math.inf)


def test_no_credential_stands_in_what_is_shown(scene: Scene) -> None:
    """Client secret, refresh token and every token in use are absent from log, metrics, status and console."""
    shown = [scene.rig.admin_get(path)[1].decode() for path in ("/metrics", "/status", "/console/state", "/")]
    until(lambda: len(scene.rig.log.lines) > 20)
    text = "\n".join([*shown, *scene.rig.log.lines])
    secrets = (scene.rig.simulator["client_secret"], scene.rig.simulator["refresh_token"], "Atza|", "Atzr|")
    assert [secret for secret in secrets if secret in text] == []


@pytest.mark.parametrize(("title", "expression"), expressions(), ids=[title for title, _ in expressions()])
def test_every_panel_of_the_dashboard_shows_something(scene: Scene, title: str, expression: str) -> None:
    """The query of each panel returns at least one series."""
    assert until(lambda: scene.query(expression), lambda: f"{title}: {expression}")


def test_the_dashboard_is_wired_to_what_is_provisioned() -> None:
    """Every panel uses the provisioned data source, no two share an id, and none overlaps another."""
    provisioned = (ROOT / "config/grafana/provisioning/datasources/prometheus.yml").read_text()
    dashboard = json.loads((DASHBOARDS / "ads-proxy.json").read_text())
    panels = dashboard["panels"]
    used = {target["datasource"]["uid"] for panel in panels for target in panel.get("targets", ())}
    assert used == {"prometheus"}
    assert "uid: prometheus" in provisioned
    assert len({panel["id"] for panel in panels}) == len(panels)
    cells = [
        (x, y)
        for panel in panels
        for x in range(panel["gridPos"]["x"], panel["gridPos"]["x"] + panel["gridPos"]["w"])
        for y in range(panel["gridPos"]["y"], panel["gridPos"]["y"] + panel["gridPos"]["h"])
    ]
    assert len(cells) == len(set(cells))
    assert all(0 <= x < 24 for x, _ in cells)
