"""Keys that are renamed or without effect, but still accepted: the table, and its use. Pure.

An entry keeps a working configuration working: its value moves to the new key before the checks. A note reports it at
the start, in `check` and in the console. The tables of docs/reference/configuration.md and the editors' schema show it.
With the version `until` it moves on to `key_names.RENAMED`, where the old name is an error.
"""

from __future__ import annotations

from dataclasses import field
from typing import Any

from proxy.value_classes import dataclass


def dotted(path: tuple[str, ...]) -> str:
    """A key's path as people write it: `limits.max_headers`."""
    return ".".join(path)


@dataclass(frozen=True, slots=True)
class Deprecation:
    """Which version deprecates a key, which refuses it, and its new path in the same section, empty for a key without
    effect. Where one value alone is still accepted, `only` is it, and `instead` is what to write for another one."""

    since: str
    until: str
    new: tuple[str, ...] = ()
    only: str = ""
    instead: str = ""

    def advice(self, new: str) -> str:
        """What to do, as the end of a sentence that names the old key; `new` is how the new name is written there."""
        instead = f"use {new}" if new else "it has no effect; remove it"
        instead += f"; any value but {self.only} is an error: {self.instead}" if self.only else ""
        return f"deprecated since {self.since}, and accepted until {self.until}: {instead}"


MORE_CORES = (
    "one program is one process now; for more cores run several replicas on one address with `reuse_port: true` and a "
    "shared `state.url` (docs/how-to/more-than-one-core.md)"
)
DEPRECATIONS: dict[tuple[str, ...], Deprecation] = {
    ("fast_path",): Deprecation("0.2", "1.0"),
    ("workers",): Deprecation("0.3", "1.0", only="1", instead=MORE_CORES),
}
"""Every key that is being renamed or removed, by its old path, at the top or in a section: `("limits", "old_name")`."""


@dataclass(slots=True)
class Renaming:
    """What became of old names. `moved` leads from the old path of a file's value to the new one."""

    moved: dict[tuple[str, ...], tuple[str, ...]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    def rename(self, place: dict[str, Any], old: str, named: str, entry: Deprecation, new: str) -> None:
        """Give a value its new name, or drop it. Both names at once are a problem: it is unclear which one counts. A
        value that is no longer accepted is a problem, too. Sentences begin with the old key as `named`; `new` is how
        the new one is written there."""
        value, told = place.pop(old), f"{named} is {entry.advice(new)}"
        key = new.rpartition(".")[2]
        if entry.only and value is not None and str(value).strip() != entry.only:
            self.problems.append(f"{named} can only be {entry.only}: {entry.instead}")
            return
        if key and place.get(key) is not None:
            self.problems.append(f"{told}, which is set too; remove this one")
            return
        if key:
            place[key] = value
        self.notes.append(f"{told}.")


def rename_keys(values: dict[str, Any], environ: dict[str, str], prefix: str) -> Renaming:
    """Rename the keys of a file and their variables, also `..._FILE`, in place."""
    renaming = Renaming()
    for old, entry in DEPRECATIONS.items():
        section: Any = values
        for name in old[:-1]:
            section = section.get(name) if isinstance(section, dict) else None
        if isinstance(section, dict) and old[-1] in section:
            renaming.moved[old] = entry.new
            renaming.rename(section, old[-1], f"{dotted(old)}:", entry, dotted(entry.new))
        for ending in ("", "_FILE"):
            name, new = (prefix + "__".join(path).upper() + ending if path else "" for path in (old, entry.new))
            if name in environ:
                renaming.rename(environ, name, name, entry, new)
    return renaming
