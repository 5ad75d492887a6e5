"""What the model refused, as sentences: the path, what is wrong, what to do. Values of secrets are never in them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import BaseModel
from pydantic_core import ErrorDetails

from proxy.config.checks.rules import did_you_mean
from proxy.config.model.sections import Config
from proxy.config.model.structure import list_entry, mapping_entry, section_of
from proxy.config.model.values import kind, quoted
from proxy.config.reading.document import Path, dotted

_BOUNDS = {
    "greater_than": ("gt", "must be more than"),
    "greater_than_equal": ("ge", "must be at least"),
    "less_than": ("lt", "must be less than"),
    "less_than_equal": ("le", "must be at most"),
}


def sentences(
    errors: Sequence[ErrorDetails], lines: Mapping[Path, int], origins: Mapping[Path, str]
) -> tuple[str, ...]:
    """One sentence for each error, each path once, with the variable or the line that it comes from."""
    refused_keys = {error["loc"][:-1] for error in errors if error["loc"][-1:] == ("[key]",)}
    found: dict[str, None] = {}
    for error in errors:
        path, on_key = _path(error)
        if not on_key and any(path[: len(key)] == key for key in refused_keys):
            continue
        found[f"{dotted(path)}: {_say(error, path)}{_source(path, lines, origins)}"] = None
    return tuple(found)


def _path(error: ErrorDetails) -> tuple[Path, bool]:
    location = error["loc"]
    return (location[:-1], True) if location[-1:] == ("[key]",) else (location, False)


def _source(path: Path, lines: Mapping[Path, int], origins: Mapping[Path, str]) -> str:
    """Where the value was written; a missing key is told by the section that lacks it."""
    for length in range(len(path), 0, -1):
        if (origin := origins.get(path[:length])) is not None:
            return f" (from {origin})"
        if (line := lines.get(path[:length])) is not None:
            return f" (line {line})"
    return ""


def _say(error: ErrorDetails, path: Path) -> str:
    context: Mapping[str, Any] = error.get("ctx") or {}
    name = error["type"]
    if name == "value_error":
        return str(context["error"])
    if name == "extra_forbidden":
        return _unknown_key(path)
    if name == "missing":
        return "is missing"
    if name == "literal_error":
        choices = str(context["expected"]).replace("'", "").replace(" or ", ", ")
        return f"{quoted(error['input'])} is not one of {choices}"
    if name in _BOUNDS:
        key, words = _BOUNDS[name]
        return f"{float(error['input']):g} {words} {context[key]:g}".replace(" must", " is out of range; it must")
    if name in ("model_type", "dict_type", "model_attributes_type"):
        return f"must hold keys, not {kind(error['input'])}"
    if name == "too_short":
        return "is empty; name at least one"
    if name == "string_type":
        return f"must be a text, not {kind(error['input'])}"
    return error["msg"]


def _unknown_key(path: Path) -> str:
    model = _section_at(path[:-1])
    if model is None:
        return "unknown key"
    known = [key for key, info in model.model_fields.items() if not info.exclude]
    suggestion = did_you_mean(str(path[-1]), known)
    return f"unknown key{suggestion or '; there are: ' + ', '.join(known)}"


def _section_at(path: Path) -> type[BaseModel] | None:
    """The section whose keys stand under a path."""
    model: type[BaseModel] | None = Config
    rest = list(path)
    while rest and model is not None:
        info = model.model_fields.get(str(rest.pop(0)))
        if info is None:
            return None
        entry = mapping_entry(info.annotation) or list_entry(info.annotation)
        if entry is not None and rest:
            rest.pop(0)
            model = entry
        else:
            model = section_of(info.annotation)
    return model
