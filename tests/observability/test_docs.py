"""The pages about metrics, logs and alerts name everything there is."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import pytest
import yaml

from proxy import events
from proxy.audit import records as audit
from proxy.observability.logs import name_of
from proxy.observability.metrics import Metrics
from tests.support.programs import ROOT
from tests.support.scraping import scraped

UNWRITTEN = {events.Event, events.RequestStarted, events.RequestFinished, events.AttemptEnded}
UNWRITTEN |= {events.CounterRaised, events.ApprovalsCounted}
"""Without a line of its own in the log: a request has one for all that happened to it; numbers are metrics."""
EVENTS = sorted(
    name_of(kind)
    for module in (events, audit)
    for _, kind in inspect.getmembers(module, inspect.isclass)
    if issubclass(kind, events.Event) and kind not in UNWRITTEN
)


PAGES = sorted((*(ROOT / "docs").rglob("*.md"), ROOT / "README.md", ROOT / "CHANGELOG.md"))
EXPOSED = {
    line.split()[2] for line in scraped(Metrics("1"), "").decode().splitlines() if line.startswith("# TYPE ads_proxy_")
}

REMOVED = {"ads_proxy_fast_path_total", "ads_proxy_workers", "ads_proxy_worker_restarts_total"}
"""Metrics of earlier versions, which the change log still names."""


def rows(page: str) -> str:
    """The first cells of a page's tables."""
    text = (ROOT / "docs" / "reference" / page).read_text()
    return "\n".join(line.split("|")[1] for line in text.splitlines() if line.startswith("| `"))


def test_every_metric_is_documented_and_no_other() -> None:
    """docs/reference/metrics.md lists exactly the families of a scrape, each with its labels."""
    exposed = {name.removeprefix("ads_proxy_") for name in EXPOSED}
    assert set(re.findall(r"`(\w+)`", rows("metrics.md"))) == exposed


def test_a_metric_that_a_page_names_exists() -> None:
    """Samples of histograms count as theirs; a name that ends in `_` stands for several."""
    named = {
        (page.name, re.sub(r"_(?:bucket|count|sum)$", "", name))
        for page in PAGES
        for name in re.findall(r"\bads_proxy_\w+", page.read_text(encoding="utf-8"))
        if not name.endswith("_")
    }
    removed = {(page, name) for page in ("CHANGELOG.md", "upgrade.md") for name in REMOVED}
    assert {entry for entry in named - removed if entry[1] not in EXPOSED} == set()


def test_a_metric_is_named_as_prometheus_has_it() -> None:
    """With its prefix, so that it can be copied into a query; docs/reference/metrics.md says that its tables leave it
    out."""
    short = {
        (page.name, name)
        for page in PAGES
        for name in re.findall(r"`([a-z_]+)(?:\{[^`]*\})?`", page.read_text(encoding="utf-8"))
        if name.endswith(("_total", "_seconds", "credential_state")) and f"ads_proxy_{name}" in EXPOSED
    }
    assert {entry for entry in short if entry[0] != "metrics.md"} == set()


def test_every_event_is_documented() -> None:
    """docs/reference/logs.md lists each event by its name in the log."""
    documented = rows("logs.md")
    assert [name for name in EVENTS if f"`{name}`" not in documented] == []


def test_every_alert_is_documented_and_no_other() -> None:
    """docs/how-to/alerts.md has a row for each rule, which leads to its page; and each rule has what a pager shows."""
    rules = yaml.safe_load((ROOT / "config/prometheus/alerts.yml").read_text())["groups"][0]["rules"]
    pages = dict(
        re.findall(r"\[`(AdsProxy\w+)`\]\(\.\./(runbooks/[a-z-]+\.md)\)", (ROOT / "docs/how-to/alerts.md").read_text())
    )
    assert set(pages) == {rule["alert"] for rule in rules}
    for rule in rules:
        assert rule["labels"]["severity"] in {"info", "warning", "critical"}
        assert set(rule["annotations"]) == {"summary", "description", "runbook_url"}
        assert rule["annotations"]["runbook_url"] == "{{ $externalLabels.runbooks }}docs/" + pages[rule["alert"]]


@pytest.mark.parametrize("page", sorted((ROOT / "docs/runbooks").glob("*.md")), ids=lambda page: page.stem)
def test_a_runbook_says_what_it_means_what_to_look_at_and_what_to_type(page: Path) -> None:
    """In that order, under the alert's name; what to type is a command or a query."""
    text = page.read_text()
    assert re.findall(r"^#+ (.+)$", text, re.MULTILINE) == [
        text.split("\n", 1)[0].removeprefix("# "),
        *("What it means", "What to look at", "What to type", "When it is over"),
    ]
    assert f"runbooks/{page.name}" in (ROOT / "docs/how-to/alerts.md").read_text()
    typed = text.split("## What to type")[1].split("## ")[0]
    assert re.search(r"^    \S", typed, re.MULTILINE)
