"""Files of authorities for clients, with what the environment already trusts."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from proxy.commands.client_variables import JAVA_PASSWORD, TrustFiles, named_bundles
from proxy.commands.terminal import printable, tell
from proxy.errors import StartupError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from proxy.intercept.authority import Authority

_BUNDLE, _JAVA_STORE = "bundle.pem", "truststore.p12"


def write_trust_files(folder: Path, authority: Authority, environ: Mapping[str, str]) -> TrustFiles:
    """Write the bundle and the Java trust store into a folder, each in one step; gives their paths.

    All users may read them: certificates are public. Raises `StartupError` where they cannot be written.
    """
    from proxy.intercept.bundle import bundle, java_trust_store

    files = TrustFiles(folder / _BUNDLE, folder / _JAVA_STORE)
    trusted = bundle(authority.pem, _read_named(environ, files.bundle), files.bundle)
    _replace(files.bundle, trusted)
    _replace(files.java_store, java_trust_store(trusted, authority, JAVA_PASSWORD))
    return files


def _read_named(environ: Mapping[str, str], replaced: Path) -> Iterator[bytes]:
    """The contents of the files and folders that the environment names, without the file of an earlier call."""
    for name in named_bundles(environ):
        path = Path(name)
        if path == replaced:
            continue
        try:
            for file in sorted(path.iterdir()) if path.is_dir() else [path]:
                if not file.is_dir():
                    yield file.read_bytes()
        except OSError as error:
            why = error.strerror or error
            tell(f"ads-proxy: {printable(name)}: {why}; a variable names it as a file of authorities")


def _replace(path: Path, content: bytes) -> None:
    """Put a file in place whole: clients that start meanwhile read the old one or the new one."""
    try:
        descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=".ads-proxy-")
        temporary = Path(name)
        try:
            with os.fdopen(descriptor, "wb") as opened:
                opened.write(content)
            temporary.chmod(0o644)
            temporary.replace(path)
        except OSError:
            temporary.unlink(missing_ok=True)
            raise
    except OSError as error:
        raise StartupError(f"{path}: {error.strerror or error}") from None
