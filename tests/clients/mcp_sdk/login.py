"""A real MCP client that would log in by OAuth: it has no key. Prints a line of JSON for all that happens."""

from __future__ import annotations

import asyncio
import json
import os
from typing import Any

import httpx2
from mcp import Client
from mcp.client.auth import OAuthClientProvider
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.auth import OAuthClientMetadata


def tell(**facts: Any) -> None:
    """One line."""
    print(json.dumps(facts), flush=True)


class Memory:
    """Where the client keeps what it gets: nothing, at first."""

    async def get_tokens(self) -> None:
        """The tokens: none yet."""

    async def set_tokens(self, tokens: Any) -> None:
        """Report that the client got tokens."""
        tell(got="tokens")

    async def get_client_info(self) -> None:
        """The client's registration: none yet."""

    async def set_client_info(self, client_info: Any) -> None:
        """Report that the client was registered."""
        tell(got="registration")


async def open_browser(url: str) -> None:
    """A person would be asked to sign in."""
    tell(opened=url)


async def come_back() -> Any:
    """Fail, because no person ever signs in."""
    raise AssertionError("nobody signs in")


def causes(error: BaseException) -> list[str]:
    """The texts of all errors within one."""
    inner = error.exceptions if isinstance(error, BaseExceptionGroup) else ()
    return [f"{type(error).__name__}: {error}", *(text for each in inner for text in causes(each))]


async def main() -> None:
    """Connects, which fails."""
    url = os.environ["PROXY_URL"] + "/mcp"
    metadata = OAuthClientMetadata(redirect_uris=["http://localhost:3030/callback"], client_name="test")
    provider = OAuthClientProvider(url, metadata, Memory(), open_browser, come_back)
    try:
        async with (
            httpx2.AsyncClient(auth=provider, timeout=120, trust_env=False) as http,
            Client(streamable_http_client(url, http_client=http), mode="legacy"),
        ):
            tell(connected=True)
    except Exception as error:  # noqa: BLE001 - whatever it is, the test reads it
        tell(failed=causes(error))


if __name__ == "__main__":
    asyncio.run(main())
