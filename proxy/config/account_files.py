"""Accounts in files of their own: which files `accounts_from` names, what each holds, and which of them can be used.

A file is used as a whole or not at all. What a program does with one that cannot be used is decided in `loading`.
"""

from __future__ import annotations

import glob
import os
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import field, replace
from pathlib import Path, PurePath
from typing import Any

from pydantic import ValidationError

from proxy.config.checks.problems import explain_refusal, explain_twice
from proxy.config.checks.rules import broken_names
from proxy.config.model.accounts import Account, fill_in_redirects
from proxy.config.model.expected import Expected, WrongValue
from proxy.config.model.key_names import shown_file
from proxy.config.model.kinds import Named
from proxy.config.model.secret_command import SecretCommand
from proxy.config.model.section import Path as Place
from proxy.config.model.section import Section
from proxy.config.model.sections import Config
from proxy.config.model.values import parse_file_pattern, parse_list
from proxy.config.reading.commands import CommandUse, joined
from proxy.config.reading.document import MAX_BYTES, parse_document
from proxy.config.reading.files import ReferenceReader, Stamp, is_folder, is_settled, stamps_of
from proxy.value_classes import dataclass

_ONLY = "only 'accounts:' is accepted here; move the rest to the main file"


class _Accounts(Section):
    """All that such a file may hold."""

    accounts: Named[Account] = {}


@dataclass(frozen=True, slots=True)
class AccountFile:
    """One file: its accounts, the line of each, or what is wrong with it. `sources` are the files that were read for
    it, each with its stamp from before; a file that could not be opened has none. `commands` are those that it
    names."""

    path: Path
    accounts: Mapping[str, Account] = field(default_factory=dict)
    lines: Mapping[str, int] = field(default_factory=dict)
    problems: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    sources: Mapping[Path, Stamp | None] = field(default_factory=dict)
    commands: Mapping[SecretCommand, CommandUse] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class MainFile:
    """What is known of the configuration before its other files are read: `values` with the environment's laid over,
    and the `lines` of those that the file itself has. `path` is None where there is no file."""

    path: Path | None
    values: Mapping[str, Any]
    lines: Mapping[Place, int]
    references: ReferenceReader

    def names(self) -> Collection[str]:
        """The names of its accounts."""
        accounts = self.values.get("accounts")
        return accounts.keys() if isinstance(accounts, Mapping) else ()

    def place_of(self, account: str) -> str:
        line = self.lines.get(("accounts", account))
        return "the environment" if line is None else f"{self.path} (line {line})"


@dataclass(frozen=True, slots=True)
class FurtherAccounts:
    """What all the files of `accounts_from` hold. `files` has the names of each file's accounts; where it cannot be
    used, of its last good ones, and then `problems` say why. `sources` are all files and folders to be watched.
    `commands` are those that the files name."""

    accounts: Mapping[str, Account] = field(default_factory=dict)
    files: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    names: tuple[str, ...] = ()
    """All names in the file, usable or not."""
    problems: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    sources: tuple[Path, ...] = ()
    commands: Mapping[SecretCommand, CommandUse] = field(default_factory=dict)

    def added_to(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """The values of a configuration with these accounts among its own."""
        return _with_accounts(values, self.accounts)

    def named_in(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """The values of a configuration for rules about names: they include accounts whose files have other
        problems."""
        return _with_accounts(values, {**dict.fromkeys(self.names), **self.accounts})


def _with_accounts(values: Mapping[str, Any], accounts: Mapping[str, Any]) -> dict[str, Any]:
    own = values.get("accounts") or {}
    return {**values, "accounts": {**accounts, **own}} if accounts and isinstance(own, Mapping) else dict(values)


@dataclass(frozen=True, slots=True)
class Surroundings:
    """Everything but files that decides what a file of accounts means."""

    environ: Mapping[str, str] = field(repr=False)
    admin_listen: Any
    routes: Any

    @classmethod
    def of(cls, main: MainFile) -> Surroundings:
        return cls(main.references.environ, main.values.get("admin_listen"), main.values.get("routes"))


class AccountFileReader:
    """Reads files of accounts: again only what may mean something else now. A file that has a problem, or that changed
    a moment ago, is read each time."""

    def __init__(self, wall: Callable[[], float] = time.time) -> None:
        self._wall = wall
        self._known: dict[Path, tuple[Surroundings, AccountFile]] = {}

    def __repr__(self) -> str:
        return f"<AccountFileReader: {len(self._known)} files known>"

    def forget(self) -> None:
        """Read all files the next time: some systems change a file without another stamp."""
        self._known.clear()

    def read(self, paths: Iterable[Path], main: MainFile) -> list[AccountFile]:
        """What each of these files holds, and forget all others."""
        around, now = Surroundings.of(main), self._wall()
        files = [self._newest(path, main, around) for path in paths]
        self._known = {
            file.path: (around, file)
            for file in files
            if not file.problems
            and all(stamp is not None and is_settled(stamp, now) for stamp in file.sources.values())
        }
        return files

    def _newest(self, path: Path, main: MainFile, around: Surroundings) -> AccountFile:
        known = self._known.get(path)
        outputs = main.references.commands
        if (
            known is not None
            and known[0] == around
            and stamps_of(known[1].sources) == known[1].sources
            and all(outputs.output(command) == use.output for command, use in known[1].commands.items())
        ):
            return known[1]
        return read_file(path, main)


def read_further_accounts(main: MainFile, running: Config | None, reader: AccountFileReader) -> FurtherAccounts:
    """Read the files of `accounts_from`. One that cannot be used keeps the accounts that it has in the `running`
    configuration, unless another file has them now."""
    files, folders = find_files(main.values.get("accounts_from"), main.references, main.path)
    before = running.account_files if running is not None else {}
    owners = {name: path for path, names in before.items() for name in names}
    read = without_doubles(reader.read(files, main), main, owners)
    accounts = {name: account for file in read for name, account in file.accounts.items()}
    names = {str(file.path): tuple(file.accounts) for file in read}
    for file in (file for file in read if file.problems and running is not None):
        kept = [name for name in before.get(str(file.path), ()) if name not in accounts and name not in main.names()]
        names[str(file.path)] = tuple(kept)
        accounts |= {name: running.accounts[name] for name in kept if running is not None}
    return FurtherAccounts(
        accounts,
        names,
        tuple(name for file in read if running is None for name in file.lines),
        tuple(problem for file in read for problem in file.problems),
        tuple(note for file in read for note in file.notes),
        (*folders, *(source for file in read for source in file.sources)),
        joined(file.commands for file in read),
    )


def find_files(patterns: Any, references: ReferenceReader, main: Path | None) -> tuple[list[Path], list[Path]]:
    """The files that the patterns name, without the main one, and the folders in which further ones may appear.

    A pattern that cannot be used finds nothing: the model complains of it.
    """
    files: dict[Path, None] = {}
    folders: dict[Path, None] = {}
    for pattern in _patterns(patterns):
        base, name = _place(pattern, references)
        if glob.has_magic(name):
            found = (base / each for each in sorted(glob.glob(name, root_dir=base)))  # noqa: PTH207 - not hidden files
            files.update(dict.fromkeys(_normal(file) for file in found if not is_folder(file)))
            folders.update(dict.fromkeys(_folders(base, name)))
        else:
            files[_normal(base / name)] = None
    return [file for file in files if file != main], [*folders]


def _patterns(values: Any) -> Iterator[str]:
    try:
        for value in parse_list(values):
            yield parse_file_pattern(value)
    except WrongValue:
        return


def _place(pattern: str, references: ReferenceReader) -> tuple[Path, str]:
    """Where a pattern starts, as `locate` has it, and the rest of it."""
    if pattern.startswith("~/"):
        return references.locate("~/"), pattern.removeprefix("~/")
    return (Path("/"), pattern.lstrip("/")) if pattern.startswith("/") else (references.directory, pattern)


def _normal(path: Path) -> Path:
    return Path(os.path.normpath(path))


def _folders(base: Path, pattern: str) -> Iterator[Path]:
    """Every folder in which a part of the pattern is looked for, the first one even where it does not exist yet."""
    parts = PurePath(pattern).parts
    first = next(position for position, part in enumerate(parts) if glob.has_magic(part))
    yield _normal(base.joinpath(*parts[:first]))
    for end in range(first + 1, len(parts)):
        found = glob.glob(f"{PurePath(*parts[:end])}/", root_dir=base)  # noqa: PTH207 - not hidden folders
        yield from (_normal(base / each) for each in found)


def read_file(path: Path, main: MainFile) -> AccountFile:
    """What a file holds, by itself."""
    references = ReferenceReader(main.references.environ, path.parent, commands=main.references.commands)
    try:
        document = parse_document(references.read_file(path, MAX_BYTES, secret=False), str(path))
    except WrongValue as error:
        missing = f"accounts_from: {shown_file(path)} does not exist; create it, or correct its name"
        is_missing = error.expected is Expected.FILE_MISSING and not os.path.lexists(path)
        problem = missing if is_missing else f"{path}: the file of accounts {error.expected}"
        return AccountFile(path, problems=(problem,), sources=references.files)
    fill_in_redirects(document.values, main.values.get("admin_listen"))
    problems = [*explain_twice(document.twice)]
    problems += [f"{_ONLY} (line {document.lines[(key,)]})" for key in document.values if key != "accounts"]
    accounts: Mapping[str, Account] = {}
    try:
        named = {key: value for key, value in document.values.items() if key == "accounts"}
        accounts = _Accounts.model_validate(named, context=references).accounts
    except ValidationError as error:
        problems += explain_refusal(error, document.lines, {})
    problems += broken_names({"accounts": document.values.get("accounts"), "routes": main.values.get("routes")})
    told = (*document.problems, *(f"{path}: {problem}" for problem in problems))
    return AccountFile(
        path,
        {} if told else accounts,
        {str(key[1]): line for key, line in document.lines.items() if len(key) == 2 and key[0] == "accounts"},
        told,
        tuple(references.remarks),
        references.files,
        references.commands_of(document.values),
    )


def without_doubles(files: list[AccountFile], main: MainFile, owners: Mapping[str, str]) -> list[AccountFile]:
    """The files, of which those have a problem that hold an account of the main file or of another one.

    `owners` says which file an account in force is from: that one keeps it, else the first one has it.
    """
    holders: dict[str, list[AccountFile]] = {}
    for file in files:
        for name in file.accounts:
            holders.setdefault(name, []).append(file)
    problems: dict[Path, list[str]] = {}
    in_main_file = main.names()
    for name, having in holders.items():
        in_main = name in in_main_file
        if len(having) == 1 and not in_main:
            continue
        keeper = next((file for file in having if str(file.path) == owners.get(name)), having[0])
        for file in having:
            if in_main or file is not keeper:
                other = main.place_of(name) if in_main else f"{keeper.path} (line {keeper.lines[name]})"
                where = f"{file.path}: accounts.{name}"
                problems.setdefault(file.path, []).append(
                    f"{where}: is in {other}, too; keep one of the two (line {file.lines[name]})"
                )
    return [
        replace(file, accounts={}, problems=(*file.problems, *problems[file.path])) if file.path in problems else file
        for file in files
    ]
