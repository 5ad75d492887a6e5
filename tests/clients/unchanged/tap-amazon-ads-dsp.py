"""tap-amazon-ads-dsp, as every Singer tap is used: it logs in and prints its catalog, and then orders its report."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

COMMAND = str(Path(sys.executable).parent / "tap-amazon-ads-dsp")
CONFIGURATION = {
    "client_id": os.environ["LWA_CLIENT_ID"],
    "client_secret": os.environ["LWA_CLIENT_SECRET"],
    "refresh_token": os.environ["LWA_REFRESH_TOKEN"],
    "redirect_uri": "https://example.com/",
    "start_date": "2025-01-01T00:00:00Z",
    "profiles": [os.environ["PROFILE_ID"]],
    "reports": [{"name": "campaign_report", "type": "campaign"}],
}
Path("config.json").write_text(json.dumps(CONFIGURATION))
found = subprocess.run([COMMAND, "--config", "config.json", "--discover"], check=True, stdout=subprocess.PIPE)
catalog = json.loads(found.stdout)
for stream in catalog["streams"]:
    stream["metadata"] = [{**each, "metadata": {**each["metadata"], "selected": True}} for each in stream["metadata"]]
Path("catalog.json").write_text(json.dumps(catalog))
ordered = subprocess.run(
    [COMMAND, "--config", "config.json", "--catalog", "catalog.json"], check=False, stderr=subprocess.PIPE, text=True
)
print(json.dumps({"streams": len(catalog["streams"]), "/dsp/reports": "code: 404" in ordered.stderr and 404}))
