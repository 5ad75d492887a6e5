"""A named report from its first order to a client's table: the program, the simulator's queue, and one GET."""

from __future__ import annotations

import csv
import io
import json
import subprocess
from http.client import HTTPConnection, HTTPResponse
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.integration.test_named_reports import CAMPAIGNS, assert_complete, configuration, finished, result_of
from tests.support.patience import PATIENCE
from tests.support.ready_program import ROOT, ready
from tests.support.running import Serving, SimulatedAmazon, serving

pytestmark = pytest.mark.integration
PENDING = 600
"""Seconds that a report waits at Amazon, on the simulator's clock."""


def read(running: Serving, target: str, **headers: str) -> tuple[HTTPResponse, bytes]:
    connection = HTTPConnection(urlsplit(running.proxy_url).netloc, timeout=PATIENCE)
    try:
        connection.request("GET", target, headers=headers)
        response = connection.getresponse()
        return response, response.read()
    finally:
        connection.close()


def ordered(amazon: SimulatedAmazon, running: Serving, count: int) -> None:
    """Wait until Amazon has so many reports, then let its clock finish them."""
    running.until(lambda: len(amazon.look("reports")["reports"]) == count)
    amazon.control("clock", {"advance": PENDING})


def test_a_client_gets_the_table_when_it_is_complete(amazon: SimulatedAmazon, tmp_path: Path) -> None:
    """503 until then; `refresh=1` and `report --wait` each bring the next one; readers have the old one meanwhile."""
    profiles = amazon.facts["profiles"]["eu"][:1]
    given = configuration(amazon, tmp_path, profiles=profiles)
    given["reports"]["reuse_for"] = 0
    amazon.control("settings", {"strict_reports": True, "report_pending": PENDING, "report_rows": CAMPAIGNS})
    with serving(tmp_path, given) as running:
        running.until(lambda: len(amazon.look("reports")["reports"]) == 2)
        early, problem = read(running, "/-/reports/sp-daily.csv")
        assert (early.status, json.loads(problem)["retryable"]) == (503, True)
        assert int(early.headers["Retry-After"]) > 0
        ordered(amazon, running, 2)
        first = result_of(running, tmp_path)
        got, body = read(running, "/-/reports/sp-daily.csv")
        assert got.headers["X-Ads-Proxy-Report-Stale"] is None
        rows = [*csv.DictReader(io.StringIO(body.decode(), newline=""))]
        assert_complete(first, rows, profiles)
        lines = json.loads(read(running, "/-/reports/sp-daily.json")[1])
        assert [str(row["campaignId"]) for row in rows] == [row["campaignId"] for row in lines]
        assert read(running, "/-/reports/sp-daily.csv", **{"If-None-Match": got.headers["ETag"]})[0].status == 304
        finished(running)
        asked, old = read(running, "/-/reports/sp-daily.csv?refresh=1")
        assert (asked.headers["X-Ads-Proxy-Report"], old) == ("refreshing", body)
        ordered(amazon, running, 4)
        second = result_of(running, tmp_path, first.run)
        finished(running, 2)
        command = ready("report", "sp-daily", "--json", "--wait", "--config", str(running.path))
        environ = {"PATH": "/usr/bin:/bin", "PYTHONPATH": str(ROOT), "HOME": str(tmp_path)}
        waiting = subprocess.Popen(command, env=environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        ordered(amazon, running, 6)
        printed, said = waiting.communicate(timeout=PATIENCE)
        assert (waiting.returncode, len(json.loads(printed))) == (0, second.rows), said
        assert result_of(running, tmp_path, second.run).rows == second.rows
