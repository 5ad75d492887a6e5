"""Work on the disk for named reports, which blocks and so runs in threads. A thread cannot be stopped."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, ParamSpec, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

P = ParamSpec("P")
T = TypeVar("T")


async def finish(call: Callable[P, T], *args: P.args, **named: P.kwargs) -> T:
    """What a call returns that blocks. It has ended when this has, also if this was cancelled: who then leaves a
    report to another program writes nothing more."""
    working = asyncio.create_task(asyncio.to_thread(call, *args, **named))
    try:
        return await asyncio.shield(working)
    except asyncio.CancelledError:
        await asyncio.gather(working, return_exceptions=True)
        raise
