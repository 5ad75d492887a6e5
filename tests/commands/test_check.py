"""`check --diff`: what a changed configuration costs before it is in force; `check --mcp-tool`: who may call what."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from proxy.commands.check import harmless_changes, void_consents
from proxy.commands.cli import app
from proxy.config import Config, load
from proxy.errors import ConfigurationError

BEFORE = "{client_id: app-1, client_secret: one, refresh_token: token-1}"


def config(folder: Path, account: str, name: str = "acme", more: str = "") -> Config:
    file = folder / "some.yaml"
    file.write_text(f"accounts: {{{name}: {account}}}\n{more}")
    return load(file, {})


@pytest.mark.parametrize(
    ("after", "void"),
    [
        ("{client_id: app-1, client_secret: one, refresh_token: token-1}", ""),
        ("{client_id: app-1, client_secret: two, refresh_token: token-2, region: eu}", ""),
        ("{client_id: app-2, client_secret: one, refresh_token: token-1}", "the consent becomes void"),
        ("{client_id: app-2, client_secret: one}", "the consent becomes void"),
        ("{client_id: app-2, client_secret: one, refresh_token: token-2}", "make sure that the new refresh_token"),
        ("{client_id: app-1, client_secret: one}", "accounts.acme.refresh_token: removed"),
    ],
)
def test_another_application_makes_a_consent_void(tmp_path: Path, after: str, void: str) -> None:
    """The client id decides; a secret or a region does not."""
    said = [*void_consents(config(tmp_path, BEFORE), config(tmp_path, after))]
    assert [void in sentence for sentence in said] == ([True] if void else [])


def test_a_renamed_account_and_another_store_lose_what_is_stored(tmp_path: Path) -> None:
    """The report names both."""
    old = config(tmp_path, BEFORE, more="state: {url: 'file:/a'}")
    said = " ".join(void_consents(old, config(tmp_path, BEFORE, "other", "state: {url: 'file:/b'}")))
    assert "accounts.acme: removed or renamed" in said
    assert "state.url: another store" in said


@pytest.mark.parametrize(
    ("after", "said"),
    [
        ("{client_id: app-1, client_secret: [two, one]}", "the present one stays in the list"),
        ("{client_id: app-1, client_secret: two}", "Keep the present one as the second of a list"),
        ("{client_id: app-1, client_secret: one, scopes: [a, b]}", "from the next sign-in on"),
    ],
)
def test_what_costs_nothing_is_said_too(tmp_path: Path, after: str, said: str) -> None:
    """A new secret, and wider scopes."""
    before = "{client_id: app-1, client_secret: one, scopes: [a]}"
    changes = [
        *harmless_changes(
            config(tmp_path, before),
            config(tmp_path, after.replace("}", ", scopes: [a]}", 1) if "scopes" not in after else after),
        )
    ]
    assert len(changes) == 1
    assert said in changes[0]


def test_the_command_compares_two_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Exit code 1 where a consent is lost, else 0; nothing is asked of Amazon, no secret is shown."""
    for name in ("ADS_PROXY_CONFIG", "HOME"):
        monkeypatch.delenv(name, raising=False)
    old, new = tmp_path / "old.yaml", tmp_path / "new.yaml"
    old.write_text(f"accounts: {{acme: {BEFORE}}}")
    new.write_text(f"accounts: {{acme: {BEFORE.replace('app-1', 'app-2').replace('one', 'canary-secret')}}}")
    lost = CliRunner().invoke(app, ["check", "--diff", str(old), "--config", str(new)])
    assert (lost.exit_code, "accounts.acme.client_id: another application" in lost.output) == (1, True)
    assert "canary" not in lost.output
    same = CliRunner().invoke(app, ["check", "--diff", str(old), "--config", str(old)])
    assert (same.exit_code, "No consent is lost" in same.output) == (0, True)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "--diff: the file {old} does not exist"),
        (f"acounts: {{acme: {BEFORE}}}", "--diff: acounts: unknown key"),
    ],
)
def test_what_is_wrong_with_the_old_file_is_told_of_that_file(tmp_path: Path, content: str | None, said: str) -> None:
    """The present one has nothing wrong."""
    old, new = Path("/nonexistent/old.yaml"), tmp_path / "new.yaml"
    new.write_text(f"accounts: {{acme: {BEFORE}}}")
    if content is not None:
        old = tmp_path / "old.yaml"
        old.write_text(content)
    result = CliRunner().invoke(app, ["check", "--diff", str(old), "--config", str(new)])
    assert isinstance(result.exception, ConfigurationError)
    assert str(result.exception).startswith(said.format(old=old))


CLIENTS = f"""
accounts: {{acme: {{client_id: app-1, client_secret: one, refresh_token: token-1}}}}
routes: {{brand: {{account: acme, region: eu, profile: "124"}}}}
clients:
  - {{name: reader, key_sha256: "{1:064}", profiles: ["123"], access: read}}
  - {{name: several, key_sha256: "{2:064}", profiles: ["123", "124"], account_ids: [amzn1.x]}}
  - {{name: some, key_sha256: "{3:064}", mcp_tools: ["*-query_*"]}}
  - {{name: free, key_sha256: "{4:064}"}}
"""
QUERY, UPDATE = "campaign_management-query_campaign", "campaign_management-update_campaign"


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (f"reader --mcp-tool {QUERY}", 0, "does what POST /adsApi/v1/query/campaigns does: `read`. A running proxy"),
        (f"reader --mcp-tool {QUERY}", 0, "account acme, region na, with profile 123."),
        (f"reader POST /mcp/lite --mcp-tool {QUERY}", 0, "with profile 123."),
        ("reader --mcp-tool amazon_ads_mcp-search_tools", 0, "Every client may call amazon_ads_mcp-search_tools."),
        ("some --mcp-tool amazon_ads_mcp-invoke_tool", 0, "A running proxy checks the tool that amazon_ads_mcp-invoke"),
        ("some --mcp-tool amazon_ads_mcp-other", 1, "no pattern of its `mcp_tools`"),
        (f"reader --mcp-tool {UPDATE}", 1, "No: Client reader has `access: read`, and"),
        ("reader --mcp-tool account_management-query_advertiser_account", 1, "no account governs what"),
        (f"reader --mcp-tool {QUERY} --profile 999", 1, "may not use profile 999"),
        (f"reader PUT /mcp --mcp-tool {QUERY}", 1, "may send POST, GET and DELETE"),
        (f"several --mcp-tool {UPDATE}", 1, "send Amazon-Advertising-API-Scope: 123 or 124; or Amazon-Ads-AccountID"),
        (f"several --mcp-tool {UPDATE} --profile 124", 0, "does: `write`."),
        (f"several POST /@brand/mcp --mcp-tool {UPDATE}", 0, "account acme, region eu, with profile 124."),
        (f"reader POST /@brand/mcp --mcp-tool {QUERY}", 1, "may not use the account or route 'brand'"),
        (f"several --mcp-tool {UPDATE} --account-id amzn1.x", 0, "with no profile and account id amzn1.x."),
        (f"some --mcp-tool {UPDATE}", 1, "no pattern of its `mcp_tools` matches it"),
        ("some --mcp-tool x-query_unheard_of", 0, "so that it counts as a write"),
        ("free --mcp-tool anything", 0, "Client free may call every MCP tool."),
    ],
)
def test_who_may_call_a_tool(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: str, code: int, said: str
) -> None:
    """The verdict names its ground: patterns, the name, the one account; the check sends no request."""
    monkeypatch.setenv("COLUMNS", "400")
    file = tmp_path / "some.yaml"
    file.write_text(CLIENTS)
    result = CliRunner().invoke(app, ["check", "--config", str(file), "--as", *arguments.split()])
    assert (result.exit_code, said in result.output) == (code, True), result.output or result.exception


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--mcp-tool", QUERY), "need --as CLIENT"),
        (("--mcp-tool", QUERY, "--diff", "x"), "accepts no other option than --config"),
        (("--as", "free", "GET", "/v2/profiles", "--mcp-tool", QUERY), "--mcp-tool: goes with a path of the MCP"),
    ],
)
def test_a_tool_goes_with_a_client_and_a_path_of_mcp(tmp_path: Path, arguments: tuple[str, ...], said: str) -> None:
    """All other combinations are a mistake."""
    (tmp_path / "some.yaml").write_text(CLIENTS)
    result = CliRunner().invoke(app, ["check", "--config", str(tmp_path / "some.yaml"), *arguments])
    assert isinstance(result.exception, ConfigurationError) and said in str(result.exception)


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        ("free --mcp-tool anything", 1, "client's URL: POST /@acme/mcp"),
        ("reader POST /mcp/lite --mcp-tool x", 1, "client's URL: POST /@acme/mcp/lite"),
        ("free GET /v2/profiles", 1, "client's URL: GET /@acme/v2/profiles"),
        ("bound --mcp-tool anything", 1, "client's URL: POST /@globex/mcp"),
        ("free POST /@acme/mcp --mcp-tool anything", 0, "It would go to account acme"),
    ],
)
def test_a_request_without_an_account_is_told_where_to_name_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: str, code: int, said: str
) -> None:
    """Where several could be meant, of those that the client may use."""
    monkeypatch.setenv("COLUMNS", "400")
    more = ["globex", "initech"]
    accounts = ", ".join(f"{name}: {{client_id: app-2, client_secret: two}}" for name in more)
    content = CLIENTS.replace("accounts: {", f"accounts: {{{accounts}, ")
    (tmp_path / "some.yaml").write_text(content + f'  - {{name: bound, key_sha256: "{5:064}", accounts: {more}}}\n')
    result = CliRunner().invoke(app, ["check", "--config", str(tmp_path / "some.yaml"), "--as", *arguments.split()])
    assert (result.exit_code, said in result.output) == (code, True), result.output or result.exception
    assert ("Name one in the path" in result.output) is bool(code)
