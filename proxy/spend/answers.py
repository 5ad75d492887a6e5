"""The answers to writes that limits refuse: problem documents, and texts for language models. Pure.

Nothing of a refused write has left, which each answer says.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from proxy.errors import OverLimit, SpendUnreadable
from proxy.events import SpendRule, SpendVerdict
from proxy.spend.judge import MAX_VIOLATIONS

if TYPE_CHECKING:
    from proxy.errors import Refused
    from proxy.events import SpendJudgement, SpendViolation

MAX_TOLD: Final = 100
"""Violations in one answer."""
_MAX_NAMED: Final = 5
"""Violations in one sentence."""
_PERIODS: Final = {
    SpendRule.NEW_PER_DAY: "new objects a day",
    SpendRule.BUDGET_PER_DAY: "of budgets a day",
}


def refusal_of(judged: SpendJudgement) -> Refused:
    """The problem document of a write that is over a limit, or that cannot be read; it may be both."""
    unreadable = {"unreadable": list(judged.unread[:MAX_TOLD])} if judged.unread else {}
    if judged.verdict is SpendVerdict.OVER:
        told = [violation.members for violation in judged.violations[:MAX_TOLD]]
        refusal = OverLimit(f"Nothing was changed. {describe_violations(judged.violations)}")
        return refusal.saying(violations=told, **unreadable)
    return SpendUnreadable(f"Nothing was changed. {_join(judged.unread)}").saying(**unreadable)


def text_for_models(judged: SpendJudgement) -> str:
    """The same for a language model: what was refused, what would pass, and whom to ask."""
    if judged.verdict is SpendVerdict.OVER:
        ask = "Repeat the call with values within these limits, or ask the operator of the proxy to change `spend`."
        unread = f" {_join(judged.unread)}" if judged.unread else ""
        return (
            f"Nothing was changed. {describe_violations(judged.violations)}{unread} {ask} Do not repeat it unchanged."
        )
    ask = "Send the change in another way, or ask the operator of the proxy. Do not repeat it unchanged."
    return (
        f"Nothing was changed, because the proxy cannot read what this call would spend. {_join(judged.unread)} {ask}"
    )


def describe_violations(violations: tuple[SpendViolation, ...]) -> str:
    """What is over which limit, in sentences."""
    named = " ".join(map(_sentence, violations[:_MAX_NAMED]))
    more = len(violations) - _MAX_NAMED
    if more <= 0:
        return named
    fewer = " Send fewer items in one request." if len(violations) >= MAX_VIOLATIONS else ""
    return f"{named} {more} more violations follow.{fewer}"


def _sentence(violation: SpendViolation) -> str:
    rule, path, value, currency, limit = violation
    what = f"{path} is {value}" if path else value
    if rule is SpendRule.HOURS:
        return f"Writes may leave {limit} only (`hours`)."
    if rule is SpendRule.STATES:
        return f"{what}, and may be {limit} only (`states`)."
    if limit is None:
        return f"{what} {currency}, and there is no limit for {currency} (`{rule}`)."
    if rule in _PERIODS:
        asked, allowed = _amount(value, currency), _amount(limit, currency)
        return f"The day would come to {asked}, and {allowed} {_PERIODS[rule]} are the limit (`{rule}`)."
    if rule is SpendRule.BID_ADJUSTMENT:
        return f"{what} %, and {limit} % is the limit (`{rule}`)."
    return f"{what} {currency}, and {_amount(limit, currency)} is the limit (`{rule}`)."


def _amount(value: str, currency: str) -> str:
    return f"{value} {currency}" if currency else value


def _join(sentences: tuple[str, ...]) -> str:
    """The first of these sentences, and how many there are more."""
    more = len(sentences) - _MAX_NAMED
    told = " ".join(sentences[:_MAX_NAMED])
    return f"{told} There are {more} more reasons." if more > 0 else told
