"""A write that is over its limits stays so, however it is spelled."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from hypothesis import given
from hypothesis import strategies as st

from proxy.events import SpendVerdict
from proxy.mcp.tools import INVOKE
from proxy.routing.operations import PUBLISHED
from proxy.spend.findings import Payer
from proxy.spend.judge import judge
from proxy.spend.limits import SpendLimits
from proxy.spend.reading import read_rest, read_tool
from proxy.strict_json import JsonBody

if TYPE_CHECKING:
    from proxy.spend.findings import WriteFindings

PAYER = Payer("USD", "America/Los_Angeles")
LIMITS = SpendLimits(
    budget={"USD": Decimal(200)},
    bid={"USD": Decimal(2)},
    bid_adjustment=Decimal(50),
    states=frozenset({"paused"}),
    new_per_day=1000,
    budget_per_day={"USD": Decimal(1_000_000)},
)
NOW = 1_780_340_400.0

HARMLESS_CAMPAIGN = {"name": "a", "state": "PAUSED", "budget": {"budgetType": "DAILY", "budget": 100}}
HARMLESS_TARGET = {"targetId": "1", "bid": {"bid": 1}}
AMOUNT = {"budgetValue": {"monetaryBudgetValue": {"monetaryBudget": {"value": "OVER"}}}}

OVER_CAMPAIGNS: tuple[dict[str, Any], ...] = (
    {"name": "a", "state": "PAUSED", "budget": {"budgetType": "DAILY", "budget": "OVER"}},
    {"name": "a", "state": "ENABLED", "budget": {"budgetType": "DAILY", "budget": 100}},
    {"name": "a", "budget": {"budgetType": "DAILY", "budget": 100}},
    {"name": "a", "state": "PAUSED", "dynamicBidding": {"placementBidding": [{"percentage": "OVER"}]}},
    {"name": "a", "state": "PAUSED", "dynamicBidding": {"strategy": "AUTO_FOR_SALES"}},
)
OVER_TARGETS: tuple[dict[str, Any], ...] = (
    {"targetId": "1", "bid": {"bid": "OVER"}},
    {"targetId": "1", "bid": {"marketplaceSettings": [{"marketplace": "US", "bid": "OVER"}]}},
    {"targetId": "1", "state": "ENABLED"},
    {"targetId": "1", "bid": "OVER"},
)


class Written:
    """Writes JSON as hypothesis draws it: order, blanks, escapes, and the spelling of numbers. `"OVER"` becomes a
    number that is over each limit."""

    def __init__(self, data: st.DataObject) -> None:
        self._draw = data.draw

    def text(self, value: Any) -> str:
        if value == "OVER":
            return self._number()
        if isinstance(value, dict):
            members = self._draw(st.permutations(sorted(value.items(), key=lambda member: member[0])))
            inner = (f"{self._string(name)}{self._blank()}:{self._blank()}{self.text(each)}" for name, each in members)
            return f"{{{self._blank()}{f'{self._blank()},'.join(inner)}{self._blank()}}}"
        if isinstance(value, list):
            return f"[{f'{self._blank()},'.join(map(self.text, value))}{self._blank()}]"
        return self._string(value) if isinstance(value, str) else json.dumps(value)

    def _blank(self) -> str:
        return self._draw(st.sampled_from(["", "", " ", "\n\t", "\r\n"]))

    def _string(self, text: str) -> str:
        escaped = self._draw(st.sets(st.integers(0, max(0, len(text) - 1)), max_size=3))
        parts = (f"\\u{ord(letter):04x}" if at in escaped else letter for at, letter in enumerate(text))
        return f'"{"".join(parts)}"'

    def _number(self) -> str:
        number = self._draw(st.decimals(Decimal("200.01"), Decimal(10**9), places=2))
        shift = self._draw(st.integers(-9, 9))
        spellings = [
            f"{number:f}",
            f"{number:e}",
            f"{number:E}",
            f"{number.scaleb(-shift):f}e{shift}",
            f"{number.scaleb(-shift):f}E{shift:+}",
            f"{number:f}{'0' * self._draw(st.integers(0, 20))}",
        ]
        spelled = self._draw(st.sampled_from(spellings))
        quoted = self._draw(st.sampled_from(["{}", '"{}"', '" {}"', '"{}\\n"', '"+{}"']))
        return quoted.replace("{}", spelled)


def spread(data: st.DataObject, over: dict[str, Any], harmless: dict[str, Any]) -> str:
    """The JSON of a list with an item that is over a limit somewhere among 1,000 harmless ones at most."""
    other = json.dumps(harmless)
    before = [other] * data.draw(st.sampled_from([0, 0, 0, 1, 2, 9, 900]))
    after = [other] * data.draw(st.integers(0, 3))
    return f"[{', '.join((*before, Written(data).text(over), *after))}]"


def decorated(data: st.DataObject, item: dict[str, Any]) -> dict[str, Any]:
    """The same item with further members that set nothing."""
    further = st.dictionaries(
        st.sampled_from(["tags", "note", "labels", "extra", "x"]),
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.text("abc{}[]", max_size=5),
            lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from("abc"), inner, max_size=2),
            max_leaves=4,
        ),
        max_size=2,
    )
    return {**data.draw(further), **item}


def verdict_of(found: WriteFindings) -> SpendVerdict:
    return judge(found, LIMITS, PAYER, NOW).verdict


def verdict_of_rest(path: str, media_type: str, body: str) -> SpendVerdict:
    operation = PUBLISHED.find(b"POST", tuple(part.encode() for part in path.split("/") if part))
    content = JsonBody(body.encode()).exact()
    return verdict_of(read_rest(operation, "POST", path, media_type.encode(), content, PAYER))


@given(st.data())
def test_campaign_that_is_over_is_never_within(data: st.DataObject) -> None:
    """A campaign over a limit is refused in any spelling, among any others."""
    over = decorated(data, data.draw(st.sampled_from(OVER_CAMPAIGNS)))
    body = f'{{"campaigns": {spread(data, over, HARMLESS_CAMPAIGN)}}}'
    media_type = data.draw(
        st.sampled_from(
            [
                "application/vnd.spCampaign.v3+json",
                "application/vnd.spcampaign.V3+JSON; charset=utf-8",
                "application/vnd.spCampaign.v4+json",
                "application/json",
            ]
        )
    )
    assert verdict_of_rest("/sp/campaigns", media_type, body) is not SpendVerdict.WITHIN


@given(st.data())
def test_target_that_is_over_is_never_within_by_rest_or_mcp(data: st.DataObject) -> None:
    """The same change is refused as a request, as the call of a tool, and as a call by another one."""
    over = decorated(data, data.draw(st.sampled_from(OVER_TARGETS)))
    body = f'{{"targets": {spread(data, over, HARMLESS_TARGET)}}}'
    assert verdict_of_rest("/adsApi/v1/update/targets", "application/json", body) is not SpendVerdict.WITHIN
    arguments = f'{{"skill": {{"skillName": "a"}}, "body": {body}}}'
    name = "campaign_management-update_target"
    if data.draw(st.booleans()):
        key = data.draw(st.sampled_from(["name", "tool_name", "toolName", "tool"]))
        given_as = data.draw(st.sampled_from(["arguments", "args", "parameters", "params", "input"]))
        arguments = f'{{"{key}": "{name}", "{given_as}": {arguments}}}'
        name = INVOKE
    content = JsonBody(arguments.encode()).exact()
    assert verdict_of(read_tool(name, content, PAYER, PUBLISHED)) is not SpendVerdict.WITHIN


@given(st.data())
def test_text_that_holds_the_body_is_never_within(data: st.DataObject) -> None:
    """Arguments that are JSON in a text, at any level, are refused with what they hold."""
    body: Any = {"targets": [{"targetId": "1", "bid": {"bid": 500}}]}
    for _ in range(data.draw(st.integers(1, 3))):
        body = json.dumps(body)
        body = data.draw(st.sampled_from([body, {"targets": body}, {"x": body}, {"x": [body]}]))
    arguments: dict[str, Any] = data.draw(st.sampled_from([{"body": body}, {"body": {}, "x": body}]))
    content = JsonBody(json.dumps(arguments).encode()).exact()
    found = read_tool("campaign_management-update_target", content, PAYER, PUBLISHED)
    assert verdict_of(found) is not SpendVerdict.WITHIN


@given(st.data())
def test_harmless_write_stays_within(data: st.DataObject) -> None:
    """The same spellings of what is within all limits pass: nothing is refused for its form."""
    harmless = decorated(data, HARMLESS_CAMPAIGN)
    body = f'{{"campaigns": {spread(data, harmless, HARMLESS_CAMPAIGN)}}}'
    assert verdict_of_rest("/sp/campaigns", "application/vnd.spCampaign.v3+json", body) is SpendVerdict.WITHIN
