"""Results of named reports on disk, as the runner leaves them. What is right is for the tests to say."""

from __future__ import annotations

import functools
import gzip
import hashlib
import json
from typing import Any

from proxy.reports.store import Form, ProfileRows, ReportFolder, Result, ResultFile, Run, RunnerStatus, RunResult, State

COMPLETED = 1_760_000_000.0
"""2025-10-09 08:53:20 UTC."""
COLUMNS = ("profileId", "countryCode", "currencyCode", "date", "campaignId", "cost")
ROWS = (
    {"profileId": "11", "countryCode": "DE", "currencyCode": "EUR", "date": "2025-10-08", "campaignId": "1", "cost": 2},
    {"profileId": "12", "countryCode": "FR", "currencyCode": "EUR", "date": "2025-10-08", "campaignId": "2", "cost": 3},
)


def csv_of(rows: tuple[dict[str, Any], ...] = ROWS) -> bytes:
    lines = [",".join(COLUMNS), *(",".join(str(row[column]) for column in COLUMNS) for row in rows)]
    return "".join(f"{line}\r\n" for line in lines).encode()


def lines_of(rows: tuple[dict[str, Any], ...] = ROWS) -> bytes:
    return "".join(f"{json.dumps(row)}\n" for row in rows).encode()


@functools.lru_cache(maxsize=8)
def _compressed(content: bytes) -> tuple[bytes, str]:
    """Content as gzip, and its SHA-256. Many tests publish the same, some of them 16 MB."""
    return gzip.compress(content, 1, mtime=0), hashlib.sha256(content).hexdigest()


def publish(folder: ReportFolder, name: str, run: str = "r1", **said: Any) -> Result:
    """A result of account `default`, or with what is `said`; `csv` and `jsonl` are its contents, `stale` the ids of
    profiles whose last order failed."""
    account, stale = said.get("account", "default"), said.get("stale", ())
    contents = {Form.CSV: said.get("csv", csv_of()), Form.JSONL: said.get("jsonl", lines_of())}
    results = folder.adopt(name, account) / "results"
    files = {}
    for form, content in contents.items():
        stored, digest = _compressed(content)
        (results / f"{run}.{form}.gz").write_bytes(stored)
        files[form] = ResultFile(f"{run}.{form}.gz", len(content), digest, len(stored))
    profiles = tuple(
        ProfileRows(profile, "DE", "EUR", "2025-09-09", "2025-10-08", 1, COMPLETED, stale=profile in stale)
        for profile in ("11", "12", *stale)
    )
    completed = said.get("completed", COMPLETED)
    days = "2025-09-09", "2025-10-08"
    result = Result(name, run, account, completed, COLUMNS, said.get("rows", len(ROWS)), *days, profiles, files)
    folder.publish(result)
    return result


def tell(folder: ReportFolder, name: str, state: State = State.IDLE, **said: Any) -> RunnerStatus:
    """A status with what is `said`."""
    status = RunnerStatus(name, state, said.pop("updated_at", COMPLETED), **said)
    folder.tell(status)
    return status


def failed_run(ended_at: float) -> Run:
    return Run("r0", ended_at - 60, ended_at, RunResult.FAILURE, 0, ("Profile 12: Amazon answered 500.",))
