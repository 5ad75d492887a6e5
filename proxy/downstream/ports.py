"""What the clients' listener and those who serve its requests ask of each other. Shapes and limits only.

A `Service` is what the connections are given: it turns each `Request` into a `RequestHandler`. A handler may use of its
connection what `ClientPort` says, and nothing else.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Any, Protocol

from proxy.value_classes import dataclass

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from proxy.errors import Refused
    from proxy.http1.framing import Buffer
    from proxy.http1.message import Request
    from proxy.http1.request_fields import RequestFields
    from proxy.http1.target import Target


@dataclass(frozen=True, slots=True)
class ConnectionLimits:
    """Seconds, bytes and counts of what one connection, and all together, may take; 0 is no limit where documented."""

    header_timeout: float = 10.0
    keepalive_timeout: float = 75.0
    body_timeout: float = 30.0
    send_timeout: float = 60.0
    min_body_rate: int = 1024
    max_body_bytes: int = 0
    max_connections: int = 10000
    max_connections_per_address: int = 0
    max_pipelined_bytes: int = 131072


class Availability(StrEnum):
    """How far a service is open to clients."""

    SERVING = "serving"
    DRAINING = "draining"
    """New requests are served, on connections that end with them: each gets one last answer."""
    CLOSING = "closing"
    """What still arrives is told to come again: it might not be finished in time."""


class RequestHandler(Protocol):
    """One request being served. `start` is called once, after whatever of the body came with the head.

    Only a request with Content-Length above 0, or chunked, has a body, and so `request_data` and `request_ended`.
    """

    @property
    def max_wire_bytes(self) -> int:
        """How many bytes a body may take on the wire, framing and all, before it is refused with 413; 0: any number."""
        ...

    @property
    def rate_limited(self) -> bool:
        """Whether the client must take the response at `min_body_rate`: not where events come as they happen."""
        ...

    @property
    def endless(self) -> bool:
        """The response is an endless stream, and may be ended anywhere."""
        ...

    def start(self) -> None: ...

    def request_data(self, pieces: list[Buffer]) -> None: ...

    def request_ended(self, trailers: bytes) -> None: ...

    def request_broken(self, error: Refused) -> None:
        """The rest of the body will not come: it is malformed, too large or too late."""

    def client_gone(self) -> None:
        """The client left; nothing more can be told to it."""

    def client_writable(self, writable: bool) -> None: ...

    def time_out(self) -> None:
        """The client has not taken a byte of the response for `send_timeout`."""


class RequestHead(Protocol):
    """What a connection asks of the head of a request."""

    @property
    def minor(self) -> int: ...

    @property
    def target(self) -> Target: ...

    @property
    def fields(self) -> RequestFields: ...


class AdmittedHead(RequestHead, Protocol):
    """The head of a request that is served as one that came before."""

    def request(self, request_id: str) -> Request:
        """The request of this head that has this id."""
        ...


class AdmittedHeads(Protocol):
    """The memory of admitted heads."""

    def find(self, head: bytes) -> AdmittedHead | None:
        """The same head, with its closing empty line, as it was admitted before; None if it is to be read."""
        ...


class HeadReader(Protocol):
    """Reads the heads of requests, as `RequestReader` does."""

    def cut(self, data: bytes) -> tuple[bytes, bytes] | None: ...

    def read(self, head: bytes, new_id: Callable[[], str]) -> Request: ...


class Service(Protocol):
    """What serves requests."""

    @property
    def limits(self) -> ConnectionLimits: ...

    @property
    def reader(self) -> HeadReader: ...

    @property
    def admissions(self) -> AdmittedHeads: ...

    @property
    def availability(self) -> Availability: ...

    def new_request_id(self) -> str: ...

    def repeat(self, admitted: Any, request_id: str, client: ClientPort, rest: bytes) -> RequestHandler:
        """Serve a request whose head is the one of the `admissions` that was found just now. `rest` came behind the
        head, and is given to the handler as far as it is of the body. Raises the `Refused` that answers the request
        otherwise."""
        ...

    def accept(self, request: Request, client: ClientPort, head: bytes, rest: bytes) -> RequestHandler:
        """Admit a request that was read from this head; `rest` came behind it. Raises the `Refused` that answers it
        otherwise."""
        ...

    def refuse(self, error: Refused, request: Request | None, *, close: bool, address: str) -> bytes:
        """The bytes that answer a request which got no handler; `request` is what could be read of it, `address` where
        it came from."""
        ...

    def defect(self, where: str, error: BaseException) -> None:
        """Something of ours went wrong; `internal_error` is what the client is told."""

    def internal_error(self) -> Refused: ...


class ClientPort(Protocol):
    """A client's connection, as a handler may use it."""

    @property
    def loop(self) -> asyncio.AbstractEventLoop: ...

    @property
    def head_done(self) -> float:
        """The moment (perf_counter) at which the request's head was complete."""
        ...

    @property
    def address(self) -> str:
        """The client's IP address, or the nearest proxy's in front; empty where the socket has none."""
        ...

    @property
    def scheme(self) -> bytes:
        """What the client's URLs begin with: `https` where the connection has TLS, else `http`."""
        ...

    @property
    def writable(self) -> bool: ...

    def stays_open(self, request: RequestHead) -> bool:
        """Whether the connection may serve another request behind this one, as far as the client and we wish it.

        It may not where much of the body is still to come, or an unknown rest. The client gets this answer: `finish`
        must get the same.
        """
        ...

    def expect_body(self) -> None:
        """More of the body must come within `body_timeout`; not asked of a client that still waits for a 100."""

    def send(self, parts: list[Buffer]) -> None:
        """Gather bytes of the response; `flush` puts them on the wire together."""

    def flush(self) -> None: ...

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...

    def respond(self, data: bytes) -> None:
        """Send a whole response, and serve the next request: `send` and `finish` together."""

    def finish(self, *, keep: bool) -> None:
        """The response is complete. Serve the next request, once what little is left of a body has come, or close."""

    def hand_over(self, handler: RequestHandler, pieces: list[Buffer], trailers: bytes | None) -> None:
        """Have another handler serve the request, from its beginning: these pieces of its body came so far, and its
        `trailers` if it is whole."""

    def detach(self, protocol: asyncio.BaseProtocol) -> asyncio.Transport:
        """Give the connection to a protocol that goes on with it: nothing was sent on it for the request yet. Its
        transport is paused. Raises `MalformedRequest` where the client has sent on."""
        ...

    def abort(self, *, loudly: bool = False) -> None:
        """End the connection so that the response cannot look complete; `loudly` where its end is EOF: with a reset."""
