"""Every row of the table of money fields, judged in the smallest body that has it: at its limit, below and above.

Each test asks all rows of a kind at once, and compares all of their judgements.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from decimal import Decimal
from typing import Any

from proxy.events import SpendJudgement, SpendRule, SpendVerdict
from proxy.mcp.tools import INVOKE
from proxy.routing.operations import PUBLISHED
from proxy.spend.findings import Payer, WriteFindings
from proxy.spend.judge import judge
from proxy.spend.limits import SpendLimits
from proxy.spend.reading import read_rest, read_tool
from proxy.spend.table import ANY_MEMBER, ITEM, MONEY, FieldReading, Kind, MoneyField, split_path

PAYER = Payer("USD", "America/Los_Angeles")
LIMIT, NOW = 100, 1_796_000_000.0
LIMITS = SpendLimits(
    budget={"USD": Decimal(LIMIT)},
    bid={"USD": Decimal(LIMIT)},
    bid_adjustment=Decimal(LIMIT),
    states=frozenset(("paused", "enabled")),
)
RULES = {Kind.BUDGET: SpendRule.BUDGET, Kind.BID: SpendRule.BID, Kind.ADJUSTMENT: SpendRule.BID_ADJUSTMENT}
WITHIN, OVER, UNREADABLE = SpendVerdict.WITHIN, SpendVerdict.OVER, SpendVerdict.UNREADABLE
COUNTRY = "US"
"""The key of a map whose keys are countries."""
_BUDGET = {"budgetValue": {"monetaryBudgetValue": {"monetaryBudget": {"value": LIMIT}}}}
MEMBERS: dict[str, Any] = {
    "POST /portfolios": {"portfolios": [{"budget": {"amount": LIMIT}}]},
    "MCP campaign_management-create_portfolio": {"body": {"portfolios": [{"budget": _BUDGET}]}},
    "MCP campaign_management-create_singleshot_portfolio": {"body": {"portfolios": [{"budget": _BUDGET}]}},
}
"""What the smallest readable body holds in addition to the member of a row, by operation."""


def body_of(steps: tuple[str, ...], value: object) -> Any:
    """The smallest body with a value at the end of a path."""
    body = value
    for step in reversed(steps):
        body = [body] if step == ITEM else {COUNTRY if step == ANY_MEMBER else step: body}
    return body


def joined(first: Any, second: Any) -> Any:
    """Two bodies in one: the members of their objects, and the items at each index of their lists."""
    if isinstance(first, dict) and isinstance(second, dict):
        both = {name: joined(first[name], second[name]) for name in first.keys() & second.keys()}
        return {**first, **second, **both}
    if isinstance(first, list) and isinstance(second, list):
        return [joined(*pair) for pair in zip(first, second, strict=True)]
    return second


def place_of(row: MoneyField) -> str:
    """The path of a row's member in the smallest body."""
    path = "".join("[0]" if step == ITEM else f".{COUNTRY if step == ANY_MEMBER else step}" for step in row.steps)
    return path.removeprefix(".")


def findings(row: MoneyField, content: object) -> WriteFindings:
    """What is found in a body of the row's operation and media type."""
    method, _, path = row.operation.partition(" ")
    if method == "MCP":
        return read_tool(path, content, PAYER, PUBLISHED)
    operation = PUBLISHED.find(method.encode(), tuple(part.encode() for part in path.split("/") if part))
    media_type = row.media_type or "application/json"
    return read_rest(operation, method, path, media_type.encode(), content, PAYER)


def judged(row: MoneyField, value: object) -> SpendJudgement:
    """The judgement of the smallest readable body with this value."""
    body = joined(MEMBERS.get(row.operation, {}), body_of(row.steps, value))
    return judge(findings(row, body), LIMITS, PAYER, NOW)


def verdicts(row: MoneyField, *values: object) -> list[SpendVerdict]:
    return [judged(row, value).verdict for value in values]


def label(row: MoneyField) -> str:
    return f"{row.operation} {row.media_type} {row.path}"


def rows_with(*readings: FieldReading) -> list[MoneyField]:
    """The rows with one of these readings, and a place in the body."""
    return [row for row in MONEY.rows if row.reading in readings and row.steps]


def differing(rows: Iterable[MoneyField], expected: object, found: Callable[[MoneyField], object]) -> dict[str, object]:
    """What is found of the rows of which it is not as expected; there is at least one row."""
    results = {label(row): found(row) for row in rows}
    assert results
    return {name: result for name, result in results.items() if result != expected}


ADJUSTMENTS = rows_with(FieldReading.PERCENT, FieldReading.SUMMED_PERCENT, FieldReading.FACTOR)
NUMBERS = [*rows_with(FieldReading.AMOUNT), *ADJUSTMENTS]
WHOLE = [row for row in MONEY.rows if not row.steps and not row.operation.endswith(INVOKE)]
"""The rows about an operation itself."""


def around(row: MoneyField) -> tuple[Decimal, Decimal, Decimal]:
    """A value below the limit, at it and above it; of a factor, one hundredth is one percent."""
    if row.reading is FieldReading.FACTOR:
        return Decimal("1.99"), Decimal("2.00"), Decimal("2.01")
    return Decimal(LIMIT - 1), Decimal(LIMIT), Decimal(LIMIT + 1)


def test_a_number_passes_up_to_its_limit() -> None:
    """One unit less, and the limit itself, are within; one unit more is over it."""
    assert differing(NUMBERS, [WITHIN, WITHIN, OVER], lambda row: verdicts(row, *around(row))) == {}


def test_a_number_over_its_limit_is_told_with_its_rule_and_path() -> None:
    """The violation has the rule of the row's kind and the place of the member, and nothing is unreadable."""

    def told(row: MoneyField) -> object:
        found = judged(row, around(row)[2])
        return {(each.rule, each.path) for each in found.violations} == {(RULES[row.kind], place_of(row))}, found.unread

    assert differing(NUMBERS, (True, ()), told) == {}


def test_what_is_no_number_is_unreadable() -> None:
    """Null lifts a limit, and neither a word nor another shape can be compared with one."""
    others = (None, "much", True, {"amount": 1}, [1])
    assert differing(NUMBERS, [UNREADABLE] * 5, lambda row: verdicts(row, *others)) == {}


def test_a_negative_amount_is_unreadable() -> None:
    """No amount is less than nothing; an adjustment may lower a bid."""
    amounts = rows_with(FieldReading.AMOUNT)
    assert differing(amounts, [UNREADABLE], lambda row: verdicts(row, Decimal(-1))) == {}
    assert differing(ADJUSTMENTS, [WITHIN], lambda row: verdicts(row, Decimal(-1))) == {}


def test_adjustments_of_one_list_add_up() -> None:
    """Each is within the limit, and together they are over it: of one placement twice, and of several rules."""
    listed = [row for row in ADJUSTMENTS if ITEM in row.steps and row.reading is not FieldReading.FACTOR]

    def twice(row: MoneyField) -> object:
        at = len(row.steps) - row.steps[::-1].index(ITEM)
        if row.reading is FieldReading.SUMMED_PERCENT:
            at = row.steps.index(ITEM) + 1
        elif at != len(row.steps) - 1:
            return OVER  # an action of a rule, of which a list has one
        item = body_of(row.steps[at:], Decimal(60))
        found = findings(row, body_of(row.steps[: at - 1], [item, dict(item)]))
        judgement = judge(found, LIMITS, PAYER, NOW)
        assert [each.value for each in judgement.violations] == ["120"], label(row)
        return judgement.verdict

    assert differing(listed, OVER, twice) == {}


def test_a_state_is_judged() -> None:
    """A permitted state passes in any case and by either name; another one is over the rule, and told with its path."""
    states, words = rows_with(FieldReading.STATE), ("PAUSED", "enabled", "ACTIVE", "ARCHIVED")
    assert differing(states, [WITHIN, WITHIN, WITHIN, OVER], lambda row: verdicts(row, *words)) == {}
    told = {label(row): [(each.rule, each.path) for each in judged(row, "ARCHIVED").violations] for row in states}
    assert told == {label(row): [(SpendRule.STATES, place_of(row))] for row in states}


def test_a_created_object_without_a_state_is_enabled() -> None:
    """Every creation is judged by `states`, also of objects that nobody can create paused."""
    paused = SpendLimits(states=frozenset(("paused",)))
    creations = {(row.operation, row.media_type): row for row in MONEY.rows if row.creates}.values()

    def told(row: MoneyField) -> object:
        found = findings(row, body_of(split_path(row.creates), {"name": "a"}))
        violations = judge(found, paused, PAYER, NOW).violations
        return found.created, [(each.rule, each.value) for each in violations]

    assert differing(creations, (1, [(SpendRule.STATES, "enabled")]), told) == {}


def test_a_date_passes_and_null_does_not() -> None:
    """A text is a date; null removes an end."""
    dates = rows_with(FieldReading.DATE)
    assert differing(dates, [WITHIN, UNREADABLE], lambda row: verdicts(row, "2026-12-01", None)) == {}


def spelled(row: MoneyField) -> list[object]:
    """The harmless words of a row, as Amazon spells them."""
    return [{"true": True, "false": False}.get(word, word.upper()) for word in sorted(row.words)]


def test_only_the_harmless_words_pass() -> None:
    """Each of the row's words is within; any other word, boolean or value is unreadable."""
    fields = rows_with(FieldReading.WORD)
    assert differing(fields, {WITHIN}, lambda row: set(verdicts(row, *spelled(row)))) == {}

    def others(row: MoneyField) -> list[SpendVerdict]:
        return verdicts(row, "SURPRISE", True not in spelled(row), None, 1)

    assert differing(fields, [UNREADABLE] * 4, others) == {}


def test_some_words_and_dates_pass_only_with_a_budget_in_the_same_item() -> None:
    """What changes the meaning of a budget is judged with the budget."""
    fields = rows_with(FieldReading.WORD_WITH_BUDGET, FieldReading.DATE_WITH_BUDGET)
    assert differing(fields, [UNREADABLE], lambda row: verdicts(row, harmless(row))) == {}

    def with_budget(row: MoneyField) -> object:
        budget = next(each for each in NUMBERS if each.kind is Kind.BUDGET and is_next_to(each, row))
        content = joined(body_of(budget.steps, LIMIT), body_of(row.steps, harmless(row)))
        return judge(findings(row, content), LIMITS, PAYER, NOW).verdict

    assert differing(fields, WITHIN, with_budget) == {}


def harmless(row: MoneyField) -> object:
    """A word of a row, or a date."""
    return spelled(row)[0] if row.words else "2026-12-01"


def is_next_to(budget: MoneyField, row: MoneyField) -> bool:
    """Whether a budget has its place in the same object as a row's member, or below it."""
    same_form = (budget.operation, budget.media_type) == (row.operation, row.media_type)
    return same_form and budget.steps[: len(row.steps) - 1] == row.steps[:-1]


def test_a_currency_and_a_note_pass() -> None:
    """Neither is money by itself; where the operation itself archives, that alone is judged."""
    fields = [row for row in rows_with(FieldReading.CURRENCY, FieldReading.ANYTHING) if row.verb != "delete"]
    assert differing(fields, [WITHIN], lambda row: verdicts(row, "USD")) == {}


def test_what_cannot_be_limited_is_unreadable() -> None:
    """Unsure fields, and fields that no limit binds, make a body unreadable, whatever their value."""
    values: tuple[object, ...] = (1, "1", "ENABLED", None, {}, [])
    assert differing(rows_with(FieldReading.NOTHING), [UNREADABLE] * 6, lambda row: verdicts(row, *values)) == {}


def test_a_refused_operation_is_unreadable() -> None:
    """Whatever its body holds, also nothing."""

    def all_of(row: MoneyField) -> object:
        return {judge(findings(row, content), LIMITS, PAYER, NOW).verdict for content in (None, {}, {"name": "a"})}

    assert differing((row for row in WHOLE if row.refuses), {UNREADABLE}, all_of) == {}


def test_a_deletion_sets_a_state() -> None:
    """Deleting is archiving, which the rule `states` has to permit."""

    def told(row: MoneyField) -> object:
        content = {"body": {"campaignIds": ["1"]}} if row.operation.startswith("MCP ") else None
        found = judge(findings(row, content), LIMITS, PAYER, NOW)
        return found.verdict, [(each.rule, each.value) for each in found.violations]

    expected = (OVER, [(SpendRule.STATES, "archived")])
    assert differing((row for row in WHOLE if not row.refuses), expected, told) == {}


def test_a_tool_that_calls_others_is_judged_by_the_inner_one() -> None:
    """The rows of the tool that is called count, with paths below its own arguments."""
    name = "campaign_management-update_target_bid"
    row = next(row for row in MONEY.rows if row.operation == f"MCP {name}" and row.path == "body.targets[].bid.bid")
    content = {"name": name, "arguments": body_of(row.steps, LIMIT + 1)}
    found = judge(read_tool(INVOKE, content, PAYER, PUBLISHED), LIMITS, PAYER, NOW)
    assert [(each.rule, each.path) for each in found.violations] == [(SpendRule.BID, "body.targets[0].bid.bid")]


def test_no_row_is_left_out() -> None:
    """Each row has a reading that is asked for above, or is about an operation itself, or about other tools."""
    asked = {id(row) for row in (*rows_with(*FieldReading), *WHOLE)}
    assert [row.operation for row in MONEY.rows if id(row) not in asked] == [f"MCP {INVOKE}"]
