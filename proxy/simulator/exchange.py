"""The walk of one request, the same on every listener: noted, checked, met by a fault or answered, noted again."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from proxy.simulator.answers import Answer, Refusal, compressed
from proxy.simulator.checks import Head
from proxy.simulator.faults import Fault, before_head, kill
from proxy.simulator.writing import send

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from aiohttp import web

    from proxy.simulator.faults import Rest
    from proxy.simulator.ledger import RequestRecord
    from proxy.simulator.state import SimulatorState

LARGEST_KEPT_BODY = 16 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class CallContext:
    """A request and what is known of it. `path` and `query` are as sent; `listener` is api, lwa, mcp or s3."""

    state: SimulatorState
    listener: str
    region: str | None
    request: web.BaseRequest
    record: RequestRecord
    head: Head
    path: str
    query: str

    async def body(self) -> bytes:
        """The request's body; what is beyond 16 MB is counted and dropped."""
        transport = self.request.transport
        if (self.head.first("expect") or "").lower() == "100-continue" and transport is not None:
            transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        kept = bytearray()
        async for piece in self.request.content.iter_any():
            self.record.body_bytes += len(piece)
            if len(kept) < LARGEST_KEPT_BODY:
                kept += piece
        return bytes(kept)

    async def first_bytes(self, wanted: int) -> None:
        """Reads that much of the request's body, and what came with it."""
        while self.record.body_bytes < wanted and not self.request.content.at_eof():
            self.record.body_bytes += len(await self.request.content.readany())

    async def dispose(self, rest: Rest) -> None:
        """What becomes of a body that was answered before it was read."""
        if rest == "close":
            await kill(self.request, Fault())
        if rest == "ignore":
            await asyncio.Event().wait()
        async for piece in self.request.content.iter_any():
            self.record.body_bytes += len(piece)

    def refuse(self, refusal: Refusal) -> None:
        """Remembers that the request broke a rule."""
        self.state.ledger.refused(self.record, refusal)

    def host(self) -> str:
        """The host (and port) by which this listener was addressed."""
        return self.head.first("host") or "localhost"


def split_target(target: str) -> tuple[str, str]:
    """Path and query of a target, as sent; of an absolute target, those of its URL."""
    if not target.startswith("/"):
        parts = urlsplit(target)
        return parts.path or "/", parts.query
    path, _, query = target.partition("?")
    return path, query


def arrive(state: SimulatorState, listener: str, region: str | None, request: web.BaseRequest) -> CallContext:
    """A request's head is here; it is in the ledger from now on."""
    record = state.ledger.arrived(listener, region, request)
    path, query = split_target(request.raw_path)
    return CallContext(state, listener, region, request, record, Head(request.raw_headers), path, query)


async def carry_out(
    context: CallContext, respond: Callable[[], Awaitable[Answer]], path: str, checked: object = None
) -> web.StreamResponse:
    """Answers a visit, with whatever fault was planned for it; `path` is what is counted.

    If the checks gave a Refusal (`checked`), the request is told so, and only met by a fault that comes before them.
    """
    state, refused = context.state, isinstance(checked, Refusal)
    if isinstance(checked, Refusal):
        context.refuse(checked)
    entry = state.faults.find(context.listener, context.region, context.request.method, context.path)
    fault = None
    if entry is not None and (not refused or entry.fault.before_checks):
        state.ledger.faults += 1
        fault = state.faults.use(entry)
    try:
        if fault is not None:
            context.record.fault = True
            await before_head(context.request, fault, state.faults.cleared)
        answer = await find_answer(context, respond, fault)
        state.ledger.answered(context.record, answer.status, path)
        response = await send(context.request, answer, fault)
        if fault is not None and fault.early:
            await context.dispose(fault.rest)
    except (asyncio.CancelledError, ConnectionError):
        if fault is None or not fault.ends_connection:
            context.record.disconnected = True
            state.ledger.disconnects += 1
        raise asyncio.CancelledError from None
    return response


async def find_answer(context: CallContext, respond: Callable[[], Awaitable[Answer]], fault: Fault | None) -> Answer:
    """The fault's answer, or the true one."""
    if fault is not None and fault.status is not None:
        if fault.carried_out:
            await respond()
        else:
            await (context.first_bytes(fault.early_after) if fault.early else context.body())
        return Answer(fault.status, fault.headers, fault.body, fault.framing)
    answer = await respond()
    if context.listener != "api":
        return answer
    return compressed(answer, context.head.first("accept-encoding") or "", context.state.settings.compress_from)
