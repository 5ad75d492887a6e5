"""What stops writes without an audit record: none leaves while its record could not be kept."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from proxy.errors import WriteNotRecorded

if TYPE_CHECKING:
    from collections.abc import Callable

RETRY_SECONDS: Final = 5.0
"""After which a client may send a write again that could not be recorded."""


class WriteGate:
    """One per process. `takes_writes` tells whether the record of one more write would be kept; `app` sets it.
    `unrecorded` counts writes that are over, and whose record waits until their bodies are read."""

    def __init__(self) -> None:
        self.takes_writes: Callable[[], bool] = lambda: True
        self.unrecorded = 0

    def __repr__(self) -> str:
        return f"<WriteGate {'open' if self.takes_writes() else 'closed'}>"

    def stops(self, *, is_write: bool) -> bool:
        """Whether such a request must not leave now."""
        return is_write and not self.takes_writes()

    def check(self, *, is_write: bool) -> None:
        """Raise `WriteNotRecorded` if such a request must not leave now."""
        if self.stops(is_write=is_write):
            raise WriteNotRecorded(
                "The audit stream cannot record anything now, and nothing that may change something at Amazon is sent "
                "without a record. Send the request again later.",
                retry_after=RETRY_SECONDS,
            )
