"""`client add`, `edit`, `allow` and `remove`: what is in force afterwards, what is shown, and what stays as it was."""

from __future__ import annotations

import contextlib
import hashlib
import stat
from datetime import UTC, datetime
from pathlib import Path

import pytest
import yaml

from proxy.commands.configuration_file import ConfigurationFile
from proxy.config import Client, load
from proxy.errors import StartupError
from tests.commands.test_cli import run

CONFIG = """\
# Ours.
accounts:
  main: {client_id: x, client_secret: canary-secret}  # ours
  other: {client_id: x, client_secret: canary-secret}
admin:
  key: canary-admin-key  # of the console

# Who calls.
clients:
  - name: reporting  # the nightly job
    key_sha256: DIGEST
    accounts: [main]

  # The agent of the shop.
  - name: agent
    key_sha256: DIGESU
"""
DIGESTS = {"DIGEST": "ab" * 32, "DIGESU": "cd" * 32}
TEXT = CONFIG.replace("DIGEST", DIGESTS["DIGEST"]).replace("DIGESU", DIGESTS["DIGESU"])


@pytest.fixture
def path(tmp_path: Path) -> Path:
    (tmp_path / "proxy.yaml").write_text(TEXT)
    (tmp_path / "proxy.yaml").chmod(0o640)
    return tmp_path / "proxy.yaml"


def clients(path: Path) -> dict[str, Client]:
    return {client.name: client for client in load(path, {}).clients}


def test_a_client_is_added_with_all_that_it_may_do(path: Path) -> None:
    """The client's key is shown once and is not in the file, whose other lines and mode stay."""
    options = {
        "account": ["main", "other"],
        "profile": ["1", "2"],
        "account-id": ["amzn1.ads-account.g.x"],
        "unscoped-path": ["/v2/profiles"],
        "method": ["GET", "POST"],
        "path": ["/reporting/*"],
        "mcp-tool": ["*-query_*"],
        "report": ["sp-*"],
        "access": ["report"],
        "expires": ["2027-01-31"],
        "note": ["the new pod"],
    }
    given = [word for name, values in options.items() for value in values for word in (f"--{name}", value)]
    ended = run(path.parent, "client", "add", "shop", *given, "--config", "proxy.yaml")
    assert ended.returncode == 0, ended.stderr
    made, added = yaml.safe_load(ended.stdout), clients(path)["shop"]
    (key,) = added.keys
    assert (key.sha256, key.note) == (hashlib.sha256(made["key"].encode()).hexdigest(), "the new pod")
    assert (made["name"], made["key_sha256"], key.expires) == ("shop", key.sha256, datetime(2027, 2, 1, tzinfo=UTC))
    assert (added.accounts, added.profiles, added.account_ids) == (
        ("main", "other"),
        ("1", "2"),
        ("amzn1.ads-account.g.x",),
    )
    assert (added.unscoped_paths, added.methods, added.paths) == (("/v2/profiles",), ("GET", "POST"), ("/reporting/*",))
    assert (added.mcp_tools, added.reports, added.access) == (("*-query_*",), ("sp-*",), "report")
    assert path.read_text().startswith(TEXT)
    assert made["key"] not in path.read_text() + ended.stderr
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    assert [each.name for each in path.parent.iterdir()] == ["proxy.yaml"]
    assert "ads-proxy check --as shop POST /sp/campaigns/list --profile 1 --config proxy.yaml" in ended.stderr


def test_a_client_may_read_unless_more_is_asked_for(path: Path) -> None:
    """The least access is the default."""
    assert run(path.parent, "client", "add", "shop", "--config", "proxy.yaml").returncode == 0
    assert clients(path)["shop"].access == "read"


def test_the_first_client_changes_something_for_all(tmp_path: Path) -> None:
    """Every request needs a key from then on."""
    (tmp_path / "proxy.yaml").write_text("accounts: {main: {client_id: x, client_secret: s}}\n")
    ended = run(tmp_path, "client", "add", "shop", "--config", "proxy.yaml")
    assert "It is the first client: from now on, every request needs a key." in ended.stderr
    assert [*clients(tmp_path / "proxy.yaml")] == ["shop"]


def test_a_client_is_removed_with_its_comment(path: Path) -> None:
    """All other clients stay as they are, and the command prints the difference."""
    ended = run(path.parent, "client", "remove", "agent", "--config", "proxy.yaml")
    assert (ended.returncode, path.read_text()) == (0, TEXT[: TEXT.index("  # The agent")])
    assert [line for line in ended.stdout.splitlines()[2:] if line[0] in "+-"] == [
        "-  # The agent of the shop.",
        "-  - name: agent",
        f"-    key_sha256: {DIGESTS['DIGESU']}",
    ]
    assert ended.stderr.startswith("Removed: client agent. A running proxy refuses its keys within 5 seconds.")


@pytest.mark.parametrize("command", [("add", "shop"), ("remove", "reporting")])
def test_a_dry_run_writes_nothing_and_shows_no_key(path: Path, command: tuple[str, ...]) -> None:
    """The command prints only the difference, without the secrets around it."""
    ended = run(path.parent, "client", *command, "--dry-run", "--config", "proxy.yaml")
    assert (ended.returncode, ended.stderr, path.read_text()) == (0, "Nothing was written.\n", TEXT)
    assert ended.stdout.startswith("--- proxy.yaml\n+++ proxy.yaml\n@@ ")
    assert "adsproxy_" not in ended.stdout


def test_the_difference_has_no_secrets(tmp_path: Path) -> None:
    """Although the lines around the change have some."""
    text = "accounts:\n  main:\n    client_id: x\n    client_secret: canary-secret\nadmin: {key: canary-admin-key}\n"
    (tmp_path / "proxy.yaml").write_text(text)
    ended = run(tmp_path, "client", "add", "shop", "--config", "proxy.yaml")
    assert "client_secret: ***" in ended.stderr
    assert "admin: {key: ***}" in ended.stderr
    assert "canary" not in ended.stdout + ended.stderr


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (("add", "agent"), "client add: NAME is the name of a client already; `ads-proxy keys new agent --config"),
        (("add", "a b"), "client add: NAME is not a usable name"),
        (("add", "shop", "--account", "nobody"), "clients[2].accounts[0]: unknown account"),
        (("add", "shop", "--profile", "x"), "clients[2].profiles[0]: is not a profile id (digits)"),
        (("add", "shop", "--expires", "soon"), "--expires is neither a day"),
        (("remove", "agnt"), "client remove: unknown client; did you mean 'agent'?"),
        (("remove", "x"), "client remove: unknown client; the clients are: reporting, agent"),
    ],
)
def test_what_cannot_be_done_leaves_the_file_alone(path: Path, arguments: tuple[str, ...], problem: str) -> None:
    """With a sentence, exit code 2, and no key."""
    ended = run(path.parent, "client", *arguments, "--config", "proxy.yaml")
    assert (ended.returncode, ended.stdout, path.read_text()) == (2, "", TEXT)
    assert ended.stderr.startswith(f"ads-proxy: {problem}")
    assert [each.name for each in path.parent.iterdir()] == ["proxy.yaml"]


def test_the_only_client_stays(path: Path) -> None:
    """Without any, every local program would be trusted."""
    assert run(path.parent, "client", "remove", "agent", "--config", "proxy.yaml").returncode == 0
    before = path.read_text()
    ended = run(path.parent, "client", "remove", "reporting", "--config", "proxy.yaml")
    assert (ended.returncode, path.read_text()) == (2, before)
    assert "reporting is the only client; without clients, every local program is trusted" in ended.stderr


@pytest.mark.parametrize("command", ["client add shop", "client remove agent", "keys new agent"])
def test_clients_of_the_environment_are_not_in_the_file(path: Path, command: str) -> None:
    """A variable replaces the file's list: a change there would do nothing."""
    variable = yaml.safe_dump([{"name": "agent", "key_sha256": "ef" * 32}], default_flow_style=True)
    ended = run(path.parent, *command.split(), "--config", "proxy.yaml", ADS_PROXY_CLIENTS=variable)
    assert (ended.returncode, ended.stdout, path.read_text()) == (2, "", TEXT)
    assert "ADS_PROXY_CLIENTS sets `clients`, which replaces that of proxy.yaml; change the variable" in ended.stderr


def test_a_file_is_needed(tmp_path: Path) -> None:
    """The environment alone can have clients, but no command changes it."""
    ended = run(tmp_path, "client", "add", "shop")
    assert ended.stderr.startswith("ads-proxy: client add: no configuration file; name one with --config FILE")


def test_a_file_of_an_unusual_form_is_left_alone(tmp_path: Path) -> None:
    """Where the change would not be the intended one."""
    text = "accounts: {main: {client_id: x, client_secret: s}}\n...\n"
    (tmp_path / "proxy.yaml").write_text(text)
    ended = run(tmp_path, "client", "add", "shop", "--config", "proxy.yaml")
    assert (ended.returncode, (tmp_path / "proxy.yaml").read_text()) == (2, text)
    assert "proxy.yaml: the change has no place in it; change the file by hand" in ended.stderr


def test_what_others_write_meanwhile_stays(path: Path) -> None:
    """The file that was read is no more."""
    file = ConfigurationFile.open("client add", path, {})
    path.write_text(TEXT + "# mine\n")
    with pytest.raises(StartupError, match="was changed meanwhile; run the command again"):
        file.replace(TEXT)
    assert path.read_text() == TEXT + "# mine\n"


def test_a_folder_that_takes_no_file_is_told(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The configuration stays as it was."""

    def refuse(*_: object) -> None:
        raise OSError(28, "No space left on device")

    file = ConfigurationFile.open("client add", path, {})
    monkeypatch.setattr("os.fsync", refuse)
    with pytest.raises(StartupError, match=r"^client add: .*proxy.yaml: No space left on device$"):
        file.replace(TEXT + "# mine\n")
    assert [each.name for each in path.parent.iterdir()] == ["proxy.yaml"]
    assert path.read_text() == TEXT


def test_a_link_stays_one(path: Path) -> None:
    """The file that a link leads to is replaced."""
    (path.parent / "there").mkdir()
    path.rename(path.parent / "there" / "real.yaml")
    path.symlink_to("there/real.yaml")
    with contextlib.chdir(path.parent):
        assert run(path.parent, "client", "remove", "agent", "--config", "proxy.yaml").returncode == 0
    assert path.is_symlink()
    assert [*clients(path)] == ["reporting"]


LIMITED = TEXT.replace(
    f"    key_sha256: {DIGESTS['DIGESU']}\n",
    f"    key_sha256: {DIGESTS['DIGESU']}  # its key\n    access: read  # no more\n"
    "    accounts:\n      - main  # the shop's\n"
    '    profiles: ["1"]\n',
)


@pytest.fixture
def limited(path: Path) -> Path:
    path.write_text(LIMITED)
    return path


def changes(printed: str) -> list[str]:
    """The lines of a difference that go, and those that come."""
    return [line for line in printed.splitlines()[2:] if line[0] in "+-"]


def test_the_limits_of_a_client_are_changed(limited: Path) -> None:
    """What is named takes the place of what was there; keys, other limits and comments stay."""
    given = ("--access", "write", "--account", "main", "--account", "other", "--profile", "2", "--method", "GET")
    ended = run(limited.parent, "client", "edit", "agent", *given, "--config", "proxy.yaml")
    assert ended.returncode == 0, ended.stderr
    assert changes(ended.stdout) == [
        "-    access: read  # no more",
        "+    access: write  # no more",
        '-    profiles: ["1"]',
        "+      - other",
        '+    profiles: ["2"]',
        "+    methods: [GET]",
    ]
    assert "canary" not in ended.stdout
    agent = clients(limited)["agent"]
    assert (agent.access, agent.accounts, agent.profiles, agent.methods) == (
        "write",
        ("main", "other"),
        ("2",),
        ("GET",),
    )
    assert agent.key_sha256 == DIGESTS["DIGESU"]


def test_a_limit_of_a_client_goes(limited: Path) -> None:
    """It may use all then."""
    given = ("--unset", "profiles", "--unset", "accounts", "--unset", "paths")
    ended = run(limited.parent, "client", "edit", "agent", *given, "--config", "proxy.yaml")
    assert ended.returncode == 0, ended.stderr
    agent = clients(limited)["agent"]
    assert (agent.accounts, agent.profiles, agent.access) == (None, None, "read")
    assert "note: client agent is not limited to advertisers now: it may use every profile of its accounts.\n" in (
        ended.stderr
    )


def test_a_client_is_permitted_more(limited: Path) -> None:
    """What it has stays; a limited client gets what it lacks; nothing is written where it has all that already."""
    given = ("--account", "other", "--profile", "2", "--report", "sp-*", "--unscoped-path", "/v2/profiles")
    ended = run(limited.parent, "client", "allow", "agent", *given, "--config", "proxy.yaml")
    assert ended.returncode == 0, ended.stderr
    agent = clients(limited)["agent"]
    assert (agent.accounts, agent.profiles, agent.reports) == (("main", "other"), ("1", "2"), ("sp-*",))
    assert (agent.unscoped_paths, agent.access) == (("/v2/profiles",), "read")
    before = limited.read_text()
    again = run(limited.parent, "client", "allow", "agent", "--account", "main", "--config", "proxy.yaml")
    assert (again.returncode, again.stdout, limited.read_text()) == (0, "", before)
    assert again.stderr == "Unchanged: client agent has these limits already.\n"


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (("edit", "agent"), "client edit: nothing to change; give an option, such as --access report"),
        (("edit", "agnt", "--access", "read"), "client edit: unknown client; did you mean 'agent'?"),
        (("edit", "agent", "--unset", "acounts"), "client edit: --unset: unknown limit; did you mean 'accounts'?"),
        (
            ("edit", "agent", "--unset", "accounts", "--account", "main"),
            "client edit: --unset accounts and --account: give one of them",
        ),
        (("edit", "agent", "--account", "nobody"), "clients[1].accounts"),
        (("allow", "agent"), "client allow: nothing to permit; give an option, such as --account NAME"),
        (("allow", "agent", "--path", "/x"), "client allow: agent has no `paths`, so it may use all already; "),
        (
            ("allow", "reporting", "--profile", "1"),
            "client allow: reporting has no `profiles`, so it may use all already",
        ),
        (
            ("allow", "reporting", "--unscoped-path", "/x"),
            "client allow: reporting has neither profiles nor account_ids",
        ),
    ],
)
def test_limits_that_make_no_sense_change_nothing(limited: Path, arguments: tuple[str, ...], problem: str) -> None:
    """One line with the reason, and what to do."""
    ended = run(limited.parent, "client", *arguments, "--config", "proxy.yaml")
    assert (ended.returncode, ended.stdout, limited.read_text()) == (2, "", LIMITED)
    assert problem in ended.stderr


@pytest.mark.parametrize("command", [("edit", "agent", "--access", "write"), ("allow", "agent", "--profile", "2")])
def test_limits_in_a_dry_run_stay(limited: Path, command: tuple[str, ...]) -> None:
    """The difference is the answer."""
    ended = run(limited.parent, "client", *command, "--dry-run", "--config", "proxy.yaml")
    assert (ended.returncode, limited.read_text(), ended.stderr) == (0, LIMITED, "Nothing was written.\n")
    assert len(changes(ended.stdout)) == 2
