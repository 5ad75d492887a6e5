"""Amazon's two Postman collections with Amazon's own addresses, run by newman: people set their credentials alone.

The newer collection is made from Amazon's specifications where Amazon's own is not next to the project.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from proxy.simulator.ads_accounts import account_id
from tests.clients import flows
from tests.clients.intercepted import Interception, intercepting
from tests.newman.made import NAME, make_collection
from tests.newman.prepare import API_HOST, prepare
from tests.newman.runs import BESIDE, MARK, Collection, newman_command, newman_options
from tests.support.programs import require_file
from tests.support.specifications import published_specifications

pytestmark = [pytest.mark.integration, pytest.mark.newman]

OLDER = Collection.named(BESIDE, "Amazon_Ads_API")
FIRST_FOLDERS = ["Accounts", "First call"]
"""What Amazon's page for beginners has people send: profiles, manager accounts, and campaigns of three kinds."""

FIRST_CALLS = ("Profiles", "Manager accounts", "List SB campaigns", "List SD campaigns", "List SP campaigns")
LOGIN_PAGE = "Auth grant login"
TOKEN_URL = "https://api.amazon.com/auth/o2/token"
IDS = {"accountId": account_id("default", 1), "profileId": flows.FIRST_PROFILE}


@dataclass(frozen=True)
class Sent:
    """What newman says of both collections: requests in order, as it writes them in its report."""

    older: list[dict[str, Any]]
    newer: list[dict[str, Any]]
    proxy: Interception


@pytest.fixture(scope="module", params=["run", "variables"])
def sent(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sent]:
    """The older collection as Amazon publishes it, and all of the newer one with a value for each variable.

    As the command of `run` without clients; with the variables, the proxy has a client with a key.
    """
    require_file(BESIDE)
    newer = Collection.named(BESIDE, NAME)
    if not newer.requests.exists():
        newer = make_collection(published_specifications(), tmp_path_factory.mktemp("made"), IDS["accountId"])
    folders = [tmp_path_factory.mktemp(name) for name in ("older", "newer")]
    client = flows.CLIENT if request.param == "variables" else ""
    with intercepting(tmp_path_factory.mktemp("proxy"), client) as proxy:
        proxy.amazon.control("settings", {"strict_bodies": False})
        chosen = {name.removeprefix("AMAZON_ADS_").lower(): value for name, value in proxy.credentials().items()} | IDS
        files = {"collection": str(OLDER.requests), "environment": str(OLDER.environment), "folder": FIRST_FOLDERS}
        variables = {"envVar": [{"key": name, "value": value} for name, value in chosen.items()]}
        prepare(newer.requests, newer.environment, API_HOST, folders[1], {**chosen, "token_url": TOKEN_URL})
        wanted = [newman_options(folders[0]) | files | variables, newman_options(folders[1])]
        ended = proxy.execute(request.param, *newman_command(folders[0], wanted))
        assert ended.returncode == 0, ended.stderr
        yield Sent(executions(folders[0]), executions(folders[1]), proxy)


def executions(folder: Path) -> list[dict[str, Any]]:
    """The requests of a report; it has one twice before which the script asked for a token."""
    run = json.loads((folder / "report.json").read_text(encoding="utf-8"))["run"]
    return list({each["id"]: each for each in run["executions"]}.values())


def test_the_first_calls_of_the_older_collection(sent: Sent) -> None:
    """Its script logs in at api.amazon.com; profiles, manager accounts, and campaigns are listed."""
    found = [(each["item"]["name"], each["response"]["code"]) for each in sent.older]
    assert found == [(name, 200) for name in FIRST_CALLS]


def test_all_of_the_newer_collection(sent: Sent) -> None:
    """All is served but the sign-in page. It is asked of the API's host: newman's report breaks on a refused tunnel."""
    assert len(sent.newer) > 85
    refused = {each["item"]["name"] for each in sent.newer if not 200 <= each["response"]["code"] < 300}
    assert refused == {LOGIN_PAGE}
    assert sent.proxy.refusals() == []


def test_what_newman_sends_arrives(sent: Sent) -> None:
    """In its order, each request that is forwarded has the media types and the marks that newman gave it."""
    seen = sent.proxy.amazon.look("requests", listener="api", last=1000)
    arrived = [passed for each in seen if MARK in dict(passed := map_headers(each["headers"]))]
    left = [
        map_headers((each["key"], each["value"]) for each in asked["request"]["header"] if not each.get("disabled"))
        for asked in (*sent.older, *sent.newer)
        if asked["request"]["url"]["path"][0] not in ("auth", "ap")
    ]
    assert len(left) > 85
    assert arrived == left


def map_headers(lines: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    """The header fields that neither the login nor the connection changes."""
    return [(name, value) for name, value in lines if name in ("Accept", "Content-Type", "Postman-Token", MARK)]
