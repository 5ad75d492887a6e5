"""mcp-remote with Amazon's address, as desktop assistants start it; a real MCP client starts it, and calls a tool."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.clients import environments, flows
from tests.clients.intercepted import intercepting
from tests.support.programs import require_program

pytestmark = [pytest.mark.integration, pytest.mark.newman]

MCP_URL = "https://advertising-ai.amazon.com/mcp"
HEADERS = ("Amazon-Ads-AI-Account-Selection-Mode:FIXED", f"Amazon-Advertising-API-Scope:{flows.FIRST_PROFILE}")
"""What Amazon's page has people add for one advertiser."""
QUERY = "campaign_management-query_campaign"
CALLS = json.dumps([{"name": QUERY, "arguments": {"body": {"adProductFilter": {"include": ["SPONSORED_PRODUCTS"]}}}}])


@pytest.mark.parametrize(("way", "client", "node"), [("run", "", "24"), ("variables", flows.CLIENT, "20")])
def test_mcp_remote(way: str, client: str, node: str, tmp_path: Path) -> None:
    """A Node whose fetch obeys HTTPS_PROXY needs nothing more; an older one needs mcp-remote's own option for it."""
    place, python = environments.node_environment("mcp_remote"), environments.python_environment("mcp_sdk")
    program = place / "node_modules" / "mcp-remote" / "dist" / "proxy.js"
    interpreter, option = (
        (environments.recent_node(), ()) if node == "24" else (require_program("node"), ("--enable-proxy",))
    )
    script = environments.CLIENTS / "mcp_sdk" / "tools.py"
    headers = [word for header in HEADERS for word in ("--header", header)]
    command = (python, script, "legacy", CALLS, interpreter, program, MCP_URL, *headers, *option)
    with intercepting(tmp_path, client) as proxy:
        proxy.amazon.control("settings", {"mcp_tools": "amazon"})
        ended = proxy.execute(way, *command, CLIENT_KEY="")
        said = [json.loads(line) for line in ended.stdout.splitlines() if line.startswith("{")]
        assert len(said) == 3, f"{ended.stdout[-1000:]}\n{ended.stderr[-4000:]}"
        assert QUERY in said[0]["tools"]
        assert "campaigns" in str(said[1]["said"])
        assert proxy.refusals() == []
