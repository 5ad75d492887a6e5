"""What the model says of itself: the JSON schema for editors and the tables of docs/reference/configuration.md.

Both are made from `model`; nothing about a key is written twice.
"""

from __future__ import annotations

import ast
import functools
import inspect
import itertools
import json
import re
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from proxy.config.model.deprecations import DEPRECATIONS, dotted
from proxy.config.model.section import Holds, Key, keys_of
from proxy.config.model.sections import Config
from proxy.config.model.values import NAME, Address
from proxy.config.reading.variables import PREFIX
from proxy.regions import AMAZON_REGIONS, REGION_NAMES
from proxy.value_classes import dataclass

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


def json_schema() -> dict[str, Any]:
    """The configuration file's schema; `yaml-language-server` and its like read it."""
    schema = Config.model_json_schema(mode="validation")
    definitions = schema["$defs"]
    definitions["Region"].pop("required", None)
    properties = schema["properties"]
    models: list[type[BaseModel]] = [Config, *_sections(Config)]
    for model in models:
        _complete(schema if model is Config else definitions[model.__name__], model)
    for (*sections, old), entry in DEPRECATIONS.items():
        holder: type[BaseModel] = Config
        for name in sections:
            holder = keys_of(holder)[name].section or holder
        described = schema if holder is Config else definitions[holder.__name__]
        described["properties"][old] = {
            "deprecated": True,
            "description": f"{entry.advice(dotted(entry.new)).capitalize()}.",
        }
    for key in ("listen", "admin_listen"):
        properties[key]["default"] = str(keys_of(Config)[key].info.default)
    properties["regions"]["propertyNames"] = {"enum": list(REGION_NAMES)}
    for key in ("accounts", "routes"):
        properties[key]["propertyNames"] = {"pattern": f"^{NAME.pattern}$"}
    return {"$schema": SCHEMA_ID, **schema, "title": "ads-proxy", "description": "The configuration of ads-proxy."}


def _sections(model: type[BaseModel]) -> Iterator[type[BaseModel]]:
    for key in keys_of(model).values():
        if key.section is not None:
            yield key.section
            yield from _sections(key.section)


def _complete(schema: dict[str, Any], model: type[BaseModel]) -> None:
    """Add to a section's schema what each key means, and the bounds that pydantic leaves out behind a check of ours."""
    for key in keys_of(model).values():
        described = schema["properties"][key.name]
        described["description"] = _meanings(model)[key.field]
        for bound in key.info.metadata:
            for attribute, word in _BOUNDS.items():
                if (limit := getattr(bound, attribute, None)) is not None:
                    described[word] = limit


@functools.lru_cache(maxsize=128)
def _meanings(model: type[BaseModel]) -> dict[str, str]:
    """The meaning of each field: the text below it. Only documentation needs it, so it is read when asked for."""
    (section,) = ast.parse(inspect.getsource(model)).body
    assert isinstance(section, ast.ClassDef)
    meanings = {}
    for field, text in itertools.pairwise(section.body):
        if isinstance(field, ast.AnnAssign) and isinstance(text, ast.Expr):
            meanings[ast.unparse(field.target)] = " ".join(ast.literal_eval(text.value).split())
    return meanings


def options() -> Iterator[Option]:
    """Every key of the model, section by section; below those of a section the old names that are still taken."""
    for section, found in itertools.groupby(_options(Config, "", PREFIX), lambda option: option.section):
        yield from found
        for (*sections, old), entry in DEPRECATIONS.items():
            if dotted(tuple(sections)) == section:
                yield Option(section, old, "", "none", f"{entry.advice(dotted(entry.new)).capitalize()}.")


def _options(model: type[BaseModel], section: str, prefix: str) -> Iterator[Option]:
    below: list[tuple[type[BaseModel], str, str]] = []
    for key in keys_of(model).values():
        path = f"{section}.{key.name}" if section else key.name
        name = prefix + key.name.upper() if prefix else ""
        if key.section is not None:
            inner = "" if key.holds is Holds.LIST_OF_SECTIONS or not name else name + _VARIABLES[key.holds]
            below.append((key.section, path + _EACH.get(key.holds, ""), inner))
        if key.holds is not Holds.SECTION:
            yield Option(section, key.name, name, _default(key), _meanings(model)[key.field])
    for inner_model, path, inner_prefix in below:
        yield from _options(inner_model, path, inner_prefix)


def _default(key: Key) -> str:
    if key.info.is_required():
        return "required"
    value = key.info.default
    if key.has_many or value is None or value == ():
        return "none"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if isinstance(value, float) and value.is_integer():
        return f"`{int(value)}`"
    if isinstance(value, tuple):
        return ", ".join(f"`{item}`" for item in value)
    return f"`{value}`" if isinstance(value, Address | str | int | float | Path) else "none"


def tables() -> str:
    """The options as Markdown, one table for each section."""
    lines: list[str] = []
    shown: str | None = None
    for option in options():
        if option.section != shown:
            shown = option.section
            lines += ["", f"### {f'`{shown}`' if shown else 'Top level'}", ""]
            lines += ["| key | environment | default | meaning |", "|---|---|---|---|"]
        default = _REAL_DEFAULTS.get(f"{option.section}.{option.key}", option.default)
        variable = f"`{option.variable}`" if option.variable else "-"
        meaning = option.meaning.replace("|", "\\|")
        lines.append(f"| `{option.key}` | {variable} | {default} | {meaning} |")
    return "\n".join([BEGIN, *lines, "", END])


_EACH = {Holds.NAMED_SECTIONS: ".NAME", Holds.LIST_OF_SECTIONS: "[]"}
"""What stands behind the name of a key in the tables, for each of its sections."""
_VARIABLES = {Holds.SECTION: "__", Holds.NAMED_SECTIONS: "__NAME__"}
"""What follows a variable's name, by what the key holds; variables cannot reach into a list."""
_BOUNDS = {"ge": "minimum", "gt": "exclusiveMinimum", "le": "maximum", "lt": "exclusiveMaximum"}
_REAL_DEFAULTS = {
    "state.url": "the user's state directory",
    "intercept.ca_dir": "`ca` in the state directory",
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
    for name, key in keys_of(Config).items():
        if name not in without:
            lines += ["", *_key(key, _meanings(Config)[name], 0)]
    return "\n".join(lines).lstrip("\n") + "\n"


def example(written: str) -> str:
    """The example with its generated part: every top-level key that is not written above it, commented out."""
    by_people, mark, _ = written.partition(EXAMPLE_MARK)
    shown = frozenset(re.findall(r"^#?([a-z_]+):", by_people, re.MULTILINE))
    return f"{by_people}{mark}\n{commented_yaml(shown)}"


def _key(key: Key, meaning: str, depth: int, limits: frozenset[str] = frozenset()) -> Iterator[str]:
    yield from _prose(meaning, depth)
    if key.section is None:
        limiting = key.name in limits and key.info.default is None
        yield _line(f"{key.name}: {LIMIT if limiting else _value(key)}", depth)
        return
    yield _line(f"{key.name}:", depth)
    if key.name == "regions" and depth == 0:
        for name, addresses in AMAZON_REGIONS.items():
            yield _line(f"{name}:", depth + 1)
            yield from (_line(f"{kind}: {address}", depth + 2) for kind, address in addresses.items())
    elif key.holds is Holds.NAMED_SECTIONS:
        yield _line("NAME:", depth + 1)
        yield from _section(key.section, depth + 2)
    elif key.holds is Holds.LIST_OF_SECTIONS:
        yield from _begin_item([*_section(key.section, depth + 2)], depth)
    else:
        yield from _section(key.section, depth + 1)


def _section(model: type[BaseModel], depth: int) -> Iterator[str]:
    for key in keys_of(model).values():
        yield from _key(key, _meanings(model)[key.field], depth, getattr(model, "null_counts", frozenset()))


def _begin_item(lines: list[str], depth: int) -> Iterator[str]:
    """The first key of a list's entry has the dash."""
    first = next(place for place, line in enumerate(lines) if not line.lstrip("#").lstrip().startswith("#"))
    dashed = "#" + _INDENT * (depth + 1) + "- " + lines[first].lstrip("#").lstrip()
    yield from (*lines[:first], dashed, *lines[first + 1 :])


def _line(text: str, depth: int) -> str:
    return f"#{_INDENT * depth}{text}"


def _prose(text: str, depth: int) -> Iterator[str]:
    """The comment lines above a key. They stay comments when the key is put in force."""
    before = f"#{_INDENT * depth}# " if depth else "# "
    return iter(textwrap.wrap(text, WIDTH, initial_indent=before, subsequent_indent=before, break_long_words=False))


def _value(key: Key) -> str:
    if key.info.is_required():
        return REQUIRED
    default = key.info.default
    return "null" if (key.name, default) == ("url", "memory:") else _flow(default)  # it depends on the user


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
