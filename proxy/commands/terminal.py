"""How commands speak: answers on standard output, everything else on standard error, one line for each problem.

Exit codes: 0 it worked; 1 it ran and something is wrong; 2 the configuration or the command line is wrong.
"""

from __future__ import annotations

import os
import sys
from typing import NoReturn

from rich.console import Console

OK, FAILED = 0, 1
WIDE = 500


def say(text: str = "") -> None:
    """A line of an answer, as it is."""
    sys.stdout.write(f"{text}\n")


def tell(text: str = "") -> None:
    """A line beside the answer: progress, advice."""
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


def complain(problems: str) -> None:
    """Each line of `problems` on a line of its own, with the program's name."""
    for line in problems.splitlines():
        tell(f"ads-proxy: {line}")


def printable(value: object) -> str:
    """A text from outside, without what could move a cursor."""
    return "".join(letter if letter.isprintable() else "?" for letter in str(value))


class PatientConsole(Console):
    """For answers without an end: a reader who leaves, such as `head`, has what they wanted."""

    def on_broken_pipe(self) -> NoReturn:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # what is still buffered has no reader
        raise SystemExit(OK)


def answers(*, reader_may_leave: bool = False) -> Console:
    """Where tables go. Names and details come from outside: they are text, never markup. Pipes are wide."""
    width = None if sys.stdout.isatty() else WIDE
    kind = PatientConsole if reader_may_leave else Console
    return kind(markup=False, highlight=False, emoji=False, width=width)


def remarks() -> Console:
    """Where progress goes."""
    return Console(stderr=True, markup=False, highlight=False, emoji=False)
