"""The type of everything that must never be read by accident: client secrets, tokens, keys; and the shapes of clients'
keys and JWTs, which are known by them alone, as only digests of keys are configured.

Nothing here logs, stores or compares outside constant time. Code that needs the text calls `reveal`.
"""

from __future__ import annotations

import hmac
import re
from typing import Final, NoReturn

MASK: Final = "***"
KEY_PREFIX: Final = "adsproxy_"
"""The beginning of a client's key."""
JWT_BEGINNING: Final = "eyJ"
"""The beginning of a JWT: a brace and a quotation mark in base64url."""
_KEY: Final = re.compile(r"(adsproxy(?:_|%5F|\\u005f))[\w%-]{6,}", re.IGNORECASE)


_JWT: Final = re.compile(r"(?:(?<![\w-])|(?<=%\w\w))eyJ[\w-]{6,}(?:\.|%2[Ee])[\w-]{6,}(?:(?:\.|%2[Ee])[\w-]*)?")


def mask_keys(text: str) -> str:
    """The text with `***` instead of each client's key or JWT, behind its known beginning."""
    if "adsproxy" in text.casefold():
        text = _KEY.sub(rf"\1{MASK}", text)
    return _JWT.sub(JWT_BEGINNING + MASK, text) if JWT_BEGINNING in text else text


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
