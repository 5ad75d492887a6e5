"""The table of money fields: every row is well-formed, and found by the form of its operation and media type."""

from __future__ import annotations

import re
from collections import Counter

import pytest

from proxy.routing.operations import PUBLISHED
from proxy.spend.table import (
    ANY_MEMBER,
    ANY_TOOL,
    ITEM,
    MONEY,
    CurrencySource,
    FieldNode,
    FieldReading,
    Kind,
    MoneyField,
    MoneyTable,
    WriteForm,
    parse_money_fields,
    split_path,
)

READINGS = {
    Kind.BUDGET: {FieldReading.AMOUNT, FieldReading.NOTHING},
    Kind.BID: {FieldReading.AMOUNT, FieldReading.NOTHING},
    Kind.ADJUSTMENT: {
        *(FieldReading.PERCENT, FieldReading.SUMMED_PERCENT, FieldReading.FACTOR),
        FieldReading.NOTHING,
    },
    Kind.STATE: {FieldReading.STATE, FieldReading.NOTHING},
    Kind.DATE: {FieldReading.DATE, FieldReading.DATE_WITH_BUDGET, FieldReading.NOTHING},
    Kind.STRATEGY: {FieldReading.WORD, FieldReading.NOTHING},
    Kind.CURRENCY: {FieldReading.CURRENCY},
    Kind.NOTE: {FieldReading.WORD, FieldReading.WORD_WITH_BUDGET, FieldReading.ANYTHING, FieldReading.NOTHING},
}
"""How values of a kind can be read."""
PATH = re.compile(r"\$|\(.+\)|\[\](\.[A-Za-z]+(\[\])?)+|[A-Za-z]+(\[\])?(\.([A-Za-z]+(\[\])?|\*|\*Ids\[\]))*")


def label(row: MoneyField) -> str:
    return f"{row.operation} {row.media_type} {row.path}"


def reached(form: WriteForm, row: MoneyField) -> FieldNode:
    """The node at the end of a row's path in a form."""
    node = form.root
    for step in row.steps:
        below = node.item if step == ITEM else node.any_member if step == ANY_MEMBER else node.members.get(step)
        assert below is not None, label(row)
        node = below
    return node


def form(operation: str, media_type: str = "") -> WriteForm:
    return MONEY.forms(operation)[media_type]


# --- every row ----------------------------------------------------------------------------------------------


def test_the_table_holds_every_known_field() -> None:
    """At least 845 rows of 198 operations and tools, no two of them of the same place."""
    places = Counter((row.operation, row.media_type, row.path) for row in MONEY.rows)
    assert len(MONEY.rows) >= 845
    assert len({row.operation for row in MONEY.rows}) >= 198
    assert [place for place, count in places.items() if count > 1] == []


def test_every_row_is_well_formed() -> None:
    """Its operation, path and verb are spelled as all are, and its reading fits its kind."""
    wrong = [
        label(row)
        for row in MONEY.rows
        if not re.fullmatch(r"((GET|PUT|POST|DELETE|PATCH|\*) /\S+|MCP (\*|[a-z_]+-[a-z_]+))", row.operation)
        or not re.fullmatch(r"(application/[a-z0-9.+-]+)?", row.media_type)
        or not PATH.fullmatch(row.path)
        or row.verb not in ("create", "update", "delete")
        or row.reading not in READINGS[row.kind]
    ]
    assert wrong == []


def test_what_is_not_sure_is_not_read() -> None:
    """A row that no source shows exactly lets no value pass, and neither does one that refuses its operation."""
    read = [
        label(row) for row in MONEY.rows if (not row.sure or row.refuses) and row.reading is not FieldReading.NOTHING
    ]
    assert read == []


def test_a_row_without_a_place_is_about_the_operation() -> None:
    """Whatever has no path in a body either sets a state or refuses the operation, and says why in a sentence."""
    wrong = [
        label(row)
        for row in MONEY.rows
        if (not row.steps and row.reading is not FieldReading.STATE and not row.refuses)
        or not re.fullmatch(r"|[A-Z][^.]+\.", row.refuses)
    ]
    assert wrong == []


def test_only_fields_with_words_have_words() -> None:
    """A field is read by its harmless words, of which there is at least one, or it has none."""
    wrong = [
        label(row)
        for row in MONEY.rows
        if bool(row.words) is not (row.reading in (FieldReading.WORD, FieldReading.WORD_WITH_BUDGET))
        or any(word != word.lower() for word in row.words)
    ]
    assert wrong == []


def test_only_amounts_have_a_currency() -> None:
    """The source of a currency is told of amounts alone."""
    nowhere = CurrencySource()
    wrong = [label(row) for row in MONEY.rows if row.currency != nowhere and row.reading is not FieldReading.AMOUNT]
    assert wrong == []


def test_every_currency_next_to_an_amount_has_a_row() -> None:
    """Without one, it would be an unknown member with the name of money."""
    places = {(row.operation, row.media_type, row.path) for row in MONEY.rows}
    named = (
        (row, f"{row.path.rpartition('.')[0]}.{row.currency.sibling}") for row in MONEY.rows if row.currency.sibling
    )
    assert [label(row) for row, path in named if (row.operation, row.media_type, path) not in places] == []


def test_only_a_row_of_an_update_waits_for_a_budget() -> None:
    """On creation, what is said about a budget passes by itself, as a created object has a budget of its own."""
    waiting = (FieldReading.WORD_WITH_BUDGET, FieldReading.DATE_WITH_BUDGET)
    assert {row.verb for row in MONEY.rows if row.reading in waiting} == {"update"}


def test_the_harmless_words_hand_nothing_to_amazon() -> None:
    """The words that pass are these and no others."""
    words = frozenset[str]().union(*(row.words for row in MONEY.rows if row.kind is Kind.STRATEGY))
    assert sorted(words) == [
        "date_range",
        "disabled",
        "draft",
        "even",
        "false",
        "legacy_for_sales",
        "manual",
        "minimize_spend",
        "monthly_recurring",
        "no_rollover",
        "preferred",
        "private_auction",
        "sales_down_only",
        "single_marketplace",
        "true",
        "use_campaign_strategy",
    ]
    assert {row.path.rpartition(".")[2] for row in MONEY.rows if "true" in row.words} == {"addToBudgetSpentAmount"}


def test_every_row_is_found_by_its_form() -> None:
    """Walking the path of a row through its form ends at this row."""
    lost = []
    for row in MONEY.rows:
        found = MONEY.forms(row.operation)[row.media_type]
        if row.steps:
            lost += [] if reached(found, row).field is row else [label(row)]
        elif row.refuses:
            lost += [] if found.refused == row.refuses else [label(row)]
        else:
            lost += [] if found.whole is row else [label(row)]
    assert lost == []


def test_rows_of_one_form_agree_on_what_is_created() -> None:
    """Each row of an operation and media type names the same created objects, and only creations have any."""
    creates: dict[tuple[str, str], set[str]] = {}
    for row in MONEY.rows:
        creates.setdefault((row.operation, row.media_type), set()).add(row.creates)
        assert not row.creates or row.verb == "create"
    assert [key for key, paths in creates.items() if len(paths) > 1] == []


# --- forms --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("operation", "media_type", "created"),
    [
        ("POST /sp/campaigns", "application/vnd.spcampaign.v3+json", ("campaigns", ITEM)),
        ("POST /sd/campaigns", "application/json", (ITEM,)),
        ("POST /sp/targetPromotionGroups", "application/vnd.sptargetpromotiongroup.v1+json", ("newCampaignDetails",)),
        ("POST /dsp/inventory/deals", "", ()),
        ("MCP campaign_management-create_campaign", "", ("body", "campaigns", ITEM)),
        ("PUT /sp/campaigns", "application/vnd.spcampaign.v3+json", None),
        ("POST /sp/campaigns/delete", "", None),
        ("POST /billing/invoices/pay", "application/json", None),
    ],
)
def test_a_form_knows_what_a_body_creates(operation: str, media_type: str, created: tuple[str, ...] | None) -> None:
    """A list of objects, one object, the body itself, or nothing."""
    assert form(operation, media_type).created == created


@pytest.mark.parametrize(
    "operation",
    ["POST /sp/campaigns/delete", "DELETE /sb/keywords/{keywordId}", "MCP campaign_management-delete_campaign"],
)
def test_a_deletion_is_judged_as_a_whole(operation: str) -> None:
    """Deleting sets the state `archived`, whatever the body holds."""
    found = form(operation)
    assert found.whole is not None
    assert (found.whole.kind, found.verb, found.refused) == (Kind.STATE, "delete", "")


@pytest.mark.parametrize(
    ("operation", "media_type"),
    [
        ("POST /recommendations/apply", "application/vnd.applyrecommendationsrequest.v1+json"),
        ("POST /sb/rules/optimization/associate", "application/vnd.sbruleoptimization.v4+json"),
        ("POST /accountBudgets/featureFlags", "application/vnd.accountbudgetfeatureflags.v1+json"),
        ("POST /billing/paymentProfiles", "application/json"),
        ("POST /dsp/v1/quickactions/{actionId}/executions", ""),
        ("POST /dsp/v1/targets", ""),
        ("POST /adsApi/v1/create/ruleLinks", "application/json"),
        ("MCP campaign_management-create_campaign_harvest_targets", ""),
    ],
)
def test_an_operation_without_readable_amounts_is_refused(operation: str, media_type: str) -> None:
    """What spends without an amount in its body, and what no specification shows, cannot be judged."""
    assert form(operation, media_type).refused


def test_an_ordinary_operation_is_not_refused() -> None:
    """A body of a campaign is read member by member."""
    found = form("PUT /sp/campaigns", "application/vnd.spcampaign.v3+json")
    assert (found.whole, found.refused, found.verb) == (None, "", "update")


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "DELETE"])
def test_a_closed_version_is_refused_for_every_method(method: str) -> None:
    """The rows of a path without a method answer for each of them."""
    assert (
        form(f"{method} /v2/sp/campaigns").refused
        == "Amazon closed this version, and its fields are no longer published."
    )


def test_an_operation_without_rows_has_no_form() -> None:
    """Neither an unknown path nor an unknown tool has one."""
    assert [dict(MONEY.forms(name)) for name in ("POST /sp/campaigns/list", "MCP a-b", "")] == [{}, {}, {}]


def test_a_row_for_any_media_type_belongs_to_each_form() -> None:
    """The form of one media type has the rows without a media type too."""
    forms = MONEY.forms("POST /sp/budgetRulesAssociation/delete")
    assert forms.keys() == {"", "application/json"}
    assert all(each.whole is not None for each in forms.values())
    assert forms["application/json"].root.members.keys() == {"budgetRulesDisAssociations"}
    assert not forms[""].root.members


def test_every_tool_has_what_all_tools_have() -> None:
    """`skill`, next to `body`, is a member of each tool's arguments."""
    tools = {row.operation for row in MONEY.rows if row.operation.startswith("MCP ")}
    assert ANY_TOOL in tools
    assert all("skill" in form(tool).root.members for tool in tools)
    assert "skill" not in form("POST /sp/campaigns/delete").root.members


def test_a_table_is_read_when_it_is_needed() -> None:
    """The rows are loaded with the first question, and once."""
    loads = []

    def load() -> tuple[MoneyField, ...]:
        loads.append(1)
        return ()

    table = MoneyTable(load)
    assert loads == []
    assert (dict(table.forms("POST /x")), dict(table.forms("POST /y")), table.rows, loads) == ({}, {}, (), [1])


# --- the parts of a row -------------------------------------------------------------------------------------


def test_a_row_is_read_from_its_cells() -> None:
    """Media type and words are compared in lower case, and a dash is an empty cell."""
    head = "operation\tmedia_type\tpath\tkind\treading\tunit\tcurrency\twords\tverb\tsure\trefuses\tcreates\tnote"
    cells = ["PUT /x", "Application/JSON", "a[].b", "bid", "amount", "-", "sibling:c country:d", "A true", "update"]
    (row,) = parse_money_fields("\n".join(("# of the test", head, "\t".join([*cells, "no", "-", "-", "-"]))))
    assert row == MoneyField(
        operation="PUT /x",
        media_type="application/json",
        path="a[].b",
        kind=Kind.BID,
        reading=FieldReading.AMOUNT,
        unit="",
        currency=CurrencySource("c", "d"),
        words=frozenset(("a", "true")),
        verb="update",
        sure=False,
        refuses="",
        creates="",
        note="",
    )
    assert len({row, row}) == 1


@pytest.mark.parametrize(
    ("path", "steps"),
    [
        ("$", ()),
        ("budget", ("budget",)),
        ("[].bid", (ITEM, "bid")),
        ("a[].b.c[]", ("a", ITEM, "b", "c", ITEM)),
        ("a.*.value", ("a", ANY_MEMBER, "value")),
    ],
)
def test_a_path_is_split_into_steps(path: str, steps: tuple[str, ...]) -> None:
    """Names of members, each item of a list, and any member."""
    assert split_path(path) == steps


def test_the_currency_of_a_country_is_found_by_key_sibling_and_country() -> None:
    """Each source is told as the table writes it."""
    sources = {
        row.path: row.currency for row in MONEY.rows if row.operation == "MCP campaign_management-add_country_campaign"
    }
    assert sources == {
        "body.campaigns[].budgetCaps.countryMonetaryBudgetSettings.*.value": CurrencySource(key=True),
        "body.campaigns[].defaultBid": CurrencySource(country="countryCodes"),
        "body.campaigns[].keywords[].bid": CurrencySource(country="countryCodes"),
    }


def test_every_operation_of_the_table_is_published() -> None:
    """Rows are looked up by method and template, so the table of operations spells them alike."""
    published = {f"{row.method} {row.template}" for row in PUBLISHED}
    named = {row.operation for row in MONEY.rows if not row.operation.startswith(("MCP ", "* "))}
    assert named - published == {"PUT /dsp/rules/bidmodifier/{bidModifierRuleId}"}
