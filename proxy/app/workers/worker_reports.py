"""Reports that the clients of all workers share: a worker asks its supervisor, which has the one memory of them.

Both ends of the conversation are here. A client that leaves is told at once, so that it holds up no other one. Without
an answer a request passes as if nothing were shared.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import asdict
from itertools import count
from typing import TYPE_CHECKING, Any, Final

from cachetools import LRUCache

from proxy.app.workers.channel import ChannelClosed, RemoteCallFailed
from proxy.errors import Throttled
from proxy.reports.orders import Report, ReportStatus
from proxy.reports.pace import OrderLimit, QueuedOrder
from proxy.reports.polls import PollAnswer
from proxy.reports.sharing import MadeReport, OrderClaim, PollClaim, SharedReports

if TYPE_CHECKING:
    from collections.abc import Callable

    from proxy.app.workers.channel import Channel, Message
    from proxy.reports.sharing import ReportRules

QUESTIONS: Final = frozenset(("report-order", "report-poll", "report-turn"))
MESSAGES: Final = frozenset(
    f"report-{name}" for name in ("left", "ordered", "polled", "saw", "gone", "given-back", "throttled", "taken")
)
_MAX_TURNS: Final = 1024
"""More turns than are on their way to workers at one time."""


# --- In a worker -------------------------------------------------------------------------------------------------


class WorkerReports:
    """Implements `ReportSharing`. `number` is the worker's."""

    number = 0

    def __init__(self, channel: Channel, wall: Callable[[], float] = time.time) -> None:
        self._channel = channel
        self._turns = count(1)
        self.wall = wall

    def __repr__(self) -> str:
        return f"<WorkerReports of worker {self.number}>"

    def apply(self, rules: ReportRules | None) -> None:
        """The supervisor has the rules."""

    async def claim_order(
        self, order: str, ticket: str, queued: QueuedOrder | None = None, unfit: str = ""
    ) -> OrderClaim:
        answer = await self._ask("report-order", ticket, key=order, queued=queued, unfit=unfit)
        made = answer.get("made")
        return OrderClaim(MadeReport(**made) if made is not None else None, answer.get("granted", False))

    def settle_order(self, order: str, ticket: str, made: MadeReport | None) -> None:
        said = asdict(made) if made is not None else None
        self._channel.send("report-ordered", key=order, ticket=self._own(ticket), made=said)

    async def claim_poll(self, report: str, ticket: str) -> PollClaim:
        answer = await self._ask("report-poll", ticket, key=report)
        found = answer.get("answer")
        return PollClaim(PollAnswer(**found) if found is not None else None, answer.get("granted", False))

    def settle_poll(self, report: str, ticket: str, answer: PollAnswer | None) -> None:
        said = asdict(answer) if answer is not None else None
        self._channel.send("report-polled", key=report, ticket=self._own(ticket), answer=said)

    def saw(self, report: str, shown: Report, *, shows_answer: bool) -> None:
        said = {"id": shown.id, "status": shown.status.value, "content": shown.content, "ends": shown.ends}
        self._channel.send("report-saw", key=report, shown=said, shows_answer=shows_answer)

    def forget(self, report: str) -> None:
        self._channel.send("report-gone", key=report)

    async def wait_for_turn(self, queued: QueuedOrder) -> None:
        await self._ask("report-turn", f"turn {next(self._turns)}", queued=queued)

    def give_back(self, limit: OrderLimit, left_at: float) -> None:
        self._channel.send("report-given-back", limit=limit, left_at=left_at)

    def throttled(self, limit: OrderLimit, sent_at: float, retry_after: float | None) -> None:
        self._channel.send("report-throttled", limit=limit, sent_at=sent_at, retry_after=retry_after)

    def taken(self, limit: OrderLimit, sent_at: float) -> None:
        self._channel.send("report-taken", limit=limit, sent_at=sent_at)

    def _own(self, ticket: str) -> str:
        return f"{self.number}:{ticket}"

    async def _ask(self, question: str, ticket: str, **values: Any) -> Message:
        """Empty if the supervisor does not answer. Raises `Throttled`."""
        own = self._own(ticket)
        try:
            answer = await self._channel.ask(question, ticket=own, **values)
        except (ChannelClosed, RemoteCallFailed):
            return {}
        except asyncio.CancelledError:
            self._channel.send("report-left", ticket=own, key=values.get("key", ""))
            raise
        if "throttled" in answer:
            detail, retry_after = answer["throttled"]
            raise Throttled(detail, retry_after=retry_after)
        return answer


# --- In the supervisor -------------------------------------------------------------------------------------------


class WorkersReports:
    """Answers the workers from the one memory. `answering` are those that wait, by ticket, and `turns` the last turns
    that orders got: a client may leave before its worker reads of it."""

    def __init__(self, reports: SharedReports) -> None:
        self._reports = reports
        self._answering: dict[str, asyncio.Task[Any] | None] = {}
        self._turns: LRUCache[str, OrderLimit] = LRUCache(_MAX_TURNS)

    def __repr__(self) -> str:
        return f"<WorkersReports: {len(self._answering)} waiting, {self._reports!r}>"

    async def asked(self, message: Message) -> Message:
        """Answer one of `QUESTIONS`."""
        ticket = message["ticket"]
        self._answering[ticket] = asyncio.current_task()
        self._turns.pop(ticket, None)  # of a worker before, whose number this one has
        try:
            return await self._answer(message, ticket)
        except Throttled as error:
            return {"throttled": [error.detail, error.retry_after]}
        finally:
            del self._answering[ticket]

    async def _answer(self, message: Message, ticket: str) -> Message:
        if message["question"] == "report-order":
            queued = _queued(message["queued"]) if message["queued"] is not None else None
            order = await self._reports.claim_order(message["key"], ticket, queued, message["unfit"])
            if queued is not None and order.granted and order.made is None:
                self._turns[ticket] = queued.limit
            return {"made": asdict(order.made) if order.made is not None else None, "granted": order.granted}
        if message["question"] == "report-poll":
            poll = await self._reports.claim_poll(message["key"], ticket)
            return {"answer": asdict(poll.answer) if poll.answer is not None else None, "granted": poll.granted}
        queued = _queued(message["queued"])
        await self._reports.wait_for_turn(queued)
        self._turns[ticket] = queued.limit
        return {}

    def heard(self, message: Message) -> None:
        """Take one of `MESSAGES`."""
        reports, kind = self._reports, message["kind"]
        match kind:
            case "report-left":
                # its question may have come in the same piece: the task that answers it begins first
                asyncio.get_running_loop().call_soon(self._left, message["ticket"], message["key"])
            case "report-ordered":
                made = message["made"]
                known = MadeReport(**made) if made is not None else None
                reports.settle_order(message["key"], message["ticket"], known)
            case "report-polled":
                answer = message["answer"]
                found = PollAnswer(**answer) if answer is not None else None
                reports.settle_poll(message["key"], message["ticket"], found)
            case "report-saw":
                shown = message["shown"]
                report = Report(shown["id"], ReportStatus(shown["status"]), shown["content"], tuple(shown["ends"]))
                reports.saw(message["key"], report, shows_answer=message["shows_answer"])
            case "report-gone":
                reports.forget(message["key"])
            case "report-given-back":
                reports.give_back(OrderLimit(*message["limit"]), message["left_at"])
            case "report-throttled":
                reports.throttled(OrderLimit(*message["limit"]), message["sent_at"], message["retry_after"])
            case "report-taken":
                reports.taken(OrderLimit(*message["limit"]), message["sent_at"])

    def lost(self, number: int) -> None:
        """A worker is gone: what it claimed is free."""
        self._reports.lost(f"{number}:")

    def _left(self, ticket: str, key: str) -> None:
        """A client left: it waits no longer, and what it got meanwhile is free."""
        task = self._answering.get(ticket)
        if task is not None:
            task.cancel()
            return
        if (limit := self._turns.pop(ticket, None)) is not None:
            self._reports.queues.give_back(limit)
        if key:
            self._reports.settle_order(key, ticket, None)
            self._reports.settle_poll(key, ticket, None)


def _queued(said: Any) -> QueuedOrder:
    """An order as a message has it."""
    limit, client, days, patience = said
    return QueuedOrder(OrderLimit(*limit), client, (days[0], days[1]), patience)
