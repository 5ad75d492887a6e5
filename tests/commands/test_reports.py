"""`reports` and `report`: what lies in the folder, in words, as rows, and as exit codes."""

from __future__ import annotations

import io
import json
import re
import subprocess
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from proxy.commands.kept_reports import configured_reports
from proxy.commands.report import INTERVAL, TAKEN_WITHIN, NextResult
from proxy.errors import StateError
from proxy.reports.overview import NamedReports
from proxy.reports.store import ReportFolder, Run, RunProgress, RunResult, State, locked
from tests.support.named_reports import COMPLETED, ROWS, csv_of, failed_run, publish, tell
from tests.support.ready_program import run_ready
from tests.support.running import SimulatedAmazon, simulated_amazon

CONFIG = """
accounts: {acme: {client_id: x, client_secret: s}}
reports:
  keep: {dir: kept}
  named:
    sp-daily: {account: acme, order: {preset: spCampaigns}, at: "06:00"}
    sb-daily: {account: acme, order: {preset: sbCampaigns}, every: 6h}
"""


@pytest.fixture
def folder(tmp_path: Path) -> ReportFolder:
    (tmp_path / "proxy.yaml").write_text(CONFIG)
    return ReportFolder(tmp_path / "kept")


@pytest.fixture
def named(folder: ReportFolder) -> NamedReports:
    return NamedReports(folder, {"sp-daily": "acme"}, 900.0)


def asked(tmp_path: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return run_ready(tmp_path, [*arguments, "--config", "proxy.yaml"], {"COLUMNS": "200"})


# --- reports


def test_each_report_is_a_row(tmp_path: Path, folder: ReportFolder) -> None:
    """With its age, rows, next run and stale profiles; one without a result says what it waits for."""
    publish(folder, "sp-daily", account="acme", stale=tuple(map(str, range(21, 28))))
    tell(folder, "sp-daily", next_run=4_000_000_000.0)
    ended = asked(tmp_path, "reports")
    head, second, first, why = ended.stdout.splitlines()
    assert head.split() == ["report", "account", "state", "age", "rows", "next", "run", "stale", "profiles"]
    assert second.split() == ["sb-daily", "acme", "new", *"----"]
    assert first.startswith("sp-daily")
    assert " idle " in first
    assert first.endswith("21, 22, 23, 24, 25 and 2 more")
    assert why == "sb-daily: No proxy with this configuration has begun it: start or reload one."
    assert ended.returncode == 1


def test_the_list_is_json_too(tmp_path: Path, folder: ReportFolder) -> None:
    """The JSON is the one that clients read at /-/reports."""
    for name in ("sp-daily", "sb-daily"):
        publish(folder, name, account="acme")
        tell(folder, name)
    ended = asked(tmp_path, "reports", "--json")
    assert [(each["name"], each["rows"]) for each in json.loads(ended.stdout)] == [("sb-daily", 2), ("sp-daily", 2)]
    assert ended.returncode == 0


# --- report


@pytest.mark.parametrize("option", [(), ("--csv",)])
def test_a_report_is_printed_as_csv(tmp_path: Path, folder: ReportFolder, option: tuple[str, ...]) -> None:
    """By itself, byte for byte."""
    publish(folder, "sp-daily", account="acme")
    ended = asked(tmp_path, "report", "sp-daily", *option)
    assert ended.stdout.splitlines() == csv_of().decode().splitlines()
    assert (ended.stderr, ended.returncode) == ("", 0)


def test_a_report_is_printed_as_json(tmp_path: Path, folder: ReportFolder) -> None:
    """One array; profiles with older rows are a note on standard error."""
    publish(folder, "sp-daily", account="acme", stale=("21",))
    ended = asked(tmp_path, "report", "sp-daily", "--json")
    assert json.loads(ended.stdout) == [*ROWS]
    assert "profiles are older, because their last order failed: 21" in ended.stderr
    assert ended.returncode == 0


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (("sp-dayly",), 2, "NAME: unknown report; did you mean 'sp-daily'?"),
        (("x",), 2, "NAME: unknown report; the reports are: sb-daily, sp-daily"),
        (("sp-daily", "--csv", "--json"), 2, "--csv and --json: give one of them"),
        (("sp-daily", "--dry-run", "--wait"), 2, "--dry-run: prints orders; leave out --wait, --csv and --json"),
        (("sp-daily",), 1, "sp-daily: no complete result yet. No proxy with this configuration has begun it"),
    ],
)
def test_what_cannot_be_printed_says_why(
    tmp_path: Path, folder: ReportFolder, arguments: tuple[str, ...], code: int, says: str
) -> None:
    """In one line, with nothing on standard output."""
    ended = asked(tmp_path, "report", *arguments)
    assert (ended.stdout, ended.returncode) == ("", code)
    assert says in ended.stderr
    assert ended.stderr.count("\n") == 1


def test_rows_of_a_former_account_are_not_printed(tmp_path: Path, folder: ReportFolder) -> None:
    """The report has another account now."""
    publish(folder, "sp-daily", account="former")
    assert (asked(tmp_path, "report", "sp-daily").returncode, asked(tmp_path, "report", "sp-daily").stdout) == (1, "")


@pytest.mark.parametrize("command", [("reports",), ("report", "sp-daily")])
def test_a_configuration_without_reports_is_an_error(tmp_path: Path, command: tuple[str, ...]) -> None:
    """Which names the key."""
    (tmp_path / "proxy.yaml").write_text("accounts: {acme: {client_id: x, client_secret: s}}")
    ended = asked(tmp_path, *command)
    assert ended.returncode == 2
    assert "reports.named: no report is configured" in ended.stderr


def test_a_folder_of_another_user_is_an_error(
    tmp_path: Path, folder: ReportFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The command prints no empty list."""
    publish(folder, "sp-daily", account="acme")
    monkeypatch.setattr("os.access", lambda path, mode: path != folder.directory)
    with pytest.raises(StateError, match="cannot be read by this user"):
        configured_reports(tmp_path / "proxy.yaml", None)


def test_a_folder_in_one_of_another_user_is_an_error(
    tmp_path: Path, folder: ReportFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The command cannot even learn whether the folder exists."""
    real = Path.exists

    def refuse(path: Path, **named: Any) -> bool:
        if path == folder.directory:
            raise PermissionError(13, "Permission denied")
        return real(path, **named)

    monkeypatch.setattr("os.access", lambda path, mode: path != folder.directory)
    monkeypatch.setattr(Path, "exists", refuse)
    with pytest.raises(StateError, match="cannot be read by this user"):
        configured_reports(tmp_path / "proxy.yaml", None)


def test_a_damaged_result_is_an_error(tmp_path: Path, folder: ReportFolder) -> None:
    """Exit code 1, although some rows were printed."""
    result = publish(folder, "sp-daily", account="acme")
    path = folder.path("sp-daily") / "results" / next(iter(result.files.values())).name
    path.write_bytes(path.read_bytes()[:-9])
    ended = asked(tmp_path, "report", "sp-daily")
    assert ended.returncode == 1
    assert "cut off" in ended.stderr


# --- --wait


class Clock:
    """A clock that only pauses move; each pause runs the next step."""

    def __init__(self, *steps: Callable[[], object]) -> None:
        self.now = COMPLETED
        self.steps = [*steps]
        self.pauses = 0

    def __call__(self) -> float:
        return self.now

    def pause(self, seconds: float) -> None:
        self.now += seconds
        self.pauses += 1
        if self.steps:
            self.steps.pop(0)()


def waited(named: NamedReports, *steps: Callable[[], object]) -> tuple[str, int]:
    clock = Clock(*steps)
    return NextResult(named, "sp-daily", clock, clock.pause).wait(), clock.pauses


def end_run(folder: ReportFolder, run: str) -> None:
    """What a proxy does last: the result first, and then the status."""
    publish(folder, "sp-daily", run, account="acme")
    tell(folder, "sp-daily", history=(Run(run, COMPLETED, COMPLETED, RunResult.SUCCESS, len(ROWS)),))


def test_wait_asks_for_a_run_and_ends_with_its_result(folder: ReportFolder, named: NamedReports) -> None:
    """The present result is not the next one, and a status is none."""
    publish(folder, "sp-daily", account="acme")
    steps = (
        lambda: folder.take_request("sp-daily") and tell(folder, "sp-daily", State.RUNNING),
        lambda: tell(folder, "sp-daily", State.RUNNING, progress=RunProgress(4, 4, 2)),
        lambda: end_run(folder, "r2"),
    )
    assert waited(named, *steps) == ("", 3)


def test_wait_shows_on_a_terminal_how_far_the_run_is(
    folder: ReportFolder, named: NamedReports, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A line that changes: asked for, begun, ordered, and what is here of it."""
    screen = Console(file=io.StringIO(), force_terminal=True, width=80)
    monkeypatch.setattr("proxy.commands.consoles.remarks", lambda: screen)
    steps = (
        lambda: folder.take_request("sp-daily") and tell(folder, "sp-daily", State.RUNNING),
        lambda: tell(folder, "sp-daily", State.RUNNING, progress=RunProgress(9, 3, 0)),
        lambda: tell(folder, "sp-daily", State.RUNNING, progress=RunProgress(9, 9, 4)),
        lambda: end_run(folder, "r2"),
    )
    assert waited(named, *steps) == ("", 4)
    assert isinstance(screen.file, io.StringIO)
    said = re.findall(r"sp-daily: ([A-Z]+(?:, \d of \d)?)", screen.file.getvalue())
    assert list(dict.fromkeys(said)) == ["ASKED", "RUNNING", "ORDERING, 3 of 9", "PROCESSING, 4 of 9"]


def test_wait_says_nothing_of_it_elsewhere(
    folder: ReportFolder, named: NamedReports, capsys: pytest.CaptureFixture[str]
) -> None:
    """What a script keeps of standard error are problems."""
    tell(folder, "sp-daily", State.RUNNING, progress=RunProgress(9, 9, 4))
    assert waited(named, lambda: end_run(folder, "r1")) == ("", 1)
    assert capsys.readouterr() == ("", "")


def test_wait_takes_the_run_that_is_under_way(folder: ReportFolder, named: NamedReports) -> None:
    """The command orders no run of its own."""
    tell(folder, "sp-daily", State.RUNNING)
    assert waited(named, lambda: end_run(folder, "r1")) == ("", 1)
    assert not folder.run_is_asked_for("sp-daily")


def test_wait_ends_with_a_run_whose_result_is_there_already(folder: ReportFolder, named: NamedReports) -> None:
    """The proxy had put it there, but not told so, when the wait began."""
    publish(folder, "sp-daily", account="acme")
    tell(folder, "sp-daily", State.RUNNING)
    assert waited(named, lambda: end_run(folder, "r1"), lambda: pytest.fail("it waits for ever")) == ("", 1)


def test_wait_ends_with_a_run_that_failed(folder: ReportFolder, named: NamedReports) -> None:
    """An earlier failure is none of its business."""
    earlier = Run("r-1", 1.0, 2.0, RunResult.FAILURE, 0, ("Earlier.",))
    tell(folder, "sp-daily", State.RUNNING, history=(earlier,))
    failed = failed_run(COMPLETED)
    problem, pauses = waited(named, lambda: None, lambda: tell(folder, "sp-daily", history=(failed, earlier)))
    assert (problem, pauses) == ("sp-daily: the run failed. Profile 12: Amazon answered 500.", 2)


def test_wait_says_that_no_proxy_runs(folder: ReportFolder, named: NamedReports) -> None:
    """No proxy took the request; it stays for the proxy that starts next."""
    publish(folder, "sp-daily", account="acme")
    problem, pauses = waited(named)
    assert "no running proxy took the request within 30 s" in problem
    assert pauses == TAKEN_WITHIN / INTERVAL + 1
    assert folder.run_is_asked_for("sp-daily")


def test_wait_says_what_a_run_waits_for(folder: ReportFolder, named: NamedReports) -> None:
    """A proxy runs, but cannot begin."""
    why = "Waits for the list of profiles of the account acme."
    tell(folder, "sp-daily", waits_for=why)
    problem, _ = waited(named)
    assert problem.startswith(f"sp-daily: no run began within 30 s. {why} If no proxy runs, start one")
    assert folder.run_is_asked_for("sp-daily")


def test_wait_ends_if_the_proxy_stops_during_the_run(folder: ReportFolder, named: NamedReports) -> None:
    """The status still says that it runs; another proxy may continue it, which takes a moment."""
    tell(folder, "sp-daily", State.RUNNING)
    with ExitStack() as proxy:
        assert proxy.enter_context(locked(folder.path("sp-daily")))
        stops = (*[lambda: None] * 40, proxy.close, *[lambda: None] * 40, lambda: pytest.fail("it waits for ever"))
        problem, pauses = waited(named, *stops)
    assert "the run was cut off, and no proxy continued it within 30 s" in problem
    assert pauses == 41 + TAKEN_WITHIN / INTERVAL


def test_wait_ends_if_the_next_proxy_drops_the_run(folder: ReportFolder, named: NamedReports) -> None:
    """The report's order has changed: the next run begins as planned, hours later."""
    tell(folder, "sp-daily", State.RUNNING)
    steps = (lambda: tell(folder, "sp-daily"), *[lambda: None] * 40, lambda: pytest.fail("it waits for ever"))
    problem, _ = waited(named, *steps)
    assert "the run was cut off, and no proxy continued it within 30 s" in problem


# --- --dry-run


def planned(tmp_path: Path, dry: str, **changes: object) -> tuple[subprocess.CompletedProcess[str], SimulatedAmazon]:
    """`report NAME --dry-run` in front of the simulator, with these changes of the report."""
    report = {"account": "acme", "order": {"preset": "spCampaigns"}, "days": 40, "every": "6h", **changes}
    with simulated_amazon() as amazon:
        settings = amazon.configuration(
            reports={"keep": {"dir": str(tmp_path / "kept")}, "named": {"sp-daily": report}}
        )
        (tmp_path / "proxy.yaml").write_text(json.dumps(settings))
        return asked(tmp_path, "report", dry, "--dry-run"), amazon


def test_a_dry_run_prints_the_orders_and_sends_none(tmp_path: Path) -> None:
    """One for each profile and stretch of 31 days, as they would be sent; the folder is not made."""
    ended, amazon = planned(tmp_path, "sp-daily")
    orders = [json.loads(line) for line in ended.stdout.splitlines()]
    every = {profile for profiles in amazon.facts["profiles"].values() for profile in profiles}
    assert {order["profileId"] for order in orders} == every
    assert len(orders) == 2 * len(every)
    assert orders[0]["order"]["configuration"]["reportTypeId"] == "spCampaigns"
    assert orders[0]["order"]["startDate"] < orders[0]["order"]["endDate"]
    assert f"{len(orders)} orders for {len(every)} profiles. Nothing was ordered." in ended.stderr
    assert ended.returncode == 0
    assert not (tmp_path / "kept").exists()


def test_a_dry_run_of_version_1_names_ads_accounts(tmp_path: Path) -> None:
    """The output also has profiles without one."""
    report = {"format": "GZIP_JSON", "query": {"fields": ["date.value", "campaign.id", "metric.clicks"]}}
    (tmp_path / "order.json").write_text(json.dumps({"reports": [report]}))
    shared, alone, without = "1110000000000001", "1110000000000002", "9111111111111111111"
    order = {"file": str(tmp_path / "order.json")}
    ended, amazon = planned(tmp_path, "sp-daily", order=order, profiles=[shared, alone, without])
    first, second = (json.loads(line) for line in ended.stdout.splitlines())
    accounts = list(amazon.facts["ads_accounts"])
    assert [(each["profileId"], each["order"]["accessRequestedAccounts"]) for each in (first, second)] == [
        (shared, [{"advertiserAccountId": accounts[0]}]),
        (alone, [{"advertiserAccountId": accounts[1]}]),
    ]
    (sent,) = first["order"]["reports"]
    assert sent["query"]["filter"]["on"]["values"] == ["US"]
    assert "filter" not in second["order"]["reports"][0]["query"]
    assert f"sp-daily: profile {without}: Amazon lists no ads account" in ended.stderr
    assert "note: 2 orders for 2 profiles. Nothing was ordered." in ended.stderr
    assert ended.returncode == 1


def test_a_dry_run_names_profiles_that_are_not_listed(tmp_path: Path) -> None:
    ended, _ = planned(tmp_path, "sp-daily", profiles=["4711"])
    assert ended.returncode == 1
    assert "sp-daily: profile 4711 is not listed for account acme" in ended.stderr
    assert ended.stdout == ""
