"""A private directory on disk: where it is, who may read it, and how a file in it changes all at once or not at all.

Nothing here knows what the files hold. Everything blocks, and every failure is a `StateError` that says what to do.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import secrets
import stat
import time
from pathlib import Path
from typing import TYPE_CHECKING

from proxy.config import check_can_be_made, check_writable
from proxy.errors import StateError

if TYPE_CHECKING:
    from collections.abc import Iterator

CHECK = "check"
"""The file that every state directory of ours has."""
SUBDIRECTORY = "ads-proxy"
"""The subdirectory that is used in a directory of another user."""
LOCK = "lock"
_AUTHORITY = "ca"
"""The subdirectory of the authority for interception, which may be made before any state is kept."""
TEMPORARY = ".new-"
ASIDE = "damaged-"
LOCK_WAIT = 5.0
MAX_KEY_BYTES = 65536
ADVICE = "Set state.url to a directory that this user can write, or use memory:."


def locate(directory: str, advice: str = ADVICE) -> Path:
    """The directory that holds the state for `file:DIR`, made where it is missing, and private.

    DIR itself where this program made it or it was made for it (empty, ours, closed to others); in any other, such
    as a Kubernetes volume, a subdirectory of its own.
    """
    wanted = Path(directory).expanduser()
    try:
        if not wanted.exists():
            check_can_be_made(wanted)
            _make(wanted)
        place = _place(wanted)
        _make(place)
        return _private(place)
    except OSError as error:
        raise _unusable(wanted, error, advice) from None


def look(directory: str, advice: str = ADVICE) -> Path | None:
    """The directory that `locate` would give, refused for the same reasons; None where it would be made. Makes
    nothing."""
    wanted = Path(directory).expanduser()
    try:
        place = _place(wanted)
        if not os.path.lexists(place):
            check_can_be_made(place)
            return None
        if not (os.statvfs(place).f_flag & os.ST_RDONLY and (place / CHECK).exists()):
            check_writable(place)
        return _private(place)
    except OSError as error:
        raise _unusable(wanted, error, advice) from None


def _place(wanted: Path) -> Path:
    """The directory itself or its subdirectory, which may be missing."""
    within = wanted / SUBDIRECTORY
    if (within / CHECK).exists():
        return within
    if (wanted / CHECK).exists() or not os.path.lexists(wanted):
        return wanted
    others = [path for path in wanted.iterdir() if path.name not in (LOCK, _AUTHORITY)]
    return wanted if _is_private(wanted) and not others else within


def _unusable(wanted: Path, error: OSError, advice: str) -> StateError:
    return StateError(f"The state directory {wanted} cannot be used: {reason(error)}. {advice}")


def _is_private(path: Path) -> bool:
    facts = path.stat()
    return stat.S_ISDIR(facts.st_mode) and facts.st_uid == os.geteuid() and not facts.st_mode & 0o077


def _private(path: Path) -> Path:
    if path.is_symlink() or not path.is_dir():
        raise StateError(f"{path} is not a directory of its own; remove it, or set state.url to another one.")
    if path.stat().st_uid != os.geteuid():
        raise StateError(f"The state directory {path} belongs to another user; run as that user, or change state.url.")
    if path.stat().st_mode & 0o077:
        raise StateError(f"The state directory {path} is open to other users; close it with: chmod 700 {path}")
    return path


def ensure(directory: Path) -> None:
    """Makes a directory that `locate` gave again where it was taken away; it is private, or a `StateError`."""
    try:
        _make(directory)
        _private(directory)
    except OSError as error:
        raise StateError(f"The state directory {directory} cannot be created again: {reason(error)}.") from error


def _make(directory: Path) -> None:
    directory.parent.mkdir(parents=True, exist_ok=True)
    with contextlib.suppress(FileExistsError):
        directory.mkdir(mode=0o700)


@contextlib.contextmanager
def locked(directory: Path) -> Iterator[None]:
    """Holds the directory against other writers, for the moment of one change."""
    with _explained(f"state directory {directory}", "written"):
        descriptor = os.open(directory / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        deadline = time.monotonic() + LOCK_WAIT
        while not _try_lock(descriptor):
            if time.monotonic() > deadline:
                raise StateError(
                    f"Another process holds the state directory {directory} for too long; stop that process."
                )
            time.sleep(0.005)
        yield
    finally:
        os.close(descriptor)


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        raise StateError(
            f"The state directory cannot be locked: {reason(error)}; use a file system with locks."
        ) from error
    return True


def is_read_only(error: StateError) -> bool:
    """The disk can be read only, which hinders no start."""
    return isinstance(error.__cause__, OSError) and error.__cause__.errno == errno.EROFS


def read(path: Path) -> bytes | None:
    """A file's bytes, or None if there is none."""
    with _explained(f"state file {path}", "read"), contextlib.suppress(FileNotFoundError):
        return path.read_bytes()
    return None


def read_private(path: Path) -> bytes | None:
    """A secret's file, or None if there is none. One that another user put there, or could read, is refused."""
    with _explained(f"key file {path}", "read"):
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        except FileNotFoundError:
            return None
        except OSError as error:
            if error.errno != errno.ELOOP:
                raise
            raise StateError(
                f"The key file {path} is a link, and is neither used nor replaced: put the key itself there, or set "
                "state.key to the file behind the link."
            ) from None
    try:
        _refuse_unless_private(path, os.fstat(descriptor))
        return os.read(descriptor, MAX_KEY_BYTES)
    finally:
        os.close(descriptor)


def _refuse_unless_private(path: Path, facts: os.stat_result) -> None:
    if not stat.S_ISREG(facts.st_mode):
        raise StateError(f"The key file {path} is not a file, and is neither used nor replaced: remove it.")
    if facts.st_uid != os.geteuid():
        raise StateError(
            f"The key file {path} belongs to another user, and is neither used nor replaced: run as that user, or set "
            "state.key and move the file away."
        )
    if facts.st_mode & 0o077:
        raise StateError(
            f"The key file {path} can be read or written by other users, and is neither used nor replaced: close it "
            f"with chmod 600 {path}, and if another user may have read it, change the key "
            "(docs/explanation/tokens.md, The key)."
        )


def replace(path: Path, content: bytes, mode: int = 0o600) -> None:
    """Puts a file in place whole: after a crash at any instant there is the old one or the new one."""
    temporary = path.with_name(f"{TEMPORARY}{secrets.token_hex(8)}")
    with _explained(f"state file {path}", "written"):
        try:
            descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            with os.fdopen(descriptor, "wb") as file:
                file.write(content)
                file.flush()
                os.fchmod(descriptor, mode)
                os.fsync(descriptor)
            temporary.replace(path)
        except OSError:
            with contextlib.suppress(OSError):
                temporary.unlink(missing_ok=True)
            raise
        _sync(path.parent)


def _sync(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def set_aside(path: Path) -> Path:
    """Gives a file another name, under which nothing looks for it, and tells which."""
    aside = path.with_name(f"{ASIDE}{time.strftime('%Y%m%d-%H%M%S', time.gmtime())}-{secrets.token_hex(2)}-{path.name}")
    with _explained(f"state file {path}", "set aside"):
        path.rename(aside)
        _sync(path.parent)
    return aside


def sweep(directory: Path) -> None:
    """Removes what a killed process left half written. Only while the directory is held."""
    for path in directory.glob(f"{TEMPORARY}*"):
        with contextlib.suppress(OSError):
            path.unlink()


def files(directory: Path, *prefixes: str) -> tuple[Path, ...]:
    """The files whose names begin so."""
    with _explained(f"state directory {directory}", "read"):
        return tuple(sorted(path for path in directory.iterdir() if path.name.startswith(prefixes)))


def stamps(directory: Path, prefix: str) -> dict[str, tuple[int, int]]:
    """The files whose names begin so, each with numbers that change when another file takes its place."""
    with _explained(f"state directory {directory}", "read"), os.scandir(directory) as entries:
        found = [(each.name, each.stat()) for each in entries if each.name.startswith(prefix)]
    return {name: (facts.st_mtime_ns, facts.st_ino) for name, facts in found}


def remove(path: Path) -> None:
    """Removes a file that nothing needs any more."""
    with _explained(f"state file {path}", "removed"):
        path.unlink(missing_ok=True)


def changed_at(directory: Path) -> int:
    """A number that changes whenever a file is put in place."""
    with _explained(f"state directory {directory}", "read"):
        return directory.stat().st_mtime_ns


@contextlib.contextmanager
def _explained(what: str, done: str) -> Iterator[None]:
    """Turn a failure of the system into the `StateError` that what is named cannot be `done`, such as read."""
    try:
        yield
    except OSError as error:
        raise StateError(
            f"The {what} cannot be {done}: {reason(error)}; check its permissions and the disk."
        ) from error


def reason(error: OSError) -> str:
    """The system's own words."""
    return error.strerror or type(error).__name__
