"""Operations that only newer specifications and Amazon's guides have: each is sent once, and answers in its shape."""

from __future__ import annotations

import csv
import json
from importlib import resources
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from proxy.commands.specifications import NoSpecifications
from proxy.commands.specifications import shape as shape_of
from proxy.simulator.ads_accounts import account_id
from proxy.simulator.operations import load_collections, load_operations
from proxy.simulator.unified import load_shapes
from scripts import make_simulator_documented as making
from scripts.make_operations import Documented
from tests.simulator.conftest import Reply, SimulatorClient
from tests.support.programs import ROOT
from tests.support.unified import smallest_body

NA, BOTH = "1110000000000001", account_id("default", 1)
SIMULATOR = resources.files("proxy.simulator")


def table() -> list[dict[str, str]]:
    """The rows of the documented operations, read without the code that is tried."""
    lines = (ROOT / "scripts" / "operations_documented.tsv").read_text("ascii").splitlines()
    return list(csv.DictReader((line for line in lines if not line.startswith("#")), delimiter="\t"))


ROWS = table()
ENTRIES = {
    (entry["method"], entry["path"]): entry
    for entry in map(json.loads, SIMULATOR.joinpath("documented.jsonl").read_text().splitlines())
}


def key_of(row: dict[str, str]) -> tuple[str, str]:
    """Method and template, as the simulator's table has them."""
    return row["method"], shape_of(row["path"])


def named(row: dict[str, str]) -> str:
    return f"{row['method']} {row['path']}"


async def send(client: SimulatorClient, row: dict[str, str], body: Any = None, **changed: str | None) -> Reply:
    """A request with the headers that the row requires, and the media type of the simulator's table."""
    method, template = key_of(row)
    consumes = ENTRIES[method, template].get("consumes", ["application/json"])
    headers: dict[str, str | None] = {"Content_Type": None if body is None else consumes[0]}
    if row["scope"] == "required":
        headers["Amazon_Advertising_API_Scope"] = NA
    if row["account_id"] == "required":
        headers["Amazon_Ads_AccountId"] = BOTH
    return await client.ask(method, template.replace("{}", "x1"), body, **{**headers, **changed})


def test_the_table_is_that_of_the_documented_operations() -> None:
    """The same 187 operations, and the same headers; where no source shows any, neither is refused. Amazon's
    collections have none of them."""
    assert len(ROWS) == len(ENTRIES) == 187
    assert {key_of(row) for row in ROWS} == ENTRIES.keys()
    for row in ROWS:
        entry, is_known = ENTRIES[key_of(row)], row["scope"] != "unknown"
        assert entry["scope"] == (row["scope"] if is_known else "optional"), named(row)
        unknown = not is_known and row["account_id"] == "never"
        assert entry.get("account", "never") == ("optional" if unknown else row["account_id"]), named(row)
        assert load_collections().find(row["method"], row["path"]) is None, named(row)


@pytest.mark.parametrize("row", ROWS, ids=named)
async def test_every_documented_operation_answers_in_its_shape(client: SimulatorClient, row: dict[str, str]) -> None:
    """With the headers of its row: an example of the specification, the list of its noun, what was made of each item
    of the unified API, or what was understood."""
    method, template = key_of(row)
    shape = load_shapes().get((method, template))
    body = smallest_body(shape, BOTH) if shape else None if method in ("GET", "DELETE") else {}
    reply = await send(client, row, body)
    entry = ENTRIES[method, template]
    assert (reply.status, client.kinds()) == (entry.get("status", 200), [])
    assert reply.header("Content-Type") in [*entry.get("produces", []), "application/json"]
    value = reply.json()
    if shape is not None:
        expected = {shape.named} if shape.verb in ("query", "list") else {"success", "error"}
        assert value.keys() == {*expected, *shape.besides}
    elif "example" in entry:
        assert value == entry["example"]
    else:
        assert "specification" not in row["source"], "a specification has the shape of the answer"
        assert (value["operation"], value["method"]) == (template, method)


@pytest.mark.parametrize("row", ROWS, ids=named)
async def test_every_documented_operation_wants_the_headers_of_its_row(
    client: SimulatorClient, row: dict[str, str]
) -> None:
    """Without a header that the row requires, or with a foreign media type where a source shows its own, it is
    refused."""
    expected, needs_body = [], row["method"] not in ("GET", "DELETE")
    if row["scope"] == "required":
        await send(client, row, {} if needs_body else None, Amazon_Advertising_API_Scope=None)
        expected.append("scope-missing")
    if row["account_id"] == "required":
        await send(client, row, {} if needs_body else None, Amazon_Ads_AccountId=None)
        expected.append("account-missing")
    if needs_body and "consumes" in ENTRIES[key_of(row)]:
        await send(client, row, {}, Content_Type="text/plain")
        expected.append("content-type")
    assert client.kinds() == expected


async def test_each_item_of_a_write_succeeds(client: SimulatorClient) -> None:
    """A multi-status answer has one success for each item of a list, or of a filter on ids, in their order."""
    headers = {"Content_Type": "application/vnd.stCampaign.v1+json", "Amazon_Advertising_API_Scope": NA}
    made = await client.ask("POST", "/st/campaigns", {"campaigns": [{"name": "a"}, {"name": "b"}]}, **headers)
    gone = await client.ask(
        "POST", "/st/campaigns/delete", {"campaignIdFilter": {"include": ["1", "2", "3"]}}, **headers
    )
    for reply, count in ((made, 2), (gone, 3)):
        answer = reply.json()["campaigns"]
        assert (reply.status, answer["error"]) == (207, [])
        assert [each["index"] for each in answer["success"]] == list(range(count))
        assert {each["campaignId"] for each in answer["success"]} == {"pretend campaignId"}


async def test_deals_of_the_unified_api_are_kept(client: SimulatorClient) -> None:
    """What newer operations of the unified API create, they find again, change, and answer by their own names."""
    headers = {"Content_Type": "application/json", "Amazon_Ads_AccountId": BOTH}
    deal = {
        "adProduct": "AMAZON_DSP",
        "dealType": "PREFERRED",
        "name": "new",
        "startDateTime": "2026-01-01T00:00:00Z",
        "endDateTime": "2026-02-01T00:00:00Z",
    }
    path = "/adsApi/v1/{}/advertisingDeals"
    created = await client.ask("POST", path.format("create"), {"advertisingDeals": [deal]}, **headers)
    made = created.json()["success"][0]["advertisingDeal"]
    change = {"advertisingDealId": made["advertisingDealId"], "name": "changed"}
    await client.ask("POST", path.format("update"), {"advertisingDeals": [change]}, **headers)
    wanted = {"adProductFilter": {"include": ["AMAZON_DSP"]}}
    found = (await client.ask("POST", path.format("query"), wanted, **headers)).json()["advertisingDeals"]
    names = {each["advertisingDealId"]: each["name"] for each in found}
    assert names[made["advertisingDealId"]] == "changed"


# --- the script -----------------------------------------------------------------------------------------------

DEAL = {
    "allOf": [{"properties": {"dealId": {"type": "string"}}, "required": ["dealId"]}],
    "properties": {
        "price": {"type": "object", "properties": {"amount": {"type": "number"}}},
        "errorCode": {"type": "string"},
        "parent": {"$ref": "#/components/schemas/Deal"},
    },
}
LIST = {
    "type": "object",
    "properties": {
        "deals": {"type": "array", "items": {"$ref": "#/components/schemas/Deal"}},
        "errors": {"type": "array", "items": {"type": "string"}},
        "nextToken": {"type": "string"},
    },
}
DOCUMENT = {"components": {"schemas": {"Deal": DEAL}}}


def row_of(method: str, path: str, source: str = "guide", **changed: str) -> Documented:
    """A row of the table of documented operations."""
    cells = {"scope": "unknown", "account_id": "never", "account_header": "-", "effect": "read", **changed}
    return Documented(method=method, path=path, name="-", source=source, date="2026-01-01", reason="-", **cells)


def test_an_example_has_all_members_and_no_error() -> None:
    """One entry of a list, all members of an object however deep, until it comes round to itself; no error, and no
    token that would lead a client from page to page for ever."""
    found = making.example(DOCUMENT, LIST, "answer")
    assert found.keys() == {"deals", "errors"}
    assert found["errors"] == []
    (deal,) = found["deals"]
    assert deal.keys() == {"dealId", "price", "parent"}
    assert (deal["dealId"], deal["price"]) == ("pretend dealId", {"amount": 1})
    assert deal.pop("parent").keys() == {"dealId", "price", "parent"}
    jsonschema.Draft4Validator({**DOCUMENT, **LIST}).validate(found)


@pytest.mark.parametrize(
    ("method", "path", "answer"),
    [
        ("POST", "/a/deals/list", {"deals": []}),
        ("GET", "/a/deals/{dealId}/lineItems", {"lineItems": []}),
        ("GET", "/a/deals/{dealId}", None),
        ("POST", "/a/deals", None),
        ("GET", "/a/terms", None),
    ],
)
def test_an_operation_of_a_guide_lists_by_the_noun_of_its_path(method: str, path: str, answer: Any) -> None:
    """All else gets the simulator's generic answer."""
    assert making.generic_answer(row_of(method, path)) == answer


def test_a_guide_gives_the_media_type_of_requests_with_a_body() -> None:
    """And the table of documented operations the headers."""
    line = making.documented_line([], row_of("PUT", "/dsp/inventory/deals/{dealId}", scope="required"))
    assert json.loads(line) == {
        "method": "PUT",
        "path": "/dsp/inventory/deals/{}",
        "scope": "required",
        "consumes": ["application/vnd.deals.v1+json"],
    }
    assert "consumes" not in making.documented_line([], row_of("GET", "/dsp/inventory/deals/{dealId}"))


def test_the_first_file_gives_the_shape_and_all_files_the_headers() -> None:
    """Names of path parameters do not tell operations apart."""
    answers = [{"type": "object", "properties": {name: {"type": "string"}}} for name in ("newer", "older")]
    documents: making.Documents = [
        (
            f"file{number}",
            {
                "paths": {
                    f"/a/{{id{number}}}": {
                        "get": {
                            "parameters": [
                                {"name": "Amazon-Advertising-API-Scope", "in": "header", "required": number == 1}
                            ],
                            "responses": {"200": {"content": {"application/json": {"schema": schema}}}},
                        }
                    }
                }
            },
        )
        for number, schema in enumerate(answers)
    ]
    found = json.loads(making.documented_line(documents, row_of("GET", "/a/{b}", source='specification "A"')))
    assert (found["scope"], found["example"]) == ("required", {"newer": "pretend newer"})


def test_a_missing_file_is_named_and_nothing_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """An operation that should be in a specification, and is in none of the files, stops the script."""
    monkeypatch.setattr(making, "OUTPUT", tmp_path / "documented.jsonl")
    monkeypatch.setattr(making, "UNIFIED", tmp_path / "documented_unified.jsonl")
    file = tmp_path / "other.json"
    file.write_text(json.dumps({"openapi": "3.0.1", "paths": {"/a": {"get": {"responses": {}}}}}))
    assert making.main([str(file)]) == 2
    said = capsys.readouterr().err
    assert 'POST /st/campaigns: no file has it. Name the specification "Sponsored TV", too.' in said
    assert making.main([str(tmp_path / "none.json")]) == 2
    assert "none.json" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == [file]


def test_a_guide_gives_no_shape_outside_of_the_scheme_of_the_unified_api() -> None:
    """Someone has to find the file that does."""
    with pytest.raises(NoSpecifications, match="/adsApi/v1/deals: neither a file nor Amazon's scheme"):
        making.shape_line([], row_of("GET", "/adsApi/v1/deals"))


def test_the_tables_are_what_the_script_makes_of_guides() -> None:
    """The committed lines of operations that only guides name are those that the script makes without any file."""
    guides = [row for row in making.rows() if "specification" not in row.source]
    assert len(guides) == 120
    assert {making.documented_line([], row) for row in guides} <= set(map(json.dumps, ENTRIES.values()))
    shapes = set(SIMULATOR.joinpath("documented_unified.jsonl").read_text().splitlines())
    assert {making.shape_line([], row) for row in guides if row.path.startswith("/adsApi/v1/")} <= shapes


def test_every_new_operation_is_found_by_its_own_row() -> None:
    """None is hidden by an older template with fewer parameters."""
    for method, template in ENTRIES:
        found = load_operations().find(method, template.replace("{}", "x1"))
        assert found is not None and found.template == template
