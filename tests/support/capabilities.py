"""Capabilities of a test's own: they plug in what a test gives them, and note what the core tells them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from proxy.errors import Refused
from proxy.forwarding.decision import Capability, Decision, Plugs
from proxy.forwarding.sockets import End, OwnAnswer, Reading, Rewrite, Tap, own_answer
from proxy.http1.message import Response
from proxy.strict_json import JsonBody
from tests.support.proxy_bench import ProxyBench

if TYPE_CHECKING:
    from proxy.forwarding.attempt import Attempt
    from proxy.forwarding.decision import RequestContext
    from proxy.http1.framing import Buffer

Noted = list[tuple[Any, ...]]
"""What gates and taps were told, in its order: a name, and what came with it."""


@dataclass(frozen=True, slots=True)
class Plugged(Capability):
    """Plugs the same into every decision, which `decisions` keeps."""

    gates: tuple[Callable[[RequestContext], NotingGate], ...] = ()
    taps: tuple[Callable[[RequestContext], NotingTap], ...] = ()
    at_end: bool = False
    decisions: list[Decision] = field(default_factory=list)

    def plug(self, decision: Decision) -> Plugs:
        self.decisions.append(decision)
        return Plugs(self.gates, self.taps, self.at_end)


def plug(bench: ProxyBench, *capabilities: Capability) -> None:
    """Requests from now on pass these capabilities, and no others."""
    bench.forwarder.apply(replace(bench.forwarder.rules, capabilities=capabilities))


@dataclass(slots=True)
class NotingTap(Tap):
    """Notes its calls. It asks for a copy of `copies` bytes, holds responses of status `held` for `better`, which may
    be an error, and has the account wait for `reading`."""

    noted: Noted
    name: str = "tap"
    copies: int = -1
    held: int = 0
    better: OwnAnswer | Exception | None = None
    reading: Reading | None = None

    def __call__(self, context: RequestContext) -> NotingTap:
        """This tap, as what makes one for each request."""
        return self

    def note(self, *told: Any) -> None:
        self.noted.append((self.name, *told))

    def request_data(self, pieces: list[Buffer]) -> None:
        self.note("request_data", b"".join(pieces))

    def request_ended(self) -> None:
        self.note("request_ended")

    def holds(self, response: Response) -> bool:
        self.note("holds", response.status)
        return response.status == self.held

    async def replace(self, attempt: Attempt) -> OwnAnswer | None:
        self.note("replace")
        if isinstance(self.better, Exception):
            raise self.better
        return self.better

    def began(self, response: Response) -> None:
        self.note("began", response.status)

    def wanted(self, response: Response) -> int:
        return self.copies

    def response_data(self, pieces: list[Buffer]) -> None:
        self.note("response_data", b"".join(pieces))

    def response_ended(self) -> None:
        self.note("response_ended")

    def ended(self, end: End) -> Reading | None:
        statuses = tuple(response and response.status for response in (end.response, end.cut))
        self.note("ended", *statuses, end.body, end.sent)
        return self.reading


@dataclass(slots=True)
class NotingGate:
    """Implements `Gate`: notes its calls. It raises `refusal` when it reads. If it has `go`, it waits for that: an
    answer, a refusal, or None to go on."""

    noted: Noted
    name: str = "gate"
    refusal: Exception | None = None
    go: asyncio.Future[OwnAnswer | Refused | None] | None = None
    may_pass_unread: bool = False
    tap: Tap | None = None
    rewrite: Rewrite | None = None

    def __call__(self, context: RequestContext) -> NotingGate:
        """This gate, as what makes one for each request."""
        return self

    @property
    def waits(self) -> bool:
        return self.go is not None

    def read(self, body: JsonBody) -> None:
        self.noted.append((self.name, "read", body.raw))
        if self.refusal is not None:
            raise self.refusal

    async def wait(self) -> OwnAnswer | None:
        assert self.go is not None
        self.noted.append((self.name, "wait"))
        found = await self.go
        if isinstance(found, Refused):
            raise found
        return found


BETTER = own_answer(200, b"X-Own: 1\r\n", b"better", "the test answered")
"""An answer of the proxy's own."""
