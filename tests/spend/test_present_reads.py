"""Which reads tell what objects are like now, and what their responses say."""

from __future__ import annotations

import json
from typing import Any

import pytest

from proxy.profiles.listing import ListResponse
from proxy.routing.operations import PUBLISHED, Effect
from proxy.spend.present_reads import MAX_READS, ObjectGroup, PresentRead, group_objects, next_read
from proxy.spend.present_values import WrittenBody
from proxy.spend.table import MONEY
from proxy.spend.written_values import Verb, verb_of, written_objects

SP = "PUT /sp/campaigns"
UNIFIED = "POST /adsApi/v1/update/campaigns"


def groups_of(operation: str, content: Any) -> tuple[ObjectGroup, ...]:
    return group_objects(operation, written_objects(WrittenBody(operation, content)))


def all_reads(operation: str, content: Any, found: dict[str, Any] | None = None) -> list[PresentRead]:
    groups, done = groups_of(operation, content), list[PresentRead]()
    while (read := next_read(groups, found or {}, done)) is not None:
        done.append(read)
    return done


def campaigns(count: int, **members: Any) -> dict[str, Any]:
    return {"campaigns": [{"campaignId": str(number), **members} for number in range(1, count + 1)]}


def test_version_3_lists_by_ids() -> None:
    (read,) = all_reads(SP, campaigns(2, state="PAUSED"))
    request = read.list.request(read.ids, "123")
    assert (request.method, request.target, request.profile) == ("POST", "/sp/campaigns/list", "123")
    assert request.media_type == "application/vnd.spCampaign.v3+json"
    assert json.loads(request.data or b"") == {"campaignIdFilter": {"include": ["1", "2"]}, "maxResults": 100}


def test_negative_keywords_are_chosen_by_a_filter_of_their_own() -> None:
    (read,) = all_reads("PUT /sp/negativeKeywords", {"negativeKeywords": [{"keywordId": "5", "state": "PAUSED"}]})
    assert json.loads(read.list.request(read.ids, "").data or b"")["negativeKeywordIdFilter"] == {"include": ["5"]}


def test_a_list_without_pages_gets_no_size() -> None:
    (read,) = all_reads("PUT /portfolios", {"portfolios": [{"portfolioId": "5", "name": "x"}]})
    assert json.loads(read.list.request(read.ids, "").data or b"") == {"portfolioIdFilter": {"include": ["5"]}}


def test_sponsored_display_lists_by_parameters() -> None:
    (read,) = all_reads("PUT /sd/campaigns", [{"campaignId": 5, "budget": 1}, {"campaignId": 6, "budget": 1}])
    request = read.list.request(read.ids, "123")
    assert (request.method, request.target, request.data) == ("GET", "/sd/campaigns?campaignIdFilter=5,6", None)


def test_targets_of_sponsored_brands_are_read_one_by_one() -> None:
    """Three of them: more reads there are not for one write."""
    reads = all_reads("PUT /sb/targets", {"targets": [{"targetId": number, "bid": 1} for number in range(1, 9)]})
    assert [each.list.request(each.ids, "").target for each in reads] == [f"/sb/targets/{n}" for n in (1, 2, 3)]


def test_sponsored_brands_takes_ten_ids_at_a_time() -> None:
    reads = all_reads("PUT /sb/v4/campaigns", campaigns(25, state="PAUSED"))
    assert [len(each.ids) for each in reads] == [10, 10, 5]


def test_a_unified_object_is_looked_for_in_each_product() -> None:
    """The next product is asked for those alone that the last one did not have."""
    groups = groups_of(UNIFIED, campaigns(3, state="PAUSED"))
    first = next_read(groups, {}, [])
    assert first is not None
    second = next_read(groups, {"campaign/2": {}}, [first])
    assert second is not None
    assert (first.ids, second.ids) == (("1", "2", "3"), ("1", "3"))
    asked = [json.loads(each.list.request(each.ids, "").data or b"")["adProductFilter"] for each in (first, second)]
    assert asked == [{"include": ["SPONSORED_PRODUCTS"]}, {"include": ["SPONSORED_BRANDS"]}]
    assert next_read(groups, {"campaign/1": {}, "campaign/2": {}, "campaign/3": {}}, [first]) is None
    third = next_read(groups, {}, [first, second])
    assert third is not None
    assert next_read(groups, {}, [first, second, third]) is None


def test_the_product_that_a_write_names_is_asked_alone() -> None:
    """And no other product than these can be."""
    (read,) = all_reads(UNIFIED, campaigns(1, adProduct="SPONSORED_DISPLAY"))
    assert read.list.product == "SPONSORED_DISPLAY"
    assert all_reads(UNIFIED, campaigns(1, adProduct="AMAZON_DSP")) == []


def test_tools_of_mcp_are_read_in_the_unified_api() -> None:
    reads = all_reads("MCP campaign_management-update_target", {"body": {"targets": [{"targetId": "5", "bid": {}}]}})
    assert [each.list.path for each in reads] == ["/adsApi/v1/query/targets"] * 3


def test_after_a_product_without_answer_another_group_has_its_turn() -> None:
    """Several tools of one message share the reads."""
    one = groups_of(UNIFIED, campaigns(1, adProduct="SPONSORED_PRODUCTS"))
    other = groups_of("POST /adsApi/v1/update/ads", {"ads": [{"adId": "5", "state": "PAUSED"}]})
    done: list[PresentRead] = []
    while (read := next_read((*one, *other), {}, done)) is not None:
        done.append(read)
    assert [each.group for each in done] == [0, 1, 1]
    two = (*other, *one)
    assert next_read(two, {"ad/5": {}}, []) == PresentRead(1, one[0].lists[0], ("1",))


@pytest.mark.parametrize(
    ("operation", "content"),
    [
        ("POST /sp/campaigns", campaigns(1)),
        ("PUT /sp/budgetRules", {"budgetRulesDetails": [{"ruleId": "5"}]}),
        ("PUT /sp/campaigns", {"portfolios": [{"portfolioId": "5"}]}),
        ("PUT /dsp/orders", [{"orderId": "5"}]),
        ("POST /adsApi/v1/update/portfolios", {"portfolios": [{"portfolioId": "5"}]}),
        ("POST /adsApi/v1/update/things", {"things": [{"thingId": "5"}]}),
    ],
)
def test_nothing_is_read_of_what_no_list_has(operation: str, content: Any) -> None:
    """New objects, and objects of other kinds than the operation changes."""
    assert all_reads(operation, content) == []


# --- Responses ------------------------------------------------------------------------------------------------


def answer(content: Any, status: int = 200, *, own: bool = False) -> ListResponse:
    body = content if isinstance(content, bytes) else json.dumps(content).encode()
    return ListResponse(status, body, own=own)


def test_objects_of_a_response_have_their_names() -> None:
    """With exact numbers; what has no id is none."""
    (read,) = all_reads(SP, campaigns(1, state="PAUSED"))
    body = b'{"campaigns": [{"campaignId": "1", "budget": {"budget": 0.10}, "tags": {"\xc3\xa4": "x"}}, {"x": 1}, 5]}'
    found = read.list.read(answer(body))
    assert [*found] == ["campaign/1"]
    assert str(found["campaign/1"]["budget"]["budget"]) == "0.10"


def test_bare_lists_and_single_objects_are_read() -> None:
    """Their ids are numbers."""
    (read,) = all_reads("PUT /sd/campaigns", [{"campaignId": 5, "budget": 1}])
    assert read.list.read(answer([{"campaignId": 5, "budget": 2}])) == {"campaign/5": {"campaignId": 5, "budget": 2}}
    (read,) = all_reads("PUT /sb/targets", {"targets": [{"targetId": 5, "bid": 1}]})
    assert read.list.read(answer({"targetId": 5, "bid": 2})) == {"target/5": {"targetId": 5, "bid": 2}}


@pytest.mark.parametrize(
    "response",
    [
        answer({"campaigns": [{"campaignId": "1"}]}, 403),
        answer({"campaigns": [{"campaignId": "1"}]}, own=True),
        answer(b"<html>"),
        answer(b"[" * 100_000),
        answer([{"campaignId": "1"}]),
        answer({"campaigns": {"campaignId": "1"}}),
    ],
    ids=["refused", "of the proxy", "no JSON", "too deep", "a bare list", "no list"],
)
def test_what_is_no_list_tells_nothing(response: ListResponse) -> None:
    (read,) = all_reads(SP, campaigns(1, state="PAUSED"))
    assert read.list.read(response) == {}


def test_every_read_is_an_operation_that_reads() -> None:
    """A list that the table of operations does not have would be refused, or could change something."""
    asked, missing = 0, []
    for operation in {row.operation for row in MONEY.rows if not row.operation.startswith(("MCP", "*"))}:
        if verb_of(operation) is not Verb.UPDATE:
            continue
        segment = operation.rpartition("/")[2]
        holders = {"targets": ("targets", "targetingClauses"), "productAds": ("productAds",)}.get(segment, (segment,))
        extra = {"negativeTargets": "negativeTargetingClauses"}.get(segment)
        ids = ("campaignId", "adGroupId", "adId", "keywordId", "targetId", "portfolioId")
        for holder in (*holders, *((extra,) if extra else ())):
            for id_name in ids:
                for read in all_reads(operation, {holder: [{id_name: "5", "state": "x"}]}):
                    request = read.list.request(read.ids, "1")
                    path = request.target.partition("?")[0].strip("/").encode().split(b"/")
                    found = PUBLISHED.find(request.method.encode(), tuple(path))
                    asked += 1
                    if found is None or found.effect is not Effect.READ:
                        missing.append(request.target)
    assert asked > 20
    assert missing == []
    assert MAX_READS == 3
