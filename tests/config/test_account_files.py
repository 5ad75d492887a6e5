"""Accounts in files of their own (`accounts_from`): what is found, what is refused, and what stays in force."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from proxy.config import Config, ReadingMemory, load, notes
from proxy.config.account_files import AccountFileReader
from proxy.errors import ConfigurationError

MAIN = 'accounts_from: ["accounts.d/*.yaml"]\n'


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a main file, and none of the others yet."""
    (tmp_path / "proxy.yaml").write_text(MAIN)
    (tmp_path / "accounts.d").mkdir()
    return tmp_path


def put(folder: Path, name: str, *accounts: str, text: str = "") -> Path:
    """A file with these accounts, or with this text."""
    path = folder / "accounts.d" / name
    entries = "".join(f"  {each}: {{client_id: id-{each}, client_secret: canary-{each}}}\n" for each in accounts)
    path.write_text(text or f"accounts:\n{entries}")
    return path


def read(folder: Path, running: Config | None = None, environ: dict[str, str] | None = None) -> Config:
    return load(folder / "proxy.yaml", environ or {}, running=running)


def problems_of(folder: Path) -> tuple[str, ...]:
    with pytest.raises(ConfigurationError) as caught:
        read(folder)
    return caught.value.problems


def test_accounts_come_from_the_main_file_and_from_all_others(folder: Path) -> None:
    """Each has its own name and values, whichever file it is in."""
    (folder / "proxy.yaml").write_text(f"{MAIN}accounts: {{main: {{client_id: id-main, client_secret: s}}}}\n")
    put(folder, "b.yaml", "globex")
    put(folder, "a.yaml", "acme", "initech")
    config = read(folder)
    assert set(config.accounts) == {"main", "acme", "initech", "globex"}
    assert all(account.client_id == f"id-{name}" and account.name == name for name, account in config.accounts.items())


def test_all_files_and_their_folder_are_watched(folder: Path) -> None:
    """A change of any of them, a new one and a deleted one means to read again; so does a secret's file."""
    (folder / "accounts.d" / "secret").write_text("canary-0123456789")
    put(folder, "a.yaml", text="accounts: {acme: {client_id: x, client_secret: {file: secret}}}")
    assert set(read(folder).sources) == {
        folder / "proxy.yaml",
        folder / "accounts.d",
        folder / "accounts.d" / "a.yaml",
        folder / "accounts.d" / "secret",
    }


def test_a_folder_that_is_not_there_yet_is_watched(folder: Path) -> None:
    """The folder may be mounted later."""
    (folder / "proxy.yaml").write_text(
        "accounts_from: [later/*.yaml]\naccounts: {a: {client_id: x, client_secret: s}}\n"
    )
    assert folder / "later" in read(folder).sources


def test_every_folder_in_which_a_file_may_appear_is_watched(folder: Path) -> None:
    """The folders of the parts between are watched, too: a new folder has no file in it at first."""
    (folder / "proxy.yaml").write_text("accounts_from: ['teams/*/*.d/*.yaml', 'own/*/account.yaml']\n")
    teams, own = folder / "teams", folder / "own"
    for new in (teams / "red" / "a.d", teams / "red" / "b.d", teams / "blue", own / "acme", own / "globex"):
        new.mkdir(parents=True)
    files = teams / "red" / "a.d" / "one.yaml", own / "acme" / "account.yaml"
    for name, file in zip(("one", "acme"), files, strict=True):
        file.write_text(f"accounts: {{{name}: {{client_id: x, client_secret: s}}}}")
    (teams / "README").write_text("No folder.")
    assert set(read(folder).sources) - {folder / "proxy.yaml", *files} == {
        teams,
        teams / "red",
        teams / "red" / "a.d",
        teams / "red" / "b.d",
        teams / "blue",
        own,
        own / "acme",
        own / "globex",
    }


@pytest.mark.parametrize(
    ("patterns", "found"),
    [
        ("[accounts.d/a.yaml]", {"a"}),
        ("[accounts.d/a.yaml, 'accounts.d/?.yaml']", {"a", "b"}),
        ("accounts.d/a.yaml,accounts.d/b.yaml", {"a", "b"}),
        ("['*/b.yaml']", {"b"}),
        ("['*.yaml', 'accounts.d/*']", {"a", "b"}),
        ("['{}/accounts.d/[b-z].yaml']", {"b"}),
        ("['~/accounts.d/b*']", {"b"}),
    ],
)
def test_names_and_patterns_start_at_the_main_file(folder: Path, patterns: str, found: set[str]) -> None:
    """Relative, absolute and home ones; the main file itself, folders and hidden files are not among those found."""
    put(folder, "a.yaml", "a")
    put(folder, "b.yaml", "b")
    put(folder, ".hidden.yaml", "hidden")
    (folder / "accounts.d" / "folder").mkdir()
    (folder / "proxy.yaml").write_text(f"accounts_from: {patterns.format(folder)}\n")
    assert set(read(folder, environ={"HOME": str(folder)}).accounts) == found


def test_a_variable_names_the_files(folder: Path) -> None:
    """The key has a variable as every other key has."""
    (folder / "proxy.yaml").write_text("rewrite_locations: true\n")
    put(folder, "a.yaml", "acme")
    assert set(read(folder, environ={"ADS_PROXY_ACCOUNTS_FROM": "accounts.d/*.yaml"}).accounts) == {"acme"}


def test_an_account_from_variables_next_to_them_is_an_error(folder: Path) -> None:
    """Such an account is an error next to `accounts:` as well."""
    put(folder, "a.yaml", "acme")
    environ = {"AMAZON_ADS_CLIENT_ID": "x", "AMAZON_ADS_CLIENT_SECRET": "y"}
    with pytest.raises(ConfigurationError, match="there is an 'accounts_from:' section"):
        read(folder, environ=environ)


def test_routes_and_clients_may_use_these_accounts(folder: Path) -> None:
    """All rules between keys hold for them as for those of the main file."""
    (folder / "proxy.yaml").write_text(f"{MAIN}routes: {{brand: {{account: acme}}, other: {{account: nobody}}}}\n")
    put(folder, "a.yaml", "acme")
    assert problems_of(folder) == ("routes.other.account: unknown account; the accounts are: acme",)


def test_the_sign_in_address_follows_the_admin_listener(folder: Path) -> None:
    """The port is the main file's, as for accounts there."""
    (folder / "proxy.yaml").write_text(f"{MAIN}admin_listen: 127.0.0.1:9999\n")
    put(folder, "a.yaml", "acme")
    assert read(folder).accounts["acme"].redirect_uri == "http://localhost:9999/login/callback"


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("accounts: [", "line 1, column 12: is not YAML"),
        ("listen: 127.0.0.1:1", "only 'accounts:' is accepted here; move the rest to the main file (line 1)"),
        ("accounts: {b: {client_secret: s}}", "accounts.b.client_id: is missing; add it (line 1)"),
        (
            "accounts:\n  b: {client_id: x, client_secret: s, region: us}",
            "accounts.b.region: is not one of na, eu, fe (line 2)",
        ),
        (
            "accounts: {b: {client_id: x, client_secret: {file: no}}}",
            "no does not exist; create it, or correct the path (line 1)",
        ),
        ("accounts: {eu: {client_id: x, client_secret: s}}", "accounts.eu: is the name of a region"),
        ("accounts: {brand: {client_id: x, client_secret: s}}", "routes.brand: is the name of an account too"),
        ("- b", "must hold keys such as 'listen:' at its top, not a list"),
    ],
)
def test_a_bad_file_is_reported_by_name_at_the_start(folder: Path, text: str, problem: str) -> None:
    """With the line, as all problems of the main file are; and a start ends there."""
    (folder / "proxy.yaml").write_text(f"{MAIN}routes: {{brand: {{account: acme}}}}\n")
    put(folder, "a.yaml", "acme")
    bad = put(folder, "b.yaml", text=text)
    (told,) = problems_of(folder)
    assert told.startswith(f"{bad}: ")
    assert problem in told


def test_all_bad_files_are_reported_together(folder: Path) -> None:
    """The main file's problems are among them."""
    (folder / "proxy.yaml").write_text(f"{MAIN}tls: none\naccounts: {{c: {{client_id: x, client_secret: s}}}}\n")
    put(folder, "a.yaml", text="- a")
    put(folder, "b.yaml", text="- b")
    assert [told.partition(": ")[0] for told in problems_of(folder)] == [
        str(folder / "accounts.d" / "a.yaml"),
        str(folder / "accounts.d" / "b.yaml"),
        "tls",
    ]


def test_a_route_to_an_account_of_a_bad_file_is_no_second_problem(folder: Path) -> None:
    """One mistake is one line."""
    (folder / "proxy.yaml").write_text(f"{MAIN}routes: {{brand: {{account: acme}}}}\n")
    put(folder, "a.yaml", text="accounts: {acme: {client_id: x}}")
    (told,) = problems_of(folder)
    assert "accounts.acme.client_secret: is missing" in told


def test_an_account_in_two_files_is_an_error_that_names_both(folder: Path) -> None:
    """With the line in each."""
    first, second = put(folder, "a.yaml", "acme"), put(folder, "b.yaml", "globex", "acme")
    assert problems_of(folder) == (
        f"{second}: accounts.acme: is in {first} (line 2), too; keep one of the two (line 3)",
    )


def test_an_account_of_the_main_file_is_nowhere_else(folder: Path) -> None:
    """The main file's is the one that counts."""
    main = folder / "proxy.yaml"
    main.write_text(f"{MAIN}accounts:\n  acme: {{client_id: id-main, client_secret: s}}\n")
    other = put(folder, "a.yaml", "acme")
    assert problems_of(folder) == (f"{other}: accounts.acme: is in {main} (line 3), too; keep one of the two (line 2)",)


def test_a_named_file_that_does_not_exist_is_an_error(folder: Path) -> None:
    """The error shows the path if it looks like one: a secret may be there instead."""
    pattern = "canary-0f9e8d7c6b5a49382716"
    (folder / "proxy.yaml").write_text(
        f"accounts_from: [{pattern}]\naccounts: {{a: {{client_id: x, client_secret: s}}}}\n"
    )
    (told,) = problems_of(folder)
    assert told == "accounts_from: the file that it names does not exist; create it, or correct its name"
    (folder / "proxy.yaml").write_text(
        "accounts_from: [/etc/more.yaml]\naccounts: {a: {client_id: x, client_secret: s}}\n"
    )
    (told,) = problems_of(folder)
    assert told == "accounts_from: the file /etc/more.yaml does not exist; create it, or correct its name"


@pytest.mark.parametrize("pattern", ["'**/*.yaml'", "''", "{a: b}"])
def test_a_pattern_that_cannot_be_used_is_an_error(folder: Path, pattern: str) -> None:
    """With what may be written instead."""
    (folder / "proxy.yaml").write_text(
        f"accounts_from: [{pattern}]\naccounts: {{a: {{client_id: x, client_secret: s}}}}"
    )
    (told,) = problems_of(folder)
    assert told.startswith("accounts_from[0]: must name a file or files, such as accounts.d/*.yaml")


def test_no_account_anywhere_is_an_error(folder: Path) -> None:
    """A running program keeps its accounts, if a folder is not mounted for a moment."""
    put(folder, "a.yaml", "acme")
    running = read(folder)
    (folder / "accounts.d" / "a.yaml").unlink()
    with pytest.raises(ConfigurationError, match="accounts: missing, and accounts_from finds none"):
        read(folder, running)


# --- while a program runs


def test_a_bad_file_keeps_its_last_good_accounts(folder: Path) -> None:
    """All other files are put in force as they are now, and the error says why this one is not."""
    put(folder, "a.yaml", "acme")
    put(folder, "b.yaml", "globex", "initech")
    running = read(folder)
    bad = put(folder, "b.yaml", text="accounts: [")
    put(folder, "a.yaml", "acme", "hooli")
    config = read(folder, running)
    assert set(config.accounts) == {"acme", "hooli", "globex", "initech"}
    assert config.accounts["globex"] == running.accounts["globex"]
    assert [told.startswith(f"{bad}: line 1") for told in config.refused] == [True]
    assert bad in config.sources
    again = read(folder, config)
    assert set(again.accounts) == set(config.accounts)
    put(folder, "b.yaml", "globex")
    mended = read(folder, again)
    assert set(mended.accounts) == {"acme", "hooli", "globex"}
    assert mended.refused == ()


def test_a_new_bad_file_adds_nothing(folder: Path) -> None:
    """There is nothing of it to keep."""
    put(folder, "a.yaml", "acme")
    running = read(folder)
    bad = put(folder, "b.yaml", text="- b")
    config = read(folder, running)
    assert set(config.accounts) == {"acme"}
    assert [told.startswith(f"{bad}: ") for told in config.refused] == [True]


def test_a_deleted_file_takes_its_accounts_along(folder: Path) -> None:
    """Deleting it is no mistake."""
    put(folder, "a.yaml", "acme")
    put(folder, "b.yaml", "globex")
    running = read(folder)
    (folder / "accounts.d" / "b.yaml").unlink()
    config = read(folder, running)
    assert (set(config.accounts), config.refused) == ({"acme"}, ())


@pytest.mark.parametrize(("owner", "newcomer"), [("a.yaml", "b.yaml"), ("b.yaml", "a.yaml")])
def test_an_account_that_comes_twice_stays_with_the_file_that_has_it(folder: Path, owner: str, newcomer: str) -> None:
    """The file that was added or changed is the one that is refused, whatever it is called."""
    kept = put(folder, owner, "acme")
    running = read(folder)
    refused = put(folder, newcomer, "acme", "globex")
    config = read(folder, running)
    assert set(config.accounts) == {"acme"}
    assert config.refused == (f"{refused}: accounts.acme: is in {kept} (line 2), too; keep one of the two (line 2)",)


def test_an_account_may_move_from_one_file_to_another(folder: Path) -> None:
    """The move works also if the file that it leaves cannot be used."""
    put(folder, "a.yaml", "acme", "globex")
    running = read(folder)
    put(folder, "a.yaml", text="accounts: [")
    put(folder, "b.yaml", text="accounts: {globex: {client_id: id-new, client_secret: s}}")
    config = read(folder, running)
    assert {name: account.client_id for name, account in config.accounts.items()} == {
        "acme": "id-acme",
        "globex": "id-new",
    }
    put(folder, "a.yaml", "acme")
    moved = read(folder, config)
    assert (set(moved.accounts), moved.refused) == ({"acme", "globex"}, ())


def test_a_bad_main_file_is_refused_as_a_whole(folder: Path) -> None:
    """What it says of the other files cannot be relied on."""
    put(folder, "a.yaml", "acme")
    running = read(folder)
    (folder / "proxy.yaml").write_text(f"{MAIN}tls: none\n")
    put(folder, "b.yaml", "globex")
    with pytest.raises(ConfigurationError, match="tls"):
        read(folder, running)


def test_a_pattern_that_finds_nothing_is_worth_a_note(folder: Path) -> None:
    """The pattern may be a mistake, or a folder that is filled later."""
    (folder / "proxy.yaml").write_text(f"{MAIN}accounts: {{a: {{client_id: x, client_secret: s}}}}\n")
    assert any(note.startswith("accounts_from finds no file") for note in notes(read(folder)))


# --- files that did not change


@pytest.fixture
def memory() -> ReadingMemory:
    """One to which the files of a test are an hour old."""
    return ReadingMemory(AccountFileReader(lambda: time.time() + 3600))


def reread(folder: Path, memory: ReadingMemory, environ: dict[str, str] | None = None) -> Config:
    return load(folder / "proxy.yaml", environ or {"SECRET": "canary-1"}, memory=memory)


def is_same(one: Config, other: Config) -> bool:
    """Whether the account was not read again."""
    return one.accounts["acme"] is other.accounts["acme"]


REFERRING = "accounts: {acme: {client_id: x, client_secret: {file: secret}, refresh_token: {env: SECRET}}}"


@pytest.fixture
def referring(folder: Path) -> Path:
    """With a file of accounts that refers to another file and to a variable."""
    (folder / "accounts.d" / "secret").write_text("canary-2")
    put(folder, "a.yaml", text=REFERRING)
    return folder


def test_only_a_file_that_changed_is_read_again(referring: Path, memory: ReadingMemory) -> None:
    """Ten thousand accounts take half a second, and nearly always a reload changes few."""
    put(referring, "b.yaml", "globex")
    first = reread(referring, memory)
    put(referring, "b.yaml", "initech")
    config = reread(referring, memory)
    assert set(config.accounts) == {"acme", "initech"}
    assert is_same(first, config)
    assert config.sources == first.sources


def replace_secret(folder: Path) -> None:
    """By another file of the same size and time of writing."""
    secret, new = folder / "accounts.d" / "secret", folder / "new"
    new.write_text("canary-3")
    os.utime(new, ns=(secret.stat().st_mtime_ns, secret.stat().st_mtime_ns))
    new.replace(secret)


def write_secret(folder: Path) -> None:
    (folder / "accounts.d" / "secret").write_text("canary-longer")


def point_elsewhere(folder: Path) -> None:
    """Change a link as Kubernetes changes a mounted file."""
    secret = folder / "accounts.d" / "secret"
    secret.unlink()
    (folder / "other").write_text("canary-4")
    secret.symlink_to(folder / "other")


def open_to_others(folder: Path) -> None:
    """A note is due."""
    (folder / "accounts.d" / "secret").chmod(0o640)


def listen_elsewhere(folder: Path) -> None:
    (folder / "proxy.yaml").write_text(f"{MAIN}admin_listen: 127.0.0.1:9999\n")


def add_route(folder: Path) -> None:
    (folder / "proxy.yaml").write_text(f"{MAIN}routes: {{brand: {{account: acme}}}}\n")


@pytest.mark.parametrize(
    "change", [replace_secret, write_secret, point_elsewhere, open_to_others, listen_elsewhere, add_route]
)
def test_whatever_decides_what_a_file_means_has_it_read_again(
    referring: Path, memory: ReadingMemory, change: Callable[[Path], None]
) -> None:
    """The second reading equals a first one."""
    (referring / "accounts.d" / "secret").chmod(0o600)
    first = reread(referring, memory)
    change(referring)
    config = reread(referring, memory)
    assert not is_same(first, config)
    assert config == load(referring / "proxy.yaml", {"SECRET": "canary-1"})


def test_a_variable_that_changed_has_files_read_again(referring: Path, memory: ReadingMemory) -> None:
    """An account may refer to it."""
    reread(referring, memory)
    account = reread(referring, memory, {"SECRET": "canary-5"}).accounts["acme"]
    assert account.refresh_tokens[0] is not None
    assert account.refresh_tokens[0].reveal() == "canary-5"


def test_a_secret_that_is_gone_is_a_problem_each_time(referring: Path, memory: ReadingMemory) -> None:
    """What was read before is no answer, and a problem is not kept beyond its cause."""
    running = reread(referring, memory)
    secret = referring / "accounts.d" / "secret"
    secret.unlink()
    for _ in range(2):
        config = load(referring / "proxy.yaml", {"SECRET": "canary-1"}, running=running, memory=memory)
        assert [f"{referring}/accounts.d/a.yaml: " in told for told in config.refused] == [True]
    secret.write_text("canary-2")
    assert reread(referring, memory).refused == ()


def test_a_file_that_changed_a_moment_ago_is_read_again(referring: Path) -> None:
    """The file may change once more, with the same time and size."""
    memory = ReadingMemory()
    assert not is_same(reread(referring, memory), reread(referring, memory))


def test_all_files_are_read_again_on_request(referring: Path, memory: ReadingMemory) -> None:
    """Where a change leaves no trace."""
    first = reread(referring, memory)
    memory.forget()
    assert not is_same(first, reread(referring, memory))


def test_a_file_that_is_named_no_more_is_forgotten(referring: Path, memory: ReadingMemory) -> None:
    """A program that runs for months does not keep every account that it ever had."""
    put(referring, "b.yaml", "globex")
    reread(referring, memory)
    assert repr(memory.account_files) == "<AccountFileReader: 2 files known>"
    (referring / "accounts.d" / "b.yaml").unlink()
    reread(referring, memory)
    assert repr(memory.account_files) == "<AccountFileReader: 1 files known>"


@pytest.mark.parametrize("pattern", ["accounts.d/*.yaml", "accounts.d/a.yaml"])
def test_files_in_a_folder_that_cannot_be_searched_are_named(
    folder: Path, monkeypatch: pytest.MonkeyPatch, pattern: str
) -> None:
    """A folder with mode 644 shows only the names of its files."""
    (folder / "proxy.yaml").write_text(f'accounts_from: ["{pattern}"]\n')
    file = put(folder, "a.yaml", "acme")

    def refusing(function: Callable[..., object]) -> Callable[..., object]:
        def checked(path: object, *rest: object, **named: object) -> object:
            if path in (file, str(file)):
                raise PermissionError(13, "Permission denied")
            return function(path, *rest, **named)

        return checked

    for owner, name in ((os, "stat"), (os, "lstat"), (Path, "open")):
        monkeypatch.setattr(owner, name, refusing(getattr(owner, name)))
    told, *_ = problems_of(folder)
    assert told.startswith(f"{file}: the file of accounts ")
    assert "permission denied; let this user read it" in told
