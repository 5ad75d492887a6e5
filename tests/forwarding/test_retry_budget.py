"""How many retries a host's budget has: a tenth of the traffic, and a little with time."""

from __future__ import annotations

from proxy.forwarding.retry_budget import FLOOR, FLOOR_INTERVAL, MAX_EARNED, RetryBudget, RetryBudgets


def spend_all(budget: RetryBudget, now: float) -> int:
    """Spend what there is at this moment, and count it."""
    spent = 0
    while budget.affords(now):
        budget.spend(now)
        spent += 1
    return spent


def test_a_quiet_proxy_may_retry() -> None:
    """So many at once without any traffic, and one more each interval."""
    budget = RetryBudget(0.0)
    assert spend_all(budget, 0.0) == FLOOR
    assert spend_all(budget, FLOOR_INTERVAL - 0.1) == 0
    assert spend_all(budget, FLOOR_INTERVAL) == 1
    assert spend_all(budget, 1e6) == FLOOR


def test_ten_requests_earn_one_retry() -> None:
    """A storm of retries is no more than a tenth of the traffic on top."""
    budget = RetryBudget(0.0)
    spend_all(budget, 0.0)
    retries = 0
    for _ in range(1000):
        budget.earn()
        if budget.affords(0.0):
            budget.spend(0.0)
            retries += 1
    assert 99 <= retries <= 100


def test_no_more_is_saved_than_a_storm_may_cost() -> None:
    """An hour without trouble does not pay for a hundred retries in a second."""
    budget = RetryBudget(0.0)
    for _ in range(10_000):
        budget.earn()
    assert MAX_EARNED - 1 <= spend_all(budget, 0.0) - FLOOR <= MAX_EARNED + 1


def test_each_host_has_a_budget_of_its_own() -> None:
    """One host's bad minute takes nothing from the others."""
    budgets = RetryBudgets()
    spend_all(budgets.of(b"Host: a\r\n", 0.0), 0.0)
    assert budgets.of(b"Host: a\r\n", 0.0) is budgets.of(b"Host: a\r\n", 5.0)
    assert not budgets.of(b"Host: a\r\n", 0.0).affords(0.0)
    assert budgets.of(b"Host: b\r\n", 0.0).affords(0.0)
    assert repr(budgets) == "<RetryBudgets of 2 hosts>"
    assert repr(budgets.of(b"Host: a\r\n", 0.0)) == "<RetryBudget: 0.0 earned, 0.0 given>"
