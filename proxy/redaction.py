"""What must never be printed, and how it is taken out of a text.

Two nets: texts known to be secret, in the spellings they meet (plain, percent-encoded, JSON-escaped), and shapes that
only secrets have (Amazon's tokens, clients' keys and JWTs, invitations, authorization headers, credential fields).
Nothing is logged here.
"""

from __future__ import annotations

import json
import re
from bisect import bisect
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

from proxy.secret import JWT_BEGINNING, KEY_PREFIX, MASK, mask_keys

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from proxy.secret import Secret

MIN_SECRET: Final = 4
"""A known secret shorter than this is masked by its shape only: `abc` would mask half of a log."""
MIN_SECRET_IN_WORDS: Final = 8
"""A known secret shorter than this is masked where it stands as a word of its own, and not within another one."""
MIN_CUT, MAX_CUT = 16, 32
"""Where a message cuts a known secret, what is left of it is masked if it is half of it: at least the first of these
many characters, and at most the second."""

_INVITE: Final = "/invite/"
"""The path in front of the token of an invitation."""
_FIELDS: Final = r"\b(?:client_secret|refresh_token|access_token|id_token|code_verifier)"
_HEADERS: Final = r"\b(?:x-ads-proxy-key|authorization|cookie)"
_QUOTE: Final = r"\\?[\"']"
_VALUE: Final = r"[^\s\"'&,;<>\\)}\]]"
_ASSIGNED: Final = rf"(?:{_QUOTE})?\s*(?:=|%3D)\s*(?:b?{_QUOTE})?"
_QUOTED: Final = rf"(?:{_QUOTE}\s*:\s*(?:b?{_QUOTE})?|\s*:\s*b?{_QUOTE}|:(?=\S))"
_MASKED: Final = r"(?!\*\*\*|Bearer |Basic )"

_SHAPES: Final = (
    # A token holds letters or digits; the bare beginning is part of our own sentences (`Atzr|.`, `Atzr|...`).
    (re.compile(rf"Atz[a-z](?:\||%7C|\\u007c)[^\w\s\"'&,;<>\\)}}\]]*\w{_VALUE}*", re.IGNORECASE), MASK),
    (re.compile(r"\b(Bearer|Basic)\s+(?!\*\*\*)[A-Za-z0-9+/=._~|%-]{6,}", re.IGNORECASE), r"\1 " + MASK),
    (re.compile(rf"({_FIELDS}(?:{_ASSIGNED}|{_QUOTED})){_MASKED}{_VALUE}+", re.IGNORECASE), r"\1" + MASK),
    # After `key: ` stands a value or a sentence. Words have no digits, and paths are no secrets.
    (re.compile(rf"({_FIELDS}:\s+)(?![/~.])(?={_VALUE}*\d){_VALUE}{{16,}}", re.IGNORECASE), r"\1" + MASK),
    (re.compile(rf"({_HEADERS}(?:{_ASSIGNED}|{_QUOTED})){_MASKED}{_VALUE}+", re.IGNORECASE), r"\1" + MASK),
    (re.compile(rf"({_HEADERS}:\s+){_MASKED}{_VALUE}{{6,}}", re.IGNORECASE), r"\1" + MASK),
    (re.compile(r"([?&]code=)[^\s\"'&#]+"), r"\1" + MASK),
    (re.compile(rf"({_INVITE})[\w-]{{16,}}\.[\w-]{{16,}}"), r"\1" + MASK),
)


_HINTS: Final = (
    *("atz", "bearer", "basic", "client_secret", "_token", "code_verifier"),
    *("x-ads-proxy-key", "authorization", "cookie", "code=", "adsproxy", _INVITE),
)
"""What every text holds, case-folded, that one of the shapes is found in: a text without them is not searched."""
_SIGNS: Final = re.compile(r"[|%\\=:\s]")
"""Each shape but a client's key, a JWT and an invitation holds one of these, too. Most paths hold none, so they are not
searched for the hints."""
_IN_WORDS: Final = re.compile(r"[\w-]")


class Redaction:
    """Masks secrets in texts. Cheap where there are none to be seen."""

    __slots__ = ("_beginnings", "_by_beginning", "_count", "_cuts", "_longest", "_secrets")

    def __init__(self) -> None:
        self._secrets: set[str] = set()
        self._count = self._longest = 0
        self._by_beginning: dict[str, list[str]] = {}
        """Spellings by their first characters, in order. Those of ten thousand accounts have few beginnings in
        common with each other and with a text, while one pattern of them all takes twelve seconds to compile."""
        self._cuts: set[str] = set()
        """What a cut can leave of short spellings, with fewer than `MAX_CUT` characters."""
        self._beginnings: re.Pattern[str] | None = None

    def __repr__(self) -> str:
        return f"<Redaction of {self._count} spellings>"

    def know(self, secrets: Iterable[Secret]) -> None:
        """Adds secrets to those that are masked wherever they stand."""
        new = {secret.reveal() for secret in secrets} - self._secrets
        self._secrets |= new
        changed: set[str] = set()
        for spelling in {spelling for text in new for spelling in _spellings(text)}:
            alike = self._by_beginning.setdefault(spelling[:MIN_SECRET], [])
            alike.append(spelling)
            self._cuts.update(_short_cuts(spelling))
            changed.add(spelling[:MIN_SECRET])
        for beginning in changed:
            found = self._by_beginning[beginning] = sorted({*self._by_beginning[beginning]})
            self._longest = max(self._longest, *map(len, found))
        if changed:
            self._count = sum(map(len, self._by_beginning.values()))
            # As much as all have in common of those that begin alike: many an id begins with `amzn1.`, too.
            ends = ((each[0][:MIN_CUT], each[-1]) for each in self._by_beginning.values())
            shared = [first[: _shared_length(first, last)] for first, last in ends]
            self._beginnings = re.compile("|".join(map(re.escape, sorted(shared))))

    def _mask_known(self, text: str, beginnings: re.Pattern[str]) -> str:
        """The text without what is known, the first and the longest of it first."""
        parts: list[str] = []
        done = at = 0
        while (found := beginnings.search(text, at)) is not None:
            start = found.start()
            before, there = text[max(0, start - 1) : start], text[start : start + self._longest + 1]
            length = _length_at(there, before, self._by_beginning[found[0][:MIN_SECRET]], self._cuts)
            at = start + (length or 1)
            if length:
                parts += (text[done:start], MASK)
                done = at
        return "".join((*parts, text[done:]))

    def holds_known(self, text: str) -> bool:
        """Whether a text contains a known secret, in one of the spellings that are masked."""
        return self._beginnings is not None and self._mask_known(text, self._beginnings) != text

    def clean(self, text: str) -> str:
        if self._beginnings is not None:
            text = self._mask_known(text, self._beginnings)
        if _INVITE not in text and _SIGNS.search(text) is None:
            return mask_keys(text) if KEY_PREFIX in text or JWT_BEGINNING in text else text
        folded = text.casefold()
        for hint in _HINTS:
            if hint in folded:
                for shape, replacement in _SHAPES:
                    text = shape.sub(replacement, text)
                return mask_keys(text)
        return mask_keys(text) if JWT_BEGINNING in text else text


def _spellings(text: str) -> frozenset[str]:
    if len(text) < MIN_SECRET:
        return frozenset()
    quoted = quote(text, safe="")
    return frozenset({text, quoted, quoted.replace("%20", "+"), json.dumps(text)[1:-1], repr(text)[1:-1]})


def _length_at(there: str, before: str, spellings: list[str], cuts: set[str]) -> int:
    """How many characters at the beginning of a text are secret, of all spellings that begin alike, in order: the
    longest of them that is whole, or what a cut left of one. `before` is the character before the text, `cuts` are
    `_short_cuts` of all spellings.

    It costs no more with ten thousand spellings: anybody can send their beginning a thousand times in a path.
    """
    at = bisect(spellings, there)
    beside = spellings[max(0, at - 1) : at + 1]
    length = max(_cut_length(there, each) for each in beside)
    left = there[: max(_shared_length(there, each) for each in beside)]
    if left in cuts and not _IN_WORDS.match(there[len(left) :]):  # of a shorter spelling, too
        length = max(length, len(left))
    while at:
        spelling = spellings[at - 1]
        shared = _shared_length(there, spelling)
        if shared == len(spelling) and (shared >= MIN_SECRET_IN_WORDS or _is_word(before, there[shared:])):
            return max(length, shared)
        at = bisect(spellings, there[:shared], 0, at - 1)  # all shorter ones lie before what is shared
    return length


def _cut_length(there: str, spelling: str) -> int:
    """How many characters a cut within a word of a spelling left of it; 0 where it did not."""
    least = _least_cut(spelling)
    if not there.startswith(spelling[:least]) or there.startswith(spelling):
        return 0
    length = _shared_length(there, spelling)
    return length if _is_within_word(spelling, length) and not _IN_WORDS.match(there[length:]) else 0


def _least_cut(spelling: str) -> int:
    """How many characters of a spelling are masked where a cut left no more."""
    return max(MIN_CUT, min(MAX_CUT, len(spelling) // 2))


def _is_within_word(spelling: str, length: int) -> bool:
    """Whether a cut behind so many characters is within a word."""
    return all(map(_IN_WORDS.match, spelling[length - 1 : length + 1]))


def _short_cuts(spelling: str) -> Iterator[str]:
    """What a cut within a word can leave of a spelling, with fewer than `MAX_CUT` characters."""
    for length in range(_least_cut(spelling), min(MAX_CUT, len(spelling))):
        if _is_within_word(spelling, length):
            yield spelling[:length]


def _shared_length(text: str, spelling: str) -> int:
    """How many characters both have in common at their beginnings."""
    if text.startswith(spelling):
        return len(spelling)
    pairs = enumerate(zip(text, spelling, strict=False))
    return next((at for at, (one, other) in pairs if one != other), min(len(text), len(spelling)))


def _is_word(before: str, after: str) -> bool:
    """Whether what stands between these is a word of its own."""
    return not (_IN_WORDS.match(before) or _IN_WORDS.match(after))
