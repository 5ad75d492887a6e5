"""Each exemption from the linter, the types or the coverage has its reason next to it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.support.programs import ROOT

pytestmark = pytest.mark.no_cover  # reads files

FILES = sorted(path for folder in ("proxy", "tests", "benchmarks", "scripts") for path in (ROOT / folder).rglob("*.py"))
EXEMPTION = re.compile(r"#\s*(?:noqa|type:\s*ignore|pragma:\s*no\s*cover|nosec)\b")
WITH_REASON = re.compile(
    r"# (?:noqa: [A-Z]+\d+(?:, [A-Z]+\d+)* -|type: ignore\[[\w, -]+\]  #|pragma: no cover -|nosec B\d+ -) (?!noqa)[\w`]"
)


def unexplained(text: str) -> list[str]:
    """The lines that exempt themselves from something, as a whole or without a reason."""
    return [line.strip() for line in text.splitlines() if EXEMPTION.search(line) and not WITH_REASON.search(line)]


def test_each_exemption_says_why() -> None:
    """`# noqa: S311 - no secret`, `# type: ignore[misc]  # what is tried`; never of everything at once."""
    found = [
        f"{path.relative_to(ROOT).as_posix()}: {line}"
        for path in FILES
        if path != Path(__file__)
        for line in unexplained(path.read_text(encoding="utf-8"))
    ]
    assert found == []


def test_what_says_nothing_is_found() -> None:
    """Without a code, without a reason, or with an empty one."""
    bare = ["x  # noqa", "x  # noqa: S105", "x  # type: ignore", "x  # type: ignore[misc]", "x  # pragma: no cover -"]
    assert unexplained("\n".join(bare)) == bare
    assert unexplained("x  # noqa: S105 - a word\ny  # type: ignore[misc, arg-type]  # a word\n") == []
