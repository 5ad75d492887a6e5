"""`version`, and `--version` before any command."""

from __future__ import annotations

from proxy import __version__
from proxy.commands.terminal import OK, say


def print_version() -> int:
    """Print the package's version."""
    say(f"ads-proxy {__version__}")
    return OK
