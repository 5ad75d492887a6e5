"""No body is within the limits in which some careless server would find a number of money above all of them.

The careless reader takes any encoding and any JSON, also inside texts, knows no operation, and takes every number
below a name that sounds like money for an amount. It shares nothing with the proxy.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from decimal import Decimal, InvalidOperation
from typing import Any

import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st

from proxy.events import SpendVerdict
from proxy.routing.operations import PUBLISHED, Effect
from proxy.spend.findings import Payer, WriteFindings
from proxy.spend.judge import judge
from proxy.spend.limits import SpendLimits
from proxy.spend.reading import read_rest, read_tool
from proxy.spend.table import MONEY, Kind
from proxy.strict_json import JsonBody
from tests.fuzz.depth import LONG
from tests.fuzz.making import changed

LIMIT = 100
LIMITS = SpendLimits(
    budget={"USD": Decimal(LIMIT)},
    bid={"USD": Decimal(2)},
    bid_adjustment=Decimal(50),
    states=frozenset(("paused",)),
)
PAYER = Payer("USD", "America/Los_Angeles")
NOON = 1_800_000_000.0
BRIEFLY = settings(max_examples=50, deadline=None)


# --- The careless reader


class Pairs(list[tuple[str, Any]]):
    """An object as it was written, with names that may come twice."""


def carelessly_decoded(body: bytes) -> Iterator[Any]:
    """Each value that the body, or the beginning of it, can be decoded to."""
    for encoding in ("utf-8-sig", "utf-16", "latin-1", "utf-7"):
        text = body.decode(encoding, "replace")
        start = re.search(r"[\[{]", text)
        if start is not None:
            try:
                yield json.JSONDecoder(object_pairs_hook=Pairs, strict=False).raw_decode(text, start.start())[0]
            except (ValueError, RecursionError):
                continue


def sounds_like_money(name: str) -> bool:
    """Whether a name has a word of money in it, and is not that of an id or a time."""
    letters = re.sub("[^a-z]", "", name.lower())
    return not re.search("(?:[^b]ids?|date|time|mode)$", letters) and any(
        word in letters for word in ("budget", "bid", "spend", "price", "cost", "amount", "impressions", "quantity")
    )


def carelessly_found(value: Any, *, is_money: bool = False) -> Iterator[Decimal]:
    """Every number below a name of money, also in JSON in a text below one."""
    if isinstance(value, Pairs):
        for name, each in value:
            yield from carelessly_found(each, is_money=is_money or sounds_like_money(name))
    elif isinstance(value, list):
        for each in value:
            yield from carelessly_found(each, is_money=is_money)
    elif is_money and isinstance(value, str) and value.strip()[:1] in ("[", "{", '"'):
        for each in carelessly_decoded(value.encode("utf-8", "replace")):
            yield from carelessly_found(each, is_money=is_money)
    elif is_money and isinstance(value, str | int | float) and not isinstance(value, bool):
        try:
            number = Decimal(str(value).strip())
        except InvalidOperation:
            return
        if number.is_finite() or not isinstance(value, str):
            yield number


def is_dear(body: bytes) -> bool:
    """Whether the careless reader finds money above every limit."""
    return any(
        not number.is_finite() or number > LIMIT
        for content in carelessly_decoded(body)
        for number in carelessly_found(content)
    )


def carelessly_set_states(value: Any) -> Iterator[str]:
    """Every text below a name of a state, in lower case and without punctuation."""
    if isinstance(value, Pairs):
        for name, each in value:
            if re.sub("[^a-z]", "", name.lower()) == "state":
                yield from (re.sub("[^a-z]", "", str(state).lower()) for state in _texts(each))
            yield from carelessly_set_states(each)
    elif isinstance(value, list):
        for each in value:
            yield from carelessly_set_states(each)


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        for each in value:
            yield from _texts(each[1] if isinstance(value, Pairs) else each)


def enables(body: bytes) -> bool:
    """Whether the careless reader finds a state that may not be set."""
    return any(
        state in ("enabled", "active", "archived", "proposed")
        for content in carelessly_decoded(body)
        for state in carelessly_set_states(content)
    )


# --- The reader of the proxy


def verdict_on(findings: WriteFindings) -> SpendVerdict:
    """The verdict of the limits."""
    return judge(findings, LIMITS, PAYER, NOON).verdict


def verdict_of(operation: str, media_type: str, body: bytes) -> SpendVerdict | None:
    """The verdict on a write of this operation, None for a body that is refused before."""
    method, _, template = operation.partition(" ")
    segments = tuple(part.encode() for part in template.split("/") if part)
    row = PUBLISHED.find(method.encode(), tuple(b"1" if part.startswith(b"{") else part for part in segments))
    try:
        content = JsonBody(body).exact()
    except (ValueError, RecursionError):
        return None
    path = re.sub(r"\{[^}]*\}", "1", template)
    return verdict_on(read_rest(row, method, path, media_type.encode(), content, PAYER))


def verdict_of_call(tool: str, body: bytes) -> SpendVerdict | None:
    """The verdict on the call of a tool with these arguments, None for a body that is refused before."""
    try:
        content = JsonBody(body).exact()
    except (ValueError, RecursionError):
        return None
    return verdict_on(read_tool(tool, content, PAYER, PUBLISHED))


# --- Bodies of chance

NAMES = (
    *(
        "budget",
        "Budget",
        "bid",
        "defaultBid",
        "amount",
        "value",
        "price",
        "dailyBudget",
        "maxSpend",
        "cost",
        "bidding",
    ),
    *(
        "name",
        "campaignId",
        "x",
        "state",
        "State",
        "STATE",
        "bid_amount",
        "BUDGET",
        "budgetValue",
        "budgets",
        "currencyCode",
        "total",
        "guaranteedImpressions",
        "quantity",
        "+AGI-udget",
        "x+ACI-:0,+ACI-bid",
    ),
)
"""Names beside those of the operation's own fields."""


class Raw(str):
    """JSON as it stands."""

    __slots__ = ()


leaves = st.one_of(
    st.sampled_from(
        (
            1,
            50,
            101,
            1000,
            1e3,
            "1000",
            " 1e3 ",
            "5",
            "PAUSED",
            "ENABLED",
            "archived",
            " Active",
            None,
            True,
            False,
            "USD",
            "EUR",
        )
    ),
    st.integers(-(10**6), 10**6),
    st.sampled_from(("1e3", "0.5E2", "1E+2", "100.000000000000000000001", "1e400", "NaN", "-0", "1e-3")).map(Raw),
    st.sampled_from(("1e3", "+1000", "1000.", "0x3e8", " 101", "NaN", "1e999999999", "100.5", "[1000]", "1,000")),
)


def written(value: Any) -> str:
    """JSON text."""
    if isinstance(value, Raw):
        return str(value)
    if isinstance(value, dict):
        return "{" + ",".join(f"{json.dumps(name)}:{written(each)}" for name, each in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(written, value)) + "]"
    return json.dumps(value)


def at_path(steps: list[str], value: Any) -> Any:
    """The smallest content that has this value at a path of the table."""
    if not steps:
        return value
    step, rest = steps[0], at_path(steps[1:], value)
    return [rest] if step == "[]" else {"x" if step == "*" else step: rest}


def merged(one: Any, other: Any) -> Any:
    """Both contents in one, as far as they have the same shape."""
    if isinstance(one, dict) and isinstance(other, dict):
        return {**one, **{name: merged(one[name], each) if name in one else each for name, each in other.items()}}
    if isinstance(one, list) and isinstance(other, list) and one and other:
        return [merged(one[0], other[0]), *one[1:], *other[1:]]
    return other


def contents(names: tuple[str, ...]) -> st.SearchStrategy[Any]:
    """Contents of these names and of others."""
    chosen = st.sampled_from((*names, *NAMES))
    return st.recursive(
        leaves,
        lambda inner: st.one_of(
            st.dictionaries(chosen, inner, max_size=4), st.lists(inner, max_size=3), inner.map(written)
        ),
        max_leaves=5,
    )


FORMS = sorted(
    {(row.operation, media_type) for row in MONEY.rows for media_type in MONEY.forms(row.operation)},
)


def paths_of(operation: str, media_type: str) -> list[list[str]]:
    """The steps to each field of an operation."""
    rows = (row for row in MONEY.rows if row.operation == operation and row.media_type in (media_type, ""))
    return sorted(list(row.steps) for row in rows if row.steps)


PATHS = {form: paths_of(*form) for form in FORMS}


@st.composite
def bodies(draw: st.DrawFn, operations: list[tuple[str, str]]) -> tuple[str, str, bytes]:
    """An operation, a media type of it, and a body that has some of its fields, and perhaps a few bytes changed."""
    operation, media_type = draw(st.sampled_from(operations))
    paths = PATHS[operation, media_type]
    content: Any = {}
    for _ in range(draw(st.integers(0, 3)) if paths else 0):
        steps = draw(st.sampled_from(paths))
        depth = draw(st.sampled_from((0, 0, 0, 1, 2)))
        value = draw(leaves if not depth else contents(tuple(steps)))
        content = merged(content, at_path(steps[: len(steps) - depth], value))
    if draw(st.integers(0, 3)) == 0 or not paths:
        content = merged(content, draw(contents(tuple(step for steps in paths for step in steps if step != "[]"))))
    body = written(content).encode("utf-8", "surrogatepass")
    return operation, media_type, draw(changed(body)) if draw(st.integers(0, 3)) == 0 else body


REST = [each for each in FORMS if not each[0].startswith(("MCP ", "*"))]
TOOLS = [each for each in FORMS if each[0].startswith("MCP ") and "*" not in each[0]]
ELSEWHERE = [f"{row.method} {row.template}" for row in PUBLISHED if row.effect is Effect.WRITE]
ELSEWHERE = [each for each in ELSEWHERE if not MONEY.forms(each)]


@st.composite
def bodies_elsewhere(draw: st.DrawFn) -> tuple[str, str, bytes]:
    """A write that the table has no row of, with a body that may name money."""
    return draw(st.sampled_from(ELSEWHERE)), "application/json", written(draw(contents(()))).encode()


def nothing_dear_is_within(case: tuple[str, str, bytes]) -> None:
    """Fail if the careless reader finds money above the limits where the proxy finds none."""
    operation, media_type, body = case
    if operation.startswith("MCP "):
        verdict = verdict_of_call(operation.removeprefix("MCP "), body)
    else:
        verdict = verdict_of(operation, media_type, body)
    event(str(verdict))
    has_states = any(row.kind is Kind.STATE for row in MONEY.rows if row.operation == operation)
    if verdict is SpendVerdict.WITHIN:
        assert not is_dear(body)
        assert not (has_states and enables(body))


@BRIEFLY
@given(bodies(REST))
def test_no_dear_body_is_within(case: tuple[str, str, bytes]) -> None:
    """Bodies of operations in the table are refused where a careless server would find money above the limits."""
    nothing_dear_is_within(case)


@BRIEFLY
@given(bodies(TOOLS))
def test_no_dear_call_is_within(case: tuple[str, str, bytes]) -> None:
    """The same holds for the arguments of tools."""
    nothing_dear_is_within(case)


@BRIEFLY
@given(bodies_elsewhere())
def test_no_dear_body_elsewhere_is_within(case: tuple[str, str, bytes]) -> None:
    """The same holds for writes that the table has no row of."""
    nothing_dear_is_within(case)


@pytest.mark.fuzz
@LONG
@given(st.one_of(bodies(REST), bodies(TOOLS), bodies_elsewhere()))
def test_no_dear_body_is_within_at_length(case: tuple[str, str, bytes]) -> None:
    """The same holds for many more bodies."""
    nothing_dear_is_within(case)


def test_the_careless_reader_finds_what_there_is() -> None:
    """The reader finds numbers in any encoding, in texts and at any depth, and no others."""
    dear = {"x": {"Bid_Amount": [{"y": " 1e3 "}]}}
    in_text = {"bid": json.dumps(dear)}
    for body in (json.dumps(dear).encode(), json.dumps(dear).encode("utf-16"), json.dumps(in_text).encode()):
        assert is_dear(body)
    assert not is_dear(b'{"campaignId":1000,"budget":{"budget":99}}')


def test_both_readers_agree_on_a_plain_body() -> None:
    """A cheap body is within the limits, a dear one is not."""
    cheap = b'{"campaigns":[{"campaignId":"1","budget":{"budget":99,"budgetType":"DAILY"}}]}'
    operation, media_type = "PUT /sp/campaigns", "application/vnd.spcampaign.v3+json"
    assert verdict_of(operation, media_type, cheap) is SpendVerdict.WITHIN
    assert verdict_of(operation, media_type, cheap.replace(b"99", b"101")) is SpendVerdict.OVER
