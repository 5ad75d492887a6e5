"""A 401 or 403 of Amazon's on the running program: the client gets it unchanged, log and `/status` have the reason."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.integration.rig import Rig, rig
from tests.support.processes import until

pytestmark = pytest.mark.integration


def explained(running: Rig, status: int) -> dict[str, Any]:
    """The log line of the first request that was answered so; `/status` says the same."""

    def found() -> dict[str, Any] | None:
        lines = [json.loads(line) for line in running.log.lines if '"event":"request"' in line]
        return next((line for line in lines if line["status"] == status), None)

    line: dict[str, Any] = until(found)
    (listed,) = json.loads(running.admin_get("/status")[1])["refused"]
    assert (listed["status"], listed["reason"], listed["detail"]) == (status, "refused-by-amazon", line["detail"])
    assert line["refusal"] == ""
    return line


def ready(running: Rig) -> None:
    """A request has been served, and the profiles are listed."""
    assert running.get("/v2/profiles")[0] == 200
    running.until_listed()


def test_a_profile_of_nobodys_is_told(tmp_path: Path) -> None:
    """No login lists it."""
    with rig(tmp_path) as running:
        ready(running)
        status, body = running.get("/sd/campaigns", {"Amazon-Advertising-API-Scope": "999"})
        assert (status, json.loads(body)["code"]) == (401, "UNAUTHORIZED")
        assert explained(running, 401)["detail"].startswith("Profile 999 is not in the lists of any login here")


def test_a_401_of_a_revoked_account_is_told_as_such(tmp_path: Path) -> None:
    """The client gets a 503 with advice, because no other token can be had."""
    with rig(tmp_path) as running:
        ready(running)
        running.control("/control/credentials/revoke", {"access_tokens": True})
        answers = [running.get("/v2/profiles") for _ in range(9)]
        assert [status for status, _ in answers] == [503] * 9
        problem = json.loads(answers[0][1])
        assert problem["retryable"] is False
        assert "ads-proxy login" in problem["detail"]
        (account,) = json.loads(running.admin_get("/status")[1])["accounts"]
        assert (account["state"], account["serving"]) == ("revoked", False)


@pytest.mark.parametrize(
    ("named", "status", "words"),
    [
        ("app-not-approved", 401, "application is not approved"),
        ("program-forbidden", 403, "no access to this kind of advertising"),
        ("gateway", 403, "Amazon's gateway does not know this path"),
        ("advertiser-invalid", 400, "does not belong to this login"),
    ],
)
def test_amazons_words_are_explained(tmp_path: Path, named: str, status: int, words: str) -> None:
    """The words are those that people have met."""
    with rig(tmp_path) as running:
        ready(running)
        running.control("/control/faults", {"match": {"path": "/sd/campaigns"}, "fault": {"named": named}})
        assert running.get("/sd/campaigns", {"Amazon-Advertising-API-Scope": "1110000000000001"})[0] == status
        assert words in explained(running, status)["detail"]
