"""The table of operations: what it holds, and that each request finds the very row that it is."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any
from urllib.parse import quote_from_bytes

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from proxy.http1.target import path_segments
from proxy.routing.operations import (
    PLACEHOLDER,
    PUBLISHED,
    AccountRule,
    Administered,
    Amendment,
    Effect,
    Operation,
    Operations,
    ScopeRule,
    amend,
    family,
    find_misfits,
    parse_operations,
    unknown_reads,
)

ROWS = tuple(PUBLISHED)
LITERALS = sorted({segment for row in ROWS for segment in row.segments} - {PLACEHOLDER})
PUBLISHED_FAMILIES = {family(row, b"", ()) for row in ROWS}


def family_of(method: str, path: str) -> str:
    parts = path_segments(path.encode())
    return family(PUBLISHED.find(method.encode(), parts), method.encode(), parts)


@pytest.mark.parametrize(
    ("method", "path", "expected"),
    [
        ("POST", "/sp/campaigns/list", "sp/campaigns:read"),
        ("PUT", "/sp/campaigns", "sp/campaigns:write"),
        ("POST", "/sp/campaigns/delete", "sp/campaigns:write"),
        ("POST", "/sp/campaigns/budgetRecommendations", "sp/campaigns/recommendations:read"),
        ("POST", "/sp/targets/keywords/recommendations", "sp/targets/recommendations:read"),
        ("POST", "/sb/v4/campaigns/list", "sb/campaigns:read"),
        ("POST", "/sb/recommendations/bids", "sb/recommendations:read"),
        ("GET", "/sd/adGroups/extended/7", "sd/adGroups:read"),
        ("HEAD", "/sd/adGroups/7", "sd/adGroups:read"),
        ("GET", "/v2/sp/keywords/7/bidRecommendations", "sp/keywords/recommendations:read"),
        ("POST", "/adsApi/v1/query/campaigns", "v1/campaigns:read"),
        ("POST", "/adsApi/v1/update/campaigns", "v1/campaigns:write"),
        ("POST", "/adsApi/v1/retrieve/commitments/dsp", "v1/commitments:read"),
        ("POST", "/adsApi/v1/create/recommendations/sb", "v1/recommendations:write"),
        ("POST", "/adsApi/v1/create/reports", "v1/reports:report"),
        ("POST", "/reporting/reports", "reporting/reports:report"),
        ("GET", "/reporting/reports/7", "reporting/reports:read"),
        ("DELETE", "/reporting/reports/7", "reporting/reports:write"),
        ("POST", "/sd/targets/report", "sd/report:report"),
        ("POST", "/v2/hsa/campaigns/report", "hsa/report:report"),
        ("GET", "/v2/reports/7/download", "reports/download:read"),
        ("GET", "/v2/profiles", "profiles:read"),
        ("POST", "/accounts/7/dsp/conversionDefinitions/list", "accounts/dsp:read"),
        ("GET", "/mcp", "mcp"),
        ("POST", "/mcp/lite", "mcp"),
        ("POST", "/sp/unheard", "sp/other:write"),
        ("GET", "/v7/sp/unheard", "sp/other:read"),
        ("POST", "/adsApi/v1/query/unheard", "v1/other:read"),
        ("BREW", "/unheard", "other:write"),
        ("OPTIONS", "/v2", "other:read"),
        ("GET", "/", "other:read"),
    ],
)
def test_family_of_a_request(method: str, path: str, expected: str) -> None:
    """API, resource and effect; what the table does not know has one family for each API that is known."""
    assert family_of(method, path) == expected


def test_a_family_holds_operations_of_one_effect() -> None:
    """A throttled write never holds a read back."""
    effects: dict[str, set[Effect]] = {}
    for row in ROWS:
        effects.setdefault(family(row, b"", ()), set()).add(row.effect)
    assert len(effects) == 360
    assert {len(found) for found in effects.values()} == {1}


def test_a_corrected_row_has_the_family_of_its_new_effect() -> None:
    """Families follow the row that is asked for, not the published one."""
    row = PUBLISHED.find(b"POST", (b"sp", b"campaigns", b"list"))
    assert row is not None
    assert family(replace(row, effect=Effect.WRITE), b"POST", ()) == "sp/campaigns:write"
    assert family(replace(row, template="/newApi/v1/things/{id}"), b"POST", ()) == "newApi/things:read"
    assert family(replace(row, template="/v2/{id}"), b"POST", ()) == "other:read"
    assert family(replace(row, template="/sp/things/{id}/Recommendations"), b"POST", ()) == (
        "sp/things/recommendations:read"
    )


@given(
    st.one_of(st.sampled_from((b"GET", b"POST")), st.binary(max_size=8)),
    st.lists(st.one_of(st.binary(max_size=8), st.sampled_from(sorted({row.segments[0] for row in ROWS}))), max_size=6),
)
def test_strangers_make_no_families(method: bytes, path: list[bytes]) -> None:
    """Whatever is asked for, the family is a published one, one of two for each API, or one of three for the rest."""
    parts = tuple(path)
    apis = {name.partition("/")[0].partition(":")[0] for name in PUBLISHED_FAMILIES}
    others = {f"{api}/other:{effect}" for api in apis for effect in ("read", "write")}
    known = PUBLISHED_FAMILIES | others | {"other:read", "other:write", "mcp"}
    assert family(PUBLISHED.find(method, parts), method, parts) in known


def found(method: str, path: str) -> Operation | None:
    return PUBLISHED.find(method.encode(), path_segments(path.encode()))


# --- what the table holds -------------------------------------------------------------------------------------


def test_the_table_holds_every_published_operation() -> None:
    """556 of the wheel, counted as its specifications count them, and 187 of newer ones and of guides."""
    assert len(PUBLISHED) == 743
    assert repr(PUBLISHED) == "Operations(743)"
    assert [sum(row.scope is rule for row in ROWS) for rule in ScopeRule] == [339, 192, 176, 36]
    assert [sum(row.account is rule for row in ROWS) for rule in AccountRule] == [103, 134, 506]
    assert [sum(row.effect is effect for row in ROWS) for effect in Effect] == [397, 13, 333]


def test_no_two_operations_share_a_name_or_a_place() -> None:
    """A name in a log leads to one operation, and a request to one row."""
    assert len({row.name for row in ROWS}) == len(ROWS)
    assert len({(row.method, row.segments) for row in ROWS}) == len(ROWS)


def test_an_account_header_is_named_where_the_operation_takes_one() -> None:
    """The four stream subscriptions of the DSP have a spelling of their own."""
    assert {row.account_header for row in ROWS if row.account is AccountRule.NEVER} == {""}
    other = {row.template for row in ROWS if row.account_header == "Amazon-Ads-Account-ID"}
    assert other == {"/dsp/streams/subscriptions", "/dsp/streams/subscriptions/{subscriptionId}"}
    assert {row.account_header for row in ROWS} == {"", "Amazon-Ads-AccountId", "Amazon-Ads-Account-ID"}


@pytest.mark.parametrize(
    ("method", "path", "effect"),
    [
        ("GET", "/v2/profiles", Effect.READ),
        ("HEAD", "/v2/profiles", Effect.READ),
        ("PUT", "/v2/profiles", Effect.WRITE),
        ("POST", "/sp/campaigns/list", Effect.READ),
        ("POST", "/sp/campaigns", Effect.WRITE),
        ("POST", "/sp/campaigns/delete", Effect.WRITE),
        ("POST", "/sp/targets/bid/recommendations", Effect.READ),
        ("POST", "/attribution/report", Effect.READ),
        ("POST", "/reporting/reports", Effect.REPORT),
        ("GET", "/reporting/reports/1", Effect.READ),
        ("DELETE", "/reporting/reports/1", Effect.WRITE),
        ("POST", "/campaigns/export", Effect.REPORT),
        ("POST", "/sd/campaigns/snapshot", Effect.REPORT),
        ("POST", "/adsApi/v1/query/campaigns", Effect.READ),
        ("POST", "/adsApi/v1/update/campaigns", Effect.WRITE),
        ("POST", "/adsApi/v1/create/reports", Effect.REPORT),
        ("POST", "/adsApi/v1/delete/reports", Effect.WRITE),
        ("POST", "/adsApi/v1/create/linearTvReachForecasts", Effect.WRITE),
        ("POST", "/amc/audiences/query", Effect.WRITE),
        ("PUT", "/amc/audiences/query/1", Effect.WRITE),
        ("POST", "/amc/reporting/1/workflowExecutions", Effect.WRITE),
        ("POST", "/assets/search", Effect.READ),
        ("POST", "/assets/upload", Effect.WRITE),
        ("POST", "/preModeration", Effect.WRITE),
        ("POST", "/billing/invoices/pay", Effect.WRITE),
        ("POST", "/recommendations/apply", Effect.WRITE),
        ("POST", "/accounts/1/dsp/conversionDefinitions/delete", Effect.WRITE),
    ],
)
def test_effect_of_an_operation(method: str, path: str, effect: Effect) -> None:
    """What reads by POST reads, what starts a file is a report, and what could change anything is a write."""
    row = found(method, path)
    assert row is not None
    assert row.effect is effect


def test_nothing_that_is_named_for_a_change_reads() -> None:
    """No operation that the table calls a read has a verb of change in its last segment or begins its name with one."""
    change = re.compile(
        r"create|update|delete|archive|apply|pay|associate|disassociate|register|complete|edit|start", re.IGNORECASE
    )
    suspects = {
        row.name
        for row in ROWS
        if row.effect is Effect.READ
        and row.method != "GET"
        and (change.match(row.name) or change.match(row.template.rpartition("/")[2]))
    }
    assert suspects == {"createKeywordBidRecommendations", "createSDForecast"}


@pytest.mark.parametrize(
    ("method", "path", "scope", "account"),
    [
        ("POST", "/sp/campaigns/list", ScopeRule.REQUIRED, AccountRule.NEVER),
        ("POST", "/adsApi/v1/query/ads", ScopeRule.OPTIONAL, AccountRule.OPTIONAL),
        ("POST", "/adsApi/v1/delete/ads", ScopeRule.OPTIONAL, AccountRule.OPTIONAL),
        ("POST", "/adsApi/v1/query/campaigns", ScopeRule.OPTIONAL, AccountRule.OPTIONAL),
        ("POST", "/adsApi/v1/query/adAssociations", ScopeRule.NEVER, AccountRule.REQUIRED),
        ("POST", "/adsApi/v1/create/reports", ScopeRule.NEVER, AccountRule.NEVER),
        ("POST", "/reporting/reports", ScopeRule.OPTIONAL, AccountRule.OPTIONAL),
        ("GET", "/dsp/streams/subscriptions", ScopeRule.NEVER, AccountRule.REQUIRED),
        ("POST", "/sp/global/targets/keywords/recommendations/list", ScopeRule.REQUIRED, AccountRule.REQUIRED),
        ("GET", "/v2/profiles", ScopeRule.NEVER, AccountRule.NEVER),
    ],
)
def test_what_names_the_account_of_an_operation(method: str, path: str, scope: ScopeRule, account: AccountRule) -> None:
    """Where Scope or account id will do, neither is required; where only one will do, it is."""
    row = found(method, path)
    assert row is not None
    assert (row.scope, row.account) == (scope, account)


def test_the_placeholders_of_a_path_have_their_names() -> None:
    """In order, as the specification writes them."""
    row = found("GET", "/insights/brandBenchmarks/advertisers/1/reports/2/indexDates/3")
    assert row is not None
    assert row.placeholders == ("advertiserId", "reportType", "indexDate")
    assert row.segments[2:4] == (b"advertisers", PLACEHOLDER)


def test_a_table_that_was_damaged_is_not_read() -> None:
    """A line with a column too few, or with a word that is no rule, is an error and no operation."""
    text = "method\tpath\tscope\taccount_id\taccount_header\teffect\tbasis\tname\tfiles\n"
    with pytest.raises(ValueError, match="shorter"):
        parse_operations(text + "GET\t/a\tnever\n")
    with pytest.raises(ValueError, match="perhaps"):
        parse_operations(text + "GET\t/a\tperhaps\tnever\t-\tread\tmethod\ta\tA\n")


# --- what a request finds -------------------------------------------------------------------------------------

values = st.one_of(
    st.sampled_from((b"1", b"ENTITY1", b"amzn1.ads-account.g.x", b"a b", b"%", b"\xff", b"..", b"a/b", b"{}", b"*")),
    st.binary(min_size=1, max_size=12),
).filter(lambda value: value not in LITERALS)
"""Example values of parameters; none is a word that a template has."""


def filled(row: Operation, given_values: list[bytes]) -> tuple[bytes, ...]:
    """The row's segments with a value for each placeholder."""
    rest = iter(given_values)
    return tuple(next(rest) if segment == PLACEHOLDER else segment for segment in row.segments)


def test_every_operation_finds_its_very_row() -> None:
    """Plain, and with slashes and encodings that spell the same segments."""
    missed = []
    for row in ROWS:
        path = filled(row, [b"ENTITY%d.x" % number for number in range(len(row.placeholders))])
        plain = b"/" + b"/".join(path)
        encoded = b"/" + b"/".join(b"".join(b"%%%02X" % byte for byte in part) for part in path)
        for spelling in (plain, plain + b"/", plain.replace(b"/", b"//"), encoded):
            if PUBLISHED.find(row.method.encode(), path_segments(spelling)) is not row:
                missed.append((row.name, spelling))
    assert missed == []


def odd_spellings(row: Operation) -> list[tuple[bytes, tuple[bytes, ...]]]:
    """Another case, a suffix, a segment more or less, and another case of the method."""
    path = filled(row, [b"1"] * len(row.placeholders))
    last = len(path) - 1
    odd = [(row.method.lower().encode(), path), (row.method.encode(), (*path, b"x")), (row.method.encode(), path[:-1])]
    if row.segments[last] != PLACEHOLDER:
        tails = (path[last].swapcase(), path[last] + b".json", path[last] + b";x", path[last] + b" ", b"%" + path[last])
        odd += [(row.method.encode(), (*path[:last], tail)) for tail in tails]
    return odd


def test_an_odd_spelling_finds_no_literal_row() -> None:
    """The odd spelling is not this operation, and another one only if it fits that one."""
    wrong = []
    for row in ROWS:
        for method, segments_ in odd_spellings(row):
            other = PUBLISHED.find(method, segments_)
            if other is row or not (other is None or _fits(other, method, segments_)):
                wrong.append((row.name, method, segments_))
    assert wrong == []


def _fits(row: Operation, method: bytes, path: tuple[bytes, ...]) -> bool:
    """The oracle: a row fits segment by segment."""
    return (
        row.method.encode() == (b"GET" if method == b"HEAD" else method)
        and len(row.segments) == len(path)
        and all(own in (PLACEHOLDER, part) for own, part in zip(row.segments, path, strict=True))
    )


def _literalness(row: Operation) -> tuple[bool, ...]:
    return tuple(segment != PLACEHOLDER for segment in row.segments)


@given(st.data(), st.sampled_from(ROWS))
def test_any_values_of_the_parameters_find_the_row(data: st.DataObject, row: Operation) -> None:
    """An operation stays the same whatever its placeholders hold, encoded or not."""
    path = filled(row, [data.draw(values) for _ in row.placeholders])
    spelled = "/" + "/".join(quote_from_bytes(part, safe="") for part in path)
    assert PUBLISHED.find(row.method.encode(), path) is row
    assert path_segments(spelled.encode()) == path


parts = st.one_of(st.sampled_from(LITERALS), st.sampled_from(LITERALS).map(bytes.upper), st.just(b"1"))
methods = st.sampled_from((b"GET", b"HEAD", b"POST", b"PUT", b"DELETE", b"PATCH", b"get", b""))


@given(methods, st.lists(parts, max_size=7).map(tuple))
@example(b"GET", (b"adsAccounts", b"list"))
@example(b"POST", (b"adsAccounts", b"list"))
@example(b"GET", (b"{}",))
def test_the_row_that_is_found_is_the_most_literal_that_fits(method: bytes, path: tuple[bytes, ...]) -> None:
    """The result is compared with a search of the whole table, one row after the other."""
    fitting = sorted((row for row in ROWS if _fits(row, method, path)), key=_literalness, reverse=True)
    assert PUBLISHED.find(method, path) is (fitting[0] if fitting else None)


def table_of(*templates: str) -> Operations:
    """GET at each of these."""
    return Operations(replace(ROWS[0], method="GET", template=template, name=template) for template in templates)


@given(
    st.sets(st.lists(st.sampled_from(("a", "b", "{p}")), min_size=1, max_size=5).map("/".join), max_size=12),
    st.lists(st.sampled_from((b"a", b"b", b"c", b"{}")), max_size=6).map(tuple),
)
def test_the_most_literal_row_is_found_in_any_table(templates: set[str], path: tuple[bytes, ...]) -> None:
    """However its templates overlap."""
    table = table_of(*sorted(templates))
    fitting = sorted((row for row in table if _fits(row, b"GET", path)), key=_literalness, reverse=True)
    assert table.find(b"GET", path) is (fitting[0] if fitting else None)


def test_rows_with_a_literal_at_different_places_do_not_double_the_table() -> None:
    """Fourteen took a start 89 seconds."""
    places = range(10)
    table = table_of(*("/".join("x" if place == own else "{p}" for place in places) for own in places))
    seen, left = set(), [table._root]
    while left:
        node = left.pop()
        if id(node) not in seen:
            seen.add(id(node))
            left += [*node.literals.values(), node.other]
    assert len(seen) < len(places) ** 2
    found = table.find(b"GET", (b"1", b"2", b"x", b"4", b"x", b"6", b"7", b"8", b"9", b"x"))
    assert found is not None
    assert found.template.index("x") == len("{p}/{p}/")


def test_a_template_may_have_any_number_of_segments() -> None:
    """More than Python calls deep."""
    table = table_of("/a" * 5000)
    assert table.find(b"GET", (b"a",) * 5000) is not None
    assert table.find(b"GET", (b"a",) * 4999) is None


def test_a_path_of_any_length_is_looked_up_and_forgotten() -> None:
    """Thousands of segments, or one of a megabyte, find what they are."""
    profile = PUBLISHED.find(b"GET", (b"v2", b"profiles", b"1" * 1_000_000))
    assert profile is not None
    assert profile.name == "getProfileById"
    assert PUBLISHED.find(b"GET", (b"v2",) * 10_000) is None


def test_a_later_row_replaces_an_equal_one() -> None:
    """Rows are equal if method and path are, whatever the placeholders are called."""
    listed = published(*LISTING)
    first, second = replace(listed, template="/sp/{a}"), replace(listed, template="/sp/{b}")
    assert Operations((first, second)).find(b"POST", (b"sp", b"1")) is second
    assert Operations((second, first)).find(b"POST", (b"sp", b"1")) is first
    assert repr(Operations(())) == "Operations(0)"


def random_row(method: str, parts: list[str]) -> Operation:
    """A row of this method, whose template has these segments."""
    return replace(ROWS[0], method=method, template="/" + "/".join(parts))


few_parts = st.lists(st.sampled_from(("a", "b", "{x}")), max_size=5)
alike = st.builds(random_row, st.sampled_from(("GET", "POST")), few_parts)


@given(st.lists(alike, max_size=30), st.lists(st.sampled_from((b"a", b"b", b"c")), max_size=5).map(tuple))
def test_templates_that_overlap_give_the_most_literal_that_has_the_method(
    rows: list[Operation], path: tuple[bytes, ...]
) -> None:
    """In the published table, too, a template is hidden by another one only for some methods."""
    fitting = sorted((row for row in reversed(rows) if _fits(row, b"GET", path)), key=_literalness, reverse=True)
    assert Operations(rows).find(b"GET", path) is (fitting[0] if fitting else None)


LISTING = b"POST", (b"sp", b"campaigns", b"list")
UNHEARD = b"POST", (b"adsApi", b"v1", b"query", b"unheardThings")
NEW_ROW = Amendment("POST", "/adsApi/v1/query/unheardThings", scope=ScopeRule.OPTIONAL)


def listing(**changed: Any) -> Amendment:
    """An amendment of the listing of campaigns."""
    return Amendment("POST", "/sp/campaigns/list", **changed)


def published(method: bytes, path: tuple[bytes, ...]) -> Operation:
    row = PUBLISHED.find(method, path)
    assert row is not None
    return row


@pytest.mark.parametrize(
    ("said", "becomes"),
    [
        ({"effect": Effect.WRITE}, {"effect": Effect.WRITE}),
        ({"scope": ScopeRule.NEVER}, {"scope": ScopeRule.NEVER}),
        ({"name": "ListCampaigns"}, {"name": "ListCampaigns"}),
        (
            {"account": AccountRule.OPTIONAL},
            {"account": AccountRule.OPTIONAL, "account_header": "Amazon-Ads-AccountId"},
        ),
        (
            {"account": AccountRule.REQUIRED, "account_header": "Amazon-Ads-Account-ID"},
            {"account": AccountRule.REQUIRED, "account_header": "Amazon-Ads-Account-ID"},
        ),
    ],
)
def test_what_is_said_replaces_the_rows_own_word(said: dict[str, Any], becomes: dict[str, Any]) -> None:
    """Only the named word changes; the published table stays as it is."""
    before = published(*LISTING)
    amended = amend(PUBLISHED, [listing(**said)])
    assert amended.find(*LISTING) == replace(before, **becomes)
    assert PUBLISHED.find(*LISTING) is before
    assert len(amended) == len(PUBLISHED)


def test_an_operation_that_takes_no_account_id_any_more_has_no_header_for_it() -> None:
    """The header's spelling goes with it, and comes back as the row had it."""
    path = b"GET", (b"dsp", b"streams", b"subscriptions")
    gone = amend(PUBLISHED, [Amendment("GET", "/dsp/streams/subscriptions", account=AccountRule.NEVER)]).find(*path)
    kept = amend(PUBLISHED, [Amendment("GET", "/dsp/streams/subscriptions", account=AccountRule.OPTIONAL)]).find(*path)
    assert gone is not None
    assert gone.account_header == ""
    assert kept is not None
    assert kept.account_header == "Amazon-Ads-Account-ID"


def test_an_operation_that_the_table_lacks_is_added_with_care() -> None:
    """The new row is a write without account header, named by method and path, until more is configured."""
    row = amend(PUBLISHED, [NEW_ROW]).find(*UNHEARD)
    assert row == Operation(
        "POST",
        "/adsApi/v1/query/unheardThings",
        "POST /adsApi/v1/query/unheardThings",
        ScopeRule.OPTIONAL,
        AccountRule.NEVER,
        "",
        Effect.WRITE,
    )
    assert PUBLISHED.find(*UNHEARD) is None


@pytest.mark.parametrize(
    ("path", "administers"),
    [
        ("/unheard/Users/{id}", Administered.USERS),
        ("/unheard/selling-accounts", Administered.ACCOUNTS),
        ("/unheard/invoices", Administered.BILLING),
        ("/unheard/terms", Administered.TERMS),
        ("/unheard/surveys", Administered.STUDIES),
        ("/unheard/searchTerms", Administered.NOTHING),
    ],
)
def test_a_row_that_says_nothing_of_it_administers_what_its_path_says(path: str, administers: Administered) -> None:
    """Adding a row for its Scope alone opens nothing that the path's words kept for `admin`."""
    added = amend(PUBLISHED, [replace(NEW_ROW, path=path)])
    said = amend(PUBLISHED, [replace(NEW_ROW, path=path, administers=Administered.NOTHING)])
    found = [table.find(b"POST", path_segments(path.encode())) for table in (added, said)]
    assert [row and row.administers for row in found] == [administers, Administered.NOTHING]


def test_the_names_of_placeholders_do_not_count() -> None:
    """`/v2/profiles/{id}` is the row of `/v2/profiles/{profileId}`, which keeps its own template."""
    amended = amend(PUBLISHED, [Amendment("GET", "/v2/profiles/{id}", effect=Effect.WRITE)])
    row = amended.find(b"GET", (b"v2", b"profiles", b"1"))
    assert row is not None
    assert (row.template, row.effect, len(amended)) == ("/v2/profiles/{profileId}", Effect.WRITE, len(PUBLISHED))


@pytest.mark.parametrize(
    ("amendments", "key", "words"),
    [
        ([replace(NEW_ROW, method="post")], "method", "GET, PUT, POST"),
        ([replace(NEW_ROW, path="sp/x")], "path", "must be a path"),
        ([replace(NEW_ROW, path="/sp/x?y")], "path", "must be a path"),
        ([replace(NEW_ROW, path="/sp//x")], "path", "must be a path"),
        ([replace(NEW_ROW, path="/sp/%78")], "path", "must be a path"),
        ([replace(NEW_ROW, path="/sp/{a}x")], "path", "must be a path"),
        ([replace(NEW_ROW, path="/")], "path", "must be a path"),
        ([replace(NEW_ROW, scope=None, effect=Effect.READ)], "scope", "is missing"),
        ([listing()], "path", "has no property"),
        ([listing(effect=Effect.READ), listing(name="x")], "path", "twice"),
        ([listing(account_header="Amazon-Ads-AccountId")], "account_header", "set account_id too"),
        ([replace(NEW_ROW, account_header="Amazon-Ads-AccountId")], "account_header", "set account_id too"),
        ([listing(name="listProfiles")], "name", "is the name of another operation"),
        ([replace(NEW_ROW, name="x"), listing(name="x")], "name", "is the name of another operation"),
    ],
)
def test_what_does_not_fit_is_told_and_not_applied(amendments: list[Amendment], key: str, words: str) -> None:
    """The last amendment is the misfit; its field and a sentence say what to do."""
    [misfit] = find_misfits(PUBLISHED, amendments)
    assert (misfit.index, misfit.key) == (len(amendments) - 1, key)
    assert words in misfit.reason
    with pytest.raises(ValueError, match=misfit.key):
        amend(PUBLISHED, amendments)


def test_everything_that_is_wrong_is_told_at_once() -> None:
    """Each misfit with the index of its amendment, in order."""
    found = find_misfits(
        PUBLISHED, [replace(NEW_ROW, method="x"), listing(effect=Effect.READ), replace(NEW_ROW, path="x")]
    )
    assert [(misfit.index, misfit.key) for misfit in found] == [(0, "method"), (2, "path")]


def test_an_operation_may_keep_its_own_name() -> None:
    """Saying what the table says already changes nothing."""
    row = published(*LISTING)
    said = listing(scope=row.scope, account=row.account, effect=row.effect, name=row.name)
    assert list(amend(PUBLISHED, [said])) == list(PUBLISHED)


@pytest.mark.parametrize(
    ("method", "path", "reads"),
    [
        (b"GET", b"/not/in/the/table", True),
        (b"HEAD", b"/not/in/the/table", True),
        (b"OPTIONS", b"/not/in/the/table", False),
        (b"get", b"/not/in/the/table", False),
        (b"GETS", b"/not/in/the/table", False),
        (b"POST", b"/adsApi/v1/query/unheardThings", True),
        (b"POST", b"/adsApi/v1/retrieve/unheardThings", True),
        (b"POST", b"/adsApi/v1/query/unheardThings/dsp", True),
        (b"POST", b"/adsApi/v1/query/unheardThings/DSP", False),
        (b"POST", b"/adsApi/v1/query/unheardThings/apply", False),
        (b"POST", b"/adsApi/v1/query/unheardThings/", False),
        (b"POST", b"/adsApi/v1/query/unheard-things", False),
        (b"POST", b"/adsApi/v1/query/unheardThings%2fapply", False),
        (b"POST", b"/adsApi/v1/query/../create/campaigns", False),
        (b"POST", b"/adsApi/v1/%71uery/unheardThings", False),
        (b"POST", b"/adsApi/v1/Query/unheardThings", False),
        (b"POST", b"/ADSAPI/v1/query/unheardThings", False),
        (b"POST", b"/adsApi/v2/query/unheardThings", False),
        (b"POST", b"//adsApi/v1/query/unheardThings", False),
        (b"POST", b"/adsApi/v1/query", False),
        (b"POST", b"/adsApi/v1/query/", False),
        (b"POST", b"/adsApi/v1/update/unheardThings", False),
        (b"PUT", b"/adsApi/v1/query/unheardThings", False),
        (b"POST", b"/adsApi/v1/query/unheardThings\n", False),
        (b"POST", b"/not/in/the/table/list", False),
    ],
)
def test_what_the_table_lacks_reads_by_method_and_scheme(method: bytes, path: bytes, reads: bool) -> None:
    """GET and HEAD, and the two verbs of the unified API in the shape that Amazon gives them; nothing else."""
    assert unknown_reads(method, path) is reads
