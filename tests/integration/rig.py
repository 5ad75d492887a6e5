"""The real program in front of the simulator, both as processes of their own, on free ports.

Nothing is asserted here.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import yaml

from tests.support.programs import ROOT

PATIENCE = 30.0


@dataclass
class Output:
    """A process's standard output, read by a thread so that it never fills up."""

    stream: IO[str]
    lines: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()

    def _read(self) -> None:
        with contextlib.suppress(ValueError):
            self.lines.extend(iter(self.stream.readline, ""))

    def _find(self, wanted: Callable[[dict[str, Any]], bool]) -> dict[str, Any] | None:
        for line in list(self.lines):
            with contextlib.suppress(json.JSONDecodeError):
                value: dict[str, Any] = json.loads(line)
                if isinstance(value, dict) and wanted(value):
                    return value
        return None

    def wait_for(self, wanted: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """The first JSON line that is wanted."""

        def look() -> dict[str, Any] | None:
            ended = not self.reader.is_alive()
            found = self._find(wanted)
            assert found or not ended, f"the program ended: {''.join(self.lines[-20:])}"
            return found

        found: dict[str, Any] = until(look, lambda: "".join(self.lines[-20:]))
        return found


def until(
    found: Callable[[], Any], say: Callable[[], object] = lambda: "nothing came", patience: float = PATIENCE
) -> Any:
    """What `found` gives once it gives something."""
    pause = threading.Event()
    end = time.monotonic() + patience
    while True:
        value = found()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f"waited {patience} s in vain: {say()}")
        pause.wait(0.05)


@dataclass
class Rig:
    """The simulator's and the proxy's addresses."""

    simulator: dict[str, Any]
    tools: str
    admin: str
    log: Output

    def get(self, path: str, headers: dict[str, str] | None = None) -> tuple[int, bytes]:
        """A tool's request."""
        return fetch(self.tools + path, headers=headers)

    def admin_get(self, path: str) -> tuple[int, bytes]:
        return fetch(self.admin + path)

    def control(self, path: str, body: dict[str, Any] | None = None) -> bytes:
        """Asks the simulator's control API for something."""
        data = json.dumps(body or {}).encode()
        status, answer = fetch(self.simulator["control_url"] + path, data, {"Content-Type": "application/json"})
        assert status < 300, answer
        return answer

    def get_control(self, path: str) -> tuple[int, bytes]:
        """What the simulator's control API says."""
        return fetch(self.simulator["control_url"] + path)

    def account(self, name: str) -> dict[str, Any]:
        """An account as `/status` has it."""
        accounts = json.loads(self.admin_get("/status")[1])["accounts"]
        found: dict[str, Any] = next(account for account in accounts if account["name"] == name)
        return found


def fetch(url: str, data: bytes | None = None, headers: dict[str, str] | None = None) -> tuple[int, bytes]:
    """Status and body, whatever the status."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    request = urllib.request.Request(url, data, headers or {})
    try:
        with opener.open(request, timeout=15) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextlib.contextmanager
def started(*command: str | Path, **environment: str) -> Iterator[Output]:
    """A process that is ended at the end."""
    ours = ("ADS_PROXY_", "AMAZON_ADS_")
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    process = subprocess.Popen(
        [str(part) for part in command],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        cwd=ROOT,
        env={**inherited, **environment},
    )
    assert process.stdout is not None
    output = Output(process.stdout)
    try:
        yield output
    finally:
        process.terminate()
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        output.reader.join(5)
        process.stdout.close()


@contextlib.contextmanager
def rig(
    tmp_path: Path, *, signed_in: bool = True, lifetime: int = 3600, beside: tuple[str, ...] = (), **changes: Any
) -> Iterator[Rig]:
    """The simulator, and `ads-proxy serve` in front of it with the account `acme`.

    Without `signed_in` the account has no refresh token; accounts `beside` it have the same login. `changes` are
    further keys of the configuration.
    """
    simulate = (sys.executable, "-u", "-m", "proxy.simulator", "--base-port", "0")
    with started(*simulate, "--access-token-lifetime", str(lifetime)) as output:
        facts = output.wait_for(lambda line: "control_url" in line)
        admin_port = free_port()
        account = {
            "client_id": facts["client_id"],
            "client_secret": facts["client_secret"],
            "region": "na",
            "default_profile": "first",
            "redirect_uri": f"http://localhost:{admin_port}/login/callback",
        }
        if signed_in:
            account["refresh_token"] = facts["refresh_token"]
        kinds = {"api_url": "api_urls", "token_url": "token_urls", "auth_grant_url": "auth_grant_urls"}
        configuration = {
            "listen": "127.0.0.1:0",
            "admin_listen": f"127.0.0.1:{admin_port}",
            "regions": {
                name: {**{key: facts[kind][name] for key, kind in kinds.items()}, "mcp_url": facts["mcp_urls"][name]}
                for name in ("na", "eu", "fe")
            },
            "accounts": {name: {**account} for name in ("acme", *beside)},
            "state": {"url": "memory:"},
            "log": {"format": "json", "level": "info", "access": True},
            **changes,
        }
        path = tmp_path / "proxy.yaml"
        path.write_text(yaml.safe_dump(configuration))
        with started(sys.executable, "-u", "-m", "proxy", "serve", "--config", path) as log:
            line = log.wait_for(lambda line: line.get("event") == "server_started")
            yield Rig(facts, f"http://{line['listen']}", f"http://127.0.0.1:{admin_port}", log)
