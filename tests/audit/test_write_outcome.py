"""What responses to writes say: the forms of Amazon's specifications, one case each, and what nobody can judge."""

from __future__ import annotations

import json
from typing import Any

import pytest

from proxy.audit.write_outcome import find_failed_items, judge_answer, judge_outcome
from proxy.events import ItemCounts, Outcome, WriteOutcome
from proxy.http1.body_copy import LARGE

JSON = b"application/json"
EVENTS = b"text/event-stream; charset=utf-8"
SP_ERROR = {
    "index": 1,
    "errors": [
        {
            "errorType": "entityNotFoundError",
            "errorValue": {"entityNotFoundError": {"reason": "ENTITY_NOT_FOUND", "entityId": "2", "message": "no"}},
        }
    ],
}
V1_ERROR = {"index": 1, "errors": [{"code": "RESOURCE_ID_NOT_FOUND", "message": "no", "fieldLocation": "$.x"}]}
OK, BAD = {"index": 0, "campaignId": "1"}, {"code": "NOT_FOUND", "description": "no such campaign"}


def lists(success: int, error: int, entry: dict[str, Any] = SP_ERROR, **further: Any) -> dict[str, Any]:
    return {"success": [OK] * success, "error": [entry] * error, **further}


def answer(result: Any) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": 1, "result": result}


def tool(text: Any, *, failed: bool = False, **further: Any) -> dict[str, Any]:
    said = text if isinstance(text, str) else json.dumps(text)
    return answer({"content": [{"type": "text", "text": said}], "isError": failed, **further})


def stream(*messages: Any, end: str = "\n\n") -> bytes:
    return "".join(f"event: message\ndata: {json.dumps(message)}{end}" for message in messages).encode()


WITH_ITEMS: list[tuple[str, Any, str, tuple[int, int]]] = [
    # Sponsored Products version 3, Sponsored Brands version 4, portfolios: lists below the name of the entities
    ("sp all", {"campaigns": lists(2, 0)}, "success", (2, 0)),
    ("sp some", {"campaigns": lists(1, 2)}, "partial", (1, 2)),
    ("sp none", {"keywords": lists(0, 2)}, "failure", (0, 2)),
    ("sp nothing asked", {"campaigns": lists(0, 0)}, "success", (0, 0)),
    ("sp without the empty list", {"campaigns": {"error": [SP_ERROR]}}, "failure", (0, 1)),
    ("sb", {"ads": lists(1, 1)}, "partial", (1, 1)),
    ("two kinds at once", {"campaigns": lists(1, 0), "adGroups": lists(0, 1)}, "partial", (1, 1)),
    (
        "budget rules of campaigns",
        {"budgetRulesAssociations": {"successList": [{}], "errorList": [{}]}},
        "partial",
        (1, 1),
    ),
    # the unified API: lists at the top
    ("v1 all", lists(3, 0, V1_ERROR), "success", (3, 0)),
    ("v1 some", lists(1, 1, V1_ERROR, partialSuccess=[]), "partial", (1, 1)),
    ("v1 none", lists(0, 1, V1_ERROR, partialSuccess=[]), "failure", (0, 1)),
    ("v1 a part of one", lists(0, 0, partialSuccess=[{**V1_ERROR, "campaign": {}}]), "partial", (0, 1)),
    ("v1 a part of one, and a failure", lists(0, 1, partialSuccess=[V1_ERROR]), "partial", (0, 2)),
    # the same under other names
    ("audiences", {"success": [OK], "failed": [{"errors": []}]}, "partial", (1, 1)),
    ("invoices", {"success": [], "failure": [{"reason": "x"}]}, "failure", (0, 1)),
    ("recommendations", {"successes": [{}], "failures": []}, "success", (1, 0)),
    ("manager accounts", {"succeedAccounts": [{}], "failedAccounts": [{}]}, "partial", (1, 1)),
    ("dsp products", {"requestId": "r", "success": [{"index": 0}], "errors": [{"subErrors": []}]}, "partial", (1, 1)),
    ("sb targets", {"createTargetSuccessResults": [{}], "createTargetErrorResults": [{}, {}]}, "partial", (1, 2)),
    ("sb targets changed", {"updateTargetSuccessResults": [{}], "updateTargetErrorResults": []}, "success", (1, 0)),
    # lists of results with a code
    ("sd all", [{"campaignId": 1, "code": "SUCCESS"}], "success", (1, 0)),
    ("sd some", [{"campaignId": 1, "code": "SUCCESS"}, BAD], "partial", (1, 1)),
    ("sd none", [BAD, BAD], "failure", (0, 2)),
    ("sd without a description", [{"campaignId": 1, "code": "INVALID_ARGUMENT"}], "failure", (0, 1)),
    ("codes of HTTP", [{"code": "200"}, {"code": 201}, {"code": "422", "details": "x"}], "partial", (2, 1)),
    (
        "budget rules",
        {"responses": [{"code": "Ok", "ruleId": "r"}, {"code": "400", "details": "x"}]},
        "partial",
        (1, 1),
    ),
    ("studies", {"requestId": "r", "responses": [{"code": "200", "errors": [{"message": "x"}]}]}, "failure", (0, 1)),
]
PLAIN: list[tuple[str, int, Any, str]] = [
    ("an entity", 200, {"campaignId": 1, "name": "x"}, "success"),
    ("a job", 202, {"workflowExecutionId": "x", "status": "PENDING"}, "success"),
    ("one object with a code", 200, {"code": "SUCCESS", "campaignOptimizationId": "x"}, "success"),
    ("one object that failed", 200, {"code": "ENTRY_NOT_FOUND", "details": "x"}, "failure"),
    ("one object with a code of HTTP", 200, {"code": "422", "targetId": 1}, "failure"),
    ("codes that are no results", 200, [{"code": "US"}, {"code": "DE"}], "success"),
    ("a code that is no result", 200, {"code": "USD", "rate": 1}, "success"),
    ("errors of its own", 201, {"adsAccount": {"status": "CREATED"}, "errors": []}, "success"),
    ("a list of texts", 200, ["a"], "success"),
    ("a number", 200, 7, "success"),
    ("an empty list", 200, [], "success"),
    ("null", 200, None, "success"),
    ("207 in another form", 207, {"simulated": True}, "unknown"),
    ("207 with errors of its own", 207, {"errors": [{"message": "x"}]}, "unknown"),
    ("207 with an empty list", 207, [], "unknown"),
    ("MCP: done", 200, tool("done"), "success"),
    ("MCP: an error of the protocol", 200, {"jsonrpc": "2.0", "id": 1, "error": {"code": -32602}}, "failure"),
    ("MCP: an error of the tool", 200, tool("no such campaign", failed=True), "failure"),
    ("MCP: an error of the tool, as items that succeeded", 200, tool(lists(1, 0), failed=True), "failure"),
    ("MCP: a failed call that says otherwise", 200, tool({"code": "UNAUTHORIZED", "details": "x"}), "failure"),
    ("MCP: a text in braces", 200, tool("{not JSON}"), "success"),
    ("MCP: it asks for more first", 200, answer({"resultType": "input_required", "requestState": "s"}), "unknown"),
    ("MCP: complete", 200, answer({"content": [], "resultType": "complete"}), "success"),
    ("MCP: content of another kind", 200, answer({"content": [7, {"type": "image"}], "isError": False}), "success"),
    ("MCP: no content", 200, answer({"content": None}), "success"),
    ("MCP: any result", 200, answer("pong"), "success"),
    ("MCP: a batch", 200, [tool("done"), tool("no", failed=True)], "partial"),
    ("MCP: a notification alone", 200, {"jsonrpc": "2.0", "method": "notifications/message"}, "unknown"),
]
RAW: list[tuple[str, int, bytes, bytes | None, str]] = [
    ("refused", 400, JSON, b"{}", "failure"),
    ("refused, and not read", 422, JSON, None, "failure"),
    ("throttled", 429, JSON, b"", "failure"),
    ("broken", 502, b"text/html", b"<html>", "failure"),
    ("sent elsewhere", 307, JSON, b"", "unknown"),
    ("too large to be read", 200, JSON, None, "unknown"),
    ("no content", 204, b"", b"", "success"),
    ("accepted", 202, JSON, b" \r\n", "success"),
    ("207 without a body", 207, JSON, b"", "unknown"),
    ("HTML", 200, b"text/html", b"<html></html>", "unknown"),
    ("cut JSON", 200, JSON, b'{"campaigns":', "unknown"),
    ("no text", 200, JSON, b"\x1f\x8b\xff", "unknown"),
    ("nested without end", 200, JSON, b"[" * 500_000, "unknown"),
    ("a number without end", 200, JSON, b"9" * 5000, "unknown"),
    ("JSON in another media type", 207, b"application/vnd.spCampaign.v3+json", b'{"c":{"success":[1]}}', "success"),
    ("JSON that says it is text", 207, b"text/plain", b'{"c":{"success":[1]}}', "success"),
    ("JSON with a mark", 207, JSON, b'\xef\xbb\xbf{"c":{"success":[1]}}', "success"),
    ("events: done", 200, EVENTS, stream({"jsonrpc": "2.0", "method": "progress"}, tool("done")), "success"),
    ("events: failed", 200, EVENTS, stream(tool("no", failed=True)), "failure"),
    ("events: with carriage returns", 200, EVENTS, stream(tool("no", failed=True), end="\r\n\r\n"), "failure"),
    ("events: an answer without an end", 200, EVENTS, stream(tool("done"))[:-2], "unknown"),
    ("events: none", 200, EVENTS, b": ping\n\n", "unknown"),
    ("events: no JSON", 200, EVENTS, b"data: x\n\n", "unknown"),
    ("events: with a ping", 200, EVENTS, b"event: ping\ndata: x\n\nevent: message\n" + stream(tool("done")), "success"),
    ("events: a batch", 200, EVENTS, stream([tool("done"), tool("done")]), "success"),
    ("events: without a blank", 200, EVENTS, b'data:{"jsonrpc": "2.0", "result": {}}\n\n', "success"),
    ("events: in several lines", 200, EVENTS, b'data: {"jsonrpc": "2.0",\ndata: "result": {}}\n\n', "success"),
    ("events: with a mark", 200, EVENTS, b'\xef\xbb\xbfdata: {"jsonrpc": "2.0", "result": {}}\n\n', "success"),
]


@pytest.mark.parametrize(
    ("content", "outcome", "items"), [case[1:] for case in WITH_ITEMS], ids=[c[0] for c in WITH_ITEMS]
)
@pytest.mark.parametrize("status", [200, 207])
def test_results_of_items_are_counted(status: int, content: Any, outcome: str, items: tuple[int, int]) -> None:
    """207 is not the only status with which Amazon tells of items that failed."""
    found = judge_outcome(status, JSON, json.dumps(content).encode())
    assert (found.outcome.value, found.items) == (outcome, ItemCounts(*items))


@pytest.mark.parametrize(
    ("content", "outcome", "items"), [case[1:] for case in WITH_ITEMS], ids=[c[0] for c in WITH_ITEMS]
)
def test_a_tool_of_mcp_hands_on_what_the_api_said(content: Any, outcome: str, items: tuple[int, int]) -> None:
    """As text, as an object, and in a stream of events; what counts is what became of the items."""
    wanted = (outcome, ItemCounts(*items))
    for message in (tool(content), tool("done", structuredContent=content)):
        found = judge_outcome(200, JSON, json.dumps(message).encode())
        assert (found.outcome.value, found.items) == wanted
        found = judge_outcome(200, EVENTS, stream(message))
        assert (found.outcome.value, found.items) == wanted


@pytest.mark.parametrize(("status", "content", "outcome"), [case[1:] for case in PLAIN], ids=[c[0] for c in PLAIN])
def test_other_bodies_have_no_counts(status: int, content: Any, outcome: str) -> None:
    """Without results of items, 2xx is a success; only of 207 nothing is known then."""
    assert judge_outcome(status, JSON, json.dumps(content).encode()) == WriteOutcome(Outcome(outcome))


@pytest.mark.parametrize(("status", "kind", "body", "outcome"), [case[1:] for case in RAW], ids=[c[0] for c in RAW])
def test_what_cannot_be_read_is_unknown(status: int, kind: bytes, body: bytes | None, outcome: str) -> None:
    """And an error is a failure, whatever its body says."""
    assert judge_outcome(status, kind, body).outcome.value == outcome


def test_a_large_response_is_read_as_a_small_one() -> None:
    """The items of a response that other threads interrupt are counted like any."""
    content = json.dumps({"campaigns": lists(300, 1)}).encode()
    assert len(content) > LARGE
    assert judge_outcome(207, JSON, content) == WriteOutcome(Outcome.PARTIAL, ItemCounts(300, 1))


def test_answers_of_a_batch_are_counted_together() -> None:
    """The items of all tools."""
    batch = json.dumps([tool(lists(1, 1)), tool(lists(2, 0)), tool("done")]).encode()
    assert judge_outcome(200, JSON, batch) == WriteOutcome(Outcome.PARTIAL, ItemCounts(3, 1))


@pytest.mark.parametrize(
    ("content_type", "outcome"),
    [(b"", "failure"), (b"application/vnd.spCampaign.v3+JSON", "failure"), (b"text/html", "unknown")],
)
def test_only_json_and_streams_of_events_are_read(content_type: bytes, outcome: str) -> None:
    """A body of another type says nothing; without a type it is read."""
    body = b'{"campaigns": {"success": [], "error": [{"index": 0}]}}'
    assert judge_outcome(207, content_type, body).outcome == outcome
    assert judge_outcome(200, content_type, b"").outcome == "success"


@pytest.mark.parametrize(
    ("content", "failed"),
    [
        ({"campaigns": {"success": [{"index": 0}], "error": [{"index": 1}, {"index": 2}]}}, {1, 2}),
        ({"success": [{"index": 0}], "error": [{"index": 1}]}, {1}),
        ({"campaigns": {"success": [{"index": 1}], "error": [{"index": 1}]}}, set()),
        ({"partialSuccess": [{"index": 0}], "error": [{"index": 0}, {"index": 1}]}, {1}),
        ({"campaigns": {"error": [{"index": True}, {"index": "1"}, {}, "odd"]}}, set()),
        ([{"code": "SUCCESS"}, {"code": "INVALID_ARGUMENT"}], {1}),
        ({"responses": [{"code": "400", "description": "no"}, {"code": "200"}]}, {0}),
        ([{"code": "SUCCESS"}, {"name": "no result"}], set()),
        (["text"], set()),
        ("text", set()),
    ],
)
def test_failed_items_are_told_by_their_positions(content: Any, failed: set[int]) -> None:
    """Only an item that the response calls failed, and nowhere succeeded, is one that failed."""
    assert find_failed_items(JSON, json.dumps(content).encode()) == failed


def test_failed_items_of_messages_and_of_nothing_are_unknown() -> None:
    """A message of MCP and an empty body have no positions of items."""
    assert find_failed_items(JSON, json.dumps(tool(lists(1, 1))).encode()) == set()
    assert find_failed_items(JSON, b"  ") == set()


ANSWER = {"jsonrpc": "2.0", "id": 7, "result": {"isError": True, "content": [{"type": "text", "text": "no"}]}}


@pytest.mark.parametrize(
    ("content", "outcome"),
    [
        (ANSWER, Outcome.UNKNOWN),
        ([ANSWER], Outcome.UNKNOWN),
        (tool({"code": "400", "details": "no"}, failed=True) | {"id": 7}, Outcome.UNKNOWN),
        (tool({"code": "400", "details": "no"}) | {"id": 7}, Outcome.UNKNOWN),
        (tool(lists(0, 2), failed=True) | {"id": 7}, Outcome.FAILURE),
        (tool(lists(1, 2), failed=True) | {"id": 7}, Outcome.PARTIAL),
        (ANSWER | {"result": {"content": []}}, Outcome.SUCCESS),
        (ANSWER | {"id": 8}, Outcome.UNKNOWN),
        ([ANSWER, ANSWER], Outcome.UNKNOWN),
        ({"jsonrpc": "2.0", "id": 7, "method": "ping"}, Outcome.UNKNOWN),
        ({"jsonrpc": "2.0", "id": 7, "error": {"code": -32602}}, Outcome.FAILURE),
        ({"jsonrpc": "2.0", "id": 7, "error": {"code": -32603}}, Outcome.UNKNOWN),
        ({"jsonrpc": "2.0", "id": 7, "error": {"code": [1]}}, Outcome.UNKNOWN),
        ({"jsonrpc": "2.0", "id": 7, "error": None}, Outcome.UNKNOWN),
        ({"code": "400"}, Outcome.UNKNOWN),
    ],
)
def test_the_outcome_of_one_message(content: object, outcome: Outcome) -> None:
    """Only its own answer counts, and a failure only where nothing was begun or each item has a result."""
    assert judge_answer(b"application/json", json.dumps(content).encode(), 7).outcome is outcome


@pytest.mark.parametrize("body", [b"", b"{", b"\xff"])
def test_a_message_without_a_readable_answer_has_an_unknown_outcome(body: bytes) -> None:
    """Nothing is concluded from what cannot be read."""
    assert judge_answer(b"application/json", body, 7).outcome is Outcome.UNKNOWN
