"""A collection of Amazon's, run by newman: what it sent and got, and what the simulator thought of it.

Nothing is asserted here.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from tests.clients import flows
from tests.integration.rig import Rig
from tests.newman.prepare import prepare, walk
from tests.newman.relay import relay
from tests.support.programs import ROOT, require_program

BESIDE = ROOT.parent / "shared" / "postman"
"""Where Amazon's collections lie, beside the project, as data to test with."""

SCOPE = "Amazon-Advertising-API-Scope"
REPLACED = ("authorization", "amazon-advertising-api-clientid", "amazon-ads-clientid", SCOPE.lower())
"""What the proxy puts in."""

OF_THE_CONNECTION = ("host", "connection")
MARK = "Postman-Collection"
"""A header that the collections add to each of their requests; the proxy's own have none."""


@dataclass(frozen=True)
class Collection:
    """Where a collection and its environment are."""

    requests: Path
    environment: Path

    @classmethod
    def named(cls, folder: Path, name: str) -> Collection:
        """By the names that Amazon gives the two files."""
        environment = folder / f"{name}_Environment.postman_environment.json"
        return cls(folder / f"{name}.postman_collection.json", environment)

    def count(self) -> int:
        """How many requests it has. The token request that its own script makes is not among them."""
        return len(list(walk(json.loads(self.requests.read_text(encoding="utf-8"))["item"])))


@dataclass
class Run:
    """A finished run: what newman sent and got, and what the simulator says."""

    report: dict[str, Any]
    counts: dict[str, Any]
    left: list[dict[str, Any]]
    """What left newman for the proxy."""

    arrived: list[dict[str, Any]]
    refusals: list[dict[str, Any]]
    environment: dict[str, str]
    """The variables as the run left them."""

    def executions(self) -> list[dict[str, Any]]:
        """The collection's requests, in order; newman shows that before which the script asked for a token twice."""
        return list({each["id"]: each for each in self.report["run"]["executions"]}.values())

    def answers(self) -> list[tuple[str, int]]:
        """Name and status of each of the collection's requests, in order."""
        return [(each["item"]["name"], each["response"]["code"]) for each in self.executions()]

    def unserved(self) -> dict[str, int]:
        """Name and status of what was not a success."""
        return {name: status for name, status in self.answers() if status >= 300}

    def sent(self) -> list[dict[str, Any]]:
        """The requests of the collection as the proxy got them, but for those that are never forwarded."""
        return _to_forward(self.left)

    def forwarded(self) -> list[dict[str, Any]]:
        """Those as the simulator got them."""
        return _to_forward(self.arrived)


def _to_forward(records: list[dict[str, Any]]) -> list[dict[str, Any]]:
    own = [record for record in records if MARK in dict(record["headers"])]
    return [record for record in own if not record["target"].startswith(("/auth/", "/ap/"))]


def run_collection(running: Rig, collection: Collection, folder: Path, chosen: Mapping[str, str], *options: str) -> Run:
    """Prepare a collection for this proxy, with these variables, and run it; `options` are newman's.

    newman reaches the proxy as `localhost`, so that the pretend S3 at 127.0.0.1 is another host to it, as Amazon's is.
    """
    newman = require_program("newman")
    running.until_listed()
    report, left = folder / "report.json", folder / "left.json"
    command = [newman, "run", folder / "collection.json", "-e", folder / "environment.json", "--working-dir", folder]
    reporters = ["--reporters", "json", "--reporter-json-export", report, "--export-environment", left, *options]
    with relay(urlsplit(running.proxy_url).port or 0) as between:
        base_url = f"http://localhost:{between.port}"
        prepare(collection.requests, collection.environment, base_url, folder, chosen)
        subprocess.run([str(part) for part in [*command, *reporters]], capture_output=True, check=False, timeout=600)
    values = json.loads(left.read_text(encoding="utf-8"))["values"]
    return Run(
        json.loads(report.read_text(encoding="utf-8")),
        flows.asked(running, "/control/counts"),
        between.requests(),
        flows.asked(running, "/control/requests?listener=api&last=1000"),
        flows.asked(running, "/control/refusals")["refusals"],
        {value["key"]: value["value"] for value in values},
    )


def with_credentials() -> dict[str, str]:
    """The variables with what the proxy gave out to a client."""
    return {"client_id": flows.CLIENT, "client_secret": flows.KEY, "refresh_token": flows.ACCOUNT}


def passed(record: dict[str, Any], *dropped: str) -> tuple[Any, ...]:
    """Method, target and headers, but for those of the login, the connection, and cookies."""
    left_out = (*REPLACED, *OF_THE_CONNECTION, "cookie", *dropped)
    headers = [(name, value) for name, value in record["headers"] if name.lower() not in left_out]
    return record["method"], record["target"], headers
