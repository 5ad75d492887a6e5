"""One request of an operation of reports: an order, a poll or a deletion, as far as others ordered or asked the same.

Made only with a section about reports in the configuration. What is known lies in `proxy.reports.sharing`; here it is
decided what one request may get of it. A request gets only what it could have got by itself: everything that Amazon
goes by is in the keys, and the client's permissions were checked before.
"""

from __future__ import annotations

import asyncio
import hashlib
from functools import partial
from itertools import count
from typing import TYPE_CHECKING, Final

from proxy.access.json_body import find_odd_form
from proxy.errors import Throttled
from proxy.events import CounterRaised
from proxy.forwarding.decision import NO_PLUGS, Capability, Plugs
from proxy.forwarding.sockets import OwnAnswer, Tap, own_answer
from proxy.forwarding.unauthorized import PATIENCE
from proxy.http1.body_copy import MAX_READ, decode_body, may_hold_results
from proxy.http1.fields import plain_name
from proxy.profiles.listing import ListResponse
from proxy.reports.answers import status_of
from proxy.reports.orders import (
    VERSION_1,
    ReportOperation,
    agrees,
    find_report_operation,
    named_ids,
    read_duplicate,
    read_order,
    read_report,
    with_name,
)
from proxy.reports.pace import OrderLimit, QueuedOrder
from proxy.reports.polls import MAX_ANSWER, answer_to_poll
from proxy.reports.report_look import ReportLook
from proxy.reports.sharing import MadeReport, see
from proxy.routing.ads_account import names_account

if TYPE_CHECKING:
    from proxy.forwarding.attempt import Attempt
    from proxy.forwarding.decision import Decision, RequestContext
    from proxy.forwarding.dependencies import Dependencies
    from proxy.forwarding.sockets import End
    from proxy.http1.message import Response
    from proxy.reports.orders import Order, Report
    from proxy.reports.sharing import OrderClaim, ReportRules, SharedReports
    from proxy.strict_json import JsonBody
    from proxy.tokens.values import AccessToken

MAX_DECODED: Final = 1 << 20
_MULTI_STATUS: Final = 207
_PATHS: Final = {
    ReportOperation.ORDER: "/reporting/reports",
    ReportOperation.POLL: "/reporting/reports/",
    ReportOperation.DELETE: "/reporting/reports/",
    ReportOperation.ORDER_V1: "/adsApi/v1/create/reports",
    ReportOperation.POLL_V1: "/adsApi/v1/retrieve/reports",
    ReportOperation.DELETE_V1: "/adsApi/v1/delete/reports",
}
_TICKETS: Final = count(1)
"""The tickets of this process. A request's id is none: a client may choose it, and send one with many requests."""
_OWN_CONDITIONS: Final = frozenset((b"range", b"if-match", b"if-none-match", b"if-modified-since", b"if-range"))


class SharedOrders(Capability):
    """Orders and polls that clients share; `rules` are None where they pass like all other requests."""

    def __init__(self, sharing: SharedReports, rules: ReportRules | None, dependencies: Dependencies) -> None:
        self.sharing, self._rules, self.dependencies = sharing, rules, dependencies

    @property
    def rules(self) -> ReportRules:
        assert self._rules is not None
        return self._rules

    def take_effect(self) -> None:
        self.sharing.apply(self._rules)

    def plug(self, decision: Decision) -> Plugs:
        operation = decision.asked.operation
        if self._rules is None or operation is None:
            return NO_PLUGS
        if decision.asked.method == b"HEAD":  # its operation is that of GET, but no answer to it has a body
            return NO_PLUGS
        found = find_report_operation(operation.method, operation.template)
        return NO_PLUGS if found is None else Plugs(gates=(partial(SharedReport, self, found),), at_end=False)


class SharedReport(Tap):
    """One order, poll or deletion. Implements `Gate`, and is its own tap: `read` comes first, then `wait`; `ended`
    comes last, whatever happened."""

    may_pass_unread = waits = True
    rewrite = None

    def __init__(self, orders: SharedOrders, operation: ReportOperation, context: RequestContext) -> None:
        self._dependencies, self._context, self._sharing = orders.dependencies, context, orders.sharing
        self._body, self._ticket = b"", str(next(_TICKETS))
        self._operation, self._rules = operation, orders.rules
        self._loop = context.pool.loop
        self._token: AccessToken | None = orders.dependencies.tokens.current(context.route.account)
        self._order: Order | None = None
        self._id = self._key = self._claimed = ""
        self._deleted: tuple[str, ...] = ()
        self._patient_until = self._left_at = 0.0
        self._over = False

    def __repr__(self) -> str:
        return f"<SharedReport {self._context.request.id}: {self._operation}{', claimed' if self._claimed else ''}>"

    @property
    def tap(self) -> SharedReport:
        """This object itself; as an attribute it would be a cycle, and wait for the garbage collector."""
        return self

    # --- what the request asks

    def read(self, body: JsonBody) -> None:
        """Read what the body asks for. Takes long for a costly one, and may run in a thread."""
        self._body = body.raw
        operation, fields = self._operation, self._context.request.fields
        deletes = not (operation.is_order or operation.is_poll)  # in whatever form: Amazon may have done it
        is_odd = self._context.decision.asked.overrides or (body.raw and find_odd_form(fields))
        if self._token is None or (is_odd and not deletes):
            return
        if operation.is_order:
            if self._context.target == _PATHS[operation].encode():
                self._order = read_order(operation, body)
            self._key = self._digest(operation, self._order.digest) if self._order is not None else ""
            return
        if body.raw and operation is ReportOperation.POLL:
            return  # Amazon specifies no body here: what it makes of one is unknown
        ids = named_ids(operation, self._context.destination.segments, body)
        target = _PATHS[operation] + ("" if operation in VERSION_1 else "".join(ids))
        if self._context.target != target.encode():
            return
        if deletes:
            self._deleted = tuple(map(self._report_key, ids))
        elif len(ids) == 1 and _OWN_CONDITIONS.isdisjoint(dict(fields.every)):
            self._id, self._key = ids[0], self._report_key(ids[0])

    def _report_key(self, identifier: str) -> str:
        return self._digest("version 1" if self._operation in VERSION_1 else "version 3", identifier.encode())

    def _digest(self, *parts: str | bytes) -> str:
        """The key of something that is reached with this login, region, Scope and accounts."""
        route, token = self._context.route, self._token
        assert token is not None
        login = (route.account, token.client_id, token.lineage, route.region)
        default = (route.ads_account_header, route.ads_account) if route.ads_account_header else ()
        accounts = (route.profile, default, self._named_accounts())
        return hashlib.blake2b(repr((login, accounts, parts)).encode(), digest_size=20).hexdigest()

    def _named_accounts(self) -> list[tuple[bytes, bytes]]:
        """The client's own header fields that name an account, as far as they leave: `Connection` can hold them
        back."""
        lines = (line.partition(b":") for line in self._context.request.fields.passing.split(b"\r\n"))
        fields = ((plain_name(name), value.strip(b" \t")) for name, _, value in lines)
        return sorted(each for each in fields if names_account(each[0]))

    @property
    def _limit(self) -> OrderLimit | None:
        route, token = self._context.route, self._token
        return OrderLimit(route.account, token.client_id, route.region) if token is not None else None

    # --- before the request leaves

    async def wait(self) -> OwnAnswer | None:
        """What others got for the same; None if the request is to leave, once it is its turn. Raises `Throttled`, and
        what forbids the request after a wait: it may have been for minutes, and its client's key revoked meanwhile."""
        operation = self._operation
        patience = self._rules.patience
        self._patient_until = self._loop.time() + (
            self._context.rules.timeouts.response if patience is None else patience
        )
        if operation.is_poll:
            answer = await self._share_poll() if self._key and self._rules.poll_interval else None
            self._dependencies.rights.check(self._context, self._body)
            return answer
        if not operation.is_order:
            self._forget()
            return None
        try:
            made = await self._share_order()
        except Throttled:
            self._count("throttled")
            raise
        if made is None:
            self._left_at = self._loop.time()
        self._dependencies.rights.check(self._context, self._body)
        if made is None:
            return None
        self._over = True
        self._count("reused")
        return self._reused(made, f"The order got report {made.id}, which an identical one made.")

    @property
    def _queued(self) -> QueuedOrder | None:
        """The order as it waits for its turn; None if it does not have to."""
        if not self._rules.paces or self._limit is None:
            return None
        days = self._order.days if self._order is not None else ("", "")
        return QueuedOrder(self._limit, self._context.client, days, max(0.0, self._patient_until - self._loop.time()))

    async def _share_order(self) -> MadeReport | None:
        """The report that an identical order made; None once it is this order's turn."""
        unfit = ""
        while claim := await self._claim_order(unfit):
            self._claimed = self._key if claim.granted else ""
            made = claim.made
            if made is None or not claim.granted:
                return made
            found = await self._look_at(made)
            self._sharing.settle_order(self._key, self._ticket, found)
            self._claimed = ""
            if found is not None:
                return found
            unfit = made.id
        if (queued := self._queued) is not None:
            await self._sharing.wait_for_turn(queued)
        return None

    async def _claim_order(self, unfit: str) -> OrderClaim | None:
        """See `SharedReports.claim_order`; None if the order is not shared."""
        if self._order is None or not self._rules.reuses:
            return None
        try:
            async with asyncio.timeout_at(self._patient_until):
                return await self._sharing.claim_order(self._key, self._ticket, self._queued, unfit)
        except TimeoutError:
            return None

    async def _look_at(self, made: MadeReport) -> MadeReport | None:
        """What is known of a report after a look at it; None if an order may not get it."""
        assert self._token is not None
        look = await ReportLook(self._dependencies, self._context, self._token).look(self._operation, made.id)
        if look.gone:
            self._sharing.forget(made.key)
        if look.report is None:
            return None
        self._sharing.saw(made.key, look.report, shows_answer=self._operation is ReportOperation.ORDER)
        now = self._sharing.wall()
        newer = see(made, look.report, now, shows_answer=self._operation is ReportOperation.ORDER)
        return newer if newer is not None and newer.is_reusable(self._rules.reuse_for, now) else None

    async def _share_poll(self) -> OwnAnswer | None:
        """The answer that another poll of this report got lately."""
        try:
            async with asyncio.timeout_at(self._patient_until):
                claim = await self._sharing.claim_poll(self._key, self._ticket)
        except TimeoutError:
            return None
        self._claimed = self._key if claim.granted else ""
        answer = claim.answer
        if answer is None:
            return None
        self._over = True
        age = max(0, int(self._sharing.wall() - answer.at))
        lines = b"Content-Type: %b\r\nAge: %d\r\n" % (answer.content_type.encode("latin-1"), age)
        return own_answer(
            answer.status, lines, answer.text.encode(), f"The poll was answered from memory, {age} s old."
        )

    def _forget(self) -> None:
        for key in self._deleted:
            self._sharing.forget(key)

    # --- what Amazon answers

    def holds(self, response: Response) -> bool:
        if not self._operation.is_order:
            return False
        status = response.status
        if status != _MULTI_STATUS:
            self._learn_pace(status, response)
        return status == 425 and self._order is not None and self._rules.adopts

    def _learn_pace(self, status: int, response: Response) -> None:
        """Take the answer to an order into the pace of the next ones; `status` is that of the order itself."""
        limit = self._limit
        if limit is None or not self._rules.paces:
            return
        if status == 429:
            self._sharing.throttled(limit, self._left_at, response.fields.retry_after)
        elif status < 300 or status == 425:
            self._sharing.taken(limit, self._left_at)

    async def replace(self, attempt: Attempt) -> OwnAnswer | None:
        """The report that a held 425 names, if the order asks for just that; None if the 425 is to pass."""
        order, response = self._order, attempt.response
        assert order is not None and response is not None
        body = decode_body(await attempt.gather(MAX_READ, PATIENCE), response.fields.content_encoding, MAX_READ)
        identifier = read_duplicate(body) if body is not None and attempt.trailers is not None else ""
        if not identifier:
            return None
        look = ReportLook(self._dependencies, self._context, attempt.token)  # may be newer than `self._token`
        shown = (await look.look(self._operation, identifier)).report
        made = self._made_by(shown, 200, b"") if shown is not None and agrees(order.content, shown.content) else None
        if made is None:
            return None
        self._settle_order(made)
        self._over = True
        self._count("duplicate")
        return self._reused(
            made, f"Amazon refused the order as a duplicate of report {identifier}, which it got instead."
        )

    def _made_by(self, report: Report, status: int, body: bytes) -> MadeReport | None:
        """The report of this order; `body` is the answer in version 1. None if it failed, or is too large to keep."""
        version_3, now = self._operation is ReportOperation.ORDER, self._sharing.wall()
        text = "" if version_3 else body.decode("utf-8")
        made = MadeReport(self._report_key(report.id), report.id, status, text, made_at=now, seen_at=now)
        seen = see(made, report, now, shows_answer=version_3)
        return seen if seen is not None and len(seen.text) <= MAX_ANSWER else None

    def _reused(self, made: MadeReport, note: str) -> OwnAnswer:
        """The answer to this order, as if it had made the report itself: of version 3 with its own name of it."""
        body = made.text.encode()
        if self._operation is ReportOperation.ORDER and self._order is not None:
            body = with_name(made.text, self._order.name)
        lines = b"Content-Type: application/json\r\nX-Ads-Proxy-Report: reused\r\n"
        return own_answer(made.status, lines, body, note)

    # --- the end

    def wanted(self, response: Response) -> int:
        fields = response.fields
        if (fields.content_length or 0) > MAX_DECODED:
            return -1
        return MAX_DECODED if may_hold_results(fields.content_type) else 0

    def ended(self, end: End) -> None:
        if self._over:
            return
        self._over = True
        response = end.response
        body = end.body if response is not None else None
        if self._left_at and not end.sent and self._rules.paces and self._limit is not None:
            self._sharing.give_back(self._limit, self._left_at)
        if response is not None and body is not None:
            body = decode_body(body, response.fields.content_encoding, MAX_DECODED)
        report = read_report(self._operation, body) if response is not None and body and response.status < 300 else None
        if self._operation.is_order:
            self._order_ended(response, body, report)
        elif self._operation.is_poll:
            self._poll_ended(response, body, report)
        elif response is not None and response.status < 300:
            self._forget()

    def _order_ended(self, response: Response | None, body: bytes | None, report: Report | None) -> None:
        status = _status(response, body)
        if response is not None and response.status == _MULTI_STATUS:
            self._learn_pace(status, response)
        if self._left_at:
            created = 200 <= status < 300 and (report is not None or body is None)
            self._count("created" if created else "throttled" if status == 429 else "failed")
        made = None
        if report is not None and body is not None and self._order is not None and self._rules.reuses:
            made = self._made_by(report, status, body)
        self._settle_order(made)

    def _settle_order(self, made: MadeReport | None) -> None:
        if self._claimed or made is not None:
            self._sharing.settle_order(self._key, self._ticket, made)

    def _poll_ended(self, response: Response | None, body: bytes | None, report: Report | None) -> None:
        if not self._key:
            return
        answer = None
        if _status(response, body) == 404:
            self._sharing.forget(self._key)
        if response is not None and body is not None and report is not None and report.id == self._id:
            self._sharing.saw(self._key, report, shows_answer=self._operation is ReportOperation.POLL)
            content_type = (response.fields.content_type or b"application/json").decode("latin-1")
            answer = answer_to_poll(response.status, content_type, body, report, self._sharing.wall())
        if self._claimed or answer is not None:
            self._sharing.settle_poll(self._key, self._ticket, answer)

    def _count(self, outcome: str) -> None:
        self._dependencies.accounting.observer.observe(CounterRaised("report_orders_total", (outcome,)))


def _status(response: Response | None, body: bytes | None) -> int:
    """The status of an order or a poll, which in version 1 may be inside of a 207; 0 without a response."""
    return status_of(ListResponse(response.status, body or b"")) if response is not None else 0
