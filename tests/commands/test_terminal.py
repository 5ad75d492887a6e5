"""What commands print next to their answer: a reader can type the suggested commands as they are."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from proxy import advice
from proxy.commands import terminal
from proxy.commands.status import print_status
from proxy.config import Address
from tests.admin.fixtures import FAILURE, FakeProgram, administer, credential
from tests.commands.test_cli import run


def test_keys_and_check_say_what_to_type(tmp_path: Path) -> None:
    """By the real commands."""
    (tmp_path / "my.yaml").write_text(
        "accounts: {main: {client_id: x, client_secret: s}}\n"
        f"clients: [{{name: reporting, key_sha256: {'ab' * 32}}}]\n"
        "regions: {na: {token_url: 'http://127.0.0.1:1/auth/o2/token'}}\n"
        f"state: {{url: 'file:{tmp_path}/state'}}\n"
    )
    made = run(tmp_path, "keys", "new", "reporting", "--config", "my.yaml")
    assert made.stderr.endswith("\nads-proxy keys expire reporting abababababab --config my.yaml\n")
    checked = run(tmp_path, "check", "--config", "my.yaml")
    assert "Sign in: `ads-proxy login main --config my.yaml`." in checked.stderr


async def test_status_says_what_to_type(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """The running program does not know where its configuration is for the person who asks; the command does."""
    monkeypatch.setitem(advice.options_in_use, "--config", "my.yaml")
    status = credential("acme", "revoked", expires_at=None, last_failure=FAILURE, advice="Run `ads-proxy login acme`.")
    async with administer(FakeProgram(statuses=(status,))) as admin:
        address = Address("127.0.0.1", admin.port)
        await asyncio.to_thread(print_status, address, None, as_json=False)
    assert "`ads-proxy login acme --config my.yaml`" in capsys.readouterr().out


def test_problems_are_told_without_keys_of_clients(capsys: pytest.CaptureFixture[str]) -> None:
    """A person who wrote a key in the wrong place may show the line to others."""
    terminal.complain("--admin: adsproxy_SECRETSECRET is no address\nclients: incomplete")
    assert capsys.readouterr().err == "ads-proxy: --admin: adsproxy_*** is no address\nads-proxy: clients: incomplete\n"
