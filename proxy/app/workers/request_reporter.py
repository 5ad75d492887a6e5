"""What a worker reports for people to look at: its last requests, which keys were used, its connections to Amazon.

It is told once a second, so that a request costs nothing more for it; what came beyond `LIMIT` meanwhile is left out,
and not kept: memory that each request passes through is memory that a processor's caches have to hold.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Final

from proxy.events import Event, RequestFinished, RequestKind
from proxy.observability.recent_requests import RecentRequest, RecentRequests

if TYPE_CHECKING:
    from collections.abc import Callable

    from proxy.access.client_keys import KeyUses
    from proxy.observability.recent_requests import Marks

LIMIT: Final = 20


class RequestReporter:
    """An observer of the requests that the journal does not note; `recent` is where it keeps the others."""

    def __init__(self, uses: KeyUses, wall: Callable[[], float] = time.time) -> None:
        self.recent = RecentRequests(LIMIT, LIMIT)
        self._uses, self._wall = uses, wall
        self._told_uses: dict[str, float] = {}
        self._told_pools: dict[str, int] = {}
        self._marks: Marks = (None, None)

    def __repr__(self) -> str:
        return f"<RequestReporter: {self.recent!r}>"

    def observe(self, event: Event) -> None:
        if isinstance(event, RequestFinished):
            self.recent.keep(event, self._wall())

    def collect(self, pools: dict[str, int]) -> dict[str, Any]:
        """What is new since the last time; empty where nothing is. `pools`: `HOST:PORT` -> connections to it."""
        requests, self._marks = self.recent.news(self._marks, LIMIT)
        uses = self._uses.all()
        used = {digest: at for digest, at in uses.items() if self._told_uses.get(digest) != at}
        is_news = bool(requests or used or pools != self._told_pools)
        self._told_uses, self._told_pools = uses, pools
        return {"requests": requests, "used": used, "pools": pools} if is_news else {}


def read_request(said: list[Any]) -> RecentRequest:
    """A request of `collect`, after JSON."""
    at, kind, *rest = said
    return RecentRequest(at, RequestKind(*kind), *rest)
