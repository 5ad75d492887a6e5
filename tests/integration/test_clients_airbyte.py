"""Airbyte's connector in keyed mode: it insists on a login of its own, and makes one token request per stream."""

from __future__ import annotations

import datetime
from pathlib import Path

import pytest

from tests.clients import environments, flows

pytestmark = pytest.mark.integration

STREAMS = "profiles sponsored_display_campaigns sponsored_product_campaigns sponsored_products_campaigns_report_stream"


def test_airbyte_source_amazon_ads(tmp_path: Path) -> None:
    """`check` succeeds, and `read` gives profiles, campaigns of two kinds, and the rows of a report."""
    python = environments.python_environment("airbyte", "3.11", "3.10")
    yesterday = datetime.datetime.now(datetime.UTC).date() - datetime.timedelta(days=1)
    script = environments.CLIENTS / "airbyte" / "flow.py"
    with flows.keyed(tmp_path, strict=False) as proxy:
        proxy.control("/control/settings", {"report_polls": 1})
        given = {"PROFILE": flows.FIRST_PROFILE, "START_DATE": yesterday.isoformat(), "STREAMS": STREAMS}
        said = flows.run_script(python, script, rig=proxy, cwd=tmp_path, **given)
        assert said["status"] == "SUCCEEDED"
        assert said["errors"] == []
        records = said["records"]
        assert records["profiles"] == 2  # it wants no agencies
        assert records["sponsored_display_campaigns"] == 25
        assert records["sponsored_product_campaigns"] == 25
        assert records["sponsored_products_campaigns_report_stream"] >= 50
        assert flows.refusals(proxy) == []
        assert flows.asked(proxy, "/control/counts")["token_requests"] == 1
