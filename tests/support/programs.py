"""Find the real programs that integration tests run with the proxy.

A missing one skips the test on a developer's machine and fails it where `CI=true`: there, everything is installed,
and a test that silently does not run is worth nothing. Nothing here starts a program.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import NoReturn

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
"""The top of the work tree."""

_FURTHER_PLACES = (
    Path("/usr/sbin"),
    ROOT / ".venv" / "bin",
    ROOT / ".cache" / "newman" / "node_modules" / ".bin",
)
"""Folders with programs that may be missing from PATH."""


def running_in_ci() -> bool:
    """Whether a missing program is a failure."""
    return os.environ.get("CI", "").lower() == "true"


def find_program(*names: str) -> str | None:
    """The path of the first of these that is here, or None."""
    for name in names:
        found = shutil.which(name)
        if found:
            return found
        for place in _FURTHER_PLACES:
            if os.access(place / name, os.X_OK):
                return str(place / name)
    return None


def require_program(*names: str) -> str:
    """The path of the first of these names that is here (`require_program("valkey-server", "redis-server")`).

    Without one, the test is skipped, or failed under CI.
    """
    return find_program(*names) or do_without(f"{' or '.join(names)} is not installed")


def require_file(path: Path) -> Path:
    """The path, if something is there; otherwise the test is skipped, or failed under CI."""
    return path if path.exists() else do_without(f"{path.name} is not here")


def do_without(reason: str) -> NoReturn:
    """Leave the test: skipped, or failed under CI."""
    if running_in_ci():
        pytest.fail(f"under CI this must be present: {reason}")
    pytest.skip(reason)
