"""Files of authorities for clients, with what the environment already trusts."""

from __future__ import annotations

import os
import re
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from proxy.commands.client_variables import JAVA_PASSWORD, WGET, TrustFiles, named_bundles
from proxy.commands.terminal import printable, tell
from proxy.errors import StartupError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from proxy.intercept.authority import Authority

_SYSTEM_WGETRC = Path("/etc/wgetrc")
_WGET_AUTHORITIES = re.compile(r"\s*ca[_-]?certificate\s*=", re.IGNORECASE)


def write_trust_files(folder: Path, authority: Authority, environ: Mapping[str, str]) -> TrustFiles:
    """Write the bundle, the Java trust store and the settings of wget and PHP into a folder, each in one step.

    All users may read them: certificates are public, and so are the system's settings of wget. Raises `StartupError`
    where they cannot be written.
    """
    from proxy.intercept.bundle import bundle, java_trust_store

    files = TrustFiles(folder)
    trusted = bundle(authority.pem, _read_named(environ, files.bundle), files.bundle)
    _replace(files.bundle, trusted)
    _replace(files.java_store, java_trust_store(trusted, authority, JAVA_PASSWORD))
    _replace(files.wgetrc, _wget_settings(environ, files).encode())
    _make_folder(files.php_settings.parent)
    _replace(files.php_settings, php_settings(files.bundle).encode())
    return files


def php_settings(bundle: Path) -> str:
    """PHP's own settings for authorities, which its curl and its streams take instead of variables. Pure."""
    mark = '"' if "'" in str(bundle) else "'"
    return "".join(f"{name} = {mark}{bundle}{mark}\n" for name in ("curl.cainfo", "openssl.cafile"))


def _wget_settings(environ: Mapping[str, str], files: TrustFiles) -> str:
    """The system's settings of wget, with the bundle in the place of its file of authorities."""
    named = Path(environ.get(WGET) or _SYSTEM_WGETRC)
    try:
        before = (_SYSTEM_WGETRC if named == files.wgetrc else named).read_text(encoding="utf-8", errors="replace")
    except OSError:
        before = ""
    kept = [line for line in before.splitlines() if not _WGET_AUTHORITIES.match(line)]
    return "\n".join((*kept, f"ca_certificate = {files.bundle}", ""))


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


def _make_folder(folder: Path) -> None:
    """Make a folder that all users may read, whatever the umask, unless it is there."""
    try:
        folder.mkdir()
        folder.chmod(0o755)
    except FileExistsError:
        pass
    except OSError as error:
        raise StartupError(f"{folder}: {error.strerror or error}") from None


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
