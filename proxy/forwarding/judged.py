"""A request that is permitted by its body alone: gathered whole and judged, before an exchange begins with it.

The exchange is given the very bytes that were judged; until then nothing of the request is at Amazon.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from time import perf_counter
from typing import TYPE_CHECKING, NamedTuple

from proxy.access.mcp_messages import UNTOLD, name_tools
from proxy.errors import ContentTooLarge, Refused
from proxy.events import Fault
from proxy.forwarding.accounting import way_of
from proxy.forwarding.exchange import Exchange
from proxy.forwarding.large_bodies import LARGE, READER
from proxy.forwarding.refusal import internal_error, refusal_response, sent_status

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from proxy.downstream.ports import ClientPort
    from proxy.forwarding.decision import RequestContext
    from proxy.forwarding.dependencies import Dependencies
    from proxy.http1.framing import Buffer


class Judgement(NamedTuple):
    """What forbids a request, if anything does, and then the tools that its body calls."""

    refusal: Refused | None
    tools: tuple[str, ...] = ()


class JudgedRequest:
    """A `RequestHandler`. `judge` raises the `Refused` that forbids the request with this body."""

    max_wire_bytes = 0

    def __init__(
        self, dependencies: Dependencies, client: ClientPort, context: RequestContext, judge: Callable[[bytes], None]
    ) -> None:
        fields = context.request.fields
        self._dependencies = dependencies
        self._client = client
        self._context = context
        self._judge = judge
        self._body = bytearray()
        self._started = False
        self._complete = not fields.chunked and not fields.content_length
        self._done = False
        self._exchange: Exchange | None = None

    def __repr__(self) -> str:
        state = self._exchange or ("refused" if self._done else f"{len(self._body)} bytes gathered")
        return f"<JudgedRequest {self._context.request.id}: {state}>"

    @property
    def paced(self) -> bool:
        return self._exchange is None or self._exchange.paced

    @property
    def endless(self) -> bool:
        return self._exchange is not None and self._exchange.endless

    def start(self) -> None:
        self._started = True
        fields = self._context.request.fields
        if (fields.content_length or 0) >= self._context.rules.replay_bytes:
            self._refuse(self._too_large())
        elif self._complete:
            self._decide()
        elif fields.expects_continue:
            self._client.send([b"HTTP/1.1 100 Continue\r\n\r\n"])
            self._client.flush()
            self._client.expect_body()

    def request_data(self, pieces: list[Buffer]) -> None:
        if self._done:
            return
        for piece in pieces:
            self._body += piece
        if len(self._body) >= self._context.rules.replay_bytes:
            self._refuse(self._too_large())

    def request_ended(self, trailers: bytes) -> None:
        self._complete = True
        if self._started:
            self._decide()

    def request_broken(self, error: Refused) -> None:
        if self._exchange is not None:
            self._exchange.request_broken(error)
        else:
            self._refuse(error)

    def client_gone(self) -> None:
        if self._exchange is not None:
            self._exchange.client_gone()
        elif not self._done:
            self._finish(0, fault=Fault.CLIENT_GONE)

    def client_writable(self, writable: bool) -> None:
        if self._exchange is not None:
            self._exchange.client_writable(writable)

    def time_out(self) -> None:
        if self._exchange is not None:
            self._exchange.time_out()
        else:
            self._client.abort()
            self.client_gone()

    def _too_large(self) -> ContentTooLarge:
        limit = self._context.rules.replay_bytes
        return ContentTooLarge(
            f"The body of this request is read before it is sent, and must be smaller than {limit} bytes "
            "(limits.replay_bytes)."
        )

    def _decide(self) -> None:
        """The body is whole: judge it, a large one in a thread."""
        if self._done:
            return
        body = bytes(self._body)
        if len(body) < LARGE:
            self._follow(self._judgement(body), body)
            return
        judging = self._client.loop.run_in_executor(READER, self._judgement, body)
        judging.add_done_callback(partial(self._judged, body))

    def _judgement(self, body: bytes) -> Judgement:
        try:
            self._judge(body)
        except Refused as error:
            return Judgement(error, name_tools(body) if self._context.shared.tools is not None else ())
        return Judgement(None)

    def _judged(self, body: bytes, judging: asyncio.Future[Judgement]) -> None:
        defect = judging.exception()
        if self._done:
            return
        if defect is not None:
            self._dependencies.accounting.defect("judged", defect)
            self._refuse(internal_error())
            return
        self._follow(judging.result(), body)
        self._client.flush()

    def _follow(self, judgement: Judgement, body: bytes) -> None:
        """An exchange goes on with the body, or it is refused."""
        if judgement.refusal is not None:
            self._refuse(judgement.refusal, judgement.tools)
            return
        self._done, self._body = True, bytearray()
        shared = self._context.shared
        if shared.tools is not None and b"cursor" in body:
            shared.tools = replace(shared.tools, paging=True)
        exchange = self._exchange = Exchange(self._dependencies, self._client, self._context)
        exchange.start()
        if body:
            exchange.request_data([body])
            exchange.request_ended(b"")  # without its trailers, which nobody judged

    def _refuse(self, error: Refused, tools: tuple[str, ...] = (UNTOLD,)) -> None:
        if self._done:
            return
        context, client = self._context, self._client
        keep = not error.close and client.stays_open(context.request)
        client.send([refusal_response(error, context.request, context.rules.response_lines, close=not keep)])
        client.finish(keep=keep)
        self._finish(sent_status(error), error, tools=tools)

    def _finish(
        self, status: int, error: Refused | None = None, *, fault: str = "", tools: tuple[str, ...] = (UNTOLD,)
    ) -> None:
        context = self._context
        stats = self._dependencies.accounting.begin(context.request, context.client, self._client.head_done)
        stats.refusal, stats.fault, stats.bytes_in = error, fault, len(self._body)
        if context.shared.tools is not None and self._body:
            stats.mcp_tools = tools
        self._done, self._body = True, bytearray()
        path, now = context.route.path.decode("latin-1"), perf_counter()
        event = stats.finished(status, way_of(context.route), path, now)
        self._dependencies.accounting.finished(event, context.shared.in_flight)
