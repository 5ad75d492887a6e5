"""The commands that messages suggest, with the options of the command that runs: they can be typed as they stand.

A message names a command between backticks or on a line of its own. Which commands have --config is read from their
files: to import one would load what it needs to run.
"""

from __future__ import annotations

import re
import shlex
from functools import lru_cache
from pathlib import Path
from typing import Final

options_in_use: Final[dict[str, str]] = {}
"""`--config` and `--env-file` as they were given to the command that runs. The command line fills it, and a worker gets
that of its supervisor."""
_SUGGESTED: Final = re.compile(r"(?m)(?P<start>^ *|`)ads-proxy (?P<name>[a-z][a-z-]*)(?P<rest>[^`\n]*)(?=`|$)")
_COMMANDS: Final = Path(__file__).with_name("commands")


def with_options_in_use(text: str) -> str:
    """The text, its suggested commands with the --config and --env-file of the command that runs."""
    return _SUGGESTED.sub(_with_options, text) if options_in_use and "ads-proxy " in text else text


def _with_options(found: re.Match[str]) -> str:
    if " --config" in found["rest"] or not _takes_configuration(found["name"]):
        return found[0]
    asked, dashes, other_command = found[0].partition(" -- ")
    options = "".join(f" {option} {shlex.quote(path)}" for option, path in options_in_use.items())
    return f"{asked}{options}{dashes}{other_command}"


@lru_cache(64)
def _takes_configuration(name: str) -> bool:
    path = _COMMANDS / f"{name.replace('-', '_')}.py"
    return path.exists() and re.search(r'\bConfigOption\b|"--config"', path.read_text(encoding="utf-8")) is not None
