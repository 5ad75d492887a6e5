"""Named reports as the running program serves them: from the folder, in front of clients with limits."""

from __future__ import annotations

import gzip
import hashlib
import json
import time
from pathlib import Path
from typing import Any

import pytest

from proxy.reports.journal import KeptRows, write_kept
from proxy.reports.store import ReportFolder
from tests.integration.rig import Rig, rig
from tests.support.named_reports import ROWS, csv_of, publish, tell
from tests.support.processes import fetch, until
from tests.support.running import replace_file

pytestmark = pytest.mark.integration


def reports_of(folder: Path) -> dict[str, Any]:
    """Two reports that are not due, whose results are there."""
    kept = ReportFolder(folder)
    named = {}
    for name in ("sp-daily", "sb-daily"):
        publish(kept, name, account="acme", completed=time.time() - 3600)
        tell(kept, name, next_run=time.time() + 86400)
        write_kept(kept.path(name), KeptRows(ran={"": time.time() - 3600}))
        named[name] = {"account": "acme", "order": {"preset": "spCampaigns"}, "every": "30d"}
    return {"keep": {"dir": str(folder)}, "reuse_for": 60, "named": named}


def key_of(name: str) -> dict[str, str]:
    return {"X-Ads-Proxy-Key": f"key-of-{name}"}


def client(name: str, **limits: Any) -> dict[str, Any]:
    return {"name": name, "key_sha256": hashlib.sha256(f"key-of-{name}".encode()).hexdigest(), **limits}


def read(running: Rig, target: str, **headers: str) -> tuple[int, bytes]:
    return fetch(running.proxy_url + target, headers=headers)


def test_a_client_reads_its_reports(tmp_path: Path) -> None:
    """In each form, and no others; a new result is served at once, whichever process answers."""
    clients = [client("excel", reports=["sp-*"], profiles=["11"], access="report"), client("free")]
    section = reports_of(tmp_path / "kept")
    with rig(tmp_path, clients=clients, reports=section) as running:
        excel = key_of("excel")
        assert read(running, "/-/reports/sp-daily.csv", **excel) == (200, csv_of())
        assert json.loads(read(running, "/-/reports/sp-daily.json", **excel)[1]) == [*ROWS]
        status, coded = read(running, "/-/reports/sp-daily.csv", **excel, **{"Accept-Encoding": "gzip"})
        assert (status, gzip.decompress(coded)) == (200, csv_of())
        listed = json.loads(read(running, "/-/reports", **excel)[1])["reports"]
        assert [(each["name"], each["rows"]) for each in listed] == [("sp-daily", 2)]
        hidden, unknown = (read(running, f"/-/reports/{name}.csv", **excel) for name in ("sb-daily", "nothing"))
        assert hidden[0] == unknown[0] == 404
        assert read(running, "/-/reports/sb-daily.csv", **key_of("free"))[0] == 200
        assert read(running, "/-/reports/sp-daily.csv")[0] == 401
        publish(ReportFolder(tmp_path / "kept"), "sp-daily", "r2", account="acme", csv=csv_of(ROWS[:1]))
        for _ in range(4):
            assert read(running, "/-/reports/sp-daily.csv", **excel) == (200, csv_of(ROWS[:1]))
        line = running.log.wait_for(lambda each: each.get("path") == "/-/reports/sp-daily.csv" and each["client"])
        assert (line["client"], line["operation"], line["account"]) == ("excel", "readNamedReport", "acme")


def test_a_reload_changes_what_is_served(tmp_path: Path) -> None:
    """A report that is taken out of the configuration is unknown, although its rows may still lie there."""
    section = reports_of(tmp_path / "kept")
    with rig(tmp_path, reports=section) as running:
        assert read(running, "/-/reports/sb-daily.csv")[0] == 200
        path = next(path for path in tmp_path.glob("*.y*ml") if "sb-daily" in path.read_text())
        changed = path.read_text().replace('"sb-daily"', '"sb-other"').replace("sb-daily:", "sb-other:")
        replace_file(path, changed)
        until(lambda: read(running, "/-/reports/sb-daily.csv")[0] == 404)
        assert read(running, "/-/reports/sp-daily.csv")[0] == 200
