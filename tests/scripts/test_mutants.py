"""tests/mutants.toml speaks of files and tests that exist, and explains what it lets live."""

from __future__ import annotations

import tomllib

import pytest

from tests.support.programs import ROOT

DOCUMENT = tomllib.loads((ROOT / "tests" / "mutants.toml").read_text(encoding="utf-8"))


@pytest.mark.parametrize("target", DOCUMENT["targets"], ids=lambda target: target["name"])
def test_a_target_has_modules_and_tests(target: dict[str, list[str]]) -> None:
    """A file that was moved takes its line along."""
    for pattern in target["modules"]:
        assert list(ROOT.glob(pattern)), pattern
    for path in target["tests"]:
        assert (ROOT / path).exists(), path


@pytest.mark.parametrize("row", DOCUMENT["explained"], ids=lambda row: row["before"])
def test_an_explained_mutant_has_a_reason(row: dict[str, str]) -> None:
    """And a module that exists; whether its line still does is said by `make mutants`."""
    assert (ROOT / row["module"]).exists()
    assert row["before"] != row["after"] and row["because"]
