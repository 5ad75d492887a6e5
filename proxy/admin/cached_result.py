"""A result that takes a while to make, kept for as long as making it costs little of the time."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Final, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

_GOOD_TIMES: Final = 100
_GOOD_SECONDS: Final = 10.0
"""A result is good for so many times as long as it took, and no longer than so many seconds: with an open console,
making it takes 1 % of a core."""

_Result = TypeVar("_Result")


class CachedResult(Generic[_Result]):
    """Makes one result at a time, when it is asked for and the last one is too old."""

    def __init__(self, make: Callable[[], Awaitable[_Result]]) -> None:
        self._make = make
        self._making = asyncio.Lock()
        self._last: tuple[_Result, float] | None = None
        """The result, and until when it is good."""

    def __repr__(self) -> str:
        return f"<CachedResult{'' if self._last is None else f' until {self._last[1]:.0f}'}>"

    async def get(self) -> _Result:
        """One of now, or of a moment ago."""
        async with self._making:
            if self._last is None or time.monotonic() >= self._last[1]:
                began = time.monotonic()
                result = await self._make()
                ended = time.monotonic()
                self._last = result, ended + min(_GOOD_TIMES * (ended - began), _GOOD_SECONDS)
            return self._last[0]
