"""How many token requests run at once: at a start with thousands of accounts all of them are due in one moment.

The others wait for their turn before anything of theirs begins, so that no time-out counts the waiting. Those that a
tool's request waits for go first, and each token endpoint has turns of its own: one that hangs holds up nobody else's.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final, ParamSpec, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from typing import Any

    from proxy.tokens.waiters import Waiters

AT_ONCE: Final = 32
P = ParamSpec("P")
Result = TypeVar("Result")


class TokenTurns:
    """Those of every token endpoint."""

    def __init__(self) -> None:
        self._of: dict[str, EndpointTurns] = {}

    def __repr__(self) -> str:
        return f"<TokenTurns at {len(self._of)} endpoints>"

    def at(self, token_url: str) -> EndpointTurns:
        found = self._of.get(token_url)
        if found is None:
            found = self._of[token_url] = EndpointTurns()
        return found

    def give_up(self, waiters: Waiters) -> None:
        """Who waits does not get a turn any more, wherever it is; one that has it keeps it."""
        for turns in self._of.values():
            turns.give_up(waiters)


class EndpointTurns:
    """Belongs to one event loop. Whose turn it is, is told by the `Waiters` of an account, who has one turn at most."""

    def __init__(self, at_once: int = AT_ONCE) -> None:
        self._free = at_once
        self._urgent: dict[Waiters, asyncio.Future[bool]] = {}
        self._patient: dict[Waiters, asyncio.Future[bool]] = {}

    def __repr__(self) -> str:
        return f"<EndpointTurns: {self._free} free, {len(self._urgent) + len(self._patient)} waiting>"

    @property
    def is_busy(self) -> bool:
        """Whether somebody waits for a turn, or would have to."""
        return not self._free or bool(self._urgent) or bool(self._patient)

    async def run(
        self, waiters: Waiters, work: Callable[P, Coroutine[Any, Any, Result]], *args: P.args, **kwargs: P.kwargs
    ) -> Result | None:
        """Do it when it is its turn; None where it was given up before."""
        if not await self._take(waiters):
            return None
        try:
            return await work(*args, **kwargs)
        finally:
            self._give_back()

    def give_up(self, waiters: Waiters) -> None:
        turn = self._urgent.get(waiters) or self._patient.get(waiters)
        if turn is not None and not turn.done():
            turn.set_result(False)

    async def _take(self, waiters: Waiters) -> bool:
        if self._free:
            self._free -= 1
            return True
        turn: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        (self._urgent if waiters.count else self._patient)[waiters] = turn
        waiters.called = lambda: self._hasten(waiters)
        try:
            return await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled() and turn.result():
                self._give_back()
            raise
        finally:
            waiters.called = None
            self._urgent.pop(waiters, None)
            self._patient.pop(waiters, None)

    def _hasten(self, waiters: Waiters) -> None:
        turn = self._patient.pop(waiters, None)
        if turn is not None:
            self._urgent[waiters] = turn

    def _give_back(self) -> None:
        for queue in (self._urgent, self._patient):
            for turn in queue.values():
                if not turn.done():
                    turn.set_result(True)
                    return
        self._free += 1
