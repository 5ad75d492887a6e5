"""Named reports in the console: what is shown of each, and the button that has one run."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from proxy.admin.overview import MAX_RUNS, reports
from proxy.admin.view import AccessRules
from proxy.reports.overview import NamedReports, ReportOverview, ShownState, look_at_all
from proxy.reports.store import ReportFolder, ReportFolderError, State
from tests.admin.fixtures import KEY, FakeProgram, administer
from tests.support.named_reports import COMPLETED, failed_run, publish, tell

PROOF = {"X-Ads-Proxy-Console": "1"}
NEW = ReportOverview("sp-daily", "acme", ShownState.NEW, None, None, None)


async def test_each_report_is_shown_with_its_history(tmp_path: Path) -> None:
    """State, result, stale profiles, the next run and the last ones; a report without a result says why."""
    folder = ReportFolder(tmp_path / "reports")
    publish(folder, "sp-daily", stale=("21", "22", "23", "24"))
    tell(folder, "sp-daily", State.RUNNING, next_run=COMPLETED, history=(failed_run(COMPLETED),) * (MAX_RUNS + 1))
    kept = NamedReports(folder, {"sp-daily": "default", "sb-daily": "default"}, 900.0)
    found = look_at_all(kept, kept.accounts, time.time())
    async with administer(FakeProgram(reports=found)) as admin, admin.ask("/console/state") as answer:
        sb, sp = json.loads(await answer.text())["reports"]
    assert (sb["state"], sb["rows"], sb["completed_at"], sb["runs"]) == ("new", None, None, [])
    assert "has begun it" in sb["waits_for"]
    assert (sp["state"], sp["under_way"], sp["rows"]) == ("running", True, 2)
    assert sp["completed_at"] == sp["next_run"] == "2025-10-09T08:53:20.000Z"
    assert (sp["stale"], sp["stale_count"]) == (["21", "22", "23"], 4)
    assert len(sp["runs"]) == MAX_RUNS
    assert (sp["runs"][0]["result"], sp["runs"][0]["error"]) == ("failure", "Profile 12: Amazon answered 500.")


def test_a_program_without_reports_shows_none() -> None:
    assert reports(()) == []


@pytest.mark.parametrize(
    ("path", "headers", "status"),
    [
        ("/console/reports/sp-daily/run", PROOF, 200),
        ("/console/reports/sp-daily/run", {}, 403),
        ("/console/reports/sp-daily/run", {**PROOF, "Origin": "http://evil.example"}, 403),
        ("/console/reports/sp-daily/run", {**PROOF, "Sec-Fetch-Site": "cross-site"}, 403),
        ("/console/reports/other/run", PROOF, 404),
        ("/console/reports/..%2fsp-daily/run", PROOF, 404),
    ],
)
async def test_a_run_is_asked_for_by_the_console_alone(path: str, headers: dict[str, str], status: int) -> None:
    """With the protections of the other buttons."""
    program = FakeProgram(reports=(NEW,))
    async with administer(program) as admin:
        assert await admin.status(path, "POST", headers) == status
        assert await admin.status("/console/reports/sp-daily/run") == 405
    assert program.runs == (["sp-daily"] if status == 200 else [])


async def test_a_run_needs_the_admin_key() -> None:
    program = FakeProgram(reports=(NEW,), rules=AccessRules(KEY, True, "127.0.0.1"))
    async with administer(program) as admin:
        assert await admin.status("/console/reports/sp-daily/run", "POST", PROOF) == 401
        shown = {**PROOF, "Authorization": f"Bearer {KEY.reveal()}"}
        assert await admin.status("/console/reports/sp-daily/run", "POST", shown) == 200


async def test_a_folder_that_cannot_be_used_says_what_to_do() -> None:
    program = FakeProgram(reports=(NEW,), run_failure=ReportFolderError("The disk is full; free some space."))
    async with (
        administer(program) as admin,
        admin.ask("/console/reports/sp-daily/run", "POST", PROOF) as answer,
    ):
        assert answer.status == 502
        assert json.loads(await answer.text())["detail"] == "The disk is full; free some space."
