"""airbyte-source-amazon-ads through the proxy: a copy of the connector whose manifest names the proxy's addresses.

It is run as Airbyte runs it: `check`, then `read` of a catalog; with `ONLY_READ` in the environment, only the latter.
Prints what came out as one line of JSON.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections import Counter
from importlib.util import find_spec
from pathlib import Path
from typing import Any

HERE = Path.cwd()
PROXY = os.environ["PROXY_URL"]
RUN = "from source_amazon_ads.run import run; run()"
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


def connector(*arguments: str) -> list[dict[str, Any]]:
    """The messages that the connector writes."""
    environment = {**os.environ, "PYTHONPATH": str(HERE)}
    command = [sys.executable, "-W", "ignore", "-c", RUN, *arguments]
    result = subprocess.run(command, cwd=HERE, env=environment, capture_output=True, text=True, check=False)
    messages = [json.loads(line) for line in result.stdout.splitlines() if line.startswith("{")]
    if result.returncode and not errors_in(messages):
        sys.exit(f"{arguments[0]} failed: {result.stdout[-3000:]}\n{result.stderr[-3000:]}")
    return messages


def errors_in(messages: list[dict[str, Any]]) -> list[str]:
    """What the connector says of streams that failed."""
    return [message["trace"]["error"]["message"] for message in messages if message.get("trace", {}).get("error")]


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
    """Checks, reads, and counts the records of each stream."""
    status = None
    edit_manifest()
    (HERE / "config.json").write_text(json.dumps(CONFIG))
    (HERE / "catalog.json").write_text(json.dumps(catalog()))
    if "ONLY_READ" not in os.environ:
        said = connector("check", "--config", "config.json")
        [status] = [each["connectionStatus"]["status"] for each in said if each["type"] == "CONNECTION_STATUS"]
    messages = connector("read", "--config", "config.json", "--catalog", "catalog.json")
    records = Counter(message["record"]["stream"] for message in messages if message["type"] == "RECORD")
    print(json.dumps({"status": status, "records": records, "errors": errors_in(messages)}))


if __name__ == "__main__":
    main()
