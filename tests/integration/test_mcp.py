"""Hosted MCP through the proxy, with the real `mcp` package as the client, and as the server behind it.

The server takes its next step only when the test has seen the last one arrive at the client: an event that is held
back anywhere would stop the stream for good.
"""

from __future__ import annotations

import contextlib
import http.client
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.clients import environments, flows
from tests.integration.rig import Rig
from tests.support.processes import Output, fetch, started_script, until
from tests.support.ready_program import Interpreter
from tests.support.running import replace_file

pytestmark = pytest.mark.integration

HERE = environments.CLIENTS / "mcp_sdk"
LIFETIME = 3600
"""Seconds that an access token lives here, on the simulator's clock."""
SILENCE = 3
"""Seconds that a body may be silent, but for event streams."""

STEPS = 4
PACKAGES = ("httpx2", "mcp.client.auth", "mcp.client.stdio", "mcp.server.mcpserver", "uvicorn")


@dataclass
class Hosted:
    """The real server, and the proxy in front of it."""

    proxy: Rig
    control_url: str
    config: Path
    reloads: int = 0

    def tell(self, what: str, **facts: Any) -> None:
        """Tells the server something."""
        body = json.dumps(facts).encode()
        assert fetch(f"{self.control_url}/{what}", body, {"Content-Type": "application/json"})[0] == 200

    def step(self, number: int) -> None:
        """Lets the server go on after that number."""
        self.tell("step", seen=number)

    def reload(self, change: Callable[[dict[str, Any]], Any]) -> None:
        """Changes the configuration file, and waits until the proxy has taken it."""
        config = yaml.safe_load(self.config.read_text())
        change(config)
        replace_file(self.config, yaml.safe_dump(config))
        self.reloads += 1
        until(lambda: sum(line.get("event") == "config_reloaded" for line in self.proxy.log.entries()) >= self.reloads)

    def seen(self) -> list[dict[str, Any]]:
        """The requests that reached the server."""
        found: list[dict[str, Any]] = json.loads(fetch(f"{self.control_url}/seen")[1])
        return found

    def refreshes(self) -> int:
        """How often a token was minted."""
        counts = flows.asked(self.proxy, "/control/counts")
        found: int = counts["token_by_grant"]["refresh_token"]
        return found

    def replace_token(self) -> None:
        """Get and use another token. Two of these, and the one before has expired."""
        before = self.proxy.account(flows.ACCOUNT)["generation"]
        url = f"{self.proxy.admin}/console/accounts/{flows.ACCOUNT}/refresh"
        assert fetch(url, b"", {"X-Ads-Proxy-Console": "1"})[0] == 200
        until(lambda: self.proxy.account(flows.ACCOUNT)["generation"] > before)
        self.proxy.control("/control/clock", {"advance": 0.6 * LIFETIME})

    def outlast_a_silent_body(self) -> None:
        """Wait until the proxy has cut off a response that was silent for too long, and for less long than the stream
        is."""
        fault = {"hang": "mid_body", "abort_after": 1}
        self.proxy.control("/control/faults", {"match": {"path": "/silent"}, "fault": fault})
        with pytest.raises(http.client.IncompleteRead):
            self.proxy.get("/silent", {"Authorization": f"Bearer {flows.KEY}"})


@pytest.fixture(scope="module")
def python() -> Interpreter:
    """The interpreter that has the `mcp` package."""
    return Interpreter(str(environments.python_environment("mcp_sdk")), PACKAGES)


@pytest.fixture
def hosted(python: Interpreter, tmp_path: Path) -> Iterator[Hosted]:
    """The server takes the place of the simulator's endpoint, and has the simulator check each request."""
    with started_script(python, HERE / "server.py") as output:
        facts = output.wait_for(lambda line: "mcp_url" in line)
        with flows.keyed(tmp_path, lifetime=LIFETIME, upstream={"idle_timeout": SILENCE}) as proxy:
            found = Hosted(proxy, facts["control_url"], tmp_path / "proxy.yaml")
            found.tell("simulator", url=proxy.simulator["mcp_urls"]["na"])
            found.reload(lambda config: config["regions"]["na"].update(mcp_url=facts["mcp_url"]))
            yield found


@contextlib.contextmanager
def client(python: Interpreter, proxy: Rig, mode: str, to: int) -> Iterator[Output]:
    """The real client, at work."""
    given = {"PROXY_URL": proxy.proxy_url, "CLIENT_KEY": flows.KEY}
    with started_script(python, HERE / "flow.py", mode, str(to), **given) as output:
        yield output


@pytest.mark.parametrize("mode", ["legacy", "auto"])
def test_events_flow_across_many_tokens(hosted: Hosted, python: Interpreter, mode: str) -> None:
    """One stream outlives token after token, and a silence that ends other bodies; each event is at the client before
    the server makes the next."""
    with client(python, hosted.proxy, mode, STEPS) as told:
        assert told.wait_for(lambda line: "tools" in line)["tools"] == ["count"]
        before = hosted.refreshes()
        for number in range(1, STEPS + 1):
            _arrived(told, number)
            hosted.replace_token()
            if number == 1:
                hosted.outlast_a_silent_body()
            hosted.step(number)
        assert told.wait_for(lambda line: "result" in line) == {"result": [f"counted to {STEPS}"], "failed": False}
    assert hosted.refreshes() - before >= STEPS
    assert [request["status"] for request in hosted.seen() if request["status"] != 200] == []


def test_a_session_stays_one(hosted: Hosted, python: Interpreter) -> None:
    """The session that the server names is the one that every later request carries, up to the DELETE that ends it."""
    with client(python, hosted.proxy, "legacy", 2) as told:
        for number in (1, 2):
            _arrived(told, number)
            hosted.step(number)
        told.wait_for(lambda line: "result" in line)
        seen = until(lambda: [request for request in hosted.seen() if request["method"] == "DELETE"] and hosted.seen())
    sessions = [dict(request["headers"]).get("mcp-session-id") for request in seen]
    assert sessions[0] is None
    assert len(set(sessions[1:])) == 1
    assert len(sessions) >= 4


def test_a_reload_does_not_cut_a_stream(hosted: Hosted, python: Interpreter) -> None:
    """The configuration changes in the middle: the stream goes on, and its later events arrive."""
    with client(python, hosted.proxy, "legacy", 3) as told:
        told.wait_for(lambda line: line.get("progress") == 1)
        hosted.reload(lambda config: config.update(allowed_hosts=["changed.example"]))
        for number in (1, 2, 3):
            _arrived(told, number)
            hosted.step(number)
        assert told.wait_for(lambda line: "result" in line)["result"] == ["counted to 3"]


def test_no_scope_is_added_and_no_key_leaves(hosted: Hosted, python: Interpreter) -> None:
    """What reaches the endpoint has a token and client id of Amazon's kind, no default Scope, no key."""
    with client(python, hosted.proxy, "legacy", 1) as told:
        told.wait_for(lambda line: line.get("progress") == 1)
        hosted.step(1)
        told.wait_for(lambda line: "result" in line)
    headers = [dict(request["headers"]) for request in hosted.seen()]
    assert {head["amazon-ads-clientid"] for head in headers} == {hosted.proxy.simulator["client_id"]}
    assert all(head["authorization"].startswith("Bearer Atza|") for head in headers)
    assert not any("amazon-advertising-api-scope" in head for head in headers)
    assert flows.KEY not in json.dumps(hosted.seen())


@pytest.mark.parametrize("path", ["/mcp", "/mcp/lite", "/eu/mcp", f"/@{flows.ACCOUNT}/mcp"])
def test_the_simulators_own_endpoint(python: Interpreter, tmp_path: Path, path: str) -> None:
    """The real client works with the endpoint that the demo has, by each of the paths that lead there."""
    with flows.keyed(tmp_path) as proxy:
        given = {"PROXY_URL": proxy.proxy_url, "CLIENT_KEY": flows.KEY, "MCP_PATH": path}
        with started_script(python, HERE / "flow.py", "legacy", "3", **given) as told:
            assert told.wait_for(lambda line: "tools" in line)["tools"] == ["count", "list_profiles"]
            assert told.wait_for(lambda line: "result" in line) == {"result": ["counted"], "failed": False}
        assert flows.refusals(proxy) == []


@pytest.mark.parametrize("status", [200, 400, 401])
def test_a_token_that_died_early_is_the_proxys_business(python: Interpreter, tmp_path: Path, status: int) -> None:
    """Whichever way the endpoint says that it is over: one renewal, and the client works on as if nothing had been."""
    with flows.keyed(tmp_path) as proxy:
        proxy.control("/control/settings", {"mcp_token_status": status})
        assert proxy.get("/v2/profiles", {"Authorization": f"Bearer {flows.KEY}"})[0] == 200
        before = flows.asked(proxy, "/control/counts")["token_by_grant"]["refresh_token"]
        proxy.control("/control/tokens/expire")
        given = {"PROXY_URL": proxy.proxy_url, "CLIENT_KEY": flows.KEY}
        with started_script(python, HERE / "flow.py", "legacy", "3", **given) as told:
            assert told.wait_for(lambda line: "tools" in line)["tools"] == ["count", "list_profiles"]
            assert told.wait_for(lambda line: "result" in line) == {"result": ["counted"], "failed": False}
        assert flows.asked(proxy, "/control/counts")["token_by_grant"]["refresh_token"] - before == 1


QUERY, UPDATE = "campaign_management-query_campaign", "campaign_management-update_campaign"
INVOKE = "amazon_ads_mcp-invoke_tool"


def invoked(name: str) -> dict[str, Any]:
    return {"name": INVOKE, "arguments": {"name": name, "arguments": {"body": {}}}}


@pytest.mark.parametrize("path", ["/mcp", "/mcp/lite"])
@pytest.mark.parametrize("limits", [{"access": "read"}, {"mcp_tools": ["*-query_*"]}])
def test_read_only_is_read_only(python: Interpreter, tmp_path: Path, path: str, limits: dict[str, Any]) -> None:
    """The real client sees and calls what reads; a write fails with a reason, and Amazon hears nothing of it."""
    calls = [{"name": name, "arguments": {"body": {}}} for name in (QUERY, UPDATE)]
    if path == "/mcp/lite":
        calls = [invoked(QUERY), invoked(UPDATE)]
    with flows.keyed(tmp_path, limits=limits) as proxy:
        proxy.control("/control/settings", {"mcp_tools": "amazon"})
        given = {"PROXY_URL": proxy.proxy_url, "CLIENT_KEY": flows.KEY, "MCP_PATH": path}
        with started_script(python, HERE / "tools.py", "legacy", json.dumps(calls), **given) as told:
            tools = told.wait_for(lambda line: "tools" in line)["tools"]
            told.wait_for(lambda line: "done" in line)
            called, refused = (line for line in told.entries() if "called" in line)
        proxy.log.wait_for(lambda line: "tool-not-permitted" in str(line))
    if path == "/mcp":
        assert QUERY in tools and UPDATE not in tools
        assert all("-query_" in tool or "-retrieve_" in tool for tool in tools)
    else:
        assert INVOKE in tools
    assert called["called"] == calls[0]["name"] and "Do not retry." not in called["said"][0]
    assert refused["failed"] and UPDATE in refused["said"][0] and refused["said"][0].endswith("Do not retry.")
    assert sum('"tool-not-permitted"' in line for line in proxy.log.lines) == 1


FOREIGN_PROFILE = "1110000000000002"


@pytest.mark.parametrize("path", ["/mcp", "/mcp/lite"])
@pytest.mark.parametrize("mode", ["legacy", "auto"])
def test_a_limited_key_works_for_its_own_profile(python: Interpreter, tmp_path: Path, path: str, mode: str) -> None:
    """The real client, with a key for one profile: it gets that one's campaigns, and a reason for any other."""
    body = {"body": {"adProductFilter": {"include": ["SPONSORED_PRODUCTS"]}}}
    own = ({**body}, {**body, "profileId": flows.FIRST_PROFILE})
    foreign = ({**body, "profileId": FOREIGN_PROFILE}, {"body": {"accessRequestedAccounts": [{"profileId": "1"}]}})
    calls: list[dict[str, Any]] = [{"name": QUERY, "arguments": arguments} for arguments in (*own, *foreign)]
    if path == "/mcp/lite":
        calls = [{"name": INVOKE, "arguments": call} for call in calls]
    with flows.keyed(tmp_path, limits={"profiles": [flows.FIRST_PROFILE], "access": "read"}) as proxy:
        proxy.control("/control/settings", {"mcp_tools": "amazon"})
        given = {"PROXY_URL": proxy.proxy_url, "CLIENT_KEY": flows.KEY, "MCP_PATH": path}
        with started_script(python, HERE / "tools.py", mode, json.dumps(calls), **given) as told:
            told.wait_for(lambda line: "done" in line)
            said = [line for line in told.entries() if "called" in line]
        assert flows.refusals(proxy) == []
        seen = flows.asked(proxy, "/control/requests?listener=mcp")
    assert ["campaigns" in str(line.get("said")) for line in said] == [True, True, False, False]
    assert ["may only name accounts" in line["said"][0] for line in said] == [False, False, True, True]
    assert [line["failed"] for line in said] == [False, False, True, True]
    assert f"Use profile {flows.FIRST_PROFILE}, or leave profileId out. Do not retry." in said[2]["said"][0]
    headers = [{name.lower(): value for name, value in request["headers"]} for request in seen]
    assert {head.get("amazon-advertising-api-scope") for head in headers} == {flows.FIRST_PROFILE}
    assert {head.get("amazon-ads-ai-account-selection-mode") for head in headers} == {"FIXED"}


@pytest.mark.parametrize("path", ["/mcp", "/mcp/lite"])
def test_audit_and_log_name_what_the_client_called(python: Interpreter, tmp_path: Path, path: str) -> None:
    """The real client, which nothing limits, reads and changes something: both lines have the tool's name, and there is
    one record, of the change."""
    calls = [{"name": tool, "arguments": {"body": {}}} for tool in (QUERY, UPDATE)]
    if path == "/mcp/lite":
        calls = [invoked(tool) for tool in (QUERY, UPDATE)]
    file = tmp_path / "audit.jsonl"
    with flows.keyed(tmp_path, audit={"file": str(file)}) as proxy:
        proxy.control("/control/settings", {"mcp_tools": "amazon"})
        given = {"PROXY_URL": proxy.proxy_url, "CLIENT_KEY": flows.KEY, "MCP_PATH": path}
        with started_script(python, HERE / "tools.py", "legacy", json.dumps(calls), **given) as told:
            told.wait_for(lambda line: "done" in line)
        line = proxy.log.wait_for(lambda line: line.get("mcp_tools") == [UPDATE])
        assert proxy.log.wait_for(lambda line: line.get("mcp_tools") == [QUERY])["operation_class"] == "read"
        until(lambda: UPDATE in file.read_text())
        records = [json.loads(text) for text in file.read_text().splitlines()]
    [record] = [each for each in records if each["event"]["action"] == "amazon-write"]
    assert line["mcp_tools"] == record["ads_proxy"]["mcp_tools"] == [UPDATE]
    assert record["user"]["name"] == flows.CLIENT
    assert record["http"]["request"]["id"] == line["request_id"]


def test_an_answer_that_took_too_long_passes(tmp_path: Path) -> None:
    """The 504 that the endpoint gives after 30 seconds is the tool's, byte for byte, and is not asked for twice."""
    with flows.keyed(tmp_path) as proxy:
        proxy.control("/control/faults", {"match": {"target": "mcp"}, "fault": {"named": "timeout"}})
        headers = {"Authorization": f"Bearer {flows.KEY}", "Content-Type": "application/json"}
        answer = fetch(proxy.proxy_url + "/mcp", b'{"jsonrpc":"2.0","id":1,"method":"ping"}', headers)
        assert answer == (504, b'{"message": "Endpoint request timed out"}')
        assert [fault["happened"] for fault in flows.asked(proxy, "/control/faults")] == [1]


def test_a_client_begins_no_login_of_its_own(python: Interpreter, tmp_path: Path) -> None:
    """The real client, with OAuth and without a key: it opens no browser, and its error says what to do instead."""
    with flows.keyed(tmp_path) as proxy:
        with started_script(python, HERE / "login.py", PROXY_URL=proxy.proxy_url) as told:
            said = told.wait_for(lambda line: True)
        assert '"error_description": "There is no OAuth login here' in " ".join(said["failed"])
        reached = [request["target"] for request in flows.asked(proxy, "/control/requests?last=1000")]
        assert [target for target in reached if "mcp" in target or "register" in target or "known" in target] == []


def refused(python: Interpreter, proxy: Rig, mode: str, **given: str) -> str:
    """What the real client says of the error that it met."""
    environment = {"PROXY_URL": proxy.proxy_url, "CLIENT_KEY": flows.KEY, **given}
    with started_script(python, HERE / "refused.py", mode, **environment) as told:
        return " ".join(told.wait_for(lambda line: True)["failed"])


@pytest.mark.parametrize("mode", ["legacy", "auto"])
def test_the_client_is_told_why_the_proxy_refuses_it(python: Interpreter, tmp_path: Path, mode: str) -> None:
    """With two accounts and no choice, and with a wrong key: the client shows our detail."""
    with flows.keyed(tmp_path, beside=("globex",), limits={"accounts": [flows.ACCOUNT, "globex"]}) as proxy:
        assert "several accounts: acme, globex. Choose one with" in refused(python, proxy, mode)
        assert "No client has this key" in refused(python, proxy, mode, MCP_PATH="/mcp/lite", CLIENT_KEY="wrong")


def test_a_client_without_a_permitted_tool_is_told_why(python: Interpreter, tmp_path: Path) -> None:
    """The key that `init` writes may make reports, and the simulator's own tools are none: no empty list."""
    with flows.keyed(tmp_path, limits={"access": "report"}) as proxy:
        said = refused(python, proxy, "legacy")
        assert f"Client {flows.CLIENT} may call none of the 2 tools here, because of its `access: report`" in said


def _arrived(told: Output, number: int) -> None:
    """The client has heard of that step."""
    told.wait_for(lambda line: line.get("progress") == number)
