"""An agent made with LangChain, whose model is a script: it calls one MCP tool, and prints what it read."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from typing import Any

from langchain.agents import create_agent
from langchain_core.language_models.fake_chat_models import GenericFakeChatModel
from langchain_core.messages import AIMessage, ToolMessage
from langchain_mcp_adapters.client import MultiServerMCPClient


class ScriptedModel(GenericFakeChatModel):  # type: ignore[misc, unused-ignore]  # where it is not installed
    """Says what it is made with, one message after the other, whatever it is told."""

    def bind_tools(self, _tools: Any, **_more: Any) -> ScriptedModel:
        """The tools are in the script already."""
        return self


async def main(calls: list[dict[str, Any]]) -> None:
    """Each call is a tool's name and its arguments; the model goes on with the next after each."""
    url = os.environ["PROXY_URL"] + os.environ.get("MCP_PATH", "/mcp")
    headers = {"Authorization": f"Bearer {os.environ['CLIENT_KEY']}"}
    server = {"transport": "streamable_http", "url": url, "headers": headers}
    tools = await MultiServerMCPClient({"ads": server}).get_tools()
    script = [
        AIMessage(content="", tool_calls=[{"name": call["name"], "args": call["arguments"], "id": str(number)}])
        for number, call in enumerate(calls)
    ]
    model = ScriptedModel(messages=iter([*script, AIMessage(content="finished")]))
    said = await create_agent(model, tools).ainvoke({"messages": [{"role": "user", "content": "Which campaigns?"}]})
    for message in said["messages"]:
        if isinstance(message, ToolMessage):
            print(json.dumps({"read": message.text, "failed": message.status == "error"}), flush=True)
    print(json.dumps({"said": said["messages"][-1].text}), flush=True)


if __name__ == "__main__":
    asyncio.run(main(json.loads(sys.argv[1])))
