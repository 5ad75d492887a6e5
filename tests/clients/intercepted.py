"""Programs that know Amazon's addresses alone, led to the proxy in both ways: as a command of `ads-proxy run`, and as
processes of their own with the variables that `ads-proxy env` prints. Nothing is asserted about them here.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shlex
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.clients.flows import ACCOUNT, CLIENT, KEY, LONGEST
from tests.support.processes import free_port
from tests.support.ready_program import ready, run_ready
from tests.support.running import Serving, SimulatedAmazon, serving, simulated_amazon

WAYS = ("run", "variables")


@dataclass
class Interception:
    """A simulated Amazon, a proxy in front of it that intercepts, and the folder of its configuration."""

    amazon: SimulatedAmazon
    proxy: Serving
    folder: Path
    client: str
    """The client of the configuration that calls; empty if the proxy asks for no key."""

    _exported: dict[str, str] = field(default_factory=dict)

    def execute(self, way: str, *command: str | Path, **more: str) -> subprocess.CompletedProcess[str]:
        """Run a program to its end. It gets Amazon's credentials as the proxy gives them out, and `more` variables."""
        parts = [str(part) for part in command]
        environ = {"PATH": os.environ["PATH"], "HOME": str(self.folder), "LANG": "C.UTF-8"}
        if way == "run":
            named = ("--client", self.client) if self.client else ()
            parts = ready("run", "--config", str(self.proxy.path), *named, "--", *parts)
        else:
            environ |= self.credentials() | self.exported()
        environ |= more
        return subprocess.run(
            parts, env=environ, cwd=self.folder, capture_output=True, text=True, check=False, timeout=LONGEST
        )

    def credentials(self) -> dict[str, str]:
        """What a person sets for a program with a login of its own."""
        named = (self.client, KEY, ACCOUNT) if self.client else ("any", "any", "any")
        names = ("AMAZON_ADS_CLIENT_ID", "AMAZON_ADS_CLIENT_SECRET", "AMAZON_ADS_REFRESH_TOKEN")
        return dict(zip(names, named, strict=True))

    def exported(self) -> dict[str, str]:
        """The variables that `ads-proxy env` prints."""
        if not self._exported:
            (self.folder / "key").write_text(KEY, encoding="utf-8")
            named = ("--client", self.client, "--key-file", str(self.folder / "key")) if self.client else ()
            printed = run_ready(self.folder, ("env", "--config", str(self.proxy.path), *named), {})
            assert printed.returncode == 0, printed.stderr
            words = [shlex.split(line) for line in printed.stdout.splitlines()]
            assert {word[0] for word in words} == {"export"}
            self._exported = dict(word[1].split("=", 1) for word in words)
        return self._exported

    def said(self, way: str, *command: str | Path, **more: str) -> dict[str, Any]:
        """The JSON object that the program prints at last. It fails the test if the program fails."""
        ended = self.execute(way, *command, **more)
        assert ended.returncode == 0, f"{ended.stdout[-2000:]}\n{ended.stderr[-4000:]}"
        found: dict[str, Any] = json.loads(ended.stdout.strip().splitlines()[-1])
        return found

    def refusals(self) -> list[str]:
        """What the simulated Amazon refused, and why."""
        found = self.amazon.look("refusals")["refusals"]
        return [f"{each['kind']}: {each['method']} {each['target']}: {each['reason']}" for each in found]

    def at_amazon(self, *names: str) -> list[str]:
        """The values of these header fields in the requests that reached the simulated Amazon."""
        seen = [*self.amazon.look("requests", listener="api", last=1000)]
        return [value for each in seen for name, value in each["headers"] if name.lower() in names]


@contextlib.contextmanager
def intercepting(folder: Path, client: str = "", **intercept: Any) -> Iterator[Interception]:
    """Interception in front of a simulated Amazon, with one client that has a key, or with none. `intercept` has
    further keys of that section."""
    clients = [{"name": CLIENT, "key_sha256": hashlib.sha256(KEY.encode()).hexdigest(), "accounts": [ACCOUNT]}]
    with simulated_amazon() as amazon:
        configuration = amazon.configuration(
            listen=f"127.0.0.1:{free_port()}",
            intercept={"enabled": True, "ca_dir": str(folder / "ca"), **intercept},
            clients=clients if client else [],
            accounts={ACCOUNT: amazon.account(default_profile="first")},
            log={"format": "json", "level": "info", "access": True},
        )
        amazon.control("settings", {"strict_media_types": False})
        with serving(folder, configuration) as proxy:
            proxy.until_listed(ACCOUNT)
            yield Interception(amazon, proxy, folder, client)
