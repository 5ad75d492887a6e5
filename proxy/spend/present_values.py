"""What an approved write changes: the values that it sets, and those that the objects have now."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple, Protocol

if TYPE_CHECKING:
    from proxy.events import ValueChange
    from proxy.forwarding.decision import RequestContext

READ_SECONDS: Final = 5.0
"""All reads for one write take no longer."""


class WrittenBody(NamedTuple):
    """What a write sets. `operation` is its name in the table of money fields, `POST /sp/campaigns` or `MCP tool`;
    `content` is its decoded JSON with exact numbers, the arguments of a tool."""

    operation: str
    content: Any


class PresentValues(Protocol):
    """Reads the objects of a write as they are now."""

    async def changes(self, context: RequestContext, written: tuple[WrittenBody, ...]) -> tuple[ValueChange, ...]:
        """Each member that the write sets, with its present value where one read tells it. Never raises, and takes at
        most `READ_SECONDS`."""


class UnknownPresentValues:
    """Implements `PresentValues` where nothing can be read."""

    async def changes(self, context: RequestContext, written: tuple[WrittenBody, ...]) -> tuple[ValueChange, ...]:
        return ()
