"""curl in keyed mode: a shell script that lists, updates, and downloads a report and a snapshot."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.clients import environments, flows
from tests.support.programs import require_program

pytestmark = pytest.mark.integration


def test_curl(tmp_path: Path) -> None:
    """curl gets an address and a key, and the simulator refuses nothing."""
    require_program("curl")
    with flows.keyed(tmp_path) as proxy:
        said = flows.run_script("/bin/sh", environments.CLIENTS / "curl" / "flow.sh", rig=proxy, cwd=tmp_path)
        assert said.pop("location").startswith(proxy.proxy_url + "/")
        assert said == {
            "profiles": 3,
            "pages": [10, 10, 5],
            "renamed": "renamed by curl",
            "report_rows": 50,
            "snapshot_rows": 50,
        }
        assert flows.refusals(proxy) == []
