"""A write that is over a limit never leaves, however it is spelled, and whatever was sent before it.

The requests go through real sockets; what arrives at the upstream is compared with what was sent within the limits.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import random
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.access.client_keys import ClientKey
from proxy.access.clients import Budgets, Clients
from proxy.access.placeholders import Placeholders
from proxy.access.policy import Policy
from proxy.app.rules import make_routing_table
from proxy.profiles.listing import Profile
from proxy.spend.capability import SpendMemory
from proxy.spend.ledger import StoreLedger
from proxy.spend.limits import SpendLimits
from proxy.tokens.store import MemoryStore
from tests.fuzz.depth import LONG
from tests.spend.escape import (
    BID,
    BUDGET,
    CALLS,
    CODINGS,
    ENCODINGS,
    LINES,
    MCP_LINES,
    MESSAGES,
    PERCENT,
    SHAPES,
    STATES,
    TARGETS,
    TYPES,
    WRITES,
    Head,
    Spelling,
    ToolCall,
    Write,
    among_others,
    framed,
    harmless,
    is_over_by_value,
)
from tests.support.deciding import Listed, config
from tests.support.patience import PATIENCE
from tests.support.proxy_bench import ProxyBench, Running
from tests.support.wire import Script, Wire

KEY, LIMITED_KEY = b"a key of an agent", b"a key of a limited agent"
OK = b"HTTP/1.1 207 Multi-Status\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"
READ = b"GET /v2/profiles HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Ads-Proxy-Key: %b\r\n\r\n" % KEY
BRIEFLY = settings(max_examples=50, deadline=None)
SEEDS = st.integers(0, 2**32)
PROFILES = {
    "11": ("na", Profile("11", "Brand", "US", "USD", "America/Los_Angeles", "seller", "A1", "E1")),
    "22": ("eu", Profile("22", "Marke", "DE", "EUR", "Europe/Berlin", "seller", "A2", "E2")),
}


class Profiles(Listed):
    """A directory of `PROFILES`, all of the account `default`."""

    def __init__(self) -> None:
        super().__init__({name: (("default", region),) for name, (region, _) in PROFILES.items()})

    def describe(self, profile: str, account: str, region: str) -> Profile | None:
        home, known = PROFILES.get(profile, ("", None))
        return known if home == region else None


@dataclass(slots=True)
class Arrivals:
    """The upstream: answers each request, and keeps the bodies of those that have one."""

    bodies: list[bytes] = field(default_factory=list)
    heads: list[bytes] = field(default_factory=list)

    async def __call__(self, wire: Wire) -> None:
        while True:
            head, body = await wire.request()
            self.heads.append(head)
            if body or not head.startswith(b"GET "):
                self.bodies.append(body)
            wire.send(OK)


def spending(**others: Any) -> dict[str, Any]:
    """The rules of two clients that may spend little; the second one is limited to profiles, too, so that its MCP
    sessions are for one of them, and amounts have a currency."""
    keys = [(ClientKey(hashlib.sha256(key).hexdigest()),) for key in (KEY, LIMITED_KEY)]
    agent = Policy("agent", keys[0], limits_spend=True)
    limited = Policy("limited", keys[1], limits_spend=True, profiles=frozenset(name.encode() for name in PROFILES))
    rules: dict[str, Any] = {
        "budget": {"USD": Decimal(BUDGET)},
        "bid": {"USD": Decimal(BID)},
        "bid_adjustment": Decimal(PERCENT),
        "states": frozenset(STATES),
    }
    limits = SpendLimits(**(rules | others))
    return {
        "clients": Clients([agent, limited], Placeholders(b"key"), Budgets()),
        "spend_limits": {"agent": limits, "limited": limits},
        "table": make_routing_table(config({"default": {}}), Profiles()),
    }


@dataclass(slots=True)
class Attack:
    """Sends requests from a thread through a proxy that runs on `loop`."""

    bench: ProxyBench
    arrivals: Arrivals
    loop: asyncio.AbstractEventLoop
    answers: Counter[int] = field(default_factory=Counter)

    def send(self, *requests: bytes) -> list[int]:
        """Send all on one connection at once; gives the statuses of the answers that came, until one ends it."""
        sending = asyncio.run_coroutine_threadsafe(self._send(requests), self.loop)
        statuses = sending.result(PATIENCE)
        self.answers.update(statuses[-1:])
        return statuses

    async def _send(self, requests: tuple[bytes, ...]) -> list[int]:
        wire = await self.bench.client(*requests)
        statuses: list[int] = []
        with contextlib.suppress(EOFError):
            while len(statuses) < len(requests):
                answer = await wire.answer()
                if answer.status >= 200:
                    statuses.append(answer.status)
        wire.abort()
        self.bench.clients.remove(wire)
        return statuses

    def nothing_arrived(self, *but: bytes) -> None:
        """Fail if a body arrived that is none of these."""
        arrived, self.arrivals.bodies = self.arrivals.bodies, []
        assert [body for body in arrived if body not in but] == []


@contextlib.asynccontextmanager
async def attacked(running: Running, script: Script | None = None, **others: Any) -> AsyncIterator[Attack]:
    """A proxy with a client that may spend little, in all regions, and somebody who attacks it."""
    arrivals = Arrivals()
    async with running(script or arrivals, **spending(**others)) as bench:
        bench.path.memory = replace(bench.path.memory, spend=SpendMemory(StoreLedger(MemoryStore().counts)))
        url = f"http://127.0.0.1:{bench.upstream.port}"
        bench.apply(api_urls={"eu": url, "fe": url})
        yield Attack(bench, arrivals, asyncio.get_running_loop())


def head_of(write: Write, *lines: bytes, target: bytes = b"", types: tuple[bytes, ...] | None = None) -> Head:
    """The head of a write of the client, for its profile in US dollars."""
    scope = () if any(line.startswith(b"Amazon-") for line in lines) else (b"Amazon-Advertising-API-Scope: 11",)
    kinds = tuple(b"Content-Type: " + each for each in ((write.media,) if types is None else types))
    key = LIMITED_KEY if write.path.startswith(b"/mcp") else KEY
    own = (b"Host: 127.0.0.1", b"X-Ads-Proxy-Key: " + key, *scope, *kinds)
    return Head(write.method, target or write.path, (*own, *lines))


def body_of(content: Any, chance: random.Random, encoding: str, shape: str) -> bytes:
    """The bytes of a content, spelled by chance."""
    return ENCODINGS[encoding](Spelling(chance).write(SHAPES[shape](content)), chance)


def usually(usual: str, others: Any) -> st.SearchStrategy[str]:
    """One name most of the time, else any of the others."""
    return st.one_of(st.just(usual), st.just(usual), st.sampled_from(list(others)))


writes = st.sampled_from(WRITES)
items = st.sampled_from(((0, 0), (0, 0), (0, 1), (1, 0), (3, 3), (999, 0), (0, 999), (500, 499)))


@st.composite
def spelled_writes(draw: st.DrawFn) -> tuple[bytes, ...]:
    """A write over a limit, in any spelling, perhaps behind others on the same connection."""
    write, chance = draw(writes), random.Random(draw(SEEDS))
    content = among_others(write.content, write.in_list, *draw(items))
    body = body_of(content, chance, draw(usually("UTF-8", ENCODINGS)), draw(usually("as it is", SHAPES)))
    target = TARGETS[draw(usually("plain", TARGETS))](write.path, chance)
    lines = draw(st.lists(st.sampled_from(LINES), max_size=2))
    head = head_of(write, *lines, target=target, types=draw(st.sampled_from(TYPES)))
    if draw(st.integers(0, 5)) == 0:
        coding, code = draw(st.sampled_from(list(CODINGS.items())))
        head, body = head.with_lines(b"Content-Encoding: " + coding), code(body)
    if draw(st.integers(0, 9)) == 0:
        head = replace(head, method=draw(st.sampled_from((b"POST", b"PUT", b"PATCH", b"DELETE", b"post", b"QUERY"))))
    return (*draw(st.sampled_from(((), (), (READ,), (READ, READ, READ)))), framed(head, body, chance))


@st.composite
def spelled_calls(draw: st.DrawFn) -> tuple[bytes, ...]:
    """A call of a tool over a limit, in any message."""
    call, chance = draw(st.sampled_from(CALLS)), random.Random(draw(SEEDS))
    return (framed_call(call, chance, draw),)


def framed_call(call: ToolCall, chance: random.Random, draw: st.DrawFn) -> bytes:
    arguments = among_others(call.arguments, call.in_list, *draw(items))
    arguments = {**arguments, "body": SHAPES[draw(usually("as it is", SHAPES))](arguments["body"])}
    message = MESSAGES[draw(st.sampled_from(list(MESSAGES)))](call.tool, arguments)
    body = body_of(message, chance, draw(usually("UTF-8", ENCODINGS)), "as it is")
    path = draw(st.sampled_from((b"/mcp", b"/mcp", b"/mcp/lite")))
    write = Write(b"POST", path, b"application/json", None)
    lines = draw(st.lists(st.sampled_from((*LINES, *MCP_LINES)), max_size=1))
    target = TARGETS[draw(usually("plain", TARGETS))](path, chance)
    return framed(head_of(write, *lines, target=target, types=draw(st.sampled_from(TYPES))), body, chance)


async def none_leaves(running: Running, chosen: st.SearchStrategy[tuple[bytes, ...]], depth: settings) -> None:
    """Whatever is chosen, nothing of it arrives."""
    async with attacked(running) as attack:

        @depth
        @given(chosen)
        def try_each(requests: tuple[bytes, ...]) -> None:
            attack.send(*requests)
            attack.nothing_arrived()

        await asyncio.to_thread(try_each)
        assert attack.answers.keys() & {403, 200}, attack.answers


async def test_no_write_over_a_limit_leaves(running: Running) -> None:
    """Writes of REST in other spellings, shapes, types, codings, framings and paths are refused."""
    await none_leaves(running, spelled_writes(), BRIEFLY)


async def test_no_call_over_a_limit_leaves(running: Running) -> None:
    """Calls of MCP tools in other spellings, messages and shapes are refused."""
    await none_leaves(running, spelled_calls(), BRIEFLY)


@pytest.mark.fuzz
async def test_no_write_over_a_limit_leaves_at_length(running: Running) -> None:
    """Many more writes of REST are refused."""
    await none_leaves(running, spelled_writes(), LONG)


@pytest.mark.fuzz
async def test_no_call_over_a_limit_leaves_at_length(running: Running) -> None:
    """Many more calls of MCP tools are refused."""
    await none_leaves(running, spelled_calls(), LONG)


def plain_request(write: Write, content: Any, size: int = 0) -> tuple[bytes, bytes]:
    """A write with this content, plainly, and its body, padded with blanks to this size."""
    body = Spelling(random.Random(0), plain=True).write(content).encode().ljust(size)
    head = head_of(write)
    lines = b"".join(line + b"\r\n" for line in (*head.lines, b"Content-Length: %d" % len(body)))
    return b"%b %b HTTP/1.1\r\n%b\r\n%b" % (head.method, head.target, lines, body), body


@pytest.mark.parametrize("write", [each for each in WRITES if is_over_by_value(each.content)], ids=repr)
async def test_a_known_head_makes_no_write_known(write: Write, running: Running) -> None:
    """Writes within the limits leave; one that differs from them in its body alone does not, before and after."""
    async with attacked(running) as attack:
        over, body = plain_request(write, write.content)
        small, small_body = plain_request(write, harmless(write.content), len(body))

        def try_each() -> None:
            assert attack.send(small, small, small, over, small, over) == [207, 207, 207, 403, 207, 403]
            assert attack.send(over, small) == [403, 207]
            assert attack.arrivals.bodies == [small_body] * 5

        await asyncio.to_thread(try_each)


def json_request(method: bytes, target: bytes, media: bytes, content: Any, *lines: bytes) -> bytes:
    """A request of the first client, or at the MCP endpoint of the second one, for its profile in US dollars."""
    body = content if isinstance(content, bytes) else json.dumps(content).encode()
    head = head_of(Write(method, target, media, None), *lines)
    section = b"".join(line + b"\r\n" for line in (*head.lines, b"Content-Length: %d" % len(body)))
    return b"%b %b HTTP/1.1\r\n%b\r\n%b" % (method, target, section, body)


SP = b"application/vnd.spCampaign.v3+json"
CHEAP = {"campaigns": [{"campaignId": "1", "budget": {"budget": 10, "budgetType": "DAILY"}}]}
CAMPAIGN_BUDGETS = {
    "campaigns": [
        {"campaignId": "1", "budgets": [{"budgetValue": {"monetaryBudgetValue": {"monetaryBudget": {"value": 95}}}}]}
    ]
}
CALL_95: dict[str, Any] = {
    "jsonrpc": "2.0",
    "id": 1,
    "method": "tools/call",
    "params": {"name": "campaign_management-update_campaign_budget", "arguments": {"body": CAMPAIGN_BUDGETS}},
}
EUROS = {"budget": {"USD": Decimal(BUDGET), "EUR": Decimal(50), "JPY": Decimal(15_000)}}
CASES: dict[str, tuple[dict[str, Any], bytes]] = {
    "another profile in the body": (
        EUROS,
        json_request(b"PUT", b"/v2/profiles", b"application/json", [{"profileId": 22, "dailyBudget": 95}]),
    ),
    "another profile in the arguments": (
        EUROS,
        json_request(
            b"POST",
            b"/mcp",
            b"application/json",
            CALL_95 | {"params": CALL_95["params"] | {"arguments": {"profileId": "22", "body": CAMPAIGN_BUDGETS}}},
        ),
    ),
    "another currency in the body": (
        EUROS,
        json_request(
            b"PUT",
            b"/portfolios",
            b"application/vnd.spPortfolio.v3+json",
            {"portfolios": [{"portfolioId": "1", "budget": {"amount": 1000, "currencyCode": "JPY"}}]},
        ),
    ),
    "an argument in a header": (
        {},
        json_request(
            b"POST",
            b"/mcp",
            b"application/json",
            CALL_95 | {"params": {"name": "campaign_management-update_campaign_budget", "arguments": {"body": {}}}},
            b"Amazon-Advertising-API-Scope: 11",
            b"Mcp-Param-Budget: 1000",
        ),
    ),
    "a budget in the query": ({}, json_request(b"PUT", b"/sp/campaigns?budget=1000", SP, CHEAP)),
    "a budget in the query of a write without money": (
        {},
        json_request(b"POST", b"/sd/creatives?adGroup.bid=1000", b"application/json", []),
    ),
}


@pytest.mark.parametrize(("limits", "request_bytes"), CASES.values(), ids=CASES)
async def test_what_somebody_tried_does_not_leave(
    limits: dict[str, Any], request_bytes: bytes, running: Running
) -> None:
    """Each of these once seemed to be within the limits, or to be nothing that they are about."""
    async with attacked(running, **limits) as attack:
        answer = await attack.bench.ask(request_bytes)
        assert (answer.status in (200, 400, 403), attack.arrivals.bodies) == (True, [])
