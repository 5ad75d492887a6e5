"""What the tools' listener and those who serve its requests ask of each other. Shapes and limits only."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from proxy.downstream.connection import ToolConnection
    from proxy.errors import Refused
    from proxy.http1.framing import Buffer
    from proxy.http1.headers import Facts
    from proxy.http1.message import RequestHead


@dataclass(frozen=True, slots=True)
class Limits:
    """Seconds, bytes and counts of the configuration's `limits`; 0 is no limit where the documentation says so."""

    header_timeout: float = 10.0
    keepalive_timeout: float = 75.0
    body_timeout: float = 30.0
    send_timeout: float = 60.0
    max_header_bytes: int = 65536
    max_target_bytes: int = 16384
    max_headers: int = 128
    max_body_bytes: int = 0
    max_connections: int = 10000
    max_connections_per_address: int = 0
    max_pipelined_bytes: int = 131072


class Work(Protocol):
    """One request being served. `start` is called once, after whatever of the body came with the head."""

    def start(self) -> None: ...

    def request_data(self, pieces: list[Buffer]) -> None: ...

    def request_ended(self, trailers: bytes) -> None: ...

    def request_broken(self, error: Refused) -> None:
        """The rest of the body will not come: it is malformed, too large or too late."""

    def tool_gone(self) -> None:
        """The tool left; nothing more can be told to it."""

    def tool_writable(self, writable: bool) -> None: ...

    def time_out(self) -> None:
        """The tool has not taken a byte of the answer for `send_timeout`."""


class Service(Protocol):
    """What serves requests."""

    @property
    def limits(self) -> Limits: ...

    @property
    def draining(self) -> bool: ...

    def facts(self, head: RequestHead) -> Facts: ...

    def work(self, tool: ToolConnection, head: RequestHead, facts: Facts) -> Work: ...

    def refusal(self, error: Refused, head: RequestHead | None, facts: Facts | None, close: bool) -> bytes:
        """The bytes that answer a request which became no `Work`."""
        ...

    def defect(self, where: str, error: BaseException) -> None:
        """Something of ours went wrong; `internal_error` is what the tool is told."""

    def internal_error(self) -> Refused: ...
