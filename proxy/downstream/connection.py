"""One connection of a client: requests in order off the wire, responses back on it. Decides nothing about a request.

The rules of the wire are here: where heads and bodies end, one request at a time, timers and limits, keeping or closing
the connection. What a request means is for the `Service`, which gives a `RequestHandler` for each.

A connection has a state for each direction: a `ReadingState` for the next byte from the client, and a `WritingState`
for what the client still gets.

- A connection waits in HEAD and IDLE. When a head is whole, the service gives a handler for the request. From then on
  the connection owes a RESPONSE, and reads the request's BODY, or NOTHING where the request has none or its body is
  whole.
- In NOTHING, what the client sends is kept in `_buffer`: the requests that it sent ahead. Above a limit the transport
  reads nothing more. Heads are read in HEAD alone, so no request begins before the response to the one before.
- The handler ends its request with `respond` or `finish`. The connection is back in HEAD and IDLE, and reads what it
  kept. If the response did not wait for the rest of the body, and that is short, the rest is read first, as a
  SKIPPED_BODY: it is never taken for a request.
- NOTHING without a handler has two reasons. Several requests that came in one read are answered in one turn of the
  event loop each, so that other connections have their turn. And a client that does not take its responses may begin no
  other request: the responses would fill the memory.
- After a body that is malformed, too large or too late, nothing more of the client can be understood. Its response is
  the LAST one.
- A connection that ends is CLOSED and ENDED. It drops what still comes, for a while: to close at once would make the
  client's system throw the response away (RFC 9112, 9.6).

`deadline` is the connection's only timer, and the state says what it is for: a head, a body, a client that takes its
response, the next request, or the end.
"""

from __future__ import annotations

import asyncio
from enum import Enum
from time import perf_counter
from typing import TYPE_CHECKING, TypeVar, cast

from proxy.downstream.ports import Availability
from proxy.errors import ContentTooLarge, Draining, MalformedRequest, Refused, RequestTimeout
from proxy.http1.framing import ChunkedBody, CountedBody
from proxy.http1.message import Request, unread_request, without_empty_lines
from proxy.net.deadlines import NEVER
from proxy.net.read_control import ReadControl
from proxy.net.sockets import queued, reset
from proxy.net.turn import TURN

if TYPE_CHECKING:
    from proxy.downstream.ports import AdmittedHead, ClientPort, ConnectionLimits, RequestHandler, RequestHead, Service
    from proxy.downstream.table import ConnectionTable
    from proxy.http1.framing import Body, Buffer
    from proxy.http1.request_fields import RequestFields


_SERVING, _CLOSING = Availability.SERVING, Availability.CLOSING


# --- The states of a client's connection in its two directions, and which may follow which ---------------


class ReadingState(Enum):
    """What the next byte from the client is."""

    __hash__ = object.__hash__  # that of an Enum is written in Python, and each request is hashed several times

    HEAD = "head"
    """The byte begins or continues the head of a request. No response is owed."""
    BODY = "body"
    """The byte belongs to the body of the request that is being served."""
    SKIPPED_BODY = "skipped body"
    """The byte belongs to the body of a request that has its response: it is read and dropped (`DiscardedBody`)."""
    NOTHING = "nothing"
    """The byte is kept for later: a response is owed, or other connections have their turn first."""
    CLOSED = "closed"
    """The byte is dropped: the connection closes."""


class WritingState(Enum):
    """What the client still gets."""

    __hash__ = object.__hash__

    IDLE = "idle"
    """Nothing, until the next request."""
    RESPONSE = "response"
    """The response to the request that is being served."""
    LAST = "last"
    """A response, and no other behind it: what the client sends can no longer be understood."""
    ENDED = "ended"
    """Nothing more."""


HEAD, BODY, SKIPPED_BODY, NOTHING, CLOSED = ReadingState
IDLE, RESPONSE, LAST, ENDED = WritingState
"""For each request: to look a member up in an Enum takes longer than to compare it."""

TRANSITIONS: dict[ReadingState | WritingState, frozenset[ReadingState | WritingState]] = {
    HEAD: frozenset((BODY, SKIPPED_BODY, NOTHING, CLOSED)),
    BODY: frozenset((SKIPPED_BODY, NOTHING, CLOSED)),
    SKIPPED_BODY: frozenset((NOTHING, CLOSED)),
    NOTHING: frozenset((HEAD, CLOSED)),
    CLOSED: frozenset(),
    IDLE: frozenset((RESPONSE, LAST, ENDED)),
    RESPONSE: frozenset((IDLE, LAST, ENDED)),
    LAST: frozenset((ENDED,)),
    ENDED: frozenset(),
}

_State = TypeVar("_State", ReadingState, WritingState)


def follow(old: _State, new: _State) -> _State:
    """The new state, if it may follow the old one: anything else is a defect of the connection."""
    if new not in TRANSITIONS[old]:
        raise AssertionError(f"a connection cannot go from {old} to {new}")
    return new


# --- The connection ----------------------------------------------------------------------------------------


class ClientConnection(asyncio.Protocol):
    """One connection from a client."""

    def __init__(self, table: ConnectionTable, service: Service) -> None:
        self._table = table
        self._service = service
        self._limits = service.limits
        self.loop = table.loop
        self._transport: asyncio.Transport
        self._reads: ReadControl
        self.address, self._buffer = "", b""
        self._handler: RequestHandler | None = None
        self._body: Body | None = None
        self._body_bytes = self._wire_bytes = 0
        self._out: list[Buffer] = []
        self._upload, self._download = UploadRate(), DownloadRate()
        self._reading, self._writing = HEAD, IDLE
        self._expected = self._hides_unsent = False
        self._linger_until = 0.0
        self.deadline = NEVER
        self.head_done = 0.0
        self.writable = True

    def __repr__(self) -> str:
        phase = "serving" if self._handler is not None else "closing" if self._reading is CLOSED else "waiting"
        return f"<ClientConnection from {self.address or 'nowhere'}: {phase}>"

    # --- asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._reads = ReadControl(self._transport, self.loop)
        peer = transport.get_extra_info("peername")
        self.address = str(peer[0]) if peer else ""
        self.deadline = self.loop.time() + self._limits.header_timeout
        refusal = self._table.enter(self, self.address, self._limits)
        if refusal is not None:
            self._refuse(refusal)

    def connection_lost(self, exc: Exception | None) -> None:
        """A client that closes its side, too, has lost interest, as nginx sees it: what runs for it is cancelled."""
        self._table.leave(self, self.address)
        handler, self._handler, self._body = self._handler, None, None
        self._reads.forget()
        self._reading, self._writing = CLOSED, ENDED
        if handler is not None:
            TURN.began = perf_counter()
            handler.client_gone()

    def data_received(self, data: bytes) -> None:
        if self._reading is CLOSED:
            self.deadline = max(self.deadline, min(self.loop.time() + LINGER, self._linger_until))
            return
        if self._reading is NOTHING or (self._reading is HEAD and not self.writable):
            self._hold_back(data)
            self._wait_for_client()
            return
        try:
            if (
                self._reading is HEAD
                and not self._buffer
                and (admitted := self._service.admissions.find(data)) is not None
            ):
                self.head_done = TURN.began = perf_counter()
                self._begin(data, b"", admitted)
            else:
                self._read(data)
        except Refused as error:
            self._break(error)
        except Exception as error:  # noqa: BLE001 - a defect is answered and told, whatever it is
            self._service.defect("server", error)
            self._break(self._service.internal_error())

    def pause_writing(self) -> None:
        self.writable = False
        if self._handler is not None:
            if self._body is None or self._reads.paused:
                self._watch_sending()
            self._handler.client_writable(False)

    def resume_writing(self) -> None:
        self.writable = True
        if self._handler is not None:
            if self._body is None:
                self.deadline = NEVER
            self._handler.client_writable(True)
        elif self._reading is NOTHING:
            self.loop.call_soon(self._read_held_back)

    # --- timers

    def expire(self, now: float) -> None:
        """What the connection waited for did not come in time, unless the client takes what was sent to it."""
        self.deadline = NEVER
        if self._body is not None and not self._reads.paused:
            if (error := self._upload.check_rate(now, self._limits)) is not None:
                self._break(error)
            else:
                self.deadline = self._upload.deadline(self._limits)
            return
        seconds, least = least_taken(self._limits, self._handler)
        if self._takes(least):
            self.deadline = now + seconds
        elif self._reading is CLOSED and not self._transport.is_closing() and not self._transport.can_write_eof():
            self._transport.close()  # a client with TLS that went on sending: see `_close`
            self.deadline = now + LINGER
        elif self._reading is CLOSED or self._transport.is_closing():
            self._transport.abort()
        elif self._handler is not None:
            if not self.writable:
                self._handler.time_out()
        elif self._buffer and self.writable:
            error = RequestTimeout(
                f"The request's head was not complete within {self._limits.header_timeout:g} s.", close=True
            )
            self._refuse(error, unread_request(self._buffer, self._service.new_request_id()))
        else:  # it is idle, or its client does not take its responses
            self._close()

    def _watch_sending(self) -> None:
        """Give the client a time in which to take some of its response."""
        self._takes(0)  # what was taken before does not count
        self.deadline = self.loop.time() + least_taken(self._limits, self._handler)[0]

    def _takes(self, least: int) -> bool:
        """Whether the client has something to take, and took as many bytes since this was asked last."""
        return self._download.is_kept(self.unsent, queued(self._transport), least)

    # --- reading

    def _read(self, data: bytes) -> None:
        if self._body is not None:
            TURN.began = perf_counter()
            data = self._read_body(data)
        if data and self._reading is HEAD and self.writable:
            data = self._read_head(data)
        if data and self._reading is not CLOSED:
            self._hold_back(data)
            if self._reading is HEAD:  # other connections have their turn first
                self._reading = follow(self._reading, NOTHING)
                self.loop.call_soon(self._read_held_back)

    def _wait_for_client(self) -> None:
        """No request begins before the client has taken its answers: they would grow without limit here."""
        if self._reading is HEAD:
            self._reading = follow(self._reading, NOTHING)
            self._watch_sending()

    def _hold_back(self, data: bytes) -> None:
        """Keep what a client sent ahead of its answer; it waits its turn, and not without limit."""
        self._buffer += data
        if len(self._buffer) > self._limits.max_pipelined_bytes:
            self.pause_reading()

    def _read_head(self, data: bytes) -> bytes:
        """Start the next request if its head is whole; give what is left over."""
        begins = not self._buffer
        if not begins:
            data, self._buffer = self._buffer + data, b""
        if data.startswith(b"\r"):
            data = without_empty_lines(data)
        if not data:
            return b""
        try:
            found = self._service.reader.cut(data)
        except Refused as error:
            self._refuse(error, unread_request(data, self._service.new_request_id()))
            return b""
        if found is None:
            if begins:
                self.deadline = self.loop.time() + self._limits.header_timeout
            self._buffer = data
            return b""
        self.head_done = TURN.began = perf_counter()
        head, rest = found
        return self._begin(head, rest, self._service.admissions.find(head) if rest or not begins else None)

    def _begin(self, head: bytes, rest: bytes, admitted: AdmittedHead | None) -> bytes:
        """Serve a request whose head is complete, or refuse it; gives what of `rest` is behind its body. `admitted` is
        the same head as it was admitted before, None if it is to be read."""
        service = self._service
        request: Request | None = None
        request_id = ""
        handler: RequestHandler
        body: Body | None = None
        announced = True  # a body, as far as is known: anything may come behind a head that cannot be read
        try:
            asked: RequestHead | None = admitted
            if asked is None or service.availability is _CLOSING:
                admitted = None
                asked = request = service.reader.read(head, service.new_request_id)
            fields = asked.fields
            if request is None:
                request_id = fields.request_id or service.new_request_id()
            if fields.chunked or fields.content_length:
                self._body_bytes = self._wire_bytes = 0
                self._expected = False
                body = self._body = body_of(fields, self._limits.max_body_bytes)
            else:
                announced = False
            if request is not None:
                handler = service.accept(request, self, head, rest)
            else:
                handler = service.repeat(admitted, request_id, self, rest)
        except Refused as error:
            if admitted is not None:
                request = admitted.request(request_id)
            close = request is None or error.close or not self.stays_open(request)
            if close and announced:  # `_close` reads over what the client still sends
                self._writing = follow(self._writing, LAST)
            self._refuse(error, request or unread_request(head, service.new_request_id()), close)
            if close or body is None:
                self._body = None
                return b"" if close else rest
            handler = DiscardedBody(self)
            self._reading = follow(self._reading, SKIPPED_BODY)
        else:
            # Not checked, because each request comes here: `_read` has just tested for HEAD, and HEAD means IDLE.
            self._reading = NOTHING if body is None else BODY
            self._writing = RESPONSE
        self._handler, self.deadline = handler, NEVER
        if body is not None:
            if rest:
                rest = self._read_body(rest)
            elif not fields.expects_continue:
                self.expect_body()
        if self._handler is handler:
            handler.start()
        return rest

    def _read_body(self, data: bytes) -> bytes:
        handler, body = self._handler, self._body
        assert handler is not None and body is not None
        if self._reads.unread:  # it comes although the transport was asked to pause
            self._reads.unread += data
            return b""
        pieces, rest = body.feed(data)
        if not body.finished:
            if not self._expected:  # the client did not wait for the 100
                self.expect_body()
            self._upload.note(len(data) - len(rest), self.loop.time())
        if handler.max_wire_bytes:
            self._wire_bytes += len(data) - len(rest)
            if self._wire_bytes > handler.max_wire_bytes:
                raise ContentTooLarge(f"The body is larger than {handler.max_wire_bytes} bytes; send less.", close=True)
        if pieces:
            if self._limits.max_body_bytes:
                self._body_bytes += sum(map(len, pieces))
                check_body_size(self._body_bytes, self._limits.max_body_bytes)
            handler.request_data(pieces)
            handler = self._handler
            if handler is None or self._body is None:
                return b""
        if body.finished:
            self._body, self.deadline = None, NEVER
            self._reading = follow(self._reading, NOTHING)
            if not self.writable:
                self._watch_sending()
            handler.request_ended(body.trailers)
            return rest
        if not self._reads.paused:
            self.deadline = self._upload.deadline(self._limits)
        if rest:
            self._reads.put_off(rest, self.data_received)
        return b""

    # --- ClientPort: what a handler does with its client

    @property
    def scheme(self) -> bytes:
        return b"http" if self._transport.get_extra_info("sslcontext") is None else b"https"

    def stays_open(self, request: RequestHead) -> bool:
        fields = request.fields
        wished = not fields.close and (request.minor == 1 or (fields.keep_alive and not request.target.authority))
        serving = self._service.availability is _SERVING
        if not wished or not serving or self._writing is LAST or self._limits.keepalive_timeout <= 0:
            return False
        return self._body is None or ends_soon(self._body, expects_continue=fields.expects_continue)

    def expect_body(self) -> None:
        self._expected = True
        if self._body is not None and not self._reads.paused:
            self._upload.start(self.loop.time())
            self.deadline = self._upload.deadline(self._limits)

    def send(self, parts: list[Buffer]) -> None:
        self._out += parts

    def flush(self) -> None:
        out = self._out
        if not out:
            return
        self._out = []
        self._download.sent += sum(map(len, out))
        if len(out) == 1:
            self._transport.write(out[0])
        else:
            self._transport.writelines(out)

    def pause_reading(self) -> None:
        self._reads.pause()

    def resume_reading(self) -> None:
        if self._reads.paused and self._reads.resume() and self._expected:  # not while the client waits for the 100
            self.expect_body()

    def respond(self, data: bytes) -> None:
        self._handler = None
        self._download.sent += len(data)
        self._transport.write(data)
        if self._reads.paused or self._buffer or self._reading is not NOTHING or self._writing is not RESPONSE:
            self.finish(keep=True)
        else:
            # Not checked, because each request comes here: these may follow the states that were just tested for.
            self._reading, self._writing = HEAD, IDLE
            self._limits = self._service.limits
            self.deadline = self.loop.time() + self._limits.keepalive_timeout

    def finish(self, *, keep: bool) -> None:
        self.flush()
        self._handler = None
        if not keep or self._writing is LAST or self._service.availability is _CLOSING:
            self._close()
            self._hides_unsent = self._transport.is_closing()
            if self.unsent:
                self._watch_sending()
            return
        if self._writing is not IDLE:  # it is IDLE already behind the rest of a body
            self._writing = follow(self._writing, IDLE)
        if self._body is not None:
            self._reading = follow(self._reading, SKIPPED_BODY)
            self._handler = DiscardedBody(self)
            self.resume_reading()
            self.expect_body()
            return
        self._reading = follow(self._reading, HEAD)
        limits = self._limits = self._service.limits
        if not self._buffer:
            self.deadline = self.loop.time() + limits.keepalive_timeout
            self.resume_reading()
        else:  # nothing more is read before that: each response would let a whole read come on top of it
            self.deadline = self.loop.time() + limits.header_timeout
            self.loop.call_soon(self._read_held_back)

    def hand_over(self, handler: RequestHandler, pieces: list[Buffer], trailers: bytes | None) -> None:
        self._handler = handler
        if len(self._buffer) <= self._limits.max_pipelined_bytes:  # else a whole read would come on top of it each time
            self.resume_reading()
        try:
            if pieces:
                handler.request_data(pieces)
            if trailers is not None and self._handler is handler:
                handler.request_ended(trailers)
            if self._handler is handler:
                handler.start()
        except Exception as error:  # noqa: BLE001 - a defect is answered and told, whatever it is
            self._service.defect("server", error)
            self._break(self._service.internal_error())
        self.flush()

    def detach(self, protocol: asyncio.BaseProtocol) -> asyncio.Transport:
        if self._buffer or self._reads.unread:
            raise MalformedRequest(
                "The client sent bytes before the tunnel was open; wait for the 200 to CONNECT.", close=True
            )
        self._handler = None
        self._reading, self._writing, self.deadline = CLOSED, ENDED, NEVER
        self._table.leave(self, self.address)
        self._transport.pause_reading()
        self._transport.set_protocol(protocol)
        return self._transport

    def abort(self, *, loudly: bool = False) -> None:
        self._handler = self._body = None
        self._reading, self._writing = CLOSED, ENDED
        if loudly:
            reset(self._transport)
        else:
            self.flush()
            self._transport.close()
            self.deadline = self.loop.time() + LINGER

    def drop(self) -> None:
        self._transport.abort()

    @property
    def busy(self) -> bool:
        return self._handler is not None

    @property
    def unsent(self) -> int:
        """Bytes that the client has not taken yet. TLS that ends behind a response hides how many: 1 until its end."""
        return self._transport.get_write_buffer_size() or self._hides_unsent

    def close_if_idle(self) -> None:
        if self._reading is HEAD and not self._buffer:
            self._close()

    def retire(self) -> None:
        if self._reading is CLOSED or self._transport.is_closing():
            return
        if self._handler is None or self._writing is IDLE:  # IDLE: what is left of a body is read over
            self._handler = None
            self._close()
        elif self._writing is RESPONSE:
            self._writing = follow(self._writing, LAST)

    def wind_down(self) -> None:
        if self._handler is not None and self._handler.endless:
            self.end()

    def end(self) -> None:
        """The program ends."""
        if self._handler is not None:
            TURN.began = perf_counter()
            self._break(
                Draining(
                    "The proxy stopped before Amazon answered; check a write before you send it again.",
                    retry_after=1,
                    close=True,
                )
            )
        elif not self._transport.is_closing():  # closed twice, TLS of asyncio's own loop forgets what is unsent
            self._transport.close()

    # --- ends

    def _read_held_back(self) -> None:
        if self._reading is NOTHING and self._handler is None:
            self._reading = follow(self._reading, HEAD)
        if self._buffer and not self.writable:
            self._wait_for_client()
        elif self._reading is HEAD and self._buffer:
            data, self._buffer = self._buffer, b""
            self.resume_reading()  # it is paused only for what was held back; the next request may pause it again
            self.data_received(data)

    def _break(self, error: Refused) -> None:
        """What comes from the client can no longer be understood."""
        if self._writing is ENDED:  # it has had its response, or must not get one
            return
        self._body = None
        if self._writing is not LAST:
            self._writing = follow(self._writing, LAST)
        if self._handler is None:
            self._refuse(error)
            return
        if self._reading is not NOTHING:
            self._reading = follow(self._reading, NOTHING)
        self._handler.request_broken(error)

    def _refuse(self, error: Refused, request: Request | None = None, close: bool = True) -> None:
        self._out.append(self._service.refuse(error, request, close=close, address=self.address))
        self.flush()
        if close:
            self._close()
        else:
            self.deadline = self.loop.time() + self._limits.keepalive_timeout

    def _close(self) -> None:
        """Say that no more is sent, and read over what may still come until the client closes, too (RFC 9112, 9.6).

        The TLS of the event loop cannot end one direction: a client that still sends is told only once it sends no
        more.
        """
        still_sends = self._writing is LAST or self._reading in (BODY, SKIPPED_BODY)
        self._body, self._buffer = None, b""
        self._reading, self._writing = CLOSED, ENDED
        now = self.loop.time()
        self.deadline, self._linger_until = now + LINGER, now + MAX_LINGER
        self._table.note_ending(self)
        if self._transport.is_closing():
            return
        if self._transport.can_write_eof():
            self.resume_reading()
            try:
                self._transport.write_eof()
            except OSError:  # asyncio's own loop raises it if the client has reset the connection
                self._transport.abort()
        elif still_sends:
            self.resume_reading()
        else:
            self._transport.close()


# --- Which body follows a request's head, and how large it may be ----------------------------------------


def body_of(fields: RequestFields, max_bytes: int) -> Body:
    """The body to be read behind a head that announces one; 0 is no limit. Raises `ContentTooLarge`."""
    if fields.chunked:
        return ChunkedBody(lambda why: MalformedRequest(f"The body is chunked, but {why}.", close=True), thrifty=True)
    assert fields.content_length is not None
    check_body_size(fields.content_length, max_bytes)
    return CountedBody(fields.content_length)


def check_body_size(size: int, max_bytes: int) -> None:
    if max_bytes and size > max_bytes:
        raise ContentTooLarge(
            f"The body is larger than {max_bytes} bytes (limits.max_body_bytes); send less.", close=True
        )


# --- How fast a body must come and a response be taken, so that a slow client does not hold a connection -------

PERIOD = 10.0
"""Seconds over which a rate is averaged."""
LINGER = 2.0
"""Seconds that a closing connection goes on reading, so that its last answer is not torn away (RFC 9112, 9.6);
as many again with each read, for a client that still sends a body."""
MAX_LINGER = 30.0
"""Seconds of it in all."""


class UploadRate:
    """What comes of a body. `start` whenever more is expected that was not before."""

    __slots__ = ("_received", "_silent_since", "_since")

    def __init__(self) -> None:
        self._since = self._silent_since = 0.0
        self._received = 0

    def start(self, now: float) -> None:
        self._since = self._silent_since = now
        self._received = 0

    def note(self, size: int, now: float) -> None:
        """So many bytes came."""
        self._received += size
        self._silent_since = now

    def deadline(self, limits: ConnectionLimits) -> float:
        """When to look again."""
        silent = self._silent_since + limits.body_timeout
        return min(silent, self._since + PERIOD) if limits.min_body_rate else silent

    def check_rate(self, now: float, limits: ConnectionLimits) -> RequestTimeout | None:
        """At the deadline: what to tell a client that sends nothing, or too little; a period that is over begins
        again."""
        if now >= self._silent_since + limits.body_timeout:
            return RequestTimeout(
                f"No byte of the body came for {limits.body_timeout:g} s; send it without such pauses.", close=True
            )
        if limits.min_body_rate and now >= self._since + PERIOD:
            if self._received < limits.min_body_rate * PERIOD:
                return RequestTimeout(
                    f"Under {limits.min_body_rate} bytes of the body came in a second (limits.min_body_rate, averaged "
                    f"over {PERIOD:g} s); send it faster.",
                    close=True,
                )
            self._since, self._received = now, 0
        return None


class DownloadRate:
    """What a client takes of what was sent. `sent` counts all bytes given to the transport."""

    __slots__ = ("_taken", "sent")

    def __init__(self) -> None:
        self.sent = 0
        self._taken = 0

    def is_kept(self, unsent: int, queued: int, least: int) -> bool:
        """Whether there is something to take and at least so many bytes were taken since this was asked last.

        What the system has `queued` is not taken: it gives the transport room only for a third of its queue at once,
        which may be a megabyte.
        """
        before, self._taken = self._taken, self.sent - unsent - queued
        return unsent > 0 and self._taken - before >= least


def least_taken(limits: ConnectionLimits, handler: RequestHandler | None) -> tuple[float, int]:
    """(seconds, bytes): how many bytes a client that is slower than Amazon must take in how long a time."""
    if handler is None or not handler.rate_limited or not limits.min_body_rate:
        return limits.send_timeout, 1
    period = min(PERIOD, limits.send_timeout)
    return period, max(1, int(limits.min_body_rate * period))


# --- What is left of a request's body behind an answer that did not wait for it --------------------------

MAX_REMAINDER = 65536
"""Bytes that are read over. The limits on a body's pace hold for them, too."""


def ends_soon(body: Body, *, expects_continue: bool) -> bool:
    """Whether what is left of a body can be read over: not an unknown rest, nor one that may never come.

    Who waits for a 100 may leave the body out once there is an answer (RFC 9110, 10.1.1).
    """
    return isinstance(body, CountedBody) and body.remaining <= MAX_REMAINDER and not expects_continue


class DiscardedBody:
    """Reads it over. Implements `RequestHandler` for a request that has its answer."""

    max_wire_bytes = 0
    rate_limited = True
    endless = False

    def __init__(self, client: ClientPort) -> None:
        self._client = client

    def __repr__(self) -> str:
        return "<DiscardedBody>"

    def start(self) -> None:
        """There is nothing to begin."""

    def request_data(self, pieces: list[Buffer]) -> None:
        """The rest of the body is not wanted."""

    def request_ended(self, trailers: bytes) -> None:
        self._client.finish(keep=True)

    def request_broken(self, error: Refused) -> None:
        """A second answer would be taken for that to the next request."""
        self._client.finish(keep=False)

    def client_gone(self) -> None:
        """Its account is closed already."""

    def client_writable(self, writable: bool) -> None:
        """What is on its way is in the connection's hands."""

    def time_out(self) -> None:
        self._client.abort()
