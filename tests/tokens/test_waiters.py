"""Those who wait for a shared outcome, on virtual time."""

from __future__ import annotations

import asyncio

from proxy.tokens.waiters import Waiters
from tests.support.tokens import virtual_time


@virtual_time
async def test_a_release_lets_all_go_and_no_one_who_comes_later() -> None:
    """Each outcome is that of those who waited for it."""
    waiters = Waiters()
    first = [asyncio.create_task(waiters.wait(60)) for _ in range(2)]
    await asyncio.sleep(1)
    assert repr(waiters) == "<Waiters: 2>"
    waiters.release()
    began = asyncio.get_running_loop().time()
    await asyncio.gather(*first)
    assert asyncio.get_running_loop().time() == began
    await waiters.wait(5)
    assert asyncio.get_running_loop().time() == began + 5
    assert waiters.count == 0
