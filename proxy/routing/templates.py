"""Path templates: a path's segments, and the most literal of the templates that they fit. Pure.

A template is a tuple of segments in which `PLACEHOLDER` stands for any one segment. What stands at a template is for
the caller: operations, rules.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Iterable

Value = TypeVar("Value")
PLACEHOLDER = b"{}"


class _Node(Generic[Value]):
    """One segment of the trie: the segments below it, and the values of the template that ends here, by method."""

    __slots__ = ("literals", "placeholder", "values")

    def __init__(self) -> None:
        self.literals: dict[bytes, _Node[Value]] = {}
        self.placeholder: _Node[Value] | None = None
        self.values: dict[bytes, Value] = {}

    def grow(self, template: Iterable[bytes]) -> _Node[Value]:
        node = self
        for segment in template:
            if segment == PLACEHOLDER:
                node.placeholder = node.placeholder or _Node()
                node = node.placeholder
            else:
                node = node.literals.setdefault(segment, _Node())
        return node


class Templates(Generic[Value]):
    """Values by method and path template. Filled once, then only asked; a later entry replaces an equal one."""

    def __init__(self, entries: Iterable[tuple[bytes, tuple[bytes, ...], Value]]) -> None:
        self._root: _Node[Value] = _Node()
        self._count = 0
        for method, template, value in entries:
            values = self._root.grow(template).values
            self._count += method not in values
            values[method] = value

    def find(self, method: bytes, path: tuple[bytes, ...]) -> Value | None:
        """The value of the most literal template that has the method: literals beat placeholders, left to right."""
        node = self._root
        for segment in path:
            literal, placeholder = node.literals.get(segment), node.placeholder
            if literal is None:
                if placeholder is None:
                    return None
                node = placeholder
            elif placeholder is None:
                node = literal
            else:
                return self._search(method, path)
        return node.values.get(method)

    def _search(self, method: bytes, path: tuple[bytes, ...]) -> Value | None:
        """The same of a path that several templates begin like. Each node is visited once at most."""
        node: _Node[Value] | None = self._root
        at, size = 0, len(path)
        left: list[tuple[_Node[Value], int]] = []  # placeholders that were passed by, the last one first
        while node is not None:
            if at == size:
                found = node.values.get(method)
                if found is not None:
                    return found
                literal = None
            else:
                literal, placeholder = node.literals.get(path[at]), node.placeholder
                at += 1
                if literal is None:
                    literal = placeholder
                elif placeholder is not None:
                    left.append((placeholder, at))
            node = literal
            if node is None and left:
                node, at = left.pop()
        return None

    def __repr__(self) -> str:
        return f"Templates({self._count})"
