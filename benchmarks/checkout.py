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
from benchmarks.upstream import Upstream

ROOT = Path(__file__).resolve().parent.parent
KEY = "adsproxy_" + "benchmark0" * 4
AUTHORIZATION = f"Bearer {KEY}"
"""The Authorization value that a client sends to a keyed proxy."""


@dataclass(frozen=True, slots=True)
class Setting:
    """How the program is set up for a measurement: the shipped defaults, but for what is named here."""

    tls: bool = False
    keyed: bool = False
    profiles: int = 1
    """Profiles that the account lists: 1 or 10,000."""
    accounts: int = 1


@dataclass(frozen=True, slots=True)
class Checkout:
    """A folder that holds the program, and the Python to run it with.

    `wrapper` is a command before that Python's, such as valgrind. With a `hash_seed` of digits, it is no matter of
    chance how often hashes collide. `fast_path` is written into the configuration unless it is None: versions up to 0.1
    have two ways of serving a request, and this option chooses one.
    """

    folder: Path
    python: str
    wrapper: tuple[str, ...] = ()
    hash_seed: str = "random"
    ready_within: float = 20.0
    fast_path: bool | None = None

    def __str__(self) -> str:
        return self.folder.name

    def environment(self) -> dict[str, str]:
        """What makes Python import the program from this folder and no other, and keep its bytecode, as an installed
        program has it."""
        return {
            "PYTHONPATH": str(self.folder),
            "PYTHONSAFEPATH": "1",
            "PYTHONHASHSEED": self.hash_seed,
            "PYTHONDONTWRITEBYTECODE": "",
        }

    def configuration(self, upstream: Upstream, setting: Setting, port: int, admin: int) -> dict[str, object]:
        """What this version of the program is started with."""
        fast_path = {} if self.fast_path is None else {"fast_path": self.fast_path}
        return {**configuration(upstream, setting, port, admin), **fast_path}

    def start(self, upstream: Upstream, setting: Setting, work: Path) -> Worker:
        """Start it in the new folder `work` and wait until it serves."""
        work.mkdir(parents=True)
        port, admin = free_port(), free_port()
        config = work / "proxy.yaml"
        config.write_text(yaml.safe_dump(self.configuration(upstream, setting, port, admin)))
        command = [*self.wrapper, self.python, "-m", "proxy", "serve", "--config", str(config)]
        process = Process(command, work / "output.log", core=WORKER_CORE, env=self.environment())
        try:
            ready_after = process.wait_ready(port, headers=_ask_with(setting), within=self.ready_within)
        except BaseException:  # Ctrl-C, too: nobody else knows of the process yet
            process.stop()
            raise
        return Worker(process, port, AUTHORIZATION if setting.keyed else "", ready_after)


@dataclass(frozen=True, slots=True)
class Worker:
    """A running proxy, any peer or the program itself.

    `authorization` is what clients send to it, `ready_after` the seconds from its start to the first 200.
    """

    process: Process
    port: int
    authorization: str = ""
    ready_after: float = 0.0


def this_checkout() -> Checkout:
    """Where this benchmark is."""
    return Checkout(ROOT, sys.executable)


def commit() -> str:
    """Which commit this benchmark and its program are of, and whether something differs from it."""
    command = ["git", "-C", str(ROOT), "describe", "--always", "--dirty"]
    return subprocess.run(command, check=False, capture_output=True, text=True).stdout.strip() or "no commit"


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


def _ask_with(setting: Setting) -> str:
    """The header lines without which a bare request would be refused."""
    lines = [f"Authorization: {AUTHORIZATION}\r\n"] if setting.keyed else []
    return "".join([*lines, *(["X-Ads-Account: acme\r\n"] if setting.accounts > 1 else [])])


def _account(application: str) -> dict[str, str]:
    return {
        "client_id": f"amzn1.application-oa2-client.{application}",
        "client_secret": "benchmark-secret",
        "refresh_token": f"Atzr|{application}",
        "region": "na",
    }


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
            "acme": _account("many" if setting.profiles > 1 else "one"),
            **{f"other-{number}": _account(f"other-{number}") for number in range(1, setting.accounts)},
        },
    }
    if setting.tls:
        found["upstream"] = {"ca_file": str(upstream.ca)}
    if setting.keyed:
        found["clients"] = [
            {
                "name": "bench",
                "key_sha256": hashlib.sha256(KEY.encode()).hexdigest(),
                "accounts": ["acme"],
                "methods": ["GET", "POST"],
                "paths": ["/sp/*", "/sd/*", "/v2/*", "/size/*", "/chunked", "/missing/*"],
            }
        ]
    return found
