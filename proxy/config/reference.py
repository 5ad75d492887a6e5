"""What the model says of itself: the JSON schema for editors and the tables of docs/reference/configuration.md.

Both are made from `model`; nothing about a key is written twice.
"""

from __future__ import annotations

import itertools
import json
import re
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from proxy.config.model.deprecations import ANY, DEPRECATIONS, Deprecation
from proxy.config.model.section import list_entry, mapping_entry, section_of
from proxy.config.model.sections import Config
from proxy.config.model.values import NAME, Address
from proxy.config.reading.variables import PREFIX
from proxy.regions import AMAZON_REGIONS, REGION_NAMES

SCHEMA_ID = "https://json-schema.org/draft/2020-12/schema"
BEGIN, END = "<!-- options: made by `ads-proxy schema --tables` -->", "<!-- end of options -->"


@dataclass(frozen=True, slots=True)
class Option:
    """One key as the documentation shows it. `variable` is empty within lists."""

    section: str
    key: str
    variable: str
    default: str
    meaning: str


def json_schema(deprecations: tuple[Deprecation, ...] = DEPRECATIONS) -> dict[str, Any]:
    """The configuration file's schema; `yaml-language-server` and its like read it."""
    schema = Config.model_json_schema(mode="validation")
    definitions = schema["$defs"]
    definitions["Region"].pop("required", None)
    properties = schema["properties"]
    models: list[type[BaseModel]] = [Config, *_sections(Config)]
    for model in models:
        _add_bounds(schema if model is Config else definitions[model.__name__], model)
    for entry in deprecations:
        _, holder = _place(entry.old[:-1])
        described = schema if holder is Config else definitions[holder.__name__]
        described["properties"][entry.old[-1]] = {"deprecated": True, "description": f"{entry.advice.capitalize()}."}
    for key in ("listen", "admin_listen"):
        properties[key]["default"] = str(Config.model_fields[key].default)
    properties["regions"]["propertyNames"] = {"enum": list(REGION_NAMES)}
    for key in ("accounts", "routes"):
        properties[key]["propertyNames"] = {"pattern": f"^{NAME.pattern}$"}
    return {"$schema": SCHEMA_ID, **schema, "title": "ads-proxy", "description": "The configuration of ads-proxy."}


def _sections(model: type[BaseModel]) -> Iterator[type[BaseModel]]:
    for info in model.model_fields.values():
        for find in (mapping_entry, list_entry, section_of):
            if (section := find(info.annotation)) is not None:
                yield section
                yield from _sections(section)


def _place(path: tuple[str, ...]) -> tuple[str, type[BaseModel]]:
    """The section that a path leads to, by its name in the tables; `*` is each entry of a mapping or a list."""
    name = ""
    model: type[BaseModel] = Config
    for word in path:
        if word != ANY:
            annotation = model.model_fields[word].annotation
            item, entry = list_entry(annotation), mapping_entry(annotation)
            name = f"{name}.{word}".lstrip(".") + ("[]" if item else ".NAME" if entry else "")
            model = section_of(annotation) or item or entry or model
    return name, model


def _add_bounds(schema: dict[str, Any], model: type[BaseModel]) -> None:
    """What pydantic leaves out behind a check of our own."""
    for key, info in model.model_fields.items():
        for bound in info.metadata:
            for attribute, word in _BOUNDS.items():
                if (limit := getattr(bound, attribute, None)) is not None:
                    schema["properties"][key][word] = limit


def options(deprecations: tuple[Deprecation, ...] = DEPRECATIONS) -> Iterator[Option]:
    """Every key of the model, section by section; below those of a section the old names that are still taken."""
    for section, found in itertools.groupby(_options(Config, "", PREFIX), lambda option: option.section):
        yield from found
        for entry in deprecations:
            if _place(entry.old[:-1])[0] == section:
                yield Option(section, entry.old[-1], "", "none", f"{entry.advice.capitalize()}.")


def _options(model: type[BaseModel], section: str, prefix: str) -> Iterator[Option]:
    below: list[tuple[type[BaseModel], str, str]] = []
    for key, info in model.model_fields.items():
        if info.exclude:
            continue
        path, name = f"{section}.{key}" if section else key, prefix + key.upper() if prefix else ""
        entry, item, inner = mapping_entry(info.annotation), list_entry(info.annotation), section_of(info.annotation)
        if entry is not None:
            below.append((entry, f"{path}.NAME", f"{name}__NAME__"))
        elif item is not None:
            below.append((item, f"{path}[]", ""))
        elif inner is not None:
            below.append((inner, path, f"{name}__"))
            continue
        yield Option(section, key, name, _default(info, entry is not None or item is not None), info.description or "")
    for inner_model, path, inner_prefix in below:
        yield from _options(inner_model, path, inner_prefix)


def _default(info: FieldInfo, many: bool) -> str:
    if info.is_required():
        return "required"
    value = info.default
    if many:
        return "none"
    if value is None or value == ():
        return "none"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if isinstance(value, float) and value.is_integer():
        return f"`{int(value)}`"
    if isinstance(value, tuple):
        return ", ".join(f"`{item}`" for item in value)
    return f"`{value}`" if isinstance(value, Address | str | int | float | Path) else "none"


def tables(deprecations: tuple[Deprecation, ...] = DEPRECATIONS) -> str:
    """The options as Markdown, one table for each section."""
    lines: list[str] = []
    shown: str | None = None
    for option in options(deprecations):
        if option.section != shown:
            shown = option.section
            lines += ["", f"### {f'`{shown}`' if shown else 'Top level'}", ""]
            lines += ["| key | environment | default | meaning |", "|---|---|---|---|"]
        default = _REAL_DEFAULTS.get(f"{option.section}.{option.key}", option.default)
        variable = f"`{option.variable}`" if option.variable else "-"
        meaning = option.meaning.replace("|", "\\|")
        lines.append(f"| `{option.key}` | {variable} | {default} | {meaning} |")
    return "\n".join([BEGIN, *lines, "", END])


_BOUNDS = {"ge": "minimum", "gt": "exclusiveMinimum", "le": "maximum", "lt": "exclusiveMaximum"}
_REAL_DEFAULTS = {
    "state.url": "the user's state directory",
    "state.spill": "in the user's state directory",
    **{f"regions.NAME.{key}": "Amazon's" for key in ("api_url", "token_url", "auth_grant_url", "mcp_url")},
}


# --- Every key as commented YAML -------------------------------------------------------------------------

WIDTH = 100
EXAMPLE_MARK = "# --- Every other key, at its default: made by `make reference`, change the model instead ---\n"
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


def example(written: str) -> str:
    """The example with its generated part: every top-level key that is not written above it, commented out."""
    by_people, mark, _ = written.partition(EXAMPLE_MARK)
    shown = frozenset(re.findall(r"^#?([a-z_]+):", by_people, re.MULTILINE))
    return f"{by_people}{mark}\n{commented_yaml(shown)}"


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
