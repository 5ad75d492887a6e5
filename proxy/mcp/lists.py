"""The tools that the MCP endpoint lists, on their way to a client: cut to what it may call, and read for hints. Pure.

Which tools a client may call is for `mcp.tools`, and what was said of them is kept by `tool_hints`.
"""

from __future__ import annotations

import json
import re
import zlib
from typing import TYPE_CHECKING, Any, Final

from proxy.mcp.protocol import make_private

if TYPE_CHECKING:
    from collections.abc import Callable

    from proxy.mcp.tools import ToolRules

MAX_MESSAGE: Final = 8 << 20
"""Bytes of one message that are gathered."""
_LINE_END: Final = re.compile(rb"\r\n|\n|\r")
_EVENT_END: Final = re.compile(rb"(?:\r\n|\n|\r(?!\n|\Z)){2}")
_MARK: Final = b"\xef\xbb\xbf"
_UNREADABLE: Final = {
    "code": -32603,
    "message": "Amazon's answer could not be read, and the client may not see all of it.",
}


class EventSplitter:
    """Cuts a stream of events where each ends. `waiting` is how many bytes have no end yet."""

    def __init__(self) -> None:
        self._waiting = bytearray()

    @property
    def waiting(self) -> int:
        return len(self._waiting)

    def feed(self, data: bytes) -> list[bytes]:
        """The events that end with this, each with its end."""
        scanned = max(0, len(self._waiting) - 3)
        self._waiting += data
        found, at = [], 0
        for end in _EVENT_END.finditer(self._waiting, scanned):
            found.append(bytes(self._waiting[at : end.end()]))
            at = end.end()
        del self._waiting[:at]
        return found

    def rest(self) -> bytes:
        """What nothing ended; it is forgotten."""
        rest, self._waiting = bytes(self._waiting), bytearray()
        return rest


class WholeBody(EventSplitter):
    """A body that is one message, and ends with the response."""

    def feed(self, data: bytes) -> list[bytes]:
        self._waiting += data
        return []


def _data_of(lines: list[bytes]) -> bytes:
    """The message that an event's lines hold."""
    return b"\n".join(line[5:].removeprefix(b" ") for line in lines if line.startswith(b"data:"))


def _may_list(text: bytes) -> bool:
    """Whether a list of tools can be in an event, or in its data: its name is, or what may spell it."""
    return b"tools" in text or b"\\u" in text


def _tools_of(message: Any) -> list[Any] | None:
    """The list of tools in a message, None where it has none."""
    result = message.get("result") if isinstance(message, dict) else None
    tools = result.get("tools") if isinstance(result, dict) else None
    return tools if isinstance(tools, list) else None


class ToolListFilter:
    """One answer. `readable` tells that its body is not compressed; `events` that it is a stream of events. `learn` is
    called with each list before a part of it is shown."""

    def __init__(
        self,
        rules: ToolRules,
        *,
        readable: bool,
        events: bool,
        learn: Callable[[list[Any]], None] = lambda tools: None,
    ) -> None:
        self._rules = rules
        self._events = events
        self._split = EventSplitter() if events else WholeBody()
        self._failed = not readable
        self._told = False
        self._learn = learn

    def __repr__(self) -> str:
        kind = "events" if self._events else "one body"
        return f"<ToolListFilter of {kind}: {'unreadable' if self._failed else f'{self._split.waiting} bytes waiting'}>"

    def feed(self, data: bytes) -> bytes:
        """What may pass now that this came."""
        if self._failed:
            return self._say_unreadable() if data else b""
        passing = b"".join(map(self._event, self._split.feed(data)))
        if self._split.waiting > MAX_MESSAGE:
            self._failed = True
            self._split.rest()
            return passing + self._say_unreadable()
        return passing

    def finish(self) -> bytes:
        """What is left at the end: the body, or an event that nothing ended, which its readers drop."""
        rest = self._split.rest()
        if self._failed or not rest:  # an empty body is readable in any coding, and of another one it was said
            return b""
        return self._event(rest) if self._events else self._body(rest)

    def _event(self, event: bytes) -> bytes:
        """An event with its end, its data replaced where it holds a list of tools."""
        if not _may_list(event):
            return event
        lines = _LINE_END.split(event.removeprefix(_MARK))
        shown = self._shown(_data_of(lines))
        if shown is None:
            return event
        kept = [line for line in lines if line and not line.startswith(b"data:")]
        return b"\n".join([*kept, b"data: " + shown]) + b"\n\n"

    def _body(self, body: bytes) -> bytes:
        shown = self._shown(body)
        return body if shown is None else shown

    def _shown(self, text: bytes) -> bytes | None:
        """A message, or several, with the tools that the client may call alone; None where nothing is to be
        changed."""
        if not _may_list(text):
            return None
        try:
            content = json.loads(text)
        except (ValueError, RecursionError):
            return self._unreadable()
        changed = [self._cut(message) for message in (content if isinstance(content, list) else [content])]
        return json.dumps(content).encode() if any(changed) else None

    def _cut(self, message: Any) -> bool:
        """Take out of a message's list of tools what is not the client's, and keep the list private. Tells whether that
        changed anything."""
        tools = _tools_of(message)
        if tools is None:
            return False
        self._learn(tools)
        result = message["result"]
        result["tools"] = [tool for tool in tools if self._rules.shows(tool)]
        if tools and not result["tools"] and not result.get("nextCursor") and not self._rules.paging:
            del message["result"]
            message["error"] = self._rules.missing(len(tools))
        return make_private(result) or len(result["tools"]) < len(tools)

    def _unreadable(self) -> bytes:
        """With the request's id: without it, its client would wait on."""
        return json.dumps({"jsonrpc": "2.0", "id": self._rules.asked_id, "error": _UNREADABLE}).encode()

    def _say_unreadable(self) -> bytes:
        """Once, in the answer's place."""
        if self._told:
            return b""
        self._told = True
        text = self._unreadable()
        return b"event: message\ndata: " + text + b"\n\n" if self._events else text


# --- A list of tools that is read while it passes to a client that may call all of them -------------------------

MAX_READ: Final = 1 << 20
"""Bytes of an answer that are read."""


class ToolListReader:
    """One answer to a request for tools. `coding` is its Content-Encoding; what is compressed otherwise than by gzip is
    not read."""

    def __init__(self, coding: bytes, *, events: bool) -> None:
        self._events = events
        self._split = EventSplitter() if events else WholeBody()
        self._unzip = zlib.decompressobj(wbits=31) if coding.lower() in (b"gzip", b"x-gzip") else None
        self._left = MAX_READ if self._unzip is not None or coding in (b"", b"identity") else 0

    def __repr__(self) -> str:
        return f"<ToolListReader: {self._left} bytes left>"

    def feed(self, data: bytes) -> list[bytes]:
        """The messages that ended with this and may hold a list, for `find_tools`."""
        if not self._left:
            return []
        if self._unzip is not None:
            try:
                data = self._unzip.decompress(data, self._left)
            except zlib.error:
                self._left = 0
                return []
        found = self._split.feed(data[: self._left])
        self._left -= min(self._left, len(data))
        if not self._left:
            self._split.rest()
        return self._messages(found)

    def finish(self) -> list[bytes]:
        """The message that is left at the end, if it may hold a list."""
        rest = self._split.rest()
        return [] if self._events or b"tools" not in rest else [rest]

    def _messages(self, events: list[bytes]) -> list[bytes]:
        return [_data_of(_LINE_END.split(event.removeprefix(_MARK))) for event in events if b"tools" in event]


def find_tools(text: bytes) -> list[Any]:
    """The tools that a message lists, or several messages in a list; none where it lists nothing."""
    try:
        content = json.loads(text)
    except (ValueError, RecursionError):
        return []
    messages = content if isinstance(content, list) else [content]
    return [tool for message in messages for tool in _tools_of(message) or ()]
