"""Whom the proxy believes when it asks Amazon: the system's authorities, or those of `upstream.ca_file`.

A context is made anew only where the file's content changed, so that what depends on it can compare contexts.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import ssl
import sys
import tempfile
from typing import TYPE_CHECKING

from proxy.errors import ConfigurationError
from proxy.net.dialing import client_context

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


class Authorities:
    """The context of the configuration in force; `pem` is the file's content, None without a file, and `digest` that of
    it, empty then."""

    def __init__(self) -> None:
        self.context: ssl.SSLContext | None = None
        self.pem: bytes | None = None
        self.digest = ""

    def __repr__(self) -> str:
        return f"<Authorities: {self.digest[:8] or 'the system'}>"

    def follow(self, file: Path | None) -> None:
        """Take the file as it is now. Raises `ConfigurationError`, and changes nothing, where it cannot be used."""
        try:
            self.take(file.read_bytes() if file is not None else None)
        except (OSError, ssl.SSLError) as error:
            reason = error.reason if isinstance(error, ssl.SSLError) else error.strerror
            problem = f"upstream.ca_file: the file that it names cannot be used ({reason})"
            raise ConfigurationError((problem,)) from error

    def take(self, pem: bytes | None) -> None:
        """Believe these. Raises `OSError` or `ssl.SSLError`, and changes nothing, where they cannot be used."""
        digest = hashlib.sha256(pem).hexdigest() if pem is not None else ""
        if digest != self.digest:
            self.context = _context_of(pem)
            self.pem, self.digest = pem, digest


def _context_of(pem: bytes | None) -> ssl.SSLContext | None:
    if pem is None:
        return None
    with as_file(pem) as path:
        return client_context(path)


# --- PEM that was read, for libraries that take it from files alone --------------------------------------


@contextlib.contextmanager
def as_file(pem: bytes) -> Iterator[str]:
    """A path under which this is read, within the context. Raises `OSError` where there is no room for it."""
    with contextlib.ExitStack() as opened:
        path = _in_memory(pem, opened)
        if path is None or not os.access(path, os.R_OK):
            file = opened.enter_context(tempfile.NamedTemporaryFile())
            file.write(pem)
            file.flush()
            path = file.name
        yield path


def _in_memory(pem: bytes, opened: contextlib.ExitStack) -> str | None:
    if sys.platform != "linux":
        return None
    descriptor = os.memfd_create("ads-proxy-pem", os.MFD_CLOEXEC)
    file = opened.enter_context(os.fdopen(descriptor, "wb"))
    file.write(pem)
    file.flush()
    return f"/proc/self/fd/{descriptor}"
