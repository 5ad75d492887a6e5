"""`load`: file, environment and secrets become one `Config`, or one error that names everything that is wrong.

The only place that looks at the process's environment is `environment`.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from proxy import errors
from proxy.config.account_files import AccountFileReader, MainFile, read_further_accounts
from proxy.config.checks.notes import broken_certificates
from proxy.config.checks.problems import explain_refusal, explain_twice
from proxy.config.checks.rules import broken_rules
from proxy.config.model.accounts import fill_in_redirects
from proxy.config.model.deprecations import rename_keys
from proxy.config.model.sections import AdminSection, AuditSection, Config
from proxy.config.model.values import Address, parse_address
from proxy.config.reading.document import Document, read_document
from proxy.config.reading.env_file import read_env_file
from proxy.config.reading.files import ReferenceReader
from proxy.config.reading.variables import CONFIG_VARIABLE, PREFIX, lay_over
from proxy.secret import Secret

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


def load(
    path: Path | None,
    environ: Mapping[str, str],
    *,
    running: Config | None = None,
    reader: AccountFileReader | None = None,
) -> Config:
    """Read everything; raise `ConfigurationError` with all problems at once.

    With `path` None, `ADS_PROXY_CONFIG` names the file; without either the environment alone speaks. With a `running`
    configuration a file of `accounts_from` that cannot be used is no error: its accounts stay as they are there. A
    `reader` that read these files before has those that did not change.
    """
    file = config_path(path, environ)
    file = None if file is None else file.absolute()
    document = _read_file(path, environ)
    _refuse_unread(document)
    environ = dict(environ)
    renaming = rename_keys(document.values, environ, PREFIX)
    overlay = lay_over(document.values, environ)
    _fill_in(overlay.values, environ, file)
    references = ReferenceReader(environ, file.parent if file else Path.cwd())
    main = MainFile(file, overlay.values, document.lines, references)
    further = read_further_accounts(main, running, reader or AccountFileReader())
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
    problems += broken_certificates(config) if config else ()
    if problems or config is None:
        raise errors.ConfigurationError(tuple(problems))
    sources = tuple(dict.fromkeys([*([file] if file else []), *references.files, *further.sources]))
    remarks = (*renaming.notes, *references.remarks, *further.notes)
    noted = {"sources": sources, "remarks": remarks, "account_files": dict(further.files), "refused": further.problems}
    return config.model_copy(update=noted)


def admin_address(path: Path | None, environ: Mapping[str, str]) -> Address:
    """Where the admin listener of a running program is, even where the rest of the configuration is broken by now.
    Raises `ConfigurationError` if it is no address, or may be in a file that cannot be read."""
    document = _read_file(path, environ)
    named = _present_values(document, environ).get("admin_listen")
    if not named:
        _refuse_unread(document)
    try:
        return parse_address(named or DEFAULT_ADMIN)
    except ValueError as error:
        raise errors.ConfigurationError((f"admin_listen: {error}",)) from None


def admin_key(path: Path | None, environ: Mapping[str, str]) -> Secret | None:
    """What opens the admin listener of a running program; None where there is no key, or none that can be read."""
    file = config_path(path, environ)
    admin = _present_values(_read_file(path, environ), environ).get("admin")
    key = admin.get("key") if isinstance(admin, dict) else None
    references = ReferenceReader(environ, file.absolute().parent if file else Path.cwd())
    try:
        return AdminSection.model_validate({"key": key}, context=references).key
    except ValidationError:
        return None


def admin_key_place(path: Path | None, environ: Mapping[str, str]) -> str:
    """Where people find the key of the admin listener: a file's path, or a variable or key of the configuration. Empty
    without a key."""
    file = config_path(path, environ)
    admin = _present_values(_read_file(path, environ), environ).get("admin")
    key = admin.get("key") if isinstance(admin, dict) else None
    match key:
        case None | "":
            return ""
        case {"file": str(named)}:
            return str((file.absolute().parent if file else Path.cwd()) / named)
        case {"env": str(name)}:
            return f"the variable {name}"
        case _:
            written = f"{PREFIX}ADMIN__KEY"
            return f"the variable {written}" if environ.get(written) else f"admin.key in {file}"


def audit_file(path: Path | None, environ: Mapping[str, str]) -> Path | None:
    """Where the audit stream of a running program is written; None where there is none, or no file can be told.
    Raises `ConfigurationError` if that may be in a file that cannot be read."""
    file, document = config_path(path, environ), _read_file(path, environ)
    audit = _present_values(document, environ).get("audit")
    named = audit.get("file") if isinstance(audit, dict) else None
    if not named:
        _refuse_unread(document)
    references = ReferenceReader(environ, file.absolute().parent if file else Path.cwd())
    try:
        return AuditSection.model_validate({"file": named}, context=references).file
    except ValidationError:
        return None


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
    file = config_path(path, environ)
    file = None if file is None else file.absolute()
    values = _present_values(_read_file(path, environ), environ)
    references = ReferenceReader(environ, file.parent if file else Path.cwd())
    main = MainFile(file, values, {}, references)
    values = read_further_accounts(main, None, AccountFileReader()).named_in(values)
    accounts, routes, clients, reports = (values.get(key) for key in ("accounts", "routes", "clients", "reports"))
    named = reports.get("named") if isinstance(reports, dict) else None
    return ConfiguredNames(
        tuple(map(str, accounts)) if isinstance(accounts, dict) else (),
        tuple(map(str, routes)) if isinstance(routes, dict) else (),
        tuple(str(each["name"]) for each in clients if isinstance(each, dict) and "name" in each)
        if isinstance(clients, list)
        else (),
        tuple(map(str, named)) if isinstance(named, dict) else (),
    )


def _read_file(path: Path | None, environ: Mapping[str, str]) -> Document:
    """The configuration file as it is now; an empty one if there is none."""
    file = config_path(path, environ)
    named_by = CONFIG_VARIABLE if path is None else "--config"
    return read_document(file.absolute(), named_by) if file is not None else Document({}, {})


def _refuse_unread(document: Document) -> None:
    """Raise `ConfigurationError` for a file of which nothing could be read."""
    if document.problems and not document.values:
        raise errors.ConfigurationError(document.problems)


def _present_values(document: Document, environ: Mapping[str, str]) -> dict[str, Any]:
    """What file and environment say, unchecked, under the present names."""
    environ = dict(environ)
    rename_keys(document.values, environ, PREFIX)
    return lay_over(document.values, environ).values


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
    located = ReferenceReader(environ, file.parent if file else Path.cwd()).locate(directory)
    return f"file:{os.path.normpath('/' + str(located).lstrip('/'))}"
