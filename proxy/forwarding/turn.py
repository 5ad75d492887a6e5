"""One request's place before the limits of Amazon's that are known. Made only where there are any, or one is met."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from proxy.events import AmazonThrottled
from proxy.forwarding.throttles import throttle_key

if TYPE_CHECKING:
    import asyncio

    from proxy.forwarding.decision import RequestContext
    from proxy.forwarding.dependencies import Dependencies
    from proxy.forwarding.line import Line
    from proxy.forwarding.replays import Replays
    from proxy.tokens.values import AccessToken


class Turn:
    """See the module's docstring. `patience` is for how many seconds the request may wait."""

    __slots__ = ("_context", "_dependencies", "_left_at", "_line", "_loop")

    def __init__(self, context: RequestContext, dependencies: Dependencies, loop: asyncio.AbstractEventLoop) -> None:
        self._context = context
        self._dependencies = dependencies
        self._loop = loop
        self._line: Line | None = None
        self._left_at = -math.inf

    def __repr__(self) -> str:
        return f"<Turn before {self._line or 'no limit'}>"

    def has_come(self, token: AccessToken, patience: float) -> bool:
        """Whether the request may leave now. Raises `Throttled` where it may not wait until it may."""
        key = throttle_key(self._context, token.client_id)
        self._line = self._dependencies.throttles.find(key, self._loop.time())
        if self._line is None or self._line.leave(self._context.client, patience):
            self._left_at = self._loop.time()
            return True
        return False

    async def wait(self, token: AccessToken, replays: Replays) -> None:
        """Wait for it, as long as `retry_wait` allows. Raises `Throttled` where that is not enough."""
        patience = self._context.rules.retry_wait - replays.waited
        if not self.has_come(token, patience):
            assert self._line is not None
            began = self._loop.time()
            await self._line.turn(self._context.client, patience)
            self._left_at = self._loop.time()
            replays.waited += self._left_at - began

    def refused(self, token: AccessToken, retry_after: float | None) -> None:
        """Amazon answered 429: it is told, and remembered for what is limited together."""
        route, key = self._context.route, throttle_key(self._context, token.client_id)
        self._dependencies.accounting.observer.observe(
            AmazonThrottled(route.account, route.region, retry_after, key.family)
        )
        self._dependencies.throttles.note(key, self._loop, retry_after, self._left_at)

    def passed(self) -> None:
        """Amazon answered anything else."""
        if self._line is not None:
            self._line.passed()
