"""`check --as CLIENT` with a body or a tool's arguments: what the limits on spending say of a write, without Amazon."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from proxy.app.sources import profile_sources
from proxy.commands.cli import app
from proxy.config import load
from proxy.errors import ConfigurationError
from proxy.profiles.index import ProfileIndex, ProfileListing, document_of
from proxy.profiles.listing import Profile
from proxy.tokens.file_store import FileStore

LIMITS = "{budget: {USD: 200, EUR: 180}, bid: {USD: 2.50}, states: [paused]}"
CREATE, QUERY = "campaign_management-create_campaign", "campaign_management-query_campaign"
INVOKE = "amazon_ads_mcp-invoke_tool"
OPTIMIZE = "POST /sp/rules/campaignOptimization"


def configuration(folder: Path, spend: str = LIMITS) -> Path:
    """Clients `agent` with these limits, `broad` with the same and without profiles, and `free` without limits."""
    file = folder / "proxy.yaml"
    file.write_text(
        f"""
accounts: {{acme: {{client_id: app-1, client_secret: one, refresh_token: token-1, default_profile: first}}}}
state: {{url: "file:{folder}/state"}}
approvals: {{approvers: [{{name: anna, keys: [{{sha256: "{9:064}"}}]}}]}}
clients:
  - {{name: agent, key_sha256: "{1:064}", profiles: ["123", "124"], spend: {spend}}}
  - {{name: broad, key_sha256: "{2:064}", spend: {spend}}}
  - {{name: free, key_sha256: "{3:064}"}}
"""
    )
    return file


def check(folder: Path, file: Path, arguments: str, content: Any = None) -> Result:
    """The result of a check; `FILE` in its arguments has this content as JSON, or these bytes."""
    body = folder / "body.json"
    if content is not None:
        body.write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())
    words = [str(body) if word == "FILE" else word for word in arguments.split()]
    return CliRunner().invoke(app, ["check", "--config", str(file), "--as", *words], env={"COLUMNS": "400"})


def campaign(budget: object = 200, **members: Any) -> dict[str, Any]:
    budgets = {"budgetType": "DAILY", "budget": budget}
    return {"campaigns": [{"name": "x", "state": "PAUSED", "budget": budgets, **members}]}


def rows(result: Result) -> list[list[str]]:
    """The words of the lines of its tables and sentences."""
    return [line.split() for line in result.stdout.splitlines()]


POST = "agent POST /sp/campaigns --profile 123 --body FILE"


@pytest.mark.parametrize(
    ("arguments", "content", "code", "said"),
    [
        (f"{POST} --currency usd", campaign(), 0, "Limits on spending: within: The write is within the limits"),
        (f"{POST} --currency USD", campaign("2.01e2"), 1, "No (rule: spend): over: The write is over the limits"),
        (POST, campaign(), 1, "is an amount without a known currency"),
        (POST, campaign(), 1, "not in the lists of the state directory: give --currency and --timezone"),
        (f"{POST} --currency USD --media-type text/plain", campaign(), 1, "must be sent as Content-Type"),
        (f"{POST} --currency USD", b"{", 1, "No (rule: spend): unreadable: The proxy cannot read"),
        (f"{POST} --currency USD", b'{"a": 1, "a": 2}', 1, "must be JSON in UTF-8, without a name twice"),
        (f"{POST} --currency USD", b'{"bid": 1, "Bid": 2}', 1, "differ in case and punctuation only"),
        (f"{POST} --currency USD", b" " * 262144, 1, "must be smaller than 262144 bytes"),
        ("agent DELETE /sd/campaigns/5 --profile 123", None, 1, "archived"),
        ("agent POST /sp/campaigns --profile 123", None, 0, "judges the body, too; add --body FILE"),
        (f"agent --profile 123 --mcp-tool {CREATE}", None, 0, "judges the arguments, too; add --arguments FILE"),
        ("broad POST /nowhere --profile 123 --body FILE", campaign(), 1, "list `POST /nowhere` in `spend.allow`"),
        ("agent POST /sp/campaigns/list --profile 123 --body FILE", {}, 0, "Nothing limits what it spends"),
        ("free POST /sp/campaigns --profile 123 --body FILE", campaign(999), 0, "Nothing limits what it spends"),
        (f"free --mcp-tool {CREATE} --arguments FILE", {}, 0, "Nothing limits what it spends"),
        (f"agent --profile 123 --mcp-tool {QUERY} --arguments FILE", {}, 0, "Nothing limits what it spends"),
        ("agent POST /sp/campaigns --profile 9 --body FILE", campaign(), 1, "No (rule: profiles)"),
    ],
)
def test_a_write_is_judged_by_the_limits_of_its_client(
    tmp_path: Path, arguments: str, content: Any, code: int, said: str
) -> None:
    """After its policy; the exit code is 1 where the proxy would refuse it."""
    result = check(tmp_path, configuration(tmp_path), arguments, content)
    assert (result.exit_code, said in result.output) == (code, True), result.output or result.exception


def test_findings_and_violations_have_a_line_each(tmp_path: Path) -> None:
    """Path, kind, value and currency; then path, rule, value, currency and limit."""
    body = campaign(250.50, state="ENABLED")
    said = rows(check(tmp_path, configuration(tmp_path), f"{POST} --currency USD", body))
    assert ["campaigns[0].budget.budget", "budget", "250.5", "USD"] in said
    assert ["campaigns[0].state", "state", "enabled", "-"] in said
    assert ["campaigns[0].budget.budget", "budget", "250.5", "USD", "200"] in said
    assert ["campaigns[0].state", "states", "enabled", "-", "paused"] in said
    body = campaign(1)
    assert "over at" not in check(tmp_path, configuration(tmp_path), f"{POST} --currency USD", body).stdout


def test_an_observed_write_passes_with_the_verdict(tmp_path: Path) -> None:
    """The exit code is that of the answer that the client would get."""
    file = configuration(tmp_path, "{mode: observe, budget: {USD: 1}}")
    result = check(tmp_path, file, f"{POST} --currency USD", campaign())
    assert result.exit_code == 0
    assert "Limits on spending: over: The write is over the limits of client agent. It is sent" in result.stdout


def test_a_write_that_waits_for_a_person_is_told_so(tmp_path: Path) -> None:
    """The write does not pass by itself; nor does one that no person may approve, as it cannot be read whole."""
    file = configuration(tmp_path, "{budget: {USD: 1}, beyond: approve}")
    result = check(tmp_path, file, f"{POST} --currency USD", campaign())
    assert (result.exit_code, "A person is asked first (`beyond: approve`)" in result.stdout) == (1, True)
    result = check(tmp_path, file, f"{POST} --currency USD", campaign(maxSpend=5))
    assert (result.exit_code, "A person is asked" in result.stdout) == (1, False)
    asked = check(tmp_path, file, "agent GET /-/approvals/0123")
    assert (asked.exit_code, "may read the states of its own approvals" in asked.stdout) == (0, True)


@pytest.mark.parametrize(("allowed", "code"), [(OPTIMIZE, 0), ("POST /sp/campaigns", 1)])
def test_an_allowed_operation_passes_unread(tmp_path: Path, allowed: str, code: int) -> None:
    """By its exact name."""
    file = configuration(tmp_path, f'{{allow: ["{allowed}"]}}')
    result = check(tmp_path, file, f"agent {OPTIMIZE} --profile 123 --body FILE", {"ruleCondition": [{"threshold": 1}]})
    assert (result.exit_code, f"It is sent: `allow` has {OPTIMIZE}." in result.stdout) == (code, not code)
    assert "unreadable" in result.stdout


def test_a_parameter_that_may_ask_for_another_operation_is_not_allowed(tmp_path: Path) -> None:
    """The operation of the path is not the one that a server carries out which obeys the parameter."""
    file, body = configuration(tmp_path, f'{{allow: ["{OPTIMIZE}"]}}'), {"ruleCondition": [{"threshold": 1}]}
    assert check(tmp_path, file, f"broad {OPTIMIZE} --profile 123 --body FILE", body).exit_code == 0
    assert check(tmp_path, file, f"broad {OPTIMIZE}?_method=PUT --profile 123 --body FILE", body).exit_code == 1


def test_a_parameter_that_may_be_money_is_unreadable(tmp_path: Path) -> None:
    """Some servers take it for a member of the body."""
    file, write = configuration(tmp_path), "POST /sp/campaigns%s --profile 123 --currency USD --body FILE"
    assert check(tmp_path, file, "broad " + write % "?count=5", campaign()).exit_code == 0
    result = check(tmp_path, file, "broad " + write % "?budget=5", campaign())
    assert (result.exit_code, "The parameter 'budget' may be money" in result.stdout) == (1, True)


def test_known_violations_are_refused_in_an_allowed_operation(tmp_path: Path) -> None:
    """Although the write is unreadable, too."""
    file = configuration(tmp_path, '{budget: {USD: 1}, allow: ["POST /sp/campaigns"]}')
    result = check(tmp_path, file, f"{POST} --currency USD", campaign(2, spendCap=5))
    assert (result.exit_code, "Unreadable: `campaigns[0].spendCap`" in result.stdout) == (1, True)


TOOL_BODY = {"body": {"campaigns": [{"state": "PAUSED", "budgets": []}]}}


def test_a_tool_is_judged_by_its_arguments(tmp_path: Path) -> None:
    """Its own, and those of the tool that another one calls."""
    file = configuration(tmp_path, "{states: [archived]}")
    direct = check(tmp_path, file, f"agent --profile 123 --mcp-tool {CREATE} --arguments FILE", TOOL_BODY)
    assert (direct.exit_code, f"It was read as MCP {CREATE}" in direct.stdout) == (1, True)
    assert ["body.campaigns[0].state", "states", "paused", "-", "archived"] in rows(direct)
    inner = {"tool_name": CREATE, "arguments": TOOL_BODY}
    invoked = check(tmp_path, file, f"agent --profile 123 --mcp-tool {INVOKE} --arguments FILE", inner)
    assert (invoked.exit_code, f"It was read as MCP {CREATE}" in invoked.stdout) == (1, True)
    assert ["body.campaigns[0].state", "states", "paused", "-", "archived"] in rows(invoked)
    reading = {"tool_name": QUERY, "arguments": {}}
    assert check(tmp_path, file, f"agent --profile 123 --mcp-tool {INVOKE} --arguments FILE", reading).exit_code == 0


def test_tools_have_a_currency_only_where_their_session_is_for_one_advertiser(tmp_path: Path) -> None:
    """A limited client's session always is; another client's has none otherwise, whatever the command line says."""
    arguments = f"--mcp-tool {CREATE} --arguments FILE --currency USD --timezone UTC"
    file, known = configuration(tmp_path), "with currency USD and time zone UTC."
    free = check(tmp_path, file, f"broad {arguments}", TOOL_BODY).stdout
    assert "with an unknown currency and an unknown time zone." in free and "name it with --profile" in free
    stated = check(tmp_path, file, f"broad --profile 123 {arguments}", TOOL_BODY).stdout
    assert known in stated and "must begin its MCP session with Amazon-Ads-AI-Account-Selection-Mode" in stated
    limited = check(tmp_path, file, f"agent --profile 123 {arguments}", TOOL_BODY).stdout
    assert known in limited and "MCP session" not in limited


def keep_lists(file: Path) -> None:
    """Have the state directory hold what a program has listed: 123 in dollars, 124 in euros."""
    config = load(file, {})
    (source,) = profile_sources(config, None)
    profiles = tuple(
        Profile(identifier, "B", "", currency, zone, "seller", "M", "E")
        for identifier, currency, zone in (("123", "USD", "America/New_York"), ("124", "EUR", "Europe/Berlin"))
    )
    index = ProfileIndex()
    index.put("acme", "na", ProfileListing(source.origin("na"), profiles, "124", 1.0))
    store = FileStore.open(f"{file.parent}/state", ())
    asyncio.run(store.write_document(document_of("acme"), index.to_document()))


@pytest.mark.parametrize(
    ("arguments", "known"),
    [
        ("agent POST /sp/campaigns --profile 123", "currency USD and time zone America/New_York."),
        ("agent POST /sp/campaigns --profile 124", "currency EUR and time zone Europe/Berlin."),
        ("agent POST /sp/campaigns --profile 124 --currency JPY", "currency JPY and time zone Europe/Berlin."),
        ("broad POST /sp/campaigns", "currency EUR and time zone Europe/Berlin."),
        ("broad POST /sp/campaigns --profile 125", "an unknown currency and an unknown time zone."),
    ],
)
def test_the_lists_of_the_state_directory_tell_the_currency(tmp_path: Path, arguments: str, known: str) -> None:
    """The profile in force counts, the first one included; the command line has the last word."""
    file = configuration(tmp_path)
    keep_lists(file)
    assert f"with {known}" in check(tmp_path, file, f"{arguments} --body FILE", campaign()).stdout


def test_a_check_leaves_no_state_directory_behind(tmp_path: Path) -> None:
    """Nothing is made where no program has run."""
    check(tmp_path, configuration(tmp_path), POST, campaign())
    assert not (tmp_path / "state").exists()
    (tmp_path / "state").mkdir(mode=0o700)
    check(tmp_path, configuration(tmp_path), POST, campaign())
    assert list((tmp_path / "state").iterdir()) == []


def test_the_day_is_left_to_a_running_proxy(tmp_path: Path) -> None:
    """Said of a write that takes something of it."""
    file = configuration(tmp_path, "{new_per_day: 1}")
    result = check(tmp_path, file, f"{POST} --currency USD --timezone Europe/Berlin", campaign())
    assert (result.exit_code, "Only a running proxy knows what the day has taken" in result.stdout) == (0, True)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ("agent POST /sp/campaigns --body /nonexistent/x", "--body: /nonexistent/x: No such file or directory"),
        (f"agent --mcp-tool {CREATE} --body FILE", "--body: is for a request to the API"),
        ("agent POST /sp/campaigns --arguments FILE", "--arguments: are for an MCP tool; name it with --mcp-tool"),
        ("agent POST /sp/campaigns --media-type a/b", "--media-type: is that of a body; add --body FILE"),
        ("agent POST /sp/campaigns --currency USD", "--currency, --timezone: are for a write; add --body FILE"),
        ("agent POST /sp/campaigns --body FILE --timezone Europe/Nowhere", "--timezone: is not a time zone"),
    ],
)
def test_options_that_do_not_go_together_are_told(tmp_path: Path, arguments: str, said: str) -> None:
    """With what to do."""
    result = check(tmp_path, configuration(tmp_path), arguments, {})
    assert isinstance(result.exception, ConfigurationError)
    assert str(result.exception).startswith(said)


def test_a_body_needs_a_client(tmp_path: Path) -> None:
    """Without --as, there is nobody's request to describe."""
    result = CliRunner().invoke(app, ["check", "--config", str(configuration(tmp_path)), "--currency", "USD"])
    assert isinstance(result.exception, ConfigurationError) and "need --as CLIENT" in str(result.exception)
