"""One request that is subject to a limit of Amazon's. Made only if a limit is known, or if the request meets one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from proxy.events import AmazonThrottled
from proxy.upstream.throttles import ThrottleKey

if TYPE_CHECKING:
    import asyncio

    from proxy.forwarding.decision import RequestContext
    from proxy.forwarding.dependencies import Dependencies
    from proxy.forwarding.replays import Replays
    from proxy.tokens.values import AccessToken
    from proxy.upstream.throttles import Throttle


class ThrottledRequest:
    """What one request has to do with a limit: whether it may leave, and what its answer says."""

    __slots__ = ("_context", "_dependencies", "_loop", "_throttle")

    def __init__(self, context: RequestContext, dependencies: Dependencies, loop: asyncio.AbstractEventLoop) -> None:
        self._context = context
        self._dependencies = dependencies
        self._loop = loop
        self._throttle: Throttle | None = None

    def __repr__(self) -> str:
        return f"<ThrottledRequest: {self._throttle or 'no limit'}>"

    @property
    def client(self) -> str:
        """The name that turns go by."""
        return self._context.client

    def may_leave(self, token: AccessToken, patience: float) -> bool:
        """Whether the request may leave now. Raises `Throttled` if it may not wait so long; `patience` in seconds."""
        self.ended()
        key = throttle_key(self._context, token.client_id)
        self._throttle = self._dependencies.throttles.find(key, self._loop.time())
        return self._throttle is None or self._throttle.admit(self, patience)

    def is_paused(self, token: AccessToken) -> bool:
        """Whether Amazon asked for a pause that still runs: it may have begun after the request was let through."""
        now = self._loop.time()
        throttle = self._dependencies.throttles.find(throttle_key(self._context, token.client_id), now)
        return throttle is not None and throttle.is_closed(now)

    async def wait(self, token: AccessToken, replays: Replays) -> None:
        """Wait until the request may leave. Raises `Throttled` if it may not wait so long."""
        patience = self._context.rules.retry_wait - replays.waited
        if not self.may_leave(token, patience):
            assert self._throttle is not None
            began = self._loop.time()
            await self._throttle.wait(self, patience)
            replays.waited += self._loop.time() - began

    def refused(self, token: AccessToken, retry_after: float | None) -> None:
        """Amazon answered 429: report it, and remember it for all requests that are limited together."""
        route, key = self._context.route, throttle_key(self._context, token.client_id)
        self._dependencies.accounting.observer.observe(
            AmazonThrottled(route.account, route.region, retry_after, key.family)
        )
        self._dependencies.throttles.note(key, self._loop, retry_after)
        self.ended()

    def passed(self) -> None:
        """Amazon answered anything but 429."""
        if self._throttle is not None:
            self._throttle.passed(self)
            self._throttle = None

    def ended(self) -> None:
        """The request is no longer under way."""
        if self._throttle is not None:
            self._throttle.ended(self)
            self._throttle = None


def throttle_key(context: RequestContext, client_id: str) -> ThrottleKey:
    """The limit that a request is subject to which is sent for this application."""
    route = context.route
    return ThrottleKey(context.family, route.advertiser, route.region, client_id)
