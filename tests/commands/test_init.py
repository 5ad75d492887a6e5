"""`init`: what is written, who can read it, what is left alone, and the questions, at a real terminal."""

from __future__ import annotations

import contextlib
import hashlib
import os
import pty
import re
import stat
import sys
from pathlib import Path

import pytest

from proxy.commands.init import new_files, write_all, write_configuration
from proxy.commands.prompts import AccountAnswers
from proxy.config import load
from proxy.errors import ConfigurationError, StartupError
from proxy.secret import Secret
from tests.commands.test_cli import ROOT, run

ANSWERS = AccountAnswers("amzn1.application-oa2-client.1", Secret("canary-client-secret"))
FULL = AccountAnswers(
    "amzn1.application-oa2-client.1",
    Secret("canary-client-secret"),
    Secret("Atzr|canary"),
    account="a.cme",
    region="eu",
    client="reporting",
)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def everything_in(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def test_what_is_written_can_be_served(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Account, secrets, admin key and client are in force; the key is told once and kept nowhere."""
    folder = tmp_path / "new"
    assert write_configuration(folder, FULL) == 0
    config = load(folder / "proxy.yaml", {})
    account = config.accounts["a.cme"]
    assert (account.client_id, account.region) == (FULL.client_id, "eu")
    assert account.secrets[0] == FULL.client_secret
    assert account.refresh_token == FULL.refresh_token
    assert config.admin.key is not None
    assert (config.audit.file, config.audit.required) == (folder / "audit.jsonl", True)
    assert (config.audit.objects, config.audit.values) == (True, ("state", "budget", "bid"))
    (client,) = config.clients
    assert (client.name, client.accounts, client.access) == ("reporting", ("a.cme",), "report")
    out, err = capsys.readouterr()
    (key,) = re.findall(r"adsproxy_\S+", err)
    assert hashlib.sha256(key.encode()).hexdigest() == client.key_sha256
    assert not [path for path in folder.rglob("*") if path.is_file() and key in path.read_text()]
    assert "canary" not in out + err
    assert f"ads-proxy serve --config {folder}/proxy.yaml" in err
    assert f"The console is then at http://127.0.0.1:8081/; its key is in {folder}/secrets/admin-key." in err
    assert "ads-proxy login" not in err


def test_the_page_about_systemd_names_these_files() -> None:
    """Each secret file that `init` writes for the account `main` becomes a credential of the same name."""
    page = (ROOT / "docs" / "how-to" / "systemd.md").read_text()
    loaded = re.findall(r"LoadCredential=(\S+):/etc/ads-proxy/(secrets/\S+)", page)
    answers = AccountAnswers("x", Secret("a"), Secret("b"), "main")
    secrets = [file.name for file in new_files(answers, "") if file.name.startswith("secrets/")]
    assert [path for _, path in loaded] == secrets
    assert all(path == f"secrets/{name}" for name, path in loaded)
    used = re.findall(r"\{file: /run/credentials/ads-proxy.service/(\S+)\}", page)
    assert used == [name for name, _ in loaded]


def test_only_the_owner_reads_secrets(tmp_path: Path) -> None:
    """Files of mode 600 in a folder of mode 700; the configuration holds none."""
    old = os.umask(0)
    try:
        write_configuration(tmp_path, FULL)
    finally:
        os.umask(old)
    secrets = list((tmp_path / "secrets").iterdir())
    assert sorted(path.name for path in secrets) == ["a.cme-client-secret", "a.cme-refresh-token", "admin-key"]
    assert {mode(path) for path in secrets} == {0o600}
    assert mode(tmp_path / "secrets") == 0o700
    assert "canary" not in (tmp_path / "proxy.yaml").read_text()


def test_without_a_refresh_token_one_signs_in(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """No file for it, and the next step is `login`; without a client no key is needed."""
    write_configuration(tmp_path, ANSWERS)
    config = load(tmp_path / "proxy.yaml", {})
    assert config.accounts["main"].refresh_token is None
    assert config.clients == ()
    assert "ads-proxy login main --config" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["proxy.yaml", "secrets/admin-key", "secrets/main-client-secret"])
@pytest.mark.parametrize("kind", ["file", "link"])
def test_nothing_is_overwritten(tmp_path: Path, name: str, kind: str) -> None:
    """A link that leads nowhere is not written through, and nothing else is written then."""
    taken = tmp_path / name
    taken.parent.mkdir(exist_ok=True)
    if kind == "link":
        taken.symlink_to(tmp_path / "elsewhere")
    else:
        taken.write_text("mine")
    before = everything_in(tmp_path)
    with pytest.raises(StartupError, match="exists already and is unchanged"):
        write_configuration(tmp_path, ANSWERS)
    assert everything_in(tmp_path) == before
    assert kind == "link" or taken.read_text() == "mine"


@pytest.mark.parametrize(
    ("answers", "problem"),
    [
        (
            AccountAnswers("x", Secret("two words")),
            "accounts.main.client_secret: the file that it names holds white space",
        ),
        (AccountAnswers("", Secret("s")), "accounts.main.client_id: is empty"),
        (AccountAnswers("x", Secret("s"), account="eu"), "accounts.eu: is the name of a region"),
    ],
)
def test_an_answer_that_cannot_be_taken_leaves_nothing(tmp_path: Path, answers: AccountAnswers, problem: str) -> None:
    """The sentence is that of `serve`, and no file is there afterwards."""
    with pytest.raises(ConfigurationError, match=re.escape(problem)):
        write_configuration(tmp_path, answers)
    assert everything_in(tmp_path) == []


def test_a_folder_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    """The folder is a file here."""
    (tmp_path / "file").write_text("")
    with pytest.raises(StartupError, match=r"init: .*file"):
        write_configuration(tmp_path / "file", ANSWERS)


def test_a_folder_within_one_of_another_user_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In one line, and not as a traceback."""

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied", str(tmp_path / "theirs" / "new"))

    with monkeypatch.context() as patch, pytest.raises(StartupError, match="theirs/new: Permission denied"):
        for owner, name in ((os, "stat"), (os, "lstat"), (Path, "mkdir")):
            patch.setattr(owner, name, refuse)
        write_all(tmp_path / "theirs" / "new", ())


def test_a_script_is_not_asked(tmp_path: Path) -> None:
    """Two options are enough; what is missing is told, with exit code 2."""
    (tmp_path / "secret").write_text("canary-client-secret\n")
    (tmp_path / "token").write_text("Atzr|canary\n")
    result = run(tmp_path, "init", "conf", "--client-id", "x", "--client-secret-file", "secret")
    assert (result.returncode, load(tmp_path / "conf" / "proxy.yaml", {}).accounts["main"].client_id) == (0, "x")
    given = ("--client-id", "x", "--client-secret-file", "secret", "--refresh-token-file", "token", "--region", "fe")
    assert run(tmp_path, "init", "more", *given, "--account", "b").returncode == 0
    assert load(tmp_path / "more" / "proxy.yaml", {}).accounts["b"].region == "fe"
    missing = run(tmp_path, "init", "none", "--client-secret-file", "gone")
    assert (missing.returncode, missing.stderr) == (
        2,
        "ads-proxy: --client-id: missing, and there is no terminal to ask on; add the options\n",
    )
    gone = run(tmp_path, "init", "none", "--client-id", "x", "--client-secret-file", "gone")
    assert gone.stderr == "ads-proxy: --client-secret-file: gone: No such file or directory\n"


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        (("--account", "a/b"), "--account: is not a usable name; use 1 to 64 letters"),
        (("--account", "eu"), "--account: is the name of a region; choose another name"),
        (("--client-id", "amzn1.oa2-cs.v1.x"), "--client-id: is a client secret; a client id begins with"),
        (("--client-id", "two words"), "--client-id: holds white space"),
        (("--client", "a b"), "--client: is not a usable name"),
        (("--client", "anonymous"), "--client: is the name of clients without a key"),
        (("--profiles", "1"), "--profiles: needs a client; name it with --client"),
        (("--client", "a", "--profiles", "1,x"), "--profiles: is not a profile id (digits)"),
        (("--client-secret-file", "empty"), "--client-secret-file: empty: is empty; fill it in"),
        (("--client-secret-file", "id"), "--client-secret-file: id: is a client id; a client secret begins with"),
        (
            ("--refresh-token-file", "access"),
            "--refresh-token-file: access: is an access token; a refresh token begins",
        ),
    ],
)
def test_a_wrong_option_is_named(tmp_path: Path, given: tuple[str, ...], problem: str) -> None:
    """With what to do; nothing is written."""
    for name, text in (
        ("secret", "s"),
        ("empty", "\n"),
        ("id", "amzn1.application-oa2-client.1"),
        ("access", "Atza|x"),
    ):
        (tmp_path / name).write_text(text)
    result = run(tmp_path, "init", "conf", "--client-id", "x", "--client-secret-file", "secret", *given)
    assert result.returncode == 2
    assert result.stderr.startswith(f"ads-proxy: {problem}")
    assert not (tmp_path / "conf").exists()


def test_a_client_may_be_limited_to_profiles(tmp_path: Path) -> None:
    """A script uses `--profiles`; without it the key is there as a comment."""
    (tmp_path / "secret").write_text("s")
    needed = ("--client-id", "x", "--client-secret-file", "secret", "--client", "reporting")
    assert run(tmp_path, "init", "one", *needed, "--profiles", "123, 456").returncode == 0
    assert load(tmp_path / "one" / "proxy.yaml", {}).clients[0].profiles == ("123", "456")
    assert run(tmp_path, "init", "two", *needed).returncode == 0
    assert load(tmp_path / "two" / "proxy.yaml", {}).clients[0].profiles is None
    assert '    # profiles: ["PROFILE_ID"]\n' in (tmp_path / "two" / "proxy.yaml").read_text()


class Person:
    """A person at a terminal who answers a command's questions."""

    def __init__(self, folder: Path, *arguments: str) -> None:
        self.said, self._seen = "", 0
        self._child, self._terminal = pty.fork()
        if self._child == 0:
            os.chdir(folder)
            os.environ["PYTHONPATH"] = str(ROOT)
            os.execv(sys.executable, [sys.executable, "-m", "proxy", *arguments])

    def see(self, words: str) -> None:
        """Wait for words behind those that were seen last."""
        while words not in self.said[self._seen :]:
            self.said += os.read(self._terminal, 4096).decode()
        self._seen = self.said.index(words, self._seen) + len(words)

    def answer(self, question: str, text: str) -> None:
        """Wait for a question, and answer it."""
        self.see(question)
        os.write(self._terminal, f"{text}\n".encode())

    def leave(self) -> int:
        """Read what is left; the exit code."""
        with contextlib.suppress(OSError):  # the end, as Linux reports it
            while piece := os.read(self._terminal, 4096):
                self.said += piece.decode()
        os.close(self._terminal)
        return os.waitstatus_to_exitcode(os.waitpid(self._child, 0)[1])


def test_a_person_is_asked(tmp_path: Path) -> None:
    """At a terminal: defaults in brackets, and secrets are not shown."""
    person = Person(tmp_path, "init")
    person.answer("A name for the account [main]: ", "")
    person.answer("[na]: ", "eu")
    person.answer("client id of your Login with Amazon security profile: ", "amzn1.application-oa2-client.1")
    person.answer("client secret: ", "canary-client-secret")
    person.answer("sign in later: ", "Atzr|canary")
    person.answer("gets a key of its own", "reporting")
    person.answer("The profiles that it may use", "123")
    assert person.leave() == 0
    config = load(tmp_path / "proxy.yaml", {})
    assert (config.accounts["main"].region, config.clients[0].name) == ("eu", "reporting")
    assert config.clients[0].profiles == ("123",)
    assert config.accounts["main"].secrets[0].reveal() == "canary-client-secret"
    assert "canary" not in person.said


def test_a_wrong_answer_is_asked_again_and_says_why(tmp_path: Path) -> None:
    """At once, before the next question, and without the answer: it may be a secret."""
    person = Person(tmp_path, "init")
    for question, wrong, why, right in (
        ("account [main]: ", "eu", "This is the name of a region; choose another name.", ""),
        ("[na]: ", "us", "This is not one of na, eu, fe.", ""),
        ("security profile: ", "", "This is empty; fill it in.", "x"),
        ("client secret: ", "amzn1.application-oa2-client.x", "This is a client id; a client secret begins with", "s"),
        ("sign in later: ", "Atza|canary", "This is an access token; a refresh token begins with Atzr|.", ""),
        ("use the proxy): ", "two words", "This is not a usable name; use 1 to 64 letters", "reporting"),
        ("(nothing: all): ", "one", "This is not a profile id (digits)", "1"),
    ):
        person.answer(question, wrong)
        person.see(why)
        person.answer(question, right)
    assert person.leave() == 0
    assert load(tmp_path / "proxy.yaml", {}).accounts["main"].region == "na"


@pytest.mark.parametrize("taken", ["proxy.yaml", "secrets/admin-key"])
def test_a_used_folder_is_refused_before_anything_is_asked(tmp_path: Path, taken: str) -> None:
    """The way to one more account is named."""
    (tmp_path / "secrets").mkdir()
    (tmp_path / taken).write_text("")
    person = Person(tmp_path, "init")
    assert person.leave() == 1
    assert "A name for the account" not in person.said
    assert "ads-proxy account add NAME --config proxy.yaml" in person.said


def test_the_reference_is_printed(tmp_path: Path) -> None:
    """`config-reference` is a file to begin with."""
    (tmp_path / "proxy.yaml").write_text(run(tmp_path, "config-reference").stdout)
    result = run(tmp_path, "check", "--config", "proxy.yaml")
    assert result.stderr.startswith("ads-proxy: accounts: missing")
