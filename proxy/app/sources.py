"""The configuration and the files it came from: read so that no change can slip between reading and remembering.

Nothing is applied or watched here.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from proxy.config import Config

Stamp = tuple[int, ...]
Loader = Callable[["Config | None"], "Config"]
"""Reads the configuration; it gets the running one, None at the start."""
_ATTEMPTS = 4


@dataclass(frozen=True, slots=True)
class LoadedConfig:
    """A configuration, and the stamps of its files: a file whose stamp differs now has changed since."""

    config: Config
    stamps: Mapping[Path, Stamp]


def read(load: Callable[[], Config], known: tuple[Path, ...] = ()) -> LoadedConfig:
    """Load, and again where a file changed meanwhile or was not among those `known`. Raises what `load` raises."""
    stamps = stamps_of(known)
    for _ in range(_ATTEMPTS):
        config = load()
        after = stamps_of(config.sources)
        if after == stamps:
            break
        stamps = after
    return LoadedConfig(config, stamps)


def directories_of(files: tuple[Path, ...]) -> set[Path]:
    """The folders that these are in, or are: what happens in one is told by the system."""
    folders = {file if file.is_dir() else file.parent for file in files}
    return {folder for folder in folders if folder.is_dir()}


def stamps_of(files: tuple[Path, ...]) -> dict[Path, Stamp]:
    """What tells that a file was written, replaced or made readable; links are followed, a missing file has none."""
    stamps: dict[Path, Stamp] = {}
    for file in files:
        with contextlib.suppress(OSError):
            found = file.stat()
            stamps[file] = (found.st_mtime_ns, found.st_ctime_ns, found.st_dev, found.st_ino, found.st_size)
    return stamps
