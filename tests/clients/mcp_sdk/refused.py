"""A real MCP client that is refused: it connects and lists the tools. Prints what it is told as a line of JSON."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from typing import Any

import httpx2
from mcp import Client
from mcp.client.streamable_http import streamable_http_client


def tell(**facts: Any) -> None:
    """One line."""
    print(json.dumps(facts), flush=True)


def causes(error: BaseException) -> list[str]:
    """The texts of all errors within one."""
    inner = error.exceptions if isinstance(error, BaseExceptionGroup) else ()
    return [str(error), *(text for each in inner for text in causes(each))]


async def main(mode: str) -> None:
    """With the key and the path of the environment."""
    headers = {"Authorization": f"Bearer {os.environ['CLIENT_KEY']}"}
    url = os.environ["PROXY_URL"] + os.environ.get("MCP_PATH", "/mcp")
    try:
        async with (
            httpx2.AsyncClient(headers=headers, timeout=120, trust_env=False) as http,
            Client(streamable_http_client(url, http_client=http), mode=mode) as client,
        ):
            tell(tools=[tool.name for tool in (await client.list_tools()).tools])
    except Exception as error:  # noqa: BLE001 - whatever it is, the test reads it
        tell(failed=causes(error))


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
