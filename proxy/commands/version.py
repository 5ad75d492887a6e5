"""`version`: Print the version; --version says what it rests on, too."""

from __future__ import annotations

import platform
import ssl
from importlib import metadata

from proxy import __version__
from proxy.commands.terminal import OK, say

LIBRARIES = ("aiohttp", "cryptography", "pydantic", "uvloop")
"""Whose version explains how a connection, a secret or a configuration was taken."""


def version() -> int:

    say(f"ads-proxy {__version__}")
    return OK


def print_versions() -> int:
    """The same line first, then the system's and those of the libraries."""
    version()
    say(f"{platform.python_implementation()} {platform.python_version()}, {ssl.OPENSSL_VERSION}")
    say(f"{platform.system()} {platform.release()} {platform.machine()}")
    say(", ".join(f"{name} {found}" for name in LIBRARIES if (found := _version_of(name))))
    return OK


def _version_of(name: str) -> str:
    """Empty where it is not there: uvloop is not for every system."""
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return ""
