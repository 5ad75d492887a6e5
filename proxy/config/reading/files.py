"""The files, variables and commands that one configuration refers to, read and remembered so that a change can be
noticed."""

from __future__ import annotations

import contextlib
import errno
import os
import shlex
import stat
from collections.abc import Iterable, Mapping
from dataclasses import field, replace
from pathlib import Path
from typing import Any, Final

from proxy.config.model.expected import Expected, ShownFile, WrongValue
from proxy.config.model.key_names import shown_file, shown_path
from proxy.config.model.secret_command import SecretCommand, more_often
from proxy.config.reading.commands import CommandOutputs, CommandUse, find_commands
from proxy.secret import Secret
from proxy.value_classes import dataclass

# --- Noticing that files changed --------------------------------------------------------------------------

Stamp = tuple[int, int, int, int, int]
"""Nanoseconds of the last write and of the last change of any kind; device, inode and size."""
_SETTLED: Final = 2_000_000_000
"""Nanoseconds: file systems count time in steps of up to two seconds (FAT)."""


def stamp_of(status: os.stat_result) -> Stamp:
    """What tells that a file was written, replaced or made readable."""
    return status.st_mtime_ns, status.st_ctime_ns, status.st_dev, status.st_ino, status.st_size


def stamps_of(files: Iterable[Path]) -> dict[Path, Stamp]:
    """The present stamp of each file. Links are followed; missing files are left out."""
    stamps: dict[Path, Stamp] = {}
    for file in files:
        with contextlib.suppress(OSError):
            stamps[file] = stamp_of(file.stat())
    return stamps


def is_folder(path: Path) -> bool:
    """Whether this is a folder, as far as this user may know: `Path.is_dir` fails in one that cannot be searched."""
    return os.path.isdir(path)  # noqa: PTH112 - as above


def check_writable(folder: Path) -> None:
    """Raise `OSError` unless this user may make files in a folder. Makes none."""
    if not stat.S_ISDIR(folder.stat().st_mode):
        raise _os_error(errno.ENOTDIR, folder)
    if os.statvfs(folder).f_flag & os.ST_RDONLY:
        raise _os_error(errno.EROFS, folder)
    if not os.access(folder, os.W_OK | os.X_OK, effective_ids=os.access in os.supports_effective_ids):
        raise _os_error(errno.EACCES, folder)


def check_can_be_made(folder: Path) -> None:
    """Raise `OSError` unless this user may make files in a folder, or the folder itself where it is missing."""
    while not os.path.lexists(folder):
        folder = folder.parent
    check_writable(folder)


def _os_error(number: int, path: Path) -> OSError:
    return OSError(number, os.strerror(number), str(path))


def is_settled(stamp: Stamp, now: float) -> bool:
    """Whether a change of the file from now on gives it another stamp: not where it changed a moment ago. `now` is
    wall-clock time. Pure."""
    return max(stamp[:2]) + _SETTLED < now * 1e9


# --- Reading -----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ReferenceReader:
    """The `References` of one reading. `directory` is where relative paths start; `files` are those that were read,
    each with its stamp from before; a file that could not be opened has none.

    `remarks` are sentences about secret files that others can read. `asked` are the commands whose outputs were asked
    of `commands`.
    """

    environ: Mapping[str, str] = field(repr=False)
    directory: Path
    files: dict[Path, Stamp | None] = field(default_factory=dict)
    remarks: list[str] = field(default_factory=list)
    commands: CommandOutputs = field(default_factory=CommandOutputs, repr=False)
    asked: dict[SecretCommand, CommandUse] = field(default_factory=dict, repr=False)

    def locate(self, name: str) -> Path:
        home = self.environ.get("HOME", "")
        if name.startswith("~/") and home:
            return Path(home) / name[2:]
        return self.directory / name

    def read_file(self, path: Path, limit: int, *, secret: bool) -> bytes:
        before = self.files.setdefault(path, None)
        content, status = read_open_file(path, limit)
        self.files[path] = before or stamp_of(status)
        remark = check_permissions(path, status.st_mode, own=status.st_uid == os.geteuid()) if secret else ""
        if remark and remark not in self.remarks:
            self.remarks.append(remark)
        return content

    def variable(self, name: str) -> str | None:
        self.commands.know_variable(name)
        return self.environ.get(name)

    def know(self, secret: Secret) -> None:
        self.commands.know(secret)

    def command_output(self, arguments: tuple[str, ...], every: float | None) -> str:
        command = SecretCommand(arguments, self.directory)
        before = self.asked.get(command)
        every = more_often(every, before.every) if before is not None else every
        self.asked[command] = CommandUse(every, output=self.commands.output(command))
        return self.commands.ask(command)

    def commands_of(self, values: Any) -> dict[SecretCommand, CommandUse]:
        """The commands that were asked for, each with the keys that name it in the values that were read."""
        keys: dict[SecretCommand, list[str]] = {}
        for command, place in find_commands(values, self.directory) if self.asked else ():
            keys.setdefault(command, []).append(shown_path(place))
        return {command: replace(use, keys=tuple(keys.get(command, ()))) for command, use in self.asked.items()}


def read_bytes(path: Path, limit: int) -> bytes:
    """A small file's bytes. Raises `WrongValue` where they cannot be had."""
    return read_open_file(path, limit)[0]


def read_open_file(path: Path, limit: int) -> tuple[bytes, os.stat_result]:
    """The content of a file, as from `read_bytes`, and the file's status before it was read."""
    try:
        with path.open("rb") as file:
            status, content = os.fstat(file.fileno()), file.read(limit + 1)
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
