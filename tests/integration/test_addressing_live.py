"""Operations over sockets, by Scope, by ads account, by both and by defaults: what the simulator, as strict, saw."""

from __future__ import annotations

import csv
import http.client
import re
from collections.abc import Iterator
from importlib import resources
from pathlib import Path
from typing import Any

import pytest

from tests.support.running import Serving, SimulatedAmazon, serving, simulated_amazon

pytestmark = pytest.mark.integration

SCOPE = "Amazon-Advertising-API-Scope"
ADDRESSES = {SCOPE.lower(), "amazon-ads-accountid", "amazon-ads-account-id"}
ADS_ACCOUNT, DEFAULT = "amzn1.ads-account.g.eu", "amzn1.ads-account.g.fe"
STEP = 29
"""Every so many rows of the table are tried, and beside them those that are unlike the rest."""
UNLIKE = {
    "/sp/global/targets/keywords/recommendations/list",
    "/dsp/streams/subscriptions",
    "/adsApi/v1/query/ads",
    "/adsApi/v1/query/campaigns",
    "/reporting/reports",
    "/amc/reporting/{instanceId}/schedules",
}
TOOLS_OWN = {"body", "content-type", "accept"}
"""What the simulator may have against requests with an empty body: no concern of who addresses them."""


def sample() -> list[dict[str, str]]:
    text = resources.files("proxy.routing").joinpath("operations.tsv").read_text("ascii")
    rows = list(csv.DictReader((line for line in text.splitlines() if not line.startswith("#")), delimiter="\t"))
    return [row for number, row in enumerate(rows) if number % STEP == 0 or row["path"] in UNLIKE]


@pytest.fixture(scope="module")
def amazon() -> Iterator[SimulatedAmazon]:
    """Two users; the second has an ads account in eu and one in fe, each with the second profile of that region."""
    with simulated_amazon() as started:
        started.second = started.control("users", {"user": "second", "profiles_per_region": 2})  # type: ignore[attr-defined]
        for identifier, region, country in ((ADS_ACCOUNT, "eu", "DE"), (DEFAULT, "fe", "JP")):
            profile = started.second["profiles"][region][1]  # type: ignore[attr-defined]
            presence = {"region": region, "country": country, "profile_id": profile}
            ads_account = {"account_id": identifier, "user": "second", "presences": [presence]}
            started.control("ads-accounts", ads_account)
        yield started


@pytest.fixture(scope="module")
def running(amazon: SimulatedAmazon, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    second: dict[str, Any] = amazon.second  # type: ignore[attr-defined]
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


def expected(row: dict[str, str], way: str, profile: str, default: str) -> dict[str, str]:
    """The headers that may leave, by the row; of `defaults` nothing is sent by the tool."""
    scope, ads_account = row["scope"] != "never", row["account_id"] != "never"
    header = row["account_header"].lower()
    both = row["scope"] == row["account_id"] == "required"
    if both and way in ("scope", "ads account"):
        way = "both"
    if way == "defaults":
        taken = ads_account and not row["path"].startswith("/amc/")
        found = {header: DEFAULT} if taken else {}
        return {**found, **({SCOPE.lower(): default} if scope and (not taken or both) else {})}
    found = {SCOPE.lower(): profile} if scope and way in ("scope", "both") else {}
    if ads_account and way in ("ads account", "both"):
        found[header] = ADS_ACCOUNT
    return found


@pytest.mark.parametrize("way", ["scope", "ads account", "both", "defaults"])
def test_operations_arrive_where_they_belong(amazon: SimulatedAmazon, running: Serving, way: str) -> None:
    """With the headers of their rows and no others, at the region of what they name; the simulator minds nothing."""
    second: dict[str, Any] = amazon.second  # type: ignore[attr-defined]
    connection = http.client.HTTPConnection(running.netloc, timeout=20)
    wrong: list[object] = []
    known = len(amazon.look("refusals")["refusals"])
    for number, row in enumerate(sample()):
        wanted = expected(row, way, second["profiles"]["eu"][1], second["profiles"]["fe"][1])
        sent = {} if way == "defaults" else wanted
        selector = "" if sent else "/@globex" if way == "defaults" else "/@acme"
        path = f"{re.sub(r'{[^{}]*}', 'x1', row['path'])}?n={number}"
        headers = {**sent, "Content-Type": "application/json"}
        connection.request(row["method"], selector + path, b"{}" if row["method"] != "GET" else None, headers)
        connection.getresponse().read()
        seen = next(r for r in reversed(amazon.look("requests", last=1000)) if r["target"] == path)
        left = {each.lower(): value for each, value in seen["headers"] if each.lower() in ADDRESSES}
        region = ("fe" if way == "defaults" else "eu") if wanted else "na"
        if (seen["region"], left) != (region, wanted):
            wrong.append((row["method"], path, seen["region"], left, wanted))
    connection.close()
    assert not wrong
    if way in ("both", "defaults"):
        minded = amazon.look("refusals")["refusals"][known:]
        assert [each for each in minded if each["kind"] not in TOOLS_OWN] == []
