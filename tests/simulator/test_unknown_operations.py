"""Operations that Amazon does not have: a typo is told here, and not first at Amazon."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from proxy.simulator.api import ROUTES
from proxy.simulator.operations import load_collections, load_operations
from scripts.compare_collection import api_path, requests
from tests.newman.runs import BESIDE
from tests.simulator.conftest import SimulatorClient

COLLECTIONS = sorted(BESIDE.glob("*.postman_collection.json"))


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "/nonsense"), ("POST", "/sp/campaign"), ("GET", "/us/v2/profiles"), ("PUT", "/assets/x")],
)
async def test_an_unknown_operation_is_not_found(client: SimulatorClient, method: str, path: str) -> None:
    """A typo gets the 404 that Amazon's gateway gave others, with the whole address, and is noted as a refusal."""
    reply = await client.ask(method, f"{path}?a=1", **({"Content_Type": "application/json"} if method != "GET" else {}))
    address = f"{client.simulator.api_urls['na']}{path}"
    assert (reply.status, reply.json()) == (
        404,
        {"code": "NOT_FOUND", "details": f"Could not find resource for full path: {address}"},
    )
    assert client.kinds() == ["operation-unknown"]


async def test_unknown_operations_of_the_unified_api_are_not_found(client: SimulatorClient) -> None:
    """The unified API has `message` where the others have `details`."""
    reply = await client.ask("POST", "/adsApi/v1/query/campaign", {}, Content_Type="application/json")
    assert (reply.status, sorted(reply.json())) == (404, ["code", "message"])


async def test_the_echo_answers_unknown_operations(client: SimulatorClient) -> None:
    """Without strict paths, any path gets the generic answer."""
    client.simulator.state.change(strict_paths=False)
    reply = await client.ask("GET", "/no/such/path")
    assert (reply.status, reply.json()["operation"]) == (200, None)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/v2/stores"),
        ("PUT", "/sb/beta/adGroups"),
        ("GET", "/sp/campaigns/1/budgetRules/budgetHistory"),
        ("POST", "/adsApi/v1/create/reservedTargetPricings/sb"),
    ],
)
async def test_paths_of_amazons_collections_are_known(client: SimulatorClient, method: str, path: str) -> None:
    """Operations that Amazon's Postman collections have and its specifications lack get the generic answer."""
    reply = await client.ask(method, path)
    assert (reply.status, reply.json()["path"]) == (200, path)


@pytest.mark.skipif(not COLLECTIONS, reason="no collection of Amazon's lies beside the project")
@pytest.mark.parametrize("file", COLLECTIONS, ids=lambda file: file.stem)
def test_every_request_of_a_collection_is_known(file: Path) -> None:
    """By the specifications, a handler, or `collections.jsonl`."""
    sent = [(each["method"], api_path(each["url"])) for each in requests(json.loads(file.read_text())["item"])]
    asked = {(method, path) for method, path in sent if path}
    assert len(asked) > 80
    handled = {each for each in asked if any(each[0] in route[0] and route[1].fullmatch(each[1]) for route in ROUTES)}
    tables = load_operations(), load_collections()
    assert {each for each in asked - handled if not any(table.find(*each) for table in tables)} == set()
