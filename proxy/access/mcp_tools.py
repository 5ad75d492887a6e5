"""Which tools of the hosted MCP endpoint a client may call, and which it is shown. Pure.

A tool does what the operation of the unified API does whose verb and resource its name has: for
`campaign_management-query_campaign` that is `POST /adsApi/v1/query/campaigns`, which reads. What has no such operation
counts as a write (docs/routing.md, Tools of MCP). How messages are read is for `mcp_messages`.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from proxy.access.mcp_messages import CALL, DESCRIBE, INVOKE, SEARCH, McpBody, McpMessage, UnclearMessage, read_messages
from proxy.errors import ToolNotPermitted
from proxy.routing.operations import Effect

if TYPE_CHECKING:
    from proxy.access.paths import PathPattern
    from proxy.http1.message import Request
    from proxy.routing.operations import Operations

METHODS: Final = frozenset(
    (
        *("initialize", "ping", "server/discover", "tools/list", CALL, "prompts/list", "prompts/get"),
        *("resources/list", "resources/read", "resources/templates/list", "resources/subscribe"),
        *("resources/unsubscribe", "subscriptions/listen", "completion/complete", "logging/setLevel"),
    )
)
"""What a client whose tools are limited may ask for, beside notifications and answers: nothing else calls a tool."""
NOTIFICATIONS: Final = frozenset(f"notifications/{what}" for what in ("initialized", "cancelled", "progress")) | {
    "notifications/roots/list_changed"
}
READS: Final = {Effect.READ: (Effect.READ,), Effect.REPORT: (Effect.READ, Effect.REPORT), Effect.WRITE: tuple(Effect)}
_VERBS: Final = frozenset(("query", "retrieve", "create", "update", "delete"))
_NOT_PERMITTED, _UNCLEAR, _NOT_SENT = -32010, -32600, -32011


@dataclass(frozen=True, slots=True)
class ToolRules:
    """What one client may call. `patterns` are those of `mcp_tools`, None for all tools; `access` is how much a tool
    may do. `paging` tells that a request goes on with a list, of which the client has seen other pages."""

    client: str
    access: Effect
    patterns: tuple[PathPattern, ...] | None
    operations: Operations
    paging: bool = False

    def forbids(self, tool: str) -> str:
        """Why a tool may not be called, empty where it may."""
        if self.patterns is not None and not any(pattern.matches(tool.encode()) for pattern in self.patterns):
            return f"Client {self.client} may not call {tool}: no pattern of its `mcp_tools` matches it."
        if effect_of(tool, self.operations) not in READS[self.access]:
            return f"Client {self.client} has `access: {self.access}`, and {tool} may do more."
        return ""

    def shows(self, tool: object) -> bool:
        """Whether a tool of a list is one that the client may call; those of `/mcp/lite` are judged by each call."""
        name = tool.get("name") if isinstance(tool, dict) else None
        return isinstance(name, str) and (name in (SEARCH, DESCRIBE, INVOKE) or not self.forbids(name))

    def missing(self, count: int) -> dict[str, Any]:
        """The error of a client that may call none of the listed tools, of which there are `count`."""
        named = "" if self.patterns is None else " and its `mcp_tools`"
        return {
            "code": _NOT_PERMITTED,
            "message": f"Client {self.client} may call none of the {count} tools here, because of its `access: "
            f"{self.access}`{named}. Change these in the proxy's configuration.",
        }

    def judge(self, request: Request, body: bytes) -> None:
        """Raise what forbids a request to the endpoint, if anything does."""
        if request.method != b"POST":
            if body:
                raise _unclear("only a POST has a body here")
            return
        try:
            read = read_messages(request.fields, body)
        except UnclearMessage as error:
            raise _unclear(str(error)) from None
        refused = [self._forbidden(message) for message in read.messages]
        if any(refused):
            raise _refusal(read, refused)

    def _forbidden(self, message: McpMessage) -> str:
        if message.method == CALL:
            lite = message.tool in (SEARCH, DESCRIBE)
            return "" if lite else self.forbids(message.tool)
        if not message.method or message.method in METHODS | NOTIFICATIONS:
            return ""
        return f"Client {self.client} is limited, and may not use the method {message.method[:64]}."


def effect_of(tool: str, operations: Operations) -> Effect:
    """What a tool does, by its name; a write where nothing says that it does less."""
    verb, _, resource = tool.rpartition("-")[2].partition("_")
    if verb not in _VERBS or not resource:
        return Effect.WRITE
    first, *others = resource.split("_")
    name = first + "".join(word.capitalize() for word in others)
    for plural in (f"{name}s", f"{name.removesuffix('y')}ies", name):
        operation = operations.find(b"POST", (b"adsApi", b"v1", verb.encode(), plural.encode()))
        if operation is not None:
            return operation.effect
    return Effect.WRITE


# --- refusals -----------------------------------------------------------------------------------------------


def _unclear(flaw: str) -> ToolNotPermitted:
    detail = f"The client is limited, and this cannot be judged: {flaw}."
    return ToolNotPermitted.answered(detail, json.dumps(_error(None, _UNCLEAR, detail)).encode(), 400)


def _refusal(read: McpBody, refused: list[str]) -> ToolNotPermitted:
    """The answer to a body of which a part is forbidden: none of it is sent. Each message that asks has its error."""
    why = next(filter(None, refused))
    answers = [
        _error(message.identifier, _NOT_PERMITTED if reason else _NOT_SENT, reason or f"Not sent either: {why}")
        for message, reason in zip(read.messages, refused, strict=True)
        if message.asks
    ]
    if not answers:
        return ToolNotPermitted.answered(why, json.dumps(_error(None, _NOT_PERMITTED, why)).encode(), 403)
    return ToolNotPermitted.answered(why, json.dumps(answers if read.batch else answers[0]).encode(), 200)


def _error(identifier: object, code: int, text: str) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": identifier, "error": {"code": code, "message": text}}
