"""The client in JavaScript that other people wrote, in keyed mode; it logs in by HTTP Basic."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.clients import environments, flows
from tests.support.programs import require_program

pytestmark = [pytest.mark.integration, pytest.mark.newman]


def test_scaleleap_sdk(tmp_path: Path) -> None:
    """The SDK does its own login, a paging list, an update, a v2 report's rows, and a snapshot; the simulator refuses
    nothing."""
    node = require_program("node")
    place = environments.node_environment("scaleleap")
    script = environments.CLIENTS / "scaleleap" / "flow.js"
    with flows.keyed(tmp_path) as proxy:
        said = flows.run_script(node, script, rig=proxy, cwd=tmp_path, CLIENT_MODULES=str(place))
        assert said.pop("location").startswith(proxy.proxy_url + "/")
        assert said.pop("report_location").startswith(proxy.proxy_url + "/")
        assert said == {
            "profiles": 3,
            "pages": [10, 10, 5],
            "updated": "SUCCESS",
            "renamed": "renamed by scaleleap",
            "report_rows": 50,
            "snapshot_rows": 50,
        }
        assert flows.refusals(proxy) == []
