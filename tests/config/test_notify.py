"""The section about telling people: what may be written there, and that none of it is shown again."""

from __future__ import annotations

from pathlib import Path

import pytest

from proxy.config import Config, load
from proxy.errors import ConfigurationError

ACCOUNT = "accounts: {acme: {client_id: amzn1.x, client_secret: s}}\n"


def read(folder: Path, notify: str, environ: dict[str, str] | None = None) -> Config:
    (folder / "proxy.yaml").write_text(f"{ACCOUNT}notify: {notify}\n")
    return load(folder / "proxy.yaml", environ or {})


def test_all_of_it_is_read(tmp_path: Path) -> None:
    """Address and secret may lie in files, as every secret; both are masked in the log from then on."""
    (tmp_path / "url").write_text("https://hooks.example.com/canary?key=canary\n")
    (tmp_path / "secret").write_text("canary-secret-0123456789\n")
    config = read(tmp_path, "{webhook: {file: url}, secret: {file: secret}, command: [mail, -s, ads-proxy]}")
    notify = config.notify
    assert notify.webhook is not None
    assert notify.webhook.reveal() == "https://hooks.example.com/canary?key=canary"
    assert notify.command == ("mail", "-s", "ads-proxy")
    assert {notify.webhook, notify.secret} <= set(config.secrets())
    assert "canary" not in repr(config)


def test_variables_set_it_too(tmp_path: Path) -> None:
    """A command's words are separated by commas there."""
    environ = {"ADS_PROXY_NOTIFY__WEBHOOK": "http://127.0.0.1:9/x", "ADS_PROXY_NOTIFY__COMMAND": "mail,oncall"}
    notify = read(tmp_path, "{}", environ).notify
    assert notify.webhook is not None
    assert (notify.command, notify.secret) == (("mail", "oncall"), None)


def test_nobody_is_told_by_default(tmp_path: Path) -> None:
    """Nothing leaves the machine unasked."""
    notify = read(tmp_path, "{}").notify
    assert (notify.webhook, notify.secret, notify.command) == (None, None, ())


@pytest.mark.parametrize(
    ("notify", "problem"),
    [
        ("{webhook: ftp://canary/x}", "notify.webhook: is not an http:// or https:// address"),
        ("{webhook: 'https://'}", "notify.webhook: is not an http:// or https:// address"),
        ("{webhook: 'https://h:canary/x'}", "notify.webhook: is not an http:// or https:// address"),
        ("{webhook: 'https://u:canary@h/x'}", "notify.webhook: must not hold a user or a password"),
        ("{secret: canary}", "notify.secret: is shorter than 16 bytes"),
        ("{command: {x: y}}", "notify.command: must be a list"),
        ("{webhok: x}", "notify.webhok: unknown key; did you mean 'webhook'?"),
    ],
)
def test_a_mistake_names_the_key_and_not_the_value(tmp_path: Path, notify: str, problem: str) -> None:
    """The error names the key, as all errors do."""
    with pytest.raises(ConfigurationError) as caught:
        read(tmp_path, notify)
    (told,) = caught.value.problems
    assert told.startswith(problem)
    assert "canary" not in told
