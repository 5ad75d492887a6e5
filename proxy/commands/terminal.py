"""How commands speak: answers on standard output, everything else on standard error, one line for each problem.

Exit codes: 0 it worked; 1 it ran and something is wrong; 2 the configuration or the command line is wrong.
"""

from __future__ import annotations

import sys

from proxy.advice import ready_to_paste
from proxy.secret import mask_keys

OK, FAILED = 0, 1
INTERRUPTED = 130
"""A shell's own for a command that Ctrl-C ended."""


def say(text: str = "") -> None:
    """A line of an answer, as it is."""
    sys.stdout.write(f"{text}\n")


def tell(text: str = "") -> None:
    """A line on standard error: progress, advice. Commands in it can be pasted."""
    sys.stderr.write(f"{ready_to_paste(text)}\n")
    sys.stderr.flush()


def complain(problems: str) -> None:
    """Each line of `problems` on a line of its own, with the program's name and without clients' keys."""
    for line in mask_keys(problems).splitlines():
        tell(f"ads-proxy: {line}")


def printable(value: object) -> str:
    """A text from outside, without what could move a cursor."""
    return "".join(letter if letter.isprintable() else "?" for letter in str(value))
