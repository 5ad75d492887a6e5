"""Mistakes of newcomers, through the real command line: one clear line, exit code 2, no traceback, no secret.

docs/reference/messages.md lists the forms of their messages.
"""

from __future__ import annotations

import functools
import re
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from scripts import messages
from tests.support.ready_program import run_ready

ROOT = Path(__file__).resolve().parent.parent.parent
ONE = {
    "AMAZON_ADS_CLIENT_ID": "amzn1.application-oa2-client.abc",
    "AMAZON_ADS_CLIENT_SECRET": "canary-client-secret",
    "AMAZON_ADS_REFRESH_TOKEN": "Atzr|canary-refresh-token",
}
ACCOUNT = "accounts: {acme: {client_id: amzn1.x, client_secret: canary-secret}}\n"
FILE = ("check", "--config", "proxy.yaml")


@dataclass(frozen=True)
class Mistake:
    """A mistake of a user, and the beginning of the line on standard error after `ads-proxy: `."""

    title: str
    answer: str
    arguments: tuple[str, ...] = ("check",)
    environ: dict[str, str] = field(default_factory=dict)
    text: str | bytes | None = None


MISTAKES = (
    Mistake("nothing configured at all", "accounts: missing; set AMAZON_ADS_CLIENT_ID"),
    Mistake(
        "an id without its secret",
        "AMAZON_ADS_CLIENT_SECRET: is not set, but AMAZON_ADS_CLIENT_ID is",
        environ={"AMAZON_ADS_CLIENT_ID": "x"},
    ),
    Mistake(
        "an empty secret",
        "accounts.acme.client_secret: is empty; fill it in",
        FILE,
        text="accounts: {acme: {client_id: x, client_secret: ''}}",
    ),
    Mistake(
        "an unknown region",
        "accounts.default.region: is not one of na, eu, fe",
        environ={**ONE, "AMAZON_ADS_REGION": "us"},
    ),
    Mistake(
        "an invalid profile id",
        "accounts.default.default_profile: is neither 'first'",
        environ={**ONE, "AMAZON_ADS_PROFILE_ID": "mine"},
    ),
    Mistake(
        "a missing secret file",
        "accounts.default.client_secret: the file /run/secrets/none does not exist",
        environ={"AMAZON_ADS_CLIENT_ID": "x", "AMAZON_ADS_CLIENT_SECRET_FILE": "/run/secrets/none"},
    ),
    Mistake(
        "a secret as value and as file",
        "AMAZON_ADS_CLIENT_SECRET_FILE: is set as well as AMAZON_ADS_CLIENT_SECRET",
        environ={**ONE, "AMAZON_ADS_CLIENT_SECRET_FILE": "/x"},
    ),
    Mistake(
        "an unfilled placeholder",
        "accounts.default.client_secret: is a placeholder",
        environ={**ONE, "AMAZON_ADS_CLIENT_SECRET": "<client secret>"},
    ),
    Mistake(
        "a misspelt variable",
        "ADS_PROXY_LISTN: unknown variable; did you mean ADS_PROXY_LISTEN?",
        environ={**ONE, "ADS_PROXY_LISTN": "x"},
    ),
    Mistake(
        "one underscore instead of two",
        "ADS_PROXY_LOG_LEVEL: unknown variable; did you mean ADS_PROXY_LOG__LEVEL?",
        environ={**ONE, "ADS_PROXY_LOG_LEVEL": "debug"},
    ),
    Mistake(
        "a port without a host",
        "listen: is not an address; write HOST:PORT",
        environ={**ONE, "ADS_PROXY_LISTEN": "8080"},
    ),
    Mistake(
        "an impossible port",
        "listen: has a port that does not exist",
        environ={**ONE, "ADS_PROXY_LISTEN": "127.0.0.1:80800"},
    ),
    Mistake(
        "an open listener without keys",
        "listen: can be reached from other machines",
        environ={**ONE, "ADS_PROXY_LISTEN": "0.0.0.0:8080"},
    ),
    Mistake(
        "an open admin listener without a key",
        "admin_listen: can be reached from other machines; set admin.key",
        environ={**ONE, "ADS_PROXY_ADMIN_LISTEN": "0.0.0.0:8081"},
    ),
    Mistake(
        "a short key",
        "admin.key: is shorter than 16 bytes",
        environ={**ONE, "ADS_PROXY_ADMIN__KEY": "canary"},
    ),
    Mistake(
        "both listeners at one address",
        "admin_listen: is the address of listen too",
        environ={**ONE, "ADS_PROXY_ADMIN_LISTEN": "127.0.0.1:8080"},
    ),
    Mistake(
        "several workers",
        "ADS_PROXY_WORKERS can only be 1: one program is one process now; for more cores run several replicas",
        environ={**ONE, "ADS_PROXY_WORKERS": "4"},
    ),
    Mistake(
        "Redis without a key",
        "state.key: is missing; Redis keeps tokens for all replicas, encrypted with this key",
        environ={**ONE, "ADS_PROXY_STATE__URL": "redis://:canary@host/1"},
    ),
    Mistake(
        "a database of a Redis cluster",
        "state.url: has a database, but a cluster has only 0",
        environ={**ONE, "ADS_PROXY_STATE__URL": "redis+cluster://:canary@host/1", "ADS_PROXY_STATE__KEY": "k" * 16},
    ),
    Mistake(
        "a missing configuration file",
        "--config: the file /etc/none.yaml does not exist; create it, or correct the path",
        ("check", "--config", "/etc/none.yaml"),
    ),
    Mistake(
        "a directory as configuration file",
        "--config: the file /etc is a directory; name a file",
        ("check", "--config", "/etc"),
    ),
    Mistake("an empty configuration file", "accounts: missing", FILE, text=""),
    Mistake("a list at the top", "proxy.yaml: must hold keys such as 'listen:'", FILE, text="- a"),
    Mistake(
        "a tab in YAML",
        "proxy.yaml: line 2, column 1: is not YAML: a tab in the indentation",
        FILE,
        text="log:\n\tlevel: info",
    ),
    Mistake(
        "wrong indentation",
        "proxy.yaml: line 3, column 2: is not YAML",
        FILE,
        text="log:\n  level: info\n format: json",
    ),
    Mistake("a file in UTF-16", "proxy.yaml: is UTF-16; save it as UTF-8", FILE, text=b"\xff\xfea\x00"),
    Mistake("anchors and aliases", "proxy.yaml: line 1, column 4: anchors", FILE, text="a: &b [*b]"),
    Mistake("a tag", "proxy.yaml: line 1, column 4: tags", FILE, text="a: !!python/object/apply:os.abort []"),
    Mistake("a key twice", "log: is there twice, in lines 2 and 3", FILE, text=ACCOUNT + "log: {}\nlog: {}"),
    Mistake(
        "an unknown key",
        "accounts.acme.client_secert: unknown key; did you mean 'client_secret'?",
        FILE,
        text=ACCOUNT.replace("}}", ", client_secert: canary}}"),
    ),
    Mistake(
        "accounts and AMAZON_ADS_ variables",
        "AMAZON_ADS_CLIENT_ID, AMAZON_ADS_CLIENT_SECRET, AMAZON_ADS_REFRESH_TOKEN: describe the account 'default'",
        FILE,
        ONE,
        ACCOUNT,
    ),
    Mistake(
        "a route to an unknown account",
        "routes.r.account: unknown account; did you mean 'acme'?",
        FILE,
        text=ACCOUNT + "routes: {r: {account: acne}}",
    ),
    Mistake(
        "a route with an account's name",
        "routes.acme: is the name of an account too",
        FILE,
        text=ACCOUNT + "routes: {acme: {account: acme}}",
    ),
    Mistake(
        "a client with an unknown account",
        "clients[0].accounts[0]: unknown account; the accounts are: acme",
        FILE,
        text=ACCOUNT + f"clients: [{{name: a, key_sha256: {'ab' * 32}, accounts: [other]}}]",
    ),
    Mistake(
        "a client's key instead of its digest",
        "clients[0].key_sha256: must be the 64 hexadecimal digits",
        FILE,
        text=ACCOUNT + "clients: [{name: a, key_sha256: adsproxy_canary}]",
    ),
    Mistake(
        "an address with a path",
        "regions.na.api_url: must not have a path",
        FILE,
        text=ACCOUNT + "regions: {na: {api_url: 'http://x/v2'}}",
    ),
    Mistake(
        "an unknown account for login",
        "login: unknown account; the accounts are: default",
        ("login", "acme"),
        ONE,
    ),
    Mistake("a client's name with a slash", "keys new: NAME is not a usable name", ("keys", "new", "a/b")),
    Mistake("--as without a request", "check: --as CLIENT needs METHOD and PATH", ("check", "--as", "a")),
    Mistake(
        "a request without --as",
        "check: METHOD, PATH, --profile, --account-id and --mcp-tool need --as CLIENT; add it",
        ("check", "GET", "/x"),
    ),
)


@functools.cache
def forms() -> list[re.Pattern[str]]:
    """The messages of docs/reference/messages.md, in which any value may be."""
    found = (*messages.configuration().values(), *messages.of_commands().values())
    return [re.compile(".+".join(map(re.escape, text.split(messages.INSERTED)))) for texts in found for text in texts]


def run(folder: Path, arguments: tuple[str, ...], environ: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return run_ready(folder, arguments, environ)


@pytest.mark.parametrize("mistake", MISTAKES, ids=lambda mistake: mistake.title)
def test_a_mistake_is_answered_in_one_line(tmp_path: Path, mistake: Mistake) -> None:
    """Exit code 2, nothing on standard output, and one line that says what is wrong."""
    if mistake.text is not None:
        content = mistake.text if isinstance(mistake.text, bytes) else mistake.text.encode()
        (tmp_path / "proxy.yaml").write_bytes(content)
    result = run(tmp_path, mistake.arguments, mistake.environ)
    (line,) = result.stderr.splitlines()
    assert line.replace(f"{tmp_path}/", "").replace(str(tmp_path), ".").startswith(f"ads-proxy: {mistake.answer}")
    assert (result.returncode, result.stdout) == (2, "")
    assert "Traceback" not in line
    assert "canary" not in line
    said = line.replace(" --config proxy.yaml`", "`")
    assert [form for form in forms() if form.search(said)] != []


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (("serv",), "No such command 'serv'"),
        (("serve", "--confg", "x"), "No such option: --confg"),
        (("login",), "Missing argument"),
        (("profiles", "--format", "xml"), "'xml' is not one of"),
        (("simulate", "--base-port", "99999"), "less than or equal to 65531"),
    ],
)
def test_a_wrong_command_line_is_a_usage_error(tmp_path: Path, arguments: tuple[str, ...], problem: str) -> None:
    """What the command line cannot mean is explained by it, with exit code 2."""
    result = run(tmp_path, arguments, {"COLUMNS": "200"})
    assert result.returncode == 2
    assert problem in result.stderr
    assert "Traceback" not in result.stderr


def test_several_mistakes_are_told_together(tmp_path: Path) -> None:
    """Each on its own line."""
    environ = {**ONE, "ADS_PROXY_WORKERS": "0", "AMAZON_ADS_REGION": "us", "ADS_PROXY_LISTEN": "0.0.0.0:1"}
    result = run(tmp_path, ("check",), environ)
    assert result.returncode == 2
    assert len(result.stderr.splitlines()) == 3
