"""What the limits of a client say of a write that was read, and what the write takes of its day. Pure.

A rule that is not configured judges nothing. A rule in currencies binds each currency: an amount in one without a limit
is over it. What cannot be told, such as hours without a time zone, makes a write unreadable. A write that is over a
limit is `over`, also where parts of it are unreadable.
"""

from __future__ import annotations

from decimal import Context, Decimal
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, NamedTuple, cast

from proxy.events import SpendAmount, SpendJudgement, SpendRule, SpendVerdict, SpendViolation
from proxy.spend.findings import path_text
from proxy.spend.local_time import local_time
from proxy.spend.table import Kind

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from proxy.spend.findings import FoundMember, Payer, WriteFindings
    from proxy.spend.limits import Hours, SpendLimits

    _Extent = tuple[dict[str, Any], dict[str, Any], dict[str, Any], set[object]]
    """How far a write goes: its largest budgets, bids and adjustments by currency, and its states."""

MAX_VIOLATIONS: Final = 100
_EXACT: Final = Context(prec=200)
"""Amounts have at most 64 digits, and a write at most some ten thousand of them: no sum is rounded."""
_NOTHING: Final[Mapping[str, Decimal]] = MappingProxyType({})
_ZERO: Final = Decimal(0)
_BUDGET, _BID, _STATE, _ADJUSTMENT = Kind.BUDGET, Kind.BID, Kind.STATE, Kind.ADJUSTMENT
_RULE_BUDGET, _RULE_BID, _RULE_ADJUSTMENT = SpendRule.BUDGET, SpendRule.BID, SpendRule.BID_ADJUSTMENT
_WITHIN, _OVER, _UNREADABLE = SpendVerdict.WITHIN, SpendVerdict.OVER, SpendVerdict.UNREADABLE
"""By names of their own: to find a member of an Enum takes longer than to judge a finding."""
_NAME_IT: Final = "Name a profile or an ads account whose time zone is known"


class Reservation(NamedTuple):
    """What a write takes of its day: the objects that it creates, and the budgets that it sets, summed by currency."""

    created: int
    budgets: tuple[tuple[str, Decimal], ...]


class DayUse(NamedTuple):
    """What the writes of a client have taken of a day."""

    created: int = 0
    budgets: Mapping[str, Decimal] = _NOTHING


def judge(found: WriteFindings, limits: SpendLimits, payer: Payer, now: float) -> SpendJudgement:
    """What the limits say of a write at this wall-clock time, whatever its day has taken: that is for `judge_day`."""
    wanted = reservation_of(found, limits)
    extent = _extent_of(found.members)
    violations = _of_members(found.members, limits) if _is_beyond(limits, extent) else []
    if wanted is not None:
        violations += _without_limit(wanted, limits)
    unread = found.unread
    if limits.hours is not None:
        is_permitted = limits.hours.permits(now, payer.timezone)
        if is_permitted is None:
            unread += (f"The time zone of `hours` is not known. {_NAME_IT}, or ask the operator to write it there.",)
        elif not is_permitted:
            violations.append(_outside_of(limits.hours, payer, now))
    if wanted is not None and not day_of(payer, now):
        unread += (f"The day that `new_per_day` and `budget_per_day` count is not known. {_NAME_IT}.",)
    verdict = _OVER if violations else _UNREADABLE if unread else _WITHIN
    first = tuple(violations[:MAX_VIOLATIONS])
    return SpendJudgement(limits.mode, verdict, first, unread, found.unknown, _largest(extent))


def judge_departure(judged: SpendJudgement, limits: SpendLimits, payer: Payer, now: float) -> SpendJudgement:
    """The judgement of a write that leaves now, and was judged before: its hours may have ended since. One that was
    outside of them then, and may leave nevertheless, may leave now."""
    hours = limits.hours
    if hours is None or hours.permits(now, payer.timezone) is not False:
        return judged
    if any(each.rule is SpendRule.HOURS for each in judged.violations):
        return judged
    violations = (*judged.violations, _outside_of(hours, payer, now))
    return judged._replace(violations=violations, verdict=SpendVerdict.OVER)


def _outside_of(hours: Hours, payer: Payer, now: float) -> SpendViolation:
    local = local_time(now, payer.timezone) or local_time(now, "UTC")
    return SpendViolation(SpendRule.HOURS, "", "" if local is None else local.text, "", hours.text)


def judge_day(judged: SpendJudgement, wanted: Reservation, limits: SpendLimits, used: DayUse) -> SpendJudgement:
    """The judgement of a write with what its day says of it, too. `used` is what that has taken before."""
    violations = *judged.violations, *_of_day(wanted, limits, used)
    verdict = SpendVerdict.OVER if violations else judged.verdict
    return judged._replace(violations=violations[:MAX_VIOLATIONS], verdict=verdict)


def day_of(payer: Payer, now: float) -> str:
    """The date (ISO 8601) in the payer's time zone; empty where that is unknown."""
    local = local_time(now, payer.timezone)
    return "" if local is None else local.date


def reservation_of(found: WriteFindings, limits: SpendLimits) -> Reservation | None:
    """What a write takes of its day before it leaves, if rules count that; None for nothing."""
    if limits.new_per_day is None and limits.budget_per_day is None:
        return None
    reservation = succeeded_part(found, limits, frozenset())
    return reservation if reservation.created or reservation.budgets else None


def succeeded_part(found: WriteFindings, limits: SpendLimits, failed_items: frozenset[int]) -> Reservation:
    """What a write has taken of its day, once some items of its list have failed. What belongs to no single item has
    succeeded, as far as can be told."""
    failed = len([item for item in failed_items if 0 <= item < found.items])
    created = found.created - (failed if found.created == found.items else 0)
    budgets: dict[str, Decimal] = {}
    for _, kind, value, currency, _, _, item in _typed(found.members) if limits.budget_per_day is not None else ():
        if kind is _BUDGET and currency and item not in failed_items:
            budgets[currency] = _EXACT.add(budgets.get(currency, _ZERO), value)
    return Reservation(created if limits.new_per_day is not None else 0, tuple(budgets.items()))


def _typed(members: tuple[FoundMember, ...]) -> tuple[tuple[Any, ...], ...]:
    """The same: the kind of each tells the type of its value."""
    return cast("tuple[tuple[Any, ...], ...]", members)


def _text(amount: Decimal) -> str:
    """An amount in plain decimal notation."""
    text = str(amount)
    return format(amount, "f") if "E" in text else text


def _of_members(members: tuple[FoundMember, ...], limits: SpendLimits) -> list[SpendViolation]:
    """Each member that is over a limit of its own, up to `MAX_VIOLATIONS`."""
    budget, bid, adjustment, states = limits.budget, limits.bid, limits.bid_adjustment, limits.states
    found: list[SpendViolation] = []
    for place, kind, value, currency, *_ in _typed(members):
        if kind is _BUDGET:
            if budget is not None and _is_over(value, currency, budget):
                found.append(_over(_RULE_BUDGET, place, value, currency, budget))
        elif kind is _BID:
            if bid is not None and _is_over(value, currency, bid):
                found.append(_over(_RULE_BID, place, value, currency, bid))
        elif kind is _STATE:
            if states is not None and value not in states:
                told = ", ".join(sorted(states))
                found.append(SpendViolation(SpendRule.STATES, path_text(place), str(value), "", told))
        elif kind is _ADJUSTMENT and adjustment is not None and value > adjustment:
            found.append(SpendViolation(_RULE_ADJUSTMENT, path_text(place), _text(value), "", _text(adjustment)))
        if len(found) >= MAX_VIOLATIONS:
            break
    return found


def _extent_of(members: tuple[FoundMember, ...]) -> _Extent:
    """The largest amounts of a write, and its states."""
    budgets: dict[str, Any] = {}
    bids: dict[str, Any] = {}
    adjustments: dict[str, Any] = {}
    states: set[object] = set()
    for _, kind, value, currency, _, _, _ in members:
        if kind is _STATE:
            states.add(value)
            continue
        largest = budgets if kind is _BUDGET else bids if kind is _BID else adjustments if kind is _ADJUSTMENT else None
        if largest is not None:
            before = largest.get(currency)
            if before is None or value > before:
                largest[currency] = value
    return budgets, bids, adjustments, states


def _is_beyond(limits: SpendLimits, extent: _Extent) -> bool:
    """Whether some member is over a limit of its own: none is where the largest is not."""
    budgets, bids, adjustments, states = extent
    if states and limits.states is not None and not states <= limits.states:
        return True
    if budgets and limits.budget is not None and _exceeds(budgets, limits.budget):
        return True
    if bids and limits.bid is not None and _exceeds(bids, limits.bid):
        return True
    return bool(adjustments) and limits.bid_adjustment is not None and max(adjustments.values()) > limits.bid_adjustment


def _largest(extent: _Extent) -> tuple[SpendAmount, ...]:
    """The largest amount for each rule and currency, whether a limit is configured or not."""
    found: list[SpendAmount] = []
    budgets, bids, adjustments, _ = extent
    for rule, largest in (_RULE_BUDGET, budgets), (_RULE_BID, bids), (_RULE_ADJUSTMENT, adjustments):
        for currency, most in largest.items() if largest else ():
            found.append(SpendAmount(rule, currency, _text(most)))
    return (*found,)


def _exceeds(largest: dict[str, Decimal], limits: Mapping[str, Decimal]) -> bool:
    """Whether one of these amounts is over the limit of its currency, or has none."""
    for currency, amount in largest.items():
        limit = limits.get(currency)
        if limit is None or amount > limit:
            return True
    return False


def _is_over(amount: Decimal, currency: str, limits: Mapping[str, Decimal]) -> bool:
    """Whether an amount is over the limit of its currency, or has none. An amount without a known currency is
    unreadable already."""
    limit = limits.get(currency)
    return bool(currency) if limit is None else amount > limit


def _over(rule: SpendRule, place: Any, amount: Decimal, currency: str, limits: Mapping[str, Decimal]) -> SpendViolation:
    limit = limits.get(currency)
    told = None if limit is None else _text(limit)
    return SpendViolation(rule, path_text(place), _text(amount), currency, told)


def _without_limit(wanted: Reservation, limits: SpendLimits) -> Iterator[SpendViolation]:
    """The sums in a currency without a limit of the day: these are over it whatever the day has taken."""
    for currency, amount in wanted.budgets:
        if currency not in (limits.budget_per_day or _NOTHING):
            yield SpendViolation(SpendRule.BUDGET_PER_DAY, "", _text(amount), currency, None)


def _of_day(wanted: Reservation, limits: SpendLimits, used: DayUse) -> Iterator[SpendViolation]:
    """The sums that the day would come to, where they are over a limit."""
    if limits.new_per_day is not None and wanted.created:
        created = used.created + wanted.created
        if created > limits.new_per_day:
            yield SpendViolation(SpendRule.NEW_PER_DAY, "", str(created), "", str(limits.new_per_day))
    for currency, amount in wanted.budgets:
        limit = (limits.budget_per_day or _NOTHING).get(currency)
        total = _EXACT.add(used.budgets.get(currency, _ZERO), amount)
        if limit is not None and total > limit:
            yield SpendViolation(SpendRule.BUDGET_PER_DAY, "", _text(total), currency, _text(limit))
