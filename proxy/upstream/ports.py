"""What a connection to Amazon and those who wait for a response on it ask of each other. Shapes only."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from proxy.errors import Refused
    from proxy.http1.framing import Buffer
    from proxy.http1.message import Response


class ResponseSink(Protocol):
    """Who wants a response. Calls come in this order; after `response_ended` or `upstream_failed`, none.

    `entered` is set to the moment (perf_counter) at which a read began.
    """

    entered: float

    def interim(self, response: Response) -> None: ...

    def response_began(self, response: Response) -> None: ...

    def response_data(self, pieces: list[Buffer]) -> None: ...

    def response_ended(self, trailers: bytes) -> None:
        """`trailers` holds the lines that may pass, each with its CRLF."""

    def upstream_failed(self, error: Refused) -> None: ...

    def upstream_writable(self, writable: bool) -> None: ...

    def defect(self, error: Exception) -> None:
        """Something of ours went wrong while the sink was told; after this, no more calls."""

    def flush(self) -> None:
        """What one read brought has been told; send on what was gathered."""


class WholeResponseSink(ResponseSink, Protocol):
    """Who takes a response in one step where it comes whole with one read."""

    def whole_response(self, response: Response, payload: bytes) -> bool:
        """Take the response; after this, no more calls. False where the calls of a `ResponseSink` are to follow."""
        ...


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Seconds: until a response's head, and between bytes of its body."""

    response: float
    idle: float
