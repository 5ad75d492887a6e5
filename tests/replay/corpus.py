"""The requests of the recorded session: made from a seed, so that only what came of them has to be kept.

A group is played at once: its connections are written to in turn, piece by piece, and the next group begins when all of
its responses are complete. A change happens between two groups. Nothing is sent here, and nothing is judged.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from random import Random

from tests.replay.amazon import REPLIES, Reply
from tests.replay.settings import ACCOUNTS, KEYS, PROFILES, PUBLIC_HOSTS

PLACEHOLDER = b"(a placeholder for %b)"
"""Replaced by the last token that the local token endpoint issued for this account."""
GROUPS_PER_BLOCK = 50


@dataclass(frozen=True, slots=True)
class Case:
    """One request. `number` is its place in the corpus, `mark` the number in its `X-Case` field."""

    number: int
    mark: int
    data: bytes
    to_head: bool
    replies: tuple[Reply, ...]


@dataclass(frozen=True, slots=True)
class Group:
    """Connections by the requests that each carries, and the order in which their pieces are written."""

    connections: tuple[tuple[Case, ...], ...]
    writes: tuple[tuple[int, bytes], ...]


@dataclass(frozen=True, slots=True)
class Change:
    """What happens between two groups: a reload of this variant, or so many days passing."""

    variant: int | None = None
    days: int = 0


@dataclass(slots=True)
class Corpus:
    """A seeded stream of groups and changes. The first N requests are the same, however many are asked for."""

    seed: int
    operations: tuple[tuple[str, str], ...]
    """Method and path template, of Amazon's operations."""
    _random: Random = field(init=False)
    _number: int = field(init=False, default=0)

    def __post_init__(self) -> None:
        self._random = Random(self.seed)

    def steps(self, requests: int) -> Iterator[Group | Change]:
        """Groups, with a change before each block, until so many requests have come."""
        groups = 0
        while self._number < requests:
            if groups % GROUPS_PER_BLOCK == 0:
                yield self._change(groups // GROUPS_PER_BLOCK)
            groups += 1
            yield self._group()

    def _change(self, block: int) -> Change:
        return Change(days=self._random.choice((1, 20))) if block % 5 == 4 else Change(variant=block % 3)

    def _group(self) -> Group:
        random = self._random
        if random.random() < 0.15:  # one that may change what the proxy remembers goes alone
            connections: tuple[tuple[Case, ...], ...] = ((self._case(lasting=True),),)
        else:
            sizes = [random.choice((1, 1, 1, 2, 3)) for _ in range(random.choice((1, 2, 3, 4)))]
            connections = tuple(tuple(self._case(lasting=False) for _ in range(size)) for size in sizes)
        pieces = [self._cut(b"".join(case.data for case in cases)) for cases in connections]
        order = [place for place, cut in enumerate(pieces) for _ in cut]
        random.shuffle(order)
        left = [iter(cut) for cut in pieces]
        return Group(connections, tuple((place, next(left[place])) for place in order))

    def _cut(self, data: bytes) -> list[bytes]:
        random = self._random
        if random.random() < 0.6:
            return [data]
        places = sorted({random.randrange(1, len(data)) for _ in range(random.choice((1, 1, 2, 4)))})
        return [data[a:b] for a, b in zip([0, *places], [*places, len(data)], strict=True)]

    def _case(self, *, lasting: bool) -> Case:
        random = self._random
        number = self._number
        self._number += 1
        method, path = self._operation()
        body = self._body(path) if method in ("POST", "PUT", "PATCH") or random.random() < 0.02 else None
        fields = [*self._identity(), *self._selection(), *self._further(), (b"X-Case", b"%d" % number)]
        if random.random() < 0.95:
            fields.append((b"X-Request-Id", b"case-%d" % number))
        fields.extend(self._framing(body))
        random.shuffle(fields)
        host = random.choice(PUBLIC_HOSTS)
        version = random.choices((b"1.1", b"1.0", b"1.2"), (100, 4, 1))[0]
        fields.insert(0 if random.random() < 0.9 else len(fields), (b"Host", host))
        target = self._prefix() + path + self._query()
        line = b"%b %b HTTP/%b\r\n" % (method.encode(), target.encode("latin-1"), version)
        section = b"".join(self._line(name, value) for name, value in fields)
        lasting_kinds = [reply for reply in REPLIES if reply.lasting]
        passing_kinds = [reply for reply in REPLIES if not reply.lasting]
        kinds = lasting_kinds if lasting else passing_kinds
        replies = (random.choices(kinds, [reply.weight for reply in kinds])[0], passing_kinds[0])
        return Case(number, number, line + section + b"\r\n" + (self._coded(body, section)), method == "HEAD", replies)

    # --- the request line

    def _operation(self) -> tuple[str, str]:
        random = self._random
        choice = random.random()
        if choice < 0.35:
            return random.choice(USUAL)
        if choice < 0.45:
            return random.choice(("GET", "POST", "HEAD", "BREW", "OPTIONS", "PUT", "DELETE")), random.choice(ODD_PATHS)
        method, template = random.choice(self.operations)
        values = ("7", "8", "123456789", "amzn1.x", "a-b", "a%20b", "é".encode().decode("latin-1"), "..", "x%2fy")
        path = "/".join(
            random.choices(values, (20, 20, 20, 6, 6, 2, 1, 1, 1))[0] if part.startswith("{") else part
            for part in template.split("/")
        )
        return ("HEAD" if method == "GET" and random.random() < 0.05 else method), path

    def _prefix(self) -> str:
        return self._random.choices(
            ("", "/@acme", "/@beta", "/@shop", "/@nobody", "/na", "/eu", "/@acme/eu", "/@%61cme", "/fe"),
            (60, 8, 6, 6, 1, 3, 3, 3, 1, 1),
        )[0]

    def _query(self) -> str:
        return self._random.choices(
            (
                "",
                "?a=1",
                "?count=7&startIndex=8",
                "?profileId=11",
                "?profileId=99",
                "?url=https://x/y?z",
                "?q=%22%0a",
                "?",
            ),
            (60, 10, 10, 4, 2, 4, 2, 1),
        )[0]

    # --- the fields

    def _identity(self) -> list[tuple[bytes, bytes]]:
        random = self._random
        key = KEYS[random.choices(list(KEYS), (30, 6, 6, 10, 6, 6, 6, 6, 6, 6))[0]]
        account = random.choice(list(ACCOUNTS)).encode()
        kinds: tuple[list[tuple[bytes, bytes]], ...] = (
            [(b"Authorization", b"Bearer " + key)],
            [(b"authorization", key)],
            [(b"X-Ads-Proxy-Key", key)],
            [(b"Authorization", b"Bearer " + PLACEHOLDER % account)],
            [(b"Authorization", b"Bearer wrong-key-of-somebody")],
            [],
            [(b"Authorization", b"Bearer " + key), (b"X-Ads-Proxy-Key", key)],
        )
        return random.choices(kinds, (60, 8, 15, 8, 2, 6, 1))[0]

    def _selection(self) -> list[tuple[bytes, bytes]]:
        random = self._random
        found = []
        if random.random() < 0.8:
            found.append((random.choice(SCOPES), random.choices(PROFILES, (60, 10, 10, 10, 4, 3, 1))[0]))
        if random.random() < 0.01:
            found.append((b"Amazon-Advertising-API-Scope", random.choice(PROFILES)))
        if random.random() < 0.12:
            found.append(
                (random.choice(ACCOUNT_IDS), random.choice((b"amzn1.ads-account.g.a", b"amzn1.ads-account.g.b", b"")))
            )
        if random.random() < (0.7 if not found else 0.06):
            found.append((b"X-Ads-Account", random.choices((b"acme", b"beta", b"shop", b"nobody"), (20, 4, 4, 1))[0]))
        if random.random() < 0.08:
            found.append((b"x-ads-region", random.choices((b"na", b"eu", b"us"), (10, 10, 1))[0]))
        return found

    def _further(self) -> list[tuple[bytes, bytes]]:
        random = self._random
        found = random.sample(HARMLESS, random.choice((0, 1, 2, 3)))
        return [*found, random.choice(TELLING)] if random.random() < 0.12 else found

    def _line(self, name: bytes, value: bytes) -> bytes:
        blank = self._random.choices((b" ", b"", b"  ", b"\t"), (90, 4, 3, 3))[0]
        return name + b":" + blank + value + b"\r\n"

    # --- the body

    def _body(self, path: str) -> bytes:
        random = self._random
        if path.startswith("/mcp"):
            return json.dumps(random.choice(MCP_CALLS)).encode()
        if path == "/auth/o2/token":
            return random.choice(TOKEN_REQUESTS)
        return random.choices(
            (b"", b'{"a":1}', b'{"campaigns":[{"name":"x","state":"ENABLED"}]}', b"x" * 9_000, b"y" * 300_000),
            (10, 40, 30, 5, 1),
        )[0]

    def _framing(self, body: bytes | None) -> list[tuple[bytes, bytes]]:
        random = self._random
        if body is None:
            return []
        if random.random() < 0.2:
            found = [(b"Transfer-Encoding", b"chunked")]
        else:
            found = [(b"Content-Length", b"%d" % len(body))]
        if random.random() < 0.03:
            found.append((b"Expect", b"100-continue"))
        return [*found, (b"Content-Type", random.choice((b"application/json", b"application/vnd.spCampaign.v3+json")))]

    def _coded(self, body: bytes | None, section: bytes) -> bytes:
        if not body:
            return b"0\r\n\r\n" if body is not None and b"chunked" in section else b""
        if b"chunked" not in section:
            return body
        place = self._random.randrange(1, len(body))
        parts = (body[:place], body[place:])
        trailers = self._random.choice((b"", b"", b"X-Sum: 1\r\n"))
        return b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in parts if part) + b"0\r\n" + trailers + b"\r\n"


USUAL = (
    ("GET", "/v2/profiles"),
    ("POST", "/sp/campaigns/list"),
    ("PUT", "/sp/campaigns"),
    ("POST", "/reporting/reports"),
    ("GET", "/reporting/reports/7"),
    ("POST", "/auth/o2/token"),
    ("POST", "/mcp"),
    ("POST", "/mcp/lite"),
    ("POST", "/adsApi/v1/query/campaigns"),
    ("POST", "/adsApi/v1/create/reports"),
    ("POST", "/adsAccounts/list"),
    ("GET", "/v2/reports/8"),
)
ODD_PATHS = (
    "/", "/nonsense", "/ap/oa", "/auth/other", "//v2/profiles", "/v2//profiles", "/v2/./profiles", "/v2/profiles/",
    "/V2/profiles", "/v2/profiles;a", "/%2e%2e/v2/profiles", "/v2/profiles%3Fa", "*", "v2", "/-/reports", "/mcp/other",
    "/amc/instances", "/accounts/7/dsp/x", "/sp/campaign", "/@", "/@acme", "/us/v2/profiles", "/v2/profiles%20",
)  # fmt: skip
SCOPES = (
    *(b"Amazon-Advertising-API-Scope",) * 6, b"amazon-advertising-api-scope", b"Amazon_Advertising_API_Scope",
)  # fmt: skip
ACCOUNT_IDS = (
    b"Amazon-Ads-AccountId",
    b"amazon-ads-accountid",
    b"Amazon-Ads-Account-ID",
    b"Amazon-Ads-Manager-AccountId",
)
HARMLESS: list[tuple[bytes, bytes]] = [
    (b"Accept", b"*/*"),
    (b"User-Agent", b"replay/1"),
    (b"User-Agent", b'replay/2 "quoted\\"'),
    (b"Accept-Encoding", b"gzip"),
    (b"Cookie", b"a=b"),
    (b"Amazon-Advertising-API-ClientId", b"mine"),
    (b"Amazon-Ads-ClientId", b"mine"),
    (b"Via", b"1.1 x"),
    (b"X-Forwarded-For", b"10.0.0.1"),
    (b"Connection", b"keep-alive"),
    (b"X-Odd", b"1"),
    (b"Prefer", b"return=representation"),
    (b"If-None-Match", b'"x"'),
    (b"traceparent", b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
]
TELLING: list[tuple[bytes, bytes]] = [
    (b"Connection", b"close"),
    (b"Connection", b"X-Odd"),
    (b"X-HTTP-Method-Override", b"DELETE"),
    (b"Origin", b"http://elsewhere"),
    (b"Sec-Fetch-Site", b"same-origin"),
    (b"Sec-Fetch-Site", b"cross-site"),
    (b"Amazon-Advertising-API-EntityId", b"E1"),
    (b"Expect", b"something"),
    (b"X_Odd", b"1"),
    (b"X-Ads-Account", b"acme"),
    (b"Content-Encoding", b"gzip"),
]
MCP_CALLS = (
    {"jsonrpc": "2.0", "id": 1, "method": "tools/list"},
    {
        "jsonrpc": "2.0",
        "id": 2,
        "method": "tools/call",
        "params": {"name": "campaign_management-query_campaign", "arguments": {}},
    },
    {
        "jsonrpc": "2.0",
        "id": 3,
        "method": "tools/call",
        "params": {"name": "campaign_management-update_campaign", "arguments": {"id": "1"}},
    },
    {"jsonrpc": "2.0", "id": "i", "method": "initialize", "params": {"protocolVersion": "2025-06-18"}},
    [{"jsonrpc": "2.0", "id": 5, "method": "ping"}],
)
TOKEN_REQUESTS = tuple(
    b"grant_type=refresh_token&client_id=%b&client_secret=%b&refresh_token=%b" % (name.encode(), key, account.encode())
    for name, key in KEYS.items()
    for account in (*ACCOUNTS, "nobody")
)
