"""What people read when an address cannot be reached: real sockets fail in every way there is."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest

from proxy.net.names import AskAboutOthers, Names
from proxy.net.session import make_session, name_proxy, through, why_unreachable
from proxy.secret import Secret
from tests.support.certificates import Authority


@asynccontextmanager
async def answering(content: bytes) -> AsyncIterator[str]:
    """`HOST:PORT` of a server that reads something, answers this whatever it was asked, and closes."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(65536)
        writer.write(content)
        writer.close()

    async with await asyncio.start_server(talk, "127.0.0.1", 0) as server:
        yield f"127.0.0.1:{server.sockets[0].getsockname()[1]}"


async def failing(url: str, proxy: Secret | None = None) -> str:
    """The words for what a request to this address meets."""
    async with aiohttp.ClientSession(trust_env=False) as session:
        with pytest.raises((aiohttp.ClientError, OSError)) as raised:
            async with session.get(url, proxy=proxy.reveal() if proxy else None) as answer:
                await answer.read()
    return why_unreachable(raised.value, "the-host", proxy)


async def test_a_closed_port_is_said_with_the_systems_own_words(unused_tcp_port: int) -> None:
    """The host that was asked is named."""
    said = await failing(f"http://127.0.0.1:{unused_tcp_port}")
    assert said == "the-host cannot be reached (Connection refused); look at the network and the firewall between"


async def test_a_closed_port_of_the_outbound_proxy_is_the_proxys(unused_tcp_port: int) -> None:
    """For plain addresses and for TLS; neither its user nor its password is shown."""
    proxy = Secret(f"http://user:canary@127.0.0.1:{unused_tcp_port}")
    for scheme in ("http", "https"):
        said = await failing(f"{scheme}://host.invalid/", proxy)
        assert said == (
            f"the outbound proxy 127.0.0.1:{unused_tcp_port} cannot be reached (Connection refused); "
            "look at upstream.proxy"
        )


async def test_a_name_that_is_none_is_a_matter_of_dns() -> None:
    """The host's, or the outbound proxy's where one is asked instead."""
    said = await failing("http://no-such-host.invalid/")
    assert said.startswith("the name the-host could not be resolved; look at the DNS")
    said = await failing("http://host.test/", Secret("http://no-such-proxy.invalid:3128"))
    assert said.startswith("the name of the outbound proxy no-such-proxy.invalid:3128 could not be resolved")


async def test_a_name_that_leads_back_to_the_proxy_is_named() -> None:
    """Login with Amazon and the lists are asked under the same names as traffic."""
    names = Names(ask=AskAboutOthers({"localhost"}))
    async with make_session(names) as session:
        with pytest.raises(aiohttp.ClientError) as raised:
            await session.get("http://localhost:1/")
    names.stop()
    said = why_unreachable(raised.value, "localhost", None)
    assert said.startswith("the name localhost leads back to the proxy, by a hosts file or an alias")


async def test_an_outbound_proxy_that_refuses_is_quoted() -> None:
    """The status tells whether the outbound proxy wants a password."""
    async with answering(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n") as address:
        said = await failing("https://host.invalid/", Secret(f"http://{address}"))
    assert said == f"the outbound proxy {address} answered 407 to CONNECT; look at upstream.proxy"


async def test_a_plain_http_port_is_reported_as_one() -> None:
    """The advice is about the address; no company proxy is blamed."""
    async with answering(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n") as address:
        said = await failing(f"https://{address}/")
    assert said == (
        "the-host does not speak TLS on this port; write http:// in its address, or the port on which it speaks TLS"
    )


async def test_a_failed_handshake_and_a_strange_certificate_are_told_apart(tmp_path: Path) -> None:
    """Both errors name the setting that company proxies need."""
    async with answering(b"\x15\x03\x03\x00\x02\x02\x28") as address:
        said = await failing(f"https://{address}/")
    assert said.startswith("the TLS handshake with the-host failed; ")
    context = Authority(tmp_path).context("localhost")
    async with await asyncio.start_server(
        lambda _reader, writer: writer.close(), "127.0.0.1", 0, ssl=context
    ) as server:
        said = await failing(f"https://localhost:{server.sockets[0].getsockname()[1]}/")
    assert said.startswith("the certificate of the-host was not accepted (unable to get local issuer certificate); ")
    assert said.endswith("upstream.ca_file")


async def test_a_connection_that_ends_early_is_broken() -> None:
    """Before the answer, or in its middle; the outbound proxy in between is named."""
    async with answering(b"") as address:
        said = await failing(f"http://{address}/")
        assert said == "the connection to the-host broke before the answer was complete"
        said = await failing("http://host.test/", Secret(f"http://{address}"))
        assert (
            said
            == f"the connection to the-host through the outbound proxy {address} broke before the answer was complete"
        )
    async with answering(b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\nx") as address:
        assert "broke before" in await failing(f"http://{address}/")


async def test_what_is_no_http_is_not_the_networks_fault() -> None:
    """Reachability reports nothing, so that the asking code reports it."""
    async with answering(b"SSH-2.0-OpenSSH_9.6\r\n") as address:
        assert await failing(f"http://{address}/") == ""


def test_an_error_without_a_number_is_said_without() -> None:
    """Several addresses that failed differently have no common number."""
    key = aiohttp.client_reqrep.ConnectionKey("host.test", 443, True, True, None, None, None)
    said = why_unreachable(aiohttp.ClientConnectorError(key, OSError("several")), "host.test", None)
    assert said.startswith("host.test cannot be reached (connecting failed); ")


def test_no_outbound_proxy_has_no_name() -> None:
    """An address without an outbound proxy needs no addition."""
    assert (name_proxy(None), through(None)) == ("", "")
    assert name_proxy(Secret("http://[::1]:3128/")) == "[::1]:3128"
