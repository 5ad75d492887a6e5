"""nginx with one worker, thrice.

The first is what everything is compared with: as shipped, but for connections that are kept and a log that is buffered.
The second writes a line of log at a time, as shipped; the third has buffers that hold 64 KiB and no temporary files.
"""

from __future__ import annotations

from benchmarks.peers.peer import FIELDS, Peer, PeerMissing, Place, version_of
from benchmarks.processes import program
from benchmarks.scenarios import HUGE, LARGE, ONE_TARGET
from benchmarks.upstream import nginx_command

_PROXYING = """
  access_log {log} combined{buffered}; {more}
  upstream amazon {{ server 127.0.0.1:{upstream}; keepalive 512; keepalive_requests 1000000000; }}
  proxy_http_version 1.1; proxy_set_header Connection ""; {fields}
  proxy_ssl_verify on; proxy_ssl_trusted_certificate {ca}; proxy_ssl_name localhost; proxy_ssl_server_name on;
  server {{ listen 127.0.0.1:{port} backlog=4096; location / {{ proxy_pass {scheme}://amazon; }} }}
"""
_LARGER_BUFFERS = "proxy_buffers 32 16k; proxy_buffer_size 16k; proxy_max_temp_file_size 0;"


def _command(place: Place, buffered: str = " buffer=64k flush=1s", more: str = "") -> list[str]:
    body = _PROXYING.format(
        log=place.log,
        buffered=buffered,
        more=more,
        upstream=place.upstream_port,
        fields=" ".join(f'proxy_set_header {name} "{value}";' for name, value in FIELDS.items()),
        ca=place.upstream.ca,
        port=place.port,
        scheme="https" if place.tls else "http",
    )
    return nginx_command(place.work, body)


def _version() -> str:
    found = program("nginx")
    if found is None:
        raise PeerMissing("apt-get install nginx-light")
    return version_of([found, "-v"], r"nginx/(\S+)")


NGINX = Peer("nginx", _command, _version)
NGINX_UNBUFFERED = Peer("nginx, log unbuffered", lambda place: _command(place, ""), _version)
NGINX_LARGER_BUFFERS = Peer(
    "nginx, larger buffers",
    lambda place: _command(place, more=_LARGER_BUFFERS),
    _version,
    only=(ONE_TARGET.name, LARGE.name, HUGE.name),
)
