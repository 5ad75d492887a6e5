"""Amazon's own Postman collection, run by newman through the proxy, without keys and with one.

The collection lies next to the project as data to test with; where it does not, these tests are skipped.
"""

from __future__ import annotations

from typing import Any

import pytest

from tests.clients import flows
from tests.integration.rig import rig
from tests.newman.runs import BESIDE, SCOPE, Collection, Run, Start, passed, run_collections, with_credentials
from tests.support.programs import require_file

pytestmark = [pytest.mark.integration, pytest.mark.newman]

COLLECTION = Collection.named(BESIDE, "Amazon_Ads_API")
REQUESTS = 244
"""Requests of the collection. The token request that its own script makes comes first."""

OUT_OF_ORDER = {
    # newman takes its API headers along when it follows the redirect to the presigned address of S3.
    **dict.fromkeys(("Download report", "Download SP snapshot", "Download SD snapshot", "Download SB snapshot"), 400),
    # The variables of this body, filled with one value each, do not make JSON.
    "Create a workflow": 400,
    # The preparation names keywords and targets of Sponsored Brands that were never made.
    **{
        f"{verb} {kind}": 404
        for verb in ("Get", "Delete")
        for kind in ("keyword", "negative keyword", "product target", "negative product target")
    },
}
"""What fails by the doing of the collection, newman or the preparation, and would without a proxy."""

WITHOUT_LOGIN = {"Insight metrics", "Upload file"}
"""Requests to which the collection adds no authorization at all."""


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Run]:
    """The collection with the made-up credentials that its preparation gives it, and with those of the proxy."""
    require_file(BESIDE)
    place, other = tmp_path_factory.mktemp("keyless"), tmp_path_factory.mktemp("keyed")
    with rig(place) as open_to_all, flows.keyed(other) as with_keys:
        for running in (open_to_all, with_keys):
            # Its media types are those of its own examples, not always the specifications'.
            running.control("/control/settings", {"strict_media_types": False})
        profile = {"profileId": flows.FIRST_PROFILE}
        keyless = Start(open_to_all, place / "run", profile)
        keyed = Start(with_keys, other / "run", profile | with_credentials())
        return dict(zip(("keyless", "keyed"), run_collections(COLLECTION, keyless, keyed), strict=True))


@pytest.fixture
def keyless(runs: dict[str, Run]) -> Run:
    return runs["keyless"]


@pytest.fixture
def keyed(runs: dict[str, Run]) -> Run:
    return runs["keyed"]


@pytest.fixture(params=["keyless", "keyed"])
def run(request: pytest.FixtureRequest, runs: dict[str, Run]) -> Run:
    """Run the collection in each of the two ways."""
    return runs[request.param]


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
    kinds = {kind: number for kind, number in run.counts["refusals_by_kind"].items() if kind != "operation-unknown"}
    assert kinds == {"s3-leaked-header": 4, "body": 1}


def test_one_token_serves_the_whole_run(run: Run) -> None:
    """All that reaches Amazon's side of logging in is the proxy's own one refresh."""
    assert run.counts["token_by_grant"] == {"refresh_token": 1}
    assert run.counts["token_requests"] == 1


def test_without_keys_all_but_the_sign_in_page_is_served(keyless: Run) -> None:
    """Everything succeeds but the browser's sign-in page, which is never forwarded, and the upload to an address that
    no request of the run was given, which Amazon does not have."""
    assert keyless.unserved() == {"Auth grant login": 404, "Upload file": 404, **OUT_OF_ORDER}


def test_with_keys_a_request_without_one_is_refused(keyed: Run) -> None:
    """The requests to which the collection adds no authorization are 401, the sign-in page too; all else is served."""
    refused = dict.fromkeys((*WITHOUT_LOGIN, "Auth grant login"), 401)
    assert keyed.unserved() == {**refused, **OUT_OF_ORDER}


def test_everything_else_arrives_as_it_was_sent(keyless: Run) -> None:
    """Method, target, and every header but those of the login are the same bytes as the proxy got, in that order."""
    arrived, sent = keyless.forwarded(), keyless.sent()
    assert len(sent) > 200
    assert [passed(record) for record in arrived] == [passed(record) for record in sent]


def test_with_keys_too_all_arrives_as_it_was_sent(keyed: Run) -> None:
    """All requests do, except those to which the collection adds no authorization, which are refused."""
    sent = [record for record in keyed.sent() if "authorization" in {name.lower() for name, _ in record["headers"]}]
    assert len(sent) > 200
    assert [passed(record) for record in keyed.forwarded()] == [passed(record) for record in sent]


def test_a_scope_of_its_own_arrives(keyless: Run) -> None:
    """Where the collection names a profile, that one arrives, once; elsewhere the default or none."""
    pairs = zip(map(_scopes, keyless.sent()), map(_scopes, keyless.forwarded()), strict=True)
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


def _scopes(record: dict[str, Any]) -> tuple[str, ...]:
    return tuple(value for name, value in record["headers"] if name == SCOPE)
