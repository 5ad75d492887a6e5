"""Members of JSON that name an account which is not the client's own: in messages to the MCP endpoint. Pure.

Members are looked at by their names: known ones, and similar ones (docs/reference/operations.md, Names of accounts).
"""

from __future__ import annotations

import re
from typing import Any, Final, NamedTuple

from proxy.access.own_accounts import READINGS, SCOPE_ENDING, OwnAccounts
from proxy.http1.target import percent_decoded
from proxy.routing.ads_account import any_names_account, names_account
from proxy.strict_json import JsonTexts, UnclearBody
from proxy.value_classes import dataclass

_ALIKE = re.compile(
    rb"accessrequestedaccount|managerid|accountselectionmode|apiscope\Z"
    rb"|(?:account|advertiser|manager|profile)s?(?:context|filter|list|scope|selection|selector)?\Z"
)
"""Names that are accounts in JSON only, in addition to those that are everywhere; without case and punctuation."""
_IN_TEXT = re.compile(
    rb"(?:accountid|advertiserid|entityid|manageraccount|instanceid|profileid|marketplaceid|managerid|"
    rb"accessrequestedaccount|apiscope)(?:[a-z0-9]{0,40}[:=>]|[a-z]{0,12}[0-9]{6})"
)
"""A name with a value in a text without case and punctuation: `{profileId: 1}`, `?account_ids=1`, `profileId IN
(123456)`."""
_ESCAPED = re.compile(r"\\(?:u00|x)([0-9a-fA-F]{2})")
_NO_NAMES = bytes(byte for byte in range(256) if chr(byte) not in "abcdefghijklmnopqrstuvwxyz0123456789:=>")
_NO_PLAIN = bytes(byte for byte in range(256) if chr(byte) not in "abcdefghijklmnopqrstuvwxyz0123456789")
_MAY_BE_ID = re.compile(r"[0-9.]")
"""What a name below an account's has if it may be an id: `{"profiles": {"123": {}}}`."""
_BLANK = re.compile(r"\s")
_KIND = re.compile(r"(?i)type|kind|level|scope")
_HOLDS_VALUE = re.compile(r"(?i)value|operand|literal|equals|(?:eq|in|right|rhs)\Z")
_NO_ID = re.compile(
    r"[^0-9\x80-\U0010ffff]*|(?!amzn)[a-z][A-Za-z_.]*[0-9]{1,2}[A-Za-z]{0,4}"
    r"|[0-9]{4}-[0-9]{2}-[0-9]{2}(?:T[0-9:.]{5,15}Z?)?"
)
"""Texts next to an account's name that are no account: without a digit, such as `EQUALS`, columns, such as `sales14d`,
and dates."""
_MAX_COUNT = 1000
"""Smaller numbers are none either, but limits and offsets, and fractions are amounts."""
_MOST_ALONE = 3
"""Members of an object that is a name alone: `{"type": "column", "name": "profileId"}`."""
_BARE_NAME = re.compile(rb"(?:account|advertiser|profile)s?")
_PLAIN_NAME = re.compile(r"[A-Za-z0-9_.\[\]-]+")
_LONGEST = 64
"""Characters of a name that are told."""
MAX_TEXTS: Final = 1000
"""Texts in one body that begin with JSON, which is read: as many as keywords that Amazon takes at once."""
_MAX_CHARACTERS: Final = 1 << 19
"""All characters of such texts. A text in a text counts again, as it is read again."""
_SHORTEST: Final = 9
"""Characters of `apiscope:`, the shortest name with a value; no notation is shorter than what it stands for."""


@dataclass(frozen=True, slots=True)
class ForeignMember:
    """A member of JSON that names another account; `is_text` tells that a text below it may do so."""

    name: str
    is_text: bool = False

    @property
    def shown(self) -> str:
        """The name, quoted unless it is plain: it comes from the client."""
        name = self.name[:_LONGEST]
        return name if _PLAIN_NAME.fullmatch(name) else repr(name)

    def __str__(self) -> str:
        return f"a text in {self.shown}" if self.is_text else self.shown


class _Naming(NamedTuple):
    """The account's name that values stand for. `ids_only` tells that it is the value of a member next to them: of
    these, and of all below them, only those count that may be ids."""

    name: str
    ids_only: bool = False

    def is_foreign(self, own: OwnAccounts, value: Any) -> bool:
        """Whether the value is an account that is not the client's own."""
        if self.ids_only and not _may_be_id(value):
            return False
        return not own.hold_member(self.name, value)


def find_foreign_member(own: OwnAccounts, content: Any) -> ForeignMember | None:
    """The first member of a JSON value, at any depth, that names an account which is not the client's own; None for
    none. The names in `content` are plain and differ clearly, as `read_json` has them strictly.

    All values below such a member count, and so do texts that hold JSON, or a name with a value in another notation.
    Raises `TooManyTexts`.
    """
    texts = _NestedTexts()
    waiting: list[tuple[Any, str, _Naming | None]] = [(content, "", None)]
    while waiting:
        value, above, naming = waiting.pop()
        if isinstance(value, dict):
            by_value = _named_by_value(value)
            for name, each in value.items():
                if naming is not None and _MAY_BE_ID.search(name) and naming.is_foreign(own, name):
                    return ForeignMember(naming.name)
                waiting.append((each, name, _naming(name, above) or _of_entry(name, by_value, naming)))
        elif isinstance(value, list):
            if naming is None and (named := _named_in_list(value) or _named_by_object(value)):
                naming = _Naming(named, ids_only=True)
            waiting += [(each, above, naming) for each in value]
        elif naming is not None and naming.is_foreign(own, value):
            return ForeignMember(naming.name)
        elif isinstance(value, str) and (naming is None or naming.ids_only):
            try:
                waiting += [(each, above, naming) for each in texts.read(value)]
            except UnclearBody:
                return ForeignMember(above, is_text=True)
    return None


def _naming(name: str, above: str) -> _Naming | None:
    """The name by which a member names an account, alone or with the member above it; None if there is none."""
    if _names(name):
        return _Naming(name)
    both = f"{above}.{name}"
    return _Naming(both) if above and _names(both) else None


def _names(name: str) -> bool:
    """Whether a member of this name names an account."""
    plain = name.encode("utf-8", "surrogatepass")
    return names_account(plain) or _ALIKE.search(plain.lower().translate(None, _NO_PLAIN)) is not None


class _ByValue(NamedTuple):
    """What the values of an entry's members say: `named` is the account's name that the member `holder` has as its
    value, as in `{"field": "profileId", "operand": "1"}`, and `beside` one that is the name of nothing else. Empty for
    none."""

    named: str = ""
    holder: str = ""
    beside: str = ""


def _named_by_value(entry: dict[str, Any]) -> _ByValue:
    """Look at all members: a clear name counts before a word such as `profile`, and before that of an object."""
    found, alone = _NOTHING_NAMED, ""
    for name, value in entry.items():
        if isinstance(value, str):
            named = value if not _BLANK.search(value.strip()) and _names(value) else ""
        elif isinstance(value, list):
            named = _named_in_list(value)
        else:
            alone = alone or (_named_alone(value) if isinstance(value, dict) else "")
            continue
        if named and _is_clear_name(named):
            return _ByValue(named, name, named)
        if named and not found.named:
            found = _ByValue(named, name)
    return _ByValue(found.named, found.holder, alone) if alone else found


_NOTHING_NAMED: Final = _ByValue()


def _of_entry(name: str, by_value: _ByValue, inherited: _Naming | None) -> _Naming | None:
    """The account's name that a member of an entry has its value for, by another member's value or else `inherited`
    from above: `operand`, or `id` next to a `type`. Next to a name such as `profileId`, all that may be an id counts;
    `profile` may be a word like any other."""
    named, holder, beside = by_value
    if not (named or beside) or name == holder:
        return inherited
    if named and (_HOLDS_VALUE.match(name) or (name.lower().startswith("id") and _KIND.search(holder))):
        return _Naming(named)
    if beside and (inherited is None or inherited.ids_only):
        return _Naming(beside, ids_only=True)
    return inherited


def _named_in_list(entries: list[Any]) -> str:
    """The account's name that an entry of a list is, as in `["profileId", "=", "1"]`; empty for none. A word such as
    `profile` counts before a single other entry only: it may be one of many keywords."""
    texts = [each for each in entries if isinstance(each, str) and len(each) <= _LONGEST]
    if len(entries) == 2 and texts[:1] == entries[:1] and _BARE_NAME.fullmatch(_plain_text(texts[0])):
        return texts[0]
    return next(filter(_is_clear_name, texts), "") if _may_hold_name(texts) else ""


def _named_by_object(entries: list[Any]) -> str:
    """The account's name that an object in a list stands for; empty for none."""
    return next(filter(None, (_named_alone(each) for each in entries if isinstance(each, dict))), "")


def _named_alone(entry: dict[str, Any]) -> str:
    """The account's name that an object stands for which holds nothing else, as in `{"==": [{"var": "profileId"},
    "1"]}`; empty for none."""
    texts = [each for each in entry.values() if isinstance(each, str)] if len(entry) <= _MOST_ALONE else []
    if not texts or len(texts) < len(entry) or any(map(_may_be_id, texts)):
        return ""
    return next(filter(_is_clear_name, texts), "")


def _may_hold_name(texts: list[str]) -> bool:
    """Whether one of many texts may be a clear name: to read each by itself would take thrice as long."""
    written = [text.encode("utf-8", "surrogatepass") for text in texts]
    return any_names_account(written) or SCOPE_ENDING in _plain_text("".join(texts))


def _is_clear_name(name: str) -> bool:
    """Whether a text is the name of nothing but an account: `profileId`, not `profile`."""
    if _BLANK.search(name.strip()):
        return False
    return names_account(name.encode("utf-8", "surrogatepass")) or _plain_text(name).endswith(SCOPE_ENDING)


def _plain_text(name: str) -> bytes:
    return name.lower().encode("utf-8", "surrogatepass").translate(None, _NO_PLAIN)


def _may_be_id(value: Any) -> bool:
    """Whether a value next to an account's name may be an account, or hold one."""
    if isinstance(value, str):
        return _NO_ID.fullmatch(value) is None
    if isinstance(value, float):
        return value.is_integer()
    return value is not None and not (isinstance(value, int) and abs(value) <= _MAX_COUNT)


class TooManyTexts(ValueError):
    """A body holds more texts that look like JSON than are looked into."""

    def __init__(self) -> None:
        super().__init__(
            f"it holds more than {MAX_TEXTS} texts that begin with JSON (an object, a list or a text in quotes), or "
            "too long ones in one another; send them in several messages, or as JSON that is not in a text"
        )


class _NestedTexts:
    """The texts of one body, as far as they were read."""

    __slots__ = ("_characters", "_count", "_json")

    def __init__(self) -> None:
        self._count = self._characters = 0
        self._json = JsonTexts()

    def read(self, text: str) -> list[Any]:
        """The JSON values with which a text begins. Raises `UnclearBody` for a text that is read in two ways, or that
        names an account in another notation, and `TooManyTexts`."""
        values, is_whole = self._json.read(text)
        if values:
            self._count, self._characters = self._count + 1, self._characters + len(text)
            if self._count > MAX_TEXTS or self._characters > _MAX_CHARACTERS:
                raise TooManyTexts
        if not (values and is_whole) and len(text) >= _SHORTEST and _names_in_text(text):
            raise UnclearBody
        return values


def _names_in_text(text: str) -> bool:
    shown = _ESCAPED.sub(lambda found: chr(int(found[1], 16)), text).encode("utf-8", "surrogatepass")
    for _ in range(READINGS):
        if _IN_TEXT.search(shown.lower().translate(None, _NO_NAMES)):
            return True
        decoded = percent_decoded(shown)
        if decoded == shown:
            return False
        shown = decoded
    return True
