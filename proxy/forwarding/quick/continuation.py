"""An exchange that goes on with a request which was sent before it was made."""

from __future__ import annotations

from typing import TYPE_CHECKING

from proxy.forwarding.attempt import Attempt
from proxy.forwarding.exchange import Exchange
from proxy.forwarding.phase import Phase

if TYPE_CHECKING:
    from proxy.forwarding.attempt import SentRequest


class Continuation(Exchange):
    """An ordinary exchange but for its beginning: `go_on` is called in place of `start`."""

    __slots__ = ()

    def go_on(self, sent: SentRequest) -> Attempt:
        """With a request that was sent whole, and of whose response nothing is known yet."""
        self._body.take_whole(sent.body)
        self._stats.sent_at, self._stats.overhead = sent.sent_at, sent.overhead
        self._replays.went(sent.sent_at)
        self._enter(Phase.SENT)
        self._attempt = Attempt.of_sent(self, sent)
        return self._attempt
