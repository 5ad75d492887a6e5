"""Named reports of version 1 by the real program: orders name ads accounts, and rows come in several files."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest

from proxy.reports.store import Result, RunResult
from proxy.simulator.report_rows import RowPlan
from tests.integration.test_named_reports import (
    CAMPAIGNS,
    configuration,
    cut_a_file,
    expire_the_token,
    fail_once,
    finished,
    folder,
    history,
    made,
    result_of,
    rows_of,
    status_of,
    steps_of,
    throttle,
)
from tests.support.processes import fetch
from tests.support.running import SimulatedAmazon, serving

pytestmark = pytest.mark.integration

FIELDS = ["date.value", "campaign.id", "campaign.name", "campaign.country", "metric.clicks"]
"""Whose values do not depend on the moment of the order."""
OF_SPONSORED_PRODUCTS = {
    "on": {
        "field": "adProduct.value",
        "comparisonOperator": "EQUALS",
        "not": False,
        "values": ["SPONSORED_PRODUCTS"],
    }
}
REPORT = {"format": "PARTITIONED_GZIP_JSON", "query": {"fields": FIELDS, "filter": OF_SPONSORED_PRODUCTS}}
US, CA, UK, DE, JP = (
    "1110000000000001",
    "1110000000000002",
    "2220000000000001",
    "2220000000000002",
    "3330000000000001",
)
"""The profiles that are in ads accounts: those of US and UK are in one, those of DE and JP in another."""
WITHOUT = "9111111111111111111"
"""One that is in none."""
COUNTRIES = {US: "US", CA: "CA", UK: "UK", DE: "DE", JP: "JP"}
DAYS = 40


def in_version_1(amazon: SimulatedAmazon, tmp_path: Path, report: dict[str, Any] = REPORT, **changes: Any) -> Any:
    """`sp-daily` from a file, of every profile that is in an ads account."""
    file = tmp_path / "order.json"
    file.write_text(json.dumps({"reports": [report]}))
    return configuration(
        amazon, tmp_path, **{"order": {"file": str(file)}, "profiles": list(COUNTRIES), "every": "31d", **changes}
    )


@pytest.fixture
def strict(amazon: SimulatedAmazon) -> SimulatedAmazon:
    amazon.control("settings", {"strict_reports": True, "report_parts": 3, "report_rows": CAMPAIGNS})
    return amazon


def assert_as_the_simulator_has_it(result: Result, rows: list[dict[str, str]], profiles: list[str]) -> None:
    """Each row of each profile, in order, and no other."""
    for kept in (each for each in result.profiles if each.id in profiles):
        first, last = date.fromisoformat(kept.first_day), date.fromisoformat(kept.last_day)
        days = tuple(first + timedelta(days=number) for number in range((last - first).days + 1))
        assert len(days) == DAYS
        plan = RowPlan(tuple(FIELDS), days, True, CAMPAIGNS, kept.id, 0.0, text_ids=True, country=COUNTRIES[kept.id])
        added = {"profileId": kept.id, "countryCode": kept.country, "currencyCode": kept.currency}
        expected = [
            {**added, **{name: str(value) for name, value in json.loads(row).items()}}
            for row in plan.encoded(0, plan.rows)
        ]
        assert [row for row in rows if row["profileId"] == kept.id] == expected
    assert len(rows) == result.rows == len(profiles) * DAYS * CAMPAIGNS


def test_all_files_of_all_profiles_become_one_table(strict: SimulatedAmazon, tmp_path: Path) -> None:
    """For an ads account in two countries, each profile has the rows of its own, although both are on one bill."""
    with serving(tmp_path, in_version_1(strict, tmp_path)) as running:
        result = result_of(running, tmp_path)
        assert_as_the_simulator_has_it(result, rows_of(tmp_path), list(COUNTRIES))
        assert result.stale == ()
        assert (result.columns, result.order) == (("profileId", "countryCode", "currencyCode", *FIELDS), REPORT)
        orders = strict.look("reports")["orders"]
        assert {(order["kind"], order["profile"], order["account"]) for order in orders} == {("unified", "", "")}
        assert made(strict) == len(COUNTRIES)
        status, body = running.get("/-/reports/sp-daily.json")
        assert (status, len(json.loads(body))) == (200, result.rows)
        folder(tmp_path).ask_for_run("sp-daily")
        second = result_of(running, tmp_path, result.run)
        assert_as_the_simulator_has_it(second, rows_of(tmp_path), list(COUNTRIES))


def test_one_file_is_enough(strict: SimulatedAmazon, tmp_path: Path) -> None:
    given = in_version_1(strict, tmp_path, {**REPORT, "format": "GZIP_JSON"}, profiles=[CA])
    with serving(tmp_path, given) as running:
        assert_as_the_simulator_has_it(result_of(running, tmp_path), rows_of(tmp_path), [CA])


@pytest.mark.parametrize("path", ["/v2/profiles", "/adsAccounts/list"])
def test_a_region_that_cannot_be_listed_adds_no_rows_of_it(strict: SimulatedAmazon, tmp_path: Path, path: str) -> None:
    """Without the list of eu, nothing shows that the ads account of the profile US is in UK, too."""
    strict.fault({"status": 500}, path=path, region="eu")
    with serving(tmp_path, in_version_1(strict, tmp_path, profiles=[US])) as running:
        assert_as_the_simulator_has_it(result_of(running, tmp_path), rows_of(tmp_path), [US])


def test_a_profile_without_an_ads_account_is_stale(strict: SimulatedAmazon, tmp_path: Path) -> None:
    """The profile is never ordered; the others are."""
    with serving(tmp_path, in_version_1(strict, tmp_path, profiles=[CA, WITHOUT])) as running:
        result = result_of(running, tmp_path)
        assert_as_the_simulator_has_it(result, rows_of(tmp_path), [CA])
        assert (result.stale, made(strict)) == ((WITHOUT,), 1)
        (error,) = finished(running, result="partial")["errors"]
        assert error.startswith(f"Profile {WITHOUT}: Amazon lists no ads account")


def test_an_order_that_amazon_refuses_says_why(strict: SimulatedAmazon, tmp_path: Path) -> None:
    """The error is inside of a 207."""
    query = {"fields": [f"metric.m{number}" for number in range(1001)]}
    with serving(tmp_path, in_version_1(strict, tmp_path, {**REPORT, "query": query}, profiles=[CA])) as running:
        (error,) = finished(running, result="failure")["errors"]
        assert error == f"Profile {CA}: Amazon answered 207: fields must be 1 to 1000 texts."
        assert made(strict) == 0


# --- Trouble ---------------------------------------------------------------------------------------------


def break_one_file(amazon: SimulatedAmazon) -> None:
    amazon.fault({"abort": "mid_body", "abort_after": 100}, 1, target="s3", path="*/part-1.json.gz")


def expire_one_address(amazon: SimulatedAmazon) -> None:
    amazon.fault({"status": 403, "body": "<Error><Code>AccessDenied</Code></Error>"}, 1, target="s3", path="*/part-2*")


def fail_polls(amazon: SimulatedAmazon) -> None:
    errors = [{"index": 0, "errors": [{"code": "INTERNAL_ERROR", "message": "later"}]}]
    body = json.dumps({"success": [], "error": errors})
    amazon.fault({"status": 207, "body": body}, 3, path="/adsApi/v1/retrieve/reports")


@pytest.mark.parametrize(
    ("trouble", "needed"),
    [
        (fail_once, 3),
        (cut_a_file, 3),
        (break_one_file, 2),
        (expire_one_address, 2),
        (throttle, 2),
        (fail_polls, 2),
        (expire_the_token, 2),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_a_run_gets_over_trouble(
    strict: SimulatedAmazon, tmp_path: Path, trouble: Callable[[SimulatedAmazon], None], needed: int
) -> None:
    """The result is complete, and no report was made that was not needed."""
    with serving(tmp_path, in_version_1(strict, tmp_path, profiles=[US, UK])) as running:
        running.until_listed()
        first = result_of(running, tmp_path)
        before = made(strict)
        trouble(strict)
        folder(tmp_path).ask_for_run("sp-daily")
        second = result_of(running, tmp_path, first.run)
        assert_as_the_simulator_has_it(second, rows_of(tmp_path), [US, UK])
        assert made(strict) - before == needed


def test_a_file_that_never_comes_keeps_the_rows_of_before(strict: SimulatedAmazon, tmp_path: Path) -> None:
    """The table is neither without the file's rows nor one of the other files alone."""
    with serving(tmp_path, in_version_1(strict, tmp_path, profiles=[US, UK])) as running:
        first = result_of(running, tmp_path)
        strict.fault({"abort": "mid_body", "abort_after": 100}, None, target="s3", path="*/part-1.json.gz")
        folder(tmp_path).ask_for_run("sp-daily")
        told = finished(running, result="failure")
        assert told["errors"] == [
            f"2 profiles {US}, {UK}: The connection to 127.0.0.1 broke before the answer was complete."
        ]
        kept = folder(tmp_path).result("sp-daily")
        assert kept is not None
        assert (kept.run, kept.stale) == (first.run, (US, UK))
        assert_as_the_simulator_has_it(kept, rows_of(tmp_path), [US, UK])
        strict.heal()
        folder(tmp_path).ask_for_run("sp-daily")
        assert result_of(running, tmp_path, first.run).stale == ()


# --- kill -9 ---------------------------------------------------------------------------------------------


def is_ordered(tmp_path: Path) -> bool:
    return steps_of(tmp_path).count("ordered") == 2


def is_downloading(tmp_path: Path) -> bool:
    return any(path.suffix == ".amazon" for path in (tmp_path / "reports" / "sp-daily" / "parts").iterdir())


def is_kept(tmp_path: Path) -> bool:
    return "kept" in steps_of(tmp_path)


@pytest.mark.parametrize("step", [is_ordered, is_downloading, is_kept], ids=lambda step: step.__name__)
def test_a_killed_run_continues_and_orders_nothing_twice(
    strict: SimulatedAmazon, tmp_path: Path, step: Callable[[Path], bool]
) -> None:
    """With some files there and others not: the next result is complete, and Amazon made each report once."""
    given = in_version_1(strict, tmp_path, profiles=[US, UK])
    strict.control("settings", {"report_pending": 600})
    if step in (is_downloading, is_kept):  # and no further
        times = 2 if step is is_downloading else 1
        strict.fault({"hang": "mid_body", "abort_after": 100}, times, target="s3", path="*/part-1.json.gz")
    with serving(tmp_path, given) as running:
        running.until(lambda: is_ordered(tmp_path))
        if step is not is_ordered:
            strict.control("clock", {"advance": 600})
        running.until(lambda: step(tmp_path))
        running.process.signal(signal.SIGKILL)
        running.process.wait()
    strict.heal()
    with serving(tmp_path, given) as running:
        if step is is_ordered:
            strict.control("clock", {"advance": 600})
        result = result_of(running, tmp_path)
        running.until(lambda: history(tmp_path) == [RunResult.SUCCESS])
        assert_as_the_simulator_has_it(result, rows_of(tmp_path), [US, UK])
        assert made(strict) == 2
        assert {path.suffix for path in (tmp_path / "reports" / "sp-daily" / "parts").iterdir()} == {".gz"}


def test_an_order_whose_answer_was_not_read_is_made_again(strict: SimulatedAmazon, tmp_path: Path) -> None:
    """Version 1 reports no duplicates: two reports are made, and the rows of one are taken."""
    given = in_version_1(strict, tmp_path, profiles=[US, UK])
    strict.fault({"hang": "mid_head"}, 2, path="/adsApi/v1/create/reports")
    with serving(tmp_path, given) as running:
        running.until(lambda: made(strict) == 2)
        running.process.signal(signal.SIGKILL)
        running.process.wait()
    strict.heal()
    with serving(tmp_path, given) as running:
        result = result_of(running, tmp_path)
        assert_as_the_simulator_has_it(result, rows_of(tmp_path), [US, UK])
        assert made(strict) == 4


def test_a_restart_runs_nothing_twice(strict: SimulatedAmazon, tmp_path: Path) -> None:
    given = in_version_1(strict, tmp_path, profiles=[CA])
    with serving(tmp_path, given) as running:
        first = result_of(running, tmp_path)
        running.until(lambda: history(tmp_path))
    with serving(tmp_path, given) as running:
        running.until_listed()
        running.until(lambda: status_of(tmp_path).next_run)
        result = folder(tmp_path).result("sp-daily")
        assert result is not None
        assert (result.run, made(strict)) == (first.run, 1)
        assert fetch(f"{running.proxy_url}/-/reports/sp-daily.csv")[0] == 200
