"""Changes of a YAML text that people wrote: an item or an entry more, less or other, and all other lines stay.

Pure: a text in, a text out. Places are found in the parsed document, and the text is changed there, so that comments,
blank lines, order, spelling and line ends are as they were. New lines follow the style of their place: block or flow.
A text has no anchors and no tags, as `proxy.config` reads none. What the values mean is not known here.
"""

from __future__ import annotations

import json
import math
import re
from typing import TYPE_CHECKING, Any, Final

import yaml

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

Path = tuple[str | int, ...]
"""Keys of mappings and numbers of items, from the top."""
_PLAIN: Final = re.compile(r"(?![0-9a-f]{64}\Z)[A-Za-z_][\w./-]*", re.ASCII)
_NO_TEXTS: Final = frozenset({"true", "false", "null", "yes", "no", "on", "off", "y", "n"})
"""Words that some readers of YAML take for something else than a text."""
_INDENT: Final = 2


class NoPlace(ValueError):
    """The text has no place for the change; the words say what is in the way."""


class Flow(dict[str, Any]):
    """A mapping that is written on one line."""


class Moment(str):
    """A day or a time, which is written without quotes."""

    __slots__ = ()


# --- changes


def add_item(text: str, path: Path, item: Mapping[str, Any] | str) -> str:
    """The text with one more item at the end of a list, which may be missing or empty. Raises `NoPlace`."""
    found = _find(text, path)
    if not isinstance(found, yaml.SequenceNode) or not found.value:
        return _fill(text, path, [item])
    if found.flow_style:
        return _splice(text, found.value[-1].end_mark.index, f", {flow(item)}")
    lines = _Lines(text)
    return lines.insert(lines.behind(found.value[-1], column := lines.dash(found.value[0])[1]), column, _item(item))


def add_entry(text: str, path: Path, key: str, value: Any) -> str:
    """The text with one more key at the end of a mapping, which may be missing or empty. Raises `NoPlace`."""
    found = _find(text, path)
    if not isinstance(found, yaml.MappingNode) or not found.value:
        return _fill(text, path, {key: value})
    if found.flow_style:
        return _splice(text, found.value[-1][1].end_mark.index, f", {_scalar(key)}: {flow(value)}")
    return append_lines(text, path, _entry(key, value)) if path else _add_section(text, found, _entry(key, value))


def append_lines(text: str, path: Path, new: Iterable[str]) -> str:
    """The text with lines behind the last key of a mapping, indented as its keys. Raises `NoPlace` for a mapping that
    is missing, empty or in flow style."""
    found = _find(text, path)
    if not isinstance(found, yaml.MappingNode) or not found.value or found.flow_style:
        raise NoPlace(f"no `{'.'.join(map(str, path))}` section in block style")
    lines, column = _Lines(text), found.value[0][0].start_mark.column
    return lines.insert(lines.behind(found.value[-1][1], column), column, new)


def remove_item(text: str, path: Path) -> str:
    """The text without an item of a list, and without the comment lines directly above it. Raises `NoPlace`."""
    found, number = _find(text, path[:-1]), path[-1]
    if not isinstance(found, yaml.SequenceNode) or not isinstance(number, int):
        raise NoPlace("it is in no list")
    items = found.value
    if not found.flow_style:
        lines = _Lines(text)
        line, column = lines.dash(items[number])
        return lines.without(lines.with_comments_above(line, column), lines.behind(items[number], column))
    begin, end = items[number].start_mark.index, items[number].end_mark.index
    if number + 1 < len(items):
        end = items[number + 1].start_mark.index
    elif number:
        begin = items[number - 1].end_mark.index
    return text[:begin] + text[end:]


def change_list(text: str, path: Path, wanted: Sequence[str]) -> str:
    """The text with these texts in a list, which may be missing: `changed_list` tells in which order. Items that stay
    keep their lines. Raises `NoPlace`."""
    found = _find(text, path)
    if found is None:
        return add_entry(text, path[:-1], str(path[-1]), [*wanted])
    if not isinstance(found, yaml.SequenceNode) or not all(isinstance(each, yaml.ScalarNode) for each in found.value):
        raise NoPlace(f"`{path[-1]}` is no list of texts")
    present = [str(each.value) for each in found.value]
    for item in wanted:
        if item not in present:
            text = add_item(text, path, item)
    for number in reversed(range(len(present))):
        if present[number] not in wanted:
            text = remove_item(text, (*path, number))
    return text


def changed_list(present: Sequence[Any], wanted: Sequence[str]) -> list[Any]:
    """The values that `change_list` leads to: what stays in its order, then what is new."""
    known = [str(each) for each in present]
    kept = [each for each in present if str(each) in wanted]
    return [*kept, *(each for each in dict.fromkeys(wanted) if each not in known)]


def set_value(text: str, path: Path, key: str, value: str) -> str:
    """The text with a single value under a key of a mapping, new or in the place of another one. Raises `NoPlace`."""
    present = _find(text, (*path, key))
    if present is None:
        return add_entry(text, path, key, value)
    if not isinstance(present, yaml.ScalarNode) or present.style in ("|", ">") or not present.value:
        raise NoPlace(f"`{key}` is no single value")
    return text[: present.start_mark.index] + _scalar(value) + text[present.end_mark.index :]


def remove_entry(text: str, path: Path) -> str:
    """The text without a key of a mapping, and without the comment lines directly above it; a mapping that held nothing
    else goes with it. Raises `NoPlace`."""
    if not path:
        raise NoPlace("the file holds nothing else")
    holder = _find(text, path[:-1])
    if not isinstance(holder, yaml.MappingNode):
        raise NoPlace("it is in no mapping")
    pairs = holder.value
    number = next((place for place, (key, _) in enumerate(pairs) if key.value == path[-1]), None)
    if number is None:
        raise NoPlace(f"no `{path[-1]}`")
    if len(pairs) == 1:
        return remove_entry(text, path[:-1])
    key, value = pairs[number]
    if not holder.flow_style:
        lines, line, column = _Lines(text), key.start_mark.line, key.start_mark.column
        if not lines.begins_at(line, column):
            raise NoPlace(f"`{path[-1]}` is next to the dash of its item")
        return lines.without(lines.with_comments_above(line, column), lines.behind(value, column))
    begin, end = key.start_mark.index, value.end_mark.index
    if number + 1 < len(pairs):
        end = pairs[number + 1][0].start_mark.index
    else:
        begin = pairs[number - 1][1].end_mark.index
    return text[:begin] + text[end:]


def without_entry(values: Mapping[str, Any], path: Path) -> dict[str, Any]:
    """The values that `remove_entry` leads to. Mappings alone are on the path."""
    key, *rest = map(str, path)
    if not rest:
        return {name: value for name, value in values.items() if name != key}
    inner = without_entry(values[key], tuple(rest))
    return {**values, key: inner} if inner else without_entry(values, (key,))


def replace_entry(text: str, path: Path, key: str, items: Sequence[Mapping[str, Any]]) -> str:
    """The text with a list under another key in the place of a key with a single value; the comment behind the value
    stays. Raises `NoPlace`."""
    holder = _find(text, path[:-1])
    if not isinstance(holder, yaml.MappingNode):
        raise NoPlace("it is in no mapping")
    for old, value in holder.value:
        if old.value == path[-1] and isinstance(value, yaml.ScalarNode):
            indent = " " * (old.start_mark.column + _INDENT)
            block = "".join(f"{_line_end(text)}{indent}- {flow(item)}" for item in items)
            new = f"{key}: {flow(list(items))}" if holder.flow_style else f"{key}:{block}"
            return text[: old.start_mark.index] + new + text[value.end_mark.index :]
    raise NoPlace(f"no `{path[-1]}`")


# --- places


def _find(text: str, path: Path) -> yaml.Node | None:
    """The node at a path; None if there is none."""
    node = yaml.compose(text, yaml.SafeLoader)
    for step in path:
        if isinstance(node, yaml.MappingNode):
            node = next((value for key, value in node.value if key.value == step), None)
        elif isinstance(node, yaml.SequenceNode) and isinstance(step, int) and step < len(node.value):
            node = node.value[step]
        else:
            return None
    return node


def _fill(text: str, path: Path, value: Any) -> str:
    """The text with a value at a path that is missing, or where nothing is: null, `[]` or `{}`."""
    found = _find(text, path)
    if found is None and not path:
        return _Lines(text).at_end([line for key, inner in value.items() for line in _entry(key, inner)])
    if not path:
        raise NoPlace("its top holds no keys")
    *above, key = path
    if found is None:
        return add_entry(text, tuple(above), str(key), value)
    holder = _find(text, tuple(above))
    is_null = isinstance(found, yaml.ScalarNode) and found.style is None and found.value in ("", "~", "null")
    is_empty = isinstance(found, yaml.CollectionNode) and not found.value
    if not isinstance(holder, yaml.MappingNode) or not (is_null or is_empty):
        raise NoPlace(f"`{'.'.join(map(str, path))}` holds something else")
    begin, end = found.start_mark.index, found.end_mark.index
    if holder.flow_style:
        return f"{text[:begin]}{'' if end > begin else ' '}{flow(value)}{text[end:]}"
    key_node = next(each for each, _ in holder.value if each.value == key)
    column = key_node.start_mark.column + _INDENT
    text = (text[:begin].rstrip(" ") if end > begin else text[:begin]) + text[end:]
    lines = _item(value[0]) if isinstance(value, list) else [line for pair in value.items() for line in _entry(*pair)]
    return _Lines(text).insert(key_node.end_mark.line + 1, column, lines)


def _add_section(text: str, root: yaml.MappingNode, new: list[str]) -> str:
    """The text with a new section behind that of the accounts, or at its end."""
    lines = _Lines(text)
    for key, value in root.value:
        if key.value == "accounts" and isinstance(value, yaml.MappingNode) and not value.flow_style:
            return lines.insert(lines.behind(value, 0), 0, ["", *new])
    return lines.at_end(["", *new])


class _Lines:
    """The lines of a text, each with its end."""

    def __init__(self, text: str) -> None:
        self._lines = text.splitlines(keepends=True)
        self._end = _line_end(text)

    def dash(self, item: yaml.Node) -> tuple[int, int]:
        """Line and column of the dash in front of an item of a block."""
        line, column = item.start_mark.line, item.start_mark.column
        while (found := self._lines[line][:column].rfind("-")) < 0:
            line -= 1
            column = len(self._lines[line])
        return line, found

    def behind(self, node: yaml.Node, column: int) -> int:
        """The line behind a node, and behind the comments that are indented deeper than what it belongs to."""
        line = last_line(node) + 1
        while line < len(self._lines) and self._is_comment(line) and self._indent(line) > column:
            line += 1
        return line

    def with_comments_above(self, line: int, column: int) -> int:
        """The first of the comment lines directly above a line, in the same column; the line itself without any."""
        while line and self._is_comment(line - 1) and self._indent(line - 1) == column:
            line -= 1
        return line

    def begins_at(self, line: int, column: int) -> bool:
        """Whether nothing but spaces is in front of a column."""
        return not self._lines[line][:column].strip(" ")

    def insert(self, line: int, column: int, new: Iterable[str]) -> str:
        """The text with lines in front of a line, indented as far as a column."""
        before, behind = self._lines[:line], self._lines[line:]
        if before and not before[-1].endswith("\n"):
            before[-1] += self._end
        added = (f"{' ' * column}{each}{self._end}" if each else self._end for each in new)
        return "".join((*before, *added, *behind))

    def at_end(self, new: Iterable[str]) -> str:
        """The text with lines at its end."""
        return self.insert(len(self._lines), 0, new)

    def without(self, begin: int, end: int) -> str:
        """The text without the lines from one to the one before another."""
        return "".join((*self._lines[:begin], *self._lines[end:]))

    def _is_comment(self, line: int) -> bool:
        return self._lines[line].lstrip(" ").startswith("#")

    def _indent(self, line: int) -> int:
        return len(self._lines[line]) - len(self._lines[line].lstrip(" "))


def last_line(node: yaml.Node) -> int:
    """The last line that holds something of a node: a block ends where the next thing begins, comments included."""
    if isinstance(node, yaml.MappingNode | yaml.SequenceNode) and not node.flow_style and node.value:
        last = node.value[-1]
        return max(map(last_line, last)) if isinstance(last, tuple) else last_line(last)
    ends_before = isinstance(node, yaml.ScalarNode) and (node.style in ("|", ">"))
    return int(node.end_mark.line) - (1 if ends_before and node.end_mark.column == 0 else 0)


def _splice(text: str, index: int, more: str) -> str:
    return text[:index] + more + text[index:]


def _line_end(text: str) -> str:
    return "\r\n" if "\r\n" in text else "\n"


# --- writing values


def flow(value: Any) -> str:
    """A value on one line."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_scalar(key)}: {flow(each)}" for key, each in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(flow, value)) + "]"
    return _scalar(value)


def _entry(key: str, value: Any) -> list[str]:
    """A key with its value, in block style where there is more than a line of it."""
    indent = " " * _INDENT
    if isinstance(value, dict) and value and not isinstance(value, Flow):
        return [f"{_scalar(key)}:", *(indent + line for pair in value.items() for line in _entry(*pair))]
    if isinstance(value, list) and value and isinstance(value[0], dict):
        return [f"{_scalar(key)}:", *(indent + line for item in value for line in _item(item))]
    return [f"{_scalar(key)}: {flow(value)}"]


def _item(item: Mapping[str, Any] | str) -> list[str]:
    if isinstance(item, Flow | str):
        return [f"- {flow(item)}"]
    lines = [line for pair in item.items() for line in _entry(*pair)]
    return [f"{'- ' if not number else '  '}{line}" for number, line in enumerate(lines)]


def _scalar(value: object) -> str:
    """A text as every reader of YAML takes it for one, a number or a truth."""
    if isinstance(value, Moment):
        return value
    if not isinstance(value, str):
        return json.dumps(value)
    is_plain = _PLAIN.fullmatch(value) and value.lower() not in _NO_TEXTS
    quoted: str = yaml.safe_dump(value, default_style='"', width=math.inf, allow_unicode=True)
    return value if is_plain else quoted.strip()
