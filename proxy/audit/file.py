"""The file of the audit stream: opened for appending alone, never followed through a link, one writer at a time.

`FILE.head` next to it names the last line, so that a cut at the very end is seen too, and tells whether the stream was
closed. It exists as long as the file has lines: a missing one is a finding. Everything blocks. Failures are `OSError`;
what stops the program at its start is `StartupError`.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import stat
from typing import TYPE_CHECKING, Final

from proxy.audit.chain import ChainHead, read_link
from proxy.config import check_writable
from proxy.errors import StartupError
from proxy.value_classes import dataclass

if TYPE_CHECKING:
    from pathlib import Path

MODE: Final = 0o600
HEAD: Final = ".head"
MAX_LINE_BYTES: Final = 1 << 20
MAX_RUNS: Final = 256
"""Runs next to a program and one another, each with an audit file of its own."""
_FLAGS: Final = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


@dataclass(frozen=True, slots=True)
class AuditFileEnd:
    """How a file ended when it was opened: `head` is what the next line follows. `torn` is what a crash left of a line
    behind the last record, and `ended` whether it has its line end by now. `cut` tells what is missing, as `FILE.head`
    has it, empty for nothing; the next line follows what is missing then, so that the gap stays to be seen. `unclosed`
    means that the program before ended without closing the stream: its last records may never have been written."""

    head: ChainHead
    torn: bytes = b""
    ended: bool = False
    cut: str = ""
    unclosed: bool = False


@dataclass(frozen=True, slots=True)
class SavedHead:
    """What `FILE.head` says: the last line, and whether the stream was closed behind it."""

    line: ChainHead
    closed: bool


class AuditFile:
    """One open file. `end` is how it was found."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptor = _open(path)
        try:
            noted = read_head(path)
            self.end = _read_end(self._descriptor, noted, head_path(path).name)
            if noted is None and not self.end.cut:
                self._begin()
        except OSError:
            os.close(self._descriptor)
            raise

    def __repr__(self) -> str:
        return f"<AuditFile {self._path}>"

    def write(self, data: bytes) -> int:
        """Append; gives how many bytes were taken, which may be fewer than all. Raises `OSError`."""
        return os.write(self._descriptor, data)

    def _begin(self) -> None:
        """Note that nothing was written yet; if that is not possible, the first record will report it."""
        with contextlib.suppress(OSError):
            self._note(ChainHead(), closed=True)

    def settle(self, head: ChainHead, *, closed: bool = False) -> None:
        """What was written holds, also against a power cut; then note what the last line is, and whether it stays the
        last one. Raises `OSError`."""
        self.sync()
        self._note(head, closed=closed)

    def sync(self) -> None:
        """What was written holds, also against a power cut. Raises `OSError`."""
        os.fdatasync(self._descriptor)

    def drop_head(self) -> None:
        """Have the next start report that records are missing at the end, if `settle` cannot: that needs no space."""
        with contextlib.suppress(OSError):
            head_path(self._path).unlink()

    def _note(self, head: ChainHead, *, closed: bool) -> None:
        beside = head_path(self._path)
        fresh = beside.with_name(f"{beside.name}.new")
        with contextlib.suppress(FileNotFoundError):
            fresh.unlink()
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        descriptor = os.open(fresh, flags, MODE)
        try:
            noted = json.dumps({"sequence": head.sequence, "digest": head.digest, "closed": closed}).encode() + b"\n"
            if os.write(descriptor, noted) < len(noted):  # a disk that is almost full takes a part, and reports nothing
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            os.fdatasync(descriptor)
        finally:
            os.close(descriptor)
        fresh.replace(beside)

    @property
    def moved(self) -> bool:
        """Whether the path leads to this file no longer: it was rotated away, or removed."""
        try:
            found = self._path.lstat()
        except FileNotFoundError:
            return True
        mine = os.fstat(self._descriptor)
        return (found.st_dev, found.st_ino) != (mine.st_dev, mine.st_ino)

    def close(self) -> None:
        os.close(self._descriptor)


def open_at_start(path: Path) -> AuditFile:
    """Open it when the program starts. Raises `StartupError`, which says what to do."""
    try:
        return AuditFile(path)
    except OSError as error:
        raise _refusal(path, error) from None


def open_for_run(path: Path) -> tuple[Path, AuditFile]:
    """Open it for a short run. While another program writes it, the file of its own is next to it, with its path:
    `audit-run.jsonl` for `audit.jsonl`, `audit-run-2.jsonl` for the run after that. Raises `StartupError`."""
    for number in range(MAX_RUNS + 1):
        more = ("", "-run")[number > 0] + (f"-{number}" if number > 1 else "")
        place = path.with_name(f"{path.stem}{more}{path.suffix}")
        try:
            return place, AuditFile(place)
        except BlockingIOError:
            continue
        except OSError as error:
            raise _refusal(place, error) from None
    raise _refusal(path, BlockingIOError(errno.EWOULDBLOCK, ""))


def check_before_start(path: Path) -> None:
    """Raise what `open_at_start` would, but make, lock and change nothing: the program may be running."""
    try:
        if os.path.lexists(path):
            os.close(_open_unlocked(path, _FLAGS & ~os.O_CREAT))
        else:
            check_writable(path.parent)
    except OSError as error:
        raise _refusal(path, error) from None


def _refusal(path: Path, error: OSError) -> StartupError:
    return StartupError(f"audit.file: {path} cannot be used: {reason(error)}.")


def head_path(path: Path) -> Path:
    return path.with_name(path.name + HEAD)


def read_head(path: Path) -> SavedHead | None:
    """What is noted about a file; None if nothing can be read. What says nothing of a close was closed: it is older."""
    try:
        match json.loads(head_path(path).read_bytes()):
            case {"sequence": int(sequence), "digest": str(digest), **rest}:
                return SavedHead(ChainHead(sequence, digest), rest.get("closed") is not False)
    except (OSError, ValueError, RecursionError):
        pass
    return None


def reason(error: OSError) -> str:
    """Why, in words."""
    words = {
        errno.ELOOP: "it is a symbolic link; name the file itself",
        errno.EWOULDBLOCK: "another program is writing it, perhaps an `ads-proxy run` that began first; "
        "end that, or name another file",
        errno.ENOENT: "its directory does not exist; make it, for this user alone",
        errno.EACCES: "permission denied for this user",
        errno.EISDIR: "it is a directory",
        errno.EROFS: "the file system is read-only; name a file in a directory that the proxy may write",
        errno.ENXIO: _NO_FILE,
    }
    return words.get(error.errno or 0) or error.strerror or "it cannot be written"


_NO_FILE: Final = "it is no ordinary file"


def _open(path: Path) -> int:
    descriptor = _open_unlocked(path, _FLAGS)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


def _open_unlocked(path: Path, flags: int) -> int:
    descriptor = os.open(path, flags, MODE)
    try:
        _check(os.fstat(descriptor))
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


def _check(facts: os.stat_result) -> None:
    """A file of ours alone: what others may write proves nothing."""
    if not stat.S_ISREG(facts.st_mode):
        raise OSError(errno.EINVAL, _NO_FILE)
    if facts.st_nlink != 1:
        raise OSError(errno.EINVAL, "it has several names (hard links); remove the others")
    if facts.st_uid != os.geteuid():
        raise OSError(errno.EINVAL, "it belongs to another user")
    if facts.st_mode & 0o022:
        raise OSError(errno.EINVAL, "others may write it; close it with chmod 600")


def _read_end(descriptor: int, beside: SavedHead | None, name: str) -> AuditFileEnd:
    noted = beside.line if beside is not None else None
    size = os.fstat(descriptor).st_size
    begin = max(0, size - 2 * MAX_LINE_BYTES)
    *lines, torn = os.pread(descriptor, size - begin, begin).split(b"\n")
    link, rubbish = None, list[bytes]()
    while link is None and len(lines) > (begin > 0):
        rubbish.append(lines.pop())
        link = read_link(rubbish[-1])
    if link is not None:
        rubbish.pop()
    ended = not torn and len(rubbish) == 1
    if ended:
        torn = rubbish.pop()
    head = ChainHead(link.sequence, link.digest) if link is not None else noted or ChainHead()
    cut = "its last lines are no records of the audit stream" if rubbish else ""
    if noted is None and link is not None:
        cut = f"there is no {name} that can be read: lines may have been cut off at its end"
    if noted is not None and noted.sequence > head.sequence:
        cut = f"it ends with number {head.sequence}, and {noted.sequence} was written"
    elif noted is not None and noted.sequence == head.sequence and noted != head:
        cut = f"its last line, number {head.sequence}, is another than was written"
    unclosed = beside is not None and not beside.closed
    follows = noted if noted is not None and noted.sequence >= head.sequence else head
    return AuditFileEnd(follows, torn, ended, cut, unclosed)
