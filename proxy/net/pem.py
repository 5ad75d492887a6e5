"""PEM, or another text, in memory, for what reads files alone. Nothing here reads its content."""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


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
