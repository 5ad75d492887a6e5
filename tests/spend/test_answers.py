"""What a client is told of a write that is refused: every word that it can act on, and that nothing was changed."""

from __future__ import annotations

import pytest

from proxy.events import SpendJudgement, SpendMode, SpendRule, SpendVerdict, SpendViolation
from proxy.spend.answers import MAX_TOLD, refusal_of, text_for_models

BUDGET = SpendViolation(SpendRule.BUDGET, "campaigns[0].budget.budget", "500", "USD", "200")


def over(*violations: SpendViolation) -> SpendJudgement:
    return SpendJudgement(SpendMode.ENFORCE, SpendVerdict.OVER, violations)


@pytest.mark.parametrize(
    ("violation", "said"),
    [
        (BUDGET, "campaigns[0].budget.budget is 500 USD, and 200 USD is the limit (`budget`)."),
        (BUDGET._replace(currency="EUR", limit=None), "is 500 EUR, and there is no limit for EUR (`budget`)."),
        (
            SpendViolation(SpendRule.BID_ADJUSTMENT, "x[0].percentage", "900", "", "50"),
            "is 900 %, and 50 % is the limit",
        ),
        (
            SpendViolation(SpendRule.STATES, "campaigns[0].state", "enabled", "", "paused"),
            "may be paused only (`states`).",
        ),
        (
            SpendViolation(SpendRule.HOURS, "", "sat 03:00", "", "mon-fri 08:00-18:00"),
            "mon-fri 08:00-18:00 only (`hours`).",
        ),
        (
            SpendViolation(SpendRule.NEW_PER_DAY, "", "21", "", "20"),
            "come to 21, and 20 new objects a day are the limit",
        ),
        (
            SpendViolation(SpendRule.BUDGET_PER_DAY, "", "1100", "USD", "1000"),
            "1100 USD, and 1000 USD of budgets a day",
        ),
    ],
)
def test_each_rule_is_explained(violation: SpendViolation, said: str) -> None:
    """Both answers say what is over which limit."""
    assert said in refusal_of(over(violation)).detail
    assert said in text_for_models(over(violation))


def test_the_problem_document_lists_violations() -> None:
    """The violations are members of the document, at most so many, and never retryable."""
    refusal = refusal_of(over(*[BUDGET] * (MAX_TOLD + 1)))
    assert (refusal.status, refusal.slug, refusal.retryable) == (403, "over-limit", False)
    assert (
        refusal.further["violations"]
        == [{"rule": "budget", "path": "campaigns[0].budget.budget", "value": "500", "currency": "USD", "limit": "200"}]
        * MAX_TOLD
    )
    assert "96 more violations follow." in refusal.detail


@pytest.mark.parametrize("count", [1, 7])
def test_what_cannot_be_read_is_told(count: int) -> None:
    """Each reason is a member; a sentence has a few of them."""
    judged = SpendJudgement(SpendMode.ENFORCE, SpendVerdict.UNREADABLE, unread=("A row is missing.",) * count)
    refusal = refusal_of(judged)
    assert (refusal.status, refusal.slug) == (403, "spend-unreadable")
    assert refusal.further == {"unreadable": ["A row is missing."] * count}
    for text in (refusal.detail, text_for_models(judged)):
        assert text.startswith("Nothing was changed")
        assert ("There are 2 more reasons." in text) is (count == 7)
    assert "Do not repeat it unchanged." in text_for_models(judged)


def test_what_is_over_and_what_cannot_be_read_are_told_together() -> None:
    """A model that mends only what is over would be refused again."""
    judged = SpendJudgement(SpendMode.ENFORCE, SpendVerdict.OVER, (BUDGET,), ("The currency is not known.",))
    text = text_for_models(judged)
    assert "200 USD is the limit (`budget`). The currency is not known. Repeat the call" in text
    assert refusal_of(judged).further["unreadable"] == ["The currency is not known."]
