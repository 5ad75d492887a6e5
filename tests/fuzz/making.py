"""Requests and answers of chance: valid ones, whose meaning is known, and what becomes of bytes that are changed.

Nothing is asserted here.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from hypothesis import strategies as st

TOKEN = b"!#$%&'*+-.^_`|~0123456789ABCXYZabcxyz"
HOP_BY_HOP = (b"Connection", b"Keep-Alive", b"Proxy-Connection", b"Proxy-Authorization", b"TE", b"Upgrade")
INJECTED = (
    *(b"Authorization", b"Amazon-Advertising-API-ClientId", b"Amazon-Ads-ClientId", b"Amazon-Advertising-API-Scope"),
    *(b"Cookie", b"X-Ads-Account", b"X-Ads-Region", b"X-Ads-Proxy-Key", b"Via", b"Forwarded", b"X-Forwarded-For"),
)
ACCOUNTS = (b"Amazon-Ads-AccountId", b"Amazon-Ads-Manager-AccountId", b"Amazon-Advertising-API-EntityId")
TRAPS = (
    *(b"Transfer-Encoding", b"Content-Length", b"Host", b"Expect", b"Trailer", b"X-Request-Id", b"Origin"),
    *(b"Content-Type", b"Accept-Encoding", b"X-HTTP-Method-Override", b"HTTP2-Settings", b"Range", b"Sec-Fetch-Site"),
)
METHODS = (b"GET", b"HEAD", b"POST", b"PUT", b"PATCH", b"DELETE", b"OPTIONS")


@dataclass(frozen=True, slots=True)
class Sent:
    """A valid request: what it means, and its bytes. `passing` are the fields that are to arrive, names as spelled."""

    method: bytes
    target: bytes
    passing: tuple[tuple[bytes, bytes], ...]
    body: bytes
    wire: bytes


@dataclass(frozen=True, slots=True)
class Answered:
    """A valid answer: what it means, and its bytes. `body` is that for any request but HEAD."""

    status: bytes
    body: bytes
    until_close: bool
    wire: bytes


def text(letters: bytes, *, min_size: int = 0, max_size: int) -> st.SearchStrategy[bytes]:
    """Text of these letters. Bytes are one choice of Hypothesis's; a list of letters would be one for each."""
    table = bytes(letters[number % len(letters)] for number in range(256))
    return st.binary(min_size=min_size, max_size=max_size).map(lambda drawn: drawn.translate(table))


@cache
def spelled(name: bytes) -> st.SearchStrategy[bytes]:
    """A name in any case, with hyphens or underscores."""
    ways = [(b"-", b"-", b"_") if byte == 45 else (bytes([byte]).lower(), bytes([byte]).upper()) for byte in name]
    return st.binary(min_size=len(name), max_size=len(name)).map(
        lambda drawn: b"".join(way[byte % len(way)] for way, byte in zip(ways, drawn, strict=True))
    )


free_names = text(TOKEN, min_size=1, max_size=12)
names = st.one_of(
    free_names.map(lambda name: b"Q" + name),
    *(st.sampled_from(group).flatmap(spelled) for group in (HOP_BY_HOP, INJECTED, ACCOUNTS)),
)
_VALUE = bytes((*range(0x21, 0x7F), *range(0x80, 0x100), 0x20, 0x09))
values = text(_VALUE, max_size=20).map(lambda value: value.strip(b" \t"))
bodies = st.binary(max_size=300)
_TARGET = bytes(byte for byte in range(0x21, 0x100) if byte not in b"#\x7f")
targets = text(_TARGET, max_size=30).map(lambda rest: b"/q" + rest)
_fields = st.lists(st.tuples(names, values), max_size=8, unique_by=lambda field: plain(field[0]))


@st.composite
def chunked(draw: st.DrawFn, body: bytes) -> bytes:
    """A body in the chunked coding, cut at random, with extensions and harmless trailers."""
    wire = b""
    while body:
        size = draw(st.integers(1, len(body)))
        extension = draw(st.sampled_from((b"", b"", b";a", b';q="x y"')))
        zeros = b"0" * draw(st.integers(0, 3))
        wire += b"%b%x%b\r\n%b\r\n" % (zeros, size, extension, body[:size])
        body = body[size:]
    trailer = draw(st.sampled_from((b"", b"", b"X-Sum: 1\r\n", b"Authorization: t\r\n", b"Content_Length: 7\r\n")))
    return wire + b"0" * draw(st.integers(1, 3)) + b"\r\n" + trailer + b"\r\n"


@st.composite
def requests(draw: st.DrawFn) -> Sent:
    """A request that is valid, and what of it is to arrive."""
    method, target, body = draw(st.sampled_from(METHODS)), draw(targets), draw(bodies)
    fields = draw(_fields)
    if draw(st.booleans()) and fields:
        listed = draw(st.lists(st.sampled_from([name for name, _ in fields]), max_size=3))
        fields.append((b"connection", b" , ".join(listed)))
    fields = [(name, value) for name, value in fields if not _spoils(name, value)]
    framing = draw(st.sampled_from(("none", "length", "chunked")))
    if framing == "none":
        body = b""
    lines = [b"Host: 127.0.0.1\r\n", *(b"%b:%b\r\n" % (name, value) for name, value in fields)]
    coded = body
    passing = tuple(field for field in fields if _passes(*field, fields))
    if framing == "length":
        lines.insert(draw(st.integers(0, len(lines))), b"Content-Length: %d\r\n" % len(body))
    elif framing == "chunked":
        lines.insert(draw(st.integers(0, len(lines))), b"Transfer-Encoding: chunked\r\n")
        coded = draw(chunked(body))
    wire = b"%b %b HTTP/1.1\r\n%b\r\n%b" % (method, target, b"".join(lines), coded)
    return Sent(method, target, passing, body, wire)


def plain(name: bytes) -> bytes:
    return name.lower().replace(b"_", b"-")


_ADS_ACCOUNT = b"amazon-ads-accountid"
"""An empty one does not leave, and more than one is refused (docs/reference/routing.md)."""
_GONE = frozenset(map(plain, (*HOP_BY_HOP, *INJECTED)))


def _passes(name: bytes, value: bytes, fields: list[tuple[bytes, bytes]]) -> bool:
    if plain(name) == _ADS_ACCOUNT and not value:
        return False
    listed = [
        option.strip(b" \t") for key, value in fields if key.lower() == b"connection" for option in value.split(b",")
    ]
    return plain(name) not in _GONE and plain(name) not in map(plain, listed)


def _spoils(name: bytes, value: bytes) -> bool:
    """Fields that would choose something, or close: their meaning is tested elsewhere."""
    chooses = name.lower() in (b"x-ads-account", b"x-ads-region") or (
        plain(name) in (b"amazon-advertising-api-scope", _ADS_ACCOUNT) and b"," in value
    )
    return chooses or (name.lower() == b"connection" and b"close" in value.lower())


@st.composite
def cut(draw: st.DrawFn, data: bytes) -> list[bytes]:
    """Cut bytes into pieces, now and then one by one."""
    if len(data) < 400 and draw(st.booleans()) and draw(st.booleans()):
        return [data[i : i + 1] for i in range(len(data))]
    places = sorted(draw(st.lists(st.integers(0, len(data)), max_size=6)))
    return [data[a:b] for a, b in zip([0, *places], [*places, len(data)], strict=True)]


_NASTY = (
    *(b"\r", b"\n", b"\r\n", b"\r\n\r\n", b"\n\n", b"\0", b"\x0b", b" ", b"\t", b":", b"0", b"\xff", b"\x1b"),
    *(b"Transfer-Encoding: chunked\r\n", b"Content-Length: 3\r\n", b"Content-Length: +1\r\n", b"Host: a\r\n"),
    *(b"transfer-encoding:\x0bchunked\r\n", b"Transfer-Encoding: chunked, identity\r\n", b" folded\r\n", b"%00"),
    *(
        b"\r\n0\r\n\r\n",
        b"0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
        b"HTTP/1.0",
        b"Expect: 100-continue\r\n",
    ),
    *(b"Connection: close\r\n", b"Connection: Host, Authorization\r\n", b"ffffffffffffffff\r\n", b"-1\r\n", b"0x1\r\n"),
)


@st.composite
def changed(draw: st.DrawFn, data: bytes) -> bytes:
    """The bytes after a few accidents: something put in, taken out, doubled or swapped."""
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(data)))
        end = min(len(data), at + draw(st.integers(0, 12)))
        match draw(st.integers(0, 4)):
            case 0:
                data = data[:at] + draw(st.sampled_from(_NASTY)) + data[at:]
            case 1:
                data = data[:at] + data[end:]
            case 2:
                data = data[:end] + data[at:]
            case 3:
                data = data[:at] + draw(st.binary(max_size=4)) + data[end:]
            case _:
                data = _between_lines(data, at, draw(st.sampled_from(_NASTY)))
    return data


def _between_lines(data: bytes, at: int, new: bytes) -> bytes:
    """Put `new` at the beginning of a line."""
    line = data.find(b"\r\n", at) + 2
    return data[:line] + new + data[line:]


@st.composite
def answers(draw: st.DrawFn) -> Answered:
    """A valid answer, with interim ones before it."""
    status = draw(st.sampled_from((200, 200, 201, 204, 207, 304, 404, 425, 500, 599)))
    body = b"" if status in (204, 304) else draw(bodies)
    interims = draw(
        st.lists(
            st.sampled_from((b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n", b"HTTP/1.1 102 \r\n\r\n")), max_size=2
        )
    )
    fields = draw(st.lists(st.tuples(free_names.map(lambda name: b"Q" + name), values), max_size=6))
    lines = [b"%b:%b\r\n" % field for field in fields]
    framing = draw(st.sampled_from(("length", "chunked", "close"))) if status not in (204, 304) else "none"
    coded: bytes = body
    if framing == "length":
        lines.append(b"Content-Length: %d\r\n" % len(body))
    elif framing == "chunked":
        lines.append(b"Transfer-Encoding: chunked\r\n")
        coded = draw(chunked(body))
    reason = draw(st.sampled_from((b"OK", b"", b"Gr\xfc\xdfe dich")))
    head = b"HTTP/1.%d %d %b\r\n%b\r\n" % (1, status, reason, b"".join(lines))
    return Answered(b"%d" % status, body, framing == "close", b"".join(interims) + head + coded)
