"""The local token endpoint is answered on the wire like any other request, and by nobody else."""

from __future__ import annotations

import hashlib
import json
import time
from urllib.parse import urlencode

import pytest

from proxy.access.client_keys import ClientKey
from proxy.access.clients import Budgets, Clients
from proxy.access.placeholders import Placeholders
from proxy.access.policy import Policy
from proxy.access.token_endpoint import ASSERTION_TYPE
from proxy.admin.history import next_step, reason
from proxy.forwarding import waiting_request
from proxy.observability.recent_requests import RecentRequests
from tests.forwarding.test_waiting_for_keys import NEW, OLD, Desk
from tests.support.issuers import service_account
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


# --- what log and console know of an answer


def asking(**form: str) -> bytes:
    body = urlencode({"client_id": "reporting", "client_secret": "known", **form}).encode()
    return HEAD + b"Content-Length: %d\r\n\r\n" % len(body) + body


@pytest.mark.parametrize(
    ("form", "status", "client", "refusal", "detail"),
    [
        ({"grant_type": "client_credentials"}, 200, "reporting", "", ""),
        ({"grant_type": "refresh_token", "refresh_token": "nobody"}, 400, "reporting", "invalid-grant", "'nobody'"),
        ({"grant_type": "implicit"}, 400, "reporting", "invalid-token-request", "unsupported_grant_type: "),
        (
            {"client_secret": "old"},
            401,
            "",
            "client-unknown",
            "client_secret is neither a key nor a JWT of client repo",
        ),
        ({"client_id": "report", "client_secret": "x"}, 401, "", "client-unknown", "client_id 'report' is no client's"),
        ({"client_id": '","client":"bidder'}, 401, "", "client-unknown", "(not shown, 18 characters)"),
    ],
)
async def test_an_error_leaves_its_reason(
    form: dict[str, str], status: int, client: str, refusal: str, detail: str, running: Running
) -> None:
    """Amazon was not asked, and is not said to have refused: the log has client, error and detail; the console groups
    failures by them, and says what to do."""
    key = ClientKey(hashlib.sha256(b"known").hexdigest())
    configured = Clients([Policy("reporting", (key,))], Placeholders(b"key"), Budgets())
    async with running(answering(HELLO), clients=configured) as bench:
        got = await bench.ask(asking(**form))
        event = await bench.events.last()
    assert (got.status, event.client, event.refusal) == (status, client, refusal)
    assert detail in event.detail
    assert (event.address == "") == bool(client)
    recent = RecentRequests()
    kept = recent.keep(event, 0.0)
    assert reason(kept) == refusal
    assert "needs no change" not in next_step(kept.status, kept.refusal, kept.fault) or not refusal


# --- JWTs whose key is not known yet


def asserted() -> bytes:
    """A request of a client by a JWT that is signed with a new key."""
    token = NEW.token(service_account(time.time()))
    asked = {"grant_type": "client_credentials", "client_assertion_type": ASSERTION_TYPE, "client_assertion": token}
    form = urlencode(asked).encode()
    return HEAD + b"Content-Length: %d\r\n\r\n" % len(form) + form


async def test_an_assertion_with_a_new_key_waits_for_the_keys(running: Running) -> None:
    """The request is answered once they are read, on a connection that stays."""
    desk = Desk()
    async with running(answering(HELLO), clients=desk.clients) as bench:
        client = await bench.client(asserted())
        await bench.settled(lambda: desk.missed == ["cluster"])
        assert (bytes(client.received), bench.accounting.in_flight) == (b"", 1)
        desk.put(OLD, NEW)
        given = await client.answer()
        assert (given.status, json.loads(given.body)["token_type"]) == (200, "bearer")
        event = await bench.events.last()
        assert (event.client, event.subject) == ("nightly", service_account(0)["sub"])
        assert bench.accounting.in_flight == 0
        client.send(asserted())
        assert (await client.answer()).status == 200


async def test_an_assertion_whose_key_nobody_has_is_refused_after_the_wait(running: Running) -> None:
    """The refusal is an OAuth error, like one that comes at once."""
    desk = Desk()
    async with running(answering(HELLO), clients=desk.clients) as bench:
        client = await bench.client(asserted())
        await bench.settled(lambda: desk.missed == ["cluster"])
        desk.put(OLD)
        refused = await client.answer()
        assert (refused.status, json.loads(refused.body)["error"]) == (401, "invalid_client")
        event = await bench.events.last()
        assert (event.refusal, event.client, event.subject) == ("token-refused", "", "")
        assert (event.unverified_subject, event.address) == (service_account(0)["sub"], "127.0.0.1")


async def test_an_assertion_does_not_wait_for_ever(running: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor with too many others; the answer says when to come again, and who leaves makes room."""
    monkeypatch.setattr(waiting_request, "MAX_WAITING_FOR_KEYS", 1)
    desk = Desk()
    async with running(answering(HELLO), clients=desk.clients) as bench:
        first = await bench.client(asserted())
        await bench.settled(lambda: desk.missed == ["cluster"])
        refused = await bench.ask(asserted())
        assert (refused.status, refused.value(b"retry-after")) == (503, b"1")
        assert json.loads(refused.body)["error"] == "temporarily_unavailable"
        first.close()
        await bench.settled(lambda: not bench.accounting.in_flight)
        monkeypatch.setattr(waiting_request, "KEYS_PATIENCE", 0.01)
        refused = await bench.ask(asserted())
        assert (refused.status, refused.value(b"retry-after"), len(desk.missed)) == (503, b"1", 4)
        assert [event.fault for event in bench.events.finished] == ["", "client-gone", ""]
