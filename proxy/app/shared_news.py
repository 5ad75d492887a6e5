"""What one process learns from Amazon's answers and others go by: pauses, MCP sessions, and MCP tools that are not
read-only.

Each piece of news is JSON, in one form for both ways: the channel between supervisor and worker, and the store of a
fleet. A process that hears one takes it, and passes it on to the others that it speaks to, so that what a worker learns
reaches the workers of all replicas. Nothing here is on a request's path.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

from proxy.routing.mcp_session import McpSession
from proxy.upstream.throttles import ThrottleKey

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from proxy.mcp.hints import ToolHints
    from proxy.mcp.sessions import McpSessions
    from proxy.upstream.throttles import Throttles

News = dict[str, Any]
Origin = int | None
"""Who told a piece of news: a worker by its number, `FLEET`, `SUPERVISOR`, or None for this process itself."""
FLEET: Final = -1
SUPERVISOR: Final = -2


class SharedNews:
    """Takes news into the three memories of this process, and tells what these learn. `listeners` get each piece of
    news and its origin."""

    def __init__(self, throttles: Throttles, sessions: McpSessions, hints: ToolHints) -> None:
        self._throttles, self._sessions, self._hints = throttles, sessions, hints
        self.listeners: list[Callable[[News, Origin], None]] = []
        throttles.paused = lambda key, seconds: self._tell(write_pause(key, seconds))
        sessions.changed = lambda digest, session: self._tell(_session(digest, session))
        hints.changed = lambda account, region, writers: self._tell(_tools(account, region, writers))

    def __repr__(self) -> str:
        return f"<SharedNews for {len(self.listeners)} listeners>"

    def hear(self, news: News, origin: Origin, ago: float = 0.0) -> None:
        """Take what was told so many seconds ago, and pass it on; not if it is over, or unknown to this version. A
        fleet shares pauses only."""
        match news:
            case {"pause": _}:
                pause = read_pause(news, ago)
                if pause is None:
                    return
                self._throttles.pause(*pause, asyncio.get_running_loop())
                news = write_pause(*pause)
            case {"session": digest, "lives": lives} if origin != FLEET:
                self._sessions.learn(bytes.fromhex(digest), _read_session(lives))
            case {"tools": [account, region, writers]} if origin != FLEET:
                self._hints.take(account, region, writers)
            case _:
                return
        self._tell(news, origin)

    def known(self) -> Iterator[News]:
        """All that a process which begins has missed."""
        for limit in self._throttles.snapshot(asyncio.get_running_loop().time()):
            if limit.wait:
                yield write_pause(limit.key, limit.wait)
        for digest, session in self._sessions.known():
            yield _session(digest, session)
        for account, region, writers in self._hints.known():
            yield _tools(account, region, writers)

    def _tell(self, news: News, origin: Origin = None) -> None:
        for listener in self.listeners:
            listener(news, origin)


def write_pause(key: ThrottleKey, seconds: float) -> News:
    """The limited operations, and for how many seconds."""
    return {"pause": list(key), "seconds": seconds}


def read_pause(news: News, ago: float) -> tuple[ThrottleKey, float] | None:
    """The limited operations, and for how many more seconds; None for a pause that is over, or for other news."""
    key, seconds = news.get("pause"), news.get("seconds")
    if not isinstance(key, list) or not isinstance(seconds, int | float) or seconds <= ago:
        return None
    try:
        return ThrottleKey(*map(str, key)), seconds - ago
    except TypeError:  # another version's form
        return None


def _session(digest: bytes, session: McpSession | None) -> News:
    if session is None:
        return {"session": digest.hex(), "lives": None}
    return {"session": digest.hex(), "lives": [session.client, session.account, session.region]}


def _read_session(lives: list[str] | None) -> McpSession | None:
    if lives is None:
        return None
    client, account, region = lives
    return McpSession(client, account, region)


def _tools(account: str, region: str, writers: Iterable[str]) -> News:
    return {"tools": [account, region, sorted(writers)]}
