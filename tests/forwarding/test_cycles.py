"""What requests, connections and reloads leave behind is freed at once: nothing of it waits for the garbage collector.

`app.object_freezer` hides objects from the collector, and what is hidden in a cycle is never freed.
"""

from __future__ import annotations

import contextlib
import hashlib

import pytest

from proxy.access.client_keys import ClientKey
from proxy.access.clients import Budgets, Clients
from proxy.access.placeholders import Placeholders
from proxy.access.policy import Policy
from proxy.reports.sharing import ReportRules
from proxy.routing.operations import Access
from tests.support.garbage import in_cycles
from tests.support.proxy_bench import Running
from tests.support.wire import GET, HELLO, Script, Wire, answering

pytestmark = pytest.mark.usefixtures("still_ages")
POST = GET.replace(b"GET", b"POST")[:-2]
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


async def _in_pieces(wire: Wire) -> None:
    """Answers with a chunked body, one chunk as soon as the other was sent."""
    while True:
        await wire.request()
        for piece in (CHUNKED, b"5\r\nhello\r\n", b"0\r\n\r\n"):
            wire.send(piece)


async def _cut(wire: Wire) -> None:
    """Ends the connection within the body."""
    await wire.request()
    wire.send(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello")


SCRIPTS: dict[str, Script] = {
    "whole": answering(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"),
    "in pieces": _in_pieces,
    "refused": answering(b"HTTP/1.1 403 Forbidden\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"),
    "throttled": answering(b"HTTP/1.1 429 Too Many Requests\r\nRetry-After: 90\r\nContent-Length: 2\r\n\r\n{}"),
    "token refused": answering(b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 2\r\n\r\n{}"),
    "cut": _cut,
}
REQUESTS = (
    GET,
    POST + b"Content-Length: 2\r\n\r\n{}",
    POST + b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
    GET.replace(b"GET", b"BAD GET"),
)


@pytest.mark.parametrize("script", SCRIPTS.values(), ids=SCRIPTS)
async def test_requests_and_connections_leave_no_cycles(
    running: Running, script: Script, garbage: list[object]
) -> None:
    """Answered, refused, cut, and with a client that disconnects before its response."""
    async with running(script) as bench:
        for request in REQUESTS:
            for _ in range(3):
                client = await bench.client(request)
                with contextlib.suppress(EOFError):
                    await client.answer()
                client.close()
            (await bench.client(request)).abort()
        await bench.settled(lambda: not bench.server.connections and not bench.accounting.in_flight)
    assert in_cycles(garbage) == {}


@pytest.mark.parametrize("late", [False, True])
async def test_a_hedged_request_leaves_no_cycles(
    running: Running, monkeypatch: pytest.MonkeyPatch, garbage: list[object], late: bool
) -> None:
    """Its connection had rested, and answers at once; or it is `late`, and another one answers."""
    heard: list[Wire] = []

    async def script(wire: Wire) -> None:
        while True:
            await wire.request()
            heard.append(wire)
            if not (late and len(heard) == 2):
                wire.send(HELLO)

    async with running(script) as bench:
        await bench.ask()
        monkeypatch.setattr("proxy.upstream.connection.boot_time", lambda: 1030.0)
        client = await bench.client(GET)
        await bench.settled(lambda: len(heard) == 2)
        if late:
            bench.sweep(1.1)
        assert (await client.answer()).status == 200
        assert bench.events.replays == ([("silence", "recovered")] if late else [])
        client.close()
        await bench.settled(lambda: not bench.server.connections and not bench.accounting.in_flight)
    assert in_cycles(garbage) == {}


async def test_rules_that_were_replaced_leave_no_cycles(running: Running, garbage: list[object]) -> None:
    """With what was read and decided under them: of ten thousand accounts that is much, for each reload."""
    script = answering(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello")
    async with running(script) as bench:
        for _ in range(2):
            assert (await bench.ask()).status == 200
            bench.apply()
        assert in_cycles(garbage) == {}


async def test_requests_that_gates_look_at_leave_no_cycles(running: Running, garbage: list[object]) -> None:
    """Orders and polls of reports, and messages of an MCP client whose tools are limited: permitted and forbidden."""
    policy = Policy("agent", (ClientKey(hashlib.sha256(b"key").hexdigest()),), access=Access.REPORT)
    clients = Clients([policy], Placeholders(b"key"), Budgets())
    rules = ReportRules(reuses=True, reuse_for=900.0, paces=True, poll_interval=60.0, adopts=True)
    call = b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"campaign_management-%b_campaign"}}'
    requests = [
        b"POST /reporting/reports HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Ads-Proxy-Key: key\r\nContent-Length: 2\r\n\r\n{}",
        b"GET /reporting/reports/1 HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Ads-Proxy-Key: key\r\n\r\n",
        *(
            b"POST /mcp HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nX-Ads-Proxy-Key: key\r\n"
            b"Content-Length: %d\r\n\r\n%b" % (len(body), body)
            for body in (call % b"query", call % b"update")
        ),
    ]
    async with running(answering(HELLO), clients=clients, reports=rules) as bench:
        for request in requests:
            await bench.ask(request)
            (await bench.client(request)).abort()
        await bench.settled(lambda: not bench.server.connections and not bench.accounting.in_flight)
    assert in_cycles(garbage) == {}
