"""Messages to the MCP endpoint of a frozen client: what reads goes on, what may change something gets a tool result."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import pytest

from proxy.access.client_keys import ClientKey
from proxy.access.clients import Budgets, Clients
from proxy.access.placeholders import Placeholders
from proxy.access.policy import Policy
from proxy.events import SpendVerdict
from proxy.routing.operations import Access
from proxy.spend.freezes import FreezeEntry, Freezes
from tests.audit.test_writes_recorded import INVOKE, NOT_WRITES, QUERY, UPDATE_TOOL, WRITES, call, mcp, method
from tests.support.proxy_bench import ProxyBench, Running
from tests.support.wire import HELLO, answering

DETAIL = (
    "All writes through this proxy are frozen (Bids). Nothing was sent, and reads go on. Ask the operator to unfreeze "
    "them."
)


def freezes_of(bench: ProxyBench) -> Freezes:
    return bench.path.memory.spend.freezes


def freeze(bench: ProxyBench, client: str | None = None, *, frozen: bool = True) -> None:
    freezes_of(bench).change(client, FreezeEntry(frozen, "ann@desk", "Bids", 1_800_000_000.0))


@pytest.mark.parametrize("name", NOT_WRITES)
async def test_what_only_reads_goes_on(running: Running, name: str) -> None:
    """Lists, queries, reports, streams, the end of a session; also a body that costs much to read."""
    sent, effect = NOT_WRITES[name]
    async with running(answering(HELLO)) as bench:
        freeze(bench)
        assert (await bench.ask(sent)).status == 200
        event = await bench.events.last()
        assert (event.operation_class, event.spend) == (effect, None)


@pytest.mark.parametrize("name", WRITES)
async def test_what_may_write_is_frozen(running: Running, name: str) -> None:
    """Everything that is not known to read, until it is unfrozen."""
    sent = WRITES[name]
    async with running(answering(HELLO)) as bench:
        freeze(bench)
        costly = name == "a costly body"  # a query, which a gate has the time to read
        answer = await bench.ask(sent)
        assert b"frozen (Bids)" in answer.body or costly
        assert len(bench.upstream.wires) == costly
        freeze(bench, frozen=False)
        assert (await bench.ask(sent)).status == 200
        event = await bench.events.last(2)
        assert event.attempts == 1


async def test_a_frozen_call_gets_a_tool_result(running: Running) -> None:
    """An agent hands it on to its model, which is told not to try again; the account names the tool."""
    async with running(answering(HELLO)) as bench:
        freeze(bench)
        answer = await bench.ask(mcp(call(UPDATE_TOOL)))
        said = json.loads(answer.body)
        assert (answer.status, said["id"], said["result"]["isError"]) == (200, 1, True)
        assert said["result"]["content"] == [{"type": "text", "text": f"{DETAIL} Do not retry."}]
        event = await bench.events.last()
        assert (event.status, event.refusal, event.mcp_tools) == (200, "frozen", (UPDATE_TOOL,))
        assert event.spend is not None
        assert (event.spend.verdict, event.attempts) == (SpendVerdict.FROZEN, 0)


async def test_an_agent_is_told_to_wait_while_nothing_is_known(running: Running) -> None:
    """The store could not be read at the start: its call may be repeated."""
    async with running(answering(HELLO)) as bench:
        freezes_of(bench).set_unknown("The store is away.")
        said = json.loads((await bench.ask(mcp(call(UPDATE_TOOL)))).body)["result"]
        assert said["isError"]
        assert said["content"][0]["text"].endswith("The store is away. Reads go on. Send the request again later.")
        assert (await bench.ask(mcp(call(QUERY)))).status == 200
        assert (await bench.events.last(2)).spend is None


async def test_of_several_messages_none_is_sent(running: Running) -> None:
    """Each is answered: the one that could have been sent alone is told so."""
    async with running(answering(HELLO)) as bench:
        freeze(bench)
        batch = [call(QUERY), {**call(INVOKE, name=UPDATE_TOOL, arguments={}), "id": 2}, {**method("x/y"), "id": 3}]
        first, second, third = json.loads((await bench.ask(mcp(batch))).body)
        assert first["result"]["content"][0]["text"].startswith("Not sent, because another message")
        assert second["result"]["content"][0]["text"] == f"{DETAIL} Do not retry."
        assert third["error"]["message"] == f"{DETAIL} Do not retry."
        assert bench.upstream.wires == []


async def test_a_body_that_is_too_large_to_be_read_is_refused(running: Running) -> None:
    """While it is frozen: nobody knows what it does."""
    large = mcp(call(QUERY, padding="x" * 2000))
    async with running(answering(*[HELLO] * 2), replay_bytes=1000) as bench:
        freeze(bench)
        assert (await bench.ask(large)).status == 413
        freeze(bench, frozen=False)
        assert (await bench.ask(large)).status == 200


async def test_the_servers_own_word_about_a_tool_counts(running: Running) -> None:
    """A tool that reads by its name, but is not read-only by the server's list, is frozen."""
    async with running(answering(HELLO)) as bench:
        freeze(bench)
        bench.path.memory.mcp.hints.learn("default", "na", {QUERY: False})
        assert b'"isError": true' in (await bench.ask(mcp(call(QUERY)))).body


def policy(name: str, **limits: Any) -> Policy:
    return Policy(name, (ClientKey(hashlib.sha256(name.encode()).hexdigest()),), **limits)


async def test_a_client_is_frozen_alone(running: Running) -> None:
    """By its name; one whose tools are limited is told first what it may never call."""
    reader = policy("reader", access=Access.READ)
    clients = Clients([policy("agent"), policy("other"), reader], Placeholders(b"key"), Budgets())
    async with running(answering(*[HELLO] * 2), clients=clients) as bench:
        freeze(bench, "agent")
        freeze(bench, "reader")
        sent = {
            name: mcp(call(UPDATE_TOOL), b"X-Ads-Proxy-Key: " + name.encode()) for name in ("agent", "other", "reader")
        }
        assert b"All writes of client agent are frozen (Bids)." in (await bench.ask(sent["agent"])).body
        assert (await bench.ask(sent["other"])).body == b"hello"
        assert b"access: read" in (await bench.ask(sent["reader"])).body
