"""What a request has of its own when it is over; what it shares with others is `events.RequestKind`. Shapes only."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from proxy.events import WriteOutcome


class RequestOutcome(Protocol):
    """What a request has of its own when it is over. Times are in seconds, sizes in bytes."""

    @property
    def request_id(self) -> str: ...
    @property
    def amazon_request_id(self) -> str:
        """Empty where Amazon named none."""
        ...

    @property
    def bytes_in(self) -> int: ...
    @property
    def bytes_out(self) -> int: ...
    @property
    def duration(self) -> float: ...
    @property
    def upstream(self) -> float: ...
    @property
    def overhead(self) -> float: ...
    @property
    def attempts(self) -> int: ...


class RequestRecord(RequestOutcome, Protocol):
    """The record of a request that ended well, at its end.

    `path` has no query; `text` is what `Journal.text` made of `path` and `user_agent`.
    """

    @property
    def path(self) -> str: ...
    @property
    def user_agent(self) -> str: ...
    @property
    def text(self) -> str: ...
    @property
    def write(self) -> WriteOutcome | None:
        """What the response to a write says, None for any other request."""
        ...


LineWriter = Callable[[RequestRecord, float], bool]
"""Writes the line of a request that was over at this moment (wall-clock time). False: it has no prepared form."""
