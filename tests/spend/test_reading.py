"""What a write would change that money depends on."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.mcp.tools import INVOKE, operation_of
from proxy.routing.operations import PUBLISHED, Administered, Effect, Operation
from proxy.spend import body_walk, reading
from proxy.spend.body_walk import MAX_DEPTH, MAX_UNREAD
from proxy.spend.findings import Finding, Payer, WriteFindings, joined
from proxy.spend.reading import RestRequest, read_query, read_rest, read_tool, row_name
from proxy.spend.table import MONEY, Kind
from proxy.strict_json import JsonBody, differ_clearly

PAYER = Payer("USD", "America/Los_Angeles")
CAMPAIGNS = "application/vnd.spCampaign.v3+json"
KEYWORDS = "application/vnd.spKeyword.v3+json"
JSON = "application/json"


def exact(content: Any) -> Any:
    """Content as it comes from the wire; a text is JSON already."""
    text = content if isinstance(content, str) else json.dumps(content)
    return JsonBody(text.encode()).exact()


def rest(target: str, media_type: str, content: Any, payer: Payer = PAYER) -> WriteFindings:
    """The findings of `POST /sp/campaigns` with a body."""
    return read_rest(*operation_arguments(target), media_type.encode(), exact(content), payer)


def operation_arguments(target: str) -> tuple[Operation | None, str, str]:
    """The operation of `POST /sp/campaigns`, its method and its path."""
    method, path = target.split(" ")
    return PUBLISHED.find(method.encode(), tuple(part.encode() for part in path.split("/") if part)), method, path


def tool(name: str, arguments: Any, payer: Payer = PAYER) -> WriteFindings:
    """The findings of a call of a campaign management tool."""
    return read_tool(f"campaign_management-{name}", exact(arguments), payer, PUBLISHED)


def campaign(**members: Any) -> dict[str, Any]:
    return {"name": "a", "state": "PAUSED", "budget": {"budgetType": "DAILY", "budget": 100}, **members}


def one_budget(number: str) -> str:
    """The JSON of one campaign with a budget that is written so."""
    return '{"campaigns": [{"state": "PAUSED", "budget": {"budget": NUMBER}}]}'.replace("NUMBER", number)


def test_new_campaign_is_read_whole() -> None:
    """Each member with a row is a finding, with its place, and what has no row and no money is none."""
    found = rest("POST /sp/campaigns", CAMPAIGNS, {"campaigns": [campaign(), campaign(startDate="2026-12-01")]})
    assert (found.unread, found.unknown, found.created, found.items) == ((), (), 2, 2)
    assert found.findings[:2] == (
        Finding("campaigns[0].state", Kind.STATE, "paused", "", "", known=True, item=0),
        Finding("campaigns[0].budget.budget", Kind.BUDGET, Decimal(100), "USD", "", known=True, item=0),
    )
    assert {(each.path, each.kind) for each in found.findings if each.item == 1} == {
        ("campaigns[1].state", Kind.STATE),
        ("campaigns[1].budget.budget", Kind.BUDGET),
        ("campaigns[1].startDate", Kind.DATE),
    }


def test_finding_names_the_object_of_its_item() -> None:
    """A change names what is changed, by the id in the same item."""
    found = rest("PUT /sp/keywords", KEYWORDS, {"keywords": [{"keywordId": "7", "campaignId": "5", "bid": 1.25}]})
    assert found.findings == (
        Finding("keywords[0].bid", Kind.BID, Decimal("1.25"), "USD", "keyword/7", known=True, item=0),
    )
    assert (found.created, found.items) == (0, 1)


def test_tool_is_read_as_its_rows_say() -> None:
    """The body of a tool is one of its arguments; a tool that `invoke_tool` calls is read as if called itself."""
    campaigns = [
        {"campaignId": "5", "budgets": [{"budgetValue": {"monetaryBudgetValue": {"monetaryBudget": {"value": 9}}}}]}
    ]
    arguments = {"body": {"campaigns": campaigns}, "skill": {"skillName": "x", "version": "1"}}
    found = tool("update_campaign_budget", arguments)
    assert found.findings == (
        Finding(
            "body.campaigns[0].budgets[0].budgetValue.monetaryBudgetValue.monetaryBudget.value",
            *(Kind.BUDGET, Decimal(9), "USD", "campaign/5"),
            known=True,
            item=0,
        ),
    )
    assert found.unread == ()
    name = "campaign_management-update_campaign_budget"
    for invoked in ({"name": name, "arguments": arguments}, {"tool_name": name, "params": arguments}):
        assert read_tool(INVOKE, exact(invoked), PAYER, PUBLISHED) == found


@pytest.mark.parametrize("number", ["300", "3e2", "3E+2", "300.0", '"300"', '" 3E2 "', '"+300."', "0.3e3"])
def test_number_counts_in_any_spelling(number: str) -> None:
    """A number is its value, however it is written, also as a text."""
    found = rest("POST /sp/campaigns", CAMPAIGNS, one_budget(number))
    assert [each.value for each in found.findings if each.kind is Kind.BUDGET] == [Decimal(300)]
    assert found.unread == ()


# --- What is unreadable -----------------------------------------------------------------------------------


def unknown_of(found: WriteFindings) -> tuple[str, ...]:
    """The names behind what cannot be read; each has a sentence."""
    assert len(found.unread) == len(found.unknown)
    return found.unknown


@pytest.mark.parametrize(
    ("amount", "says"),
    [
        (None, "is null, which may lift a limit"),
        (True, "is no amount"),
        ({"value": 5}, "is no amount"),
        ([5], "is no amount"),
        ("500 USD", "is no amount"),
        ("0x1F", "is no amount"),
        ("\uff15\uff10\uff10", "is no amount"),
        ("1_000", "is no amount"),
        ("", "is no amount"),
        ("9" * 80, "is no amount"),
        (10**40, "is no amount"),
        (-1, "is no amount"),
        ("-0.01", "is no amount"),
        ("1e400", "is no amount"),
        ("1e-400", "is no amount"),
        ("0." + "0" * 80 + "1", "is no amount"),
    ],
)
def test_amount_that_is_no_plain_number_is_unreadable(amount: Any, says: str) -> None:
    """What is no number from 0 on is no amount, nor is one of a size that no budget has."""
    found = rest("POST /sp/campaigns", CAMPAIGNS, {"campaigns": [campaign(budget={"budget": amount})]})
    assert unknown_of(found) == ("field campaigns[].budget.budget",)
    assert found.unread[0].startswith(f"`campaigns[0].budget.budget` {says}")
    assert (
        "The row `campaigns[].budget.budget` of `POST /sp/campaigns` in docs/reference/money-fields.md"
        in found.unread[0]
    )
    assert all(each.kind is not Kind.BUDGET for each in found.findings)


def test_exact_number_of_many_digits_is_unreadable() -> None:
    """An amount with more digits than money has is not compared, though it is a number."""
    number = "1." + "0" * 80 + "1"
    found = rest("POST /sp/campaigns", CAMPAIGNS, one_budget(number))
    assert unknown_of(found) == ("field campaigns[].budget.budget",)
    assert read_rest(
        *operation_arguments("POST /sp/campaigns"),
        CAMPAIGNS.encode(),
        {"campaigns": [campaign(budget={"budget": 1.5})]},
        PAYER,
    ).unread


@pytest.mark.parametrize(
    "body",
    [
        {"campaigns": campaign()},
        {"campaigns": "[]"},
        {"campaigns": None},
        {"campaigns": [[campaign()]]},
        {"campaigns": ["a"]},
        {"campaigns": [campaign(budget=500)]},
        {"campaigns": [campaign(budget=[{"budget": 500}])]},
        {"campaigns": [campaign(budget=None)]},
        {"campaigns": [campaign(state=["PAUSED"])]},
        {"campaigns": [campaign(state=None)]},
        {"campaigns": [campaign(state="<b>")]},
        {"campaigns": [campaign(startDate={"day": 1})]},
        {"campaigns": [campaign(startDate=True)]},
        {"campaigns": [campaign(endDate="")]},
        {"campaigns": [campaign(endDate="none")]},
        {"campaigns": [campaign(endDate="00000000")]},
        {"campaigns": [campaign(endDate=0)]},
        {"campaigns": [campaign(dynamicBidding={"strategy": ["MANUAL"]})]},
        {"campaigns": [campaign(dynamicBidding={"placementBidding": [{"percentage": "50%"}]})]},
        {"campaigns": [campaign(dynamicBidding={"placementBidding": {"percentage": 5}})]},
        [campaign()],
        "campaigns",
    ],
)
def test_other_shape_is_unreadable(body: Any) -> None:
    """Where the table has an object, a list or a value, nothing else passes: another reader may unwrap it."""
    found = rest("POST /sp/campaigns", CAMPAIGNS, json.dumps(body))
    assert len(found.unread) == 1


@pytest.mark.parametrize(
    ("members", "unknown"),
    [
        ({"cap": 5}, "field campaigns[].cap"),
        ({"dailyBudget": "500"}, "field campaigns[].dailyBudget"),
        ({"max_cpc": 1.5}, "field campaigns[].max_cpc"),
        ({"maxCPC": "$1.50"}, "field campaigns[].maxCPC"),
        ({"maxCPC": "1.50 USD"}, "field campaigns[].maxCPC"),
        ({"maxCPC": "EUR 2"}, "field campaigns[].maxCPC"),
        ({"spend": "1.000,50"}, "field campaigns[].spend"),
        ({"x": {"percentage": 900}}, "field campaigns[].x.percentage"),
        ({"spend": "0x1F4"}, "field campaigns[].spend"),
        ({"spend": "500d"}, "field campaigns[].spend"),
        ({"budget": {"budget": 1, "value": 5}}, "field campaigns[].budget.value"),
        ({"budgets": [{"value": 5}]}, "field campaigns[].budgets[].value"),
        ({"budgets": [5]}, "field campaigns[].budgets[]"),
        ({"x": {"y": [[{"price": {"z": 5}}]]}}, "field campaigns[].x.y[][].price.z"),
        ({"Budget": {"budget": 1}}, "field campaigns[].Budget"),
        ({"sTATE": "enabled"}, "field campaigns[].sTATE"),
        ({"start_date": "2026-12-01"}, "field campaigns[].start_date"),
        ({"status": "enabled"}, "field campaigns[].status"),
        ({"x": {"state": "enabled"}}, "field campaigns[].x.state"),
        ({"budgetName": "Q4 2026"}, "field campaigns[].budgetName"),
        ({"budgetEnabled": True}, "field campaigns[].budgetEnabled"),
        ({"budgetDay": "2026-12-01"}, "field campaigns[].budgetDay"),
        ({"spendCap": None}, "field campaigns[].spendCap"),
        ({"budget": {"budget": 1, "policy": "NO_CAP"}}, "field campaigns[].budget.policy"),
        ({"budgetControls": {"sharing": {"mode": "ON"}}}, "field campaigns[].budgetControls.sharing.mode"),
        ({"budget cap": 5}, "field campaigns[].?"),
        ({"b" * 70 + "Bid": 5}, "field campaigns[].?"),
    ],
)
def test_money_without_a_row_is_unreadable(members: dict[str, Any], unknown: str) -> None:
    """Any value under a name that sounds like money needs a row, and so does what may be another member to a reader."""
    item = {name: value for name, value in campaign().items() if name.lower() not in {each.lower() for each in members}}
    found = rest("PUT /sp/campaigns", CAMPAIGNS, {"campaigns": [{**item, **members, "campaignId": "5"}]})
    assert unknown_of(found) == (unknown,)
    assert "campaigns[0]." in found.unread[0]


@pytest.mark.parametrize(
    "members",
    [
        {"name": "500"},
        {"tags": {"rank": 5}},
        {"targets": [1, 2, "3"]},
        {"budgetRuleIds": ["5"]},
        {"bidId": 12},
        {"webId": 5},
        {"": 5},
    ],
)
def test_what_is_no_money_passes(members: dict[str, Any]) -> None:
    """Numbers of other names, and ids, are nobody's money."""
    found = rest("POST /sp/campaigns", CAMPAIGNS, {"campaigns": [campaign(**members)]})
    assert (found.unread, found.unknown) == ((), ())


def test_number_in_the_place_of_a_word_is_unreadable() -> None:
    """Where any word is harmless, under a name that sounds like money, an amount is none of these words."""

    def placed(word: object) -> WriteFindings:
        bidding = {"strategy": "MANUAL", "placementBidding": [{"placement": word, "percentage": 1}]}
        return rest("POST /sp/campaigns", CAMPAIGNS, {"campaigns": [campaign(dynamicBidding=bidding)]})

    assert [placed(each).unread for each in ("PLACEMENT_TOP", None)] == [(), ()]
    field = "field campaigns[].dynamicBidding.placementBidding[].placement"
    assert {unknown_of(placed(each)) for each in (101, "101", 1.5)} == {(field,)}


@pytest.mark.parametrize("target", ["POST /sp/campaigns", "POST /dsp/audiences"])
def test_json_in_a_text_of_money_is_unreadable(target: str) -> None:
    """A server that unwraps it finds the amount."""
    media_type = CAMPAIGNS if "campaigns" in target else JSON
    found = rest(target, media_type, {"budgets": '{"daily": 500}', "budgetNote": "for {all} shoes"})
    assert found.unknown == (("field budgets", "field budgetNote") if "campaigns" in target else ("field budgets",))


def test_unknown_number_is_a_finding() -> None:
    """What may be money is a finding without a value, which is nobody's to record."""
    found = rest("PUT /sp/campaigns", CAMPAIGNS, {"campaigns": [{"campaignId": "5", "cap": 5}]})
    assert found.findings == (Finding("campaigns[0].cap", Kind.UNKNOWN, None, "", "campaign/5", known=False, item=0),)


def test_same_flaw_is_told_once() -> None:
    """A flaw of a thousand items has one sentence, and many flaws have a bound."""
    items = [campaign(cap=5) for _ in range(1000)]
    assert len(rest("POST /sp/campaigns", CAMPAIGNS, {"campaigns": items}).unread) == 1
    many = {f"cap{letter}{other}_cap": 1 for letter in "abcdefghijkl" for other in "abcdefghijkl"}
    found = rest("POST /sp/campaigns", CAMPAIGNS, {"campaigns": [campaign(**many)]})
    assert len(found.unread) == len(found.unknown) == MAX_UNREAD


def test_flaws_in_many_places_cost_little() -> None:
    """The path of what is nested deeply is cut, and of a list of numbers one suffices."""
    deep: Any = {"bids": [5] * 20_000}
    for _ in range(100):
        deep = {"a" * 60: deep}
    found = rest("POST /sp/campaigns", CAMPAIGNS, {"campaigns": [campaign(x=deep)]})
    (name,) = unknown_of(found)
    assert name.startswith("field campaigns[].x.aaa")
    assert len(name) < 400
    assert len([each for each in found.findings if each.kind is Kind.UNKNOWN]) == 1


def test_body_that_is_nested_too_deeply_is_unreadable() -> None:
    """What cannot be walked cannot be judged."""
    deep: Any = 5
    for _ in range(3000):
        deep = [deep]
    operation = operation_arguments("POST /sp/campaigns")
    found = read_rest(*operation, CAMPAIGNS.encode(), {"campaigns": [campaign(x=deep)]}, PAYER)
    assert found.unread[0].startswith("The body is nested too deeply.")


@pytest.mark.parametrize(("levels", "is_read"), [(MAX_DEPTH, True), (MAX_DEPTH + 1, False)])
def test_depth_of_a_body_is_limited(levels: int, is_read: bool) -> None:
    """Objects and lists without rows may be nested up to a bound, next to one another as often as they like."""
    deep: Any = {}
    for level in range(levels - 1):
        deep = [deep] if level % 2 else {"y": deep}
    found = rest("POST /sp/campaigns", CAMPAIGNS, {"campaigns": [campaign(x=deep), campaign(x=deep, z=deep)]})
    assert (found.unread == ()) is is_read


# --- What a reading remembers ------------------------------------------------------------------------------

NAMES = st.sampled_from(["campaigns", "budget", "budgetType", "state", "State", "bid", "a b", "x", "X", "name", "a.b"])
LEAVES = st.sampled_from([Decimal("1.50"), 5, "5", "DAILY", "PAUSED", "nobody", None, True, "[5]", Decimal("1e40")])
VALUES = st.recursive(LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=4))
ITEMS = st.fixed_dictionaries(
    {},
    optional={
        "budget": st.dictionaries(st.sampled_from(["budget", "budgetType", "x"]), LEAVES, max_size=3) | VALUES,
        "state": LEAVES,
        "campaignId": LEAVES,
        "dynamicBidding": VALUES,
        "x": VALUES,
        "X": LEAVES,
    },
)
BODIES = st.fixed_dictionaries({"campaigns": st.lists(ITEMS, max_size=4)}, optional={"x": VALUES}) | VALUES


def forget() -> None:
    """Read the next body as if it were the first one."""
    body_walk.tree_of.cache_clear()
    reading._known_way.cache_clear()
    body_walk._known_beyond.cache_clear()
    body_walk._REMEMBERED.clear()


def members_of(value: Any) -> int:
    """How many members the objects have whose names differ clearly."""
    if isinstance(value, dict):
        return sum(map(members_of, value.values())) + (len(value) if differ_clearly(value) else 0)
    return sum(map(members_of, value)) if isinstance(value, list) else 0


@settings(deadline=None)
@given(bodies=st.lists(BODIES, min_size=2, max_size=4), target=st.sampled_from(["POST", "PUT"]))
def test_what_was_read_before_changes_nothing(bodies: list[Any], target: str) -> None:
    """A body is found to change the same after any others. Each member is met once, and a readable body's are all."""
    request = RestRequest(*operation_arguments(f"{target} /sp/campaigns"), CAMPAIGNS.encode(), PAYER)
    first = []
    for body in bodies:
        forget()
        first.append(request.walk(body))
    again = [request.walk(body) for body in (*bodies, *bodies)]
    assert again == first * 2
    for body, (found, met) in zip(bodies, first, strict=True):
        assert met <= members_of(body)
        assert met == members_of(body) or found.unread


def test_what_is_remembered_of_forms_is_bounded() -> None:
    """Clients choose the names of members: many forms of objects, and long ones, do not pile up."""
    body = {"campaigns": [{f"x{number}": 1} for number in range(body_walk._MAX_FORMS + 1)]}
    for _ in range(2):
        assert rest("PUT /sp/campaigns", CAMPAIGNS, body).unread == ()
        assert 0 < len(body_walk._REMEMBERED) <= body_walk._MAX_FORMS
    forget()
    long = {"campaigns": [{"x" * (body_walk._MAX_NAMES + 1): 1}]}
    assert rest("PUT /sp/campaigns", CAMPAIGNS, long).unread == ()
    assert len(body_walk._REMEMBERED) == 1


@pytest.mark.parametrize("media_type", ["application/json", "application/vnd.spCampaign.v4+json", "text/plain", ""])
def test_body_of_another_media_type_is_unreadable(media_type: str) -> None:
    """Rows are those of one version of a body."""
    found = rest("POST /sp/campaigns", media_type, {"campaigns": [campaign()]})
    assert unknown_of(found) == ("media type of POST /sp/campaigns",)
    assert "Content-Type: application/vnd.spcampaign.v3+json." in found.unread[0]


@pytest.mark.parametrize("media_type", [CAMPAIGNS.upper(), f"{CAMPAIGNS}; charset=utf-8", f" {CAMPAIGNS} ;x=y"])
def test_parameters_and_case_of_a_media_type_do_not_count(media_type: str) -> None:
    """A media type is the same in any case, and with parameters."""
    assert rest("POST /sp/campaigns", media_type, {"campaigns": [campaign()]}).unread == ()


@pytest.mark.parametrize("charset", ["utf-7", '"utf-16"', "UTF-32", "latin1", ""])
def test_a_media_type_that_says_another_encoding_is_unreadable(charset: str) -> None:
    """A server that obeys it finds another body (RFC 8259 has UTF-8 alone)."""
    found = rest("POST /sp/campaigns", f"{CAMPAIGNS};q=1 ; Charset={charset}", {"campaigns": [campaign()]})
    assert (found.members, "in UTF-8" in found.unread[0]) == ((), True)


def test_a_name_that_utf_7_may_spell_is_unreadable() -> None:
    """`+AGI-udget` is the name of a budget to a decoder of UTF-7."""
    found = rest("PUT /sp/campaigns", CAMPAIGNS, {"campaigns": [{"campaignId": "1", "+AGI-udget": {"x": 500}}]})
    assert "member of another spelling" in found.unread[0]


@pytest.mark.parametrize(
    ("target", "media_type", "item"),
    [
        ("POST /adsApi/v1/update/campaigns", JSON, {"budgets": []}),
        ("POST /adsApi/v1/update/campaigns", JSON, {"budgets": [{}]}),
        ("POST /adsApi/v1/update/campaigns", JSON, {"budgets": [{"budgetValue": {}}]}),
        ("PUT /sp/campaigns", CAMPAIGNS, {"budget": {}}),
        ("PUT /sp/campaigns", CAMPAIGNS, {"endDate": ""}),
    ],
)
def test_empty_value_that_may_take_a_limit_away_is_unreadable(target: str, media_type: str, item: Any) -> None:
    """A server may take it for null; without the member nothing is said, and nothing refused."""
    found = rest(target, media_type, {"campaigns": [{"campaignId": "1", **item}]})
    assert len(found.unread) == 1
    assert "may lift a limit" in found.unread[0]
    assert rest(target, media_type, {"campaigns": [{"campaignId": "1"}]}).unread == ()


@pytest.mark.parametrize("bidding", [{}, {"placementBidding": []}])
def test_empty_value_without_a_budget_passes(bidding: Any) -> None:
    """An empty list takes adjustments away, which raises no bid over its limit."""
    content = {"campaigns": [{"campaignId": "1", "dynamicBidding": bidding}]}
    assert rest("PUT /sp/campaigns", CAMPAIGNS, content).unread == ()


def test_operation_that_no_specification_has_is_unreadable() -> None:
    """What an unknown operation does is not known, whatever its body holds."""
    found = rest("POST /sp/future/budgets", JSON, {})
    assert unknown_of(found) == ("operation POST /sp/future/budgets",)
    assert "list `POST /sp/future/budgets` in `spend.allow`" in found.unread[0]
    odd = rest("POST /sp/<script>", JSON, {})
    assert unknown_of(odd) == ("operation POST /sp/?script?",)


def test_operation_without_rows_passes_without_money() -> None:
    """A write of the specifications that the table has no row of passes, unless a number may be money."""
    target = "POST /sb/v4/adCreatives/video"
    assert MONEY.forms(target) == {}
    assert rest("POST /audiences/x", JSON, {}).unread != ()
    rowless = next(
        row
        for row in PUBLISHED
        if row.effect is Effect.WRITE
        and row.method == "POST"
        and not MONEY.forms(f"POST {row.template}")
        and "{" not in row.template
        and "delete" not in row.template
    )
    target = f"POST {rowless.template}"
    assert rest(target, JSON, {"name": "a", "state": "ENABLED", "count": 5}) == WriteFindings((), (), (), 0, 0)
    for content in ("5", '"text"', "null", "[]", "[5]"):  # no row says what it must be
        assert rest(target, JSON, content) == WriteFindings((), (), (), 0, 0)
    assert unknown_of(rest(target, JSON, {"a": [{"budget": 5}]})) == ("field a[].budget",)
    assert unknown_of(rest(target, "image/png", {})) == (f"media type of {target}",)


def test_write_without_a_body_sets_nothing() -> None:
    """Nothing is read where nothing is sent, unless the operation itself ends objects."""
    name = operation_arguments("POST /sp/campaigns")
    assert read_rest(*name, b"", None, PAYER) == WriteFindings((), (), (), 0, 0)
    assert read_rest(*name, CAMPAIGNS.encode(), None, PAYER) == WriteFindings((), (), (), 0, 0)
    assert read_rest(*name, b"image/png", None, PAYER).unread != ()


@pytest.mark.parametrize("target", ["DELETE /sd/campaigns/5", "POST /sp/campaigns/delete"])
def test_deleting_counts_as_archived(target: str) -> None:
    """An operation that deletes or archives sets the state `archived`."""
    (form, *_) = MONEY.forms(row_name(*operation_arguments(target))).values()
    found = rest(target, form.media_type or JSON, {"campaignIdFilter": {"include": ["5"]}})
    assert found.findings == (Finding("", Kind.STATE, "archived", "", "", known=True),)
    assert found.unread == ()


def test_deletion_without_rows_counts_as_archived() -> None:
    """Also of what the table has no row of."""
    rowless = next(row for row in PUBLISHED if row.method == "DELETE" and not MONEY.forms(f"DELETE {row.template}"))
    found = read_rest(rowless, "DELETE", rowless.template, b"", None, PAYER)
    assert [each.value for each in found.findings] == ["archived"]


@pytest.mark.parametrize(
    ("target", "media_type", "body"),
    [
        ("POST /sp/campaigns/5/budgetRules", JSON, {"budgetRuleIds": ["7"]}),
        ("POST /billing/invoices/pay", JSON, {}),
    ],
)
def test_operation_that_spends_without_an_amount_is_unreadable(target: str, media_type: str, body: Any) -> None:
    """Rules, payments, recommendations and closed versions cannot be judged by their bodies."""
    found = rest(target, media_type, body)
    name = row_name(*operation_arguments(target))
    assert any(f"`{name}` cannot be judged." in each for each in found.unread)
    assert f"operation {name}" in found.unknown


# --- Words, states, portfolios ----------------------------------------------------------------------------


def test_new_object_without_a_state_is_enabled() -> None:
    """Amazon enables what is created without a state."""
    found = rest("POST /sp/campaigns", CAMPAIGNS, {"campaigns": [{"budget": {"budget": 1}}]})
    assert Finding("campaigns[0].state", Kind.STATE, "enabled", "", "", known=True, item=0) in found.findings
    changed = rest("PUT /sp/campaigns", CAMPAIGNS, {"campaigns": [{"campaignId": "5", "budget": {"budget": 1}}]})
    assert all(each.kind is not Kind.STATE for each in changed.findings)


@pytest.mark.parametrize("strategy", ["MANUAL", "manual", "LEGACY_FOR_SALES"])
def test_harmless_word_passes(strategy: str) -> None:
    """A word of the table raises no bid, in any case."""
    found = rest("POST /sp/campaigns", CAMPAIGNS, {"campaigns": [campaign(dynamicBidding={"strategy": strategy})]})
    assert found.unread == ()
    assert [each.value for each in found.findings if each.kind is Kind.STRATEGY] == [strategy.lower()]


@pytest.mark.parametrize("strategy", ["AUTO_FOR_SALES", "RULE_BASED", "", 5, None, False])
def test_other_word_is_unreadable(strategy: Any) -> None:
    """What the table does not call harmless may spend more than the amounts say."""
    found = rest("POST /sp/campaigns", CAMPAIGNS, {"campaigns": [campaign(dynamicBidding={"strategy": strategy})]})
    assert unknown_of(found) == ("field campaigns[].dynamicBidding.strategy",)
    if strategy is not None:
        assert "Send one of: legacy_for_sales, manual." in found.unread[0]


def test_period_of_a_budget_changes_only_with_the_budget() -> None:
    """Another period gives the same number another meaning, so that the number must stand with it."""
    amount = {"budgetValue": {"monetaryBudgetValue": {"monetaryBudget": {"value": 5}}}}
    for name, is_read in ((("budgets"), True), ("", False)):
        entry = {"recurrenceTimePeriod": "DAILY", **(amount if name else {})}
        found = rest(
            "POST /adsApi/v1/update/campaigns",
            JSON,
            {"campaigns": [{"campaignId": "5", "budgets": [entry, {**amount}]}]},
        )
        assert (found.unread == ()) is is_read
        if not is_read:
            assert unknown_of(found) == ("field campaigns[].budgets[].recurrenceTimePeriod",)


def test_period_may_stand_on_either_side_of_the_budget() -> None:
    """A period is as harmless when it was read before as at the first time, and as unreadable without the budget."""
    amount, period = ("budget", 5), ("budgetType", "DAILY")
    for members in ((amount, period), (period, amount), (period,), (amount, period), (period, amount), (period,)):
        found = rest("PUT /sp/campaigns", CAMPAIGNS, {"campaigns": [{"campaignId": "5", "budget": dict(members)}]})
        assert (found.unread == ()) is (amount in members)


def test_member_of_the_table_without_a_limit_is_unreadable() -> None:
    """Some rows say that no limit can be compared with a member, and those without a sure source do as well."""
    target = "POST /adsApi/v1/update/campaigns"
    refused: list[dict[str, Any]] = [
        {"portfolioId": "5"},
        {"portfolioId": None},
        {"costType": "CPC"},
        {"countries": []},
    ]
    for members in refused:
        found = rest(target, JSON, {"campaigns": [{"campaignId": "5", **members}]})
        (name,) = unknown_of(found)
        assert name.startswith(f"field campaigns[].{next(iter(members))}")
        assert "cannot be limited." in found.unread[0]
    deal = {"adGroups": [{"adGroupId": "5", "targetingSettings": {"targetedPGDealId": "7"}}]}
    found = rest("POST /adsApi/v1/update/adGroups", JSON, deal)
    assert unknown_of(found) == ("field adGroups[].targetingSettings.targetedPGDealId",)


def test_portfolio_without_a_budget_is_unreadable() -> None:
    """A new portfolio without a cap lets its campaigns out of one."""
    media_type = "application/vnd.spPortfolio.v3+json"
    capped = {"name": "a", "state": "ENABLED", "budget": {"amount": 5, "currencyCode": "USD", "policy": "DATE_RANGE"}}
    assert rest("POST /portfolios", media_type, {"portfolios": [capped]}).unread == ()
    found = rest("POST /portfolios", media_type, {"portfolios": [capped, {"name": "b", "state": "ENABLED"}]})
    assert unknown_of(found) == ("field portfolios[]",)
    assert found.unread[0].startswith("`portfolios[1]` is a portfolio without a budget")


def test_adjustments_are_percentages() -> None:
    """A factor of 1.5 raises by 50 percent; reductions are negative."""
    bidding = {"strategy": "MANUAL", "placementBidding": [{"percentage": 900}, {"percentage": "-5"}]}
    found = rest("POST /sp/campaigns", CAMPAIGNS, {"campaigns": [campaign(dynamicBidding=bidding)]})
    assert [each.value for each in found.findings if each.kind is Kind.ADJUSTMENT] == [Decimal(900), Decimal(-5)]
    rule = {"rule": {"expression": [{"actions": {"bidAdjustment": {"adjustmentValue": value}}} for value in (1.5, 0)]}}
    found = tool("create_bid_adjustment_rule", {"body": rule})
    assert [each.value for each in found.findings if each.kind is Kind.ADJUSTMENT] == [Decimal(50), Decimal(-100)]
    assert found.unread == ()


# --- Currencies -------------------------------------------------------------------------------------------

BIDS = "POST /adsApi/v1/create/targets"


def currencies(bid: Any, payer: Payer = PAYER) -> tuple[list[str], tuple[str, ...]]:
    """The currencies in which the bids of a target are judged, and what is unreadable."""
    found = rest(BIDS, JSON, {"targets": [{"state": "PAUSED", "bid": bid}]}, payer)
    return [each.currency for each in found.findings if each.kind is Kind.BID], found.unread


def test_amount_is_in_the_currency_of_the_profile() -> None:
    """Where the body names no currency, the profile's counts; where that is unknown, the amount cannot be judged."""
    assert currencies({"bid": 1}) == (["USD"], ())
    found, unread = currencies({"bid": 1}, Payer("", ""))
    assert found == [""]
    assert "is an amount without a known currency. Name the profile or the ads account." in unread[0]


def test_lie_about_a_currency_does_not_help() -> None:
    """An amount is judged in the currency of the body and in that of the profile."""
    portfolio = {
        "name": "a",
        "state": "ENABLED",
        "budget": {"amount": 5, "currencyCode": "jpy", "policy": "DATE_RANGE"},
    }
    for payer, expected in ((PAYER, ["JPY", "USD"]), (Payer("JPY", ""), ["JPY"]), (Payer("", ""), ["JPY"])):
        found = rest("POST /portfolios", "application/vnd.spPortfolio.v3+json", {"portfolios": [portfolio]}, payer)
        assert [each.currency for each in found.findings if each.kind is Kind.BUDGET] == expected


@pytest.mark.parametrize("code", ["", "US", "EURO", 5, None, ["USD"]])
def test_currency_that_is_none_is_unreadable(code: Any) -> None:
    """A currency is a code of three letters."""
    portfolio = {"name": "a", "state": "ENABLED", "budget": {"amount": 5, "currencyCode": code, "policy": "DATE_RANGE"}}
    found = rest("POST /portfolios", "application/vnd.spPortfolio.v3+json", {"portfolios": [portfolio]})
    assert "field portfolios[].budget.currencyCode" in found.unknown


def test_amount_of_a_country_is_in_its_currency() -> None:
    """The country next to an amount decides, not the profile."""
    settings = [{"marketplace": "DE", "bid": 1}, {"marketplace": "jp", "bid": 2}, {"bid": 3}]
    assert currencies({"marketplaceSettings": settings}) == (["EUR", "JPY", "USD"], ())
    found, unread = currencies({"marketplaceSettings": [{"marketplace": "XX", "bid": 1}]})
    assert found == [""]
    assert "in a country whose currency is not known" in unread[0]
    assert currencies({"marketplaceSettings": [{"marketplace": 5, "bid": 1}]})[1] != ()


def test_amount_under_the_name_of_a_country_is_in_its_currency() -> None:
    """Where countries are the names of members, and where an enclosing object lists them."""
    caps = {"countryMonetaryBudgetSettings": {"DE": {"value": 5}, "US": {"value": 6}}}
    item = {"budgetCaps": caps, "countryCodes": ["FR", "GB"], "defaultBid": 1, "keywords": [{"bid": 2}]}
    found = tool("add_country_campaign", {"body": {"campaigns": [item]}})
    amounts = [each for each in found.findings if each.kind is not Kind.STATE]
    assert [(each.value, each.currency) for each in amounts] == [
        (Decimal(5), "EUR"),
        (Decimal(6), "USD"),
        *((Decimal(1), "EUR"), (Decimal(1), "GBP"), (Decimal(2), "EUR"), (Decimal(2), "GBP")),
    ]
    assert amounts[0].path == "body.campaigns[0].budgetCaps.countryMonetaryBudgetSettings.DE.value"
    assert found.unread == ()


# --- Lists and objects ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("target", "content"),
    [
        ("POST /sb/negativeKeywords", [{"keywordText": "a", "matchType": "negativeExact"}] * 2),
        (
            "POST /sb/negativeTargets",
            {"negativeTargets": [{"adGroupId": 1, "expressions": [{"type": "asinSameAs"}]}] * 2},
        ),
    ],
)
def test_new_exclusions_are_counted(target: str, content: Any) -> None:
    """They have no amount and no state, and are new objects like those of Sponsored Products."""
    found = rest(target, JSON, content)
    assert (found.unread, found.created) == ((), 2)


def test_items_of_several_lists_are_not_told_apart() -> None:
    """A response that names failed items by number does not say of which list: no finding has an item then."""
    found = rest("POST /sp/campaigns", CAMPAIGNS, {"campaigns": [campaign()], "others": [{"name": "b"}]})
    assert found.items == 0
    assert {each.item for each in found.findings} == {-1}
    assert found.created == 1


def test_body_that_is_a_list_has_items() -> None:
    """Where the body itself is the list, paths begin with an index, and objects are those of the path."""
    found = rest("PUT /sd/campaigns", JSON, [{"campaignId": 5, "budget": 9}, {"campaignId": 6, "state": "paused"}])
    assert [(each.path, each.object, each.item) for each in found.findings] == [
        ("[0].budget", "campaign/5", 0),
        ("[1].state", "campaign/6", 1),
    ]
    assert (found.unread, found.items) == ((), 2)


def test_nested_lists_keep_the_object_around_them() -> None:
    """A member of a list within an item belongs to the object of the item."""
    bidding = {"placementBidding": [{"percentage": 5}]}
    found = rest("PUT /sp/campaigns", CAMPAIGNS, {"campaigns": [{"campaignId": "5", "dynamicBidding": bidding}] * 2})
    assert [(each.path, each.object, each.item) for each in found.findings] == [
        (f"campaigns[{item}].dynamicBidding.placementBidding[0].percentage", "campaign/5", item) for item in (0, 1)
    ]


# --- MCP --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name", ["campaign_management-nobody_knows", "x" * 300, "?", "campaign_management-query_campaign"]
)
def test_tool_without_rows_is_unreadable(name: str) -> None:
    """A tool that neither has rows nor does what a known write does cannot be judged."""
    found = read_tool(name, {"body": {}}, PAYER, PUBLISHED)
    (unknown,) = unknown_of(found)
    assert unknown.startswith("tool ")
    assert len(unknown) <= 160
    assert "`spend.allow`" in found.unread[0]


@pytest.mark.parametrize(
    ("target", "what"),
    [
        ("POST /adsApi/v1/create/accountCombinationInvitations", "accounts"),
        ("POST /user-invitations", "users"),
        ("PUT /billingProfiles", "billing"),
        ("POST /termsTokens", "terms"),
        ("DELETE /measurement/studies", "studies"),
    ],
)
@pytest.mark.parametrize("body", [{}, {"name": "x"}])
def test_what_administers_is_within_no_limit(target: str, what: str, body: Any) -> None:
    """No body of it is readable, with or without money; the words say what it administers and how to allow it."""
    found = rest(target, JSON, body)
    assert len(found.unread) == 1 and f"administers {what}" in found.unread[0] and "`spend.allow`" in found.unread[0]
    assert found.unknown == (f"operation {target}",)


def test_a_tool_that_administers_is_within_no_limit() -> None:
    """By its name it does what such an operation does."""
    found = read_tool("account_management-create_manager_account", {"name": "x"}, PAYER, PUBLISHED)
    assert "administers accounts" in found.unread[0]


def test_tool_of_an_operation_without_rows_passes_without_money() -> None:
    """A tool whose operation has no money is read like the operation."""
    rowless = [
        row
        for row in PUBLISHED
        if row.template.startswith(("/adsApi/v1/create/", "/adsApi/v1/delete/"))
        and not MONEY.forms(f"POST {row.template}")
        and row.effect is Effect.WRITE
        and row.administers is Administered.NOTHING
    ]
    for row in rowless:
        _, _, verb, resource = row.template.strip("/").split("/")[-4:]
        name = (
            "x-"
            + verb
            + "_"
            + "".join(f"_{each.lower()}" if each.isupper() else each for each in resource).removesuffix("s")
        )
        if operation_of(name, PUBLISHED) is not row:
            continue
        found = read_tool(name, {"body": {"a": "b", "c": 5}, "skill": {"skillName": "x"}}, PAYER, PUBLISHED)
        assert found.unread == ()
        assert [each.value for each in found.findings] == (["archived"] if verb == "delete" else [])
        assert read_tool(name, {"body": {"bid": 5}}, PAYER, PUBLISHED).unknown == ("field body.bid",)
        break
    else:
        pytest.fail("no tool of an operation without rows")


def test_tool_that_deletes_archives() -> None:
    """Deleting by a tool is setting the state `archived`, too."""
    found = tool("delete_campaign", {"body": {"campaignIds": ["5"]}})
    assert [(each.kind, each.value) for each in found.findings] == [(Kind.STATE, "archived")]
    assert found.unread == ()


def test_tool_has_the_rows_of_its_operation() -> None:
    """What only the unified API documents is judged in the body of the tool, and what the tool creates is counted."""
    arguments = {
        "body": {"campaigns": [{"state": "ENABLED", "optimizations": {"bidSettings": {"bidStrategy": "MANUAL"}}}, {}]}
    }
    found = tool("create_campaign", arguments)
    assert [each.path for each in found.findings if each.kind is Kind.STATE] == [
        "body.campaigns[0].state",
        "body.campaigns[1].state",
    ]
    assert found.created == 2
    assert unknown_of(found) == ("field body.campaigns[].optimizations.bidSettings.bidStrategy",)
    assert unknown_of(tool("create_campaign_harvest_targets", {})) == (
        "operation MCP campaign_management-create_campaign_harvest_targets",
    )


@pytest.mark.parametrize("arguments", [None, {}, {"campaigns": []}, {"Body": {}}, {"input": {"body": {}}}])
def test_tool_without_a_body_is_unreadable(arguments: Any) -> None:
    """The rows of a tool are about its body; other arguments may be read in its place."""
    assert "field body" in tool("update_target", json.dumps(arguments)).unknown


@pytest.mark.parametrize("arguments", [[], "{}", 5, {"body": []}, {"body": '{"targets": []}'}, {"body": None}])
def test_arguments_of_another_shape_are_unreadable(arguments: Any) -> None:
    """Arguments and body are objects, and a text is none."""
    assert tool("update_target", json.dumps(arguments)).unread != ()


@pytest.mark.parametrize(
    "text",
    [
        '{"bid": 5}',
        ' [{"defaultBid": 5}]',
        '{"a": [{"state": "ENABLED"}]}',
        '"{\\"bid\\": 5}"',
        '{"a": "{\\"b\\": \\"{\\\\\\"bid\\\\\\": 5}\\"}"}',
        '{"\\u0062id": 5}',
        '{"a": 1, "A": 2}',
        '{"a": 1} {"bid": 5}',
    ],
)
def test_json_with_money_in_texts_is_unreadable(text: str) -> None:
    """A server may read a text as JSON, so that none may hold what is judged."""
    for arguments in (
        {"body": {"x": text}},
        {"body": {"x": [text]}},
        {"body": {}, "y": text},
        {"body": {}, "skill": text},
    ):
        found = tool("update_target", arguments)
        assert len(unknown_of(found)) == 1
        assert "is a text with JSON in it" in found.unread[0]


def test_json_in_a_text_under_a_name_like_money_is_unreadable() -> None:
    """Whatever the members of the JSON are called, the name of the text makes it money."""
    assert unknown_of(tool("update_target", {"body": {"maxBid": '{"value": 5}'}})) == ("field body.maxBid",)
    assert tool("update_target", {"body": {"x": "high [see notes]"}}).unread == ()


def test_json_in_texts_is_not_followed_for_ever() -> None:
    """Texts within texts are read a few levels deep; what lies deeper is not readable."""
    text = '{"a": 1}'
    for _ in range(8):
        text = json.dumps([text])
    assert tool("update_target", {"body": {"x": text}}).unread != ()


@pytest.mark.parametrize(
    "text", ["[SP] Budget shoes", "{a}", '{"a": [1, "b", {"c": "d"}]}', "a [b] budget", "\\o/", '["x", "y"]']
)
def test_text_without_money_in_json_passes(text: str) -> None:
    """A text is a name, or harmless JSON."""
    assert tool("update_target", {"body": {"x": text}}).unread == ()


@pytest.mark.parametrize(
    "arguments",
    [
        None,
        [],
        {},
        {"name": "campaign_management-update_target"},
        {"name": "a", "tool": "b", "arguments": {}},
        {"name": "campaign_management-update_target", "arguments": {}, "params": {}},
        {"name": "campaign_management-update_target", "body": {}},
        {"name": 5, "arguments": {}},
        {"name": INVOKE, "arguments": {}},
    ],
)
def test_ambiguous_invoke_tool_is_unreadable(arguments: Any) -> None:
    """What servers may read in several ways is not judged in one of them."""
    assert read_tool(INVOKE, arguments, PAYER, PUBLISHED).unread != ()


@pytest.mark.parametrize(
    ("query", "names"),
    [
        (b"", ()),
        (b"?count=5&campaignIdFilter=1&budgetId=3", ()),
        (b"?bid=1&dailyBudget=5&bid=2&state=enabled", ("bid", "dailyBudget", "state")),
        (b"?b%69d=1", ("bid",)),
    ],
)
def test_a_parameter_that_may_be_money_or_a_state_is_unreadable(query: bytes, names: tuple[str, ...]) -> None:
    """Each name is told once, and counted as one thing."""
    body = WriteFindings((), ("No.",), ("x",), 2, 3)
    found = joined(body, read_query(query))
    told = tuple(f"The parameter '{name}' may be money or a state. Send it in the body." for name in names)
    assert found == WriteFindings((), ("No.", *told), ("x", "a parameter") if names else ("x",), 2, 3)


def test_what_is_remembered_of_bodies_is_bounded() -> None:
    """Clients choose names and words: many and long ones are read like the first, and do not pile up."""
    for number in range(4 * body_walk._MAX_TOLD):
        word, day = "x" * (number % 60 + 1) + "y" * (number // 60), f"day 1{number}"
        found = rest(
            "POST /sp/campaigns", CAMPAIGNS, {"campaigns": [campaign(**{f"n{number}": 1}, state=word, startDate=day)]}
        )
        assert {(each.path, each.value) for each in found.findings} >= {
            ("campaigns[0].state", word),
            ("campaigns[0].startDate", day),
        }
    for long in ("1", "1" * 100):
        found = rest("POST /sp/campaigns", CAMPAIGNS, {"campaigns": [campaign(**{"n" * 100: 1}, startDate=long)] * 2})
        assert [each.value for each in found.findings if each.kind is Kind.DATE] == [long, long]
    operation, _, _ = operation_arguments("POST /sp/campaigns")
    assert operation is not None
    tree = reading._way_of(operation, CAMPAIGNS.encode(), True).tree
    assert tree is not None
    item = tree.members["campaigns"].item
    assert item is not None
    assert max(len(item.members[name].told) for name in ("state", "startDate")) <= body_walk._MAX_TOLD


def test_date_may_be_a_number() -> None:
    """Old operations have dates such as 20261202; a boolean is none."""
    found = rest("POST /sp/campaigns", CAMPAIGNS, {"campaigns": [campaign(startDate=20261202)]})
    assert ("campaigns[0].startDate", "20261202") in {(each.path, each.value) for each in found.findings}
    assert rest("POST /sp/campaigns", CAMPAIGNS, {"campaigns": [campaign(startDate=True)]}).unread
