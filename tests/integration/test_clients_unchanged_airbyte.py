"""Airbyte's connector as it is published: its own command, with Amazon's addresses in its manifest."""

from __future__ import annotations

import datetime
import json
import shutil
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.clients import environments, flows
from tests.clients.intercepted import Interception, intercepting
from tests.clients.pypi_clients import COPY_TO_CERTIFI

pytestmark = pytest.mark.integration

WITH_CERTIFI = COPY_TO_CERTIFI.replace("python", '"$0"') + ' && exec "$@"'
STREAMS = ("profiles", "sponsored_product_campaigns", "sponsored_display_campaigns")


def read(proxy: Interception, way: str) -> Mapping[str, int]:
    """How many records of each stream the connector reads."""
    python = environments.python_environment("airbyte", "3.11", "3.10")
    names = {name.removeprefix("AMAZON_ADS_").lower(): value for name, value in proxy.credentials().items()}
    yesterday = datetime.datetime.now(datetime.UTC).date() - datetime.timedelta(days=1)
    settings = {"auth_type": "oauth2.0", **names, "region": "NA", "profiles": [int(flows.FIRST_PROFILE)]}
    limits = {"start_date": yesterday.isoformat(), "state_filter": [], "look_back_window": 1, "num_workers": 4}
    modes = {"sync_mode": "full_refresh", "destination_sync_mode": "overwrite"}
    streams = [
        {"stream": {"name": name, "json_schema": {}, "supported_sync_modes": ["full_refresh"]}, **modes}
        for name in STREAMS
    ]
    config, catalog = proxy.folder / "config.json", proxy.folder / "catalog.json"
    config.write_text(json.dumps(settings | limits))
    catalog.write_text(json.dumps({"streams": streams}))
    command = (python.parent / "source-amazon-ads", "read", "--config", config, "--catalog", catalog)
    # A copy of certifi of this test's own: others use the environment at the same time.
    shutil.copytree(next(python.parent.parent.glob("lib/*/site-packages/certifi")), proxy.folder / "site" / "certifi")
    alone = {"PYTHONPATH": str(proxy.folder / "site")}
    ended = proxy.execute(way, "sh", "-c", WITH_CERTIFI, python, *command, **alone)
    messages = [json.loads(line) for line in ended.stdout.splitlines() if line.startswith("{")]
    assert ended.returncode == 0, f"{ended.stdout[-4000:]}\n{ended.stderr[-1000:]}"
    return Counter(message["record"]["stream"] for message in messages if message["type"] == "RECORD")


@pytest.mark.parametrize(("way", "client"), [("run", ""), ("variables", flows.CLIENT)])
def test_airbyte(way: str, client: str, tmp_path: Path) -> None:
    """The client reads profiles and campaigns, once the authority is where its requests look for one: they ignore
    REQUESTS_CA_BUNDLE."""
    with intercepting(tmp_path, client) as proxy:
        records = read(proxy, way)
        assert records == {"profiles": 2, "sponsored_product_campaigns": 25, "sponsored_display_campaigns": 25}
        assert proxy.refusals() == []
