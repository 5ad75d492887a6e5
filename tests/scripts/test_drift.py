"""`make drift`: how newer specifications differ from our tables, tried on small made-up files of every form."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from scripts.drift import main
from tests.support.specifications import described_operation, published_specifications, write_specifications

LIST = {"post": described_operation("ListSponsoredProductsCampaigns", Amazon_Advertising_API_Scope=True)}
WARES = {"post": described_operation("CreateWares", Amazon_Advertising_API_Scope=True)}


def told(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, list[str]]:
    code = main([str(each) for each in arguments])
    return code, capsys.readouterr().out.splitlines()


def document(paths: dict[str, Any], **members: Any) -> dict[str, Any]:
    return {"openapi": "3.0.1", "paths": paths, **members}


def write(file: Path, content: dict[str, Any]) -> Path:
    text = json.dumps(content) if file.suffix == ".json" else yaml.safe_dump(content)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text, encoding="utf-8")
    return file


def test_the_wheel_that_the_table_is_made_of_is_no_drift(capsys: pytest.CaptureFixture[str]) -> None:
    """Nor are its files alone, as files differ on what an operation takes."""
    assert told(capsys, published_specifications()) == (0, [])


@pytest.mark.parametrize("name", ["new.json", "new.yaml", "new.yml"])
def test_a_new_operation_is_told_as_a_row(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Of a file or of a folder; the last cell asks to judge what no rule proves."""
    file = write(tmp_path / "below" / name, document({"/sp/campaigns/list": LIST, "/sp/wares": WARES}))
    for place in (file, tmp_path):
        code, lines = told(capsys, place)
        assert code == 1
        *row, date, reason = lines[0].split("\t")
        assert row == [
            *("new", "POST", "/sp/wares", "required", "never", "-", "write", "CreateWares", 'specification "new"'),
        ]
        assert (len(lines), len(date), reason) == (1, 10, "?")


def test_a_file_of_version_2_is_read(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Its paths begin at `basePath`, and its shared parameters are elsewhere."""
    shared = {"Scope": {"in": "header", "name": "Amazon-Advertising-API-Scope", "required": True, "type": "string"}}
    operation = {"operationId": "ListWares", "parameters": [{"$ref": "#/parameters/Scope"}]}
    old = {"swagger": "2.0", "basePath": "/sp", "parameters": shared, "paths": {"/wares/list": {"post": operation}}}
    code, lines = told(capsys, write(tmp_path / "old.json", old))
    assert (code, lines[0].split("\t")[:8]) == (
        1,
        ["new", "POST", "/sp/wares/list", "required", "never", "-", "read", "ListWares"],
    )


def test_only_a_stronger_word_on_a_header_is_a_change(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A file that asks for less leaves the word of the others."""
    profiles = {"get": described_operation("listProfiles", Amazon_Advertising_API_Scope=True)}
    campaigns = {"post": described_operation("ListSponsoredProductsCampaigns")}
    file = write(tmp_path / "a.json", document({"/v2/profiles": profiles, "/sp/campaigns/list": campaigns}))
    assert told(capsys, file) == (
        1,
        ['changed\tGET\t/v2/profiles\tscope never -> required\tspecification "a"'],
    )


def test_an_announced_end_that_is_not_in_the_table_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """As a row of it, with the words of the file to judge by."""
    text = "This will be shut off on March 1, 2027."
    listing = {"post": described_operation("List", text, Amazon_Advertising_API_Scope=True)}
    code, lines = told(capsys, write(tmp_path / "a.json", document({"/sp/campaigns/list": listing})))
    assert code == 1
    assert lines == [
        'ends\tPOST\t/sp/campaigns/list\t-\tannounced\t2027-03-01\t?\t?: shut off on March 1, 2027\tspecification "a"'
    ]


def test_a_part_of_amazon_s_files_leaves_the_others_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What is gone is told of a newer copy of the same file, and with --gone of the families that files cover."""
    file = write(tmp_path / "a.json", document({"/sp/campaigns/list": LIST}))
    assert told(capsys, file) == (0, [])
    code, lines = told(capsys, "--gone", file)
    gone = {line.split("\t")[2] for line in lines}
    assert code == 1
    assert "/sp/campaigns" in gone
    assert all(path.startswith("/sp/campaigns") for path in gone)
    same = write_specifications(tmp_path / "wheel", AccountsAccountBudgets={"/accountBudgets/other/list": LIST})
    assert [line.split("\t")[:3] for line in told(capsys, same)[1] if line.startswith("gone")] == [
        ["gone", "GET", "/accountBudgets/featureFlags"],
        ["gone", "POST", "/accountBudgets/featureFlags"],
    ]


def test_a_new_name_of_an_account_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One that the rule for similar names knows is none."""
    headers = {"Amazon_Advertising_API_Scope": True, "X_Global_AccountId": False, "X_Manager_Name": False}
    listing = {"post": described_operation("List", **headers)}
    file = write(tmp_path / "a.json", document({"/sp/campaigns/list": listing}))
    assert told(capsys, file) == (1, ["names\theader\tX-Manager-Name"])


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("a.json", "{}", "has no OpenAPI file"),
        ("a.json", '{"openapi": "3.0.1", ', "is no JSON or YAML"),
        ("a.yaml", "openapi: [", "is no JSON or YAML"),
        ("missing.json", None, "cannot be read"),
        (
            "a.json",
            '{"openapi": "3", "paths": {"/x": {"get": {"parameters": [{"$ref": "#/no/where"}]}}}}',
            "a parameter leads nowhere",
        ),
    ],
)
def test_a_file_that_cannot_be_read_is_told(
    name: str, text: str | None, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """With what to do; the exit code is 2, never that of a drift."""
    if text is not None:
        (tmp_path / name).write_text(text, encoding="utf-8")
    assert main([str(tmp_path / name)]) == 2
    assert said in capsys.readouterr().err
