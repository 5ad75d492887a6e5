"""Whom the proxy believes when it asks Amazon: the system's authorities, or those of `upstream.ca_file`.

A context is made anew only where the file's content changed, so that what depends on it can compare contexts.
"""

from __future__ import annotations

import hashlib
import ssl
from typing import TYPE_CHECKING

from proxy.errors import ConfigurationError
from proxy.net.dialing import client_context

if TYPE_CHECKING:
    from pathlib import Path


class Authorities:
    """The context of the configuration in force; `digest` is that of the file's content, empty without a file."""

    def __init__(self) -> None:
        self.context: ssl.SSLContext | None = None
        self.digest = ""

    def follow(self, file: Path | None) -> None:
        """Take the file as it is now. Raises `ConfigurationError`, and changes nothing, where it cannot be used."""
        try:
            digest = hashlib.sha256(file.read_bytes()).hexdigest() if file is not None else ""
            if digest != self.digest:
                self.context = client_context(str(file)) if file is not None else None
                self.digest = digest
        except (OSError, ssl.SSLError) as error:
            reason = error.reason if isinstance(error, ssl.SSLError) else error.strerror
            problem = f"upstream.ca_file: the file that it names cannot be used ({reason})"
            raise ConfigurationError((problem,)) from error
