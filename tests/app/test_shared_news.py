"""What one process learns from Amazon's answers, and what another one takes of it."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from proxy.app.shared_news import FLEET, News, Origin, SharedNews, read_pause
from proxy.mcp.hints import ToolHints
from proxy.mcp.sessions import McpSessions
from proxy.routing.mcp_session import McpSession
from proxy.upstream.throttles import ThrottleKey, Throttles

LIMIT = ThrottleKey("GET /sp/campaigns", "profile 1", "na", "amzn1.client")
SESSION, OTHER = McpSession("agent", "acme", "na"), McpSession("tool", "brand", "eu")


class Process:
    """What one process knows, and what it told as JSON, with who it heard it from."""

    def __init__(self) -> None:
        self.throttles, self.sessions, self.hints = Throttles(), McpSessions(), ToolHints()
        self.news = SharedNews(self.throttles, self.sessions, self.hints)
        self.told: list[tuple[str, Origin]] = []
        self.news.listeners.append(lambda news, origin: self.told.append((json.dumps(news), origin)))

    def known(self) -> tuple[Any, ...]:
        """Limits without the moment, sessions and tools."""
        limits = [limit.key for limit in self.throttles.snapshot(asyncio.get_running_loop().time()) if limit.wait]
        return limits, dict(self.sessions.known()), self.hints.known()


async def test_what_one_process_learns_another_one_knows() -> None:
    """Each piece once, and nobody tells it as if it were its own."""
    one, other = Process(), Process()
    one.throttles.note(LIMIT, asyncio.get_running_loop(), 30.0)
    one.sessions.changed(b"\1\2", SESSION)
    one.sessions.changed(b"\1\3", OTHER)
    one.hints.learn("acme", "na", {"write_all": False})
    for news, origin in one.told:
        assert origin is None
        other.news.hear(json.loads(news), 3)
    assert other.known() == ([LIMIT], {b"\1\2": SESSION, b"\1\3": OTHER}, (("acme", "na", frozenset({"write_all"})),))
    assert [origin for _, origin in other.told] == [3, 3, 3, 3]
    other.news.hear({"session": "0102", "lives": None}, 3)
    assert dict(other.sessions.known()) == {b"\1\3": OTHER}


async def test_one_that_begins_hears_all_that_is_known() -> None:
    """But for pauses that are over."""
    one, late = Process(), Process()
    for news in ({"pause": list(LIMIT), "seconds": 30}, {"session": "0102", "lives": ["agent", "acme", "na"]}):
        one.news.hear(news, 1)
    one.news.hear({"tools": ["acme", "na", ["write_all"]]}, 1)
    one.throttles.pause(LIMIT._replace(family="over"), 0.0, asyncio.get_running_loop())
    for news in one.news.known():
        late.news.hear(news, 1)
    assert late.known() == one.known()
    assert len(late.told) == 3


@pytest.mark.parametrize(
    "news",
    [
        {"pause": list(LIMIT), "seconds": 5},
        {"pause": ["too", "short"], "seconds": 30},
        {"pause": list(LIMIT), "seconds": "long"},
        {"session": "0102", "lives": ["agent", "acme", "na", None]},
        {"tools": ["acme", "na", ["write_all"]]},
        {"token_pace": "https://amazon.invalid", "rate": 1, "seconds": 1},
    ],
)
async def test_of_a_fleet_only_pauses_are_taken(news: News) -> None:
    """Pauses that hold still are taken, in a form that this version knows; nothing else is passed on."""
    process = Process()
    process.news.hear(news, FLEET, 5.0)
    assert process.known() == ([], {}, ())
    assert process.told == []


def test_a_pause_that_is_over_is_none() -> None:
    """What is left of it is what holds back."""
    assert read_pause({"pause": list(LIMIT), "seconds": 30}, 10.0) == (LIMIT, 20.0)
    assert read_pause({"pause": list(LIMIT), "seconds": 30}, 30.0) is None
