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

REPORT: Final = "report"
"""The kind of a message that has a `call` of `ReportSharing` and its `values`, and the question that has one."""
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
        made, granted = await self._ask("claim_order", ticket, order, queued, unfit) or (None, False)
        return OrderClaim(_made(made), granted)

    def settle_order(self, order: str, ticket: str, made: MadeReport | None) -> None:
        self._say("settle_order", order, self._own(ticket), asdict(made) if made is not None else None)

    async def claim_poll(self, report: str, ticket: str) -> PollClaim:
        answer, granted = await self._ask("claim_poll", ticket, report) or (None, False)
        return PollClaim(_answer(answer), granted)

    def settle_poll(self, report: str, ticket: str, answer: PollAnswer | None) -> None:
        self._say("settle_poll", report, self._own(ticket), asdict(answer) if answer is not None else None)

    def saw(self, report: str, shown: Report, *, shows_answer: bool) -> None:
        self._say("saw", report, [shown.id, shown.status, shown.content, shown.ends], shows_answer)

    def forget(self, report: str) -> None:
        self._say("forget", report)

    async def wait_for_turn(self, queued: QueuedOrder) -> None:
        await self._ask("wait_for_turn", f"turn {next(self._turns)}", "", queued)

    def give_back(self, limit: OrderLimit, left_at: float) -> None:
        self._say("give_back", limit, left_at)

    def throttled(self, limit: OrderLimit, sent_at: float, retry_after: float | None) -> None:
        self._say("throttled", limit, sent_at, retry_after)

    def taken(self, limit: OrderLimit, sent_at: float) -> None:
        self._say("taken", limit, sent_at)

    def _own(self, ticket: str) -> str:
        return f"{self.number}:{ticket}"

    def _say(self, call: str, *values: Any) -> None:
        self._channel.send(REPORT, call=call, values=values)

    async def _ask(self, call: str, ticket: str, key: str, *values: Any) -> Any:
        """None if the supervisor does not answer. Raises `Throttled`."""
        own = self._own(ticket)
        try:
            answer = await self._channel.ask(REPORT, call=call, ticket=own, key=key, values=values)
        except (ChannelClosed, RemoteCallFailed):
            return None
        except asyncio.CancelledError:
            self._say("left", own, key)
            raise
        if "throttled" in answer:
            detail, retry_after = answer["throttled"]
            raise Throttled(detail, retry_after=retry_after)
        return answer["result"]


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
        """The answer to a question `REPORT`."""
        ticket = message["ticket"]
        self._answering[ticket] = asyncio.current_task()
        self._turns.pop(ticket, None)  # of a worker before, whose number this one has
        try:
            return {"result": await self._ask(message["call"], ticket, message["key"], *message["values"])}
        except Throttled as error:
            return {"throttled": [error.detail, error.retry_after]}
        finally:
            del self._answering[ticket]

    async def _ask(self, call: str, ticket: str, key: str, queued: Any = None, unfit: str = "") -> Any:
        if call == "claim_poll":
            answer, granted = await self._reports.claim_poll(key, ticket)
            return asdict(answer) if answer is not None else None, granted
        if call == "wait_for_turn":
            order = _queued(queued)
            await self._reports.wait_for_turn(order)
            self._turns[ticket] = order.limit
            return None
        waiting = _queued(queued) if queued is not None else None
        made, granted = await self._reports.claim_order(key, ticket, waiting, unfit)
        if waiting is not None and granted and made is None:
            self._turns[ticket] = waiting.limit
        return asdict(made) if made is not None else None, granted

    def heard(self, message: Message) -> None:
        """Take a message of the kind `REPORT`."""
        match message["call"], message["values"]:
            case "left", values:
                # its question may have come in the same piece: the task that answers it begins first
                asyncio.get_running_loop().call_soon(self._left, *values)
            case "settle_order", [order, ticket, made]:
                self._reports.settle_order(order, ticket, _made(made))
            case "settle_poll", [report, ticket, answer]:
                self._reports.settle_poll(report, ticket, _answer(answer))
            case "saw", [report, [id_, status, content, ends], shows_answer]:
                shown = Report(id_, ReportStatus(status), content, tuple(ends))
                self._reports.saw(report, shown, shows_answer=shows_answer)
            case "forget", [report]:
                self._reports.forget(report)
            case "give_back", [limit, left_at]:
                self._reports.give_back(OrderLimit(*limit), left_at)
            case "throttled", [limit, sent_at, retry_after]:
                self._reports.throttled(OrderLimit(*limit), sent_at, retry_after)
            case "taken", [limit, sent_at]:
                self._reports.taken(OrderLimit(*limit), sent_at)

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


def _made(said: dict[str, Any] | None) -> MadeReport | None:
    return MadeReport(**said) if said is not None else None


def _answer(said: dict[str, Any] | None) -> PollAnswer | None:
    return PollAnswer(**said) if said is not None else None


def _queued(said: Any) -> QueuedOrder:
    """An order as a message has it."""
    limit, client, days, patience = said
    return QueuedOrder(OrderLimit(*limit), client, (days[0], days[1]), patience)
