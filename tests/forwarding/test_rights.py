"""What a client may do is asked again of requests that waited, and of event streams: no right outlives its key."""

from __future__ import annotations

import asyncio
import hashlib
import json
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import pytest

from proxy.access.client_keys import ClientKey
from proxy.access.clients import Budgets, Clients
from proxy.access.placeholders import Placeholders
from proxy.access.policy import Policy
from proxy.forwarding.forwarder import Forwarder
from proxy.forwarding.rights import CHECK_SECONDS, Rights
from proxy.routing.operations import Access
from tests.support.proxy_bench import ProxyBench, Running
from tests.support.wire import HELLO, Script, Wire, answering

KEY = b"correct horse battery staple"
OTHER_KEY = b"key of another client"
FUTURE = 4_000_000_000.0


def clients(key: bytes = KEY, ends_at: float | None = FUTURE, **policy: Any) -> Clients:
    """One client with a key, which expires some day, and one more."""
    keys = (ClientKey(hashlib.sha256(key).hexdigest(), ends_at),)
    other = Policy("other", (ClientKey(hashlib.sha256(OTHER_KEY).hexdigest()),))
    return Clients([Policy("reporting", keys, **policy), other], Placeholders(b"key"), Budgets())


@dataclass(frozen=True)
class Change:
    """What becomes of a client's rights, and the status of its refusal; 0 for none."""

    name: str
    status: int
    make: Callable[[ProxyBench, pytest.MonkeyPatch], None]
    fault: str = ""


def reload(**policy: Any) -> Callable[[ProxyBench, pytest.MonkeyPatch], None]:
    return lambda bench, _: bench.apply(clients=clients(**policy))


def expire(bench: ProxyBench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "time", lambda: FUTURE + 1)


CHANGES = [
    Change("removed", 401, reload(key=b"another key"), "client-unknown"),
    Change("expired", 401, expire, "client-key-ended"),
    Change("narrowed", 403, reload(methods=frozenset((b"DELETE",))), "not-permitted"),
    Change("kept", 0, reload()),
]
EITHER = pytest.mark.parametrize("change", CHANGES, ids=[change.name for change in CHANGES])


def head(request_line: bytes, *lines: bytes, credential: bytes = b"X-Ads-Proxy-Key: " + KEY) -> bytes:
    return b"\r\n".join((request_line + b" HTTP/1.1", b"Host: 127.0.0.1", credential, *lines, b"", b""))


PUT = head(b"PUT /sp/campaigns", b"Content-Length: 4")
GET = head(b"GET /v2/profiles")


def sent(bench: ProxyBench) -> int:
    """Requests that reached Amazon."""
    return sum(bytes(wire.received).count(b" HTTP/1.1\r\n") for wire in bench.upstream.wires)


async def refused_or_sent(bench: ProxyBench, client: Wire, change: Change, before: int = 0) -> None:
    """Check that a request is refused and nothing of it reached Amazon, or that it is served."""
    answer = await client.answer()
    assert answer.status == (change.status or 200)
    assert sent(bench) == before + (change.status == 0)
    if change.status:
        assert json.loads(answer.body)["type"].endswith(change.fault)


# --- what waits before its first byte leaves


@EITHER
async def test_a_body_that_came_late(change: Change, running: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of a small request leaves before its body is here."""
    async with running(answering(HELLO), clients=clients()) as bench:
        client = await bench.client(PUT, b"ab")
        await bench.settled(lambda: bench.accounting.in_flight == 1)
        change.make(bench, monkeypatch)
        client.send(b"cd")
        await refused_or_sent(bench, client, change)


@EITHER
async def test_a_large_body_in_chunks(change: Change, running: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of it leaves before there is as much of the body as is kept."""
    async with running(answering(HELLO), clients=clients(), replay_bytes=1000) as bench:
        client = await bench.client(head(b"PUT /sp/campaigns", b"Transfer-Encoding: chunked"), b"1f4\r\n", b"a" * 500)
        await bench.settled(lambda: bench.accounting.in_flight == 1)
        change.make(bench, monkeypatch)
        client.send(b"\r\n3e8\r\n", b"b" * 1000, b"\r\n0\r\n\r\n")
        await refused_or_sent(bench, client, change)


@EITHER
async def test_a_wait_for_a_token(change: Change, running: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    """The account has none at first."""
    async with running(answering(HELLO), clients=clients()) as bench:
        bench.tokens.cold = True
        bench.tokens.gate.clear()
        client = await bench.client(GET)
        await bench.settled(lambda: bench.accounting.in_flight == 1)
        change.make(bench, monkeypatch)
        bench.tokens.gate.set()
        await refused_or_sent(bench, client, change)


@EITHER
async def test_a_wait_for_a_connection(change: Change, running: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another client has the only one, which serves the next request all the same."""
    go = asyncio.Event()

    async def script(wire: Wire) -> None:
        while True:
            await wire.request()
            await go.wait()
            wire.send(HELLO)

    async with running(script, clients=clients(), pool_limit=1) as bench:
        other = await bench.client(GET.replace(KEY, OTHER_KEY))
        await bench.settled(lambda: sent(bench) == 1)
        client = await bench.client(GET)
        await bench.settled(lambda: bench.accounting.in_flight == 2)
        change.make(bench, monkeypatch)
        go.set()
        assert (await other.answer()).status == 200
        await refused_or_sent(bench, client, change, before=1)
        other.send(GET.replace(KEY, OTHER_KEY))
        assert (await other.answer()).status == 200
        assert len(bench.upstream.wires) == 1


@EITHER
async def test_a_wait_before_another_try(change: Change, running: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    """A 401 made the proxy ask for another token."""

    async def script(wire: Wire) -> None:
        while True:
            request, _ = await wire.request()
            denied = b"Bearer Atza|0" in request
            wire.send(b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n" if denied else HELLO)

    async with running(script, clients=clients()) as bench:
        bench.tokens.gate.clear()
        client = await bench.client(GET)
        await bench.settled(lambda: bench.tokens.renewals == 1)
        change.make(bench, monkeypatch)
        bench.tokens.gate.set()
        await refused_or_sent(bench, client, change, before=1)


async def test_a_placeholder_that_expired(running: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its end counts as that of a key does."""
    known = clients(ends_at=None)
    identity = known.authenticate("reporting", KEY.decode(), time.time())
    assert identity is not None
    access, _ = known.issue(identity, "", time.time())
    async with running(answering(HELLO), clients=known) as bench:
        request = head(b"PUT /x", b"Content-Length: 4", credential=b"Authorization: Bearer " + access.encode())
        client = await bench.client(request, b"ab")
        await bench.settled(lambda: bench.accounting.in_flight == 1)
        monkeypatch.setattr(time, "time", lambda: FUTURE)
        client.send(b"cd")
        assert (await client.answer()).status == 401
        assert sent(bench) == 0


async def test_an_order_for_other_accounts(running: Running) -> None:
    """A body that was checked is checked again by what the client may do now."""
    order = json.dumps({"accessRequestedAccounts": [{"advertiserAccountId": "amzn1.a"}], "reports": [{}]}).encode()
    account, other = frozenset((b"amzn1.a",)), frozenset((b"amzn1.b",))
    rights: dict[str, Any] = {"access": Access.REPORT, "account_ids": account}
    for changed, status in ((account, 200), (other, 403)):
        async with running(answering(HELLO), clients=clients(**rights)) as bench:
            bench.tokens.cold = True
            bench.tokens.gate.clear()
            lines = b"Content-Type: application/json", b"Content-Length: %d" % len(order)
            client = await bench.client(head(b"POST /adsApi/v1/create/reports", *lines), order)
            await bench.settled(lambda bench=bench: bench.accounting.in_flight == 1)  # type: ignore[misc]  # not inferred
            bench.apply(clients=clients(**{**rights, "account_ids": changed}))
            bench.tokens.gate.set()
            assert (await client.answer()).status == status


async def test_an_order_to_a_region_that_a_reload_removes(running: Running) -> None:
    """Its body is judged again, and it goes where it was decided."""
    order = json.dumps({"accessRequestedAccounts": [{"advertiserAccountId": "amzn1.a"}], "reports": [{}]}).encode()
    rights: dict[str, Any] = {"access": Access.REPORT, "account_ids": frozenset((b"amzn1.a",))}
    async with running(answering(HELLO), clients=clients(**rights)) as bench:
        bench.tokens.cold = True
        bench.tokens.gate.clear()
        lines = b"Content-Type: application/json", b"Content-Length: %d" % len(order)
        client = await bench.client(head(b"POST /adsApi/v1/create/reports", *lines), order)
        await bench.settled(lambda: bench.accounting.in_flight == 1)
        kept = {each: url for each, url in bench.rules.endpoints.items() if each != ("api", "na")}
        bench.rules = replace(bench.rules, endpoints=kept)
        bench.apply(clients=clients(**{**rights, "access": Access.WRITE}))
        bench.tokens.gate.set()
        assert (await client.answer()).status == 200


async def test_what_did_not_wait_is_not_asked_again(running: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor what waited under the same rules."""
    asked: list[object] = []
    permit = Forwarder._permit_again

    def note(*arguments: Any) -> Any:
        asked.append(arguments)
        return permit(*arguments)

    monkeypatch.setattr(Forwarder, "_permit_again", note)
    checked: list[object] = []
    check = Rights.check

    def note_check(*arguments: Any) -> None:
        checked.append(arguments)
        check(*arguments)

    monkeypatch.setattr(Rights, "check", note_check)
    async with running(answering(HELLO), clients=clients()) as bench:
        client = await bench.client(GET)
        assert (await client.answer()).status == 200
        assert (len(asked), len(checked)) == (0, 2)  # it waited for the first connection
        client.send(GET)
        assert (await client.answer()).status == 200
        assert (len(asked), len(checked)) == (0, 2)


# --- event streams

STREAM = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n8\r\ndata: 1\n\r\n"
LISTEN = head(b"GET /mcp", b"Accept: text/event-stream")
CALL = b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"x"}}'


def streaming(first: bytes = STREAM) -> Script:
    """An upstream that begins a stream, and does not end it."""

    async def script(wire: Wire) -> None:
        while True:
            await wire.request()
            wire.send(first)

    return script


async def opened(bench: ProxyBench, request: bytes = LISTEN) -> Wire:
    client = await bench.client(request)
    await client.head()
    await client.take(13)
    return client


@EITHER
@pytest.mark.parametrize("request_", [LISTEN, head(b"POST /mcp", b"Content-Length: %d" % len(CALL)) + CALL])
async def test_a_stream_ends_with_its_clients_rights(
    request_: bytes, change: Change, running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its client can tell that it is whole, and learns the reason as it asks again; an unchanged one goes on."""
    async with running(streaming(), clients=clients()) as bench:
        client = await opened(bench, request_)
        bench.sweep(2 * CHECK_SECONDS)
        change.make(bench, monkeypatch)
        bench.sweep(4 * CHECK_SECONDS)
        if change.status:
            assert await client.end() == b"0\r\n\r\n"
            finished = await bench.events.last()
            assert (finished.status, finished.fault) == (200, change.fault)
            await bench.upstream.wires[0].until(lambda: bench.upstream.wires[0].ended)
            assert (await bench.ask(request_)).status == change.status
        else:
            bench.sweep(6 * CHECK_SECONDS)
            bench.upstream.wires[0].send(b"8\r\ndata: 2\n\r\n")
            assert await client.take(13) == b"8\r\ndata: 2\n\r\n"
            client.close()


async def test_another_event_stream_is_broken_off(running: Running) -> None:
    """Only those of MCP may end anywhere."""
    async with running(streaming(), clients=clients()) as bench:
        client = await opened(bench, head(b"GET /v2/events"))
        bench.apply(clients=clients(key=b"another key"))
        bench.sweep(2 * CHECK_SECONDS)
        assert await client.end() == b""
        assert (await bench.events.last()).fault == "client-unknown"


async def test_a_long_response_of_another_kind_goes_on(running: Running) -> None:
    """A response with an end goes on: its request was admitted as a whole."""
    plain = STREAM.replace(b"text/event-stream", b"application/octet-stream")
    async with running(streaming(plain), clients=clients()) as bench:
        client = await opened(bench, head(b"GET /v2/download"))
        bench.apply(clients=clients(key=b"another key"))
        bench.sweep(2 * CHECK_SECONDS)
        bench.upstream.wires[0].send(b"8\r\ndata: 2\n\r\n0\r\n\r\n")
        assert await client.take(18) == b"8\r\ndata: 2\n\r\n0\r\n\r\n"


async def test_a_client_that_is_limited_from_now_on_begins_anew(running: Running) -> None:
    """What its stream carries was chosen under other limits; so is a message whose body was not read."""
    async with running(streaming(), clients=clients()) as bench:
        client = await opened(bench, head(b"POST /mcp", b"Content-Length: %d" % len(CALL)) + CALL)
        bench.apply(clients=clients(access=Access.READ, mcp_tools=()))
        bench.sweep(2 * CHECK_SECONDS)
        assert await client.end() == b"0\r\n\r\n"
        assert (await bench.events.last()).fault == "not-permitted"


async def test_a_defect_of_the_look_ends_the_stream(running: Running) -> None:
    """What is not known to be allowed does not go on; other timers do."""

    def fail(*_: object) -> Any:
        raise AssertionError("a defect of ours")

    async with running(streaming(), clients=clients()) as bench:
        client = await opened(bench)
        bench.apply(clients=clients())
        bench.forwarder._dependencies.rights.ask_again = fail
        bench.sweep(2 * CHECK_SECONDS)
        assert await client.end() == b""
        assert ["a defect of ours" in text for text in bench.events.defects] == [True]
        bench.events.events = [event for event in bench.events.events if type(event).__name__ != "DefectMet"]
