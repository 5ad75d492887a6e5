"""What the limits of a client say of findings."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

import pytest

from proxy.events import SpendAmount, SpendJudgement, SpendMode, SpendRule, SpendVerdict, SpendViolation
from proxy.spend.findings import Finding, Payer, WriteFindings
from proxy.spend.judge import (
    MAX_VIOLATIONS,
    DayUse,
    Reservation,
    day_of,
    judge,
    judge_day,
    judge_departure,
    reservation_of,
    succeeded_part,
)
from proxy.spend.limits import Hours, SpendLimits
from proxy.spend.table import Kind

if TYPE_CHECKING:
    from collections.abc import Sequence

PAYER = Payer("USD", "America/Los_Angeles")
NOON = 1_780_340_400.0
"""Monday, 1 June 2026, 12:00 in Los Angeles."""
USD_200 = {"USD": Decimal(200)}


def finding(kind: Kind, value: Decimal | str, currency: str = "", path: str = "x[0].y", item: int = 0) -> Finding:
    return Finding(path, kind, value, currency, "", known=True, item=item)


def budget(value: str, currency: str = "USD", item: int = 0) -> Finding:
    return finding(Kind.BUDGET, Decimal(value), currency, f"campaigns[{item}].budget", item)


def write(*findings: Finding, created: int = 0, items: int = 1, unread: Sequence[str] = ()) -> WriteFindings:
    return WriteFindings(findings, tuple(unread), (), created, items)


@pytest.mark.parametrize(
    ("found", "limits", "violation"),
    [
        (budget("200"), SpendLimits(budget=USD_200), None),
        (
            budget("200.01"),
            SpendLimits(budget=USD_200),
            (SpendRule.BUDGET, "campaigns[0].budget", "200.01", "USD", "200"),
        ),
        (budget("5E+2"), SpendLimits(budget=USD_200), (SpendRule.BUDGET, "campaigns[0].budget", "500", "USD", "200")),
        (budget("1", "EUR"), SpendLimits(budget=USD_200), (SpendRule.BUDGET, "campaigns[0].budget", "1", "EUR", None)),
        (budget("999"), SpendLimits(bid=USD_200), None),
        (budget("999", ""), SpendLimits(budget=USD_200), None),
        (finding(Kind.BID, Decimal("2.5"), "USD"), SpendLimits(bid={"USD": Decimal("2.50")}), None),
        (
            finding(Kind.BID, Decimal("2.51"), "USD"),
            SpendLimits(bid={"USD": Decimal("2.50")}),
            (SpendRule.BID, "x[0].y", "2.51", "USD", "2.50"),
        ),
        (finding(Kind.BID, Decimal(9), "USD"), SpendLimits(budget=USD_200), None),
        (finding(Kind.ADJUSTMENT, Decimal(50)), SpendLimits(bid_adjustment=Decimal(50)), None),
        (finding(Kind.ADJUSTMENT, Decimal(-99)), SpendLimits(bid_adjustment=Decimal(0)), None),
        (
            finding(Kind.ADJUSTMENT, Decimal(51)),
            SpendLimits(bid_adjustment=Decimal(50)),
            (SpendRule.BID_ADJUSTMENT, "x[0].y", "51", "", "50"),
        ),
        (finding(Kind.ADJUSTMENT, Decimal(900)), SpendLimits(), None),
        (finding(Kind.STATE, "paused"), SpendLimits(states=frozenset({"paused"})), None),
        (
            finding(Kind.STATE, "enabled"),
            SpendLimits(states=frozenset({"paused", "archived"})),
            (SpendRule.STATES, "x[0].y", "enabled", "", "archived, paused"),
        ),
        (finding(Kind.STATE, "enabled"), SpendLimits(), None),
        (finding(Kind.DATE, "2026-06-01"), SpendLimits(budget=USD_200, states=frozenset()), None),
    ],
)
def test_member_is_judged_by_its_rule(
    found: Finding, limits: SpendLimits, violation: tuple[SpendRule, str, str, str, str | None] | None
) -> None:
    """A member is over a limit that it exceeds, or whose currency has none, and nothing is over a rule that is not
    configured."""
    judgement = judge(write(found), limits, PAYER, NOON)
    assert judgement.violations == (() if violation is None else (SpendViolation(*violation),))
    assert judgement.verdict is (SpendVerdict.WITHIN if violation is None else SpendVerdict.OVER)


def test_every_violation_is_named() -> None:
    """All rules and members that a write is over are named, up to a bound."""
    limits = SpendLimits(mode=SpendMode.OBSERVE, budget=USD_200, states=frozenset())
    both = judge(write(budget("300"), finding(Kind.STATE, "enabled"), budget("400", item=1)), limits, PAYER, NOON)
    assert [each.rule for each in both.violations] == [SpendRule.BUDGET, SpendRule.STATES, SpendRule.BUDGET]
    assert both.mode is SpendMode.OBSERVE
    many = judge(write(*(budget("300", item=item) for item in range(500))), limits, PAYER, NOON)
    assert len(many.violations) == MAX_VIOLATIONS


def test_unreadable_write_is_over_too_where_a_limit_is_known_to_be_exceeded() -> None:
    """What is known to be over a limit decides; otherwise what cannot be read does."""
    limits = SpendLimits(budget=USD_200)
    assert judge(write(budget("1"), unread=["No."]), limits, PAYER, NOON).verdict is SpendVerdict.UNREADABLE
    over = judge(write(budget("300"), unread=["No."]), limits, PAYER, NOON)
    assert (over.verdict, over.unread) == (SpendVerdict.OVER, ("No.",))


def test_hours_bind_every_write() -> None:
    """Outside of the hours a write is over, whatever it holds; without a time zone that cannot be told."""
    limits = SpendLimits(hours=Hours.parse("mon 08:00-12:00"))
    (violation,) = judge(write(), limits, PAYER, NOON).violations
    assert violation == (SpendRule.HOURS, "", "2026-06-01T12:00-07:00", "", "mon 08:00-12:00")
    assert judge(write(), limits, PAYER, NOON - 60).verdict is SpendVerdict.WITHIN
    unknown = judge(write(), limits, Payer("USD", ""), NOON)
    assert unknown.verdict is SpendVerdict.UNREADABLE
    assert "time zone of `hours`" in unknown.unread[0]
    zoned = SpendLimits(hours=Hours.parse("mon 08:00-12:00 UTC"))
    assert judge(write(), zoned, Payer("", ""), NOON).violations[0].value == "2026-06-01T19:00+00:00"


def test_hours_are_judged_again_when_a_write_leaves() -> None:
    """A write that waited past their end is over; one that was outside before, and approved or observed, stays so."""
    limits = SpendLimits(hours=Hours.parse("mon 08:00-12:00"))
    early, late = judge(write(), limits, PAYER, NOON - 60), judge(write(), limits, PAYER, NOON)
    assert judge_departure(early, limits, PAYER, NOON - 1) is early
    assert judge_departure(early, limits, PAYER, NOON) == late
    assert judge_departure(late, limits, PAYER, NOON) is late
    assert judge_departure(early, SpendLimits(), PAYER, NOON) is early


def judged_in(day: DayUse, found: WriteFindings, limits: SpendLimits) -> SpendJudgement:
    """The judgement of a write that something of its day is wanted for."""
    wanted = reservation_of(found, limits)
    assert wanted is not None
    return judge_day(judge(found, limits, PAYER, NOON), wanted, limits, day)


def test_objects_of_a_day_are_counted() -> None:
    """The objects that a write creates count with those of the day before it."""
    limits = SpendLimits(new_per_day=20)
    assert judged_in(DayUse(created=18), write(created=2), limits).verdict is SpendVerdict.WITHIN
    over = judged_in(DayUse(created=19), write(created=2), limits)
    assert over.violations == ((SpendRule.NEW_PER_DAY, "", "21", "", "20"),)
    assert over.verdict is SpendVerdict.OVER
    assert judge(write(created=99), limits, PAYER, NOON).verdict is SpendVerdict.WITHIN


def test_budgets_of_a_day_are_summed_by_currency() -> None:
    """The budgets that a write sets are added to those of the day, exactly, and each currency has its own limit."""
    limits = SpendLimits(budget_per_day={"USD": Decimal(1000)})
    wanted = write(budget("0.1"), budget("0.2", item=1), items=2)
    used = DayUse(budgets={"USD": Decimal("999.7")})
    assert judged_in(used, wanted, limits).verdict is SpendVerdict.WITHIN
    used = DayUse(budgets={"USD": Decimal("999.700000000000000000000000000001")})
    (violation,) = judged_in(used, wanted, limits).violations
    total = "1000.000000000000000000000000000001"
    assert violation == (SpendRule.BUDGET_PER_DAY, "", total, "USD", "1000")
    assert judge(wanted, limits, PAYER, NOON).verdict is SpendVerdict.WITHIN


def test_what_the_day_says_comes_behind_all_other_violations() -> None:
    """An unreadable write stays one within its day, and the violations of an answer stay bounded."""
    limits = SpendLimits(budget={"USD": Decimal(1)}, new_per_day=1)
    unread = judged_in(DayUse(), write(created=1, unread=["No."]), limits)
    assert (unread.verdict, unread.violations) == (SpendVerdict.UNREADABLE, ())
    both = judged_in(DayUse(created=1), write(budget("2"), created=1), limits)
    assert [each.rule for each in both.violations] == [SpendRule.BUDGET, SpendRule.NEW_PER_DAY]
    many = write(*(budget("300", item=item) for item in range(500)), created=9)
    assert len(judged_in(DayUse(), many, limits).violations) == MAX_VIOLATIONS


@pytest.mark.parametrize("used", [DayUse(), DayUse(budgets={"EUR": Decimal(7)})])
def test_budget_in_a_currency_without_a_limit_of_the_day_is_over_it(used: DayUse) -> None:
    """Whatever the day has taken, a currency without a limit passes no amount."""
    limits, found = SpendLimits(budget_per_day={"USD": Decimal(1000)}), write(budget("1", "EUR"))
    expected = ((SpendRule.BUDGET_PER_DAY, "", "1", "EUR", None),)
    assert judge(found, limits, PAYER, NOON).violations == judged_in(used, found, limits).violations == expected


@pytest.mark.parametrize("timezone", ["", "Europe/Nowhere"])
def test_day_without_time_zone_is_unreadable(timezone: str) -> None:
    """Where the day is not known, what counts in it cannot pass, and everything else can."""
    limits, payer = SpendLimits(new_per_day=20), Payer("USD", timezone)
    assert judge(write(created=1), limits, payer, NOON).verdict is SpendVerdict.UNREADABLE
    assert judge(write(), limits, payer, NOON).verdict is SpendVerdict.WITHIN
    assert day_of(payer, NOON) == ""


def test_day_is_that_of_the_payer() -> None:
    """A day begins at midnight in the time zone of the profile."""
    assert day_of(PAYER, NOON) == "2026-06-01"
    assert day_of(Payer("JPY", "Asia/Tokyo"), NOON) == "2026-06-02"


def test_write_takes_of_its_day_what_rules_count() -> None:
    """A reservation has what configured rules count, and there is none for nothing."""
    found = write(budget("5"), budget("7", item=1), budget("1", "EUR", item=1), created=2, items=2)
    both = SpendLimits(new_per_day=1, budget_per_day=USD_200)
    assert reservation_of(found, both) == Reservation(2, (("USD", Decimal(12)), ("EUR", Decimal(1))))
    assert reservation_of(found, SpendLimits(new_per_day=1)) == Reservation(2, ())
    assert reservation_of(found, SpendLimits(budget_per_day={})) == Reservation(
        0, (("USD", Decimal(12)), ("EUR", Decimal(1)))
    )
    assert reservation_of(found, SpendLimits(budget=USD_200)) is None
    assert reservation_of(write(finding(Kind.BID, Decimal(1), "USD"), budget("1", "")), both) is None


def test_failed_items_take_nothing() -> None:
    """In a write that succeeded in part, the items that failed are not counted."""
    limits = SpendLimits(new_per_day=9, budget_per_day=USD_200)
    found = write(budget("5"), budget("7", item=1), budget("9", item=-1), created=2, items=2)
    assert succeeded_part(found, limits, frozenset({1, 5})) == Reservation(1, (("USD", Decimal(14)),))
    assert succeeded_part(found, limits, frozenset({0, 1})) == Reservation(0, (("USD", Decimal(9)),))
    nested = write(created=5, items=2)
    assert succeeded_part(nested, limits, frozenset({0, 1})) == Reservation(5, ())


def test_largest_amounts_are_told_whatever_the_limits_are() -> None:
    """One for each rule and currency: an owner sets limits by them. States and dates have none."""
    found = write(
        budget("90"),
        budget("150.50"),
        budget("1E+3", "EUR"),
        finding(Kind.BID, Decimal("0.75"), "USD"),
        finding(Kind.ADJUSTMENT, Decimal(-10)),
        finding(Kind.STATE, "enabled"),
    )
    assert judge(found, SpendLimits(), PAYER, NOON).largest == (
        SpendAmount(SpendRule.BUDGET, "USD", "150.50"),
        SpendAmount(SpendRule.BUDGET, "EUR", "1000"),
        SpendAmount(SpendRule.BID, "USD", "0.75"),
        SpendAmount(SpendRule.BID_ADJUSTMENT, "", "-10"),
    )


def test_only_what_is_over_its_limit_is_named() -> None:
    """Next to a member that is over, others of each kind stay within."""
    found = write(
        budget("1"),
        finding(Kind.BID, Decimal(1), "USD"),
        finding(Kind.STATE, "paused"),
        finding(Kind.ADJUSTMENT, Decimal(10)),
        budget("201", item=1),
    )
    limits = SpendLimits(budget=USD_200, bid=USD_200, states=frozenset({"paused"}), bid_adjustment=Decimal(20))
    violations = judge(found, limits, PAYER, NOON).violations
    assert violations == (SpendViolation(SpendRule.BUDGET, "campaigns[1].budget", "201", "USD", "200"),)
