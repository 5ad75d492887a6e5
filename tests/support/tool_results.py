"""What a client of MCP reads of the proxy's answers to tool calls."""

from __future__ import annotations

import json


def refusal_text(body: bytes, identifier: object = 1) -> str:
    """The text for the language model behind a refused call, whose answer is a tool's result and nothing else."""
    said = json.loads(body)
    [content] = said["result"]["content"]
    assert said == {
        "jsonrpc": "2.0",
        "id": identifier,
        "result": {"content": [content], "isError": True, "resultType": "complete"},
    }
    text = content["text"]
    assert content == {"type": "text", "text": text} and isinstance(text, str) and text
    return text
