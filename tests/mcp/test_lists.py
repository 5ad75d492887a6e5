"""Which tools of a list pass to a client, however the list comes."""

from __future__ import annotations

import gzip
import json
from dataclasses import replace
from typing import Any

import pytest

from proxy.access.paths import PathPattern
from proxy.mcp.lists import ToolListFilter, ToolListReader, find_tools
from proxy.mcp.tools import ToolRules
from proxy.routing.operations import PUBLISHED, Access

RULES = ToolRules("agent", Access.ADMIN, (PathPattern.read("good*"),), PUBLISHED)
TOOLS = [{"name": "good-1", "x": 1}, {"name": "bad"}, {"name": "good-2"}]
LISTED = {"jsonrpc": "2.0", "id": 1, "result": {"tools": TOOLS, "nextCursor": "c"}}
SHOWN = {"jsonrpc": "2.0", "id": 1, "result": {"tools": [TOOLS[0], TOOLS[2]], "nextCursor": "c"}}
OTHER = b'{"jsonrpc": "2.0",  "id":1,"result":{"x":"tools", "y":[1,2]}}'


def body(
    content: bytes, pieces: int = 0, *, events: bool = False, readable: bool = True, rules: ToolRules = RULES
) -> bytes:
    """What passes of it, fed in pieces of so many bytes."""
    made = ToolListFilter(rules, readable=readable, events=events)
    size = pieces or max(1, len(content))
    passed = b"".join(made.feed(content[at : at + size]) for at in range(0, len(content), size))
    return passed + made.finish()


def dumped(content: Any) -> bytes:
    return json.dumps(content).encode()


@pytest.mark.parametrize("pieces", [0, 1, 7])
def test_a_body_with_a_list_shows_what_may_be_called(pieces: int) -> None:
    """Alone, or among several messages; the rest of it stays."""
    assert json.loads(body(dumped(LISTED), pieces)) == SHOWN
    assert json.loads(body(dumped([LISTED, {"id": 2}]), pieces)) == [SHOWN, {"id": 2}]
    assert json.loads(body(dumped(LISTED).replace(b'"tools"', b'"t\\u006fols"'), pieces)) == SHOWN


@pytest.mark.parametrize("events", [False, True])
@pytest.mark.parametrize("tools", [TOOLS, TOOLS[:1]])
def test_a_list_that_a_cache_may_share_becomes_private(tools: list[dict[str, Any]], events: bool) -> None:
    """Also one of which the client may call all: the next client may not."""
    result = {"tools": tools, "ttlMs": 60000, "cacheScope": "public", "resultType": "complete"}
    listed = dumped({"jsonrpc": "2.0", "id": 1, "result": result})
    passed = body(b"data: " + listed + b"\n\n" if events else listed, events=events)
    shown = [tool for tool in tools if tool["name"] != "bad"]
    expected = {**result, "tools": shown, "cacheScope": "private"}
    assert json.loads(passed.strip().removeprefix(b"data: "))["result"] == expected


def test_a_private_list_of_permitted_tools_passes_byte_for_byte() -> None:
    """There is nothing to change."""
    listed = b'{"id":1, "jsonrpc":"2.0", "result":{"tools":[{"name":"good-1"}], "cacheScope":"private"}}'
    assert body(listed) == listed


@pytest.mark.parametrize("events", [False, True])
def test_a_list_without_a_tool_for_the_client_says_why(events: bool) -> None:
    """An empty list would look like a server without clients."""
    listed = dumped({"jsonrpc": "2.0", "id": 7, "result": {"tools": [{"name": "bad"}, {"name": "worse"}]}})
    passed = body(b"data: " + listed + b"\n\n" if events else listed, events=events)
    said = json.loads(passed.strip().removeprefix(b"data: "))
    assert (said["id"], "result" in said) == (7, False)
    assert said["error"]["message"].startswith(
        "Client agent may call none of the 2 tools here, because of its `mcp_tools`"
    )


@pytest.mark.parametrize(
    ("result", "paging"),
    [
        ({"tools": []}, False),
        ({"tools": [{"name": "bad"}]}, True),
        ({"tools": [{"name": "bad"}], "nextCursor": "c"}, False),
    ],
)
def test_a_page_without_a_tool_for_the_client_is_empty(result: dict[str, Any], paging: bool) -> None:
    """Where other pages may have some, or Amazon lists none, there is nothing to complain of."""
    said = json.loads(body(dumped({"id": 7, "result": result}), rules=replace(RULES, paging=paging)))
    assert said["result"] == {**result, "tools": []}


@pytest.mark.parametrize(
    "content",
    [
        b"",
        OTHER,
        dumped(SHOWN),
        b"not JSON at all",
        b'{"error":{"message":"x"}}',
        b'{"result":{"tools":"all"}}',
        b"[1]",
    ],
)
def test_what_lists_nothing_else_passes_byte_for_byte(content: bytes) -> None:
    """Whatever its blanks."""
    assert body(content, 3) == content


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
@pytest.mark.parametrize("pieces", [0, 1, 5])
def test_events_pass_each_as_it_ends(end: bytes, pieces: int) -> None:
    """With any line end; what is not changed is not touched."""
    first, last = b": hello" + end * 2, b"event: message" + end + b"data: " + OTHER + end * 2
    listing = b"id: 7" + end + b"event: message" + end + b"data: " + dumped(LISTED) + end * 2
    passed = body(first + listing + last, pieces, events=True)
    assert passed.startswith(first)
    assert passed.endswith(last)
    changed = passed[len(first) : -len(last)].strip().split(b"\n")
    assert changed[:2] == [b"id: 7", b"event: message"]
    assert json.loads(changed[2].removeprefix(b"data: ")) == SHOWN


def test_an_event_is_not_held_back() -> None:
    """It passes with the bytes that end it, before another comes."""
    made = ToolListFilter(RULES, readable=True, events=True)
    assert made.feed(b"data: 1\n") == b""
    assert made.feed(b"\n") == b"data: 1\n\n"
    assert made.feed(b"data: 2\r\n\r\ndata: 3") == b"data: 2\r\n\r\n"
    assert repr(made) == "<ToolListFilter of events: 7 bytes waiting>"
    assert made.finish() == b"data: 3"


def test_data_of_several_lines_is_one_message() -> None:
    """As its reader joins them; a mark of byte order before it is none of it."""
    lines = json.dumps(LISTED, indent=1).encode().split(b"\n")
    event = b"\xef\xbb\xbf" + b"".join(b"data:%b\n" % line for line in lines) + b"\n"
    passed = body(event, 11, events=True)
    assert json.loads(passed.strip().removeprefix(b"data: ")) == SHOWN


def test_an_event_that_nothing_ends_is_not_shown_whole() -> None:
    """Some readers take it all the same."""
    assert b"bad" not in body(b"data: " + dumped(LISTED), events=True)


@pytest.mark.parametrize("events", [True, False])
def test_what_cannot_be_read_does_not_pass(events: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """A compressed answer, one that is too long, one that is no JSON or too deep, and may list tools."""
    compressed = body(b"\x1f\x8b tools bad", 4, events=events, readable=False)
    assert b"could not be read" in compressed and compressed.count(b"jsonrpc") == 1
    torn = b'{"result":{"tools":[{"name":"bad"}]}'
    nested = b'["bad tools",' + b"[" * 100_000
    for text in (torn, nested):
        assert b"bad" not in body(b"data: " + text + b"\n\n" if events else text, events=events)
    monkeypatch.setattr("proxy.mcp.lists.MAX_MESSAGE", 20)
    long = body(b"data: " + dumped(LISTED), 5, events=events)
    assert b"could not be read" in long and b"bad" not in long


# --- what is learned of a list


@pytest.mark.parametrize("events", [True, False])
def test_a_list_is_learned_before_it_is_shown(events: bool) -> None:
    """All of it."""
    learned: list[Any] = []
    made = ToolListFilter(RULES, readable=True, events=events, learn=learned.append)
    made.feed(b"data: " + dumped(LISTED) + b"\n\n" if events else dumped(LISTED))
    made.finish()
    assert learned == [TOOLS]


def read(content: bytes, pieces: int = 0, *, coding: bytes = b"", events: bool = False) -> list[Any]:
    """The tools that are read beside an answer, fed in pieces of so many bytes."""
    made = ToolListReader(coding, events=events)
    size = pieces or max(1, len(content))
    messages = [text for at in range(0, len(content), size) for text in made.feed(content[at : at + size])]
    return [tool for text in (*messages, *made.finish()) for tool in find_tools(text)]


EVENT = b"event: message\ndata: " + dumped(LISTED) + b"\n\n"


@pytest.mark.parametrize("pieces", [0, 1, 7])
@pytest.mark.parametrize("coding", [b"", b"identity", b"gzip", b"X-GZIP"])
@pytest.mark.parametrize(("content", "events"), [(dumped(LISTED), False), (b": x\n\n" + EVENT, True)])
def test_a_list_is_read_beside_its_way(content: bytes, events: bool, coding: bytes, pieces: int) -> None:
    """As one body or as an event, compressed or not, in whatever pieces."""
    sent = gzip.compress(content) if b"zip" in coding.lower() else content
    assert read(sent, pieces, coding=coding, events=events) == TOOLS


def test_an_event_is_read_when_it_ends() -> None:
    """A client may leave then, as it has its answer."""
    made = ToolListReader(b"", events=True)
    assert made.feed(EVENT[:-1]) == []
    assert made.feed(EVENT[-1:]) == [dumped(LISTED)]
    assert made.finish() == []


@pytest.mark.parametrize(
    ("content", "coding", "events"),
    [
        (EVENT[:-2], b"", True),
        (dumped(LISTED), b"br", False),
        (dumped(LISTED), b"gzip", False),
        (b"{}", b"", False),
        (b"tools", b"", False),
        (b'["tools"]', b"", False),
        (b'{"result":{"tools":7}}', b"", False),
        (b"[" * 100_000 + b"tools", b"", False),
    ],
)
def test_what_cannot_be_read_tells_nothing(content: bytes, coding: bytes, events: bool) -> None:
    """It passes all the same."""
    assert read(content, coding=coding, events=events) == []


def test_a_body_that_cannot_hold_a_list_is_not_parsed() -> None:
    """It passes, and costs nothing more."""
    made = ToolListReader(b"", events=False)
    assert made.feed(b'{"result": {}}') == [] and made.finish() == []


@pytest.mark.parametrize("coding", [b"", b"gzip"])
def test_no_more_is_read_than_fits(coding: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of what was sent before the limit, a whole event counts; after it nothing does."""
    monkeypatch.setattr("proxy.mcp.lists.MAX_READ", len(EVENT) + 5)
    content = EVENT + EVENT
    sent = gzip.compress(content) if coding else content
    assert read(sent, coding=coding, events=True) == TOOLS
    made = ToolListReader(coding, events=True)
    made.feed(sent)
    assert made.feed(EVENT) == [] and repr(made) == "<ToolListReader: 0 bytes left>"
