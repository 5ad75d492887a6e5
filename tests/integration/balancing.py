"""HAProxy with the configuration of config/haproxy, in front of programs on this machine. Nothing is asserted here."""

from __future__ import annotations

import contextlib
import http.client
import re
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from tests.support.patience import PATIENCE
from tests.support.processes import free_port, until
from tests.support.programs import ROOT, require_program

EXAMPLE = ROOT / "config" / "haproxy" / "haproxy.cfg"
_SERVER = re.compile(r"^  server (replica-\d) \1:8080\n", re.MULTILINE)


@contextlib.contextmanager
def haproxy(folder: Path, replicas: Sequence[dict[str, Any]]) -> Iterator[str]:
    """The address of HAProxy in front of the programs with these configurations, once it takes one for ready.

    Of the example, only the addresses are changed.
    """
    program, port = require_program("haproxy"), free_port()
    servers = [
        f"  server replica-{number} {each['listen']} port {urlsplit('//' + each['admin_listen']).port}\n"
        for number, each in enumerate(replicas, 1)
    ]
    text, count = _SERVER.subn(lambda found: servers.pop(0) if servers else "", EXAMPLE.read_text())
    text, bound = re.subn(r"bind :8080$", f"bind 127.0.0.1:{port}", text, flags=re.MULTILINE)
    if (count, bound, servers) != (3, 1, []):
        raise ValueError(f"{EXAMPLE} has other addresses than this test replaces")
    path = folder / "haproxy.cfg"
    path.write_text(text)
    child = subprocess.Popen([program, "-db", "-f", str(path)], stdout=subprocess.DEVNULL)
    try:
        until(lambda: listens(port))
        yield f"127.0.0.1:{port}"
    finally:
        child.terminate()
        child.wait(PATIENCE)


def listens(port: int) -> bool:
    """Whether a program takes connections there."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
    with contextlib.closing(connection), contextlib.suppress(OSError):
        connection.connect()
        return True
    return False
