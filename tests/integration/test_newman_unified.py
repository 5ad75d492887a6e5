"""Amazon's collection of the unified API, run by newman through the proxy, without keys and with one.

It is run where it lies next to the project; one in its form, made from Amazon's specifications, is run everywhere.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from proxy.simulator.ads_accounts import account_id
from tests.clients import flows
from tests.integration.rig import Rig, rig
from tests.newman.made import NAME, make_collection
from tests.newman.runs import BESIDE, SCOPE, Collection, Run, Start, passed, run_collections, with_credentials
from tests.support.specifications import published_specifications

pytestmark = [pytest.mark.integration, pytest.mark.newman]

AMAZONS = Collection.named(BESIDE, NAME)
ADS_ACCOUNT = account_id("default", 1)
"""The ads account whose profile in na is the first."""

IDS = {"accountId": ADS_ACCOUNT, "profileId": flows.FIRST_PROFILE}
ACCOUNT_ID = "Amazon-Ads-AccountId"
LOGIN_PAGE = "Auth grant login"


@pytest.fixture(scope="module", params=["made", *(["amazons"] if AMAZONS.requests.exists() else [])])
def collection(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Collection:
    """One made from the specifications, and Amazon's own where it is here."""
    if request.param == "amazons":
        return AMAZONS
    return make_collection(published_specifications(), tmp_path_factory.mktemp("made"), ADS_ACCOUNT)


def _judge_bodies(running: Rig, collection: Collection) -> None:
    # Some of the bodies in Amazon's collection are placeholders; those of the other one are as the specifications say.
    running.control("/control/settings", {"strict_bodies": collection != AMAZONS})


@pytest.fixture(scope="module")
def runs(collection: Collection, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Run]:
    """With made-up credentials, an ads account and a profile; with credentials that the proxy gave out; and `unset`.

    There, neither an ads account nor a profile is set: their headers are empty, and the proxy has a default of each.
    """
    names = ("keyless", "keyed", "unset")
    places = [tmp_path_factory.mktemp(name) for name in names]
    chosen: tuple[dict[str, str], ...] = (IDS, IDS | with_credentials(), {})
    with rig(places[0]) as one, flows.keyed(places[1]) as other, rig(places[2], ads_account=ADS_ACCOUNT) as third:
        starts = []
        for running, place, variables in zip((one, other, third), places, chosen, strict=True):
            _judge_bodies(running, collection)
            starts.append(Start(running, place / "run", variables))
        return dict(zip(names, run_collections(collection, *starts), strict=True))


@pytest.fixture(params=["keyless", "keyed", "unset"])
def run(runs: dict[str, Run], request: pytest.FixtureRequest) -> Run:
    """Run each collection in each of the three ways."""
    return runs[request.param]


def test_every_request_is_sent_and_none_fails(collection: Collection, run: Run) -> None:
    """All leave newman, and the token request of the collection's script; what the collection tests, holds."""
    statistics = run.report["run"]["stats"]["requests"]
    assert (statistics["total"], statistics["failed"]) == (collection.count() + 1, 0)
    assert run.report["run"]["failures"] == []
    assert len(run.answers()) == collection.count()
    assert set(run.unserved()) == {LOGIN_PAGE}


def test_no_header_is_wrong_or_missing(run: Run) -> None:
    """The simulator, which is as strict about headers as Amazon is, refuses nothing."""
    assert run.refusals == []
    assert run.counts["refusals_by_owner"]["proxy"] == 0


def test_one_token_serves_the_whole_run(run: Run) -> None:
    """All that reaches Amazon's side of logging in is the proxy's own one refresh."""
    assert run.counts["token_by_grant"] == {"refresh_token": 1}


@pytest.mark.parametrize("way", ["keyless", "keyed"])
def test_everything_else_arrives_as_it_was_sent(way: str, runs: dict[str, Run]) -> None:
    """Method, target, and every header but those of the login are the same bytes as the proxy got, in that order."""
    arrived, sent = runs[way].forwarded(), runs[way].sent()
    assert len(sent) > 85
    assert [passed(record) for record in arrived] == [passed(record) for record in sent]
    assert [_accounts(record) for record in arrived] == [_accounts(record) for record in sent]


def test_empty_headers_count_as_none(runs: dict[str, Run]) -> None:
    """If the collection sends empty ids, only a default one arrives, and all else arrives unchanged."""
    unset = runs["unset"]
    arrived = unset.forwarded()
    names = (SCOPE.lower(), ACCOUNT_ID.lower())
    assert [passed(record, *names) for record in arrived] == [passed(record, *names) for record in unset.sent()]
    found = [_accounts(record) for record in arrived]
    assert {value for pairs in found for value in pairs.values()} == {ADS_ACCOUNT, flows.FIRST_PROFILE}
    assert all(len(pairs) < 2 for pairs in found)


def test_the_refresh_token_that_comes_serves_the_next_time(
    collection: Collection, runs: dict[str, Run], tmp_path: Path
) -> None:
    """The script overwrites its refresh token with what the answer has: there is one, and a request goes on with it."""
    token = runs["keyed"].environment["refresh_token"]
    assert token
    name, _ = runs["keyed"].answers()[-1]
    with flows.keyed(tmp_path) as running:
        _judge_bodies(running, collection)
        chosen = {**IDS, **with_credentials(), "refresh_token": token}
        (again,) = run_collections(collection, Start(running, tmp_path / "again", chosen), only=name)
    assert again.report["run"]["failures"] == []
    assert again.report["run"]["stats"]["requests"]["total"] == 2
    assert [(name, status < 300) for name, status in again.answers()] == [(name, True)]


def _accounts(record: dict[str, Any]) -> dict[str, str]:
    """Which advertiser a request names, by header."""
    return {name: value for name, value in record["headers"] if name in (SCOPE, ACCOUNT_ID)}
