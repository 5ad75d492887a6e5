"""Scripted trouble: which requests it meets, how often, and what it does to them."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Literal, NoReturn

if TYPE_CHECKING:
    from aiohttp import web

Target = Literal["api", "lwa", "mcp", "s3", "any"]
Point = Literal["before_head", "mid_head", "mid_body", "after_answer"]
Rest = Literal["read", "ignore", "close"]
Framing = Literal["counted", "chunked", "close"]


@dataclass(frozen=True, slots=True)
class Match:
    """Which requests: by listener, region, path (a pattern of `fnmatch`, without the query) and method."""

    target: Target = "api"
    region: str | None = None
    path: str | None = None
    method: str | None = None

    def meets(self, target: str, region: str | None, method: str, path: str) -> bool:
        """Whether a request is one of these."""
        return (
            self.target in ("any", target)
            and self.region in (None, region)
            and (self.method is None or self.method.upper() == method)
            and (self.path is None or fnmatchcase(path, self.path))
        )


@dataclass(frozen=True, slots=True)
class Fault:
    """What happens. All times are seconds; everything left out happens as if there were no fault.

    `status`, `headers`, `body`, `framing`: the answer instead of the true one. `delay`: before the head, or until the
    faults are cleared. `interim`: statuses of 1xx answers that come first. `abort`: the connection ends at that point,
    in the middle of head or body after `abort_after` bytes of it; with `reset` by RST. `hang`: from that point on
    nothing comes any more, and the connection stays. `piece_bytes` with `piece_interval` and `head_interval`: a slow
    body, a slow head (after which the connection ends). `early`: the answer is sent when `early_after` bytes of the
    request's body were read; `rest` is what becomes of the others: they are read, left unread, or the connection is
    closed. `close_after`: the connection is closed that long after the answer. `extra`: bytes behind the answer. `raw`:
    these bytes instead of an answer, then the end of the connection. `before_checks`: it also meets requests that would
    be refused. `carried_out`: the request is carried out, whatever the answer says.
    """

    status: int | None = None
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""
    framing: Framing = "counted"
    delay: float = 0.0
    interim: tuple[int, ...] = ()
    abort: Point | None = None
    hang: Point | None = None
    abort_after: int = 0
    reset: bool = False
    piece_bytes: int = 1024
    piece_interval: float = 0.0
    head_interval: float = 0.0
    early: bool = False
    early_after: int = 0
    rest: Rest = "read"
    close_after: float | None = None
    extra: bytes = b""
    raw: bytes | None = None
    before_checks: bool = False
    carried_out: bool = False

    @property
    def ends_connection(self) -> bool:
        """Whether a connection that ends under an answer ends by this fault and not by the client."""
        return self.abort is not None or self.raw is not None or self.head_interval > 0 or self.rest == "close"


@dataclass(slots=True)
class Planned:
    """A fault in the book: `left` is how often it still happens, None for always."""

    number: int
    match: Match
    fault: Fault
    left: int | None
    happened: int = 0


@dataclass(slots=True)
class FaultBook:
    """All planned faults; of several that meet a request, the one added first happens."""

    planned: list[Planned] = field(default_factory=list)
    added: int = 0
    cleared: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when the faults that are planned now are cleared; later ones have an event of their own."""

    def add(self, match: Match, fault: Fault, times: int | None = None) -> Planned:
        """Plans a fault for the next `times` requests that it meets."""
        self.added += 1
        entry = Planned(self.added, match, fault, times)
        self.planned.append(entry)
        return entry

    def clear(self) -> None:
        """Nothing goes wrong any more, and what a fault delays goes on."""
        self.planned.clear()
        self.cleared.set()
        self.cleared = asyncio.Event()

    def find(self, target: str, region: str | None, method: str, path: str) -> Planned | None:
        """The planned fault that meets a request, not yet used up by it."""
        for entry in self.planned:
            if entry.left != 0 and entry.match.meets(target, region, method, path):
                return entry
        return None

    def use(self, entry: Planned) -> Fault:
        """Counts one happening."""
        entry.happened += 1
        if entry.left is not None:
            entry.left -= 1
        return entry.fault


async def kill(request: web.BaseRequest, fault: Fault) -> NoReturn:
    """Ends the connection: what was written leaves first, unless the fault wants a reset.

    Ends the handler too, as if its client had disconnected: so the server neither answers nor complains.
    """
    if request.transport is not None:
        end(request.transport, reset=fault.reset)
    raise asyncio.CancelledError


def end(transport: asyncio.Transport, *, reset: bool) -> None:
    """Ends a connection, by RST or in order."""
    if not reset:
        transport.close()
        return
    sock = transport.get_extra_info("socket")
    with contextlib.suppress(OSError):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()


async def stop_at(point: Point, request: web.BaseRequest, fault: Fault) -> None:
    """Ends the connection, or never comes back, where the fault has it so at this point."""
    if fault.abort == point:
        await kill(request, fault)
    if fault.hang == point:
        await asyncio.Event().wait()


async def before_head(request: web.BaseRequest, fault: Fault, cleared: asyncio.Event) -> None:
    """What a fault does before an answer's head goes out; a delay ends when `cleared` is set."""
    if fault.delay:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(cleared.wait(), fault.delay)
    transport = request.transport
    if fault.raw is not None and transport is not None:
        transport.write(fault.raw)
        await stop_at("before_head", request, fault)
        await kill(request, fault)
    await stop_at("before_head", request, fault)
    for status in fault.interim:
        if transport is not None:
            transport.write(f"HTTP/1.1 {status} Interim\r\nX-Interim: {status}\r\n\r\n".encode())
