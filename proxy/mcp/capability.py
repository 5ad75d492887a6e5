"""What MCP plugs into the core: whom a session is for, a gate for clients whose tools are limited, and a tap for all.

The gate has each message judged by the client's `ToolRules`, and the list of tools cut to them on its way back. Another
signs the session ids of clients whose limits on spending need to know the advertiser of a session. The tap
names the tools that are called, for the account; says of a body that only reads that it is no write; and learns which
sessions there are, and what the endpoint says of its tools.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, Final

from proxy.body_reader import READER
from proxy.events import ToolHintsContradicted, may_change
from proxy.forwarding.decision import NO_PLUGS, Capability, Plugs
from proxy.forwarding.sockets import NO_PLACEMENT, Placement, Reading, Tap
from proxy.http1.response_fields import is_event_stream, with_value
from proxy.mcp.fixed_sessions import fixing_account, naming_session
from proxy.mcp.hints import MAX_TOLD
from proxy.mcp.lists import ToolListFilter, ToolListReader, find_tools
from proxy.mcp.sessions import sent_session_id
from proxy.mcp.tools import UNTOLD, McpCalls, name_listed, name_tools, read_calls, read_hints, tool_rules
from proxy.routing.api import MCP
from proxy.routing.mcp_session import SESSION_ID, McpSession, stated_account
from proxy.strict_json import JsonBody

if TYPE_CHECKING:
    from collections.abc import Container

    from proxy.access.clients import ClientIdentity, Clients
    from proxy.access.policy import Verdict
    from proxy.events import Observer
    from proxy.forwarding.decision import Decision, RequestContext
    from proxy.forwarding.sockets import End, Filter, OwnAnswer
    from proxy.http1.framing import Buffer
    from proxy.http1.message import Response
    from proxy.mcp.fixed_sessions import FixedSessions
    from proxy.mcp.hints import ToolHints
    from proxy.mcp.sessions import McpSessions
    from proxy.mcp.tools import ToolRules
    from proxy.routing.table import RoutingTable
    from proxy.routing.target import RequestSummary

_LIST: Final = (b'"tools/list"', b'"tools\\/list"')
"""How JSON has the method of a request for MCP tools: some write a slash in the second way."""
NAMED_AT_ONCE: Final = 4096
"""The `cost_of` a body up to which its MCP tools are named by the event loop: less than a millisecond of work."""


class McpMemory:
    """What a process knows of the MCP endpoint; it outlives reloads. `observer` is told what contradicts a name."""

    def __init__(self, sessions: McpSessions, hints: ToolHints, observer: Observer) -> None:
        self.sessions, self.hints, self.observer = sessions, hints, observer

    def learn_tools(self, context: RequestContext, tools: list[Any]) -> None:
        """The endpoint listed these tools in answer to a request."""
        route = context.route
        self.hints.note_listed(route.account, route.region, name_listed(tools))
        new = self.hints.learn(route.account, route.region, read_hints(tools, context.rules.table.operations))
        if new:
            self.observer.observe(ToolHintsContradicted(route.account, route.region, tuple(sorted(new)[:MAX_TOLD])))


class Mcp(Capability):
    """The endpoint's requests under one set of rules. `fixed` reads and writes the session ids of limited clients, and
    those that began for one advertiser of the clients in `asking`, by name."""

    def __init__(
        self, memory: McpMemory, fixed: FixedSessions, asking: Container[str], clients: Clients, table: RoutingTable
    ) -> None:
        self.memory, self.fixed = memory, fixed
        self._asking, self._clients, self._table = asking, clients, table

    def place(self, asked: RequestSummary, identity: ClientIdentity, screened: Verdict) -> Placement:
        """A limited client's session names its advertiser, and hides the endpoint's own id; another client's may."""
        if asked.api is not MCP:
            return NO_PLACEMENT
        sent = sent_session_id(asked.fields)
        if not screened.is_fixed and not self.fixed.may_have_written(sent):
            return Placement(self.memory.sessions.find(asked.fields, identity.name))
        session, own_id = self.fixed.read(sent, identity.name) if sent else (None, b"")
        if not screened.is_fixed:
            return Placement(session, None, naming_session(asked.fields, own_id))
        fixed = self._clients.fix_account(identity, screened, asked, self._table, session)
        return Placement(session, fixed, fixing_account(asked.fields, own_id) if fixed is not None else None)

    def plug(self, decision: Decision) -> Plugs:
        """A gate where the client's tools are limited, or its sessions are signed; its tap comes with it."""
        if decision.route.api is not MCP:
            return NO_PLUGS
        rules = self._rules_of(decision)
        if rules is not None:
            return Plugs(gates=(partial(McpGate, self, rules),), at_end=False)
        if decision.client in self._asking:
            return Plugs(gates=(partial(SessionGate, self),), at_end=False)
        return Plugs(taps=(partial(McpTap, self.memory),), at_end=False)

    def session_to_sign(self, context: RequestContext, identifier: bytes) -> McpSession | None:
        """The session that an answer names by Amazon's `identifier`, if its client gets a signed id for it."""
        route = context.route
        lives = context.client, route.account, route.region
        if route.fixed is not None:
            return McpSession(*lives, route.fixed)
        if identifier == sent_session_id(context.request.fields):
            fixed = route.session.fixed if route.session is not None else None
        elif context.client in self._asking:
            fixed = stated_account(context.decision.asked.fields, route.profile, route.ads_account)
        else:
            fixed = None
        return McpSession(*lives, fixed) if fixed is not None else None

    def _rules_of(self, decision: Decision) -> ToolRules | None:
        route = decision.route
        writers = self.memory.hints.writers(route.account, route.region)
        return tool_rules(decision.identity.policy, self._table.operations, writers, route.fixed)


class McpTap(Tap):
    """Sees one request to the MCP endpoint pass. `calls` are what its body calls, if a gate has read that."""

    __slots__ = ("_context", "_lists", "_memory", "_message", "_reader", "calls")

    def __init__(self, memory: McpMemory, context: RequestContext) -> None:
        self._memory, self._context = memory, context
        self._message: bytearray | None = bytearray()
        self._lists = False
        self._reader: ToolListReader | None = None
        self.calls: McpCalls | None = None

    # --- the request

    def request_data(self, pieces: list[Buffer]) -> None:
        """Keep the message. One that is incomplete or too large has an unknown tool, and counts as a write."""
        self._context.stats.mcp_tools = (UNTOLD,)
        if self._message is not None:
            for piece in pieces:
                self._message += piece
            if len(self._message) > self._context.rules.replay_bytes:
                self._message = None

    def request_ended(self) -> None:
        if self._message is None:
            return
        context, body, self._message = self._context, JsonBody(bytes(self._message)), None
        self._lists = any(name in body.raw for name in _LIST)
        if self.calls is not None:
            self._note(self.calls)
        elif not body.costs_more_than(NAMED_AT_ONCE):
            route, operations = context.route, context.rules.table.operations
            writers = self._memory.hints.writers(route.account, route.region)
            self._note(read_calls(context.request, body, operations, writers))
        else:
            self._name_later(body)

    def _note(self, calls: McpCalls) -> None:
        self._context.stats.mcp_tools = calls.tools
        if not may_change(calls.effect):
            self._context.narrow(calls.effect)

    def _name_later(self, body: JsonBody) -> None:
        """Name the tools of a costly body in a thread. It counts as a write, as it leaves before it is read."""
        context = self._context
        naming = READER.read(context.pool.loop, context.client, name_tools, body)

        def settle() -> None:
            context.stats.mcp_tools = (UNTOLD,) if naming.cancelled() else naming.result()

        context.stats.readings += (Reading(naming, settle),)

    # --- the response

    def began(self, response: Response) -> None:
        self._memory.sessions.answered(self._context, response)
        if self._lists and response.status == 200:
            self._begin_to_read(response)

    def _begin_to_read(self, response: Response) -> None:
        fields = response.fields
        self._reader = ToolListReader(fields.content_encoding, events=is_event_stream(fields))

    def response_data(self, pieces: list[Buffer]) -> None:
        if self._reader is not None:
            self._learn(self._reader.feed(b"".join(pieces)))

    def response_ended(self) -> None:
        if self._reader is not None:
            self._learn(self._reader.finish())

    def _learn(self, messages: list[bytes]) -> None:
        """Read messages in a thread, so that no request waits for it."""
        context, memory = self._context, self._memory
        for message in messages:
            reading = READER.read(context.pool.loop, context.client, find_tools, message)
            reading.add_done_callback(
                lambda done: None if done.cancelled() else memory.learn_tools(context, done.result())
            )


class LimitedTap(McpTap):
    """Sees a request of a client whose tools are limited. The list of tools is read where it is cut."""

    __slots__ = ()

    def _begin_to_read(self, response: Response) -> None:
        """The gate's rewrite reads the list."""

    def ended(self, end: End) -> Reading | None:
        """A request of which nothing left names what it would have called."""
        stats = self._context.stats
        if not end.sent and stats.bytes_in:
            stats.mcp_tools = self.calls.tools if self.calls is not None else (UNTOLD,)
        return None


class SessionGate:
    """Implements `Gate`, and `Rewrite` for the answer: one request of a client that gets signed session ids."""

    may_pass_unread = True
    waits = reads_bodies = False

    def __init__(self, mcp: Mcp, context: RequestContext) -> None:
        self._mcp, self._context = mcp, context
        self.tap = self._make_tap()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {self._context.request.id}>"

    def _make_tap(self) -> McpTap:
        return McpTap(self._mcp.memory, self._context)

    @property
    def rewrite(self) -> SessionGate:
        """This object itself; as an attribute it would be a cycle, and wait for the garbage collector."""
        return self

    def read(self, body: JsonBody) -> None:
        """Nothing of the body is asked for."""

    async def wait(self) -> OwnAnswer | None:
        return None

    # --- Rewrite

    def section(self, passing: bytes) -> bytes:
        """A session id that the client gets signed is not Amazon's, but says for which advertiser it is."""
        return with_value(passing, SESSION_ID, self._told)

    def _told(self, identifier: bytes) -> bytes:
        session = self._mcp.session_to_sign(self._context, identifier)
        return self._mcp.fixed.write(session, identifier) if session is not None else identifier

    def filter(self, response: Response) -> Filter | None:
        return None


class McpGate(SessionGate):
    """One request of a client whose tools are limited."""

    may_pass_unread = False
    reads_bodies = True
    tap: LimitedTap

    def __init__(self, mcp: Mcp, rules: ToolRules, context: RequestContext) -> None:
        super().__init__(mcp, context)
        self._rules = rules

    def _make_tap(self) -> LimitedTap:
        return LimitedTap(self._mcp.memory, self._context)

    def read(self, body: JsonBody) -> None:
        rules, request, route = self._rules, self._context.request, self._context.route
        self.tap.calls = read_calls(request, body, rules.operations, rules.writers)
        rules.check(request, body, self._mcp.memory.hints.listed(route.account, route.region))
        self._rules = rules.after(body)

    def filter(self, response: Response) -> Filter | None:
        fields, context = response.fields, self._context
        readable = fields.content_encoding in (b"", b"identity")
        learn = partial(self._mcp.memory.learn_tools, context) if response.status == 200 else _learn_nothing
        return ToolListFilter(self._rules, readable=readable, events=is_event_stream(fields), learn=learn)


def _learn_nothing(tools: list[Any]) -> None:
    """What an error lists is no list of tools."""
