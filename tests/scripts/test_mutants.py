"""tests/mutants.toml speaks of files and tests that exist, and explains what it lets live. `make mutants` learns from
every test which lines it runs."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
from typing import TYPE_CHECKING

import pytest
from coverage import CoverageData

from tests.support.programs import ROOT

if TYPE_CHECKING:
    from pathlib import Path

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
    """The mutant's module exists as well; `make mutants` reports whether its line does."""
    assert (ROOT / row["module"]).exists()
    assert row["before"] != row["after"] and row["because"]


@pytest.mark.long
def test_every_loop_counts_where_it_is_asked_which_test_runs_a_line(tmp_path: Path) -> None:
    """Else a mutant of what only tests on uvloop reach would seem to be one that no test runs."""
    test, data = "tests/test_event_loops.py::test_the_bench_runs_on_the_loop_that_it_says[uvloop]", tmp_path / "data"
    options = ("-q", "--cov=proxy", "--cov-context=test", "--cov-report=")
    run = (sys.executable, "-m", "pytest", *options, test)
    subprocess.run(run, cwd=ROOT, env={**os.environ, "COVERAGE_FILE": str(data)}, check=True, capture_output=True)
    found = CoverageData(str(data))
    found.read()
    assert f"{test}|run" in found.measured_contexts()
