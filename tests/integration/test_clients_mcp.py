"""Programs for MCP that other people wrote, each with a key for one profile.

mcp-remote is what desktop assistants start to reach a server over HTTP; amazon-ads-mcp is a server that calls the Ads
API itself. A real MCP client starts each of them, lists its tools, and calls some. LangChain makes agents.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.clients import environments, flows
from tests.integration.rig import Rig
from tests.support.processes import started
from tests.support.programs import require_program

pytestmark = pytest.mark.integration

FOREIGN_PROFILE = "1110000000000002"
BODY = {"adProductFilter": {"include": ["SPONSORED_PRODUCTS"]}}
Calls = list[tuple[str, dict[str, Any]]]


@pytest.fixture
def proxy(tmp_path: Path) -> Iterator[Rig]:
    """The client may read for one profile, and list all profiles, which amazon-ads-mcp does before it selects one."""
    limits = {"profiles": [flows.FIRST_PROFILE], "unscoped_paths": ["/v2/profiles"], "access": "read"}
    with flows.keyed(tmp_path, limits=limits) as running:
        running.control("/control/settings", {"mcp_tools": "amazon"})
        yield running


def run(proxy: Rig, home: Path, calls: Calls, *command: str | Path) -> tuple[list[str], list[str]]:
    """The tools that the program lists, and what it says to each call."""
    named = json.dumps([{"name": name, "arguments": arguments} for name, arguments in calls])
    given = {"PROXY_URL": proxy.proxy_url, "CLIENT_NAME": flows.CLIENT, "CLIENT_KEY": flows.KEY}
    python, script = environments.python_environment("mcp_sdk"), environments.CLIENTS / "mcp_sdk" / "tools.py"
    home.mkdir()
    more = {"ACCOUNT_NAME": flows.ACCOUNT, "HOME": str(home), "LOG_LEVEL": "ERROR"}
    with started(python, script, "legacy", named, *command, **given, **more) as told:
        tools = told.wait_for(lambda line: "tools" in line)["tools"]
        told.wait_for(lambda line: "done" in line)
        said = [line for line in told.entries() if "called" in line]
    return tools, [str(line.get("said") or line["refused"]) for line in said]


def scopes(proxy: Rig, listener: str, path: str) -> set[str]:
    """The profiles for which the path was asked for at Amazon."""
    seen = flows.asked(proxy, f"/control/requests?listener={listener}&last=1000")
    heads = [dict(request["headers"]) for request in seen if request["target"].startswith(path)]
    return {value for head in heads for name, value in head.items() if name.lower() == "amazon-advertising-api-scope"}


@pytest.mark.newman
@pytest.mark.parametrize("path", ["/mcp", "/mcp/lite"])
def test_mcp_remote(proxy: Rig, tmp_path: Path, path: str) -> None:
    """mcp-remote works for its key's own profile, and passes on the error for any other."""
    node, place = require_program("node"), environments.node_environment("mcp_remote")
    program = place / "node_modules" / "mcp-remote" / "dist" / "proxy.js"
    command = (node, program, proxy.proxy_url + path, "--header", f"Authorization: Bearer {flows.KEY}")
    query, update = "campaign_management-query_campaign", "campaign_management-update_campaign"
    foreign = {"body": BODY, "profileId": FOREIGN_PROFILE}
    calls: Calls = [(query, {"body": BODY}), (query, foreign), (update, {"body": {}})]
    if path == "/mcp/lite":
        calls = [("amazon_ads_mcp-invoke_tool", {"name": name, "arguments": given}) for name, given in calls]
    tools, (own, other, write) = run(proxy, tmp_path / "home", calls, *command)
    assert (query if path == "/mcp" else "amazon_ads_mcp-invoke_tool") in tools and update not in tools
    assert "campaigns" in own
    assert "may only name accounts of its own" in other
    assert "has `access: read`" in write
    assert scopes(proxy, "mcp", "/mcp") == {flows.FIRST_PROFILE}
    assert flows.refusals(proxy) == []


@pytest.mark.newman
def test_mcp_remote_with_a_wrong_key(proxy: Rig, tmp_path: Path) -> None:
    """mcp-remote looks for a login of its own, and ends with what is wrong: the key, not OAuth."""
    node, place = require_program("node"), environments.node_environment("mcp_remote")
    program = place / "node_modules" / "mcp-remote" / "dist" / "proxy.js"
    command = [node, str(program), f"{proxy.proxy_url}/mcp", "--header", "Authorization: Bearer wrong"]
    ended = subprocess.run(
        command,
        env={"PATH": os.environ["PATH"], "HOME": str(tmp_path)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=flows.LONGEST,
    )
    assert ended.returncode == 1
    assert '"error": "access_denied", "error_description": "There is no OAuth login here' in ended.stderr
    assert "the key in the header Authorization is missing, unknown or expired" in ended.stderr
    assert flows.refusals(proxy) == []


def test_amazon_ads_mcp(proxy: Rig, tmp_path: Path) -> None:
    """The client signs in at the proxy, works for its key's own profile, and passes on the 403 for any other."""
    python = environments.python_environment("amazon_ads_mcp")
    command = (python, environments.CLIENTS / "amazon_ads_mcp" / "serve.py")
    query, update = "spv1_SPQueryCampaign", "spv1_SPUpdateCampaign"
    calls: Calls = [
        ("set_active_profile", {"profile_id": flows.FIRST_PROFILE}),
        (query, BODY),
        (update, {"campaigns": [{"campaignId": "1", "state": "PAUSED"}]}),
        ("set_active_profile", {"profile_id": FOREIGN_PROFILE}),
        (query, BODY),
    ]
    tools, (_, own, write, _, other) = run(proxy, tmp_path / "home", calls, *command)
    assert {query, update, "set_active_profile"} <= set(tools)
    assert "campaignId" in own
    assert "access: read" in write
    assert f"may not use profile {FOREIGN_PROFILE}" in other
    assert scopes(proxy, "api", "/adsApi") == {flows.FIRST_PROFILE}
    assert flows.refusals(proxy) == []


def test_an_agent_of_langchain(proxy: Rig) -> None:
    """Refused calls do not end it: its model reads what to send instead, and goes on."""
    python, script = environments.python_environment("langchain"), environments.CLIENTS / "langchain" / "agent.py"
    query = "campaign_management-query_campaign"
    calls = [(query, {"body": BODY, "profileId": FOREIGN_PROFILE}), (query, {"body": BODY})]
    named = json.dumps([{"name": name, "arguments": arguments} for name, arguments in calls])
    with started(python, script, named, PROXY_URL=proxy.proxy_url, CLIENT_KEY=flows.KEY) as told:
        assert told.wait_for(lambda line: "said" in line)["said"] == "finished"
        foreign, own = (line for line in told.entries() if "read" in line)
    advice = f"Use profile {flows.FIRST_PROFILE}, or leave profileId out. Do not retry."
    assert (foreign["failed"], foreign["read"].endswith(advice)) == (True, True)
    assert (own["failed"], "campaigns" in own["read"]) == (False, True)
    assert flows.refusals(proxy) == []
