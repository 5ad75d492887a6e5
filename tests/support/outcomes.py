"""What became of tests, by the files that pytest wrote with `--junit-xml`.

`python -m tests.support.outcomes count FILES` prints one line that counts them, `skipped FILES` the functions of which
any case was skipped, one a line, as pytest takes them.

A later file has the last word about a test, and about what was skipped of its function: which cases there are can
depend on the place. Needs nothing that is not in the standard library.
"""

from __future__ import annotations

import sys
import xml.etree.ElementTree as ElementTree
from collections import Counter
from collections.abc import Iterable
from pathlib import Path


def outcomes(paths: Iterable[Path]) -> dict[str, str]:
    """What pytest calls a test -> passed, failed or skipped. A file that is missing or cut counts as one failure."""
    found: dict[str, str] = {}
    for path in paths:
        told = _told(path)
        again = set(map(_function, told))
        found = {name: each for name, each in found.items() if each != "skipped" or _function(name) not in again}
        found |= told
    return found


def _told(path: Path) -> dict[str, str]:
    """The same of one file."""
    try:
        cases = [*ElementTree.parse(path).getroot().iter("testcase")]
    except (OSError, ElementTree.ParseError):
        return {str(path): "failed"}
    told = {}
    for case in cases:
        kinds = {child.tag for child in case}
        name = f"{case.get('classname', '').replace('.', '/')}.py::{case.get('name')}"
        told[name] = "failed" if kinds & {"failure", "error"} else "skipped" if "skipped" in kinds else "passed"
    return told


def _function(name: str) -> str:
    return name.partition("[")[0]


def main(wanted: str, *paths: str) -> None:
    """Print what is wanted, `count` or `skipped`."""
    found = outcomes(map(Path, paths))
    if wanted == "skipped":
        for function in dict.fromkeys(_function(name) for name, outcome in found.items() if outcome == "skipped"):
            print(function)
    else:
        counts = Counter(found.values())
        print(", ".join(f"{counts[outcome]} {outcome}" for outcome in ("passed", "failed", "skipped")))


if __name__ == "__main__":
    main(*sys.argv[1:])
