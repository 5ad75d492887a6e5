"""The account of one request: what it cost, and the one `RequestFinished` that says so. Nothing is measured here."""

from __future__ import annotations

from typing import TYPE_CHECKING

from proxy.events import RequestFinished

if TYPE_CHECKING:
    from proxy.errors import Refused
    from proxy.routing.route import Route

PLAIN_METHODS = frozenset((b"GET", b"HEAD", b"POST", b"PUT", b"PATCH", b"DELETE", b"OPTIONS"))
"""What Amazon's specifications use, and HEAD and OPTIONS."""
REFUSED_METHODS = frozenset((b"CONNECT", b"TRACE"))
_NAMES = {method: method.decode() for method in PLAIN_METHODS | REFUSED_METHODS}


class Tally:
    """Filled while a request runs. Times are in seconds, moments are of `perf_counter`; `sent_at` is 0 until sent.

    `own` is what the proxy itself spent, `bytes_in` and `bytes_out` count payload.
    """

    __slots__ = (
        "amazon_request_id",
        "attempts",
        "bytes_in",
        "bytes_out",
        "client",
        "fault",
        "method",
        "own",
        "refusal",
        "request_id",
        "sent_at",
    )

    def __init__(self, request_id: str, client: str, method: bytes) -> None:
        self.request_id = request_id
        self.client = client
        self.method = method
        self.amazon_request_id = ""
        self.attempts = 0
        self.bytes_in = 0
        self.bytes_out = 0
        self.own = 0.0
        self.sent_at = 0.0
        self.refusal: Refused | None = None
        self.fault = ""

    def finished(self, status: int, route: Route | None, path: str, began: float, now: float) -> RequestFinished:
        """The event: answered with `status` (0: not at all), having come at `began`."""
        duration = now - began
        own = min(self.own, duration)
        upstream = now - self.sent_at if self.sent_at else 0.0
        refusal = self.refusal
        return RequestFinished(
            request_id=self.request_id,
            client=self.client,
            account=route.account if route is not None else "",
            region=route.region if route is not None else "",
            method=_NAMES.get(self.method, "other"),
            path=path,
            status=status,
            amazon_request_id=self.amazon_request_id,
            bytes_in=self.bytes_in,
            bytes_out=self.bytes_out,
            duration=duration,
            upstream=max(0.0, min(upstream, duration - own)),
            overhead=own,
            attempts=self.attempts,
            refusal=refusal.slug if refusal is not None else "",
            detail=refusal.detail if refusal is not None else "",
            fault=self.fault,
        )
