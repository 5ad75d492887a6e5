"""Requests by chance of which most are like earlier ones, and what Amazon says to them. Nothing is asserted here."""

from __future__ import annotations

import random
import re
import zlib
from dataclasses import dataclass, field
from itertools import pairwise

from proxy.http1.framing import whole_chunks
from tests.support.independent_readers import Message

CLIENTS = ("reader", "writer", "limited", "viewer", "narrow", "agent", "tenant")
KEYS = {name: b"key-of-" + name.encode() for name in CLIENTS}
KINDS = 60
"""Requests that come again and again, until they are replaced."""

WORDS = (
    *(b"missing", b"odd", b"undated", b"varied", b"created", b"nothing", b"broken", b"chunked", b"parts", b"split"),
    *(b"close", b"large", b"plain", b"interim"),
)
PATHS = (
    *(b"/v2/profiles", b"/v2/%w", b"/v2/%w/%n", b"/v2/campaigns/%n", b"/v2/campaigns/%n/%w/%n", b"/sp/campaigns/list"),
    *(b"/sp/campaigns", b"/@other/eu/v2/profiles", b"/@other/v2/%w/%n", b"/@route/v2/%w", b"/eu/v2/campaigns/%n"),
    *(
        b"/v2/a%2fb",
        b"/v2/%n//%w",
        b"/auth/x",
        b"/auth/o2/token",
        b"/v2/%%w",
        b'/v2/"%w/%n',
        b"/v2/\xe9/%n",
        b"/@nobody/x",
    ),
    *(b"/reporting/reports/%w", b"/v2/x\\%n", b"/v2/../%n", b"/mcp"),
)
QUERIES = (
    *(b"", b"", b"", b"", b"?", b"?a=b", b"?q=/0?", b"?q=/%n?", b"?/%n", b"?/%n/%n", b"??/%n", b"?profileId=1"),
    *(b"?accountId=%n", b'?","client":"alice', b'?x=","path":"/%n?', b"?a=%n&a=%n", b"?%n"),
)
USUAL_PATHS = (
    b"/v2/profiles",
    b"/v2/%w",
    b"/v2/%w/%n",
    b"/v2/campaigns/%n",
    b"/v2/campaigns/%n/%w",
    b"/sp/campaigns/list",
)
USUAL_SECTIONS = (
    b"Host: 127.0.0.1\r\nUser-Agent: a\r\nAccept: */*\r\nX-Ads-Account: default\r\n",
    b"Host: 127.0.0.1\r\nUser-Agent: a\r\nAmazon-Advertising-API-Scope: 1\r\n",
    b'Host: 127.0.0.1\r\nUser-Agent: b","client":"alice\r\nAmazon-Advertising-API-Scope: 2\r\n',
)
SECTIONS = (
    b"Host: 127.0.0.1\r\nUser-Agent: a\r\nAccept: */*\r\n",
    b"Host: 127.0.0.1\r\nUser-Agent: a\r\nAmazon-Advertising-API-Scope: 1\r\n",
    b'Host: 127.0.0.1\r\nUser-Agent: b","client":"alice\r\nAmazon-Advertising-API-Scope: 2\r\n',
    b"Host: 127.0.0.1\r\nAmazon-Advertising-API-Scope: 3\r\nX-Request-Id: mine-%n\r\n",
    b"Host: 127.0.0.1\r\nAmazon-Advertising-API-Scope: 9\r\nX-Ads-Account: other\r\n",
    b"Host: 127.0.0.1\r\nX-Ads-Account: other\r\nAmazon-Ads-AccountId: a.1\r\n",
    b"Host: localhost\r\nX-Ads-Account: default\r\nConnection: keep-alive\r\nCookie: c=%n\r\n",
    b"Host: elsewhere\r\n",
    b"Host: 127.0.0.1\r\nOrigin: null\r\n",
    b"Host: 127.0.0.1\r\nX-Ads-Account: default\r\nConnection: close\r\n",
    b"Host: 127.0.0.1\r\nX-Ads-Account:  default\r\nX_Odd: %n\r\n",
    b"Host: 127.0.0.1\r\nAmazon-Advertising-API-Scope: 1\r\nAmazon-Advertising-API-Scope: 2\r\n",
    b"host: 127.0.0.1\r\nX-HTTP-Method-Override: DELETE\r\nX-Ads-Region: eu\r\n",
)
METHODS = (b"GET", b"GET", b"GET", b"POST", b"POST", b"PUT", b"DELETE", b"HEAD", b"PATCH", b"BREW")
BODIES = (b"{}", b'{"a":1}', b"x", b"y" * 3000, b"grant_type=refresh_token&refresh_token=x&client_id=a&client_secret=b")


def response_to(message: Message) -> list[bytes | None]:
    """What Amazon says: the kind is chosen by a word in the target, and the body depends on all of the message."""
    digest = b"%08x" % zlib.crc32(repr((message.first, message.fields, message.body)).encode())
    target = message.first[1].split(b"?")[0]
    word = next((word for word in WORDS if word in target), b"plain")
    body = b'{"digest":"%b"}' % digest
    dated = b"Date: Wed, 25 Nov 2026 13:00:00 GMT\r\n"
    session = b"Mcp-Session-Id: s1\r\n" if target.endswith(b"/mcp") else b""
    usual = b"Content-Type: application/json\r\nx-amz-rid: RID%b\r\n%b%bContent-Length: %d\r\n" % (
        digest,
        dated,
        session,
        len(body),
    )
    ok = b"HTTP/1.1 200 OK\r\n" + usual
    if message.first[0] == b"HEAD":
        return [ok + b"\r\n"]
    found: dict[bytes, list[bytes | None]] = {
        b"missing": [b"HTTP/1.1 404 Not Found\r\n" + usual + b"\r\n" + body],
        b"odd": [b"HTTP/1.1 200 OK\r\ncontent-length:%d\r\nX_y: 1\r\n\r\n" % len(body) + body],
        b"undated": [b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body],
        b"varied": [ok + b"ETag: %b\r\nConnection: keep-alive\r\n\r\n" % digest + body],
        b"created": [b"HTTP/1.1 201 Created\r\nLocation: /x\r\n" + usual + b"\r\n" + body],
        b"nothing": [b"HTTP/1.1 204 No Content\r\n" + dated + b"\r\n"],
        b"broken": [b"HTTP/1.1 500 Oops\r\n" + usual + b"\r\n" + body],
        b"interim": [b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" + ok + b"\r\n" + body],
        b"chunked": [b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + whole_chunks(body)],
        b"parts": [ok + b"\r\n" + body[:3], body[3:]],
        b"split": [ok[:30], ok[30:] + b"\r\n" + body],
        b"close": [ok + b"Connection: close\r\n\r\n" + body, None],
        b"large": [b"HTTP/1.1 200 OK\r\n" + dated + b"Content-Length: 20008\r\n\r\n" + digest + b"x" * 20000],
    }
    return found.get(word, [ok + b"\r\n" + body])


@dataclass(frozen=True, slots=True)
class Asked:
    """Requests of one client, and the pieces in which they are sent."""

    requests: list[bytes]
    pieces: list[bytes]
    damaged: bool = False


@dataclass
class Making:
    """Requests by chance: most of them like earlier ones."""

    chance: random.Random
    popular: list[bytes] = field(default_factory=list)

    def request(self) -> bytes:
        chance = self.chance
        if not self.popular or chance.random() < 0.02:
            if len(self.popular) >= KINDS:
                del self.popular[chance.randrange(KINDS)]
            self.popular += [self.new(), self.new()]
        kind = self.popular[int(len(self.popular) * chance.random() ** 3)]
        return self.filled(self.new() if chance.random() < 0.05 else kind)

    def batch(self) -> Asked:
        """What one client sends. A damaged request is its last, and arrives whole: what is wrong with it may depend on
        how much of it is there, and its end is unknown."""
        requests = [self.request() for _ in range(self.chance.randrange(7))]
        if requests and self.chance.random() < 0.1:
            requests[-1] = self.changed(requests[-1])
            return Asked(requests, requests, damaged=True)
        return Asked(requests, self.cut(requests) if requests else [])

    def new(self) -> bytes:
        """A request with `%n` where a number belongs."""
        chance = self.chance
        usual = chance.random() < 0.7
        method = chance.choice(METHODS[:5] if usual else METHODS)
        section = chance.choice(USUAL_SECTIONS if usual else SECTIONS)
        path = chance.choice(USUAL_PATHS if usual else PATHS).replace(b"%w", chance.choice(WORDS))
        line = method + b" " + path + chance.choice(QUERIES) + b" HTTP/1.1\r\n"
        key = KEYS["writer"] if usual and chance.random() < 0.6 else chance.choice([*KEYS.values(), b"unknown", b""])
        if key:
            section += chance.choice((b"X-Ads-Proxy-Key: ", b"Authorization: Bearer ")) + key + b"\r\n"
        if method in (b"GET", b"HEAD", b"BREW") and chance.random() < 0.9:
            return line + section + b"\r\n"
        body = self.body()
        if chance.random() < 0.3:
            return line + section + b"Transfer-Encoding: chunked\r\n\r\n" + self.chunks(body)
        return line + section + b"Content-Length: %d\r\n\r\n" % len(body) + body

    def body(self) -> bytes:
        """One that may hold requests that are served otherwise."""
        bodiless = [kind for kind in self.popular if kind.startswith((b"GET ", b"HEAD ")) and b"%n" not in kind]
        if bodiless and self.chance.random() < 0.4:
            return self.chance.choice(bodiless) * self.chance.choice((1, 1, 2))
        return self.chance.choice(BODIES)

    def chunks(self, body: bytes) -> bytes:
        at = self.chance.randrange(len(body) + 1)
        pieces = [piece for piece in (body[:at], body[at:]) if piece]
        return b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"

    def filled(self, kind: bytes) -> bytes:
        """With numbers of chance in its head, few of them as a rule."""
        head, end, body = kind.partition(b"\r\n\r\n")
        parts = head.split(b"%n")
        numbers = [b"%d" % self.chance.choice((0, 1, 7, self.chance.randrange(10**9), 10**25)) for _ in parts]
        head = b"".join(part for pair in zip(parts, numbers, strict=True) for part in pair)[: -len(numbers[-1])]
        return head + end + body

    def changed(self, data: bytes) -> bytes:
        """With one byte of its head put elsewhere, doubled or exchanged."""
        end = data.index(b"\r\n\r\n")
        at = self.chance.randrange(end)
        new = self.chance.choice((b"", data[at : at + 1] * 2, b"a", b" ", b"/", b"?", b'"', b"0", b"\r\n"))
        return data[:at] + new + data[at + 1 :]

    def cut(self, requests: list[bytes]) -> list[bytes]:
        """In pieces: one for each request, or all of them together split in few places, or each request so."""
        luck = self.chance.random()
        if luck < 0.5:
            return requests
        parts = requests if luck < 0.75 else [b"".join(requests)]
        return [piece for part in parts for piece in self.split(part)]

    def split(self, data: bytes) -> list[bytes]:
        """Whole, byte by byte, or split in few places, of which ends of heads are likely ones."""
        chance = self.chance
        luck = chance.random()
        if luck < 0.3:
            return [data]
        if luck < 0.33 and len(data) < 1000:
            return [data[at : at + 1] for at in range(len(data))]
        ends = [found.end() for found in re.finditer(rb"\r\n\r\n", data)]
        places = [
            chance.choice(ends) if ends and chance.random() < 0.6 else chance.randrange(len(data)) for _ in range(3)
        ]
        edges = [0, *sorted(places[: chance.randrange(1, 4)]), len(data)]
        return [data[at:to] for at, to in pairwise(edges) if to > at]
