"""Where the commands `ads-proxy` and `amazon-ads-proxy` begin: starts the program, unless something is in its place.

The package is called `proxy`, and so is that of another distribution, proxy.py. pip installs one over the other without
a word, and takes shared files away with whichever is removed first. So nothing of the package is imported before it is
known to be ours. Only the standard library is used here.
"""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

DISTRIBUTION = "amazon-ads-proxy"
OPENING = '"""ads-proxy:'
"""The first words of our package."""
_APART = (
    "Give each an environment of its own: `pipx install amazon-ads-proxy`, `uv tool install amazon-ads-proxy`, or a "
    "new `python3 -m venv`."
)


def main() -> None:
    """Run the command line, or say what stands in its place and end with 1."""
    problem = find_problem()
    if problem:
        sys.stderr.write(f"ads-proxy: {problem}\n")
        sys.exit(1)
    from proxy.commands.entry import main as run

    run()


def find_problem() -> str:
    """What keeps the program from being started, in a sentence that says what to do; empty where nothing does."""
    found = importlib.util.find_spec("proxy")
    if found is not None and found.origin is not None:
        with Path(found.origin).open(encoding="utf-8", errors="replace") as file:
            if file.read(len(OPENING)) == OPENING:
                return ""
        whose = f"is not this program's, but {owner(DISTRIBUTION)}"
        return f"the package `proxy` in {Path(found.origin).parent} {whose}. {_APART}"
    places = list(found.submodule_search_locations or ()) if found is not None else []
    return (
        f"files of this program are missing{f' in {places[0]}' if places else ''}: most likely another distribution "
        "with a package `proxy`, such as proxy.py, was installed beside it and removed. Install it again: "
        "`pip install --force-reinstall --no-deps WHEEL`."
    )


def owner(but: str) -> str:
    """Which other distribution has the package, as the end of a sentence. Looks at all, so only where it is needed."""
    from importlib import metadata  # dear, and wanted where something is wrong alone

    names = sorted({name for name in metadata.packages_distributions().get("proxy", []) if name != but})
    return f"that of {' and '.join(f'{name} {metadata.version(name)}' for name in names)}" if names else "another's"
