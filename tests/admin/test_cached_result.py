"""A result that takes a while to make is kept for a while."""

from __future__ import annotations

import asyncio
import time

import pytest

from proxy.admin.cached_result import CachedResult


@pytest.mark.parametrize(("took", "good_for"), [(0.01, 1.0), (2.0, 10.0)])
async def test_a_result_costs_little_of_the_time(monkeypatch: pytest.MonkeyPatch, took: float, good_for: float) -> None:
    """A result stays valid as long as making it takes one percent of the time, but for ten seconds at most."""
    now, made = 100.0, 0
    monkeypatch.setattr(time, "monotonic", lambda: now)

    async def make() -> int:
        nonlocal now, made
        now += took
        made += 1
        return made

    cached = CachedResult(make)
    assert repr(cached) == "<CachedResult>"
    assert await cached.get() == 1
    now += good_for - 0.01
    assert await cached.get() == 1
    now += 0.02
    assert await cached.get() == 2
    assert repr(cached) == f"<CachedResult until {now + good_for:.0f}>"


async def test_who_asks_while_it_is_made_gets_the_same() -> None:
    """The result is made once for all requests."""
    begun, go_on = asyncio.Event(), asyncio.Event()
    made = 0

    async def make() -> int:
        nonlocal made
        begun.set()
        await go_on.wait()
        made += 1
        return made

    cached = CachedResult(make)
    asking = [asyncio.ensure_future(cached.get()) for _ in range(3)]
    await begun.wait()
    go_on.set()
    assert await asyncio.gather(*asking) == [1, 1, 1]


async def test_a_failure_is_not_kept() -> None:
    """The next one asks again."""
    failures = [ValueError("no")]

    async def make() -> int:
        if failures:
            raise failures.pop()
        return 7

    cached = CachedResult(make)
    with pytest.raises(ValueError, match="no"):
        await cached.get()
    assert await cached.get() == 7
