"""Amazon's own specifications as the judge: Prism, which serves them, stands behind the proxy.

For every operation of every OpenAPI file a request without any login goes through the proxy; Prism must find no
security or header parameter missing or wrong. What it finds in path, query and body is the request generator's affair.
"""

from __future__ import annotations

import contextlib
import functools
import http.client
import json
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml

from tests.clients import environments, flows
from tests.clients.prism.operations import Operation, operations, specifications
from tests.integration.rig import Rig, rig
from tests.support.processes import Output, free_port, started, until
from tests.support.programs import require_program

pytestmark = [pytest.mark.integration, pytest.mark.newman]

UNJUDGED: dict[str, str] = json.loads((environments.CLIENTS / "prism" / "unjudged.json").read_text(encoding="utf-8"))
"""Operations that fail for reasons of the specification, and the reason."""

REGIONS = ("na", "eu", "fe")
OPERATIONS = 723
PRISMS_START = 180.0
"""Seconds that three of them may take to read their specifications, on a machine that does much else."""


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


@pytest.fixture(scope="module")
def trial(tmp_path_factory: pytest.TempPathFactory) -> Trial:
    """Every operation tried: three files at a time, each in the place of one region's API."""
    require_program("node")
    place = tmp_path_factory.mktemp("prism")
    prism = environments.node_environment("prism") / "node_modules" / ".bin" / "prism"
    found = Trial()
    ports = {region: free_port() for region in REGIONS}
    documents = list(specifications(environments.downloaded_wheel("specifications")))
    with rig(place) as proxy:
        _point(proxy, place / "proxy.yaml", ports)
        for group in _batched(documents):
            with contextlib.ExitStack() as stack:
                served = []
                for region, (file, document) in zip(REGIONS, group, strict=False):
                    path = place / f"{file}.json"
                    path.write_text(json.dumps(document))
                    output = stack.enter_context(started(prism, "mock", path, "-p", str(ports[region])))
                    served.append((region, operations(file, document), output))
                for region, wanted, output in served:
                    until(functools.partial(_listens, output), patience=PRISMS_START)
                    found.through += _try(proxy.proxy_url, f"/{region}", wanted)
                    found.without += _try(f"http://127.0.0.1:{ports[region]}", "", wanted)
                    found.files += 1
    return found


def test_every_operation_is_accepted(trial: Trial) -> None:
    """Prism finds no missing or wrong security or header parameter in any of 723 requests."""
    faulty = {verdict.operation.name: verdict.faults for verdict in trial.through if verdict.faults}
    tried, passed = len(trial.through), len(trial.through) - len(faulty)
    print(f"\nPrism: {trial.files} files, {tried} operations tried, {passed} accepted, {len(UNJUDGED)} not judged")
    assert tried == OPERATIONS
    assert {name: faults for name, faults in faulty.items() if name not in UNJUDGED} == {}


def test_what_is_not_judged_would_fail(trial: Trial) -> None:
    """The list of exceptions is no longer than it must be."""
    faulty = {verdict.operation.name for verdict in trial.through if verdict.faults}
    assert UNJUDGED.keys() - faulty == set()


def test_the_judge_is_strict(trial: Trial) -> None:
    """The same requests, sent to Prism without the proxy, are refused for their headers nearly all."""
    refused = [verdict for verdict in trial.without if verdict.faults]
    assert len(refused) > OPERATIONS * 0.9


def test_every_request_reached_the_judge(trial: Trial) -> None:
    """None was answered by the proxy itself, and Prism knew each operation."""
    statuses = Counter(verdict.status for verdict in trial.through)
    assert not {404, 405, 502, 503, 504} & statuses.keys()


def _listens(prism: Output) -> bool:
    return any("is listening" in line for line in prism.lines)


def _point(proxy: Rig, file: Path, ports: dict[str, int]) -> None:
    """The APIs of the three regions are three Prisms from now on."""
    config = yaml.safe_load(file.read_text())
    for region, port in ports.items():
        config["regions"][region]["api_url"] = f"http://127.0.0.1:{port}"
    config["accounts"]["acme"]["default_profile"] = flows.FIRST_PROFILE
    file.write_text(yaml.safe_dump(config))
    until(lambda: any('"config_reloaded"' in line for line in proxy.log.lines))


def _try(base: str, prefix: str, wanted: list[Operation]) -> list[Verdict]:
    """One request after the other on one connection."""
    connection = http.client.HTTPConnection(urlsplit(base).netloc, timeout=60)
    with contextlib.closing(connection):
        return [_judged(connection, prefix, operation) for operation in wanted]


def _judged(connection: http.client.HTTPConnection, prefix: str, operation: Operation) -> Verdict:
    connection.request(operation.method, prefix + operation.target, operation.body, operation.headers)
    answer = connection.getresponse()
    body = answer.read()
    violations = _listed(answer.headers.get("sl-violations") or "")
    with contextlib.suppress(ValueError):
        said = json.loads(body)
        if isinstance(said, dict) and "stoplight.io" in str(said.get("type")):
            violations += said.get("validation", [])
            violations += [{"code": 401, "message": said["title"]}] if said["status"] in (401, 415, 500) else []
    faults = [str(entry["message"]) for entry in violations if _concerns_login(entry)]
    refused = answer.headers.get("Proxy-Status")
    return Verdict(operation, answer.status, tuple(faults + ([f"refused by the proxy: {refused}"] if refused else [])))


def _listed(violations: str) -> list[dict[str, Any]]:
    """The header's entries. Prism cuts a long list off; those of the request come before those of its answer."""
    if not violations.startswith("Too many"):
        found: list[dict[str, Any]] = json.loads(violations or "[]")
        return found
    whole = [json.loads(entry) for entry in re.findall(r'\{"location":.*?"\}(?=,\{|\]|$)', violations)]
    assert whole, violations
    cut_off = not any(entry["location"][0] == "response" for entry in whole)
    return [*whole, *([{"code": 401, "message": "the list is cut off within the request"}] if cut_off else [])]


def _concerns_login(violation: dict[str, Any]) -> bool:
    """Whether it is about a header or the security scheme of the request."""
    location = violation.get("location", [])
    return ("header" in location and location[0] != "response") or str(violation.get("code")) == "401"


def _batched(documents: list[tuple[str, Any]]) -> Iterator[list[tuple[str, Any]]]:
    for start in range(0, len(documents), len(REGIONS)):
        yield documents[start : start + len(REGIONS)]
