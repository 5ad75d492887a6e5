"""`GET /v2/profiles` against a real server that answers as scripted."""

from __future__ import annotations

import asyncio
import json
import ssl
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
from aiohttp import web
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from proxy.profiles.listing import (
    MAX_RESPONSE_BYTES,
    Endpoint,
    Profile,
    ProfilesUnavailable,
    list_profiles,
    parse_profiles_response,
)
from proxy.secret import Secret

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

ENTRY = {
    "profileId": 9007199254740993,
    "countryCode": "DE",
    "currencyCode": "EUR",
    "timezone": "Europe/Paris",
    "accountInfo": {"marketplaceStringId": "A1", "id": "ENTITY1", "type": "seller", "name": "Schuhe \u00fc", "x": True},
}
KNOWN = Profile("9007199254740993", "Schuhe \u00fc", "DE", "EUR", "Europe/Paris", "seller", "A1", "ENTITY1")


def test_a_list_is_read_in_amazons_order() -> None:
    """Ids beyond 2^53 stay exact, as strings; what is missing is empty."""
    body = json.dumps([{"profileId": 5}, ENTRY, {"profileId": "7", "accountInfo": None, "countryCode": 1}]).encode()
    bare = Profile("5", "", "", "", "", "", "", "")
    assert parse_profiles_response(200, body) == (bare, KNOWN, Profile("7", "", "", "", "", "", "", ""))


def test_an_empty_list_is_an_answer() -> None:
    """An account may have no profile in a region."""
    assert parse_profiles_response(200, b"[]") == ()


def test_names_that_others_chose_cannot_steer_a_terminal() -> None:
    """Control characters and marks that turn the reading direction are left out; ids are plain digits."""
    name = "Acme\x1b[2J\x9b31m \u202egpj.exe"
    body = json.dumps([{"profileId": 1, "accountInfo": {"name": name}}, {"profileId": "\u0661\u0662"}]).encode()
    assert [(profile.id, profile.name) for profile in parse_profiles_response(200, body)] == [
        ("1", "Acme[2J31m gpj.exe")
    ]


def test_five_thousand_profiles_are_read() -> None:
    """The most that Amazon lists."""
    body = json.dumps([{**ENTRY, "profileId": number} for number in range(1, 5001)]).encode()
    assert [profile.id for profile in parse_profiles_response(200, body)] == [str(number) for number in range(1, 5001)]


@pytest.mark.parametrize(
    "entry", [None, 5, [], {}, {"profileId": None}, {"profileId": True}, {"profileId": "x"}, {"profileId": -1}]
)
def test_entries_that_cannot_be_read_are_left_out(entry: object) -> None:
    """A list of nothing else is no list."""
    assert parse_profiles_response(200, json.dumps([entry, ENTRY, ENTRY]).encode()) == (KNOWN,)
    with pytest.raises(ProfilesUnavailable, match="none that can be read"):
        parse_profiles_response(200, json.dumps([entry]).encode())


@pytest.mark.parametrize(
    ("status", "body", "said"),
    [
        (401, b'{"code":"UNAUTHORIZED"}', r"access to the Ads API \(401\)"),
        (403, b"{}", r"Amazon refuses.*\(403\)"),
        (429, b"", r"Amazon asks to wait \(429\)"),
        (500, b"<html>", r"Amazon answered \(500\)"),
        (302, b"", r"Amazon answered \(302\)"),
        (204, b"", r"Amazon answered \(204\)"),
        (200, b"", "not JSON"),
        (200, b"<html>", "not JSON"),
        (200, b"[" * 100_000, "not JSON"),
        (200, b"{}", "not a list"),
        (200, b"null", "not a list"),
    ],
)
def test_anything_else_is_unavailable(status: int, body: bytes, said: str) -> None:
    """With a sentence that says what to do where something can be done."""
    with pytest.raises(ProfilesUnavailable, match=said):
        parse_profiles_response(status, body)


@pytest.mark.parametrize(("header", "seconds"), [("7", 7.0), ("", None), ("soon", None), ("-1", None), ("9" * 9, None)])
def test_retry_after_is_told(header: str, seconds: float | None) -> None:
    """Seconds only."""
    with pytest.raises(ProfilesUnavailable) as raised:
        parse_profiles_response(429, b"", header)
    assert raised.value.retry_after == seconds


class Amazon:
    """A server on a real port; `answer` makes its answer, `asked` keeps what it was asked."""

    def __init__(self) -> None:
        self.asked: list[web.BaseRequest] = []
        self.answer: Any = lambda: web.json_response([ENTRY])
        self.url = ""

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        self.asked.append(request)
        made = self.answer()
        return await made if asyncio.iscoroutine(made) else made  # type: ignore[no-any-return]  # the script's answer


@pytest.fixture
async def amazon() -> AsyncIterator[Amazon]:
    scripted = Amazon()
    server = web.Server(scripted.handle)
    runner = web.ServerRunner(server, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    scripted.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield scripted
    await runner.cleanup()


async def test_amazon_is_asked_as_it_wants_to_be(amazon: Amazon, session: aiohttp.ClientSession) -> None:
    """Token and both client ids, no Scope, on the one path."""
    assert await list_profiles(session, Endpoint(amazon.url, "amzn1.x", 5), Secret("Atza|t")) == (KNOWN,)
    (asked,) = amazon.asked
    assert (asked.method, asked.path_qs) == ("GET", "/v2/profiles")
    assert asked.headers["Authorization"] == "Bearer Atza|t"
    assert asked.headers["Amazon-Advertising-API-ClientId"] == asked.headers["Amazon-Ads-ClientId"] == "amzn1.x"
    assert "Amazon-Advertising-API-Scope" not in asked.headers


async def test_a_redirect_is_not_followed(amazon: Amazon, session: aiohttp.ClientSession) -> None:
    """The token goes nowhere else."""
    amazon.answer = lambda: web.Response(status=302, headers={"Location": amazon.url + "/elsewhere"})
    with pytest.raises(ProfilesUnavailable, match="302"):
        await list_profiles(session, Endpoint(amazon.url, "x", 5), Secret("t"))
    assert len(amazon.asked) == 1


async def test_an_endless_answer_is_not_read_to_the_end(
    amazon: Amazon, session: aiohttp.ClientSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Memory stays bounded."""
    assert MAX_RESPONSE_BYTES > 5000 * 1000
    monkeypatch.setattr("proxy.profiles.listing.MAX_RESPONSE_BYTES", 1000)
    amazon.answer = lambda: web.Response(body=b" " * 2000)
    with pytest.raises(ProfilesUnavailable, match="longer than any"):
        await list_profiles(session, Endpoint(amazon.url, "x", 5), Secret("t"))


async def test_a_slow_answer_is_given_up(amazon: Amazon, session: aiohttp.ClientSession) -> None:
    """After the time that it was given."""
    never = asyncio.Event()

    async def wait() -> web.Response:
        await never.wait()
        return web.Response()

    amazon.answer = wait
    with pytest.raises(ProfilesUnavailable, match=r"took longer than 0\.05 s"):
        await list_profiles(session, Endpoint(amazon.url, "x", 0.05), Secret("t"))
    never.set()


async def test_an_unreachable_host_is_named(session: aiohttp.ClientSession, unused_tcp_port: int) -> None:
    """Without the token."""
    url = f"http://127.0.0.1:{unused_tcp_port}"
    with pytest.raises(ProfilesUnavailable, match=r"cannot be reached \(Connection refused\); look at") as raised:
        await list_profiles(session, Endpoint(url, "x", 5), Secret("Atza|secret"))
    assert url in str(raised.value)
    assert "secret" not in str(raised.value)


async def test_what_is_no_http_is_said_in_words(session: aiohttp.ClientSession) -> None:
    """No name of a Python class appears in what people read."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"SSH-2.0-OpenSSH_9.6\r\n")
        writer.close()

    async with await asyncio.start_server(talk, "127.0.0.1", 0) as server:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        with pytest.raises(ProfilesUnavailable, match=f"{url} did not answer with HTTP; check the address"):
            await list_profiles(session, Endpoint(url, "x", 5), Secret("t"))


async def test_an_outbound_proxy_is_used_where_one_is_given(amazon: Amazon, session: aiohttp.ClientSession) -> None:
    """The request goes to it, with Amazon's address as its target."""
    endpoint = Endpoint("http://advertising-api.invalid", "x", 5, proxy=Secret(amazon.url))
    assert await list_profiles(session, endpoint, Secret("t")) == (KNOWN,)
    assert amazon.asked[0].headers["Host"] == "advertising-api.invalid"


def self_signed(directory: Path) -> ssl.SSLContext:
    """A server's context with a certificate without a trusted signature."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    pem = directory / "self-signed.pem"
    plain = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    pem.write_bytes(
        certificate.public_bytes(serialization.Encoding.PEM) + key.private_bytes(serialization.Encoding.PEM, *plain)
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    return context


async def test_a_certificate_that_nobody_vouches_for_is_refused(tmp_path: Path, session: aiohttp.ClientSession) -> None:
    """The token is not sent, and the sentence names the setting."""
    scripted = Amazon()
    runner = web.ServerRunner(web.Server(scripted.handle), shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=self_signed(tmp_path)).start()
    try:
        with pytest.raises(ProfilesUnavailable, match=r"certificate .* was not accepted .*upstream\.ca_file"):
            await list_profiles(session, Endpoint(f"https://127.0.0.1:{runner.addresses[0][1]}", "x", 5), Secret("t"))
    finally:
        await runner.cleanup()
    assert scripted.asked == []
