"""The diffs of CONTRIBUTING.md fit the files that they change; tests/integration/test_contributing.py applies them."""

from __future__ import annotations

import re

import pytest

from tests.support.programs import ROOT
from tests.support.recipes import changed_files, diffs

pytestmark = pytest.mark.no_cover  # reads files


@pytest.mark.parametrize("section", diffs())
def test_a_diff_fits_the_files(section: str) -> None:
    """Its lines are in each file once, and a file that it adds does not exist yet."""
    diff = diffs()[section]
    added = re.findall(r"^--- /dev/null\n\+\+\+ b/(.*)$", diff, re.MULTILINE)
    assert [name for name in changed_files(diff, ROOT) if not (ROOT / name).exists()] == added
