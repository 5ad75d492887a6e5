"""Events that another thread reports, such as the one that writes the audit file."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from proxy.events import Event


class ThreadMessages:
    """Events of another thread, observed on the event loop; before it runs, and after, they are lost."""

    def __init__(self, observe: Callable[[Event], None]) -> None:
        self._observe = observe
        self._loop: asyncio.AbstractEventLoop | None = None

    def __repr__(self) -> str:
        return f"<ThreadMessages {'heard' if self._loop is not None else 'not heard'}>"

    def begin(self) -> None:
        self._loop = asyncio.get_running_loop()

    def tell(self, event: Event) -> None:
        if self._loop is not None:
            with contextlib.suppress(RuntimeError):  # the loop is closed
                self._loop.call_soon_threadsafe(self._observe, event)
