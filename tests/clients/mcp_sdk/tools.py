"""A real MCP client that may call some tools: lists them, and calls those that it is told to. Prints lines of JSON.

It connects to the proxy, or starts the server program that further arguments name, as desktop assistants do.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from typing import Any

import httpx2
from mcp import Client, StdioServerParameters
from mcp.client.stdio import stdio_client
from mcp.client.streamable_http import streamable_http_client


def tell(**facts: Any) -> None:
    """One line."""
    print(json.dumps(facts), flush=True)


def connected(http: httpx2.AsyncClient, command: list[str]) -> Any:
    """To the program, or to the proxy if there is none."""
    if command:
        return stdio_client(StdioServerParameters(command=command[0], args=command[1:], env=dict(os.environ)))
    return streamable_http_client(os.environ["PROXY_URL"] + os.environ.get("MCP_PATH", "/mcp"), http_client=http)


async def main(mode: str, calls: list[dict[str, Any]], command: list[str]) -> None:
    """Each call is a tool's name and its arguments."""
    headers = {"Authorization": f"Bearer {os.environ['CLIENT_KEY']}"}
    async with (
        httpx2.AsyncClient(headers=headers, timeout=httpx2.Timeout(120, read=None), trust_env=False) as http,
        Client(connected(http, command), mode=mode) as client,
    ):
        tell(tools=[tool.name for tool in (await client.list_tools()).tools])
        for call in calls:
            try:
                result = await client.call_tool(call["name"], call["arguments"])
                texts = [part.text for part in result.content if part.type == "text"]
                tell(called=call["name"], said=texts, failed=bool(result.is_error))
            except Exception as error:  # noqa: BLE001 - whatever it is, the test reads it
                tell(called=call["name"], refused=str(error), kind=type(error).__name__)
        tell(done=True)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], json.loads(sys.argv[2]), sys.argv[3:]))
