"""`version`: Print the version of the program.

`ads-proxy --version` also prints those of its libraries.

Example: ads-proxy version
"""

from __future__ import annotations

import platform
import ssl
from importlib import metadata

from proxy import __version__
from proxy.commands.terminal import OK, say

LIBRARIES = ("aiohttp", "cryptography", "pydantic", "uvloop")
"""Libraries that handle connections, secrets and the configuration."""


def version() -> int:

    say(f"ads-proxy {__version__}")
    return OK


def print_versions() -> int:
    """Print the version, then those of Python, the system and the libraries."""
    version()
    say(f"{platform.python_implementation()} {platform.python_version()}, {ssl.OPENSSL_VERSION}")
    say(f"{platform.system()} {platform.release()} {platform.machine()}")
    say(", ".join(f"{name} {found}" for name in LIBRARIES if (found := _version_of(name))))
    return OK


def _version_of(name: str) -> str:
    """A library's version; empty if it is not installed, as uvloop on some systems."""
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return ""
