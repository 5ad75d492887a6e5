"""Named reports by the real program, from the simulator's queues onto the disk, through whatever goes wrong between."""

from __future__ import annotations

import contextlib
import csv
import gzip
import io
import json
import re
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from proxy.reports.store import Form, ReportFolder, Result, RunnerStatus, RunResult
from tests.support.patience import PATIENCE
from tests.support.redis_server import KEY, RedisServer
from tests.support.running import Serving, SimulatedAmazon, serving

pytestmark = pytest.mark.integration

QUICK = 0.2
"""Seconds between two polls."""
COLUMNS = ["date", "campaignId", "campaignName", "cost", "sales7d"]
CAMPAIGNS = 10
"""Rows of each day."""


@pytest.fixture
def amazon(amazon: SimulatedAmazon) -> SimulatedAmazon:
    """The simulator as at its start, with small reports."""
    amazon.control("settings", {"report_rows": CAMPAIGNS})
    return amazon


def configuration(amazon: SimulatedAmazon, tmp_path: Path, **changes: Any) -> dict[str, Any]:
    """`sp-daily`, which covers 40 days, so that each profile needs two orders."""
    entry = {
        "account": "acme",
        "profiles": "all",
        "order": {"preset": "spCampaigns", "columns": COLUMNS},
        "days": 40,
        "every": "1h",
        **changes,
    }
    reports = {"poll_interval": QUICK, "keep": {"dir": str(tmp_path / "reports")}, "named": {"sp-daily": entry}}
    return amazon.configuration(reports=reports, state={"url": f"file:{tmp_path / 'state'}", "key": "k" * 32})


def folder(tmp_path: Path) -> ReportFolder:
    return ReportFolder(tmp_path / "reports")


def result_of(running: Serving, tmp_path: Path, after: str = "") -> Result:
    """The newest result, once there is one of another run."""

    def look() -> Result | None:
        result = folder(tmp_path).result("sp-daily")
        return result if result is not None and result.run != after else None

    found: Result = running.until(look)
    return found


def rows_of(tmp_path: Path) -> list[dict[str, str]]:
    """The table, read by a reader that is not ours."""
    opened = folder(tmp_path).open("sp-daily", Form.CSV)
    assert opened is not None
    with opened.file:
        text = gzip.decompress(opened.file.read()).decode()
    return list(csv.DictReader(io.StringIO(text, newline="")))


def history(tmp_path: Path) -> list[RunResult]:
    """How the runs ended, the newest first."""
    status = folder(tmp_path).status("sp-daily")
    return [run.result for run in status.history] if status is not None else []


def status_of(tmp_path: Path) -> RunnerStatus:
    status = folder(tmp_path).status("sp-daily")
    assert status is not None
    return status


def finished(running: Serving, count: int = 1, **values: Any) -> dict[str, Any]:
    return running.told("report_run_finished", count, **values)[-1]


def made(amazon: SimulatedAmazon) -> int:
    """How many reports the simulator made, whatever it answered."""
    return len(amazon.look("reports")["reports"])


def assert_complete(result: Result, rows: list[dict[str, str]], profiles: list[str]) -> None:
    """All profiles, all days, each row once."""
    keys = [(row["profileId"], row["date"], row["campaignId"]) for row in rows]
    assert len(keys) == len(set(keys)) == result.rows == len(profiles) * 40 * CAMPAIGNS
    assert {row["profileId"] for row in rows} == set(profiles) == {profile.id for profile in result.profiles}
    assert result.stale == ()


def test_a_report_is_ordered_kept_and_renewed(amazon: SimulatedAmazon, tmp_path: Path) -> None:
    """All profiles of all regions in one table; what Amazon restates since replaces the rows of before."""
    amazon.control("settings", {"strict_reports": True})
    with serving(tmp_path, configuration(amazon, tmp_path)) as running:
        first = result_of(running, tmp_path)
        told = finished(running)
        rows = rows_of(tmp_path)
        assert_complete(first, rows, [profile for region in amazon.facts["profiles"].values() for profile in region])
        assert (told["result"], told["rows"], told["account"]) == ("success", first.rows, "acme")
        assert rows[0].keys() == {"profileId", "countryCode", "currencyCode", *COLUMNS}
        assert {row["countryCode"] for row in rows} >= {"US", "DE", "JP"}
        assert made(amazon) == 2 * len(first.profiles)
        running.until(lambda: running.metric("report_rows", report="sp-daily") == first.rows)
        assert running.metric("reports_total", report="sp-daily", result="success") == 1
        orders = {"client": "report:sp-daily", "operation_class": "report", "code": "200"}
        assert running.metric("requests_total", **orders) == 2 * len(first.profiles)
        assert 0 <= running.metric("report_age_seconds", report="sp-daily") < 1000
        folder(tmp_path).ask_for_run("sp-daily")
        second = result_of(running, tmp_path, first.run)
        assert second.rows == first.rows
        running.until(lambda: history(tmp_path) == [RunResult.SUCCESS] * 2)
        running.until(lambda: status_of(tmp_path).next_run)
        assert 3000 < (status_of(tmp_path).next_run or 0) - second.completed_at <= 3600


# --- kill -9 ---------------------------------------------------------------------------------------------


def steps_of(tmp_path: Path) -> list[str]:
    """The steps that the journal has, whole lines alone."""
    path = tmp_path / "reports" / "sp-daily" / "run"
    lines = path.read_bytes().split(b"\n")[1:-1] if path.exists() else []
    return [json.loads(line)["step"] for line in lines]


def is_planned(tmp_path: Path, _: SimulatedAmazon) -> bool:
    return (tmp_path / "reports" / "sp-daily" / "run").exists()


def is_asked(tmp_path: Path, _: SimulatedAmazon) -> bool:
    return "asked" in steps_of(tmp_path)


def is_made(tmp_path: Path, amazon: SimulatedAmazon) -> bool:
    """Amazon has made reports whose ids are still unknown: the answers hang."""
    return made(amazon) == 2


def is_ordered(tmp_path: Path, _: SimulatedAmazon) -> bool:
    return steps_of(tmp_path).count("ordered") == 2


def is_downloading(tmp_path: Path, _: SimulatedAmazon) -> bool:
    return any((tmp_path / "reports" / "sp-daily" / "parts").iterdir())


def is_kept(tmp_path: Path, _: SimulatedAmazon) -> bool:
    return "kept" in steps_of(tmp_path)


def is_merging(tmp_path: Path, _: SimulatedAmazon) -> bool:
    return any((tmp_path / "reports" / "sp-daily" / "results").iterdir())


def is_published(tmp_path: Path, _: SimulatedAmazon) -> bool:
    return (tmp_path / "reports" / "sp-daily" / "result.json").exists()


def is_remembered(tmp_path: Path, _: SimulatedAmazon) -> bool:
    return (tmp_path / "reports" / "sp-daily" / "kept.json").exists()


BEFORE_ROWS = (is_planned, is_asked, is_made, is_ordered)
AFTER_ROWS = (is_downloading, is_kept, is_merging, is_published, is_remembered)


@pytest.mark.parametrize("step", [*BEFORE_ROWS, *AFTER_ROWS], ids=lambda step: step.__name__)
def test_a_killed_run_continues_and_orders_nothing_twice(
    amazon: SimulatedAmazon, tmp_path: Path, step: Callable[[Path, SimulatedAmazon], bool]
) -> None:
    """At each step: the next result is complete and unique, and Amazon made each report once."""
    profiles = amazon.facts["profiles"]["eu"][:1]
    given = configuration(amazon, tmp_path, profiles=profiles)
    amazon.control("settings", {"strict_reports": True, "report_pending": 600})
    if step is is_made:
        amazon.fault({"hang": "mid_head"}, 2, path="/reporting/reports", method="POST")
    if step in (is_downloading, is_kept):  # and no further
        amazon.fault({"hang": "mid_body", "abort_after": 100}, 1, target="s3")
    with serving(tmp_path, given) as running:
        if step in AFTER_ROWS:
            running.until(lambda: steps_of(tmp_path).count("ordered") == 2)
            amazon.control("clock", {"advance": 600})
        running.until(lambda: step(tmp_path, amazon))
        running.process.signal(signal.SIGKILL)
        running.process.wait()
    amazon.heal()
    with serving(tmp_path, given) as running:
        if step in BEFORE_ROWS:
            running.until(lambda: steps_of(tmp_path).count("ordered") == 2)
            amazon.control("clock", {"advance": 600})
        result = result_of(running, tmp_path)
        running.until(lambda: not (tmp_path / "reports" / "sp-daily" / "run").exists())
        result = result_of(running, tmp_path)
        assert_complete(result, rows_of(tmp_path), profiles)
        assert made(amazon) == 2
        assert history(tmp_path) == [RunResult.SUCCESS]
        kept = {path.name for path in (tmp_path / "reports" / "sp-daily" / "parts").iterdir()}
        assert len(kept) == 2


# --- Trouble ---------------------------------------------------------------------------------------------


def fail_once(amazon: SimulatedAmazon) -> None:
    amazon.control("reports/outcomes", {"outcome": "failed", "times": 1})


def cut_a_file(amazon: SimulatedAmazon) -> None:
    amazon.control("reports/outcomes", {"outcome": "truncated", "times": 1})


def damage_a_file(amazon: SimulatedAmazon) -> None:
    amazon.control("reports/outcomes", {"outcome": "damaged", "times": 1})


def break_a_download(amazon: SimulatedAmazon) -> None:
    amazon.fault({"abort": "mid_body", "abort_after": 100}, 1, target="s3")


def expire_an_address(amazon: SimulatedAmazon) -> None:
    amazon.fault({"status": 403, "body": "<Error><Code>AccessDenied</Code></Error>"}, 1, target="s3")


def redirect_a_download(amazon: SimulatedAmazon) -> None:
    amazon.fault({"status": 302, "headers": [["Location", amazon.facts["control_url"]]]}, 1, target="s3")


def throttle(amazon: SimulatedAmazon) -> None:
    amazon.control("settings", {"report_spacing": 1})


def throttle_what_was_made(amazon: SimulatedAmazon) -> None:
    settings = {"report_spacing": 1, "report_throttled_but_made": True, "report_pending": 600}
    amazon.control("settings", settings)


def lose_answers(amazon: SimulatedAmazon) -> None:
    amazon.control("settings", {"report_pending": 600})
    amazon.fault({"abort": "mid_head"}, 2, path="/reporting/reports", method="POST")


def fail_orders(amazon: SimulatedAmazon) -> None:
    amazon.fault({"status": 500}, 3, path="/reporting/reports", method="POST")


def fail_polls(amazon: SimulatedAmazon) -> None:
    amazon.fault({"status": 500}, 3, path="/reporting/reports/*", method="GET")


def expire_the_token(amazon: SimulatedAmazon) -> None:
    amazon.control("tokens/expire")


@pytest.mark.parametrize(
    ("trouble", "needed"),
    [
        (fail_once, 3),
        (cut_a_file, 3),
        (damage_a_file, 3),
        (break_a_download, 2),
        (expire_an_address, 2),
        (redirect_a_download, 2),
        (throttle, 2),
        (throttle_what_was_made, 2),
        (lose_answers, 2),
        (fail_orders, 2),
        (fail_polls, 2),
        (expire_the_token, 2),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_a_run_gets_over_trouble(
    amazon: SimulatedAmazon, tmp_path: Path, trouble: Callable[[SimulatedAmazon], None], needed: int
) -> None:
    """The result is complete, and no report was made that was not needed."""
    profiles = amazon.facts["profiles"]["na"][:1]
    amazon.control("settings", {"strict_reports": True})
    with serving(tmp_path, configuration(amazon, tmp_path, profiles=profiles, every="31d")) as running:
        running.until_listed()
        first = result_of(running, tmp_path)
        assert_complete(first, rows_of(tmp_path), profiles)
        finished(running)
        before = made(amazon)
        trouble(amazon)
        folder(tmp_path).ask_for_run("sp-daily")
        if trouble in (throttle_what_was_made, lose_answers):
            # A duplicate is one while Amazon makes the report: until both are known here.
            running.until(lambda: steps_of(tmp_path).count("ordered") == 2)
            amazon.control("clock", {"advance": 600})
        second = result_of(running, tmp_path, first.run)
        assert_complete(second, rows_of(tmp_path), profiles)
        assert made(amazon) - before == needed


def test_a_failing_profile_keeps_its_rows(amazon: SimulatedAmazon, tmp_path: Path) -> None:
    """The failing profile is marked for every reader, and the others are renewed."""
    profiles = amazon.facts["profiles"]["na"][:2]
    amazon.control("settings", {"strict_reports": True})
    with serving(tmp_path, configuration(amazon, tmp_path, profiles=profiles)) as running:
        first = result_of(running, tmp_path)
        amazon.control("reports/outcomes", {"outcome": "failed", "times": None, "profile": profiles[0]})
        folder(tmp_path).ask_for_run("sp-daily")
        second = result_of(running, tmp_path, first.run)
        assert (second.stale, second.rows) == ((profiles[0],), first.rows)
        old, new = second.profiles
        assert old.completed_at == first.profiles[0].completed_at < new.completed_at
        assert len(rows_of(tmp_path)) == first.rows
        told = finished(running, result="partial")
        assert told["errors"] == [f"Profile {profiles[0]}: Amazon failed to make the report: Report generation failed."]
        amazon.control("reports/outcomes", {"outcome": "failed", "times": None})
        folder(tmp_path).ask_for_run("sp-daily")
        finished(running, result="failure")
        third = folder(tmp_path).result("sp-daily")
        assert third is not None
        assert (third.run, third.rows, third.stale) == (second.run, second.rows, tuple(profiles))


def test_a_restart_runs_nothing_twice(amazon: SimulatedAmazon, tmp_path: Path) -> None:
    """A stop during a run waits for nothing."""
    profiles = amazon.facts["profiles"]["na"][:1]
    given = {**configuration(amazon, tmp_path, profiles=profiles), "drain": {"timeout": 10 * PATIENCE}}
    with serving(tmp_path, given) as running:
        first = result_of(running, tmp_path)
        running.until(lambda: history(tmp_path))
    with serving(tmp_path, given) as running:
        running.until_listed()
        running.until(lambda: status_of(tmp_path).next_run)
        amazon.control("settings", {"report_pending": 600})
        folder(tmp_path).ask_for_run("sp-daily")
        running.until(lambda: steps_of(tmp_path).count("ordered") == 2)
        assert made(amazon) == 4
        assert running.stop()[0] == 0
    result = folder(tmp_path).result("sp-daily")
    assert result is not None
    assert result.run == first.run


def test_a_stop_waits_for_no_order_that_waits_for_its_turn(amazon: SimulatedAmazon, tmp_path: Path) -> None:
    """A waiting order is no request that has to end, and the next program sends it."""
    profiles = amazon.facts["profiles"]["na"][:1]
    given = {**configuration(amazon, tmp_path, profiles=profiles), "drain": {"timeout": 10 * PATIENCE}}
    amazon.control("settings", {"strict_reports": True})
    amazon.fault({"status": 429, "headers": [["Retry-After", "600"]]}, 1, path="/reporting/reports", method="POST")
    with serving(tmp_path, given) as running:
        (throttled,) = running.told("request", client="report:sp-daily", status=429)
        assert (throttled["operation"], throttled["attempts"]) == ("createAsyncReport", 1)
        running.until(lambda: running.metric("requests_in_flight") == 1)
        assert running.stop()[0] == 0
        (drained,) = running.events("drain_started")
        assert (drained["in_flight"], running.events("server_stopped")[0]["cut"]) == (0, 0)
    with serving(tmp_path, given) as running:
        assert_complete(result_of(running, tmp_path), rows_of(tmp_path), profiles)
        assert made(amazon) == 2


def test_a_reload_adds_and_removes_reports(amazon: SimulatedAmazon, tmp_path: Path) -> None:
    """What was kept of a report goes with its entry."""
    profiles = amazon.facts["profiles"]["na"][:1]
    given = configuration(amazon, tmp_path, profiles=profiles)
    without = {**given, "reports": {**given["reports"], "named": {}}}
    with serving(tmp_path, without) as running:
        running.write(given)
        result_of(running, tmp_path)
        running.until(lambda: running.metric("report_rows", report="sp-daily"))
        running.write(without)
        running.until(lambda: not folder(tmp_path).path("sp-daily").exists())
        running.until(lambda: "ads_proxy_report_rows{" not in running.admin_get("/metrics")[1].decode())


def test_two_programs_on_one_folder_run_a_report_once(amazon: SimulatedAmazon, tmp_path: Path) -> None:
    """They do so without a shared store as well; when one ends, the other takes over."""
    profiles = amazon.facts["profiles"]["na"][:1]
    given = configuration(amazon, tmp_path, profiles=profiles, every="31d")
    amazon.control("settings", {"report_pending": 600})
    with serving(tmp_path / "one.yaml", {**given, "state": {"url": "memory:"}}) as one:
        one.until(lambda: steps_of(tmp_path).count("ordered") == 2)
        with serving(tmp_path / "two.yaml", {**given, "state": {"url": "memory:"}}) as two:
            two.until_listed()
            one.process.signal(signal.SIGKILL)
            one.process.wait()
            amazon.control("clock", {"advance": 600})
            assert_complete(result_of(two, tmp_path), rows_of(tmp_path), profiles)
            assert made(amazon) == 2


def in_fleet(given: dict[str, Any], server: RedisServer, tmp_path: Path, folder: str) -> dict[str, Any]:
    """The configuration of a replica, with results in a folder of this name."""
    reports = {**given["reports"], "keep": {"dir": str(tmp_path / folder)}}
    return {**given, "reports": reports, "state": {"url": server.url, "key": KEY}}


def test_one_replica_of_a_fleet_runs_a_report(amazon: SimulatedAmazon, tmp_path: Path, server: RedisServer) -> None:
    """The same holds if each has a folder of its own; killed during a run, another one takes over."""
    server.client.flushall()
    profiles = amazon.facts["profiles"]["na"][:1]
    given = configuration(amazon, tmp_path, profiles=profiles, every="31d")
    amazon.control("settings", {"report_pending": 600})
    with serving(tmp_path / "one.yaml", in_fleet(given, server, tmp_path, "reports")) as one:
        one.until(lambda: steps_of(tmp_path).count("ordered") == 2)
        with serving(tmp_path / "two.yaml", in_fleet(given, server, tmp_path, "other")) as two:
            two.until_listed()
            assert not (tmp_path / "other" / "sp-daily").exists()
            one.process.signal(signal.SIGKILL)
            one.process.wait()
            two.until((tmp_path / "other" / "sp-daily" / "run").exists)
            adopted = tmp_path / "other" / "sp-daily" / "run"
            two.until(lambda: adopted.read_bytes().count(b'"ordered"') == 2)
            amazon.control("clock", {"advance": 600})
            two.until(lambda: ReportFolder(tmp_path / "other").result("sp-daily"))
            assert made(amazon) == 2


# --- Many rows -------------------------------------------------------------------------------------------

ROWS = 300_000
"""More than 30 MB of text. Five million rows were measured once: docs/explanation/performance.md."""
MORE = 50 * 1024
"""KiB of memory that a run may take, the processes that it starts included. They take 23 MiB: if one of them held even
the text of all rows, this would be too little."""


def memory_of(pid: int) -> int:
    """The most memory that a process had, in KiB; 0 for one that has ended."""
    try:
        found = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    except OSError:
        return 0
    return int(found[1]) if found else 0


def programs_of(pid: int) -> Iterator[int]:
    """The programs that a process started. One that only begins is still a copy of it, whose memory is the process's
    own."""
    own = Path(f"/proc/{pid}/cmdline").read_bytes()
    for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
        with contextlib.suppress(OSError):  # it has ended
            if Path(f"/proc/{child}/cmdline").read_bytes() != own:
                yield int(child)


@pytest.mark.long
def test_many_rows_take_no_more_memory(amazon: SimulatedAmazon, tmp_path: Path) -> None:
    """The rows pass through, one at a time."""
    profiles = amazon.facts["profiles"]["na"][:1]
    amazon.control("settings", {"report_rows": ROWS // 10})
    given = configuration(amazon, tmp_path, profiles=profiles, days=10)
    with serving(tmp_path, {**given, "reports": {**given["reports"], "named": {}}}) as running:
        running.until_listed()
        pid = running.process.child.pid
        before, most = memory_of(pid), 0
        running.write(given)

        def is_done() -> bool:
            nonlocal most
            most = max(most, memory_of(pid) - before + sum(map(memory_of, programs_of(pid))))
            return bool(folder(tmp_path).version("sp-daily"))

        running.until(is_done, 900)
        result = folder(tmp_path).result("sp-daily")
        assert result is not None
        assert result.rows == ROWS
        assert 0 < most < MORE
