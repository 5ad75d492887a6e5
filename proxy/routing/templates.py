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

    def find(self, method: bytes, path: tuple[bytes, ...], at: int) -> Value | None:
        if at == len(path):
            return self.values.get(method)
        literal = self.literals.get(path[at])
        found = literal.find(method, path, at + 1) if literal is not None else None
        if found is None and self.placeholder is not None:
            found = self.placeholder.find(method, path, at + 1)
        return found


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
        """The value of the most literal template that has the method: literals beat placeholders, left to right.

        Each node is visited once at most, whatever the path.
        """
        return self._root.find(method, path, 0)

    def __repr__(self) -> str:
        return f"Templates({self._count})"
