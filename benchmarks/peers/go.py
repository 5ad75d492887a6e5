"""Go's httputil.ReverseProxy: reverse_proxy.go next to this file, built with whatever Go is here."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from benchmarks.peers.peer import Peer, PeerMissing, Place, version_of
from benchmarks.processes import CACHE, BenchmarkError, program

_SOURCE = Path(__file__).parent / "reverse_proxy.go"
_BINARY = CACHE / "reverse_proxy"


def _go() -> str:
    found = program("go")
    if found is None:
        raise PeerMissing("apt-get install golang-go")
    return found


def _command(place: Place) -> list[str]:
    if not _BINARY.exists() or _BINARY.stat().st_mtime < _SOURCE.stat().st_mtime:
        _build()
    return [str(_BINARY), f"127.0.0.1:{place.port}", place.address, str(place.upstream.ca)]


def _build() -> None:
    CACHE.mkdir(parents=True, exist_ok=True)
    # Nothing but the standard library is used, and nothing is to be fetched.
    offline = {"GOPROXY": "off", "GOTOOLCHAIN": "local", "GOFLAGS": "-mod=mod", "GOCACHE": str(CACHE / "go")}
    command = [_go(), "build", "-o", str(_BINARY), str(_SOURCE)]
    said = subprocess.run(command, check=False, env={**os.environ, **offline}, capture_output=True, text=True)
    if said.returncode:
        raise BenchmarkError(f"go build failed:\n{said.stderr}")


GO = Peer("Go ReverseProxy", _command, lambda: version_of([_go(), "version"], r"go(\d[\d.]*)"))
