"""A YAML file as plain values, with the line of each: strict where YAML lets mistakes pass.

No anchors, aliases or tags, no key twice, no `no` that becomes false, no date, no octal number. What the values
mean is not known here.
"""

from __future__ import annotations

import codecs
import re
from dataclasses import dataclass
from pathlib import Path as FilePath
from typing import Any

import yaml

from proxy.config.reading.files import read_bytes

Path = tuple[str | int, ...]
"""Where a value stands: keys and list positions from the top."""

MAX_BYTES = 1_048_576
_DEPTH = 12
_STANDARD = "tag:yaml.org,2002:"


@dataclass(frozen=True, slots=True)
class Document:
    """The values of one file, and the line of each path."""

    values: dict[str, Any]
    lines: dict[Path, int]
    problems: tuple[str, ...] = ()


class _Loader(yaml.SafeLoader):
    """SafeLoader's scanner and parser with the scalars of YAML 1.2's core schema."""

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}


for _tag, _pattern, _first in (
    ("bool", r"true|True|TRUE|false|False|FALSE", "tTfF"),
    ("int", r"[-+]?[0-9]+", "-+0123456789"),
    ("float", r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?", "-+.0123456789"),
    ("null", r"~|null|Null|NULL|", "~nN"),
):
    _Loader.add_implicit_resolver(_STANDARD + _tag, re.compile(rf"(?:{_pattern})\Z"), [*_first])
_Loader.add_implicit_resolver(_STANDARD + "null", re.compile(r"\Z"), [""])


def read_document(path: FilePath) -> Document:
    """The file's values; everything wrong with it as YAML is in `problems`, and then the values are not all there."""
    try:
        content = read_bytes(path, MAX_BYTES)
    except ValueError as error:
        return Document({}, {}, (f"{path}: {_with_advice(str(error))}",))
    return parse_document(content, str(path))


def _with_advice(sentence: str) -> str:
    if "does not exist" in sentence:
        return "the configuration file does not exist; name another with --config or ADS_PROXY_CONFIG"
    return sentence.replace("the file ", "the configuration file ", 1)


def parse_document(content: bytes, name: str) -> Document:
    """As `read_document`; `name` is the file's name in problems."""
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return Document({}, {}, (f"{name}: is UTF-16; save it as UTF-8",))
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        return Document({}, {}, (f"{name}: line {line} is not UTF-8; save the file as UTF-8",))
    loader: _Loader | None = None
    try:
        loader = _Loader(text)
        if problem := _find_forbidden(text, name):
            return Document({}, {}, (problem,))
        node = loader.get_single_node()
    except yaml.MarkedYAMLError as error:
        return Document({}, {}, (f"{name}: {_explain(error)}",))
    except yaml.reader.ReaderError as error:
        return Document({}, {}, (f"{name}: holds a control character at position {error.position}; remove it",))
    finally:
        if loader is not None:
            loader.dispose()
    if node is None:
        return Document({}, {})
    if not isinstance(node, yaml.MappingNode):
        return Document({}, {}, (f"{name}: must hold keys such as 'listen:' at its top, not {_kind(node)}",))
    reader = _Reader(name)
    values = reader.value(node, ())
    return Document(values, reader.lines, tuple(reader.problems))


def _find_forbidden(text: str, name: str) -> str:
    """The first anchor, alias, tag or excessive depth; found in the event stream, before anything is built."""
    depth = 0
    for event in yaml.parse(text, _Loader):
        mark = event.start_mark
        where = f"{name}: line {mark.line + 1}, column {mark.column + 1}" if mark else name
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
            return f"{where}: anchors (&) and aliases (*) are not read here; write the value out, or in quotes"
        if getattr(event, "tag", None):
            return f"{where}: tags (!) are not read here; write the value plainly, or in quotes"
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
            if depth > _DEPTH:
                return f"{where}: nested more deeply than any configuration is"
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
    return ""


class _Reader:
    """Builds plain values from nodes, noting lines and double keys."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.lines: dict[Path, int] = {}
        self.problems: list[str] = []

    def value(self, node: yaml.Node, path: Path) -> Any:
        self.lines[path] = _line(node)
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, path)
        if isinstance(node, yaml.SequenceNode):
            return [self.value(item, (*path, position)) for position, item in enumerate(node.value)]
        return _scalar(node)

    def _mapping(self, node: yaml.MappingNode, path: Path) -> dict[str, Any]:
        values: dict[str, Any] = {}
        for key_node, value_node in node.value:
            line = _line(key_node)
            if not isinstance(key_node, yaml.ScalarNode):
                self.problems.append(f"{self.name}: line {line}: a key must be a plain word, not {_kind(key_node)}")
                continue
            key = str(key_node.value)
            here = (*path, key)
            if key in values:
                first = self.lines[here]
                self.problems.append(f"{dotted(here)}: is there twice, in lines {first} and {line}; keep one")
                continue
            values[key] = self.value(value_node, here)
            self.lines[here] = line
        return values


def dotted(path: Path) -> str:
    """A path as problems show it: `clients[0].name`."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else str(part)
    return text


def _scalar(node: yaml.Node) -> Any:
    kind, text = node.tag.removeprefix(_STANDARD), node.value
    if kind == "int" and len(text) <= 18:
        return int(text)
    if kind == "float":
        return float(text)
    if kind == "bool":
        return text.lower() == "true"
    return None if kind == "null" else text


def _line(node: yaml.Node) -> int:
    return node.start_mark.line + 1 if node.start_mark else 1


def _kind(node: yaml.Node) -> str:
    if isinstance(node, yaml.SequenceNode):
        return "a list"
    return "a mapping" if isinstance(node, yaml.MappingNode) else "a single value"


def _explain(error: yaml.MarkedYAMLError) -> str:
    """YAML's complaint in one line, with its place, and never with the text that it complains about."""
    mark = error.problem_mark or error.context_mark
    where = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
    problem = _one_line(error.problem or error.context or "cannot be read")
    if "'\\t'" in problem:
        return f"{where}a tab where YAML wants spaces; indent with spaces"
    if "single document" in (error.context or ""):
        return f"{where}a second document begins (---); a configuration is one"
    advice = ""
    if "mapping values are not allowed" in problem:
        advice = "; a text that holds ': ' goes in quotes"
    elif "block end" in problem or "block mapping" in problem:
        advice = "; compare the indentation with the lines above"
    return f"{where}is not YAML: {problem}{advice}"


def _one_line(text: str) -> str:
    return " ".join(text.split())
