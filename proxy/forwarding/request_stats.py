"""What is measured and learned of one request while it runs, and the event that its account is."""

from __future__ import annotations

from time import perf_counter
from typing import TYPE_CHECKING, Final

from proxy.errors import Frozen
from proxy.events import Outcome, RequestFinished, SpendJudgement, SpendMode, SpendVerdict
from proxy.net.deadlines import NEVER
from proxy.net.turn import TURN

if TYPE_CHECKING:
    from proxy.errors import Refused
    from proxy.events import ChangedObjects, RequestKind, TraceSpan, WriteOutcome
    from proxy.forwarding.sockets import Reading
    from proxy.http1.message import Request
    from proxy.routing.explanation import Explanation

_WITHIN, _SUCCESS = SpendVerdict.WITHIN, Outcome.SUCCESS
"""By names of their own: each write is compared with them."""
_FROZEN: Final = SpendJudgement(SpendMode.ENFORCE, SpendVerdict.FROZEN)
"""The judgement of every write that a freeze stopped, wherever on its way: a freeze is never only observed."""


class RequestStats:
    """Filled while a request runs. Times are in seconds, moments are of `perf_counter`; `sent_at` is 0 while none of it
    is at Amazon, and `upstream` is then what Amazon took for earlier attempts.

    `overhead` is what the proxy itself spent, up to the moment `counted`; `bytes_in` and `bytes_out` count payload.
    `explanation` is that of an error of Amazon's. `mcp_tools` are those that the body calls. `readings` are what
    threads still read for the account; `due` is when it is given at the latest, on the event loop's clock. `note` says
    how the proxy answered instead of Amazon. `span` is set with traces on. `write` is what the response to a write
    says, `changes` what the write names and sets if that is recorded. `judged` is what the limits of its client say of
    it, if they were asked. `retry_after` are the seconds that Amazon asked to wait. `address` is where the request came
    from, as far as its client may turn out to be unknown.
    """

    duration: float
    amazon_request_id = fault = note = address = ""
    attempts = bytes_in = bytes_out = upstream_status = 0
    overhead = sent_at = upstream = 0.0
    refusal: Refused | None = None
    retry_after: float | None = None
    explanation: Explanation | None = None
    mcp_tools: tuple[str, ...] = ()
    readings: tuple[Reading, ...] = ()
    due = NEVER
    span: TraceSpan | None = None
    write: WriteOutcome | None = None
    changes: ChangedObjects | None = None
    judged: SpendJudgement | None = None

    def __init__(self, request: Request, began: float) -> None:
        self.request = request
        self.request_id = request.id
        self.user_agent = request.fields.user_agent
        self.began = self.counted = began

    def spend(self) -> float:
        """Count what the proxy spent since the turn of the event loop began, or since it was counted last. Called
        wherever the request comes to rest. Returns the present moment."""
        now = perf_counter()
        began, counted = TURN.began, self.counted
        self.overhead += now - (max(counted, began))
        self.counted = now
        return now

    def spend_all(self) -> None:
        """Count all of a wait as the proxy's own: for a thread of ours."""
        now = perf_counter()
        self.overhead += now - self.counted
        self.counted = now

    def resume(self) -> None:
        """A wait is over that was not the proxy's own: count from here on."""
        self.counted = perf_counter()

    def measure(self, now: float) -> None:
        """The request is over: fix its times."""
        self.duration = duration = now - self.began
        if self.overhead > duration:
            self.overhead = duration
        upstream = self.upstream + (now - self.sent_at if self.sent_at else 0.0)
        self.upstream = min(duration - self.overhead, upstream)

    def ended_well(self, status: int) -> bool:
        """Whether Amazon's response went to the client whole, and all that is to be said of it is what others share."""
        return (
            status > 0
            and status == self.upstream_status
            and self.refusal is None
            and not self.fault
            and not self.note
            and self.explanation is None
            and not self.retry_after
            and not self.mcp_tools
            and self.span is None
            and self.changes is None
            and (self.judged is None or self.judged.verdict is _WITHIN)
            and (self.write is None or self.write.outcome is _SUCCESS)
        )

    def finished(self, status: int, kind: RequestKind, path: str, now: float) -> RequestFinished:
        """The event: answered with `status` (0: not at all)."""
        self.measure(now)
        refusal, explanation = self.refusal, self.explanation
        detail = explanation.sentence if explanation is not None else self.note
        asked = None if self.retry_after is None else int(self.retry_after)
        return RequestFinished(
            request_id=self.request_id,
            client=kind.client,
            account=kind.account,
            region=kind.region,
            method=kind.method,
            path=path,
            status=status,
            amazon_request_id=self.amazon_request_id,
            bytes_in=self.bytes_in,
            bytes_out=self.bytes_out,
            duration=self.duration,
            upstream=self.upstream,
            overhead=self.overhead,
            attempts=self.attempts,
            refusal=refusal.slug if refusal is not None else "",
            detail=refusal.detail if refusal is not None else detail,
            fault=self.fault,
            profile=kind.profile,
            ads_account=kind.ads_account,
            operation=kind.operation,
            operation_class=kind.operation_class,
            subject=kind.subject,
            ends=kind.ends,
            user_agent=self.user_agent,
            upstream_status=self.upstream_status,
            cause=explanation.cause.value if explanation is not None else "",
            mcp_tools=self.mcp_tools,
            span=self.span,
            write=self.write,
            changes=self.changes,
            spend=_FROZEN if isinstance(refusal, Frozen) else self.judged,
            retry_after=refusal.wait if refusal is not None else asked,
            address="" if kind.client else self.address,
            unverified_subject=refusal.unverified_subject if refusal is not None else "",
        )
