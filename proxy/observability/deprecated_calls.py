"""Calls of operations that Amazon announced to end: counted by client, so that their owners can replace them in time.

Which requests those are is for the table of ends; docs/reference/operations.md lists them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from proxy.events import CounterRaised, Event, RequestFinished

if TYPE_CHECKING:
    from collections.abc import Callable


class DeprecatedCalls:
    """An observer of requests, also of those that a journal notes; `tell` takes what is to be counted."""

    def __init__(self, tell: Callable[[Event], None]) -> None:
        self._tell = tell

    def observe(self, event: Event) -> None:
        """Count a call that was sent to Amazon."""
        if isinstance(event, RequestFinished) and event.ends and event.attempts:
            self._tell(CounterRaised("deprecated_requests_total", (event.client, event.operation)))
