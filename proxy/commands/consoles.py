"""Where tables and progress are drawn, for the commands that have any."""

from __future__ import annotations

import contextlib
import os
import sys
from typing import TYPE_CHECKING, NoReturn

from rich.console import Console, OverflowMethod
from rich.table import Table

from proxy.commands.terminal import OK

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator

WIDE = 500
"""Columns of a pipe."""


class StreamingConsole(Console):
    """A console for endless output: a reader such as `head` may stop reading."""

    def on_broken_pipe(self) -> NoReturn:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # the buffer has no reader any more
        raise SystemExit(OK)


def answers(*, columns: int = WIDE, reader_may_leave: bool = False) -> Console:
    """Where tables go, at most `columns` wide. Names and details come from outside: they are text, never markup."""
    kind = StreamingConsole if reader_may_leave else Console
    console = kind(markup=False, highlight=False, emoji=False, width=None if sys.stdout.isatty() else columns)
    console.width = min(console.width, columns)
    return console


def remarks() -> Console:
    """Where progress goes. rich takes a file for a terminal where `FORCE_COLOR` is set, as in CI."""
    return Console(stderr=True, force_terminal=sys.stderr.isatty(), markup=False, highlight=False, emoji=False)


def plain_table(*headings: str, unbroken: Collection[str] = (), overflow: OverflowMethod = "fold") -> Table:
    """A table without lines, still without rows. The columns `unbroken` are not wrapped."""
    table = Table(box=None, pad_edge=False)
    for heading in headings:
        table.add_column(heading, overflow=overflow, no_wrap=heading in unbroken)
    return table


@contextlib.contextmanager
def progress_line() -> Iterator[Callable[[str], None]]:
    """What changes a line on the terminal that is gone at the end. Where standard error is none, there is no line."""
    from rich.progress import Progress, TextColumn, TimeElapsedColumn

    console = remarks()
    columns = TextColumn("{task.description}", markup=False), TimeElapsedColumn()
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        line = progress.add_task("")
        yield lambda text: progress.update(line, description=text, refresh=True)
