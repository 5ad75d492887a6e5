"""`check --diff`: what a changed configuration costs, before it is put in force."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from proxy.commands.check import harmless_changes, void_consents
from proxy.commands.cli import app
from proxy.config import Config, load

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
        ("{client_id: app-2, client_secret: one, refresh_token: token-1}", "its consent is void, and the advertiser"),
        ("{client_id: app-2, client_secret: one}", "its consent is void, and the advertiser"),
        ("{client_id: app-2, client_secret: one, refresh_token: token-2}", "the new refresh_token takes its place"),
        ("{client_id: app-1, client_secret: one}", "accounts.acme.refresh_token: is gone"),
    ],
)
def test_another_application_makes_a_consent_void(tmp_path: Path, after: str, void: str) -> None:
    """The client id decides; a secret or a region does not."""
    said = [*void_consents(config(tmp_path, BEFORE), config(tmp_path, after))]
    assert [void in sentence for sentence in said] == ([True] if void else [])


def test_a_renamed_account_and_another_store_lose_what_is_stored(tmp_path: Path) -> None:
    """Both are named."""
    old = config(tmp_path, BEFORE, more="state: {url: 'file:/a'}")
    said = " ".join(void_consents(old, config(tmp_path, BEFORE, "other", "state: {url: 'file:/b'}")))
    assert "accounts.acme: is gone or has another name" in said
    assert "state.url: is another store" in said


@pytest.mark.parametrize(
    ("after", "said"),
    [
        ("{client_id: app-1, client_secret: [two, one]}", "the present one is kept beside it"),
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
    assert (lost.exit_code, "accounts.acme.client_id: is another application" in lost.output) == (1, True)
    assert "canary" not in lost.output
    same = CliRunner().invoke(app, ["check", "--diff", str(old), "--config", str(old)])
    assert (same.exit_code, "No consent is lost" in same.output) == (0, True)
