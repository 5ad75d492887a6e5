"""What some reader may take for money: names, numbers, and texts. Pure."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Any, Final

from proxy.strict_json import JsonTexts, UnclearBody

_WORDS: Final = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")
_MONEY_WORDS: Final = frozenset(
    (
        *("adjustment", "adjustments", "cap", "caps", "charge", "charges", "cpa", "cpc", "cpm", "cpv", "credit"),
        *("credits", "fee", "fees", "flight", "flights", "impressions", "limit", "limits", "money"),
        *("months", "multiplier", "multipliers", "pay", "payment", "payments", "percent", "percentage", "percentages"),
        *("quantities", "quantity", "roas", "vcpm"),
    )
)
_MONEY_PARTS: Final = ("budget", "bid", "spend", "price", "cost", "amount", "currenc", "monetar")
STATE_MEMBER: Final = "state"
"""The member that new objects lack which are enabled from the start, whatever their writer says."""
STATES: Final = frozenset((STATE_MEMBER, "status"))
_ID_WORDS: Final = frozenset(("id", "ids"))
_NUMBER: Final = re.compile(r"\s*([+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]{1,4})?)\s*")
_AMOUNT: Final = re.compile(
    r"(?:[\W_]*[A-Za-z]{3})?[\W_]*(?:0[xX][0-9a-fA-F]+|\d[\d.,_'\s]*(?:[eE][+-]?\d+)?[dDfF]?)[\W_]*(?:[A-Za-z]{3}[\W_]*)?"
)
"""A text that some reader takes for a number: with signs, blanks, separators, or a currency's sign or code on either
side."""
_MAX_DIGITS: Final = 64
_MAX_EXPONENT: Final = 30
_LARGEST: Final = 10**_MAX_EXPONENT
_MAX_NESTED: Final = 4


def is_money_like(name: str) -> bool:
    """Whether the name of a member sounds like money: it has a word or a part that money is called by."""
    lower = name.lower().replace("recurrence", "")  # "currenc" is in it
    return any(part in lower for part in _MONEY_PARTS) or not _MONEY_WORDS.isdisjoint(_words(name))


def may_be_money(name: str) -> bool:
    """Whether a parameter of this name may be money, or a state, to a server that takes it for a member of a body."""
    return not STATES.isdisjoint(_words(name)) or (is_money_like(name) and not is_id(name))


def _words(name: str) -> list[str]:
    """The words of a name, split at case, underscores and hyphens."""
    return [word.lower() for word in _WORDS.findall(name)]


def is_id(name: str) -> bool:
    """Whether the name is that of an id: ids of budget rules and bids are numbers, too."""
    words = _words(name)
    return bool(words) and words[-1] in _ID_WORDS


def fold(name: str) -> str:
    """A name as readers find it that take no notice of case and punctuation."""
    return "".join(filter(str.isalnum, name.lower()))


def number_of(value: Any) -> Decimal | None:
    """The number that a value is, exactly, in any spelling; None for anything else, and for absurd sizes."""
    kind = type(value)
    if kind is Decimal:
        number = value
    elif kind is int:
        return Decimal(value) if -_LARGEST < value < _LARGEST else None
    elif kind is str and len(value) <= _MAX_DIGITS and (text := _NUMBER.fullmatch(value)) is not None:
        number = Decimal(text[1])
    else:
        return None
    return number if -_MAX_EXPONENT <= number.adjusted() <= _MAX_EXPONENT and len(str(number)) <= _MAX_DIGITS else None


def may_be_amount(value: object) -> bool:
    """Whether some reader takes a value for a number."""
    if isinstance(value, str):
        return _AMOUNT.fullmatch(value[: 2 * _MAX_DIGITS]) is not None
    return isinstance(value, int | float | Decimal) and not isinstance(value, bool)


def holds_money(text: str, level: int = 0, *, is_money: bool = False) -> bool:
    """Whether a text is JSON in which a member may be money or a state, or that readers understand differently; or any
    JSON, where all `is_money`."""
    try:
        left: list[Any] = JsonTexts().read(text)[0]
    except UnclearBody:
        return True
    if is_money and left:
        return True
    while left:
        value = left.pop()
        if isinstance(value, dict):
            if any(is_money_like(name) or fold(name) in STATES for name in value):
                return True
            left.extend(value.values())
        elif isinstance(value, list):
            left.extend(value)
        elif isinstance(value, str) and (level >= _MAX_NESTED or holds_money(value, level + 1)):
            return True
    return False
