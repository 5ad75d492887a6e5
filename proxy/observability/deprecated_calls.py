"""Calls of operations that Amazon announced to end: counted by client, so that their owners can replace them in time.

Which operations those are is for the table of operations; docs/reference/operations.md lists them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from proxy.events import CounterRaised, Event, RequestFinished

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable


class DeprecatedCalls:
    """An observer of requests, also of those that a journal notes; `tell` takes what is to be counted."""

    def __init__(self, operations: Iterable[str], tell: Callable[[Event], None]) -> None:
        self.operations = frozenset(operations)
        self._tell = tell

    def __repr__(self) -> str:
        return f"<DeprecatedCalls of {len(self.operations)} operations>"

    def observe(self, event: Event) -> None:
        """Count a call that was sent to Amazon."""
        if isinstance(event, RequestFinished) and event.operation in self.operations and event.attempts:
            self._tell(CounterRaised("deprecated_requests_total", (event.client, event.operation)))
