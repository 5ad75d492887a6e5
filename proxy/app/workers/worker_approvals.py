"""The approvals for the clients of all workers: a worker asks its supervisor, which keeps those of the program.

Both ends of the conversation are here. What a killed worker used stays used, as its write may have left. Without the
supervisor nothing is approved, so that no write over a limit leaves.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

from proxy.app.workers.channel import ChannelClosed, RemoteCallFailed
from proxy.errors import LedgerUnavailable
from proxy.spend.approvals import Found, read_approval, read_asked, write_approval, write_asked
from proxy.spend.ledger import PATIENCE, RETRY

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from proxy.app.workers.channel import Channel, Message
    from proxy.spend.approval_questions import Approvals
    from proxy.spend.approvals import Approval, WriteToApprove

APPROVAL: Final = "approval"
"""The kind of a message that gives back, and of the questions about approvals."""
_MARGIN: Final = 1.0
"""Seconds that an answer of the supervisor, which waits for the store, may be on its way."""
_ALONE: Final = (
    "This worker lost its supervisor, which keeps the approvals. Send the request again on a new connection."
)
_HANGS: Final = (
    "The supervisor of this worker, which keeps the approvals, does not answer. Send the request again later."
)
_DEFECT: Final = "The approvals cannot be read because of a defect of the program; its log has the traceback."


# --- In a worker -------------------------------------------------------------------------------------------------


class WorkerApprovals:
    """Implements `Approvals`."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel

    def __repr__(self) -> str:
        return f"<WorkerApprovals: {self._channel!r}>"

    async def find(self, client: str, digest: str) -> Found:
        approval, is_full = await self._wait(self._ask("find", client, digest))
        return Found(_read(approval), is_full)

    async def ask(self, write: WriteToApprove) -> Approval | None:
        return _read(await self._wait(self._ask("ask", write_asked(write))))

    async def use(self, client: str, identifier: str) -> bool:
        asking = asyncio.ensure_future(self._ask("use", client, identifier))
        try:
            used: bool = await self._wait(asyncio.shield(asking))
        except (asyncio.CancelledError, LedgerUnavailable):
            asking.add_done_callback(lambda asked: self._give_unwanted_back(asked, client, identifier))
            raise
        return used

    def give_back(self, client: str, identifier: str) -> None:
        self._channel.send(APPROVAL, client=client, back=identifier)

    async def void(self, client: str, identifier: str, because: str) -> None:
        await self._wait(self._ask("void", client, identifier, because))

    async def get(self, client: str, identifier: str) -> Approval | None:
        return _read(await self._wait(self._ask("get", client, identifier)))

    def _give_unwanted_back(self, asked: asyncio.Future[Any], client: str, identifier: str) -> None:
        """Give back what was used after its write was given up: nothing of it is sent."""
        if not asked.cancelled() and asked.exception() is None and asked.result():
            self.give_back(client, identifier)

    async def _wait(self, asking: Awaitable[Any]) -> Any:
        """An answer that comes within the supervisor's patience; one that hangs gives none."""
        try:
            async with asyncio.timeout(PATIENCE + _MARGIN):
                return await asking
        except TimeoutError as error:
            raise LedgerUnavailable(_HANGS, retry_after=RETRY) from error

    async def _ask(self, call: str, *values: Any) -> Any:
        """The supervisor's answer. Raises `LedgerUnavailable`."""
        try:
            answer = await self._channel.ask(APPROVAL, call=call, values=values)
        except (ChannelClosed, RemoteCallFailed) as error:
            raise LedgerUnavailable(_ALONE if isinstance(error, ChannelClosed) else _DEFECT) from error
        if "unavailable" in answer:
            detail, retry_after = answer["unavailable"]
            raise LedgerUnavailable(detail, retry_after=retry_after)
        return answer["result"]


# --- In the supervisor -------------------------------------------------------------------------------------------


class WorkersApprovals:
    """Answers the workers from the approvals of the program."""

    def __init__(self, approvals: Approvals) -> None:
        self._approvals = approvals

    def __repr__(self) -> str:
        return f"<WorkersApprovals: {self._approvals!r}>"

    async def asked(self, message: Message) -> Message:
        """The answer to a question `APPROVAL`."""
        try:
            return {"result": await self._answer(message["call"], *message["values"])}
        except LedgerUnavailable as error:
            return {"unavailable": [error.detail, error.retry_after]}

    async def _answer(self, call: str, *values: Any) -> Any:
        approvals = self._approvals
        match call:
            case "find":
                found = await approvals.find(*values)
                return _write(found.approval), found.is_full
            case "ask":
                return _write(await approvals.ask(read_asked(*values)))
            case "use":
                return await approvals.use(*values)
            case "void":
                return await approvals.void(*values)
            case _:
                return _write(await approvals.get(*values))

    def heard(self, message: Message) -> None:
        """Take a message of the kind `APPROVAL`."""
        self._approvals.give_back(message["client"], message["back"])


def _write(approval: Approval | None) -> dict[str, Any] | None:
    return None if approval is None else write_approval(approval)


def _read(said: Any) -> Approval | None:
    return None if said is None else read_approval(said)
