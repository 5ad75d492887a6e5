"""The server that replaces Amazon while a session is recorded or played: scripted, and a recorder of what it was sent.

No 401 about the token is among the replies: whether it is renewed depends on how long ago that was done last.

A request carries its number in `X-Case`; its replies, one for each attempt, were set beforehand. The login and the
lists of profiles and ads accounts, which the proxy asks for by itself, are answered by path and not recorded. Where
responses echo, the id that Amazon gives to a request is a digest of what came: so answers and log lines show it.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import re
import urllib.parse
from collections import defaultdict
from dataclasses import dataclass, field

from tests.support.wire import RawUpstream, ReadBody, Wire

HOSTS = {"na": "127.0.0.1", "eu": "127.0.0.2", "fe": "127.0.0.3", "mcp": "127.0.0.4"}
LISTED = {("acme", "na"): (11, 12), ("acme", "eu"): (13,), ("beta", "eu"): (21,)}
ADS_ACCOUNT = {
    "adsAccountId": "amzn1.ads-account.g.a",
    "accountName": "x",
    "status": "CREATED",
    "countryCodes": ["US"],
    "alternateIds": [{"countryCode": "US", "entityId": "E11", "profileId": 11}],
}

_CASE = re.compile(rb"\r\nX-Case: *\t*([0-9]+)\r\n")
_RID = b"x-amz-rid: RID\r\nDate: Wed, 25 Nov 2026 13:00:00 GMT\r\n"


@dataclass(frozen=True, slots=True)
class Reply:
    """One scripted answer: the pieces to write, and whether the connection ends behind them.

    `lasting`: the proxy may remember something of it, so nothing else is under way meanwhile.
    """

    name: str
    pieces: tuple[bytes, ...]
    closes: bool = False
    lasting: bool = False
    weight: int = 1


def whole(status: bytes, fields: bytes = b"", body: bytes = b'{"ok":true}') -> bytes:
    return b"HTTP/1.1 %b\r\n%b%bContent-Length: %d\r\n\r\n%b" % (status, _RID, fields, len(body), body)


_JSON = b"Content-Type: application/json\r\n"
_OK = whole(b"200 OK", _JSON)
_SCOPE = b'{"code":"401","details":"Not authorized to access scope 11"}'
_HERE = b"http://%b:%d/v1/reports/7/download"
"""An address at the API host itself, which the proxy may rewrite; filled in when it is sent."""

REPLIES = (
    Reply("ok", (_OK,), weight=60),
    Reply("created", (whole(b"201 Created", _JSON),), weight=4),
    Reply("multi", (whole(b"207 Multi-Status", _JSON),), weight=4),
    Reply("empty", (b"HTTP/1.1 204 No Content\r\n%b\r\n" % _RID,), weight=4),
    Reply("unmodified", (b'HTTP/1.1 304 Not Modified\r\nETag: "x"\r\n%b\r\n' % _RID,), weight=2),
    Reply("missing", (whole(b"404 Not Found", _JSON),), weight=4),
    Reply("invalid", (whole(b"400 Bad Request", _JSON, b'{"code":"400","detail":"x"}'),), weight=4),
    Reply("forbidden", (whole(b"403 Forbidden", _JSON),), weight=3),
    Reply("odd fields", (b"HTTP/1.1 200 Gr\xfc\xdfe\r\ncontent-length:2\r\nX_y: 1\r\nx-y:  2 \r\n\r\nok",), weight=4),
    Reply(
        "cookies", (whole(b"200 OK", b"Set-Cookie: a=b\r\nConnection: X-Hop\r\nX-Hop: 1\r\nVia: 1.1 y\r\n"),), weight=3
    ),
    Reply("chunked", (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",), weight=6),
    Reply(
        "trailers", (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nX-T: 1\r\n\r\n",), weight=2
    ),
    Reply(
        "chunks apart",
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n", b"2\r\nde\r\n0\r\n\r\n"),
        weight=2,
    ),
    Reply("interim", (b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" + _OK,), weight=2),
    Reply("apart", (_OK[:40], _OK[40:]), weight=3),
    Reply("large", (whole(b"200 OK", b"", b"x" * 100_000),), weight=2),
    Reply("location", (whole(b"200 OK", _JSON, b'{"location":"' + _HERE + b'"}'),), weight=3),
    Reply(
        "redirect", (whole(b"307 Temporary Redirect", b"Location: https://bucket.example/x?sig=1\r\n", b""),), weight=2
    ),
    Reply("says close", (whole(b"200 OK", b"Connection: close\r\n"),), closes=True, weight=3),
    Reply("until close", (b"HTTP/1.1 200 OK\r\n%b\r\nall of it" % _RID,), closes=True, weight=2),
    Reply("oops", (whole(b"500 Internal Server Error", _JSON),), weight=3),
    Reply("timeout", (whole(b"504 Gateway Timeout", _JSON, b'{"message":"Endpoint request timed out"}'),), weight=1),
    Reply("scope", (whole(b"401 Unauthorized", _JSON, _SCOPE),), lasting=True, weight=3),
    Reply("throttled", (whole(b"429 Too Many Requests", b"Retry-After: 900\r\n"),), lasting=True, weight=2),
    Reply("throttled, no time", (whole(b"429 Too Many Requests"),), lasting=True, weight=2),
    Reply("unavailable", (whole(b"503 Service Unavailable", b"Retry-After: 1\r\n"),), lasting=True, weight=2),
    Reply("dies", (), closes=True, lasting=True, weight=3),
    Reply("dies within", (_OK[:-3],), closes=True, lasting=True, weight=2),
    Reply(
        "malformed",
        (b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nxx",),
        closes=True,
        lasting=True,
    ),
    Reply("no HTTP", (b"hello\r\n\r\n",), closes=True, lasting=True),
    Reply(
        "session",
        (whole(b"200 OK", _JSON + b"Mcp-Session-Id: s-1\r\n", b'{"jsonrpc":"2.0","id":1,"result":{}}'),),
        lasting=True,
        weight=4,
    ),
)


@dataclass(slots=True)
class Amazon:
    """The upstream of one session."""

    echoes: bool = False
    replies: dict[int, tuple[Reply, ...]] = field(default_factory=dict)
    seen: dict[int, list[bytes]] = field(default_factory=lambda: defaultdict(list))
    """Case number -> its requests as they came: head, then the payload of the body."""
    closing: int = 0
    """Connections that this side ends and the proxy has not ended yet."""
    port: int = 0
    _issued: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    _listening: list[RawUpstream] = field(default_factory=list)

    async def start(self) -> None:
        """Listen on one port of several loopback addresses: one for each region, one for the MCP endpoint."""
        for host in HOSTS.values():
            listener = RawUpstream(self._serve, host)
            listener.port = self.port
            await listener.start()
            self.port = listener.port
            self._listening.append(listener)

    async def stop(self) -> None:
        for listener in self._listening:
            await listener.stop()

    async def _serve(self, wire: Wire) -> None:
        wire.patience = None  # the proxy keeps connections that it does not need
        while True:
            head = await wire.head()
            if b"\r\nExpect: 100-continue" in head:
                wire.send(b"HTTP/1.1 100 Continue\r\n\r\n")
            body = await wire.body(head)
            reply = self._reply(head, body)
            name = self._name(head, body) if self.echoes else b"RID"
            for piece in reply.pieces:
                wire.send(self._located(piece).replace(b"x-amz-rid: RID", b"x-amz-rid: " + name))
                await asyncio.sleep(0)
            if reply.closes:
                self.closing += 1
                wire.finish()
                await wire.end()
                self.closing -= 1
                return

    def _reply(self, head: bytes, body: ReadBody) -> Reply:
        found = _CASE.search(head)
        if found is None:
            return Reply("by itself", (whole(b"200 OK", _JSON, json.dumps(self._by_itself(head, body[0])).encode()),))
        number = int(found[1])
        attempts = self.seen[number]
        attempts.append(head + b"\r\n" + shown_body(head, body))
        replies = self.replies[number]
        return replies[min(len(attempts), len(replies)) - 1]

    def _name(self, head: bytes, body: ReadBody) -> bytes:
        """A digest of a request; addresses, and how often a token was renewed, do not count."""
        plain = re.sub(rb"(127\.0\.0\.[1-4]):%d\b|(Atza\|\w+)-[0-9]+" % self.port, rb"\1\2", head)
        return hashlib.sha256(plain + shown_body(head, body)).hexdigest()[:12].encode()

    def _located(self, piece: bytes) -> bytes:
        """The piece, with its address at the API host filled in."""
        if _HERE not in piece:
            return piece
        found = piece.replace(_HERE, _HERE % (HOSTS["na"].encode(), self.port))
        body = found.partition(b"\r\n\r\n")[2]
        return re.sub(rb"Content-Length: [0-9]+", b"Content-Length: %d" % len(body), found)

    def _by_itself(self, head: bytes, body: bytes) -> object:
        """What the proxy asks for in the background: a token, or a list."""
        target = head.split(b" ", 2)[1]
        if target.startswith(b"/auth/o2/token"):
            asked = dict(urllib.parse.parse_qsl(body.decode()))
            name = asked["refresh_token"].rpartition("-")[2]
            self._issued[name] += 1
            token = f"Atza|{name}-{self._issued[name]}"
            return {
                "access_token": token,
                "refresh_token": asked["refresh_token"],
                "token_type": "bearer",
                "expires_in": 3600,
            }
        account = re.findall(rb"Atza\|(\w+)-", head)[0].decode()
        host = re.findall(rb"(?i)\r\nhost: *([0-9.]+)", head)[0].decode()
        region = next(region for region, known in HOSTS.items() if known == host)
        if target.startswith(b"/v2/profiles"):
            return [_profile(number) for number in LISTED.get((account, region), ())]
        if target.startswith(b"/adsAccounts"):
            return {"adsAccounts": [ADS_ACCOUNT] if (account, region) == ("acme", "na") else []}
        return {"managerAccounts": []}


def _profile(number: int) -> dict[str, object]:
    about = {"marketplaceStringId": "M", "id": f"E{number}", "type": "seller", "name": "x", "validPaymentMethod": True}
    return {
        "profileId": number,
        "countryCode": "US",
        "currencyCode": "USD",
        "timezone": "America/Los_Angeles",
        "accountInfo": about,
    }


def shown_body(head: bytes, body: ReadBody) -> bytes:
    """A body without how it was cut into chunks: that depends on how the bytes arrived."""
    payload, trailers = body
    end = b"(end)" if b"\r\ntransfer-encoding: chunked\r\n" in head.lower() else b""
    return payload + end + b"".join(b"%b: %b\r\n" % trailer for trailer in trailers)
