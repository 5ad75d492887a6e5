"""How commands speak: answers on standard output, everything else on standard error, one line for each problem.

Exit codes: 0 it worked; 1 it ran and something is wrong; 2 the configuration or the command line is wrong.
"""

from __future__ import annotations

import re
import shlex
import sys
from pathlib import Path
from typing import Final

from proxy.secret import mask_keys

OK, FAILED = 0, 1
INTERRUPTED = 130
"""A shell's own for a command that Ctrl-C ended."""


def say(text: str = "") -> None:
    """A line of an answer, as it is."""
    sys.stdout.write(f"{text}\n")


def tell(text: str = "") -> None:
    """A line on standard error: progress, advice. Commands in it carry the options in use."""
    sys.stderr.write(f"{with_options_in_use(text)}\n")
    sys.stderr.flush()


_SUGGESTED: Final = re.compile(r"(?m)(?P<start>^ *|`)ads-proxy (?P<name>[a-z][a-z-]*)(?P<rest>[^`\n]*)(?=`|$)")
options_in_use: Final[dict[str, str]] = {}
"""`--config` and `--env-file` as they were given to the command that runs; `cli_options` fills it."""


def with_options_in_use(text: str) -> str:
    """The text, its suggested commands with the --config and --env-file of the command that runs.

    A suggested command stands between backticks or has a line of its own.
    """
    return _SUGGESTED.sub(_with_options, text)


def _with_options(found: re.Match[str]) -> str:
    if " --config" in found["rest"] or not _takes_configuration(found["name"]):
        return found[0]
    asked, dashes, other_command = found[0].partition(" -- ")
    options = "".join(f" {option} {shlex.quote(path)}" for option, path in options_in_use.items())
    return f"{asked}{options}{dashes}{other_command}"


def _takes_configuration(name: str) -> bool:
    """Whether the command has --config, as its file says. To import it would load what it needs to run."""
    path = Path(__file__).with_name(f"{name.replace('-', '_')}.py")
    return path.exists() and re.search(r'\bConfigOption\b|"--config"', path.read_text(encoding="utf-8")) is not None


def complain(problems: str) -> None:
    """Each line of `problems` on a line of its own, with the program's name and without clients' keys."""
    for line in mask_keys(problems).splitlines():
        tell(f"ads-proxy: {line}")


def printable(value: object) -> str:
    """A text from outside, without what could move a cursor."""
    return "".join(letter if letter.isprintable() else "?" for letter in str(value))
