"""Two proxies in Python: what anybody would write first with aiohttp, and mitmproxy (benchmarks/mitmproxy.lock)."""

from __future__ import annotations

import sys
from pathlib import Path

from benchmarks.peers.peer import FIELDS, Peer, PeerMissing, Place, version_of
from benchmarks.processes import CACHE, program
from benchmarks.scenarios import ONE_CONNECTION, ONE_TARGET, TLS

_FEW = (ONE_TARGET.name, TLS.name)
_SCRIPT = Path(__file__).parent / "plain_aiohttp.py"


def _aiohttp(place: Place) -> list[str]:
    return [sys.executable, str(_SCRIPT), str(place.port), place.address, str(place.upstream.ca)]


def _aiohttp_version() -> str:
    return version_of([sys.executable, "-c", "import aiohttp; print(aiohttp.__version__)"], r"(\S+)")


def _mitmdump() -> str:
    found = program(str(CACHE / "mitmproxy" / "bin" / "mitmdump")) or program("mitmdump")
    if found is None:
        raise PeerMissing("make bench installs it from benchmarks/mitmproxy.lock, with Python 3.12 or newer")
    return found


def _mitmproxy(place: Place) -> list[str]:
    command = [_mitmdump(), "--mode", f"reverse:{place.address}", "-p", str(place.port)]
    command += ["--listen-host", "127.0.0.1", "--set", f"confdir={place.work}"]
    command += ["--set", f"ssl_verify_upstream_trusted_ca={place.upstream.ca}"]
    for name, value in FIELDS.items():
        command += ["--modify-headers", f"!~q!{name}!{value}"]
    return command


AIOHTTP = Peer("plain aiohttp", _aiohttp, _aiohttp_version, only=_FEW)
MITMPROXY = Peer(
    "mitmproxy",
    _mitmproxy,
    lambda: version_of([_mitmdump(), "--version"], r"Mitmproxy: (\S+)"),
    only=(*_FEW, ONE_CONNECTION.name),
)
