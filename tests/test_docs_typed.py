"""What the pages have their readers type exists: commands with their options, keys, variables, configurations."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml

from proxy.commands.cli import app, find_commands, load_command
from proxy.config import load
from proxy.config.model.deprecations import DEPRECATIONS
from proxy.config.reference import options
from proxy.errors import ConfigurationError
from tests.support.client_certificates import Issuer
from tests.support.programs import ROOT

pytestmark = pytest.mark.no_cover  # reads files

FILES = sorted((*(ROOT / "docs").rglob("*.md"), ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "SECURITY.md"))
PAGES = {page.relative_to(ROOT).as_posix(): page.read_text(encoding="utf-8") for page in FILES}
KEYS = {f"{option.section}.{option.key}".lstrip(".") for option in options()} | {option.section for option in options()}
TOP = {key.partition(".")[0].removesuffix("[]") for key in KEYS}
VARIABLES = {option.variable for option in options() if option.variable}
VARIABLES |= {variable.rpartition("__")[0] for variable in VARIABLES if "__" in variable}
OTHER_VARIABLES = {"ADS_PROXY_CONFIG", "ADS_PROXY_SERVICE_HOST", "ADS_PROXY_PORT_8080_TCP", "ADS_PROXY_APPROVER_KEY"}
OTHER_VARIABLES |= {"ADS_PROXY_APPROVER_KEY_FILE"}
"""The file's name, what Kubernetes sets, which is passed over, and what approvers show."""
DEPRECATED_VARIABLES = {f"ADS_PROXY_{'__'.join(old).upper()}" for old in DEPRECATIONS}
MISTAKES = {"ADS_PROXY_LISTN", "ADS_PROXY_LOG_LEVEL"}
"""Which docs/reference/cli.md shows with their answers."""
NO_KEYS = {"routes.acme", "state.degraded", "state.trouble"}
"""A mistake that docs/reference/cli.md shows, and members of `/status`."""
DIGEST = "A_DIGEST"
COMMAND: Any = typer.main.get_command(app)
ACCOUNT: dict[str, Any] = {"client_id": "id", "client_secret": "0123456789abcdef"}


def blocks(page: str) -> list[str]:
    """A page's blocks of code: fenced ones, and those that stand four blanks in."""
    fenced = r"^( *)```(?:sh|yaml)?\n(.*?)^ *```$"
    found = [
        re.sub(rf"^{indent}", "", text, flags=re.MULTILINE)
        for indent, text in re.findall(fenced, page, re.MULTILINE | re.DOTALL)
    ]
    rest = re.sub(r"^ *```.*?^ *```$", "", page, flags=re.MULTILINE | re.DOTALL)
    indented = re.findall(r"(?:^ {4,}\S.*\n(?:^ *\n(?= {4}))?)+", rest, re.MULTILINE)
    return found + [re.sub(r"^ {4}", "", text, flags=re.MULTILINE) for text in indented]


def commands(page: str) -> list[list[str]]:
    """Each `ads-proxy ...` that a page has typed, in blocks and in its text, cut into words."""
    inline = re.findall(r"`((?:\S*/)?ads-proxy [a-z-][^`\n]*)`", re.sub(r"```.*?```", "", page, flags=re.DOTALL))
    joined = [text.replace("\\\n", " ") for text in blocks(page)]
    lines = [line for text in joined for line in text.splitlines()]
    typed = [found[1] for line in lines if (found := re.match(r"(?:\$ )?((?:\S*/)?ads-proxy [a-z-].*)", line))]
    ends = r" -- | \|| &&| > | & |  +#| #"  # what comes behind `--` is another program's
    return [shlex.split(re.split(ends, text)[0].replace("…", "x")) for text in inline + typed]


def problem_of(words: list[str]) -> str:
    """What the command line lacks of a command; empty where it has all of it."""
    command = COMMAND
    for word in words[1:]:
        if word == "--":
            break
        known = {name for each in command.params for name in (*each.opts, *each.secondary_opts)}
        if word in getattr(command, "commands", {}):
            command = load_command(word) if word in find_commands() else command.commands[word]
        elif hasattr(command, "default_command"):
            command = command.commands[command.default_command]
        elif hasattr(command, "commands") and not word.startswith("-"):
            return "" if word.isupper() else f"no command {word!r}"
        elif word.startswith("-") and word.partition("=")[0] not in known | {"-h", "--help"}:
            return f"{command.name} has no option {word!r}"
    return ""


def test_a_command_that_a_page_has_typed_exists() -> None:
    """With each of its options."""
    found = [(name, words, problem_of(words)) for name, text in PAGES.items() for words in commands(text)]
    assert [entry for entry in found if entry[2]] == []


def test_commands_are_found_and_judged() -> None:
    """The two tests of this file would pass where nothing is found."""
    assert sum(len(commands(text)) for text in PAGES.values()) > 100
    assert problem_of(["ads-proxy", "keys", "make"]) == "no command 'make'"
    assert problem_of(["ads-proxy", "keys", "new", "x", "--forever"]) == "new has no option '--forever'"


def test_a_command_works_after_the_set_up_of_the_readme() -> None:
    """README.md names the program by its path, and then puts it on PATH for the pages, which write `ads-proxy`."""
    readme, path = PAGES["README.md"], 'export PATH="$PWD/.venv/bin:$PATH"'
    assert {words[0] for words in commands(readme)} == {".venv/bin/ads-proxy"}
    [set_up] = [block for block in blocks(readme) if "make install\n" in block]
    assert set_up.splitlines()[1].startswith(path)
    assert f"`{path}`" in PAGES["docs/tutorials/getting-started.md"]


def test_the_program_is_installed_by_no_name() -> None:
    """The program is on no public index: a stranger with the name there would be given the keys."""
    installs = re.compile(r"(?:pip install|pipx run|uvx) (?:--?[a-z][a-z-]* )*'?amazon-ads-proxy\b")
    assert [name for name, text in PAGES.items() if installs.search(text)] == []


def test_a_key_that_a_page_names_exists() -> None:
    """`section.key`, as docs/reference/configuration.md has it; `*`, NAME and [] stand for an entry's name."""
    sections = {key.partition(".")[0].removesuffix("[]") for key in KEYS if "." in key}
    key = re.compile(r"`((?:[a-z_]+)(?:\[\]|\.(?:\*|NAME))?\.[a-z_]+)(?::[^`]*)?`")
    wrong = {
        (page, name)
        for page, text in PAGES.items()
        for name in key.findall(text)
        if name.partition(".")[0].removesuffix("[]") in sections
        and name.replace("*", "NAME") not in KEYS
        and not name.endswith((".md", ".py", ".yml", ".yaml", ".jsonl", ".service", ".tsv"))
    }
    assert [(page, name) for page, name in sorted(wrong) if name not in NO_KEYS] == []


def test_a_variable_that_a_page_names_exists() -> None:
    """Names of accounts and routes are the reader's; each may end in _FILE."""
    known = {f"__{name[10:]}" for name in VARIABLES | OTHER_VARIABLES | DEPRECATED_VARIABLES | MISTAKES}
    named = {
        (page, re.sub(r"__(ACCOUNTS|ROUTES|REGIONS)__[A-Z_]+?__", r"__\1__NAME__", f"__{name[10:]}"))
        for page, text in PAGES.items()
        for name in re.findall(r"\bADS_PROXY_[A-Z0-9_]*[A-Z0-9]", text)
    }
    assert {(page, name) for page, name in named if not {name, name.removesuffix("_FILE")} & known} == set()


def configurations(page: str) -> list[dict[str, Any]]:
    """What a page shows of a configuration: whole sections, secrets of an account, or clients."""
    found = []
    for text in (part for block in blocks(page) for part in block.split("\n\n")):
        filled = re.sub(r'"?<[a-z ]+>"?', "1", re.sub(r'"(?:…|<hex>|0{64})"', DIGEST, text))
        try:
            shown = yaml.safe_load(re.sub(DIGEST, lambda found: f"'{found.start():064x}'", filled).replace("[...]", ""))
        except yaml.YAMLError:
            continue
        if isinstance(shown, list) and all(isinstance(entry, dict) and "name" in entry for entry in shown):
            shown = {"clients": [{**entry, "keys": [{"sha256": "a" * 64}]} for entry in shown]}
        if isinstance(shown, dict) and {*shown} <= {"client_secret", "refresh_token"}:
            shown = {"accounts": {"acme": {**ACCOUNT, **shown}}}
        if isinstance(shown, dict) and {*shown} <= TOP:
            found.append({"accounts": {"acme": ACCOUNT}, **shown})
    return found


def filled_in(value: Any, key: str = "") -> Any:
    """A block with a text for each file, variable and command that only the reader has."""
    if isinstance(value, dict):
        if {*value} in ({"file"}, {"env"}, {"command"}, {"command", "every"}) and key != "notify":
            return {"webhook": "https://example.com/hook", "url": "memory:"}.get(key, "0123456789abcdef" * 2)
        return {name: filled_in(entry, name) for name, entry in value.items()}
    return [filled_in(entry, key) for entry in value] if isinstance(value, list) else value


def test_a_configuration_that_a_page_shows_is_valid(tmp_path: Path) -> None:
    """With an account where it has none, for a user with a home."""
    wrong = {}
    issuer = Issuer(tmp_path)
    pair = str(issuer.issue("dns:proxy.internal"))
    files = {"cert": pair, "key": pair, "client_ca": str(issuer.file)}
    for page, text in PAGES.items():
        for shown in configurations(text):
            if "tls" in shown:
                shown["tls"] = {key: files.get(key, value) for key, value in shown["tls"].items()}
            (tmp_path / "proxy.yaml").write_text(yaml.safe_dump(filled_in(shown)), encoding="utf-8")
            try:
                load(tmp_path / "proxy.yaml", {"HOME": str(tmp_path)})
            except ConfigurationError as error:
                wrong[page] = error.problems
    assert wrong == {}


def test_configurations_are_found() -> None:
    """The test above would pass where nothing is found."""
    assert sum(len(configurations(text)) for text in PAGES.values()) >= 10
