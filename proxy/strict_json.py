"""JSON that every reader must understand in the same way: anything else is an error. Pure.

`JsonBody` is the body of a request that several readers look into: it is decoded once for all of them, and what costs
too much is not decoded at all.
"""

from __future__ import annotations

import json
import math
import re
from binascii import a2b_base64
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any, Final, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

T = TypeVar("T")

_BETWEEN = "\n"
_PUNCTUATION = re.compile(r"[^a-z0-9\n]")
_MARK = "\ufeff"
_WHITESPACE: Final = " \t\n\r"
_BEGINNINGS: Final = '{["'
_BLANKS = re.compile(r"[\s\x00-\x20\ufeff,]*")
"""All that some reader takes away around a value in a text, or between values."""


_SHIFTED = re.compile(rb"\+[A-Za-z0-9/+]{3,}")
"""What UTF-7 takes for encoded characters: at least one of 16 bits."""
MAX_COST: Final = 131_072
"""The largest `cost_of` a body that is decoded: about a tenth of a second of judging. A body of 256 KiB that changes a
thousand keywords costs 100,000."""
_BYTES_PER_COST: Final = 8
_SIGNS: Final = b'{[:,"\\%'
"""What each part of a JSON text has at least one of, and each escape in it."""


class UnclearBody(ValueError):
    """Another reader may find something else in it."""


class AlikeNames(UnclearBody):
    """The names in an object are not plain, or too much alike."""

    def __init__(self) -> None:
        super().__init__(
            "an object in the body has names that are not ASCII, or differ in case and punctuation only; rename them"
        )


class NotUtf8(UnclearBody):
    """A body is in another encoding than UTF-8 (RFC 8259, 8.1), or may be JSON of another meaning in one."""

    def __init__(self) -> None:
        super().__init__(
            "it is not UTF-8 without a byte order mark, or another encoding may find other JSON in it; send plain UTF-8"
        )


class TooCostly(ValueError):
    """A body has so many parts that looking at all would take too long."""

    def __init__(self) -> None:
        super().__init__("the body has too many parts to be checked; send fewer of them in one request")


class JsonBody:
    """The body `raw` of a request, decoded when the first reader asks for its value, and once for all readers.

    Nothing is decoded of a body that costs more than `MAX_COST`.
    """

    __slots__ = ("_failed", "_is_clear", "_value", "raw")

    def __init__(self, raw: bytes) -> None:
        self.raw = raw
        self._value: Any = None
        self._is_clear: bool | None = None
        self._failed = False

    def __repr__(self) -> str:
        return f"<JsonBody of {len(self.raw)} bytes>"

    def costs_more_than(self, limit: int) -> bool:
        """Whether `cost_of` the body is larger than `limit`. The size of most bodies suffices to tell."""
        size = len(self.raw)
        if size + size // _BYTES_PER_COST <= limit:
            return False
        return size // _BYTES_PER_COST > limit or cost_of(self.raw) > limit

    def read(self, *, strictly: bool) -> Any:
        """What `read_json` finds in the body. Raises `TooCostly`, and `AlikeNames` strictly, too."""
        if self._is_clear is None and not self._failed:
            if self.costs_more_than(MAX_COST):
                raise TooCostly
            self._failed = True
            self._value, self._is_clear = _decode(self.raw)
            self._failed = False
        if self._failed:
            raise UnclearBody
        if strictly and not self._is_clear:
            raise AlikeNames
        return self._value

    def exact(self, *, strictly: bool = True) -> Any:
        """What `read` finds, with a `Decimal` for each number that is not an integer: amounts are compared digit by
        digit. Raises what `read` raises. Each call decodes the body again."""
        if self.costs_more_than(MAX_COST):
            raise TooCostly
        value, is_clear = _decode(self.raw, _DECIMALS.__getitem__)
        if strictly and not is_clear:
            raise AlikeNames
        return value

    def walk_exact(self, walk: Callable[[Any], tuple[T, int]]) -> tuple[Any, T]:
        """What `exact` finds strictly, and what `walk` makes of that. Raises what `exact` raises.

        `walk` also tells how many members it has met in objects whose names differ clearly. It counts none twice. Where
        these are all that the text can have, the objects are not looked at a second time, which halves the work.
        """
        if self.costs_more_than(MAX_COST):
            raise TooCostly
        text = _text_of(self.raw)
        value, end = _EXACT.raw_decode(text)
        if end < len(text):
            raise json.JSONDecodeError("Extra data", text, end)
        found, members = walk(value)
        if not _may_have(text, members):
            self.exact()
        return value, found


def cost_of(body: bytes) -> int:
    """How much work the parts of a JSON body can make at most, whatever they are: a part costs about a microsecond.

    Counts brackets that open, colons, commas, quotes, backslashes and percent signs, and every eighth byte.
    """
    return len(body) // _BYTES_PER_COST + len(body) - len(body.translate(None, _SIGNS))


def read_json(body: bytes, *, strictly: bool) -> Any:
    """The value of a body, if every reader of JSON must find the same. Raises `ValueError` or `RecursionError`.

    No object has a name twice; `strictly`, every name is plain, and differs from the others also for who takes no
    notice of case and punctuation.
    """
    value, is_clear = _decode(body)
    if strictly and not is_clear:
        raise UnclearBody
    return value


class JsonTexts:
    """Reads the JSON that texts begin with, and takes it more widely than JSON has it: a reader of the text may stop
    behind its first value, read one after the other, or take control characters as they are."""

    __slots__ = ("_decoder", "_objects")

    def __init__(self) -> None:
        self._objects = _Objects()
        self._decoder = json.JSONDecoder(
            object_pairs_hook=self._objects.strict, parse_constant=_constant, parse_float=_float, strict=False
        )

    def read(self, text: str) -> tuple[list[Any], bool]:
        """The values with which a text begins, if the first is an object, a list or a text, and whether nothing else
        follows. Raises `UnclearBody` for what readers understand differently, and for what only they can decode: too
        deep, or a number of too many digits."""
        values: list[Any] = []
        at = _end_of_blanks(text, 0)
        while at < len(text) and (values or text[at] in _BEGINNINGS):
            try:
                value, at = self._decoder.raw_decode(text, at)
            except json.JSONDecodeError:
                break
            except (ValueError, RecursionError):
                raise UnclearBody from None
            values.append(value)
            at = _end_of_blanks(text, at)
        if not self._objects.are_clear:
            raise UnclearBody
        return values, at >= len(text)


def _end_of_blanks(text: str, at: int) -> int:
    found = _BLANKS.match(text, at)
    return at if found is None else found.end()


def _float(text: str) -> float:
    """One reader makes infinity of a number such as 1e999, another one an error."""
    value = float(text)
    if math.isinf(value):
        raise UnclearBody
    return value


_SHORT: Final = 64
"""Digits of a number that is finite to every reader, if it has no exponent."""


def _decimal(text: str) -> Decimal:
    """The same, exactly. An exponent that no `Decimal` can have is 0 to one reader and an error to another."""
    if len(text) <= _SHORT and "e" not in text and "E" not in text:
        return Decimal(text)
    _float(text)
    try:
        return Decimal(text)
    except InvalidOperation:
        raise UnclearBody from None


_MAX_DECIMALS: Final = 4096
_MAX_DIGITS: Final = 16


class _Decimals(dict[str, Decimal]):
    """Numbers by their texts. Short ones are remembered: amounts have few digits, and come again and again."""

    __slots__ = ()

    def __missing__(self, text: str) -> Decimal:
        number = _decimal(text)
        if len(text) <= _MAX_DIGITS:
            if len(self) >= _MAX_DECIMALS:
                self.clear()
            self[text] = number
        return number


_DECIMALS: Final = _Decimals()


def _text_of(body: bytes) -> str:
    """The text of a body, without the blanks that JSON permits around its value. Raises `NotUtf8`."""
    try:
        text = body.decode("utf-8").strip(_WHITESPACE)
    except UnicodeDecodeError:
        raise NotUtf8 from None
    if text.startswith(_MARK) or "\0" in text or ("+" in text and _may_be_utf_7(body)):
        raise NotUtf8  # JSON has no NUL; UTF-16 and UTF-32 have one next to each ASCII character
    return text


def _may_be_utf_7(body: bytes) -> bool:
    """Whether UTF-7 (RFC 2152) finds quotes or backslashes in it that UTF-8 does not. Nothing else that UTF-7 encodes
    gives a text another end."""
    for run in _SHIFTED.findall(body):
        text = a2b_base64(run[1:] + b"A" * (-(len(run) - 1) % 4)).decode("utf-16-be", "ignore")
        if '"' in text or "\\" in text:
            return True
    return False


def _decode(body: bytes, number: Callable[[str], Any] = _float) -> tuple[Any, bool]:
    """The value of a body, in which no object has a name twice, and whether the names in each object differ clearly.
    `number` reads each number that is not an integer.

    A decoder that keeps the last of equal names is much faster than one that is asked about each member. Every member
    has a colon of its own: where as many are kept as there may be, none was dropped. Only where texts have colons too,
    it may take a second look.
    """
    text = _text_of(body)
    objects = _Objects()
    value = json.loads(text, object_hook=objects.look_at, parse_constant=_constant, parse_float=number)
    if not _may_have(text, objects.members):
        objects = _Objects()
        value = json.loads(text, object_pairs_hook=objects.strict, parse_constant=_constant, parse_float=number)
    return value, objects.are_clear


_BEFORE_VALUES: Final = ('":', " :", "\t:", "\n:", "\r:")
"""Each name ends with one of these. Texts may have them, too."""


def _may_have(text: str, members: int) -> bool:
    """Whether so many members are all that the objects of a text can have. More than they have is never told: each has
    a colon."""
    return members == text.count(":") or members == sum(map(text.count, _BEFORE_VALUES))


def differ_clearly(names: Iterable[str]) -> bool:
    """Whether names are plain, and differ also for who takes no notice of case and punctuation."""
    given = tuple(names)
    if not given:
        return True
    text = _BETWEEN.join(given)
    if not text.isascii() or "\\" in text or text.count(_BETWEEN) >= len(given):
        return False
    return len(given) == 1 or len(set(_PUNCTUATION.sub("", text.lower()).split(_BETWEEN))) == len(given)


_CLEAR: Final[set[tuple[str, ...]]] = set()
"""The names of objects that differ clearly: bodies have few forms, and the same names are looked at once."""
_MAX_CLEAR: Final = 1024
_MAX_NAMES: Final = 1024
"""Characters of the names that are remembered of one object."""


class _Objects:
    """The objects of one text: `are_clear` tells whether the names in each of them differ clearly, and `members` counts
    those that are kept."""

    __slots__ = ("are_clear", "members")

    def __init__(self) -> None:
        self.are_clear = True
        self.members = 0

    def look_at(self, found: dict[str, Any]) -> dict[str, Any]:
        names = tuple(found)
        self.members += len(names)
        if names not in _CLEAR and self.are_clear:
            self.are_clear = differ_clearly(names)
            if self.are_clear and sum(map(len, names)) <= _MAX_NAMES:
                if len(_CLEAR) >= _MAX_CLEAR:
                    _CLEAR.clear()
                _CLEAR.add(names)
        return found

    def strict(self, pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        return self.look_at(_object(pairs))


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise UnclearBody
    return found


def _constant(_name: str) -> None:
    """NaN and Infinity are no JSON (RFC 8259, 6)."""
    raise UnclearBody


_EXACT: Final = json.JSONDecoder(parse_constant=_constant, parse_float=_DECIMALS.__getitem__)
"""Reads numbers exactly, and keeps the last of equal names. To make one takes as long as to decode a short text."""
