"""Every operation over sockets, by Scope, by ads account, by both and by defaults: what the simulator, as strict, saw.

743 operations, each sent with what its row requires, and of what the row allows with what the way names.
"""

from __future__ import annotations

import csv
import http.client
import re
from collections.abc import Iterator
from importlib import resources
from pathlib import Path
from typing import Any

import pytest

from tests.support.patience import PATIENCE
from tests.support.running import Serving, SimulatedAmazon, serving, simulated_amazon

pytestmark = pytest.mark.integration

SCOPE = "Amazon-Advertising-API-Scope"
ADDRESSES = {SCOPE.lower(), "amazon-ads-accountid", "amazon-ads-account-id"}
ADS_ACCOUNT, DEFAULT = "amzn1.ads-account.g.eu", "amzn1.ads-account.g.fe"
TOOLS_OWN = {"body", "content-type", "accept"}
"""What the simulator may have against requests with an empty body: no concern of who addresses them."""
NOT_BOTH = "/reporting/reports"
"""The path takes a Scope or an ads account, and answers 400 to both."""


def rows() -> list[dict[str, str]]:
    """What the proxy knows of each operation, read without the code that is tried."""
    text = resources.files("proxy.routing").joinpath("operations.tsv").read_text("ascii")
    table = csv.DictReader((line for line in text.splitlines() if not line.startswith("#")), delimiter="\t")
    return list(table)


ROWS = rows()


@pytest.fixture(scope="module")
def amazon() -> Iterator[SimulatedAmazon]:
    """Two users; the second has an ads account in eu and one in fe, each with the second profile of that region."""
    with simulated_amazon() as started:
        started.second = started.control("users", {"user": "second", "profiles_per_region": 2})  # type: ignore[attr-defined]  # for the tests
        for identifier, region, country in ((ADS_ACCOUNT, "eu", "DE"), (DEFAULT, "fe", "JP")):
            profile = started.second["profiles"][region][1]  # type: ignore[attr-defined]  # for the tests
            account_country = {"region": region, "country": country, "profile_id": profile}
            ads_account = {"account_id": identifier, "user": "second", "presences": [account_country]}
            started.control("ads-accounts", ads_account)
        yield started


@pytest.fixture(scope="module")
def running(amazon: SimulatedAmazon, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    second: dict[str, Any] = amazon.second  # type: ignore[attr-defined]  # for the tests
    defaults = {"default_profile": second["profiles"]["fe"][1], "default_ads_account": DEFAULT}
    accounts = {
        "acme": amazon.account(),
        "globex": amazon.account(refresh_token=second["refresh_token"], **defaults),
    }
    folder: Path = tmp_path_factory.mktemp("addressing")
    with serving(folder, amazon.configuration(accounts=accounts)) as started:
        for name in ("acme", "globex"):
            started.until_listed(name)
        yield started


def told(row: dict[str, str], way: str, profile: str) -> dict[str, str]:
    """The headers that the client sends: what the row requires, and what it allows of what this way names."""
    found = {}
    if row["scope"] == "required" or (row["scope"] == "optional" and way in ("scope", "both")):
        found[SCOPE.lower()] = profile
    if row["account_id"] == "required" or (row["account_id"] == "optional" and way in ("ads account", "both")):
        found[row["account_header"].lower()] = ADS_ACCOUNT
    return found


def added(row: dict[str, str], profile: str) -> dict[str, str]:
    """The headers that the proxy adds to a request that has none: the ads account before the profile, none at AMC."""
    taken = row["account_id"] != "never" and not row["path"].startswith("/amc/")
    found = {row["account_header"].lower(): DEFAULT} if taken else {}
    if row["scope"] == row["account_id"] == "required" or (row["scope"] != "never" and not taken):
        found[SCOPE.lower()] = profile
    return found


@pytest.mark.parametrize("way", ["scope", "ads account", "both", "defaults"])
def test_operations_arrive_where_they_belong(amazon: SimulatedAmazon, running: Serving, way: str) -> None:
    """With the headers of their rows and no others, at the region of what they name; the simulator minds nothing."""
    second: dict[str, Any] = amazon.second  # type: ignore[attr-defined]  # for the tests
    connection = http.client.HTTPConnection(running.netloc, timeout=PATIENCE)
    mark, wanted = f"?{way.replace(' ', '-')}=", {}
    for number, row in enumerate(ROWS):
        sent = {} if way == "defaults" else told(row, way, second["profiles"]["eu"][1])
        left = added(row, second["profiles"]["fe"][1]) if way == "defaults" else sent
        selector = "/@globex" if way == "defaults" else "" if sent else "/@acme"
        path = f"{re.sub(r'{[^{}]*}', 'x1', row['path'])}{mark}{number}"
        headers = {**sent, "Content-Type": "application/json"}
        connection.request(row["method"], selector + path, b"{}" if row["method"] != "GET" else None, headers)
        connection.getresponse().read()
        wanted[row["method"], path] = (("fe" if way == "defaults" else "eu") if left else "na", left)
    connection.close()
    seen = [each for each in amazon.look("requests", last=1000, listener="api") if mark in each["target"]]
    pairs = [(each["method"], each["target"], arrival(each)) for each in seen]
    wrong = [(*pair, wanted[pair[:2]]) for pair in pairs if pair[2] != wanted[pair[:2]]]
    assert (len(seen), wrong) == (len(ROWS), [])
    minded = [each for each in amazon.look("refusals")["refusals"] if mark in each["target"]]
    assert [each for each in minded if each["kind"] not in TOOLS_OWN and NOT_BOTH not in each["target"]] == []


def arrival(request: dict[str, Any]) -> tuple[str, dict[str, str]]:
    """At which region a request came in, and with which headers on its advertiser, by lower-case name."""
    named = [(name.lower(), value) for name, value in request["headers"] if name.lower() in ADDRESSES]
    assert len(dict(named)) == len(named)
    return request["region"], dict(named)


def test_the_table_is_whole() -> None:
    """743 operations, four ways each."""
    assert len(ROWS) == 743
