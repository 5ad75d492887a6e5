"""The commands that messages suggest, as they can be pasted where the program was started.

Each names the program by a path if `ads-proxy` is not on PATH, or another one, and has the options of the command that
runs. A message names a command between backticks or on a line of its own. Which commands have --config is read from
their files: to import one would load what it needs to run.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import sys
from functools import lru_cache
from pathlib import Path
from typing import Final

NAMES: Final = ("ads-proxy", "amazon-ads-proxy")
"""The names under which the program is installed."""
options_in_use: Final[dict[str, str]] = {}
"""`--config` and `--env-file` as they were given to the command that runs. The command line fills it."""
_SUGGESTED: Final = re.compile(
    r"(?m)(?P<start>^ *|`|^Example: )ads-proxy (?P<name>[a-z][a-z-]*)(?P<rest>(?: [^`\n]*)?)(?=`|$)"
)
_COMMANDS: Final = Path(__file__).with_name("commands")


def ready_to_paste(text: str) -> str:
    """The text, its suggested commands with the program's path and with the options of the command that runs."""
    return _SUGGESTED.sub(_with_options, text) if "ads-proxy " in text else text


def with_program(text: str) -> str:
    """The text, its suggested commands with the program's path. Other options are the reader's: this is for help."""
    return _SUGGESTED.sub(_with_path, text)


def _with_path(found: re.Match[str]) -> str:
    if not _file_of(found["name"]).exists():
        return found[0]
    return f"{found['start']}{program(sys.argv[0])} {found['name']}{found['rest']}"


def _with_options(found: re.Match[str]) -> str:
    shown = _with_path(found)
    if not options_in_use or " --config" in shown or not _takes_configuration(found["name"]):
        return shown
    asked, dashes, other_command = shown.partition(" -- ")
    options = "".join(f" {option} {shlex.quote(path)}" for option, path in options_in_use.items())
    return f"{asked}{options}{dashes}{other_command}"


@lru_cache(4)
def program(started: str) -> str:
    """How the program that was started as this file (`sys.argv[0]`) is named on a command line in the current folder.

    It is `ads-proxy` if PATH leads to the program, and if it was started by another name, such as `python -m proxy`.
    """
    path = Path(started)
    if path.name not in NAMES or not path.exists():
        return NAMES[0]
    found = shutil.which(path.name)
    if found is not None and Path(found).samefile(path):
        return path.name
    near = os.path.relpath(path)
    shown = (
        os.path.normpath(path.absolute()) if near.startswith("..") else near if os.sep in near else f".{os.sep}{near}"
    )
    return shlex.quote(shown)


def _file_of(command: str) -> Path:
    return _COMMANDS / f"{command.replace('-', '_')}.py"


@lru_cache(64)
def _takes_configuration(name: str) -> bool:
    path = _file_of(name)
    return path.exists() and re.search(r'\bConfigOption\b|"--config"', path.read_text(encoding="utf-8")) is not None
