"""HAProxy with one thread, its HTTP log on standard output."""

from __future__ import annotations

from benchmarks.peers.peer import FIELDS, Peer, PeerMissing, Place, version_of
from benchmarks.processes import program, required

_CONFIG = """
global
  nbthread 1
  maxconn 8192
  log stdout format raw local0 info
defaults
  mode http
  log global
  option httplog
  timeout connect 5s
  timeout client 600s
  timeout server 600s
frontend tools
  bind 127.0.0.1:{port} backlog 4096
  default_backend amazon
backend amazon
  http-reuse always
{fields}
  server amazon 127.0.0.1:{upstream} {tls}
"""


def _command(place: Place) -> list[str]:
    fields = [f'  http-request set-header {name} "{value}"' for name, value in FIELDS.items()]
    tls = f"ssl verify required ca-file {place.upstream.ca} sni str(localhost)" if place.tls else ""
    path = place.work / "haproxy.cfg"
    path.write_text(_CONFIG.format(port=place.port, upstream=place.upstream_port, fields="\n".join(fields), tls=tls))
    return [required("haproxy", "haproxy"), "-db", "-f", str(path)]


def _version() -> str:
    found = program("haproxy")
    if found is None:
        raise PeerMissing("apt-get install haproxy")
    return version_of([found, "-v"], r"version (\d[\d.]*)")


HAPROXY = Peer("HAProxy", _command, _version)
