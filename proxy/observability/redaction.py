"""What must never be printed, and how it is taken out of a text.

Two nets: texts known to be secret, in the spellings they meet (plain, percent-encoded, JSON-escaped), and shapes that
only secrets have (Amazon's tokens, authorization headers, credential fields). Nothing is logged here.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Final
from urllib.parse import quote, quote_plus

if TYPE_CHECKING:
    from collections.abc import Iterable

    from proxy.secret import Secret

MASK: Final = "***"
MIN_SECRET: Final = 4
"""A known secret shorter than this is masked by its shape only: `abc` would mask half of a log."""
MIN_SECRET_IN_WORDS: Final = 8
"""A known secret shorter than this is masked where it stands as a word of its own, and not within another one."""

_FIELDS: Final = r"\b(?:client_secret|refresh_token|access_token|id_token|code_verifier)"
_HEADERS: Final = r"\b(?:x-ads-proxy-key|authorization|cookie)"
_QUOTE: Final = r"\\?[\"']"
_VALUE: Final = r"[^\s\"'&,;<>\\)}\]]"
_ASSIGNED: Final = rf"(?:{_QUOTE})?\s*(?:=|%3D)\s*(?:b?{_QUOTE})?"
_QUOTED: Final = rf"(?:{_QUOTE}\s*:\s*(?:b?{_QUOTE})?|\s*:\s*b?{_QUOTE}|:(?=\S))"
_MASKED: Final = r"(?!\*\*\*|Bearer |Basic )"

_SHAPES: Final = (
    # A token holds letters or digits; the bare beginning stands in our own sentences (`Atzr|.`, `Atzr|...`).
    (re.compile(rf"Atz[a-z](?:\||%7C|\\u007c)[^\w\s\"'&,;<>\\)}}\]]*\w{_VALUE}*", re.IGNORECASE), MASK),
    (re.compile(r"\b(Bearer|Basic)\s+(?!\*\*\*)[A-Za-z0-9+/=._~|%-]{6,}", re.IGNORECASE), r"\1 " + MASK),
    (re.compile(rf"({_FIELDS}(?:{_ASSIGNED}|{_QUOTED})){_MASKED}{_VALUE}+", re.IGNORECASE), r"\1" + MASK),
    # After `key: ` stands a value or a sentence. Words have no digits, and paths are no secrets.
    (re.compile(rf"({_FIELDS}:\s+)(?![/~.])(?={_VALUE}*\d){_VALUE}{{16,}}", re.IGNORECASE), r"\1" + MASK),
    (re.compile(rf"({_HEADERS}(?:{_ASSIGNED}|{_QUOTED})){_MASKED}{_VALUE}+", re.IGNORECASE), r"\1" + MASK),
    (re.compile(rf"({_HEADERS}:\s+){_MASKED}{_VALUE}{{6,}}", re.IGNORECASE), r"\1" + MASK),
    (re.compile(r"([?&]code=)[^\s\"'&#]+"), r"\1" + MASK),
)


_HINTS: Final = (
    *("atz", "bearer", "basic", "client_secret", "_token", "code_verifier"),
    *("x-ads-proxy-key", "authorization", "cookie", "code="),
)
"""What every text holds, case-folded, that one of the shapes is found in: a text without them is not searched."""
_NUMBER: Final = re.compile(r"(?:\A|/)[0-9]+(?:/|\Z)")
"""What may be the whole or an end of a segment of a path that is a number."""


class Redaction:
    """Masks secrets in texts. Cheap where there are none to be seen.

    `reads_numbers` tells whether a known secret may be part of a path because of a number that stands in it.
    """

    __slots__ = ("_known", "_pattern", "reads_numbers")

    def __init__(self) -> None:
        self.reads_numbers = False
        self._known: frozenset[str] = frozenset()
        self._pattern: re.Pattern[str] | None = None

    def __repr__(self) -> str:
        return f"<Redaction of {len(self._known)} spellings>"

    def know(self, secrets: Iterable[Secret]) -> None:
        """Adds secrets to those that are masked wherever they stand."""
        spellings = {spelling for secret in secrets for spelling in _spellings(secret.reveal())}
        known = self._known | spellings
        if known != self._known:
            self._known = known
            self.reads_numbers = any(map(_NUMBER.search, known))
            longest_first = sorted(known, key=lambda text: (-len(text), text))
            self._pattern = re.compile("|".join(map(_expression, longest_first)))

    def holds_known(self, text: str) -> bool:
        """Whether a known secret stands in a text, in one of the spellings that are masked."""
        return self._pattern is not None and self._pattern.search(text) is not None

    def clean(self, text: str) -> str:
        if self._pattern is not None:
            text = self._pattern.sub(MASK, text)
        folded = text.casefold()
        for hint in _HINTS:
            if hint in folded:
                return _mask_shapes(text)
        return text

    def spares_numbers(self, path: str) -> bool:
        """Whether there is nothing to mask in a path, and would not be with other numbers for its segments."""
        folded = path.casefold()
        return not self.reads_numbers and self.clean(path) == path and not any(hint in folded for hint in _HINTS)


def _mask_shapes(text: str) -> str:
    for shape, replacement in _SHAPES:
        text = shape.sub(replacement, text)
    return text


def _spellings(text: str) -> frozenset[str]:
    if len(text) < MIN_SECRET:
        return frozenset()
    return frozenset({text, quote(text, safe=""), quote_plus(text), json.dumps(text)[1:-1], repr(text)[1:-1]})


def _expression(spelling: str) -> str:
    text = re.escape(spelling)
    return text if len(spelling) >= MIN_SECRET_IN_WORDS else rf"(?<![\w-]){text}(?![\w-])"
