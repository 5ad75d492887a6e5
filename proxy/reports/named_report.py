"""Requests for named reports: the response is read from its file in a thread, as fast as the client takes it."""

from __future__ import annotations

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Final

from proxy.errors import Refused, ReportUnreadable
from proxy.events import Fault, ReportFileUnreadable, RequestKind
from proxy.forwarding.refusal import internal_error
from proxy.forwarding.relay import CHUNKED_LINE
from proxy.http1.framing import LAST_CHUNK, chunk, has_no_body
from proxy.local.request import LocalRequest
from proxy.reports.requested import ReportAsked, read_conditions
from proxy.reports.responses import ReportResponse, list_reports, read_report
from proxy.reports.store import ReportFolderError
from proxy.routing.request_kind import method_name
from proxy.routing.target import READ_NAMED_REPORT
from proxy.value_classes import dataclass

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TypeVar

    from proxy.downstream.ports import ClientPort
    from proxy.forwarding.accounting import Accounting
    from proxy.forwarding.decision import Rules
    from proxy.http1.message import Request
    from proxy.observability.instruments import Cell
    from proxy.reports.overview import NamedReports

    Value = TypeVar("Value")

_READER: Final = ThreadPoolExecutor(1, "named-reports")
"""One thread: what frees a file comes after the read of it that runs."""


@dataclass(frozen=True, slots=True)
class PermittedReport:
    """What a client may read and asked for: one report, or the list of `names`. `in_flight` counts its requests.
    `subject` is that of its JWT."""

    client: str
    asked: ReportAsked
    names: frozenset[str]
    reports: NamedReports
    in_flight: Cell | None
    subject: str = ""


class NamedReportRequest(LocalRequest):
    """A request for a named report, or for the list of them."""

    def __init__(
        self, accounting: Accounting, client: ClientPort, request: Request, permitted: PermittedReport, rules: Rules
    ) -> None:
        super().__init__(accounting, client, request, rules)
        self.in_flight = permitted.in_flight
        self.path = request.target.path.decode("latin-1")
        self._permitted = permitted
        self._status = 0
        self._delimited = True
        self._writable = asyncio.Event()
        if client.writable:
            self._writable.set()
        self._task: asyncio.Task[None] | None = None

    @property
    def kind(self) -> RequestKind:
        permitted = self._permitted
        operation = READ_NAMED_REPORT
        return RequestKind(
            permitted.client,
            permitted.reports.accounts.get(permitted.asked.name, ""),
            method=method_name(self.request.method),
            operation=operation.name,
            operation_class=operation.effect,
            subject=permitted.subject,
        )

    def answer(self) -> None:
        self.body = bytearray()  # that of a GET means nothing (RFC 9110, 9.3.1)
        self.stats.spend()  # the disk and the client take their own time
        self._task = self.client.loop.create_task(self._answer())

    # --- RequestHandler, while a response is under way

    def request_broken(self, error: Refused) -> None:
        self._fail(error, close=True)

    def client_gone(self) -> None:
        if not self.done:
            self._end(Fault.CLIENT_GONE)

    def client_writable(self, writable: bool) -> None:
        (self._writable.set if writable else self._writable.clear)()

    def time_out(self) -> None:
        if not self.done:
            self._break(Fault.CLIENT_STALLED)

    # --- the response

    async def _answer(self) -> None:
        try:
            response = await self._in_thread(self._find)
            try:
                if not self.done:
                    await self._send(response)
            finally:
                _READER.submit(response.close)
        except Refused as error:
            self._fail(error)
        except ReportFolderError as error:
            self.accounting.observer.observe(ReportFileUnreadable(self._permitted.asked.name, str(error)))
            self._fail(ReportUnreadable("The result cannot be read; ask the operator: the proxy's log has the cause."))
        except Exception as error:  # noqa: BLE001 - a defect is answered and told, whatever it is
            self.accounting.defect("named report", error)
            self._fail(internal_error())

    def _find(self) -> ReportResponse:
        """What there is; in the thread."""
        permitted, now = self._permitted, time.time()
        if not permitted.asked.name:
            return list_reports(permitted.reports, permitted.names, now)
        return read_report(permitted.reports, permitted.asked, read_conditions(self.request), now)

    async def _send(self, response: ReportResponse) -> None:
        client, request, length = self.client, self.request, response.length
        bodyless = has_no_body(response.status, request.method == b"HEAD")
        chunked = length is None and not bodyless and request.minor == 1
        self._delimited = chunked or length is not None or bodyless
        keep = self._delimited and client.stays_open(request)
        framing = CHUNKED_LINE if chunked else b"Content-Length: %d\r\n" % length if length is not None else b""
        self._status = response.status
        client.send([self.head(response.status, response.lines + framing, keep=keep)])
        while not bodyless and (piece := await self._in_thread(response.next_piece)) and not self.done:
            client.send(chunk([piece]) if chunked else [piece])
            client.flush()
            self.stats.bytes_out += len(piece)
            await self._writable.wait()
        if not self.done:
            client.send([LAST_CHUNK] if chunked else [])
            client.finish(keep=keep)
            self.finish(response.status)

    async def _in_thread(self, call: Callable[[], Value]) -> Value:
        return await self.client.loop.run_in_executor(_READER, call)

    # --- broken off

    def _fail(self, error: Refused, *, close: bool = False) -> None:
        """Answer with an error; or, where a response has begun, make sure that it does not look complete."""
        if self.done:
            return
        if self._status:
            self._break(error.slug)
        else:
            self.refuse(error, keep=not close and not error.close and self.client.stays_open(self.request))
            self._writable.set()

    def _break(self, fault: str) -> None:
        self.client.abort(loudly=not self._delimited)
        self._end(fault)

    def _end(self, fault: str) -> None:
        self.finish(self._status, fault)
        self._writable.set()
