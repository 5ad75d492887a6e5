"""Turns rows into files, in a process of its own: `python -m proxy.reports.conversion PARENT`.

It reads one task as JSON from standard input, and writes what came of it to standard output.

It holds one row at a time, so that memory does not grow with a report. It knows files alone: nothing of Amazon, of
accounts and of the running program, whose modules it does not import.
"""

from __future__ import annotations

import contextlib
import csv
import gzip
import hashlib
import json
import os
import resource
import signal
import sys
import zlib
from contextlib import ExitStack
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

FIRST_COLUMNS: Final = ("profileId", "countryCode", "currencyCode")
"""The columns that the proxy adds before those of Amazon's report."""
MAX_MEMORY: Final = 1 << 30
"""Bytes of address space: what needs more is no report."""
MAX_SECONDS: Final = 3600
"""Seconds of the processor: fifty times what five million rows take."""
MAX_TEXT: Final = 1 << 18
"""Bytes of one text in a row, in its JSON form. The parser begins a text again with each piece of the file that it goes
on in, so that one of 16 MB took five seconds, and one of a gigabyte would take hours."""
NICENESS: Final = 10
_PR_SET_PDEATHSIG: Final = 1
_LEVEL: Final = 3
"""The level of compression: the rows of a report take a tenth of their size, and no other level is much smaller."""
_BATCH: Final = 500
_SAFE_INTEGER: Final = 1 << 53
"""From here on spreadsheets and JavaScript round integers."""
_GZIP: Final = b"\x1f\x8b"
_write_json: Final = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode
_read_json: Final = json.JSONDecoder().decode


class DamagedRows(Exception):
    """A file from Amazon that is not what was promised: cut, damaged, or no rows."""


class TooLarge(Exception):
    """More bytes than a result may have, or more time than any needs."""


# --- From Amazon's file to the rows of a profile -------------------------------------------------------


def convert(
    sources: Iterable[Path], target: Path, first: Iterable[str], columns: Iterable[str], limit: int
) -> dict[str, Any]:
    """Writes the rows of Amazon's files as JSON lines with `FIRST_COLUMNS`, whose values `first` has. `limit` is the
    most bytes before compression, 0 for any number. Raises `DamagedRows` and `TooLarge`."""
    added = dict(zip(FIRST_COLUMNS, first, strict=True))
    names = [name for name in columns if name not in added]
    rows = 0
    with Output(target, limit) as output:
        for row in chain.from_iterable(map(read_rows, sources)):
            if names and row.keys().isdisjoint(names):
                raise DamagedRows("it holds rows without any of the columns that were ordered")
            output.write(_write_json(added | {name: as_cell(name, row.get(name)) for name in names}) + "\n")
            rows += 1
    return {"rows": rows}


class BoundedTexts:
    """A file of JSON that ends with `DamagedRows` at a text, a number or blanks of more than `MAX_TEXT` bytes: what is
    between two quotes of its texts. It is read in smaller pieces than that."""

    def __init__(self, file: Any) -> None:
        self._file = file
        self._since = 0
        """Bytes since the last quote."""
        self._held = b""
        """A backslash that ended a piece: it belongs to the next byte."""

    def read(self, size: int) -> bytes:
        """The next piece."""
        piece: bytes = self._file.read(size)
        plain = (self._held + piece).replace(b"\\\\", b"..").replace(b'\\"', b"..")
        self._held = plain[-1:] if plain.endswith(b"\\") else b""
        first = plain.find(b'"')
        longest = self._since + (len(plain) if first < 0 else first)
        self._since = longest if first < 0 else len(plain) - plain.rfind(b'"') - 1
        if longest > MAX_TEXT:
            raise DamagedRows(f"one of its texts has more than {MAX_TEXT} bytes")
        return piece


def read_rows(source: Path) -> Iterator[Mapping[str, Any]]:
    """The objects of a JSON array, which may be compressed. Raises `DamagedRows`."""
    import ijson  # type: ignore[import-untyped]  # here: merging does not need it

    with ExitStack() as opened:
        file: Any = opened.enter_context(source.open("rb"))
        if file.peek(2)[:2] == _GZIP:
            file = opened.enter_context(gzip.open(file, "rb"))
        try:
            if not file.peek(64).lstrip()[:1] == b"[":
                raise DamagedRows("it holds no list of rows")
            for row in ijson.items(BoundedTexts(file), "item", use_float=True):
                if not isinstance(row, dict):
                    raise DamagedRows("it holds something else than rows")
                yield row
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            raise DamagedRows(f"it is cut or damaged ({error})") from None
        except (ijson.JSONError, UnicodeDecodeError, OverflowError) as error:
            raise DamagedRows(f"it is not JSON ({str(error).splitlines()[0]})") from None


def as_cell(name: str, value: Any) -> Any:
    """A value as results have it: ids are texts, and so are integers that others would round, and lists."""
    if isinstance(value, dict | list):
        return _write_json(value)
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value) if name.endswith(("Id", ".id")) or abs(value) >= _SAFE_INTEGER else value
    return value


# --- From the rows of all profiles to a result -----------------------------------------------------------


def merge(
    parts: Iterable[Path], columns: Iterable[str], csv_file: Path, jsonl_file: Path, limit: int
) -> dict[str, Any]:
    """Writes one table of all parts, in both forms. A part of other columns gets these, without a value where it has
    none. Raises `DamagedRows` and `TooLarge`."""
    names = [*FIRST_COLUMNS, *(name for name in columns if name not in FIRST_COLUMNS)]
    rows = 0
    with Output(csv_file, limit) as table, Output(jsonl_file, limit) as lines:
        csv.writer(table).writerow(names)
        writer = csv.writer(table, quoting=csv.QUOTE_NONNUMERIC)
        for line in _lines_of(parts):
            row = _read_json(line)
            if list(row) != names:
                row = {name: row.get(name) for name in names}
                line = _write_json(row) + "\n"  # noqa: PLW2901 - the same row, with other columns
            writer.writerow(row.values())
            lines.write(line)
            rows += 1
    return {"rows": rows, "csv": table.facts(), "jsonl": lines.facts()}


def _lines_of(parts: Iterable[Path]) -> Iterator[str]:
    for part in parts:
        try:
            with gzip.open(part, "rt", encoding="utf-8", newline="\n") as file:
                yield from file
        except (OSError, EOFError, zlib.error) as error:
            raise DamagedRows(f"{part} cannot be read ({error})") from None


class Output:
    """A gzip file that is written whole: it is on disk when the block ends, and gone if that fails."""

    def __init__(self, path: Path, limit: int) -> None:
        self._path, self._limit = path, limit
        self._digest = hashlib.sha256()
        self._waiting: list[str] = []
        self._size = 0

    def __enter__(self) -> Output:
        descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        self._file = os.fdopen(descriptor, "wb")
        self._gzip = gzip.GzipFile("", "wb", _LEVEL, self._file, mtime=0)
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        is_written = False
        try:
            with self._file:
                with self._gzip:
                    if kind is None:
                        self._flush()
                self._file.flush()
                os.fsync(self._file.fileno())
            is_written = kind is None
        finally:
            if not is_written:
                self._path.unlink(missing_ok=True)

    def write(self, text: str) -> None:
        self._waiting.append(text)
        if len(self._waiting) >= _BATCH:
            self._flush()

    def facts(self) -> dict[str, Any]:
        """What a manifest says of the file."""
        content = {"size": self._size, "sha256": self._digest.hexdigest()}
        return {"name": self._path.name, **content, "stored": self._path.stat().st_size}

    def _flush(self) -> None:
        data = "".join(self._waiting).encode()
        self._waiting.clear()
        self._size += len(data)
        if self._limit and self._size > self._limit:
            raise TooLarge(f"its rows have more than {self._limit} bytes")
        self._digest.update(data)
        self._gzip.write(data)


# --- The process -----------------------------------------------------------------------------------------


def run(task: Mapping[str, Any]) -> dict[str, Any]:
    """Does what a task says. A failure is a `problem` of one word, and `words` about it."""
    try:
        if task["do"] == "convert":
            sources, target = map(Path, task["sources"]), Path(task["target"])
            return convert(sources, target, task["first"], task["columns"], task["limit"])
        files = Path(task["csv"]), Path(task["jsonl"])
        return merge(map(Path, task["parts"]), task["columns"], *files, task["limit"])
    except DamagedRows as error:
        return {"problem": "damaged", "words": str(error)}
    except TooLarge as error:
        return {"problem": "too-large", "words": str(error)}
    except MemoryError:
        return {"problem": "damaged", "words": "one of its rows is larger than any of Amazon's"}
    except OSError as error:
        return {"problem": "disk", "words": f"{error.filename or 'the disk'}: {error.strerror or error}"}


def stop_reading(*_: object) -> None:
    """The processor's time is over."""
    signal.signal(signal.SIGXCPU, signal.SIG_IGN)
    raise TooLarge(f"reading its rows took more than {MAX_SECONDS} s")


def end_with(parent: int) -> None:
    """End if the process that began this one does, also when it is killed: another one may write the same files then.
    Where the system cannot tell, a task runs to its end."""
    if sys.platform == "linux":
        with contextlib.suppress(ImportError, MemoryError, OSError):  # a hardened service may not have what it needs
            import ctypes

            ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        sys.exit("The program that began this process has ended.")


def main() -> None:
    """The first argument is the process id of who began this one."""
    end_with(int(sys.argv[1]))
    os.nice(NICENESS)
    signal.signal(signal.SIGXCPU, stop_reading)
    for limit, most in ((resource.RLIMIT_AS, MAX_MEMORY), (resource.RLIMIT_CPU, MAX_SECONDS)):
        with contextlib.suppress(OSError, ValueError):  # macOS does not have the first
            resource.setrlimit(limit, (most, resource.getrlimit(limit)[1]))
    json.dump(run(json.load(sys.stdin)), sys.stdout)


if __name__ == "__main__":
    main()
