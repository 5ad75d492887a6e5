"""Amazon's APIs as values: what the proxy does differently for each of them. Pure.

The path of a request tells which API it is for. Code that treats APIs differently asks a member, not which API it is.
All APIs take the same authorization headers (`tokens.authorization`) and name their request ids alike
(`upstream.connection`).
"""

from __future__ import annotations

from proxy.tokens.token_refusals import ADS_API_REFUSALS, MCP_REFUSALS, TokenRefusals
from proxy.value_classes import dataclass


@dataclass(frozen=True, slots=True, eq=False)
class Api:
    """One of Amazon's APIs. Its `name` and a region lead to its address, in the rules."""

    name: str
    refusals: TokenRefusals
    """How it says that it refuses a token."""
    paths: tuple[bytes, ...] = ()
    """Where the proxy has it. Each begins with the first, which the region's own path replaces. Empty for the API that
    has all other paths, which are sent as they came."""
    takes_messages: bool = False
    """What a request does is told by the messages in its body, and the table of operations has none of its requests."""
    without_message: frozenset[bytes] = frozenset()
    """The methods whose requests need no message. Without a body they change nothing."""
    has_sessions: bool = False
    """What is decided about a request depends on its session, so that no decision is remembered."""
    takes_defaults: bool = False
    """A default profile or ads account is added to a request."""
    manager_leads: bool = False
    """A manager account leads to an account, as it stands for all of its ads accounts."""
    streams_may_end: bool = False
    """The proxy may end an event stream anywhere, as the client takes it up again."""
    is_hedged: bool = False
    """A late response may mean that the connection has died. Where a GET opens a stream, it means nothing."""

    def __repr__(self) -> str:
        return f"<Api {self.name}>"


ADS_API = Api("api", ADS_API_REFUSALS, takes_defaults=True, is_hedged=True)
MCP = Api(
    "mcp",
    MCP_REFUSALS,
    paths=(b"/mcp", b"/mcp/", b"/mcp/lite", b"/mcp/lite/"),
    takes_messages=True,
    without_message=frozenset((b"GET", b"DELETE")),  # they open a stream, and end a session
    has_sessions=True,
    manager_leads=True,
    streams_may_end=True,
)
"""The hosted MCP endpoint."""
