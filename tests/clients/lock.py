"""Write the lock files of the clients again: `python -m tests.clients.lock [NAME...]`.

A lock names every package by exact version and hash, and no place to fetch it from. What is pinned by hand is in
`requirements.in` or `package.json`; packages without a wheel are in `sources.in`. Needs the uv that `make lock`
installs, and npm.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.clients.environments import CLIENTS
from tests.support.programs import ROOT, require_program

UV = str(ROOT / ".cache" / "lock" / "bin" / "uv")
PIP = str(ROOT / ".cache" / "lock" / "bin" / "pip")
NEWEST_NEEDED = {"amazon_ads_api_v1": "3.13", "pypi_current": "3.13"}
"""Clients that do not run on the oldest Python that we do."""

_QUIET = ("--quiet", "--no-strip-extras", "--no-header", "--no-annotate", "--no-emit-index-url", "--no-emit-find-links")


def lock_python(place: Path) -> None:
    """`requirements.lock` from `requirements.in`, and `sources.lock` where packages are built from their sources."""
    sources = place / "sources.in"
    wheels_only = ["--only-binary", ":all:"]
    if not sources.exists():
        return _compile(place / "requirements.lock", place / "requirements.in", options=wheels_only)
    names = [line.partition("==")[0] for line in sources.read_text(encoding="utf-8").split()]
    left_out = [option for name in names for option in ("--no-emit-package", name)]
    _compile(place / "requirements.lock", place / "requirements.in", sources, options=left_out)
    return _compile(place / "sources.lock", sources, options=["--no-deps"])


def _compile(lock: Path, *inputs: Path, options: list[str]) -> None:
    """The lock of what these files name, and of what that requires."""
    found = subprocess.run([PIP, "config", "get", "global.index-url"], capture_output=True, text=True, check=False)
    index = ["--index-url", found.stdout.strip()] if found.returncode == 0 else []
    version = NEWEST_NEEDED.get(lock.parent.name, "3.11")
    command = [UV, "pip", "compile", *_QUIET, "--universal", "--generate-hashes", *index, *options]
    files = [*map(str, inputs), "--output-file", str(lock)]
    subprocess.run([*command, "--python-version", version, *files], check=True)


def lock_node(place: Path) -> None:
    """`package-lock.json` from `package.json`."""
    quiet = ("--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error")
    npm = require_program("npm")
    subprocess.run(
        [npm, "install", "--package-lock-only", "--omit-lockfile-registry-resolved", *quiet], cwd=place, check=True
    )


def main(*names: str) -> None:
    """Lock the named clients, or all."""
    for place in sorted(path for path in CLIENTS.iterdir() if not names or path.name in names):
        if (place / "requirements.in").exists():
            lock_python(place)
        if (place / "package.json").exists():
            lock_node(place)


if __name__ == "__main__":
    main(*sys.argv[1:])
