"""What a freeze plugs in for MCP: what a message does is in its body, so that is read before anything of it leaves.

Decisions about MCP are not remembered, so a freeze plugs its gate into every request that comes while it is in force,
and no request pays for it otherwise. A stream that was open before stays open: only new messages are judged. Other
writes are known by their heads, and stopped by the core's `write_gate`.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from proxy.events import may_change
from proxy.forwarding.decision import NO_PLUGS, Capability, Plugs
from proxy.mcp.tools import UnclearMessage, effect_of_message, name_tools, read_messages, refuse_messages
from proxy.routing.operations import Effect

if TYPE_CHECKING:
    from proxy.forwarding.decision import Decision, RequestContext
    from proxy.forwarding.sockets import OwnAnswer
    from proxy.mcp.hints import ToolHints
    from proxy.spend.freezes import Freezes
    from proxy.strict_json import JsonBody


class FrozenMessages(Capability):
    """The gate of requests to the MCP endpoint whose client is frozen. `hints` has the tools that are not read-only."""

    def __init__(self, freezes: Freezes, hints: ToolHints) -> None:
        self.freezes, self.hints = freezes, hints

    def plug(self, decision: Decision) -> Plugs:
        if not decision.route.api.takes_messages or not self.freezes.is_frozen(decision.client):
            return NO_PLUGS
        return Plugs(gates=(partial(FreezeGate, self),))


class FreezeGate:
    """Implements `Gate`: one request of a frozen client to the MCP endpoint. What only reads goes on."""

    may_pass_unread = waits = False
    tap = rewrite = None

    def __init__(self, frozen: FrozenMessages, context: RequestContext) -> None:
        self._frozen, self._context = frozen, context

    def __repr__(self) -> str:
        return f"<FreezeGate of {self._context.request_id}>"

    def read(self, body: JsonBody) -> None:
        """Raise the refusal if a message may change something. A body that cannot be read may."""
        context = self._context
        request, operations = context.request, context.rules.table.operations
        refusal = self._frozen.freezes.refusal(context.client)
        if refusal is None or not context.is_write:
            return
        context.stats.mcp_tools = name_tools(body)
        if request.method != b"POST":
            raise refusal
        try:
            read = read_messages(request.fields, body)
        except UnclearMessage:
            raise refusal from None
        writers = self._frozen.hints.writers(context.route.account, context.route.region)
        effects = [effect_of_message(message, operations, writers) for message in read.messages]
        text = refusal.detail if refusal.retryable else f"{refusal.detail} Do not retry."
        texts = [text if may_change(effect) else "" for effect in effects]
        if any(texts):
            raise refuse_messages(refusal, read, texts)
        context.narrow(Effect.REPORT if Effect.REPORT in effects else Effect.READ)

    async def wait(self) -> OwnAnswer | None:
        return None
