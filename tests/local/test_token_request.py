"""The local token endpoint is answered on the wire like any other request, and by nobody else."""

from __future__ import annotations

import json

import pytest

from proxy.access.client_keys import ClientKey
from proxy.access.clients import Budgets, Clients
from proxy.access.placeholders import Placeholders
from proxy.access.policy import Policy
from tests.support.proxy_bench import Running
from tests.support.wire import GET, HELLO, answering

FORM = b"grant_type=refresh_token&refresh_token=default&client_id=x&client_secret=y"
HEAD = b"POST /auth/o2/token HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/x-www-form-urlencoded\r\n"
COUNTED = HEAD + b"Content-Length: %d\r\n\r\n" % len(FORM)


@pytest.mark.parametrize(
    "request_",
    [
        COUNTED + FORM,
        HEAD + b"Transfer-Encoding: chunked\r\n\r\n%x\r\n" % len(FORM) + FORM + b"\r\n0\r\n\r\n",
        (COUNTED + FORM).replace(b"HTTP/1.1", b"HTTP/1.0"),
    ],
)
async def test_a_token_is_answered_here(request_: bytes, running: Running) -> None:
    """Counted, chunked or by HTTP/1.0; Amazon hears nothing, and the account of it is kept."""
    async with running(answering(HELLO)) as bench:
        got = await bench.ask(request_)
        assert got.status == 200
        assert json.loads(got.body)["token_type"] == "bearer"
        assert got.value(b"date") is not None
        assert not bench.upstream.wires
        finished = await bench.events.last()
        assert (finished.path, finished.bytes_in, finished.bytes_out) == ("/auth/o2/token", len(FORM), len(got.body))


@pytest.mark.parametrize("label", [b"application/json", b"application/x-www-form-urlencoded"])
async def test_a_token_is_answered_to_json(label: bytes, running: Running) -> None:
    """Whatever the client labels it as; a member that comes twice is an OAuth error."""
    json_ = b'{"grant_type": "refresh_token", "refresh_token": "default", "client_id": "x", "client_secret": "y"}'
    head = b"POST /auth/o2/token HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: %b\r\nContent-Length: %d\r\n\r\n"
    async with running(answering(HELLO)) as bench:
        got = await bench.ask(head % (label, len(json_)) + json_)
        assert (got.status, json.loads(got.body)["refresh_token"]) == (200, "default")
        twice = json_.replace(b"client_secret", b"grant_type")
        got = await bench.ask(head % (label, len(twice)) + twice)
        assert (got.status, json.loads(got.body)["error"]) == (400, "invalid_request")
        assert not bench.upstream.wires


async def test_the_connection_stays_and_the_body_may_come_later(running: Running) -> None:
    """In pieces, behind another request."""
    async with running(answering(HELLO)) as bench:
        client = await bench.client(GET, COUNTED, FORM[:5])
        assert (await client.answer()).body == b"hello"
        client.send(FORM[5:])
        assert (await client.answer()).status == 200
        client.send(GET)
        assert (await client.answer()).body == b"hello"


async def test_a_body_is_asked_for(running: Running) -> None:
    """Expect: 100-continue is met by the proxy itself; then the body's timer runs."""
    async with running(answering(HELLO)) as bench:
        client = await bench.client(HEAD, b"Expect: 100-continue\r\nContent-Length: %d\r\n\r\n" % len(FORM))
        assert (await client.answer()).status == 100
        client.send(FORM)
        assert (await client.answer()).status == 200
        slow = await bench.client(HEAD, b"Expect: 100-continue\r\nContent-Length: 9\r\n\r\n")
        assert (await slow.answer()).status == 100
        bench.sweep(31)
        assert (await slow.answer()).status == 408


@pytest.mark.parametrize("at_once", [True, False])
async def test_a_body_that_is_too_large_is_refused(at_once: bool, running: Running) -> None:
    """And the connection ends, whether the whole body was there or not."""
    async with running(answering(HELLO)) as bench:
        client = await bench.client(HEAD, b"Content-Length: 70000\r\n\r\n", bytes(70000 if at_once else 66000))
        got = await client.answer()
        assert (got.status, got.value(b"connection")) == (413, b"close")
        assert await client.end() == b""
        bench.sweep(40)
        await bench.settled(lambda: not bench.server.connections)
        assert (await bench.events.last()).refusal == "content-too-large"


async def test_a_head_request_has_no_body(running: Running) -> None:
    """The endpoint takes POST alone, and says so without one."""
    async with running(answering(HELLO)) as bench:
        client = await bench.client(b"HEAD /auth/o2/token HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        got = await client.answer(to_head=True)
        assert got.status == 405
        client.send(GET)
        assert (await client.answer()).body == b"hello"


async def test_a_tool_that_leaves_before_its_body_is_complete(running: Running) -> None:
    """It is accounted for, once."""
    async with running(answering(HELLO)) as bench:
        client = await bench.client(COUNTED, FORM[:5])
        await bench.settled(lambda: bench.accounting.in_flight == 1)
        client.close()
        assert (await bench.events.last()).fault == "client-gone"


async def test_a_token_request_is_answered_by_the_rules_that_it_was_admitted_under(running: Running) -> None:
    """A reload while its body arrives changes nothing for it: here, that nobody had to show a key."""
    async with running(answering(HELLO)) as bench:
        client = await bench.client(COUNTED, FORM[:10])
        await bench.settled(lambda: bench.accounting.in_flight == 1)
        bench.apply(clients=Clients([Policy("reporting", (ClientKey("0" * 64),))], Placeholders(b"key"), Budgets()))
        client.send(FORM[10:])
        assert (await client.answer()).status == 200
        assert (await bench.ask(COUNTED + FORM)).status == 401


@pytest.mark.parametrize("more", [0, 1])
async def test_a_token_request_is_at_most_16_kib_on_the_wire(more: int, running: Running) -> None:
    """A chunked one's framing and extensions count; what is beyond is 413 and ends the connection."""
    form = b"%x\r\n%b\r\n" % (len(FORM), FORM)
    extension = b"a" * 200
    filler = b"100;%b\r\n%b\r\n" % (extension, b"y" * 256)
    last = b"0\r\n\r\n"
    wire = form + filler * ((16384 - len(form) - len(last)) // len(filler))
    wire += b"1;" + b"a" * (16384 - len(wire) - len(last) - len(b"1;\r\na\r\n") + more) + b"\r\ny\r\n" + last
    async with running(answering(HELLO)) as bench:
        got = await bench.ask(HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + wire)
        assert (got.status, b"16384" in got.body) == ((413, True) if more else (200, False))
