"""Every key as commented YAML: what it means above it, its default behind it. Made from the model, as the tables are.

Prose begins with `# ` and a word, a key and what is indented below it with `#` alone: whoever takes that away has the
key in force, at its default.
"""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from proxy.config.model.section import list_entry, mapping_entry, section_of
from proxy.config.model.sections import AMAZON_REGIONS, Config
from proxy.config.model.values import Address

WIDTH = 100
_INDENT = "  "
REQUIRED, LIMIT = "<required>", "<...>"
"""What has no default, and what limits where it is there at all. Neither is taken for a value."""


def commented_yaml(without: frozenset[str] = frozenset()) -> str:
    """The keys at the top and all below them, but for those `without`."""
    lines: list[str] = []
    for key, info in Config.model_fields.items():
        if not info.exclude and key not in without:
            lines += ["", *_key(key, info, 0)]
    return "\n".join(lines).lstrip("\n") + "\n"


def _key(key: str, info: FieldInfo, depth: int, limits: frozenset[str] = frozenset()) -> Iterator[str]:
    yield from _prose(info.description or "", depth)
    annotation = info.annotation
    entry, item, section = mapping_entry(annotation), list_entry(annotation), section_of(annotation)
    if key == "regions" and depth == 0:
        yield _line("regions:", depth)
        for name, addresses in AMAZON_REGIONS.items():
            yield _line(f"{name}:", depth + 1)
            yield from (_line(f"{kind}: {address}", depth + 2) for kind, address in addresses.items())
    elif entry is not None:
        yield _line(f"{key}:", depth)
        yield _line("NAME:", depth + 1)
        yield from _section(entry, depth + 2)
    elif item is not None:
        yield _line(f"{key}:", depth)
        yield from _begin_item([*_section(item, depth + 2)], depth)
    elif section is not None:
        yield _line(f"{key}:", depth)
        yield from _section(section, depth + 1)
    else:
        limiting = key in limits and info.default is None
        yield _line(f"{key}: {LIMIT if limiting else _value(key, info)}", depth)


def _section(model: type[BaseModel], depth: int) -> Iterator[str]:
    for key, info in model.model_fields.items():
        if not info.exclude:
            yield from _key(key, info, depth, getattr(model, "null_counts", frozenset()))


def _begin_item(lines: list[str], depth: int) -> Iterator[str]:
    """The first key of a list's entry has the dash."""
    first = next(place for place, line in enumerate(lines) if not line.lstrip("#").lstrip().startswith("#"))
    dashed = "#" + _INDENT * (depth + 1) + "- " + lines[first].lstrip("#").lstrip()
    yield from (*lines[:first], dashed, *lines[first + 1 :])


def _line(text: str, depth: int) -> str:
    return f"#{_INDENT * depth}{text}"


def _prose(text: str, depth: int) -> Iterator[str]:
    """Above a key, so that it is a comment with the key in force too."""
    before = f"#{_INDENT * depth}# " if depth else "# "
    return iter(textwrap.wrap(text, WIDTH, initial_indent=before, subsequent_indent=before, break_long_words=False))


def _value(key: str, info: FieldInfo) -> str:
    if info.is_required():
        return REQUIRED
    return "null" if (key, info.default) == ("url", "memory:") else _flow(info.default)  # it depends on the user


def _flow(value: Any) -> str:
    """A default as YAML on one line; a text in quotes only where YAML would take it for something else."""
    if isinstance(value, Address | Path):
        return str(value)
    if isinstance(value, tuple | list):
        return "[" + ", ".join(map(_flow, value)) + "]"
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    plain = isinstance(value, str) and value.replace("_", "").isalnum() and not value.isdigit()
    return str(value) if plain else json.dumps(value)
