"""The files and variables that one configuration refers to, read and remembered so that a change can be noticed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from proxy.config.model.expected import Expected, WrongValue
from proxy.config.model.key_names import shown_file


@dataclass(frozen=True, slots=True)
class ReferenceReader:
    """The `References` of one reading. `directory` is where relative paths start; `files` are those that were read."""

    environ: Mapping[str, str] = field(repr=False)
    directory: Path
    files: list[Path] = field(default_factory=list)

    def locate(self, name: str) -> Path:
        home = self.environ.get("HOME", "")
        if name.startswith("~/") and home:
            return Path(home) / name[2:]
        return self.directory / name

    def read_file(self, path: Path, limit: int) -> bytes:
        self.files.append(path)
        return read_bytes(path, limit)

    def variable(self, name: str) -> str | None:
        return self.environ.get(name)


def read_bytes(path: Path, limit: int) -> bytes:
    """A small file's bytes. Raises `WrongValue` where they cannot be had."""
    try:
        with path.open("rb") as file:
            content = file.read(limit + 1)
    except FileNotFoundError:
        raise WrongValue(Expected.FILE_MISSING, place=shown_file(path)) from None
    except IsADirectoryError:
        raise WrongValue(Expected.FILE_DIRECTORY, place=shown_file(path)) from None
    except PermissionError:
        raise WrongValue(Expected.FILE_FORBIDDEN, place=shown_file(path)) from None
    except (OSError, ValueError):
        raise WrongValue(Expected.FILE_UNREADABLE, place=shown_file(path)) from None
    if len(content) > limit:
        raise WrongValue(Expected.FILE_TOO_LARGE, place=shown_file(path))
    return content
