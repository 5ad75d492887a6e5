"""Other people's clients in front of the proxy: what a client's script is given, and what the simulator thought of it.

A script gets the proxy's address, a client's name and key, and an account's name: nothing of Amazon's.
"""

from __future__ import annotations

import contextlib
import datetime
import hashlib
import json
import os
import subprocess
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from tests.clients import environments
from tests.integration.rig import Rig, rig
from tests.support.processes import ReadyScript, fetch
from tests.support.ready_program import Interpreter

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


def read_with_airbyte(rig: Rig, home: Path, *streams: str) -> tuple[Counter[str], list[str]]:
    """How many records of each stream Airbyte's connector reads, and what it says of streams that failed."""
    python = environments.python_environment("airbyte", "3.11", "3.10")
    yesterday = datetime.datetime.now(datetime.UTC).date() - datetime.timedelta(days=1)
    given = {"PROXY_URL": rig.proxy_url, "CLIENT_NAME": CLIENT, "CLIENT_KEY": KEY, "ACCOUNT_NAME": ACCOUNT}
    wanted = {"PROFILE": FIRST_PROFILE, "START_DATE": yesterday.isoformat(), "STREAMS": " ".join(streams)}
    script = environments.CLIENTS / "airbyte" / "flow.py"
    process = ReadyScript(Interpreter(str(python), ("airbyte_cdk",)), script, HOME=str(home), **given, **wanted)
    try:
        code = process.wait(LONGEST)
    finally:
        process.end()
    messages = process.output.entries()
    errors = [message["trace"]["error"]["message"] for message in messages if message.get("trace", {}).get("error")]
    records = Counter(message["record"]["stream"] for message in messages if message["type"] == "RECORD")
    assert errors or code == 0, process.text[-4000:]
    return records, errors


def asked(rig: Rig, path: str) -> Any:
    """What the simulator's control API answers."""
    status, body = fetch(rig.simulator["control_url"] + path)
    assert status == 200, body
    return json.loads(body)


def refusals(rig: Rig) -> list[str]:
    """The simulator's refusals with their reasons: caused by the proxy or by the client."""
    found = asked(rig, "/control/refusals")["refusals"]
    return [
        f"{entry['owner']}: {entry['kind']}: {entry['method']} {entry['target']}: {entry['reason']}" for entry in found
    ]
