"""Objects of the earlier APIs, read by id: what was written is what a list and a single read answer."""

from __future__ import annotations

from typing import Any

import pytest

from tests.simulator.conftest import SimulatorClient
from tests.simulator.test_api import NA, scoped

SP = "application/vnd.spNegativeKeyword.v3+json"


async def ask(client: SimulatorClient, method: str, path: str, body: object = None) -> Any:
    return (await scoped(client, method, path, body)).json()


async def ask_sp(client: SimulatorClient, path: str, body: object) -> Any:
    sent = {"Content_Type": SP, "Accept": SP, "Amazon_Advertising_API_Scope": NA}
    return (await client.ask("POST", path, body, **sent)).json()


@pytest.mark.parametrize(("path", "id_name"), [("/sd/targets", "targetId"), ("/sb/keywords", "keywordId")])
async def test_a_bare_list_has_the_objects_of_the_ids(client: SimulatorClient, path: str, id_name: str) -> None:
    """Objects are listed as they were changed, and archived after a DELETE."""
    given = [{"adGroupId": 1, "campaignId": 2, "bid": bid, "state": "enabled"} for bid in (1.0, 2.0, 3.0)]
    if path == "/sd/targets":
        given = [
            {**each, "expressionType": "manual", "expression": [{"type": "asinSameAs", "value": "B0"}]}
            for each in given
        ]
    first, _, third = [each[id_name] for each in await ask(client, "POST", path, given)]
    await ask(client, "PUT", path, [{id_name: third, "bid": 4.5}])
    found = await ask(client, "GET", f"{path}?{id_name}Filter={first},{third}")
    assert [(int(each[id_name]), each["bid"]) for each in found] == [(first, 1.0), (third, 4.5)]
    await ask(client, "DELETE", f"{path}/{first}")
    assert (await ask(client, "GET", f"{path}/{first}"))["state"] == "archived"


async def test_targets_of_sponsored_brands_are_read_one_by_one(client: SimulatorClient) -> None:
    """Changes are answered by index, an unknown target with 404."""
    made = await ask(client, "POST", "/sb/targets", {"targets": [{"bid": 1.0, "state": "enabled"}]})
    target = made["createTargetSuccessResults"][0]["targetId"]
    changed = await ask(
        client, "PUT", "/sb/targets", {"targets": [{"targetId": target, "bid": 2.5}, {"targetId": 1, "bid": 3}]}
    )
    assert changed["updateTargetSuccessResults"] == [{"targetId": target, "targetRequestIndex": 0}]
    assert changed["updateTargetErrorResults"][0]["targetRequestIndex"] == 1
    assert (await ask(client, "GET", f"/sb/targets/{target}"))["bid"] == 2.5
    assert (await scoped(client, "GET", "/sb/targets/1")).status == 404


async def test_negative_keywords_have_a_filter_of_their_own(client: SimulatorClient) -> None:
    """`negativeKeywordIdFilter` chooses them, as the specification has it; in a delete, too."""
    given = {"negativeKeywords": [{"keywordText": text, "state": "ENABLED"} for text in "ab"]}
    made = await ask_sp(client, "/sp/negativeKeywords", given)
    second = made["negativeKeywords"]["success"][1]["keywordId"]
    wanted = {"negativeKeywordIdFilter": {"include": [second]}}
    found = await ask_sp(client, "/sp/negativeKeywords/list", wanted)
    assert [each["keywordText"] for each in found["negativeKeywords"]] == ["b"]
    await ask_sp(client, "/sp/negativeKeywords/delete", wanted)
    found = await ask_sp(client, "/sp/negativeKeywords/list", wanted)
    assert [each["state"] for each in found["negativeKeywords"]] == ["ARCHIVED"]
