"""A file of environment variables, as `docker run --env-file` and shells have them: `NAME=VALUE` on each line.

Blank lines and lines that begin with `#` do not count; `export ` before a name, and quotes around a whole value, are
left out. Nothing is expanded: `$` is a dollar sign. Values may be secrets, so no problem shows one.
"""

from __future__ import annotations

import re
from pathlib import Path

from proxy.config.model.expected import WrongValue
from proxy.config.model.key_names import shown_file
from proxy.config.reading.files import read_bytes
from proxy.errors import ConfigurationError

MAX_BYTES = 1_048_576
_LINE = re.compile(r"(?:export\s+)?([A-Za-z_][A-Za-z0-9_]*)\s*=(.*)", re.DOTALL)


def read_env_file(path: Path) -> dict[str, str]:
    """Read the variables of an environment file. Raises `ConfigurationError` with every wrong line."""
    try:
        text = read_bytes(path, MAX_BYTES).decode("utf-8-sig")
    except WrongValue as error:
        raise ConfigurationError((f"--env-file: {error}",)) from None
    except UnicodeDecodeError:
        raise ConfigurationError((f"--env-file: {shown_file(path)} is not UTF-8 text; save it as UTF-8",)) from None
    found: dict[str, str] = {}
    problems = []
    for number, line in enumerate(text.splitlines(), 1):
        words = line.strip()
        if not words or words.startswith("#"):
            continue
        if (match := _LINE.fullmatch(words)) is None:
            problems.append(f"--env-file: line {number} is not NAME=VALUE; correct it, or begin it with #")
        else:
            found[match[1]] = unquote(match[2].strip())
    if problems:
        raise ConfigurationError(tuple(problems))
    return found


def unquote(value: str) -> str:
    """A value without the quotes around the whole of it. Pure."""
    return value[1:-1] if len(value) > 1 and value[0] == value[-1] and value[0] in "'\"" else value
