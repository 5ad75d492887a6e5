"""Programs that people use, each run twice at once: both runs order the same report.

Amazon refuses the second order with 425, and the run fails. With `duplicates: reuse` the proxy gives both the report
of one order.
"""

from __future__ import annotations

import datetime
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest

from tests.clients import environments, flows
from tests.support.processes import until

if TYPE_CHECKING:
    from pathlib import Path

    from tests.integration.rig import Rig

pytestmark = pytest.mark.integration

HOUR = 3600
STREAM = "sponsored_products_campaigns_report_stream"
REUSE = {"reports": {"duplicates": "reuse", "poll_interval": 1}}
CONFIGURATIONS: dict[str, dict[str, Any]] = {"pass": {}, "reuse": REUSE}
"""What is written into the proxy's configuration."""


def airbyte(proxy: Rig, folder: Path) -> tuple[int, str]:
    """Airbyte's connector: how many rows it read, and what it says of a stream that failed."""
    records, errors = flows.read_with_airbyte(proxy, folder, STREAM)
    return records[STREAM], " ".join(errors)


def python_amazon_ad_api(proxy: Rig, folder: Path) -> tuple[int, str]:
    """The rows that this library fetched, or the status of the error that it raised."""
    python = environments.python_environment("python_amazon_ad_api")
    script = environments.CLIENTS / "python_amazon_ad_api" / "report.py"
    yesterday = datetime.datetime.now(datetime.UTC).date() - datetime.timedelta(days=1)
    given = {"PROFILE": flows.FIRST_PROFILE, "START_DATE": yesterday.isoformat()}
    said = flows.run_script(python, script, rig=proxy, cwd=folder, **given)
    return said["records"], " ".join(said["errors"])


def totals(proxy: Rig) -> dict[str, int]:
    """The orders that reached the simulator, by result."""
    found: dict[str, int] = flows.asked(proxy, "/control/reports")["totals"]
    return found


@pytest.mark.parametrize("duplicates", CONFIGURATIONS)
@pytest.mark.parametrize(("run", "refusal"), [(airbyte, "duplicate report requests"), (python_amazon_ad_api, "425")])
def test_two_runs_order_the_same_report(tmp_path: Path, run: Any, refusal: str, duplicates: str) -> None:
    """One order reaches Amazon for both, and both get all rows; or the second run fails as it does without a proxy."""
    folders = [tmp_path / name for name in ("first", "second")]
    for folder in folders:
        folder.mkdir()
    with flows.keyed(tmp_path, lifetime=100 * HOUR, strict=False, **CONFIGURATIONS[duplicates]) as proxy:
        proxy.control("/control/settings", {"report_pending": HOUR, "strict_reports": True})
        with ThreadPoolExecutor(2) as both:
            runs = [both.submit(run, proxy, folder) for folder in folders]
            # Airbyte orders again after a 425, so the first report must not be ready before the second run gave up.
            ready = {"pass": lambda: any(each.done() for each in runs), "reuse": lambda: totals(proxy)["created"]}
            until(ready[duplicates], lambda: totals(proxy), 900)
            proxy.control("/control/clock", {"advance": HOUR})
            (rows, said), (other_rows, other_said) = sorted((each.result() for each in runs), reverse=True)
        assert rows >= 50
        assert said == ""
        if duplicates == "pass":
            assert (other_rows, refusal in other_said) == (0, True)
            assert totals(proxy)["duplicate"] >= 1
        else:
            assert (other_rows, other_said) == (rows, "")
            assert totals(proxy)["duplicate"] == 0
        assert totals(proxy)["created"] == 1
