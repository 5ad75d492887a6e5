"""The pages about metrics, logs and alerts name everything there is."""

from __future__ import annotations

import inspect
import re

import pytest
import yaml

from proxy import events
from proxy.observability.logs import name_of
from proxy.observability.metrics import Metrics
from tests.support.programs import ROOT

EVENTS = sorted(
    name_of(kind)
    for _, kind in inspect.getmembers(events, inspect.isclass)
    if issubclass(kind, events.Event) and kind not in {events.Event, events.RequestStarted, events.RequestFinished}
)


def rows(page: str) -> str:
    """The first cells of a page's tables."""
    text = (ROOT / "docs" / page).read_text()
    return "\n".join(line.split("|")[1] for line in text.splitlines() if line.startswith("| `"))


def test_every_metric_is_documented_and_no_other() -> None:
    """docs/metrics.md lists exactly the families of a scrape, each with its labels."""
    exposed = {
        line.split()[2].removeprefix("ads_proxy_")
        for line in Metrics("1").scrape("")[0].decode().splitlines()
        if line.startswith("# TYPE ads_proxy_")
    }
    assert set(re.findall(r"`(\w+)`", rows("metrics.md"))) == exposed


@pytest.mark.parametrize("name", EVENTS)
def test_every_event_is_documented(name: str) -> None:
    """docs/logs.md lists each event by its name in the log."""
    assert f"`{name}`" in rows("logs.md")


def test_every_alert_is_documented_and_no_other() -> None:
    """docs/alerts.md has a row for each rule, and each rule a severity, a summary and a description."""
    rules = yaml.safe_load((ROOT / "config/prometheus/alerts.yml").read_text())["groups"][0]["rules"]
    assert set(re.findall(r"`(\w+)`", rows("alerts.md"))) == {rule["alert"] for rule in rules}
    for rule in rules:
        assert rule["labels"]["severity"] in {"warning", "critical"}
        assert set(rule["annotations"]) == {"summary", "description"}
