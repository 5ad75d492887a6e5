"""Turns before a limit of Amazon's, on virtual time: a limiter that refuses, greedy tools, and a modest one."""

from __future__ import annotations

import asyncio
import math
from collections import Counter
from dataclasses import dataclass, field

import pytest

from proxy.errors import Throttled
from proxy.forwarding.line import Line
from proxy.forwarding.pace import QUICK, Pace, first_refusal
from tests.support.tokens import virtual_time


@dataclass
class Limiter:
    """Amazon's: `rate` a second, `burst` at once; a refusal says how long to wait if `tells`."""

    rate: float
    burst: float
    tells: bool = True
    granted: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)
    left: float = 0.0
    at: float = 0.0

    def ask(self, tool: str) -> float | None:
        """None for an answer; else Retry-After, or infinity for a refusal that does not say."""
        now = asyncio.get_running_loop().time()
        self.left = min(self.burst, self.left + (now - self.at) * self.rate)
        self.at = now
        if self.left >= 1:
            self.left -= 1
            self.granted[tool] += 1
            return None
        self.refused[tool] += 1
        return max(1.0, math.ceil((1 - self.left) / self.rate)) if self.tells else math.inf


class Rig:
    """Tools that ask the limiter through a line, as exchanges do."""

    def __init__(self, limiter: Limiter) -> None:
        self.limiter = limiter
        self.loop = asyncio.get_running_loop()
        self.line: Line | None = None
        self.asked: Counter[str] = Counter()
        self.served: Counter[str] = Counter()

    async def request(self, tool: str, patience: float) -> bool:
        """One request: whether it was served. It takes ten milliseconds at Amazon."""
        left_at = -math.inf
        if self.line is not None:
            try:
                if not self.line.leave(tool, patience):
                    await self.line.turn(tool, patience)
            except Throttled:
                return False
            left_at = self.loop.time()
        said = self.limiter.ask(tool)
        await asyncio.sleep(0.01)
        if said is None:
            if self.line is not None:
                self.line.passed()
            self.served[tool] += 1
            return True
        retry_after = None if said == math.inf else said
        if self.line is None:
            self.line = Line(self.loop, QUICK, first_refusal(QUICK, self.loop.time(), retry_after))
        else:
            self.line.refused(retry_after, left_at)
        return False

    async def greedy(self, tool: str, patience: float) -> None:
        while True:
            if not await self.request(tool, patience):
                await asyncio.sleep(0.02)

    async def modest(self, tool: str, patience: float, interval: float) -> None:
        while True:
            self.asked[tool] += 1
            await self.request(tool, patience)
            await asyncio.sleep(interval)

    async def run(self, greedy: int, patience: float, seconds: float, interval: float) -> None:
        tasks = [asyncio.create_task(self.greedy(f"greedy-{n}", patience)) for n in range(greedy)]
        tasks.append(asyncio.create_task(self.modest("modest", patience, interval)))
        await asyncio.sleep(seconds)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def polite(limiter: Limiter, seconds: float) -> int:
    """What one tool gets that waits as it is told."""
    loop = asyncio.get_running_loop()
    end = loop.time() + seconds
    while loop.time() < end:
        said = limiter.ask("polite")
        await asyncio.sleep(0.01 if said is None else min(said, 1.0))
    return limiter.granted["polite"]


@pytest.mark.parametrize("patience", [0.0, 20.0])
@pytest.mark.parametrize(("greedy", "rate"), [(8, 10.0), pytest.param(40, 50.0, marks=pytest.mark.no_cover)])
@pytest.mark.parametrize("tells", [True, False])
def test_throttling_is_fair(greedy: int, rate: float, patience: float, tells: bool) -> None:
    """Hardly less work is done than one polite tool gets, hardly anything is asked in vain, and all get their share."""

    @virtual_time
    async def scenario() -> None:
        start = asyncio.get_running_loop().time()
        best = await polite(Limiter(rate, rate, tells, at=start, left=rate), 60)
        rig = Rig(Limiter(rate, rate, tells, at=asyncio.get_running_loop().time(), left=rate))
        await rig.run(greedy, patience, 60, 1.0)
        good, vain = rig.limiter.granted.total(), rig.limiter.refused.total()
        shares = [rig.served[f"greedy-{n}"] for n in range(greedy)]
        assert good >= 0.95 * best
        assert vain <= 2 * good
        assert min(shares) >= 0.7 * max(shares)
        assert rig.served["modest"] >= 0.8 * rig.asked["modest"]

    scenario()


def line(pace: Pace) -> Line:
    """A line before a limit of this pace."""
    return Line(asyncio.get_running_loop(), QUICK, pace)


def paced(rate: float, level: float = 1.0) -> Pace:
    """So many a second, and so many at once now."""
    now = asyncio.get_running_loop().time()
    return Pace(rate, rate, level, now, paused_until=now, refused_at=now)


@virtual_time
async def test_after_a_pause_they_leave_one_after_the_other_in_turns() -> None:
    """Not all at once: at the pace that was learned, each client in its turn, whoever has more to ask."""
    loop = asyncio.get_running_loop()
    before = line(first_refusal(QUICK, loop.time(), 10.0))
    began, left = loop.time(), []

    async def ask(client: str) -> None:
        assert not before.leave(client, 60.0)
        await before.turn(client, 60.0)
        left.append((client, round(loop.time() - began, 2)))

    await asyncio.gather(*(ask(client) for client in ("a", "a", "a", "a", "b", "b")))
    assert [client for client, _ in left] == ["a", "b", "a", "b", "a", "a"]
    assert [moment for _, moment in left] == [10.0, 10.1, 10.2, 10.3, 10.4, 10.5]
    assert repr(before) == "<Line: 10.00/s, 0 waiting, 0 turns kept>"


@virtual_time
async def test_who_may_not_wait_long_enough_is_told_for_how_long() -> None:
    """The pause, and those who wait already."""
    loop = asyncio.get_running_loop()
    before = line(first_refusal(QUICK, loop.time(), 10.0))
    with pytest.raises(Throttled) as refusal:
        before.leave("a", 0.0)
    assert refusal.value.retry_after == pytest.approx(10.0)
    waiting = [asyncio.create_task(before.turn("b", 60.0)) for _ in range(3)]
    await asyncio.sleep(0)
    with pytest.raises(Throttled) as refusal:
        before.leave("b", 5.0)
    assert refusal.value.retry_after == pytest.approx(10.0 + 3 / 10)
    assert not before.leave("a", 20.0)
    before.release()
    await asyncio.gather(*waiting)


@virtual_time
async def test_who_waited_in_vain_is_told_too() -> None:
    """A pause that became longer meanwhile is not waited out beyond what was allowed."""
    loop = asyncio.get_running_loop()
    before = line(first_refusal(QUICK, loop.time(), 1.0))
    began = loop.time()
    turn = asyncio.create_task(before.turn("a", 2.0))
    await asyncio.sleep(0)
    before.refused(100.0, -math.inf)
    with pytest.raises(Throttled) as refusal:
        await turn
    assert loop.time() - began == pytest.approx(2.0)
    assert refusal.value.retry_after == pytest.approx(98.0)
    assert "0 waiting, 0 turns kept" in repr(before)


@virtual_time
async def test_a_kept_turn_is_over_after_a_while() -> None:
    """Who was told to come back and does not, holds nobody up."""
    before = line(paced(1.0))
    assert before.leave("a", 0.0)
    await asyncio.sleep(0.1)
    for client in ("b", "c", "d"):
        with pytest.raises(Throttled):
            before.leave(client, 0.0)
    assert "3 turns kept" in repr(before)
    await asyncio.sleep(10.0)
    assert before.leave("a", 0.0)
    assert "0 turns kept" in repr(before)


@virtual_time
async def test_who_leaves_while_waiting_takes_no_turn() -> None:
    """The next one has it."""
    loop = asyncio.get_running_loop()
    before = line(first_refusal(QUICK, loop.time(), 10.0))
    began = loop.time()
    gone, stays = (asyncio.create_task(before.turn(client, 60.0)) for client in "ab")
    await asyncio.sleep(1)
    gone.cancel()
    await stays
    assert loop.time() - began == pytest.approx(10.0)
