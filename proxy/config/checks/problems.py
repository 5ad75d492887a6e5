"""What the model refused, as sentences: the key, what is expected there, where it was written.

They are made of paths, of the model's own words and of `Expected`: pydantic is not asked for the values.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from proxy.config.model.expected import Expected, WrongValue
from proxy.config.model.key_names import (
    RENAMED,
    did_you_mean,
    known_keys,
    quoted_key,
    shown_path,
    shown_variable,
)
from proxy.config.model.section import Path
from proxy.config.reading.document import TwiceKey

_BOUNDS = {
    "greater_than": ("gt", "more than"),
    "greater_than_equal": ("ge", "at least"),
    "less_than": ("lt", "less than"),
    "less_than_equal": ("le", "at most"),
}


def explain_refusal(
    refusal: ValidationError, lines: Mapping[Path, int], origins: Mapping[Path, str]
) -> tuple[str, ...]:
    """One sentence for each error, each path once, with the variable or the line that it comes from."""
    errors = refusal.errors(include_url=False, include_input=False)
    refused_keys = {error["loc"][:-1] for error in errors if error["loc"][-1:] == ("[key]",)}
    found: dict[str, None] = {}
    for error in errors:
        is_key = error["loc"][-1:] == ("[key]",)
        path: Path = error["loc"][:-1] if is_key else error["loc"]
        if not is_key and any(path[: len(key)] == key for key in refused_keys):
            continue
        found[f"{_subject(path)}: {_expectation(error, path)}{_source(path, lines, origins)}"] = None
    return tuple(found)


def explain_twice(keys: Sequence[TwiceKey]) -> tuple[str, ...]:
    """A sentence for each key that a file holds twice."""
    return tuple(
        f"{_subject(key.path)}: {'is there' if _is_shown(key.path) else 'holds a key'} twice, "
        f"in lines {key.first} and {key.second}; keep one"
        for key in keys
    )


def _subject(path: Path) -> str:
    return ".".join(map(str, path)) if path in RENAMED else shown_path(path) or "the configuration"


def _is_shown(path: Path) -> bool:
    return shown_path(path) != shown_path(path[:-1])


def _source(path: Path, lines: Mapping[Path, int], origins: Mapping[Path, str]) -> str:
    """Where the value was written; a missing key is told by the section that lacks it."""
    for length in range(len(path), 0, -1):
        if (origin := origins.get(path[:length])) is not None:
            return f" (from {shown_variable(origin)})"
        if (line := lines.get(path[:length])) is not None:
            return f" (line {line})"
    return ""


def _expectation(error: ErrorDetails, path: Path) -> str:
    context: Mapping[str, Any] = error.get("ctx") or {}
    name = error["type"]
    if name == "value_error" and isinstance(wrong := context.get("error"), WrongValue):
        known = known_keys(path) if wrong.expected is Expected.KEYS else ()
        return f"{wrong}; there are: {', '.join(known)}" if known else str(wrong)
    if name == "extra_forbidden":
        return _unknown_key(path)
    if name == "missing":
        return "is missing; add it"
    if name == "literal_error":
        return f"is not one of {str(context['expected']).replace(chr(39), '').replace(' or ', ', ')}"
    if name in _BOUNDS:
        key, words = _BOUNDS[name]
        return f"is out of range; it must be {words} {context[key]:g}"
    return "is empty; name at least one" if name == "too_short" else "cannot be used here"


def _unknown_key(path: Path) -> str:
    if path in RENAMED:
        return f"is now called '{RENAMED[path]}'; rename it"
    known = known_keys(path[:-1])
    suggestion = did_you_mean(str(path[-1]), known) or (f"; there are: {', '.join(known)}" if known else "")
    if _is_shown(path):
        return f"unknown key{suggestion}"
    return f"holds an unknown key, {quoted_key(str(path[-1]))}{suggestion}"
