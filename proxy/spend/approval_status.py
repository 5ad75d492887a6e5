"""Requests of clients for the state of an approval: `GET /-/approvals/ID` on the client listener."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Final

from proxy.errors import OnlyReadable, Refused, UnknownApproval
from proxy.events import ApprovalState, RequestKind
from proxy.forwarding.decision import Capability
from proxy.forwarding.refusal import internal_error
from proxy.local.request import LocalRequest
from proxy.routing.request_kind import method_name
from proxy.routing.target import READ_APPROVAL, TargetKind
from proxy.spend.approval_desk import moment

if TYPE_CHECKING:
    import asyncio

    from proxy.forwarding.accounting import Accounting
    from proxy.forwarding.decision import Rules
    from proxy.forwarding.sockets import LocalAsked
    from proxy.spend.approval_questions import Approvals
    from proxy.spend.approvals import Approval

_PATH: Final = re.compile(rb"/-/approvals/([0-9a-f]{1,64})")
_READ_METHODS: Final = (b"GET", b"HEAD")
ASK_AGAIN: Final = 15
"""Seconds after which a client may ask again for the state of a pending approval."""


class ApprovalAnswers(Capability):
    """Tells each client the states of its own approvals."""

    def __init__(self, approvals: Approvals, accounting: Accounting) -> None:
        self._approvals, self._accounting = approvals, accounting

    def answer(self, asked: LocalAsked, rules: Rules) -> ApprovalRequest | None:
        if asked.destination.kind is not TargetKind.APPROVALS:
            return None
        if asked.request.method not in _READ_METHODS:
            raise OnlyReadable("An approval can be read with GET here; an approver decides at the admin listener.")
        found = _PATH.fullmatch(asked.destination.path)
        if found is None or asked.destination.query:
            raise UnknownApproval("The approval is unknown: the path is /-/approvals/ID, as the refusal named it.")
        return ApprovalRequest(self._accounting, asked, rules, self._approvals, found[1].decode())


class ApprovalRequest(LocalRequest):
    """A request for the state of one approval."""

    path = "/-/approvals/{id}"

    def __init__(
        self, accounting: Accounting, asked: LocalAsked, rules: Rules, approvals: Approvals, identifier: str
    ) -> None:
        super().__init__(accounting, asked.client, asked.request, rules)
        self.in_flight = asked.in_flight
        self._client_name, self._approvals, self._identifier = asked.identity.name, approvals, identifier
        self._task: asyncio.Task[None] | None = None

    @property
    def kind(self) -> RequestKind:
        method, operation = method_name(self.request.method), READ_APPROVAL
        return RequestKind(self._client_name, method=method, operation=operation.name, operation_class=operation.effect)

    def answer(self) -> None:
        self.stats.spend()  # the store takes its own time
        self._task = self.client.loop.create_task(self._answer())

    async def _answer(self) -> None:
        try:
            approval = await self._approvals.get(self._client_name, self._identifier)
        except Refused as error:
            self._end(error)
        except Exception as error:  # noqa: BLE001 - a defect is answered and told, whatever it is
            self.accounting.defect("approval", error)
            self._end(internal_error())
        else:
            self._end(approval or UnknownApproval("This client has no approval with this id."))

    def _end(self, found: Approval | Refused) -> None:
        if self.done:
            return
        self.stats.resume()
        if isinstance(found, Refused):
            self.refuse(found, keep=self.client.stays_open(self.request))
        else:
            again = b"Retry-After: %d\r\n" % ASK_AGAIN if found.state is ApprovalState.PENDING else b""
            lines = b"Content-Type: application/json\r\nCache-Control: no-store\r\n" + again
            self.respond(200, lines, json.dumps(told(found)).encode())
        self.client.flush()


def told(approval: Approval) -> dict[str, str | None]:
    """The members that its client reads of an approval."""
    return {
        "id": approval.id,
        "state": approval.state.value,
        "because": approval.because or None,
        "expires_at": moment(approval.expires_at),
    }
