"""Questions of a worker about what its supervisor keeps for the clients of all workers.

Both ends of the conversation are here. Without an answer, the write that asked is refused.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

from proxy.app.workers.channel import ChannelClosed, RemoteCallFailed
from proxy.errors import LedgerUnavailable
from proxy.spend.ledger import PATIENCE, RETRY

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from proxy.app.workers.channel import Channel, Message

_MARGIN: Final = 1.0
"""Seconds that an answer of the supervisor, which waits for the store, may be on its way."""


# --- In a worker -------------------------------------------------------------------------------------------------


class SupervisorQuestions:
    """The questions of one kind. `keeping` completes "the supervisor, which ..." for the client that is refused."""

    def __init__(self, channel: Channel, kind: str, keeping: str) -> None:
        self._channel, self._kind, self._keeping = channel, kind, keeping

    def __repr__(self) -> str:
        return f"<SupervisorQuestions: {self._kind}, {self._channel!r}>"

    async def ask(self, call: str, *values: Any) -> Any:
        """The supervisor's answer. Raises `LedgerUnavailable`."""
        return await self._wait(self._ask(call, *values))

    async def take(self, give_back: Callable[[Any], None], call: str, *values: Any) -> Any:
        """What the supervisor grants. Raises `LedgerUnavailable`. `give_back` gets an answer that comes after its write
        was given up: nothing of that is sent."""
        asking = asyncio.ensure_future(self._ask(call, *values))
        try:
            return await self._wait(asyncio.shield(asking))
        except (asyncio.CancelledError, LedgerUnavailable):
            asking.add_done_callback(lambda asked: _give_back(asked, give_back))
            raise

    async def _wait(self, asking: Awaitable[Any]) -> Any:
        """An answer that comes within the supervisor's patience; one that hangs gives none."""
        try:
            async with asyncio.timeout(PATIENCE + _MARGIN):
                return await asking
        except TimeoutError as error:
            hangs = f"The supervisor of this worker, which {self._keeping}, does not answer."
            raise LedgerUnavailable(f"{hangs} Send the request again later.", retry_after=RETRY) from error

    async def _ask(self, call: str, *values: Any) -> Any:
        try:
            answer = await self._channel.ask(self._kind, call=call, values=values)
        except ChannelClosed as error:
            alone = f"This worker lost its supervisor, which {self._keeping}."
            raise LedgerUnavailable(f"{alone} Send the request again on a new connection.") from error
        except RemoteCallFailed as error:
            failed = f"The supervisor of this worker, which {self._keeping}, met a defect of the program."
            raise LedgerUnavailable(f"{failed} Its log has the traceback.") from error
        if "unavailable" in answer:
            detail, retry_after = answer["unavailable"]
            raise LedgerUnavailable(detail, retry_after=retry_after)
        return answer["result"]


def _give_back(asked: asyncio.Future[Any], give_back: Callable[[Any], None]) -> None:
    if not asked.cancelled() and asked.exception() is None:
        give_back(asked.result())


# --- In the supervisor -------------------------------------------------------------------------------------------


async def answer_of(answering: Awaitable[Any]) -> Message:
    """The message with what the supervisor answers."""
    try:
        return {"result": await answering}
    except LedgerUnavailable as error:
        return {"unavailable": [error.detail, error.retry_after]}
