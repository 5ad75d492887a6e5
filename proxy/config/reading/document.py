"""A YAML file as plain values, with the line of each: strict where YAML lets mistakes pass.

No anchors, aliases or tags, no key twice, no `no` that becomes false, no date, no octal number. What the values
mean is not known here.
"""

from __future__ import annotations

import codecs
import re
from pathlib import Path as FilePath
from sys import intern
from typing import Any

import yaml

from proxy.config.model.expected import Expected, WrongValue
from proxy.config.model.section import Path
from proxy.config.reading.files import read_bytes
from proxy.value_classes import dataclass

MAX_BYTES = 64 << 20
_EXPLAINED = 1 << 20
"""Characters of a file that is read once more to say better what is wrong with it; a longer one takes too long."""
_ADVICE = {
    Expected.FILE_TOO_LARGE: f"; it can have {MAX_BYTES >> 20} MiB",
}
_DEPTH = 12
_STANDARD = "tag:yaml.org,2002:"
_EXPLANATIONS = (
    ("'\\t' that cannot start", "is not YAML: a tab in the indentation; indent with spaces"),
    ("single document", "a second document begins (---); keep one"),
    ("mapping values are", "is not YAML: mapping values are not allowed here; a text that holds ': ' goes in quotes"),
    ("did not find expected key", "is not YAML: the indentation does not fit; compare it with the lines above"),
    ("did not find expected '-'", "is not YAML: the indentation does not fit; compare it with the lines above"),
    ("<block end>", "is not YAML: the indentation does not fit; compare it with the lines above"),
    ("expected ',' or", "is not YAML: a bracket is missing; close the list or mapping"),
    ("find expected ':'", "is not YAML: a key without ':'; add it"),
    ("quoted scalar found unexpected end", "is not YAML: a quotation mark is missing; close the text with one"),
    ("unknown escape", "is not YAML: a \\ in double quotes means something else; use single quotes"),
    ("cannot start any token", "is not YAML: no value begins with this character; put the value in quotes"),
)
"""Words of YAML's complaint, and the message instead."""


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
    """PyYAML's scanner and parser with the scalars of YAML 1.2's core schema."""

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}


for _tag, _pattern, _first in (
    ("bool", r"true|True|TRUE|false|False|FALSE", "tTfF"),
    ("int", r"[-+]?[0-9]+", "-+0123456789"),
    ("float", r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?", "-+.0123456789"),
    ("null", r"~|null|Null|NULL|", "~nN"),
):
    _Loader.add_implicit_resolver(_STANDARD + _tag, re.compile(rf"(?:{_pattern})\Z"), [*_first])
_Loader.add_implicit_resolver(_STANDARD + "null", re.compile(r"\Z"), [""])


class _FastLoader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]  # chosen when imported
    """A loader on libyaml, ten times as fast, where PyYAML was built with it. Its errors say less."""

    yaml_implicit_resolvers = _Loader.yaml_implicit_resolvers


def read_document(path: FilePath, named_by: str) -> Document:
    """The file's values; everything wrong with it as YAML is in `problems`, and then the values are not all there.

    `named_by` is the option or the variable that names the file: problems with opening the file begin with it.
    """
    try:
        content = read_bytes(path, MAX_BYTES)
    except WrongValue as error:
        return Document({}, {}, (f"{named_by}: {error}{_ADVICE.get(error.expected, '')}",))
    return parse_document(content, str(path))


def parse_document(content: bytes, name: str) -> Document:
    """Read a document from bytes, as `read_document` does; `name` is the file's name in problems."""
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return Document({}, {}, (f"{name}: is UTF-16; save it as UTF-8",))
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        return Document({}, {}, (f"{name}: line {line} is not UTF-8; save the file as UTF-8",))
    found = _read(text, name, _FastLoader)
    if found.problems and not found.values and len(text) <= _EXPLAINED:
        return _read(text, name, _Loader)
    return found


def parse_value(text: str) -> Any:
    """One value, as strict as a file. Raises `WrongValue`."""
    try:
        _, value, reader = _read_value(text, "", _FastLoader)
    except (_Forbidden, yaml.YAMLError, ValueError):  # the last for half of a surrogate pair
        raise WrongValue(Expected.STRUCTURE) from None
    if reader.twice:
        raise WrongValue(Expected.KEYS_ONCE)
    if reader.problems:
        raise WrongValue(Expected.STRUCTURE)
    return value


def _read(text: str, name: str, loader: Any) -> Document:
    """The document as this loader reads it, or what is wrong with it as YAML."""
    try:
        top, values, reader = _read_value(text, name, loader)
    except _Forbidden as forbidden:
        return Document({}, {}, (str(forbidden),))
    except yaml.MarkedYAMLError as error:
        return Document({}, {}, (f"{name}: {_explain(error)}",))
    except yaml.reader.ReaderError as error:
        return Document({}, {}, (f"{name}: holds a control character at position {error.position}; remove it",))
    if isinstance(top, yaml.MappingStartEvent):
        return Document(values, reader.lines, tuple(reader.problems), tuple(reader.twice))
    if top is None or (isinstance(top, yaml.ScalarEvent) and not top.value):
        return Document({}, {})
    return Document({}, {}, (f"{name}: must hold keys such as 'listen:' at its top, not {_kind(top)}",))


def _read_value(text: str, name: str, make_loader: Any) -> tuple[Any, Any, _Reader]:
    """The one document of a stream, without building nodes first: a large file would take twice as long. Gives its
    first event, None where there is no document, its value, and who read it."""
    loader = make_loader(text)
    try:
        reader = _Reader(loader, name)
        loader.get_event()
        if loader.check_event(yaml.StreamEndEvent):
            return None, None, reader
        loader.get_event()
        top = reader.next()
        value = reader.value(top, ())
        loader.get_event()
        if not loader.check_event(yaml.StreamEndEvent):
            raise yaml.MarkedYAMLError(None, None, "single document", loader.get_event().start_mark)
    finally:
        loader.dispose()
    return top, value, reader


class _Forbidden(Exception):
    """YAML that is not read here: an anchor, an alias, a tag or excessive depth. The text is the whole sentence."""


class _Reader:
    """Builds plain values from events, noting lines and double keys."""

    def __init__(self, loader: Any, name: str) -> None:
        self.name = name
        self.lines: dict[Path, int] = {}
        self.problems: list[str] = []
        self.twice: list[TwiceKey] = []
        self._loader = loader

    def next(self) -> Any:
        """The next event. Raises `_Forbidden`."""
        event = self._loader.get_event()
        if getattr(event, "anchor", None) is not None:
            raise self._forbidden(
                event, "anchors (&) and aliases (*) are not supported; write the value out, or in quotes"
            )
        if getattr(event, "tag", None):
            raise self._forbidden(event, "tags (!) are not supported; write the value plainly, or in quotes")
        return event

    def _forbidden(self, event: Any, what: str) -> _Forbidden:
        mark = event.start_mark
        return _Forbidden(f"{self.name}: line {mark.line + 1}, column {mark.column + 1}: {what}")

    def value(self, event: Any, path: Path, depth: int = 1) -> Any:
        """The value that begins with this event; what belongs to it is read on."""
        self.lines[path] = event.start_mark.line + 1
        if isinstance(event, yaml.ScalarEvent):
            return self._scalar(event)
        if depth > _DEPTH:
            raise self._forbidden(event, "nested more deeply than any configuration is")
        if isinstance(event, yaml.MappingStartEvent):
            return self._mapping(path, depth)
        values: list[Any] = []
        while not isinstance(item := self.next(), yaml.SequenceEndEvent):
            values.append(self.value(item, (*path, len(values)), depth + 1))
        return values

    def _mapping(self, path: Path, depth: int) -> dict[str, Any]:
        values: dict[str, Any] = {}
        while not isinstance(event := self.next(), yaml.MappingEndEvent):
            line = event.start_mark.line + 1
            if not isinstance(event, yaml.ScalarEvent):
                self.problems.append(f"{self.name}: line {line}: a key must be a plain word, not {_kind(event)}")
                self._skip(event, depth)
                self._skip(self.next(), depth)
                continue
            key = intern(event.value)
            here = (*path, key)
            if key in values:
                self.twice.append(TwiceKey(here, self.lines[here], line))
                self._skip(self.next(), depth)
                continue
            values[key] = self.value(self.next(), here, depth + 1)
            self.lines[here] = line
        return values

    def _skip(self, event: Any, depth: int) -> None:
        """Read on behind a value that is not kept, and note nothing of it."""
        _Reader(self._loader, self.name).value(event, (), depth + 1)

    def _scalar(self, event: yaml.ScalarEvent) -> Any:
        """A text in quotes, or what a scalar without quotes is by its form."""
        if not event.implicit[0]:
            return event.value
        text = event.value
        kind = self._loader.resolve(yaml.ScalarNode, text, event.implicit).removeprefix(_STANDARD)
        if kind == "int" and len(text) <= 18:
            return int(text)
        if kind == "float":
            return float(text)
        if kind == "bool":
            return text.lower() == "true"
        return None if kind == "null" else text


def _kind(event: Any) -> str:
    if isinstance(event, yaml.SequenceStartEvent):
        return "a list"
    return "a mapping" if isinstance(event, yaml.MappingStartEvent) else "a single value"


def _explain(error: yaml.MarkedYAMLError) -> str:
    """What is wrong, in one line, with its place. YAML's own words quote the text that they complain about."""
    mark = error.problem_mark or error.context_mark
    where = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
    said = f"{error.context or ''} {error.problem or ''}"
    return where + next((sentence for words, sentence in _EXPLANATIONS if words in said), "is not YAML")
