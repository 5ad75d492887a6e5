"""Airbyte's connector in keyed mode: it insists on a login of its own, and makes one token request per stream.

That `check` succeeds is shown where the page about it is: tests/integration/test_clients_docs.py.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.clients import flows

pytestmark = pytest.mark.integration

STREAMS = (
    *("profiles", "sponsored_display_campaigns", "sponsored_product_campaigns"),
    "sponsored_products_campaigns_report_stream",
)


def test_airbyte_source_amazon_ads(tmp_path: Path) -> None:
    """`read` gives profiles, campaigns of two kinds, and the rows of a report."""
    with flows.keyed(tmp_path, strict=False) as proxy:
        proxy.control("/control/settings", {"report_polls": 1})
        records, errors = flows.read_with_airbyte(proxy, tmp_path, *STREAMS)
        assert errors == []
        assert records["profiles"] == 2  # it wants no agencies
        assert records["sponsored_display_campaigns"] == 25
        assert records["sponsored_product_campaigns"] == 25
        assert records["sponsored_products_campaigns_report_stream"] >= 50
        assert flows.refusals(proxy) == []
        assert flows.asked(proxy, "/control/counts")["token_requests"] == 1
