"""A request that waits for lists which may show where it goes. Nothing is decided about it meanwhile, and nothing sent.

It keeps what comes of the body, up to a limit, and hands it to the handler that serves the request after the wait.
"""

from __future__ import annotations

from time import perf_counter
from typing import TYPE_CHECKING, Protocol

from proxy.errors import Refused

if TYPE_CHECKING:
    import asyncio

    from proxy.downstream.ports import ClientPort, RequestHandler
    from proxy.http1.framing import Buffer
    from proxy.http1.message import Request


class WaitingRequestOwner(Protocol):
    """Who decides about the request after the wait. `waited` are seconds."""

    async def wait(self) -> None:
        """Return when it can be decided. Raises the `Refused` that answers it otherwise."""

    def serve(self) -> RequestHandler:
        """The handler of the request, which is decided now. Raises the `Refused` that answers it otherwise."""
        ...

    def refuse(self, error: Refused, waited: float, *, close: bool) -> bytes:
        """The bytes that answer it; its account is closed."""
        ...

    def left(self, waited: float) -> None:
        """The client left during the wait: its account is closed."""

    def failed(self, error: Exception) -> Refused:
        """Report a defect. Returns what the client is told."""
        ...


class WaitingRequest:
    """Implements `RequestHandler`. `limit` is how many bytes of a body are kept; the rest stays in the socket."""

    max_wire_bytes = 0
    rate_limited = True
    endless = False

    def __init__(self, client: ClientPort, request: Request, owner: WaitingRequestOwner, limit: int) -> None:
        self._client, self._request, self._owner = client, request, owner
        self._limit = limit
        self._body = bytearray()  # of however many pieces: each of them would take fifty bytes more
        self._trailers: bytes | None = None
        self._began = client.head_done
        self._done = False
        self._task: asyncio.Task[None] | None = None

    def __repr__(self) -> str:
        return f"<WaitingRequest {self._request.id}: {'done' if self._done else 'open'}>"

    async def _wait(self) -> None:
        owner = self._owner
        try:
            await owner.wait()
            handler = owner.serve()
        except Refused as error:
            self._refuse(error)
        except Exception as error:  # noqa: BLE001 - a defect is answered and told, whatever it is
            self._refuse(owner.failed(error))
        else:
            self._done = True
            self._client.hand_over(handler, [bytes(self._body)] if self._body else [], self._trailers)

    def _refuse(self, error: Refused) -> None:
        self._done = True
        client = self._client
        keep = not error.close and client.stays_open(self._request)
        client.send([self._owner.refuse(error, self._waited, close=not keep)])
        client.finish(keep=keep)

    @property
    def _waited(self) -> float:
        return perf_counter() - self._began

    # --- RequestHandler

    def start(self) -> None:
        self._task = self._client.loop.create_task(self._wait())

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
            self._owner.left(self._waited)

    def client_writable(self, writable: bool) -> None:
        """Nothing is sent yet."""

    def time_out(self) -> None:
        self._client.abort()
        self.client_gone()

    def _stop(self) -> bool:
        """End the wait. Returns whether the request was still open."""
        if self._task is not None:
            self._task.cancel()
        done, self._done = self._done, True
        return not done
