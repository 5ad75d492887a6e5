"""Which CONNECT opens a tunnel, and which is refused: by its target, its form, and the hosts that pass."""

from __future__ import annotations

import json
import time

import pytest

from proxy.events import HostRefused
from proxy.forwarding import waiting_request
from proxy.intercept.capability import is_passed
from proxy.intercept.contexts import Contexts
from proxy.intercept.hosts import AMAZON_HOSTS
from tests.forwarding.test_waiting_for_keys import NEW, OLD, Desk
from tests.intercept.conftest import NA, OpenTunnel, connect
from tests.support.issuers import service_account
from tests.support.proxy_bench import Running
from tests.support.wire import HELLO, answering


@pytest.mark.parametrize("host", AMAZON_HOSTS)
async def test_amazons_hosts_are_opened(
    host: str, running: Running, contexts: Contexts, open_tunnel: OpenTunnel
) -> None:
    """The hosts of APIs, tokens and MCP in each region show a certificate that the client believes."""
    async with running(answering(HELLO), contexts=contexts) as bench:
        tunnel = await open_tunnel(bench, host)
        certificate = tunnel.transport.get_extra_info("peercert")
        assert certificate["subjectAltName"] == (("DNS", host),)


@pytest.mark.parametrize("target", ["ADVERTISING-API.amazon.com:443", f"{NA}.:443"])
async def test_spellings_of_a_host_count_as_one(target: str, running: Running, contexts: Contexts) -> None:
    """Upper case and a closing dot."""
    async with running(answering(HELLO), contexts=contexts) as bench:
        wire = await bench.client(b"CONNECT %b HTTP/1.1\r\nHost: %b\r\n\r\n" % (target.encode(), target.encode()))
        assert (await wire.head()).startswith(b"HTTP/1.1 200 ")


@pytest.mark.parametrize(
    "target",
    [
        *("www.amazon.com:443", "example.com:443", "localhost:443", "advertising-api.amazon.com.example.com:443"),
        *(f"{NA}:80", f"{NA}:8443", f"{NA}:0", f"{NA}:0443", f"{NA}:65536", f"{NA}:", NA, ":443", "443"),
        *("127.0.0.1:443", "[::1]:443", "10.0.0.1:443", "2130706433:443", "0x7f000001:443", "127.1:443"),
        *(f"user@{NA}:443", f"https://{NA}:443", f"{NA}:443/", f"{NA}%2e:443", f"{NA}..:443", "xn--mazon-3ve.com:443"),
    ],
)
async def test_other_targets_are_refused(target: str, running: Running, contexts: Contexts) -> None:
    """Other hosts, ports, addresses and forms; the answer says what to do."""
    async with running(answering(HELLO), contexts=contexts) as bench:
        got = await bench.ask(b"CONNECT %b HTTP/1.0\r\n\r\n" % target.encode())
        assert got.status == 403, got.body
        assert got.value(b"connection") == b"close"


async def test_a_refusal_names_what_to_do(running: Running, contexts: Contexts) -> None:
    """NO_PROXY for a client that can reach the host itself, `intercept.pass` for another."""
    async with running(answering(HELLO), contexts=contexts) as bench:
        got = await bench.ask(connect("example.com"))
        said = json.loads(got.body)
        assert (got.status, said["type"]) == (403, "urn:ads-proxy:error:not-amazon")
        assert "NO_PROXY" in said["detail"]
        assert "intercept.pass" in said["detail"]
        assert (await bench.events.last()).status == 403


async def test_the_log_names_each_refused_host_once(running: Running, contexts: Contexts) -> None:
    """Clients often show the status alone; a client that tries many hosts does not fill the log."""
    async with running(answering(HELLO), contexts=contexts) as bench:
        for host in ("example.com", "EXAMPLE.com", *(f"host-{number}.example" for number in range(120))):
            assert (await bench.ask(connect(host))).status == 403
        told = [event for event in bench.events.events if isinstance(event, HostRefused)]
        assert [event.host for event in told] == ["example.com", *(f"host-{number}.example" for number in range(99))]
        assert "NO_PROXY" in told[0].detail


@pytest.mark.parametrize(
    ("line", "status"),
    [
        (b"Content-Length: 5\r\n", 400),
        (b"Content-Length: 0\r\n", 400),
        (b"Transfer-Encoding: chunked\r\n", 400),
        (b"Origin: https://example.com\r\n", 403),
        (b"Sec-Fetch-Site: cross-site\r\n", 403),
    ],
)
async def test_a_connect_is_nothing_but_a_head(line: bytes, status: int, running: Running, contexts: Contexts) -> None:
    """Bodies are refused, and web pages."""
    async with running(answering(HELLO), contexts=contexts) as bench:
        assert (await bench.ask(connect()[:-2] + line + b"\r\n")).status == status


async def test_host_is_the_target(running: Running, contexts: Contexts) -> None:
    """Another Host is a request that can be read in two ways."""
    async with running(answering(HELLO), contexts=contexts) as bench:
        got = await bench.ask(b"CONNECT %b:443 HTTP/1.1\r\nHost: example.com:443\r\n\r\n" % NA.encode())
        assert got.status == 400


def connect_with_new_key() -> bytes:
    return connect(login=f"nightly:{NEW.token(service_account(time.time()))}")


async def test_a_connect_whose_jwt_has_a_new_key_waits_for_the_keys(running: Running, contexts: Contexts) -> None:
    """The tunnel opens once they are read, without a retry of its client."""
    desk = Desk()
    async with running(answering(HELLO), contexts=contexts, clients=desk.clients) as bench:
        wire = await bench.client(connect_with_new_key())
        await bench.settled(lambda: desk.missed == ["cluster"])
        assert (bytes(wire.received), bench.accounting.in_flight) == (b"", 1)
        desk.put(OLD, NEW)
        assert (await wire.head()).startswith(b"HTTP/1.1 200 ")


async def test_bytes_behind_a_connect_that_waits_open_nothing(running: Running, contexts: Contexts) -> None:
    """What a client sends before the 200 could be read in two ways, also where it had to wait."""
    desk = Desk()
    async with running(answering(HELLO), contexts=contexts, clients=desk.clients) as bench:
        wire = await bench.client(connect_with_new_key())
        await bench.settled(lambda: desk.missed == ["cluster"])
        wire.send(b"early")
        desk.put(OLD, NEW)
        assert (await wire.answer()).status == 400


async def test_a_connect_waits_once_and_not_for_ever(
    running: Running, contexts: Contexts, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A key that nobody has is a 407, keys that do not come are a 503 that tells when to come again."""
    desk = Desk()
    async with running(answering(HELLO), contexts=contexts, clients=desk.clients) as bench:
        wire = await bench.client(connect_with_new_key())
        await bench.settled(lambda: desk.missed == ["cluster"])
        desk.put(OLD)
        assert (await wire.answer()).status == 407
        refused_at = await bench.events.last()
        assert (refused_at.unverified_subject, refused_at.address) == (service_account(0)["sub"], "127.0.0.1")
        desk.put(OLD, read=0.0)
        monkeypatch.setattr(waiting_request, "KEYS_PATIENCE", 0.01)
        refused = await bench.ask(connect_with_new_key())
        assert (refused.status, refused.value(b"retry-after"), bench.accounting.in_flight) == (503, b"1", 0)
        assert json.loads(refused.body)["type"] == "urn:ads-proxy:error:token-not-checked"


async def test_a_client_may_leave_while_its_connect_waits(running: Running, contexts: Contexts) -> None:
    """Nothing of it stays behind, and the keys that come later open nothing."""
    desk = Desk()
    async with running(answering(HELLO), contexts=contexts, clients=desk.clients) as bench:
        wire = await bench.client(connect_with_new_key())
        await bench.settled(lambda: desk.missed == ["cluster"])
        wire.close()
        await bench.settled(lambda: bench.accounting.in_flight == 0)
        desk.put(OLD, NEW)
        assert [(event.status, event.method) for event in bench.events.finished] == [(0, "CONNECT")]


async def test_without_interception_connect_is_refused(running: Running) -> None:
    """The answer names the setting."""
    async with running(answering(HELLO)) as bench:
        got = await bench.ask(connect())
        assert got.status == 405
        assert "intercept.enabled" in json.loads(got.body)["detail"]


@pytest.mark.parametrize(
    ("host", "patterns", "passes"),
    [
        ("bucket.s3.amazonaws.com", ("*.amazonaws.com",), True),
        ("amazonaws.com", ("*.amazonaws.com",), False),
        ("evilamazonaws.com", ("*.amazonaws.com",), False),
        ("amazonaws.com.example.com", ("*.amazonaws.com",), False),
        ("other.example", ("example.com", "other.example"), True),
        ("files.other.example", ("other.example",), False),
        ("anything.example", ("*",), True),
        ("anything.example", (), False),
    ],
)
def test_patterns_of_hosts_that_pass(host: str, patterns: tuple[str, ...], passes: bool) -> None:
    """A whole name, all names below one, or every name."""
    assert is_passed(host, patterns) is passes
