"""Which environment variable sets which key, and what the environment adds to the file's values.

Every YAML key has its variable: `ADS_PROXY_`, its path in capitals, `__` between levels. A secret's variable ending
in `_FILE` names a file. `AMAZON_ADS_*` make the account `default`. Nothing is checked here but names.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Mapping
from dataclasses import field
from pathlib import Path as FilePath
from typing import Any

from pydantic import BaseModel

from proxy.config.model.expected import WrongValue
from proxy.config.model.key_names import RENAMED, shown_variable
from proxy.config.model.section import Holds, Key, Path, holds_secret, keys_of
from proxy.config.model.sections import Config
from proxy.config.reading.document import parse_value
from proxy.regions import REGION_NAMES
from proxy.secret import Secret
from proxy.value_classes import dataclass

PREFIX = "ADS_PROXY_"
CONFIG_VARIABLE = "ADS_PROXY_CONFIG"
APPROVER_KEY_VARIABLE = "ADS_PROXY_APPROVER_KEY"
"""What approvers show; only commands read it, and the same with `_FILE`."""
NO_KEYS = frozenset({CONFIG_VARIABLE, APPROVER_KEY_VARIABLE, f"{APPROVER_KEY_VARIABLE}_FILE"})
"""Variables of the program that set no key."""
DEFAULT_ACCOUNT = "default"
ACCOUNT_VARIABLES: Mapping[str, str] = {
    "AMAZON_ADS_CLIENT_ID": "client_id",
    "AMAZON_ADS_CLIENT_SECRET": "client_secret",
    "AMAZON_ADS_REFRESH_TOKEN": "refresh_token",
    "AMAZON_ADS_REGION": "region",
    "AMAZON_ADS_PROFILE_ID": "default_profile",
}
_ORCHESTRATOR = re.compile(r".*_SERVICE_(HOST|PORT(_\w+)?)|(.*_)?PORT(_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)?")
"""What Kubernetes and container links put into the environment for a service that is called ads-proxy."""
_ORCHESTRATOR_OWN = re.compile(r"SERVICE_(HOST|PORT(_\w+)?)")


@dataclass(slots=True)
class Overlay:
    """The file's values with the environment's laid over, and which variable set which path."""

    values: dict[str, Any]
    origins: dict[Path, str] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)


def lay_over(values: Mapping[str, Any], environ: Mapping[str, str]) -> Overlay:
    """The environment beats the file. An empty variable counts as unset: files of variables list them that way."""
    environ = {name: value for name, value in environ.items() if value}
    overlay = Overlay(_copy(values))
    for name in sorted(environ):
        if name.startswith(PREFIX) and name not in NO_KEYS:
            _apply(overlay, name, environ)
    _add_account(overlay, environ)
    return overlay


def _copy(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _copy(item) for key, item in value.items()}
    return value


def variables_of(keys: tuple[str, ...], environ: Mapping[str, str]) -> tuple[str, ...]:
    """The variables that set a key, a part of it, or a section around it."""
    wanted = [key.upper() for key in keys]
    found = []
    for name in sorted(name for name, value in environ.items() if value and name.startswith(PREFIX)):
        words = name.removeprefix(PREFIX).upper().split("__")
        if all(word == key for word, key in zip(words, wanted, strict=False)):
            found.append(name)
    return tuple(found)


# --- ADS_PROXY_* --------------------------------------------------------------------------------------------


def _apply(overlay: Overlay, name: str, environ: Mapping[str, str]) -> None:
    words = name.removeprefix(PREFIX).split("__")
    found = _resolve(words, Config, overlay.values)
    from_file = False
    if found is None and name.endswith("_FILE"):
        found = _resolve([*words[:-1], words[-1].removesuffix("_FILE")], Config, overlay.values)
        from_file = found is not None and holds_secret(found[1].info.annotation)
        found = found if from_file else None
    if found is None:
        if not _is_foreign(name.removeprefix(PREFIX), environ[name]):
            advice = _suggest(name, known_variables())
            overlay.problems.append(f"{shown_variable(name)}: unknown variable{advice}")
        return
    path, key = found
    if from_file and name.removesuffix("_FILE") in environ:
        shown = shown_variable(name)
        overlay.problems.append(f"{shown}: is set as well as {shown.removesuffix('_FILE')}; unset one of the two")
        return
    try:
        value = {"file": _absolute(environ[name])} if from_file else _interpret(environ[name], path, key)
    except WrongValue as error:
        overlay.problems.append(f"{shown_variable(name)}: {error}")
        return
    _put(overlay, path, value, name)


def _is_foreign(rest: str, value: str) -> bool:
    if _ORCHESTRATOR_OWN.fullmatch(rest):
        return True
    return _ORCHESTRATOR.fullmatch(rest) is not None and (rest != "PORT" or "://" in value)


def _put(overlay: Overlay, path: Path, value: Any, name: str) -> None:
    place = overlay.values
    for key in path[:-1]:
        if not isinstance(place.get(str(key)), dict):
            place[str(key)] = {}
        place = place[str(key)]
    place[str(path[-1])] = value
    overlay.origins[path] = name


def _resolve(words: list[str], model: type[BaseModel], values: Any) -> tuple[Path, Key] | None:
    """The path that a variable's words name, and the key of its value."""
    name, rest = words[0].lower(), words[1:]
    key = keys_of(model).get(name)
    if key is None or not rest:
        return None if key is None else ((name,), key)
    path: Path = (name,)
    inner = _below(values, name)
    if key.holds is Holds.NAMED_SECTIONS and rest[0]:
        entry, rest = _entry_name(rest[0], inner, path), rest[1:]
        path, inner = (*path, entry), _below(inner, entry)
        if not rest:
            return path, key
    elif key.holds is not Holds.SECTION:
        return None
    assert key.section is not None
    found = _resolve(rest, key.section, inner)
    return None if found is None else ((*path, *found[0]), found[1])


def _below(values: Any, key: str) -> Any:
    return values.get(key) if isinstance(values, Mapping) else None


def _entry_name(word: str, values: Any, path: Path) -> str:
    """An account's or route's name: that of the file that reads so in capitals, else the word in small letters."""
    for name in values if isinstance(values, Mapping) else REGION_NAMES if path == ("regions",) else ():
        if re.sub(r"[^A-Z0-9]", "_", str(name).upper()) == word.upper():
            return str(name)
    return word.lower()


_SPILL: Path = ("state", "spill")
PATHS: frozenset[Path] = frozenset(
    {
        *(("tls", "cert"), ("tls", "key"), ("upstream", "ca_file"), ("audit", "file")),
        *(("reports", "keep", "dir"), ("intercept", "ca_dir"), _SPILL),
    }
)
"""Files and directories: those of the environment start where the program was started."""


def _interpret(text: str, path: Path, key: Key) -> Any:
    """A variable's text as YAML would have given it: sections and lists of sections are YAML or JSON."""
    if path in PATHS:
        return text if (path, text) == (_SPILL, "off") else _absolute(text)
    if path == ("state", "url") and text.startswith("file:") and text != "file:":
        return "file:" + _absolute(text.removeprefix("file:"))
    return parse_value(text) if key.is_structured else text


def _absolute(name: str) -> str:
    """A file of the environment's starts where the program was started; `~/` is left to the reader."""
    return name if not name or name.startswith("~/") else str(FilePath(name).absolute())


def known_variables() -> tuple[str, ...]:
    """Every variable of a fixed name."""
    of_account = (*ACCOUNT_VARIABLES, *(f"{name}_FILE" for name in ACCOUNT_VARIABLES))
    return (CONFIG_VARIABLE, *sorted(_walk(Config, PREFIX)), *of_account)


def _walk(model: type[BaseModel], prefix: str) -> Iterator[str]:
    for key in keys_of(model).values():
        name = prefix + key.name.upper()
        if key.holds is Holds.SECTION and key.section is not None:
            yield from _walk(key.section, name + "__")
            continue
        yield name
        if holds_secret(key.info.annotation):
            yield name + "_FILE"


def _suggest(name: str, known: tuple[str, ...]) -> str:
    path = tuple(name.removeprefix(PREFIX).lower().split("__"))
    if path in RENAMED:
        return f"; it is now called {PREFIX}{'__'.join((*path[:-1], RENAMED[path])).upper()}"
    close = difflib.get_close_matches(name, known, 1, 0.75)
    if close:
        return f"; did you mean {close[0]}?"
    return "; unset it, or look it up in docs/reference/configuration.md"


# --- AMAZON_ADS_* -------------------------------------------------------------------------------------------


def _add_account(overlay: Overlay, environ: Mapping[str, str]) -> None:
    """The account `default`, where the environment describes one."""
    present = [name for name in ACCOUNT_VARIABLES if name in environ or f"{name}_FILE" in environ]
    overlay.problems += _near_misses(environ)
    section = next((key for key in ("accounts", "accounts_from") if overlay.values.get(key)), "")
    if section:
        if present:
            names = ", ".join(present)
            overlay.problems.append(
                f"{names}: describe the account 'default', but there is an '{section}:' section; "
                "unset them, or remove the section"
            )
        return
    if not present:
        return
    account: dict[str, Any] = {}
    for name, key in ACCOUNT_VARIABLES.items():
        if (value := _account_value(overlay, environ, name, key)) is not None:
            account[key] = value
    for name in ("AMAZON_ADS_CLIENT_ID", "AMAZON_ADS_CLIENT_SECRET"):
        if name not in environ and f"{name}_FILE" not in environ:
            overlay.problems.append(f"{name}: is not set, but {present[0]} is; set it, or {name}_FILE")
            account.setdefault(ACCOUNT_VARIABLES[name], Secret("-") if name.endswith("SECRET") else "-")
    overlay.values["accounts"] = {DEFAULT_ACCOUNT: account}


def _account_value(overlay: Overlay, environ: Mapping[str, str], name: str, key: str) -> Any:
    file_name = f"{name}_FILE"
    path: Path = ("accounts", DEFAULT_ACCOUNT, key)
    if name in environ and file_name in environ:
        overlay.problems.append(f"{file_name}: is set as well as {name}; unset one of the two")
        return environ[name]
    if file_name in environ:
        overlay.origins[path] = file_name
        return {"file": _absolute(environ[file_name])}
    if name not in environ:
        return None
    overlay.origins[path] = name
    return environ[name]


def _near_misses(environ: Mapping[str, str]) -> list[str]:
    """Misspelt names. Other programs have AMAZON_ADS_ variables too, so only what is nearly ours counts."""
    known = (*ACCOUNT_VARIABLES, *(f"{name}_FILE" for name in ACCOUNT_VARIABLES))
    return [
        f"{name}: unknown variable; did you mean {close[0]}?"
        for name in sorted(environ)
        if name.startswith(("AMAZON_ADS_", "AMAZON_AD_")) and name not in known
        if (close := difflib.get_close_matches(name, known, 1, 0.92)) and close[0] not in environ
    ]
