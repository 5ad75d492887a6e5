"""The proxy's own look at a report, with the account and the headers of a client's order: one request, within a bound.

It tells whether a report may answer an order. Without a clear answer nothing is known of it.
"""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from proxy.errors import Refused
from proxy.forwarding.attempt import Attempt
from proxy.forwarding.departure import acquire_connection
from proxy.forwarding.injection import render_section
from proxy.http1.body_copy import decode_body
from proxy.http1.fields import plain_name
from proxy.reports.orders import ReportOperation, read_report
from proxy.routing.ads_account import names_account
from proxy.value_classes import dataclass

if TYPE_CHECKING:
    from proxy.forwarding.decision import RequestContext
    from proxy.forwarding.dependencies import Dependencies
    from proxy.http1.framing import Buffer
    from proxy.http1.message import Response
    from proxy.reports.orders import Report
    from proxy.tokens.values import AccessToken

PATIENCE: Final = 10.0
"""Seconds that a client waits for the look at most."""
MAX_BODY: Final = 65536
_GONE: Final = (404, 410)


@dataclass(frozen=True, slots=True)
class Look:
    """What a look at a report showed: the report, or that it is `gone`; neither if nothing is known."""

    report: Report | None = None
    gone: bool = False


class ReportLook:
    """Implements `AttemptOwner`: the response is gathered, and goes to no client."""

    def __init__(self, dependencies: Dependencies, context: RequestContext, token: AccessToken) -> None:
        self._dependencies, self._context, self._token = dependencies, context, token
        self._attempt: Attempt | None = None
        self._answered: asyncio.Future[Response | None] = context.pool.loop.create_future()

    def __repr__(self) -> str:
        return f"<ReportLook for {self._context.request.id}: {self._attempt or 'not sent'}>"

    async def look(self, operation: ReportOperation, identifier: str) -> Look:
        """Poll the report of an order, as the same client would."""
        try:
            async with asyncio.timeout(PATIENCE):
                return await self._look(operation, identifier)
        except (TimeoutError, Refused):
            return Look()
        finally:
            if self._attempt is not None:
                self._attempt.abandon()

    async def _look(self, operation: ReportOperation, identifier: str) -> Look:
        context = self._context
        poll = ReportOperation.POLL_V1 if operation is ReportOperation.ORDER_V1 else ReportOperation.POLL
        data = self._request(poll, identifier)
        connection = await acquire_connection(context, self._dependencies, fresh=False)
        attempt = self._attempt = Attempt(self, 1, self._token, connection)
        connection.send(attempt, [data], to_head=False, timeouts=context.rules.timeouts)
        attempt.request_sent()
        response = await self._answered
        if response is None:
            return Look()
        await attempt.gather(MAX_BODY, PATIENCE)
        body = decode_body(b"".join(attempt.pieces), response.fields.content_encoding, MAX_BODY)
        if response.status in _GONE:
            return Look(gone=True)
        if response.status not in (200, 207) or attempt.trailers is None or body is None:
            return Look()
        report = read_report(poll, body)
        return Look(report) if report is not None and report.id == identifier else Look()

    def _request(self, poll: ReportOperation, identifier: str) -> bytes:
        """The whole request: what of the client's header names an account, and nothing else of it."""
        context, lines = self._context, self._dependencies.account_lines.of(self._token)
        fields = context.request.fields
        named = b"".join(
            line
            for line in fields.passing.splitlines(keepends=True)
            if names_account(plain_name(line.partition(b":")[0]))
        )
        first, body, about = b"GET /reporting/reports/%b HTTP/1.1\r\n" % identifier.encode(), b"", b""
        if poll is ReportOperation.POLL_V1:
            body = json.dumps({"reportIds": [identifier]}).encode()
            first = b"POST /adsApi/v1/retrieve/reports HTTP/1.1\r\n"
            about = b"Content-Type: application/json\r\nContent-Length: %d\r\n" % len(body)
        own = named + b"Accept: */*\r\nUser-Agent: ads-proxy\r\n" + about
        asking = replace(fields, passing=own, chunked=False)
        return first + render_section(asking, context.route, context.pool.host_line, lines) + body

    # --- AttemptOwner

    def attempt_interim(self, response: Response) -> None:
        """No client waits for it."""

    def attempt_answered(self, response: Response) -> None:
        assert self._attempt is not None
        self._attempt.hold()
        self._tell(response)

    def attempt_data(self, pieces: list[Buffer]) -> None:
        """The response is held."""

    def attempt_ended(self, trailers: bytes) -> None:
        """The response is held."""

    def attempt_failed(self, error: Refused) -> None:
        self._tell(None)

    def attempt_writable(self, writable: bool) -> None:
        """The request is small and written once."""

    def defect(self, error: BaseException) -> None:
        self._dependencies.accounting.defect("report-look", error)
        self._tell(None)

    def flush(self) -> None:
        """Nothing is passed on."""

    def _tell(self, response: Response | None) -> None:
        if not self._answered.done():
            self._answered.set_result(response)
