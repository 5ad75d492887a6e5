"""A client made with fastmcp: lists the tools, and calls those that it is told to. Prints lines of JSON.

A question of the server is answered as the environment says.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from typing import Any

from fastmcp import Client
from fastmcp.client.elicitation import ElicitResult
from fastmcp.client.transports import StreamableHttpTransport


def tell(**facts: Any) -> None:
    """One line."""
    print(json.dumps(facts), flush=True)


async def answer(message: str, _response_type: Any, _params: Any, _context: Any) -> Any:
    """The server asks something."""
    tell(asked=message)
    return ElicitResult(action="accept", content=json.loads(os.environ.get("ANSWER", "{}")))


async def main(mode: str, calls: list[dict[str, Any]]) -> None:
    """Each call is a tool's name and its arguments."""
    headers = {"Authorization": f"Bearer {os.environ['CLIENT_KEY']}"}
    url = os.environ["PROXY_URL"] + os.environ.get("MCP_PATH", "/mcp")
    asks = {"elicitation_handler": answer} if "ANSWER" in os.environ else {}
    async with Client(StreamableHttpTransport(url, headers=headers), mode=mode, timeout=120, **asks) as client:
        tell(tools=[tool.name for tool in await client.list_tools()])
        for call in calls:
            try:
                result = await client.call_tool(call["name"], call["arguments"], raise_on_error=False)
                said = [part.text for part in result.content if part.type == "text"]
                tell(called=call["name"], said=said, failed=bool(result.is_error))
            except Exception as error:  # noqa: BLE001 - whatever it is, the test reads it
                tell(called=call["name"], refused=str(error), kind=type(error).__name__)
        tell(done=True)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], json.loads(sys.argv[2])))
