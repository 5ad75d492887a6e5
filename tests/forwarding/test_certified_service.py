"""Requests on a connection with a client's certificate are those of its client, until it ends."""

from __future__ import annotations

import asyncio
import socket
import ssl
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from proxy.access.client_certificates import CertificateKey, PeerCertificate
from proxy.access.client_keys import ClientKey
from proxy.access.clients import Budgets, Clients
from proxy.access.placeholders import Placeholders
from proxy.access.policy import Policy
from proxy.app.server_tls import ServerCertificate, ServerTls
from proxy.config.model.sections import TlsSection
from proxy.forwarding.certified_service import CertifiedService
from proxy.forwarding.owned_service import Sections
from tests.intercept.conftest import KEYS, digest
from tests.support.certificates import Authority
from tests.support.client_certificates import Issuer, client_context
from tests.support.proxy_bench import ProxyBench, Running
from tests.support.wire import GET, HELLO, Answer, Wire, answering

SAN = "dns:ads.example.org"
TRUSTED = frozenset(("a" * 64,))
KEY = b"X-Ads-Proxy-Key: %b\r\n"


def configured(*, trusted: frozenset[str] = TRUSTED, san: str = SAN) -> Clients:
    """The client `agent` with a certificate and a key, and the client `reports` with a key."""
    key = {name: ClientKey(digest(KEYS[name])) for name in ("agent", "reports")}
    policies = (Policy("agent", (key["agent"],), san=san), Policy("reports", (key["reports"],)))
    clients = Clients(policies, Placeholders(b"key"), Budgets())
    clients.authorities = trusted
    return clients


class Certified:
    """A bench whose connections have a certificate that ends `ends_in` seconds from now; `now` can be moved."""

    def __init__(
        self, bench: ProxyBench, monkeypatch: pytest.MonkeyPatch, names: tuple[str, ...], ends_in: float
    ) -> None:
        self.bench, self.now = bench, time.time()
        monkeypatch.setattr(time, "time", lambda: self.now)
        certificate = PeerCertificate("f" * 64, names, self.now + ends_in, TRUSTED)
        self.service = CertifiedService(bench.forwarder, Sections(), CertificateKey.of(certificate))

    def ended(self) -> list[str]:
        """The clients of the requests that were served, and of those that were refused."""
        return [each.kind.client for each in self.bench.events.finished]

    async def ask(self, wire: Wire, lines: bytes = b"") -> Answer:
        wire.send(GET.replace(b"\r\n\r\n", b"\r\n" + lines + b"\r\n"))
        return await wire.answer()


@asynccontextmanager
async def certified(
    bench: ProxyBench, monkeypatch: pytest.MonkeyPatch, *names: str, ends_in: float = 3600.0
) -> AsyncIterator[Certified]:
    found = Certified(bench, monkeypatch, names, ends_in)
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: bench.path.connect(found.service), "127.0.0.1", 0)
    bench.port = server.sockets[0].getsockname()[1]
    try:
        yield found
    finally:
        server.close()


async def test_each_request_is_the_clients(running: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    """Heads that come again too; nothing of the certificate reaches Amazon."""
    async with (
        running(answering(*[HELLO] * 5), clients=configured()) as bench,
        certified(bench, monkeypatch, SAN) as found,
    ):
        wire = await bench.client()
        for _ in range(5):
            assert (await found.ask(wire)).status == 200
        assert found.ended() == ["agent"] * 5
        assert b"ertificate" not in b"".join(each.received for each in bench.upstream.wires)


async def test_an_empty_key_is_none(running: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    """The certificate counts, as without the header; a key in Authorization is one next to it."""
    async with (
        running(answering(HELLO), clients=configured()) as bench,
        certified(bench, monkeypatch, SAN) as found,
    ):
        wire = await bench.client()
        for _ in range(4):
            assert (await found.ask(wire, KEY % b"")).status == 200
        assert found.ended() == ["agent"] * 4
        answer = await found.ask(wire, KEY % b"" + b"Authorization: Bearer %b\r\n" % KEYS["reports"].encode())
        assert (answer.status, b"clients-differ" in answer.body) == (403, True)


async def test_what_is_remembered_is_remembered_by_certificate(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same head, which was served again and again, is refused on a connection without one."""
    async with running(answering(*[HELLO] * 4), clients=configured()) as bench:
        port = bench.port
        async with certified(bench, monkeypatch, SAN) as found:
            wire = await bench.client()
            assert [(await found.ask(wire)).status for _ in range(4)] == [200] * 4
            bench.port = port
            assert (await found.ask(await bench.client())).status == 401


@pytest.mark.parametrize("key", ["", "agent"])
@pytest.mark.parametrize("times", [1, 4])
async def test_a_certificate_ends_on_a_connection_that_is_kept(
    running: Running, monkeypatch: pytest.MonkeyPatch, key: str, times: int
) -> None:
    """At its end, whether the head came before or not, and whether it has a key of the same client or not."""
    lines = KEY % KEYS[key].encode() if key else b""
    async with (
        running(answering(*[HELLO] * times), clients=configured()) as bench,
        certified(bench, monkeypatch, SAN) as found,
    ):
        wire = await bench.client()
        for _ in range(times):
            assert (await found.ask(wire, lines)).status == 200
        found.now += 3600
        answer = await found.ask(wire, lines)
        assert (answer.status, b"certificate-rejected" in answer.body) == (401, True)
        assert await wire.end() == b""


@pytest.mark.parametrize("times", [1, 4])
async def test_a_reload_that_removes_an_authority_ends_it_too(
    running: Running, monkeypatch: pytest.MonkeyPatch, times: int
) -> None:
    """With the next request, which is refused. An added authority changes nothing."""
    async with (
        running(answering(*[HELLO] * (times + 1)), clients=configured()) as bench,
        certified(bench, monkeypatch, SAN) as found,
    ):
        wire = await bench.client()
        for _ in range(times):
            assert (await found.ask(wire)).status == 200
        bench.apply(clients=configured(trusted=TRUSTED | {"b" * 64}))
        assert (await found.ask(wire)).status == 200
        bench.apply(clients=configured(trusted=frozenset(("b" * 64,))))
        answer = await found.ask(wire, KEY % KEYS["agent"].encode())
        assert (answer.status, b"have changed" in answer.body) == (401, True)
        assert await wire.end() == b""


async def test_a_key_of_another_client_is_refused(running: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    """The key comes as X-Ads-Proxy-Key and as Authorization, each time. One of the same client passes."""
    async with (
        running(answering(HELLO), clients=configured()) as bench,
        certified(bench, monkeypatch, SAN) as found,
    ):
        for lines in (KEY % KEYS["reports"].encode(), b"Authorization: Bearer %b\r\n" % KEYS["reports"].encode()):
            for _ in range(3):
                answer = await found.ask(await bench.client(), lines)
                assert (answer.status, b"clients-differ" in answer.body) == (403, True)
        assert (await found.ask(await bench.client(), KEY % KEYS["agent"].encode())).status == 200


async def test_a_certificate_of_nobody_leaves_it_to_the_key(running: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    """A key of any client passes; without one the request is refused, and the connection stays."""
    async with (
        running(answering(HELLO, HELLO), clients=configured()) as bench,
        certified(bench, monkeypatch, "dns:www.example.org") as found,
    ):
        wire = await bench.client()
        assert (await found.ask(wire, KEY % KEYS["reports"].encode())).status == 200
        assert (await found.ask(wire)).status == 401
        assert (await found.ask(wire, b"Authorization: %b\r\n" % KEYS["agent"].encode())).status == 200
        assert found.ended() == ["reports", "", "agent"]


@pytest.mark.parametrize(("ends_in", "stays"), [(100.0, False), (300.0, True)])
async def test_a_connection_ends_with_a_response_while_its_certificate_is_about_to(
    running: Running, monkeypatch: pytest.MonkeyPatch, ends_in: float, stays: bool
) -> None:
    """Once it could end before an idle connection is closed."""
    limits: dict[str, Any] = {"keepalive_timeout": 200.0}
    async with (
        running(answering(HELLO), clients=configured(), **limits) as bench,
        certified(bench, monkeypatch, SAN, ends_in=ends_in) as found,
    ):
        wire = await bench.client()
        answer = await found.ask(wire)
        assert answer.status == 200
        assert (b"connection: close" not in answer.head.lower()) is stays
        if not stays:
            assert await wire.end() == b""


# --- behind a real handshake


@asynccontextmanager
async def listening(bench: ProxyBench, tls: ServerTls) -> AsyncIterator[None]:
    """The clients' listener with this TLS, on the port of the bench."""
    found = socket.create_server(("127.0.0.1", 0))
    bench.port = found.getsockname()[1]
    (acceptor,) = bench.path.accept([found], tls)
    try:
        yield
    finally:
        acceptor.close()


async def test_the_certificate_of_a_handshake_chooses_the_service(running: Running, tmp_path: Path) -> None:
    """On each event loop; requests on a connection without one need a key. A later reload that requires certificates
    ends it."""
    issuer = Issuer(tmp_path)
    server = Authority(tmp_path)
    server.context("127.0.0.1")
    pair, tls = tmp_path / "127.0.0.1.pem", ServerTls()
    section = TlsSection(cert=pair, key=pair, client_ca=issuer.file, client_auth="optional")
    tls.show(ServerCertificate.read(section))
    clients = configured(trusted=tls.trusted_clients.digests)
    shown = client_context(server.ca_file, issuer.issue(SAN))
    async with running(answering(HELLO), clients=clients) as bench, listening(bench, tls):
        loop = asyncio.get_running_loop()

        async def connect(context: ssl.SSLContext) -> Wire:
            _, wire = await loop.create_connection(Wire, "127.0.0.1", bench.port, ssl=context)
            bench.clients.append(wire)
            return wire

        certified, bare = await connect(shown), await connect(client_context(server.ca_file))
        for wire, status in ((certified, 200), (bare, 401), (certified, 200)):
            wire.send(GET)
            assert (await wire.answer()).status == status
        assert [each.kind.client for each in bench.events.finished] == ["agent", "", "agent"]
        required = section.model_copy(update={"client_auth": "required"})
        assert not tls.show(ServerCertificate.read(required))
        bench.server.retire()
        assert await certified.end() == await bare.end() == b""
