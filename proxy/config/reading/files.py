"""The files and variables that one configuration refers to, read and remembered so that a change can be noticed."""

from __future__ import annotations

import contextlib
import os
import shlex
import stat
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from proxy.config.model.expected import Expected, ShownFile, WrongValue
from proxy.config.model.key_names import shown_file


@dataclass(frozen=True, slots=True)
class ReferenceReader:
    """The `References` of one reading. `directory` is where relative paths start; `files` are those that were read.

    `remarks` are sentences about secret files that others can read.
    """

    environ: Mapping[str, str] = field(repr=False)
    directory: Path
    files: list[Path] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)

    def locate(self, name: str) -> Path:
        home = self.environ.get("HOME", "")
        if name.startswith("~/") and home:
            return Path(home) / name[2:]
        return self.directory / name

    def read_file(self, path: Path, limit: int, *, secret: bool) -> bytes:
        self.files.append(path)
        content, status = read_open_file(path, limit)
        remark = check_permissions(path, status.st_mode, own=status.st_uid == os.geteuid()) if secret else ""
        if remark and remark not in self.remarks:
            self.remarks.append(remark)
        return content

    def variable(self, name: str) -> str | None:
        return self.environ.get(name)


def read_bytes(path: Path, limit: int) -> bytes:
    """A small file's bytes. Raises `WrongValue` where they cannot be had."""
    return read_open_file(path, limit)[0]


def read_open_file(path: Path, limit: int) -> tuple[bytes, os.stat_result]:
    """As `read_bytes`, and the status of the file that was read."""
    try:
        with path.open("rb") as file:
            content, status = file.read(limit + 1), os.fstat(file.fileno())
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
    return content, status


# --- Noticing that files changed --------------------------------------------------------------------------

Stamp = tuple[int, ...]


def stamps_of(files: Iterable[Path]) -> dict[Path, Stamp]:
    """What tells that a file was written, replaced or made readable; links are followed, a missing file has none."""
    stamps: dict[Path, Stamp] = {}
    for file in files:
        with contextlib.suppress(OSError):
            found = file.stat()
            stamps[file] = (found.st_mtime_ns, found.st_ctime_ns, found.st_dev, found.st_ino, found.st_size)
    return stamps


# --- Who else may read or change a file that holds a secret ----------------------------------------------

_OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH


def check_permissions(path: Path, mode: int, *, own: bool) -> str:
    """A note about a file that others can read, or nothing. Raises `WrongValue` for one that others can change.

    `own` tells whether the process's user owns the file. A group may read the files of another user: that is how
    Kubernetes (`fsGroup`), systemd and certificate programs give a process its secrets.
    """
    if not stat.S_ISREG(mode):
        return ""
    if mode & _OTHERS_WRITE:
        raise WrongValue(Expected.FILE_WRITABLE, place=ShownFile(f"the file {path}"))
    quoted = shlex.quote(str(path))
    if own and mode & (stat.S_IRGRP | stat.S_IROTH):
        readers = "every user of this machine" if mode & stat.S_IROTH else "its group"
        return f"The mode of the secret file {path} lets {readers} read it; run `chmod 600 {quoted}`."
    if mode & stat.S_IROTH:
        return (
            f"The mode of the secret file {path} lets every user of this machine read it; as its owner run "
            f"`chmod o-r {quoted}`, or mount it with mode 0440 and a group of this process."
        )
    return ""
