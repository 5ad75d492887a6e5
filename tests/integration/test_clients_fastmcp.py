"""MCP clients made with fastmcp, in each version of the protocol: with sessions, without, and whichever the server has.

Requests without a session must leave as the simulator wants them, which is strict about their headers.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from tests.clients import environments, flows
from tests.integration.rig import Rig
from tests.support.processes import ReadyProcess, started_script, until
from tests.support.ready_program import Interpreter

pytestmark = pytest.mark.integration

SESSIONLESS = "2026-07-28"
QUERY, UPDATE = "campaign_management-query_campaign", "campaign_management-update_campaign"
INVOKE = "amazon_ads_mcp-invoke_tool"
FOREIGN_PROFILE = "1110000000000002"
BODY = {"adProductFilter": {"include": ["SPONSORED_PRODUCTS"]}}
CHANGE = {"body": {"campaigns": [{"campaignId": "1", "state": "PAUSED"}]}}
Calls = list[tuple[str, dict[str, Any]]]


@pytest.fixture(scope="module")
def python() -> Interpreter:
    """The interpreter that has fastmcp."""
    return Interpreter(str(environments.python_environment("fastmcp")), ("fastmcp.client", "mcp.client.auth"))


def run(
    python: Interpreter, proxy: Rig, mode: str, calls: Calls, path: str = "/mcp", **given: str
) -> tuple[list[str], list[dict[str, Any]]]:
    """The tools that the client lists, and what it then hears."""
    if path == "/mcp/lite":
        calls = [(INVOKE, {"name": name, "arguments": arguments}) for name, arguments in calls]
    named = json.dumps([{"name": name, "arguments": arguments} for name, arguments in calls])
    environment = {"PROXY_URL": proxy.proxy_url, "CLIENT_KEY": flows.KEY, "MCP_PATH": path, **given}
    with started_script(python, environments.CLIENTS / "fastmcp" / "flow.py", mode, named, **environment) as told:
        told.wait_for(lambda line: "done" in line)
        first, *heard, _ = told.entries()
    return first["tools"], heard


def heads(proxy: Rig) -> list[dict[str, str]]:
    """The heads of all requests that reached the endpoint, with names in small letters."""
    seen = flows.asked(proxy, "/control/requests?listener=mcp&last=1000")
    return [{name.lower(): value for name, value in request["headers"]} for request in seen]


def versions(proxy: Rig) -> set[str | None]:
    """The versions that the requests were written in, but for the first, which finds out or agrees on one."""
    return {head.get("mcp-protocol-version") for head in heads(proxy)[1:]}


def test_the_key_of_the_demo_reads_by_mcp(python: Interpreter) -> None:
    """With the key of its banner, an agent sees tools that read, and calls them; a misspelt one is corrected."""
    misspelt = "campaign_management-query_campagin"
    calls = json.dumps([{"name": name, "arguments": {"body": BODY}} for name in (QUERY, misspelt, UPDATE)])
    any_port = "127.0.0.1:0"
    demo = ReadyProcess(
        *("proxy", "demo", "--listen", any_port, "--admin-listen", any_port),
        open_files=None,
        ADS_PROXY_LOG__FORMAT="json",
    )
    try:
        started = demo.first(lambda line: line.get("event") == "server_started")
        until(lambda: "console: " in demo.text)
        key = re.search(r"Bearer (adsproxy_[\w-]+)", demo.text)
        assert key, demo.text
        environment = {"PROXY_URL": f"http://{started['listen']}", "CLIENT_KEY": key[1]}
        with started_script(python, environments.CLIENTS / "fastmcp" / "flow.py", "auto", calls, **environment) as told:
            told.wait_for(lambda line: "done" in line)
            first, read, wrong, write, _ = told.entries()
    finally:
        demo.end()
        demo.wait()
    assert QUERY in first["tools"]
    assert UPDATE not in first["tools"]
    assert (read["failed"], "campaigns" in json.loads(read["said"][0])) == (False, True)
    assert wrong["said"] == [f"Unknown tool {misspelt}. Did you mean {QUERY}? Do not retry."]
    assert write["failed"]


@pytest.mark.parametrize("path", ["/mcp", "/mcp/lite"])
@pytest.mark.parametrize(
    ("mode", "spoken", "has_session"),
    [
        (SESSIONLESS, "both", False),
        (SESSIONLESS, "sessionless", False),
        ("auto", "both", False),
        ("auto", "sessions", True),
        ("legacy", "both", True),
    ],
)
def test_a_limited_key_works_in_every_version(
    python: Interpreter, tmp_path: Path, path: str, mode: str, spoken: str, has_session: bool
) -> None:
    """The client gets its own profile's campaigns, and an error for any other and for a write, which never leave."""
    own: list[dict[str, Any]] = [{"body": BODY}, {"body": BODY, "profileId": flows.FIRST_PROFILE}]
    calls: Calls = [(QUERY, each) for each in (*own, {"body": BODY, "profileId": FOREIGN_PROFILE})]
    with flows.keyed(tmp_path, limits={"profiles": [flows.FIRST_PROFILE], "access": "read"}) as proxy:
        proxy.control("/control/settings", {"mcp_tools": "amazon", "mcp_versions": spoken})
        tools, heard = run(python, proxy, mode, [*calls, (UPDATE, CHANGE)], path)
        assert flows.refusals(proxy) == []
        seen = heads(proxy)
        assert (SESSIONLESS in versions(proxy)) is not has_session
    assert (INVOKE if path == "/mcp/lite" else QUERY) in tools and UPDATE not in tools
    assert ["campaignId" in str(each.get("said")) for each in heard] == [True, True, False, False]
    assert "may only name accounts of its own" in str(heard[2])
    assert "`access: read`" in str(heard[3])
    assert {head.get("amazon-advertising-api-scope") for head in seen} == {flows.FIRST_PROFILE}
    assert {head.get("amazon-ads-ai-account-selection-mode") for head in seen} == {"FIXED"}
    assert any("mcp-session-id" in head for head in seen) is has_session


@pytest.mark.parametrize("spoken", ["both", "sessionless"])
def test_an_unlimited_key_works_without_sessions(python: Interpreter, tmp_path: Path, spoken: str) -> None:
    """The client's tools name their accounts in arguments, and none is fixed."""
    calls: Calls = [(QUERY, {"body": BODY, "profileId": profile}) for profile in (flows.FIRST_PROFILE, FOREIGN_PROFILE)]
    with flows.keyed(tmp_path) as proxy:
        proxy.control("/control/settings", {"mcp_tools": "amazon", "mcp_versions": spoken})
        tools, heard = run(python, proxy, SESSIONLESS, calls)
        assert flows.refusals(proxy) == []
        assert not any("amazon-ads-ai-account-selection-mode" in head for head in heads(proxy))
        assert versions(proxy) == {SESSIONLESS}
    assert {QUERY, UPDATE} <= set(tools)
    assert ["campaignId" in str(each.get("said")) for each in heard] == [True, True]


def outcomes_of_writes(file: Path) -> list[str]:
    """What became of each write, as the audit stream has it."""
    records = map(json.loads, file.read_text().splitlines())
    return [each["event"]["outcome"] for each in records if each["event"]["action"] == "amazon-write"]


LIMITS: list[dict[str, Any]] = [{}, {"profiles": [flows.FIRST_PROFILE]}]


@pytest.mark.parametrize("path", ["/mcp", "/mcp/lite"])
@pytest.mark.parametrize("limits", LIMITS, ids=["unlimited", "limited"])
def test_a_tool_asks_and_gets_its_answer(
    python: Interpreter, tmp_path: Path, path: str, limits: dict[str, Any]
) -> None:
    """`input_required` reaches the client, and its answer and the state reach the endpoint."""
    named = {} if limits else {"profileId": flows.FIRST_PROFILE}
    file = tmp_path / "audit.jsonl"
    with flows.keyed(tmp_path, limits=limits, audit={"file": str(file)}) as proxy:
        proxy.control("/control/settings", {"mcp_tools": "amazon", "mcp_confirms": True})
        answer = json.dumps({"confirm": True})
        _, heard = run(python, proxy, SESSIONLESS, [(UPDATE, {**CHANGE, **named})], path, ANSWER=answer)
        assert flows.refusals(proxy) == []
        outcomes = until(lambda: written if len(written := outcomes_of_writes(file)) == 2 else None)
    asked, done = heard
    assert "change something?" in asked["asked"]
    assert "RESOURCE_ID_NOT_FOUND" in str(done["said"])
    assert outcomes == ["unknown", "failure"]


def test_an_answer_that_names_another_account_never_leaves(python: Interpreter, tmp_path: Path) -> None:
    """A limited client's answers are judged as its arguments are."""
    answer = json.dumps({"confirm": True, "profileId": FOREIGN_PROFILE})
    with flows.keyed(tmp_path, limits={"profiles": [flows.FIRST_PROFILE]}) as proxy:
        proxy.control("/control/settings", {"mcp_tools": "amazon", "mcp_confirms": True})
        _, heard = run(python, proxy, SESSIONLESS, [(UPDATE, CHANGE)], ANSWER=answer)
        assert flows.refusals(proxy) == []
        calls = [head for head in heads(proxy) if head.get("mcp-method") == "tools/call"]
    assert "may only name accounts of its own" in str(heard[-1])
    assert len(calls) == 1
