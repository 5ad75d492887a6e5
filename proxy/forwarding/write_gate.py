"""What stops writes: one without an audit record, and one that is frozen. Neither leaves, also after a wait."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from proxy.errors import Refused, WriteNotRecorded

if TYPE_CHECKING:
    from collections.abc import Callable

    from proxy.forwarding.decision import RequestContext

RETRY_SECONDS: Final = 5.0
"""After which a client may send a write again that could not be recorded."""


class WriteGate:
    """One per process. `takes_writes` tells whether the record of one more write would be kept, `frozen` gives the
    refusal of a client's writes, None if they may leave. `begins` puts a write on record, if it must be before it
    leaves, and tells whether that was possible; `app` sets all three. `unrecorded` counts writes that are over, and
    whose record waits until their bodies are read."""

    def __init__(self) -> None:
        self.takes_writes: Callable[[], bool] = lambda: True
        self.frozen: Callable[[str], Refused | None] = lambda client: None
        self.begins: Callable[[RequestContext], bool] | None = None
        self.unrecorded = 0

    def __repr__(self) -> str:
        return f"<WriteGate {'open' if self.takes_writes() else 'closed'}>"

    def stops(self, context: RequestContext) -> bool:
        """Whether the request must not leave now."""
        return context.is_write and self._refusal(context) is not None

    def check(self, context: RequestContext) -> None:
        """Raise the `Refused` that forbids the request to leave now, if anything does."""
        if context.is_write and (refusal := self._refusal(context)) is not None:
            raise refusal

    def begin(self, context: RequestContext) -> None:
        """Put a write on record that leaves now. Raises the `Refused` if that is not possible."""
        if self.begins is not None and not self.begins(context):
            raise _not_recorded()

    def _refusal(self, context: RequestContext) -> Refused | None:
        """What forbids a write."""
        frozen = self.frozen(context.client)
        if frozen is not None:
            return frozen
        return None if self.takes_writes() else _not_recorded()


def _not_recorded() -> WriteNotRecorded:
    return WriteNotRecorded(
        "The audit stream cannot record anything now, and nothing that may change something at Amazon is sent "
        "without a record. Send the request again later.",
        retry_after=RETRY_SECONDS,
    )
