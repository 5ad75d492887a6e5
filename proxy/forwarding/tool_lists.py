"""The tools that the MCP endpoint lists, on their way to a client that may not call them all. Pure.

Which tools a client may call is for `access.mcp_tools`.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from proxy.access.mcp_tools import ToolRules

MAX_MESSAGE: Final = 8 << 20
"""Bytes of one message that are gathered."""
_LINE_END: Final = re.compile(rb"\r\n|\n|\r")
_EVENT_END: Final = re.compile(rb"(?:\r\n|\n|\r(?!\n|\Z)){2}")
_MARK: Final = b"\xef\xbb\xbf"
_UNREADABLE: Final = {
    "jsonrpc": "2.0",
    "id": None,
    "error": {"code": -32603, "message": "Amazon's answer could not be read, and the client may not see all of it."},
}


class ToolListFilter:
    """One answer. `readable` tells that its body is not compressed; `events` that it is a stream of events."""

    def __init__(self, rules: ToolRules, *, readable: bool, events: bool) -> None:
        self._rules = rules
        self._events = events
        self._waiting = bytearray()
        self._failed = not readable
        self._told = False
        self._scanned = 0

    def __repr__(self) -> str:
        kind = "events" if self._events else "one body"
        return f"<ToolListFilter of {kind}: {'unreadable' if self._failed else f'{len(self._waiting)} bytes waiting'}>"

    def feed(self, data: bytes) -> bytes:
        """What may pass now that this came."""
        if self._failed:
            return self._say_unreadable()
        self._scanned = max(0, len(self._waiting) - 3)
        self._waiting += data
        passing = b"".join(self._whole_events()) if self._events else b""
        if len(self._waiting) > MAX_MESSAGE:
            self._failed, self._waiting = True, bytearray()
            return passing + self._say_unreadable()
        return passing

    def finish(self) -> bytes:
        """What is left at the end: the body, or an event that nothing ended, which its readers drop."""
        rest, self._waiting = bytes(self._waiting), bytearray()
        if self._failed or not rest:
            return self._say_unreadable() if self._failed else b""
        return self._event(rest) if self._events else self._body(rest)

    def _whole_events(self) -> list[bytes]:
        found, at = [], 0
        for end in _EVENT_END.finditer(self._waiting, self._scanned):
            found.append(self._event(bytes(self._waiting[at : end.end()])))
            at = end.end()
        del self._waiting[:at]
        return found

    def _event(self, event: bytes) -> bytes:
        """An event with its end, its data replaced where it holds a list of clients."""
        lines = _LINE_END.split(event.removeprefix(_MARK))
        data = b"\n".join(line[5:].removeprefix(b" ") for line in lines if line.startswith(b"data:"))
        shown = self._shown(data)
        if shown is None:
            return event
        kept = [line for line in lines if line and not line.startswith(b"data:")]
        return b"\n".join([*kept, b"data: " + shown]) + b"\n\n"

    def _body(self, body: bytes) -> bytes:
        shown = self._shown(body)
        return body if shown is None else shown

    def _shown(self, text: bytes) -> bytes | None:
        """A message, or several, with the clients that the client may call alone; None where nothing is to be
        changed."""
        if b"tools" not in text and b"\\u" not in text:
            return None
        try:
            content = json.loads(text)
        except (ValueError, RecursionError):
            return json.dumps(_UNREADABLE).encode()
        changed = [self._cut(message) for message in (content if isinstance(content, list) else [content])]
        return json.dumps(content).encode() if any(changed) else None

    def _cut(self, message: Any) -> bool:
        """Take out of a message's list of clients what is not the client's; tells whether there was any."""
        result = message.get("result") if isinstance(message, dict) else None
        tools = result.get("tools") if isinstance(result, dict) else None
        if not isinstance(result, dict) or not isinstance(tools, list):
            return False
        result["tools"] = [tool for tool in tools if self._rules.shows(tool)]
        if tools and not result["tools"] and not result.get("nextCursor") and not self._rules.paging:
            del message["result"]
            message["error"] = self._rules.missing(len(tools))
        return len(result["tools"]) < len(tools)

    def _say_unreadable(self) -> bytes:
        """Once, in the answer's place."""
        if self._told:
            return b""
        self._told = True
        text = json.dumps(_UNREADABLE).encode()
        return b"event: message\ndata: " + text + b"\n\n" if self._events else text
