"""The sockets of the core: how a capability plugs into the way of a request, and nothing of what any of them does.

A capability is asked once for each decision what it has to do with requests that are decided so. For most it is
nothing. Otherwise it gives a gate, a tap or both, of which each request gets its own:

- A gate sees a request with its whole body before anything of it leaves. It lets it go on, refuses it, or answers it.
  It may wait.
- A tap sees what passes: the request's body, the response, and the end. It delays and changes nothing. It can have a
  response held back and replaced, and it may say more for the account of the request.
- A rewrite gives the client another header section or other bytes than Amazon sent.

A capability may also answer requests to paths of the proxy's own, and say to which session a request belongs. `app`
plugs them in, in one list; here none is imported.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from proxy.http1.message import Response
from proxy.http1.response_fields import read_response_section
from proxy.problem import reason_phrase

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from proxy.access.clients import ClientIdentity
    from proxy.downstream.ports import ClientPort
    from proxy.forwarding.attempt import Attempt
    from proxy.http1.framing import Buffer
    from proxy.http1.message import Request
    from proxy.http1.request_fields import RequestFields
    from proxy.observability.instruments import Cell
    from proxy.routing.mcp_session import FixedAccount, McpSession
    from proxy.routing.target import Destination
    from proxy.strict_json import JsonBody


class OwnAnswer(NamedTuple):
    """A response that the proxy gives instead of Amazon's; `note` is for the log."""

    response: Response
    body: bytes
    note: str


def own_answer(status: int, lines: bytes, body: bytes, note: str) -> OwnAnswer:
    """An answer of the proxy. `lines` are header lines besides that of the length, each with its CRLF."""
    section = lines + b"Content-Length: %d\r\n" % len(body)
    fields = read_response_section(section, 1)
    return OwnAnswer(Response(status, reason_phrase(status).encode(), 1, fields), body, note)


class End(NamedTuple):
    """How a request ended. `response` and its `body` are what Amazon answered: the response is None if it did not come,
    or not whole. `cut` has it if it is a stream of MCP that was cut off, as clients leave once they have their answer.
    The body is what came of it; None if that was not copied whole."""

    response: Response | None
    body: bytes | None
    cut: Response | None
    sent: bool
    """Whether anything of the request left."""


class Reading(NamedTuple):
    """What a thread still reads of a request that is over, for its account. `settle` is called when the `result` is
    there, or cancelled because the account was due. `is_bounded` tells that no client can have any number of bodies
    read: otherwise a request whose client left is under way until then."""

    result: asyncio.Future[Any]
    settle: Callable[[], None]
    is_bounded: bool = False


class Rewrite(Protocol):
    """What gives the client of one request another response than Amazon's. `reads_bodies` tells that `filter` has to
    read them, so they are asked for without content coding."""

    @property
    def reads_bodies(self) -> bool: ...

    def section(self, passing: bytes) -> bytes:
        """The header section that passes, with what is to be changed in it."""
        ...

    def filter(self, response: Response) -> Filter | None:
        """What the body of this response goes through; None if it passes as it is. It then has no length in its
        header."""
        ...


class Filter(Protocol):
    """Gives other bytes of one response's body, as it comes."""

    def feed(self, data: bytes) -> bytes:
        """The bytes that may pass now that these came."""
        ...

    def finish(self) -> bytes:
        """The bytes that pass at the end."""
        ...


class Tap:
    """Sees one request pass. The methods are called in their order here; those of this class do nothing."""

    __slots__ = ()

    def request_data(self, pieces: list[Buffer]) -> None:
        """More of the request's body came; it leaves behind this call."""

    def request_ended(self) -> None:
        """The request's body is whole."""

    def holds(self, response: Response) -> bool:
        """Amazon's answer began. Whether it is held back until `replace` says whether a better one can be had."""
        return False

    async def replace(self, attempt: Attempt) -> OwnAnswer | None:
        """The answer that replaces the held one; None if that is to pass."""
        return None

    def began(self, response: Response) -> None:
        """The final response passes from here on."""

    def wanted(self, response: Response) -> int:
        """How many bytes of this response's body are to be copied for `ended`; negative for no copy. Of an error whose
        cause may be explained, only the beginning is copied."""
        return -1

    def response_data(self, pieces: list[Buffer]) -> None:
        """More of the response's body passed as it came. It is not called where other bytes pass."""

    def response_ended(self) -> None:
        """The response was passed on whole."""

    def ended(self, end: End) -> Reading | None:
        """The request is over, whatever happened. What is read for its account in a thread, if anything is."""
        return None


class Gate(Protocol):
    """Sees one request with its whole body before anything of it leaves.

    `may_pass_unread` tells that it refuses none for what the body says: one that is too large to be read passes, when
    its turn comes. `waits` tells that `wait` has to be asked. `tap` and `rewrite` follow a request that went on.
    """

    @property
    def may_pass_unread(self) -> bool: ...

    @property
    def waits(self) -> bool: ...

    @property
    def tap(self) -> Tap | None: ...

    @property
    def rewrite(self) -> Rewrite | None: ...

    def read(self, body: JsonBody) -> None:
        """Read the whole body. Raises the `Refused` that forbids the request. Takes long for a costly body, and runs in
        a thread then."""
        ...

    async def wait(self) -> OwnAnswer | None:
        """The answer that the client gets; None once the request may go on. Raises the `Refused` that forbids it."""
        ...


class Placement(NamedTuple):
    """The session that a request belongs to, and the only advertiser that it is for, None where there is none. `fields`
    replace those of the request, if something of them must not leave as it came."""

    session: McpSession | None = None
    fixed: FixedAccount | None = None
    fields: RequestFields | None = None


NO_PLACEMENT = Placement()


class LocalAsked(NamedTuple):
    """A request to a path of the proxy's own. Where a client may be asked for, its budget was charged, its policy was
    asked, and `in_flight` counts its requests."""

    request: Request
    destination: Destination
    identity: ClientIdentity
    client: ClientPort
    in_flight: Cell | None = None
