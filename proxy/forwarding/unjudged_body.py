"""A body that has to be judged before anything of its request is sent: it is gathered here until it is whole."""

from __future__ import annotations

from typing import TYPE_CHECKING

from proxy.access.mcp_tools import UNTOLD, name_tools
from proxy.errors import Refused

if TYPE_CHECKING:
    from collections.abc import Callable

    from proxy.forwarding.decision import RequestContext
    from proxy.http1.framing import Buffer


class UnjudgedBody:
    """`judge` raises the `Refused` that forbids a request with this body. `tools` are those of MCP that the body calls,
    as far as they were read."""

    __slots__ = ("_judge", "_names_tools", "complete", "data", "tools")

    def __init__(self, judge: Callable[[bytes], None], context: RequestContext) -> None:
        fields = context.request.fields
        self.data = bytearray()
        self.complete = not fields.chunked and not fields.content_length
        self.tools: tuple[str, ...] = (UNTOLD,)
        self._judge = judge
        self._names_tools = context.decision.tools is not None

    def __repr__(self) -> str:
        return f"<UnjudgedBody: {len(self.data)} bytes>"

    def add(self, pieces: list[Buffer]) -> None:
        for piece in pieces:
            self.data += piece

    def judgement(self, body: bytes) -> Refused | None:
        """What forbids the request, if anything does. Takes long for a large body, and may run in a thread."""
        try:
            self._judge(body)
        except Refused as error:
            if self._names_tools:
                self.tools = name_tools(body)
            return error
        return None
