"""Messages of the version of MCP without sessions: headers that repeat the body, answers to questions, cached lists."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from proxy.access.own_accounts import OwnAccounts
from proxy.errors import ToolNotPermitted
from proxy.mcp.protocol import find_mismatch, is_sessionless, make_private
from proxy.mcp.tools import ToolRules, effect_of_body
from proxy.routing.operations import PUBLISHED, Access, Effect
from proxy.strict_json import JsonBody
from tests.support.deciding import fields, request

VERSION = "2026-07-28"
META = {"_meta": {"io.modelcontextprotocol/protocolVersion": VERSION}}
OLD_META = {"_meta": {"io.modelcontextprotocol/protocolVersion": "2025-11-25"}}
TOOL = "campaign_management-query_campaign"
LIST = {"jsonrpc": "2.0", "id": 7, "method": "tools/list", "params": META}
CALLED: dict[str, Any] = {"name": TOOL, "arguments": {}, **META}
CALL = {"jsonrpc": "2.0", "id": 7, "method": "tools/call", "params": CALLED}
READING = {"jsonrpc": "2.0", "id": 7, "method": "resources/read", "params": {"uri": "a:\u00e4", **META}}
NOTE = {"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {}}


def repeated(version: str = VERSION, method: str = "", name: str = "") -> tuple[bytes, ...]:
    """Header lines, of those that are not empty."""
    lines = {"MCP-Protocol-Version": version, "Mcp-Method": method, "Mcp-Name": name}
    return tuple(f"{header}: {value}".encode() for header, value in lines.items() if value)


def encoded(text: str) -> str:
    return f"=?base64?{base64.b64encode(text.encode()).decode()}?="


@pytest.mark.parametrize(
    ("message", "lines"),
    [
        (LIST, repeated(method="tools/list")),
        (CALL, repeated(method="tools/call", name=TOOL)),
        (CALL, repeated(method="tools/call", name=encoded(TOOL))),
        (CALL, (*repeated(method="tools/call", name=TOOL), b"Mcp-Name: " + TOOL.encode())),
        (READING, repeated(method="resources/read", name=encoded("a:\u00e4"))),
        (NOTE, repeated()),
        ({**NOTE, "params": META}, ()),
        ({**NOTE, "params": META}, repeated()),
        ({**LIST, "params": {}}, ()),
        ({**LIST, "params": {}}, repeated("2025-06-18")),
        ({**LIST, "params": {}}, repeated("2025-06-18", "tools/list")),
        ({**LIST, "params": OLD_META}, repeated("2025-11-25")),
        ({"jsonrpc": "2.0", "id": 7, "result": {}}, repeated("2025-06-18")),
    ],
)
def test_what_agrees_passes(message: dict[str, Any], lines: tuple[bytes, ...]) -> None:
    """All of the new version, notifications with or without it, and what older ones send."""
    assert find_mismatch(fields(*lines), [message]) == ""


@pytest.mark.parametrize(
    ("message", "lines", "named"),
    [
        (LIST, repeated(method="tools/call"), "Mcp-Method names"),
        (LIST, repeated(method="Tools/List"), "Mcp-Method names"),
        (LIST, (*repeated(method="tools/list"), b"Mcp-Method: ping"), "Mcp-Method names"),
        (LIST, repeated(method="tools/list", name=TOOL), "Mcp-Name names"),
        (LIST, repeated(), "Mcp-Method is missing"),
        (LIST, (), "MCP-Protocol-Version"),
        (LIST, repeated("2026-09-01", "tools/list"), "MCP-Protocol-Version"),
        (LIST, repeated("2025-11-25", "tools/list"), "MCP-Protocol-Version"),
        (LIST, (*repeated(method="tools/list"), b"MCP-Protocol-Version: 2025-11-25"), "MCP-Protocol-Version"),
        ({**LIST, "params": {}}, repeated(method="tools/list"), "MCP-Protocol-Version"),
        ({**LIST, "params": {"_meta": []}}, repeated(method="tools/list"), "MCP-Protocol-Version"),
        ({**LIST, "params": OLD_META}, repeated(method="tools/list"), "MCP-Protocol-Version"),
        ({**NOTE, "params": META}, repeated("2025-11-25"), "MCP-Protocol-Version"),
        (CALL, repeated(method="tools/call"), "Mcp-Name is missing; it repeats `name`"),
        (CALL, repeated(method="tools/call", name="another"), "Mcp-Name names"),
        (CALL, repeated(method="tools/call", name=TOOL.upper()), "Mcp-Name names"),
        (CALL, repeated(method="tools/call", name=encoded("another")), "Mcp-Name names"),
        (CALL, repeated(method="tools/call", name=f"=?base64?{'YQ'}?="), "Mcp-Name names"),
        (CALL, repeated(method="tools/call", name="=?base64?YR==?="), "Mcp-Name names"),
        (CALL, repeated(method="tools/call", name="=?base64?/w==?="), "Mcp-Name names"),
        (READING, repeated(method="resources/read", name="a:b"), "Mcp-Name names"),
        (READING, repeated(method="resources/read"), "Mcp-Name is missing; it repeats `uri`"),
    ],
)
def test_what_contradicts_the_body_is_told(message: dict[str, Any], lines: tuple[bytes, ...], named: str) -> None:
    """Another value, one of two, a value in other letters, an unreadable one, or none."""
    assert find_mismatch(fields(*lines), [message]).startswith(named)


@pytest.mark.parametrize("meta", [{"io.modelcontextprotocol/protocolVersion": 20260728}, {}, "2026-07-28"])
def test_an_odd_version_in_the_body_is_none(meta: Any) -> None:
    """An odd version in the body agrees with no header of the new version."""
    message = {**LIST, "params": {"_meta": meta}}
    assert find_mismatch(fields(*repeated(method="tools/list")), [message])
    assert find_mismatch(fields(*repeated("2025-06-18")), [message]) == ""


@pytest.mark.parametrize(
    ("lines", "named"),
    [
        (repeated("2025-03-26"), ""),
        (repeated(), "this MCP-Protocol-Version has no lists of messages"),
        (repeated("", "tools/list"), "a list of messages is sent without Mcp-Method and Mcp-Name"),
        (repeated("", "", TOOL), "a list of messages is sent without Mcp-Method and Mcp-Name"),
    ],
)
def test_a_list_of_messages_is_of_old(lines: tuple[bytes, ...], named: str) -> None:
    """Headers can only repeat one message."""
    assert find_mismatch(fields(*lines), [LIST, CALL]).partition(";")[0] == named


@pytest.mark.parametrize(("version", "expected"), [("2026-07-28", True), ("2027-01-01", True), ("2025-11-25", False)])
def test_later_versions_have_no_sessions_either(version: str, expected: bool) -> None:
    """A version that is not known yet is judged as strictly."""
    assert is_sessionless(version) is expected


READER = ToolRules("agent", Access.READ, None, PUBLISHED)
LIMITED = ToolRules("agent", Access.ADMIN, None, PUBLISHED, OwnAccounts(frozenset((b"123",)), frozenset()))


def judged(rules: ToolRules, content: Any, *lines: bytes) -> ToolNotPermitted | None:
    """What a body is refused with, if it is."""
    body = json.dumps(content).encode()
    try:
        rules.check(request(b"POST", b"/mcp", fields(*lines, content_type=b"application/json")), JsonBody(body))
    except ToolNotPermitted as error:
        return error
    return None


@pytest.mark.parametrize("rules", [READER, LIMITED])
@pytest.mark.parametrize(
    ("content", "lines", "identifier"),
    [
        (CALL, repeated(method="tools/call", name="another"), 7),
        (CALL, repeated(method="tools/call"), 7),
        (LIST, repeated(method="tools/call"), 7),
        ([LIST, CALL], repeated(), None),
    ],
)
def test_a_mismatch_has_the_code_and_status_of_mcp(
    rules: ToolRules, content: Any, lines: tuple[bytes, ...], identifier: int | None
) -> None:
    """-32020 with 400 and the request's id, by which clients know a server of the new version."""
    refused = judged(rules, content, *lines)
    assert refused is not None and refused.sent_status == 400
    answer = json.loads(refused.answer)
    assert (answer["id"], answer["error"]["code"]) == (identifier, -32020)
    assert answer["error"]["message"].startswith("Header mismatch: ")


def test_a_call_whose_headers_contradict_it_is_recorded_as_a_write() -> None:
    """If messages are not judged, it is unknown which of the two the endpoint went by."""
    body = json.dumps(CALL).encode()
    for name, effect in ((TOOL, Effect.READ), ("another", Effect.WRITE)):
        sent = fields(*repeated(method="tools/call", name=name), content_type=b"application/json")
        assert effect_of_body(sent, JsonBody(body), PUBLISHED, frozenset()) is effect


RIGHT = repeated(method="tools/call", name=TOOL)


@pytest.mark.parametrize(
    ("answers", "permitted"),
    [
        ({"confirm": {"action": "accept", "content": {"confirm": True}}}, True),
        ({"account": {"action": "accept", "content": {"id": "123"}}}, True),
        ({"profileId": {"action": "decline"}}, True),
        ({"profileId": {"action": "124"}}, False),
        ({"profileId": {"action": ["accept"]}}, False),
        ({"profileId": "124"}, False),
        ({"account": {"action": "accept", "content": {"id": "124"}}}, False),
        ({"which": {"action": "accept", "content": {"profileId": "124"}}}, False),
        ({"which": {"action": "accept", "content": {"text": '{"profileId": "124"}'}}}, False),
        ([{"profileId": "124"}], False),
        (None, True),
    ],
)
def test_answers_to_questions_are_judged_as_arguments_are(answers: Any, permitted: bool) -> None:
    """They may name the client's own accounts alone; the word whether a person answered names none."""
    params = {**CALLED, "inputResponses": answers}
    assert (judged(LIMITED, {**CALL, "params": params}, *RIGHT) is None) is permitted


@pytest.mark.parametrize(
    ("state", "permitted"),
    [
        ("AEAD-protected blob", True),
        ("eyJhIjoxfQ.c2ln", True),
        ('{"profileId": "123"}', True),
        ('{"profileId": "1"}', False),
    ],
)
def test_a_requests_state_is_judged_as_a_text_is(state: str, permitted: bool) -> None:
    """The server made it, and a client can write anything there."""
    params = {**CALLED, "requestState": state}
    assert (judged(LIMITED, {**CALL, "params": params}, *RIGHT) is None) is permitted


@pytest.mark.parametrize(
    ("result", "after", "changed"),
    [
        ({"cacheScope": "public", "ttlMs": 5}, {"cacheScope": "private", "ttlMs": 5}, True),
        ({"cacheScope": None}, {"cacheScope": "private"}, True),
        ({"cacheScope": "private"}, {"cacheScope": "private"}, False),
        ({"ttlMs": 5}, {"ttlMs": 5}, False),
    ],
)
def test_a_result_is_kept_private(result: dict[str, Any], after: dict[str, Any], changed: bool) -> None:
    """Where its server says who may cache it; no server of old does."""
    assert make_private(result) is changed
    assert result == after
