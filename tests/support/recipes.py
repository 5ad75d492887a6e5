"""The diffs of CONTRIBUTING.md: by the section that has each, and what its files are with it."""

from __future__ import annotations

import re
from pathlib import Path

from tests.support.programs import ROOT


def diffs() -> dict[str, str]:
    """The diff of each section that has one."""
    page = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    found = {}
    for section in re.split(r"^## ", page, flags=re.MULTILINE):
        block = re.search(r"^```diff\n(.*?)^```$", section, re.MULTILINE | re.DOTALL)
        if block is not None:
            found[section.partition("\n")[0]] = block[1]
    return found


def changed_files(diff: str, folder: Path) -> dict[str, str]:
    """The text of each file of the folder that the diff changes or adds, wherever in a file its lines are now. Fails if
    the lines are not there, or several times."""
    changed = {}
    parts = re.split(r"^--- (.*)\n\+\+\+ b/", diff, flags=re.MULTILINE)[1:]
    for before, part in zip(parts[::2], parts[1::2], strict=True):
        name, _, rest = part.partition("\n")
        text = "" if before == "/dev/null" else (folder / name).read_text(encoding="utf-8")
        for hunk in re.split(r"^@@ .*\n", rest, flags=re.MULTILINE)[1:]:
            lines = [line or " " for line in hunk.splitlines()]
            old = "".join(f"{line[1:]}\n" for line in lines if line[0] in " -")
            new = "".join(f"{line[1:]}\n" for line in lines if line[0] in " +")
            assert not text or text.count(old) == 1, f"{name} has these lines {text.count(old)} times:\n{old}"
            text = text.replace(old, new) if text else new
        changed[name] = text
    return changed
