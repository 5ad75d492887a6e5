"""A request that waits for an identity provider's keys, which verify its JWT, or for first lists, which route it.

Nothing is decided about it meanwhile, and nothing sent. It keeps what comes of the body, up to a limit, and hands it to
the handler that serves the request after the wait.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from enum import Enum, auto
from time import perf_counter
from typing import TYPE_CHECKING, Final, Protocol

from proxy.errors import Refused, TokenNotChecked
from proxy.events import RequestKind
from proxy.forwarding.refusal import internal_error
from proxy.observability.instruments import Cell
from proxy.routing.request_kind import kind_of_route, kind_of_summary, method_name

if TYPE_CHECKING:
    from proxy.downstream.ports import ClientPort, RequestHandler
    from proxy.forwarding.decision import Rules
    from proxy.forwarding.dependencies import Dependencies
    from proxy.http1.framing import Buffer
    from proxy.http1.message import Request
    from proxy.profiles.first_lists import AwaitedId
    from proxy.routing.route import Route
    from proxy.routing.target import RequestSummary


KEYS_PATIENCE: Final = 5.0
"""Seconds that a request waits for an identity provider's keys."""
MAX_WAITING_FOR_KEYS: Final = 64
"""Requests that may do so at a time: their clients are not known yet."""


class Waited(Enum):
    """What a request has waited for before it is decided."""

    NOTHING = auto()
    KEYS = auto()
    LISTS = auto()


class UndecidedRequest:
    """What became known of a request before it was decided whether to serve it: its account if it is refused."""

    __slots__ = ("asked", "client", "request", "route", "subject")

    def __init__(
        self,
        request: Request | None,
        client: str = "",
        asked: RequestSummary | None = None,
        route: Route | None = None,
        subject: str = "",
    ) -> None:
        self.request, self.client, self.asked, self.route, self.subject = request, client, asked, route, subject

    def __repr__(self) -> str:
        return f"<UndecidedRequest: client {self.client!r}, {'routed' if self.route is not None else 'not routed'}>"

    @property
    def kind(self) -> RequestKind:
        """Its account for log and metrics: the destination, or what it asked for."""
        method = self.request.method if self.request is not None else b""
        if self.asked is None:
            return RequestKind(self.client, method=method_name(method), subject=self.subject)
        if self.route is None:
            return kind_of_summary(self.client, self.asked, self.subject)
        return kind_of_route(self.client, self.asked, self.route, self.asked.effect, self.subject)


class ListsAwaited(Exception):
    """A request may go elsewhere once first lists are read. It `has_account` if only its region may be another one."""

    def __init__(self, awaited: AwaitedId, *, has_account: bool) -> None:
        super().__init__(", ".join(awaited.accounts))
        self.awaited, self.has_account = awaited, has_account


class Decider(Protocol):
    """Who decides about the request after the wait."""

    @property
    def rules(self) -> Rules: ...

    def accept_new(self, request: Request, client: ClientPort, waited: Waited = ...) -> RequestHandler: ...

    def refuse_waited(
        self, undecided: UndecidedRequest, error: Refused, waited: float, *, close: bool, address: str
    ) -> bytes: ...


class WaitingRequest(ABC):
    """Implements `RequestHandler`. `in_flight` counts the request while it waits. Of a body, so many bytes are kept as
    `_limit` tells, and what came with the last of them; the rest stays in the socket."""

    max_wire_bytes = 0
    rate_limited = True
    endless = False
    _task: asyncio.Task[None] | None = None
    _trailers: bytes | None = None
    _done = False

    def __init__(
        self,
        decider: Decider,
        dependencies: Dependencies,
        client: ClientPort,
        undecided: UndecidedRequest,
        in_flight: Cell,
    ) -> None:
        assert undecided.request is not None
        self._decider, self._dependencies, self._client = decider, dependencies, client
        self._undecided, self._request = undecided, undecided.request
        self._limit = 0
        self._body = bytearray()  # of however many pieces: each of them would take fifty bytes more
        self._began = client.head_done
        self._in_flight = in_flight
        dependencies.accounting.hold(in_flight)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._request.id}: {'done' if self._done else 'open'}>"

    @abstractmethod
    async def _wait(self) -> Waited:
        """Wait; gives for what. Raises the `Refused` that answers the request if it waited without success."""

    async def _serve(self) -> None:
        try:
            waited = await self._wait()
            self._end()
            handler = self._decider.accept_new(self._request, self._client, waited)
        except Refused as error:
            self._refuse(error)
        except Exception as error:  # noqa: BLE001 - a defect is answered and told, whatever it is
            self._dependencies.accounting.defect("waiting request", error)
            self._refuse(internal_error())
        else:
            self._client.hand_over(handler, [bytes(self._body)] if self._body else [], self._trailers)

    def _refuse(self, error: Refused) -> None:
        self._end()
        client, waited = self._client, perf_counter() - self._began
        keep = not error.close and client.stays_open(self._request)
        undecided, address = self._undecided, client.address
        client.send([self._decider.refuse_waited(undecided, error, waited, close=not keep, address=address)])
        client.finish(keep=keep)

    def _end(self) -> None:
        """End the wait: the request does not count as waiting any more."""
        if not self._done:
            self._done = True
            self._dependencies.accounting.ended(self._in_flight)

    # --- RequestHandler

    def start(self) -> None:
        self._task = self._client.loop.create_task(self._serve())

    def request_data(self, pieces: list[Buffer]) -> None:
        for piece in pieces:
            self._body += piece
        if len(self._body) >= self._limit:
            self._client.pause_reading()

    def request_ended(self, trailers: bytes) -> None:
        self._trailers = trailers

    def request_broken(self, error: Refused) -> None:
        if self._stop():
            self._refuse(error)

    def client_gone(self) -> None:
        if self._stop():
            self._end()
            waited = perf_counter() - self._began
            self._dependencies.accounting.left(self._request, self._undecided.kind, waited)

    def client_writable(self, writable: bool) -> None:  # noqa: B027 - it is whole: there is nothing to be done
        """Nothing is sent yet."""

    def time_out(self) -> None:
        self._client.abort()
        self.client_gone()

    def _stop(self) -> bool:
        """End the wait. Returns whether the request was still open."""
        if self._task is not None:
            self._task.cancel()
        return not self._done


class RequestBeforeLists(WaitingRequest):
    """A request whose client is known, and which first lists may lead elsewhere. Of its body is kept as much as of one
    that may be sent again."""

    def __init__(
        self,
        decider: Decider,
        dependencies: Dependencies,
        client: ClientPort,
        undecided: UndecidedRequest,
        lists: ListsAwaited,
    ) -> None:
        in_flight = dependencies.accounting.client_cell(undecided.client)
        super().__init__(decider, dependencies, client, undecided, in_flight)
        self._lists, self._directory = lists, decider.rules.table.directory
        self._limit = decider.rules.replay_bytes

    async def _wait(self) -> Waited:
        """The access token comes first: without it there is no list, and no way to send the request."""
        awaited = self._lists.awaited
        if self._lists.has_account:
            await self._dependencies.tokens.get(awaited.accounts[0])
        await self._directory.wait_for_first_lists(awaited)
        return Waited.LISTS


class KeysAwaited:
    """The requests that wait for identity providers' keys: a limited number, as their clients are not known
    yet."""

    def __init__(self, decider: Decider, dependencies: Dependencies) -> None:
        self._decider, self._dependencies, self._waiting = decider, dependencies, Cell()

    def __repr__(self) -> str:
        return f"<KeysAwaited by {self._waiting.value} requests>"

    def hold(self, request: Request, client: ClientPort, unchecked: TokenNotChecked, waited: Waited) -> WaitingRequest:
        """Have a request wait until its token can be checked. Raises `unchecked` if that is not to be waited for, or
        was already."""
        if waited is not Waited.NOTHING or unchecked.reading is None or self._waiting.value >= MAX_WAITING_FOR_KEYS:
            raise unchecked
        waiting = RequestBeforeKeys(self._decider, self._dependencies, client, UndecidedRequest(request), self._waiting)
        waiting.unchecked = unchecked
        return waiting


class RequestBeforeKeys(WaitingRequest):
    """A request with a token that cannot be checked before its provider's keys are read. Of its body is kept what came
    with the head."""

    unchecked: TokenNotChecked

    async def _wait(self) -> Waited:
        assert self.unchecked.reading is not None
        try:
            await asyncio.wait_for(self.unchecked.reading.wait(), KEYS_PATIENCE)
        except TimeoutError:
            raise self.unchecked from None
        return Waited.KEYS
