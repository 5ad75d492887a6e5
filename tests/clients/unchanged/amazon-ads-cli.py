"""amazon-ads-cli: its command asks Amazon for the profile of a country, and lists campaigns."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

COMMAND = str(Path(sys.executable).parent / "amz-ads")
LOGIN = {
    "--refresh-token": os.environ["LWA_REFRESH_TOKEN"],
    "--client-id": os.environ["LWA_CLIENT_ID"],
    "--client-secret": os.environ["LWA_CLIENT_SECRET"],
}


def said(*arguments: str) -> str:
    return subprocess.run([COMMAND, *arguments], check=True, stdout=subprocess.PIPE, text=True).stdout


setup = said("auth", "setup", "--country", "US", *(word for option in LOGIN.items() for word in option))
listed = [line for line in said("campaigns", "list").splitlines() if line[:1].isdigit()]
print(
    json.dumps({"profile": f"Resolved US to Profile ID: {os.environ['PROFILE_ID']}" in setup, "campaigns": len(listed)})
)
