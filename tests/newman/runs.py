"""A collection of Amazon's, run by newman: what it sent and got, and what the simulator thought of it.

Nothing is asserted of that here.
"""

from __future__ import annotations

import contextlib
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
from tests.newman.relay import Relay, relay
from tests.support.programs import ROOT, require_program

BESIDE = ROOT.parent / "shared" / "postman"
"""The folder with Amazon's collections, next to the project, as data to test with."""

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
        """The requests to be forwarded, as the simulator got them."""
        return _to_forward(self.arrived)


def _to_forward(records: list[dict[str, Any]]) -> list[dict[str, Any]]:
    own = [record for record in records if MARK in dict(record["headers"])]
    return [record for record in own if not record["target"].startswith(("/auth/", "/ap/"))]


@dataclass(frozen=True)
class Start:
    """A run that is to be: through which proxy, in which folder, and with which variables."""

    running: Rig
    folder: Path
    chosen: Mapping[str, str]


def run_collections(collection: Collection, *starts: Start, only: str | None = None) -> list[Run]:
    """Prepare a collection for each of these proxies, and run it, or `only` the item of this name.

    newman reaches the proxy as `localhost`, so that the pretend S3 at 127.0.0.1 is another host to it, as Amazon's is.
    """
    wanted, relays = [], []
    with contextlib.ExitStack() as stack:
        for start in starts:
            start.running.until_listed()
            between = stack.enter_context(relay(urlsplit(start.running.proxy_url).port or 0))
            relays.append(between)
            base_url = f"http://localhost:{between.port}"
            prepare(collection.requests, collection.environment, base_url, start.folder, start.chosen)
            wanted.append(newman_options(start.folder) | ({"folder": only} if only else {}))
        command = newman_command(starts[0].folder, wanted)
        ended = subprocess.run(command, capture_output=True, text=True, check=False, timeout=600)
    assert ended.returncode == 0, ended.stderr
    return [_run(start, between) for start, between in zip(starts, relays, strict=True)]


def newman_command(folder: Path, wanted: list[dict[str, Any]]) -> list[str | Path]:
    """What runs newman with each of these options in turn; they are listed in a file in the folder."""
    newman = Path(require_program("newman")).resolve().parent.parent
    listed = folder / "runs.json"
    listed.write_text(json.dumps(wanted), encoding="utf-8")
    return [require_program("node"), Path(__file__).parent / "run.js", newman, listed]


def newman_options(folder: Path) -> dict[str, Any]:
    """What newman needs to run the files in a folder, and to write its report there."""
    return {
        "collection": str(folder / "collection.json"),
        "environment": str(folder / "environment.json"),
        "workingDir": str(folder),
        "reporters": ["json"],
        "reporter": {"json": {"export": str(folder / "report.json")}},
        "exportEnvironment": str(folder / "left.json"),
    }


def _run(start: Start, between: Relay) -> Run:
    """What became of it."""
    values = json.loads((start.folder / "left.json").read_text(encoding="utf-8"))["values"]
    return Run(
        json.loads((start.folder / "report.json").read_text(encoding="utf-8")),
        flows.asked(start.running, "/control/counts"),
        between.requests(),
        flows.asked(start.running, "/control/requests?listener=api&last=1000"),
        flows.asked(start.running, "/control/refusals")["refusals"],
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
