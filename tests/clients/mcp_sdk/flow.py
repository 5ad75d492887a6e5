"""A real MCP client: it knows the proxy's address and its own key. Prints a line of JSON for all that it hears."""

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


async def hear(progress: float, total: float | None, _message: str | None) -> None:
    """The server has come that far."""
    tell(progress=int(progress), total=int(total or 0))


async def main(mode: str, to: int) -> None:
    """Lists the tools, and calls the one that counts."""
    headers = {"Authorization": f"Bearer {os.environ['CLIENT_KEY']}"}
    url = os.environ["PROXY_URL"] + os.environ.get("MCP_PATH", "/mcp")
    async with (
        httpx2.AsyncClient(headers=headers, timeout=httpx2.Timeout(120, read=None), trust_env=False) as http,
        Client(streamable_http_client(url, http_client=http), mode=mode) as client,
    ):
        tools = [tool.name for tool in (await client.list_tools()).tools]
        tell(tools=tools)
        result = await client.call_tool("count", {"to": to}, progress_callback=hear)
        said = [part.text for part in result.content if part.type == "text"]
    tell(result=said, failed=bool(result.is_error))


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2])))
