"""A connection to Amazon: one response at a time, given to its `ResponseSink` as it comes.

The only code that talks to the Ads API on behalf of clients. Whether to send again is not decided here.

A connection without an exchange has no sink. `send` begins an exchange: it sets the sink, and a deadline for the head
of the response. The head sets the body and the deadline for its next bytes. The exchange ends with the body, or with an
error: a cut connection, a silent or a malformed peer. Then the sink is gone, and hears nothing more. What comes without
a sink closes the connection.

Most responses come whole with one read. `send_whole` asks for them in one step: `_tell_whole` gives such a response to
its sink at once. Any other response takes the steps above.

A connection is used again only if its last exchange ended exactly as it should: the whole request was sent before the
response began, the whole response was read, nothing came behind it, and no side asked to close. It is not used again
after a response that has no body whatever its fields say: what a server sends behind one by mistake would be read as
the response to the next request. A connection that will not be used again is `failed`, one that has ended is `lost`.

What takes much time for few bytes is read in shares (`net/read_control.py`). If the connection ends meanwhile, the end
counts once the rest is read.
"""

from __future__ import annotations

import asyncio
from time import perf_counter
from typing import TYPE_CHECKING, Protocol, cast

from proxy.clock import boot_time
from proxy.errors import Refused, UpstreamClosed, UpstreamMalformed, UpstreamTimeout
from proxy.http1.framing import Body, Buffer, ChunkedBody, CountedBody, UntilClose, has_no_body, whole_chunked
from proxy.http1.message import read_response
from proxy.http1.response_fields import passing_response_trailers
from proxy.http1.response_forms import ResponseReader
from proxy.net.deadlines import NEVER
from proxy.net.read_control import ReadControl
from proxy.net.sockets import SocketWriter
from proxy.net.tls import TlsTransport
from proxy.net.turn import TURN
from proxy.value_classes import dataclass

if TYPE_CHECKING:
    from collections.abc import Callable

    from proxy.http1.message import Response
    from proxy.http1.response_fields import ResponseFields
    from proxy.http1.response_forms import Recalled


MAX_AGE = 600.0
"""Seconds after which a connection is not used again, so that changed addresses are followed."""
MAX_IDLE = 50.0
"""Seconds that an unused connection is kept; Amazon's load balancers close theirs after 60."""
_MAX_HEAD = 131072
_COPIED = 8192
"""Bytes of a body that are cut out of a read: to make a view of them costs more than to copy them."""
_MAX_INTERIM = 32
_REQUEST_UNREAD = (408, 413)
"""Statuses of a request that was not read to its end: such a peer ends the connection, announced or not."""
EVENT_BYTES_AT_ONCE = 16384
"""The most bytes of an event stream for one turn of the event loop: each event may be looked into."""
REQUEST_IDS = (b"x-amz-rid", b"x-amz-request-id", b"x-amzn-requestid")
"""Where Amazon names a request: the first as a rule, else one of its elder siblings (docs/development/amazon.md,
Request ids)."""
RESPONSES = ResponseReader(REQUEST_IDS, frozenset(_REQUEST_UNREAD))


class ConnectionOwner(Protocol):
    """A connection's pool, as the connection sees it."""

    @property
    def name(self) -> str:
        """`HOST:PORT`."""
        ...

    @property
    def loop(self) -> asyncio.AbstractEventLoop: ...

    def opened(self, connection: UpstreamConnection) -> None: ...

    def release(self, connection: UpstreamConnection) -> None:
        """Its exchange ended well: it may be used again."""

    def lost(self, connection: UpstreamConnection) -> None: ...

    @property
    def answered(self) -> Callable[[float], None]:
        """Is told how long after its request an answer began, in seconds."""
        ...


class UpstreamConnection(asyncio.Protocol):
    """One connection to one host. `family` is that of the operation it serves, None while its pool has it."""

    def __init__(self, pool: ConnectionOwner) -> None:
        self._pool = pool
        self.loop = pool.loop
        self._transport: asyncio.Transport
        self._writer: RequestWriter
        self._reads: ReadControl
        self._sink: ResponseSink | None = None
        self._whole_sink: WholeResponseSink | None = None
        self._head = b""
        self._body: Body | None = None
        self._interims = 0
        self._to_head = self._close = self._at_eof = False
        self._is_early = False
        """The head that is being read began before the whole request was sent."""
        self._share = 0
        """Bytes of this response's body that one turn of the event loop reads; 0 for any number."""
        self._idle_timeout = self._response_timeout = self._sent_at = 0.0
        self.failed = False
        """The connection was closed or abandoned, or has ended: it is not used again."""
        self.lost = False
        """The connection has ended: nothing that is sent now leaves."""
        self.served = 0
        self.born = self.rested = 0.0
        self.deadline = NEVER
        self.writable = True
        self.family: str | None = None

    # --- sending

    def send(self, sink: ResponseSink, data: list[Buffer], *, to_head: bool, timeouts: Timeouts) -> None:
        """Begin an exchange: `data` is the head and whatever of the body is there already."""
        self._sink, self._to_head = sink, to_head
        self._interims, self._sent_at = 0, self.loop.time()
        self._idle_timeout, self._response_timeout = timeouts.idle, timeouts.response
        if self.lost:
            self.loop.call_soon(self._die)
        else:
            self.deadline = self._sent_at + self._response_timeout
            self._writer.begin(data)

    def send_whole(self, sink: WholeResponseSink, data: bytes, timeouts: Timeouts) -> None:
        """Send a whole request: `send` and `request_sent` together. A response that comes whole with one read is told
        in one step; before anything else is told, the sink gives another one, to which it is told bit by bit."""
        self._whole_sink = sink
        self._to_head, self._interims = False, 0
        self._sent_at = now = self.loop.time()
        self._idle_timeout, self._response_timeout = timeouts.idle, timeouts.response
        self.deadline = now + timeouts.response
        self._transport.write(data)  # the last request has left whole, else the connection would not be used again

    def tell(self, sink: ResponseSink) -> None:
        """Tell what comes of the exchange under way bit by bit, to this sink."""
        self._sink, self._whole_sink = sink, None

    def send_body(self, data: list[Buffer]) -> None:
        if self._body is None:
            self.deadline = self.loop.time() + self._response_timeout
        self._writer.more(data, reading=not self._reads.paused)

    def request_sent(self) -> None:
        """The whole request has been written."""
        self._writer.end()

    def abandon(self) -> None:
        """Forget the exchange; its connection is of no more use."""
        self._sink = self._whole_sink = None
        self.close()

    def pause(self) -> None:
        """Stop reading: the receiver of the answer cannot take more of it now."""
        self.deadline = NEVER
        self._reads.pause()

    def resume(self) -> None:
        self.deadline = self.loop.time() + self._idle_timeout
        if self._reads.paused:
            self._reads.resume()

    @property
    def usable(self) -> bool:
        """The connection looks good, and is not too old, by the clock that runs while the machine is suspended."""
        now = boot_time()
        young = now - self.born < MAX_AGE and now - self.rested < MAX_IDLE
        return young and not self.failed and not self._transport.is_closing()

    def was_used_within(self, seconds: float) -> bool:
        """Usable, and used so shortly ago."""
        now = boot_time()
        if self.failed or now - self.rested >= seconds or now - self.born >= MAX_AGE:
            return False
        return not self._transport.is_closing()

    @property
    def rest(self) -> float:
        """Seconds since it was made, or served."""
        return boot_time() - self.rested

    def close(self) -> None:
        """End it now. A waiting sink gets an error."""
        self.failed = True
        self._reads.forget()
        self._transport.abort()

    @property
    def head_began(self) -> bool:
        """Some of a response's head is here, and not the whole."""
        return bool(self._head)

    @property
    def transport(self) -> asyncio.Transport:
        return self._transport

    def __repr__(self) -> str:
        phase = (
            "lost" if self.lost else "closing" if self.failed else "busy" if self._sink or self._whole_sink else "idle"
        )
        return f"<UpstreamConnection to {self._pool.name}: {phase}, served {self.served}>"

    # --- asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._writer = RequestWriter(self._transport, self.loop)
        self._reads = ReadControl(self._transport, self.loop)
        self.born = self.rested = boot_time()
        self._pool.opened(self)

    def data_received(self, data: bytes) -> None:
        if (whole_sink := self._whole_sink) is not None:
            TURN.began = perf_counter()
            try:
                if self._tell_whole(whole_sink, data):
                    return
            except Exception as error:  # noqa: BLE001 - as below
                if self._whole_sink is None or self._whole_sink is whole_sink:  # else it serves the next request
                    self._whole_sink = None
                    self.close()
                whole_sink.defect(error)
                return
            whole_sink.goes_in_steps()
        if self._reads.unread:  # what comes although the transport was asked to pause
            self._reads.unread += data
        else:
            self._take(data)

    def _take(self, data: bytes) -> None:
        """Read this now, or as much of it as one turn of the event loop may read."""
        sink = self._sink
        if sink is None:
            self.close()
            return
        TURN.began = perf_counter()
        try:
            self._read(data)
        except Refused as error:
            self._fail(error)
        except Exception as error:  # noqa: BLE001 - a defect is told, whatever it is, and no client waits for ever
            if self._sink is None or self._sink is sink:  # else it serves the next request already
                self._sink = None
                self.close()
            sink.defect(error)
        sink.flush()

    def _tell_whole(self, sink: WholeResponseSink, data: bytes) -> bool:
        """Tell the response that `data` is, in one step; False where it is to be read bit by bit.

        It has to be whole, with nothing behind it, and to leave the connection fit for the next request.
        """
        end = data.find(b"\r\n\r\n")
        if end < 0 or self._transport.get_write_buffer_size() or (found := RESPONSES.recall(data, end)) is None:
            return False
        form, length, _, _ = found
        begin, size = end + 4, len(data) - end - 4
        payload: Buffer | None = None
        if form.chunked:
            payload = whole_chunked(data, begin)
        elif size == length:
            payload = data[begin:] if size <= _COPIED else memoryview(data)[begin:]
        if payload is None or not sink.whole_response(found, payload):
            return False
        self._whole_sink = None
        self._pool.answered(self.loop.time() - self._sent_at)
        self.served += 1
        self.rested = boot_time()
        self._pool.release(self)
        return True

    def eof_received(self) -> bool | None:
        self._go_in_steps()
        if self._reads.unread:
            self._at_eof = True
        elif isinstance(self._body, UntilClose) and self._sink is not None and not self._writer.refused:
            sink = self._sink
            TURN.began = perf_counter()
            self._end(b"")
            sink.flush()
        return None

    def connection_lost(self, exc: Exception | None) -> None:
        self._go_in_steps()
        if exc is not None and self._sink is not None and (unread := self._writer.unread()):
            self.data_received(unread)
        self.failed = self.lost = True
        self._pool.lost(self)
        if not self._reads.unread:
            self._die()

    def _die(self) -> None:
        """The connection ended under its exchange, or before it."""
        if self._sink is not None:
            self._give_up(self._sink, cut(self._head))

    def pause_writing(self) -> None:
        self._go_in_steps()
        self.writable = False
        if self._sink is not None:
            self._sink.upstream_writable(False)

    def resume_writing(self) -> None:
        self.writable = True
        if self._sink is not None:
            self._sink.upstream_writable(True)

    def expire(self, now: float) -> None:
        """The deadline passed: an idle connection goes, a busy one has kept its client waiting too long."""
        self.deadline = NEVER
        self._go_in_steps()
        if self._sink is None:
            self.close()
        elif self._body is None:
            self._give_up(self._sink, late("begin its answer", self._response_timeout))
        else:
            self._give_up(self._sink, late("go on with its answer", self._idle_timeout))

    def _give_up(self, sink: ResponseSink, error: Refused) -> None:
        """No read showed it: nothing more will come."""
        TURN.began = perf_counter()
        self._fail(error)
        sink.flush()

    def _go_in_steps(self) -> None:
        """Something else comes of the exchange under way than a response that is whole with one read."""
        if self._whole_sink is not None:
            self._whole_sink.goes_in_steps()

    # --- reading

    def _read(self, data: bytes) -> None:
        while data and self._sink is not None:
            if self._body is None:
                data = self._read_head(data)
            else:
                if not self._reads.paused:
                    self.deadline = self.loop.time() + self._idle_timeout
                share = self._share or len(data)
                pieces, rest = self._body.feed(data[:share])
                data = rest + data[share:]  # behind the body's end, or for the next turn
                if pieces:
                    self._sink.response_data(pieces)
                if self._body is not None and self._body.finished:
                    self._end(data)
                elif data and self._sink is not None:
                    self._reads.put_off(data, self._take_rest)
                return

    def _take_rest(self, data: bytes) -> None:
        """Read what was put off; an end that was told meanwhile counts now, behind the last of it."""
        self._take(data)
        if not self._reads.unread:
            if self._at_eof:
                self.eof_received()
            if self.lost:
                self._die()

    def _read_head(self, data: bytes) -> bytes:
        """Read a head if it is whole; give what is behind it."""
        if self._head:
            data, self._head = self._head + data, b""
        else:
            self._is_early = not self._writer.complete
        end = data.find(b"\r\n\r\n")
        if end < 0 or end > _MAX_HEAD:
            if len(data) > _MAX_HEAD:
                raise UpstreamMalformed("The head of Amazon's answer is endless.")
            if not data.startswith(b"HTTP/1."[: len(data)]):
                raise UpstreamMalformed("What came back is not an HTTP/1.1 answer.")
            self._head = data
            return b""
        response = read_response(data[: end + 2], REQUEST_IDS)
        if response.status == 408 and self.served:
            raise UpstreamClosed("Amazon closed an idle connection while this request was sent on it; try again.")
        rest = data[end + 4 :]
        if response.status < 200:
            self._interims += 1
            if response.status == 101:
                raise UpstreamMalformed("Amazon switched protocols without a request for it.")
            if self._interims > _MAX_INTERIM:
                raise UpstreamMalformed("Amazon sent endless interim answers.")
            assert self._sink is not None
            self._sink.interim(response)
            return rest
        self._begin(response)
        if self._body is not None and self._body.finished:
            self._end(rest)
            return b""
        return rest

    def _begin(self, response: Response) -> None:
        assert self._sink is not None
        fields = response.fields
        bodyless = has_no_body(response.status, self._to_head)
        self._body = body_of(fields, bodyless=bodyless)
        announced = fields.close or isinstance(self._body, UntilClose)
        self._close = bodyless or announced or response.status in _REQUEST_UNREAD
        if self._is_early:
            if self._close and response.status >= 400 and not self._writer.complete:
                self._writer.refuse()
            self._close = True
        self._share = 0
        if fields.content_type[:17].lower() == b"text/event-stream":
            self._idle_timeout, self._share = NEVER, EVENT_BYTES_AT_ONCE
        now = self.loop.time()
        self.deadline = now + self._idle_timeout
        self._pool.answered(now - self._sent_at)
        self._sink.response_began(response)

    def _end(self, rest: bytes) -> None:
        sink, body = self._sink, self._body
        assert sink is not None and body is not None
        trailers = passing_response_trailers(body.trailers)
        self._sink = self._body = None
        self.served += 1
        if rest or self._close or self.lost:
            self.close()
        else:
            self.resume()
            self.rested = boot_time()
            self._pool.release(self)
        sink.response_ended(trailers)

    def _fail(self, error: Refused) -> None:
        sink, self._sink, self._whole_sink = self._sink, None, None
        self.close()
        if sink is not None:
            sink.upstream_failed(error)


# --- Which body follows a response's head ----------------------------------------------------------------


def body_of(fields: ResponseFields, *, bodyless: bool) -> Body:
    """The body to be read behind a head with these fields (RFC 9112, 6.3)."""
    if bodyless:
        return CountedBody(0)
    if fields.chunked:
        return ChunkedBody(_malformed)
    if fields.content_length is not None:
        return CountedBody(fields.content_length)
    return UntilClose()


def _malformed(why: str) -> UpstreamMalformed:
    return UpstreamMalformed(f"Amazon's answer is chunked, but {why}.")


# --- Why there is no response, or not the whole of one, as the client is told it ---------------------------


def cut(head: bytes) -> Refused:
    """The connection ended, given what had come of a head. Lines that end in LF alone are no head to wait for."""
    if head.count(b"\n") > head.count(b"\r\n"):
        return UpstreamMalformed("Amazon's answer has a line that ends without a CR.")
    if head:
        return UpstreamClosed("Amazon closed the connection within the head of its answer.")
    return UpstreamClosed("Amazon closed the connection before its answer was complete.")


def late(what: str, limit: float) -> UpstreamTimeout:
    """The error of a connection on which Amazon did not do that within so many seconds."""
    return UpstreamTimeout(f"Amazon did not {what} within {limit:g} s; raise the time-out if that is usual.")


# --- Writing requests -----------------------------------------------------------------------------------------

_MAX_HELD = 65536
"""In bytes: an event loop may read one client's upload many times before it comes to what was put off."""
_ROUNDS = 2
"""Turns of the event loop within which everything that had come is read."""


class RequestWriter:
    """Writes to one transport. `refused`: the peer takes no more of this request, and what is left of it is dropped."""

    __slots__ = ("_ended", "_held", "_loop", "_outlet", "_refused", "_transport")

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport = transport
        self._loop = loop
        self._outlet = transport if isinstance(transport, TlsTransport) else SocketWriter(transport)
        self._held: list[Buffer] = []
        self._ended = True
        self._refused = False

    def __repr__(self) -> str:
        state = "refused" if self.refused else "complete" if self.complete else "writing"
        return f"<RequestWriter: {state}>"

    @property
    def refused(self) -> bool:
        return self._refused or self._outlet.failed

    @property
    def complete(self) -> bool:
        """The whole request has left this process."""
        sent = self._ended and not self._held and not self._outlet.failed
        return sent and not self._transport.get_write_buffer_size()

    def begin(self, data: list[Buffer]) -> None:
        """Write a request's head, and what of its body is there."""
        self._ended = self._refused = False
        self._held = []
        self._hand_over(data)

    def more(self, data: list[Buffer], *, reading: bool) -> None:
        """Write more of the body; `reading` tells that the transport reads what comes."""
        if self.refused or self._transport.is_closing():
            return
        if self._held:
            self._held += data
            if sum(map(len, self._held)) > _MAX_HELD:
                self._flush()
        elif reading and self._outlet.has_news():
            self._held = list(data)
            self._loop.call_soon(self._look_again, _ROUNDS)
        else:
            self._write(data)

    def end(self) -> None:
        """The request's last byte was given: what was put off of it leaves, lest its answer ends before it does."""
        self._ended = True
        if self._held and not self._transport.is_closing():
            self._flush()

    def refuse(self) -> None:
        """The peer wants no more of it (RFC 9112, 9.5)."""
        self._refused = True
        self._held = []

    def unread(self) -> bytes:
        """What had come when the transport failed, and was not given."""
        return self._outlet.unread()

    def _look_again(self, rounds: int) -> None:
        if not self._held or self._transport.is_closing():
            self._held = []
        elif rounds > 1 and self._outlet.has_news():
            self._loop.call_soon(self._look_again, rounds - 1)
        else:
            self._flush()

    def _flush(self) -> None:
        held, self._held = self._held, []
        self._write(held)

    def _write(self, data: list[Buffer]) -> None:
        if self._transport.get_write_buffer_size():
            self._hand_over(data)
            return
        self._outlet.write(data[0] if len(data) == 1 else b"".join(data))
        if self._outlet.failed:
            self.refuse()

    def _hand_over(self, data: list[Buffer]) -> None:
        if len(data) == 1:
            self._transport.write(data[0])
        else:
            self._transport.writelines(data)


# --- What a connection to Amazon and those who wait for a response on it ask of each other ---------------


class ResponseSink(Protocol):
    """Who wants a response. Calls come in this order; after `response_ended` or `upstream_failed`, none."""

    def interim(self, response: Response) -> None: ...

    def response_began(self, response: Response) -> None: ...

    def response_data(self, pieces: list[Buffer]) -> None: ...

    def response_ended(self, trailers: bytes) -> None:
        """`trailers` holds the lines that may pass, each with its CRLF."""

    def upstream_failed(self, error: Refused) -> None: ...

    def upstream_writable(self, writable: bool) -> None: ...

    def defect(self, error: Exception) -> None:
        """Something of ours went wrong while the sink was told; after this, no more calls."""

    def flush(self) -> None:
        """What one read brought has been told; send on what was gathered."""


class WholeResponseSink(Protocol):
    """Who takes a response in one step where it comes whole with one read."""

    def whole_response(self, found: Recalled, payload: Buffer) -> bool:
        """Take the response; after this, no more calls. False where it has to be told bit by bit."""
        ...

    def goes_in_steps(self) -> None:
        """Give the connection, with `tell`, a sink for what comes of the exchange; after this, no more calls."""

    def defect(self, error: Exception) -> None:
        """Something of ours went wrong in `whole_response`; after this, no more calls."""


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Seconds: until a response's head, and between bytes of its body."""

    response: float
    idle: float
