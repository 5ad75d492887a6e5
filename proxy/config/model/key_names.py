"""How problems name keys: the model's own words unchanged, a chosen name only if it looks like one.

A secret can be pasted in a key's place too. So a misspelt key is part of a path where a known one is near, a name of an
account or a route where it is made of words and numbers. Of another unknown key that does not look like a name, only
the beginning is quoted. Pure.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping
from pathlib import PurePath

from pydantic import BaseModel

from proxy.config.model.expected import Place, ShownFile
from proxy.config.model.section import Holds, Path, keys_of, names_of
from proxy.config.model.sections import Config

RENAMED: Mapping[Path, str] = {("limits", "max_headers"): "max_header_fields"}
"""Keys of earlier versions, and what they are called now."""
UNSHOWN = "NAME"
"""Stands for a name that is not shown, as in docs/reference/configuration.md."""
_NAMED = (Holds.NAMED_SECTIONS, Holds.NAMED_VALUES)
_WORD = re.compile(r"[A-Za-z]{1,20}[0-9]{0,4}|[0-9]{1,6}")
_MAX_NAME, _MAX_BEGINNING = 32, 4
_NEAR, _MAX_DIFFERENCE = 0.75, 4


def did_you_mean(word: str, choices: Iterable[str]) -> str:
    """The nearest choice as the end of a sentence, or nothing. The word itself is not shown."""
    known = list(choices)
    close = difflib.get_close_matches(word[:_MAX_NAME], known, 1, 0.6)
    close = close or [choice for choice in known if word and choice.startswith(f"{word}_")]
    return f"; did you mean '{close[0]}'?" if close else ""


def shown_name(name: str) -> str:
    """A chosen name, if it looks like one: words with few digits, and no long ones."""
    words = re.split(r"[._-]+", name)
    fits = len(name) <= _MAX_NAME and all(_WORD.fullmatch(word) for word in words)
    return name if fits else UNSHOWN


def quoted_key(key: str) -> str:
    """An unknown key in quotes: as a whole if it looks like a name; else its beginning, as it may be a secret."""
    if shown_name(key) == key:
        return f"'{key}'"
    beginning = key[: min(_MAX_BEGINNING, len(key) // 3)]
    return f"'{''.join(letter if letter.isprintable() else '?' for letter in beginning)}…'"


def shown_file(path: PurePath) -> Place | ShownFile:
    """`the file PATH` if each part of the path looks like a name; a secret in a path's place is not shown."""
    parts = [part.strip(".") for part in path.parts[1 if path.anchor else 0 :]]
    fits = all(shown_name(part) == part for part in parts if part)
    return ShownFile(f"the file {path}") if fits else Place.FILE


def shown_names(names: Iterable[object]) -> str:
    """Names to choose from, as the end of a sentence."""
    return ", ".join(dict.fromkeys(shown_name(str(name)) for name in names)) or "none"


def shown_variable(name: str) -> str:
    """An environment variable's name, as `shown_name` between its double underscores."""
    return "__".join(map(shown_name, name.split("__")))


def shown_path(path: Path) -> str:
    """A path as problems show it: `clients[0].name`. It ends before a key that cannot be shown."""
    text = ""
    model: type[BaseModel] = Config
    is_name = False
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
            continue
        key = keys_of(model).get(part)
        if is_name:
            name, is_name = shown_name(part), False
        elif key is not None:
            name, model, is_name = part, key.section or _NoSection, key.holds in _NAMED
        elif part in names_of(model) or _is_misspelt(part, model):
            name, model = part, _NoSection
        else:
            return text
        text += f".{name}" if text else name
    return text


def known_keys(path: Path) -> tuple[str, ...]:
    """The keys that may stand under a path; none where it leads to no section, or to names."""
    model: type[BaseModel] = Config
    is_name = False
    for part in path:
        if is_name or isinstance(part, int):
            is_name = False
            continue
        key = keys_of(model).get(part)
        model = key.section or _NoSection if key is not None else _NoSection
        is_name = key is not None and key.holds is Holds.NAMED_SECTIONS
    return () if is_name else tuple(keys_of(model))


class _NoSection(BaseModel):
    """Where nothing is known."""


def _is_misspelt(key: str, model: type[BaseModel]) -> bool:
    """Whether a key is nearly one of the model's, or the beginning of one: then it holds nothing else."""
    for known in names_of(model):
        near = difflib.SequenceMatcher(None, key, known).ratio() >= _NEAR
        if known.startswith(f"{key}_") or (near and abs(len(key) - len(known)) <= _MAX_DIFFERENCE):
            return True
    return False
