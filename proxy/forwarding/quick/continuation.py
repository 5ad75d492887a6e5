"""An exchange that goes on with a request which was sent before it was made."""

from __future__ import annotations

from time import perf_counter
from typing import TYPE_CHECKING

from proxy.forwarding.attempt import Attempt
from proxy.forwarding.exchange import Exchange
from proxy.forwarding.phase import Phase, follow

if TYPE_CHECKING:
    from proxy.errors import Refused
    from proxy.forwarding.attempt import SentRequest
    from proxy.http1.message import Response


class Continuation(Exchange):
    """An ordinary exchange but for its beginning: `go_on` is called in place of `start`."""

    __slots__ = ()

    def go_on(self, sent: SentRequest) -> Attempt:
        """With a request that was sent whole, and of whose response nothing is known yet."""
        self._body.take_whole(sent.body)
        self._stats.sent_at, self._stats.overhead = sent.sent_at, sent.overhead
        self._replays.went(sent.sent_at)
        self.phase = follow(self.phase, Phase.SENT)
        self._attempt = Attempt.of_sent(self, sent)
        return self._attempt

    def take_unsent(self, body: bytes) -> None:
        """Of a request that is here whole, and not sent: it goes on with `begin_late` or `stay_waiting`."""
        self._body.take_unsent(body)
        self.phase = follow(self.phase, Phase.RECEIVING)

    def begin_late(self) -> None:
        """As `start`, long after the request came."""
        self._begin(perf_counter())

    def stay_waiting(self) -> None:
        """It waits for a connection, with nobody who waits for it."""
        self.phase = follow(self.phase, Phase.WAITING)

    def wait_failed(self, error: Refused) -> None:
        """There was none."""
        self._entered = perf_counter()
        self._try_failed(error)

    def go_on_relaying(self, sent: SentRequest, response: Response, bytes_out: int) -> Attempt:
        """As `go_on`, with a response of which the head, and so much of its body, has gone to the tool."""
        attempt = self.go_on(sent)
        attempt.take_up(response)
        self._stats.upstream_status, self._stats.amazon_request_id = response.status, response.fields.request_id
        self.phase = follow(self.phase, Phase.RELAYING)
        self._body.forget()
        self._relay.take_up(response, bytes_out)
        return attempt
