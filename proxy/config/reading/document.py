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

from proxy.config.model.expected import Expected, WrongValue
from proxy.config.model.structure import Path
from proxy.config.reading.files import read_bytes

MAX_BYTES = 1_048_576
_DEPTH = 12
_STANDARD = "tag:yaml.org,2002:"
_EXPLANATIONS = (
    ("'\\t' that cannot start", "a tab where YAML wants spaces; indent with spaces"),
    ("single document", "a second document begins (---); a configuration is one"),
    ("mapping values are", "is not YAML: mapping values are not allowed here; a text that holds ': ' goes in quotes"),
    ("<block end>", "is not YAML: the indentation does not fit; compare it with the lines above"),
    ("expected ',' or", "is not YAML: a list or a mapping in brackets is not closed"),
    ("find expected ':'", "is not YAML: a key without its ':'"),
    ("quoted scalar found unexpected end", "is not YAML: a quotation mark is not closed"),
    ("unknown escape", "is not YAML: a \\ in double quotes means something else; use single quotes"),
    ("cannot start any token", "is not YAML: no value begins with this character; put the value in quotes"),
)
"""Words of YAML's complaint, and what is said in their place."""


@dataclass(frozen=True, slots=True)
class TwiceKey:
    """A key that stands twice in one mapping, and the lines where."""

    path: Path
    first: int
    second: int


@dataclass(frozen=True, slots=True)
class Document:
    """The values of one file, and the line of each path. `problems` name the file's own lines, never its words."""

    values: dict[str, Any]
    lines: dict[Path, int]
    problems: tuple[str, ...] = ()
    twice: tuple[TwiceKey, ...] = ()


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


def read_document(path: FilePath, named_by: str) -> Document:
    """The file's values; everything wrong with it as YAML is in `problems`, and then the values are not all there.

    `named_by` is the option or the variable that names the file: problems with opening the file begin with it.
    """
    try:
        content = read_bytes(path, MAX_BYTES)
    except WrongValue as error:
        advice = "; name another with --config or ADS_PROXY_CONFIG" if error.expected is Expected.FILE_MISSING else ""
        return Document({}, {}, (f"{named_by}: {error}{advice}",))
    return parse_document(content, str(path))


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
    return Document(values, reader.lines, tuple(reader.problems), tuple(reader.twice))


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
        self.twice: list[TwiceKey] = []

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
                self.twice.append(TwiceKey(here, self.lines[here], line))
                continue
            values[key] = self.value(value_node, here)
            self.lines[here] = line
        return values


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
    """What is wrong, in one line, with its place. YAML's own words quote the text that they complain about."""
    mark = error.problem_mark or error.context_mark
    where = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
    said = f"{error.context or ''} {error.problem or ''}"
    return where + next((sentence for words, sentence in _EXPLANATIONS if words in said), "is not YAML")
