"""Results of named reports on disk, and what their runner does: one folder for each report, readable for any process.

    DIR/NAME/account         the account whose data lies here
    DIR/NAME/result.json     describes the newest complete result; replacing it publishes the next one
    DIR/NAME/results/        its rows in each form, gzip: never changed, removed after the next one is published
    DIR/NAME/status.json     what the runner does now, and the runs before
    DIR/NAME/run-now         exists while a run is asked for
    DIR/NAME/parts/, run     the runner's own, see `journal`
    DIR/NAME/lock            held by the program that runs it

Everything blocks. Every file appears whole, by a rename. Folders have mode 700, files 600.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import re
import shutil
import stat
from dataclasses import asdict, field
from enum import StrEnum
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Final, TypeVar

from proxy.config import check_can_be_made
from proxy.errors import AdsProxyError, StateError
from proxy.tokens import state_directory
from proxy.value_classes import dataclass

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

T = TypeVar("T")
"""What a file holds."""
NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
ACCOUNT, MANIFEST, STATUS, RUN_NOW = "account", "result.json", "status.json", "run-now"
RESULTS, PARTS = "results", "parts"
LOCK: Final = "lock"
HISTORY: Final = 20
"""Runs that a status remembers."""
_ATTEMPTS: Final = 5


class ReportFolderError(AdsProxyError):
    """A folder of results that cannot be read or written; the text says what to do."""


class Form(StrEnum):
    """The forms in which a result lies on disk, each as gzip."""

    CSV = "csv"
    """With a header line; texts are quoted, numbers are not."""
    JSONL = "jsonl"
    """One JSON object a line; ids are texts."""


class State(StrEnum):
    """What becomes of a report now."""

    IDLE = "idle"
    """Waits for its next run."""
    RUNNING = "running"


class RunResult(StrEnum):
    """How a run ended."""

    SUCCESS = "success"
    PARTIAL = "partial"
    """Published; some profiles have rows of an earlier run, or none."""
    FAILURE = "failure"
    """Nothing was published; the result before stays."""


@dataclass(frozen=True, slots=True)
class ProfileRows:
    """The rows of one profile within a result. Days are ISO dates, the last one included.

    `stale` tells that its last order failed: the rows are those of an earlier run, none where there was none, and then
    `completed_at` is 0. Times are wall-clock seconds.
    """

    id: str
    country: str
    currency: str
    first_day: str
    last_day: str
    rows: int
    completed_at: float
    stale: bool = False


@dataclass(frozen=True, slots=True)
class ResultFile:
    """One form of a result. `name` is the file's, `size` and `sha256` are those of the content without gzip: equal
    content has an equal `sha256` in whichever run. `stored` is the size of the gzip file."""

    name: str
    size: int
    sha256: str
    stored: int


@dataclass(frozen=True, slots=True)
class Result:
    """A complete result: the rows of all profiles, as one table with these columns."""

    report: str
    run: str
    account: str
    completed_at: float
    columns: tuple[str, ...]
    rows: int
    first_day: str
    last_day: str
    profiles: tuple[ProfileRows, ...]
    files: Mapping[Form, ResultFile]
    order: Mapping[str, Any] = field(default_factory=dict)
    """What Amazon was asked for, without dates."""

    @property
    def stale(self) -> tuple[str, ...]:
        """The ids of the profiles whose last order failed."""
        return tuple(profile.id for profile in self.profiles if profile.stale)


@dataclass(frozen=True, slots=True)
class Run:
    """A run that has ended. Times are wall-clock seconds; each of `errors` is a sentence."""

    run: str
    began_at: float
    ended_at: float
    result: RunResult
    rows: int = 0
    errors: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class RunProgress:
    """How far a run is: orders in all, those that have an id at Amazon, and those whose rows are here."""

    orders: int = 0
    ordered: int = 0
    downloaded: int = 0


@dataclass(frozen=True, slots=True)
class RunnerStatus:
    """What the runner last told. Times are wall-clock seconds; `waits_for` is a sentence, empty for nothing."""

    report: str
    state: State
    updated_at: float
    waits_for: str = ""
    next_run: float | None = None
    began_at: float | None = None
    progress: RunProgress = RunProgress()
    history: tuple[Run, ...] = ()
    """The newest run first."""


@dataclass(frozen=True, slots=True)
class OpenResult:
    """A result, and one of its forms opened: gzip bytes. It stays readable after the next one is published."""

    result: Result
    file: IO[bytes]


@dataclass(frozen=True, slots=True)
class ReportFolder:
    """The folder `keep.dir`. What cannot be read counts as missing; nothing here is kept in memory."""

    directory: Path

    # --- reading

    def names(self) -> tuple[str, ...]:
        """The reports of which something is kept."""
        try:
            found = sorted(path.name for path in self.directory.iterdir() if NAME.fullmatch(path.name))
        except OSError:
            return ()
        return tuple(name for name in found if (self.directory / name / ACCOUNT).is_file())

    def account(self, name: str) -> str:
        """The account whose data a report holds, empty for an unknown one."""
        try:
            return (self.path(name) / ACCOUNT).read_text(encoding="utf-8", errors="replace").strip()
        except OSError:
            return ""

    def status(self, name: str) -> RunnerStatus | None:
        """What the runner last told about a report."""
        return _read(self.path(name) / STATUS, read_status)

    def result(self, name: str) -> Result | None:
        """The newest complete result."""
        return _read(self.path(name) / MANIFEST, read_result)

    def version(self, name: str) -> tuple[int, int] | None:
        """A value that changes when another result is published; None while there is no result."""
        try:
            found = (self.path(name) / MANIFEST).stat()
        except OSError:
            return None
        return found.st_mtime_ns, found.st_ino

    def open(self, name: str, form: Form) -> OpenResult | None:
        """The newest complete result with its rows; None while there is no result. Raises `ReportFolderError` where
        its rows cannot be read."""
        for _ in range(_ATTEMPTS):
            result = self.result(name)
            if result is None:
                return None
            path = self.path(name) / RESULTS / result.files[form].name
            try:
                return OpenResult(result, path.open("rb"))
            except FileNotFoundError:
                continue  # the next one was published meanwhile
            except OSError as error:
                raise ReportFolderError(f"{path} cannot be read: {state_directory.reason(error)}.") from None
        raise ReportFolderError(f"The rows of {name} are missing in {self.path(name)}: run the report again.")

    def run_is_asked_for(self, name: str) -> bool:
        """Whether a run was asked for that has not begun."""
        return (self.path(name) / RUN_NOW).exists()

    def is_kept(self, name: str) -> bool:
        """Whether a program runs the report now, or waits for its next run. Raises `ReportFolderError`."""
        with locked(self.path(name)) as is_locked:
            return not is_locked

    def path(self, name: str) -> Path:
        """A report's folder, which need not exist. Raises `ValueError` for what is no report's name."""
        if not NAME.fullmatch(name):
            raise ValueError(f"{name!r} is not the name of a report")
        return self.directory / name

    # --- asking and telling

    def ask_for_run(self, name: str) -> None:
        """Have the runner begin a run within seconds, whatever the schedule says. Raises `ReportFolderError`.

        The file has no content, and so no temporary name under which the runner may sweep it away.
        """
        with _translated():
            path = self.ensure(name) / RUN_NOW
            os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600))

    def take_request(self, name: str) -> bool:
        """Whether a run was asked for; the request is gone then."""
        try:
            (self.path(name) / RUN_NOW).unlink()
        except OSError:
            return False
        return True

    def tell(self, status: RunnerStatus) -> None:
        """Replace what readers see of the runner. Raises `ReportFolderError`."""
        with _translated():
            content = json.dumps(asdict(status)).encode()
            state_directory.replace(self.ensure(status.report) / STATUS, content)

    def publish(self, result: Result) -> None:
        """Make a result the newest one, whose files are in place, and remove the files of all others. Raises
        `ReportFolderError`."""
        folder = self.ensure(result.report)
        with _translated():
            state_directory.replace(folder / MANIFEST, json.dumps(asdict(result)).encode())
        self.sweep(result.report)

    def sweep(self, name: str) -> None:
        """Remove the files of results that no manifest describes, and those that a killed program left half written."""
        folder, result = self.path(name), self.result(name)
        kept = {file.name for file in result.files.values()} if result is not None else set()
        with contextlib.suppress(OSError):
            for path in (folder / RESULTS).iterdir():
                if path.name not in kept:
                    path.unlink(missing_ok=True)
        state_directory.sweep(folder)

    # --- folders

    def adopt(self, name: str, account: str) -> Path:
        """The report's folder for the data of an account, made where it is missing. What lies there of another account
        is removed first: only who has it `locked` may call this. Raises `ReportFolderError`."""
        folder, before = self.ensure(name), self.account(name)
        with _translated():
            if before not in ("", account):
                _empty(folder, keep=(ACCOUNT, LOCK))
            if before != account:
                state_directory.replace(folder / ACCOUNT, account.encode())
            for within in (RESULTS, PARTS):
                (folder / within).mkdir(mode=0o700, exist_ok=True)
        return folder

    def remove(self, name: str) -> None:
        """Remove all that is kept of a report. Raises `ReportFolderError`.

        The account goes last: what is left where the program is killed meanwhile is found, and not taken for another
        account's.
        """
        folder = self.path(name)
        with _translated(), contextlib.suppress(FileNotFoundError):
            if not folder.is_symlink():
                _empty(folder, keep=(ACCOUNT,))
            shutil.rmtree(folder)

    def remove_others(self, names: Iterable[str]) -> tuple[str, ...]:
        """Remove all that is kept of reports with other names, and that no other program runs; returns which. Raises
        `ReportFolderError`."""
        removed = []
        for name in frozenset(self.names()) - frozenset(names):
            with locked(self.path(name)) as is_locked:
                if is_locked:
                    self.remove(name)
                    removed.append(name)
        return tuple(removed)

    def drop_result(self, name: str) -> None:
        """Remove a result that is too old, and the rows that it was made of. Raises `ReportFolderError`."""
        with _translated():
            (self.path(name) / MANIFEST).unlink(missing_ok=True)
            for part in (self.path(name) / PARTS).iterdir():
                part.unlink(missing_ok=True)
        self.sweep(name)

    def size(self) -> int:
        """Bytes of everything in the folder."""
        total = 0
        for folder, _, files in os.walk(self.directory):
            for file in files:
                with contextlib.suppress(OSError):
                    total += (Path(folder) / file).lstat().st_size
        return total

    def ensure(self, name: str) -> Path:
        """The report's folder, made where it is missing. Raises `ReportFolderError`, also where others can read it."""
        folder = self.path(name)
        with _translated():
            self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            with contextlib.suppress(FileExistsError):
                folder.mkdir(mode=0o700)
        _refuse_shared(folder)
        return folder

    def check_before_start(self, names: Iterable[str]) -> None:
        """Raise the `ReportFolderError` of a folder in which these reports cannot be kept; make and change nothing."""
        with _translated():
            check_can_be_made(self.directory)
        for folder in map(self.path, names):
            if os.path.lexists(folder):
                _refuse_shared(folder)


def _refuse_shared(folder: Path) -> None:
    """Raise `ReportFolderError` for what others could read or replace."""
    with _translated():
        facts = folder.lstat()
    if not stat.S_ISDIR(facts.st_mode) or facts.st_uid != os.geteuid():
        raise ReportFolderError(f"{folder} is not a folder of this user: remove it, or change reports.keep.dir.")
    if facts.st_mode & 0o077:
        raise ReportFolderError(f"{folder} is open to other users; close it with: chmod 700 {folder}")


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[bool]:
    """Whether no other program on this folder runs the report; if so, none does within the block."""
    try:
        descriptor = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    except OSError as error:
        raise ReportFolderError(f"{folder / LOCK} cannot be written: {error.strerror}.") from None
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            yield False
        else:
            yield True
    finally:
        os.close(descriptor)


def _empty(folder: Path, keep: tuple[str, ...]) -> None:
    """Remove all that is in a folder but these files, the description of the result first. Raises `OSError`."""
    (folder / MANIFEST).unlink(missing_ok=True)
    for path in folder.iterdir():
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        elif path.name not in keep:
            path.unlink()


@contextlib.contextmanager
def _translated() -> Iterator[None]:
    """Failures of the disk, as failures of the folder."""
    try:
        yield
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        words = f"{where}{state_directory.reason(error)}"
        raise ReportFolderError(f"Results cannot be kept: {words}; check the disk and reports.keep.dir.") from None
    except StateError as error:
        raise ReportFolderError(str(error)) from None


# --- How results and statuses are written --------------------------------------------------------------


def _read(path: Path, read: Callable[[Any], T]) -> T | None:
    """What a file says, None where there is none or it cannot be read."""
    try:
        return read(json.loads(path.read_bytes()))
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None


def read_result(said: Mapping[str, Any]) -> Result:
    """The result of a manifest. Raises `ValueError`, `KeyError` or `TypeError` for what is none."""
    return Result(
        **{
            **said,
            "columns": tuple(said["columns"]),
            "profiles": tuple(ProfileRows(**each) for each in said["profiles"]),
            "files": {Form(form): ResultFile(**file) for form, file in said["files"].items()},
        }
    )


def read_status(said: Mapping[str, Any]) -> RunnerStatus:
    """A status as it was told. Raises `ValueError`, `KeyError` or `TypeError` for what is none."""
    return RunnerStatus(
        **{
            **said,
            "state": State(said["state"]),
            "progress": RunProgress(**said["progress"]),
            "history": tuple(
                Run(**{**run, "result": RunResult(run["result"]), "errors": tuple(run["errors"])})
                for run in said["history"]
            ),
        }
    )
