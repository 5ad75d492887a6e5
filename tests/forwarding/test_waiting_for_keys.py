"""A request whose JWT has an unknown key waits until the keys of its provider are read again, over real sockets."""

from __future__ import annotations

import time
from typing import Any

import pytest

from proxy.access.clients import Budgets, Clients
from proxy.access.signing_keys import parse_jwks
from proxy.access.token_verification import ProviderKeys
from proxy.app.rules import make_clients, make_routing_table, make_verifier
from proxy.app.token_checks import TokenChecks
from proxy.config.model.clients import Client, JwtSection
from proxy.config.model.identity_providers import IdentityProviderConfig, JwksSection
from proxy.forwarding import waiting_request
from tests.forwarding.test_waiting_requests import ReadingLists, everywhere, held
from tests.support.deciding import config
from tests.support.issuers import Signer, jwks, service_account
from tests.support.proxy_bench import Running
from tests.support.wire import HELLO, answering

OLD, NEW = Signer(), Signer("ES256", "second")
POST = b"POST /sp/campaigns/list HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Ads-Proxy-Key: %b\r\nContent-Length: %d\r\n\r\n"


class Desk:
    """A client with JWTs, whose provider's keys were read long ago. `missed` counts how often they should be read."""

    def __init__(self, **limits: Any) -> None:
        self.checks, self.missed = TokenChecks(), list[str]()
        self.checks.miss = self.missed.append
        self.put(OLD, read=0.0)
        claims = {"sub": (service_account(0)["sub"],)}
        provider = IdentityProviderConfig(
            name="cluster",
            issuer=service_account(0)["iss"],
            audience="ads-proxy",
            jwks=JwksSection(url="https://localhost/jwks"),
        )
        client = Client(name="nightly", jwt=JwtSection(provider="cluster", claims=claims), **limits)
        made = config({"acme": {}}, clients=(client,)).model_copy(update={"identity_providers": {"cluster": provider}})
        self.clients: Clients = make_clients(made, b"s" * 32, Budgets())
        self.clients.accept_tokens(make_verifier(made, self.checks))

    def put(self, *signers: Signer, read: float | None = None) -> None:
        """These are the keys in force from now on, or nothing new was read."""
        now = time.time() if read is None else read
        self.checks.put("cluster", ProviderKeys(parse_jwks(jwks(*signers).encode()).keys, now, now))


def get(signer: Signer, *lines: bytes) -> bytes:
    token = signer.token(service_account(time.time())).encode()
    head = (b"GET /v2/campaigns HTTP/1.1", b"Host: 127.0.0.1", b"Authorization: Bearer " + token, *lines, b"", b"")
    return b"\r\n".join(head)


async def test_the_first_token_with_a_new_key_waits_for_the_keys(running: Running) -> None:
    """The request is served once they are read, without a retry of its client; meanwhile others are served."""
    desk = Desk()
    async with running(answering(HELLO), clients=desk.clients) as bench:
        client = await bench.client(get(NEW))
        await bench.settled(lambda: desk.missed == ["cluster"])
        assert (await bench.ask(get(OLD))).status == 200
        assert (bytes(client.received), bench.accounting.in_flight) == (b"", 1)
        desk.put(OLD, NEW)
        assert (await client.answer()).status == 200
        first = await bench.events.last(1)
        assert (first.client, first.status, bench.accounting.in_flight) == ("nightly", 200, 0)
        assert (await bench.ask(get(NEW))).status == 200


async def test_a_token_whose_key_nobody_has_is_refused_after_the_wait(running: Running) -> None:
    """With 401, on a connection that stays; the next one is refused at once, as the keys were just read."""
    desk = Desk()
    async with running(answering(HELLO), clients=desk.clients) as bench:
        client = await bench.client(get(NEW))
        await bench.settled(lambda: desk.missed == ["cluster"])
        desk.put(OLD)
        refused = await client.answer()
        assert (refused.status, b"(kid)" in refused.body) == (401, True)
        client.send(get(NEW))
        assert (await client.answer()).status == 401
        assert (desk.missed, bench.upstream.wires) == (["cluster"], [])
        assert [event.refusal for event in bench.events.finished] == ["token-refused"] * 2


async def test_a_request_waits_once_and_not_for_ever(running: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keys that do not come in time, or that were read too long ago by a clock that was set, are a 503."""
    desk = Desk()
    async with running(answering(HELLO), clients=desk.clients) as bench:
        client = await bench.client(get(NEW))
        await bench.settled(lambda: desk.missed == ["cluster"])
        desk.put(OLD, read=0.0)
        refused = await client.answer()
        assert (refused.status, refused.value(b"retry-after")) == (503, b"1")
        monkeypatch.setattr(waiting_request, "KEYS_PATIENCE", 0.01)
        assert (await bench.ask(get(NEW))).status == 503
        assert bench.accounting.in_flight == 0


async def test_few_requests_wait_at_a_time(running: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    """The others are told to come again, as nobody knows whose they are; who leaves makes room."""
    monkeypatch.setattr(waiting_request, "MAX_WAITING_FOR_KEYS", 2)
    desk = Desk()
    async with running(answering(HELLO), clients=desk.clients) as bench:
        waiting = [await bench.client(get(NEW)) for _ in range(2)]
        await bench.settled(lambda: bench.accounting.in_flight == 2)
        assert (await bench.ask(get(NEW))).status == 503
        waiting[0].close()
        await bench.settled(lambda: bench.accounting.in_flight == 1)
        last = await bench.client(get(NEW))
        await bench.settled(lambda: bench.accounting.in_flight == 2)
        desk.put(NEW)
        assert [(await client.answer()).status for client in (waiting[1], last)] == [200, 200]


async def test_the_body_waits_in_the_socket(running: Running) -> None:
    """No more of a stranger's body is kept than came with the head; all of it is served."""
    desk = Desk()
    async with running(answering(HELLO), clients=desk.clients) as bench:
        token = NEW.token(service_account(time.time())).encode()
        client = await bench.client(POST % (token, 9_000_000), bytes(1000))
        await bench.settled(lambda: desk.missed == ["cluster"])
        client.send(bytes(8_999_000))
        await bench.settled(lambda: client.transport.get_write_buffer_size() > 0)
        desk.put(NEW)
        assert (await client.answer()).status == 200
        assert (await bench.events.last()).bytes_in == 9_000_000


async def test_whoever_waited_for_keys_may_wait_for_lists(running: Running) -> None:
    """Its client is charged once."""
    desk, lists = Desk(requests_per_minute=1), ReadingLists("acme")
    table = make_routing_table(config({"acme": {}}), lists)
    async with running(answering(HELLO), table=table, clients=desk.clients) as bench:
        everywhere(bench)
        client = await bench.client(get(NEW, b"Amazon-Advertising-API-Scope: 21"))
        await bench.settled(lambda: desk.missed == ["cluster"])
        desk.put(NEW)
        await held(bench, lists)
        lists.take(("acme", "eu"))
        assert (await client.answer()).status == 200
        assert (await bench.ask(get(NEW))).status == 429
