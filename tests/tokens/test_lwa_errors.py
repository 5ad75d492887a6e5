"""Login with Amazon where the network, its answers or an outbound proxy are broken."""

from __future__ import annotations

import asyncio
import ssl
from urllib.parse import urlsplit

import pytest
from aiohttp import web

from proxy import errors
from proxy.secret import Secret
from tests.tokens.test_lwa import CREDENTIALS, GOOD, REFRESH, asking, refresh_from, saying, serving


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_redirects_are_never_followed(status: int) -> None:
    """Credentials go to the configured address alone."""
    async with serving(saying(GOOD)) as elsewhere:
        with pytest.raises(errors.TokenAnswerMalformed, match="never followed") as raised:
            await refresh_from(b"", status, {"Location": elsewhere.url})
        assert urlsplit(elsewhere.url).netloc in raised.value.detail
        assert elsewhere.requests == []


async def test_a_redirect_to_nonsense_is_a_failure_like_any() -> None:
    """A location that no URL can be made of does not escape as another exception."""
    with pytest.raises(errors.TokenAnswerMalformed):
        await refresh_from(b"", 302, {"Location": "http://[::1"})


async def test_a_huge_body_is_read_no_further_than_the_bound() -> None:
    """An endless answer ends at the bound, and the connection with it."""
    sent = 0

    async def endless(request: web.BaseRequest) -> web.StreamResponse:
        nonlocal sent
        response = web.StreamResponse()
        await response.prepare(request)
        while True:
            await response.write(b" " * 65536)
            sent += 65536

    async with serving(endless) as endpoint, asking() as lwa:
        with pytest.raises(errors.TokenAnswerMalformed, match="more than"):
            await lwa.refresh(endpoint.url, CREDENTIALS, REFRESH)
    assert sent < 32 * 1024 * 1024


async def test_silence_is_a_timeout() -> None:
    """An endpoint that accepts and says nothing is given up."""
    gone = asyncio.Event()

    async def silent(_: web.BaseRequest) -> web.StreamResponse:
        await gone.wait()
        return web.Response()

    async with serving(silent) as endpoint, asking(timeout=0.1) as lwa:
        with pytest.raises(errors.TokenTimeout, match=r"0\.1 seconds"):
            await lwa.refresh(endpoint.url, CREDENTIALS, REFRESH)
        gone.set()


async def raw_server(content: bytes) -> tuple[asyncio.Server, str]:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(content)
        writer.close()

    server = await asyncio.start_server(talk, "127.0.0.1", 0)
    return server, f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/auth/o2/token"


@pytest.mark.parametrize(
    ("content", "failure"),
    [
        (b"", errors.TokenNetworkError),
        (b'HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n{"access_token"', errors.TokenNetworkError),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", errors.TokenAnswerMalformed),
        (b"SSH-2.0-OpenSSH_9.6\r\n", errors.TokenAnswerMalformed),
        (b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 4\r\n\r\nnope", errors.TokenNetworkError),
    ],
)
async def test_broken_answers_are_failures_with_names(content: bytes, failure: type[errors.TokenFailure]) -> None:
    """No exception of the HTTP library gets out."""
    server, url = await raw_server(content)
    async with server, asking() as lwa:
        with pytest.raises(errors.TokenFailure) as raised:
            await lwa.refresh(url, CREDENTIALS, REFRESH)
    assert type(raised.value) is failure


async def test_nobody_there_is_a_network_failure() -> None:
    """A refused connection names the host."""
    server, url = await raw_server(b"")
    server.close()
    await server.wait_closed()
    async with asking() as lwa:
        with pytest.raises(errors.TokenNetworkError, match=r"127\.0\.0\.1.*refused"):
            await lwa.refresh(url, CREDENTIALS, REFRESH)


async def test_a_name_that_is_none_is_a_network_failure() -> None:
    """The error for a host that cannot be resolved names the cause."""
    async with asking() as lwa:
        with pytest.raises(errors.TokenNetworkError, match="could not be resolved"):
            await lwa.refresh("http://no-such-host.invalid/auth/o2/token", CREDENTIALS, REFRESH)


@pytest.mark.parametrize(
    "url", ["", "nonsense", "http://", "http://a b/", "ftp://127.0.0.1/x", "http://127.0.0.1:99999/", "http://[::1"]
)
async def test_addresses_that_are_none_are_failures_with_names(url: str) -> None:
    """Even a URL that slipped through the configuration's checks ends as a `TokenFailure`."""
    async with asking() as lwa:
        with pytest.raises(errors.TokenFailure):
            await lwa.refresh(url, CREDENTIALS, REFRESH)


async def test_a_wrong_certificate_is_refused(tls: tuple[ssl.SSLContext, ssl.SSLContext]) -> None:
    """Nothing is sent to a host whose certificate is not accepted; the private CA makes it acceptable."""
    server_side, client_side = tls
    async with serving(saying(GOOD), server_side) as endpoint:
        async with asking() as lwa:
            with pytest.raises(errors.TokenNetworkError, match="certificate"):
                await lwa.refresh(endpoint.url, CREDENTIALS, REFRESH)
        assert endpoint.requests == []
        async with asking(ssl_context=client_side) as lwa:
            assert (await lwa.refresh(endpoint.url, CREDENTIALS, REFRESH)).access_token.reveal() == "Atza|access"


async def test_an_outbound_proxy_that_is_down_is_named() -> None:
    """By host and port, without its password; the host behind it is not blamed."""
    server, url = await raw_server(b"")
    server.close()
    await server.wait_closed()
    address = urlsplit(url).netloc
    async with asking(proxy=Secret(f"http://user:CANARY-password@{address}")) as lwa:
        with pytest.raises(errors.TokenNetworkError) as raised:
            await lwa.refresh("http://lwa.invalid/auth/o2/token", CREDENTIALS, REFRESH)
    assert f"the outbound proxy {address} cannot be reached (Connection refused)" in raised.value.detail
    assert "lwa.invalid" not in raised.value.detail
    assert "CANARY" not in raised.value.detail


async def test_an_outbound_proxy_that_is_silent_is_named() -> None:
    """The error of a timeout through the outbound proxy names the proxy."""
    gone = asyncio.Event()

    async def silent(_: web.BaseRequest) -> web.StreamResponse:
        await gone.wait()
        return web.Response()

    async with serving(silent) as outbound:
        address = urlsplit(outbound.url).netloc
        async with asking(timeout=0.1, proxy=Secret(f"http://{address}")) as lwa:
            with pytest.raises(errors.TokenTimeout, match=f"through the outbound proxy {address}"):
                await lwa.refresh("http://lwa.invalid/auth/o2/token", CREDENTIALS, REFRESH)
        gone.set()


async def test_an_odd_refusal_names_the_address_that_gave_it() -> None:
    """Without what else an address may hold."""
    async with serving(saying(b"<html>", 401)) as endpoint, asking() as lwa:
        odd = endpoint.url.replace("http://", "http://user:CANARY@") + "?key=CANARY"
        with pytest.raises(errors.TokenAnswerMalformed) as raised:
            await lwa.refresh(odd, CREDENTIALS, REFRESH)
    assert raised.value.detail.startswith(f"{endpoint.url} answered 401 which is not an answer of Login with Amazon")
    assert "CANARY" not in raised.value.detail


async def test_an_outbound_proxy_is_used() -> None:
    """The request goes to the outbound proxy, in absolute form."""
    targets: list[str] = []

    async def relay(request: web.BaseRequest) -> web.StreamResponse:
        targets.append(str(request.raw_path))
        return web.json_response(GOOD)

    async with serving(relay) as outbound:
        origin = outbound.url.removesuffix("/auth/o2/token")
        async with asking(proxy=Secret(origin)) as lwa:
            await lwa.refresh("http://lwa.invalid/auth/o2/token", CREDENTIALS, REFRESH)
    assert targets == ["http://lwa.invalid/auth/o2/token"]
