"""Messages of MCP as a tool sends them: which methods they ask for, and which tools they call. Pure.

JSON-RPC 2.0 in the body of a POST, one message or several in a list (the Streamable HTTP transport of MCP). A message
that a server could take for another than is read here is unclear, and nothing is permitted to it. `name_tools` is for
records, and permits nothing.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from proxy.access.json_body import differ_clearly, find_odd_form, read_json

if TYPE_CHECKING:
    from proxy.http1.request_fields import RequestFields

LITE: Final = "amazon_ads_mcp-"
SEARCH, DESCRIBE, INVOKE = (f"{LITE}{verb}" for verb in ("search_tools", "describe_tools", "invoke_tool"))
"""The tools of `/mcp/lite`: by them the others are found and called (docs/amazon.md, MCP)."""
CALL: Final = "tools/call"

_MEMBERS: Final = frozenset(("jsonrpc", "id", "method", "params", "result", "error"))
_INVOKED: Final = ("name", "tool_name", "toolName", "tool")
_GIVEN: Final = frozenset(("arguments", "args", "parameters", "params", "input"))
"""What the arguments of `invoke_tool` may be called; which of them Amazon's server reads is not written down."""
_TOOL: Final = re.compile(r"[A-Za-z0-9_./-]{1,128}")
_METHOD_HEADER, _NAME_HEADER, _PARAM_HEADER = b"mcp-method", b"mcp-name", b"mcp-param-"
_MAX_MESSAGES: Final = 64
UNTOLD: Final = "?"
"""Stands in a record for a tool whose name cannot be told; no tool is called so."""
MAX_NAMED: Final = 16


class UnclearMessage(ValueError):
    """What is wrong with a body, in words."""


@dataclass(frozen=True, slots=True)
class McpMessage:
    """One message. `identifier` is its JSON-RPC id, and `asks` whether it has one: otherwise nobody answers it.

    `method` is empty for an answer to the server. `tool` is the one that it calls, itself or by `invoke_tool`; else
    empty.
    """

    identifier: str | int | float | None
    asks: bool
    method: str
    tool: str = ""


@dataclass(frozen=True, slots=True)
class McpBody:
    """The messages of a body; `batch` tells that they came in a list."""

    messages: tuple[McpMessage, ...]
    batch: bool


def read_messages(fields: RequestFields, body: bytes) -> McpBody:
    """Read a POST's body. Raises `UnclearMessage`."""
    odd = find_odd_form(fields)
    if odd:
        raise UnclearMessage(odd)
    try:
        content = read_json(body, strictly=False)
    except (ValueError, RecursionError):
        raise UnclearMessage("the body is not plain JSON in UTF-8, or has a name twice") from None
    batch = isinstance(content, list)
    found = tuple(_message(entry, fields) for entry in (content if batch else [content])[:_MAX_MESSAGES])
    if not found or (batch and len(content) > _MAX_MESSAGES):
        raise UnclearMessage(f"a list holds 1 to {_MAX_MESSAGES} messages")
    _check_headers(found, fields)
    return McpBody(found, batch)


def name_tools(body: bytes) -> tuple[str, ...]:
    """The tools that a body calls as far as it can be told, each once: itself, or by `invoke_tool`. Whatever it holds,
    there are at most `MAX_NAMED`, of letters, digits, and `_-./`; `UNTOLD` stands for all others."""
    if not body:
        return ()
    try:
        content = read_json(body, strictly=False)
    except (ValueError, RecursionError):
        return (UNTOLD,)
    messages = content if isinstance(content, list) else [content]
    calls = [each for each in messages if isinstance(each, dict) and each.get("method") == CALL]
    named = tuple(dict.fromkeys(_name_told(call.get("params")) for call in calls))
    return named if len(named) <= MAX_NAMED else (*named[: MAX_NAMED - 1], UNTOLD)


def _name_told(params: Any) -> str:
    """The tool of one call, read as any server might."""
    name = params.get("name") if isinstance(params, dict) else None
    if name == INVOKE:
        arguments = params.get("arguments")
        given = [arguments[key] for key in _INVOKED if key in arguments] if isinstance(arguments, dict) else []
        name = given[0] if len(given) == 1 else None
    return name if isinstance(name, str) and _TOOL.fullmatch(name) else UNTOLD


def _message(content: Any, fields: RequestFields) -> McpMessage:
    if not isinstance(content, dict) or not content.keys() <= _MEMBERS:
        raise UnclearMessage("a message is an object with the members of JSON-RPC 2.0, and no others")
    identifier, method, params = content.get("id"), content.get("method", ""), content.get("params")
    if isinstance(identifier, bool) or not isinstance(identifier, str | int | float | None):
        raise UnclearMessage("an id is a text or a number")
    if not isinstance(method, str) or not isinstance(params, dict | None):
        raise UnclearMessage("a method is a text, and params are an object")
    if not method and not content.keys() & {"result", "error"}:
        raise UnclearMessage("a message has a method, or is an answer")
    tool = _called(params or {}, fields) if method == CALL else ""
    return McpMessage(identifier, "id" in content and bool(method), method, tool)


def _called(params: dict[str, Any], fields: RequestFields) -> str:
    """The tool that a call is for."""
    if not differ_clearly(params):
        raise UnclearMessage("the names in params are too much alike")
    tool = _tool_name(params.get("name"))
    return _invoked(params.get("arguments"), fields) if tool == INVOKE else tool


def _invoked(arguments: Any, fields: RequestFields) -> str:
    """The tool that `invoke_tool` is to call. What it might take for another name than we do is refused."""
    if not isinstance(arguments, dict) or not differ_clearly(arguments):
        raise UnclearMessage(f"the arguments of {INVOKE} are an object with names that differ")
    names = [key for key in _INVOKED if key in arguments]
    if len(names) != 1 or not arguments.keys() <= _GIVEN | {names[0]}:
        raise UnclearMessage(f"the arguments of {INVOKE} are the tool's name and its arguments, and nothing else")
    tool = _tool_name(arguments[names[0]])
    if tool.startswith(LITE):
        raise UnclearMessage(f"{INVOKE} may not call {tool}")
    if any(name.startswith(_PARAM_HEADER) for name, _ in fields.every):
        raise UnclearMessage(f"a call of {INVOKE} is sent without Mcp-Param headers")
    return tool


def _tool_name(name: Any) -> str:
    if not isinstance(name, str) or not _TOOL.fullmatch(name):
        raise UnclearMessage("a tool's name has 1 to 128 letters, digits, '_', '-', '.' or '/'")
    return name


def _check_headers(messages: tuple[McpMessage, ...], fields: RequestFields) -> None:
    """Headers that repeat what the body says must say the same: some servers go by them."""
    sent = [(name, value) for name, value in fields.every if name in (_METHOD_HEADER, _NAME_HEADER)]
    if not sent:
        return
    (message, *others) = messages
    if others:
        raise UnclearMessage("a list of messages is sent without Mcp-Method and Mcp-Name")
    for name, value in sent:
        text = value.decode("latin-1")
        if name == _METHOD_HEADER and text != message.method:
            raise UnclearMessage("Mcp-Method names another method than the body")
        if name == _NAME_HEADER and message.method == CALL and text not in (message.tool, INVOKE):
            raise UnclearMessage("Mcp-Name names another tool than the body")
