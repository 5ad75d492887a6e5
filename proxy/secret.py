"""The type of everything that must never be read by accident: client secrets, tokens, keys.

Nothing here logs, stores or compares outside constant time. Code that needs the text calls `reveal`.
"""

from __future__ import annotations

import hmac
from typing import NoReturn


class Secret:
    """A text whose `str`, `repr` and format are `***`; it cannot be pickled, so no dump carries it by accident."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        """The text itself. Search for this name to find every place where a secret leaves its wrapper."""
        return self._text

    def __repr__(self) -> str:
        return "***"

    __str__ = __repr__

    def __format__(self, spec: str) -> str:
        return "***"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Secret):
            return NotImplemented
        return hmac.compare_digest(self._text.encode(), other._text.encode())

    def __hash__(self) -> int:
        return hash(self._text)

    def __bool__(self) -> bool:
        return bool(self._text)

    def __reduce__(self) -> NoReturn:
        raise TypeError("a secret is not pickled")
