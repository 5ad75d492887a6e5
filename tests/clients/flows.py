"""Other people's clients in front of the proxy: what a client's script is given, and what the simulator thought of it.

A script gets the proxy's address, a client's name and key, and an account's name: nothing of Amazon's.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from tests.integration.rig import Rig, rig
from tests.support.processes import fetch

CLIENT = "reporting"
KEY = "adsproxy_a-key-for-the-tests-of-real-clients"
ACCOUNT = "acme"
LONGEST = 900
"""Seconds that a client may take; the longest takes a few, and ten times as many on a slow machine."""
FIRST_PROFILE = "1110000000000001"
"""The first profile that the simulator lists in na."""


@contextlib.contextmanager
def keyed(
    tmp_path: Path, lifetime: int = 3600, strict: bool = True, limits: Mapping[str, Any] | None = None, **changes: Any
) -> Iterator[Rig]:
    """The simulator and the proxy, which lets in one client with a key, and with these further limits.

    Without `strict`, the simulator takes media types that the specifications do not name: some clients send such.
    """
    client = {"name": CLIENT, "key_sha256": hashlib.sha256(KEY.encode()).hexdigest(), "accounts": [ACCOUNT]}
    with rig(tmp_path, lifetime=lifetime, clients=[{**client, **(limits or {})}], **changes) as running:
        running.control("/control/settings", {"strict_media_types": strict})
        yield running


def run_script(*command: str | Path, rig: Rig, cwd: Path, **more: str) -> dict[str, Any]:
    """The JSON object that the script prints at last. It fails the test if the script fails."""
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(cwd),
        "PROXY_URL": rig.proxy_url,
        "CLIENT_NAME": CLIENT,
        "CLIENT_KEY": KEY,
        "ACCOUNT_NAME": ACCOUNT,
        **more,
    }
    parts = [str(part) for part in command]
    result = subprocess.run(
        parts, env=environment, cwd=cwd, capture_output=True, text=True, check=False, timeout=LONGEST
    )
    assert result.returncode == 0, f"{result.stdout[-2000:]}\n{result.stderr[-4000:]}"
    said: dict[str, Any] = json.loads(result.stdout.strip().splitlines()[-1])
    return said


def asked(rig: Rig, path: str) -> Any:
    """What the simulator's control API answers."""
    status, body = fetch(rig.simulator["control_url"] + path)
    assert status == 200, body
    return json.loads(body)


def refusals(rig: Rig) -> list[str]:
    """What the simulator refused, and why: by the proxy's doing or the tool's."""
    found = asked(rig, "/control/refusals")["refusals"]
    return [
        f"{entry['owner']}: {entry['kind']}: {entry['method']} {entry['target']}: {entry['reason']}" for entry in found
    ]
