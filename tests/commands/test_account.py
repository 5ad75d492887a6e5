"""`account add`: one more account in a file that people wrote, whose other lines stay as they are."""

from __future__ import annotations

import contextlib
import stat
from pathlib import Path
from typing import Any

import pytest

from proxy.commands.account import add_account
from proxy.commands.init import write_configuration
from proxy.commands.prompts import AccountAnswers, ProvidedAnswers, answer_account
from proxy.config import Config, load
from proxy.errors import ConfigurationError, StartupError
from proxy.secret import Secret
from tests.commands.test_cli import run
from tests.commands.test_init import Person

TOKEN = "Atzr|canary-token"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """What `init` writes, and the files of a second account."""
    write_configuration(
        tmp_path,
        AccountAnswers("amzn1.application-oa2-client.1", Secret("canary-secret"), Secret("Atzr|a"), client="tool"),
    )
    (tmp_path / "token").write_text(f"{TOKEN}\n")
    (tmp_path / "secret").write_text("canary-other\n")
    return tmp_path


def test_an_account_of_the_same_application_needs_a_name_alone(folder: Path) -> None:
    """The account shares client id and secret; the rest of the file stays, byte for byte."""
    before = (folder / "proxy.yaml").read_text()
    result = run(folder, "account", "add", "globex", "--config", "proxy.yaml", "--client-id", FIRST)
    assert result.returncode == 0, result.stderr
    config = load(folder / "proxy.yaml", {})
    assert [*config.accounts] == ["main", "globex"]
    assert config.accounts["globex"].secrets[0] == config.accounts["main"].secrets[0]
    after = (folder / "proxy.yaml").read_text()
    assert after == before.replace("\n# The key for console", f"{GLOBEX}\n# The key for console")
    assert result.stdout == "Added: account globex in proxy.yaml\n"
    assert "These clients may not use it yet: tool. To permit it:\n" in result.stderr
    assert "  ads-proxy client allow tool --account globex --config proxy.yaml\n" in result.stderr
    assert result.stderr.endswith(
        "Next:\n  ads-proxy login globex --config proxy.yaml\n  ads-proxy check --config proxy.yaml\n"
    )


def test_line_ends_and_the_byte_order_mark_stay(folder: Path) -> None:
    """A file from another system is as it was, and the new lines end as its others do."""
    path = folder / "proxy.yaml"
    before = path.read_text().replace("\n", "\r\n").encode("utf-8-sig")
    path.write_bytes(before)
    result = run(folder, "account", "add", "globex", "--config", "proxy.yaml", "--client-id", FIRST)
    assert result.returncode == 0, result.stderr
    assert path.read_bytes().replace(GLOBEX.replace("\n", "\r\n").encode(), b"") == before


FIRST = "amzn1.application-oa2-client.1"
GLOBEX = """\
  "globex":
    # From the security profile in the Login with Amazon console.
    client_id: "amzn1.application-oa2-client.1"
    client_secret: {file: secrets/main-client-secret}
    # `ads-proxy login globex` gets the refresh token, and keeps it in the state store.
    # The home region: na, eu or fe. Requests to the other two work as well.
    region: na
"""


def test_an_account_of_another_application_gets_files_of_its_own(folder: Path) -> None:
    """Only the owner can read the files, and the configuration keeps its mode."""
    (folder / "proxy.yaml").chmod(0o640)
    given = ("--client-id", "other", "--client-secret-file", "secret", "--refresh-token-file", "token")
    result = run(folder, "account", "add", "globex", "--config", "proxy.yaml", "--region", "fe", *given)
    assert result.returncode == 0, result.stderr
    account = load(folder / "proxy.yaml", {}).accounts["globex"]
    assert (account.client_id, account.region) == ("other", "fe")
    assert (account.secrets[0].reveal(), account.refresh_tokens[0]) == ("canary-other", Secret(TOKEN))
    assert stat.S_IMODE((folder / "secrets" / "globex-refresh-token").stat().st_mode) == 0o600
    assert stat.S_IMODE((folder / "proxy.yaml").stat().st_mode) == 0o640
    assert "canary" not in result.stdout + result.stderr
    assert "login" not in result.stderr


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (("main",), "account add: NAME is the name of an account or a route already; choose another name"),
        (("eu",), "account add: NAME is the name of a region"),
        (("a/b",), "account add: NAME is not a usable name"),
        (
            ("globex",),
            "--client-id and --client-secret-file: missing, and there is no terminal to ask on; add the options",
        ),
        (
            ("globex", "--client-id", "other"),
            "--client-secret-file: missing, and there is no terminal to ask on; add the options",
        ),
    ],
)
def test_what_cannot_be_added_changes_nothing(folder: Path, arguments: tuple[str, ...], problem: str) -> None:
    """Neither the configuration nor the folder of secrets changes."""
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    result = run(folder, "account", "add", *arguments, "--config", "proxy.yaml")
    assert (result.returncode, result.stderr) == (2, f"ads-proxy: {problem}{result.stderr[11 + len(problem) :]}")
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before


def test_a_configuration_is_needed(tmp_path: Path) -> None:
    """The configuration needs a section of accounts with a line for each."""
    nothing = run(tmp_path, "account", "add", "globex")
    assert nothing.stderr.startswith(
        "ads-proxy: account add: no configuration file; name one with --config FILE, or make one with `ads-proxy init`"
    )
    (tmp_path / "flow.yaml").write_text("accounts: {main: {client_id: x, client_secret: s}}\n")
    flow = run(tmp_path, "account", "add", "globex", "--config", "flow.yaml")
    assert flow.returncode == 2
    assert "flow.yaml: no `accounts` section in block style; add the account by hand" in flow.stderr


def test_a_person_is_asked_and_shared_answers_are_offered(folder: Path) -> None:
    """Region and client id of the accounts that are there; the known application's secret is not asked for."""
    person = Person(folder, "account", "add", "globex", "--config", "proxy.yaml")
    person.answer("Its home region (na, eu, fe) [na]: ", "eu")
    person.answer(f"security profile [{FIRST}]: ", "")
    person.answer("sign in later: ", TOKEN)
    assert person.leave() == 0
    assert "Its client secret" not in person.said
    account = load(folder / "proxy.yaml", {}).accounts["globex"]
    assert (account.region, account.refresh_tokens[0]) == ("eu", Secret(TOKEN))


def test_a_secret_file_that_is_there_is_left_alone(folder: Path) -> None:
    """A link that leads nowhere is not written through, and nothing else is written then."""
    given = ("--client-id", "other", "--client-secret-file", "secret", "--refresh-token-file", "token")
    before = (folder / "proxy.yaml").read_text()
    (folder / "secrets" / "globex-refresh-token").symlink_to("nowhere")
    result = run(folder, "account", "add", "globex", "--config", "proxy.yaml", *given)
    assert (result.returncode, result.stderr) == (
        1,
        "ads-proxy: account add: secrets/globex-refresh-token: exists already and is unchanged; choose another NAME\n",
    )
    assert (folder / "proxy.yaml").read_text() == before
    assert not (folder / "secrets" / "globex-client-secret").exists()


@pytest.mark.parametrize(
    ("name", "lasts"),
    [("proxy.yaml", "# mine\n"), ("proxy.yaml", "{half"), ("secrets/globex-client-secret", "theirs")],
)
def test_what_others_write_while_a_person_is_asked_stays(
    folder: Path, monkeypatch: pytest.MonkeyPatch, name: str, lasts: str
) -> None:
    """An edit of the file, or the secret of another run of this command, stays."""

    def answer(*given: Any, **how: Any) -> AccountAnswers:
        with (folder / name).open("a") as opened:
            opened.write(lasts)
        return answer_account(*given, **how)

    monkeypatch.setattr("proxy.commands.account.answer_account", answer)
    given = ProvidedAnswers("other", "globex", None, None, folder / "secret", folder / "token")
    with contextlib.suppress(StartupError):
        add_account(folder / "proxy.yaml", {}, given, (), asks=False)
    assert (folder / name).read_text().endswith(lasts)


def test_a_result_that_is_no_configuration_is_taken_back(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file is as it was, and the secret files are gone."""
    before = (folder / "proxy.yaml").read_text()
    loads = []

    def load_once(path: Path, environ: dict[str, str]) -> Config:
        loads.append(path)
        if len(loads) > 2:
            raise ConfigurationError(("accounts: something is wrong",))
        return load(path, environ)

    monkeypatch.setattr("proxy.commands.configuration_file.load", load_once)
    given = ProvidedAnswers("other", "globex", None, None, folder / "secret", folder / "token")
    with pytest.raises(ConfigurationError):
        add_account(folder / "proxy.yaml", {}, given, (), asks=False)
    assert (folder / "proxy.yaml").read_text() == before
    assert sorted(path.name for path in (folder / "secrets").iterdir()) == [
        "admin-key",
        "main-client-secret",
        "main-refresh-token",
    ]
    assert not list(folder.glob(".ads-proxy-*"))


def test_an_account_is_permitted_to_clients_as_it_is_added(folder: Path) -> None:
    """In the same write; a client without a limit is named as one that may use all."""
    text = (folder / "proxy.yaml").read_text()
    more = [
        f"  - {{name: free, key_sha256: {'ab' * 32}}}",
        f"  - {{name: third, key_sha256: {'ac' * 32}, accounts: [main]}}",
    ]
    (folder / "proxy.yaml").write_text(text.replace("\nclients:\n", "\n".join(("\nclients:", *more, ""))))
    given = ("--client-id", FIRST, "--client", "tool", "--client", "free")
    result = run(folder, "account", "add", "globex", "--config", "proxy.yaml", *given)
    assert result.returncode == 0, result.stderr
    after = {client.name: client.accounts for client in load(folder / "proxy.yaml", {}).clients}
    assert after == {"tool": ("main", "globex"), "free": None, "third": ("main",)}
    for told in (
        "It is in the `accounts` of: tool.\n",
        "These clients may use all accounts: free.\n",
        "These clients may not use it yet: third. To permit it:\n",
    ):
        assert told in result.stderr


def test_an_account_is_not_added_for_an_unknown_client(folder: Path) -> None:
    """Nothing is written."""
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    given = ("--client-id", FIRST, "--client", "tol")
    result = run(folder, "account", "add", "globex", "--config", "proxy.yaml", *given)
    assert (result.returncode, result.stdout) == (2, "")
    assert "account add: --client: unknown client; did you mean 'tool'?" in result.stderr
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before


REMOVING = """\
accounts:
  main: {client_id: x, client_secret: s}
  # The other one.
  other:
    client_id: x
    client_secret: {file: secrets/other-client-secret}
    # its region
    region: eu
  third: {client_id: x, client_secret: s}
routes:
  brand: {account: third}
clients:
  - {name: tool, key_sha256: DIGEST, accounts: [main, third]}
  - {name: only, key_sha256: DIGESU, accounts: [third]}
reports:
  keep: {dir: kept}
  named:
    sp-daily: {account: third, order: {preset: spCampaigns, columns: [cost]}, at: "06:00"}
""".replace("DIGEST", "ab" * 32).replace("DIGESU", "cd" * 32)


@pytest.fixture
def removing(tmp_path: Path) -> Path:
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets" / "other-client-secret").write_text("canary\n")
    (tmp_path / "proxy.yaml").write_text(REMOVING)
    return tmp_path / "proxy.yaml"


def test_an_account_is_removed_with_its_comment(removing: Path) -> None:
    """The rest stays byte for byte; its secret file is named, and stays as well."""
    dry = run(removing.parent, "account", "remove", "other", "--dry-run", "--config", "proxy.yaml")
    assert (dry.returncode, removing.read_text(), dry.stderr) == (0, REMOVING, "Nothing was written.\n")
    ended = run(removing.parent, "account", "remove", "other", "--config", "proxy.yaml")
    assert (ended.returncode, ended.stdout) == (0, dry.stdout)
    begin, end = REMOVING.index("  # The other"), REMOVING.index("  third:")
    assert removing.read_text() == REMOVING[:begin] + REMOVING[end:]
    assert "No longer used: secrets/other-client-secret\n" in ended.stderr
    assert (removing.parent / "secrets" / "other-client-secret").exists()


@pytest.mark.parametrize(
    ("name", "problems"),
    [
        ("thrd", ["unknown account; did you mean 'third'?"]),
        (
            "third",
            [
                "client tool may use third; "
                "`ads-proxy client edit tool --account main --config proxy.yaml` changes that",
                "client only may use third; `ads-proxy client remove only --config proxy.yaml` changes that",
                "route brand leads to third; change or remove it in the file by hand",
                "report sp-daily is of third; `ads-proxy report remove sp-daily --config proxy.yaml` removes it",
            ],
        ),
    ],
)
def test_an_account_that_is_used_stays(removing: Path, name: str, problems: list[str]) -> None:
    """Each use is named, with the command that ends it."""
    ended = run(removing.parent, "account", "remove", name, "--config", "proxy.yaml")
    assert (ended.returncode, ended.stdout, removing.read_text()) == (2, "", REMOVING)
    assert ended.stderr.splitlines() == [f"ads-proxy: account remove: {problem}" for problem in problems]


def test_the_only_account_stays(folder: Path) -> None:
    """Without one there is no proxy."""
    ended = run(folder, "account", "remove", "main", "--config", "proxy.yaml")
    assert (ended.returncode, ended.stderr) == (
        2,
        "ads-proxy: account remove: main is the only account; add another one first\n",
    )


def test_an_account_of_another_file_is_not_in_this_one(removing: Path) -> None:
    """The message leads to accounts_from."""
    (removing.parent / "more.yaml").write_text("accounts:\n  fourth: {client_id: x, client_secret: s}\n")
    removing.write_text(f"accounts_from: [more.yaml]\n{REMOVING}")
    ended = run(removing.parent, "account", "remove", "fourth", "--config", "proxy.yaml")
    assert ended.returncode == 2
    assert "fourth is not in proxy.yaml, but in a file of accounts_from" in ended.stderr
