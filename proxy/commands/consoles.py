"""Where tables and progress are drawn, for the commands that have any."""

from __future__ import annotations

import os
import sys
from typing import NoReturn

from rich.console import Console

from proxy.commands.terminal import OK

WIDE = 500


class StreamingConsole(Console):
    """For answers without an end: a reader who leaves, such as `head`, has what they wanted."""

    def on_broken_pipe(self) -> NoReturn:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # what is still buffered has no reader
        raise SystemExit(OK)


def answers(*, reader_may_leave: bool = False) -> Console:
    """Where tables go. Names and details come from outside: they are text, never markup. Pipes are wide."""
    width = None if sys.stdout.isatty() else WIDE
    kind = StreamingConsole if reader_may_leave else Console
    return kind(markup=False, highlight=False, emoji=False, width=width)


def remarks() -> Console:
    """Where progress goes."""
    return Console(stderr=True, markup=False, highlight=False, emoji=False)
