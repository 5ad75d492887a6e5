"""Clients in Python that other people wrote, and plain HTTP libraries, in keyed mode: each does its real work.

Every test asserts twice: that the client got what it wanted, and that the simulator, which is as strict as Amazon,
refused nothing.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.clients import environments, flows

pytestmark = pytest.mark.integration

HERE = environments.CLIENTS
ROWS = 50


@pytest.mark.parametrize("library", ["requests", "httpx"])
def test_a_plain_http_library(tmp_path: Path, library: str) -> None:
    """With a base URL and a key: profiles, pages, an update, a report's rows, and a snapshot by its location."""
    python = environments.python_environment("plain_http")
    with flows.keyed(tmp_path) as proxy:
        said = flows.run_script(python, HERE / "plain_http" / f"{library}_flow.py", rig=proxy, cwd=tmp_path)
        assert said.pop("location").startswith(proxy.proxy_url + "/")
        assert said == {
            "profiles": 3,
            "pages": [10, 10, 5],
            "renamed": f"renamed by {library}",
            "report_rows": ROWS,
            "snapshot_rows": ROWS,
        }
        assert flows.refusals(proxy) == []


def test_python_amazon_ad_api(tmp_path: Path) -> None:
    """The client fetches its own token from the proxy, and then does the same work by its own methods."""
    python = environments.python_environment("python_amazon_ad_api")
    with flows.keyed(tmp_path, strict=False) as proxy:
        said = flows.run_script(python, HERE / "python_amazon_ad_api" / "flow.py", rig=proxy, cwd=tmp_path)
        assert said.pop("location").startswith(proxy.proxy_url + "/")
        assert said == {
            "profiles": 3,
            "pages": [10, 10, 5],
            "renamed": "renamed by python-amazon-ad-api",
            "report_rows": ROWS,
            "snapshot_rows": ROWS,
        }
        # It takes its API headers along when it follows a redirect; the pretend S3 does not like that.
        assert [entry for entry in flows.refusals(proxy) if not entry.startswith("tool: s3-leaked-header")] == []


def test_amazon_ads_api_v1(tmp_path: Path) -> None:
    """The client fetches its own token from the proxy, and uses the unified API and the older ones."""
    python = environments.python_environment("amazon_ads_api_v1", "3.13", "3.14")
    with flows.keyed(tmp_path, strict=False) as proxy:
        said = flows.run_script(python, HERE / "amazon_ads_api_v1" / "flow.py", rig=proxy, cwd=tmp_path)
        assert said == {
            "profiles": 3,
            "pages": [10, 10, 5],
            "renamed": "renamed by amazon-ads-api-v1",
            "unified": 25,
            "report_rows": ROWS,
        }
        assert flows.refusals(proxy) == []
