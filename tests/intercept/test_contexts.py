"""Each of Amazon's hosts has a context of its own, whose certificate is young, and no other name has one."""

from __future__ import annotations

import ssl
from pathlib import Path

import pytest

from proxy.intercept.authority import DAY, RENEW_BEFORE, Authority
from proxy.intercept.contexts import Contexts
from proxy.intercept.hosts import AMAZON_HOSTS

HOST, OTHER_HOST = "advertising-api.amazon.com", "api.amazon.co.uk"
NOW = 1_800_000_000.0


class Clock:
    """Unix time that a test sets."""

    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> float:
        return self.now


class Bench:
    """Contexts of a new authority, and handshakes with them."""

    def __init__(self, folder: Path) -> None:
        self.clock = Clock()
        self.authority = Authority.open(folder, NOW)
        self.contexts = Contexts(self.authority, self.clock)

    def client(self) -> ssl.SSLContext:
        """A client's context that does not look at dates, as the clock is not the system's."""
        context = ssl.create_default_context(cadata=self.authority.pem.decode("ascii"))
        context.set_alpn_protocols(["h2", "http/1.1"])
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        return context

    def shake_hands(
        self, server: ssl.SSLContext, name: str | None, client: ssl.SSLContext | None = None
    ) -> tuple[ssl.SSLObject, ssl.SSLObject]:
        """The server's end and the client's after a handshake in which the client named a host."""
        to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
        serving = server.wrap_bio(to_server, to_client, server_side=True)
        asking = (client or self.client()).wrap_bio(to_client, to_server, server_hostname=name)
        for _ in range(3):
            for end in (asking, serving):
                try:
                    end.do_handshake()
                except ssl.SSLWantReadError:
                    continue
                except ssl.SSLError:
                    if end is asking:
                        raise
        return serving, asking

    def shown(self, name: str | None = None, *, host: str = HOST) -> bytes:
        """The certificate that a client gets, DER."""
        _, client = self.shake_hands(self.contexts.find(host), name)
        return client.getpeercert(binary_form=True) or b""


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path / "ca")


def test_a_client_agrees_on_http_1_1_with_the_host_it_names(bench: Bench) -> None:
    """The context in force after the handshake knows the host."""
    server, client = bench.shake_hands(bench.contexts.find(HOST), HOST)
    assert bench.contexts.host_of(server.context) == HOST
    assert (client.selected_alpn_protocol(), client.version()) == ("http/1.1", "TLSv1.3")


@pytest.mark.parametrize("name", [OTHER_HOST, OTHER_HOST.upper()])
def test_another_host_of_amazons_gets_its_own_certificate(name: str, bench: Bench) -> None:
    """The server name decides, in upper or lower case."""
    server, _ = bench.shake_hands(bench.contexts.find(HOST), name)
    assert bench.contexts.host_of(server.context) == OTHER_HOST
    assert bench.shown(name) == bench.shown(OTHER_HOST, host=OTHER_HOST) != bench.shown(HOST)


def test_a_client_without_a_server_name_gets_the_context_at_hand(bench: Bench) -> None:
    """Its CONNECT has named the host."""
    server, _ = bench.shake_hands(bench.contexts.find(OTHER_HOST), None)
    assert bench.contexts.host_of(server.context) == OTHER_HOST


@pytest.mark.parametrize("name", ["www.example.com", "x.api.amazon.com", "amazon.com", "api.amazon.com.example.com"])
def test_any_other_server_name_fails_the_handshake(name: str, bench: Bench) -> None:
    """The client is told that its name is unknown."""
    with pytest.raises(ssl.SSLError, match=r"(?i)unrecognized.name"):
        bench.shake_hands(bench.contexts.find(HOST), name)


def test_no_other_host_has_a_context(bench: Bench) -> None:
    """What is cached is bounded by the number of Amazon's hosts."""
    for host in AMAZON_HOSTS:
        assert bench.contexts.find(host) is bench.contexts.find(host)
    for host in ("www.example.com", HOST.upper(), f"{HOST}.", "127.0.0.1", ""):
        with pytest.raises(ValueError, match="not one of Amazon's hosts"):
            bench.contexts.find(host)


def test_what_is_old_or_weak_in_tls_is_refused(bench: Bench) -> None:
    """Versions before 1.2, renegotiation, compression."""
    context = bench.contexts.find(HOST)
    assert context.minimum_version == ssl.TLSVersion.TLSv1_2
    assert context.options & ssl.OP_NO_RENEGOTIATION
    assert context.options & ssl.OP_NO_COMPRESSION


def test_a_certificate_is_replaced_long_before_its_end(bench: Bench) -> None:
    """A certificate lives a day; clients whose clocks are hours fast accept what they are shown."""
    first = bench.contexts.find(HOST)
    bench.clock.now = NOW + DAY * 3 / 4 - 1
    assert bench.contexts.find(HOST) is first
    bench.clock.now += 1
    assert bench.contexts.find(HOST) is not first
    assert bench.contexts.host_of(first) == HOST  # connections that began with it go on


def test_a_new_certificate_is_of_the_authority_that_another_process_renewed(bench: Bench, tmp_path: Path) -> None:
    """The files are read again when a certificate is made."""
    bench.contexts.find(HOST)
    bench.clock.now = bench.authority.ends_at - RENEW_BEFORE + 1
    renewed = Authority.open(tmp_path / "ca", bench.clock.now)
    assert renewed.pem != bench.authority.pem
    bench.contexts.find(HOST)
    assert renewed.pem == bench.authority.pem


def test_an_authority_in_memory_writes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An authority in memory is trusted by its own certificate alone, and issues for its whole life."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    clock = Clock()
    bench = Bench(tmp_path / "ca")
    written = sorted(tmp_path.rglob("*"))
    bench.authority = Authority.temporary(NOW)
    bench.contexts = Contexts(bench.authority, clock)
    for now in (NOW, NOW + DAY, NOW + 365 * DAY):
        clock.now = now
        server, _ = bench.shake_hands(bench.contexts.find(HOST), HOST)
        assert server.context is bench.contexts.find(HOST)
    assert sorted(tmp_path.rglob("*")) == written
    assert Authority.temporary(NOW).pem != bench.authority.pem
    assert repr(bench.authority) == "<Authority in memory>"
