"""The walk of one request, the same on every listener: noted, checked, met by a fault or answered, noted again."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from proxy.simulator.answers import Answer, compressed, faulted
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

    def host(self) -> str:
        """The host (and port) by which this listener was addressed."""
        return self.head.first("host") or "localhost"


@dataclass(frozen=True, slots=True)
class Decision:
    """What to answer, decided when it is needed. `refused` answers come before faults; `path` is what is counted."""

    respond: Callable[[], Awaitable[Answer]]
    path: str
    refused: bool = False


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


async def carry_out(context: CallContext, decision: Decision) -> web.StreamResponse:
    """Answers a visit, with whatever fault was planned for it."""
    fault = choose_fault(context, decision)
    try:
        if fault is not None:
            context.record.fault = True
            await before_head(context.request, fault, context.state.faults.cleared)
        answer = await find_answer(context, decision, fault)
        context.state.ledger.answered(context.record, answer.status, decision.path)
        response = await send(context.request, answer, fault)
        if fault is not None and fault.early:
            await context.dispose(fault.rest)
    except (asyncio.CancelledError, ConnectionError):
        if fault is None or not fault.ends_connection:
            context.record.disconnected = True
            context.state.ledger.disconnects += 1
        raise asyncio.CancelledError from None
    return response


def choose_fault(context: CallContext, decision: Decision) -> Fault | None:
    """The fault that meets this visit, now used; a request that breaks the rules is told so instead."""
    entry = context.state.faults.find(context.listener, context.region, context.request.method, context.path)
    if entry is None or (decision.refused and not entry.fault.before_checks):
        return None
    context.state.ledger.faults += 1
    return context.state.faults.use(entry)


async def find_answer(context: CallContext, decision: Decision, fault: Fault | None) -> Answer:
    """The fault's answer, or the true one."""
    if fault is not None and fault.status is not None:
        if fault.carried_out:
            await decision.respond()
        else:
            await (context.first_bytes(fault.early_after) if fault.early else context.body())
        return faulted(Answer(fault.status), fault)
    answer = await decision.respond()
    if context.listener != "api":
        return answer
    return compressed(answer, context.head.first("accept-encoding") or "", context.state.settings.compress_from)
