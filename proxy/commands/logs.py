"""`logs`: what `serve` wrote as JSON lines, from a file or standard input, as people read it; filters, follows.

Which lines are shown, and how one looks, is in `log_lines`.
"""

from __future__ import annotations

import os
import sys
import time
from collections import deque
from contextlib import closing
from datetime import date, timedelta
from typing import TYPE_CHECKING

from rich.text import Text

from proxy.commands.consoles import answers
from proxy.commands.log_lines import LogFilter, read_line, show
from proxy.commands.terminal import FAILED, OK, complain, printable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

INTERVAL = 0.25
"""Seconds between looks at a file that is followed."""
LAST_LINES = 20
"""Shown before what comes, where a file is followed."""


def print_logs(
    path: Path | None,
    wanted: LogFilter,
    *,
    follow: bool,
    last: int | None,
    pause: Callable[[float], None] = time.sleep,
) -> int:
    """Print what is asked for; without a path, of standard input. `last`: only so many of those that are there."""
    try:
        if path is None:
            _print((line.decode("utf-8", "replace") for line in sys.stdin.buffer), wanted)
        else:
            with closing(LogFile(path)) as lines:
                begun = lines.read() if follow else lines.read_whole()
                _print(begun, wanted, LAST_LINES if follow and not last else last)
                while follow:
                    pause(INTERVAL)
                    _print(lines.read(), wanted)
    except KeyboardInterrupt:
        return OK
    except OSError as error:
        complain(f"{path or 'standard input'}: {error.strerror or error}")
        return FAILED
    return OK


def _print(texts: Iterable[str], wanted: LogFilter, last: int | None = None) -> None:
    """Those that are asked for, as they come; with `last`, once all are there."""
    console = answers(reader_may_leave=True)
    found: Iterable[Text] = (shown for text in texts if (shown := pick(text, wanted)) is not None)
    for shown in found if last is None else deque(found, last):
        console.print(shown, soft_wrap=True)


def pick(text: str, wanted: LogFilter) -> Text | None:
    """A line as it is shown, if it is asked for. What is no line of the log is shown as it is, where all are."""
    line = read_line(text)
    if line is None:
        return Text(printable(text.rstrip("\n"))) if wanted.asks_for_nothing else None
    return show(line) if wanted.passes(line) else None


def parse_day(text: str, today: date) -> str:
    """`2026-11-24`, `today` or `yesterday`, as a date is written. Raises `ValueError` for anything else."""
    if text in ("today", "yesterday"):
        return str(today - timedelta(days=text == "yesterday"))
    try:
        return str(date.fromisoformat(text))
    except ValueError:
        raise ValueError("is none of 2026-11-24, today and yesterday") from None


class LogFile:
    """A file that grows, and that may be replaced (rotated) or emptied meanwhile: whole lines, each once."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = path.open("rb")
        self._rest = b""

    def __repr__(self) -> str:
        return f"<LogFile {self._path.name} at {self._file.tell()}>"

    def close(self) -> None:
        self._file.close()

    def read(self) -> Iterator[str]:
        """What came since the last time. The end of a file that was replaced comes first."""
        yield from self._lines()
        if self._is_other():
            self._file.close()
            self._file, self._rest = self._path.open("rb"), b""
            yield from self._lines()

    def read_whole(self) -> Iterator[str]:
        """All of it, a last line without its end as well."""
        yield from self._lines()
        if self._rest:
            yield self._rest.decode("utf-8", "replace")

    def _lines(self) -> Iterator[str]:
        if os.fstat(self._file.fileno()).st_size < self._file.tell():
            self._file.seek(0)
            self._rest = b""
        while piece := self._file.read(1 << 20):
            *whole, self._rest = (self._rest + piece).split(b"\n")
            for line in whole:
                yield line.decode("utf-8", "replace")

    def _is_other(self) -> bool:
        """Whether another file has this name by now. None at all is a rotation that is not over yet."""
        try:
            return not os.path.samestat(self._path.stat(), os.fstat(self._file.fileno()))
        except FileNotFoundError:
            return False
