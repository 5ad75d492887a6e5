"""Whether a request that was admitted before would be admitted now: asked of what waited, and of open event streams.

A key can expire, and a reload can remove a client or narrow what it may do, while a request waits for its body, its
turn, a token or a connection. Nothing of it has left then, and what forbids it is answered as at its beginning. An
event stream has no end of its own: it is ended. What is decided, and by what, is for `forwarder`.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final, Protocol

from proxy.errors import Refused
from proxy.net.deadlines import NEVER

if TYPE_CHECKING:
    from collections.abc import Callable

    from proxy.access.clients import ClientIdentity
    from proxy.forwarding.decision import RequestContext, Rules

CHECK_SECONDS: Final = 1.0
"""Between two looks at whether the client of an event stream may still have it."""


class Rights:
    """One per process. `rules` are those in force. `ask_again` raises what forbids a request by them, and gives its
    client; of the body it gets what was read, None where that is unknown. The forwarder sets both.
    """

    rules: Rules
    ask_again: Callable[[RequestContext, bytes | None], ClientIdentity]

    def check(self, context: RequestContext, body: bytes | None) -> None:
        """Raise what forbids a request that waited, if the rules are others now, its client's key has expired, or the
        time is over for which a gate let it pass."""
        if context.rules is not self.rules or time.time() >= context.decision.identity.valid_until:
            self.ask_again(context, body)
            for capability in self.rules.plugging:
                capability.permit_again(context)
        if context.look_again is not None:
            context.look_again()


class StreamOwner(Protocol):
    """Who passes an event stream on. Each method ends it."""

    def rights_ended(self, error: Refused) -> None: ...

    def defect(self, error: BaseException) -> None: ...


class StreamWatch:
    """Ends an event stream once its client may not have it any more. Implements `Timed`. It begins when it is made."""

    __slots__ = ("_body", "_context", "_owner", "_rights", "_rules", "_valid_until", "deadline")

    def __init__(self, owner: StreamOwner, rights: Rights, context: RequestContext, body: bytes | None) -> None:
        self._owner, self._rights, self._context, self._body = owner, rights, context, body
        self._rules, self._valid_until = context.rules, context.decision.identity.valid_until
        self.deadline = 0.0
        context.pool.deadlines.add(self)

    def __repr__(self) -> str:
        return f"<StreamWatch of {self._context.request.id}>"

    def expire(self, now: float) -> None:
        """Look whether its client may still have it."""
        self.deadline = now + CHECK_SECONDS
        if self._rules is self._rights.rules and time.time() < self._valid_until:
            return
        try:
            identity = self._rights.ask_again(self._context, self._body)
        except Refused as error:
            self._owner.rights_ended(error)
        except Exception as error:  # noqa: BLE001 - what is not known to be allowed ends, and other timers go on
            self._owner.defect(error)
        else:
            self._rules, self._valid_until = self._rights.rules, identity.valid_until

    def stop(self) -> None:
        """The stream is over."""
        self.deadline = NEVER  # a sweep that is under way may still look at it
        self._context.pool.deadlines.discard(self)
