"""airbyte-source-amazon-ads through the proxy: a copy of the connector whose manifest names the proxy's addresses.

It is run as Airbyte runs it to `read` a catalog, and prints its messages: lines of JSON.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

HERE = Path(os.environ["HOME"])
PROXY = os.environ["PROXY_URL"]
STREAMS = os.environ["STREAMS"].split()
CONFIG = {
    "auth_type": "oauth2.0",
    "client_id": os.environ["CLIENT_NAME"],
    "client_secret": os.environ["CLIENT_KEY"],
    "refresh_token": os.environ["ACCOUNT_NAME"],
    "region": "NA",
    "profiles": [int(os.environ["PROFILE"])],
    "start_date": os.environ["START_DATE"],
    "state_filter": [],
    "look_back_window": 1,
    "num_workers": 4,
}


def edit_manifest() -> None:
    """The one change: in a copy of the connector, Amazon's addresses become the proxy's."""
    spec = find_spec("source_amazon_ads")
    assert spec is not None
    assert spec.origin is not None
    shutil.copytree(Path(spec.origin).parent, HERE / "source_amazon_ads", dirs_exist_ok=True)
    manifest = HERE / "source_amazon_ads" / "manifest.yaml"
    text = manifest.read_text(encoding="utf-8")
    text = text.replace("https://api.amazon.com/auth/o2/token", f"{PROXY}/auth/o2/token")
    for host in ("advertising-api", "advertising-api-eu", "advertising-api-fe"):
        text = text.replace(f"https://{host}.amazon.com/", f"{PROXY}/")
    manifest.write_text(text, encoding="utf-8")


def catalog() -> dict[str, Any]:
    """The streams to read, whole."""
    streams = [
        {
            "stream": {"name": name, "json_schema": {}, "supported_sync_modes": ["full_refresh", "incremental"]},
            "sync_mode": "full_refresh",
            "destination_sync_mode": "overwrite",
        }
        for name in STREAMS
    ]
    return {"streams": streams}


def main() -> None:
    """The connector, from now on."""
    edit_manifest()
    (HERE / "config.json").write_text(json.dumps(CONFIG))
    (HERE / "catalog.json").write_text(json.dumps(catalog()))
    os.chdir(HERE)
    sys.path.insert(0, str(HERE))
    sys.argv[1:] = ["read", "--config", "config.json", "--catalog", "catalog.json"]
    from source_amazon_ads.run import run  # its copy

    run()


if __name__ == "__main__":
    main()
