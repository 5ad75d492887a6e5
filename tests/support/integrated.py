"""The files of `make integration`: those with a test that is long, of HTTP conformance, or that runs real programs.

Each of its processes collects every file that it gets, so it gets no others: `python -m tests.support.integrated`
prints them. Whatever gives a test one of these marks has to show in the test's file; tests/conftest.py sees to it.
"""

from __future__ import annotations

import functools
import re
from pathlib import Path

from tests.support.programs import ROOT

MARKS = ("integration", "conformance", "long")
_ASKING = re.compile(rf"\bmark\.(?:{'|'.join(MARKS)})\b|\bbriefly\b|\brunning: Running\b|\bserver: RedisServer\b")


@functools.cache
def is_integrated(path: Path) -> bool:
    """Whether the file says that it holds such a test."""
    return _ASKING.search(path.read_text(encoding="utf-8")) is not None


if __name__ == "__main__":
    print(*(path.relative_to(ROOT) for path in sorted((ROOT / "tests").rglob("test_*.py")) if is_integrated(path)))
