"""Amazon's own specifications as the judge: Prism, which serves them, stands behind the proxy.

For every operation of every OpenAPI file a request without any login goes through the proxy; Prism must find no
security or header parameter missing or wrong. What it finds in path and query is the request generator's affair, and
bodies are not judged.
"""

from __future__ import annotations

import contextlib
import http.client
import itertools
import json
import os
import subprocess
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml

from tests.clients import environments, flows
from tests.clients.prism.operations import Operation, operations, specifications, without_bodies
from tests.integration.rig import Rig, rig
from tests.support.patience import PATIENCE
from tests.support.processes import free_port
from tests.support.programs import require_program
from tests.support.running import replace_file
from tests.support.specifications import published_specifications

pytestmark = [pytest.mark.integration, pytest.mark.newman]

REGIONS = ("na", "eu", "fe")
OPERATIONS = 723


@dataclass(frozen=True)
class Verdict:
    """What became of a request: `faults` are the headers and the security that Prism found wrong."""

    operation: Operation
    status: int
    faults: tuple[str, ...]


@dataclass
class Trial:
    """All verdicts, through the proxy and without it."""

    through: list[Verdict] = field(default_factory=list)
    without: list[Verdict] = field(default_factory=list)
    files: int = 0


class Prism:
    """Prism as a process, which serves one file on each port."""

    def __init__(self) -> None:
        node = require_program("node")
        modules = environments.node_environment("prism") / "node_modules"
        command = [node, str(environments.CLIENTS / "prism" / "serve.js")]
        environ = {**os.environ, "CLIENT_MODULES": str(modules)}
        self._child = subprocess.Popen(command, env=environ, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self._child.stdin is not None
        assert self._child.stdout is not None
        self._asked, self._told = self._child.stdin, self._child.stdout

    def serve(self, port: int, document: Path) -> None:
        """Serve a file on the port instead of the last one. All connections to that one are closed on both sides
        then."""
        asked = f"{port} {document}\n"
        self._asked.write(asked)
        self._asked.flush()
        assert asked in iter(self._told.readline, ""), "Prism ended"

    def end(self) -> None:
        self._asked.close()
        self._child.wait(PATIENCE)
        self._told.close()


@pytest.fixture(scope="module")
def trial(tmp_path_factory: pytest.TempPathFactory) -> Trial:
    """Every operation tried, each file in the place of one region's API in turn."""
    place = tmp_path_factory.mktemp("prism")
    found = Trial()
    ports = {region: free_port() for region in REGIONS}
    documents = specifications(published_specifications())
    prism = Prism()
    with contextlib.ExitStack() as stack:
        stack.callback(prism.end)
        proxy = stack.enter_context(rig(place))
        _point(proxy, place / "proxy.yaml", ports)
        for (file, document), region in zip(documents, itertools.cycle(REGIONS), strict=False):
            wanted = operations(file, document)
            path = place / f"{file}.json"
            path.write_text(json.dumps(without_bodies(document)))
            prism.serve(ports[region], path)
            found.through += _try(proxy.proxy_url, f"/{region}", wanted)
            found.without += _try(f"http://127.0.0.1:{ports[region]}", "", wanted)
            found.files += 1
    return found


def test_every_operation_is_accepted(trial: Trial) -> None:
    """Prism finds no missing or wrong security or header parameter in any of 723 requests."""
    faulty = {verdict.operation.name: verdict.faults for verdict in trial.through if verdict.faults}
    print(f"\nPrism: {trial.files} files, {len(trial.through)} operations tried, {len(faulty)} refused")
    assert len(trial.through) == OPERATIONS
    assert faulty == {}


def test_the_judge_is_strict(trial: Trial) -> None:
    """Sent to Prism without the proxy, nearly all of the requests are refused for their headers."""
    refused = [verdict for verdict in trial.without if verdict.faults]
    assert len(refused) > OPERATIONS * 0.9


def test_every_request_reached_the_judge(trial: Trial) -> None:
    """The proxy answered none itself, and Prism knew each operation."""
    statuses = Counter(verdict.status for verdict in trial.through)
    assert not {404, 405, 502, 503, 504} & statuses.keys()


def _point(proxy: Rig, file: Path, ports: dict[str, int]) -> None:
    """The APIs of the three regions are three Prisms from now on."""
    config = yaml.safe_load(file.read_text())
    for region, port in ports.items():
        config["regions"][region]["api_url"] = f"http://127.0.0.1:{port}"
    config["accounts"]["acme"]["default_profile"] = flows.FIRST_PROFILE
    replace_file(file, yaml.safe_dump(config))
    proxy.log.wait_for(lambda line: line.get("event") == "config_reloaded")


def _try(base: str, prefix: str, wanted: list[Operation]) -> list[Verdict]:
    """One request after the other on one connection."""
    connection = http.client.HTTPConnection(urlsplit(base).netloc, timeout=PATIENCE)
    with contextlib.closing(connection):
        return [_judged(connection, prefix, operation) for operation in wanted]


def _judged(connection: http.client.HTTPConnection, prefix: str, operation: Operation) -> Verdict:
    connection.request(operation.method, prefix + operation.target, operation.body, operation.headers)
    answer = connection.getresponse()
    body = answer.read()
    violations = json.loads(answer.headers.get("sl-violations") or "[]")
    with contextlib.suppress(ValueError):
        said = json.loads(body)
        if isinstance(said, dict) and "stoplight.io" in str(said.get("type")):
            violations += said.get("validation", [])
            violations += [{"code": 401, "message": said["title"]}] if said["status"] in (401, 415, 500) else []
    faults = [str(entry["message"]) for entry in violations if _concerns_login(entry)]
    refused = answer.headers.get("Proxy-Status")
    return Verdict(operation, answer.status, tuple(faults + ([f"refused by the proxy: {refused}"] if refused else [])))


def _concerns_login(violation: dict[str, Any]) -> bool:
    """Whether it is about a header or the security scheme."""
    return "header" in violation.get("location", []) or str(violation.get("code")) == "401"
