"""`serve`: runs the proxy until a signal ends it. What is worth a word about the configuration is told at the start."""

from __future__ import annotations

from typing import TYPE_CHECKING

from proxy.app import serve as run_proxy
from proxy.config import environment, load, notes

if TYPE_CHECKING:
    from pathlib import Path


def serve(path: Path | None) -> int:
    """Serve what the file and the environment say, now and after each change; the exit code."""
    told = notes(load(path, environment()))
    return run_proxy(lambda: load(path, environment()), notes=told)
