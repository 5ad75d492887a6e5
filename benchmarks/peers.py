"""The programs that are compared: each on a port of its own in front of the same upstream, and stopped by its pid.

The upstream is nginx answering a fixed list of profiles (and token requests), so that it is never the slowest part.
"""

from __future__ import annotations

import contextlib
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PROFILES = (
    '[{"profileId":1234567890123456,"countryCode":"US","currencyCode":"USD","timezone":"America/Los_Angeles"}]' * 4
)
TOKEN = '{"access_token":"Atza|benchmark","refresh_token":"Atzr|x","token_type":"bearer","expires_in":3600}'

_NGINX = """
daemon off; worker_processes 1; pid {work}/nginx.pid; error_log {work}/error.log;
events {{ worker_connections 4096; }}
http {{
  access_log off; client_body_temp_path {work}/b; proxy_temp_path {work}/p; fastcgi_temp_path {work}/f;
  uwsgi_temp_path {work}/u; scgi_temp_path {work}/s; keepalive_requests 100000000;
  {body}
}}
"""
_ANSWERING = """
  server {{ listen 127.0.0.1:{port} backlog=4096; default_type application/json;
    location = /auth/o2/token {{ return 200 '{token}'; }}
    location / {{ add_header x-amz-rid RID; return 200 '{profiles}'; }} }}
"""
_PROXYING = """
  upstream amazon {{ server 127.0.0.1:{upstream}; keepalive 64; keepalive_requests 100000000; }}
  server {{ listen 127.0.0.1:{port} backlog=4096;
    location / {{ proxy_pass http://amazon; proxy_http_version 1.1; proxy_set_header Connection "";
      proxy_set_header Authorization "Bearer Atza|benchmark"; proxy_set_header Amazon-Advertising-API-ClientId x;
      proxy_set_header Amazon-Ads-ClientId x; }} }}
"""
_HAPROXY = """
global
  nbthread 1
  maxconn 4096
defaults
  mode http
  timeout connect 5s
  timeout client 60s
  timeout server 60s
frontend tools
  bind 127.0.0.1:{port}
  default_backend amazon
backend amazon
  http-reuse always
  http-request set-header Authorization "Bearer Atza|benchmark"
  http-request set-header Amazon-Advertising-API-ClientId x
  http-request set-header Amazon-Ads-ClientId x
  server amazon 127.0.0.1:{upstream}
"""
_OURS = """
listen: 127.0.0.1:{port}
admin_listen: 127.0.0.1:{admin}
fast_path: {fast}
log: {{access: {access}}}
state: {{url: "memory:"}}
regions:
  na: {{api_url: "http://127.0.0.1:{upstream}", token_url: "http://127.0.0.1:{upstream}/auth/o2/token"}}
  eu: {{api_url: "http://127.0.0.1:{upstream}", token_url: "http://127.0.0.1:{upstream}/auth/o2/token"}}
  fe: {{api_url: "http://127.0.0.1:{upstream}", token_url: "http://127.0.0.1:{upstream}/auth/o2/token"}}
accounts:
  acme: {{client_id: amzn1.x, client_secret: benchmark-secret, refresh_token: "Atzr|x", region: na}}
"""


@dataclass(frozen=True, slots=True)
class Peer:
    """A name for the table, and the port that answers."""

    name: str
    port: int


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def program(name: str) -> str | None:
    return shutil.which(name, path="/usr/sbin:/usr/bin:/usr/local/bin:/bin")


@contextlib.contextmanager
def running(command: list[str], port: int, core: int) -> Iterator[None]:
    """The command on one core until the block ends; waits until its port answers."""
    process = subprocess.Popen(
        ["taskset", "-c", str(core), *command], stdout=subprocess.DEVNULL, stderr=subprocess.STDOUT
    )
    try:
        _wait(port, process)
        yield
    finally:
        process.terminate()
        process.wait(timeout=10)


def _wait(port: int, process: subprocess.Popen[bytes]) -> None:
    end = time.monotonic() + 15
    while time.monotonic() < end:
        if process.poll() is not None:
            raise RuntimeError(f"{process.args!r} ended with {process.returncode}")
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=0.2):
            return
    raise RuntimeError(f"nothing answers on port {port}")


def upstream_command(work: Path, port: int) -> list[str]:
    directory = work / "upstream"
    return _nginx(directory, _ANSWERING.format(port=port, token=TOKEN, profiles=PROFILES))


def peer_commands(work: Path, upstream: int) -> list[tuple[Peer, list[str]]]:
    """Every peer that is installed, ours twice: with and without the fast path."""
    found: list[tuple[Peer, list[str]]] = []
    if program("nginx"):
        peer = Peer("nginx", free_port())
        found.append((peer, _nginx(work / "nginx", _PROXYING.format(port=peer.port, upstream=upstream))))
    if haproxy := program("haproxy"):
        peer = Peer("haproxy", free_port())
        path = work / "haproxy.cfg"
        path.write_text(_HAPROXY.format(port=peer.port, upstream=upstream))
        found.append((peer, [haproxy, "-db", "-f", str(path)]))
    for name, fast, access in (
        ("ads-proxy", "true", "true"),
        ("ads-proxy, no access log", "true", "false"),
        ("ads-proxy, fast_path: false", "false", "true"),
    ):
        peer = Peer(name, free_port())
        path = work / f"ours-{fast}-{access}.yaml"
        path.write_text(_OURS.format(port=peer.port, admin=free_port(), fast=fast, access=access, upstream=upstream))
        found.append((peer, [sys.executable, "-m", "proxy", "serve", "--config", str(path)]))
    peer = Peer("plain aiohttp proxy", free_port())
    script = Path(__file__).parent / "plain_aiohttp.py"
    found.append((peer, [sys.executable, str(script), str(peer.port), str(upstream)]))
    return found


def _nginx(directory: Path, body: str) -> list[str]:
    directory.mkdir(parents=True)
    path = directory / "nginx.conf"
    path.write_text(_NGINX.format(work=directory, body=body))
    nginx = program("nginx")
    if nginx is None:
        raise RuntimeError("the benchmark needs nginx: apt-get install nginx-light")
    return [nginx, "-c", str(path), "-p", str(directory)]
