"""Amazon's own Postman collection, run by newman through the proxy, without keys and with one.

The collection lies beside the project as data to test with; where it does not, these tests are skipped. newman reaches
the proxy as `localhost`, so that the pretend S3 at 127.0.0.1 is another host to it, as Amazon's is.
"""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.clients import flows
from tests.integration.rig import Rig, rig
from tests.support.programs import ROOT, require_file, require_program

pytestmark = [pytest.mark.integration, pytest.mark.newman]

COLLECTION = ROOT.parent / "shared" / "postman"
REQUESTS = 244
"""Requests of the collection. The token request that its own script makes comes first."""

REPLACED = (
    "authorization",
    "amazon-advertising-api-clientid",
    "amazon-ads-clientid",
    "amazon-advertising-api-scope",
)
"""What the proxy puts in."""

OF_THE_CONNECTION = ("host", "connection")
OUT_OF_ORDER = {
    # newman takes its API headers along when it follows the redirect to the presigned address of S3.
    **dict.fromkeys(("Download report", "Download SP snapshot", "Download SD snapshot", "Download SB snapshot"), 400),
    # The variables of this body, filled with one value each, do not make JSON.
    "Create a workflow": 400,
}
"""What fails by the doing of the collection, newman or the preparation, and would without a proxy."""

SCOPE = "Amazon-Advertising-API-Scope"

MARK = "Postman-Collection"
"""A header that the collection adds to each of its requests; the proxy's own have none."""

WITHOUT_LOGIN = {"Insight metrics", "Upload file"}
"""Requests to which the collection adds no authorization at all."""


@dataclass
class Run:
    """A finished run: what newman sent and got, and what the simulator says."""

    report: dict[str, Any]
    counts: dict[str, Any]
    arrived: list[dict[str, Any]]
    refusals: list[dict[str, Any]]

    def executions(self) -> list[dict[str, Any]]:
        """The collection's requests, in order; newman shows that before which the script asked for a token twice."""
        return list({each["id"]: each for each in self.report["run"]["executions"]}.values())

    def answers(self) -> list[tuple[str, int]]:
        """Name and status of each of the collection's requests, in order."""
        return [(each["item"]["name"], each["response"]["code"]) for each in self.executions()]

    def forwarded(self) -> list[dict[str, Any]]:
        """The requests of the collection as the simulator got them, but for those that are never forwarded."""
        own = [record for record in self.arrived if MARK in dict(record["headers"])]
        return [record for record in own if not record["target"].startswith(("/auth/", "/ap/"))]


def _run(running: Rig, place: Path, base_url: str, *credentials: str) -> Run:
    """Prepares the collection for this address and runs it."""
    newman = require_program("newman")
    # Its media types are those of its own examples, not always the specifications'.
    running.control("/control/settings", {"strict_media_types": False})
    prepare = (sys.executable, str(COLLECTION / "prepare.py"), base_url, str(place))
    subprocess.run([*prepare, "--profile-id", flows.FIRST_PROFILE, *credentials], check=True)
    report = place / "report.json"
    command = [newman, "run", place / "collection.json", "-e", place / "environment.json", "--working-dir", place]
    reporters = ["--reporters", "json", "--reporter-json-export", report]
    subprocess.run([str(part) for part in [*command, *reporters]], capture_output=True, check=False, timeout=120)
    return Run(
        json.loads(report.read_text(encoding="utf-8")),
        flows.asked(running, "/control/counts"),
        flows.asked(running, "/control/requests?listener=api&last=1000"),
        flows.asked(running, "/control/refusals")["refusals"],
    )


def _as_localhost(url: str) -> str:
    return url.replace("127.0.0.1", "localhost")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    require_file(COLLECTION)
    return tmp_path_factory.mktemp("newman")


@pytest.fixture(scope="module")
def keyless(place: Path) -> Run:
    """The collection with the made-up credentials that its preparation gives it."""
    with rig(place) as running:
        return _run(running, place / "keyless", _as_localhost(running.tools))


@pytest.fixture(scope="module")
def direct(place: Path) -> Run:
    """The collection sent straight to the simulator, which refuses it all, for lack of a token, but sees its heads."""
    with rig(place) as running:
        return _run(running, place / "direct", running.simulator["api_urls"]["na"])


@pytest.fixture(scope="module")
def keyed(place: Path) -> Run:
    """The collection with credentials that the proxy gave out."""
    with flows.keyed(place) as running:
        credentials = ("--client-id", flows.CLIENT, "--client-secret", flows.KEY, "--refresh-token", flows.ACCOUNT)
        return _run(running, place / "keyed", _as_localhost(running.tools), *credentials)


@pytest.fixture(params=["keyless", "keyed"])
def run(request: pytest.FixtureRequest) -> Run:
    """Each of the two."""
    found: Run = request.getfixturevalue(request.param)
    return found


def test_every_request_is_sent_and_none_fails(run: Run) -> None:
    """245 requests leave newman: the token request of the collection's own script, and 244 that each get an answer."""
    statistics = run.report["run"]["stats"]["requests"]
    assert (statistics["total"], statistics["failed"]) == (REQUESTS + 1, 0)
    assert run.report["run"]["failures"] == []
    assert len(run.answers()) == REQUESTS


def test_no_header_is_wrong_or_missing(run: Run) -> None:
    """The simulator, which is as strict about headers as Amazon is, refuses no request for one."""
    assert [refusal for refusal in run.refusals if refusal["owner"] == "proxy"] == []
    assert run.counts["refusals_by_owner"]["proxy"] == 0
    assert run.counts["refusals_by_kind"] == {"s3-leaked-header": 4, "body": 1}


def test_one_token_serves_the_whole_run(run: Run) -> None:
    """All that reaches Amazon's side of logging in is the proxy's own one refresh."""
    assert run.counts["token_by_grant"] == {"refresh_token": 1}
    assert run.counts["token_requests"] == 1


def test_without_keys_all_but_the_sign_in_page_is_served(keyless: Run) -> None:
    """Everything succeeds but the browser's sign-in page, which is never forwarded."""
    assert _unserved(keyless) == {"Auth grant login": 404, **OUT_OF_ORDER}


def test_with_keys_a_request_without_one_is_refused(keyed: Run) -> None:
    """The requests to which the collection adds no authorization are 401, the sign-in page too; all else is served."""
    refused = dict.fromkeys((*WITHOUT_LOGIN, "Auth grant login"), 401)
    assert _unserved(keyed) == {**refused, **OUT_OF_ORDER}


def test_everything_else_arrives_as_it_was_sent(keyless: Run, direct: Run) -> None:
    """Method, target, and every header but those of the login are the same bytes as without a proxy, in that order."""
    arrived, sent = keyless.forwarded(), direct.forwarded()
    assert len(sent) > 200
    assert [_passed(record) for record in arrived] == [_passed(record) for record in sent]


def test_a_scope_of_its_own_arrives(keyless: Run, direct: Run) -> None:
    """Where the collection names a profile, that one arrives, once; elsewhere the default or none."""
    pairs = zip(map(_scopes, direct.forwarded()), map(_scopes, keyless.forwarded()), strict=True)
    assert set(pairs) == {
        ((flows.FIRST_PROFILE,), (flows.FIRST_PROFILE,)),
        ((), (flows.FIRST_PROFILE,)),
        ((), ()),
    }


def test_media_types_of_mixed_case_are_among_them(keyless: Run) -> None:
    """The vendor media types that a careless proxy would put into small letters have arrived as Amazon writes them."""
    types = {value for record in keyless.arrived for name, value in record["headers"] if name.lower() == "accept"}
    assert "application/vnd.spCampaign.v3+json" in types
    assert "application/vnd.sbcampaignresource.v4+json" in types


def _unserved(run: Run) -> dict[str, int]:
    """Name and status of what was not a success."""
    return {name: status for name, status in run.answers() if status >= 300}


def _passed(record: dict[str, Any]) -> tuple[Any, ...]:
    """Method, target and headers, but for those of the login, the connection, cookies, and newman's random mark."""
    dropped = (*REPLACED, *OF_THE_CONNECTION, "cookie", "postman-token")
    headers = [(name, value) for name, value in record["headers"] if name.lower() not in dropped]
    return record["method"], record["target"], headers


def _scopes(record: dict[str, Any]) -> tuple[str, ...]:
    return tuple(value for name, value in record["headers"] if name == SCOPE)
