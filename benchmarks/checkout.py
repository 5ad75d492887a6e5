"""The program under measurement, from this checkout or another: its configuration, its command, its readiness.

Only configuration keys that every version since the first benchmark knows are used, so that an older commit can be
compared.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import yaml

from benchmarks.processes import WORKER_CORE, BenchmarkError, Process, free_port
from benchmarks.upstream import PROFILE, Upstream

ROOT = Path(__file__).resolve().parent.parent
KEY = "adsproxy_" + "benchmark0" * 4
AUTHORIZATION = f"Bearer {KEY}"
"""What a tool sends to a keyed proxy."""


@dataclass(frozen=True, slots=True)
class Setting:
    """How the program is set up for a measurement: the shipped defaults, but for what is named here."""

    tls: bool = False
    keyed: bool = False
    fast_path: bool = True


@dataclass(frozen=True, slots=True)
class Checkout:
    """A folder that holds the program, and the Python to run it with."""

    folder: Path
    python: str

    def __str__(self) -> str:
        return self.folder.name

    def environment(self) -> dict[str, str]:
        """What makes Python import the program from this folder and no other."""
        return {"PYTHONPATH": str(self.folder), "PYTHONSAFEPATH": "1"}

    def start(self, upstream: Upstream, setting: Setting, work: Path) -> Worker:
        """Start it in the new folder `work` and wait until it serves."""
        work.mkdir(parents=True)
        port, admin = free_port(), free_port()
        config = work / "proxy.yaml"
        config.write_text(yaml.safe_dump(configuration(upstream, setting, port, admin)))
        command = [self.python, "-m", "proxy", "serve", "--config", str(config)]
        process = Process(command, work / "output.log", core=WORKER_CORE, env=self.environment())
        try:
            process.wait_ready(port, headers=f"Authorization: {AUTHORIZATION}\r\n" if setting.keyed else "")
        except BenchmarkError:
            process.stop()
            raise
        return Worker(process, port, AUTHORIZATION if setting.keyed else "")


@dataclass(frozen=True, slots=True)
class Worker:
    """A running proxy: any peer, or the program itself. `authorization` is what tools send to it."""

    process: Process
    port: int
    authorization: str = ""


def this_checkout() -> Checkout:
    """Where this benchmark is."""
    return Checkout(ROOT, sys.executable)


def checkout(folder: Path) -> Checkout:
    """A folder with the program, run with its own `.venv` where it has one, else with the Python that runs this."""
    own = folder / ".venv" / "bin" / "python"
    found = Checkout(folder.resolve(), str(own) if own.exists() else sys.executable)
    if not (folder / "proxy" / "__main__.py").exists():
        raise BenchmarkError(f"{folder} holds no checkout of the program")
    say = "import proxy; print(proxy.__file__)"
    command = [found.python, "-c", say]
    environment = {**os.environ, **found.environment()}
    said = subprocess.run(command, check=False, env=environment, capture_output=True, text=True)
    if not said.stdout.startswith(str(found.folder)):
        raise BenchmarkError(f"{found.python} does not import the program of {folder}: {said.stdout}{said.stderr}")
    return found


def configuration(upstream: Upstream, setting: Setting, port: int, admin: int) -> dict[str, object]:
    """One account at home in `na`; the other regions list no profiles."""
    plain = f"http://127.0.0.1:{upstream.plain}"
    token = f"{plain}/auth/o2/token"
    found: dict[str, object] = {
        "listen": f"127.0.0.1:{port}",
        "admin_listen": f"127.0.0.1:{admin}",
        "state": {"url": "memory:"},
        "regions": {
            "na": {"api_url": upstream.address(tls=setting.tls), "token_url": token},
            "eu": {"api_url": f"http://127.0.0.1:{upstream.empty}", "token_url": token},
            "fe": {"api_url": f"http://127.0.0.1:{upstream.empty}", "token_url": token},
        },
        "accounts": {
            "acme": {
                "client_id": "amzn1.application-oa2-client.benchmark",
                "client_secret": "benchmark-secret",
                "refresh_token": "Atzr|benchmark",
                "region": "na",
            }
        },
    }
    if setting.tls:
        found["upstream"] = {"ca_file": str(upstream.ca)}
    if not setting.fast_path:
        found["fast_path"] = False
    if setting.keyed:
        found["clients"] = [
            {
                "name": "bench",
                "key_sha256": hashlib.sha256(KEY.encode()).hexdigest(),
                "accounts": ["acme"],
                "profiles": [PROFILE],
                "methods": ["GET", "POST"],
                "paths": ["/sp/*", "/v2/*", "/size/*", "/chunked", "/missing/*"],
            }
        ]
    return found
