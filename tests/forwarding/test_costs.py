"""What a client can make the proxy do, by the work of the event loop's thread: for its size, no request costs much more
than a plain 401."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable
from functools import cache
from itertools import count
from typing import Any

import pytest

from proxy.access.client_keys import ClientKey
from proxy.access.clients import Budgets, Clients
from proxy.access.paths import PathPattern
from proxy.access.placeholders import Placeholders
from proxy.access.policy import Policy
from proxy.app.rules import make_routing_table
from proxy.body_reader import READER, SHORT_READER
from proxy.http1.body_copy import LARGE
from proxy.routing.operations import Access
from proxy.routing.table import EmptyDirectory
from tests.support.costs import Cost, cost_of
from tests.support.deciding import config
from tests.support.memory_bench import MemoryBench

LIMITED, FREE = b"a key of a limited client", b"a key of one without limits"
FIXED = b"a key of one whose messages may name its own accounts only"
ACCOUNTS: dict[str, Any] = {f"account-{number:03}": {} for number in range(300)}
NUMBERS = count(1000)
ORDER, MCP = b"/@account-000/adsApi/v1/create/reports", b"/@account-000/mcp"
REST = 230_000
"""Bytes of a body, of the 256 KiB that are kept."""


def policy(name: str, key: bytes, **limits: Any) -> Policy:
    return Policy(name, (ClientKey(hashlib.sha256(key).hexdigest()),), **limits)


@cache
def clients() -> Clients:
    own = {"profiles": frozenset((b"123",)), "account_ids": frozenset((b"amzn1.x",))}
    limits = {"paths": (PathPattern.read("/*"),), "mcp_tools": (PathPattern.read("*"),), "requests_per_minute": 10**9}
    limited = policy("limited", LIMITED, **own, **limits, access=Access.WRITE, unscoped_paths=frozenset((b"/mcp",)))
    fixed = policy("fixed", FIXED, profiles=frozenset((b"123",)))
    return Clients([limited, fixed, policy("free", FREE)], Placeholders(b"key"), Budgets())


def request(target: bytes, *lines: bytes, key: bytes = LIMITED, body: bytes = b"") -> bytes:
    """One that no memory knows: each has a number of its own."""
    head = [b"%b %b HTTP/1.1" % (b"POST" if body else b"GET", target), b"Host: 127.0.0.1"]
    if key:
        head.append(b"X-Ads-Proxy-Key: " + key)
    if body:
        head += [b"Content-Type: application/json", b"Content-Length: %d" % len(body)]
    return b"\r\n".join((*head, *lines, b"", body))


def numbered(form: bytes, times: int, between: bytes = b"") -> bytes:
    """So many texts that are all new."""
    return between.join(form % next(NUMBERS) for _ in range(times))


def filled(form: bytes, size: int) -> bytes:
    """As many as fill so many bytes, with commas."""
    return numbered(form, size // (len(form % next(NUMBERS)) + 2), b",")


def form(parameters: bytes) -> bytes:
    body = b"grant_type=refresh_token&client_id=free&client_secret=" + FREE.replace(b" ", b"+") + b"&" + parameters
    lines = b"Content-Type: application/x-www-form-urlencoded", b"Content-Length: %d" % len(body)
    return b"POST /auth/o2/token HTTP/1.1\r\nHost: 127.0.0.1\r\n" + b"\r\n".join((*lines, b"", body))


def order(reports: bytes) -> bytes:
    body = b'{"accessRequestedAccounts":[{"advertiserAccountId":"amzn1.x"}],"reports":[%b]}' % reports
    return request(ORDER, body=body)


def call(arguments: bytes, key: bytes = LIMITED) -> bytes:
    start = b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"any","arguments":['
    return request(MCP, key=key, body=start + arguments + b"]}}")


KEYWORD = (
    b'{"campaignId":"12345678","adGroupId":"23456789","keywordText":"running shoes %d","matchType":"EXACT",'
    b'"bid":1.05,"state":"ENABLED"}'
)
HEADS: dict[str, Callable[[], bytes]] = {
    "a wrong key": lambda: request(b"/v2/profiles", key=numbered(b"key-%d", 1)),
    "an unknown operation": lambda: request(numbered(b"/unknown/%d", 1)),
    "names in the query": lambda: request(b"/v2/profiles?" + numbered(b"a%d", 99, b"&")),
    "names encoded four times": lambda: request(b"/v2/profiles?" + numbered(b"%%2525252561%d", 99, b"&")),
    "short names encoded": lambda: request(b"/v2/profiles?" + numbered(b"%%252561%d", 99, b"&")),
    "too many names": lambda: request(b"/v2/profiles?" + b"a&" * 4000),
    "a list of its own profile": lambda: request(b"/v2/profiles?profileId=" + b"123," * 2000),
    "a list of profiles": lambda: request(b"/v2/profiles?profileId=" + numbered(b"%d", 1500, b",")),
    "segments": lambda: request(b"/a" * 4000 + numbered(b"/%d", 1)),
    "encoded segments": lambda: request(b"/%61" * 2000),
    "dot segments": lambda: request(b"/.." * 2500),
    "header fields": lambda: request(b"/v2/profiles", *(numbered(b"x-%d: 1", 1) for _ in range(190))),
    "account headers": lambda: request(b"/v2/profiles", *(numbered(b"x-%d-accountid: ,", 1) for _ in range(190))),
    "a list in a header": lambda: request(b"/v2/profiles", b"AdvertiserId: " + b"," * 60_000),
    "Connection": lambda: request(b"/v2/profiles", b"Connection: " + numbered(b"x%d", 7000, b",")),
    "an unknown account": lambda: request(numbered(b"/@account-%dx/v2/profiles", 1)),
    "an unknown account, not limited": lambda: request(numbered(b"/@account-%dx/v2/profiles", 1), key=FREE),
    "an unknown account in a header": lambda: request(
        b"/v2/profiles", numbered(b"X-Ads-Account: account-%dx", 1), key=FREE
    ),
    "a token request of many parameters": lambda: form(numbered(b"a%d=1", 700, b"&")),
    "a token request of encoded parameters": lambda: form(numbered(b"%%61%d=%%61", 500, b"&")),
    "a token request for an unknown account": lambda: form(b"refresh_token=" + numbered(b"account-%dx", 1)),
    "a small order": lambda: order(filled(b'{"a%d":1}', LARGE - 200)),
    "a small order of empty objects": lambda: order(b"{}," * (LARGE // 3 - 60) + b"{}"),
    "a small call": lambda: call(b"{}," * (LARGE // 3 - 60) + b"{}"),
    "a small call, not limited": lambda: call(b"{}," * (LARGE // 3 - 60) + b"{}", FREE),
}
SMALL: dict[str, Callable[[], bytes]] = {
    "texts": lambda: call(b'"",' * (LARGE // 3 - 60) + b"{}", FIXED),
    "texts in texts": lambda: call(b'"[0]",' * (LARGE // 6 - 60) + b"{}", FIXED),
    "names": lambda: call(filled(b'{"a%d":""}', LARGE - 200), FIXED),
}
BODIES: dict[str, Callable[[], bytes]] = {
    "an order of many names": lambda: order(b"{" + filled(b'"a%d":1', REST) + b"}"),
    "an order of objects": lambda: order(filled(b'{"a%d":1}', REST)),
    "an order of empty objects": lambda: order(b"{}," * (REST // 3) + b"{}"),
    "an order of numbers": lambda: order(b"0," * (REST // 2) + b"0"),
    "a call of objects": lambda: call(b'{"a":1},' * (REST // 8) + b"1"),
    "a call of empty objects": lambda: call(b"{}," * (REST // 3) + b"1"),
    "a call, not limited": lambda: call(b"{}," * (REST // 3) + b"1", FREE),
    "a call of a long text": lambda: call(b'"%b"' % (b"a" * REST), FIXED),
    "a call of keywords": lambda: call(filled(KEYWORD, REST), FIXED),
}
TOO_COSTLY = ("an order of numbers", "an order of empty objects", "a call of objects", "a call of empty objects")
"""They have more parts than are checked."""


@pytest.fixture(name="rules", scope="module")
def _rules() -> dict[str, object]:
    return {"clients": clients(), "table": make_routing_table(config(ACCOUNTS), EmptyDirectory())}


async def cost(rules: dict[str, Any], make: Callable[[], bytes]) -> tuple[Cost, int, int]:
    """What the last piece of a request costs until the event loop waits again, its bytes, and how many requests of
    three arrived at Amazon."""
    bench, clients = MemoryBench(**rules), []
    for _ in range(3):
        client, data = bench.client(), make()
        *pieces, last = [data[at : at + 65_536] for at in range(0, len(data), 65_536)]
        client.send(*pieces)
        found = cost_of(lambda: client.send(last))  # noqa: B023 - called in this turn
        for reader in (READER, SHORT_READER):  # what came before is done then
            await asyncio.get_running_loop().run_in_executor(reader._thread, str)
        await bench.rest(client)
        clients.append(client)
    await bench.stop(*clients)
    return found, len(data), len(bench.messages)


async def plain_401(rules: dict[str, Any]) -> tuple[Cost, int, int]:
    return await cost(rules, lambda: request(b"/v2/profiles", key=b""))


@pytest.mark.parametrize("name", HEADS)
async def test_no_request_costs_more_than_plain_401s_do(rules: dict[str, Any], name: str) -> None:
    """Ten of them, or three times as many as have its size; in instructions of Python, and in calls."""
    (plain, plain_size, _), (found, size, _) = await plain_401(rules), await cost(rules, HEADS[name])
    share = max(10.0, 3 * size / plain_size)
    assert found.instructions <= share * plain.instructions
    assert found.calls <= share * plain.calls


@pytest.mark.parametrize("name", BODIES)
async def test_a_large_body_is_not_read_by_the_event_loop(rules: dict[str, Any], name: str) -> None:
    """Its last piece costs the loop no more than ten plain 401s, and the request arrives unless it costs too much."""
    (plain, *_), (found, size, arrived) = await plain_401(rules), await cost(rules, BODIES[name])
    assert size > 0.9 * REST
    assert arrived == (0 if name in TOO_COSTLY else 3)
    assert found.instructions <= 10 * plain.instructions


@pytest.mark.parametrize("name", SMALL)
async def test_a_small_body_of_many_parts_is_not_read_by_the_event_loop(rules: dict[str, Any], name: str) -> None:
    """The cost of a body decides, not its size."""
    (plain, *_), (found, size, arrived) = await plain_401(rules), await cost(rules, SMALL[name])
    assert (size < LARGE + 200, arrived) == (True, 3)
    assert found.instructions <= 10 * plain.instructions
