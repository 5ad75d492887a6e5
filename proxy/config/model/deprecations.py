"""Keys that are renamed or without effect, but still accepted: the table, and its use. Pure.

An entry keeps a working configuration working: its value moves to the new key before the checks. A note reports it at
the start, in `check` and in the console. The tables of docs/reference/configuration.md and the editors' schema show it.
With the version `until` it moves on to `key_names.RENAMED`, where the old name is an error.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from proxy.config.model.section import Path

ANY = "*"
"""In a path: each name of a mapping, or each entry of a list. Old and new path have equally many."""


@dataclass(frozen=True, slots=True)
class Deprecation:
    """A key, its present name, the version that deprecates it, and the version that refuses the old name.

    `new` is empty for a key that has no effect any more.
    """

    old: tuple[str, ...]
    new: tuple[str, ...]
    since: str
    until: str

    @property
    def advice(self) -> str:
        """What to do, as the end of a sentence that names the old key."""
        instead = f"use {'.'.join(self.new)}" if self.new else "it has no effect; remove it"
        return f"deprecated since {self.since}, and accepted until {self.until}: {instead}"


DEPRECATIONS: tuple[Deprecation, ...] = (Deprecation(("fast_path",), (), since="0.2", until="1.0"),)
"""Every key that is being renamed or removed."""


@dataclass(slots=True)
class Renaming:
    """Values under their present names. `moved` leads from each old path to its new one."""

    values: dict[str, Any]
    moved: dict[Path, Path] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


def rename_keys(values: Mapping[str, Any], table: tuple[Deprecation, ...]) -> Renaming:
    """A file's values. A key under both names is a problem: it is unclear which one counts."""
    renaming = Renaming(copy.deepcopy(dict(values)) if table else dict(values))
    for entry in table:
        for old, new in [*_places(renaming.values, entry)]:
            told = f"{_dotted(old)}: is {entry.advice}"
            if not entry.new:
                _found(renaming.values, old[:-1]).pop(str(old[-1]))
                renaming.notes.append(f"{told}.")
                continue
            if _found(renaming.values, new[:-1]).get(str(new[-1])) is not None:
                renaming.problems.append(f"{told}, which is set too; remove this one")
                continue
            _put(renaming.values, new, _found(renaming.values, old[:-1]).pop(str(old[-1])))
            renaming.moved[old] = new
            renaming.notes.append(f"{told}.")
    return renaming


def rename_variables(
    environ: Mapping[str, str], prefix: str, table: tuple[Deprecation, ...]
) -> tuple[dict[str, str], list[str], list[str]]:
    """The environment under its present names, the notes, and the problems. `..._FILE` follows its variable."""
    renamed, notes, problems = dict(environ), [], []
    for entry in table:
        pattern = re.compile(prefix + _variable(entry.old).replace(re.escape(ANY), "(.+?)") + "(_FILE)?")
        for name in sorted(environ):
            if (match := pattern.fullmatch(name)) is None:
                continue
            names = iter(match.groups())
            new = prefix + "__".join(next(names) if part == ANY else part.upper() for part in entry.new)
            new += match.groups()[-1] or ""
            if not entry.new:
                del renamed[name]
                notes.append(f"{name} is {entry.advice}.")
                continue
            told = f"{name} is deprecated since {entry.since}, and accepted until {entry.until}: use {new}"
            if new in environ:
                problems.append(f"{told}, which is set too; unset this one")
                continue
            renamed[new] = renamed.pop(name)
            notes.append(f"{told}.")
    return renamed, notes, problems


def _variable(path: tuple[str, ...]) -> str:
    return re.escape("__".join(part if part == ANY else part.upper() for part in path))


def _dotted(path: Path) -> str:
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path).lstrip(".")


def _places(values: Mapping[str, Any], entry: Deprecation) -> Iterator[tuple[Path, Path]]:
    """Where the old key stands, and where its value belongs."""
    for old in _matches(values, entry.old):
        chosen = iter([part for part, word in zip(old, entry.old, strict=True) if word == ANY])
        yield old, tuple(next(chosen) if word == ANY else word for word in entry.new)


def _matches(value: Any, words: tuple[str, ...]) -> Iterator[Path]:
    if not words:
        yield ()
        return
    entries: Mapping[Any, Any] = value if isinstance(value, Mapping) else {}
    if words[0] == ANY:
        entries = dict(enumerate(value)) if isinstance(value, list | tuple) else entries
    for key in entries if words[0] == ANY else [key for key in entries if key == words[0]]:
        for rest in _matches(entries[key], words[1:]):
            yield (key, *rest)


def _found(values: Any, path: Path) -> dict[str, Any]:
    """The mapping at a path; an empty one, that is no part of the values, where there is none."""
    for part in path:
        values = values[part] if isinstance(part, int) else values.get(part) if isinstance(values, Mapping) else None
    return values if isinstance(values, dict) else {}


def _put(values: dict[str, Any], path: Path, value: Any) -> None:
    """Write a value, with the sections above it."""
    place: Any = values
    for part in path[:-1]:
        if not isinstance(part, int) and not isinstance(place.get(part), dict | list):
            place[part] = {}
        place = place[part]
    place[path[-1]] = value
