"""HTTP as two parsers read it that are not ours: h11 and httptools. They must agree, or there is `trouble`.

Where a test judges the bytes itself, it reads them with `http_reader.py`; here it asks what others understand.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import h11
import httptools

MOST = 1 << 22
_CUT = ("without sending complete", "incomplete", "peer closed", "ConnectionClosed")
"""How h11 words it that a message broke off."""
_EMPTY_LINES = re.compile(rb"\A(?:\r\n)+")
_FIRST_LINE = re.compile(rb"[^\r\n]*")
ASCII = bytes(range(128)) + b"~" * 128
"""To translate bytes with: `~` for those beyond ASCII."""


@dataclass(frozen=True, slots=True)
class Message:
    """A request or an answer, its names as they were written. `first` is (method, target), or (status, reason)."""

    first: tuple[bytes, bytes]
    fields: tuple[tuple[bytes, bytes], ...]
    body: bytes
    trailers: tuple[tuple[bytes, bytes], ...] = ()

    def values(self, name: bytes) -> list[bytes]:
        return [value for key, value in self.fields if key.lower() == name]


class _Httptools:
    """Whole messages as httptools reads them: the trailers of one are at the end of its fields."""

    def __init__(self, kind: type[httptools.HttpRequestParser | httptools.HttpResponseParser]) -> None:
        self._parser = kind(self)
        self.found: list[Message] = []

    def feed(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def on_message_begin(self) -> None:
        self._words, self._rest = b"", b""
        self._fields: list[tuple[bytes, bytes]] = []
        self._body = b""

    def on_url(self, data: bytes) -> None:
        self._rest += data

    on_status = on_url

    def on_header(self, name: bytes, value: bytes) -> None:
        self._fields.append((name, value))

    def on_headers_complete(self) -> None:
        parser = self._parser
        if isinstance(parser, httptools.HttpRequestParser):
            self._words = parser.get_method()
        else:
            self._words = b"%d" % parser.get_status_code()

    def on_body(self, data: bytes) -> None:
        self._body += data

    def on_message_complete(self) -> None:
        self.found.append(Message((self._words, self._rest), tuple(self._fields), self._body))


class RequestReader:
    """Reads what leaves for Amazon on one connection; a head comes in one piece.

    h11 takes no target beyond ASCII, which we pass as it came: such bytes stand as `~` here.
    """

    def __init__(self) -> None:
        self._h11 = h11.Connection(h11.SERVER, max_incomplete_event_size=MOST)
        self._httptools = _Httptools(httptools.HttpRequestParser)
        self._request: h11.Request | None = None
        self._body = b""
        self._in_head = True
        self.latest: Message | None = None
        self.trouble = ""

    def feed(self, data: bytes) -> list[Message]:
        """The messages that `data` completes."""
        if self.trouble:
            return []
        if self._in_head:
            line = _FIRST_LINE.match(data)
            assert line is not None
            data = line[0].translate(ASCII) + data[line.end() :]
            self._in_head = False
        try:
            self._h11.receive_data(data)
            found = list(self._messages())
            self._httptools.feed(data)
        except (h11.ProtocolError, httptools.HttpParserError) as error:
            self.trouble = f"{type(error).__name__}: {error}: {data[:400]!r}"
            return []
        theirs, self._httptools.found = self._httptools.found, []
        if theirs != [Message(each.first, each.fields + each.trailers, each.body) for each in found]:
            self.trouble = f"httptools reads {theirs!r}, h11 {found!r}"
        self.latest = found[-1] if found else self.latest
        return found

    @property
    def rest(self) -> bytes:
        """What is read of a message that is not whole."""
        return self._h11.trailing_data[0]

    def _messages(self) -> Iterator[Message]:
        while True:
            event = self._h11.next_event()
            if event in (h11.NEED_DATA, h11.PAUSED):
                return
            if isinstance(event, h11.Request):
                self._request, self._body = event, b""
            elif isinstance(event, h11.Data):
                self._body += bytes(event.data)
            elif isinstance(event, h11.EndOfMessage):
                assert self._request is not None
                yield Message(
                    (bytes(self._request.method), bytes(self._request.target)),
                    _plain(self._request.headers),
                    self._body,
                    _plain(event.headers),
                )
                self._in_head = True
                self._h11.send(h11.Response(status_code=200, headers=[("content-length", "0")]))
                self._h11.send(h11.EndOfMessage())
                if self._h11.our_state is h11.MUST_CLOSE:
                    return
                self._h11.start_next_cycle()


class QuickReader:
    """Reads what leaves for Amazon with httptools alone, for tests that send much and ask nothing about its form."""

    trouble = ""
    latest: Message | None = None

    def __init__(self) -> None:
        self._httptools = _Httptools(httptools.HttpRequestParser)

    def feed(self, data: bytes) -> list[Message]:
        """The messages that `data` completes."""
        self._httptools.feed(data)
        found, self._httptools.found = self._httptools.found, []
        self.latest = found[-1] if found else self.latest
        return found


def read_requests(data: bytes) -> list[Message]:
    """The requests that h11 finds in a client's bytes, up to where it complains.

    Empty lines before a request, which RFC 9112, 2.2 has a server read over, are taken away for it.
    """
    found: list[Message] = []
    with contextlib.suppress(h11.ProtocolError):
        while data := _EMPTY_LINES.sub(b"", data):
            message, data = _one_request(data)
            if message is None:
                break
            found.append(message)
    return found


def _one_request(data: bytes) -> tuple[Message | None, bytes]:
    """The first request, and what is behind it if the connection may go on."""
    connection = h11.Connection(h11.SERVER, max_incomplete_event_size=MOST)
    connection.receive_data(data)
    request: h11.Request | None = None
    body = b""
    while (event := connection.next_event()) not in (h11.NEED_DATA, h11.PAUSED):
        if isinstance(event, h11.Request):
            request = event
        elif isinstance(event, h11.Data):
            body += bytes(event.data)
        elif isinstance(event, h11.EndOfMessage):
            assert request is not None
            message = Message((bytes(request.method), bytes(request.target)), _plain(request.headers), body)
            ends = connection.their_state is h11.MUST_CLOSE and not _keeps_alive(request)
            return message, b"" if ends else connection.trailing_data[0]
    return None, b""


def _keeps_alive(request: h11.Request) -> bool:
    """Whether HTTP/1.0 asks to go on (RFC 9112, 9.3), which h11 does not know of."""
    options = b",".join(value for name, value in request.headers if name == b"connection").lower().replace(b"_", b"-")
    return bytes(request.http_version) == b"1.0" and b"keep-alive" in map(bytes.strip, options.split(b","))


@dataclass(frozen=True, slots=True)
class Answers:
    """What a client read: interim responses and final ones, whether the last is whole, and the bytes that it could not
    read."""

    interim: list[Message]
    final: list[Message]
    whole: bool
    trouble: str = ""


def read_answers(data: bytes, ended: bool, methods: list[bytes]) -> Answers:
    """What h11 makes of all bytes that a client got, having sent requests with these methods one after another."""
    interim: list[Message] = []
    final: list[Message] = []
    connection = h11.Connection(h11.CLIENT, max_incomplete_event_size=MOST)
    connection.receive_data(data)
    if ended:
        connection.receive_data(b"")
    for method in methods:
        try:
            connection.send(h11.Request(method=method, target="/", headers=[("host", "x")]))
            connection.send(h11.EndOfMessage())
            answer = _one_answer(connection, interim)
        except h11.ProtocolError as error:
            cut = any(words in str(error) for words in _CUT)
            return Answers(interim, final, False, "" if cut else f"{error}: {data[:400]!r}")
        if answer is None:
            return Answers(interim, final, False)
        final.append(answer)
        if connection.our_state is not h11.DONE or connection.their_state is not h11.DONE:
            break
        connection.start_next_cycle()
    rest = connection.trailing_data[0]
    return Answers(interim, final, True, f"behind the answers: {rest[:200]!r}" if rest else "")


def answers_by_httptools(data: bytes) -> list[Message]:
    """The whole answers in bytes that a client got, none of them to HEAD; the trailers are at the end of the fields."""
    reader = _Httptools(httptools.HttpResponseParser)
    reader.feed(data)
    return reader.found


def _one_answer(connection: h11.Connection, interim: list[Message]) -> Message | None:
    head: h11.Response | None = None
    body = b""
    while True:
        event = connection.next_event()
        if isinstance(event, h11.InformationalResponse):
            interim.append(Message((b"%d" % event.status_code, bytes(event.reason)), _plain(event.headers), b""))
        elif isinstance(event, h11.Response):
            head = event
        elif isinstance(event, h11.Data):
            body += bytes(event.data)
        elif isinstance(event, h11.EndOfMessage):
            assert head is not None
            first = (b"%d" % head.status_code, bytes(head.reason))
            return Message(first, _plain(head.headers), body, _plain(event.headers))
        else:
            return None


def _plain(fields: Any) -> tuple[tuple[bytes, bytes], ...]:
    """The fields of h11, with names as they were written; there are none behind a body without trailers."""
    return tuple((bytes(name), bytes(value)) for name, value in (fields.raw_items() if fields else ()))
