"""`check --offline`: the verdict of a program that would take this configuration, without any request."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from proxy.commands.cli import app
from proxy.errors import StartupError

NOWHERE = "http://127.0.0.1:9"
ACCOUNT = (
    "accounts: {acme: {client_id: amzn1.application-oa2-client.1, client_secret: canary-secret, refresh_token: x}}\n"
)
REGION = f"{{api_url: '{NOWHERE}', token_url: '{NOWHERE}/token', auth_grant_url: '{NOWHERE}/grant'}}"
NOBODY = f"regions: {{na: {REGION}, eu: {REGION}, fe: {REGION}}}\n"
"""Addresses of Amazon without a listener."""


def check(folder: Path, text: str, *more: str) -> Result:
    (folder / "proxy.yaml").write_text(text)
    return CliRunner().invoke(app, ["check", "--offline", "--config", str(folder / "proxy.yaml"), *more])


def test_a_configuration_in_order_is_told_without_asking_anybody(tmp_path: Path) -> None:
    """Although no account could serve: a summary, the notes, and 0."""
    result = check(tmp_path, ACCOUNT + NOBODY)
    assert (result.exit_code, result.stdout) == (0, "The configuration is usable. Nothing was asked of Amazon.\n")
    assert "is valid: 127.0.0.1:8080" in result.stderr


@pytest.mark.parametrize(
    ("more", "problem"),
    [
        ("nonsense: true\n", "holds an unknown key"),
        ("operations: [{method: GET, path: /nowhere/at/all, scope: none}]\n", "operations[0]"),
        (
            "reports: {named: {r: {account: acme, every: 6h, order: {preset: spCampaign}}}}\n",
            "reports.named.r.order.preset: unknown preset 'spCampaign', did you mean 'spCampaigns'?",
        ),
        ("upstream: {ca_file: /nowhere}\n", "upstream.ca_file: "),
        ("tls: {certificate: {file: /nowhere}, key: {file: /nowhere}}\n", "tls."),
    ],
)
def test_what_a_program_would_refuse_is_refused(tmp_path: Path, more: str, problem: str) -> None:
    """Mistakes in the files that the configuration names are refused as well."""
    result = check(tmp_path, ACCOUNT + more)
    assert isinstance(result.exception, StartupError)
    assert problem in str(result.exception)
    assert result.stdout == ""


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("memory:", "state in memory:"),
        ("file:kept", "state in file:{folder}/kept"),
        ("redis://u:canary-password@127.0.0.1:9/2", "state in redis://127.0.0.1:9/2"),
    ],
)
def test_the_state_store_is_named(tmp_path: Path, url: str, shown: str) -> None:
    """A login is looked for there and nowhere else; never its password."""
    result = check(tmp_path, f"{ACCOUNT}state: {{url: '{url}', key: {'k' * 16}}}\n")
    assert result.stderr.splitlines()[0].endswith(shown.format(folder=tmp_path))
    assert "canary" not in result.stderr


def test_a_refusal_is_told_with_the_verdict(tmp_path: Path) -> None:
    """Exit code 1, as of the start."""
    result = check(tmp_path, ACCOUNT + NOBODY + "audit: {file: nowhere/audit.jsonl}\n")
    assert (result.exit_code, result.stdout) == (1, "The proxy would not start. Nothing was asked of Amazon.\n")
    assert f"ads-proxy: audit.file: {tmp_path}/nowhere/audit.jsonl cannot be used: its directory does" in result.stderr


@pytest.mark.parametrize("other", ["--as reporting GET /v2/profiles", "--diff proxy.yaml"])
def test_it_goes_with_no_other_question(tmp_path: Path, other: str) -> None:
    """2, as for every misuse."""
    result = check(tmp_path, ACCOUNT, *other.split())
    assert isinstance(result.exception, StartupError)
    assert result.exception.exit_code == 2
    assert result.stdout == ""


def test_a_key_without_effect_is_noted_once(tmp_path: Path) -> None:
    """A deprecated key does not make a configuration invalid: `check` asks to remove it, and exits with 0."""
    result = check(tmp_path, ACCOUNT + NOBODY + "fast_path: true\n")
    assert (result.exit_code, result.stderr.count("fast_path: is deprecated since 0.2")) == (0, 1)
