"""What is read out of a message of MCP, and what is refused because a server could read it differently."""

from __future__ import annotations

import json
from typing import Any

import pytest

from proxy.access.own_accounts import OwnAccounts
from proxy.mcp.foreign_members import MAX_TEXTS
from proxy.mcp.tools import (
    INVOKE,
    MAX_NAMED,
    UNTOLD,
    McpMessage,
    UnclearMessage,
    name_tools,
    read_messages,
)
from proxy.strict_json import MAX_COST, JsonBody
from tests.support.deciding import fields

JSON: dict[str, Any] = {"content_type": b"application/json"}


def body(**members: Any) -> bytes:
    return json.dumps({"jsonrpc": "2.0", **members}).encode()


def call(**params: Any) -> bytes:
    return body(id=7, method="tools/call", params=params)


def read(content: bytes, *lines: bytes, **sent: Any) -> tuple[McpMessage, ...]:
    return read_messages(fields(*lines, **{**JSON, **sent}), JsonBody(content)).messages


def invoked(**arguments: Any) -> bytes:
    return call(name=INVOKE, arguments=arguments)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (body(id=1, method="initialize", params={}), McpMessage(1, True, "initialize")),
        (body(id="a", method="tools/list"), McpMessage("a", True, "tools/list")),
        (body(method="notifications/initialized"), McpMessage(None, False, "notifications/initialized")),
        (body(id=None, method="ping"), McpMessage(None, True, "ping")),
        (body(id=1, result={}), McpMessage(1, False, "")),
        (body(id=1, error={"code": 1}), McpMessage(1, False, "")),
        (call(name="a-query_b", arguments={"Name": 1, "name": 2}), McpMessage(7, True, "tools/call", "a-query_b")),
        (call(name="a", _meta={"progressToken": 1}), McpMessage(7, True, "tools/call", "a")),
        (body(method="tools/call", params={"name": "a"}), McpMessage(None, False, "tools/call", "a")),
        (invoked(name="a-b", arguments={"name": "c"}), McpMessage(7, True, "tools/call", "a-b")),
        (invoked(tool_name="a-b"), McpMessage(7, True, "tools/call", "a-b")),
        (call(name="\u0061-b"), McpMessage(7, True, "tools/call", "a-b")),
    ],
)
def test_a_message_says_what_it_asks_for(content: bytes, message: McpMessage) -> None:
    """A call's tool is the one that is called in the end."""
    assert read(content) == (message,)


def test_several_messages_come_in_a_list() -> None:
    """Each is read."""
    content = b"[%b,%b]" % (call(name="a"), body(method="notifications/cancelled"))
    found = read_messages(fields(**JSON), JsonBody(content))
    assert (found.batch, [message.tool for message in found.messages]) == (True, ["a", ""])


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[]",
        b"1",
        b"null",
        b"[1]",
        b"[[]]",
        b"{}",
        b"\xef\xbb\xbf" + call(name="a"),
        call(name="a").decode().encode("utf-16"),
        b'{"jsonrpc":"2.0","method":"ping","method":"tools/call","id":1}',
        b'{"jsonrpc":"2.0","method":"ping","Method":"tools/call","id":1}',
        b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"a","name":"b"}}',
        b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"a","Name":"b"}}',
        b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"a","na\\u006de":"b"}}',
        b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"a","arguments":{"x":1,"x":2}}}',
        b'{"jsonrpc":"2.0","id":NaN,"method":"ping"}',
        body(id=1, Method="tools/call", params={"name": "a"}),
        body(id=1, method="tools/call", params=["a"]),
        body(id=1, method=["tools/call"]),
        body(id=True, method="ping"),
        body(id={}, method="ping"),
        body(id=1, method="ping", extra=1),
        body(id=1, params={"name": "a"}),
        call(),
        call(name=None),
        call(name=["a"]),
        call(name="a b"),
        call(name="a\u00e4"),
        call(name="a\u0000"),
        call(name="x" * 129),
        call(name=INVOKE),
        call(name=INVOKE, arguments=["a"]),
        invoked(),
        invoked(arguments={"name": "a"}),
        invoked(name="a", tool_name="b"),
        invoked(name="a", toolId="b"),
        invoked(name="a", Name="b"),
        invoked(name=INVOKE, arguments={"name": "b"}),
        b"[" + b",".join([call(name="a")] * 65) + b"]",
        b"[" * 100_000,
    ],
)
def test_what_could_be_read_in_two_ways_is_not_read(content: bytes) -> None:
    """Names that come twice or nearly, other encodings, members that JSON-RPC has not, calls without a plain name."""
    with pytest.raises(UnclearMessage):
        read(content)


@pytest.mark.parametrize(
    ("lines", "sent"),
    [
        ((), {"content_type": b"text/plain"}),
        ((), {"content_type": b"application/json; charset=utf-16"}),
        ((b"Content-Type: application/json",), {}),
        ((b"Content-Encoding: gzip",), {}),
        ((b"Content_Encoding: gzip",), {}),
        ((b"Mcp-Method: tools/call",), {}),
        ((b"Mcp-Method: ping", b"Mcp-Method: tools/call"), {}),
    ],
)
def test_headers_that_make_a_doubt_are_refused(lines: tuple[bytes, ...], sent: dict[str, Any]) -> None:
    """The body must come as JSON in UTF-8, and headers that repeat it must say the same."""
    with pytest.raises(UnclearMessage):
        read(body(id=1, method="ping"), *lines, **sent)


@pytest.mark.parametrize(
    ("content", "lines", "clear"),
    [
        (call(name="a"), (b"Mcp-Method: tools/call", b"Mcp-Name: a"), True),
        (call(name="a"), (b"Mcp-Name: b",), False),
        (call(name="a", arguments={"name": "b"}), (b"Mcp-Name: " + INVOKE.encode(),), False),
        (body(id=1, result={}), (b"Mcp-Method: tools/call",), False),
        (invoked(name="a"), (b"Mcp-Name: " + INVOKE.encode(),), True),
        (invoked(name="a"), (b"Mcp-Name: b",), False),
        (invoked(name="a"), (b"Mcp-Param-Name: b",), False),
        (call(name="a"), (b"Mcp-Param-Name: b",), True),
        (b"[" + call(name="a") + b"," + call(name="b") + b"]", (b"Mcp-Name: a",), False),
    ],
)
def test_headers_that_repeat_the_body_say_the_same(content: bytes, lines: tuple[bytes, ...], clear: bool) -> None:
    """Some servers go by them: one could take the arguments of a permitted tool for those of `invoke_tool`."""
    if clear:
        assert read(content, *lines)
    else:
        with pytest.raises(UnclearMessage):
            read(content, *lines)


@pytest.mark.parametrize("line", [b"Mcp-Param-P: 124", b"mcp_param_P: 123"])
def test_a_limited_client_repeats_no_arguments_in_headers(line: bytes) -> None:
    """Only the server knows which argument such a header stands for."""
    own = OwnAccounts(frozenset((b"123",)), frozenset())
    assert read(call(name="a"), line)
    with pytest.raises(UnclearMessage):
        read_messages(fields(line, **JSON), JsonBody(call(name="a")), own)


@pytest.mark.parametrize(
    ("content", "named"),
    [
        (b"", ()),
        (body(id=1, method="tools/list"), ()),
        (body(id=1, result={}), ()),
        (b"7", ()),
        (call(name="a-query_b", arguments={"name": "c"}), ("a-query_b",)),
        (body(method="tools/call", params={"name": "a"}), ("a",)),
        (invoked(name="a-b", arguments={"name": "c"}), ("a-b",)),
        (invoked(tool_name="a-b", more=1), ("a-b",)),
        (invoked(toolName="a-b"), ("a-b",)),
        (invoked(tool="a-b", name="c"), (UNTOLD,)),
        (invoked(other="a-b"), (UNTOLD,)),
        (call(name=INVOKE, arguments=["a-b"]), (UNTOLD,)),
        (call(name="a\nb"), (UNTOLD,)),
        (call(name="a" * 129), (UNTOLD,)),
        (call(name=["a"]), (UNTOLD,)),
        (body(method="tools/call"), (UNTOLD,)),
        (body(method="tools/call", params="a"), (UNTOLD,)),
        (b"not JSON", (UNTOLD,)),
        (b"[" * 100_000, (UNTOLD,)),
        (b'{"method":"tools/call","params":{"name":"a","name":"b"}}', (UNTOLD,)),
        (b"[%b,7,%b,%b]" % (call(name="a"), call(name="b"), call(name="a")), ("a", "b")),
    ],
)
def test_a_record_names_the_tools_that_a_body_calls(content: bytes, named: tuple[str, ...]) -> None:
    """Also where nothing would be permitted to it; what is no name of a tool does not get into a record."""
    assert name_tools(JsonBody(content)) == named


def test_a_record_names_no_more_tools_than_it_has_room_for() -> None:
    """The last place tells that there were others."""
    calls = [call(name=f"tool-{number}") for number in range(1000)]
    full, more = (name_tools(JsonBody(b"[%b]" % b",".join(calls[:count]))) for count in (MAX_NAMED, 1000))
    assert full == tuple(f"tool-{number}" for number in range(MAX_NAMED))
    assert more == (*full[:-1], UNTOLD)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([[]] * (MAX_COST // 2), "send fewer of them in one request"),
        (["[]"] * (MAX_TEXTS + 1), "send them in several messages"),
        (
            [{"gr\u00f6\u00dfe": 1}],
            "names that are not ASCII, or differ in case and punctuation only; rename them",
        ),
        ([{"start_date": 1, "startDate": 2}], "names that are not ASCII"),
    ],
)
def test_what_is_not_judged_is_refused_with_what_to_do(arguments: list[Any], said: str) -> None:
    """For a client whose accounts are looked for in it."""
    content = call(name="a", arguments=arguments)
    own = OwnAccounts(frozenset((b"1",)), frozenset())
    with pytest.raises(UnclearMessage, match=said):
        read_messages(fields(**JSON), JsonBody(content), own)


def test_a_body_that_costs_too_much_names_no_tool() -> None:
    """The body passes where anything may, and its tool is unknown."""
    assert name_tools(JsonBody(call(name="a", arguments=[[]] * MAX_COST))) == (UNTOLD,)
