"""What people are shown of spending: limits, days and judged writes of each client, in one form for all readers."""

from __future__ import annotations

import json
from decimal import Decimal

from proxy.events import SpendMode, SpendRule, SpendViolation
from proxy.spend.judge import DayUse
from proxy.spend.ledger import DayKey
from proxy.spend.limits import Beyond, Hours, SpendLimits
from proxy.spend.observations import SpendObservations
from proxy.spend.overview import SpendOverview, limits_entry, spend_status
from tests.spend.test_observations import NOW, observed, over, stamp, unreadable, write

LIMITS = SpendLimits(
    mode=SpendMode.OBSERVE,
    budget={"USD": Decimal("200.00"), "EUR": Decimal(180)},
    bid={},
    bid_adjustment=Decimal("1E+2"),
    states=frozenset({"paused", "enabled"}),
    hours=Hours.parse("mon-fri 08:00-18:00"),
    new_per_day=5,
    budget_per_day={"USD": Decimal(1000)},
    allow=frozenset({"POST /x"}),
    beyond=Beyond.APPROVE,
)


def test_each_client_has_its_limits_its_days_and_what_was_judged() -> None:
    """The list has clients with limits, and those of which something was judged; others are left out."""
    days = {
        DayKey("agent", "2026-12-01"): DayUse(3, {"USD": Decimal("600.50")}),
        DayKey("other", "2026-12-01"): DayUse(1, {}),
    }
    seen = observed(write(over(), client="agent"), write(unreadable("field s3cret"), client="gone"))
    overview = SpendOverview({"agent": LIMITS, "new": SpendLimits()}, seen, days, frozenset({"new"}))
    found = spend_status(overview, stamp, lambda text: text.replace("s3cret", "***"))
    agent, gone, new = found["clients"]
    assert (agent["client"], agent["mode"], agent["frozen"]) == ("agent", "observe", False)
    assert agent["days"] == [{"day": "2026-12-01", "created": 3, "budgets": {"USD": "600.5"}}]
    assert (agent["judged"], agent["violations"], agent["since"]) == ({"over": 1}, {"budget": 1}, stamp(NOW))
    assert (gone["client"], gone["mode"], gone["limits"], gone["unknown"]) == ("gone", None, {}, {"field ***": 1})
    assert (new["client"], new["mode"], new["frozen"], new["judged"]) == ("new", "enforce", True, {})
    assert [each["client"] for each in found["held_back"]] == ["gone", "agent"]
    assert found["held_back"][0]["at"] == stamp(NOW)
    assert found["problem"] == ""
    assert json.loads(json.dumps(found)) == found


def test_limits_are_named_as_their_keys() -> None:
    """Amounts are plain texts; rules that are not configured are left out, and one without any currency is not."""
    assert limits_entry(LIMITS) == {
        "budget": {"EUR": "180", "USD": "200"},
        "bid": {},
        "bid_adjustment": "100",
        "states": ["enabled", "paused"],
        "hours": "mon-fri 08:00-18:00",
        "new_per_day": 5,
        "budget_per_day": {"USD": "1000"},
        "allow": ["POST /x"],
        "beyond": "approve",
    }
    assert limits_entry(SpendLimits()) == {}


def test_nothing_is_shown_of_nothing() -> None:
    """A program without limits has two empty lists."""
    found = spend_status(SpendOverview({}, SpendObservations()), stamp, str)
    assert found == {"clients": [], "held_back": [], "problem": ""}


def test_a_rule_that_a_client_has_no_more_is_still_counted() -> None:
    """Numbers of the week are shown with the limits of now."""
    late = SpendViolation(SpendRule.HOURS, "", "Sun 03:00", "", "mon-fri 08:00-18:00")
    overview = SpendOverview({"agent": SpendLimits()}, observed(write(over(late))))
    (agent,) = spend_status(overview, stamp, str)["clients"]
    assert agent["rules"] == [
        {"rule": "hours", "currency": "", "violations": 1, "largest": "Sun 03:00", "limit": "mon-fri 08:00-18:00"}
    ]
