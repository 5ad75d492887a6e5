"""`load`: file, environment and secrets become one `Config`, or one error that names everything that is wrong.

The only place that looks at the process's environment is `environment`.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping
from dataclasses import field
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from proxy import errors
from proxy.config.account_files import AccountFileReader, MainFile, read_further_accounts
from proxy.config.checks.contents import broken_certificates, shared_admin_key
from proxy.config.checks.problems import explain_refusal, explain_twice
from proxy.config.checks.rules import broken_rules
from proxy.config.model.accounts import fill_in_redirects
from proxy.config.model.deprecations import rename_keys
from proxy.config.model.expected import WrongValue
from proxy.config.model.references import check_secret_text, read_secret_file
from proxy.config.model.sections import AdminSection, AuditSection, Config, InterceptSection, authority_in
from proxy.config.model.values import Address, parse_address
from proxy.config.reading.commands import CommandOutputs, joined
from proxy.config.reading.document import Document, read_document
from proxy.config.reading.env_file import read_env_file
from proxy.config.reading.files import ReferenceReader
from proxy.config.reading.variables import APPROVER_KEY_VARIABLE, CONFIG_VARIABLE, PREFIX, lay_over
from proxy.secret import Secret
from proxy.value_classes import dataclass

DEFAULT_ADMIN = Address("127.0.0.1", 8081)


def environment(env_file: Path | None = None) -> Mapping[str, str]:
    """The process's environment, as it is now, and a file of variables, which is read each time.

    An empty variable counts as unset, so the file's value replaces it.
    Raises `ConfigurationError` where the file is of no use.
    """
    from_file = read_env_file(env_file) if env_file is not None else {}
    return {**os.environ, **{name: value for name, value in from_file.items() if not os.environ.get(name)}}


def wants_colours(environ: Mapping[str, str]) -> bool:
    """Whether a terminal may be written to in colours: not where NO_COLOR holds anything (no-color.org)."""
    return not environ.get("NO_COLOR")


def config_path(option: Path | None, environ: Mapping[str, str]) -> Path | None:
    """The configuration file: the command line's, else the environment's, else none."""
    if option is not None:
        return option
    return Path(environ[CONFIG_VARIABLE]) if environ.get(CONFIG_VARIABLE) else None


@dataclass(frozen=True, slots=True)
class ReadingMemory:
    """What one reading knows of those before it: files of accounts that did not change, and what commands printed."""

    account_files: AccountFileReader = field(default_factory=AccountFileReader)
    commands: CommandOutputs = field(default_factory=CommandOutputs)

    def forget(self) -> None:
        """Read all files again the next time."""
        self.account_files.forget()


def load(
    path: Path | None,
    environ: Mapping[str, str],
    *,
    running: Config | None = None,
    memory: ReadingMemory | None = None,
) -> Config:
    """Read everything; raise `ConfigurationError` with all problems at once.

    With `path` None, `ADS_PROXY_CONFIG` names the file; without either the environment alone speaks. With a `running`
    configuration a file of `accounts_from` that cannot be used is no error: its accounts stay as they are there. A
    `memory` of earlier readings has the files that did not change, and the outputs of commands, which do not run then.
    """
    memory = memory or ReadingMemory()
    memory.commands.begin(environ)
    while True:
        try:
            config = _load(path, environ, running, memory)
        except errors.ConfigurationError:
            if not memory.commands.run_wanted():
                raise
        else:
            if not memory.commands.run_wanted():
                return config


def _load(path: Path | None, environ: Mapping[str, str], running: Config | None, memory: ReadingMemory) -> Config:
    """Read everything once, with what is known of commands by now."""
    file, document = _absolute_path(path, environ), _read_file(path, environ)
    _refuse_unread(document)
    environ = dict(environ)
    renaming = rename_keys(document.values, environ, PREFIX)
    overlay = lay_over(document.values, environ)
    _fill_in(overlay.values, environ, file)
    references = _references(file, environ, memory.commands)
    main = MainFile(file, overlay.values, document.lines, references)
    further = read_further_accounts(main, running, memory.account_files)
    values = further.added_to(overlay.values)
    lines = document.lines | {new: document.lines[old] for old, new in renaming.moved.items() if new}
    problems = [*document.problems, *explain_twice(document.twice), *renaming.problems, *overlay.problems]
    problems += further.problems if running is None else ()
    config: Config | None = None
    try:
        config = Config.model_validate(values, context=references)
    except ValidationError as error:
        problems += explain_refusal(error, lines, overlay.origins)
    broken = broken_rules(further.named_in(overlay.values))
    problems += (problem for problem in broken if not any(known.endswith(problem) for known in problems))
    problems += (*shared_admin_key(config), *broken_certificates(config)) if config else ()
    memory.commands.end(joined((references.commands_of(overlay.values), further.commands)), complete=not problems)
    if problems or config is None:
        raise errors.ConfigurationError(tuple(problems))
    sources = tuple(dict.fromkeys([*([file] if file else []), *references.files, *further.sources]))
    remarks = (*renaming.notes, *references.remarks, *further.notes)
    noted = {"sources": sources, "remarks": remarks, "account_files": dict(further.files), "refused": further.problems}
    return config.model_copy(update=noted)


def admin_address(path: Path | None, environ: Mapping[str, str]) -> Address:
    """Where the admin listener of a running program is, even where the rest of the configuration is broken by now.
    Raises `ConfigurationError` if it is no address, or may be in a file that cannot be read."""
    document, values, _ = _unchecked(path, environ)
    named = values.get("admin_listen")
    if not named:
        _refuse_unread(document)
    try:
        return parse_address(named or DEFAULT_ADMIN)
    except ValueError as error:
        raise errors.ConfigurationError((f"admin_listen: {error}",)) from None


def admin_key(path: Path | None, environ: Mapping[str, str]) -> Secret | None:
    """What opens the admin listener of a running program; None where there is no key, or none that can be read."""
    _, values, references = _unchecked(path, environ)
    references.commands.begin(environ)
    while True:
        try:
            return AdminSection.model_validate({"key": _member(values, "admin", "key")}, context=references).key
        except ValidationError:
            if not references.commands.run_wanted():
                return None


def admin_key_place(path: Path | None, environ: Mapping[str, str]) -> str:
    """Where people find the key of the admin listener: a file's path, or a variable or key of the configuration. Empty
    without a key."""
    _, values, references = _unchecked(path, environ)
    match _member(values, "admin", "key"):
        case None | "":
            return ""
        case {"file": str(named)}:
            return str(references.directory / named)
        case {"env": str(name)}:
            return f"the variable {name}"
        case _:
            written = f"{PREFIX}ADMIN__KEY"
            return f"the variable {written}" if environ.get(written) else f"admin.key in {config_path(path, environ)}"


def approver_key(environ: Mapping[str, str]) -> Secret | None:
    """The key of the approver who runs a command; None where no variable has it. Raises `ConfigurationError`."""
    file_variable = f"{APPROVER_KEY_VARIABLE}_FILE"
    text, file = environ.get(APPROVER_KEY_VARIABLE), environ.get(file_variable)
    if text and file:
        raise errors.ConfigurationError(
            (f"{file_variable}: is set as well as {APPROVER_KEY_VARIABLE}; unset one of the two",)
        )
    try:
        if file:
            return Secret(read_secret_file(_references(None, environ), file, binary=False, public=False))
        return Secret(check_secret_text(text)) if text else None
    except WrongValue as error:
        raise errors.ConfigurationError((f"{file_variable if file else APPROVER_KEY_VARIABLE}: {error}",)) from None


def audit_file(path: Path | None, environ: Mapping[str, str]) -> tuple[Path | None, bool]:
    """Where the audit stream of a running program is written, None where there is none, or no file can be told; and
    whether objects are recorded, as far as that can be told. Raises `ConfigurationError` if it may be in a file that
    cannot be read."""
    document, values, references = _unchecked(path, environ)
    named = _member(values, "audit", "file")
    if not named:
        _refuse_unread(document)
    for keys in (("file", "objects"), ("file",)):
        said = {key: value for key in keys if (value := _member(values, "audit", key)) is not None}
        with contextlib.suppress(ValidationError):
            section = AuditSection.model_validate(said, context=references)
            return section.file, section.objects
    return None, False


def authority_folder(path: Path | None, environ: Mapping[str, str]) -> Path:
    """Where the proxy's own authority is, even if the rest of the configuration is broken or elsewhere: the bundle of
    clients is made without accounts. Raises `ConfigurationError` where there is no directory for it."""
    document, values, references = _unchecked(path, environ)
    _refuse_unread(document)
    _fill_in(values, environ, _absolute_path(path, environ))
    try:
        section = InterceptSection.model_validate(
            {"ca_dir": _member(values, "intercept", "ca_dir")}, context=references
        )
    except ValidationError:
        raise errors.ConfigurationError(("intercept.ca_dir: must be the path of a directory",)) from None
    folder = section.ca_dir or authority_in(_member(values, "state", "url"))
    if folder is None:
        raise errors.ConfigurationError(
            ("intercept.ca_dir: is missing; name a directory that outlives restarts, for the proxy's authority",)
        )
    return folder


@dataclass(frozen=True, slots=True)
class ConfiguredNames:
    """The names in a configuration that may have other problems."""

    accounts: tuple[str, ...] = ()
    routes: tuple[str, ...] = ()
    clients: tuple[str, ...] = ()
    reports: tuple[str, ...] = ()


def configured_names(path: Path | None, environ: Mapping[str, str]) -> ConfiguredNames:
    """The names in file, environment and the files of `accounts_from`. Raises `ConfigurationError` if none can be
    read."""
    _, values, references = _unchecked(path, environ)
    main = MainFile(_absolute_path(path, environ), values, {}, references)
    values = read_further_accounts(main, None, AccountFileReader()).named_in(values)
    accounts, routes, clients = (values.get(key) for key in ("accounts", "routes", "clients"))
    named = _member(values, "reports", "named")
    entries = clients if isinstance(clients, list) else ()
    return ConfiguredNames(
        tuple(map(str, accounts)) if isinstance(accounts, dict) else (),
        tuple(map(str, routes)) if isinstance(routes, dict) else (),
        tuple(str(each["name"]) for each in entries if isinstance(each, dict) and "name" in each),
        tuple(map(str, named)) if isinstance(named, dict) else (),
    )


def _absolute_path(path: Path | None, environ: Mapping[str, str]) -> Path | None:
    file = config_path(path, environ)
    return None if file is None else file.absolute()


def _read_file(path: Path | None, environ: Mapping[str, str]) -> Document:
    """The configuration file as it is now; an empty one if there is none."""
    file = _absolute_path(path, environ)
    return Document({}, {}) if file is None else read_document(file, CONFIG_VARIABLE if path is None else "--config")


def _references(
    file: Path | None, environ: Mapping[str, str], commands: CommandOutputs | None = None
) -> ReferenceReader:
    return ReferenceReader(environ, file.parent if file else Path.cwd(), commands=commands or CommandOutputs())


def _refuse_unread(document: Document) -> None:
    """Raise `ConfigurationError` for a file of which nothing could be read."""
    if document.problems and not document.values:
        raise errors.ConfigurationError(document.problems)


def _unchecked(path: Path | None, environ: Mapping[str, str]) -> tuple[Document, dict[str, Any], ReferenceReader]:
    """The file, what it and the environment say under the present names, and the reader of what they refer to."""
    document, renamed = _read_file(path, environ), dict(environ)
    rename_keys(document.values, renamed, PREFIX)
    return document, lay_over(document.values, renamed).values, _references(_absolute_path(path, environ), environ)


def _member(values: Mapping[str, Any], section: str, key: str) -> Any:
    """What unchecked values say of a key of a section."""
    found = values.get(section)
    return found.get(key) if isinstance(found, dict) else None


def _fill_in(values: dict[str, Any], environ: Mapping[str, str], file: Path | None) -> None:
    """The defaults that depend on the user or on another key."""
    state = values.get("state")
    if state is None:
        state = values["state"] = {}
    if isinstance(state, dict):
        if state.get("url") is None:
            state["url"] = default_state_url(environ)
        state["url"] = _absolute_state(state["url"], environ, file)
    fill_in_redirects(values, values.get("admin_listen"))


def default_state_url(environ: Mapping[str, str]) -> str:
    """The user's state directory; in memory for a user without a home."""
    named, home = environ.get("XDG_STATE_HOME", ""), environ.get("HOME", "")
    if named.startswith("/"):
        return f"file:{named.rstrip('/')}/ads-proxy"
    return f"file:{home.rstrip('/')}/.local/state/ads-proxy" if home.startswith("/") and home != "/" else "memory:"


def default_spill_directory(environ: Mapping[str, str]) -> str:
    """Where copies of refresh tokens go by default; nothing is created here."""
    kept = default_state_url(environ)
    return f"{kept.removeprefix('file:')}-spill" if kept.startswith("file:") else "/var/lib/ads-proxy/spill"


def _absolute_state(url: Any, environ: Mapping[str, str], file: Path | None) -> Any:
    """`file:DIR` with a directory that starts where the configuration file is."""
    directory = url.removeprefix("file:") if isinstance(url, str) and url.startswith("file:") else ""
    if not directory.strip("/ "):
        return url
    located = _references(file, environ).locate(directory)
    return f"file:{os.path.normpath('/' + str(located).lstrip('/'))}"
