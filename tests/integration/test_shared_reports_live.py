"""The real program before the simulator: identical orders share one report, in one process or four, after a restart."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest

from tests.support.processes import fetch
from tests.support.running import Serving, SimulatedAmazon, serving, simulated_amazon

pytestmark = pytest.mark.integration

REUSE = {"duplicates": "reuse"}
ORDER = {
    "name": "nightly",
    "startDate": "2026-11-01",
    "endDate": "2026-11-07",
    "configuration": {
        "adProduct": "SPONSORED_PRODUCTS",
        "reportTypeId": "spCampaigns",
        "timeUnit": "DAILY",
        "groupBy": ["campaign"],
        "columns": ["date", "campaignId", "cost"],
        "format": "GZIP_JSON",
    },
}
MEDIA = {"Content-Type": "application/vnd.createasyncreportrequest.v3+json"}
CLIENTS = 24


def started(amazon: SimulatedAmazon, path: Path, **changes: Any) -> AbstractContextManager[Serving]:
    """The program, with its first profile as the Scope of all requests."""
    return serving(path, amazon.configuration(accounts={"acme": amazon.account(default_profile="first")}, **changes))


def order(running: Serving, number: int = 0) -> tuple[int, dict[str, Any]]:
    """Each with a name and a spacing of its own."""
    body = json.dumps({**ORDER, "name": f"run {number}"}, indent=number % 3).encode()
    status, answer = fetch(f"{running.proxy_url}/reporting/reports", body, MEDIA)
    return status, json.loads(answer)


def order_all(running: Serving) -> list[tuple[int, dict[str, Any]]]:
    with ThreadPoolExecutor(CLIENTS) as clients:
        return list(clients.map(lambda number: order(running, number), range(CLIENTS)))


def ready(running: Serving) -> None:
    running.until_ready()
    running.until_listed()


def test_without_the_section_identical_orders_get_425(tmp_path: Path) -> None:
    """The second order gets the 425 that Amazon itself answers."""
    with simulated_amazon() as amazon, started(amazon, tmp_path) as running:
        ready(running)
        body = json.dumps(ORDER).encode()
        statuses = [fetch(f"{running.proxy_url}/reporting/reports", body, MEDIA)[0] for _ in range(2)]
    assert statuses == [200, 425]


def test_identical_orders_share_one_report(tmp_path: Path) -> None:
    """Simultaneous ones; Amazon gets one order, and polls are answered from memory."""
    with simulated_amazon() as amazon, started(amazon, tmp_path, reports=REUSE) as running:
        ready(running)
        found = order_all(running)
        assert {status for status, _ in found} == {200}
        (identifier,) = {answer["reportId"] for _, answer in found}
        running.until(lambda: running.metric("report_orders_total") == CLIENTS)
        assert running.metric("report_orders_total", outcome="created") == 1
        assert running.metric("report_orders_total", outcome="reused") == CLIENTS - 1
        polls = [fetch(f"{running.proxy_url}/reporting/reports/{identifier}")[0] for _ in range(8)]
        assert polls == [200] * 8
        paths = amazon.counts()["paths"]
    assert paths["POST /reporting/reports"] == {"200": 1}
    assert [counts for path, counts in paths.items() if path.startswith("GET /reporting/reports/")] == [{"200": 1}]


def test_an_order_that_another_program_made_is_found_by_its_425(tmp_path: Path) -> None:
    """The answer has the id of that report."""
    with simulated_amazon() as amazon:
        with started(amazon, tmp_path / "one.yaml") as other:
            ready(other)
            first = fetch(f"{other.proxy_url}/reporting/reports", json.dumps(ORDER).encode(), MEDIA)
        with started(amazon, tmp_path / "two.yaml", reports=REUSE) as running:
            ready(running)
            again = fetch(f"{running.proxy_url}/reporting/reports", json.dumps(ORDER).encode(), MEDIA)
            running.until(lambda: running.metric("report_orders_total", outcome="duplicate") == 1)
    assert (first[0], again[0]) == (200, 200)
    assert json.loads(first[1])["reportId"] == json.loads(again[1])["reportId"]


def test_a_restart_knows_the_unfinished_reports(tmp_path: Path) -> None:
    """From its store; Amazon is not asked again."""
    state = {"url": f"file:{tmp_path / 'state'}", "key": "a-key-of-sixteen-bytes-or-more"}
    reports, outcomes = [], []
    with simulated_amazon() as amazon:
        for name in ("one", "two"):
            with started(amazon, tmp_path / f"{name}.yaml", reports=REUSE, state=state) as running:
                ready(running)
                reports.append(order(running)[1]["reportId"])
                running.until(lambda shown=running: shown.metric("report_orders_total"))
                outcomes.append([running.metric("report_orders_total", outcome=each) for each in ("created", "reused")])
                assert running.stop()[0] == 0
    assert reports[0] == reports[1]
    assert outcomes == [[1.0, 0.0], [0.0, 1.0]]
