"""Asks a person whether a write that is over a limit may be sent, and lets it pass once that is approved."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Final

from proxy.errors import ApprovalDenied, ApprovalRequired, ApprovalStale, LedgerUnavailable, TooManyApprovals
from proxy.events import ApprovalState, UsedApproval
from proxy.spend.answers import describe_violations
from proxy.spend.approvals import limits_of
from proxy.spend.written_values import find_differences

if TYPE_CHECKING:
    from proxy.errors import Refused
    from proxy.events import SpendJudgement
    from proxy.forwarding.decision import RequestContext
    from proxy.spend.approval_questions import Approvals
    from proxy.spend.approvals import Approval, WriteToApprove
    from proxy.spend.present_values import PresentValues, WrittenBody
    from proxy.spend.written_values import Difference

RETRY: Final = 5.0
"""Seconds after which a write is to be sent again whose objects could not be read."""
_CHANGED: Final = "What it changes is no longer as the approver saw it."
_NOT_READ: Final = (
    "Nothing was changed: the present values could not be read, and the approver decided with them in mind. Send the "
    "request again later."
)


class ApprovalDesk:
    """The way from a write over its limits to an approval; one for all requests of a process. `changes` of a question
    that several requests ask at the same time are read once."""

    def __init__(self, approvals: Approvals, present: PresentValues) -> None:
        self.approvals, self._present = approvals, present
        self._asking: dict[object, asyncio.Task[Approval | None]] = {}

    def __repr__(self) -> str:
        return f"<ApprovalDesk: {len(self._asking)} questions under way>"

    async def find_approved(
        self, context: RequestContext, write: WriteToApprove, written: tuple[WrittenBody, ...]
    ) -> Approval:
        """The approval by which a write may be sent, if its violations and objects are those that the approver saw.
        Raises the refusal of any other write, for which a person is asked unless that was done."""
        found = await self.approvals.find(write.client, write.digest)
        approval = found.approval
        is_to_be_asked = not found.is_full if approval is None else approval.is_too_narrow(write.violations)
        if is_to_be_asked:
            approval = await self._ask(context, write, written)
        if approval is None:
            raise TooManyApprovals(
                "Nothing was changed. The write needs an approval, and too many writes of this client wait for one "
                "already. Send it again when some of them are decided.",
                retry_after=60.0,
            )
        if approval.state is not ApprovalState.APPROVED:
            raise refusal_of(approval)
        await self._check_present(context, approval, written)
        return approval

    async def _ask(
        self, context: RequestContext, write: WriteToApprove, written: tuple[WrittenBody, ...]
    ) -> Approval | None:
        question = write.digest, limits_of(write.violations)
        asking = self._asking.get(question)
        if asking is None:
            asking = asyncio.create_task(self._read_and_ask(context, write, written), name="ask for an approval")
            self._asking[question] = asking
            asking.add_done_callback(partial(self._was_asked, question))
        return await asyncio.shield(asking)

    def _was_asked(self, question: object, asking: asyncio.Task[Approval | None]) -> None:
        del self._asking[question]
        if not asking.cancelled():
            asking.exception()  # each request that still waits gets it

    async def _read_and_ask(
        self, context: RequestContext, write: WriteToApprove, written: tuple[WrittenBody, ...]
    ) -> Approval | None:
        changes = await self._present.changes(context, written)
        return await self.approvals.ask(write.with_changes(changes))

    async def _check_present(
        self, context: RequestContext, approval: Approval, written: tuple[WrittenBody, ...]
    ) -> None:
        """Raise what forbids an approved write whose objects have changed, or may have."""
        seen = approval.write.changes
        if all(each.before is None for each in seen):
            return
        found = await self._present.changes(context, written)
        differing = find_differences(seen, found[: len(seen)] if approval.write.further else found)
        if differing is None:
            raise LedgerUnavailable(_NOT_READ, retry_after=RETRY)
        if differing:
            await self.approvals.void(approval.write.client, approval.id, _CHANGED)
            shown = "; ".join(f"{each.member} was {each.was}, and is {each.now}" for each in differing)
            error = ApprovalStale(
                f"Nothing was changed. {_CHANGED} {shown[:500]}. Send the write again to ask for another approval."
            )
            raise error.saying(approval_id=approval.id, changed=[_told(each) for each in differing])


def _told(each: Difference) -> dict[str, str | None]:
    return {"object": each.object, "member": each.member, "approved": each.was, "present": each.now}


def used(approval: Approval) -> UsedApproval:
    """The approval of a write, for its records."""
    return UsedApproval(approval.id, approval.by, approval.write.changes)


def refusal_of(approval: Approval) -> Refused:
    """The refusal of a write that is not approved yet, or that was denied."""
    state = {"approval_id": approval.id, "status_url": status_url(approval), "expires_at": moment(approval.expires_at)}
    violations = [each.members for each in approval.write.violations]
    told = describe_violations(approval.write.violations)
    if approval.state is ApprovalState.DENIED:
        why = f" ({approval.because.rstrip('.')})" if approval.because else ""
        denied = ApprovalDenied(f"Nothing was changed. A person denied this write{why}. {told}")
        return denied.saying(violations=violations, because=approval.because, **state)
    asked = ApprovalRequired(
        f"Nothing was changed. A person was asked whether this write may be sent. {told} Send it again, unchanged, "
        f"once it is approved: GET {status_url(approval)} tells."
    )
    return asked.saying(violations=violations, **state)


def text_for_models(refusal: Refused, judged: SpendJudgement) -> str:
    """The text for a language model about a write that needs an approval."""
    identifier = refusal.further.get("approval_id", "")
    over = describe_violations(judged.violations)
    if isinstance(refusal, ApprovalRequired):
        return (
            f"Nothing was changed. {over} A person was asked to approve exactly this call: approval {identifier}. "
            "Repeat the call with the same arguments once it is approved. "
            f"GET {refusal.further['status_url']} at the proxy tells its state. Tell the user that it waits for a "
            "person. Do not try to reach the same in another way."
        )
    return refusal.detail


def status_url(approval: Approval) -> str:
    """Where its client asks for the state of an approval, at the client listener."""
    return f"/-/approvals/{approval.id}"


def moment(at: float) -> str:
    """A wall-clock time in ISO 8601, as answers have it."""
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
