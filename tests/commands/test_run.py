"""`run`: what the command gets, and what it does not get. Its processes: tests/integration/test_run_command.py."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from proxy.commands.client_variables import ClientPlacement, TrustFiles, interception_variables
from proxy.commands.run import (
    RunRequest,
    chosen_account,
    command_environment,
    give_key,
    intercept,
    lock_admin,
    serving_variables,
)
from proxy.config import Config, load
from proxy.errors import ConfigurationError
from proxy.secret import Secret
from tests.support.certificates import Authority

ONE = {
    "AMAZON_ADS_CLIENT_ID": "amzn1.application-oa2-client.abc",
    "AMAZON_ADS_CLIENT_SECRET": "canary-client-secret",
    "AMAZON_ADS_REFRESH_TOKEN": "Atzr|canary-refresh-token",
}
CLIENTS = {
    **ONE,
    "ADS_PROXY_CLIENTS": f"[{{name: looker, key_sha256: {'ab' * 32}, access: read}}, "
    f"{{name: other, key_sha256: {'cd' * 32}}}]",
}
HERE = ClientPlacement("http://127.0.0.1:1", "default")
FILES = TrustFiles(Path("/t"))


def several() -> Config:
    text = "{a: {client_id: x, client_secret: s}, b: {client_id: y, client_secret: t}}"
    return load(None, {"ADS_PROXY_ACCOUNTS": text, "ADS_PROXY_ROUTES": "{r: {account: b}}"})


def test_the_command_gets_nothing_of_the_proxys() -> None:
    """No variable of the proxy, no credential, and no variable that holds a secret by another name."""
    environ = {
        **ONE,
        "PATH": "/bin",
        "ADS_PROXY_ADMIN__KEY": "canary-of-an-admin-key",
        "AMAZON_ADS_CLIENT_SECRET_FILE": "/run/canary",
        "SECRET_OF_ACME": "canary-client-secret",
        "NO_PROXY": "internal",
        "JAVA_TOOL_OPTIONS": "-Dsecret=canary-client-secret",
    }
    config = load(None, ONE)
    given = command_environment(environ, config, HERE, FILES)
    assert not [name for name, value in given.items() if "canary" in value]
    assert not [name for name in given if name.startswith("ADS_PROXY_")]
    assert given["PATH"] == "/bin"
    assert given["NO_PROXY"] == given["no_proxy"] == "internal,127.0.0.1,localhost,::1"


def test_a_variable_that_holds_a_secret_within_more_text_is_left_out() -> None:
    """In an address, in JSON, percent-encoded; a short secret counts as a word of its own only."""
    config = load(None, {**ONE, "ADS_PROXY_ADMIN__KEY": "key with/slash+0123456789".replace(" ", "-")})
    environ = {
        "URL": "https://user:canary-client-secret@host.test/",
        "JSON": '{"token": "Atzr|canary-refresh-token"}',
        "ENCODED": "key=key-with%2Fslash%2B0123456789&x",
        "SECRETS": "canary-client",
    }
    given = command_environment(environ, config, HERE, FILES)
    assert [name for name in environ if name in given] == ["SECRETS"]
    short = load(None, {**ONE, "AMAZON_ADS_CLIENT_SECRET": "work"})
    environ = {"HOME": "/home/worker", "PASSWORD": "work", "EMPTY": ""}
    given = command_environment(environ, short, HERE, FILES)
    assert [name for name in environ if name in given] == ["HOME", "EMPTY"]


def test_the_admin_listener_has_a_key_during_a_run() -> None:
    """One of the run's own where none is configured; a configured one stays."""
    own = Secret("a-key-of-this-run")
    assert lock_admin(load(None, ONE), own).admin.key == own
    environ = {**ONE, "ADS_PROXY_ADMIN__KEY": "a-key-of-16-bytes"}
    assert lock_admin(load(None, environ), own).admin.key == Secret("a-key-of-16-bytes")


def test_the_command_finds_the_proxy() -> None:
    """The command gets the proxy's addresses, and placeholders under the names that known clients read."""
    given = command_environment({}, load(None, ONE), HERE, FILES)
    assert given["AMAZON_ADS_API_URL"] == "http://127.0.0.1:1"
    assert given["AMAZON_ADS_TOKEN_URL"] == "http://127.0.0.1:1/auth/o2/token"
    assert given["AMAZON_ADS_MCP_URL"] == "http://127.0.0.1:1/mcp"
    for prefix in ("AMAZON_ADS_", "AMAZON_AD_API_"):
        values = [given[f"{prefix}{name}"] for name in ("CLIENT_ID", "CLIENT_SECRET", "REFRESH_TOKEN")]
        assert values == ["ads-proxy", "ads-proxy", "default"]


def test_the_command_needs_no_address_of_the_proxys() -> None:
    """The command gets every variable that leads clients of Amazon's own addresses to the proxy."""
    given = command_environment({}, load(None, ONE), HERE, FILES)
    assert given.items() >= interception_variables({}, HERE, FILES).items()
    assert given["HTTPS_PROXY"] == "http://127.0.0.1:1"


@pytest.mark.parametrize("section", ["{}", "{enabled: false, pass: [a.example]}", "{enabled: true, ca_dir: /x}"])
def test_every_run_intercepts(section: str) -> None:
    """Whatever the configuration says, which keeps its hosts to pass on."""
    config = load(None, {**ONE, "ADS_PROXY_INTERCEPT": section, "HOME": "/home/me"})
    changed = intercept(config).intercept
    assert (changed.enabled, changed.passed) == (True, config.intercept.passed)


def test_no_listener_by_name_is_open_during_a_run() -> None:
    """The program that stays may have its port."""
    environ = {**ONE, "ADS_PROXY_INTERCEPT": "{enabled: true, listen: '127.0.0.1:8443'}", "HOME": "/home/me"}
    assert intercept(load(None, environ)).intercept.listen is None


@pytest.mark.parametrize(("listen", "has_tls"), [("127.0.0.1:0", False), ("localhost:1", False), ("10.0.0.1:1", True)])
def test_loopback_needs_no_tls_during_a_run(listen: str, has_tls: bool, tmp_path: Path) -> None:
    """Java and other clients cannot use TLS to a proxy; an address that others reach keeps it."""
    Authority(tmp_path).context("127.0.0.1")
    file = tmp_path / "127.0.0.1.pem"
    environ = {**CLIENTS, "ADS_PROXY_LISTEN": listen, "ADS_PROXY_TLS": f"{{cert: {file}, key: {file}}}"}
    assert (intercept(load(None, environ)).tls is not None) == has_tls


def test_a_client_calls_with_a_key_of_its_own() -> None:
    """The stand-in secret is the key; among several accounts the address leads to the one that was asked for."""
    given = command_environment({}, several(), ClientPlacement("http://127.0.0.1:1", "r", "looker", "a-key"), FILES)
    assert given["AMAZON_ADS_API_URL"] == "http://127.0.0.1:1/@r"
    assert given["AMAZON_ADS_MCP_URL"] == "http://127.0.0.1:1/@r/mcp"
    assert given["AMAZON_ADS_TOKEN_URL"] == "http://127.0.0.1:1/auth/o2/token"
    login = [given[f"AMAZON_AD_API_{name}"] for name in ("CLIENT_ID", "CLIENT_SECRET", "REFRESH_TOKEN")]
    assert login == ["looker", "a-key", "r"]
    assert given["AMAZON_ADS_ACCESS_TOKEN"] == "a-key"


def test_a_client_has_the_key_of_this_run_alone() -> None:
    """All other clients keep their keys, and this client may do what it could."""
    changed = give_key(load(None, CLIENTS), "looker", "a-key")
    looker, other = changed.clients
    assert (looker.name, looker.access) == ("looker", "read")
    assert looker.key_sha256 == hashlib.sha256(b"a-key").hexdigest()
    assert other.key_sha256 == "cd" * 32


def test_keys_that_a_client_has_are_not_taken_during_the_run() -> None:
    """However many there are: the run's own is the only one."""
    keys = {**ONE, "ADS_PROXY_CLIENTS": f"[{{name: looker, keys: [{{sha256: {'ab' * 32}}}, {{sha256: {'cd' * 32}}}]}}]"}
    (looker,) = give_key(load(None, keys), "looker", "a-key").clients
    assert [key.sha256 for key in looker.all_keys] == [hashlib.sha256(b"a-key").hexdigest()]


@pytest.mark.parametrize(
    ("client", "problem"),
    [
        ("", "run: which client is the command? Add --client NAME; the clients are: looker, other"),
        ("loker", "--client: unknown client; did you mean 'looker'?"),
        ("x", "--client: unknown client; the clients are: looker, other"),
    ],
)
def test_where_there_are_clients_one_is_named(client: str, problem: str) -> None:
    """A command without a client would have no key."""
    with pytest.raises(ConfigurationError) as caught:
        give_key(load(None, CLIENTS), client, "a-key")
    assert caught.value.problems == (problem,)


def test_nobody_is_invited_during_a_run() -> None:
    """The port may be taken by the program that stays."""
    environ = {**ONE, "ADS_PROXY_INVITES": "{listen: '127.0.0.1:8082', url: 'https://x.example'}"}
    changed = give_key(load(None, environ), "", "a-key")
    assert (changed.invites.listen, changed.invites.url) == (None, None)


def test_without_clients_no_key_is_needed() -> None:
    """Nothing changes without clients; `--client` is a mistake then."""
    assert give_key(load(None, ONE), "", "a-key") == load(None, ONE)
    with pytest.raises(ConfigurationError, match="the clients are: none"):
        give_key(load(None, ONE), "x", "a-key")


def test_the_account_is_the_one_that_is_asked_for_or_the_only_one() -> None:
    """Among several none is taken unasked; routes count."""
    assert chosen_account(load(None, ONE), "") == "default"
    assert chosen_account(several(), "") == ""
    assert chosen_account(several(), "b") == "b"
    assert chosen_account(several(), "r") == "r"
    with pytest.raises(ConfigurationError, match="unknown account or route; the accounts and routes are: a, b, r"):
        chosen_account(several(), "zzz")


def test_the_proxy_takes_any_ports_and_is_quiet() -> None:
    """`--listen` sets the port, and a log level of the environment stays."""
    quiet = serving_variables(RunRequest(("x",)), {"ADS_PROXY_LISTEN": "0.0.0.0:8080"})
    assert quiet["ADS_PROXY_LISTEN"] == quiet["ADS_PROXY_ADMIN_LISTEN"] == "127.0.0.1:0"
    assert quiet["ADS_PROXY_LOG__LEVEL"] == "warning"
    assert quiet["ADS_PROXY_REUSE_PORT"] == "false"
    assert serving_variables(RunRequest(("x",), listen="127.0.0.1:9"), {})["ADS_PROXY_LISTEN"] == "127.0.0.1:9"
    assert serving_variables(RunRequest(("x",)), {"ADS_PROXY_LOG__LEVEL": "debug"})["ADS_PROXY_LOG__LEVEL"] == "debug"
