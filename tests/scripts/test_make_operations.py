"""The table of operations is made from specifications, and says how newer ones differ: tried on small made-up ones."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from itertools import groupby
from pathlib import Path
from typing import Any

import pytest

from proxy.commands.specifications import NoSpecifications, read_specifications, shape
from proxy.routing.ends import ENDS
from scripts import make_operations
from scripts.make_operations import (
    ADMINISTERING,
    DOCUMENTED,
    JUDGED,
    OUTPUT,
    Administering,
    Announcement,
    Decided,
    Documented,
    Judgement,
    Row,
    announcement,
    main,
    make_rows,
    proven_effect,
    read_administering,
    read_decided,
    read_documented,
    read_judgements,
    render,
    unfit,
)
from scripts.specifications import read_date
from tests.support.specifications import described_operation, published_specifications, write_specifications

SCOPE = "Amazon_Advertising_API_Scope"
ACCOUNT = "Amazon_Ads_AccountId"
ITEMS = ("POST", "/items/{}")


def rows_of(directory: Path, judged: dict[tuple[str, str], Judgement] | None = None) -> dict[tuple[str, str], Row]:
    return make_rows(read_specifications(directory), Decided(judged or {}))


def judgement(**changed: str) -> dict[tuple[str, str], Judgement]:
    """A judgement of POST /items/{id}, with these changes."""
    row = Judgement(
        **{"method": "POST", "path": "/items/{id}", "effect": "read", "words": "Gets", "reason": "", **changed}
    )
    return {row.key: row}


# --- the committed table --------------------------------------------------------------------------------------


def test_the_committed_table_is_what_the_script_makes() -> None:
    """The table was not edited by hand, it is not older than the specifications, and every judgement still fits
    them."""
    specifications = published_specifications()
    described = read_specifications(specifications)
    decided = read_decided()
    assert unfit(described, decided) == {}
    made = make_rows(described, decided, read_date(specifications))
    assert OUTPUT.read_text(encoding="ascii") == render(made.values())


def test_a_judgement_says_why() -> None:
    """Each names an effect that there is, quotes the specification, and gives a reason in words."""
    judgements = read_judgements(JUDGED.read_text(encoding="utf-8")).values()
    assert {judgement.effect for judgement in judgements} == {"read", "report", "write"}
    assert not [judgement for judgement in judgements if len(judgement.words) < 10 or len(judgement.reason) < 5]


def test_an_operation_outside_the_specifications_says_where_it_is_documented() -> None:
    """Each names its source and the day of the copy, and only one that a rule or a reason proves to read is a read."""
    documented = read_documented(DOCUMENTED.read_text(encoding="utf-8")).values()
    assert {each.effect for each in documented} == {"read", "write"}
    assert not [each for each in documented if len(each.source) < 10 or not date.fromisoformat(each.date)]
    for each in documented:
        proven = proven_effect(each.method, each.path)
        assert each.effect == ("read" if len(each.reason) > 5 else "write" if proven is None else proven[0]), each


THING = Documented("PUT", "/items/{name}", "unknown", "never", "-", "write", "-", "a guide", "2026-07-20", "-")


def test_a_documented_operation_has_a_row() -> None:
    """Its basis is `documented`, its source and date come with it, and a name is made where none is known."""
    (row,) = make_rows([], Decided(documented={THING.key: THING})).values()
    assert (row.basis, row.source, row.date) == ("documented", "a guide", "2026-07-20")
    assert (row.name, row.scope) == ("putItemsByName", "unknown")
    (named,) = make_rows([], Decided(documented={THING.key: replace(THING, name="updateItem")})).values()
    assert named.name == "updateItem"


def test_a_specification_beats_what_is_documented(tmp_path: Path) -> None:
    """Once a file has the operation its row comes from there, and the documented one has to go."""
    operation = described_operation("putItem", Amazon_Advertising_API_Scope=True)
    described = read_specifications(write_specifications(tmp_path, A={"/items/{id}": {"put": operation}}))
    (row,) = make_rows(described, Decided(documented={THING.key: THING})).values()
    assert (row.name, row.scope, row.basis) == ("putItem", "required", "method")
    assert unfit(described, Decided(documented={THING.key: THING})) == {
        THING.key: "a specification has it now: remove it from operations_documented.tsv"
    }


def test_an_operation_that_administers_says_what_and_why() -> None:
    """Each is a write of the table, and has a reason. An operation that nothing has any more is named."""
    administering = read_administering(ADMINISTERING.read_text(encoding="utf-8"))
    assert not [each for each in administering.values() if len(each.reason) < 10]
    rows = make_rows(read_specifications(published_specifications()), read_decided())
    assert {rows[key].effect for key in administering} == {"write"}
    gone = Administering("POST", "/gone", "users", "invites people")
    (made,) = make_rows([], Decided(documented={THING.key: THING}, administering={THING.key: gone})).values()
    assert made.administers == "users"
    assert unfit([], Decided(administering={gone.key: gone})) == {
        gone.key: "nothing has this operation: remove it from operations_administering.tsv"
    }


# --- what files say together ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("first", "second", "scope", "account"),
    [
        ({}, {}, "never", "never"),
        ({SCOPE: False}, {}, "optional", "never"),
        ({SCOPE: True}, {SCOPE: False}, "required", "never"),
        ({SCOPE: True}, {}, "required", "never"),
        ({ACCOUNT: True}, {ACCOUNT: False}, "never", "required"),
        ({SCOPE: True, ACCOUNT: True}, {}, "required", "required"),
        ({SCOPE: False, ACCOUNT: True}, {}, "optional", "required"),
        ({ACCOUNT: True}, {SCOPE: False, ACCOUNT: False}, "optional", "optional"),
        ({SCOPE: True}, {SCOPE: False, ACCOUNT: False}, "optional", "optional"),
        ({SCOPE: True}, {ACCOUNT: True}, "optional", "optional"),
        ({SCOPE: True}, {SCOPE: True, ACCOUNT: False}, "optional", "optional"),
        ({SCOPE: True, ACCOUNT: False}, {SCOPE: True, ACCOUNT: False}, "required", "optional"),
    ],
)
def test_files_that_differ_on_a_header_are_merged(
    tmp_path: Path, first: dict[str, bool], second: dict[str, bool], scope: str, account: str
) -> None:
    """The strongest word wins, but a header is not required if another file offers another way to name the account."""
    for order, files in {"as given": (first, second), "turned": (second, first)}.items():
        paths = [{"/items/{id}": {"post": described_operation("PostItem", **headers)}} for headers in files]
        row = rows_of(write_specifications(tmp_path / order, A=paths[0], B=paths[1]))[ITEMS]
        assert (row.scope, row.account_id, row.source) == (scope, account, "A,B")


def test_the_account_header_keeps_its_spelling(tmp_path: Path) -> None:
    """The four operations that spell it otherwise are sent what they ask for."""
    operation = described_operation("PostItem", Amazon_Ads_Account_ID=True)
    row = rows_of(write_specifications(tmp_path, A={"/items/{id}": {"post": operation}}))[ITEMS]
    assert (row.account_id, row.account_header) == ("required", "Amazon-Ads-Account-ID")


def test_a_parameter_is_found_behind_references_and_next_to_the_methods(tmp_path: Path) -> None:
    """A path's common parameters count for each of its operations, and `$ref` is followed."""
    shared = {"in": "header", "name": "amazon-advertising-api-scope", "required": True}
    pointing = {"$ref": "#/paths/common/scope"}
    paths: dict[str, Any] = {"common": {"scope": shared}, "/items": {"parameters": [pointing], "get": {}}}
    assert rows_of(write_specifications(tmp_path, A=paths))["GET", "/items"].scope == "required"


# --- announced ends -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "since", "end", "notice"),
    [
        ("Gets an item.", "-", "-", "-"),
        (
            "**Note: these APIs are deprecated and will be shut off on October 15, 2024.**",
            "announced",
            "2024-10-15",
            "are deprecated; shut off on October 15, 2024",
        ),
        ("This endpoint will be deprecated on March 27, 2024.", "2024-03-27", "-", "be deprecated on March 27, 2024"),
        (
            "It is deprecated since May 1, 2025, and will be removed after June 2, 2026.",
            "2025-05-01",
            "2026-06-02",
            "is deprecated since May 1, 2025; removed after June 2, 2026",
        ),
        ("Will be retired on January 9, 2027.", "announced", "2027-01-09", "retired on January 9, 2027"),
        ("The campaign is removed from the list, and no longer shown.", "-", "-", "-"),
    ],
)
def test_an_announced_end_is_what_the_text_says(tmp_path: Path, text: str, since: str, end: str, notice: str) -> None:
    """The end comes with the words of the text; a missing day is not made up."""
    paths = {"/items/{id}": {"post": described_operation("PostItem", text)}}
    described = read_specifications(write_specifications(tmp_path, A={"/items/{id}": {"post": {}}}, B=paths))
    assert announcement(described) == Announcement(since, end, notice)


def test_a_mark_without_words_is_an_announcement(tmp_path: Path) -> None:
    """`deprecated: true` of an OpenAPI file."""
    operation = {**described_operation("PostItem"), "deprecated": True}
    described = read_specifications(write_specifications(tmp_path, A={"/items/{id}": {"post": operation}}))
    assert announcement(described) == Announcement("announced", "-", "deprecated: true")


def test_what_the_specifications_announce_is_in_the_table_of_ends() -> None:
    """People keep that table; an announcement that it lacks has to be judged."""
    ending = {(each.method, shape(each.path)) for each in ENDS}
    described = sorted(read_specifications(published_specifications()), key=lambda each: each.key)
    groups = {key: tuple(group) for key, group in groupby(described, key=lambda each: each.key)}
    announced = {key for key, group in groups.items() if announcement(group) != Announcement()}
    assert len(announced) >= 9
    assert announced <= ending


# --- effect ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "path", "effect"),
    [
        ("GET", "/v2/profiles", ("read", "method")),
        ("HEAD", "/v2/profiles", ("read", "method")),
        ("PUT", "/items/list", ("write", "method")),
        ("PATCH", "/items/search", ("write", "method")),
        ("DELETE", "/adsApi/v1/query/items", ("write", "method")),
        ("POST", "/adsApi/v1/query/campaigns", ("read", "verb")),
        ("POST", "/adsApi/v2/retrieve/commitments/dsp", ("read", "verb")),
        ("POST", "/adsApi/v1/create/list", ("write", "verb")),
        ("POST", "/adsApi/v1/delete/campaigns", ("write", "verb")),
        ("POST", "/amc/audiences/query", None),
        ("POST", "/sp/campaigns/list", ("read", "list")),
        ("POST", "/sp/campaigns/list/", ("read", "list")),
        ("POST", "/assets/search", ("read", "search")),
        ("POST", "/list/items", None),
        ("POST", "/items/checklist", None),
        ("POST", "/items/{list}", None),
        ("POST", "/sp/campaigns", None),
    ],
)
def test_effect_that_a_rule_proves(method: str, path: str, effect: tuple[str, str] | None) -> None:
    """Reads are proven by method, by the verb of the unified API, or by a last segment; everything else is not."""
    assert proven_effect(method, path) == effect


def test_what_nobody_proved_or_judged_is_a_write(tmp_path: Path) -> None:
    """A text that sounds like reading permits nothing by itself."""
    paths = {"/items/{id}": {"post": described_operation("getItem", "Gets an item.")}}
    directory = write_specifications(tmp_path, A=paths)
    undecided, judged = rows_of(directory)[ITEMS], rows_of(directory, judgement())[ITEMS]
    assert (undecided.effect, undecided.basis) == ("write", "default")
    assert (judged.effect, judged.basis) == ("read", "judged")


@pytest.mark.parametrize(
    ("changed", "wrong"),
    [
        ({}, None),
        ({"effect": "write"}, None),
        ({"words": "an item."}, None),
        ({"words": "Deletes"}, "no specification says 'Deletes' any more: judge it anew"),
        ({"path": "/things/{id}"}, "no specification has this operation"),
        ({"path": "/items/list"}, "the rule 'list' proves it already"),
        ({"path": "/items/list", "effect": "write"}, None),
    ],
)
def test_a_judgement_rests_on_the_words_of_the_specification(
    tmp_path: Path, changed: dict[str, str], wrong: str | None
) -> None:
    """One whose operation or words are gone, or that a rule makes needless, is told."""
    operation = described_operation("getItem", "Gets an item.")
    directory = write_specifications(
        tmp_path, A={"/items/{id}": {"post": operation}, "/items/list": {"post": operation}}
    )
    found = unfit(read_specifications(directory), Decided(judgement(**changed)))
    assert list(found.values()) == ([] if wrong is None else [wrong])


# --- name -----------------------------------------------------------------------------------------------------


def test_each_operation_has_a_name_of_its_own(tmp_path: Path) -> None:
    """The shortest operationId, one made of the path where there is none; the API's name tells those alike apart."""
    directory = write_specifications(
        tmp_path,
        A={
            "/adsApi/v1/query/items": {"post": described_operation("DSPQueryItem")},
            "/v2/sp/items": {"get": described_operation("listItems")},
            "/sd/items": {"get": described_operation("listItems"), "put": {}},
            "/v2/dp/items/{itemId}": {"get": {}},
        },
        B={"/adsApi/v1/query/items": {"post": described_operation("QueryItem")}},
    )
    assert {row.name for row in rows_of(directory).values()} == {
        "QueryItem",
        "sp.listItems",
        "sd.listItems",
        "putSdItems",
        "getV2DpItemsByItemId",
    }


# --- the command ----------------------------------------------------------------------------------------------


@pytest.fixture
def judged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The command reads its judged effects from this file, which has one."""
    file = tmp_path / "judged.tsv"
    file.write_text(
        "# heading\nmethod\tpath\teffect\twords\treason\nPOST\t/items/{id}\tread\tGets\tit only asks\n",
        encoding="utf-8",
    )
    monkeypatch.setattr(make_operations, "JUDGED", file)
    empty = tmp_path / "documented.tsv"
    empty.write_text("# heading\nmethod\tpath\n", encoding="utf-8")
    monkeypatch.setattr(make_operations, "DOCUMENTED", empty)
    monkeypatch.setattr(make_operations, "ADMINISTERING", empty)
    return file


OLD = {
    "/items/{id}": {"post": described_operation("getItem", "Gets an item.")},
    "/items": {"get": described_operation("listItems", Amazon_Advertising_API_Scope=True)},
    "/things": {"get": described_operation("listThings")},
}
NEW = {
    "/items/{itemId}": {"post": described_operation("getItem", "Fetches an item.")},
    "/items": {"get": described_operation("listItems", Amazon_Advertising_API_Scope=False)},
    "/wares/list": {"post": described_operation("listWares")},
}


@pytest.mark.usefixtures("judged")
def test_the_table_is_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One line for each operation, sorted, behind a heading and the columns' names."""
    output = tmp_path / "operations.tsv"
    specifications = write_specifications(tmp_path / "old", A=OLD)
    assert main([str(specifications), "--output", str(output)]) == 0
    assert output.read_text(encoding="ascii").splitlines()[1:] == [
        "method\tpath\tscope\taccount_id\taccount_header\teffect\tbasis\tadministers\tname\tsource\tdate",
        "GET\t/items\trequired\tnever\t-\tread\tmethod\t-\tlistItems\tA\t-",
        "POST\t/items/{id}\tnever\tnever\t-\tread\tjudged\t-\tgetItem\tA\t-",
        "GET\t/things\tnever\tnever\t-\tread\tmethod\t-\tlistThings\tA\t-",
    ]
    assert "3 different ones" in capsys.readouterr().out


@pytest.mark.usefixtures("judged")
def test_a_table_is_not_made_on_a_judgement_that_does_not_fit(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The command names the operation, writes nothing and ends with 2."""
    output = tmp_path / "operations.tsv"
    assert main([str(write_specifications(tmp_path / "new", A=NEW)), "--output", str(output)]) == 2
    assert "POST /items/{}: no specification says 'Gets' any more" in capsys.readouterr().err
    assert not output.exists()


@pytest.mark.parametrize("place", ["missing.whl", "directory", "no.whl"])
def test_a_place_without_specifications_is_told(tmp_path: Path, place: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A file that is missing or no wheel, or a directory without the files, is an error that names it."""
    (tmp_path / "directory").mkdir()
    (tmp_path / "no.whl").write_bytes(b"no archive")
    assert main([str(tmp_path / place)]) == 2
    assert place in capsys.readouterr().err
    with pytest.raises(NoSpecifications):
        read_specifications(tmp_path / place)


def test_the_judged_effects_are_told_apart_from_headings() -> None:
    """Comments and the columns' names are no judgements."""
    text = "# a\nmethod\tpath\teffect\twords\treason\nPOST\t/items/{id}\tread\tGets\twhy\n"
    assert read_judgements(text) == {ITEMS: Judgement("POST", "/items/{id}", "read", "Gets", "why")}
    assert render([]).count("\n") == 2
