"""The list of parameters that name an account is made from specifications: small made-up ones, and Amazon's own."""

from __future__ import annotations

from pathlib import Path

import pytest

from proxy.commands.specifications import read_specifications
from scripts.make_account_names import NAMES_NONE, OUTPUT, account_parameters, main, render
from tests.support.specifications import described_operation, published_specifications, write_specifications


def test_the_committed_list_is_what_the_script_makes() -> None:
    """The list was not edited by hand, and is not older than the specifications."""
    parameters = account_parameters(read_specifications(published_specifications()))
    assert OUTPUT.read_text(encoding="ascii") == render(parameters)


def test_what_is_said_to_name_none_is_still_there() -> None:
    """An exception that no specification has any more leaves the script."""
    described = read_specifications(published_specifications())
    assert NAMES_NONE.keys() <= {(p.place, p.name) for each in described for p in each.parameters}


def test_parameters_are_found_by_word_and_by_text(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Each is counted once for an operation, wherever it occurs; parameters without an account are left out."""
    text = "**Authorized resource type**: x **Parameter name**: Amazon-Odd **Parameter in**: header **Requires**"
    operation = described_operation("listItems", text, AdvertiserId=True, Accept=True)
    operation["parameters"] += [
        {"in": "query", "name": "profileTypeFilter"},
        {"in": "query", "name": "marketplaceId"},
        {"in": "path", "name": "instanceId", "required": True},
    ]
    paths = {"/items/{instanceId}": {"get": operation, "put": described_operation("putItems", AdvertiserId=False)}}
    output = tmp_path / "names.tsv"
    specifications = write_specifications(tmp_path, A=paths, B=paths)
    assert main([str(specifications), "--output", str(output)]) == 0
    assert output.read_text(encoding="ascii").splitlines()[1:] == [
        "place\tname\toperations",
        "header\tAdvertiserId\t2",
        "header\tAmazon-Odd\t1",
        "path\tinstanceId\t1",
        "query\tmarketplaceId\t1",
    ]
    assert "4 parameters" in capsys.readouterr().out


def test_a_place_without_specifications_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing is written, and the exit code is 2."""
    output = tmp_path / "names.tsv"
    assert main([str(tmp_path), "--output", str(output)]) == 2
    assert str(tmp_path) in capsys.readouterr().err
    assert not output.exists()
